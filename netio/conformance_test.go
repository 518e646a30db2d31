package netio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"keyframe/engine"
)

// The cases of the Autobahn test suite, sections 1 to 7, 9 and 10, by its own numbers,
// against the echo server of echo_test.go, which tests package frame. Cases that want no
// echo also run against the server itself. The suite needs Python 2, which not every
// machine has; echo_test.go says how to point it here. Frames are written and read by
// gobwas/ws, whose framing the server does not use.

// A conformanceCase sends frames and expects others back. The client closes with 1000 at
// the end, unless the server is to close.
type conformanceCase struct {
	id   string
	send []ws.Frame
	want []string // "text …", "binary …", "pong …", "close N"
	chop int      // bytes in each write; 0: all at once
}

func rawFrame(op ws.OpCode, fin bool, payload string) ws.Frame {
	return ws.NewFrame(op, fin, []byte(payload))
}

func text(payload string) ws.Frame        { return rawFrame(ws.OpText, true, payload) }
func binaryFrame(payload string) ws.Frame { return rawFrame(ws.OpBinary, true, payload) }
func ping(payload string) ws.Frame        { return rawFrame(ws.OpPing, true, payload) }
func pong(payload string) ws.Frame        { return rawFrame(ws.OpPong, true, payload) }
func begin(payload string) ws.Frame       { return rawFrame(ws.OpText, false, payload) }
func middle(payload string) ws.Frame      { return rawFrame(ws.OpContinuation, false, payload) }
func end(payload string) ws.Frame         { return rawFrame(ws.OpContinuation, true, payload) }

func closing(code int, reason string) ws.Frame {
	return ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusCode(code), reason))
}

func reserved(f ws.Frame, rsv byte) ws.Frame {
	f.Header.Rsv = rsv
	return f
}

// fragments cuts a message into frames of at most size bytes.
func fragments(op ws.OpCode, payload string, size int) (out []ws.Frame) {
	for len(payload) > size {
		out = append(out, rawFrame(op, false, payload[:size]))
		payload, op = payload[size:], ws.OpContinuation
	}
	return append(out, rawFrame(op, true, payload))
}

