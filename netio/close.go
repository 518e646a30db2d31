package netio

import (
	"errors"
	"io"
	"time"

	"keyframe/netio/frame"
)

// This file is the end of a connection: what may end it, and how the last bytes
// reach the client.

// closeNow begins the end of a connection that is not in a turn, and says why. What its client
// has asked for and not been answered is not.
func (l *loop) closeNow(c *conn, why error) {
	if c.commit != nil {
		c.commit.waits = nil // nobody would clear it any more, and the end wait for it
	}
	if c.framing != nil {
		l.pipe.out = c.framing.appendEnd(l.pipe.out, why)
	} else { // it has not chosen: a line is what any client can make something of
		l.pipe.out = (&lineFraming{}).appendEnd(l.pipe.out, why)
	}
	l.count.countEnd(why)
	l.linger(c)
	if err := l.send(c); err != nil {
		l.fail(c, err)
		return
	}
	l.account(c)
}

// toldEnd is a reason to end a connection that a line client is told, too: s is the number
// of the SERVER_ERROR.
type toldEnd struct {
	frame.CloseError
	s int
}

// newIdleEnd ends a connection that has been idle for as long as Options.IdleTimeout allows.
func newIdleEnd(limit time.Duration) *toldEnd {
	return &toldEnd{frame.CloseError{Code: frame.CloseGoingAway, Reason: "idle for " + limit.String()}, sIdle}
}

// sIdle is the number of the last answer to a client that has been idle for too long.
const sIdle = 6

// linger begins the end of a connection to which the last bytes are on their way: nothing
// more is read.
func (l *loop) linger(c *conn) {
	c.phase = phaseLinger
	c.deadline = time.Time{} // send sets it, or the outbox when it has drained
}

// slowConsumer closes a connection whose client does not read, or not enough. One that a
// committer keeps waiting is answered first, and looked at again.
func (l *loop) slowConsumer(c *conn, reason string) {
	if c.commit.exists() {
		return
	}
	l.srv.counters.slowConsumers.Add(1)
	l.srv.log.Warn("closing a slow consumer", "remote", c.remote, "reason", reason, "unread", c.out.unread.Load())
	l.closeNow(c, &frame.CloseError{Code: frame.ClosePolicy, Reason: "slow consumer: responses are not being read"})
	if c.phase == phaseLinger && c.deadline.IsZero() {
		c.deadline = l.srv.now().Add(lingerTimeout) // it has had its time to read
	}
}

// onClose is called when gnet has closed the connection, or is about to.
func (l *loop) onClose(c *conn, err error) {
	if c.phase == phaseClosed {
		return
	}
	if c.tls != nil && !c.detached && c.phase == phaseOpen && errors.Is(err, io.EOF) {
		l.srv.countTLSFailure(TLSTruncated)
	}
	left := c.hasPending() || c.out.writing.Load() || c.commit.exists()
	if !left || l.srv.isStopped() || !errors.Is(err, io.EOF) || c.out.detach() != nil {
		l.drop(c)
		return
	}
	// The client has shut down its sending side only, as far as can be
	// known, and has a right to the answers of what it sent.
	c.gc, c.detached = nil, true
	c.pinged = false // it can't answer any more
	if c.phase == phaseOpen {
		l.reschedule(c)
	}
}

// finishDetached ends a detached connection: all it sent has been served.
func (l *loop) finishDetached(c *conn) {
	if c.out.writing.Load() {
		return // until the writer reports
	}
	if c.tls != nil {
		l.sealed = c.tls.Close(l.sealed[:0])
		if c.out.send(l.sealed) == nil && c.out.writing.Load() {
			l.account(c)
			return
		}
	}
	l.drop(c)
}

// closeUnsent ends a connection whose client has had its time to take what is left.
func (l *loop) closeUnsent(c *conn) {
	if c.out.unread.Load() > 0 {
		l.srv.counters.closedUnsent.Add(1)
	}
	l.drop(c)
}

// drop ends a connection at once.
func (l *loop) drop(c *conn) {
	if c.phase == phaseClosed {
		return
	}
	c.phase = phaseClosed
	if f, ok := c.framing.(*respFraming); ok {
		l.leave(f)
	}
	last := len(l.conns) - 1
	l.conns[c.index] = l.conns[last]
	l.conns[c.index].index = c.index
	l.conns[last] = nil
	l.conns = l.conns[:last]
	c.out.abandon()
	c.commit = nil
	c.release()
	l.account(c)
	l.returnShare(c)
	l.srv.counters.conns.Add(-1)
	if c.gc != nil {
		gc := c.gc
		c.gc = nil
		l.el.close(gc)
	}
}
