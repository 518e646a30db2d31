package netio

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"keyframe/codec"
	"keyframe/engine"
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
// A life is one server from its start to its stop. Its sizes are drawn, too, and small: so
// the rare states, which simRare lists, are reached all the time.

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
	"a connection that is squeezed", "a squeezed connection goes on", "it is cut off for what it holds", "it is cut off and told so",
	"a handshake that takes too long", "its client has reset it", "a client shuts its side down with answers due",
	"a line over the limit", "a message that is not UTF-8", "a frame against the protocol", "a client's close",
	"a request against the protocol", "a chunk against the protocol", "a last request",
	"a key that is dead", "a key that the sweeper may have dropped", "a comparison that succeeds", "an integer that overflows", "a text that is extended",
	"the store is full", "the system refuses memory", "a compaction", "a compaction reverts", "a compaction is postponed",
	"a command in the middle of a compaction", "CLEAR in the middle of a compaction",
	"a batch that waits to be applied", "answers that were held",
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
	srv     *Server
	loops   []*simLoop
	opts    Options
	serving *simClient // whose turn it is
	overdue *simClient // whose time is over, if it holds too much

	cutUnsent int64 // connections that were cut off for what they hold, with answers unread
	clients   []*simClient
	opened    int
	model     map[string]simValue // what is dead stays until something meets it

	keys       []simKey
	values     []string
	longest    int  // command, in elements over fifty
	huge       int  // values of any size, of a thousand
	pieces     int  // input comes in pieces of less than 1<<pieces bytes
	full       bool // the store has a ceiling
	thinUntil  int  // the step until which much is removed
	refusing   bool // the system refuses memory
	compacting bool // maintenance is under way
	draining   bool // the server has begun to stop
	quiet      bool // nothing bad happens any more

	dec                  *codec.Decoder
	scratch, frame, lent []byte
	spare                *simSpare
}

