package netio

import (
	"errors"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// parkBytes is how much input may wait for a connection's turns. A client that
// sends more is made to wait, by TCP.
const parkBytes = 1 << 20

// parkAt is that of a connection: nobody's holds no more than it may send, though an AUTH is
// under way.
func (l *loop) parkAt(c *conn) int {
	if c.identity.isNobody() {
		return min(maxUnknownBytes, l.srv.shares.parkBytes)
	}
	return l.srv.shares.parkBytes
}

// park takes a connection's socket away from gnet, which has no other way to
// stop reading it: the kernel's buffer fills, and the client can't send on. A
// client may ask for any number of answers at once, and gets them as fast as it
// reads them; its commands wait on its own side meanwhile.
func (l *loop) park(c *conn) {
	if c.gc == nil {
		return
	}
	if err := c.out.detach(); err != nil {
		l.srv.log.Error("no descriptor to make a client wait with", "remote", c.remote, "error", err)
		l.drop(c)
		return
	}
	gc := c.gc
	c.gc, c.parked = nil, true
	gc.SetContext(nil) // gnet's later events of this gc are no longer about c
	l.el.close(gc)
}

// unpark gives the socket back to the event loop that it came from; reopen follows.
func (l *loop) unpark(c *conn) {
	if c.unparking {
		return
	}
	c.unparking = true
	l.el.enroll(c, func(err error) { l.unparkFailed(c, err) })
}

func (l *loop) unparkFailed(c *conn, err error) {
	if !errors.Is(err, unix.ENOTCONN) { // else it has left
		l.srv.log.Error("a client that was made to wait is lost", "remote", c.remote, "error", err)
	}
	l.drop(c)
}

// reopen takes the connection in again.
func (l *loop) reopen(c *conn, gc gnet.Conn, sock socket) gnet.Action {
	if c.phase == phaseClosed {
		gc.SetContext(nil)
		return gnet.Close
	}
	c.gc, c.parked, c.unparking = gc, false, false
	c.out.attach(sock)
	return gnet.None
}
