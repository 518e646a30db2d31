package http1

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the random tests; 0 draws one")

// parse reads a head that is whole.
func parse(b []byte) (Head, int, error) {
	end, _, err := HeadEnd(b, 0)
	if err != nil {
		return Head{}, 0, err
	}
	h, err := ParseHead(b[:end])
	return h, end, err
}

// smuggling are requests that two readers could take for different ones, after the cases of
// PortSwigger's HTTP Request Smuggler and of RFC 9112 section 11.2. ~ stands for CR LF.
var smuggling = []struct{ name, request, reason string }{
	{"a length and chunks", "POST / HTTP/1.1~Host: x~Content-Length: 5~Transfer-Encoding: chunked~~", "Content-Length and Transfer-Encoding"},
	{"chunks and a length", "POST / HTTP/1.1~Host: x~Transfer-Encoding: chunked~Content-Length: 5~~", "Content-Length and Transfer-Encoding"},
	{"chunks and no length", "POST / HTTP/1.1~Host: x~Transfer-Encoding: chunked~Content-Length: 0~~", "Content-Length and Transfer-Encoding"},
	{"two lengths", "POST / HTTP/1.1~Host: x~Content-Length: 5~Content-Length: 6~~", "two Content-Length"},
	{"two lengths that agree", "POST / HTTP/1.1~Host: x~Content-Length: 5~content-length: 5~~", "two Content-Length"},
	{"a list of lengths", "POST / HTTP/1.1~Host: x~Content-Length: 5, 5~~", "number in digits"},
	{"a length with a plus", "POST / HTTP/1.1~Host: x~Content-Length: +5~~", "number in digits"},
	{"a length below 0", "POST / HTTP/1.1~Host: x~Content-Length: -1~~", "number in digits"},
	{"a length with a space in it", "POST / HTTP/1.1~Host: x~Content-Length: 5 6~~", "number in digits"},
	{"a length in hexadecimal", "POST / HTTP/1.1~Host: x~Content-Length: 0x5~~", "number in digits"},
	{"a length with an underscore", "POST / HTTP/1.1~Host: x~Content-Length: 1_0~~", "number in digits"},
	{"a length with a fraction", "POST / HTTP/1.1~Host: x~Content-Length: 5.0~~", "number in digits"},
	{"a length of nothing", "POST / HTTP/1.1~Host: x~Content-Length:~~", "number in digits"},
	{"a length past 64 bits", "POST / HTTP/1.1~Host: x~Content-Length: 18446744073709551621~~", "number in digits"},
	{"a length of 19 digits", "POST / HTTP/1.1~Host: x~Content-Length: 1000000000000000000~~", "number in digits"},
	{"two encodings", "POST / HTTP/1.1~Host: x~Transfer-Encoding: chunked~Transfer-encoding: cow~~", "two Transfer-Encoding"},
	{"a list of encodings", "POST / HTTP/1.1~Host: x~Transfer-Encoding: chunked, identity~~", "else than chunked"},
	{"chunked twice", "POST / HTTP/1.1~Host: x~Transfer-Encoding: chunked, chunked~~", "else than chunked"},
	{"gzip before chunked", "POST / HTTP/1.1~Host: x~Transfer-Encoding: gzip, chunked~~", "else than chunked"},
	{"identity", "POST / HTTP/1.1~Host: x~Transfer-Encoding: identity~~", "else than chunked"},
	{"xchunked", "POST / HTTP/1.1~Host: x~Transfer-Encoding: xchunked~~", "else than chunked"},
	{"chunked in quotes", "POST / HTTP/1.1~Host: x~Transfer-Encoding: \"chunked\"~~", "else than chunked"},
	{"chunked with a parameter", "POST / HTTP/1.1~Host: x~Transfer-Encoding: chunked;a=b~~", "else than chunked"},
	{"no encoding", "POST / HTTP/1.1~Host: x~Transfer-Encoding:~~", "else than chunked"},
	{"a vertical tab before chunked", "POST / HTTP/1.1~Host: x~Transfer-Encoding: \x0bchunked~~", "control character"},
	{"a NUL after chunked", "POST / HTTP/1.1~Host: x~Transfer-Encoding: chunked\x00~~", "control character"},
	{"chunks in HTTP/1.0", "POST / HTTP/1.0~Transfer-Encoding: chunked~~", "HTTP/1.0"},
	{"a space before the colon", "POST / HTTP/1.1~Host: x~Transfer-Encoding : chunked~~", "without a name"},
	{"a tab before the colon", "POST / HTTP/1.1~Host: x~Content-Length\t: 5~~", "without a name"},
	{"a vertical tab in a name", "POST / HTTP/1.1~Host: x~Content-Length\x0b: 5~~", "control character"},
	{"another letter in a name", "POST / HTTP/1.1~Host: x~Content\u2010Length: 5~~", "without a name"},
	{"a name in quotes", "POST / HTTP/1.1~Host: x~\"Content-Length\": 5~~", "without a name"},
	{"no name", "POST / HTTP/1.1~Host: x~: 5~~", "without a name"},
	{"no colon", "POST / HTTP/1.1~Host: x~Content-Length 5~~", "without a name"},
	{"a folded value", "POST / HTTP/1.1~Host: x~X: y~ Transfer-Encoding: chunked~~", "another line"},
	{"a folded value, by a tab", "POST / HTTP/1.1~Host: x~X: y~\tContent-Length: 5~~", "another line"},
	{"a folded first header", "POST / HTTP/1.1~ Host: x~Content-Length: 5~~", "another line"},
	{"a bare LF", "POST / HTTP/1.1~Host: x\nContent-Length: 5~~", "without a CR"},
	{"a bare LF at the end", "POST / HTTP/1.1~Host: x~\n", "without a CR"},
	{"a bare CR", "POST / HTTP/1.1~Host: x~X: y\rContent-Length: 5~~", "control character"},
	{"CR CR LF", "POST / HTTP/1.1~Host: x~X: y\r~Content-Length: 5~~", "control character"},
	{"no host", "GET / HTTP/1.1~~", "no Host"},
	{"two hosts", "GET / HTTP/1.1~Host: x~Host: y~~", "two Host"},
	{"two hosts that agree", "GET / HTTP/1.1~Host: x~host: x~~", "two Host"},
	{"a list of hosts", "GET / HTTP/1.1~Host: x, y~~", "no host"},
	{"a host with a path", "GET / HTTP/1.1~Host: x/y~~", "no host"},
	{"a host with a user", "GET / HTTP/1.1~Host: x@y~~", "no host"},
	{"a host with a space", "GET / HTTP/1.1~Host: x y~~", "no host"},
	{"a URL of another host", "GET http://y/ HTTP/1.1~Host: x~~", "different hosts"},
	{"a URL of another port", "GET http://x:81/ HTTP/1.1~Host: x:80~~", "different hosts"},
	{"a URL with a user", "GET http://x@y/ HTTP/1.1~Host: y~~", "different hosts"},
	{"a URL of no host", "GET http:///a HTTP/1.1~Host:~~", "different hosts"},
	{"a URL of no host, in HTTP/1.0", "GET http:///a HTTP/1.0~~", "different hosts"},
	{"another scheme", "GET ftp://x/ HTTP/1.1~Host: x~~", "target"},
	{"an authority", "CONNECT x:80 HTTP/1.1~Host: x:80~~", "target"},
	{"no slash", "GET kv/abc HTTP/1.1~Host: x~~", "target"},
	{"an asterisk", "GET * HTTP/1.1~Host: x~~", "target"},
	{"a fragment", "GET /kv/a#b HTTP/1.1~Host: x~~", "target"},
	{"a fragment in a URL", "GET http://x#/kv/a HTTP/1.1~Host: x~~", "target"},
	{"a fragment in a query of a URL", "GET http://x?a#b HTTP/1.1~Host: x~~", "target"},
	{"two spaces", "GET  / HTTP/1.1~Host: x~~", "first line"},
	{"a tab", "GET\t/ HTTP/1.1~Host: x~~", "first line"},
	{"a space in the target", "GET /a b HTTP/1.1~Host: x~~", "first line"},
	{"a space at the end", "GET / HTTP/1.1 ~Host: x~~", "first line"},
	{"an empty line before", "~GET / HTTP/1.1~Host: x~~", "first line"},
	{"nothing", "~~", "first line"},
	{"no version", "GET /~Host: x~~", "first line"},
	{"a method of other letters", "GE(T / HTTP/1.1~Host: x~~", "first line"},
	{"a version with two digits", "GET / HTTP/1.10~Host: x~~", "first line"},
	{"a version of letters", "GET / HTTP/1.x~Host: x~~", "first line"},
	{"HTTP in small letters", "GET / http/1.1~Host: x~~", "first line"},
	{"HTTP/0.9", "GET / HTTP/0.9~Host: x~~", "version"},
	{"HTTP/1.2", "GET / HTTP/1.2~Host: x~~", "version"},
	{"HTTP/2.0", "PRI * HTTP/2.0~~", "version"},
	{"two origins", "GET / HTTP/1.1~Host: x~Origin: a~Origin: b~~", "two Origin"},
	{"two credentials", "GET / HTTP/1.1~Host: x~Authorization: a~Authorization: b~~", "two Authorization"},
	{"two conditions", "PUT / HTTP/1.1~Host: x~If-Match: \"a\"~If-Match: \"b\"~~", "two If-Match"},
	{"another expectation", "PUT / HTTP/1.1~Host: x~Expect: 200-ok~~", "Expect"},
}

