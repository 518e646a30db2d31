package netio

import (
	"bytes"
	"runtime"
	"slices"
	"testing"
	"time"

	"keyframe/netio/frame"
)

// outboxTest is an outbox over a simulated socket, with its writer in the test's hands.
type outboxTest struct {
	out    outbox
	sock   *simSocket
	writer *writer
	events []outboxEvent
}

func newOutboxTest(t *testing.T, room int, resume int64) *outboxTest {
	o := &outboxTest{sock: &simSocket{room: room, descriptors: 1}}
	o.sock.client = &simClient{s: &sim{t: t, quiet: true, reached: make(map[string]int)}, sock: o.sock}
	o.out.sock = o.sock
	o.out.resume.Store(resume)
	o.out.report = func(e outboxEvent) { o.events = append(o.events, e) }
	o.out.spawn = func(w *writer) { o.writer = w }
	return o
}

// TestOutboxReportsAtHalf: the loop is told once, as soon as no more than resume bytes are
// unread, and again when all is sent.
func TestOutboxReportsAtHalf(t *testing.T) {
	o := newOutboxTest(t, 100, 500)
	if err := o.out.send(make([]byte, 1000)); err != nil || o.writer == nil {
		t.Fatal("no writer", err)
	}
	for {
		o.sock.buf.take(o.sock.buf.len())
		more := o.writer.step()
		if unread := o.out.unread.Load(); more && (unread <= 500) != slices.Equal(o.events, []outboxEvent{outboxCaughtUp}) {
			t.Fatalf("%d bytes unread: %v", unread, o.events)
		}
		if !more {
			break
		}
	}
	if !slices.Equal(o.events, []outboxEvent{outboxCaughtUp, outboxDrained}) || o.sock.descriptors != 1 {
		t.Errorf("%v, %d descriptors", o.events, o.sock.descriptors)
	}
}

// TestOutboxHolds: what an outbox is counted to hold is the memory of its chunks, the one that
// its writer has taken included, and nothing once they are sent or given up.
func TestOutboxHolds(t *testing.T) {
	const chunk = 4 << 10 // the smallest
	for _, end := range []string{"sent", "abandoned", "failed"} {
		o := newOutboxTest(t, 100, 500)
		held := func(want int64) {
			t.Helper()
			if n := o.out.held.Load(); n != want {
				t.Errorf("%s: %d bytes are held, want %d", end, n, want)
			}
		}
		if err := o.out.send(make([]byte, 110)); err != nil || o.writer == nil {
			t.Fatal("no writer", err)
		}
		held(chunk) // for 10 bytes
		_ = o.out.send(make([]byte, chunk-10))
		held(chunk) // it is full
		_ = o.out.send([]byte{1})
		held(2 * chunk)
		o.writer.step() // the writer has the first of them, and can't send it
		held(2 * chunk)
		switch end {
		case "abandoned":
			o.out.abandon()
			held(chunk) // the writer's
			for o.writer.step() {
			}
		case "failed":
			o.sock.dead = true
			for o.writer.step() {
			}
		default:
			for more := true; more; more = o.writer.step() {
				o.sock.buf.take(o.sock.buf.len())
			}
		}
		held(0)
		if n := o.out.queue.Held(); n != 0 || o.writer.chunk != nil {
			t.Errorf("%s: %d bytes are left in the queue, the writer has %v", end, n, o.writer.chunk)
		}
	}
}

// TestOutboxFinishesAfterItsWriter: the writing side is shut down when the writer has sent
// everything, and not before.
func TestOutboxFinishesAfterItsWriter(t *testing.T) {
	o := newOutboxTest(t, 100, 500)
	all := bytes.Repeat([]byte("0123456789"), 30)
	if err := o.out.send(all); err != nil || o.writer == nil {
		t.Fatal("no writer", err)
	}
	o.out.finish()
	var got []byte
	for more := true; more; more = o.writer.step() {
		if o.sock.shut {
			t.Fatalf("shut down after %d bytes of %d", len(got), len(all))
		}
		got = append(got, o.sock.buf.take(o.sock.buf.len())...)
	}
	if !o.sock.shut || !bytes.Equal(got, all) {
		t.Errorf("shut down: %v; %d bytes of %d", o.sock.shut, len(got), len(all))
	}
}

// TestOutboxWriterJustEnded: send finds a writer and waits for the lock, and the writer
// ends meanwhile. What send then put into its queue would never be sent.
func TestOutboxWriterJustEnded(t *testing.T) {
	for range 2000 {
		o := newOutboxTest(t, 100, 500)
		o.out.writing.Store(true)
		o.out.mu.Lock()
		sent := make(chan error)
		go func() { sent <- o.out.send([]byte("hello")) }()
		runtime.Gosched()
		o.out.writing.Store(false)
		o.out.mu.Unlock()
		if err := <-sent; err != nil || o.sock.buf.len() != 5 {
			t.Fatalf("%v, %d bytes of 5 are sent", err, o.sock.buf.len())
		}
	}
}

