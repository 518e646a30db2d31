package netio

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// writeChunk is how much the writer offers the socket at a time, and so how
// finely it sees progress. GETs of 60 KB values, MB/s: 64 KiB 505, 256 KiB 590,
// 1 MiB 580.
const writeChunk = 256 << 10

// writePatience is how long a client may take nothing at all before the writer
// reports it as stalled.
const writePatience = time.Second

// outbox is the way of a connection's responses to its socket.
//
// In the ordinary case send is one write(2) on the event loop and nothing more.
// What the socket does not take is queued, and until the queue is empty a writer
// goroutine has the socket's writing side: the loop never waits, learns how much
// is unread, and is told when the client has caught up.
//
// send, finish, abandon, detach and attach are for the connection's event loop only. mu
// guards the fields below it, which the writer shares. The writer has its own
// duplicate of the descriptor, so that gnet closing the connection can't give
// the number away under its hands. What send keeps it copies.
type outbox struct {
	fd     int               // the socket
	owned  bool              // fd is a duplicate that abandon closes
	resume int64             // report when unread falls to this
	report func(outboxEvent) // called by the writer, not on the loop
	spawn  func(func())      // starts the writer

	unread  atomic.Int64 // bytes queued that the socket has not taken
	writing atomic.Bool  // a writer is at work: set by the loop, cleared by the writer under mu

	mu        sync.Mutex
	queue     []byte
	finishing bool // no more is coming: shut down the writing side when all is sent
	abandoned bool // stop now
	file      *os.File
}

// outboxEvent is what a writer reports.
type outboxEvent uint8

const (
	outboxCaughtUp outboxEvent = iota // unread has fallen to resume
	outboxStalled                     // the client took nothing for writePatience
	outboxDrained                     // all is sent; the writer has ended
	outboxFailed                      // the connection is dead; the writer has ended
)

// send writes p, or queues what the socket does not take. An error means that
// the connection is dead.
func (o *outbox) send(p []byte) error {
	for len(p) > 0 {
		if o.enqueue(p) {
			return nil
		}
		n, err := writeNow(o.fd, p)
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
		// A failure means that the client is gone already.
		_ = unix.Shutdown(o.fd, unix.SHUT_WR)
	}
}

// detach keeps the socket open after gnet has closed its descriptor.
func (o *outbox) detach() error {
	fd, err := duplicate(o.fd)
	if err != nil {
		return err
	}
	o.fd, o.owned = fd, true
	return nil
}

// attach undoes detach: fd is the socket's descriptor with gnet again.
func (o *outbox) attach(fd int) {
	if o.owned {
		_ = unix.Close(o.fd)
	}
	o.fd, o.owned = fd, false
}

// abandon drops what is queued and ends the writer. Nothing may be sent after.
func (o *outbox) abandon() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.abandoned = true
	o.queue = nil
	if o.file != nil {
		_ = o.file.SetWriteDeadline(time.Unix(1, 0)) // wakes a writer that waits
	}
	if o.owned {
		_ = unix.Close(o.fd)
		o.owned = false
	}
}

// enqueue hands p to the writer, if there is one.
func (o *outbox) enqueue(p []byte) bool {
	if !o.writing.Load() {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.writing.Load() {
		return false // it has ended since; its queue is empty
	}
	o.queue = append(o.queue, p...)
	o.unread.Add(int64(len(p)))
	return true
}

func (o *outbox) startWriter(p []byte) error {
	fd, err := duplicate(o.fd)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	// gnet made the socket non-blocking, so the file joins Go's own poller
	// and has deadlines.
	o.file = os.NewFile(uintptr(fd), "client")
	o.queue = append(o.queue, p...)
	o.unread.Add(int64(len(p)))
	o.writing.Store(true)
	f := o.file
	o.spawn(func() { o.write(f) })
	return nil
}

// write is the writer.
func (o *outbox) write(f *os.File) {
	for {
		o.mu.Lock()
		chunk := o.queue
		o.queue = nil
		if len(chunk) == 0 || o.abandoned {
			o.endLocked(f, outboxDrained)
			return
		}
		o.mu.Unlock()
		if !o.writeAll(f, chunk) {
			o.mu.Lock()
			o.endLocked(f, outboxFailed)
			return
		}
	}
}

// endLocked ends the writer, with mu held; it releases mu.
func (o *outbox) endLocked(f *os.File, e outboxEvent) {
	if o.finishing && e == outboxDrained {
		if raw, err := f.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_WR) })
		}
	}
	_ = f.Close()
	o.file = nil
	o.queue = nil
	o.unread.Store(0)
	// A failed outbox stays in writing's hands: later sends are dropped into
	// its queue until the loop has closed the connection.
	if e == outboxDrained {
		o.writing.Store(false)
	}
	o.mu.Unlock()
	o.report(e)
}

// writeAll writes p, however long the client takes, and reports progress and
// its absence. It returns false when the connection is dead.
func (o *outbox) writeAll(f *os.File, p []byte) bool {
	for len(p) > 0 {
		if err := f.SetWriteDeadline(time.Now().Add(writePatience)); err != nil {
			return false
		}
		if o.isAbandoned() { // after the deadline: abandon's must not be overwritten
			return false
		}
		before := unacknowledged(f)
		n, err := f.Write(p[:min(len(p), writeChunk)])
		p = p[n:]
		left := o.unread.Add(-int64(n))
		if left <= o.resume && left+int64(n) > o.resume {
			o.report(outboxCaughtUp)
		}
		switch {
		case err == nil:
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return false
		case n == 0 && unacknowledged(f) >= before:
			o.report(outboxStalled)
		}
	}
	return true
}

func (o *outbox) isAbandoned() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.abandoned
}

// unacknowledged returns how many bytes the kernel has that the client's has not
// taken. A write waits until a third of a buffer of megabytes is free; this shows
// a client that reads slowly long before. Where the kernel can't tell it is 0.
func unacknowledged(f *os.File) (n int) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		if n, err = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ); err != nil {
			n = 0
		}
	})
	return n
}

func duplicate(fd int) (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0) }