// TestSmuggling: all of it is refused.
func TestSmuggling(t *testing.T) {
	for _, c := range smuggling {
		_, _, err := parse([]byte(strings.ReplaceAll(c.request, "~", "\r\n")))
		var refused *Error
		if !errors.As(err, &refused) || !strings.Contains(refused.Reason, c.reason) || refused.Status < 400 {
			t.Errorf("%s: %v, want %q", c.name, err, c.reason)
		}
	}
}

// TestParseHead: what is read of heads that are right.
func TestParseHead(t *testing.T) {
	show := func(h Head) string {
		return fmt.Sprintf("%s %s ?%s 1.%d host=%s len=%d chunked=%v continue=%v close=%v", h.Method, h.Path, h.Query, h.Minor, h.Host, h.Length, h.Chunked, h.Continue, h.Close)
	}
	for request, want := range map[string]string{
		"GET / HTTP/1.1~Host: x~~":                                                           "GET / ? 1.1 host=x len=0 chunked=false continue=false close=false",
		"GET /kv/a?b=c?d HTTP/1.1~HOST:\t x:1 \t~~":                                          "GET /kv/a ?b=c?d 1.1 host=x:1 len=0 chunked=false continue=false close=false",
		"GET http://X:1/a?b HTTP/1.1~Host: x:1~~":                                            "GET /a ?b 1.1 host=x:1 len=0 chunked=false continue=false close=false",
		"GET HTTPS://x?b HTTP/1.1~Host: x~~":                                                 "GET / ?b 1.1 host=x len=0 chunked=false continue=false close=false",
		"GET http://x HTTP/1.0~~":                                                            "GET / ? 1.0 host=x len=0 chunked=false continue=false close=true",
		"OPTIONS * HTTP/1.1~Host:~~":                                                         "OPTIONS * ? 1.1 host= len=0 chunked=false continue=false close=false",
		"GET / HTTP/1.0~Connection: Keep-Alive~~":                                            "GET / ? 1.0 host= len=0 chunked=false continue=false close=false",
		"GET / HTTP/1.0~Connection: keep-alive, close~~":                                     "GET / ? 1.0 host= len=0 chunked=false continue=false close=true",
		"GET / HTTP/1.1~Host: x~Connection: a~connection: b ,\tClose~~":                      "GET / ? 1.1 host=x len=0 chunked=false continue=false close=true",
		"POST / HTTP/1.1~Host: x~Content-Length: 007~Expect: 100-Continue~~":                 "POST / ? 1.1 host=x len=7 chunked=false continue=true close=false",
		"POST / HTTP/1.0~Content-Length: 7~Expect: 100-continue~~":                           "POST / ? 1.0 host= len=7 chunked=false continue=false close=true",
		"POST / HTTP/1.1~Host: x~Transfer-Encoding:chunKed~~":                                "POST / ? 1.1 host=x len=0 chunked=true continue=false close=false",
		"POST / HTTP/1.1~Host: x~Content-Length: 999999999999999999~~":                       "POST / ? 1.1 host=x len=999999999999999999 chunked=false continue=false close=false",
		"M-SEARCH /\xff HTTP/1.1~Host: [::1]:80~Content_Length: 5~X: \xff~X: a\tb~Accept:~~": "M-SEARCH /\xff ? 1.1 host=[::1]:80 len=0 chunked=false continue=false close=false",
	} {
		h, _, err := parse([]byte(strings.ReplaceAll(request, "~", "\r\n")))
		if got := show(h); err != nil || got != want {
			t.Errorf("%q:\n%s, %v; want\n%s", request, got, err, want)
		}
	}
}

