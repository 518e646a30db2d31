package main_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// patience is how long a test waits for an event before it gives up.
const patience = 30 * time.Second

var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "keyframe")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "keyframe-server")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the server: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// process is a running server.
type process struct {
	*exec.Cmd
	ready  string // its first line
	addr   string // host:port of its first listener
	stderr *logBuffer
}

// logBuffer is what a process has logged, which a test may look at meanwhile.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// waitForLog waits until the process has logged text so many times.
func (p *process) waitForLog(t *testing.T, text string, times int) {
	t.Helper()
	for deadline := time.Now().Add(patience); strings.Count(p.stderr.String(), text) < times; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not log %q %d times:\n%s", text, times, p.stderr)
		}
	}
}

var firstAddr = regexp.MustCompile(`tcp://([0-9.:]+)`)

func start(t *testing.T, args ...string) *process {
	t.Helper()
	return startCommand(t, exec.Command(binary, args...))
}

// startCommand is start for a command that becomes the server.
func startCommand(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	if sameServer {
		t.Skip("the server is another process, and the same as in make test")
	}
	p := &process{Cmd: cmd, stderr: new(logBuffer)}
	p.Stderr = p.stderr
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kill()
		requireNoSecrets(t, p.stderr.String())
	})
	impatient := time.AfterFunc(patience, func() { _ = p.Process.Kill() }) // so that the read below ends
	defer impatient.Stop()
	p.ready, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = p.Wait()
		t.Fatalf("no ready line: %v, %v\n%s", err, p.ProcessState, p.stderr)
	}
	if m := firstAddr.FindStringSubmatch(p.ready); m != nil {
		p.addr = m[1]
	}
	return p
}

// kill ends the process at once, and waits for all that it has said.
func (p *process) kill() {
	_ = p.Process.Kill()
	_ = p.Wait()
}

// wait waits for the process to end and returns its exit status.
func (p *process) wait(t *testing.T) int {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- p.Wait() }()
	select {
	case err := <-ended:
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return p.ProcessState.ExitCode()
	case <-time.After(patience):
		t.Fatal("it does not end")
		return 0
	}
}

func runToEnd(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	p := &process{Cmd: exec.Command(binary, args...)}
	p.Stdout, p.Stderr = &out, &errs
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	status = p.wait(t)
	requireNoSecrets(t, out.String()+errs.String())
	return status, out.String(), errs.String()
}

func TestReadyLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	p := start(t, "--listen", "127.0.0.1:0", "--listen", "unix://"+path, "--log-level", "error")
	for _, want := range []string{"msg=ready", "tcp://127.0.0.1:", "unix://" + path, "HTTP and WebSocket, RESP, JSON Lines", "version=0.1.0", "json=sonic"} {
		if !strings.Contains(p.ready, want) {
			t.Errorf("the ready line lacks %q: %s", want, p.ready)
		}
	}
	for _, dial := range [][2]string{{"tcp", p.addr}, {"unix", path}} {
		c, err := net.Dial(dial[0], dial[1])
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(c, `{"SET":{"user1234_name":"bob","user1234_age":31}}`+"\n")
		line, err := bufio.NewReader(c).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, `{"SET_RSP":{"st":`) {
			t.Fatalf("%q, %v", line, err)
		}
		_ = c.Close()
	}
}

func TestReadyLineAsJSON(t *testing.T) {
	p := start(t, "--listen", "tcp://127.0.0.1:0", "--log-format", "json")
	var line struct {
		Msg, Listen, Version string
		DataDir              string `json:"data-dir"`
	}
	if err := json.Unmarshal([]byte(p.ready), &line); err != nil || line.Msg != "ready" || line.Version == "" || line.DataDir != "none" {
		t.Fatalf("%v: %s", err, p.ready)
	}
	dir := t.TempDir()
	p = start(t, "--listen", "tcp://127.0.0.1:0", "--log-format", "json", "--data-dir", dir)
	if err := json.Unmarshal([]byte(p.ready), &line); err != nil || line.DataDir != dir {
		t.Fatalf("%v: %s", err, p.ready)
	}
}

func TestSignals(t *testing.T) {
	for _, signal := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			p := start(t, "--listen", "127.0.0.1:0")
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			ws, _, err := websocket.Dial(ctx, "ws://"+p.addr, nil)
			if err != nil {
				t.Fatal(err)
			}
			// One that never reads and one in the middle of a command.
			deaf, err := net.Dial("tcp", p.addr)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(deaf, `{"SET":{"big_value":"`+strings.Repeat("v", 1<<20)+"\"}}\n"+strings.Repeat("{\"GET\":[\"big_value\"]}\n", 60)+"{")
			if err := ws.Write(ctx, websocket.MessageText, []byte(`{"COUNT":{}}`)); err != nil {
				t.Fatal(err)
			}
			if _, _, err := ws.Read(ctx); err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			if err := p.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if _, _, err := ws.Read(ctx); websocket.CloseStatus(err) != websocket.StatusGoingAway {
				t.Fatalf("closed with %v, want 1001", err)
			}
			if status := p.wait(t); status != 0 {
				t.Fatalf("exit status %d\n%s", status, p.stderr)
			}
			// The only time that a test asserts: it is promised to operators.
			if took := time.Since(begin); took > 5*time.Second {
				t.Fatalf("it took %v", took)
			}
		})
	}
}

