package netio

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"keyframe/codec"
	"keyframe/netio/buffer"
	"keyframe/netio/frame"
)

// budgetTest is a loop with many connections, of clients that read and send when the test
// says so.
type budgetTest struct {
	*harness
	conns   []*conn
	clients []*os.File
	most    int64 // that was ever used of the budget
}

// newBudgetTest makes n connections besides the harness's own.
func newBudgetTest(t *testing.T, opts Options, n int) *budgetTest {
	t.Helper()
	b := &budgetTest{harness: newHarness(t, opts)}
	b.startDiscarding()
	b.loop.el = &budgetLoop{}
	for range n {
		c, client := b.newConn()
		b.conns, b.clients = append(b.conns, c), append(b.clients, client)
	}
	t.Cleanup(func() {
		b.loop.el = nil
		for i, c := range b.conns {
			b.loop.drop(c)
			_ = b.clients[i].Close()
		}
		b.drain()
		b.finish()
		b.drain() // the writers have ended, and what they had in hand is free
		if b.loop.held != (usage{}) || b.srv.budget.used.Load() != 0 {
			t.Errorf("without connections %+v are held, and %d are charged", b.loop.held, b.srv.budget.used.Load())
		}
	})
	return b
}

// budgetLoop is an event loop whose connections are parked and come back when the test
// serves them.
type budgetLoop struct{ simLoop }

func (*budgetLoop) enroll(c *conn, _ func(error)) { c.parked, c.unparking = false, false }

// drain runs what is to be run on the loop.
func (b *budgetTest) drain() {
	b.runEvents(false)
}

// serve gives a connection input, and counts.
func (b *budgetTest) serve(c *conn, in []byte) {
	b.loop.serve(c, bytes.Clone(in))
	b.check()
}

// check compares what is counted with what the connections hold, and with what there is. The
// writers may have sent some of that since.
func (b *budgetTest) check() {
	b.t.Helper()
	var sum usage
	charges := 0
	for _, c := range append(b.conns[:len(b.conns):len(b.conns)], b.conn) {
		sum.add(c.held)
		charges += c.charge
		if u := c.usage(); u.input != c.held.input || u.mapped != c.held.mapped || u.output > c.held.output {
			b.t.Fatalf("it holds %+v, %+v are counted", u, c.held)
		}
		if want := max(0, c.held.input+c.held.output-int(c.share)); c.charge != want {
			b.t.Fatalf("%d are charged for %+v, want %d", c.charge, c.held, want)
		}
	}
	if used := b.srv.budget.used.Load(); sum != b.loop.held || int64(charges) != used {
		b.t.Fatalf("%+v and %d are held in sum, %+v and %d counted", sum, charges, b.loop.held, used)
	}
	if held, limit := int64(sum.input+sum.output), b.srv.budget.limit; held > limit || int64(charges)+b.srv.budget.reserved > limit {
		b.t.Fatalf("%d bytes are held and %d charged, of %d", held, charges, limit)
	}
	b.most = max(b.most, b.srv.budget.used.Load())
}

