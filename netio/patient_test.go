package netio

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"keyframe/codec/http1"
)

// scriptConn is a connection of which each read returns the next piece of in, one after the other,
// then io.EOF if it has an end, and otherwise, or if its deadline is over, os.ErrDeadlineExceeded.
type scriptConn struct {
	net.Conn // only what is below is called
	in       [][]byte
	ends     bool
	waits    func() // is called when nothing is left
	until    time.Time
	latest   time.Time // of its deadlines
	written  []byte
	shut     bool
	closed   bool
}

func (c *scriptConn) Read(p []byte) (int, error) {
	switch {
	case !c.until.IsZero() && c.until.Before(time.Now().Add(-time.Minute)):
		return 0, os.ErrDeadlineExceeded
	case len(c.in) == 0 && c.ends:
		return 0, io.EOF
	case len(c.in) == 0:
		if c.waits != nil {
			c.waits()
		}
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(p, c.in[0])
	if c.in[0] = c.in[0][n:]; len(c.in[0]) == 0 {
		c.in = c.in[1:]
	}
	return n, nil
}

func (c *scriptConn) Write(p []byte) (int, error) {
	c.written = append(c.written, p...)
	return len(p), nil
}

func (c *scriptConn) SetDeadline(t time.Time) error {
	c.until = t
	if t.After(c.latest) {
		c.latest = t
	}
	return nil
}

func (c *scriptConn) SetReadDeadline(t time.Time) error { return c.SetDeadline(t) }
func (c *scriptConn) CloseWrite() error                 { c.shut = true; return nil }
func (c *scriptConn) Close() error                      { c.closed = true; return nil }

// newShaking returns a server with one place for those who shake hands, and a client of it.
func newShaking(nc net.Conn) (*Server, *patient) {
	s := &Server{}
	s.stopping, s.stop = context.WithCancel(context.Background())
	s.tls.places = make(chan struct{}, 1)
	return s, &patient{Conn: nc, srv: s, until: time.Now().Add(time.Hour), crowded: time.Minute}
}

// TestPatientEnters: a client waits for a place until it has one, its time is over, or the server
// stops, and is counted meanwhile.
func TestPatientEnters(t *testing.T) {
	s, p := newShaking(nil)
	enters := func(want error) {
		t.Helper()
		if err := p.enter(); err != want {
			t.Errorf("%v, want %v", err, want)
		}
		if n := s.tls.queued.Load(); n != 0 {
			t.Errorf("%d are counted to wait", n)
		}
	}
	enters(nil)
	p.until = time.Now()
	enters(errCrowdedOut)
	p.until = time.Now().Add(time.Hour)
	go func() {
		for s.tls.queued.Load() == 0 { // it waits
			runtime.Gosched()
		}
		p.leave()
	}()
	enters(nil)
	go func() {
		for s.tls.queued.Load() == 0 {
			runtime.Gosched()
		}
		s.stop()
	}()
	enters(net.ErrClosed)
}

// TestPatientReads: what was read first comes first, and the end of the client's time, of the
// server, or of the patience of others ends its reading.
func TestPatientReads(t *testing.T) {
	nc := &scriptConn{in: [][]byte{[]byte("first"), []byte("second"), []byte("third")}}
	s, p := newShaking(nc)
	if err := p.readFirst(); err != nil {
		t.Fatal(err)
	}
	var got []byte
	b := make([]byte, 3)
	for len(got) < len("firstsecondthird") {
		n, err := p.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, b[:n]...)
	}
	if string(got) != "firstsecondthird" {
		t.Errorf("it reads %q", got)
	}

	// Nobody waits: it may be silent until its time is over, and no longer.
	steps := 0
	nc.waits = func() {
		if steps++; steps == 3 {
			p.until = time.Now().Add(time.Second) // less than a step
		}
	}
	if _, err := p.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) || steps != 4 {
		t.Errorf("after %d steps: %v", steps, err)
	}
	if nc.until.After(p.until) {
		t.Error("its last step is over after its time")
	}

	// Others wait: after one step its place is theirs.
	p.until, steps, nc.waits = time.Now().Add(time.Hour), 0, func() { steps++ }
	s.tls.queued.Add(1)
	if _, err := p.Read(b); err != errCrowdedOut || steps != 1 {
		t.Errorf("after %d steps: %v", steps, err)
	}
	nc.in = [][]byte{[]byte("x")}
	if n, err := p.Read(b); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	s.tls.queued.Add(-1)

	// A stop, which sets the deadline that the next step changes.
	nc.waits = s.stop
	if _, err := p.Read(b); err != net.ErrClosed {
		t.Errorf("after a stop: %v", err)
	}

	nc = &scriptConn{ends: true}
	if err := (&patient{Conn: nc, srv: s}).readFirst(); err != io.EOF {
		t.Errorf("a client that has gone: %v", err)
	}
}

