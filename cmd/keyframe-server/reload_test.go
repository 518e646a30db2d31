package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keyframe/engine"
	"keyframe/netio"
	"keyframe/netio/netiotest"
)

// reloading is a server that reads its configuration again, in this process.
type reloading struct {
	*reloader
	t    *testing.T
	file string
	log  bytes.Buffer
}

func newReloading(t *testing.T, config string) *reloading {
	t.Helper()
	r := &reloading{t: t, file: write(t, config)}
	args := []string{"--config", r.file}
	cfg, err := parseFlags(args, nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	cfg.level = new(slog.LevelVar)
	cfg.level.Set(cfg.logLevel)
	store, err := engine.New(engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	cfg.server.Logger = slog.New(slog.DiscardHandler)
	srv, err := netio.New(store, cfg.server)
	if err != nil {
		t.Fatal(err)
	}
	r.reloader = &reloader{config: cfg, args: args, srv: srv, log: cfg.logger(&r.log, cfg.level)}
	r.adminToken.Store(cfg.adminToken)
	return r
}

// want has the configuration read again, and checks what is said.
func (r *reloading) want(config string, said ...string) {
	r.t.Helper()
	rewrite(r.t, r.file, config)
	r.log.Reset()
	r.reload()
	for _, part := range said {
		if !strings.Contains(r.log.String(), part) {
			r.t.Errorf("%q: %swant %s in it", config, &r.log, part)
		}
	}
	if strings.Contains(r.log.String(), "secret") {
		r.t.Errorf("a secret is logged: %s", &r.log)
	}
}

const (
	nothing = "nothing has changed\"\n"
	again   = "read again\" "
)

// usersFile is a file of one user.
func usersFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "users.json")
	if status, _, stderr := users("", nil, "add", "--users", file, "--no-password", "--allow", "read", "bob"); status != exitOK {
		t.Fatal(stderr)
	}
	return file
}

// TestReloadRestart: what needs a restart is said each time until the server has it, or it is
// as it was; of lists too.
func TestReloadRestart(t *testing.T) {
	const before = "listen = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\nloops = 2\n"
	const after = "listen = [\"127.0.0.1:1\", \"127.0.0.1:3\"]\nloops = 3\nmax-conns = 7\n"
	r := newReloading(t, before)
	r.want(before, nothing)
	r.want(after, again, "changed=max-conns", `restart="listen, loops"`)
	r.want(after, again+`restart="listen, loops"`)
	r.want(before+"max-conns = 7\n", nothing)
	r.want(before, again+"changed=max-conns\n")
}

// TestReloadAccess: users and a token are not taken over where there were none, nor given up.
func TestReloadAccess(t *testing.T) {
	bob, token := usersFile(t), write(t, "a secret of the admins")
	for _, line := range []string{fmt.Sprintf("users = %q\n", bob), fmt.Sprintf("admin-token-file = %q\n", token)} {
		name, _, _ := strings.Cut(line, " ")
		for _, config := range [][2]string{{"", line}, {line, ""}} {
			r := newReloading(t, config[0])
			users, token := r.config.server.Users, r.config.adminToken
			r.want(config[1], again+"restart="+name+"\n")
			r.want(config[1], again+"restart="+name+"\n")
			if r.config.server.Users != users || r.config.adminToken != token || r.adminToken.Load() != token {
				t.Errorf("from %q to %q: it is taken over", config[0], config[1])
			}
			r.want(config[0], nothing)
		}
	}
}

// TestReloadToken: the secret that the same file, or another one, has now is the one that counts.
func TestReloadToken(t *testing.T) {
	first, second := write(t, "the first secret of admins"), write(t, "the second secret of admins")
	line := func(file string) string { return fmt.Sprintf("admin-token-file = %q\n", file) }
	r := newReloading(t, line(first))
	step := func(file, said string) {
		t.Helper()
		r.want(line(file), said)
		if token, err := readToken(file); err != nil || *r.adminToken.Load() != *token {
			t.Errorf("%s: another token is asked for; %v", file, err)
		}
	}
	step(first, nothing)
	step(second, again+`changed="admin-token-file, admin token"`)
	rewrite(t, second, "the third secret of admins")
	step(second, again+`changed="admin token"`)
	step(second, nothing)
}

// TestReloadLevel: that the level changes is logged if either level has it.
func TestReloadLevel(t *testing.T) {
	r := newReloading(t, `log-level = "error"`)
	for _, level := range []slog.Level{slog.LevelInfo, slog.LevelError, slog.LevelDebug} {
		r.want(fmt.Sprintf("log-level = %q", strings.ToLower(level.String())), again+"changed=log-level\n")
		if got := r.config.level.Level(); got != level {
			t.Errorf("the level is %v, want %v", got, level)
		}
	}
}

// TestReloadCertificates: new certificates are taken over; with false ones nothing is.
func TestReloadCertificates(t *testing.T) {
	ca := netiotest.NewCA(t)
	cert, key := ca.Server("server")
	config := fmt.Sprintf("listen = [\"tls://127.0.0.1:1\"]\ntls-cert = %q\ntls-key = %q\n", cert, key)
	r := newReloading(t, config)
	r.want(config, nothing)
	ca.Server("server")
	r.want(config, again+"changed=certificates\n")
	good, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	rewrite(t, cert, "nothing")
	r.want(config+"max-conns = 7\n", "nothing is changed")
	rewrite(t, cert, string(good))
	r.want(config+"max-conns = 7\n", again+"changed=max-conns\n")
}
