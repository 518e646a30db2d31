package netio

import "time"

// The sweep looks at every connection a few times a second: for timeouts, and
// for clients that have to be pinged. A turn keeps no time, it only marks its
// connection active.

const (
	minSweepInterval = 5 * time.Millisecond
	maxSweepInterval = 250 * time.Millisecond
)

// sweeper asks the event loops to sweep until the server has stopped.
func (s *Server) sweeper() {
	shortest := min(s.opts.IdleTimeout, s.opts.HandshakeTimeout)
	tick := time.NewTicker(min(max(shortest/8, minSweepInterval), maxSweepInterval))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.eachLoop((*loop).sweep)
		case <-s.stopped:
			return
		}
	}
}

// sweep visits the loop's connections.
func (l *loop) sweep() {
	now := time.Now()
	for i := len(l.conns) - 1; i >= 0; i-- { // backwards: drop moves the last one into the gap
		l.sweepConn(l.conns[i], now)
	}
}

func (l *loop) sweepConn(c *conn, now time.Time) {
	opts := &l.srv.opts
	settled := c.framing == framingLines || c.framing == framingWebSocket
	switch {
	case c.phase == phaseLinger, c.detached, !settled:
		if now.After(c.deadline) {
			l.drop(c)
		}
	case c.active:
		c.active, c.pinged, c.lastSeen = false, false, now
	case now.Sub(c.lastSeen) >= opts.IdleTimeout:
		l.closeNow(c, &closeError{closeGoingAway, "idle"})
	case c.framing == framingWebSocket && !c.pinged && now.Sub(c.lastSeen) >= opts.IdleTimeout/2:
		// A client that is there answers, and is not idle.
		c.pinged = true
		l.out = appendControl(l.out, opPing, nil)
		if l.send(c) != nil {
			l.drop(c)
		}
	}
}

// drain begins the end of every connection: what has been read is served, then
// the connection is closed.
func (l *loop) drain() {
	for i := len(l.conns) - 1; i >= 0; i-- {
		l.serve(l.conns[i], nil)
	}
}