// TestBudgetOfHalfLines: a hundred clients that send 15 MiB of a line, and no end of it,
// are given no more than there is, and those that get in the others' way are told so.
func TestBudgetOfHalfLines(t *testing.T) {
	opts := Options{MaxFrameBytes: 16 << 20, MaxBufferBytes: 128 << 20}
	b := newBudgetTest(t, opts, 100)
	now := time.Unix(1e9, 0)
	b.srv.now = func() time.Time { return now }
	piece := bytes.Repeat([]byte("["), 64<<10)
	sent := make([]int, len(b.conns))
	for round := 0; round < 15<<20/len(piece); round++ {
		for i, c := range b.conns {
			if c.phase == phaseOpen && !c.squeezed {
				b.serve(c, piece)
				sent[i] += len(piece)
			}
		}
	}
	if b.loop.count.Squeezed < 100 {
		t.Errorf("%d connections were made to wait", b.loop.count.Squeezed)
	}
	if most := int64(128 << 20); b.most > most {
		t.Errorf("%d bytes were held, want %d", b.most, most)
	}
	if b.srv.budget.isShort() || b.loop.count.CutOff > 0 {
		t.Errorf("%d bytes are left, %d connections are cut off already", b.srv.budget.left(), b.loop.count.CutOff)
	}
	for _, c := range b.conns {
		if held := c.usage().input; held > len(piece)+5*c.pending.Len()/4 {
			t.Fatalf("%d bytes are held for %d", held, c.pending.Len())
		}
	}
	// Nothing gets on. One after the other is cut off, the largest first, and the others may
	// have what it leaves.
	charges := func() (most int) {
		for _, c := range b.conns {
			most = max(most, c.charge)
		}
		return most
	}
	now = now.Add(squeezePatience - time.Millisecond)
	b.loop.sweep()
	if n := b.loop.count.CutOff; n != 0 {
		t.Fatalf("%d are cut off before their time", n)
	}
	now = now.Add(time.Millisecond)
	largest := charges()
	b.loop.sweep()
	b.check()
	if n, slow := b.loop.count.CutOff, b.srv.counters.slowConsumers.Load(); n != 1 || slow != 1 || charges() > largest {
		t.Fatalf("%d are cut off, %d are slow consumers", n, slow)
	}
	for i, c := range b.conns {
		if c.phase == phaseOpen {
			continue
		}
		b.drain()
		want := `{"SERVER_ERROR":{"s":5,"m":"slow consumer: the server holds too much for its clients"}}` + "\n"
		got := make([]byte, 200)
		n, err := b.clients[i].Read(got)
		if string(got[:n]) != want || err != nil || c.usage() != (usage{}) {
			t.Errorf("it is told %q, %v, and holds %+v", got[:n], err, c.usage())
		}
	}
	// A client that asks for little is served meanwhile.
	b.serve(b.conn, []byte("{\"COUNT\":{}}\n"))
	if b.loop.count.Queries != 1 {
		t.Error("a command is not answered")
	}
}

// TestBudgetOfOneFrame: with the least budget there may be, a client alone can send the
// longest command there may be, over either framing.
func TestBudgetOfOneFrame(t *testing.T) {
	for _, maxFrame := range []int{64, 1000, 100_000, 1 << 20} {
		opts := Options{MaxFrameBytes: maxFrame}
		opts.MaxBufferBytes = LeastBufferBytes(maxFrame)
		b := newBudgetTest(t, opts, 2)
		tail := `"}}`
		line := `{"SETQ":{"long_key":"`
		line += strings.Repeat("v", maxFrame-len(line)-len(tail)) + tail
		frames := [][]byte{[]byte(line + "\n"), append([]byte(upgradeRequest), textFrame(line)...)}
		half := len(line) / 2
		frames = append(frames, bytes.Join([][]byte{[]byte(upgradeRequest), clientFrame(false, frame.Text, []byte(line[:half]), testKey), clientFrame(true, frame.Continuation, []byte(line[half:]), testKey)}, nil))
		for i, input := range frames {
			c := b.conn
			if i > 0 {
				c = b.conns[i-1]
			}
			for len(input) > 0 {
				n := min(len(input), 64<<10)
				b.serve(c, input[:n])
				b.runReady()
				input = input[n:]
			}
		}
		b.runReady()
		if n := b.loop.count.Commands; n[1] == 0 && b.loop.count.Queries != 3 || b.loop.count.Squeezed != 0 {
			t.Errorf("frames of %d: %d commands, %d times made to wait", maxFrame, b.loop.count.Queries, b.loop.count.Squeezed)
		}
	}
}