// TestParseHeadLikeSimple: requests in all their variants, made of parts that mean something,
// are read as the simple parser reads them.
func TestParseHeadLikeSimple(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	accepted, n := 0, 200_000
	if testing.Short() {
		n = 20_000
	}
	for range n {
		b := pick("GET", "GET", "PUT", "OPTIONS", "G@T", "") + pick(" ", " ", " ", " ", " ", "  ", "\t") +
			pick("/", "/kv/a?b=c?d", "*", "http://x", "HTTPS://X:1/a?b", "http://x?q", "http://x@x/", "http:///", "/a#b", "x", "/\x01", "/é") +
			pick(" ", " ", " ", " ", "  ") + pick("HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.1 ") + "\r\n"
		if r.IntN(8) > 0 {
			b += pick("Host: x", "Host:x ", "hOST: x:1", "Host:", "Host: x/", "Host: X") + "\r\n"
		}
		for range r.IntN(4) {
			b += pick("Content-Length", "Transfer-Encoding", "Expect", "Connection", "Connection", "Origin", "Authorization", "If-Match", "If-None-Match", "Content-Type",
				"Upgrade", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Sec-WebSocket-Protocol", "Sec-WebSocket-Protocol", "sec-websocket-protocol", "X", "X", "Xé", "", " X") +
				pick(":", ":", ": ", ": ", ":\t", " :", "") +
				pick("", "5", "007", "+5", "5,5", "chunked", "Chunked", "chun\u212Aed", "100-continue", "100-Continue", "close", "keep-alive, upgrade", "Close ,\tx", "a", "a\x00", "é", "\xff", "x\r", "1000000000000000000") +
				pick("", "", "", " ", "\t ") + "\r\n"
		}
		b += "\r\n"
		if end, err := headEndSimple([]byte(b)); err != nil || end != len(b) {
			continue // two line ends within
		}
		h, err := ParseHead([]byte(b))
		want, ok := simpleHead(b)
		if ok != (err == nil) {
			t.Fatalf("%q: %v; the simple parser reads %v %s", b, err, ok, want)
		}
		if ok {
			if accepted++; showHead(&h) != want {
				t.Fatalf("%q is read as\n%s\nby the simple parser as\n%s", b, showHead(&h), want)
			}
		}
	}
	if accepted < n/200 {
		t.Errorf("%d were accepted: this tests little", accepted)
	}
}

// TestHeadLimit: a head of 16 KiB is read, one of a byte more is not, and without an end it
// is waited for up to there.
func TestHeadLimit(t *testing.T) {
	head := func(n int) []byte {
		start := "GET / HTTP/1.1\r\nHost: x\r\nX: "
		return []byte(start + strings.Repeat("x", n-len(start)-4) + "\r\n\r\n")
	}
	if _, end, err := parse(head(MaxHeadBytes)); err != nil || end != MaxHeadBytes {
		t.Errorf("at the limit: %d, %v", end, err)
	}
	if _, _, err := parse(head(MaxHeadBytes + 1)); err != errTooLong {
		t.Errorf("past the limit: %v", err)
	}
	for n, want := range map[int]error{MaxHeadBytes - 1: ErrIncomplete, MaxHeadBytes: errTooLong} {
		if _, _, err := HeadEnd(head(2 * MaxHeadBytes)[:n], 0); err != want {
			t.Errorf("%d bytes without an end: %v, want %v", n, err, want)
		}
	}
}

// headEndSimple is HeadEnd by looking at each byte.
func headEndSimple(b []byte) (int, error) {
	for i, c := range b[:min(len(b), MaxHeadBytes)] {
		if c == '\n' && (i == 0 || b[i-1] != '\r') {
			return 0, errBareLF
		}
		if i >= 3 && string(b[i-3:i+1]) == "\r\n\r\n" {
			return i + 1, nil
		}
	}
	if len(b) >= MaxHeadBytes {
		return 0, errTooLong
	}
	return 0, ErrIncomplete
}

// FuzzHead: the end of a head is the same however it arrives; the simple parser accepts and
// reads what this one does; and what is accepted net/http accepts, too, and reads it alike.
func FuzzHead(f *testing.F) {
	for i, c := range smuggling {
		f.Add([]byte(strings.ReplaceAll(c.request, "~", "\r\n")), uint64(i))
	}
	f.Add([]byte("GET /kv/a?b HTTP/1.1\r\nHost: x\r\nConnection: a, close\r\n\r\n"), uint64(0))
	f.Add([]byte("PUT http://x/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"), uint64(0))
	f.Add([]byte("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"), uint64(0))
	f.Add([]byte("GET /a HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: a, Upgrade\r\nSec-WebSocket-Key: k\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b , c\r\nOrigin: o\r\nAuthorization: Bearer t\r\nIf-Match: \"a\"\r\nIf-None-Match: *\r\nContent-Type: t\r\n\r\n"), uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		want, wantErr := headEndSimple(b)
		rng := rand.New(rand.NewPCG(seed, 0))
		var end, looked, n int
		err := ErrIncomplete
		for err == ErrIncomplete && n < len(b) {
			n += 1 + rng.IntN(len(b)-n)
			end, looked, err = HeadEnd(b[:n], looked)
		}
		if end != want || err != wantErr {
			t.Fatalf("%d, %v; want %d, %v", end, err, want, wantErr)
		}
		if err != nil {
			return
		}
		h, err := ParseHead(b[:end])
		simple, ok := simpleHead(string(b[:end]))
		if ok != (err == nil) {
			t.Fatalf("%v; the simple parser reads %v %s", err, ok, simple)
		}
		if err != nil {
			return
		}
		if got := showHead(&h); got != simple {
			t.Fatalf("it reads\n%s\nthe simple parser\n%s", got, simple)
		}
		theirs, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b[:end])))
		if err != nil {
			// net/http takes targets and hosts apart further than is needed here.
			for _, fine := range []string{"parse ", "invalid URI", "malformed Host", "invalid method", "malformed MIME header: missing colon"} {
				if strings.Contains(err.Error(), fine) {
					return
				}
			}
			t.Fatalf("net/http refuses it: %v", err)
		}
		length := h.Length
		if h.Chunked {
			length = -1
		}
		if theirs.Method != string(h.Method) || theirs.ContentLength != length || theirs.ProtoMinor != h.Minor || theirs.Host != string(h.Host) {
			t.Fatalf("%+v\nis not net/http's\n%+v", h, theirs)
		}
		if path := theirs.URL.EscapedPath(); path != string(h.Path) && !(path == "" && string(h.Path) == "/") || theirs.URL.RawQuery != string(h.Query) {
			if unescaped, ok := Unescape(h.Path, false); !ok || string(unescaped) != theirs.URL.Path {
				t.Fatalf("path %q, query %q; net/http has %q, %q", h.Path, h.Query, theirs.URL.EscapedPath(), theirs.URL.RawQuery)
			}
		}
	})
}

