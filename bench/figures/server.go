package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is a running server.
type server struct {
	name       string
	addr       string
	clientArgs []string
	cmd        *exec.Cmd
	ended      chan error
}

// rival is a server of another make.
type rival struct {
	name, path string
	args       []string // with {port}
	protocol   string   // the load generator's flag
}

// findRivals reads the list, or looks for the usual ones.
func findRivals(list string) ([]rival, error) {
	var found []rival
	if list == "" {
		for _, name := range []string{"redis-server", "memcached"} {
			path, err := exec.LookPath(name)
			if err != nil {
				fmt.Printf("note: %s is not in the PATH: compared without it\n", name)
				continue
			}
			found = append(found, newRival(strings.TrimSuffix(name, "-server"), path, nil))
		}
		return found, nil
	}
	for _, entry := range strings.Fields(list) {
		name, command, ok := strings.Cut(entry, "=")
		if !ok || name == "" || strings.ContainsAny(name, "/=") {
			return nil, fmt.Errorf("rival %q: want name=/path[,arg…]", entry)
		}
		parts := strings.Split(command, ",")
		path, err := exec.LookPath(parts[0])
		if err != nil {
			return nil, fmt.Errorf("rival %s: %w", name, err)
		}
		found = append(found, newRival(name, path, parts[1:]))
	}
	return found, nil
}

func newRival(name, path string, args []string) rival {
	r := rival{name: name, path: path, args: args, protocol: "--resp"}
	if strings.HasPrefix(name, "memcached") {
		r.protocol = "--memcached"
	}
	if len(args) > 0 {
		return r
	}
	if r.protocol == "--memcached" {
		r.args = []string{"-l", "127.0.0.1", "-p", "{port}", "-t", "1", "-m", "16384", "-c", "4096"}
		if os.Getuid() == 0 {
			r.args = append(r.args, "-u", "root")
		}
	} else {
		r.args = []string{"--port", "{port}", "--save", "", "--appendonly", "no"}
	}
	return r
}

// version is the first line that the binary prints as its version.
func (r rival) version() string {
	out, err := exec.Command(r.path, "--version").CombinedOutput()
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return line
}

// keyframe starts a server of ours.
func (s *session) keyframe(ctx context.Context, core, loops int, more ...string) (*server, error) {
	command := append([]string{filepath.Join(s.bin, "keyframe-server"), "--listen", "127.0.0.1:{port}", "--loops", strconv.Itoa(loops), "--log-level", "error"}, more...)
	return s.start(ctx, core, "keyframe", nil, command...)
}

// ioLimit starts the server of canned answers. It doesn't look at keys, so none need be
// drawn.
func (s *session) ioLimit(ctx context.Context, core int) (*server, error) {
	return s.start(ctx, core, "io-limit", []string{"--repeat"}, filepath.Join(s.bin, "keyframe-benchmark"), "--serve-io-limit", "127.0.0.1:{port}")
}

func (s *session) rival(ctx context.Context, core int, r rival) (*server, error) {
	s.note("# %s is %s", r.name, r.version())
	return s.start(ctx, core, r.name, []string{r.protocol}, append([]string{r.path}, r.args...)...)
}

// start runs a server and waits until it accepts.
func (s *session) start(ctx context.Context, core int, name string, clientArgs []string, command ...string) (*server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	for i := range command {
		command[i] = strings.ReplaceAll(command[i], "{port}", strconv.Itoa(port))
	}
	command = s.on(core, command...)
	s.note("# $ %s &", s.shown(command))
	srv := &server{name: name, addr: fmt.Sprintf("127.0.0.1:%d", port), clientArgs: clientArgs, ended: make(chan error, 1)}
	output := &strings.Builder{}
	srv.cmd = exec.Command(command[0], command[1:]...)
	srv.cmd.Stderr = output
	srv.cmd.Dir = os.TempDir()
	if err := srv.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { srv.ended <- srv.cmd.Wait() }()
	for deadline := time.Now().Add(20 * time.Second); ; {
		c, err := net.Dial("tcp", srv.addr)
		if err == nil {
			return srv, c.Close()
		}
		select {
		case err := <-srv.ended:
			return nil, fmt.Errorf("%s ended at once: %v\n%s", name, err, output.String())
		case <-ctx.Done():
			srv.stop()
			return nil, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			srv.stop()
			return nil, fmt.Errorf("%s does not accept connections: %w", name, err)
		}
	}
}

func (srv *server) stop() {
	_ = srv.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-srv.ended:
	case <-time.After(10 * time.Second):
		_ = srv.cmd.Process.Kill()
		<-srv.ended
	}
}

func stopAll(servers []*server) {
	for _, srv := range servers {
		srv.stop()
	}
}

// rested is the server's memory in RAM, in bytes, when it has stopped changing: a server
// may keep memory ready for what comes next and give it back when nothing comes. Half a
// second without a change counts as rest.
func (srv *server) rested(ctx context.Context) (bytes int, err error) {
	const step, steps = 50 * time.Millisecond, 10
	for deadline, same := time.Now().Add(10*time.Second), 0; same < steps && time.Now().Before(deadline); {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(step):
		}
		now, err := srv.resident()
		if err != nil {
			return 0, err
		}
		if now == bytes {
			same++
		} else {
			bytes, same = now, 0
		}
	}
	return bytes, nil
}

// resident is the server's memory in RAM, in bytes. The process id is the server's also
// under taskset, which becomes what it runs.
func (srv *server) resident() (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", srv.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, errors.New("statm has no second field")
	}
	pages, err := strconv.Atoi(fields[1])
	return pages * os.Getpagesize(), err
}

func freePort() (int, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer ln.Close() // only the port's number was wanted
	return ln.Addr().(*net.TCPAddr).Port, nil
}
