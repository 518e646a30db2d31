package load

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// conn is one connection to the server.
type conn struct {
	fd     int
	index  int // among all connections of the run
	script *script

	sent     uint64 // commands, the one in unsent included
	answered uint64 // commands with all their answers
	left     int    // answers that command number answered still gets; 0: all
	limit    uint64 // of sent, in a run of so many requests
	toSend   int    // commands that may be sent as soon as the socket takes them
	due      uint64 // commands whose planned time has come (open loop)
	dirty    bool   // it is in worker.dirty

	sentAt time.Duration // when its round was written (closed loop)
	heard  time.Duration // when bytes came last, or it had nothing to wait for
	tail   []byte        // the head of an answer that has not come whole
	unsent []byte        // what the socket did not take
}

func (c *conn) inFlight() int { return int(c.sent - c.answered) }

// worker drives its connections from one thread.
type worker struct {
	o     *Options
	p     protocol
	conns []*conn
	poll  *poller
	base  time.Time // time 0 of the run, the same for all workers
	stop  *atomic.Bool

	buf     []byte // what is read
	scratch []byte // what a sequential script writes
	dirty   []*conn

	measuring bool
	end       time.Duration // of measuring; 0: when all requests are answered
	active    int           // connections with a round in flight (closed loop)
	nextConn  int           // whose command is planned next (open loop)
	nextTurn  uint64        // which of its commands that is
	planning  bool          // the schedule goes on (open loop)
	last      time.Duration // when the latest answer came

	mu  sync.Mutex // guards now
	now *window
}

// dial opens a connection and takes its descriptor over.
func dial(o *Options, p protocol) (net.Conn, error) {
	network, address := "tcp", strings.TrimPrefix(o.Addr, "tcp://")
	if path, ok := strings.CutPrefix(o.Addr, "unix://"); ok {
		network, address = "unix", path
	}
	c, err := net.DialTimeout(network, address, o.Timeout)
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(o.Timeout))
	if err := p.open(c); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("%s: %w", o.Addr, err)
	}
	_ = c.SetDeadline(time.Time{})
	return c, nil
}

// descriptor returns the connection's own descriptor, which does not block, and
// closes the net.Conn.
func descriptor(c net.Conn) (fd int, err error) {
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return -1, err
	}
	ctlErr := raw.Control(func(own uintptr) { fd, err = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) })
	return fd, errors.Join(ctlErr, err, c.Close())
}

func (w *worker) open(index int) error {
	nc, err := dial(w.o, w.p)
	if err != nil {
		return err
	}
	fd, err := descriptor(nc)
	if err != nil {
		return os.NewSyscallError("dup", err)
	}
	c := &conn{fd: fd, index: index, script: newScript(*w.o, w.p, index)}
	w.conns = append(w.conns, c)
	return w.poll.add(fd, len(w.conns)-1)
}

func (w *worker) close() {
	for _, c := range w.conns {
		_ = unix.Close(c.fd)
	}
	w.poll.close()
}

// longestWait bounds a wait, so that a stop is noticed.
const longestWait = 50 * time.Millisecond

// run drives the connections until the run is over.
func (w *worker) run() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	open := w.o.Rate > 0
	w.planning = open
	checked := time.Duration(0)
	for started := false; ; {
		now := time.Since(w.base)
		if !w.measuring && now >= w.o.WarmUp {
			w.measure(now)
		}
		if !started && !open {
			started = true
			for _, c := range w.conns {
				w.active++
				if err := w.round(c, now); err != nil {
					return err
				}
			}
		}
		if open {
			if err := w.plan(now); err != nil {
				return err
			}
		}
		if w.finished(now, open) {
			return nil
		}
		events, err := w.poll.wait(w.timeout(now, open))
		if err != nil {
			return os.NewSyscallError("poll", err)
		}
		if len(events) > 0 {
			if err := w.serve(events); err != nil {
				return err
			}
		} else if now > checked+longestWait {
			checked = now
			if err := w.checkStall(now); err != nil {
				return err
			}
		}
	}
}

