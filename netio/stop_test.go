package netio_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"keyframe/engine"
	"keyframe/netio"
)

// TestStopAnswersAndCloses: what was read is answered, WebSockets are closed with
// 1001, new connections are refused.
func TestStopAnswersAndCloses(t *testing.T) {
	s := startServer(t, netio.Options{})
	line, ws := dialLines(t, "tcp", s.tcp), dialWebSocket(t, "tcp", s.tcp)
	silent := dialLines(t, "unix", s.unix)
	waitFor(t, "all to be accepted", func() bool { return serverInfo(t, s)["connsNow"] == 4.0 })
	line.send(`{"SET":{"before_stop":1}}`)
	ws.send(`{"COUNT":{}}`)
	ws.recv()
	if got := line.recv(); got != `{"SET_RSP":{"st":1,"k":"before_stop"}}` {
		t.Fatal(got)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	ws.wantClose(websocket.StatusGoingAway)
	if got := line.wantEOF() + silent.wantEOF(); got != "" {
		t.Fatalf("got %q", got)
	}
	_ = line.Close()
	_ = silent.Close()
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	if c, err := net.Dial("tcp", s.tcp); err == nil {
		_ = c.Close()
		t.Fatal("it still listens")
	}
	if _, err := os.Lstat(s.unix); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the unix socket is still there: %v", err)
	}
}

// TestStopServesWhatWasRead: the server stops in the middle of a client's long pipeline.
// Whatever it has begun to answer, it answers wholly and in order.
func TestStopServesWhatWasRead(t *testing.T) {
	s := startServer(t, netio.Options{})
	c := dialLines(t, "tcp", s.tcp)
	go func() {
		for i := 0; ; i++ {
			if _, err := fmt.Fprintf(c, "{\"SET\":{\"stopping_%07d\":1}}\n", i); err != nil {
				return
			}
		}
	}()
	c.recv() // it is being served
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	for i := 1; ; i++ {
		got, err := c.r.ReadString('\n')
		if err != nil {
			if got != "" {
				t.Fatalf("half a response: %q", got)
			}
			break
		}
		if want := fmt.Sprintf("{\"SET_RSP\":{\"st\":1,\"k\":\"stopping_%07d\"}}\n", i); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
	_ = c.Close()
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
}

// TestStopWithinItsDeadline: clients that neither read nor close can't delay it further.
func TestStopWithinItsDeadline(t *testing.T) {
	const deadline = 300 * time.Millisecond
	s := startServer(t, netio.Options{StopTimeout: deadline})
	c := dialLines(t, "tcp", s.tcp)
	c.send(`{"SET":{"never_read":"` + strings.Repeat("v", 1<<20) + `"}}`)
	c.recv()
	c.sendRaw(strings.Repeat("{\"GET\":[\"never_read\"]}\n", 60))
	waitFor(t, "the commands to be read", func() bool { return serverInfo(t, s)["qryCnt"].(float64) > 20 })
	start := time.Now()
	err := s.stop()
	if err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Fatalf("got %v, want a word about the connection that was cut off", err)
	}
	if took := time.Since(start); took > patience {
		t.Fatalf("it took %v", took)
	}
}

// TestStopWaitsForASlowReader: a client that reads slowly, but reads, gets the
// end of its answers.
func TestStopWaitsForASlowReader(t *testing.T) {
	s := startServer(t, netio.Options{StopTimeout: patience})
	c := dialLines(t, "tcp", s.tcp)
	const answers = 200
	value := strings.Repeat("v", 100_000)
	c.send(`{"SET":{"slow_reader":"` + value + `"}}`)
	c.recv()
	c.sendRaw(strings.Repeat("{\"GET\":[\"slow_reader\"]}\n", answers))
	waitFor(t, "the commands to be executed", func() bool { return serverInfo(t, s)["qryCnt"].(float64) >= answers })
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	start := time.Now()
	for i := range answers {
		if got := c.recv(); len(got) != len(`{"GET_RSP":{"st":0,"slow_reader":""}}`)+len(value) {
			t.Fatalf("answer %d has %d bytes, after %v", i, len(got), time.Since(start))
		}
		if i%8 == 0 { // at this pace it takes longer than a client may linger
			waitFor(t, "a while", after(100*time.Millisecond))
		}
	}
	if rest := c.wantEOF(); rest != "" {
		t.Fatalf("%d bytes too many", len(rest))
	}
	_ = c.Close()
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
}

