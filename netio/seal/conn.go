package seal

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"slices"
	"time"
)

// Pace bounds how many handshakes compute at the same time: it is a token for each. A
// handshake has one while it computes and none while it waits for its client, so clients
// that don't go on keep nobody from going on.
type Pace chan struct{}

// Conn is one end of a TLS connection.
type Conn struct {
	tls  *tls.Conn
	wire wire
	done bool // it has failed: nothing more can be sealed
}

// Server returns the server's end of a connection over nc. Without a pace handshakes
// compute when they like.
func Server(nc net.Conn, config *tls.Config, pace Pace) *Conn {
	c := &Conn{wire: wire{Conn: nc, pace: pace}}
	c.tls = tls.Server(&c.wire, config)
	return c
}

// Client returns the client's end of a connection over nc.
func Client(nc net.Conn, config *tls.Config) *Conn {
	c := &Conn{wire: wire{Conn: nc}}
	c.tls = tls.Client(&c.wire, config)
	return c
}

// Handshake shakes hands. It waits for the other end, until nc's deadline.
func (c *Conn) Handshake() error {
	defer c.wire.rest()
	return c.tls.Handshake()
}

// Waiting returns the connection as one that waits, for what comes between the handshake
// and Detach. If it is not detached it must be closed, for the sake of its pace.
func (c *Conn) Waiting() net.Conn { return c.tls }

// State is what the ends have agreed on.
func (c *Conn) State() tls.ConnectionState { return c.tls.ConnectionState() }

// Detach has the Conn forget its connection. What has come with the handshake's last bytes
// is opened by the next Open.
func (c *Conn) Detach() {
	c.wire.Conn, c.wire.pace = nil, nil
}

// Open opens what has come, and appends what that was to plain. What crypto/tls has to say
// to the other end, such as an alert, it appends to answer. io.EOF: the other end says that
// nothing more comes. With another error the connection is of no use any more, except to
// send the answer. Either way plain is what came before.
func (c *Conn) Open(plain, sealed, answer []byte) (_, _ []byte, err error) {
	c.wire.in, c.wire.out = sealed, answer
	for err == nil {
		plain = slices.Grow(plain, len(c.wire.in)+maxRecord)
		var n int
		n, err = c.tls.Read(plain[len(plain):cap(plain)])
		plain = plain[:len(plain)+n]
	}
	if err == error(errEmpty) {
		err = nil
	}
	if err != nil && err != io.EOF {
		c.done = true
	}
	answer = c.wire.out
	c.wire.in, c.wire.out = nil, nil
	return plain, answer, err
}

// maxRecord is how much a record may hold, and so how much plain text may come of the bytes
// of one that an earlier Open has had.
const maxRecord = 16 << 10

// Seal appends plain, sealed, to dst.
func (c *Conn) Seal(dst, plain []byte) ([]byte, error) {
	c.wire.out = dst
	_, err := c.tls.Write(plain)
	dst, c.wire.out = c.wire.out, nil
	return dst, err
}

// Close appends to dst that nothing more comes, if it can still be said.
func (c *Conn) Close(dst []byte) []byte {
	if c.done {
		return dst
	}
	c.wire.out = dst
	_ = c.tls.CloseWrite() // memory takes it; said once, it is not said again
	dst, c.wire.out = c.wire.out, nil
	return dst
}

// MaxHeld is the most that Held returns: crypto/tls reads into a bytes.Buffer, which doubles
// when less than twice a record fits it.
const MaxHeld = 80 << 10

// Held is how much memory crypto/tls has for records that have come in part, about.
func (c *Conn) Held() int { return c.wire.largest }

// wire is the connection under a tls.Conn: a real one, or memory once that is nil.
type wire struct {
	net.Conn
	pace Pace
	has  bool // a token of pace

	in, out []byte
	largest int // room that the tls.Conn had for what it read
}

func (w *wire) Read(p []byte) (n int, err error) {
	if w.Conn != nil {
		w.rest()
		n, err = w.Conn.Read(p)
		w.compute()
		return n, err
	}
	if len(w.in) == 0 {
		return 0, errEmpty
	}
	w.largest = max(w.largest, len(p))
	n = copy(p, w.in)
	w.in = w.in[n:]
	return n, nil
}

func (w *wire) Write(p []byte) (n int, err error) {
	if w.Conn != nil {
		w.rest() // the other end may have a window of nothing
		n, err = w.Conn.Write(p)
		w.compute()
		return n, err
	}
	w.out = append(w.out, p...)
	return len(p), nil
}

// compute takes a token, and rest gives it back.
//
// Whoever has got a token lets others go first that are ready: Go runs the one that a token
// was given to next, before what waits for a CPU, and so would run one handshake after the
// other for the 10 ms until it looks elsewhere. On one CPU a neighbour's p99 beside 16 clients
// that shake hands again and again is 11 ms without that.
func (w *wire) compute() {
	if w.pace != nil && !w.has {
		w.pace <- struct{}{}
		w.has = true
		runtime.Gosched()
	}
}

func (w *wire) rest() {
	if w.has {
		w.has = false
		<-w.pace
	}
}

var errNotWaiting = errors.New("seal: a detached connection has no deadlines")

func (w *wire) SetDeadline(t time.Time) error {
	if w.Conn == nil {
		return errNotWaiting
	}
	return w.Conn.SetDeadline(t)
}

func (w *wire) SetReadDeadline(t time.Time) error {
	if w.Conn == nil {
		return errNotWaiting
	}
	return w.Conn.SetReadDeadline(t)
}

func (w *wire) SetWriteDeadline(t time.Time) error {
	if w.Conn == nil {
		return errNotWaiting // CloseWrite sets one, and goes on without
	}
	return w.Conn.SetWriteDeadline(t)
}

func (w *wire) Close() error {
	if w.Conn == nil {
		return nil
	}
	w.rest()
	return w.Conn.Close()
}

// empty is what Read returns when all has been read that there is.
type empty struct{}

var errEmpty = &empty{}

func (*empty) Error() string   { return "seal: nothing more has come yet" }
func (*empty) Timeout() bool   { return true }
func (*empty) Temporary() bool { return true }
