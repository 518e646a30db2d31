package netio_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"keyframe/netio"
	"keyframe/netio/netiotest"
)

// tlsServer is a running server with one listener of TLS.
type tlsServer struct {
	*testServer
	ca     *netiotest.CA
	client *tls.Config // that its clients use
}

func startTLS(t testing.TB, opts netio.Options) *tlsServer {
	t.Helper()
	ca := netiotest.NewCA(t)
	if opts.TLSCert == "" {
		opts.TLSCert, opts.TLSKey = ca.Server("server")
	}
	opts.Listen = []string{"tls://127.0.0.1:0"}
	s := startServer(t, opts)
	if network := s.Addrs()[0].Network(); network != "tls" {
		t.Fatalf("it listens on %s", network)
	}
	return &tlsServer{s, ca, &tls.Config{RootCAs: ca.Pool, ServerName: "localhost"}}
}

// dial shakes hands; the end of the test closes the connection.
func (s *tlsServer) dial(t testing.TB, config *tls.Config) (*tls.Conn, error) {
	t.Helper()
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: patience}, Config: config}
	c, err := d.Dial("tcp", s.tcp)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c.(*tls.Conn), nil
}

func (s *tlsServer) lines(t testing.TB, config *tls.Config) *lineClient {
	t.Helper()
	c, err := s.dial(t, config)
	if err != nil {
		t.Fatal(err)
	}
	return &lineClient{t, c, bufio.NewReaderSize(c, 1<<16)}
}

// linesOver is lines over a connection that wrap has put something around, and config.
func (s *tlsServer) linesOver(t testing.TB, config *tls.Config, wrap func(net.Conn) net.Conn) *lineClient {
	t.Helper()
	nc, err := net.Dial("tcp", s.tcp)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	c := tls.Client(wrap(nc), config)
	_ = c.SetDeadline(time.Now().Add(patience))
	return &lineClient{t, c, bufio.NewReader(c)}
}

func (s *tlsServer) webSocket(t testing.TB, config *tls.Config) *wsClient {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	hc := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	c, resp, err := websocket.Dial(ctx, "wss://"+s.tcp, &websocket.DialOptions{HTTPClient: hc})
	if err != nil {
		t.Fatalf("%v (%v)", err, resp)
	}
	c.SetReadLimit(64 << 20)
	t.Cleanup(func() { _ = c.CloseNow() })
	return &wsClient{t, c, ctx}
}

// eachTLS runs a test with a server and clients of each version and framing.
func eachTLS(t *testing.T, opts netio.Options, test func(t *testing.T, s *tlsServer, dial func() client)) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, framing := range []string{"lines", "websocket"} {
			t.Run(tls.VersionName(version)+"/"+framing, func(t *testing.T) {
				s := startTLS(t, opts)
				s.client.MaxVersion = version
				test(t, s, func() client {
					if framing == "lines" {
						return s.lines(t, s.client)
					}
					return s.webSocket(t, s.client)
				})
			})
		}
	}
}

// TestTLS: commands of all sizes are answered, over both framings and versions.
func TestTLS(t *testing.T) {
	eachTLS(t, netio.Options{}, func(t *testing.T, s *tlsServer, dial func() client) {
		c := dial()
		big := strings.Repeat("v", 3<<20)
		converse(t, c, []exchange{
			{`{"SET":{"user1234_name":"bob","user1234_age":31}}`, []string{`{"SET_RSP":{"st":1,"k":"user1234_name"}}`, `{"SET_RSP":{"st":1,"k":"user1234_age"}}`}},
			{`{"GET":["user1234_name"]}`, []string{`{"GET_RSP":{"st":0,"user1234_name":"bob"}}`}},
			{`{"SET":{"big-value":"` + big + `"}}`, []string{`{"SET_RSP":{"st":1,"k":"big-value"}}`}},
			{`{"GET":["big-value"]}`, []string{`{"GET_RSP":{"st":0,"big-value":"` + big + `"}}`}},
			{`[]`, []string{`{"SERVER_ERROR":{"s":4,"m":"Only one command permitted"}}`}},
		})
		// Many in flight: they are more than one read of the loop's.
		const n = 5000
		go func() {
			for i := range n {
				c.send(fmt.Sprintf(`{"SET":{"pipelined-%d":%d}}`, i, i))
			}
		}()
		for i := range n {
			if got, want := c.recv(), fmt.Sprintf(`{"SET_RSP":{"st":1,"k":"pipelined-%d"}}`, i); got != want {
				t.Fatalf("%s, want %s", got, want)
			}
		}
		st := s.Stats()
		if got := st.TLS.Handshakes[0] + st.TLS.Handshakes[1]; got != 1 || st.TLS.Failures != [netio.NumTLSFailures]uint64{} || st.TLS.Shaking != 0 || st.TLS.CertificateEnd.IsZero() {
			t.Errorf("%+v", st.TLS)
		}
	})
}

