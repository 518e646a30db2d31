package netio

import (
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"keyframe/codec"
	"keyframe/engine"
	"keyframe/netio/seal"
)

// The simulation runs whole servers, loops, codec and engine, in one goroutine, where a
// seed decides everything that a system would: which connection is next, how its bytes are
// cut, when a client reads, shuts its side down or resets, what time it is, whether memory
// and descriptors are to be had, and what happens in the middle of a compaction.
//
// A step is: pick, act, check. What the store executes is compared with a plain map and
// with what the connection has sent, in order; what a client receives with the answers
// that follow from it. So an answer that is lost, doubled, wrong or in another's place
// ends the run at once, with the seed and the step.
//
// Where clients come over TLS, the records are cut anywhere, some of them are changed, and a client
// may say that it sends no more before its side is shut.
//
// A life is one server from its start to its stop. Its sizes are drawn, too, and small: so
// the rare states, which simRare lists, are reached all the time. Where it has a journal, the
// process is killed or the power goes now and then, and the life goes on with a server that
// has loaded what is left on the disk.

var (
	simFlag    = flag.Duration("sim", time.Second, "how long TestSimulation runs")
	traceSteps = flag.Bool("steps", false, "TestSimulation prints each step")
)

// simRare are the states that a run of five minutes or more must have reached.
var simRare = []string{
	"a batch that stops half way", "a command that goes on in another turn", "a command that is checked on in another turn", "a command that goes on after its bytes were cut",
	"a connection that is paused", "a paused connection goes on", "input for a paused connection",
	"a connection that is parked", "a parked connection is watched again", "it is lost on the way back to its loop",
	notDuplicated, "it can't be enrolled",
	"a writer begins", "a writer that waits in vain", "a writer ends", "a slow consumer", "a silent client is pinged", "it doesn't answer a ping", "it was idle", "it is cut off with answers unread",
	"a connection that is squeezed", "a squeezed connection goes on", cutOffUntold, "it is cut off and told so",
	"a handshake that takes too long", "its client has reset it", "a client shuts its side down with answers due",
	"a line over the limit", "a message that is not UTF-8", "a frame against the protocol", "a client's close",
	"a connection over TLS", "a client says in TLS that it sends no more", falseRecord,
	"a request against the protocol", "a chunk against the protocol", "a last request",
	"a key that is dead", "a key that the sweeper may have dropped", "a comparison that succeeds", "an integer that overflows", "a text that is extended", "places that are set", "a place that can't be set",
	"a page that a turn goes on with, or a step", "a walk to its end",
	"the store is full", "the system refuses memory", "a compaction", "a compaction reverts", "a compaction is postponed",
	"a command in the middle of a compaction", "CLEAR in the middle of a compaction",
	"a batch that waits to be applied", "answers that were held",
	"a snapshot", "a command in the middle of a snapshot", "a crash", "a crash in an operation of the disk", "a write that is on disk when it ends", "a crash in the middle of a snapshot", "a power cut", "a crash that undoes something", "a crash that undoes nothing",
	"the server stops with input pending", "the server stops with a connection parked", "input for a server that stops",
}

