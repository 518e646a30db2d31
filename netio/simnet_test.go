package netio

import (
	"context"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"keyframe/engine"
)

// This file replaces the system under the simulated server: an event loop, sockets, and the
// store with the model beside it. Nothing here decides anything; the simulation chooses
// what happens next.

// simLog is the log of a simulated server: what it says of connections that are cut off
// for what they hold is how the simulation learns of them.
type simLog struct {
	slog.Handler // only what is below is called
	s            *sim
}

func (h *simLog) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

func (h *simLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message != cuttingOff {
		return nil
	}
	var id simAddr
	told := false
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "remote":
			id = a.Value.Any().(simAddr)
		case "told":
			told = a.Value.Bool()
		}
		return true
	})
	h.s.cutOff(int(id), told)
	return nil
}

// simAddr is the address of the client with this number.
type simAddr int

func (a simAddr) Network() string { return "sim" }
func (a simAddr) String() string  { return strconv.Itoa(int(a)) }

// simLoop is the event loop of a simulated server.
type simLoop struct {
	s     *sim
	loop  *loop
	tasks []func() // what execute was given, in order

	commit simCommit // nil: there is none
}

func (el *simLoop) execute(f func()) { el.tasks = append(el.tasks, f) }

func (el *simLoop) close(gc gnet.Conn) { gc.(*simConn).close(nil) }

// enroll begins to give a socket back to gnet, which may fail at once or later.
func (el *simLoop) enroll(c *conn, failed func(error)) {
	client := el.s.clientOf(c)
	if client.enrolling != nil {
		el.s.fatalf("client %d: enrolled twice", client.id)
	}
	if el.s.outOfDescriptors() {
		client.excuse("it can't be enrolled")
		failed(unix.EMFILE)
		return
	}
	client.sock.descriptors++
	client.enrolling = failed
}

// simConn is what gnet would call a connection.
type simConn struct {
	gnet.Conn // only what is below is called
	client    *simClient
	context   any
	closed    bool
}

func (gc *simConn) SetContext(v any) { gc.context = v }

// close does what gnet does when it closes a connection for the reason err.
func (gc *simConn) close(err error) {
	if gc.closed {
		return
	}
	gc.closed = true
	if c, ok := gc.context.(*conn); ok {
		c.loop.onClose(c, err)
	}
	gc.client.sock.close()
}

// simBytes are bytes on their way: they are put in at one end and taken at the other.
type simBytes struct {
	b  []byte
	at int
}

func (q *simBytes) len() int { return len(q.b) - q.at }

func (q *simBytes) put(p []byte) {
	if q.at > len(q.b)/2 {
		q.b, q.at = q.b[:copy(q.b, q.b[q.at:])], 0
	}
	q.b = append(q.b, p...)
}

// take returns the first n bytes, which are valid until the next put.
func (q *simBytes) take(n int) []byte {
	q.at += n
	return q.b[q.at-n : q.at]
}

// simSocket is a socket whose client reads when the simulation says so. It is its own
// duplicate, and counts its duplicates.
type simSocket struct {
	client      *simClient
	buf         simBytes // sent, and not read by the client yet
	room        int      // how many bytes of buf there may be
	descriptors int
	shut        bool // the server has shut its writing side down
	dead        bool // the client has reset the connection
}

func (k *simSocket) write(p []byte) (int, error) {
	switch n := min(len(p), k.room-k.buf.len()); {
	case k.shut || k.descriptors == 0:
		k.client.s.fatalf("client %d: the server writes to a socket that it has shut", k.client.id)
		return 0, unix.EPIPE
	case k.dead:
		return 0, unix.EPIPE
	case n <= 0:
		return 0, unix.EAGAIN
	default:
		k.buf.put(p[:n])
		return n, nil
	}
}

func (k *simSocket) shutdown() { k.shut = true }

func (k *simSocket) close() {
	if k.descriptors--; k.descriptors < 0 {
		k.client.s.fatalf("client %d: a descriptor is closed twice", k.client.id)
	}
}

const notDuplicated = "its socket can't be duplicated"

func (k *simSocket) duplicate() (socket, error) {
	if k.client.s.outOfDescriptors() {
		k.client.excuse(notDuplicated)
		return nil, unix.EMFILE
	}
	k.descriptors++
	return k, nil
}

func (k *simSocket) waiter() (waitingSocket, error) {
	_, err := k.duplicate()
	return simWaiter{k}, err
}

func (k *simSocket) conn() (net.Conn, error) { panic("not called: simLoop enrolls") }

// simWaiter is the socket under the writer of an outbox. A wait is over at once: there is
// room, or the second has passed.
type simWaiter struct{ *simSocket }

func (w simWaiter) Write(p []byte) (int, error) {
	n, err := w.write(p)
	switch {
	case n > 0:
		w.client.moved = w.client.s.now
	case err == unix.EAGAIN:
		w.client.s.now = w.client.s.now.Add(writePatience)
		w.client.s.reach("a writer that waits in vain")
	}
	if err == unix.EAGAIN || err == nil && n < len(p) {
		err = os.ErrDeadlineExceeded
	}
	return n, err
}

func (w simWaiter) SetWriteDeadline(time.Time) error { return nil }
func (w simWaiter) unacknowledged() int              { return w.buf.len() }
func (w simWaiter) Close() error                     { w.close(); return nil }

// simStore is the engine, and shows the simulation everything that is done to it.
type simStore struct {
	*engine.Engine
	s *sim
}

func (st *simStore) Apply(b *engine.Batch) bool {
	st.s.disk.begin()
	from := b.Executed()
	done := st.Engine.Apply(b)
	for i := from; i < b.Executed(); i++ {
		st.s.executed(b, i)
	}
	if !done {
		st.s.reach("a batch that stops half way")
	}
	return done
}

func (st *simStore) Len() int {
	n := st.Engine.Len()
	st.s.executedWhole(n, false)
	return n
}

func (st *simStore) Clear() int {
	n := st.Engine.Clear()
	st.s.executedWhole(n, true)
	return n
}

func (st *simStore) ClearRecorded(seqs []uint64) (int, []uint64) {
	st.s.disk.begin()
	n, seqs := st.Engine.ClearRecorded(seqs)
	st.s.executedWhole(n, true)
	return n, seqs
}

func (st *simStore) ClearSet(b *engine.Batch, seqs []uint64) (int, []uint64) {
	st.s.disk.begin()
	n, seqs := st.Engine.ClearSet(b, seqs)
	st.s.executedWhole(n, true)
	for i := range b.Ops {
		st.s.executed(b, i)
	}
	return n, seqs
}