func conformanceCases() (cases []conformanceCase) {
	add := func(id string, send []ws.Frame, want ...string) {
		cases = append(cases, conformanceCase{id: id, send: send, want: want})
	}
	chopped := func(id string, chop int, send []ws.Frame, want ...string) {
		cases = append(cases, conformanceCase{id: id, send: send, want: want, chop: chop})
	}
	frames := func(f ...ws.Frame) []ws.Frame { return f }
	const failed, notUTF8 = "close 1002", "close 1007"

	// 1: framing.
	for i, n := range []int{0, 125, 126, 127, 128, 65535, 65536} {
		add(fmt.Sprintf("1.1.%d", i+1), frames(text(strings.Repeat("*", n))), "text "+strings.Repeat("*", n))
		add(fmt.Sprintf("1.2.%d", i+1), frames(binaryFrame(strings.Repeat("\xFE", n))), "binary "+strings.Repeat("\xFE", n))
	}
	chopped("1.1.8", 997, frames(text(strings.Repeat("*", 65536))), "text "+strings.Repeat("*", 65536))
	chopped("1.2.8", 997, frames(binaryFrame(strings.Repeat("\xFE", 65536))), "binary "+strings.Repeat("\xFE", 65536))

	// 2: pings and pongs.
	full := strings.Repeat("\xFE", 125)
	add("2.1", frames(ping("")), "pong ")
	add("2.2", frames(ping("Hello, world!")), "pong Hello, world!")
	add("2.3", frames(ping("\x00\xff\xfe\xfd\xfc\xfb\x00\xff")), "pong \x00\xff\xfe\xfd\xfc\xfb\x00\xff")
	add("2.4", frames(ping(full)), "pong "+full)
	add("2.5", frames(ping(full+"x")), failed)
	chopped("2.6", 1, frames(ping(full)), "pong "+full)
	add("2.7", frames(pong("")))
	add("2.8", frames(pong("unsolicited pong payload")))
	add("2.9", frames(pong("unsolicited pong payload"), ping("ping payload")), "pong ping payload")
	var pings []ws.Frame
	var pongs []string
	for i := range 10 {
		pings = append(pings, ping(fmt.Sprint("payload-", i)))
		pongs = append(pongs, fmt.Sprint("pong payload-", i))
	}
	add("2.10", pings, pongs...)
	chopped("2.11", 1, pings, pongs...)

	// 3: reserved bits.
	add("3.1", frames(reserved(text("*"), 1)), failed)
	add("3.2", frames(text("*"), reserved(text("*"), 2), ping("")), "text *", failed)
	chopped("3.3", 7, frames(text("*"), reserved(text("*"), 3), ping("")), "text *", failed)
	chopped("3.4", 1, frames(text("*"), reserved(text("*"), 4), ping("")), "text *", failed)
	add("3.5", frames(reserved(binaryFrame("\xFE"), 5)), failed)
	add("3.6", frames(reserved(ping("*"), 6)), failed)
	add("3.7", frames(reserved(closing(1000, ""), 7)), failed)

	// 4: opcodes that are reserved.
	for i, op := range []ws.OpCode{3, 4, 5, 6, 7} {
		add(fmt.Sprintf("4.1.%d", i+1), frames(text("*"), rawFrame(op, true, strings.Repeat("*", i)), ping("")), "text *", failed)
	}
	for i, op := range []ws.OpCode{11, 12, 13, 14, 15} {
		add(fmt.Sprintf("4.2.%d", i+1), frames(text("*"), rawFrame(op, true, strings.Repeat("*", i)), ping("")), "text *", failed)
	}

	// 5: fragments.
	add("5.1", frames(rawFrame(ws.OpPing, false, "fragment1"), end("fragment2")), failed)
	add("5.2", frames(rawFrame(ws.OpPong, false, "fragment1"), end("fragment2")), failed)
	two := frames(begin("fragment1"), end("fragment2"))
	add("5.3", two, "text fragment1fragment2")
	chopped("5.4", 15, two, "text fragment1fragment2")
	chopped("5.5", 1, two, "text fragment1fragment2")
	between := frames(begin("fragment1"), ping("ping payload"), end("fragment2"))
	add("5.6", between, "pong ping payload", "text fragment1fragment2")
	chopped("5.7", 15, between, "pong ping payload", "text fragment1fragment2")
	chopped("5.8", 1, between, "pong ping payload", "text fragment1fragment2")
	for i, first := range []ws.Frame{end("non-continuation payload"), middle("non-continuation payload")} {
		send := frames(first, text("Hello, world!"))
		add(fmt.Sprintf("5.%d", 9+3*i), send, failed)
		chopped(fmt.Sprintf("5.%d", 10+3*i), 15, send, failed)
		chopped(fmt.Sprintf("5.%d", 11+3*i), 1, send, failed)
	}
	add("5.15", append(two[:2:2], middle("fragment3"), begin("fragment4"), end("fragment5")), "text fragment1fragment2", failed)
	add("5.16", frames(middle("fragment1"), begin("fragment2"), end("fragment3")), failed)
	add("5.17", frames(end("fragment1"), begin("fragment2"), end("fragment3")), failed)
	add("5.18", frames(begin("fragment1"), text("fragment2")), failed)
	five := frames(begin("fragment1"), middle("fragment2"), ping("pongme 1!"), middle("fragment3"), ping("pongme 2!"), middle("fragment4"), end("fragment5"))
	add("5.19", five, "pong pongme 1!", "pong pongme 2!", "text fragment1fragment2fragment3fragment4fragment5")
	chopped("5.20", 15, five, "pong pongme 1!", "pong pongme 2!", "text fragment1fragment2fragment3fragment4fragment5")

	// 6: UTF-8. Where the suite allows an early failure or one at the end of
	// the message (6.4), ours is at the end.
	add("6.1.1", frames(text("")), "text ")
	add("6.1.2", frames(begin(""), middle(""), end("")), "text ")
	add("6.1.3", frames(begin(""), middle("middle frame payload"), end("")), "text middle frame payload")
	hello := "Hello-µ@ßöäüàá-UTF-8!!"
	add("6.2.1", frames(text(hello)), "text "+hello)
	add("6.2.2", frames(begin(hello[:12]), end(hello[12:])), "text "+hello)
	add("6.2.3", fragments(ws.OpText, hello, 1), "text "+hello)
	add("6.2.4", fragments(ws.OpText, "κόσμε", 1), "text κόσμε")
	broken := "κόσμε\xed\xa0\x80edited"
	add("6.3.1", frames(text(broken)), notUTF8)
	add("6.3.2", fragments(ws.OpText, broken, 1), notUTF8)
	add("6.4.1", frames(begin("κόσμε"), middle("\xf4\x90\x80\x80"), end("edited")), notUTF8)
	add("6.4.2", frames(begin("κόσμε\xf4"), middle("\x90"), end("\x80\x80edited")), notUTF8)
	chopped("6.4.3", 3, frames(text("κόσμε\xf4\x90\x80\x80edited")), notUTF8)
	for group, texts := range map[string][]string{
		"6.5":  {"κόσμε"},
		"6.6":  {"κ", "κό", "κόσ", "κόσμ", "κόσμε"},
		"6.7":  {"\x00", "\u0080", "\u0800", "\U00010000"},
		"6.9":  {"\x7f", "\u07ff", "\uffff", "\U0010ffff"},
		"6.11": {"\ud7ff", "\ue000", "\ufffd", "\U0010ffff"},
		"6.22": {"\ufffe", "\uffff", "\U0001fffe", "\U0001ffff", "\U0002fffe", "\U0002ffff", "\U000ffffe", "\U000fffff", "\U0010fffe", "\U0010ffff"},
		"6.23": {"\ufffd"},
	} {
		for i, s := range texts {
			add(fmt.Sprintf("%s.%d", group, i+1), frames(text(s)), "text "+s)
			add(fmt.Sprintf("%s.%d in single bytes", group, i+1), fragments(ws.OpText, s, 1), "text "+s)
		}
	}
	for group, texts := range map[string][]string{
		"6.6":  {"\xce", "\xce\xba\xe1", "\xce\xba\xe1\xbd", "\xce\xba\xcf\x8c\xcf", "\xce\xba\xcf\x8c\xcf\x83\xce"},
		"6.8":  {"\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80"},
		"6.10": {"\xf7\xbf\xbf\xbf", "\xfb\xbf\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf\xbf"},
		"6.11": {"\xf4\x90\x80\x80"},
		"6.12": {"\x80", "\xbf", "\x80\xbf", "\x80\xbf\x80", "\x80\xbf\x80\xbf", "\x80\xbf\x80\xbf\x80"},
		"6.13": {"\xc0 \xc1 \xdf ", "\xe0 \xef ", "\xf0 \xf7 ", "\xf8 \xfb ", "\xfc \xfd "},
		"6.14": {"\xc0", "\xe0\x80", "\xf0\x80\x80", "\xf8\x80\x80\x80", "\xfc\x80\x80\x80\x80", "\xdf", "\xef\xbf", "\xf7\xbf\xbf", "\xfb\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf"},
		"6.15": {"\xc0\xe0\x80\xf0\x80\x80\xf8\x80\x80\x80\xfc\x80\x80\x80\x80\xdf\xef\xbf\xf7\xbf\xbf\xfb\xbf\xbf\xbf\xfd\xbf\xbf\xbf\xbf"},
		"6.16": {"\xfe", "\xff", "\xfe\xfe\xff\xff"},
		"6.17": {"\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf", "\xfc\x80\x80\x80\x80\xaf"},
		"6.18": {"\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xf8\x87\xbf\xbf\xbf", "\xfc\x83\xbf\xbf\xbf\xbf"},
		"6.19": {"\xc0\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf8\x80\x80\x80\x80", "\xfc\x80\x80\x80\x80\x80"},
		"6.20": {"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf", "\xed\xb0\x80", "\xed\xbe\x80", "\xed\xbf\xbf"},
		"6.21": {"\xed\xa0\x80\xed\xb0\x80", "\xed\xa0\x80\xed\xbf\xbf", "\xed\xad\xbf\xed\xb0\x80", "\xed\xad\xbf\xed\xbf\xbf", "\xed\xae\x80\xed\xb0\x80", "\xed\xae\x80\xed\xbf\xbf", "\xed\xaf\xbf\xed\xb0\x80", "\xed\xaf\xbf\xed\xbf\xbf"},
	} {
		for i, s := range texts {
			add(fmt.Sprintf("%s.%d, not UTF-8", group, i+1), frames(text(s)), notUTF8)
			add(fmt.Sprintf("%s.%d in single bytes, not UTF-8", group, i+1), fragments(ws.OpText, s, 1), notUTF8)
		}
	}

	// 7: closing.
	normal := closing(1000, "")
	add("7.1.1", frames(text("Hello World!"), normal), "text Hello World!", "close 1000")
	add("7.1.2", frames(normal, normal), "close 1000")
	add("7.1.3", frames(normal, ping("")), "close 1000")
	add("7.1.4", frames(normal, text("Hello World!")), "close 1000")
	add("7.1.5", frames(begin("fragment1"), normal, end("fragment2")), "close 1000")
	big := strings.Repeat("BAsd7&jh23", 256<<10/10)
	add("7.1.6", frames(text(big), text("Hello World!"), normal, ping("")), "text "+big, "text Hello World!", "close 1000")
	add("7.3.1", frames(ws.NewCloseFrame(nil)), "close")
	add("7.3.2", frames(ws.NewCloseFrame([]byte("a"))), failed)
	add("7.3.3", frames(normal), "close 1000")
	add("7.3.4", frames(closing(1000, "Hello World!")), "close 1000")
	add("7.3.5", frames(closing(1000, strings.Repeat("*", 123))), "close 1000")
	// gobwas/ws cuts a reason that is too long.
	add("7.3.6", frames(ws.NewCloseFrame([]byte("\x03\xe8"+strings.Repeat("*", 124)))), failed)
	add("7.5.1", frames(closing(1000, "κόσμε\xed\xa0\x80edited")), notUTF8)
	for i, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999} {
		add(fmt.Sprintf("7.7.%d", i+1), frames(closing(code, "")), fmt.Sprint("close ", code))
	}
	for i, code := range []int{0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999} {
		add(fmt.Sprintf("7.9.%d", i+1), frames(closing(code, "")), failed)
		add(fmt.Sprintf("7.9.%d with a reason", i+1), frames(closing(code, "reason")), failed)
	}
	add("7.13.1", frames(closing(5000, "")), failed)
	add("7.13.2", frames(closing(65535, "")), failed)

	// 9 and 10: large messages, many messages.
	for i, n := range []int{64 << 10, 256 << 10, 1 << 20, 4 << 20, 8 << 20, 16 << 20} {
		payload := strings.Repeat("*", n)
		add(fmt.Sprintf("9.1.%d", i+1), frames(text(payload)), "text "+payload)
		add(fmt.Sprintf("9.2.%d", i+1), frames(binaryFrame(payload)), "binary "+payload)
	}
	four := strings.Repeat("*", 4<<20)
	for i, size := range []int{64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20} {
		add(fmt.Sprintf("9.3.%d", i+1), fragments(ws.OpText, four, size), "text "+four)
		add(fmt.Sprintf("9.4.%d", i+1), fragments(ws.OpBinary, four, size), "binary "+four)
	}
	one := strings.Repeat("*", 1<<20)
	for i, chop := range []int{64, 128, 256, 512, 1024, 2048} {
		chopped(fmt.Sprintf("9.5.%d", i+1), chop, frames(text(one)), "text "+one)
		chopped(fmt.Sprintf("9.6.%d", i+1), chop, frames(binaryFrame(one)), "binary "+one)
	}
	for i, n := range []int{0, 16, 64, 256, 1024, 4096} {
		payload := strings.Repeat("*", n)
		var send []ws.Frame
		var want []string
		for range 1000 {
			send, want = append(send, text(payload)), append(want, "text "+payload)
		}
		add(fmt.Sprintf("9.7.%d", i+1), send, want...)
	}
	long := strings.Repeat("*", 65536)
	add("10.1.1", fragments(ws.OpText, long, 1300), "text "+long)
	return cases
}

