package netio

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"keyframe/codec"
	"keyframe/engine"
	"keyframe/engine/journal"
	"keyframe/netio/frame"
)

// testCommitter applies batches, and lets answers go, when the test says so.
type testCommitter struct {
	t       testing.TB
	loop    *loop
	store   *engine.Engine
	late    bool // batches are applied later
	holding bool // answers are held

	status codec.Status // that writes are refused with
	why    string

	submitted []func() // what applies a batch and says so
	applied   uint64   // batches and CLEARs so far: the position
	depends   uint64   // that of those since it was last asked for
	effects   int
}

func (c *testCommitter) refuses() (codec.Status, string) { return c.status, c.why }

func (c *testCommitter) apply(b *engine.Batch) bool {
	if c.late {
		return false
	}
	c.store.Apply(b)
	c.handOn(b)
	return true
}

func (c *testCommitter) handOn(b *engine.Batch) {
	c.applied++
	c.depends = c.applied
	c.effects += b.NumEffects()
}

func (c *testCommitter) submit(b *engine.Batch, applied func()) {
	c.submitted = append(c.submitted, func() {
		c.store.Apply(b)
		c.handOn(b)
		applied()
	})
}

func (c *testCommitter) clear(b *engine.Batch) (int, bool) {
	if c.late {
		return 0, false
	}
	return c.clearNow(b), true
}

func (c *testCommitter) clearNow(b *engine.Batch) int {
	if b == nil {
		c.applied++
		c.depends = c.applied
		return c.store.Clear()
	}
	keys, _ := c.store.ClearSet(b, nil)
	c.handOn(b)
	return keys
}

func (c *testCommitter) submitClear(b *engine.Batch, cleared func(int)) {
	c.submitted = append(c.submitted, func() { cleared(c.clearNow(b)) })
}

func (c *testCommitter) seesAll() {}

func (c *testCommitter) isFull() bool { return false }

func (c *testCommitter) position() uint64 {
	if !c.holding {
		return 0
	}
	if c.late { // it is not asked in the turn
		return c.applied
	}
	at := c.depends
	c.depends = 0
	return at
}

// step applies a batch, or lets the answers up to some position go.
func (c *testCommitter) step(r *rand.Rand) {
	if len(c.submitted) > 0 && r.IntN(2) == 0 {
		i := r.IntN(len(c.submitted)) // those of different connections in any order
		f := c.submitted[i]
		c.submitted = slices.Delete(c.submitted, i, i+1)
		f()
	} else if c.applied > c.loop.released {
		upTo := c.loop.released + 1 + r.Uint64N(c.applied-c.loop.released)
		c.loop.execute(func() { c.loop.release(upTo, nil) })
	}
}

// testLoop executes what it is given when the harness runs its events.
type testLoop struct {
	eventLoop
	h *harness
}

func (l *testLoop) execute(f func()) { l.h.events <- f }

// commitWith puts a committer into the harness, before its connection has begun.
func (h *harness) commitWith(late, holding bool) *testCommitter {
	store, err := engine.New(engine.Options{Shards: 4, RecordEffects: true, Merge: Merge, Readable: Readable})
	if err != nil {
		h.t.Fatal(err)
	}
	_ = h.store.Close()
	h.store, h.srv.store = store, store
	c := &testCommitter{t: h.t, loop: h.loop, store: store, late: late, holding: holding}
	h.loop.el = &testLoop{h: h}
	h.loop.commit, h.loop.pipe.commit, h.loop.pipe.store = c, c, store
	h.conn.commit = &uncommitted{}
	return c
}