// TestSimulation runs one life after the other, for as long as -sim says. -seed is the seed
// of the first life, so it repeats one.
func TestSimulation(t *testing.T) {
	seed, reached := *seedFlag, make(map[string]int)
	if seed == 0 {
		seed = rand.Uint64N(1 << 40)
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // collecting takes a third of the time otherwise
	ops, lives, steps, start, spare := 0, 0, 0, time.Now(), &simSpare{}
	for time.Since(start) < *simFlag || lives == 0 {
		s := newSim(t, seed+uint64(lives), reached)
		s.before, s.spare = steps, spare
		s.live()
		ops += s.ops
		steps += s.step
		lives++
	}
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d lives, %d steps, %d operations in %v, %v of a processor", lives, steps, ops, time.Since(start), time.Duration(used.Utime.Nano()+used.Stime.Nano()))
	for _, state := range simRare {
		if testing.Verbose() {
			t.Logf("%9d %s", reached[state], state)
		}
		if reached[state] == 0 && *simFlag >= 5*time.Minute {
			t.Errorf("never reached: %s", state)
		}
	}
	for state := range reached {
		if !slices.Contains(simRare, state) {
			t.Errorf("not on the list: %s", state)
		}
	}
}

// sim is one life.
type sim struct {
	t       *testing.T
	rng     *rand.Rand
	seed    uint64
	before  int // steps of the lives before
	step    int
	ops     int
	now     time.Time
	reached map[string]int

	engine  *engine.Engine
	left    []*engine.Engine // those of servers that have crashed: something may be under way in them
	store   engine.Options
	disk    *simDisk // nil: the store is in memory only
	srv     *Server
	loops   []*simLoop
	opts    Options
	serving *simClient // whose turn it is
	overdue *simClient // whose time is over, if it holds too much

	cutUnsent int64 // connections that were cut off for what they hold, with answers unread
	clients   []*simClient
	opened    int
	model     map[string]simValue // what is dead stays until something meets it
	lives     map[string]simLife  // of keys, those that are gone too
	changes   int
	walks     []*simWalk

	keys       []simKey
	values     []string
	longest    int  // command, in elements over fifty
	huge       int  // values of any size, of a thousand
	pieces     int  // input comes in pieces of less than 1<<pieces bytes
	full       bool // the store has a ceiling
	thinUntil  int  // the step until which much is removed
	refusing   bool // the system refuses memory
	compacting bool // maintenance is under way
	snapshots  int  // how many are under way
	overTLS    bool // most clients come over TLS
	heldBefore int  // what of the budget is for what TLS holds before it is counted
	crashes    bool // the server may crash at any operation of its disk
	draining   bool // the server has begun to stop
	quiet      bool // nothing bad happens any more

	dec                  *codec.Decoder
	scratch, frame, lent []byte
	sealed               []byte
	spare                *simSpare
}

// simSpare is memory that clients leave to later ones, in this life and the next:
// allocating it anew takes a third of the time.
type simSpare struct {
	bytes    [][]byte
	elements [][]simElement
	tls      *tlsConfigs
}

func (m *simSpare) take() (b []byte) {
	if n := len(m.bytes); n > 0 {
		b, m.bytes = m.bytes[n-1][:0], m.bytes[:n-1]
	}
	return b
}

// inherit gives c what earlier clients left; leave takes it back.
func (m *simSpare) inherit(c *simClient) {
	c.out.b, c.sock.buf.b = m.take(), m.take()
	if n := len(m.elements); n > 0 {
		c.expected, m.elements = m.elements[n-1][:0], m.elements[:n-1]
	}
}

func (m *simSpare) leave(c *simClient) {
	m.bytes = append(m.bytes, c.out.b, c.sock.buf.b)
	m.elements = append(m.elements, c.expected)
}

func newSim(t *testing.T, seed uint64, reached map[string]int) *sim {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 0))
	s := &sim{t: t, rng: r, seed: seed, reached: reached, now: time.Unix(1e9, 0), model: make(map[string]simValue), lives: make(map[string]simLife)}
	s.opts = Options{
		Loops:            2,
		MaxFrameBytes:    []int{1000, 4000, 100_000}[r.IntN(3)],
		MaxOutputBytes:   []int{2000, 20_000, 200_000}[r.IntN(3)],
		IdleTimeout:      []time.Duration{0, time.Hour, 2 * time.Hour, 4 * time.Hour}[r.IntN(4)],
		PingInterval:     time.Minute << r.IntN(8),
		HandshakeTimeout: time.Minute << r.IntN(5),
		OutputTimeout:    10 * time.Second << r.IntN(4),
		AnyValues:        r.IntN(2) == 0,
		Logger:           slog.New(&simLog{s: s}),
	}
	s.overTLS = r.IntN(3) == 0
	universe := 10 << r.IntN(8)
	s.longest, s.huge, s.pieces = 1+r.IntN(300), 2, 15
	s.values = newSimValues(r, []int{1000, 3000, 60_000}[r.IntN(3)], s.opts.AnyValues)
	s.store = engine.Options{Shards: 1 << r.IntN(4), Merge: Merge, Readable: Readable, Clock: func() int64 { return s.now.UnixMilli() }}
	short := r.IntN(4) == 0
	if short {
		universe = 500 + r.IntN(1500)
		s.opts.MaxFrameBytes, s.huge, s.pieces = 100_000, 300, 20
		s.values = newSimValues(r, []int{4000, 12_000, 30_000}[r.IntN(3)], s.opts.AnyValues)
		s.store.Shards = 1 << r.IntN(2)
		if s.full = r.IntN(2) == 0; s.full {
			s.store.MaxBytes = (1 + r.IntN(2)) * 2 << 20
		}
	}
	s.refusing = short && !s.full
	for i := range universe {
		s.keys = append(s.keys, newSimKey(i))
	}
	var err error
	if s.dec, err = codec.NewDecoder(codec.Options{AnyValues: s.opts.AnyValues}); err != nil {
		t.Fatal(err)
	}
	commits := r.IntN(3) == 0
	if !commits && !short && r.IntN(2) == 0 {
		s.disk = newSimDisk(s)
	}
	s.start()
	for _, el := range s.loops {
		if commits {
			newSimCommitter(s, el)
		}
	}
	return s
}

