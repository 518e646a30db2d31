package netio_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"keyframe/engine"
	"keyframe/netio"
)

// patience bounds every wait of the tests that drive a server: they wait for events, and
// this is only how long until they give up.
const patience = time.Minute

// testServer is a running server with a store of its own.
type testServer struct {
	*netio.Server
	tcp  string // host:port
	unix string // path
	tls  string // host:port, with a certificate
	stop func() error
}

// startServer starts a server on a free port and a unix socket, and with a certificate on a port
// of TLS, too, and stops it at the end of the test.
func startServer(t testing.TB, opts netio.Options) *testServer {
	t.Helper()
	return startServerOn(t, engine.Options{}, opts)
}

func startServerOn(t testing.TB, storeOpts engine.Options, opts netio.Options) *testServer {
	t.Helper()
	storeOpts.Merge, storeOpts.Readable = netio.Merge, netio.Readable
	store, err := engine.New(storeOpts)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "s")
	if opts.Listen == nil {
		opts.Listen = []string{"127.0.0.1:0", "unix://" + path}
		if opts.TLSCert != "" {
			opts.Listen = append(opts.Listen, "tls://127.0.0.1:0")
		}
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.NewTextHandler(searchedLog{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if opts.Loops == 0 {
		opts.Loops = 2
	}
	srv, err := netio.New(store, opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	s := &testServer{Server: srv, tcp: srv.Addrs()[0].String(), unix: path}
	for _, addr := range srv.Addrs() {
		if addr.Network() == "tls" {
			s.tls = addr.String()
		}
	}
	stopped := false
	s.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		err := srv.Stop(context.Background())
		_ = store.Close()
		return err
	}
	t.Cleanup(func() { _ = s.stop() })
	return s
}

// client is one connection, whatever its framing: send sends one command, recv
// waits for one response. The end of the test hangs up for those that don't.
type client interface {
	send(command string)
	recv() string
	hangUp()
}

// lineClient speaks JSON Lines over a plain connection.
type lineClient struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func dialLines(t testing.TB, network, addr string) *lineClient {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return &lineClient{t, c, bufio.NewReaderSize(c, 1<<16)}
}

func (c *lineClient) send(command string) {
	c.t.Helper()
	c.sendRaw(command + "\n")
}

func (c *lineClient) sendRaw(bytes string) {
	c.t.Helper()
	if _, err := io.WriteString(c, bytes); err != nil {
		c.t.Fatal(err)
	}
}

func (c *lineClient) recv() string {
	c.t.Helper()
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("after %q: %v", line, err)
	}
	return strings.TrimSuffix(line, "\n")
}

func (c *lineClient) hangUp() { _ = c.Close() }

// wantEOF reads what is left and requires the server to have closed.
func (c *lineClient) wantEOF() (rest string) {
	c.t.Helper()
	got, err := io.ReadAll(c.r)
	if err != nil {
		c.t.Fatalf("want the end of the connection, got %v after %q", err, got)
	}
	return string(got)
}

// wsClient speaks WebSocket through a client library that is not ours.
type wsClient struct {
	t testing.TB
	*websocket.Conn
	ctx context.Context
}

func dialWebSocket(t testing.TB, network, addr string) *wsClient {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	hc := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		},
	}}
	c, resp, err := websocket.Dial(ctx, "ws://keyframe/some/path?and=query", &websocket.DialOptions{HTTPClient: hc})
	if err != nil {
		t.Fatalf("%v (%v)", err, resp)
	}
	c.SetReadLimit(64 << 20)
	t.Cleanup(func() { _ = c.CloseNow() })
	return &wsClient{t, c, ctx}
}