// measure begins to count.
func (w *worker) measure(now time.Duration) {
	w.measuring = true
	w.mu.Lock()
	w.now.reset()
	w.mu.Unlock()
	if w.o.Duration > 0 {
		w.end = now + w.o.Duration
	}
	for _, c := range w.conns {
		if n := w.o.Requests; n > 0 {
			c.limit = c.sent + uint64(n/w.o.Conns)
			if c.index < n%w.o.Conns {
				c.limit++
			}
		}
	}
}

func (w *worker) over(now time.Duration) bool {
	return w.stop.Load() || w.end > 0 && now >= w.end
}

// finished tells whether nothing is left to send or to wait for.
func (w *worker) finished(now time.Duration, open bool) bool {
	if !open {
		return w.active == 0
	}
	if w.planning {
		return false
	}
	// What was planned is sent and answered, however long it takes, unless it
	// takes too long: then the rest is told of as unanswered.
	if w.stop.Load() || w.end > 0 && now > w.end+w.o.Timeout {
		return true
	}
	for _, c := range w.conns {
		if c.answered < c.due {
			return false
		}
	}
	return true
}

func (w *worker) timeout(now time.Duration, open bool) time.Duration {
	// A timer fires tens of microseconds late; what is nearer is spun for.
	const spin = 60 * time.Microsecond
	if !open || !w.planning {
		return longestWait
	}
	left := w.planned(w.conns[w.nextConn], w.nextTurn) - now
	if left <= spin {
		return 0
	}
	return min(left-spin, longestWait)
}

// planned is when command k of c is to be sent.
func (w *worker) planned(c *conn, k uint64) time.Duration {
	i := k*uint64(w.o.Conns) + uint64(c.index)
	return time.Duration(float64(i) / w.o.Rate * float64(time.Second))
}

// plan makes due what the schedule says, and sends it.
func (w *worker) plan(now time.Duration) error {
	for w.planning {
		c := w.conns[w.nextConn]
		switch {
		case w.over(now):
			w.planning = false
		case w.measuring && w.o.Requests > 0 && w.nextTurn >= c.limit:
			w.planning = w.morePlanned()
		case w.planned(c, w.nextTurn) > now:
			return w.flushDirty()
		default:
			c.due++
			w.markDirty(c)
		}
		if w.nextConn++; w.nextConn == len(w.conns) {
			w.nextConn = 0
			w.nextTurn++
		}
	}
	return w.flushDirty()
}

// morePlanned tells whether a connection has commands left to plan.
func (w *worker) morePlanned() bool {
	for _, c := range w.conns {
		if c.due < c.limit {
			return true
		}
	}
	return false
}

func (w *worker) markDirty(c *conn) {
	if !c.dirty {
		c.dirty = true
		w.dirty = append(w.dirty, c)
	}
}

func (w *worker) flushDirty() error {
	for _, c := range w.dirty {
		c.dirty = false
		if err := w.flush(c); err != nil {
			return err
		}
	}
	w.dirty = w.dirty[:0]
	return nil
}

// round sends the next round of c, or retires it (closed loop).
func (w *worker) round(c *conn, now time.Duration) error {
	n := w.o.Depth
	if w.measuring && w.o.Requests > 0 {
		n = min(n, int(c.limit-c.sent))
	}
	if n == 0 || w.over(now) {
		w.active--
		return nil
	}
	c.toSend, c.sentAt, c.heard = n, now, now
	return w.flush(c)
}

// flush sends what c may send and its socket takes.
func (w *worker) flush(c *conn) error {
	if len(c.unsent) > 0 {
		return nil // the socket is full
	}
	if w.o.Rate > 0 {
		c.toSend = min(int(c.due-c.sent), w.o.Depth-c.inFlight())
	}
	for c.toSend > 0 {
		if c.inFlight() == 0 {
			c.heard = time.Since(w.base)
		}
		text, n := c.script.commands(c.sent, c.toSend, w.scratch)
		if c.script.ends == nil {
			w.scratch = text
		}
		c.sent += uint64(n)
		c.toSend -= n
		done, err := w.write(c, text)
		if err != nil {
			return err
		}
		if done < len(text) {
			c.unsent = append(c.unsent[:0], text[done:]...)
			return w.wantWrite(c, true)
		}
	}
	return nil
}

func (w *worker) wantWrite(c *conn, want bool) error {
	for i, other := range w.conns {
		if other == c {
			return w.poll.wantWrite(c.fd, i, want)
		}
	}
	panic("BUG: a connection of another worker")
}