// TestBudgetOfNonReaders: clients that ask for much and read nothing.
func TestBudgetOfNonReaders(t *testing.T) {
	for _, valueBytes := range []int{60_000, 1 << 20, 12 << 20} {
		const n = 60
		b := newBudgetTest(t, Options{MaxBufferBytes: 80 << 20}, n)
		b.feed([]byte(`{"SETQ":{"value_key":"` + strings.Repeat("v", valueBytes) + "\"}}\n"))
		ask := bytes.Repeat([]byte("{\"GET\":[\"value_key\"]}\n"), 1+(2<<20)/valueBytes)
		for range few(30) {
			for _, c := range b.conns {
				if c.phase == phaseOpen && !c.parked {
					b.serve(c, ask)
				}
			}
			b.runReady()
			b.check()
		}
		limit := b.srv.budget.limit
		if b.most > limit {
			t.Errorf("values of %d bytes: %d bytes were held, want %d", valueBytes, b.most, limit)
		}
		if b.loop.count.Squeezed == 0 {
			t.Errorf("values of %d bytes: nobody had to wait", valueBytes)
		}
		// They take nothing for a second, and their writers say so.
		for open := n; open > 0 && b.loop.count.CutOff == 0; {
			b.runEvents(true)
			b.check()
			for open = 0; open < n && b.conns[open].phase == phaseClosed; {
				open++
			}
		}
		if cut, slow := b.loop.count.CutOff, b.srv.counters.slowConsumers.Load(); cut == 0 || slow != cut {
			t.Errorf("values of %d bytes: %d are cut off, %d are slow", valueBytes, cut, slow)
		}
		// One that reads what it asks for is served, if it takes its time.
		b.serve(b.conn, []byte("{\"COUNT\":{}}\n"))
		if b.conn.phase != phaseOpen {
			t.Error("one that reads is cut off")
		}
	}
}

// TestBudgetOfReaders: under pressure one that reads all it asks for gets it all.
func TestBudgetOfReaders(t *testing.T) {
	b := newBudgetTest(t, Options{MaxBufferBytes: 80 << 20}, 2)
	b.srv.budget.limit, b.srv.budget.setAside = b.srv.budget.reserved+4<<20, 1<<20
	const value = 200_000
	b.feed([]byte(`{"SETQ":{"value_key":"` + strings.Repeat("v", value) + "\"}}\n"))
	b.loop.count.Squeezed = 0
	const asked = 200
	answer := len(`{"GET_RSP":{"st":0,"value_key":""}}`) + value + 1
	for range asked {
		for _, c := range b.conns {
			b.serve(c, []byte("{\"GET\":[\"value_key\"]}\n"))
		}
	}
	done := make(chan int64, len(b.conns))
	for _, client := range b.clients {
		go func() {
			n, _ := io.CopyN(io.Discard, client, int64(asked*answer))
			done <- n
		}()
	}
	for left := len(b.conns); left > 0; {
		b.runEvents(false)
		b.runReady()
		b.loop.sweep()
		b.check()
		select {
		case n := <-done:
			if n != int64(asked*answer) {
				t.Errorf("it gets %d bytes of %d", n, asked*answer)
			}
			left--
		case <-time.After(time.Millisecond):
		}
	}
	if b.loop.count.Squeezed == 0 || b.loop.count.CutOff != 0 {
		t.Errorf("made to wait %d times, cut off %d", b.loop.count.Squeezed, b.loop.count.CutOff)
	}
}

// TestSqueezedIsNotIdle: a connection that sent something, was made to wait and is relieved
// by the sweep has been silent since then at most, not since it was last seen before.
func TestSqueezedIsNotIdle(t *testing.T) {
	b := newBudgetTest(t, Options{MaxBufferBytes: 80 << 20, IdleTimeout: time.Hour}, 1)
	now := b.conns[0].lastSeen
	b.srv.now = func() time.Time { return now }
	c := b.conns[0]
	b.serve(c, []byte("{\"COUNT\":{}}\n"))
	b.loop.sweep()
	now = now.Add(50 * time.Minute)
	others := b.srv.budget.left()
	b.srv.budget.used.Add(others)
	b.loop.serve(c, bytes.Repeat([]byte("["), 20<<10))
	if !c.squeezed {
		t.Fatal("it does not have to wait")
	}
	b.srv.budget.used.Add(-others)
	b.loop.sweep()
	if c.squeezed {
		t.Fatal("it still has to wait")
	}
	now = now.Add(59 * time.Minute)
	if b.loop.sweep(); c.phase != phaseOpen {
		t.Error("it is closed 59 minutes after it has sent something")
	}
	now = now.Add(time.Minute)
	if b.loop.sweep(); c.phase == phaseOpen {
		t.Error("it is never idle")
	}
}