// TestStopsWhateverIsPending: hundreds of connections with more to do than fits into the
// stop's deadline, of every kind that takes long, don't delay the end.
func TestStopsWhateverIsPending(t *testing.T) {
	p := start(t, "--listen", "127.0.0.1:0", "--max-output", "1GiB")
	var pairs strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&pairs, `,"pending_%06d":%d`, i, i)
	}
	set := `{"SET":{` + pairs.String()[1:] + "}}\n"
	kinds := []string{
		strings.Repeat(set, 60),
		strings.Repeat("{\"SERVER_INFO\":{}}\n", 20_000),
		strings.Repeat("not json\n", 100_000),
		strings.Repeat(set+"{\"CLEAR\":{}}\n", 60),
		`{"SET":{"nested":` + strings.Repeat("[", 100) + strings.Repeat(`[[]],`, 300_000),
		strings.Repeat("{\"GET\":[\"pending_000001\"]}\n", 40_000),
	}
	var clients sync.WaitGroup
	begun := make(chan struct{}, 240)
	for i := range cap(begun) {
		c, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		clients.Go(func() {
			defer c.Close() // mostly the server has
			if i%2 == 0 {
				clients.Go(func() { _, _ = io.Copy(io.Discard, c) })
			}
			_, _ = io.WriteString(c, set)
			begun <- struct{}{}
			for range 100 { // until the server ends it
				if _, err := io.WriteString(c, kinds[i%len(kinds)]); err != nil {
					return
				}
			}
		})
	}
	for range cap(begun) {
		<-begun
	}
	late := lateness()
	began := time.Now()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := p.wait(t); status != 0 {
		t.Fatalf("exit status %d\n%s", status, p.stderr)
	}
	took, lag := time.Since(began), late()
	clients.Wait()
	if took > 5*time.Second+lag {
		t.Fatalf("it took %v, on a machine that is late by %v\n%s", took, lag, p.stderr)
	}
	t.Logf("it took %v; the machine was late by %v", took, lag)
}

// lateness measures for how long a goroutine that always wants to run is kept from it, until
// the returned function is called: a promise about time can be kept no better on a machine
// that is busy with other things.
func lateness() (stop func() time.Duration) {
	done, sum := make(chan struct{}), make(chan time.Duration)
	go func() {
		const step = 10 * time.Millisecond
		tick, late := time.NewTimer(step), time.Duration(0)
		for {
			due := time.Now().Add(step)
			tick.Reset(step)
			select {
			case <-tick.C:
				late += max(0, time.Since(due)-step) // a step's delay is the scheduler's, not a busy machine's
			case <-done:
				sum <- late
				return
			}
		}
	}()
	return func() time.Duration { close(done); return <-sum }
}