func (w *worker) write(c *conn, b []byte) (int, error) {
	for {
		n, err := unix.Write(c.fd, b)
		switch err {
		case nil:
			return n, nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, nil
		default:
			return 0, w.lost(c, "writing to it: "+err.Error())
		}
	}
}

// lost is the error for a connection that ended.
func (w *worker) lost(c *conn, why string) error {
	return fmt.Errorf("the server at %s ended connection %d with %d commands unanswered, after %d answered: %s",
		w.o.Addr, c.index, c.inFlight(), c.answered, why)
}

func (w *worker) serve(events []event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, ev := range events {
		c := w.conns[ev.conn]
		if ev.writable && len(c.unsent) > 0 {
			n, err := w.write(c, c.unsent)
			if err != nil {
				return err
			}
			if c.unsent = append(c.unsent[:0], c.unsent[n:]...); len(c.unsent) == 0 {
				if err := w.wantWrite(c, false); err != nil {
					return err
				}
				if err := w.flush(c); err != nil {
					return err
				}
			}
		}
		if ev.readable {
			if err := w.read(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// read takes what has arrived on c, and sends what that makes room for.
func (w *worker) read(c *conn) error {
	if len(c.tail) > len(w.buf)/2 {
		w.buf = make([]byte, 2*len(w.buf))
	}
	n := copy(w.buf, c.tail)
	m, err := unix.Read(c.fd, w.buf[n:])
	switch {
	case err == unix.EINTR:
		return w.read(c)
	case err == unix.EAGAIN:
		return nil
	case err != nil:
		return w.lost(c, err.Error())
	case m == 0:
		return w.lost(c, "it closed the connection")
	}
	now := time.Since(w.base)
	c.heard, w.last = now, now
	used, err := w.take(c, w.buf[:n+m], now)
	if err != nil {
		return fmt.Errorf("the server at %s, connection %d, after %d commands: %w", w.o.Addr, c.index, c.answered, err)
	}
	c.tail = append(c.tail[:0], w.buf[used:n+m]...)
	if n+m == len(w.buf) { // there may be more, and no event tells of it
		return w.read(c)
	}
	switch {
	case w.o.Rate > 0:
		if c.due > c.sent {
			return w.flush(c)
		}
	case c.inFlight() == 0 && c.toSend == 0:
		return w.round(c, now)
	}
	return nil
}

// take counts the answers in b and returns the bytes of the whole ones.
func (w *worker) take(c *conn, b []byte, now time.Duration) (used int, err error) {
	for used < len(b) {
		outstanding := c.inFlight()
		if outstanding == 0 {
			return used, fmt.Errorf("it sent what nothing asked for: %s", excerpt(b[used:]))
		}
		kind := c.script.kind(c.answered)
		per := w.p.answers(kind, w.o.Keys)
		if c.left == 0 {
			c.left = per
		}
		want := c.left
		if c.script.only {
			want += (outstanding - 1) * per
		}
		n, size, misses, err := w.p.consume(b[used:], kind, want)
		used += size
		w.now.misses += uint64(misses)
		if n >= c.left {
			done := 1 + (n-c.left)/per
			if c.left = (n - c.left) % per; c.left > 0 {
				c.left = per - c.left
			}
			w.record(c, kind, done, now)
		} else {
			c.left -= n
		}
		if err != nil {
			return used, err
		}
		if size == 0 {
			break
		}
	}
	return used, nil
}

// record counts commands that have been answered.
func (w *worker) record(c *conn, kind Kind, done int, now time.Duration) {
	w.now.commands += uint64(done)
	h := w.now.latency[kind]
	if w.o.Rate == 0 {
		count(h, now-c.sentAt, done)
		c.answered += uint64(done)
		return
	}
	for range done {
		count(h, now-w.planned(c, c.answered), 1)
		c.answered++
	}
}

// checkStall finds a server that has fallen silent.
func (w *worker) checkStall(now time.Duration) error {
	for _, c := range w.conns {
		if c.inFlight() > 0 && now-c.heard > w.o.Timeout {
			return fmt.Errorf("the server at %s has been silent for %s on connection %d, with %d commands unanswered",
				w.o.Addr, w.o.Timeout, c.index, c.inFlight())
		}
	}
	return nil
}