// TestBudgetSpent: when there is no room for what a connection is about to hold, larger ones
// go, at once, or that connection does if it is the largest. What goes is told so.
func TestBudgetSpent(t *testing.T) {
	b := newBudgetTest(t, Options{MaxBufferBytes: 80 << 20}, 4)
	budget := &b.srv.budget
	budget.limit = budget.reserved + 4<<20
	out, sealed := []byte("of the turn"), []byte("of its TLS")
	add := func(i, n int) bool {
		b.conns[i].framing = &lineFraming{maxBytes: 1 << 30}
		b.loop.pipe.out, b.loop.sealed = out, sealed
		ok := b.loop.addPending(b.conns[i], make([]byte, n))
		if string(b.loop.pipe.out) != "of the turn" || string(b.loop.sealed) != "of its TLS" {
			t.Fatalf("of the turn's answers %q and %q are left", b.loop.pipe.out, b.loop.sealed)
		}
		if b.loop.pipe.out, b.loop.sealed = nil, nil; !ok {
			b.loop.cutOff(b.conns[i])
		}
		b.loop.account(b.conns[i])
		b.check()
		return ok
	}
	open := func(want ...bool) {
		t.Helper()
		for i := range want {
			if got := b.conns[i].phase == phaseOpen; got != want[i] {
				t.Errorf("connection %d is open: %v", i, got)
			}
		}
	}
	if !add(0, 1<<20) || !add(1, 3<<19) || !add(2, 5<<18) || b.loop.count.CutOff != 0 {
		t.Fatal("there is room")
	}
	if !add(3, 1<<20) {
		t.Error("it has to go, though others hold more")
	}
	open(true, false, true, true)
	if add(0, 3<<20) {
		t.Error("it holds more than any other, and gets more than there is")
	}
	open(false, false, true, true)
	if b.loop.count.CutOff != 2 {
		t.Errorf("%d are cut off", b.loop.count.CutOff)
	}
	for _, i := range []int{0, 1} {
		if b.conns[i].phase == phaseOpen {
			continue
		}
		got := make([]byte, 200)
		n, err := b.clients[i].Read(got)
		if want := codec.AppendServerError(nil, 5, errBuffersFull.Reason); string(got[:n]) != string(want)+"\n" {
			t.Errorf("it is told %q, %v", got[:n], err)
		}
	}
}

// TestBudgetOfLargestLoop: when three quarters of what is set aside are used, the loop with
// the largest holder cuts it off, whichever loop has noticed, and no more than it must.
func TestBudgetOfLargestLoop(t *testing.T) {
	b := newBudgetTest(t, Options{MaxBufferBytes: 80 << 20, MaxFrameBytes: 1 << 20}, 2)
	budget := &b.srv.budget
	budget.limit = budget.reserved + 8<<20
	here := &budgetLoop{}
	b.loop.el = here
	el := &budgetLoop{}
	far := b.srv.newLoop(el)
	b.srv.inOrder = append(b.srv.inOrder, far)
	c := &conn{framing: &lineFraming{maxBytes: 1 << 30}}
	far.open(c, nil, &simSocket{client: &simClient{s: &sim{t: t}}, room: 1000, descriptors: 1})
	hold := func(l *loop, c *conn, n int) {
		if !l.addPending(c, make([]byte, n)) {
			t.Fatal("there is no room")
		}
	}
	hold(far, c, 5<<20)
	hold(b.loop, b.conns[0], 1<<20)
	hold(b.loop, b.conns[1], 1<<20+1<<19)
	if len(here.tasks)+len(el.tasks) > 0 {
		t.Fatal("half of what is set aside is left")
	}
	hold(b.loop, b.conns[1], 1<<18+1<<16)
	if len(here.tasks) != 0 || len(el.tasks) != 1 {
		t.Fatalf("%d tasks here and %d there", len(here.tasks), len(el.tasks))
	}
	hold(b.loop, b.conns[1], 1<<16)
	if len(here.tasks) != 0 || len(el.tasks) != 1 {
		t.Error("it is asked twice")
	}
	el.tasks[0]()
	if c.phase == phaseOpen || far.count.CutOff != 1 || budget.isShort() {
		t.Errorf("phase %d, %d are left", c.phase, budget.left())
	}
	// Somebody has gone by himself meanwhile.
	hold(b.loop, b.conns[1], 5<<20)
	if len(here.tasks) != 1 {
		t.Fatalf("%d tasks here and %d there", len(here.tasks), len(el.tasks))
	}
	b.loop.drop(b.conns[0])
	here.tasks[0]()
	if b.loop.count.CutOff != 0 || b.conns[1].phase != phaseOpen {
		t.Error("it is cut off though there is enough")
	}
	far.drop(c)
}

