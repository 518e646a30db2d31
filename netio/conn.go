package netio

import (
	"net"
	"time"

	"github.com/panjf2000/gnet/v2"
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

	framing framing // nil until the first bytes have chosen it
	phase   phase
	index   int // in loop.conns

	// The input that could not be served yet: pending[start:].
	pending []byte
	start   int
	// unfinished is how far the first command of the input has come.
	unfinished

	commit *uncommitted // nil: the loop has no committer

	ready     bool // it waits in loop.ready for its next turn
	paused    bool // it had MaxOutputBytes of unread responses; no turns until the client has read
	parked    bool // too much is pending: gnet does not watch the socket, so that TCP pushes back
	unparking bool // and is about to be watched again
	detached  bool // the client has shut its sending side down: answer what is left, then close

	// Times are kept by the sweep; a turn only marks active.
	active      bool  // bytes have arrived since the last sweep
	pinged      bool  // a ping is on its way to a silent client
	lastUnread  int64 // at the last sweep
	lastSeen    time.Time
	behindSince time.Time // too much is unread since then; zero: it is not
	deadline    time.Time // of the handshake, of a ping's answer, of lingering; zero: none
}

// hasPending reports whether there is input that no turn has used up.
func (c *conn) hasPending() bool {
	if c.start < len(c.pending) {
		return true
	}
	if c.framing == nil {
		return false
	}
	_, ok := c.framing.joined()
	return ok
}

// stalled reports whether it gets no turn, though there may be work left.
func (c *conn) stalled() bool {
	return c.paused || c.commit != nil && c.commit.stalls()
}

// release gives back what the framing holds of unfinished messages.
func (c *conn) release() {
	if c.framing != nil {
		c.framing.release()
	}
}

// keep stores what a turn has left of src, of which it used n bytes. src is
// either the loop's read buffer or c.pending[c.start:].
func (c *conn) keep(src []byte, n int) {
	rest := src[n:]
	mangle(src[:n])
	switch {
	case len(rest) == 0:
		// Give the memory back: an idle connection costs little, and the
		// next partial frame may never come.
		c.pending, c.start = nil, 0
	case c.pending == nil:
		c.pending = append(make([]byte, 0, max(minPending, len(rest))), rest...)
	default:
		c.start += n
		// Move the rest down only when that frees at least as much as it
		// copies: linear work in all.
		if c.start > len(c.pending)/2 {
			c.pending = c.pending[:copy(c.pending, c.pending[c.start:])]
			c.start = 0
		}
	}
}

// minPending is the first size of a buffer for partial frames.
const minPending = 4 << 10

// input returns the bytes to serve: what is pending, then in.
func (c *conn) input(in []byte) []byte {
	if c.pending == nil {
		return in
	}
	c.pending = append(c.pending, in...)
	return c.pending[c.start:]
}