func (c *wsClient) send(command string) {
	c.t.Helper()
	if err := c.Write(c.ctx, websocket.MessageText, []byte(command)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *wsClient) recv() string {
	c.t.Helper()
	kind, b, err := c.Read(c.ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	if kind != websocket.MessageText {
		c.t.Fatalf("a message of type %v", kind)
	}
	return string(b)
}

func (c *wsClient) hangUp() { _ = c.CloseNow() }

// wantClose reads until the server closes and requires the code.
func (c *wsClient) wantClose(code websocket.StatusCode) {
	c.t.Helper()
	for {
		_, _, err := c.Read(c.ctx)
		if err == nil {
			continue
		}
		if got := websocket.CloseStatus(err); got != code {
			c.t.Fatalf("closed with %v (%v), want %v", got, err, code)
		}
		return
	}
}

// eachFraming runs a test over both framings and both kinds of listener.
func eachFraming(t *testing.T, opts netio.Options, test func(t *testing.T, c client)) {
	t.Helper()
	for _, network := range []string{"tcp", "unix"} {
		for _, framing := range []string{"lines", "websocket"} {
			t.Run(framing+"/"+network, func(t *testing.T) {
				s := startServer(t, opts)
				addr := s.tcp
				if network == "unix" {
					addr = s.unix
				}
				if framing == "lines" {
					test(t, dialLines(t, network, addr))
				} else {
					test(t, dialWebSocket(t, network, addr))
				}
			})
		}
	}
}

// An exchange is a command and the responses that it must get, no more and no
// fewer. A wanted response that ends in * is a prefix.
type exchange struct {
	send string
	want []string
}

const fence = `{"CONTAINS":["fence!"]}`

// converse sends a fence after each command, and requires the answers.
func converse(t *testing.T, c client, exchanges []exchange) {
	t.Helper()
	for _, x := range exchanges {
		c.send(x.send)
		c.send(fence)
		for i, want := range append(x.want, `{"CONTAINS_RSP":{"st":3,"k":"fence!"}}`) {
			got := c.recv()
			prefix, isPrefix := strings.CutSuffix(want, "*")
			if got != want && !(isPrefix && strings.HasPrefix(got, prefix)) {
				t.Fatalf("%.200s\nresponse %d is %.300s\n       want %.300s", x.send, i, got, want)
			}
			if !json.Valid([]byte(got)) || !utf8.ValidString(got) { // which json.Valid doesn't look at
				t.Fatalf("%.200s\nresponse %d is not JSON: %.300s", x.send, i, got)
			}
		}
	}
}

// waitFor polls until the condition holds.
func waitFor(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		<-tick.C
	}
}

// after is a condition that holds once a time has passed.
func after(d time.Duration) func() bool {
	start := time.Now()
	return func() bool { return time.Since(start) >= d }
}

// serverInfo asks the server about itself over a connection of its own.
func serverInfo(t testing.TB, s *testServer) map[string]any {
	t.Helper()
	c := dialLines(t, "tcp", s.tcp)
	defer c.Close() // the answer is all that counts
	c.send(`{"SERVER_INFO":{}}`)
	var answer struct {
		Info map[string]any `json:"SERVER_INFO_RSP"`
	}
	if err := json.Unmarshal([]byte(c.recv()), &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Info
}

func TestAddrs(t *testing.T) {
	s := startServer(t, netio.Options{})
	if got := fmt.Sprint(s.Addrs()); got != fmt.Sprintf("[%s %s]", s.tcp, s.unix) {
		t.Fatal(got)
	}
}

// TestStatsOfEveryLoop: an event loop is in the statistics before it has had a connection,
// so that its metrics exist from the start.
func TestStatsOfEveryLoop(t *testing.T) {
	s := startServer(t, netio.Options{Loops: 3})
	if got := s.Stats().Loops; !slices.Equal(got, make([]netio.LoopStats, 3)) {
		t.Fatalf("before the first connection: %+v", got)
	}
	c := dialLines(t, "tcp", s.tcp)
	c.send(`{"COUNT":{}}`)
	c.recv()
	st := s.Stats()
	if len(st.Loops) != 3 || st.Loops[0].Queries != 1 || st.Total.Queries != 1 {
		t.Fatalf("after the first command: %+v", st.Loops)
	}
}
