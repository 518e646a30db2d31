package load

import (
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"keyframe/netio/client"
	"keyframe/netio/seal"
)

// conn is one connection to the server.
type conn struct {
	fd     int
	tls    *seal.Conn // nil: bytes are what they are
	index  int        // among all connections of the run
	script *script

	sent     uint64 // commands, the one in unsent included
	answered uint64 // commands with all their answers
	left     int    // answers that command number answered still gets; 0: all
	first    uint64 // command that is measured; those before are the warm-up's
	limit    uint64 // of sent, in a run of n requests or on a schedule
	toSend   int    // commands that may be sent as soon as the socket takes them
	due      uint64 // commands whose planned time has come (open loop)
	dirty    bool   // it is in worker.dirty

	sentAt time.Duration // when its round was written (closed loop)
	heard  time.Duration // when bytes came last, or it had nothing to wait for
	tail   []byte        // the head of an answer that has not come whole
	unsent []byte        // what the socket did not take, sealed

	expect *script  // of Options.Compare: draws the keys of what is answered next
	asked  []uint64 // those of command number answered; nil: not drawn yet
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

	templates templates
	accepts   []accept // what a GET may find

	buf     []byte // what is read
	scratch []byte // what is written
	sealed  []byte // what is read and written over TLS
	dirty   []*conn

	measuring bool
	end       time.Duration // of measuring; 0: when all requests are answered
	quit      time.Duration // when a run that was stopped gives up; 0: it was not stopped
	active    int           // connections with a round in flight (closed loop)
	nextConn  int           // whose command is planned next (open loop)
	nextTurn  uint64        // which of its commands that is
	planning  bool          // the schedule goes on (open loop)
	last      time.Duration // when the latest answer came
	addMissed bool          // an ADD has found its key there

	mu  sync.Mutex // guards now
	now *window
}

// dial opens a connection. Over TLS what is said on it goes through sealed.
func dial(o *Options, p protocol) (c net.Conn, sealed *seal.Conn, err error) {
	network, address, err := client.ParseAddr(o.Addr)
	if err != nil {
		return nil, nil, err
	}
	c, err = net.DialTimeout(network, address, o.Timeout)
	if err != nil {
		return nil, nil, err
	}
	_ = c.SetDeadline(time.Now().Add(o.Timeout))
	plain := c
	if o.TLS != nil {
		sealed = seal.Client(c, o.TLS)
		plain = sealed.Waiting()
		err = sealed.Handshake()
	}
	if err == nil {
		err = p.open(plain)
	}
	if err != nil {
		_ = c.Close()
		return nil, nil, fmt.Errorf("%s: %w", o.Addr, err)
	}
	_ = c.SetDeadline(time.Time{})
	return c, sealed, nil
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
	nc, sealed, err := dial(w.o, w.p)
	if err != nil {
		return err
	}
	fd, err := descriptor(nc)
	if err != nil {
		return os.NewSyscallError("dup", err)
	}
	if sealed != nil {
		sealed.Detach()
	}
	c := &conn{fd: fd, tls: sealed, index: index, script: newScript(w.o, w.p, w.templates, index), first: math.MaxUint64}
	if w.o.Compare {
		c.expect = newScript(w.o, w.p, templates{}, index)
	}
	if w.o.Rate > 0 {
		from, n := w.o.planned()
		c.first, c.limit = c.before(from, w.o.Conns), c.before(from+n, w.o.Conns)
	}
	w.conns = append(w.conns, c)
	return w.poll.add(fd, len(w.conns)-1)
}

func (w *worker) close() {
	for _, c := range w.conns {
		_ = unix.Close(c.fd)
	}
	w.poll.close()
}

const (
	// longestWait bounds a wait, so that a stop is noticed, and is how often
	// silent connections are looked for.
	longestWait = 50 * time.Millisecond

	// drain is how long a run that was stopped waits for what is in flight.
	drain = 100 * time.Millisecond
)

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
		}
		if now > checked+longestWait {
			checked = now
			if w.quit == 0 && w.stop.Load() {
				w.quit = now + drain
			}
			if err := w.checkStall(now); err != nil {
				return err
			}
		}
	}
}

// measure begins to count.
func (w *worker) measure(now time.Duration) {
	w.measuring = true
	if w.o.Rate > 0 {
		from, n := w.o.planned()
		w.end = w.o.at(from + n)
		return
	}
	if w.o.Duration > 0 {
		w.end = now + w.o.Duration
	}
	for _, c := range w.conns {
		c.first = c.sent
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

// finished reports whether nothing is left to send or to wait for.
func (w *worker) finished(now time.Duration, open bool) bool {
	if w.quit > 0 && now >= w.quit {
		return true
	}
	if !open {
		return w.active == 0
	}
	if w.planning {
		return false
	}
	// What was planned is sent and answered, however long it takes, unless it takes too
	// long: then the rest is reported as unanswered.
	if now > w.end+w.o.Timeout {
		return true
	}
	for _, c := range w.conns {
		if c.answered < c.due {
			return false
		}
	}
	return true
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
		var err error
		text, n := c.script.commands(c.sent, c.toSend, w.scratch)
		if !w.o.Repeat {
			w.scratch = text
		}
		c.sent += uint64(n)
		c.toSend -= n
		if c.tls != nil {
			w.sealed, err = c.tls.Seal(w.sealed[:0], text)
			if err != nil {
				return w.lost(c, err.Error())
			}
			text = w.sealed
		}
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

// checkStall reports a server that has fallen silent.
func (w *worker) checkStall(now time.Duration) error {
	for _, c := range w.conns {
		if c.inFlight() > 0 && now-c.heard > w.o.Timeout {
			return fmt.Errorf("the server at %s has been silent for %s on connection %d, with %d commands unanswered",
				w.o.Addr, (now - c.heard).Round(time.Millisecond), c.index, c.inFlight())
		}
	}
	return nil
}