// start starts a server, with what is on the disk, if there is one.
func (s *sim) start() {
	r, quiet := s.rng, s.quiet
	s.quiet = true // it finds memory
	defer func() { s.quiet = quiet }()
	s.store.Simulation = &engine.Simulation{Seed: r.Uint64(), Refuse: s.refuses, Step: s.between}
	s.store.RecordEffects = s.disk != nil
	var err error
	if s.engine, err = engine.New(s.store); err != nil {
		s.fatalf("%v", err)
	}
	if s.disk != nil {
		s.opts.Journal = s.disk.open()
	}
	if s.srv, err = New(s.engine, s.opts); err != nil {
		s.fatalf("%v", err)
	}
	s.opts, s.cutUnsent, s.loops, s.heldBefore = s.srv.opts, 0, nil, 0
	if r.IntN(2) == 0 {
		b := &s.srv.budget
		limit := s.opts.MaxFrameBytes/2<<r.IntN(4) + 2<<10<<r.IntN(10) // some of them not enough for the longest command
		if s.overTLS {
			s.heldBefore = 2 * seal.MaxHeld // by two loops
		}
		b.resize(limit+s.heldBefore, min(r.IntN(2)*r.IntN(8<<10), limit/4/8), 5+r.IntN(4), s.heldBefore, limit>>(1+r.IntN(3)))
	}
	s.srv.store, s.srv.now, s.srv.cursorKey = &simStore{s.engine, s}, s.clock, cursorKey(s.seed)
	s.srv.spawnWriter = func(w *writer) {
		to := w.to.(simWaiter)
		to.client.writer = w
		s.reach("a writer begins")
	}
	if r.IntN(4) > 0 {
		s.srv.shares = drawShares(r)
	}
	if s.disk != nil {
		s.disk.recover()
	}
	if s.srv.unsynced != nil {
		s.srv.unsynced.hash = xxhash.Sum64 // the same in every run
	}
	for range 1 + r.IntN(2) {
		el := &simLoop{s: s}
		el.loop = s.srv.newLoop(el)
		if s.disk != nil {
			el.commit = &simJournal{s, el}
		}
		s.loops = append(s.loops, el)
		s.srv.inOrder = append(s.srv.inOrder, el.loop)
	}
}

// drawShares returns shares so small that turns end in the middle of things.
func drawShares(r *rand.Rand) shares {
	return shares{
		batchOps: 1 + r.IntN(40), turnCost: 20 << r.IntN(12), turnOutputBytes: 100 << r.IntN(8),
		checkBytes: 30 + r.IntN(10<<r.IntN(10)), bigPayload: 50 << r.IntN(8), parkBytes: 500 << r.IntN(6), scanKeys: 1 + r.IntN(40),
		lookEvery: 10 << r.IntN(12), turnTime: time.Duration(r.IntN(500_000)), readyTime: time.Duration(r.IntN(2_000_000)),
	}
}

// clock tells the time. In the turns of a server it passes as it does for one that has
// work: with its sizes, some turns end because of it.
func (s *sim) clock() time.Time {
	if s.serving != nil && s.rng.IntN(4) == 0 {
		s.now = s.now.Add(time.Duration(s.rng.IntN(400_000)))
	}
	return s.now
}

// live is one life, from the first connection to the last.
func (s *sim) live() {
	for range 4000 + s.rng.IntN(12_000) {
		s.act()
	}
	s.settle()
	s.compareStores()
	for range s.rng.IntN(300) {
		s.act()
	}
	s.drain()
	for range s.rng.IntN(100) {
		s.act()
	}
	s.settle()
	if n := s.srv.counters.conns.Load(); n != 0 || len(s.clients) != 0 {
		s.fatalf("%d connections and %d clients outlive the server", n, len(s.clients))
	}
	s.compareStores()
	if s.disk != nil {
		s.disk.stop()
	}
	for _, e := range append(s.left, s.engine) {
		if err := e.Close(); err != nil {
			s.fatalf("%v", err)
		}
	}
}

