package netio

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"keyframe/codec"
	"keyframe/netio/access"
)

// This file is what an operator is told of users and of web pages: who was refused what, and
// what admins have done. Loops hand their lines on and never wait for the log. Refusals, which anybody can
// cause, are limited; what an admin did is not. No line has a secret: of a proof the name is
// logged only if it is a user's, since some write their password in its place.

const (
	// maxQueuedLines may wait to be written. What comes when so many do is counted.
	maxQueuedLines = 1024
	// maxRefusalLines is how many refusals are logged a second.
	maxRefusalLines = 20
	// maxReasonBytes is how much of a reason is logged that has a client's words in it.
	maxReasonBytes = 300
)

// securityLog takes lines from any goroutine.
type securityLog struct {
	log   *slog.Logger
	lines chan securityLine
	lost  atomic.Uint64

	mu     sync.Mutex // guards what follows
	second int64
	count  int
	left   uint64 // refusals that were not logged since the last one that was
}

type securityLine struct {
	level slog.Level
	msg   string
	attrs []any
}

func (s *securityLog) init(log *slog.Logger) {
	s.log, s.lines = log, make(chan securityLine, maxQueuedLines)
}

// write logs lines until the server has stopped.
func (s *securityLog) write(stopped <-chan struct{}) {
	for {
		select {
		case line := <-s.lines:
			s.writeLine(line)
		case <-stopped:
			for {
				select {
				case line := <-s.lines:
					s.writeLine(line)
				default:
					return
				}
			}
		}
	}
}

func (s *securityLog) writeLine(line securityLine) {
	if n := s.lost.Swap(0); n > 0 {
		s.log.Warn("lines about refusals were lost: the log is too slow", "lines", n)
	}
	s.log.Log(context.Background(), line.level, line.msg, line.attrs...)
}

func (s *securityLog) add(level slog.Level, msg string, attrs ...any) {
	select {
	case s.lines <- securityLine{level, msg, attrs}:
	default:
		s.lost.Add(1)
	}
}

// limited is add for what anybody can cause.
func (s *securityLog) limited(msg string, attrs ...any) {
	now := time.Now().Unix()
	s.mu.Lock()
	if now != s.second {
		s.second, s.count = now, 0
	}
	s.count++
	over, left := s.count > maxRefusalLines, s.left
	if over {
		s.left++
	} else {
		s.left = 0
	}
	s.mu.Unlock()
	if over {
		return
	}
	if left > 0 {
		attrs = append(attrs, "unlogged", left)
	}
	s.add(slog.LevelWarn, msg, attrs...)
}

// sourceText is an address for the log.
func sourceText(a net.Addr) string {
	if a == nil || a.String() == "" {
		return "unix"
	}
	return a.String()
}

// audit records a command that only admins may send.
func (s *securityLog) audit(who *identity, command string) {
	s.add(slog.LevelInfo, "admin command", "source", sourceText(who.remote), "user", who.user(), "command", command)
}

// refused logs a command, or a connection, that was refused.
func (s *securityLog) refused(who *identity, command, reason string) {
	attrs := []any{"source", sourceText(who.remote), "user", who.user(), "reason", reason}
	if command != "" {
		attrs = append(attrs, "command", command)
	}
	s.limited("refused", attrs...)
}

// denied logs a command some of whose keys its user may not use.
func (s *securityLog) denied(who *identity, op codec.Opcode, keys int) {
	s.limited("refused", "source", sourceText(who.remote), "user", who.user(), "reason", "keys outside of the user's prefixes", "command", op.String(), "keys", keys)
}

// refusedPage logs a request of a web page that may not use this server.
func (s *securityLog) refusedPage(remote net.Addr, err error) {
	reason := err.Error() // with what the page's host has sent
	s.limited("refused", "source", sourceText(remote), "reason", reason[:min(len(reason), maxReasonBytes)])
}

// Refused logs, as one of the server's own refusals, a request that was refused by whoever serves
// another listener. It has no secret in it. It may be called from any goroutine.
func (s *Server) Refused(source, user, request, reason string) {
	s.security.limited("refused", "source", source, "user", user, "reason", reason[:min(len(reason), maxReasonBytes)], "command", request)
}

// failed logs a proof that was refused.
func (s *securityLog) failed(who *identity, gate *access.Gate, proof *access.Proof, err error) {
	user, reason := "", err.Error()
	if proof.Token == nil {
		if user = "(no such user)"; gate.Users().Has(proof.Name) {
			user = proof.Name
		}
	}
	s.limited("refused", "source", sourceText(who.remote), "user", user, "reason", reason, "command", "AUTH")
}
