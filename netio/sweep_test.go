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