// simSpare is memory that clients leave to later ones, in this life and the next:
// allocating it anew takes a third of the time.
type simSpare struct {
	bytes    [][]byte
	elements [][]simElement
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
	s := &sim{t: t, rng: r, seed: seed, reached: reached, now: time.Unix(1e9, 0), model: make(map[string]simValue)}
	s.opts = Options{
		Loops:            2,
		MaxFrameBytes:    []int{1000, 4000, 100_000}[r.IntN(3)],
		MaxOutputBytes:   []int{2000, 20_000, 200_000}[r.IntN(3)],
		IdleTimeout:      []time.Duration{0, time.Hour, 2 * time.Hour, 4 * time.Hour}[r.IntN(4)],
		PingInterval:     time.Minute << r.IntN(8),
		HandshakeTimeout: time.Minute << r.IntN(5),
		OutputTimeout:    10 * time.Second << r.IntN(4),
		Logger:           slog.New(&simLog{s: s}),
	}
	universe := 10 << r.IntN(8)
	s.longest, s.huge, s.pieces = 1+r.IntN(300), 2, 15
	s.values = newSimValues(r, []int{1000, 3000, 60_000}[r.IntN(3)])
	store := engine.Options{
		Shards:     1 << r.IntN(4),
		Merge:      Merge,
		Clock:      func() int64 { return s.now.UnixMilli() },
		Simulation: &engine.Simulation{Seed: r.Uint64(), Refuse: s.refuses, Step: s.between},
	}
	short := r.IntN(4) == 0
	if short {
		universe = 500 + r.IntN(1500)
		s.opts.MaxFrameBytes, s.huge, s.pieces = 100_000, 300, 20
		s.values = newSimValues(r, []int{4000, 12_000, 30_000}[r.IntN(3)])
		store.Shards = 1 << r.IntN(2)
		if s.full = r.IntN(2) == 0; s.full {
			store.MaxBytes = (1 + r.IntN(2)) * 2 << 20
		}
	}
	var err error
	if s.engine, err = engine.New(store); err != nil {
		t.Fatal(err)
	}
	s.refusing = short && !s.full
	for i := range universe {
		s.keys = append(s.keys, newSimKey(i))
	}
	if s.srv, err = New(s.engine, s.opts); err != nil {
		t.Fatal(err)
	}
	if s.dec, err = codec.NewDecoder(codec.Options{}); err != nil {
		t.Fatal(err)
	}
	s.opts = s.srv.opts
	if r.IntN(2) == 0 {
		b := &s.srv.budget
		limit := s.opts.MaxFrameBytes<<r.IntN(3) + 8<<10<<r.IntN(8)
		b.resize(limit, min(r.IntN(2)*r.IntN(8<<10), limit/4/8), 5+r.IntN(4), 0, limit>>(1+r.IntN(3)))
	}
	s.srv.store, s.srv.now = &simStore{s.engine, s}, s.clock
	s.srv.spawnWriter = func(w *writer) {
		to := w.to.(simWaiter)
		to.client.writer = w
		s.reach("a writer begins")
	}
	if r.IntN(4) > 0 {
		s.srv.shares = drawShares(r)
	}
	commits := r.IntN(3) == 0
	for range 1 + r.IntN(2) {
		el := &simLoop{s: s}
		el.loop = s.srv.newLoop(el)
		s.loops = append(s.loops, el)
		s.srv.inOrder = append(s.srv.inOrder, el.loop)
		if commits {
			newSimCommitter(s, el)
		}
	}
	return s
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
	if err := s.engine.Close(); err != nil {
		s.fatalf("%v", err)
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
			el.commit.step()
		}
	case n < 780:
		s.read(s.pick(), 1+s.rng.IntN(1<<s.rng.IntN(18)))
	case n < 860:
		s.write(s.pick())
	case n < 920:
		s.rerun(s.pickLoop())
	case n < 960:
		s.task(s.pickLoop())
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
	s.spare.inherit(c)
	s.clients = append(s.clients, c)
	s.srv.counters.conns.Add(1)
	el.loop.open(c.conn, c.gc, c.sock)
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

// turn has f serve a client's connection, and checks the state in which it leaves it.
func (s *sim) turn(c *simClient, f func()) {
	s.serving = c
	before, conn := c.conn.phase, c.conn
	paused, parked, squeezed, unread := conn.paused, conn.parked, conn.squeezed, conn.out.unread.Load()
	held := conn.commit.exists() // a ping, perhaps
	f()
	s.serving = nil
	if conn.resume.More {
		s.reach("a command that goes on in another turn")
	} else if conn.check != nil {
		s.reach("a command that is checked on in another turn")
	}
	if paused && !held && conn.phase == phaseOpen && conn.out.unread.Load() > unread {
		s.fatalf("client %d: it is answered though it is paused", c.id)
	}
	if conn.paused && !paused {
		s.reach("a connection that is paused")
	}
	if conn.parked && !parked {
		s.reach("a connection that is parked")
	}
	if conn.squeezed && !squeezed {
		s.reach("a connection that is squeezed")
	}
	s.checkBudget()
	s.ended(c, before)
}

// checkBudget checks that what the connections hold is what has been counted, and what is
// charged for it, and that no more is held than there is. A writer may still have in hand
// what was a connection's that has ended.
func (s *sim) checkBudget() {
	b := &s.srv.budget
	charges, total := 0, 0
	for _, el := range s.loops {
		var held usage
		for _, client := range s.clients {
			c := client.conn
			if c.loop != el.loop {
				continue
			}
			held.add(c.held)
			charges += c.charge
			if u := c.usage(); u.input != c.held.input || u.output > c.held.output {
				s.fatalf("client %d: it holds %+v, %+v are counted", client.id, u, c.held)
			}
			if want := max(0, c.held.input+c.held.output-int(c.share)); c.charge != want {
				s.fatalf("client %d: %d are charged for %+v, want %d", client.id, c.charge, c.held, want)
			}
		}
		if held != el.loop.held {
			s.fatalf("%+v are held, %+v are counted", held, el.loop.held)
		}
		total += held.input + held.output
	}
	if int64(total) > b.limit || int64(charges)+b.reserved > b.limit {
		s.fatalf("%d are held and %d charged, of %d, of which %d are reserved", total, charges, b.limit, b.reserved)
	}
	if used := b.used.Load(); int64(charges) != used {
		s.fatalf("%d are charged in sum, %d are counted", charges, used)
	}
}

// ended records that the server has begun to end a connection.
func (s *sim) ended(c *simClient, before phase) {
	switch {
	case s.draining && before == phaseOpen && c.conn.phase == phaseClosed && c.excused == notDuplicated && c.speaksWebSocket():
		c.farewell = []byte(closeFrame(1001, "the server is stopping")) // there may have been room for a part of it
	case before != phaseOpen || c.conn.phase == phaseOpen || c.excused != "":
	case s.draining && c.conn.phase == phaseLinger:
		s.mustBeServed(c)
		c.excused = "the server stops"
		if c.speaksWebSocket() {
			c.farewell = []byte(closeFrame(1001, "the server is stopping"))
		}
	case !c.halved && !(c.ending && c.conn.phase == phaseLinger):
		s.fatalf("client %d: the server closes the connection, for no reason", c.id)
	}
}

// mustBeServed checks that every command that has reached the server whole has been
// executed.
func (s *sim) mustBeServed(c *simClient) {
	for i := range c.expected[c.head:] {
		if e := &c.expected[c.head+i]; e.needsStore() {
			if e.end <= min(c.delivered, c.limit) {
				s.fatalf("client %d: %s, sent whole, is not executed", c.id, e.name)
			}
			return
		}
	}
}

// deliver has the next n bytes of a client arrive.
func (s *sim) deliver(c *simClient, n int) {
	if n = min(n, c.out.len()); n == 0 || c.gc.closed || c.sock.dead {
		return
	}
	s.trace("client %d: %d bytes of %d arrive", c.id, n, c.out.len()+n)
	s.lent = append(s.lent[:0], c.out.take(n)...)
	c.delivered += n
	c.moved = s.now
	if c.conn.paused {
		s.reach("input for a paused connection")
	}
	if s.draining {
		s.reach("input for a server that stops")
	}
	if c.conn.resume.More {
		s.reach("a command that goes on after its bytes were cut")
	}
	if s.compacting {
		s.reach("a command in the middle of a compaction")
	}
	s.turn(c, func() { c.conn.loop.serve(c.conn, s.lent) })
	for i := range s.lent {
		s.lent[i] = 0xCC
	}
}

// read has a client take n bytes of what its socket holds.
func (s *sim) read(c *simClient, n int) {
	k := c.sock
	if n = min(n, k.buf.len()); n > 0 && !k.dead {
		s.trace("client %d reads %d of %d bytes", c.id, n, k.buf.len())
		c.receive(k.buf.take(n))
	}
}

// write is a step of a writer.
func (s *sim) write(c *simClient) {
	if w := c.writer; w != nil && (c.sock.buf.len() < c.sock.room || c.sock.dead || s.rng.IntN(4) == 0 && !s.quiet) {
		s.trace("client %d: its writer, %d bytes of room", c.id, c.sock.room-c.sock.buf.len())
		w.step()
		if c.writer == nil {
			s.reach("a writer ends")
		}
	}
}

// rerun is what a rerunner and the event loop do, one connection at a time, so that the
// model knows whose batch the store is given.
func (s *sim) rerun(el *simLoop) {
	l := el.loop
	select {
	case <-l.rerun:
	default:
		return
	}
	waiting := slices.Clone(l.ready)
	var rest []*conn
	for _, c := range waiting {
		l.ready = []*conn{c}
		if client := s.clientOf(c); client != nil {
			s.trace("client %d: another turn", client.id)
			s.turn(client, l.runReady)
		} else {
			l.runReady() // it has ended
		}
		select {
		case <-l.rerun:
		default:
		}
		rest = append(rest, l.ready...)
	}
	if l.ready = rest; len(rest) > 0 {
		l.rerun <- struct{}{}
	}
}

// task runs what a loop was given to execute.
func (s *sim) task(el *simLoop) {
	if len(el.tasks) > 0 {
		f := el.tasks[0]
		el.tasks = el.tasks[1:]
		f()
	}
}

func (s *sim) onOutbox(c *simClient, e outboxEvent) {
	s.trace("client %d: its outbox reports %d", c.id, e)
	paused, squeezed := c.conn.paused, c.conn.squeezed
	slow, cut := s.ends()
	s.serving = c
	before := c.conn.phase
	if e == outboxFailed && !c.sock.dead && before != phaseClosed {
		s.fatalf("client %d: its outbox failed", c.id)
	}
	if e == outboxStalled {
		s.overdue = c
	}
	c.conn.loop.onOutbox(c.conn, e)
	s.serving, s.overdue = nil, nil
	slowNow, cutNow := s.ends()
	if slowNow > slow {
		s.slow(c)
	}
	if cutNow > cut {
		c.excuse("it is cut off with answers unread")
	}
	if squeezed && !c.conn.squeezed && c.conn.phase == phaseOpen {
		s.reach("a squeezed connection goes on")
	}
	if paused && !c.conn.paused && c.conn.phase == phaseOpen {
		s.reach("a paused connection goes on")
	}
	s.ended(c, before)
}

// cutOff records that a client's connection is about to end for what it holds, and whether
// it is told so.
func (s *sim) cutOff(id int, told bool) {
	c := s.clients[slices.IndexFunc(s.clients, func(c *simClient) bool { return c.id == id })]
	s.trace("client %d is cut off, %d are left", id, s.srv.budget.left())
	if c.conn.charge == 0 && c != s.serving { // else it is about to hold more
		s.fatalf("client %d is cut off, and holds no more than its share", id)
	}
	for _, other := range c.conn.loop.conns {
		if c != s.overdue && c != s.serving && s.serving != nil && other != s.serving.conn && other.charge > c.conn.charge && !other.commit.exists() {
			s.fatalf("client %d is cut off, though client %d holds more", id, s.clientOf(other).id)
		}
	}
	c.excuse("it is cut off for what it holds")
	if !told {
		if c.conn.out.unread.Load() > 0 {
			s.cutUnsent++
		}
		return
	}
	c.excuse("it is cut off and told so")
	if c.speaksWebSocket() {
		c.farewell = []byte(closeFrame(1008, errBuffersFull.Reason))
	} else {
		c.farewell = fmt.Appendf(nil, `{"SERVER_ERROR":{"s":5,"m":"%s"}}`+"\n", errBuffersFull.Reason)
	}
}

// slow records that a client was closed because it doesn't read.
func (s *sim) slow(c *simClient) {
	c.excuse("a slow consumer")
	if c.speaksWebSocket() {
		c.farewell = []byte(closeFrame(1008, "slow consumer: responses are not being read"))
	}
}

// rejoin ends what enroll began.
func (s *sim) rejoin(c *simClient) {
	failed := c.enrolling
	if failed == nil {
		return
	}
	c.enrolling = nil
	if s.rng.IntN(10) == 0 && !s.quiet {
		s.trace("client %d: it can't come back", c.id)
		c.sock.close()
		c.excuse("it is lost on the way back to its loop")
		failed(syscall.EMFILE)
		return
	}
	s.trace("client %d: watched again", c.id)
	gc := &simConn{client: c, context: c.conn}
	s.turn(c, func() {
		c.gc = gc
		if c.conn.loop.reopen(c.conn, gc, c.sock) != 0 {
			gc.close(nil)
			return
		}
		s.reach("a parked connection is watched again")
		if c.sock.dead {
			gc.close(syscall.ECONNRESET)
		}
	})
}

// sweep lets time pass, and has every loop look at its connections.
func (s *sim) sweep() {
	if !s.quiet && s.rng.IntN(2) == 0 {
		// A loop that has something to do doesn't leave it for long.
		for _, el := range s.loops {
			for len(el.tasks) > 0 || len(el.loop.rerun) > 0 {
				s.rerun(el)
				s.task(el)
			}
		}
		s.now = s.now.Add(time.Duration(s.rng.Int64N(int64(time.Second) << s.rng.IntN(14))))
	}
	for _, el := range s.loops {
		before := make(map[*simClient]phase)
		for _, c := range s.clients {
			before[c] = c.conn.phase
			if c.conn.loop != el.loop {
				delete(before, c)
			}
		}
		pinged := make(map[*simClient]bool)
		for c := range before {
			pinged[c] = c.conn.pinged
		}
		el.loop.pings = el.loop.mayPing()
		for i := len(el.loop.conns) - 1; i >= 0; i-- {
			if i >= len(el.loop.conns) { // others have been cut off
				continue
			}
			c := s.clientOf(el.loop.conns[i])
			squeezed := c.conn.squeezed
			s.serving = c
			slow, cut := s.ends()
			idle, shake := el.loop.count.Errors[ErrorIdleTimeout], el.loop.count.Errors[ErrorHandshakeTimeout]
			el.loop.sweepConn(c.conn, s.now)
			s.serving = nil
			slowNow, cutNow := s.ends()
			if squeezed && !c.conn.squeezed && c.conn.phase == phaseOpen {
				s.reach("a squeezed connection goes on")
			}
			switch {
			case strings.HasPrefix(c.excused, "it is cut off"):
			case slowNow > slow:
				s.slow(c)
			case el.loop.count.Errors[ErrorIdleTimeout] > idle:
				unanswered := pinged[c] && s.now.Sub(c.moved) > s.opts.PingInterval
				// The server knows when it has last seen a client, which may be some time after it moved.
				idle := s.opts.IdleTimeout > 0 && min(s.now.Sub(c.moved), s.now.Sub(c.conn.lastSeen)) >= s.opts.IdleTimeout
				if !idle && (!unanswered || c.halved) { // who has shut its side down can't answer
					s.fatalf("client %d: closed as idle after %v, pinged %v, halved %v", c.id, s.now.Sub(c.moved), pinged[c], c.halved)
				}
				if !c.conn.detached && c.conn.phase != phaseClosed && !c.conn.paused && !c.conn.parked {
					s.mustBeServed(c)
				}
				switch reason := "idle for " + s.opts.IdleTimeout.String(); {
				case !idle:
					c.excuse("it doesn't answer a ping")
					c.farewell = []byte(closeFrame(1001, "no answer to a ping"))
				case c.speaksWebSocket():
					c.excuse("it was idle")
					c.farewell = []byte(closeFrame(1001, reason))
				default:
					c.excuse("it was idle")
					c.farewell = fmt.Appendf(nil, `{"SERVER_ERROR":{"s":6,"m":"%s"}}`+"\n", reason)
				}
			case el.loop.count.Errors[ErrorHandshakeTimeout] > shake:
				c.excuse("a handshake that takes too long")
			case cutNow > cut:
				c.excuse("it is cut off with answers unread")
			}
			if c.conn.pinged && !pinged[c] {
				c.pings++
				s.reach("a silent client is pinged")
			}
			s.ended(c, before[c])
		}
		if c := el.loop.longSqueezed(); c != nil {
			s.serving = s.clientOf(c)
			s.overdue = s.serving
			el.loop.relieveOrCutOff(c)
			s.serving, s.overdue = nil, nil
		}
		el.loop.limitTurns()
		for _, c := range s.clients { // one that was squeezed may have had its turn, a last one if the server stops
			if phase, swept := before[c]; swept {
				s.ended(c, phase)
			}
		}
		s.checkBudget()
	}
}

// ends are how many connections have been ended as slow, and with answers unread, without
// those that were cut off for what they hold.
func (s *sim) ends() (slow uint64, unsent int64) {
	slow, unsent = s.srv.counters.slowConsumers.Load(), s.srv.counters.closedUnsent.Load()-s.cutUnsent
	for _, el := range s.loops {
		slow -= el.loop.count.CutOff
	}
	return slow, unsent
}

// halfClose has a client shut its sending side down, after all that it has sent.
func (s *sim) halfClose(c *simClient) {
	if c.gc.closed || c.halved || c.sock.dead || c.sock.shut {
		return
	}
	s.deliver(c, c.out.len())
	if c.gc.closed || c.conn.parked { // gnet has lost sight of it
		return
	}
	s.trace("client %d shuts its side down", c.id)
	c.halved = true
	if c.next() != nil && c.excused == "" && !c.ending {
		s.reach("a client shuts its side down with answers due")
	}
	s.turn(c, func() { c.gc.close(io.EOF) })
}

// reset has a client die.
func (s *sim) reset(c *simClient) {
	s.trace("client %d resets", c.id)
	c.sock.dead = true
	c.excuse("its client has reset it")
	s.turn(c, func() { c.gc.close(syscall.ECONNRESET) })
}

// leave closes the client's side once the server has closed, and removes the client once
// nothing is left of the connection.
func (s *sim) leave(c *simClient) {
	gone := c.sock.shut || c.sock.descriptors == 0 || c.conn.phase == phaseClosed
	if gone && c.sock.buf.len() == 0 && c.writer == nil && !c.gc.closed && !c.sock.dead {
		s.trace("client %d closes", c.id)
		c.halved = true
		s.turn(c, func() { c.gc.close(io.EOF) })
	}
	if c.conn.phase != phaseClosed || c.writer != nil || c.enrolling != nil || c.sock.buf.len() > 0 && !c.sock.dead {
		return
	}
	for _, el := range s.loops {
		for range el.tasks { // some may be about this connection
			s.task(el)
		}
	}
	if c.excused == "" {
		if e := c.next(); e != nil && e.end <= c.limit || len(c.want) > 0 || len(c.got) > 0 || !c.http.isWhole() && !c.ending && c.sent <= c.limit {
			s.fatalf("client %d: its connection has ended with %d elements unanswered, %d texts not received, and %q over: %s", c.id, len(c.expected)-c.head, len(c.want), c.got, s.describe())
		}
	}
	if c.ending && c.excused == "" && !c.halved && !c.sock.shut {
		s.fatalf("client %d: nothing showed it the end", c.id)
	}
	if c.sock.descriptors != 0 {
		s.fatalf("client %d: %d descriptors are left", c.id, c.sock.descriptors)
	}
	s.spare.leave(c)
	s.clients = slices.DeleteFunc(s.clients, func(other *simClient) bool { return other == c })
}

// maintain is a round of the engine's maintenance, in the middle of which more happens.
func (s *sim) maintain() {
	if s.compacting {
		return
	}
	before := s.engine.Stats()
	s.compacting = true
	s.engine.Maintain(s.rng.IntN(2) == 0)
	s.compacting = false
	after := s.engine.Stats()
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
		if len(el.tasks) > 0 || len(el.loop.rerun) > 0 || !el.commit.idle() {
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
			fmt.Fprintf(&b, "\n  a committer: %d batches and %d connections wait, %d applied, released up to %d", len(el.commit.submitted), len(el.loop.holding), el.commit.applied, el.loop.released)
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
