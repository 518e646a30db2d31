package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"keyframe/netio"
	"keyframe/netio/access"
	"keyframe/netio/netiotest"
)

// TestExposure: what other machines reach is refused, unless it is said to be meant.
func TestExposure(t *testing.T) {
	for _, tt := range []struct {
		flag, address string
		local         bool
	}{
		{"--listen", "127.0.0.1:1987", true},
		{"--listen", "127.1.2.3:1987", true},
		{"--listen", "tcp://[::1]:1987", true},
		{"--listen", "localhost:1987", true},
		{"--listen", "unix:///s", true},
		{"--listen", ":1987", false},
		{"--listen", "0.0.0.0:1987", false},
		{"--listen", "tcp://[::]:1987", false},
		{"--listen", "192.0.2.1:1987", false},
		{"--listen", "192.168.1.1:1987", false},
		{"--listen", "10.0.0.1:1987", false},
		{"--listen", "no-such-host.invalid:1987", false},
		{"--admin", "9090", true},
		{"--admin", "localhost:9090", true},
		{"--admin", "0.0.0.0:9090", false},
		{"--admin", "[2001:db8::1]:9090", false},
	} {
		_, err := parseFlags([]string{tt.flag, tt.address}, nil, io.Discard)
		if (err == nil) != tt.local {
			t.Errorf("%s %s: %v", tt.flag, tt.address, err)
		}
		if err != nil && !strings.Contains(err.Error(), tt.address+" can be reached from other machines") {
			t.Errorf("%s %s: %v", tt.flag, tt.address, err)
		}
		if _, err := parseFlags([]string{tt.flag, tt.address, "--insecure"}, nil, io.Discard); err != nil {
			t.Errorf("%s %s --insecure: %v", tt.flag, tt.address, err)
		}
	}
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("a secret of 24 characters"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := parseFlags([]string{"--admin", ":9090", "--admin-token-file", token}, nil, io.Discard); err != nil {
		t.Errorf("with a token: %v", err)
	}
	ca := netiotest.NewCA(t)
	cert, key := ca.Server("server")
	secure := []string{"-l", "tls://:1987", "--tls-cert", cert, "--tls-key", key}
	for _, tt := range []struct {
		more []string
		ok   bool
	}{
		{nil, false},
		{[]string{"--tls-client-ca", ca.File}, true}, // who has no certificate of theirs is kept out
		{[]string{"--tls-client-ca", ca.File, "--tls-client", "verify"}, false},
		{[]string{"--tls-client-ca", ca.File, "-l", ":1988"}, false},
	} {
		if _, err := parseFlags(append(slices.Clone(secure), tt.more...), nil, io.Discard); (err == nil) != tt.ok {
			t.Errorf("TLS with %v: %v", tt.more, err)
		}
	}
	certified := []string{"--tls-cert", cert, "--tls-key", key}
	for _, tt := range []struct {
		more []string
		want string // of the fault; "": there is none
	}{
		{[]string{"--admin", "tls://0.0.0.0:9090"}, "--admin 0.0.0.0:9090 can be reached"},
		{[]string{"--admin", "tls://0.0.0.0:9090", "--tls-client-ca", ca.File}, ""},
		{[]string{"--admin", "tls://0.0.0.0:9090", "--tls-client-ca", ca.File, "--tls-client", "verify"}, "--admin 0.0.0.0:9090 can be reached"},
		{[]string{"--admin", "tls://0.0.0.0:9090", "--tls-client-ca", ca.File, "--tls-client", "verify", "--admin-token-file", token}, ""},
		{[]string{"--admin", "0.0.0.0:9090", "-l", "tls://127.0.0.1:1", "--tls-client-ca", ca.File}, "--admin 0.0.0.0:9090 can be reached"},
		{[]string{"--admin", "tls://9090"}, ""},
		{nil, "--tls-cert is for tls:// addresses"},
		{[]string{"--admin", "9090"}, "--tls-cert is for tls:// addresses"},
	} {
		_, err := parseFlags(append(slices.Clone(certified), tt.more...), nil, io.Discard)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v, want %q", tt.more, err, tt.want)
		}
	}
	if _, err := parseFlags([]string{"--admin", "tls://9090"}, nil, io.Discard); err == nil || !strings.Contains(err.Error(), "--admin tls://127.0.0.1:9090 needs --tls-cert and --tls-key") {
		t.Errorf("without a certificate: %v", err)
	}
	if _, err := parseFlags([]string{"-l", "127.0.0.1:1", "-l", ":1987", "--admin", ":0"}, nil, io.Discard); err == nil || !strings.Contains(err.Error(), "--listen :1987") {
		t.Errorf("one of two listeners: %v", err)
	}
}

// TestInTheClear: an operator is told of each address where secrets can be read on their way, and
// of no other.
func TestInTheClear(t *testing.T) {
	users, err := access.Parse([]byte(`{"users":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	listen := []string{"127.0.0.1:1", "0.0.0.0:2", "tls://0.0.0.0:3", "unix:///s"}
	for _, tt := range []struct {
		c    config
		want string
	}{
		{config{server: netio.Options{Listen: listen, Users: users}}, "[0.0.0.0:2]"},
		{config{server: netio.Options{Listen: listen}}, "[]"},
		{config{server: netio.Options{Listen: listen}, admin: "0.0.0.0:9", adminToken: &token{}}, "[0.0.0.0:9]"},
		{config{server: netio.Options{Listen: listen, Users: users}, admin: "0.0.0.0:9", adminToken: &token{}}, "[0.0.0.0:9 0.0.0.0:2]"},
		{config{admin: "0.0.0.0:9", adminToken: &token{}, adminTLS: true}, "[]"},
		{config{admin: "127.0.0.1:9", adminToken: &token{}}, "[]"},
		{config{admin: "0.0.0.0:9"}, "[]"},
	} {
		if got := fmt.Sprint(tt.c.inTheClear()); got != tt.want {
			t.Errorf("%s, want %s", got, tt.want)
		}
	}
}

func TestFaultyTokenFiles(t *testing.T) {
	for _, tt := range []struct {
		text string
		mode os.FileMode
		want string
	}{
		{"a secret of 24 characters", 0o644, "others may read it"},
		{"a secret of 24 characters", 0o620, "others may read it"},
		{"of 15 bytes ...  \n", 0o600, "want a secret of at least 16"},
		{"", 0o600, "want a secret of at least 16"},
	} {
		path := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, tt.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := readToken(path); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q, %04o: %v", tt.text, tt.mode, err)
		}
	}
}
