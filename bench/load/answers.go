package load

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// read takes what has arrived on c, and sends what that makes room for.
func (w *worker) read(c *conn) error {
	if len(c.tail) > len(w.buf)/2 {
		w.buf = make([]byte, 2*len(w.buf))
	}
	n := copy(w.buf, c.tail)
	m, full, err := w.receive(c, n)
	switch {
	case err == unix.EINTR:
		return w.read(c)
	case err == unix.EAGAIN:
		return nil
	case err != nil:
		return w.lost(c, err.Error())
	case m == 0 && !full:
		return w.lost(c, "it closed the connection")
	}
	now := time.Since(w.base)
	c.heard, w.last = now, now
	take := w.take
	if c.expect != nil {
		take = w.takeCompared
	}
	used, err := take(c, w.buf[:n+m], now)
	if err != nil {
		return fmt.Errorf("the server at %s, connection %d, after %d commands: %w", w.o.Addr, c.index, c.answered, err)
	}
	c.tail = append(c.tail[:0], w.buf[used:n+m]...)
	if full { // there may be more, and no event will say so
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

// receive reads what has arrived into w.buf from n on, and reports whether there may be more:
// so it is when all there was room for came.
func (w *worker) receive(c *conn, n int) (m int, full bool, err error) {
	if c.tls == nil {
		m, err = unix.Read(c.fd, w.buf[n:])
		return m, n+m == len(w.buf), err
	}
	if cap(w.sealed) < readSealed {
		w.sealed = make([]byte, readSealed)
	}
	in := w.sealed[:readSealed]
	if m, err = unix.Read(c.fd, in); m <= 0 || err != nil {
		return 0, false, err
	}
	full = m == len(in)
	plain, _, err := c.tls.Open(w.buf[:n], in[:m], nil)
	w.buf = plain[:cap(plain)]
	if err == nil && len(plain) == n {
		err = unix.EAGAIN // a part of a record, or a ticket
		if full {
			err = unix.EINTR
		}
	}
	return len(plain) - n, full, err
}

// readSealed is how much is read at once over TLS.
const readSealed = 64 << 10

// take counts the whole answers in b and returns how many bytes they have.
func (w *worker) take(c *conn, b []byte, now time.Duration) (used int, err error) {
	for used < len(b) {
		outstanding := c.inFlight()
		if outstanding == 0 {
			return used, unexpected(b[used:])
		}
		if c.answered < c.first { // the warm-up's are counted apart
			outstanding = int(min(uint64(outstanding), c.first-c.answered))
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
		w.lookedUp(c, kind, n*(w.o.Keys/per), misses)
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

func unexpected(b []byte) error { return fmt.Errorf("it sent what nothing asked for: %s", excerpt(b)) }

// takeCompared is take with every key and value compared, command by command.
func (w *worker) takeCompared(c *conn, b []byte, now time.Duration) (used int, err error) {
	for used < len(b) {
		if c.inFlight() == 0 {
			return used, unexpected(b[used:])
		}
		if c.asked == nil {
			c.asked = c.expect.next(c.answered)
		}
		kind := c.script.kind(c.answered)
		size, misses, err := w.p.check(b[used:], kind, c.asked, w.accepts)
		if err != nil || size == 0 {
			return used, err
		}
		used += size
		c.asked = nil
		w.lookedUp(c, kind, w.o.Keys, misses)
		w.now.compared += uint64(w.o.Keys)
		w.record(c, kind, 1, now)
	}
	return used, nil
}

// lookedUp counts keys that were there or, misses of them, were not; for ADD the other
// way round. They belong to commands of the warm-up, or to none of it.
func (w *worker) lookedUp(c *conn, kind Kind, keys, misses int) {
	if kind == Set || kind == Incr {
		return
	}
	w.addMissed = w.addMissed || kind == Add && misses > 0
	if c.answered >= c.first {
		t := &w.now.tally[kind]
		t.Hits += uint64(keys - misses)
		t.Misses += uint64(misses)
	}
}

// record counts commands that have been answered, except those of the warm-up.
func (w *worker) record(c *conn, kind Kind, done int, now time.Duration) {
	from := c.answered
	c.answered += uint64(done)
	if from = max(from, c.first); from >= c.answered {
		return
	}
	w.now.tally[kind].Commands += c.answered - from
	h := w.now.latency[kind]
	if w.o.Rate == 0 {
		count(h, now-c.sentAt, int(c.answered-from))
		return
	}
	for ; from < c.answered; from++ {
		count(h, now-w.planned(c, from), 1)
	}
}
