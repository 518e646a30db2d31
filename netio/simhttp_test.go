package netio

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"keyframe/engine"
)

// This file is the simulation's client of HTTP: its requests, and how it takes responses
// apart. What the client then compares is text: the lines of a body that are answers, and of
// any other response its status and its body, with a newline.

// simHTTP is a client of HTTP, until the server makes its connection a WebSocket.
type simHTTP struct {
	open bool // the chunked body of a POST is under way
	told bool // a command has been sent in it

	in      []byte // received, and not taken apart
	state   simHTTPState
	left    int  // of a body or of a chunk
	chunked bool // the body is
}

type simHTTPState uint8

const (
	inHead simHTTPState = iota
	inBody
	inChunk    // the line with its size comes
	inChunkEnd // the line end after its data does
	inRaw      // no HTTP any more
)

// post sends a command in a body, and returns where its last byte is, counted in c.sent.
func (c *simClient) post(payload []byte) (end int) {
	h, r := c.http, c.s.rng
	if !h.open && r.IntN(3) == 0 {
		newline := []string{"", "\n"}[r.IntN(2)]
		c.push(fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", len(payload)+len(newline)))
		c.push(payload)
		c.push([]byte(newline))
		return c.sent
	}
	c.openBody()
	h.told = true
	c.pushChunk(payload[:len(payload)/2])
	c.pushChunk(payload[len(payload)/2:])
	c.push([]byte("1\r\n\n"))
	end = c.sent // the line is whole before its chunk is
	c.push([]byte("\r\n"))
	if r.IntN(3) == 0 {
		c.endBody()
	}
	return end
}

func (c *simClient) openBody() {
	if !c.http.open {
		c.http.open, c.http.told = true, false
		c.push([]byte("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"))
	}
}

func (c *simClient) endBody() {
	if c.http.open {
		c.http.open = false
		c.push([]byte("0\r\n\r\n"))
	}
}

func (c *simClient) pushChunk(data []byte) {
	if len(data) > 0 {
		c.push(fmt.Appendf(nil, "%x;x\r\n", len(data)))
		c.push(data)
		c.push([]byte("\r\n"))
	}
}

// request sends a request about a key, or one that needs no store.
func (c *simClient) request() {
	c.endBody()
	r := c.s.rng
	k := &c.s.keys[r.IntN(len(c.s.keys))]
	e := simElement{name: "a request", key: k, http: true}
	path := "/kv/" + escapePath(k.key, r.IntN(4) == 0)
	switch n := r.IntN(100); {
	case n < 40:
		e.kind = engine.Get
		c.push([]byte("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n"))
	case n < 75:
		e.kind = engine.Set
		if e.value = c.s.randomValue(); len(e.value) > c.s.opts.MaxFrameBytes-300 {
			e.value = "1"
		}
		headers := ""
		if r.IntN(3) == 0 {
			e.kind, headers = engine.Add, "If-None-Match: *\r\n"
		}
		if r.IntN(3) == 0 {
			e.ttl = c.randomTTL()
			path += "?ttl=" + strconv.FormatInt(e.ttl, 10)
		}
		head := "PUT " + path + " HTTP/1.1\r\nHost: x\r\n" + headers
		if r.IntN(2) == 0 {
			c.push(fmt.Appendf(nil, "%sContent-Length: %d\r\n\r\n%s", head, len(e.value), e.value))
			break
		}
		c.push([]byte(head + "Transfer-Encoding: chunked\r\n\r\n"))
		cut := r.IntN(len(e.value) + 1)
		c.pushChunk([]byte(e.value[:cut]))
		c.pushChunk([]byte(e.value[cut:]))
		c.push([]byte("0\r\n\r\n"))
	case n < 90:
		e.kind = engine.Remove
		c.push([]byte("DELETE " + path + " HTTP/1.1\r\nHost: x\r\n\r\n"))
	case n < 94:
		e.answer = []byte("400 " + keyFault + "\n")
		c.push([]byte("GET /kv/" + shortKey + " HTTP/1.1\r\nHost: x\r\n\r\n"))
	case n < 97:
		e.answer = []byte("204 \n")
		c.push([]byte("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"))
	default:
		e.answer = []byte("200 " + strings.TrimSpace(plainHTTP) + "\n")
		c.push([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	}
	e.end = c.sent
	c.expected = append(c.expected, e)
}

// escapePath is a key in a path: with all its bytes percent-encoded, or those only that must be.
func escapePath(key string, all bool) string {
	var b strings.Builder
	for i := range len(key) {
		if c := key[i]; !all && (c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9') {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	return b.String()
}

// fatalRequest is fatal over HTTP. It returns the answer, and up to which byte suffices for it.
func (c *simClient) fatalRequest() (answer string, condemned int) {
	switch n := c.s.rng.IntN(4); {
	case n == 0:
		c.endBody()
		c.push([]byte("GET / HTTP/1.1\r\nHost : x\r\n\r\n"))
		c.s.reach("a request against the protocol")
		return "400 a header without a name, or with white space or another character in it that no name has\n", c.sent
	case n == 1:
		c.endBody()
		c.push([]byte("OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
		c.s.reach("a last request")
		return "204 \n", c.sent
	case n == 2:
		c.openBody()
		c.push([]byte("zz\r\n"))
		c.s.reach("a chunk against the protocol")
		if c.http.told {
			return "", c.sent // what has been answered is cut off
		}
		return "400 a chunk's size is not a number in hexadecimal digits\n", c.sent
	}
	c.openBody()
	most := c.s.opts.MaxFrameBytes
	c.push(fmt.Appendf(nil, "%x\r\n", 2*most))
	condemned = c.sent + most + 1
	c.push(bytes.Repeat([]byte("x"), most+1+c.s.rng.IntN(50)))
	c.s.reach("a line over the limit")
	return `{"SERVER_ERROR":{"s":5,"m":"the line is longer than the frame limit"}}` + "\n", condemned
}

// answeredHTTP records the answer to a request that the store has executed.
func (c *simClient) answeredHTTP(e *simElement, st string, old simValue) {
	var status, text string
	switch {
	case st == "14":
		status, text = "507", reasons[14]
	case e.kind == engine.Get && st == "4":
		status, text = "200", old.text
	case st == "3":
		status, text = "404", "there is no such key"
	case st == "4":
		status, text = "412", "the key exists"
	case st == "1":
		status = "201"
	default:
		status = "204"
	}
	w := c.lastWant()
	w.text = append(append(append(append(w.text, status...), ' '), text...), '\n')
}

// take takes apart what has come, and returns the text in it.
func (h *simHTTP) take(s *sim, b []byte) (text []byte) {
	h.in = append(h.in, b...)
	for {
		switch h.state {
		case inHead:
			end := bytes.Index(h.in, []byte("\r\n\r\n"))
			if len(h.in) > 0 && h.in[0] == '{' { // the connection ends before it is known as HTTP's
				h.state = inRaw
				continue
			}
			if end < 0 {
				return text
			}
			end += len("\r\n\r\n")
			head := string(h.in[:end])
			status, ok := strings.CutPrefix(head, "HTTP/1.1 ")
			if !ok {
				s.fatalf("a response begins with %.100q", head)
			}
			status = status[:3]
			_, length, hasLength := strings.Cut(head, "\r\nContent-Length: ")
			n, _ := strconv.Atoi(strings.TrimSuffix(length[:strings.IndexByte(length+"\r", '\r')], "\r"))
			h.chunked = strings.Contains(head, "\r\nTransfer-Encoding: chunked\r\n")
			lines := strings.Contains(head, "\r\nContent-Type: application/x-ndjson\r\n")
			if bodiless := status == "204" || status == "101"; hasLength == h.chunked && !bodiless || bodiless && (hasLength || h.chunked) {
				s.fatalf("a response has a length or chunks, and not both: %q", head)
			}
			switch {
			case status == "101":
				h.state = inRaw
				continue
			case !lines && len(h.in) < end+n:
				return text
			case !lines:
				text = fmt.Appendf(text, "%s %s\n", status, bytes.TrimSpace(h.in[end:end+n]))
				end += n
			case h.chunked:
				h.state = inChunk
			default:
				h.state, h.left = inBody, n
			}
			h.drop(end)
		case inBody:
			n := min(h.left, len(h.in))
			text = append(text, h.in[:n]...)
			h.drop(n)
			if h.left -= n; h.left > 0 {
				return text
			}
			if h.state = inHead; h.chunked {
				h.state = inChunkEnd
			}
		case inChunk:
			end := bytes.Index(h.in, []byte("\r\n"))
			if end < 0 {
				return text
			}
			n, err := strconv.ParseUint(string(h.in[:end]), 16, 31)
			if err != nil {
				s.fatalf("a chunk begins with %q", h.in[:end])
			}
			h.drop(end + 2)
			if h.state, h.left = inBody, int(n); n == 0 {
				h.state, h.chunked = inChunkEnd, false
			}
		case inChunkEnd:
			if len(h.in) < 2 {
				return text
			}
			if string(h.in[:2]) != "\r\n" {
				s.fatalf("after a chunk comes %.20q", h.in)
			}
			h.drop(2)
			if h.state = inHead; h.chunked {
				h.state = inChunk
			}
		case inRaw:
			text = append(text, h.in...)
			h.in = h.in[:0]
			return text
		}
	}
}

func (h *simHTTP) drop(n int) { h.in = append(h.in[:0], h.in[n:]...) }

// isWhole reports whether nothing of a response is missing.
func (h *simHTTP) isWhole() bool {
	return h == nil || h.open || h.state == inRaw || h.state == inHead && len(h.in) == 0
}
