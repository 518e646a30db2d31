package netio

import (
	"errors"
	"io"
	"time"

	"keyframe/codec"
	"keyframe/netio/frame"
)

// This file is the end of a connection: who may end it, and how the last bytes
// reach the client.

// close begins the end of a connection: the last bytes are appended to the
// output, and nothing more is read. Whatever is in the batch must be flushed.
func (l *loop) close(c *conn, err error) {
	var why *frame.CloseError
	if !errors.As(err, &why) {
		panic("BUG: netio: close without a code: " + err.Error())
	}
	switch {
	case c.framing == framingWebSocket && why.Code == frame.CloseNoCode:
		l.out = frame.AppendControl(l.out, frame.Close, nil)
	case c.framing == framingWebSocket:
		l.out = frame.AppendClose(l.out, why.Code, why.Reason)
	case why.Code == frame.CloseTooBig:
		l.out = codec.AppendServerError(l.out, 5, why.Reason)
		l.out = append(l.out, '\n')
	}
	l.count.countClose(why)
	c.phase = phaseLinger
	c.deadline = time.Time{} // send sets it, or the outbox when it has drained
}

// closeNow is close for a connection that is not in a turn.
func (l *loop) closeNow(c *conn, err error) {
	l.close(c, err)
	if l.send(c) != nil {
		l.drop(c)
	}
}

// slowConsumer closes a connection whose client does not read, or not enough.
func (l *loop) slowConsumer(c *conn, reason string) {
	l.srv.counters.slowConsumers.Add(1)
	l.srv.log.Warn("closing a slow consumer", "remote", c.remote, "reason", reason, "unread", c.out.unread.Load())
	l.closeNow(c, &frame.CloseError{Code: frame.ClosePolicy, Reason: "slow consumer: responses are not being read"})
	if c.phase == phaseLinger && c.deadline.IsZero() {
		c.deadline = l.srv.now().Add(lingerTimeout) // it has had its time to read
	}
}

// onClose is gnet telling that the connection is closed.
func (l *loop) onClose(c *conn, err error) {
	if c.phase == phaseClosed {
		return
	}
	left := c.hasPending() || c.out.writing.Load()
	if !left || l.srv.isStopped() || !errors.Is(err, io.EOF) || c.out.detach() != nil {
		l.drop(c)
		return
	}
	// The client has shut down its sending side only, as far as anybody can
	// tell. It has a right to the answers of what it sent.
	c.gc, c.detached = nil, true
	if c.phase == phaseOpen {
		l.again(c)
	}
}

// finishDetached ends a detached connection: all it sent has been served.
func (l *loop) finishDetached(c *conn) {
	if c.out.writing.Load() {
		return // until the writer reports
	}
	l.drop(c)
}

// cutOff ends a connection whose client has had its time to take what is left.
func (l *loop) cutOff(c *conn) {
	if c.out.unread.Load() > 0 {
		l.srv.counters.cutOff.Add(1)
	}
	l.drop(c)
}

// drop ends a connection at once.
func (l *loop) drop(c *conn) {
	if c.phase == phaseClosed {
		return
	}
	c.phase = phaseClosed
	last := len(l.conns) - 1
	l.conns[c.index] = l.conns[last]
	l.conns[c.index].index = c.index
	l.conns[last] = nil
	l.conns = l.conns[:last]
	c.out.abandon()
	c.pending, c.start = nil, 0
	c.releaseMessage()
	l.srv.counters.conns.Add(-1)
	if c.gc != nil {
		gc := c.gc
		c.gc = nil
		l.el.close(gc)
	}
}