// commitInput has input come in pieces, while batches are applied and answers released now and
// then, until nothing waits any more. name is that of the input.
func (h *harness) commitInput(r *rand.Rand, c *testCommitter, name string, input []byte) {
	h.t.Helper()
	h.startReading()
	for in := input; len(in) > 0; {
		n := min(len(in), 1+r.IntN(1<<r.IntN(18)))
		h.feed(in[:n])
		in = in[n:]
		if len(c.submitted) > 1 {
			h.t.Fatalf("%s: %d batches of one connection wait", name, len(c.submitted))
		}
		for range r.IntN(3) {
			c.step(r)
			h.runEvents(false)
		}
	}
	for rounds := 0; len(c.submitted) > 0 || len(h.loop.holding) > 0 || h.conn.stalled(); rounds++ {
		if rounds == 10_000 {
			h.t.Fatalf("%s: %d batches and %d connections wait for ever", name, len(c.submitted), len(h.loop.holding))
		}
		c.step(r)
		h.runEvents(false)
	}
}

// TestCommitLate: a session over both framings, in pieces, with batches that are applied
// later, answers that are held, or both, is answered as it is without.
func TestCommitLate(t *testing.T) {
	r := newRand(t)
	value := `"` + strings.Repeat("v", 100_000) + `"`
	reads := `{"SET":{"big_key":` + value + "}}\n" + gets("big_key", 30) + `{"RNM_KEY":[{"big_key":"other_key"}]}` + "\n" + gets("other_key", 3) + "{\"CLEAR\":{}}\n[]\n{\"COUNT\":{}}\n"
	refused := `{"SET":{"abcdef":1}}` + "\n[]\n" + gets("big_key", 20) + "[]\n{\n" + `{"GET":["abcdef"]}` + "\n"
	long := `{"ADD":{` + strings.Repeat(`"short":1,"abcdef":2,`, 40) + `"bcdefg":3}}` + "\n"
	inputs := map[string][]byte{
		"lines": lineSession(), "WebSocket": webSocketSession(true), "reads beyond a turn": []byte(reads),
		"refusals between": []byte(`{"SET":{"big_key":` + value + "}}\n" + strings.Repeat(refused, 5)), "long": []byte(long + long),
	}
	for name, input := range inputs {
		plain := newHarness(t, Options{})
		plain.startReading()
		plain.feed(input)
		want := plain.finish()
		for i := range few(60) {
			h := newHarness(t, Options{})
			c := h.commitWith(i%3 != 0, i%3 != 1)
			if i%2 == 0 {
				h.srv.shares = drawShares(r)
				h.loop.pipe.shares = h.srv.shares
			}
			h.commitInput(r, c, name, input)
			if got := h.finish(); !bytes.Equal(got, want) {
				t.Fatalf("%s, late %v, held %v: it is answered\n%.2000s\nwant\n%.2000s", name, c.late, c.holding, got, want)
			}
			if c.effects == 0 {
				t.Errorf("%s: no effects were handed on", name)
			}
			was, is := plain.loop.count, h.loop.count
			if name == "lines" {
				is.Frames = was.Frames // a turn that ends in a batch looks at blank lines again
			}
			if was.Frames != is.Frames || was.Queries != is.Queries || was.Commands != is.Commands || was.Errors != is.Errors {
				t.Errorf("%s, late %v: it counts %+v, want %+v", name, c.late, is, was)
			}
		}
	}
}

// TestCommitHolds: nothing leaves before its position is released, whatever else the
// connection does; and nothing of it is executed meanwhile.
func TestCommitHolds(t *testing.T) {
	h := newHarness(t, Options{})
	c := h.commitWith(false, true)
	h.feed([]byte(`{"SET":{"abcdef":1}}` + "\n"))
	if h.loop.count.BytesOut != 0 || !h.conn.stalled() {
		t.Fatalf("%d bytes have left", h.loop.count.BytesOut)
	}
	h.feed([]byte(`{"SET":{"abcdef":2}}` + "\n"))
	other, end := h.newConn()
	defer end.Close()
	h.loop.serve(other, []byte(`{"GET":["abcdef"]}`+"\n"))
	if n := h.store.Len(); c.applied != 2 || n != 1 {
		t.Fatalf("%d batches are applied, want those of two connections", c.applied)
	}
	// A client that shuts its side down is answered all the same.
	h.loop.onClose(h.conn, errors.New("reset"))
	h.loop.release(1, nil)
	if out := h.loop.count.BytesOut; out != 0 {
		t.Errorf("%d bytes have left for a connection that was reset", out)
	}
	h.loop.release(2, nil)
	if out := h.loop.count.BytesOut; out != uint64(len(`{"GET_RSP":{"st":0,"abcdef":1}}`)+1) {
		t.Errorf("%d bytes have left for the other", out)
	}
	// What was read before has been released: no answer waits for it again.
	h.loop.serve(other, []byte("{\"COUNT\":{}}\n"))
	if len(h.loop.holding) != 0 {
		t.Error("an answer waits for what has been released")
	}
}