// TestTLSHalfClose: a client that says with close_notify that it sends no more gets the
// answers to all that it has sent, then the server's close_notify.
func TestTLSHalfClose(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		s := startTLS(t, netio.Options{})
		s.client.MaxVersion = version
		wire := new(recording)
		c := s.linesOver(t, s.client, func(c net.Conn) net.Conn { wire.Conn = c; return wire })
		value := strings.Repeat("v", 60_000)
		c.send(`{"SET":{"long-one":"` + value + `"}}`)
		const n = 500 // 30 MB of answers: more than the sockets' buffers take
		c.sendRaw(strings.Repeat(`{"GET":["long-one"]}`+"\n", n) + `{"SET":{"cut-off":1}}`)
		if err := c.Conn.(*tls.Conn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(c.wantEOF(), "\n")
		wire.wantCloseNotify(t, version)
		if len(lines) != n+2 || lines[n] != `{"GET_RSP":{"st":0,"long-one":"`+value+`"}}` || lines[n+1] != "" {
			t.Errorf("%x: %d lines", version, len(lines))
		}
		other := s.lines(t, s.client)
		converse(t, other, []exchange{{`{"COUNT":{}}`, []string{`{"COUNT_RSP":{"st":0,"cnt":1}}`}}})
		if f := s.Stats().TLS.Failures; f != [netio.NumTLSFailures]uint64{} {
			t.Errorf("%x: failures %v", version, f)
		}
	}
}

// recording is a connection that keeps the last that was read.
type recording struct {
	net.Conn
	last []byte
}

func (c *recording) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.last = append(c.last, p[:n]...)
	c.last = c.last[max(0, len(c.last)-100):]
	return n, err
}

// wantCloseNotify requires the last record to be a sealed alert. crypto/tls's clients take a
// FIN between two records for the same.
func (c *recording) wantCloseNotify(t testing.TB, version uint16) {
	t.Helper()
	alert := []byte{21, 3, 3, 0, 8 + 2 + 16} // with an explicit nonce
	if version == tls.VersionTLS13 {
		alert = []byte{23, 3, 3, 0, 2 + 1 + 16} // all records look like data
	}
	if size := len(alert) + int(alert[4]); len(c.last) < size || !bytes.HasPrefix(c.last[len(c.last)-size:], alert) {
		t.Errorf("%x: the last bytes are no close_notify: %x", version, c.last)
	}
}

// TestTLSStop: a stop is the end of both directions, and a client is told so in its framing
// and by TLS.
func TestTLSStop(t *testing.T) {
	s := startTLS(t, netio.Options{})
	wire := new(recording)
	l := s.linesOver(t, s.client, func(c net.Conn) net.Conn { wire.Conn = c; return wire })
	w := s.webSocket(t, s.client)
	l.send(fence)
	l.recv()
	w.send(fence)
	w.recv()
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	if rest := l.wantEOF(); rest != "" {
		t.Errorf("lines: %q", rest)
	}
	wire.wantCloseNotify(t, tls.VersionTLS13)
	_ = l.Close()
	w.wantClose(websocket.StatusGoingAway)
	_ = w.CloseNow()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// cutting is a connection whose writes are cut in pieces.
type cutting struct {
	net.Conn
	piece int
}

func (c *cutting) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = c.Conn.Write(p[n:min(n+c.piece, len(p))])
		n += m
	}
	return n, err
}

// TestTLSSegments: records that come byte by byte, handshake included, are what they are
// whole.
func TestTLSSegments(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, piece := range []int{1, 7, 4096} {
			s := startTLS(t, netio.Options{})
			config := s.client.Clone()
			config.MaxVersion = version
			converse(t, s.linesOver(t, config, func(c net.Conn) net.Conn { return &cutting{c, piece} }), []exchange{
				{`{"SET":{"user1234_name":"` + strings.Repeat("x", 20_000) + `"}}`, []string{`{"SET_RSP":{"st":1,"k":"user1234_name"}}`}},
				{`{"COUNT":{}}`, []string{`{"COUNT_RSP":{"st":0,"cnt":1}}`}},
			})
		}
	}
}

// flipping is a connection that changes a byte of what is written when it is told to.
type flipping struct {
	net.Conn
	flip bool
}

func (c *flipping) Write(p []byte) (int, error) {
	if c.flip {
		p = bytes.Clone(p)
		p[len(p)-1] ^= 1
	}
	return c.Conn.Write(p)
}

