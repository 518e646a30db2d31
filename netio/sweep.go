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

// sweepInterval is how often the event loops sweep.
func (o *Options) sweepInterval() time.Duration {
	shortest := min(o.pingAfter(), o.HandshakeTimeout, o.OutputTimeout)
	return min(max(shortest/8, minSweepInterval), maxSweepInterval)
}

// pingAfter is how long a WebSocket may be silent before it is pinged. Where there is a
// limit to that, the client has half of it to answer.
func (o *Options) pingAfter() time.Duration {
	if o.IdleTimeout == 0 {
		return o.PingInterval
	}
	return min(o.PingInterval, o.IdleTimeout/2)
}

// sweeper asks the event loops to sweep until the server has stopped.
func (s *Server) sweeper() {
	interval := s.live.Load().sweepInterval()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if now := s.live.Load().sweepInterval(); now != interval {
				interval = now
				tick.Reset(interval)
			}
			s.eachLoop((*loop).sweep)
		case <-s.stopped:
			return
		}
	}
}

// sweep visits the loop's connections.
func (l *loop) sweep() {
	now := l.srv.now()
	l.pings = l.mayPing()
	for i := len(l.conns) - 1; i >= 0; i-- { // backwards: drop moves the last one into the gap
		if i < len(l.conns) { // a turn may have cut others off
			l.sweepConn(l.conns[i], now)
		}
	}
	if c := l.longSqueezed(); c != nil {
		l.relieveOrCutOff(c)
	}
	l.findLargest()
	l.limitTurns() // other loops' connections may have left some
	l.publish()    // what was counted outside turns, too
}

// mayPing is how many clients one sweep may ping: twice what it takes to ping all
// connections in turn. Thousands that have been silent since the same moment would hold
// the loop up for as many writes. 10,000 silent WebSockets take 1.06 % of a core with
// their pings and answers, and 0.85 % without: 12 µs a ping.
func (l *loop) mayPing() int {
	opts := l.opts
	return 1 + int(2*int64(len(l.conns))*int64(opts.sweepInterval())/int64(opts.pingAfter()))
}

func (l *loop) sweepConn(c *conn, now time.Time) {
	opts := l.opts
	unread := c.out.unread.Load()
	// A client that reads its answers is no more idle than one that sends.
	// Nor is one whose answers are held back.
	active := c.active || unread != c.lastUnread || c.commit.exists()
	c.active, c.lastUnread = false, unread
	if active {
		c.pinged, c.lastSeen = false, now
	}
	silent := now.Sub(c.lastSeen)
	l.account(c)
	switch {
	case c.identity != nil && c.phase == phaseOpen && l.endUnidentified(c, now):
	case c.squeezed && l.relieve(c):
	case c.phase == phaseLinger:
		if !c.deadline.IsZero() && now.After(c.deadline) {
			l.closeUnsent(c)
		}
	case c.isShakingHands():
		switch {
		case c.deadline.IsZero():
			c.deadline = now.Add(opts.HandshakeTimeout)
		case now.After(c.deadline):
			l.count.Errors[ErrorHandshakeTimeout]++
			l.closeUnsent(c)
		}
	case l.tooSlow(c, unread, now):
		l.slowConsumer(c, "it is too far behind for too long")
	case active:
	case opts.IdleTimeout > 0 && silent >= opts.IdleTimeout && c.detached:
		l.count.Errors[ErrorIdleTimeout]++
		l.closeUnsent(c)
	case opts.IdleTimeout > 0 && silent >= opts.IdleTimeout:
		l.count.Errors[ErrorIdleTimeout]++
		l.closeNow(c, newIdleEnd(opts.IdleTimeout))
	case c.pinged && now.After(c.deadline):
		l.count.Errors[ErrorIdleTimeout]++
		l.closeNow(c, errNoPong)
	case !c.pinged && c.gc != nil && !c.detached && c.framing != nil && silent >= opts.pingAfter() && l.pings > 0:
		// A client that is alive answers the ping, and is not idle.
		var ok bool
		if l.pipe.out, ok = c.framing.appendPing(l.pipe.out); ok {
			l.pings--
			c.pinged, c.deadline = true, now.Add(opts.PingInterval)
			if err := l.send(c); err != nil {
				l.fail(c, err)
				return
			}
			l.account(c)
			c.lastUnread = c.out.unread.Load() // the ping itself is no sign of life
		}
	}
}

var errNoPong = &frame.CloseError{Code: frame.CloseGoingAway, Reason: "no answer to a ping"}

// isShakingHands reports whether a connection has begun to speak, and not come to its
// first command. One that has sent nothing is idle, as those of a pool are.
func (c *conn) isShakingHands() bool {
	if c.framing == nil {
		return c.pending.Len() > 0
	}
	return !c.framing.settled()
}

// tooSlow reports whether a client has had more than half of what it may leave unread for
// OutputTimeout: one that takes a byte now and then would hold that memory for ever.
func (l *loop) tooSlow(c *conn, unread int64, now time.Time) bool {
	if unread <= c.out.resume.Load() {
		c.behindSince = time.Time{}
		return false
	}
	if c.behindSince.IsZero() {
		c.behindSince = now
	}
	return now.Sub(c.behindSince) >= l.opts.OutputTimeout
}

// drain begins the end of every connection: what has been read is served, then
// the connection is closed. Those with something left get the turn that they wait for, so
// this is short; it stops all the same when the stop's deadline is over.
func (l *loop) drain() {
	for i := len(l.conns) - 1; i >= 0 && !l.srv.isStopped(); i-- {
		if i < len(l.conns) { // a turn may have cut others off
			l.serve(l.conns[i], nil)
		}
	}
}
