package netio

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestKeepAlive: the kernel asks after clients that are silent, through the descriptor that
// the event loop has too.
func TestKeepAlive(t *testing.T) {
	ln, err := listen("127.0.0.1:0", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() // a test's listener
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() // a test's client
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close() // it is only looked at
	fd, err := duplicate(descriptorOf(nc))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd) // the test's own
	for _, tt := range []struct {
		name          string
		level, option int
		want          int
	}{
		{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(keepAlive.Idle / time.Second)},
		{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, int(keepAlive.Interval / time.Second)},
		{"TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepAlive.Count},
	} {
		if got, err := unix.GetsockoptInt(fd, tt.level, tt.option); err != nil || got != tt.want {
			t.Errorf("%s is %d, %v; want %d", tt.name, got, err, tt.want)
		}
	}
}

func TestUnixMode(t *testing.T) {
	for _, mode := range []fs.FileMode{0, 0o600, 0o660, 0o777} {
		path := filepath.Join(t.TempDir(), "s")
		ln, err := listen("unix://"+path, mode)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); mode != 0 && got != mode {
			t.Errorf("a socket has the mode %04o, want %04o", got, mode)
		}
		_ = ln.Close()
	}
}