// TestStaleReport: a writer's last report may arrive after the report before it has led to
// another turn and another writer. The connection neither ends then nor gets a deadline.
func TestStaleReport(t *testing.T) {
	for _, detached := range []bool{true, false} {
		h := newHarness(t, Options{})
		h.startDiscarding()
		h.conn.phase, h.conn.detached, h.conn.deadline = phaseLinger, detached, time.Time{}
		h.conn.out.writing.Store(true)
		h.loop.onOutbox(h.conn, outboxDrained)
		if h.conn.phase != phaseLinger || !h.conn.deadline.IsZero() {
			t.Errorf("detached %v: ended in phase %d, deadline %v", detached, h.conn.phase, h.conn.deadline)
		}
		h.conn.out.writing.Store(false)
		h.loop.onOutbox(h.conn, outboxDrained)
		if (h.conn.phase == phaseClosed) != detached || h.conn.deadline.IsZero() != detached {
			t.Errorf("detached %v: phase %d, deadline %v", detached, h.conn.phase, h.conn.deadline)
		}
		h.loop.drop(h.conn)
		h.finish()
	}
}

// TestReaderIsNotIdle: a client that sends nothing and takes its answers is not idle.
func TestReaderIsNotIdle(t *testing.T) {
	h := newHarness(t, Options{IdleTimeout: time.Hour})
	h.startDiscarding()
	h.feed([]byte("{\"COUNT\":{}}\n"))
	now := time.Now()
	h.loop.sweepConn(h.conn, now)
	h.conn.out.unread.Store(1000)
	h.loop.sweepConn(h.conn, now.Add(30*time.Minute))
	h.conn.out.unread.Store(500)
	h.loop.sweepConn(h.conn, now.Add(61*time.Minute))
	if h.conn.phase != phaseOpen {
		t.Error("closed as idle while it reads")
	}
	h.loop.sweepConn(h.conn, now.Add(122*time.Minute))
	if h.conn.phase == phaseOpen {
		t.Error("not closed as idle an hour after it has read")
	}
	h.finish()
}

// TestTooSlow: half of MaxOutputBytes unread is no reason to end a connection, one byte
// more for OutputTimeout is; less in between makes the time begin anew.
func TestTooSlow(t *testing.T) {
	h := newHarness(t, Options{MaxOutputBytes: 2000, OutputTimeout: time.Minute})
	h.startDiscarding()
	now := time.Now()
	for _, step := range []struct {
		unread int64
		after  time.Duration
		want   bool
	}{
		{1000, 0, false}, {1000, time.Hour, false}, {1001, time.Second, false}, {1001, 59 * time.Second, false},
		{1000, 0, false}, {1001, time.Second, false}, {1001, 59 * time.Second, false}, {1001, time.Second, true},
	} {
		now = now.Add(step.after)
		if got := h.loop.tooSlow(h.conn, step.unread, now); got != step.want {
			t.Errorf("%d bytes after %v: %v", step.unread, step.after, got)
		}
	}
	h.finish()
}

// TestJoinedMessageIsReleased: the memory of a fragmented message goes with it.
func TestJoinedMessageIsReleased(t *testing.T) {
	h := newHarness(t, Options{})
	h.startDiscarding()
	h.feed([]byte(upgradeRequest))
	h.feed(clientFrame(false, frame.Text, []byte(`{"CO`), testKey))
	h.feed(clientFrame(true, frame.Continuation, []byte(`UNT":{}}`), testKey))
	if f := h.conn.framing.(*wsFraming); cap(f.reader.Fragments()) > 0 || h.loop.count.Queries != 1 {
		t.Errorf("%d bytes are kept, %d commands", cap(f.reader.Fragments()), h.loop.count.Queries)
	}
	h.feed(textFrame(`{"COUNT":{}}`)) // is one frame again
	if n := h.loop.count.Frames; n != 3 {
		t.Errorf("%d frames, want 3", n)
	}
	h.finish()
}

// TestPingOfTheDead: a ping that can't be sent ends the connection.
func TestPingOfTheDead(t *testing.T) {
	h := newHarness(t, Options{IdleTimeout: time.Hour})
	h.startDiscarding()
	c, client := h.newConn()
	c.framing, c.gc = newWSFraming(&h.srv.opts), &simConn{client: &simClient{sock: &simSocket{descriptors: 1}}}
	_ = client.Close()
	h.loop.el = &simLoop{}
	h.loop.pings = 1
	h.loop.sweepConn(c, c.lastSeen.Add(40*time.Minute))
	if c.phase != phaseClosed {
		t.Error("it goes on")
	}
	h.loop.el = nil
	h.finish()
}