// drain takes a chunked body apart that comes in pieces, and returns what is left after it.
func drain(b []byte, cuts func(left int) int) (data, rest []byte, err error) {
	var c Chunks
	come := 0
	for {
		part, n, done, err := c.Next(b[:come])
		switch {
		case err == ErrIncomplete && come == len(b):
			return data, nil, err
		case err == ErrIncomplete:
			come += cuts(len(b) - come)
			continue
		case err != nil:
			return data, nil, err
		}
		data = append(data, part...)
		b = b[n:]
		come -= n
		if done {
			return data, b, nil
		}
	}
}

func bytewise(int) int { return 1 }
func at1(left int) int { return left }

// TestChunks: sizes, extensions, ends, whole and cut at every byte, and both sides of each limit.
func TestChunks(t *testing.T) {
	long := strings.Repeat("x", MaxChunkLine-len("1;\r\n"))
	for _, c := range []struct {
		body, data, rest string
		err              error
	}{
		{"0~~", "", "", nil},
		{"0~~GET", "", "GET", nil},
		{"5~hello~0~~", "hello", "", nil},
		{"5~hello~6~ world~0~~", "hello world", "", nil},
		{"A~0123456789~a~0123456789~000~~", "01234567890123456789", "", nil},
		{"00000000000000" + "1~x~0~~", "x", "", nil},
		{"000000000000000" + "1~x~0~~", "", "", errChunkSize},
		{"1;a=b;c=\"d\"~x~0;e~~", "x", "", nil},
		{"1;" + long + "~x~0~~", "x", "", nil},
		{"1;" + long + "x~x~0~~", "", "", errChunkLine},
		{"1;" + long + long, "", "", errChunkLine},
		{"1;\x00~x~0~~", "", "", errControl},
		{"1;a\rb~x~0~~", "", "", errControl},
		{"1 ~x~0~~", "", "", errChunkSize},
		{" 1~x~0~~", "", "", errChunkSize},
		{"1 ;a~x~0~~", "", "", errChunkSize},
		{"+1~x~0~~", "", "", errChunkSize},
		{"-1~x~0~~", "", "", errChunkSize},
		{"0x1~x~0~~", "", "", errChunkSize},
		{"1_0~x~0~~", "", "", errChunkSize},
		{"g~x~0~~", "", "", errChunkSize},
		{"~x~0~~", "", "", errChunkSize},
		{";a~x~0~~", "", "", errChunkSize},
		{"1\nx~0~~", "", "", errBareLF},
		{"\n", "", "", errBareLF},
		{"1~xy~0~~", "x", "", errChunkEnd},
		{"1~x\n0~~", "x", "", errChunkEnd},
		{"1~x\rx0~~", "x", "", errChunkEnd},
		{"0~Content-Length: 5~~", "", "", errTrailer},
		{"0~\r\r", "", "", errTrailer},
		{"0~\n", "", "", errTrailer},
		{"5~hel", "hel", "", ErrIncomplete},
		{"5~hello", "hello", "", ErrIncomplete},
		{"5~hello~0~", "hello", "", ErrIncomplete},
		{"ffffffffffffffff~", "", "", errChunkSize},
		{"fffffffffffffff~x", "x", "", ErrIncomplete},
	} {
		b := []byte(strings.ReplaceAll(c.body, "~", "\r\n"))
		for name, cuts := range map[string]func(int) int{"whole": at1, "bytewise": bytewise} {
			data, rest, err := drain(bytes.Clone(b), cuts)
			if string(data) != c.data || string(rest) != c.rest || err != c.err {
				t.Errorf("%s, %s: %q, %q, %v; want %q, %q, %v", c.body, name, data, rest, err, c.data, c.rest, c.err)
			}
		}
	}
}