func (s *sim) fatalf(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("step %d of the life with -seed=%d, after %d of others: %s", s.step, s.seed, s.before, fmt.Sprintf(format, args...))
}

func (s *sim) reach(state string) { s.reached[state]++ }

func (s *sim) trace(format string, args ...any) {
	if *traceSteps {
		s.t.Logf("%6d %s", s.step, fmt.Sprintf(format, args...))
	}
}

// act is one step.
func (s *sim) act() {
	s.step++
	s.now = s.now.Add(time.Duration(s.rng.IntN(int(time.Millisecond))))
	switch n := s.rng.IntN(1000); {
	case n < 20 || len(s.clients) == 0:
		s.open()
	case n < 450:
		c := s.pick()
		for range 1 + s.rng.IntN(8) {
			if !c.halved && !c.ending && c.out.len() < 1<<s.pieces {
				c.produce()
			}
		}
		s.deliver(c, 1+s.rng.IntN(1<<s.rng.IntN(s.pieces)))
	case n < 600:
		s.deliver(s.pick(), 1+s.rng.IntN(1<<s.rng.IntN(s.pieces)))
	case n < 660:
		if el := s.pickLoop(); el.commit != nil {
			s.exposed(el.commit.step)
		}
	case n < 780:
		s.read(s.pick(), 1+s.rng.IntN(1<<s.rng.IntN(18)))
	case n < 860:
		s.write(s.pick())
	case n < 920:
		s.rerun(s.pickLoop())
	case n < 960:
		s.exposed(func() { s.task(s.pickLoop()) })
	case n < 970:
		s.rejoin(s.pick())
	case n < 980:
		for s.sweep(); s.rng.IntN(3) == 0; { // more of them, before the client has done anything
			s.sweep()
		}
	case n < 984:
		s.halfClose(s.pick())
	case n < 986:
		s.reset(s.pick())
	case n < 994:
		s.maintain()
	case n < 995:
		s.refusing = !s.refusing
	case n == 996 && s.disk != nil && !s.draining:
		s.disk.crash()
	case n == 995:
		s.thinUntil = s.step + s.rng.IntN(200)
	default:
		s.leave(s.pick())
	}
}

func (s *sim) pick() *simClient { return s.clients[s.rng.IntN(len(s.clients))] }

func (s *sim) pickLoop() *simLoop { return s.loops[s.rng.IntN(len(s.loops))] }

// open has a client connect.
func (s *sim) open() {
	if len(s.clients) >= 8 || s.draining {
		return
	}
	el := s.pickLoop()
	s.opened++
	kind := s.rng.IntN(5)
	c := &simClient{s: s, id: s.opened, conn: &conn{remote: simAddr(s.opened)}, ws: kind < 2, limit: int(^uint(0) >> 1), moved: s.now}
	if kind < 3 {
		c.http = &simHTTP{}
	}
	c.sock = &simSocket{client: c, room: 200 << s.rng.IntN(10), descriptors: 1}
	c.gc = &simConn{client: c, context: c.conn}
	if s.overTLS && s.rng.IntN(3) > 0 {
		s.secure(c)
	}
	s.spare.inherit(c)
	s.clients = append(s.clients, c)
	s.srv.counters.conns.Add(1)
	el.loop.open(c.conn, c.gc, c.sock)
	if c.tls != nil {
		el.loop.openLeft(c.conn)
	}
	c.conn.out.report = func(e outboxEvent) {
		if e == outboxDrained || e == outboxFailed {
			c.writer = nil
		}
		el.execute(func() { s.onOutbox(c, e) })
	}
	if c.ws {
		answer, ok := upgradeAnswer([]byte(upgradeRequest))
		if !ok {
			s.fatalf("the upgrade is refused: %q", answer)
		}
		for range s.rng.IntN(3) {
			c.request()
		}
		c.push([]byte(upgradeRequest))
		c.expected = append(c.expected, simElement{answer: answer, end: c.sent})
	}
	s.trace("client %d, WebSocket %v, HTTP %v, room %d", c.id, c.ws, c.http != nil, c.sock.room)
}