// TestEndOfHandshake: what a client has sent meanwhile is read, up to a limit, though its time is
// over, so that the close does not take back what it was told.
func TestEndOfHandshake(t *testing.T) {
	s, _ := newShaking(nil)
	for _, tt := range []struct {
		name string
		err  error
		size int
		left int
	}{
		{"little", errCrowdedOut, 5000, 0},
		{"much", errCrowdedOut, 10 * http1.MaxHeadBytes, 9 * http1.MaxHeadBytes},
		{"nothing, it has gone", io.EOF, 100, 100},
	} {
		nc := &scriptConn{in: [][]byte{bytes.Repeat([]byte("x"), tt.size)}, ends: true}
		_ = nc.SetDeadline(time.Unix(1, 0))
		s.endHandshake(nc, tt.err)
		left := len(bytes.Join(nc.in, nil))
		if !nc.closed || nc.shut != (tt.err != io.EOF) || left != tt.left {
			t.Errorf("%s: closed %v, shut %v, %d bytes are left, want %d", tt.name, nc.closed, nc.shut, left, tt.left)
		}
	}
	s.stop()
	nc := &scriptConn{in: [][]byte{[]byte("x")}}
	if s.endHandshake(nc, errCrowdedOut); nc.shut || !nc.closed {
		t.Error("a stop waits for a client")
	}
}

// silentConn is a connection whose client says nothing: a read ends when its deadline is one
// that is over already.
type silentConn struct {
	scriptConn
	reads chan struct{}
	over  chan struct{}
}

func (c *silentConn) Read([]byte) (int, error) {
	close(c.reads)
	<-c.over
	return 0, os.ErrDeadlineExceeded
}

func (c *silentConn) SetDeadline(t time.Time) error {
	if t.Before(time.Now().Add(-time.Minute)) {
		close(c.over)
	}
	return nil
}

// TestStopEndsHandshake: a stop does not wait for a client that has failed to shake hands, has
// been told, and stays.
func TestStopEndsHandshake(t *testing.T) {
	s, _ := newShaking(nil)
	nc := &silentConn{reads: make(chan struct{}), over: make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.endHandshake(nc, errCrowdedOut)
	}()
	<-nc.reads
	s.stop()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("a stop waits for it")
	}
	if !nc.shut || !nc.closed {
		t.Errorf("shut %t, closed %t", nc.shut, nc.closed)
	}
}

// TestShakingTime: it is that of the options that hold now, and no more than tlsTimeout.
func TestShakingTime(t *testing.T) {
	h := newHarness(t, Options{HandshakeTimeout: time.Hour})
	if got := h.srv.shakingTime(); got != tlsTimeout {
		t.Errorf("%v", got)
	}
	opts := h.srv.opts
	opts.HandshakeTimeout = time.Second
	h.srv.live.Store(&opts)
	if got := h.srv.shakingTime(); got != time.Second {
		t.Errorf("of other options: %v", got)
	}
	few := Options{MaxBufferBytes: 16 * shakingBytes * 3}
	if got := shakingPlaces(&few); got != 3 {
		t.Errorf("%d places", got)
	}
	if few.MaxBufferBytes = 1; shakingPlaces(&few) != 1 {
		t.Error("no place")
	}
	few.MaxBufferBytes = 1 << 40
	if got := shakingPlaces(&few); got != maxShaking {
		t.Errorf("%d places of much memory", got)
	}
}