// TestShareIsFree: what is within a connection's share is counted and not charged, and a
// turn that keeps nothing counts nothing.
func TestShareIsFree(t *testing.T) {
	b := newBudgetTest(t, Options{MaxBufferBytes: 80 << 20, MaxConns: 100}, 1)
	c := b.conns[0]
	b.serve(c, []byte(`{"COUNT":{}}`))
	if b.loop.held != (usage{input: buffer.First}) || c.charge != 0 {
		t.Errorf("%+v are held, %d charged", b.loop.held, c.charge)
	}
	b.serve(c, []byte("\n"))
	if b.loop.held != (usage{}) {
		t.Errorf("%+v are held", b.loop.held)
	}
	all := b.srv.budget.limit - b.srv.budget.reserved
	b.srv.budget.used.Add(all) // it would be cut off
	b.loop.serve(c, []byte("{\"COUNT\":{}}\n"))
	b.loop.serve(c, []byte("{\"COUNT\":{}}"))
	b.loop.serve(c, []byte("\n"))
	if b.srv.budget.used.Add(-all) != 0 || c.phase != phaseOpen {
		t.Error("it is charged")
	}
	b.loop.serve(c, bytes.Repeat([]byte("["), bufferShare))
	b.srv.budget.used.Add(all)
	if b.loop.serve(c, []byte("[")); c.phase == phaseOpen {
		t.Error("it may hold more than its share, of nothing")
	}
	b.srv.budget.used.Add(-all)
}

// TestTurnsShrink: the less is left, the less output a turn makes; when there is more again
// the sweep notices.
func TestTurnsShrink(t *testing.T) {
	b := newBudgetTest(t, Options{MaxBufferBytes: 80 << 20}, 1)
	before := b.loop.pipe.shares.turnOutputBytes
	c := b.conns[0]
	if !b.loop.addPending(c, make([]byte, 50<<20)) {
		t.Fatal("there is no room")
	}
	if n := b.loop.pipe.shares.turnOutputBytes; n >= before || n < leastTurnOutput {
		t.Errorf("a turn makes %d bytes", n)
	}
	b.srv.budget.used.Add(-50 << 20) // as another loop's
	b.loop.sweep()
	if n := b.loop.pipe.shares.turnOutputBytes; n != before {
		t.Errorf("a turn makes %d bytes, when there is enough", n)
	}
	b.srv.budget.used.Add(50 << 20)
}

// TestNonReadersKeepToTheirLimit: what 16 clients that read nothing have the server hold is
// their limit, and with it a turn's answers and a chunk. An output that grew by append held
// 157 MB at a limit of 64 MiB.
func TestNonReadersKeepToTheirLimit(t *testing.T) {
	const limit, value = 8 << 20, 60_000
	b := newBudgetTest(t, Options{MaxOutputBytes: limit, MaxBufferBytes: 1 << 30}, 16)
	b.feed([]byte(`{"SETQ":{"value_key":"` + strings.Repeat("v", value) + "\"}}\n"))
	ask := bytes.Repeat([]byte("{\"GET\":[\"value_key\"]}\n"), 1000)
	for _, c := range b.conns {
		b.serve(c, ask)
	}
	for open := len(b.conns); open > 0; {
		b.runReady()
		open = 0
		for _, c := range b.conns {
			b.loop.account(c)
			if !c.paused {
				open++
			}
			held := c.usage()
			if most := limit + b.srv.shares.turnOutputBytes + 2*value + buffer.MaxChunk; held.output > most {
				t.Fatalf("%d bytes are held, want %d", held.output, most)
			}
		}
	}
	if b.loop.count.CutOff+b.loop.count.Squeezed > 0 {
		t.Error("it was the budget that bound them")
	}
	b.check()
}

