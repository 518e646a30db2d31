package netio_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"keyframe/netio"
)

// PROTOCOL.md section 1, through sockets.

// TestContract1JSONLines: CR before LF is white space, blank lines are ignored,
// and an unfinished last line is not a command.
func TestContract1JSONLines(t *testing.T) {
	s := startServer(t, netio.Options{})
	c := dialLines(t, "tcp", s.tcp)
	c.sendRaw("\n\r\n \t\n{\"SET\":{\"line_1\":1}}\r\n\n{\"SET\":{\"line_2\":2}}\n{\"SET\":{\"line_3\":3}}")
	for _, want := range []string{`{"SET_RSP":{"st":1,"k":"line_1"}}`, `{"SET_RSP":{"st":1,"k":"line_2"}}`} {
		if got := c.recv(); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
	_ = c.Conn.(interface{ CloseWrite() error }).CloseWrite()
	if rest := c.wantEOF(); rest != "" {
		t.Fatalf("an unfinished line was answered: %q", rest)
	}
}

// TestContract1HalfClose: a client that sends everything and shuts its side down,
// as `nc` does, gets every answer, even when they exceed what sockets buffer.
func TestContract1HalfClose(t *testing.T) {
	s := startServer(t, netio.Options{})
	c := dialLines(t, "tcp", s.tcp)
	const commands = 400
	value := strings.Repeat("v", 60_000)
	c.send(`{"SET":{"half_close":"` + value + `"}}`)
	c.recv()
	c.sendRaw(strings.Repeat("{\"GET\":[\"half_close\"]}\n", commands))
	_ = c.Conn.(interface{ CloseWrite() error }).CloseWrite()
	// Only now does it begin to read 24 MB.
	lines := strings.Split(strings.TrimSuffix(c.wantEOF(), "\n"), "\n")
	if len(lines) != commands {
		t.Fatalf("%d responses of %d", len(lines), commands)
	}
	for i, line := range lines {
		if line != `{"GET_RSP":{"st":0,"half_close":"`+value+`"}}` {
			t.Fatalf("response %d is wrong: %.100s", i, line)
		}
	}
}

// TestContract1PipelineKeepsOrder sends 10,000 commands in one write.
func TestContract1PipelineKeepsOrder(t *testing.T) {
	s := startServer(t, netio.Options{})
	const commands = 10_000
	var in, want bytes.Buffer
	for i := range commands {
		fmt.Fprintf(&in, "{\"SET\":{\"pipe_%06d\":%d,\"bad\":0}}\n", i, i)
		fmt.Fprintf(&want, "{\"SET_RSP\":{\"st\":1,\"k\":\"pipe_%06d\"}}\n{\"SET_RSP\":{\"st\":6,\"k\":\"bad\"}}\n", i)
	}
	c := dialLines(t, "tcp", s.tcp)
	go func() { _, _ = c.Write(in.Bytes()) }()
	got := make([]byte, want.Len())
	if _, err := io.ReadFull(c.r, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Fatal("the responses differ")
	}
}

// upgradeWith sends a raw upgrade request and returns the answer.
func upgradeWith(t *testing.T, s *testServer, request string) *http.Response {
	t.Helper()
	c := dialLines(t, "tcp", s.tcp)
	c.sendRaw(request)
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

const goodHeaders = "Host: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"

// TestContract1Upgrade: any path; version 13; a key is required; a bad upgrade
// gets 400 or 426 with a reason; no extension is negotiated.
func TestContract1Upgrade(t *testing.T) {
	s := startServer(t, netio.Options{})
	for _, path := range []string{"/", "/some/path?q=1", "http://x/abs"} {
		resp := upgradeWith(t, s, "GET "+path+" HTTP/1.1\r\n"+goodHeaders+
			"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nSec-WebSocket-Protocol: chat\r\n\r\n")
		if resp.StatusCode != 101 || resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
			t.Errorf("%s: %s %v", path, resp.Status, resp.Header)
		}
		if e := resp.Header.Get("Sec-WebSocket-Extensions") + resp.Header.Get("Sec-WebSocket-Protocol"); e != "" {
			t.Errorf("%s: negotiated %q", path, e)
		}
	}
	without := func(line string) string {
		return "GET / HTTP/1.1\r\n" + strings.Replace(goodHeaders, line, "", 1) + "\r\n"
	}
	for _, tt := range []struct {
		name, request string
		status        int
	}{
		{"no key", without("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), 400},
		{"bad key", strings.Replace(without(""), "dGhlIHNhbXBsZSBub25jZQ==", "short", 1), 400},
		{"no connection", without("Connection: keep-alive, Upgrade\r\n"), 400},
		{"no version", without("Sec-WebSocket-Version: 13\r\n"), 400},
		{"version 8", strings.Replace(without(""), "Version: 13", "Version: 8", 1), 426},
		{"HTTP/1.0", strings.Replace(without(""), "HTTP/1.1", "HTTP/1.0", 1), 400},
		{"no HTTP", "GET nonsense\r\n\r\n", 400},
		{"endless headers", "GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 20_000), 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp := upgradeWith(t, s, tt.request)
			body, err := io.ReadAll(resp.Body)
			if resp.StatusCode != tt.status || err != nil || len(strings.TrimSpace(string(body))) == 0 {
				t.Fatalf("%s, body %q, error %v; want %d and a reason", resp.Status, body, err, tt.status)
			}
			if tt.status == 426 && resp.Header.Get("Sec-WebSocket-Version") != "13" {
				t.Fatal("426 without the version that is served")
			}
		})
	}
}

// TestContract1Subprotocol: keyframe is agreed to, wherever it stands in the list; asked for
// others only, the upgrade succeeds without one.
func TestContract1Subprotocol(t *testing.T) {
	s := startServer(t, netio.Options{})
	for asked, want := range map[string]string{
		"Sec-WebSocket-Protocol: keyframe\r\n":                                       "keyframe",
		"Sec-WebSocket-Protocol: chat, keyframe\r\n":                                 "keyframe",
		"Sec-WebSocket-Protocol: chat\r\nsec-websocket-protocol: keyframe,other\r\n": "keyframe",
		"Sec-WebSocket-Protocol: chat\r\n":                                           "",
		"Sec-WebSocket-Protocol: Keyframe, keyframe2\r\n":                            "",
		"": "",
	} {
		resp := upgradeWith(t, s, "GET / HTTP/1.1\r\n"+goodHeaders+asked+"\r\n")
		if got := resp.Header.Values("Sec-WebSocket-Protocol"); resp.StatusCode != 101 || strings.Join(got, "|") != want {
			t.Errorf("%q: %s, agreed to %q, want %q", asked, resp.Status, got, want)
		}
	}
}

// TestContract1StrictUpgrade: what two readers could take for two requests is refused with a
// 400 and a reason, and so is what no client sends.
func TestContract1StrictUpgrade(t *testing.T) {
	s := startServer(t, netio.Options{})
	good := "GET / HTTP/1.1\r\n" + goodHeaders
	header := func(lines string) string { return good + lines + "\r\n\r\n" }
	replaced := func(old, new string) string { return strings.Replace(good, old, new, 1) + "\r\n" }
	for _, tt := range []struct{ name, request, reason string }{
		{"two keys", header("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), "two Sec-WebSocket-Key headers"},
		{"two keys, one in other letters", header("SEC-WEBSOCKET-KEY: AAAAAAAAAAAAAAAAAAAAAA=="), "two Sec-WebSocket-Key"},
		{"two versions", header("Sec-WebSocket-Version: 13"), "two Sec-WebSocket-Version"},
		{"two hosts", header("Host: y"), "two Host"},
		{"two upgrades", header("Upgrade: websocket"), "two Upgrade"},
		{"two lengths", header("Content-Length: 0\r\nContent-Length: 0"), "two Content-Length"},
		{"NUL in a value", header("X: a\x00b"), "control character"},
		{"NUL at a value's end", header("Origin: a\x00"), "control character"},
		{"bare CR in a value", header("X: a\rY: b"), "control character"},
		{"CR before CR LF", header("X: a\r"), "control character"},
		{"bare LF", header("X: a\nY: b"), "without a CR"},
		{"DEL", header("X: \x7f"), "control character"},
		{"nothing but LFs", strings.ReplaceAll(good, "\r\n", "\n") + "\n", "without a CR"},
		{"folded by a space", header("X: a\r\n b"), "goes on in another line"},
		{"folded by a tab", header("X: a\r\n\tb"), "goes on in another line"},
		{"folded at once", "GET / HTTP/1.1\r\n " + goodHeaders + "\r\n", "goes on in another line"},
		{"space before the colon", replaced("Host:", "Host :"), "without a name"},
		{"tab before the colon", replaced("Upgrade:", "Upgrade\t:"), "without a name"},
		{"no name", header(": x"), "without a name"},
		{"no colon", header("Host"), "without a name"},
		{"name of other letters", header("Hést: x"), "without a name"},
		{"two spaces in the first line", replaced("GET /", "GET  /"), "first line"},
		{"space at its end", replaced("HTTP/1.1", "HTTP/1.1 "), "first line"},
		{"space in the target", replaced("GET /", "GET /a b"), "first line"},
		{"tab in the target", replaced("GET /", "GET /a\tb"), "first line"},
		{"no target", replaced("GET / ", "GET "), "first line"},
		{"no version", replaced(" HTTP/1.1", ""), "first line"},
		{"control character in the target", replaced("GET /", "GET /\x01"), "control character"},
		{"a body", header("Content-Length: 5") + "hello", "no body"},
		{"a chunked body", header("Transfer-Encoding: chunked") + "0\r\n\r\n", "no body"},
		{"Connection twice, without Upgrade", replaced("Connection: keep-alive, Upgrade", "Connection: keep-alive\r\nConnection: close"), "Connection"},
		{"key of 24 other bytes", replaced("dGhlIHNhbXBsZSBub25jZQ==", "!!!!!!!!!!!!!!!!!!!!!!!!"), "16 bytes in base64"},
		{"key of 18 bytes", replaced("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQaa"), "16 bytes in base64"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp := upgradeWith(t, s, tt.request)
			body, err := io.ReadAll(resp.Body)
			if resp.StatusCode != 400 || err != nil || !strings.Contains(string(body), tt.reason) {
				t.Fatalf("%s, %q, %v; want 400 and %q", resp.Status, body, err, tt.reason)
			}
		})
	}
	for name, request := range map[string]string{
		"white space around a value": replaced("Host: x", "Host: \t x \t"),
		"none":                       replaced("Host: x", "Host:x"),
		"a tab within a value":       header("X: a\tb"),
		"bytes over 127 in a value":  header("X: \xe9"),
		"a body of no bytes":         header("Content-Length: 0"),
		"every letter of a name":     header("!#$%&'*+-.^_`|~09AZaz: x"),
		"a header twice":             header("Cookie: a\r\nCookie: b"),
		"Connection twice":           replaced("Connection: keep-alive, Upgrade", "Connection: keep-alive\r\nconnection: Upgrade"),
		"Connection three times":     replaced("Connection: keep-alive, Upgrade", "Connection:\tUpgrade \r\nConnection:\r\nConnection: keep-alive, x"),
	} {
		if resp := upgradeWith(t, s, request); resp.StatusCode != 101 {
			t.Errorf("%s: %s", name, resp.Status)
		}
	}
}

// TestContract1PlainHTTP: a browser that opens the port is told, as text, what this is.
func TestContract1PlainHTTP(t *testing.T) {
	s := startServer(t, netio.Options{})
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: Mozilla/5.0\r\nAccept: text/html\r\nConnection: keep-alive\r\nUpgrade-Insecure-Requests: 1\r\n\r\n",
		"GET / HTTP/1.0\r\n\r\n",
		"GET /?upgrade: HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n",
	} {
		resp := upgradeWith(t, s, request)
		body := make([]byte, resp.ContentLength)
		_, err := io.ReadFull(resp.Body, body)
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%q: %s %v", request, resp.Status, resp.Header)
		}
		for _, want := range []string{"This is Keyframe", "new WebSocket(", "nc -N", "curl "} {
			if err != nil || !strings.Contains(string(body), want) {
				t.Errorf("%q: the page lacks %q: %s, %v", request, want, body, err)
			}
		}
	}
	// The README's first example is the page's too.
	c := dialWebSocket(t, "tcp", s.tcp)
	converse(t, c, []exchange{{`{"SET":{"user1234_name":"bob"}}`, one(`{"SET_RSP":{"st":1,"k":"user1234_name"}}`)}})
}

// rawWebSocket upgrades by hand, for frames that no client library would send.
func rawWebSocket(t *testing.T, s *testServer) *lineClient {
	t.Helper()
	c := dialLines(t, "tcp", s.tcp)
	c.sendRaw("GET / HTTP/1.1\r\n" + goodHeaders + "\r\n")
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil || resp.StatusCode != 101 {
		t.Fatal(resp, err)
	}
	return c
}

func readClose(t *testing.T, r *bufio.Reader) (code int) {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) < 4 || b[0] != 0x88 {
		t.Fatalf("want a close frame and the end, got %x", b)
	}
	return int(binary.BigEndian.Uint16(b[2:]))
}