// TestCommitFails: of a position that could not be made safe no answer leaves, and those
// that wait for it are closed.
func TestCommitFails(t *testing.T) {
	h := newHarness(t, Options{})
	h.commitWith(false, true)
	h.startReading()
	h.feed([]byte(`{"SET":{"abcdef":1}}` + "\n"))
	h.loop.release(1, errors.New("the disk is gone"))
	if h.conn.phase != phaseClosed || h.loop.count.BytesOut != 0 {
		t.Errorf("the connection is in phase %d, %d bytes have left", h.conn.phase, h.loop.count.BytesOut)
	}
	if h.loop.released != 0 {
		t.Error("the position counts as released")
	}
}

// TestCommitAtTheEnd: a client that shuts its side down while something waits has its
// answers first, and so has one whose server stops.
func TestCommitAtTheEnd(t *testing.T) {
	r := newRand(t)
	for _, late := range []bool{false, true} {
		h := newHarness(t, Options{})
		c := h.commitWith(late, true)
		h.startReading()
		h.feed([]byte(`{"SET":{"abcdef":1}}` + "\n{\"COUNT\":{}}\n"))
		h.srv.draining.Store(true)
		h.loop.drain()
		if h.conn.phase != phaseOpen {
			t.Fatalf("late %v: it is closed before it is answered", late)
		}
		h.loop.onClose(h.conn, io.EOF)
		for len(c.submitted) > 0 || len(h.loop.holding) > 0 || h.conn.stalled() {
			c.step(r)
			h.runEvents(false)
		}
		if got := string(h.finish()); !strings.HasSuffix(got, `"cnt":1}}`+"\n") {
			t.Errorf("late %v: %q", late, got)
		}
	}
}

// TestCommitStalledBefore: a connection that ends, and whose last answers are held, is not
// cut off for a stall that its client has made up for before the loop hears of it.
func TestCommitStalledBefore(t *testing.T) {
	h := newHarness(t, Options{MaxFrameBytes: 1024})
	h.commitWith(false, true)
	h.startReading()
	h.feed(append([]byte(`{"SET":{"abcdef":1}}`+"\n"), bytes.Repeat([]byte("x"), 2000)...))
	if h.conn.phase != phaseLinger || !h.conn.commit.exists() {
		t.Fatalf("it is in phase %d, and held %v", h.conn.phase, h.conn.commit.exists())
	}
	h.loop.onOutbox(h.conn, outboxStalled)
	h.loop.release(1, nil)
	if got := string(h.finish()); !strings.HasPrefix(got, `{"SET_RSP":`) || !strings.Contains(got, "longer than") {
		t.Errorf("it is answered %q", got)
	}
}

// TestHeldThoughOthersAreCutOff: a turn that has changed something, and then needs the memory of a
// larger connection, is held, though the end of that connection has asked for the position before.
func TestHeldThoughOthersAreCutOff(t *testing.T) {
	h := newHarness(t, Options{})
	c := h.commitWith(false, true)
	h.srv.budget.resize(1<<20, 0, 0, 0, 256<<10)
	h.startDiscarding()
	larger, end := h.newConn()
	defer end.Close()
	larger.commit = &uncommitted{}
	h.feed([]byte(upgradeRequest))
	h.loop.serve(larger, bytes.Repeat([]byte("["), 700<<10)) // it is in the middle of a command
	input := append(textFrame(`{"SET":{"abcdef":1}}`), clientFrame(false, frame.Text, bytes.Repeat([]byte("["), 600<<10), testKey)...)
	out := h.loop.count.BytesOut
	h.feed(input)
	if larger.phase == phaseOpen || c.applied != 1 {
		t.Fatalf("%d batches are applied, and the larger connection is in phase %d", c.applied, larger.phase)
	}
	if !h.conn.commit.held || len(h.loop.holding) != 1 {
		t.Errorf("held %t, of %d; %d bytes have left", h.conn.commit.held, len(h.loop.holding), h.loop.count.BytesOut-out)
	}
	h.loop.release(c.applied, nil)
	h.finish()
}

