package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"time"

	"keyframe/codec"
	wire "keyframe/codec/client"
)

// keepAlive finds a server that has gone without a word while nothing is asked of it.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 15 * time.Second, Count: 4}

// connect makes a connection that is ready for commands.
func (c *Client) connect(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.ConnectTimeout)
	defer cancel()
	dialer := net.Dialer{KeepAliveConfig: keepAlive}
	plain, err := dialer.DialContext(ctx, c.network, c.address)
	if errors.Is(err, os.ErrDeadlineExceeded) { // it is the context's, and may be noticed before that
		err = fmt.Errorf("connecting to %s: %w", c.address, context.DeadlineExceeded)
	}
	if err != nil {
		return nil, err
	}
	// A deadline that has passed ends whatever is waited for.
	stop := context.AfterFunc(ctx, func() { _ = plain.SetDeadline(time.Unix(1, 0)) })
	conn, err := c.secure(ctx, plain)
	if err == nil {
		err = c.greet(conn)
	}
	if !stop() { // the deadline is set, or will be
		err = fmt.Errorf("connecting to %s: %w", c.address, ctx.Err())
	}
	if err != nil {
		_ = plain.Close()
		return nil, err
	}
	return conn, nil
}

// secure puts TLS over a connection, if that is wanted.
func (c *Client) secure(ctx context.Context, plain net.Conn) (net.Conn, error) {
	if c.opts.TLS == nil {
		return plain, nil
	}
	config := c.opts.TLS.Clone()
	if config.ServerName == "" && c.network == "tcp" {
		config.ServerName, _, _ = net.SplitHostPort(c.address)
	}
	conn := tls.Client(plain, config)
	return conn, conn.HandshakeContext(ctx)
}

// raw is the connection below TLS: to close that waits for nothing.
func raw(conn net.Conn) net.Conn {
	if secure, ok := conn.(*tls.Conn); ok {
		return secure.NetConn()
	}
	return conn
}

// greet says who the client is, or asks whether the server is there: one that is loading, or
// has no room for one more, says so.
func (c *Client) greet(conn net.Conn) error {
	text, op := []byte(`{"PING":{`), codec.OpPing
	if o := &c.opts; o.Token != "" {
		op, text = codec.OpAuth, codec.AppendString([]byte(`{"AUTH":{"token":`), []byte(o.Token))
	} else if o.User != "" {
		op, text = codec.OpAuth, codec.AppendString([]byte(`{"AUTH":{"user":`), []byte(o.User))
		text = codec.AppendString(append(text, `,"password":`...), []byte(o.Password))
	}
	line, err := ask(conn, append(text, "}}\n"...))
	if err != nil {
		return err
	}
	var r wire.Response
	if err := wire.NewParser().Parse(line, &r); err != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	if err := refusal(&r); err != nil {
		return err
	}
	if r.Op != op {
		return mismatch(&r, op, "")
	}
	if r.Status != codec.StatusOK {
		return statusError(r.Status, r.Message)
	}
	return nil
}

// ask sends a line with a command that has one answer, and returns that.
func ask(conn net.Conn, text []byte) (line []byte, err error) {
	if _, err := conn.Write(text); err != nil {
		return nil, err
	}
	const most = 64 << 10
	for buf := make([]byte, 4<<10); ; {
		n, err := conn.Read(buf)
		line = append(line, buf[:n]...)
		if end := bytes.IndexByte(line, '\n'); end >= 0 && end < len(line)-1 || len(line) > most {
			return nil, fmt.Errorf("%w: %.80q", ErrProtocol, line)
		} else if end >= 0 {
			return line[:end], nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// run keeps the client connected until it is closed.
func (c *Client) run(conn net.Conn) {
	defer close(c.ended)
	for conn != nil {
		c.lost(c.serve(conn))
		conn = c.reconnect()
	}
	c.refuse()
}

// lost ends the calls that a lost connection leaves without an answer, except those that are
// to be sent again: these go before what was not sent yet.
func (c *Client) lost(left []*call, reason error) {
	c.mu.Lock()
	var again []*call
	failed := left[:0]
	for _, k := range left {
		if k.state.Load() == waiting && c.mu.refuse == nil && k.retries < c.opts.MaxRetries && c.opts.Retry.allows(k) {
			k.rewind()
			again = append(again, k)
			continue
		}
		c.mu.weight -= k.weight
		failed = append(failed, k)
	}
	for _, k := range c.mu.unsent {
		if k.state.Load() == abandoned {
			c.mu.weight -= k.weight
			k.release()
			continue
		}
		again = append(again, k)
	}
	c.mu.unsent = again
	c.gatherLocked()
	c.mu.Unlock()
	deliverLost(failed, true, reason)
}

// allows reports whether a call that may have run is sent once more.
func (r Retry) allows(k *call) bool { return r == RetryAll || r == RetryReads && !k.writes }

// refuse ends all calls that are not sent, and has later ones refused, until there is a
// connection.
func (c *Client) refuse() {
	c.mu.Lock()
	reason := c.mu.broken
	if c.mu.conn != nil {
		c.mu.Unlock()
		return // it was faster
	}
	if c.mu.refuse == nil {
		c.mu.refuse = reason
	}
	reason = c.mu.refuse
	gone := slices.Concat(c.mu.unsent, c.mu.blocked)
	for _, k := range c.mu.unsent {
		c.mu.weight -= k.weight
	}
	c.mu.unsent, c.mu.blocked, c.mu.pending = nil, nil, nil
	c.mu.Unlock()
	deliverLost(gone, false, reason)
}

// reconnect tries until there is a connection again, or the client is closed: then it returns
// nil.
func (c *Client) reconnect() net.Conn {
	if c.opts.Outage < 0 {
		c.refuse()
	}
	outage := time.AfterFunc(max(c.opts.Outage, 0), c.refuse)
	defer outage.Stop()
	for wait := c.opts.MinBackoff; ; wait = min(2*wait, c.opts.MaxBackoff) {
		pause := time.NewTimer(jitter(wait))
		select {
		case <-pause.C:
		case <-c.life.Done():
			pause.Stop()
			return nil
		}
		conn, err := c.connect(c.life)
		if c.connected(conn, err) {
			return conn
		}
	}
}

// connected notes how an attempt to connect has ended, and reports whether there is a
// connection now.
func (c *Client) connected(conn net.Conn, err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	closed := c.mu.refuse == ErrClosed
	switch {
	case err == nil && !closed:
		c.mu.conn, c.mu.broken, c.mu.refuse = conn, nil, nil
		return true
	case err == nil:
		_ = raw(conn).Close()
	case !closed:
		c.mu.broken = err
		if c.mu.refuse != nil {
			c.mu.refuse = err
		}
	}
	return false
}

// jitter shortens a wait by a random part, of at most half.
func jitter(wait time.Duration) time.Duration {
	return wait - rand.N(wait/2+1)
}