// TestStopTellsWhomItCutOff: clients that don't take their answers are counted.
func TestStopTellsWhomItCutOff(t *testing.T) {
	s := startServer(t, netio.Options{StopTimeout: patience})
	c := dialLines(t, "tcp", s.tcp)
	c.send(`{"SET":{"never_read":"` + strings.Repeat("v", 1<<20) + `"}}`)
	c.recv()
	c.sendRaw(strings.Repeat("{\"GET\":[\"never_read\"]}\n", 40))
	waitFor(t, "the commands to be executed", func() bool { return serverInfo(t, s)["qryCnt"].(float64) >= 40 })
	if err := s.stop(); err == nil || !strings.Contains(err.Error(), "1 connections were cut off") {
		t.Fatalf("got %v", err)
	}
}

// TestStopHeedsItsContext: a context that is done ends the waiting.
func TestStopHeedsItsContext(t *testing.T) {
	store, err := engine.New(engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close() // it reports only a second close
	srv, err := netio.New(store, netio.Options{Listen: []string{"127.0.0.1:0"}, StopTimeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	c := dialLines(t, "tcp", srv.Addrs()[0].String())
	c.sendRaw("{")
	waitFor(t, "the connection to be accepted", func() bool { return srv.Stats().Conns == 1 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := srv.Stop(ctx); err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Fatal(err)
	}
}

// TestNothingIsLeftBehind: servers that were used in every way leave no
// goroutine, no descriptor and no memory.
func TestNothingIsLeftBehind(t *testing.T) {
	use := func() {
		s := startServer(t, netio.Options{StopTimeout: 200 * time.Millisecond, MaxOutputBytes: 1 << 20})
		line, ws := dialLines(t, "tcp", s.tcp), dialWebSocket(t, "unix", s.unix)
		line.send(`{"SET":{"left_behind":"` + strings.Repeat("v", 1<<20) + `"}}`)
		line.recv()
		line.sendRaw(strings.Repeat("{\"GET\":[\"left_behind\"]}\n", 30)) // its writer is busy
		ws.send(`{"COUNT":{}}`)
		ws.recv()
		half := dialLines(t, "tcp", s.tcp)
		half.sendRaw("{\"SET")
		for range 20 {
			_ = dialLines(t, "tcp", s.tcp).Close()
		}
		_ = s.stop()
		_ = line.Close()
		_ = half.Close()
		_ = ws.CloseNow()
	}
	use() // what libraries start once and keep
	ignore := goleak.IgnoreCurrent()
	files := openFiles(t)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 5 {
		use()
	}
	goleak.VerifyNone(t, ignore)
	waitFor(t, "the descriptors to be closed", func() bool { return openFiles(t) <= files })
	runtime.GC()
	runtime.ReadMemStats(&after)
	// Five uses put 150 MiB through; a leak of their queues would show.
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 64<<20 {
		t.Fatalf("the heap grew by %d bytes", grown)
	}
}

// openFiles counts the descriptors of this process.
func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("counting descriptors needs /proc: %v", err)
	}
	return len(entries)
}

func TestListenErrors(t *testing.T) {
	s := startServer(t, netio.Options{})
	dir := t.TempDir()
	// A datagram socket of another program, as /dev/log is, and a server too busy to
	// accept.
	datagram, err := net.ListenPacket("unixgram", filepath.Join(dir, "datagram"))
	if err != nil {
		t.Fatal(err)
	}
	defer datagram.Close()
	busy := busySocket(t, filepath.Join(dir, "busy"))
	file := filepath.Join(dir, "a file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, address, want string }{
		{"port in use", s.tcp, "address already in use"},
		{"unix socket in use", "unix://" + s.unix, "another server is listening there"},
		{"a file at the path", "unix://" + file, "exists and is not a socket"},
		{"a directory at the path", "unix://" + dir, "exists and is not a socket"},
		{"a datagram socket at the path", "unix://" + datagram.LocalAddr().String(), "may be in use"},
		{"a busy server at the path", "unix://" + busy, "may be in use"},
		{"no such directory", "unix:///no/such/dir/s", "no such file or directory"},
		{"relative path", "unix://s", "want an absolute path"},
		{"no port", "localhost", "want host:port"},
		{"unknown scheme", "udp://127.0.0.1:1", "unknown scheme"},
		{"no such port", "127.0.0.1:99999", "want a port from 0 to 65535"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store, err := engine.New(engine.Options{})
			if err != nil {
				t.Fatal(err)
			}
			srv, err := netio.New(store, netio.Options{Listen: []string{"127.0.0.1:0", tt.address}})
			if err == nil {
				err = srv.Start()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.address) {
				t.Fatalf("got %v, want …%s…", err, tt.want)
			}
		})
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "precious" {
		t.Fatal("the file at the path was touched")
	}
}

// busySocket listens at path, with its backlog full.
func busySocket(t *testing.T, path string) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for {
		c, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Close(c) })
		if err := unix.SetNonblock(c, true); err != nil {
			t.Fatal(err)
		}
		if err := unix.Connect(c, &unix.SockaddrUnix{Name: path}); err != nil {
			return path
		}
	}
}

