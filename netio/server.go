package netio

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"keyframe/engine"
	"keyframe/engine/journal"
	"keyframe/netio/access"
)

// Server serves an Engine to clients.
//
// Start and Stop are called once each, in this order. Stats, Ready, CheckLoops and Gone may
// be called from any goroutine at any time, Addrs after Start. The engine and the journal must
// outlive the server, and that is until Gone is closed: see Stop.
type Server struct {
	opts   Options                 // as New was given them
	live   atomic.Pointer[Options] // the same, with what SetOptions has changed; a loop has them too
	store  store
	engine *engine.Engine // the store, for what only a journal needs
	log    *slog.Logger

	// What a simulation replaces.
	now         func() time.Time
	cursorKey   cursorKey
	spawnWriter func(*writer)
	shares      shares
	budget      budget

	loops     *gnet.Client // the event loops; see doc.go on why a Client
	listeners []net.Listener
	created   time.Time     // Uptime counts from here: unlike Start, before any Stats
	refusing  chan struct{} // a token for each connection that is being refused

	counters struct {
		conns         atomic.Int64 // open now
		accepted      atomic.Uint64
		refused       atomic.Uint64
		slowConsumers atomic.Uint64
		acceptErrors  atomic.Uint64
		closedUnsent  atomic.Int64 // dropped with responses unread
	}

	stats struct { // the store's, kept for a while
		sync.Mutex
		value engine.Stats
		at    time.Time
	}

	saves       saveWaits
	respClients respClients
	tls         tlsServer
	unsynced    *unsynced // nil: answers wait for everything that is not safe

	gate     *access.Gate // nil: there are no users
	security securityLog

	acceptors  sync.WaitGroup
	background sync.WaitGroup  // every other goroutine except gnet's
	stopping   context.Context // done when Stop begins
	stop       context.CancelFunc
	stopped    chan struct{} // closed when the event loops are about to end
	gone       chan struct{} // closed when nothing of the server is left
	draining   atomic.Bool   // no more input is taken
	ready      atomic.Bool   // Start has succeeded
	loading    atomic.Bool   // the store is being read from disk

	// mu guards byLoop and inOrder, which only grow, and keeps tasks from being
	// sent to event loops that have ended: sending holds it shared, and Stop
	// takes it to set ended.
	mu      sync.RWMutex
	byLoop  map[gnet.EventLoop]*loop
	inOrder []*loop // the same, as they came
	ended   bool
}

// store is what a server needs of an engine.Engine, as its contract has it.
type store interface {
	Apply(b *engine.Batch) (done bool)
	Len() int
	Clear() int
	ClearRecorded(seqs []uint64) (keys int, _ []uint64)
	ClearSet(b *engine.Batch, seqs []uint64) (keys int, _ []uint64)
	Scan(cursor engine.Cursor, prefix []byte, limit int, now int64, fn func(key, value []byte, form engine.Form, deadline int64) bool) (next engine.Cursor, done bool)
	ScanKeys(cursor engine.Cursor, prefix []byte, limit int, now int64, fn func(key []byte) bool) (next engine.Cursor, done bool)
	CursorAt(n uint64) engine.Cursor
	HasCursor(c engine.Cursor) bool
	Expires() bool
	Stats() engine.Stats
}

// CheckOptions reports all faults of opts in one error, as New does.
func CheckOptions(opts Options) error { return opts.withDefaults().validate() }

// New returns a server for e, or an error that names every fault of opts.
func New(e *engine.Engine, opts Options) (*Server, error) {
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, err
	}
	s := &Server{
		opts:      opts,
		store:     e,
		engine:    e,
		log:       opts.Logger,
		now:       time.Now,
		cursorKey: cursorKey(rand.Uint64()),
		shares:    defaultShares,
		created:   time.Now(),
		refusing:  make(chan struct{}, maxRefusing),
		stopped:   make(chan struct{}),
		gone:      make(chan struct{}),
		byLoop:    make(map[gnet.EventLoop]*loop),
	}
	s.live.Store(&s.opts)
	if opts.Users != nil {
		s.gate = access.NewGate(opts.Users)
	}
	s.security.init(s.log)
	s.budget.init(&s.opts)
	if err := s.initTLS(); err != nil {
		return nil, err
	}
	s.loading.Store(opts.Journal != nil)
	// A key that is evicted can't be marked before it is gone. And if groups are only
	// written they are safe at the end of each wake-up anyhow.
	if opts.Journal != nil && opts.Journal.Mode() == journal.Always && !e.Evicts() {
		s.unsynced = newUnsynced()
	}
	s.spawnWriter = func(w *writer) { s.background.Go(w.run) }
	s.stopping, s.stop = context.WithCancel(context.Background())
	return s, nil
}

