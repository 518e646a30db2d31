package netio

import (
	"time"

	"keyframe/netio/frame"
)

// The sweep looks at every connection a few times a second: for timeouts, and
// for clients that have to be pinged. A turn keeps no time, it only marks its
// connection active.

const (
	minSweepInterval = 5 * time.Millisecond
	maxSweepInterval = 250 * time.Millisecond
)

// sweeper asks the event loops to sweep until the server has stopped.
func (s *Server) sweeper() {
	shortest := min(s.opts.IdleTimeout, s.opts.HandshakeTimeout, s.opts.OutputTimeout)
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
	now := l.srv.now()
	for i := len(l.conns) - 1; i >= 0; i-- { // backwards: drop moves the last one into the gap
		l.sweepConn(l.conns[i], now)
	}
	l.publish() // what was counted outside turns, too
}

func (l *loop) sweepConn(c *conn, now time.Time) {
	opts := &l.srv.opts
	settled := c.framing != nil && c.framing.settled()
	unread := c.out.unread.Load()
	// A client that reads its answers is no more idle than one that sends.
	// Nor is one whose answers are held back.
	active := c.active || unread != c.lastUnread || c.commit.exists()
	c.active, c.lastUnread = false, unread
	switch {
	case c.phase == phaseLinger, !settled:
		if !c.deadline.IsZero() && now.After(c.deadline) {
			if c.phase == phaseOpen {
				l.count.Errors[ErrorHandshakeTimeout]++
			}
			l.closeUnsent(c)
		}
	case l.tooSlow(c, unread, now):
		l.slowConsumer(c, "it is too far behind for too long")
	case active:
		c.pinged, c.lastSeen = false, now
	case now.Sub(c.lastSeen) >= opts.IdleTimeout && c.detached:
		l.count.Errors[ErrorIdleTimeout]++
		l.closeUnsent(c)
	case now.Sub(c.lastSeen) >= opts.IdleTimeout:
		l.count.Errors[ErrorIdleTimeout]++
		l.closeNow(c, &frame.CloseError{Code: frame.CloseGoingAway, Reason: "idle"})
	case !c.pinged && c.gc != nil && now.Sub(c.lastSeen) >= opts.IdleTimeout/2:
		// A client that is alive answers the ping, and is not idle.
		var ok bool
		if l.pipe.out, ok = c.framing.appendPing(l.pipe.out); ok {
			c.pinged = true
			if l.send(c) != nil {
				l.drop(c)
			}
		}
	}
}

// tooSlow reports whether a client has had more than half of MaxOutputBytes unread for
// OutputTimeout: one that takes a byte now and then would hold that memory for ever.
func (l *loop) tooSlow(c *conn, unread int64, now time.Time) bool {
	if unread <= int64(l.srv.opts.MaxOutputBytes/2) {
		c.behindSince = time.Time{}
		return false
	}
	if c.behindSince.IsZero() {
		c.behindSince = now
	}
	return now.Sub(c.behindSince) >= l.srv.opts.OutputTimeout
}

// drain begins the end of every connection: what has been read is served, then
// the connection is closed.
func (l *loop) drain() {
	for i := len(l.conns) - 1; i >= 0; i-- {
		l.serve(l.conns[i], nil)
	}
}
