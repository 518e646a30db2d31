package netio

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"keyframe/codec"
)

// requestOf is a request as a client sends it; what follows the method and target in head are
// headers, each after a ~.
func requestOf(head, body string) []byte {
	line, headers, _ := strings.Cut(head, "~")
	b := line + " HTTP/1.1\r\nHost: localhost\r\n"
	if headers != "" {
		b += strings.ReplaceAll(headers, "~", "\r\n") + "\r\n"
	}
	if body != "" && !strings.Contains(head, "chunked") {
		b += "Content-Length: " + strconv.Itoa(len(body)) + "\r\n"
	}
	return []byte(b + "\r\n" + body)
}

// shownResponses are what a server sent, a line each: the status, the headers that mean
// something, the body. A body is what it is, in chunks or not.
func shownResponses(t testing.TB, b []byte, heads ...bool) (shown []string) {
	t.Helper()
	r := bufio.NewReader(bytes.NewReader(b))
	for i := 0; ; i++ {
		if _, err := r.Peek(1); err == io.EOF {
			return shown
		}
		method := http.MethodGet
		if i < len(heads) && heads[i] {
			method = http.MethodHead
		}
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("after %q: %v in %.300q", shown, err, b)
		}
		if resp.StatusCode == http.StatusContinue {
			i--
			continue
		}
		if resp.StatusCode == http.StatusSwitchingProtocols {
			rest, _ := io.ReadAll(r)
			return append(shown, "101 "+string(rest))
		}
		body, err := io.ReadAll(resp.Body)
		text := strconv.Itoa(resp.StatusCode)
		for _, name := range []string{"Etag", "Allow"} {
			if v := resp.Header.Get(name); v != "" {
				text += " " + name + "=" + v
			}
		}
		if resp.Close {
			text += " close"
		}
		text += " " + string(body)
		if err != nil {
			text += " CUT"
		}
		shown = append(shown, strings.TrimSpace(text))
	}
}

