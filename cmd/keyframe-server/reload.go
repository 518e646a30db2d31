package main

import (
	"io"
	"log/slog"
	"strings"
	"sync/atomic"

	"github.com/spf13/pflag"

	"keyframe/netio"
)

// This file is SIGHUP: the flags, the environment and the files that they name are read and
// checked as at the start. If all of it is right, what a running server can change is taken
// over; otherwise nothing is.

// atHangUp is the annotation of options that a running server takes over.
const atHangUp = "reloaded"

// reloadable are those options. The files of --users, --admin-token-file and the certificates
// are read again, too.
var reloadable = []string{
	"users", "admin-token-file", "allow-origin", "max-conns", "max-output",
	"idle-timeout", "ping-interval", "handshake-timeout", "output-timeout", "log-level",
}

// reloader belongs to one goroutine, except for the token.
type reloader struct {
	config     *config // what holds
	args       []string
	environ    []string
	srv        *netio.Server
	log        *slog.Logger
	adminToken atomic.Pointer[token]
}

// reload does it, and says what has changed and what needs a restart.
func (r *reloader) reload() {
	next, err := parseFlags(r.args, r.environ, io.Discard)
	if err != nil {
		r.log.Error("SIGHUP: nothing is changed", "error", oneLine(err))
		return
	}
	old := r.config
	var changed, restart []string
	options(next.flags, func(f *pflag.Flag) {
		if f.Value.String() == old.flags.Lookup(f.Name).Value.String() {
			return
		}
		if f.Annotations[atHangUp] == nil || !r.may(f.Name, next) {
			restart = append(restart, f.Name)
			return
		}
		changed = append(changed, f.Name)
	})
	// The certificates come first, since they may still be at fault; the options can't be.
	certificates, err := r.srv.ReloadCertificates()
	if err == nil {
		err = r.srv.SetOptions(next.server)
	}
	if err != nil {
		r.log.Error("SIGHUP: nothing is changed", "error", oneLine(err))
		return
	}
	if certificates {
		changed = append(changed, "certificates")
	}
	if r.may("users", next) && next.server.Users != nil {
		if !next.server.Users.Equal(old.server.Users) {
			changed = append(changed, "users' file")
			r.srv.SetUsers(next.server.Users)
		}
	} else {
		next.server.Users = old.server.Users
	}
	if r.may("admin-token-file", next) && next.adminToken != nil && *next.adminToken != *old.adminToken {
		changed = append(changed, "admin token")
		r.adminToken.Store(next.adminToken)
	}
	next.level = old.level
	old.level.Set(min(old.level.Level(), next.logLevel)) // what follows is logged if either level has it
	defer old.level.Set(next.logLevel)
	r.keep(next, restart)
	attrs := []any{}
	if len(changed) > 0 {
		attrs = append(attrs, "changed", strings.Join(changed, ", "))
	}
	if len(restart) > 0 {
		attrs = append(attrs, "restart", strings.Join(restart, ", "))
	}
	if len(attrs) == 0 {
		r.log.Info("SIGHUP: nothing has changed")
		return
	}
	r.log.Info("SIGHUP: read again", attrs...)
}

// may reports whether a running server can take an option over: not users and tokens where
// there were none, or where there are to be none any more.
func (r *reloader) may(name string, next *config) bool {
	switch name {
	case "users":
		return (r.config.server.Users == nil) == (next.server.Users == nil)
	case "admin-token-file":
		return (r.config.adminToken == nil) == (next.adminToken == nil)
	}
	return true
}

// keep makes next what holds. Options that need a restart have their old values: the next
// SIGHUP says so once more.
func (r *reloader) keep(next *config, restart []string) {
	for _, name := range restart {
		to := next.flags.Lookup(name)
		from := r.config.flags.Lookup(name)
		if list, ok := to.Value.(pflag.SliceValue); ok {
			_ = list.Replace(from.Value.(pflag.SliceValue).GetSlice()) // it was good before
		} else {
			_ = to.Value.Set(from.Value.String())
		}
	}
	if !r.may("admin-token-file", next) {
		next.adminToken = r.config.adminToken
	}
	r.config = next
}