// FuzzChunks: however a body is cut it is the same, and it is what the simple parser accepts;
// net/http reads it alike.
func FuzzChunks(f *testing.F) {
	f.Add([]byte("5\r\nhello\r\n0\r\n\r\nGET"), uint64(1))
	f.Add([]byte("a;b=c\r\n0123456789\r\n0;x\r\n\r\n"), uint64(2))
	f.Add([]byte("1\r\nxy\r\n0\r\n\r\n"), uint64(3))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 0))
		data, rest, err := drain(bytes.Clone(b), at1)
		data2, rest2, err2 := drain(bytes.Clone(b), func(left int) int { return 1 + rng.IntN(left) })
		if err != err2 && err != ErrIncomplete || err == nil && (!bytes.Equal(data, data2) || !bytes.Equal(rest, rest2)) {
			t.Fatalf("whole %q, %q, %v; in pieces %q, %q, %v", data, rest, err, data2, rest2, err2)
		}
		if simple, left, ok := simpleChunks(string(b)); ok != (err == nil) || ok && (simple != string(data) || left != string(rest)) {
			t.Fatalf("%q, %q, %v; the simple parser reads %q, %q, %v", data, rest, err, simple, left, ok)
		}
		if err != nil {
			return
		}
		head := "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head + string(b))))
		if err != nil {
			t.Fatal(err)
		}
		if theirs, err := io.ReadAll(r.Body); err != nil || !bytes.Equal(theirs, data) {
			t.Fatalf("%q; net/http reads %q, %v", data, theirs, err)
		}
	})
}