// TestTLSFalseRecord: a record that was changed on its way ends the connection, with an
// alert, and is not executed; nor is what is cut off, with or without a part of a record.
func TestTLSFalseRecord(t *testing.T) {
	s := startTLS(t, netio.Options{})
	wire := new(flipping)
	l := s.linesOver(t, s.client, func(c net.Conn) net.Conn { wire.Conn = c; return wire })
	l.send(fence)
	l.recv()
	wire.flip = true
	l.send(`{"SET":{"changed":1}}`)
	if rest, err := io.ReadAll(l.Conn); err == nil || !strings.Contains(err.Error(), "bad record MAC") {
		t.Errorf("%q, %v", rest, err)
	}
	s.failures(t, netio.TLSRecord, 1)

	cut := new(cuttingOff)
	l = s.linesOver(t, s.client, func(c net.Conn) net.Conn { cut.Conn = c; return cut })
	l.send(fence)
	l.recv()
	cut.short = true
	l.send(`{"SET":{"cut-off":1}}`)
	_ = cut.Conn.(*net.TCPConn).CloseWrite()
	if rest := l.wantRest(); rest != "" {
		t.Errorf("a cut record is answered: %q", rest)
	}
	s.failures(t, netio.TLSTruncated, 1)
	if got := s.Stats().Keys; got != 0 {
		t.Errorf("%d keys", got)
	}
}

// TestTLSFalseRecordBehind: nothing is left of a client whose record was changed on its way
// while it had answers to read and waited for its password to be looked at.
func TestTLSFalseRecordBehind(t *testing.T) {
	path := usersFile(t)
	token := newToken(t, path, "bob")
	s := startTLS(t, netio.Options{Users: loadUsers(t, path)})
	wire := new(flipping)
	l := s.linesOver(t, s.client, func(c net.Conn) net.Conn { wire.Conn = c; return wire })
	login(t, l, token)
	l.send(`{"SET":{"bob:long":"` + strings.Repeat("v", 60_000) + `"}}`)
	l.recv()
	const n = 500 // 30 MB of answers: more than the system keeps of a connection
	l.sendRaw(strings.Repeat(`{"GET":["bob:long"]}`+"\n", n))
	waitFor(t, "the answers", func() bool { return s.Stats().Total.BytesOut > n*60_000 })
	l.sendRaw(`{"AUTH":{"user":"bob","password":"wrong password"}}` + "\n")
	time.Sleep(5 * time.Millisecond) // for that to come alone; a hash takes longer
	wire.flip = true
	l.send(fence)
	if lines := strings.Count(l.wantRest(), "\n"); lines != n {
		t.Errorf("%d answers", lines)
	}
	s.failures(t, netio.TLSRecord, 1)
	_ = l.Close()
	waitFor(t, "the connection to end", func() bool { return s.Stats().Conns == 0 })
}

// cuttingOff is a connection that leaves the last byte of a write out when it is told to.
type cuttingOff struct {
	net.Conn
	short bool
}

func (c *cuttingOff) Write(p []byte) (int, error) {
	if !c.short {
		return c.Conn.Write(p)
	}
	_, err := c.Conn.Write(p[:len(p)-1])
	return len(p), err
}

// wantRest is what is left, however the connection ends.
func (c *lineClient) wantRest() string {
	rest, _ := io.ReadAll(c.r)
	return string(rest)
}

// TestTLSTruncated: what has come whole is answered, though the client says with a FIN only
// that it sends no more.
func TestTLSTruncated(t *testing.T) {
	s := startTLS(t, netio.Options{})
	var nc net.Conn
	l := s.linesOver(t, s.client, func(c net.Conn) net.Conn { nc = c; return c })
	value := strings.Repeat("v", 60_000)
	l.send(`{"SET":{"long-one":"` + value + `"}}`)
	const n = 500
	l.sendRaw(strings.Repeat(`{"GET":["long-one"]}`+"\n", n))
	_ = nc.(*net.TCPConn).CloseWrite()
	if lines := strings.Split(l.wantEOF(), "\n"); len(lines) != n+2 {
		t.Errorf("%d lines", len(lines))
	}
	s.failures(t, netio.TLSTruncated, 1)
}

// TestTLSUnread: answers that a client does not read stop it, as without TLS, and it gets
// all of them in the end.
func TestTLSUnread(t *testing.T) {
	s := startTLS(t, netio.Options{MaxOutputBytes: 1 << 20})
	c := s.lines(t, s.client)
	value := strings.Repeat("v", 60_000)
	c.send(`{"SET":{"long-one":"` + value + `"}}`)
	c.recv()
	n := 2000 // 120 MB
	if netio.UnderRace {
		n = 300
	}
	get := `{"GET":["long-one"]}` + strings.Repeat(" ", 4000)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for range n {
			c.send(get)
		}
	}()
	waitFor(t, "output that waits", func() bool { return s.Stats().OutputBytes > 1<<20 })
	for i := range n {
		if got := c.recv(); len(got) != len(value)+len(`{"GET_RSP":{"st":0,"long-one":""}}`) {
			t.Fatalf("answer %d: %.100s", i, got)
		}
	}
	<-sent
	if most := s.Stats().OutputBytes; most > 4<<20 {
		t.Errorf("%d bytes are held", most)
	}
}
