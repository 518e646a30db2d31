package netio

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"keyframe/netio/seal"
)

// newSecured returns a harness whose connection has TLS, and its client's end.
func newSecured(t *testing.T, version uint16) (*harness, *seal.Conn) {
	t.Helper()
	h := newHarness(t, Options{})
	server, client := newTLSConfigs(t).shakenHands(t, version)
	h.conn.tls, h.loop.el = &tlsConn{Conn: server}, &testLoop{h: h}
	return h, client
}

// ended checks that the connection is gone, and nothing is held for it, and returns all that has
// left.
func (h *harness) ended() (left []byte) {
	h.t.Helper()
	_ = unix.Close(h.socket) // as gnet does
	_ = h.store.Close()
	left, _ = io.ReadAll(h.client) // nothing, if the client is gone
	if h.conn.phase != phaseClosed || h.loop.held != (usage{}) || h.srv.counters.conns.Load() != 0 {
		h.t.Errorf("phase %d, %+v are held, %d connections are counted", h.conn.phase, h.loop.held, h.srv.counters.conns.Load())
	}
	return left
}

func bothTLSVersions(t *testing.T, test func(t *testing.T, version uint16)) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) { test(t, version) })
	}
}

// TestTLSAlertUnsent: a client that sends a record that is false, and is gone when it is to be told.
func TestTLSAlertUnsent(t *testing.T) {
	bothTLSVersions(t, func(t *testing.T, version uint16) {
		h, _ := newSecured(t, version)
		_ = h.client.Close()
		h.loop.receive(h.conn, []byte("\x17\x03\x03\x00\x20"+strings.Repeat("x", 32)))
		h.ended()
	})
}

// TestTLSUnsealed: what can't be sealed does not leave, and the connection ends.
func TestTLSUnsealed(t *testing.T) {
	bothTLSVersions(t, func(t *testing.T, version uint16) {
		h, _ := newSecured(t, version)
		_, alert, err := h.conn.tls.Open(nil, []byte("\x17\x03\x03\x00\x20"+strings.Repeat("x", 32)), nil)
		if err == nil || len(alert) == 0 {
			t.Fatalf("a record that is false: %x, %v", alert, err)
		}
		h.loop.serve(h.conn, []byte("{\"COUNT\":{}}\n"))
		if left := h.ended(); len(left) > 0 {
			t.Errorf("%q has left", left)
		}
	})
}

// TestTLSPartWithoutRoom: a part of a record, when all connections together hold what they may.
func TestTLSPartWithoutRoom(t *testing.T) {
	bothTLSVersions(t, func(t *testing.T, version uint16) {
		h, client := newSecured(t, version)
		sealed, err := client.Seal(nil, []byte(strings.Repeat("x", 8000)))
		if err != nil {
			t.Fatal(err)
		}
		b := &h.srv.budget
		h.conn.share = 0
		if all := int(b.limit - b.reserved); !b.take(all) {
			t.Fatal("something is used already")
		} else {
			defer b.giveBack(all)
		}
		h.loop.receive(h.conn, sealed[:len(sealed)-1])
		if left := h.ended(); len(left) > 0 || h.loop.count.CutOff != 1 {
			t.Errorf("%q has left, %d are counted to be cut off", left, h.loop.count.CutOff)
		}
	})
}

// TestTLSLargeAnswer: what a loop needed to seal a large answer it does not keep.
func TestTLSLargeAnswer(t *testing.T) {
	bothTLSVersions(t, func(t *testing.T, version uint16) {
		h, client := newSecured(t, version)
		value := strings.Repeat("v", maxKeptSealed)
		h.startReading()
		h.feed([]byte(`{"SETQ":{"large_key":"` + value + "\"}}\n"))
		h.feed([]byte("{\"GET\":[\"large_key\"]}\n"))
		if n := cap(h.loop.sealed); n > maxKeptSealed {
			t.Errorf("%d bytes are kept", n)
		}
		plain, _, err := client.Open(nil, h.finish(), nil)
		if want := `{"GET_RSP":{"st":0,"large_key":"` + value + "\"}}\n"; string(plain) != want || err != nil && err != io.EOF {
			t.Errorf("%d bytes came, want %d: %v", len(plain), len(want), err)
		}
	})
}

// TestTLSNotEnrolled: a client that has shaken hands, and that no event loop can have, is closed
// and not counted any more.
func TestTLSNotEnrolled(t *testing.T) {
	h := newHarness(t, Options{})
	s, configs := h.srv, newTLSConfigs(t)
	s.tls.certs.current.Store(configs.server)
	s.tls.places, s.tls.pace = make(chan struct{}, 1), make(seal.Pace, 1)
	s.loops = &gnet.Client{}
	defer h.store.Close()
	near, far := net.Pipe() // it has no descriptor that a loop could have
	s.counters.conns.Add(1)
	s.counters.accepted.Add(1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.shakeHands(near)
	}()
	client := tls.Client(far, configs.client)
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if n, err := client.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("the client reads %d bytes, %v", n, err)
	}
	<-done
	st := s.tls.stats()
	if shaken := st.Handshakes[len(tlsVersions)-1]; shaken != 1 || st.Shaking != 0 || len(s.tls.places) != 0 {
		t.Errorf("%d have shaken hands, %d do, %d places are taken", shaken, st.Shaking, len(s.tls.places))
	}
	if conns, accepted := s.counters.conns.Load(), s.counters.accepted.Load(); conns != 1 || accepted != 0 { // the harness's
		t.Errorf("%d connections are open, %d were accepted", conns, accepted)
	}
}

// TestTLSFailureNames: what is no other reason, and what is none.
func TestTLSFailureNames(t *testing.T) {
	if f := tlsFailureOf(errors.New("anything")); f != TLSOther {
		t.Errorf("it is %v", f)
	}
	if got := TLSFailure(NumTLSFailures).String(); got != "unknown" {
		t.Errorf("it is called %q", got)
	}
}