// TestContract1StrictText: with StrictText a binary message is closed with 1003 at its first
// frame, after the commands before it.
func TestContract1StrictText(t *testing.T) {
	s := startServer(t, netio.Options{StrictText: true})
	for name, frames := range map[string]string{
		"whole":     "\x82\x80\x00\x00\x00\x00",
		"fragments": "\x02\x81\x00\x00\x00\x00{",
		"header":    "\x82\x85\x00\x00\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			c := rawWebSocket(t, s)
			c.sendRaw("\x81\x8C\x00\x00\x00\x00{\"COUNT\":{}}" + frames)
			answer := make([]byte, 2+len(`{"COUNT_RSP":{"st":0,"cnt":0}}`))
			if _, err := io.ReadFull(c.r, answer); err != nil || string(answer[2:]) != `{"COUNT_RSP":{"st":0,"cnt":0}}` {
				t.Fatalf("%q, %v", answer, err)
			}
			if code := readClose(t, c.r); code != 1003 {
				t.Fatalf("closed with %d, want 1003", code)
			}
		})
	}
}

// TestContract1Binary: a binary message is served as a text one, in fragments too, and
// answered with text.
func TestContract1Binary(t *testing.T) {
	s := startServer(t, netio.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws://"+s.tcp, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow() // a test's client
	for _, x := range []exchange{
		{`{"SET":{"binary_key":"é"}}`, one(`{"SET_RSP":{"st":1,"k":"binary_key"}}`)},
		{`{"GET":["binary_key"]}`, one(`{"GET_RSP":{"st":0,"binary_key":"é"}}`)},
		{`[]`, one(`{"SERVER_ERROR":{"s":4,"m":"Only one command permitted"}}`)},
		{``, one(`{"SERVER_ERROR":{"s":5,"m":"not JSON: it ends before a value begins"}}`)},
	} {
		for _, fragmented := range []bool{false, true} {
			if fragmented {
				x.want[0] = strings.Replace(x.want[0], `"st":1`, `"st":2`, 1)
				w, err := ws.Writer(ctx, websocket.MessageBinary)
				if err != nil {
					t.Fatal(err)
				}
				for i := range len(x.send) {
					_, _ = w.Write([]byte(x.send[i : i+1]))
				}
				_ = w.Close()
			} else if err := ws.Write(ctx, websocket.MessageBinary, []byte(x.send)); err != nil {
				t.Fatal(err)
			}
			kind, got, err := ws.Read(ctx)
			if kind != websocket.MessageText || err != nil || x.send != "" && string(got) != x.want[0] {
				t.Fatalf("%s: kind %v, %s, %v; want %s", x.send, kind, got, err, x.want[0])
			}
		}
	}
	c := rawWebSocket(t, s)
	c.sendRaw("\x82\x82\x00\x00\x00\x00\"\xff")
	if code := readClose(t, c.r); code != 1007 {
		t.Fatalf("a binary message that is not UTF-8 is closed with %d, want 1007", code)
	}
}

// TestContract1CloseCodes: 1002 protocol error, 1007 not UTF-8, 1009 too long.
// TestContract1CloseHandshake and TestStop… have 1000 and 1001, TestContract1StrictText has
// 1003, TestContract6SlowConsumer has 1008.
func TestContract1CloseCodes(t *testing.T) {
	s := startServer(t, netio.Options{MaxFrameBytes: 1000})
	masked := func(first byte, payload string) string {
		return string([]byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}) + payload
	}
	for _, tt := range []struct {
		name, frames string
		code         int
	}{
		{"RSV bit", masked(0xC1, "{}"), 1002},
		{"unknown opcode", masked(0x83, "{}"), 1002},
		{"unmasked frame", "\x81\x02{}", 1002},
		{"fragmented control frame", masked(0x09, ""), 1002},
		{"long control frame", "\x89\xFE\x00\x7E", 1002},
		{"bad continuation", masked(0x80, "{}"), 1002},
		{"text inside fragments", masked(0x01, "{") + masked(0x81, "}"), 1002},
		{"text that is not UTF-8", masked(0x81, "{\"SET\":{\"abcdef\":\"\xff\"}}"), 1007},
		{"a character cut off", masked(0x81, "{\"SET\":\xc3"), 1007},
		{"fragments that are not UTF-8", masked(0x01, "\"\xc3") + masked(0x80, "\x28\""), 1007},
		{"message over the limit", "\x81\xFE\x03\xE9", 1009},
		{"fragments over the limit", "\x01\xFE\x03\x84\x00\x00\x00\x00" + strings.Repeat("x", 900) + "\x80\xE5\x00\x00\x00\x00", 1009},
		{"close with a bad code", masked(0x88, "\x03\xED"), 1002},
		{"close of one byte", masked(0x88, "\x03"), 1002},
		{"close reason not UTF-8", masked(0x88, "\x03\xE8\xff"), 1007},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := rawWebSocket(t, s)
			c.sendRaw(tt.frames)
			if code := readClose(t, c.r); code != tt.code {
				t.Fatalf("closed with %d, want %d", code, tt.code)
			}
		})
	}
}

