package client

import (
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"time"

	wire "keyframe/codec/client"
	"keyframe/netio/frame"
)

const (
	// readBytes is what a read takes at most, unless an answer is longer. 64 KiB are some
	// thousand short answers. Not yet measured.
	readBytes = 64 << 10

	// keptPending is how much room for text is kept from one write for the next.
	keptPending = 1 << 20

	// silenceChecks is how often a silence is looked at before it is one.
	silenceChecks = 4
)

// serve uses one connection until it has to be given up, and returns the calls that it leaves
// without an answer, and why.
func (c *Client) serve(conn net.Conn) (left []*call, reason error) {
	r := &reader{c: c, conn: conn, parser: wire.NewParser(), buf: make([]byte, readBytes)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.breakWith(r.run())
	}()
	watch := c.watchSilence(conn)
	c.write(conn)
	watch.Stop()
	<-done
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.conn = nil
	left = append(left, r.calls[r.at:]...)
	left = append(left, c.mu.sent...)
	clear(c.mu.sent)
	c.mu.sent, c.mu.owed = c.mu.sent[:0], 0
	return left, c.mu.broken
}

// breakWith gives the connection up: the first reason counts.
func (c *Client) breakWith(reason error) {
	c.mu.Lock()
	c.breakLocked(reason)
	c.mu.Unlock()
}

func (c *Client) breakLocked(reason error) {
	if c.mu.conn == nil || c.mu.broken != nil {
		return
	}
	c.mu.broken = reason
	_ = raw(c.mu.conn).Close() // which ends the reader's wait, and the writer's
	c.wakeLocked()
}

// write sends what gathers in pending until the connection is given up.
func (c *Client) write(conn net.Conn) {
	var text []byte
	for {
		c.mu.Lock()
		for len(c.mu.pending) == 0 && c.mu.broken == nil {
			c.mu.idle = true
			c.mu.Unlock()
			<-c.wake
			c.mu.Lock()
		}
		c.mu.Unlock()
		// Goroutines that have just been answered, and run soon, have more to send: with 256
		// of them a write has some 60 commands instead of one.
		runtime.Gosched()
		c.mu.Lock()
		if c.mu.broken != nil {
			c.mu.Unlock()
			return
		}
		text, c.mu.pending = c.mu.pending, text[:0]
		c.mu.sent = append(c.mu.sent, c.mu.unsent...)
		clear(c.mu.unsent)
		c.mu.unsent = c.mu.unsent[:0]
		c.mu.owed = c.mu.weight
		c.admitLocked()
		c.mu.Unlock()
		if _, err := conn.Write(text); err != nil {
			c.breakWith(err)
			return
		}
		if cap(text) > keptPending {
			text = nil
		}
	}
}

// reader takes the answers off a connection. calls and at belong to it until it has returned.
type reader struct {
	c        *Client
	conn     net.Conn
	parser   *wire.Parser
	response wire.Response
	buf      []byte
	calls    []*call // whose answers come next, from at on
	at       int
	goodbye  error // what the server said before it ended the connection
}

// run returns why the connection has ended.
func (r *reader) run() error {
	from, to, searched := 0, 0, 0 // buf[from:to] has come, and its first bytes hold no line's end
	for {
		if from == to {
			if from, to = 0, 0; len(r.buf) > keptPending {
				r.buf = make([]byte, readBytes)
			}
		} else if to == len(r.buf) {
			r.makeRoom(from, to)
			from, to = 0, to-from
		}
		n, err := r.conn.Read(r.buf[to:])
		if n > 0 {
			r.c.heard.Add(1)
			to += n
			used, wrong := r.take(r.buf[from:to], searched)
			if from += used; used > 0 {
				searched = 0
			}
			searched = max(searched, to-from)
			if wrong != nil {
				return wrong
			}
		}
		if err != nil {
			switch {
			case r.goodbye != nil:
				return r.goodbye
			case errors.Is(err, io.EOF):
				return fmt.Errorf("the server ended the connection: %w", io.EOF)
			}
			return err
		}
	}
}

// makeRoom moves buf[from:to] to the beginning, of a longer buffer if more than half is used.
func (r *reader) makeRoom(from, to int) {
	buf := r.buf
	if to-from > len(buf)/2 {
		buf = make([]byte, 2*len(buf))
	}
	copy(buf, r.buf[from:to])
	r.buf = buf
}

// take hands out the answers whose ends are in b, and returns how many bytes they have.
func (r *reader) take(b []byte, searched int) (used int, err error) {
	answered := 0
	defer func() { r.c.answered(answered) }()
	for {
		line, size, err := frame.NextLine(b[used:], searched, r.c.opts.MaxAnswerBytes)
		if err == frame.ErrIncomplete {
			return used, nil
		} else if err != nil {
			return used, fmt.Errorf("%w: an answer of more than %d bytes", ErrProtocol, r.c.opts.MaxAnswerBytes)
		}
		used, searched = used+size, 0
		if r.at == len(r.calls) {
			r.next()
		}
		if r.at == len(r.calls) {
			if err := r.unasked(line); err != nil {
				return used, err
			}
			continue
		}
		k := r.calls[r.at]
		done, err := k.take(r.parser, &r.response, line)
		if err == errGoodbye {
			r.goodbye = refusal(&r.response)
		} else if err != nil {
			return used, err
		}
		if done {
			r.calls[r.at] = nil
			r.at++
			answered += k.weight
			deliver(k, nil)
		}
	}
}

// next takes over what was sent since.
func (r *reader) next() {
	m := &r.c.mu
	m.Lock()
	r.calls, m.sent = m.sent, r.calls[:0]
	m.Unlock()
	r.at = 0
}

// unasked takes what answers nothing: the server's last words, or a fault.
func (r *reader) unasked(line []byte) error {
	if r.parser.Parse(line, &r.response) == nil && r.response.Op == 0 {
		r.goodbye = refusal(&r.response)
		return nil
	}
	return fmt.Errorf("%w: %.80q came unasked", ErrProtocol, line)
}

// answered makes room for more.
func (c *Client) answered(weight int) {
	if weight == 0 {
		return
	}
	c.mu.Lock()
	c.mu.weight -= weight
	c.mu.owed -= weight
	if len(c.mu.blocked) > 0 {
		c.admitLocked()
	}
	c.mu.Unlock()
}

// watchSilence gives the connection up when the server owes an answer for Options.Silence
// and sends nothing: a peer that is gone without a word answers nothing, and TCP takes a
// quarter of an hour to notice.
func (c *Client) watchSilence(conn net.Conn) *time.Timer {
	heard, silent := c.heard.Load(), 0
	every := c.opts.Silence / silenceChecks
	var watch *time.Timer
	c.mu.Lock() // so that watch is there when the time is over
	defer c.mu.Unlock()
	watch = time.AfterFunc(every, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.mu.conn != conn || c.mu.broken != nil {
			return
		}
		if now := c.heard.Load(); c.mu.owed == 0 || now != heard {
			heard, silent = now, 0
		} else if silent++; silent >= silenceChecks {
			c.breakLocked(ErrSilent)
			return
		}
		watch.Reset(every)
	})
	return watch
}
