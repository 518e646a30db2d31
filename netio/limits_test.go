package netio_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"keyframe/netio"
)

// PROTOCOL.md section 6: both sides of every limit, and what hostile
// clients meet. (Key and nesting limits are in contract_test.go.)

// setOfLength is a SET command of exactly n bytes.
func setOfLength(n int) string {
	const frame = `{"SET":{"frame_limit":""}}`
	return frame[:len(frame)-3] + strings.Repeat("x", n-len(frame)) + frame[len(frame)-3:]
}

func TestContract6FrameLimit(t *testing.T) {
	const limit = 100_000
	s := startServer(t, netio.Options{MaxFrameBytes: limit})
	t.Run("line", func(t *testing.T) {
		c := dialLines(t, "tcp", s.tcp)
		c.send(setOfLength(limit))
		if got := c.recv(); !strings.HasPrefix(got, `{"SET_RSP":{"st":`) {
			t.Fatal(got)
		}
		c.send(setOfLength(limit + 1))
		got := c.wantEOF()
		if !strings.HasPrefix(got, `{"SERVER_ERROR":{"s":5,"m":"`) || strings.Count(got, "\n") != 1 {
			t.Fatalf("want one SERVER_ERROR and the end, got %q", got)
		}
	})
	t.Run("line without an end", func(t *testing.T) {
		c := dialLines(t, "tcp", s.tcp)
		// A client that goes on sending still gets to read the error.
		go func() { _, _ = io.Copy(c, endless{}) }()
		if got := c.recv(); !strings.HasPrefix(got, `{"SERVER_ERROR":{"s":5,"m":"`) {
			t.Fatal(got)
		}
	})
	t.Run("message", func(t *testing.T) {
		c := dialWebSocket(t, "tcp", s.tcp)
		c.send(setOfLength(limit))
		if got := c.recv(); !strings.HasPrefix(got, `{"SET_RSP":{"st":`) {
			t.Fatal(got)
		}
		c.send(setOfLength(limit + 1))
		c.wantClose(websocket.StatusMessageTooBig)
	})
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestContract6DefaultFrameInPieces: 16 MiB in pieces of every order of size. The
// work is linear, or this would not end in time.
func TestContract6DefaultFrameInPieces(t *testing.T) {
	s := startServer(t, netio.Options{})
	text := []byte(setOfLength(16<<20) + "\n")
	for _, piece := range []int{1, 7, 1 << 10, 4 << 10, 64 << 10} {
		t.Run(fmt.Sprint(piece), func(t *testing.T) {
			c := dialLines(t, "unix", s.unix)
			in := text
			if piece < 1<<10 { // so many writes take long: only a part is sent in such pieces
				in = []byte(setOfLength(300_000) + "\n")
			}
			for rest := in; len(rest) > 0; {
				n := min(piece, len(rest))
				if _, err := c.Write(rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			if got := c.recv(); !strings.HasPrefix(got, `{"SET_RSP":{"st":`) {
				t.Fatal(got)
			}
		})
	}
}

func TestContract6ConnectionLimit(t *testing.T) {
	s := startServer(t, netio.Options{MaxConns: 2})
	a, b := dialLines(t, "tcp", s.tcp), dialWebSocket(t, "unix", s.unix)
	converse(t, a, []exchange{{`{"SET":{}}`, nil}})

	c := dialLines(t, "tcp", s.tcp)
	c.send(`{"COUNT":{}}`)
	if got := c.wantEOF(); got != `{"SERVER_ERROR":{"s":5,"m":"too many connections"}}`+"\n" {
		t.Fatalf("got %q", got)
	}
	resp := upgradeWith(t, s, "GET / HTTP/1.1\r\n"+goodHeaders+"\r\n")
	if resp.StatusCode != 503 {
		t.Fatal(resp.Status)
	}
	// Many silent connections don't keep others from getting the error.
	for range 100 {
		dialLines(t, "tcp", s.tcp)
	}
	late := dialLines(t, "tcp", s.tcp)
	late.send(`{"COUNT":{}}`)
	if got := late.recv(); got != `{"SERVER_ERROR":{"s":5,"m":"too many connections"}}` {
		t.Fatalf("got %q", got)
	}
	// Accepted connections are served, and a place that becomes free is given to another.
	converse(t, b, []exchange{{`{"SET":{}}`, nil}})
	_ = a.Close()
	waitFor(t, "a free place", func() bool {
		c := dialLines(t, "tcp", s.tcp)
		defer c.Close() // a probe
		c.send(`{"COUNT":{}}`)
		return strings.HasPrefix(c.recv(), `{"COUNT_RSP"`)
	})
}

// TestContract6SlowConsumer: a client that never reads is closed and counted. A WebSocket
// that reads after all finds code 1008.
func TestContract6SlowConsumer(t *testing.T) {
	s := startServer(t, netio.Options{MaxOutputBytes: 1 << 20})
	w := dialWebSocket(t, "tcp", s.tcp)
	w.send(`{"SET":{"slow_consumer":"` + strings.Repeat("v", 60_000) + `"}}`)
	w.recv()

	t.Run("lines", func(t *testing.T) {
		c := dialLines(t, "tcp", s.tcp)
		c.sendRaw(strings.Repeat("{\"GET\":[\"slow_consumer\"]}\n", 1000))
		waitFor(t, "the slow consumer to be closed", func() bool { return serverInfo(t, s)["slowConsumers"] == 1.0 })
		got, _ := io.ReadAll(c.r)
		if len(got) >= 1000*60_000 {
			t.Fatal("it got everything")
		}
	})
	t.Run("websocket", func(t *testing.T) {
		for range 1000 {
			w.send(`{"GET":["slow_consumer"]}`)
		}
		waitFor(t, "the slow consumer to be closed", func() bool { return serverInfo(t, s)["slowConsumers"] == 2.0 })
		w.wantClose(websocket.StatusPolicyViolation)
	})
	t.Run("one that sends on without reading", func(t *testing.T) {
		c := dialLines(t, "tcp", s.tcp)
		_ = c.SetDeadline(time.Now().Add(10 * patience))
		line := []byte(strings.Repeat("{\"GET\":[\"slow_consumer\"]}\n", 1000))
		sent := 0
		for {
			n, err := c.Write(line)
			if sent += n; err != nil {
				break
			}
		}
		// It could send only what sockets buffer and what the server lets wait.
		if n := serverInfo(t, s)["slowConsumers"]; n != 3.0 || sent > 32<<20 {
			t.Fatalf("%v slow consumers, %d bytes sent", n, sent)
		}
	})
}

// TestContract6Trickle: a client that takes a little now and then is not stalled, but it is
// closed after OutputTimeout.
func TestContract6Trickle(t *testing.T) {
	var logged syncBuffer
	s := startServer(t, netio.Options{
		MaxOutputBytes: 1 << 20, OutputTimeout: 200 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(&logged, nil)),
	})
	c := dialLines(t, "tcp", s.tcp)
	c.send(`{"SET":{"trickling":"` + strings.Repeat("v", 60_000) + `"}}`)
	c.recv()
	c.sendRaw(strings.Repeat("{\"GET\":[\"trickling\"]}\n", 1000))
	got, piece := 0, make([]byte, 4<<10)
	for s.Stats().SlowConsumers == 0 {
		n, err := c.Read(piece)
		if err != nil {
			t.Fatalf("after %d bytes: %v", got, err)
		}
		if got += n; got >= 1000*60_000 {
			t.Fatal("it got everything")
		}
		waitFor(t, "a pace", after(time.Millisecond))
	}
	// It is counted before it is logged.
	waitFor(t, "a word in the log", func() bool { return strings.Contains(logged.String(), "slow consumer") })
	if log := logged.String(); !strings.Contains(log, "too far behind") || strings.Count(log, "slow consumer") != 1 {
		t.Fatalf("logged: %s", log)
	}
}

// TestContract6SlowReaderIsNotStalled: a client that reads a megabyte a second,
// which frees no third of a socket's buffer in a second, goes on being served.
func TestContract6SlowReaderIsNotStalled(t *testing.T) {
	s := startServer(t, netio.Options{MaxOutputBytes: 1 << 20})
	c := dialLines(t, "tcp", s.tcp)
	c.send(`{"SET":{"slow_reader":"` + strings.Repeat("v", 60_000) + `"}}`)
	c.recv()
	c.sendRaw(strings.Repeat("{\"GET\":[\"slow_reader\"]}\n", 1000))
	piece := make([]byte, 10<<10)
	for start := time.Now(); time.Since(start) < 3*time.Second; {
		if _, err := io.ReadFull(c.r, piece); err != nil {
			t.Fatalf("after %v: %v", time.Since(start), err)
		}
		waitFor(t, "a pace", after(10*time.Millisecond))
	}
	if st := s.Stats(); st.SlowConsumers != 0 {
		t.Fatalf("%d slow consumers", st.SlowConsumers)
	}
}

// TestContract6ReaderIsNotSlow: a client that asks for far more than the output
// limit at once, and reads, gets it all.
func TestContract6ReaderIsNotSlow(t *testing.T) {
	s := startServer(t, netio.Options{MaxOutputBytes: 1 << 20})
	eachKind := map[string]client{"lines": dialLines(t, "tcp", s.tcp), "websocket": dialWebSocket(t, "tcp", s.tcp)}
	value := strings.Repeat("v", 60_000)
	for name, c := range eachKind {
		t.Run(name, func(t *testing.T) {
			c.send(`{"SET":{"eager_reader":"` + value + `"}}`)
			c.recv()
			const keys = 1000
			c.send(`{"GET":["eager_reader"` + strings.Repeat(`,"eager_reader"`, keys-1) + `]}`)
			c.send(`{"COUNT":{}}`)
			for i := range keys {
				if got := c.recv(); got != `{"GET_RSP":{"st":0,"eager_reader":"`+value+`"}}` {
					t.Fatalf("response %d: %.100s", i, got)
				}
			}
			if got := c.recv(); got != `{"COUNT_RSP":{"st":0,"cnt":1}}` {
				t.Fatal(got)
			}
		})
	}
	t.Run("pipelined without end", func(t *testing.T) {
		// The commands alone are more than the server lets wait: it stops
		// reading them until the client has read.
		c := dialLines(t, "tcp", s.tcp)
		_ = c.SetDeadline(time.Now().Add(10 * patience))
		const commands = 300_000
		go func() {
			batch := strings.Repeat("{\"GET\":[\"small_value\",\"no_such_key\"]}\n", 1000)
			for range commands / 1000 {
				if _, err := io.WriteString(c, batch); err != nil {
					return
				}
			}
		}()
		c.send(`{"SET":{"small_value":"` + strings.Repeat("s", 200) + `"}}`)
		waitFor(t, "the server to be full", func() bool { return s.Stats().OutputBytes > 1<<20 })
		answers := 0
		for set := false; answers < 2*commands; {
			if got := c.recv(); strings.HasPrefix(got, `{"SET_RSP"`) {
				set = true
			} else if answers++; set && answers%2 == 1 && answers > commands && !strings.Contains(got, "sss") {
				t.Fatalf("answer %d: %s", answers, got)
			}
		}
	})
	if n := serverInfo(t, s)["slowConsumers"]; n != 0.0 {
		t.Fatalf("%v slow consumers", n)
	}
}

// TestContract6HandshakeTimeout: the handshake's time runs from its first byte, and a
// connection that has sent nothing is idle.
func TestContract6HandshakeTimeout(t *testing.T) {
	s := startServer(t, netio.Options{HandshakeTimeout: 50 * time.Millisecond})
	silent := dialLines(t, "tcp", s.tcp)
	late := dialLines(t, "tcp", s.tcp)
	for _, beginning := range []string{"GE", "GET / HTTP/1.1\r\nHost: x\r\n"} {
		c := dialLines(t, "tcp", s.tcp)
		c.sendRaw(beginning)
		if got := c.wantEOF(); got != "" {
			t.Fatalf("%q: answered %q", beginning, got)
		}
	}
	// A connection that has begun to speak may be silent for longer.
	c := dialLines(t, "tcp", s.tcp)
	c.sendRaw("{")
	waitFor(t, "three timeouts to pass", after(150*time.Millisecond))
	c.sendRaw("\"COUNT\":{}}\n")
	c.recv()
	silent.send(`{"COUNT":{}}`)
	silent.recv()
	// One that begins late has all of its time.
	late.sendRaw("GET / HTTP/1.1\r\n")
	if got := late.wantEOF(); got != "" {
		t.Fatalf("answered %q", got)
	}
	waitFor(t, "three handshakes to be counted", func() bool { return s.Stats().Total.Errors[netio.ErrorHandshakeTimeout] == 3 })
}

// TestContract6Idle: without a limit idle connections live, and those of a WebSocket are
// pinged; a client that does not answer in time is gone.
func TestContract6Idle(t *testing.T) {
	s := startServer(t, netio.Options{PingInterval: 200 * time.Millisecond, HandshakeTimeout: 50 * time.Millisecond})
	silent, idle := dialLines(t, "tcp", s.tcp), dialLines(t, "tcp", s.tcp)
	idle.send(`{"COUNT":{}}`)
	idle.recv()
	alive := dialWebSocket(t, "tcp", s.tcp) // the library answers pings while it reads
	read := make(chan error, 1)
	go func() {
		_, _, err := alive.Read(alive.ctx)
		read <- err
	}()
	const goingAway = "\x88\x15\x03\xe9no answer to a ping"
	for range 2 { // twice the time of a ping and of its answer
		if got := rawWebSocket(t, s).wantEOF(); got != "\x89\x00"+goingAway {
			t.Fatalf("want a ping and a close, got %q", got)
		}
	}
	for _, c := range []*lineClient{silent, idle} {
		c.send(`{"COUNT":{}}`)
		c.recv()
	}
	select {
	case err := <-read:
		t.Fatalf("the living one was closed: %v", err)
	default:
	}
	alive.send(`{"COUNT":{}}`)
	if err := <-read; err != nil {
		t.Fatal(err)
	}
	waitFor(t, "two silent clients to be counted", func() bool { return s.Stats().Total.Errors[netio.ErrorIdleTimeout] == 2 })
}

func TestContract6IdleTimeout(t *testing.T) {
	s := startServer(t, netio.Options{IdleTimeout: 500 * time.Millisecond})
	silent := dialLines(t, "tcp", s.tcp)
	c := dialLines(t, "tcp", s.tcp)
	c.send(`{"COUNT":{}}`)
	c.recv()
	for _, c := range []*lineClient{c, silent} {
		if got := c.wantEOF(); got != `{"SERVER_ERROR":{"s":6,"m":"idle for 500ms"}}`+"\n" {
			t.Fatalf("got %q", got)
		}
	}
	// A WebSocket that answers pings lives on: the library answers while it reads. One that
	// doesn't is pinged, then closed.
	alive := dialWebSocket(t, "tcp", s.tcp)
	read := make(chan error, 1)
	go func() {
		_, _, err := alive.Read(alive.ctx)
		read <- err
	}()
	dead := rawWebSocket(t, s)
	got := dead.wantEOF()
	if got != "\x89\x00\x88\x10\x03\xe9idle for 500ms" {
		t.Fatalf("want a ping and a close, got %q", got)
	}
	// One that answers its pings by hand is pinged again and again.
	answering := rawWebSocket(t, s)
	for range 3 {
		ping := make([]byte, 2)
		if _, err := io.ReadFull(answering.r, ping); err != nil || string(ping) != "\x89\x00" {
			t.Fatalf("%q, %v", ping, err)
		}
		answering.sendRaw("\x8A\x80\x00\x00\x00\x00")
	}
	select {
	case err := <-read:
		t.Fatalf("the living one was closed: %v", err)
	default:
	}
	alive.send(`{"COUNT":{}}`)
	if err := <-read; err != nil {
		t.Fatal(err)
	}
}

// TestSilentConnectionsDoNotStall: hundreds of connections send nothing, or half a command,
// and another is served as if it were alone.
func TestSilentConnectionsDoNotStall(t *testing.T) {
	s := startServer(t, netio.Options{})
	for i := range 400 {
		c := dialLines(t, "tcp", s.tcp)
		c.sendRaw([]string{"", "G", "{\"SET\":{\"slow_lor", "GET / HTTP/1.1\r\n", "\x00\xff garbage"}[i%5])
	}
	ws := rawWebSocket(t, s)
	ws.sendRaw("\x81\xFF\x00\x00\x00\x00\x00\xFF\xFF\xFF\x00\x00") // announces 16 MiB, sends nothing
	c := dialLines(t, "tcp", s.tcp)
	for i := range 100 {
		c.send(fmt.Sprintf(`{"SET":{"served_%03d":1}}`, i))
		if got := c.recv(); got != fmt.Sprintf(`{"SET_RSP":{"st":1,"k":"served_%03d"}}`, i) {
			t.Fatal(got)
		}
	}
}

// TestClientsThatVanish: clients die in the middle of frames and of answers.
func TestClientsThatVanish(t *testing.T) {
	s := startServer(t, netio.Options{})
	keeper := dialLines(t, "tcp", s.tcp)
	keeper.send(`{"SET":{"vanishing":"` + strings.Repeat("v", 1<<20) + `"}}`)
	keeper.recv()
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			c, err := net.Dial("tcp", s.tcp)
			if err != nil {
				t.Error(err)
				return
			}
			switch i % 4 {
			case 0:
				_, _ = io.WriteString(c, `{"SET":{"half`)
			case 1:
				_, _ = io.WriteString(c, strings.Repeat("{\"GET\":[\"vanishing\"]}\n", 50))
			case 2:
				_, _ = io.WriteString(c, "GET / HTTP/1.1\r\n"+goodHeaders+"\r\n\x81\xFE\xFF")
			case 3:
				_, _ = io.WriteString(c, "{\"COUNT\":{}}\n")
				_ = c.(*net.TCPConn).SetLinger(0) // a reset
			}
			_ = c.Close()
		})
	}
	wg.Wait()
	waitFor(t, "the dead connections to be forgotten", func() bool { return serverInfo(t, s)["connsNow"] == 2.0 })
	keeper.send(`{"COUNT":{}}`)
	if got := keeper.recv(); got != `{"COUNT_RSP":{"st":0,"cnt":1}}` {
		t.Fatal(got)
	}
}