// TestSqueezedWhileHeld: the time that a squeezed connection has to get on begins when its answers
// are released: a disk that stands still for longer is not its fault.
func TestSqueezedWhileHeld(t *testing.T) {
	h := newHarness(t, Options{})
	c := h.commitWith(false, true)
	now := time.Now()
	h.srv.now = func() time.Time { return now }
	h.srv.budget.resize(1<<20, 0, 0, 0, 256<<10)
	h.startDiscarding()
	h.feed([]byte("{\"SET\":{\"abcdef\":1}}\n"))
	h.feed(bytes.Repeat([]byte("["), 500<<10)) // it is in the middle of a command
	if !h.conn.commit.held || !h.conn.squeezed {
		t.Fatalf("held %t, squeezed %t", h.conn.commit.held, h.conn.squeezed)
	}
	now = now.Add(2 * squeezePatience)
	h.loop.sweep()
	h.loop.release(c.applied, nil)
	h.loop.sweep()
	if n := h.loop.count.CutOff; n != 0 || h.conn.commit.held || !h.conn.squeezed {
		t.Errorf("held %t, squeezed %t, %d cut off", h.conn.commit.held, h.conn.squeezed, n)
	}
	now = now.Add(squeezePatience)
	h.loop.sweep()
	if n := h.loop.count.CutOff; n != 1 {
		t.Errorf("%d are cut off when its time is over", n)
	}
	h.finish()
}

// TestCommitRefuses: writes are answered with the status, nothing of them is executed, and
// reads go on.
func TestCommitRefuses(t *testing.T) {
	h := newHarness(t, Options{})
	c := h.commitWith(false, false)
	h.startReading()
	h.feed([]byte(`{"SET":{"abcdef":1}}` + "\n"))
	c.status, c.why = codec.StatusOutOfMemory, "no room on the disk"
	h.feed([]byte(`{"SET":{"abcdef":2,"short":1,"bcdefg":3}}` + "\n" + `{"ADDQ":{"cdefgh":1}}` + "\n" + `{"RMV":["abcdef"]}` + "\n" +
		`{"RNM_KEY":[{"abcdef":"bcdefg"}]}` + "\n" + `{"CLEAR":{}}` + "\n" + `{"GET":["abcdef"]}` + "\n" + `{"CONTAINS":["bcdefg"]}` + "\n" + `{"COUNT":{}}` + "\n"))
	c.status = codec.StatusOK
	h.feed([]byte(`{"RMV":["abcdef"]}` + "\n"))
	refused, applied := h.loop.count.Errors[ErrorOutOfMemory], c.applied
	want := `{"SET_RSP":{"st":1,"k":"abcdef"}}
{"SET_RSP":{"st":14,"k":"abcdef"}}
{"SET_RSP":{"st":6,"k":"short"}}
{"SET_RSP":{"st":14,"k":"bcdefg"}}
{"ADDQ_RSP":{"st":14,"k":"cdefgh"}}
{"RMV_RSP":{"st":14,"k":"abcdef"}}
{"RNM_KEY_RSP":{"abcdef":"bcdefg","st":14}}
{"SERVER_ERROR":{"s":14,"m":"no room on the disk"}}
{"GET_RSP":{"st":0,"abcdef":1}}
{"CONTAINS_RSP":{"st":3,"k":"bcdefg"}}
{"COUNT_RSP":{"st":0,"cnt":1}}
{"RMV_RSP":{"st":5,"k":"abcdef"}}
`
	if got := string(h.finish()); got != want {
		t.Errorf("it is answered\n%s", got)
	}
	if refused != 6 || applied != 3 {
		t.Errorf("%d refusals are counted, %d batches applied", refused, applied)
	}
}