// TestLeft: of the limit are taken what is set aside, a share for each connection that there
// may be, what TLS needs, and what is charged.
func TestLeft(t *testing.T) {
	b := newBudgetTest(t, Options{MaxBufferBytes: 128 << 20, MaxFrameBytes: 1 << 20, MaxConns: 1000}, 9)
	budget := &b.srv.budget
	if budget.share != bufferShare || budget.setAside != 1<<20 {
		t.Fatalf("shares of %d, %d set aside", budget.share, budget.setAside)
	}
	if want := int64(127<<20 - 1000*bufferShare); budget.left() != want {
		t.Errorf("%d are left, want %d", budget.left(), want)
	}
	left := int(budget.left())
	if !budget.take(left - 100) {
		t.Error("there is as much")
	}
	if !budget.isOver(101) || budget.isOver(100) || budget.isOver(0) || budget.isShort() {
		t.Errorf("100 are left, and over is 101 %v, 100 %v, 0 %v; short %v", budget.isOver(101), budget.isOver(100), budget.isOver(0), budget.isShort())
	}
	if !budget.take(100+3<<18) || budget.isShort() || !budget.isOver(1) || budget.isOver(0) {
		t.Error("three quarters of what is set aside are used, and that is not said")
	}
	if !budget.take(1) || !budget.isShort() {
		t.Error("more than three quarters of it are used")
	}
	if budget.take(1<<18) || !budget.take(1<<18-1) || budget.take(1) {
		t.Error("there are as many bytes as there are")
	}
	budget.giveBack(left + 1<<20)
	// Many connections: their shares are a quarter of the limit, with what TLS needs.
	few := newBudgetTest(t, Options{MaxBufferBytes: 80 << 20, MaxConns: 100_000}, 0)
	if want := 20 << 20 / 100_000; few.srv.budget.share != want {
		t.Errorf("shares of %d, want %d", few.srv.budget.share, want)
	}
	for _, loops := range []int{1, 4, 256} {
		opts := Options{MaxBufferBytes: 80 << 20, MaxConns: 100_000, TLSCert: "cert", Loops: loops}.withDefaults()
		secured := &newBudgetTest(t, Options{MaxBufferBytes: 80 << 20}, 0).srv.budget
		if secured.init(&opts); secured.share < 0 || secured.reserved > 20<<20 || secured.reserved < 19<<20 {
			t.Errorf("%d loops with TLS: shares of %d, %d are reserved", loops, secured.share, secured.reserved)
		}
	}
}

// TestSharesEnd: there are MaxConns shares. A connection that comes when MaxConns has been
// raised has one when another has left one.
func TestSharesEnd(t *testing.T) {
	b := newBudgetTest(t, Options{MaxBufferBytes: 80 << 20, MaxConns: 4}, 5)
	for i, c := range b.conns { // the harness has one
		if want := i < 3; (c.share == bufferShare) != want {
			t.Errorf("connection %d has a share of %d", i, c.share)
		}
	}
	b.loop.drop(b.conns[1])
	late, client := b.newConn()
	defer client.Close()
	if late.share != bufferShare {
		t.Errorf("a connection after one has left has a share of %d", late.share)
	}
	b.loop.drop(late)
	b.loop.drop(b.conns[3])
	if n := b.srv.budget.shares.Load(); n != 1 {
		t.Errorf("%d shares are left", n)
	}
}

// TestWriterHolds: what an outbox's writer has in hand when its connection ends is counted
// until the writer has ended, too.
func TestWriterHolds(t *testing.T) {
	b := newBudgetTest(t, Options{MaxBufferBytes: 80 << 20, MaxConns: 2}, 1)
	c := b.conns[0]
	const chunk = 64 << 10
	if !c.out.reserve(chunk) {
		t.Fatal("there is no room")
	}
	c.out.held.Add(chunk)
	b.loop.drop(c)
	b.check()
	if b.loop.held.output != chunk || b.srv.budget.shares.Load() != 0 {
		t.Errorf("%+v are held, %d shares are left", b.loop.held, b.srv.budget.shares.Load())
	}
	c.out.held.Add(-chunk)
	b.loop.onOutbox(c, outboxFailed)
	b.check()
	if b.loop.held != (usage{}) || b.srv.budget.shares.Load() != 1 {
		t.Errorf("%+v are held, %d shares are left", b.loop.held, b.srv.budget.shares.Load())
	}
}
