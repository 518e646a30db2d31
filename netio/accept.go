package netio

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"keyframe/codec"
	"keyframe/codec/http1"
)

const (
	// maxRefusing bounds the connections over the limit that are being told
	// so; more than these are closed without a word.
	maxRefusing = 64
	// refuseTimeout bounds how long telling one of them may take.
	refuseTimeout = 3 * time.Second
	// refuseAtOnce bounds a write to a socket that is certain to have room.
	refuseAtOnce = 10 * time.Millisecond
	// maxAcceptDelay bounds the wait after a failed accept.
	maxAcceptDelay = time.Second
)

// accept hands the listener's connections to the event loops until the listener
// is closed. Running out of descriptors is survived: it waits and goes on. The clients
// that come meanwhile wait in the kernel's queue; to accept them and to close them at once
// would reset them.
func (s *Server) accept(ln net.Listener) {
	var delay time.Duration
	for {
		nc, err := ln.Accept()
		if err == nil {
			err = s.admit(nc, isSecure(ln))
		}
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			s.counters.acceptErrors.Add(1)
			if delay == 0 {
				s.log.Error("accept failed, trying again", "address", ln.Addr(), "error", err)
			}
			delay = s.pause(delay)
		case delay > 0:
			s.log.Info("accepting again", "address", ln.Addr())
			delay = 0
		}
	}
}

// pause waits for twice as long as the last time, or until the server stops, and returns
// for how long.
func (s *Server) pause(last time.Duration) time.Duration {
	delay := min(max(2*last, 5*time.Millisecond), maxAcceptDelay)
	select {
	case <-time.After(delay):
	case <-s.stopping.Done():
	}
	return delay
}

// admit gives a connection to an event loop, or refuses it. An error means that
// this could not be done; the connection is closed. One that is to be secure shakes hands
// before.
func (s *Server) admit(nc net.Conn, secure bool) error {
	if s.loading.Load() {
		s.refuse(s.waiting(nc, secure), codec.StatusUnavailable, s.loadingText())
		return nil
	}
	if s.counters.conns.Add(1) > int64(s.live.Load().MaxConns) {
		s.counters.conns.Add(-1)
		s.counters.refused.Add(1)
		s.refuse(s.waiting(nc, secure), refusedSyntax, tooManyConns)
		return nil
	}
	s.awaitDescriptors(nc)
	s.counters.accepted.Add(1) // before the loop has it: its first answer may be SERVER_INFO
	if secure {
		s.acceptors.Go(func() { s.shakeHands(nc) })
		return nil
	}
	return s.enroll(nc, &conn{remote: nc.RemoteAddr()})
}

// enroll gives a connection to an event loop.
func (s *Server) enroll(nc net.Conn, c *conn) error {
	if _, err := s.loops.EnrollContext(nc, c); err != nil {
		s.counters.conns.Add(-1)
		s.counters.accepted.Add(^uint64(0))
		return fmt.Errorf("giving the connection to an event loop: %w", err)
	}
	return nil
}

// spareDescriptors are left to the connections that are open: those of clients that read
// slowly, or that are made to wait, need one more for a while, or are lost.
const spareDescriptors = 32

// awaitDescriptors holds a connection back while less than spareDescriptors are free: to
// give it to an event loop takes one, and gnet closes it if there is none.
func (s *Server) awaitDescriptors(nc net.Conn) {
	fd := descriptorOf(nc)
	if hasDescriptors(fd) {
		return
	}
	s.counters.acceptErrors.Add(1)
	s.log.Error("accept waits: the limit on open files is reached", "connections", s.counters.conns.Load())
	for delay := time.Duration(0); s.stopping.Err() == nil; delay = s.pause(delay) {
		if hasDescriptors(fd) {
			s.log.Info("accepting again", "connections", s.counters.conns.Load())
			return
		}
	}
}

// hasDescriptors reports whether more than the spare ones are free. They are given out from
// the lowest, so what a duplicate of fd gets tells: a microsecond, of the 30 of an accept.
func hasDescriptors(fd int) bool {
	next, err := duplicate(fd)
	if err != nil {
		return false
	}
	_ = unix.Close(next)
	return next < lowDescriptors()
}

// lowDescriptors is the first descriptor that is spare.
func lowDescriptors() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxInt
	}
	most := int(min(uint64(limit.Cur), math.MaxInt32)) // FreeBSD's is signed
	return most - min(spareDescriptors, most/8)
}

// descriptorOf is the number of a connection's descriptor.
func descriptorOf(nc net.Conn) (fd int) {
	fd = -1
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			_ = raw.Control(func(n uintptr) { fd = int(n) })
		}
	}
	return fd
}

const (
	tooManyConns = "too many connections"
	// refusedSyntax is the number of a SERVER_ERROR that has no other.
	refusedSyntax = 5
)

// refuse tells a client why it is not served, with the number s of a SERVER_ERROR, in the
// framing that its first bytes choose, and closes the connection. When too many are being
// told so at once, it gets the answer of JSON Lines without being listened to.
func (s *Server) refuse(nc net.Conn, code codec.Status, reason string) {
	select {
	case s.refusing <- struct{}{}:
	default:
		_ = nc.SetDeadline(time.Now().Add(refuseAtOnce))
		if _, secure := nc.(*tls.Conn); !secure { // it would have to shake hands for that
			_, _ = nc.Write(refusalLine(code, reason))
		}
		_ = nc.Close()
		return
	}
	s.background.Go(func() {
		defer func() { <-s.refusing }()
		defer nc.Close()
		_ = nc.SetDeadline(time.Now().Add(min(refuseTimeout, s.live.Load().HandshakeTimeout)))
		// A stop does not wait for clients that say nothing.
		defer context.AfterFunc(s.stopping, func() { _ = nc.SetDeadline(time.Now()) })()
		answer := refusal(nc, code, reason)
		_ = nc.SetWriteDeadline(time.Now().Add(refuseTimeout))
		if _, err := nc.Write(answer); err != nil {
			return
		}
		// Let the client read it: closing with input unread resets the
		// connection. The deadline bounds this.
		if half, ok := nc.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
			buf := make([]byte, 4096)
			for range http1.MaxHeadBytes / len(buf) {
				if _, err := nc.Read(buf); err != nil {
					return
				}
			}
		}
	})
}

// refusal reads until the framing is known, an upgrade request to its end or a
// line's beginning, or until the deadline, and returns the answer.
func refusal(nc net.Conn, code codec.Status, reason string) []byte {
	var got []byte
	buf := make([]byte, 4096)
	for {
		n, err := nc.Read(buf)
		got = append(got, buf[:n]...)
		row := chooseFraming(got)
		switch {
		case row != nil && (err != nil || row.asked(got)):
			return row.refuse(code, reason)
		case err != nil:
			return refusalLine(code, reason)
		}
	}
}
