package netio_test

import (
	"net"
	"os/exec"
	"path/filepath"
	"testing"

	"keyframe/netio"
)

// python returns the path of a Python that has the package, or skips the test. It looks for
// the system's first: Debian's packages are for that.
func python(t *testing.T, module string) string {
	t.Helper()
	for _, name := range []string{"/usr/bin/python3", "python3"} {
		if path, err := exec.LookPath(name); err == nil && exec.Command(path, "-c", "import "+module).Run() == nil {
			return path
		}
	}
	t.Skipf("Python's package %s is missing: Debian has it as python3-%s", module, module)
	return ""
}

// pythonSays runs a script of testdata, which says ok at its end.
func pythonSays(t *testing.T, python, script string, args ...string) {
	t.Helper()
	out, err := exec.Command(python, append([]string{filepath.Join("testdata", "python", script)}, args...)...).CombinedOutput()
	if err != nil || string(out) != "ok\n" {
		t.Errorf("%s: %v\n%s", script, err, out)
	}
}

// TestPythonRedis drives a server with redis-py.
func TestPythonRedis(t *testing.T) {
	python := python(t, "redis")
	t.Run("plain", func(t *testing.T) {
		_, port, err := net.SplitHostPort(startServer(t, netio.Options{}).tcp)
		if err != nil {
			t.Fatal(err)
		}
		pythonSays(t, python, "redis_client.py", port)
	})
	t.Run("TLS and users", func(t *testing.T) {
		s, _ := startAsBob(t, "py:")
		_, port, err := net.SplitHostPort(s.tcp)
		if err != nil {
			t.Fatal(err)
		}
		pythonSays(t, python, "redis_client.py", port, s.ca.File, bobsPassword)
	})
}

// TestPythonWebSockets drives a server with the package websockets.
func TestPythonWebSockets(t *testing.T) {
	python := python(t, "websockets")
	t.Run("plain", func(t *testing.T) {
		pythonSays(t, python, "websocket_client.py", "ws://"+startServer(t, netio.Options{}).tcp+"/")
	})
	t.Run("TLS and users", func(t *testing.T) {
		s, token := startAsBob(t, "py:")
		_, port, err := net.SplitHostPort(s.tcp)
		if err != nil {
			t.Fatal(err)
		}
		pythonSays(t, python, "websocket_client.py", "wss://"+net.JoinHostPort("localhost", port)+"/", s.ca.File, token)
	})
}
