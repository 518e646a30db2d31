package netio

import (
	"bytes"
	"strings"
	"testing"

	"keyframe/codec"
)

// httpTransfers are requests whose bodies and responses are longer than a turn: in chunks both
// ways, with commands about the whole store and faults between, and one after the other.
func httpTransfers() (in []byte) {
	value := `"` + strings.Repeat("v", 100_000) + `"`
	lines := `{"SET":{"big_key":` + value + "}}\n" + gets("big_key", 12) + "{\"COUNT\":{}}\n[]\n" +
		`{"CLEAR_SET":{"big_key":1,"other_key":` + value + "}}\n" + gets("other_key", 3) + "{\"CLEAR\":{}}\n" + `{"SETQ":{"other_key":2}}`
	post := requestOf("POST /", lines)
	for _, request := range [][]byte{
		requestOf("PUT /kv/first_key", value), requestOf("GET /kv/first_key", ""), post,
		requestOf("POST /~Transfer-Encoding: chunked", chunked(lines, 7001)),
		requestOf("PUT /kv/first_key~Transfer-Encoding: chunked~If-None-Match: *", chunked(value, 30_000)),
		requestOf("POST /~Content-Type: application/json", `{"GET":["first_key"]}`+"\n"),
		requestOf("GET /kv/?prefix=first", ""), requestOf("GET /kv/first_key~Connection: close", ""),
	} {
		in = append(in, request...)
	}
	return in
}

// TestHTTPCommitted: batches that are applied later, answers that are held, or both, change no
// response, however the requests arrive and wherever turns end.
func TestHTTPCommitted(t *testing.T) {
	r := newRand(t)
	session, _, sessionHeads := httpInput()
	for name, input := range map[string][]byte{"session": session, "transfers": httpTransfers()} {
		input = append(input, requestOf("GET /kv/after_the_last_one", "")...)
		var heads []bool
		if name == "session" {
			heads = sessionHeads
		}
		plain := newHarness(t, Options{AnyValues: true})
		redisTime(plain)
		plain.startReading()
		plain.feed(input)
		want := shownResponses(t, plain.finish(), heads...)
		for i := range few(60) {
			h := newHarness(t, Options{AnyValues: true})
			redisTime(h)
			c := h.commitWith(i%3 != 0, i%3 != 1)
			small := i%2 == 0
			if small {
				h.srv.shares = drawShares(r)
				h.loop.pipe.shares = h.srv.shares
			}
			h.commitInput(r, c, name, input)
			got := shownResponses(t, h.finish(), heads...)
			for j := range want {
				if small && isPage(want[j]) && j < len(got) && isPage(got[j]) { // it ends with the turn
					continue
				}
				if j >= len(got) || got[j] != want[j] {
					t.Fatalf("%s, late %v, held %v: response %d is\n%.300q\nwant\n%.300q", name, c.late, c.holding, j, got[min(j, len(got)):], want[j])
				}
			}
			if len(got) != len(want) {
				t.Fatalf("%s, late %v, held %v: %d responses, want %d", name, c.late, c.holding, len(got), len(want))
			}
			was, is := plain.loop.count, h.loop.count
			if was.Queries != is.Queries || was.Commands != is.Commands || was.Errors != is.Errors {
				t.Errorf("%s, late %v: it counts %+v, want %+v", name, c.late, is, was)
			}
		}
	}
}

// isPage reports whether a response is what KEYS answers.
func isPage(shown string) bool { return strings.HasPrefix(shown, `200 {"KEYS_RSP":{"st":0,"keys":[`) }

// TestHTTPHolds: no response leaves before what it tells of is safe, and none at all if it
// can't be made so.
func TestHTTPHolds(t *testing.T) {
	h := newHarness(t, Options{})
	c := h.commitWith(false, true)
	h.startReading()
	h.feed(requestOf("PUT /kv/abcdef", "1"))
	h.feed(requestOf("PUT /kv/abcdef~If-Match: "+tag1, "2"))
	if h.loop.count.BytesOut != 0 || !h.conn.stalled() || c.applied != 1 {
		t.Fatalf("%d bytes have left, %d batches are applied", h.loop.count.BytesOut, c.applied)
	}
	h.loop.release(c.applied, nil)
	if c.applied < 2 {
		t.Fatal("the second request is not served")
	}
	h.loop.release(c.applied, nil)
	h.feed(append(requestOf("POST /~Transfer-Encoding: chunked", ""), "11\r\n{\"SET\":{\"abcdef\":\r\n3\r\n3}}\r\n"...))
	if h.conn.stalled() {
		t.Fatal("it waits before the line is whole")
	}
	out := h.loop.count.BytesOut
	h.feed([]byte("1\r\n\n\r\n"))
	if h.loop.count.BytesOut != out || !h.conn.stalled() {
		t.Fatal("an answer in a body has left before its command is safe")
	}
	h.loop.release(c.applied, nil)
	h.feed([]byte("0\r\n\r\n"))
	if got := shownResponses(t, h.finish()); len(got) != 3 || got[0] != "201" || got[1] != "204" || got[2] != `200 {"SET_RSP":{"st":2,"k":"abcdef"}}` {
		t.Errorf("%q", got)
	}
}

// TestHTTPUnavailable: while writes are refused each says so in HTTP's words, and reads go on.
func TestHTTPUnavailable(t *testing.T) {
	for st, want := range map[codec.Status]string{codec.StatusUnavailable: "503 the store can't take writes at the moment", codec.StatusOutOfMemory: "507 the store is full"} {
		h := newHarness(t, Options{})
		c := h.commitWith(false, false)
		h.startReading()
		h.feed(requestOf("PUT /kv/abcdef", "1"))
		c.status, c.why = st, "no room on the disk"
		h.feed(bytes.Join([][]byte{
			requestOf("PUT /kv/abcdef", "2"), requestOf("PUT /kv/abcdef?ttl=5", "2"), requestOf("PUT /kv/bcdefg~If-None-Match: *", "2"),
			requestOf("PUT /kv/abcdef~If-Match: "+tag1, "2"), requestOf("DELETE /kv/abcdef", ""), requestOf("DELETE /kv/abcdef~If-Match: "+tag1, ""),
			requestOf("GET /kv/abcdef", ""),
		}, nil))
		got := shownResponses(t, h.finish())
		if len(got) != 8 || got[7] != "200 Etag="+tag1+" 1" {
			t.Fatalf("%q", got)
		}
		for i, shown := range got[1:7] {
			if shown != want {
				t.Errorf("%d: %q, want %q", i, shown, want)
			}
		}
	}
}
