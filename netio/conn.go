package netio

import (
	"net"
	"time"

	"github.com/panjf2000/gnet/v2"

	"keyframe/netio/buffer"
)

// phase is where a connection is in its life.
type phase uint8

const (
	phaseOpen   phase = iota // commands are served
	phaseLinger              // the last bytes are on their way; input is thrown away
	phaseClosed              // finished; nothing refers to it any more
)

// lingerTimeout is how long a connection that the server has closed may take to
// read the last bytes and close its side. Closing at once would reset the
// connection when there is unread input, and the client would lose the answer
// that tells it why.
const lingerTimeout = 2 * time.Second

// conn is the state of one connection. It belongs to its event loop: no other
// goroutine touches it, except the outbox's writer, which touches the outbox.
//
// Frame bytes: OnTraffic lends the loop's read buffer for one call. What a turn
// leaves over, half a frame or commands that must wait, is copied to pending and
// served from there until pending is empty.
type conn struct {
	gc     gnet.Conn // nil while gnet does not know it: detached, parked
	loop   *loop
	remote net.Addr
	out    outbox
	tls    *tlsConn // nil: bytes are what they are

	framing framing // nil until the first bytes have chosen it
	phase   phase
	share   uint16 // what it may always hold
	index   int32  // in loop.conns

	pending buffer.Growing // the input that could not be served yet
	// unfinished is how far the first command of the input has come.
	unfinished

	commit   *uncommitted // nil: nothing of it ever waits, as there are no committer and no users
	identity *identity    // who it is; nil: there are no users

	ready     bool // it waits in loop.ready for its next turn
	paused    bool // it has too much unread; no turns until the client has read
	squeezed  bool // it holds more than the budget has left: it is not read, nor served while it has answers unread
	parked    bool // too much is pending: gnet does not watch the socket, so that TCP pushes back
	unparking bool // and is about to be watched again
	detached  bool // the client has shut its sending side down, or has said so in TLS: answer what is left, then close

	// Times are kept by the sweep; a turn only marks active.
	active      bool  // bytes have arrived since the last sweep
	pinged      bool  // a ping is on its way to a silent client
	lastUnread  int64 // at the last sweep
	lastSeen    time.Time
	behindSince time.Time // too much is unread since then; zero: it is not
	deadline    time.Time // of the handshake, of a ping's answer, of lingering; zero: none

	held       usage // what it holds, as the loop has counted it
	charge     int   // how much of that is above its share, and so the budget's
	squeezedAt int64 // in Unix nanoseconds
}

// hasPending reports whether there is input that no turn has used up.
func (c *conn) hasPending() bool {
	if c.pending.Len() > 0 {
		return true
	}
	if c.framing == nil {
		return false
	}
	_, ok := c.framing.joined()
	return ok
}

// needsTurn reports whether a turn without input would find something to do, unless the server
// stops. Most connections have been served when their answers are released.
func (c *conn) needsTurn() bool {
	return c.hasPending() || c.resume.More || c.check != nil || c.commit.waits != nil || c.detached || c.parked || c.squeezed || c.charge > 0
}

// stalled reports whether it gets no turn, though there may be work left.
func (c *conn) stalled() bool {
	return c.paused || c.commit != nil && c.commit.stalls()
}

// release gives back what it holds of input.
func (c *conn) release() {
	c.pending.Release()
	if c.framing != nil {
		c.framing.release()
	}
}

// keep stores what a turn has left of src, of which it used n bytes. src is
// either the loop's read buffer or what is pending. It returns false if there is no memory
// for it.
func (l *loop) keep(c *conn, src []byte, n int) bool {
	mangle(src[:n])
	if c.pending.Len() > 0 {
		c.pending.Drop(n)
		return true
	}
	return n == len(src) || l.addPending(c, src[n:])
}

// input returns the bytes to serve: what is pending, then in; or false if there is no memory
// for that.
func (l *loop) input(c *conn, in []byte) ([]byte, bool) {
	if c.pending.Len() == 0 {
		return in, true
	}
	if len(in) > 0 && !l.addPending(c, in) {
		return nil, false
	}
	return c.pending.Bytes(), true
}

func (l *loop) addPending(c *conn, p []byte) bool {
	if n := c.pending.Growth(len(p)); n > 0 && !l.reserve(c, usage{input: n}) {
		return false
	}
	c.pending.Append(p)
	return true
}
