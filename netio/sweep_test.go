package netio

import (
	"strings"
	"testing"
	"time"
)

// TestPingsArePaced: connections that have been silent since the same moment are not
// pinged at once, and each is pinged in time.
func TestPingsArePaced(t *testing.T) {
	h := newHarness(t, Options{})
	now := time.Now()
	h.srv.now = func() time.Time { return now }
	const clients = 1000
	for range clients {
		c := &conn{}
		sock := &simSocket{client: &simClient{}, room: 100, descriptors: 1}
		h.loop.open(c, &simConn{client: sock.client}, sock)
		c.framing = newWSFraming(&h.srv.opts)
	}
	pinged := func() (n int) {
		for _, c := range h.loop.conns {
			if c.pinged {
				n++
			}
		}
		return n
	}
	now = now.Add(h.srv.opts.PingInterval)
	sweeps, before := 0, 0
	for pinged() < clients {
		h.loop.sweep()
		n := pinged()
		if most := 2*clients*int(h.srv.opts.sweepInterval())/int(h.srv.opts.PingInterval) + 1; n-before > most || n == before {
			t.Fatalf("sweep %d pings %d clients, want 1 to %d", sweeps, n-before, most)
		}
		before = n
		sweeps++
		now = now.Add(h.srv.opts.sweepInterval())
	}
	if took := time.Duration(sweeps) * h.srv.opts.sweepInterval(); took > h.srv.opts.PingInterval {
		t.Errorf("it took %v to ping all", took)
	}
	if len(h.loop.conns) != clients+1 {
		t.Errorf("%d connections are left, want %d", len(h.loop.conns), clients+1)
	}
}

// TestPingBesideUnreadAnswers: a client that reads nothing and has answers to read is pinged
// once, as others are, and closed when no pong comes. One that has shut its sending side
// down can't answer: the ping that is on its way does not cut it off from its answers, and
// no other follows.
func TestPingBesideUnreadAnswers(t *testing.T) {
	value := strings.Repeat("v", 900<<10) // more than the socket takes
	for _, shut := range []bool{false, true} {
		h := newHarness(t, Options{})
		now := time.Now()
		h.srv.now = func() time.Time { return now }
		sweepAfterPing := func() {
			now = now.Add(h.srv.opts.PingInterval + time.Second)
			h.loop.sweep()
		}
		h.conn.framing = newWSFraming(&h.srv.opts)
		h.feed(textFrame(`{"SET":{"unread":"` + value + `"}}`))
		h.feed(textFrame(`{"GET":["unread"]}`))
		h.loop.sweep()
		h.conn.gc = &simConn{client: &simClient{}} // only those that gnet knows are pinged
		sweepAfterPing()
		if !h.conn.pinged || !h.conn.out.writing.Load() {
			t.Fatalf("pinged %v, its answers wait %v", h.conn.pinged, h.conn.out.writing.Load())
		}
		end := "close 1001: no answer to a ping"
		if shut {
			h.shutSide()
			end = "ping"
			sweepAfterPing()
			sweepAfterPing()
		}
		sweepAfterPing()
		if ended := h.conn.phase != phaseOpen; ended == shut {
			t.Fatalf("shut %v: phase %d", shut, h.conn.phase)
		}
		h.startReading()
		if !shut {
			h.conn.gc = nil // all may have been read by now: then it is closed, and there is no gnet
			h.shutSide()
		}
		got := serverMessages(t, h.awaitEnd())
		if len(got) < 3 || got[1] != `{"GET_RSP":{"st":0,"unread":"`+value+`"}}` || got[2] != "ping" || got[len(got)-1] != end {
			t.Errorf("shut %v: got %.100q, want the value, one ping and %s", shut, got, end)
		}
	}
}

// TestDrainIsShort: a stop begins without serving anything: a loop with thousands of
// connections would be in that task past the stop's deadline. It doesn't begin at all once the
// deadline is over.
func TestDrainIsShort(t *testing.T) {
	h := newHarness(t, Options{})
	idle, _ := h.newConn()
	h.startReading()
	h.loop.pipe.shares.turnCost = 1000
	h.loop.serve(h.conn, []byte(strings.Repeat("{\"COUNT\":{}}\n", 100)))
	before := h.loop.count.Queries
	if before == 100 {
		t.Fatal("nothing is left to serve: the test needs more")
	}
	h.srv.draining.Store(true)
	h.loop.drain()
	if h.loop.count.Queries != before || h.conn.phase != phaseOpen {
		t.Fatalf("%d commands are executed in the drain's own task", h.loop.count.Queries-before)
	}
	if idle.phase == phaseOpen {
		t.Fatal("a connection with nothing to serve is not closed")
	}
	h.runReady()
	if h.conn.phase != phaseLinger || h.loop.count.Queries != 100 {
		t.Fatalf("phase %d, %d commands of 100", h.conn.phase, h.loop.count.Queries)
	}
	h.finish()

	h = newHarness(t, Options{})
	h.startReading()
	close(h.srv.stopped)
	h.srv.draining.Store(true)
	h.loop.drain()
	if h.conn.phase != phaseOpen {
		t.Fatal("it goes on after the deadline")
	}
}