// TestContract1UTF8AcrossFragments: a character may be cut by a fragment's end.
func TestContract1UTF8AcrossFragments(t *testing.T) {
	s := startServer(t, netio.Options{})
	c := rawWebSocket(t, s)
	key := "ééé😀😀😀"
	text := `{"SET":{"` + key + `":1}}`
	for cut := 1; cut < len(text); cut++ {
		first, second := text[:cut], text[cut:]
		c.sendRaw("\x01" + string([]byte{0x80 | byte(len(first))}) + "\x00\x00\x00\x00" + first)
		c.sendRaw("\x80" + string([]byte{0x80 | byte(len(second))}) + "\x00\x00\x00\x00" + second)
		header := make([]byte, 2)
		_, _ = io.ReadFull(c.r, header)
		body := make([]byte, header[1])
		if _, err := io.ReadFull(c.r, body); err != nil || !strings.HasSuffix(string(body), `"k":"`+key+`"}}`) {
			t.Fatalf("cut at %d: %q, %v", cut, body, err)
		}
	}
}

// TestContract1PingPong: a ping gets a pong with its payload; a pong without a ping is
// ignored.
func TestContract1PingPong(t *testing.T) {
	s := startServer(t, netio.Options{})
	c := rawWebSocket(t, s)
	c.sendRaw("\x8A\x81\x00\x00\x00\x00x" + "\x89\x85\x00\x00\x00\x00hello" + "\x89\x80\x00\x00\x00\x00")
	got := make([]byte, 9)
	if _, err := io.ReadFull(c.r, got); err != nil || string(got) != "\x8A\x05hello\x8A\x00" {
		t.Fatalf("%q, %v", got, err)
	}
	w := dialWebSocket(t, "tcp", s.tcp)
	ctx := w.CloseRead(w.ctx)
	if err := w.Ping(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestContract1CloseHandshake: a client's close is answered with the same code,
// and the commands before it are answered first.
func TestContract1CloseHandshake(t *testing.T) {
	s := startServer(t, netio.Options{})
	for _, tt := range []struct{ payload, want string }{
		{"\x03\xE8", "\x88\x02\x03\xE8"},
		{"\x0F\xA0bye", "\x88\x02\x0F\xA0"},
		{"", "\x88\x00"},
	} {
		c := rawWebSocket(t, s)
		c.sendRaw("\x81\x8C\x00\x00\x00\x00{\"COUNT\":{}}" + "\x88" + string([]byte{0x80 | byte(len(tt.payload))}) + "\x00\x00\x00\x00" + tt.payload + "\x81\x80")
		if got := c.wantEOF(); got != "\x81\x1e{\"COUNT_RSP\":{\"st\":0,\"cnt\":0}}"+tt.want {
			t.Fatalf("close %q: %q", tt.payload, got)
		}
	}
	w := dialWebSocket(t, "unix", s.unix)
	if err := w.Close(websocket.StatusNormalClosure, "done"); err != nil {
		t.Fatal(err)
	}
}

// TestContract1LargeMessages: the 8-byte length in both directions.
func TestContract1LargeMessages(t *testing.T) {
	s := startServer(t, netio.Options{})
	c := dialWebSocket(t, "tcp", s.tcp)
	for _, n := range []int{50, 80, 81, 82, 100, 65_400, 65_480, 65_490, 65_500, 65_536, 70_000, 1 << 20, 15 << 20} {
		value := `"` + strings.Repeat("v", n) + `"`
		c.send(`{"SET":{"large_key":` + value + `}}`)
		c.recv()
		c.send(`{"GET":["large_key"]}`)
		if got := c.recv(); got != `{"GET_RSP":{"st":0,"large_key":`+value+`}}` {
			t.Fatalf("value of %d bytes: %d bytes came back", n, len(got))
		}
	}
}

// TestContract1Bodies: what a page of another origin may post is no command, and a client that
// ends its lines with a bare LF is told so.
func TestContract1Bodies(t *testing.T) {
	s := startServer(t, netio.Options{})
	command := "{\"SET\":{\"posted\":1}}\n"
	for _, first := range []string{"POST / HTTP/1.1", "PUT /kv/posted HTTP/1.1", "POST http://x/ HTTP/1.1"} {
		for eol, want := range map[string]int{"\r\n": 403, "\n": 400} {
			resp := upgradeWith(t, s, first+eol+"Host: x"+eol+"Origin: https://example.com"+eol+"Content-Type: text/plain"+eol+"Content-Length: "+strconv.Itoa(len(command))+eol+eol+command)
			if resp.StatusCode != want || !resp.Close {
				t.Errorf("%s: %s, want %d and the end", first, resp.Status, want)
			}
		}
	}
	c := dialLines(t, "tcp", s.tcp)
	converse(t, c, []exchange{{`{"COUNT":{}}`, one(`{"COUNT_RSP":{"st":0,"cnt":0}}`)}})
}