// maintain is a round of the engine's maintenance, in the middle of which more happens.
func (s *sim) maintain() {
	if s.compacting {
		return
	}
	e := s.engine // there may be a crash meanwhile
	before := e.Stats()
	s.compacting = true
	e.Maintain(s.rng.IntN(2) == 0)
	s.compacting = false
	after := e.Stats()
	s.reached["a compaction"] += after.Compactions - before.Compactions
	s.reached["a compaction reverts"] += after.Reverts - before.Reverts
	s.reached["a compaction is postponed"] += after.Postponed - before.Postponed
}

// between is what the engine calls between two steps of its maintenance.
func (s *sim) between() {
	if s.serving == nil && s.rng.IntN(8) == 0 && !s.quiet {
		s.act()
	}
}

// refuses reports whether the system has no memory.
func (s *sim) refuses() bool {
	if s.refusing && !s.quiet {
		s.reach("the system refuses memory")
		return true
	}
	return false
}

func (s *sim) outOfDescriptors() bool { return !s.quiet && s.rng.IntN(30) == 0 }

// drain begins to stop the server.
func (s *sim) drain() {
	s.step++
	s.trace("the server stops")
	s.draining = true
	s.srv.draining.Store(true)
	for _, c := range s.clients {
		c.limit = c.delivered
		if c.conn.hasPending() {
			s.reach("the server stops with input pending")
		}
		if c.conn.parked {
			s.reach("the server stops with a connection parked")
		}
	}
	for _, c := range slices.Backward(slices.Clone(s.clients)) {
		if c.conn.phase == phaseOpen {
			s.turn(c, func() { c.conn.loop.serve(c.conn, nil) })
		}
	}
}

// settle delivers all that was sent, has it executed, and delivers the answers. Nothing bad
// happens meanwhile.
func (s *sim) settle() {
	s.quiet = true
	for round := 0; !s.settled(); round++ {
		if round == 100_000 {
			s.fatalf("nothing moves: %s", s.describe())
		}
		s.step++
		for _, c := range slices.Clone(s.clients) {
			s.deliver(c, c.out.len())
			s.read(c, c.sock.buf.len())
			s.write(c)
			s.rejoin(c)
			s.leave(c)
		}
		for _, el := range s.loops {
			s.rerun(el)
			for range el.tasks {
				s.task(el)
			}
			if el.commit != nil {
				el.commit.step()
			}
		}
		if round%100 == 99 { // ends connections that linger
			s.now = s.now.Add(lingerTimeout)
			s.sweep()
		}
	}
	s.quiet = false
}

// settled reports whether every client has all its answers, or has gone. A server that
// stops is settled when all have gone.
func (s *sim) settled() bool {
	for _, el := range s.loops {
		if len(el.tasks) > 0 || len(el.loop.rerun) > 0 || el.commit != nil && !el.commit.idle() {
			return false
		}
	}
	for _, c := range s.clients {
		if s.draining || c.conn.phase != phaseOpen || c.excused != "" || c.halved || c.out.len()+c.sock.buf.len() > 0 || c.writer != nil || c.enrolling != nil {
			return false
		}
		if c.next() != nil || len(c.want) > 0 {
			return false
		}
	}
	return true
}

func (s *sim) describe() string {
	var b strings.Builder
	for _, el := range s.loops {
		if el.commit != nil {
			fmt.Fprintf(&b, "\n  a committer: %v", el.commit)
		}
	}
	for _, c := range s.clients {
		fmt.Fprintf(&b, "\n  client %d: excused %q, ending %v, halved %v; %d elements due, %d texts; %d bytes to deliver, %d to read of %d; writer %v, enrolling %v, %d descriptors, gc closed %v, shut %v; conn phase %d, pending %d, paused %v, stalled %v, parked %v, detached %v",
			c.id, c.excused, c.ending, c.halved, len(c.expected)-c.head, len(c.want), c.out.len(), c.sock.buf.len(), c.sock.room, c.writer != nil, c.enrolling != nil, c.sock.descriptors, c.gc.closed, c.sock.shut,
			c.conn.phase, c.conn.pending.Len(), c.conn.paused, c.conn.stalled(), c.conn.parked, c.conn.detached)
		if e := c.next(); e != nil {
			fmt.Fprintf(&b, "; next %s %q", e.name, e.answer)
		}
	}
	return b.String()
}

func (s *sim) clientOf(c *conn) *simClient {
	for _, client := range s.clients {
		if client.conn == c {
			return client
		}
	}
	return nil
}