// TestSpareMemory: what held answers took is taken again, of as many connections as there
// is room for.
func TestSpareMemory(t *testing.T) {
	var l loop
	const answers = 17 << 10 // of 400 SETs
	for range 1000 {
		l.keepSpare(make([]byte, answers))
		l.keepSpare(make([]byte, maxSpareBytes+1))
		l.keepSpare(nil)
	}
	if most := allSpareBytes / answers; len(l.spare) != most || l.spareBytes != most*answers {
		t.Errorf("%d are kept, of %d bytes; want %d of %d", len(l.spare), l.spareBytes, most, most*answers)
	}
	for n := len(l.spare); n > 0; n-- {
		if out := l.takeSpare(); cap(out) != answers || len(out) != 0 {
			t.Fatalf("what was kept has %d bytes, and room for %d", len(out), cap(out))
		}
	}
	if out := l.takeSpare(); out != nil || l.spareBytes != 0 {
		t.Errorf("there is more: %d bytes, %d in all", cap(out), l.spareBytes)
	}
	for range 2 * maxSpare {
		l.keepSpare(make([]byte, 64))
	}
	if len(l.spare) != maxSpare {
		t.Errorf("%d are kept, want %d", len(l.spare), maxSpare)
	}
}

// TestHeldInOrder: whoever waits for less goes first, and among those that wait for the same,
// whoever came first.
func TestHeldInOrder(t *testing.T) {
	r := newRand(t)
	for range 200 {
		l := &loop{}
		var want []held
		for range r.IntN(20) {
			h := held{&conn{}, uint64(r.IntN(4))}
			l.wait(h)
			want = append(want, h)
		}
		slices.SortStableFunc(want, func(a, b held) int { return cmp.Compare(a.position, b.position) })
		if !slices.Equal(l.holding, want) {
			t.Fatalf("%v, want %v", l.holding, want)
		}
	}
}

// TestPositions: with a journal, whoever has seen anything of the store, or changed it, waits for
// what has not been written; and who hasn't waits for nothing.
func TestPositions(t *testing.T) {
	for _, mode := range []journal.Mode{journal.EverySec, journal.Always, journal.No} {
		fs, err := journal.Dir(t.TempDir(), false)
		if err != nil {
			t.Fatal(err)
		}
		log, err := journal.Open(fs, journal.Options{Mode: mode, Manual: true})
		if err != nil {
			t.Fatal(err)
		}
		e, err := engine.New(engine.Options{RecordEffects: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := startLog(log, newJournalStore(context.Background(), e, nil)); err != nil {
			t.Fatal(err)
		}
		var shared *unsynced
		if mode == journal.Always {
			shared = newUnsynced()
		}
		committers := make([]*journaled, 2) // each has a loop that settles nothing
		for i := range committers {
			committers[i] = &journaled{loop: &loop{}, store: e, log: log, lane: log.NewLane(func(uint64, error) {}), settling: true, unsynced: shared}
		}
		do := func(c *journaled, kind engine.Kind, key string) {
			var b engine.Batch
			b.Add(kind, []byte(key), []byte("1"))
			c.apply(&b)
		}
		writer, other := committers[0], committers[1]
		do(writer, engine.Set, "key")
		for what, sees := range map[string]func(){
			"nothing":    func() {},
			"a key":      func() { do(other, engine.Get, "key") },
			"all":        other.seesAll,
			"a change":   func() { do(other, engine.Set, "other") },
			"a clearing": func() { other.clear(nil); do(writer, engine.Set, "key") },
		} {
			sees()
			want := log.Position()
			if what == "nothing" {
				want = 0
			}
			if got := other.position(); got != want || log.Kept() >= log.Position() {
				t.Errorf("%s: who has seen %s waits for %d, want %d", mode, what, got, want)
			}
			if got := other.position(); got != 0 {
				t.Errorf("%s: after %s it waits for %d again", mode, what, got)
			}
		}
		closed(t, e, log)
	}
}
