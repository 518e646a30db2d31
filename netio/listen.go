package netio

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// keepAlive finds clients that have gone without a word, since connections may be idle
// for as long as they like: the kernel asks after a minute of silence, and gives up when
// nothing answers for another.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 15 * time.Second, Count: 4}

// listen binds one address of Options.Listen. A unix socket gets the permissions of mode,
// unless that is 0.
func listen(address string, mode fs.FileMode) (net.Listener, error) {
	network, addr, err := ParseAddress(address)
	if err != nil {
		return nil, err
	}
	if network == "unix" {
		if err := removeStaleSocket(addr); err != nil {
			return nil, fmt.Errorf("netio: can't listen on %s: %w", address, err)
		}
	}
	config := net.ListenConfig{KeepAliveConfig: keepAlive}
	if network == "unix" && mode != 0 {
		// Where the system lets a socket have permissions before it has a name (Linux),
		// it never has wider ones than it shall.
		config.Control = func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) { _ = unix.Fchmod(int(fd), uint32(mode)) })
		}
	}
	ln, err := config.Listen(context.Background(), strings.Replace(network, "tls", "tcp", 1), addr)
	if err == nil && network == "unix" && mode != 0 {
		if err = os.Chmod(addr, mode); err != nil { // what the umask has taken
			_ = ln.Close()
		}
	}
	if err != nil {
		// The net package's text says "listen tcp 127.0.0.1:1987: bind: …";
		// the reason alone reads better after our own words.
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		return nil, fmt.Errorf("netio: can't listen on %s: %w", address, err)
	}
	if network == "tls" {
		ln = secureListener{ln}
	}
	return ln, nil
}

// secureListener is one whose connections speak TLS.
type secureListener struct{ net.Listener }

func (ln secureListener) Addr() net.Addr { return secureAddr{ln.Listener.Addr()} }

func isSecure(ln net.Listener) bool {
	_, secure := ln.(secureListener)
	return secure
}

// secureAddr is the address of one.
type secureAddr struct{ net.Addr }

func (secureAddr) Network() string { return "tls" }

// ParseAddress takes an address of Options.Listen apart: "host:port", "tcp://host:port",
// "tls://host:port" and "unix:///path". Its error is an *OptionError.
func ParseAddress(address string) (network, addr string, err error) {
	scheme, rest, found := strings.Cut(address, "://")
	if !found {
		scheme, rest = "tcp", address
	}
	switch scheme {
	case "tcp", "tls":
		_, port, err := net.SplitHostPort(rest)
		if err != nil {
			return "", "", &OptionError{"Listen", address, "host:port"}
		}
		if _, err := net.LookupPort("tcp", port); err != nil {
			return "", "", &OptionError{"Listen", address, "a port from 0 to 65535"}
		}
		return scheme, rest, nil
	case "unix":
		if !filepath.IsAbs(rest) {
			return "", "", &OptionError{"Listen", address, "an absolute path, as in unix:///run/keyframe.sock"}
		}
		return "unix", rest, nil
	default:
		return "", "", &OptionError{"Listen", address, fmt.Sprintf("tcp, tls or unix for the unknown scheme %q", scheme)}
	}
}

// removeStaleSocket makes way at path when a server that has died left its
// socket there. Anything else that stands there stays, and is an error.
func removeStaleSocket(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("the path exists and is not a socket")
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		_ = c.Close()
		return errors.New("another server is listening there")
	case !errors.Is(err, unix.ECONNREFUSED):
		// A socket of another kind, a server too busy to answer, no right
		// to ask: whatever it is, it may be in use.
		return fmt.Errorf("the path is a socket that may be in use: %w", err)
	}
	return os.Remove(path)
}