// Start binds every address and begins to serve, or, with a journal, to tell clients that
// the store is being loaded; see Load. After an error nothing is left
// bound or running.
func (s *Server) Start() error {
	for _, address := range s.opts.Listen {
		ln, err := listen(address, s.opts.UnixMode)
		if err != nil {
			s.closeListeners()
			return err
		}
		s.listeners = append(s.listeners, ln)
	}
	s.warnOfDescriptors()
	loops, err := gnet.NewClient(&handler{srv: s}, s.gnetOptions()...)
	if err == nil {
		err = loops.Start()
	}
	if err != nil {
		s.closeListeners()
		return fmt.Errorf("netio: can't start the event loops: %w", err)
	}
	s.loops = loops
	s.background.Go(s.sweeper)
	if s.opts.TLSCert != "" {
		s.background.Go(s.watchCertificates)
	}
	s.background.Go(func() { s.security.write(s.stopped) })
	for _, ln := range s.listeners {
		s.acceptors.Go(func() { s.accept(ln) })
	}
	s.ready.Store(true)
	return nil
}

// gnetOptions are the few of gnet's settings that are not its own choice: level-triggered
// events, loops that the scheduler places, and 64 KiB to read into for each loop, which is
// also the most that one connection is given before the others. doc.go's "Tried and lost"
// has the settings that were tried.
//
// gnet sets TCP_NODELAY, as Go's net has done already: a turn is one write, so there is
// nothing to join. A connection goes to the loop that has the fewest, gnet's only choice
// for a Client. Our own listeners have one accept queue for each address, so SO_REUSEPORT
// would have nothing to spread. gnet's write buffer is never used; see outbox.
func (s *Server) gnetOptions() []gnet.Option {
	return []gnet.Option{
		gnet.WithNumEventLoop(s.opts.Loops),
		gnet.WithLogger(gnetLogger{s.log}),
	}
}

// Addrs are the addresses that are being served, in the order of Options.Listen.
func (s *Server) Addrs() []net.Addr {
	addrs := make([]net.Addr, len(s.listeners))
	for i, ln := range s.listeners {
		addrs[i] = ln.Addr()
	}
	return addrs
}

// Ready reports an error while the server does not serve: before it has started, while it
// loads its store, when its journal has failed, and from the moment a stop begins.
func (s *Server) Ready() error {
	switch {
	case s.opts.Journal != nil && s.opts.Journal.Err() != nil:
		return s.opts.Journal.Err() // it is why the server stops
	case !s.ready.Load() || s.stopping.Err() != nil:
		return errors.New("not accepting connections")
	case s.loading.Load():
		return errors.New(s.loadingText())
	}
	return nil
}

// CheckLoops reports an error when an event loop does not take a task before ctx
// is done: something that runs on it blocks.
func (s *Server) CheckLoops(ctx context.Context) error {
	loops := s.loopList()
	alive := make(chan struct{}, len(loops))
	for _, l := range loops {
		l.execute(func() { alive <- struct{}{} })
	}
	for range loops {
		select {
		case <-alive:
		case <-s.stopped:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("netio: an event loop does not answer: %w", ctx.Err())
		}
	}
	return nil
}

func (s *Server) closeListeners() {
	for _, ln := range s.listeners {
		if err := ln.Close(); err != nil {
			s.log.Warn("closing a listener", "address", ln.Addr(), "error", err)
		}
	}
}

