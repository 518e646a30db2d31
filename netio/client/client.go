package client

import (
	"context"
	"net"
	"slices"
	"sync"
	"sync/atomic"
)

// Client is a connection to a server that comes back when it is lost.
//
// All methods may be called from any goroutine; the commands of one goroutine are executed
// in the order of its calls. mu guards what is in it and is held for some copies only, never
// while a goroutine waits or the socket works. A call is in one of three places: blocked
// (there is no room), unsent with its text in pending, or sent. From there the reader takes
// them over in batches. Calls enter and leave each in order, so the first call that the
// reader has is the one that the next answer belongs to.
type Client struct {
	network, address string
	opts             Options

	life  context.Context // ends with Close
	end   context.CancelFunc
	wake  chan struct{} // the writer's token
	ended chan struct{} // closed when run has returned
	heard atomic.Uint64 // reads that brought something

	mu struct {
		sync.Mutex
		pending []byte  // the text of unsent
		unsent  []*call // what the writer sends next
		sent    []*call // what the writer has taken, and the reader not yet
		blocked []*call // what waits for room

		weight int // of unsent, sent and what the reader has
		owed   int // that without unsent
		idle   bool

		conn   net.Conn // nil: there is no connection
		broken error    // why conn is to be given up; without one, why there is none
		refuse error    // why calls are refused at once; nil: they aren't
	}
}

// Dial connects to a server: "host:port" or "unix:///path". It tries once, within ctx and
// Options.ConnectTimeout. Its error is an *OptionError for wrong options and a *ConnError
// otherwise. Once connected, the client connects again by itself whenever it has to; ctx has no
// part in that.
func Dial(ctx context.Context, address string, opts Options) (*Client, error) {
	network, addr, err := ParseAddr(address)
	if err != nil {
		return nil, &OptionError{"address", address, "host:port or unix:///path"}
	}
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, err
	}
	c := &Client{network: network, address: addr, opts: opts, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	conn, err := c.connect(ctx)
	if err != nil {
		return nil, &ConnError{Err: err}
	}
	c.life, c.end = context.WithCancel(context.Background())
	c.mu.conn = conn
	go c.run(conn)
	return c, nil
}

// Close ends the connection and everything that the client has started, and waits for that.
// Calls that wait for an answer get a *ConnError of ErrClosed, as do later ones.
func (c *Client) Close() error {
	c.mu.Lock()
	c.mu.refuse = ErrClosed
	c.breakLocked(ErrClosed)
	c.mu.Unlock()
	c.end()
	<-c.ended
	return nil
}

// enter hands a call over to be sent, or makes it wait for room.
func (c *Client) enter(k *call) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.mu.refuse; err != nil {
		return err
	}
	if len(c.mu.blocked) > 0 || !c.hasRoomLocked(k) {
		c.mu.blocked = append(c.mu.blocked, k)
		return nil
	}
	c.queueLocked(k)
	return nil
}

// hasRoomLocked reports whether k may be queued. Whatever its size, it may when it is alone.
func (c *Client) hasRoomLocked(k *call) bool {
	return (c.mu.weight == 0 || c.mu.weight+k.weight <= c.opts.MaxInFlight) &&
		(len(c.mu.pending) == 0 || len(c.mu.pending)+len(k.text) <= c.opts.MaxPendingBytes)
}

func (c *Client) queueLocked(k *call) {
	c.mu.pending = append(c.mu.pending, k.text...)
	c.mu.unsent = append(c.mu.unsent, k)
	c.mu.weight += k.weight
	c.wakeLocked()
}

// wakeLocked wakes the writer if it sleeps.
func (c *Client) wakeLocked() {
	if c.mu.idle {
		c.mu.idle = false
		c.wake <- struct{}{} // it takes the token before it is idle again
	}
}

// admitLocked queues what was blocked, in order, as far as there is room now.
func (c *Client) admitLocked() {
	n := 0
	for ; n < len(c.mu.blocked) && c.hasRoomLocked(c.mu.blocked[n]); n++ {
		c.queueLocked(c.mu.blocked[n])
	}
	if n > 0 {
		c.mu.blocked = slices.Delete(c.mu.blocked, 0, n)
	}
}

// abandon gives up a call whose context has ended, unless its answer was first: then gone is
// false. What was not sent is taken back where that can be done; otherwise it keeps its place,
// so that later answers still find their calls.
func (c *Client) abandon(k *call) (mayHaveRun, gone bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.mu.blocked, k); i >= 0 {
		c.mu.blocked = slices.Delete(c.mu.blocked, i, i+1)
		k.release()
		return false, true
	}
	if c.mu.conn == nil { // what is unsent stays unsent while mu is held
		if i := slices.Index(c.mu.unsent, k); i >= 0 {
			mayHaveRun = k.retries > 0
			c.mu.unsent = slices.Delete(c.mu.unsent, i, i+1)
			c.mu.weight -= k.weight
			c.gatherLocked()
			k.release()
			return mayHaveRun, true
		}
	}
	return true, k.state.CompareAndSwap(waiting, abandoned)
}

// gatherLocked makes pending anew from the calls that are unsent.
func (c *Client) gatherLocked() {
	c.mu.pending = c.mu.pending[:0]
	for _, k := range c.mu.unsent {
		c.mu.pending = append(c.mu.pending, k.text...)
	}
	c.admitLocked()
}

// deliver ends a call: with what it has taken, or with err.
func deliver(k *call, err error) {
	if err != nil {
		k.err = err
	}
	if k.state.CompareAndSwap(waiting, delivered) {
		k.ready <- struct{}{}
		return
	}
	k.release() // it was abandoned
}

// deliverLost ends calls that are not answered any more.
func deliverLost(lost []*call, sent bool, reason error) {
	ran, notSent := &ConnError{true, reason}, &ConnError{false, reason}
	for _, k := range lost {
		if sent || k.retries > 0 {
			deliver(k, ran)
		} else {
			deliver(k, notSent)
		}
	}
}