// TestStaleUnixSocket: the socket of a server that died is taken over.
func TestStaleUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = ln.Close()
	s := startServer(t, netio.Options{Listen: []string{"unix://" + path}})
	_ = s
	c := dialLines(t, "unix", path)
	c.send(`{"COUNT":{}}`)
	c.recv()
}

// TestOptionsAreChecked: each fault names its field, what it holds and what it may
// hold, and none hides another.
func TestOptionsAreChecked(t *testing.T) {
	fault := func(field string, value any, want string) netio.OptionError {
		return netio.OptionError{Field: field, Value: value, Want: want}
	}
	want := []netio.OptionError{
		fault("Listen", "nonsense", "host:port"),
		fault("Listen", "unix://here", "an absolute path, as in unix:///run/keyframe.sock"),
		fault("Listen", "udp://127.0.0.1:1", `tcp, tls or unix for the unknown scheme "udp"`),
		fault("Loops", -1, "1 to 256"),
		fault("MaxFrameBytes", 1, "64 to 268435456"),
		fault("MaxConns", -5, "1 to 1048576"),
		fault("MaxOutputBytes", -1, "1024 to 1099511627776"),
		fault("IdleTimeout", -time.Second, "0 or more"),
		fault("PingInterval", -time.Millisecond, "more than 0"),
		fault("HandshakeTimeout", -time.Minute, "more than 0"),
		fault("OutputTimeout", time.Duration(-1), "more than 0"),
		fault("StopTimeout", -time.Hour, "more than 0"),
	}
	var opts netio.Options
	fields := reflect.ValueOf(&opts).Elem()
	for _, fault := range want {
		if fault.Field == "Listen" {
			opts.Listen = append(opts.Listen, fault.Value.(string))
			continue
		}
		fields.FieldByName(fault.Field).Set(reflect.ValueOf(fault.Value))
	}
	_, err := netio.New(nil, opts)
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != len(want) {
		t.Fatalf("got %v, want %d faults", err, len(want))
	}
	for i, err := range joined.Unwrap() {
		var fault *netio.OptionError
		if !errors.As(err, &fault) || *fault != want[i] {
			t.Errorf("got %v, want %v", err, &want[i])
		}
	}
	for text, fault := range map[string]*netio.OptionError{
		`netio: Listen is "nonsense", want host:port`: &want[0],
		"netio: Loops is -1, want 1 to 256":           &want[3],
		"netio: IdleTimeout is -1s, want 0 or more":   &want[7],
	} {
		if fault.Error() != text {
			t.Errorf("it says %q, want %q", fault, text)
		}
	}
	if err := netio.CheckOptions(netio.Options{}); err != nil {
		t.Fatal(err)
	}
}
