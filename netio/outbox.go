package netio

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"keyframe/netio/buffer"
)

// writePatience is how long a client may take nothing at all before the writer
// reports it as stalled.
const writePatience = time.Second

// outbox is the way of a connection's responses to its socket.
//
// In the ordinary case send is one write(2) on the event loop and nothing more.
// What the socket does not take is queued, in chunks, and until the queue is empty a
// writer goroutine has the socket's writing side: the loop never waits, learns how much
// is unread, and is told when the client has caught up. The writer offers the socket a
// chunk at a time, and so sees progress as finely as that.
//
// send, finish, abandon, detach and attach are for the connection's event loop only. mu
// guards the fields below it, which the writer shares. The writer has its own
// duplicate of the descriptor, since the number is free for others when gnet has
// closed the connection. send copies what it keeps.
type outbox struct {
	sock    socket
	reserve func(n int) bool  // reports whether it may hold n bytes more; or nil
	report  func(outboxEvent) // called by the writer, not on the loop
	spawn   func(*writer)     // runs the writer, elsewhere

	resume  atomic.Int64 // report when unread falls to this
	unread  atomic.Int64 // bytes queued that the socket has not taken
	held    atomic.Int64 // the memory that they take
	writing atomic.Bool  // a writer is at work: set by the loop, cleared by the writer under mu
	owned   bool         // sock is a duplicate that abandon closes

	mu        sync.Mutex
	queue     buffer.Queue
	finishing bool          // no more is coming: shut down the writing side when all is sent
	abandoned bool          // stop now
	waiting   waitingSocket // the writer's; nil: there is none
}

// outboxEvent is what a writer reports.
type outboxEvent uint8

const (
	outboxCaughtUp outboxEvent = iota // unread has fallen to resume
	outboxStalled                     // the client took nothing for writePatience
	outboxDrained                     // all is sent; the writer has ended
	outboxFailed                      // the connection is dead; the writer has ended
)

// send writes p, or queues what the socket does not take. errBuffersFull: there is no memory
// for that. Another error means that the connection is dead.
func (o *outbox) send(p []byte) error {
	for len(p) > 0 {
		if queued, err := o.enqueue(p); queued || err != nil {
			return err
		}
		n, err := o.sock.write(p)
		switch {
		case err == nil:
			p = p[n:]
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return o.startWriter(p)
		default:
			return err
		}
	}
	return nil
}

// finish shuts down the socket's writing side after all that was sent.
func (o *outbox) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.finishing = true
	if !o.writing.Load() {
		o.sock.shutdown()
	}
}

// detach keeps the socket open after gnet has closed its descriptor.
func (o *outbox) detach() error {
	sock, err := o.sock.duplicate()
	if err != nil {
		return err
	}
	o.sock, o.owned = sock, true
	return nil
}

// attach undoes detach: sock is the socket as gnet has it again.
func (o *outbox) attach(sock socket) {
	if o.owned {
		o.sock.close()
	}
	o.sock, o.owned = sock, false
}

// abandon drops what is queued and ends the writer. Nothing may be sent after that.
func (o *outbox) abandon() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.abandoned = true
	o.releaseLocked()
	if o.waiting != nil {
		_ = o.waiting.SetWriteDeadline(time.Unix(1, 0)) // wakes a writer that waits
	}
	if o.owned {
		o.sock.close()
		o.owned = false
	}
}

// enqueue hands p to the writer, if there is one.
func (o *outbox) enqueue(p []byte) (queued bool, _ error) {
	if !o.writing.Load() {
		return false, nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.writing.Load() {
		return false, nil // it has ended since; its queue is empty
	}
	return true, o.queueLocked(p)
}

// queueLocked returns errBuffersFull if there is no memory for p.
func (o *outbox) queueLocked(p []byte) error {
	n := o.queue.Growth(len(p))
	if n > 0 && o.reserve != nil && !o.reserve(n) {
		return errBuffersFull
	}
	o.queue.Append(p)
	o.held.Add(int64(n))
	o.unread.Add(int64(len(p)))
	return nil
}

func (o *outbox) releaseLocked() {
	o.held.Add(-int64(o.queue.Held()))
	o.queue.Release()
}

func (o *outbox) startWriter(p []byte) error {
	to, err := o.sock.waiter()
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.queueLocked(p); err != nil {
		_ = to.Close()
		return err
	}
	o.waiting = to
	o.writing.Store(true)
	o.spawn(&writer{out: o, to: to})
	return nil
}

// writer sends what an outbox has queued, however long the client takes. Its steps run
// one after the other, on any goroutine but the loop's, since they wait.
type writer struct {
	out   *outbox
	to    waitingSocket
	chunk *buffer.Chunk // what it has taken from the queue; or nil
	left  []byte        // of that, what it has not sent yet
}

func (w *writer) run() {
	for w.step() {
	}
}

// step offers the socket the next piece, reports progress or that there is none, and
// returns false when the writer has ended.
func (w *writer) step() bool {
	o := w.out
	if len(w.left) == 0 {
		o.mu.Lock()
		w.free()
		if w.chunk = o.queue.Take(); w.chunk == nil || o.abandoned {
			w.endLocked(outboxDrained)
			return false
		}
		w.left = w.chunk.Bytes()
		o.mu.Unlock()
	}
	if !w.write() {
		o.mu.Lock()
		w.endLocked(outboxFailed)
		return false
	}
	return true
}

// free gives its chunk back.
func (w *writer) free() {
	if w.chunk != nil {
		w.out.held.Add(-int64(w.chunk.Held()))
		w.chunk.Free()
		w.chunk, w.left = nil, nil
	}
}

// write writes what the socket takes within writePatience. It returns false when the
// connection is dead.
func (w *writer) write() bool {
	o := w.out
	if err := w.to.SetWriteDeadline(time.Now().Add(writePatience)); err != nil {
		return false
	}
	if o.isAbandoned() { // after the deadline: abandon's must not be overwritten
		return false
	}
	before := w.to.unacknowledged()
	n, err := w.to.Write(w.left)
	w.left = w.left[n:]
	left, resume := o.unread.Add(-int64(n)), o.resume.Load()
	if left <= resume && left+int64(n) > resume {
		o.report(outboxCaughtUp)
	}
	switch {
	case err == nil:
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return false
	case n == 0 && w.to.unacknowledged() >= before:
		o.report(outboxStalled)
	}
	return true
}

// endLocked ends the writer, with the outbox's mu held; it releases mu.
func (w *writer) endLocked(e outboxEvent) {
	o := w.out
	if o.finishing && e == outboxDrained {
		w.to.shutdown()
	}
	_ = w.to.Close()
	o.waiting = nil
	w.free()
	o.releaseLocked()
	o.unread.Store(0)
	// After a failure writing stays set: later sends end in the queue until the loop has
	// closed the connection.
	if e == outboxDrained {
		o.writing.Store(false)
	}
	o.mu.Unlock()
	o.report(e)
}

func (o *outbox) isAbandoned() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.abandoned
}