// TestOutOfDescriptors: when accept fails the server says so once, goes on, and
// takes connections again when it can.
func TestOutOfDescriptors(t *testing.T) {
	var logged syncBuffer
	// One listener: each says it once, also one whose first accept is so late that it finds no
	// descriptor.
	s := startServer(t, netio.Options{Listen: []string{"127.0.0.1:0"}, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	first := dialLines(t, "tcp", s.tcp)
	first.send(`{"COUNT":{}}`)
	first.recv()

	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	// The client needs a descriptor too: make its socket first, then see to it that there is
	// no other, whatever is closed meanwhile by what earlier tests have left.
	probe, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(probe) // a test's own socket
	low := old
	setLimit(&low.Cur, 0)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	restore := sync.OnceFunc(func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old) })
	defer restore()
	port := s.Addrs()[0].(*net.TCPAddr).Port
	if err := syscall.Connect(probe, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "accept to fail", func() bool { return strings.Contains(logged.String(), "accept failed") })
	first.send(`{"COUNT":{}}`)
	first.recv()
	restore()
	late := dialLines(t, "tcp", s.tcp)
	late.send(`{"COUNT":{}}`)
	late.recv()
	if n := strings.Count(logged.String(), "accept failed"); n != 1 {
		t.Fatalf("logged %d times", n)
	}
}