// warnOfDescriptors logs a warning when the process may not open as many descriptors
// as MaxConns promises. Go has raised the soft limit to the hard one at its start. A
// connection whose client reads slowly takes up to three more for a while; one that
// can't have them is closed.
func (s *Server) warnOfDescriptors() {
	const others = 64 // listeners, event loops, the runtime's own
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return
	}
	if uint64(limit.Cur) < uint64(s.opts.MaxConns)+others { // FreeBSD's is signed
		s.log.Warn("the limit on open files is lower than the limit on connections",
			"files", limit.Cur, "connections", s.opts.MaxConns)
	}
}

// loopOf returns what we keep for one of gnet's event loops.
func (s *Server) loopOf(el gnet.EventLoop) *loop {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.byLoop[el]
	if l == nil {
		l = s.newLoop(&gnetLoop{el, s})
		s.byLoop[el] = l
		s.inOrder = append(s.inOrder, l)
		s.background.Go(l.rerunner)
	}
	return l
}

// SetUsers has other users from now on, on a server that has been made with some. Connections
// of who is none any more end; those of others have the new rights.
func (s *Server) SetUsers(users *access.Users) {
	s.gate.Replace(users)
	s.eachLoop((*loop).renewLogins)
}

// SetOptions takes over what a running server can change: MaxConns, MaxOutputBytes, AllowOrigins
// and the timeouts, except StopTimeout. All else of opts is not looked at. With an error nothing
// is changed.
func (s *Server) SetOptions(opts Options) error {
	next := *s.live.Load()
	next.MaxConns, next.MaxOutputBytes, next.AllowOrigins = opts.MaxConns, opts.MaxOutputBytes, opts.AllowOrigins
	next.IdleTimeout, next.PingInterval, next.HandshakeTimeout, next.OutputTimeout = opts.IdleTimeout, opts.PingInterval, opts.HandshakeTimeout, opts.OutputTimeout
	next = next.withDefaults()
	if err := next.validate(); err != nil {
		return err
	}
	s.live.Store(&next)
	s.eachLoop(func(l *loop) { l.setOptions(&next) })
	return nil
}

// eachLoop runs f on every event loop, and does not wait for it.
func (s *Server) eachLoop(f func(*loop)) {
	for _, l := range s.loopList() {
		l.execute(func() { f(l) })
	}
}

// loopList returns the event loops that have had a connection.
func (s *Server) loopList() []*loop {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.inOrder
}

func (s *Server) isStopped() bool {
	select {
	case <-s.stopped:
		return true
	default:
		return false
	}
}

// handler is what gnet calls, on the connection's event loop.
type handler struct {
	gnet.BuiltinEventEngine
	srv *Server
}

// OnOpen takes a connection in. Its conn is the context it was enrolled with.
func (h *handler) OnOpen(gc gnet.Conn) ([]byte, gnet.Action) {
	c := gc.Context().(*conn)
	if c.loop != nil {
		return nil, c.loop.reopen(c, gc, descriptor(gc.Fd()))
	}
	l := h.srv.loopOf(gc.EventLoop())
	l.open(c, gc, descriptor(gc.Fd()))
	if c.tls != nil {
		l.openLeft(c)
	}
	return nil, gnet.None
}

// OnTraffic serves what has arrived. The bytes are the loop's read buffer, which
// all its connections share: they are lent until Discard.
func (h *handler) OnTraffic(gc gnet.Conn) gnet.Action {
	c := gc.Context().(*conn)
	l := c.loop
	in, err := gc.Peek(-1)
	if err != nil {
		panic("BUG: netio: Peek(-1): " + err.Error())
	}
	if c.tls == nil {
		l.serve(c, in)
	} else {
		l.receive(c, in)
	}
	if l.beside.job != nil {
		l.askBesideTurn()
	}
	mangle(in)
	if c.gc != gc {
		return gnet.None // it was closed, and gnet has released its buffer
	}
	_, _ = gc.Discard(-1) // everything; it can't fail
	return gnet.None
}

// OnClose is called when gnet has closed the connection, or is about to. One that was
// parked has no conn any more.
func (h *handler) OnClose(gc gnet.Conn, err error) gnet.Action {
	if c, ok := gc.Context().(*conn); ok && c.loop != nil {
		c.loop.onClose(c, err)
	}
	return gnet.None
}
