package netio

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"time"

	"keyframe/codec"
)

const (
	// maxRefusing bounds the connections over the limit that are being told
	// so; more than these are closed without a word.
	maxRefusing = 64
	// refuseTimeout bounds how long telling one of them may take.
	refuseTimeout = 5 * time.Second
	// maxAcceptDelay bounds the wait after a failed accept.
	maxAcceptDelay = time.Second
)

// accept hands the listener's connections to the event loops until the listener
// is closed. Running out of descriptors is survived: it waits and goes on.
func (s *Server) accept(ln net.Listener) {
	var delay time.Duration
	for {
		nc, err := ln.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			if delay == 0 {
				s.log.Error("accept failed, trying again", "address", ln.Addr(), "error", err)
			}
			delay = min(max(2*delay, 5*time.Millisecond), maxAcceptDelay)
			s.sleep(delay)
			continue
		}
		if delay > 0 {
			s.log.Info("accepting again", "address", ln.Addr())
			delay = 0
		}
		if s.counters.conns.Add(1) > int64(s.opts.MaxConns) {
			s.counters.conns.Add(-1)
			s.counters.refused.Add(1)
			s.refuse(nc)
			continue
		}
		s.counters.accepted.Add(1)
		c := &conn{remote: nc.RemoteAddr()}
		if _, err := s.loops.EnrollContext(nc, c); err != nil {
			s.counters.conns.Add(-1)
			s.log.Error("a connection could not be given to an event loop", "remote", c.remote, "error", err)
		}
	}
}

// sleep waits, or until the server stops.
func (s *Server) sleep(d time.Duration) {
	select {
	case <-time.After(d):
	case <-s.stopping:
	}
}

// refuse tells a client that the connection limit is reached, in the framing
// that its first bytes choose, and closes the connection.
func (s *Server) refuse(nc net.Conn) {
	select {
	case s.refusing <- struct{}{}:
	default:
		_ = nc.Close()
		return
	}
	s.background.Go(func() {
		defer func() { <-s.refusing }()
		defer nc.Close() // nothing was kept for later
		_ = nc.SetDeadline(time.Now().Add(min(refuseTimeout, s.opts.HandshakeTimeout)))
		answer := refusal(nc)
		if answer == nil {
			return
		}
		if _, err := nc.Write(answer); err != nil {
			return
		}
		// Let the client read it: closing with input unread resets the
		// connection. The deadline bounds this.
		if half, ok := nc.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
			buf := make([]byte, 4096)
			for range maxRequestBytes / len(buf) {
				if _, err := nc.Read(buf); err != nil {
					return
				}
			}
		}
	})
}

// refusal reads until the framing is known, the upgrade request to its end, and
// returns the answer.
func refusal(nc net.Conn) []byte {
	const reason = "too many connections"
	var got []byte
	buf := make([]byte, 4096)
	for len(got) < maxRequestBytes {
		n, err := nc.Read(buf)
		got = append(got, buf[:n]...)
		switch {
		case err != nil:
			return nil
		case chooseFraming(got) == framingLines:
			return append(codec.AppendServerError(nil, 5, reason), '\n')
		case bytes.Contains(got, []byte("\r\n\r\n")):
			return httpError(http.StatusServiceUnavailable, reason)
		}
	}
	return httpError(http.StatusServiceUnavailable, reason)
}