// setLimit sets a limit of an Rlimit, which FreeBSD has signed.
func setLimit[N int64 | uint64](limit *N, n int) { *limit = N(n) }

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestAnnouncedLengthIsNotAllocated: thousands of frames announced, none sent.
func TestAnnouncedLengthIsNotAllocated(t *testing.T) {
	s := startServer(t, netio.Options{})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 200 {
		rawWebSocket(t, s).sendRaw("\x81\xFF\x00\x00\x00\x00\x00\xFF\xFF\xFF\x00\x00\x00\x00{")
	}
	serverInfo(t, s)
	runtime.GC()
	runtime.ReadMemStats(&after)
	// 200 × 16 MiB would be 3 GiB; the test's own clients have buffers of
	// 64 KiB.
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 100<<20 {
		t.Fatalf("the heap grew by %d bytes", grown)
	}
}

// TestContract6SteadyReaderIsNotBehind: a client that keeps reading, no faster than it is
// answered, always has much unread, and isn't closed for that.
func TestContract6SteadyReaderIsNotBehind(t *testing.T) {
	s := startServer(t, netio.Options{MaxOutputBytes: 1 << 20, OutputTimeout: time.Second})
	c := dialLines(t, "tcp", s.tcp)
	value := strings.Repeat("v", 60_000)
	c.send(`{"SET":{"steady_reader":"` + value + `"}}`)
	c.recv()
	const keys = 1000
	c.send(`{"GET":["steady_reader"` + strings.Repeat(`,"steady_reader"`, keys-1) + `]}`)
	pace := time.NewTicker(2 * time.Millisecond) // 2 s in all
	defer pace.Stop()
	for i := range keys {
		<-pace.C
		if got := c.recv(); !strings.HasSuffix(got, value+`"}}`) {
			t.Fatalf("response %d: %.100s", i, got)
		}
	}
	if n := serverInfo(t, s)["slowConsumers"]; n != 0.0 {
		t.Errorf("%v slow consumers", n)
	}
}