// chunked is a body in chunks of n bytes.
func chunked(body string, n int) string {
	var b strings.Builder
	for len(body) > 0 {
		n = min(n, len(body))
		fmt.Fprintf(&b, "%x;x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	return b.String() + "0\r\n\r\n"
}

var (
	tag1   = `"` + string(etagOf([]byte("1"), codec.FormJSON).append(nil)) + `"`
	tagBob = `"` + string(etagOf([]byte("bob"), codec.FormString).append(nil)) + `"`
	tagTwo = `"` + string(etagOf([]byte(`{"a": 2}`), codec.FormJSON).append(nil)) + `"`
)

const keyFault = "a key has 6 characters at least and 65535 bytes at most"

// httpSession are requests with their responses, of a server with any values that is empty.
var httpSession = []struct{ head, body, want string }{
	{"GET /kv/abcdef", "", "404 there is no such key"},
	{"PUT /kv/abcdef", "1", "201"},
	{"PUT /kv/abcdef", " \"bob\"\n", "204"},
	{"GET /kv/abcdef", "", "200 Etag=" + tagBob + ` "bob"`},
	{"HEAD /kv/abcdef", "", "200 Etag=" + tagBob},
	{"HEAD /kv/nobody", "", "404"},
	{"GET /kv/abcdef~If-None-Match: " + tagBob, "", "304 Etag=" + tagBob},
	{`GET /kv/abcdef~If-None-Match: "x", W/` + tagBob, "", "304 Etag=" + tagBob},
	{`GET /kv/abcdef~If-None-Match: "x"`, "", "200 Etag=" + tagBob + ` "bob"`},
	{"GET /kv/abcdef~If-None-Match: *", "", "304 Etag=" + tagBob},
	{"PUT /kv/abcdef~If-None-Match: *", "2", "412 the key exists"},
	{"PUT /kv/second~If-None-Match: *", "1", "201"},
	{"PUT /kv/abcdef~If-Match: " + tag1, "2", "412 the value is another one"},
	{"PUT /kv/abcdef~If-Match: W/" + tagBob, "2", "412 the value is another one"},
	{"PUT /kv/abcdef~If-Match: " + tag1 + ", " + tagBob, `{"a": 2}`, "204"},
	{"PUT /kv/nobody~If-Match: " + tag1, "2", "412 there is no such key"},
	{"GET /kv/abcdef", "", "200 Etag=" + tagTwo + ` {"a": 2}`},
	{"DELETE /kv/abcdef~If-Match: " + tag1, "", "412 the value is another one"},
	{"DELETE /kv/abcdef~If-Match: " + tagTwo, "", "204"},
	{"DELETE /kv/abcdef", "", "404 there is no such key"},
	{"DELETE /kv/second", "", "204"},
	{"PUT /kv/timed_key?ttl=60000", "1", "201"},
	{"PUT /kv/timed_key?ttl=60000~If-None-Match: *", "1", "412 the key exists"},
	{"POST /", "{\"TTL\":[\"timed_key\"]}\n", `200 {"TTL_RSP":{"st":0,"timed_key":60000}}`},
	{"PUT /kv/a%20%C3%A9%2Fb%25", "null", "201"},
	{"GET /kv/a%20\u00e9/b%25", "", "200 Etag=" + `"` + string(etagOf([]byte("null"), codec.FormJSON).append(nil)) + `" null`},
	{"PUT /kv/short", "1", "400 " + keyFault},
	{"GET /kv/short", "", "400 " + keyFault},
	{"GET /kv/%ff%ff%ff%ff%ff%ff", "", "400 the key is not UTF-8"},
	{"PUT /kv/abcdef", "nonsense", "400 not JSON: 'n' at byte 0 begins no value"},
	{"PUT /kv/abcdef", `1,"x":2`, "400 not JSON: unexpected ',' at byte 1, want nothing after the value"},
	{"PUT /kv/abcdef", `1}}`, "400 not JSON: unexpected '}' at byte 1, want nothing after the value"},
	{"PUT /kv/abcdef", "", "400 not JSON: unexpected end at byte 0, want a value"},
	{"PUT /kv/chunky~Transfer-Encoding: chunked", chunked(`"in pieces"`, 3), "201"},
	{"PUT /kv/chunky~Transfer-Encoding: chunked~If-Match: " + tag1, chunked("1", 3), "412 the value is another one"},
	{"PUT /kv/chunky~Transfer-Encoding: chunked", chunked("", 3), "400 not JSON: unexpected end at byte 0, want a value"},
	{"POST /", "{\"SET\":{\"linekey1\":1}}\n\n \r\n{\"GET\":[\"linekey1\",\"chunky\"]}", `200 {"SET_RSP":{"st":1,"k":"linekey1"}}` + "\n" + `{"GET_RSP":{"st":0,"linekey1":1}}` + "\n" + `{"GET_RSP":{"st":0,"chunky":"in pieces"}}`},
	{"POST /~Transfer-Encoding: chunked", chunked("{\"COUNT\":{}}\n{\"#\":1,\"SETQ\":{\"linekey1\":2}}\nnonsense", 5), `200 {"COUNT_RSP":{"st":0,"cnt":4}}` + "\n" + `{"SETQ_RSP":{"#":1,"st":0}}` + "\n" + `{"SERVER_ERROR":{"s":5,"m":"not JSON: 'n' at byte 0 begins no value"}}`},
	{"POST /~Content-Type: application/json; charset=utf-8", "{\"GET\":\n [\"linekey1\"]\n}\n", `200 {"GET_RSP":{"st":0,"linekey1":2}}`},
	{"POST /~Content-Type: application/json~Transfer-Encoding: chunked", chunked("{\"GET\":\n [\"linekey1\"]\n}\n", 7), `200 {"GET_RSP":{"st":0,"linekey1":2}}`},
	{"POST /", "", "200"},
	{"POST /", "{\"SETQ\":{\"linekey1\":3}}\n", "200"},
	{"GET /kv/?prefix=linek&limit=5", "", `200 {"KEYS_RSP":{"st":0,"keys":["linekey1"]}}`},
	{"GET /kv/?prefix=a+%C3%A9", "", `200 {"KEYS_RSP":{"st":0,"keys":["a é/b%"]}}`},
	{"HEAD /kv/?prefix=linek", "", "200"},
	{"GET /kv/?prefix=nobody", "", `200 {"KEYS_RSP":{"st":0,"keys":[]}}`},
	{"GET /kv/?limit=0", "", "400 the query has prefix, limit, from 1 to 100000, and the cursor of an earlier page"},
	{"GET /kv/?cursor=?", "", "400 the query has prefix, limit, from 1 to 100000, and the cursor of an earlier page"},
	{"GET /kv/?values=true", "", "400 the query has prefix, limit, from 1 to 100000, and the cursor of an earlier page"},
	{"GET /kv/abcdef?x", "", "400 a query where none belongs"},
	{"GET /kv/abc%zz", "", "400 a % in the key without two hexadecimal digits after it"},
	{"DELETE /kv/abcdef~If-None-Match: *", "", "400 DELETE has If-Match only"},
	{"DELETE /kv/abcdef~If-Match: x", "", "400 " + errIfMatch},
	{"OPTIONS *", "", "204 Allow=GET, HEAD, POST, PUT, DELETE, OPTIONS"},
	{"OPTIONS /kv/abcdef", "", "204 Allow=GET, HEAD, PUT, DELETE, OPTIONS"},
	{"DELETE /", "", "405 Allow=GET, HEAD, POST, OPTIONS the methods here are GET, HEAD, POST, OPTIONS"},
	{"PATCH /kv/abcdef", "", "405 Allow=GET, HEAD, PUT, DELETE, OPTIONS the methods here are GET, HEAD, PUT, DELETE, OPTIONS"},
	{"DELETE /kv/", "", "405 Allow=GET, HEAD, OPTIONS the methods here are GET, HEAD, OPTIONS"},
	{"GET /favicon.ico", "", "404 there is nothing here but / and /kv/<key>"},
	{"HEAD /", "", "200"},
	{"GET /kv/linekey1~Connection: close", "", "200 Etag=" + `"` + string(etagOf([]byte("3"), codec.FormJSON).append(nil)) + `" close 3`},
}

func httpInput() (in []byte, want []string, heads []bool) {
	for _, s := range httpSession {
		in = append(in, requestOf(s.head, s.body)...)
		want = append(want, s.want)
		heads = append(heads, strings.HasPrefix(s.head, "HEAD"))
	}
	return in, want, heads
}

func playHTTP(t testing.TB, opts Options, pieces ...[]byte) []byte {
	h := newHarness(t, opts)
	redisTime(h)
	h.startReading()
	for _, piece := range pieces {
		h.feed(piece)
	}
	return h.finish()
}

// TestHTTPSession: every request of the contract, whole, byte by byte, and cut at every byte.
func TestHTTPSession(t *testing.T) {
	in, want, heads := httpInput()
	check := func(name string, pieces ...[]byte) {
		t.Helper()
		got := shownResponses(t, playHTTP(t, Options{AnyValues: true}, pieces...), heads...)
		for i := range want {
			if i >= len(got) || got[i] != want[i] {
				t.Fatalf("%s: %s\ngot  %q\nwant %q", name, httpSession[i].head, got[min(i, len(got)):min(i+1, len(got))], want[i])
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%s: and then %q", name, got[len(want):])
		}
	}
	check("whole", in, []byte("GET / HTTP/1.1\r\n")) // after the last request nothing is served
	var single [][]byte
	for i := range in {
		single = append(single, in[i:i+1])
	}
	check("bytewise", single...)
	step := 1
	if testing.Short() || UnderRace {
		step = 17
	}
	for cut := 0; cut < len(in); cut += step {
		check("cut at "+strconv.Itoa(cut), in[:cut], in[cut:])
	}
}

// TestHTTPSmallTurns: turns that end after next to nothing change no response.
func TestHTTPSmallTurns(t *testing.T) {
	in, want, heads := httpInput()
	for name, change := range map[string]func(*shares){
		"cost":   func(s *shares) { s.turnCost, s.lookEvery = 1, 1 },
		"output": func(s *shares) { s.turnOutputBytes = 1 },
		"batch":  func(s *shares) { s.batchOps = 1 },
		"all":    func(s *shares) { s.turnCost, s.lookEvery, s.turnOutputBytes, s.batchOps = 1, 1, 1, 2 },
		"scan":   func(s *shares) { s.turnCost, s.lookEvery, s.scanKeys = 1, 1, 1 },
	} {
		h := newHarness(t, Options{AnyValues: true})
		redisTime(h)
		change(&h.srv.shares)
		h.loop.pipe.shares = h.srv.shares
		h.startReading()
		h.feed(in)
		got := shownResponses(t, h.finish(), heads...)
		for i := range got { // a page ends with the turn's output
			if i < len(want) && h.srv.shares.turnOutputBytes < 100 && strings.Contains(want[i], "KEYS_RSP") && strings.HasPrefix(got[i], `200 {"KEYS_RSP":{"st":0,"keys":[`) {
				got[i] = want[i]
			}
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			for i := range want {
				if i >= len(got) || got[i] != want[i] {
					t.Fatalf("%s: %s: got %q, want %q", name, httpSession[i].head, got[min(i, len(got)):min(i+1, len(got))], want[i])
				}
			}
			t.Fatalf("%s: %d responses, want %d", name, len(got), len(want))
		}
	}
}

// TestHTTPRefused: what is no request is a 400 and the end, after the responses before it, and
// nothing that follows is served.
func TestHTTPRefused(t *testing.T) {
	long := strings.Repeat("x", 4096)
	for _, c := range []struct{ name, request, want string }{
		{"two lengths", "POST / HTTP/1.1~Host: x~Content-Length: 1~Content-Length: 1~~", "400 close two Content-Length headers"},
		{"a length and chunks", "POST / HTTP/1.1~Host: x~Content-Length: 1~Transfer-Encoding: chunked~~", "400 close Content-Length and Transfer-Encoding in one request"},
		{"a bare LF", "GET / HTTP/1.1~Host: x\n\n", "400 close a line ends without a CR"},
		{"an empty line before", "~GET / HTTP/1.1~Host: x~~", "400 close the first line is not a method, a target and an HTTP version with one space between them"},
		{"a body of GET", "GET /kv/abcdef HTTP/1.1~Host: x~Content-Length: 1~~1", "400 close a request with this method has no body"},
		{"a body of DELETE", "DELETE /kv/abcdef HTTP/1.1~Host: x~Transfer-Encoding: chunked~~0~~", "400 close a request with this method has no body"},
		{"no chunk", "PUT /kv/abcdef HTTP/1.1~Host: x~Transfer-Encoding: chunked~~x~", "400 close a chunk's size is not a number in hexadecimal digits"},
		{"no chunk of a POST", "POST / HTTP/1.1~Host: x~Transfer-Encoding: chunked~~1~x1~", "400 close a chunk does not end with its size"},
		{"trailers", "PUT /kv/abcdef HTTP/1.1~Host: x~Transfer-Encoding: chunked~~1~1~0~X: y~~", "400 close fields after the last chunk"},
		{"no chunk after a command", "POST / HTTP/1.1~Host: x~Transfer-Encoding: chunked~~D~{\"COUNT\":{}}\n~g~", `200 {"COUNT_RSP":{"st":0,"cnt":1}}` + "\n CUT"},
		{"no chunk after a quiet command", "POST / HTTP/1.1~Host: x~Transfer-Encoding: chunked~~C~{\"SETQ\":{}}\n~g~", "200  CUT"},
		{"a value at the limit", "PUT /kv/abcdef HTTP/1.1~Host: x~Content-Length: 4097~~\"" + long[:4095] + "\"", "413 close the body is longer than 4096 bytes"},
		{"a value past the limit in chunks", "PUT /kv/abcdef HTTP/1.1~Host: x~Transfer-Encoding: chunked~~1001~\"" + long[:4095] + "\"~0~~", "413 close the body is longer than 4096 bytes"},
		{"one command past the limit", "POST / HTTP/1.1~Host: x~Content-Type: application/json~Content-Length: 4097~~" + long + "x", "413 close the body is longer than 4096 bytes"},
		{"a line past the limit", "POST / HTTP/1.1~Host: x~Content-Length: 4110~~{\"COUNT\":{}}\n" + long + "x", `200 close {"COUNT_RSP":{"st":0,"cnt":1}}` + "\n" + `{"SERVER_ERROR":{"s":5,"m":"the line is longer than the frame limit"}}`},
		{"another expectation", "PUT /kv/abcdef HTTP/1.1~Host: x~Content-Length: 1~Expect: magic~~1", "417 close Expect is something else than 100-continue"},
		{"a foreign page", "GET /kv/abcdef HTTP/1.1~Host: x~Origin: https://example.com~Content-Length: 0~Connection: close~~", `403 close pages of the origin "https://example.com" may not use this server: see --allow-origin`},
		{"a name that someone else has given it", "GET /kv/abcdef HTTP/1.1~Host: evil.example:1987~Connection: close~~", `403 close this server is not known as "evil.example:1987": name it by --listen, or as an origin by --allow-origin`},
		{"ttl and etag", "PUT /kv/abcdef?ttl=5 HTTP/1.1~Host: x~If-Match: \"x\"~Content-Length: 1~~1", "400 close " + errPut},
		{"ttl of 0", "PUT /kv/abcdef?ttl=0 HTTP/1.1~Host: x~Content-Length: 1~~1", "400 close " + errPut},
		{"If-None-Match with an etag", "PUT /kv/abcdef HTTP/1.1~Host: x~If-None-Match: \"x\"~Content-Length: 1~~1", "400 close " + errPut},
		{"If-Match with an asterisk", "PUT /kv/abcdef HTTP/1.1~Host: x~If-Match: *~Content-Length: 1~~1", "400 close " + errPut},
		{"HTTP/1.0", "GET /kv/before HTTP/1.0~~", "200 Etag=" + tag1 + " close 1"},
		{"POST in HTTP/1.0", "POST / HTTP/1.0~Content-Length: 12~~{\"COUNT\":{}}", `200 close {"COUNT_RSP":{"st":0,"cnt":1}}`},
	} {
		before := requestOf("PUT /kv/before", "1")
		after := requestOf("PUT /kv/smuggled", "1")
		request := []byte(strings.ReplaceAll(c.request, "~", "\r\n"))
		stream := append(append(bytes.Clone(before), request...), after...)
		for cut := len(before); cut <= len(before)+len(request); cut += 1 + cut/200 {
			h := newHarness(t, Options{MaxFrameBytes: 4096})
			h.startReading()
			h.feed(stream[:cut])
			h.feed(stream[cut:])
			n := h.store.Len()
			got := shownResponses(t, h.finish())
			if len(got) == 2 && c.name == "a line past the limit" { // when the head is sent it may not be known yet
				got[1] = strings.Replace(got[1], "200 {", "200 close {", 1)
			}
			if len(got) != 2 || got[0] != "201" || got[1] != c.want {
				t.Errorf("%s, cut at %d: %q, want %q", c.name, cut, got, c.want)
				break
			}
			if n != 1 {
				t.Errorf("%s, cut at %d: %d keys", c.name, cut, n)
			}
		}
	}
}

// TestHTTPValueLimit: the longest value is stored.
func TestHTTPValueLimit(t *testing.T) {
	value := `"` + strings.Repeat("x", maxPutBytes-2) + `"`
	got := shownResponses(t, playHTTP(t, Options{}, requestOf("PUT /kv/abcdef", value), requestOf("PUT /kv/abcdef~Transfer-Encoding: chunked", chunked(value, 70_000)), requestOf("GET /kv/abcdef", ""), requestOf("PUT /kv/abcdef", value+" ")))
	if len(got) != 4 || got[0] != "201" || got[1] != "204" || !strings.HasSuffix(got[2], value) || !strings.HasPrefix(got[3], "413") {
		t.Errorf("%.100q", got)
	}
}

// TestHTTPContinue: a client that waits to be told to send the body is told so once, after the
// responses before; one that has sent it is not.
func TestHTTPContinue(t *testing.T) {
	const asks = "Expect: 100-continue"
	put := requestOf("PUT /kv/abcdef~"+asks, "12")
	post := requestOf("POST /~"+asks, "{\"COUNT\":{}}\n")
	get := requestOf("GET /kv/abcdef", "")
	for _, c := range []struct {
		pieces [][]byte
		want   int
	}{
		{[][]byte{put, post}, 0},
		{[][]byte{append(bytes.Clone(get), put[:len(put)-2]...), put[len(put)-2 : len(put)-1], put[len(put)-1:]}, 1},
		{[][]byte{put, post[:len(post)-5], post[len(post)-5:]}, 1},
		{[][]byte{requestOf("PUT /kv/abcdef~Transfer-Encoding: chunked~"+asks, ""), []byte("1\r\n1\r\n0\r\n\r\n")}, 1},
	} {
		got := playHTTP(t, Options{}, c.pieces...)
		if n := strings.Count(string(got), goOnSending); n != c.want {
			t.Errorf("%q: told %d times, want %d: %q", c.pieces, n, c.want, got)
		}
		shownResponses(t, got)
	}
	if got := string(playHTTP(t, Options{}, []byte("PUT /kv/abcdef HTTP/1.0\r\nContent-Length: 1\r\n"+asks+"\r\n\r\n"))); got != "" {
		t.Errorf("a client of HTTP/1.0 is told %q", got)
	}
}

// TestHTTPOneStore: HTTP and JSON Lines see one store; what Redis's clients store is JSON where
// it is UTF-8.
func TestHTTPOneStore(t *testing.T) {
	h := newHarness(t, Options{})
	other, client := h.newConn()
	redis, redisClient := h.newConn()
	h.startReading()
	h.feed(requestOf("PUT /kv/from_http", `"a\u00e9"`))
	h.loop.serve(other, []byte("{\"GET\":[\"from_http\"]}\n{\"SET\":{\"from_lines\":1.50}}\n"))
	if got := string(readSome(t, client)); got != `{"GET_RSP":{"st":0,"from_http":"a\u00e9"}}`+"\n"+`{"SET_RSP":{"st":1,"k":"from_lines"}}`+"\n" {
		t.Errorf("%q", got)
	}
	h.loop.serve(redis, append(wordsOf(`SET from_redis a"b`), wordsOf("SET from_redis2 \xff")...))
	readSome(t, redisClient)
	h.feed(requestOf("GET /kv/from_lines", ""))
	h.feed(requestOf("GET /kv/from_redis", ""))
	h.feed(requestOf("GET /kv/from_redis2", ""))
	h.loop.drop(other)
	h.loop.drop(redis)
	got := shownResponses(t, h.finish())
	if len(got) != 4 || !strings.HasSuffix(got[1], " 1.50") || !strings.HasSuffix(got[2], ` "a\"b"`) || !strings.HasPrefix(got[3], "406 ") {
		t.Errorf("%q", got)
	}
}

// TestHTTPBecomesWebSocket: the upgrade is one of the requests, and what follows is frames.
func TestHTTPBecomesWebSocket(t *testing.T) {
	stream := append(requestOf("PUT /kv/abcdef", "1"), upgradeRequest...)
	stream = append(stream, textFrame(`{"GET":["abcdef"]}`)...)
	for cut := range stream {
		got := shownResponses(t, playHTTP(t, Options{}, stream[:cut], stream[cut:]))
		if len(got) != 2 || got[0] != "201" || !strings.HasSuffix(got[1], `{"GET_RSP":{"st":0,"abcdef":1}}`) {
			t.Fatalf("cut at %d: %q", cut, got)
		}
	}
}

// TestHTTPOrigins: a page that is allowed is let see its responses, and a browser is told so
// before it sends what no form could.
func TestHTTPOrigins(t *testing.T) {
	opts := Options{AllowOrigins: []string{"https://app.example"}}
	got := string(playHTTP(t, opts, requestOf("OPTIONS /kv/abcdef~Origin: https://app.example~Access-Control-Request-Method: PUT", "")))
	for _, want := range []string{"204", "Access-Control-Allow-Origin: https://app.example\r\n", "Access-Control-Allow-Methods: GET, HEAD, PUT, DELETE, OPTIONS\r\n", "Access-Control-Allow-Headers: Authorization, Content-Type, If-Match, If-None-Match\r\n", "Vary: Origin\r\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("a preflight: no %q in %q", want, got)
		}
	}
	got = string(playHTTP(t, opts, requestOf("GET /kv/abcdef~Origin: https://app.example", "")))
	if !strings.Contains(got, "Access-Control-Allow-Origin: https://app.example\r\n") || !strings.Contains(got, "Access-Control-Expose-Headers: ETag\r\n") || strings.Contains(got, "Allow-Methods") {
		t.Errorf("%q", got)
	}
	if got = string(playHTTP(t, opts, requestOf("GET /kv/abcdef", ""))); strings.Contains(got, "Access-Control") || !strings.Contains(got, "Vary: Origin") {
		t.Errorf("without an origin: %q", got)
	}
	if got = string(playHTTP(t, opts, requestOf("OPTIONS /~Origin: https://example.com", ""))); !strings.HasPrefix(got, "HTTP/1.1 403") || strings.Contains(got, "Access-Control") {
		t.Errorf("another page: %q", got)
	}
	for host, ok := range map[string]bool{"localhost:1": true, "[::1]:1": true, "10.0.0.1": true, "keyframe:1987": true, "app.example": true, "a.app.example": false, "db.example": true, "": true} {
		o := Options{AllowOrigins: opts.AllowOrigins, Listen: []string{"db.example:1987"}}
		if err := o.checkHost([]byte(host)); (err == nil) != ok {
			t.Errorf("host %q: %v", host, err)
		}
	}
}

// TestHTTPOriginsChange: what origins are allowed is looked up for each request, on connections that
// were there before.
func TestHTTPOriginsChange(t *testing.T) {
	h := newHarness(t, Options{})
	h.startReading()
	get := requestOf("GET /kv/abcdef~Origin: https://app.example", "")
	h.feed(get)
	next := h.srv.opts
	next.AllowOrigins = []string{"https://app.example"}
	h.loop.setOptions(&next)
	h.feed(get)
	if got := shownResponses(t, h.finish()); len(got) != 2 || !strings.HasPrefix(got[0], "403") || !strings.HasPrefix(got[1], "404") {
		t.Errorf("%q", got)
	}
}

// FuzzHTTP: whatever requests arrive, however they are cut, the responses are the same.
func FuzzHTTP(f *testing.F) {
	in, _, _ := httpInput()
	f.Add(in, uint64(1))
	for i, s := range httpSession {
		f.Add(requestOf(s.head, s.body), uint64(i))
	}
	f.Add([]byte("POST / HTTP/1.0\r\n\r\n"), uint64(3))
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		if bytes.Contains(stream, []byte("SERVER_INFO")) || bytes.Contains(stream, []byte("HEAD")) {
			t.Skip("its answer tells the time, or has no body")
		}
		if row := chooseFraming(stream); row == nil || row.name != "HTTP and WebSocket" {
			t.Skip("something else")
		}
		checkCuts(t, stream, seed)
	})
}