// TestHangUp: SIGHUP is logged, and ends nothing, however often it comes.
func TestHangUp(t *testing.T) {
	p := start(t, "--listen", "127.0.0.1:0")
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() // the server has closed it before
	_ = c.SetDeadline(time.Now().Add(patience))
	answers := bufio.NewReader(c)
	for i := 1; i <= 3; i++ {
		if err := p.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		p.waitForLog(t, "nothing has changed", i)
		_, _ = io.WriteString(c, "{\"COUNT\":{}}\n")
		if line, err := answers.ReadString('\n'); err != nil || line != "{\"COUNT_RSP\":{\"st\":0,\"cnt\":0}}\n" {
			t.Fatalf("%q, %v", line, err)
		}
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := p.wait(t); status != 0 {
		t.Fatalf("exit status %d\n%s", status, p.stderr)
	}
}

// TestOutOfDescriptors: more clients than the server may open descriptors wait until
// others have gone. None is reset, and the log doesn't fill up meanwhile.
func TestOutOfDescriptors(t *testing.T) {
	p := startCommand(t, exec.Command("sh", "-c", `ulimit -n 64; exec "$0" --listen 127.0.0.1:0`, binary))
	const clients = 150
	var conns []net.Conn
	for range clients {
		c, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close() // again, mostly
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(c, "{\"COUNT\":{}}\n"); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	p.waitForLog(t, "the limit on open files is reached", 1)
	for i, c := range conns {
		answer := make([]byte, 100)
		n, err := c.Read(answer)
		if err != nil || string(answer[:n]) != "{\"COUNT_RSP\":{\"st\":0,\"cnt\":0}}\n" {
			t.Fatalf("client %d: %q, %v\n%s", i, answer[:n], err, p.stderr)
		}
		_ = c.Close()
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := p.wait(t); status != 0 {
		t.Fatal(status)
	}
	if log := p.stderr.String(); strings.Count(log, "\n") > clients {
		t.Errorf("it logged\n%s", log)
	}
}

func TestFailures(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close() // a test's listener
	for _, tt := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"--listen", taken.Addr().String()}, 1, "address already in use"},
		{[]string{"--listen", "unix:///no/such/dir/s"}, 1, "no such file or directory"},
		{[]string{"--listen", "127.0.0.1:0", "--admin", taken.Addr().String()}, 1, "address already in use"},
		{[]string{"--listen", "nonsense"}, 2, "want host:port"},
		{[]string{"--no-such-flag"}, 2, "no-such-flag"},
		{[]string{"--values", "some"}, 2, "scalar"},
		{[]string{"--max-frame", "lots"}, 2, "want a size"},
		{[]string{"--max-memory", "1KiB"}, 2, "--max-memory is 1 KiB, want 0, or 2 MiB to 512 GiB"},
		{[]string{"--max-memory", "1TiB"}, 2, "--max-memory is 1 TiB, want 0, or 2 MiB to 512 GiB"},
		{[]string{"--max-frame", "0"}, 2, "more than 0"},
		{[]string{"--max-conns", "0"}, 2, "more than 0"},
		{[]string{"--max-conns", "-1"}, 2, "--max-conns is -1"},
		{[]string{"--ping-interval", "0s"}, 2, "more than 0"},
		{[]string{"--idle-timeout", "-1s"}, 2, "0 or more"},
		{[]string{"--idle-timeout", "soon"}, 2, "idle-timeout"},
		{[]string{"--loops", "-1"}, 2, "negative"},
		{[]string{"--loops", "257", "--listen", "unix:///no/such/dir/s"}, 2, "--loops is 257, want 1 to 256"},
		{[]string{"--admin", "localhost:"}, 2, "want a port, host:port or tls://host:port"},
		{[]string{"--admin", ""}, 2, "want a port, host:port or tls://host:port"},
		{[]string{"--admin", "127.0.0.1:99999"}, 2, "want a port from 0 to 65535"},
		{[]string{"--admin", "lots"}, 2, "want a port from 0 to 65535"},
		{[]string{"--admin", "tls://"}, 2, "want a port, host:port or tls://host:port"},
		{[]string{"--admin", "https://127.0.0.1:1"}, 2, "want a port, host:port or tls://host:port"},
		{[]string{"--listen", "127.0.0.1:99999"}, 2, `--listen is "127.0.0.1:99999", want a port from 0 to 65535`},
		{[]string{"--listen", "127.0.0.1:-1"}, 2, "want a port from 0 to 65535"},
		{[]string{"--log-level", "loud"}, 2, "log-level"},
		{[]string{"--listen", "0.0.0.0:0"}, 2, "--insecure"},
		{[]string{"--listen", "127.0.0.1:0", "--admin", "0.0.0.0:0"}, 2, "--admin-token-file"},
		{[]string{"--admin-token-file", "/no/such/file"}, 2, "no such file"},
		{[]string{"--unix-mode", "rw"}, 2, "want permissions such as 0660"},
		{[]string{"--unix-mode", "1777"}, 2, "want permissions such as 0660"},
		{[]string{"serve"}, 2, "unexpected argument"},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			status, stdout, stderr := runToEnd(t, tt.args...)
			if status != tt.status || !strings.Contains(stderr, tt.want) || stdout != "" {
				t.Fatalf("status %d, want %d\nstdout: %s\nstderr: %s", status, tt.status, stdout, stderr)
			}
			if first, _, _ := strings.Cut(stderr, "\n"); !strings.HasPrefix(first, "keyframe-server: ") {
				t.Fatalf("not one clear sentence: %s", stderr)
			}
		})
	}
}

func TestHelpAndVersion(t *testing.T) {
	status, out, _ := runToEnd(t, "--help")
	if status != 0 {
		t.Fatal(status)
	}
	for _, flag := range []string{"--listen", "--values", "--max-memory", "--strict-text", "--max-frame", "--max-conns", "--max-output", "--idle-timeout", "--ping-interval", "--handshake-timeout", "--loops", "--admin", "--log-format", "--log-level", "--version", "127.0.0.1:1987", "16 MiB"} {
		if !strings.Contains(out, flag) {
			t.Errorf("the help lacks %q", flag)
		}
	}
	if status, out, _ := runToEnd(t, "--version"); status != 0 || !strings.HasPrefix(out, "keyframe-server 0.1.0") {
		t.Fatal(status, out)
	}
}