func TestConformance(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go serveEcho(nc)
		}
	}()
	server := startForConformance(t)
	for _, tt := range conformanceCases() {
		t.Run(tt.id, func(t *testing.T) { runConformance(t, ln.Addr().String(), tt) })
		if !tt.echoes() {
			t.Run(tt.id+" of the server itself", func(t *testing.T) { runConformance(t, server, tt) })
		}
	}
}

// echoes reports whether the case wants a message back, which only an echo server sends.
func (tt *conformanceCase) echoes() bool {
	for _, w := range tt.want {
		if strings.HasPrefix(w, "text") || strings.HasPrefix(w, "binary") {
			return true
		}
	}
	return false
}

func startForConformance(t *testing.T) (addr string) {
	t.Helper()
	store, err := engine.New(engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := New(store, Options{Listen: []string{"127.0.0.1:0"}, Logger: quietLogger()})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = srv.Stop(context.Background())
		_ = store.Close()
	})
	return srv.Addrs()[0].String()
}

func runConformance(t *testing.T, addr string, tt conformanceCase) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, r, _, err := ws.Dial(ctx, "ws://"+addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	var in io.Reader = c
	if r != nil {
		in = io.MultiReader(bytes.NewReader(must(r.Peek(r.Buffered()))), c)
	}

	want := tt.want
	var out bytes.Buffer
	for _, f := range tt.send {
		if err := ws.WriteFrame(&out, ws.MaskFrame(f)); err != nil {
			t.Fatal(err)
		}
	}
	if len(want) == 0 || !strings.HasPrefix(want[len(want)-1], "close") {
		want = append(want[:len(want):len(want)], "close 1000")
		_ = ws.WriteFrame(&out, ws.MaskFrame(closing(1000, "")))
	}
	go func() {
		rest := out.Bytes()
		for len(rest) > 0 {
			n := len(rest)
			if tt.chop > 0 {
				n = min(n, tt.chop)
			}
			if _, err := c.Write(rest[:n]); err != nil {
				return // the server has closed, and may
			}
			rest = rest[n:]
		}
	}()
	for i, w := range want {
		f, err := ws.ReadFrame(in)
		if err != nil {
			t.Fatalf("response %d: %v, want %.100q", i, err, w)
		}
		if got := frameText(f); got != w {
			t.Fatalf("response %d is %.100q, want %.100q", i, got, w)
		}
	}
	if f, err := ws.ReadFrame(in); !errors.Is(err, io.EOF) {
		t.Fatalf("after the close frame: %.100q, %v", frameText(f), err)
	}
}

func must(b []byte, _ error) []byte { return b }

// frameText is a server's frame in the words of a conformanceCase.
func frameText(f ws.Frame) string {
	if f.Header.Masked || f.Header.Rsv != 0 || !f.Header.Fin {
		return fmt.Sprintf("a frame that no server sends: %+v", f.Header)
	}
	switch f.Header.OpCode {
	case ws.OpText:
		return "text " + string(f.Payload)
	case ws.OpBinary:
		return "binary " + string(f.Payload)
	case ws.OpPong:
		return "pong " + string(f.Payload)
	case ws.OpClose:
		if len(f.Payload) == 0 {
			return "close"
		}
		code, _ := ws.ParseCloseFrameData(f.Payload)
		return fmt.Sprint("close ", code)
	}
	return fmt.Sprintf("a frame of opcode %d", f.Header.OpCode)
}