// TestText: percent-encoding, parameters and etags.
func TestText(t *testing.T) {
	for _, c := range []struct {
		text, want string
		plus, ok   bool
	}{
		{"", "", false, true}, {"abc", "abc", false, true}, {"a%20b", "a b", false, true}, {"%C3%a9+", "é+", false, true}, {"a+b", "a b", true, true},
		{"%00%ff", "\x00\xff", false, true}, {"%2525", "%25", false, true}, {"%", "", false, false}, {"%4", "", false, false}, {"%4g", "", false, false}, {"%%41", "", false, false},
	} {
		if got, ok := Unescape([]byte(c.text), c.plus); string(got) != c.want || ok != c.ok {
			t.Errorf("%q: %q, %v", c.text, got, ok)
		}
	}
	name, value, rest, ok := CutParameter([]byte("a%3D=b=%26+c&d"))
	if string(name) != "a=" || string(value) != "b=& c" || string(rest) != "d" || !ok {
		t.Errorf("%q, %q, %q, %v", name, value, rest, ok)
	}
	for list, want := range map[string]string{
		`"a"`: "a", `"a", W/"b" ,"c"`: "a b' c", `""`: "", `*`: "!", `a`: "!", `"a`: "!", `"a" "b"`: "!", `"a",`: "!", `w/"a"`: "!", ``: "!",
	} {
		var got []string
		for ok, left := true, []byte(list); ok; {
			var tag []byte
			var weak bool
			if tag, weak, left, ok = CutTag(left); !ok {
				tag = []byte("!")
			} else if weak {
				tag = append(bytes.Clone(tag), '\'')
			}
			if got = append(got, string(tag)); len(left) == 0 {
				break
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", list, got, want)
		}
	}
}
