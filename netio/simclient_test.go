package netio

import (
	"bytes"
	"fmt"
	"time"

	"keyframe/engine"
)

// This file is a simulated client: what it waits for, and the answers that it must get.

// simClient writes commands into out, in the order in which expected lists them. The
// simulation delivers out in pieces and hands the server's bytes to receive. A command's
// answer moves from expected to want when the store has executed it, in the order of the
// store; a command that needs no store is answered when its turn comes.
type simClient struct {
	s    *sim
	id   int
	conn *conn
	gc   *simConn
	sock *simSocket
	ws   bool
	http *simHTTP // nil: it speaks no HTTP
	tls  *simTLS  // nil: bytes are what they are

	out       simBytes // sent, and not delivered yet; with TLS records
	sent      int      // bytes, out included
	delivered int      // bytes, those of records that have come whole
	limit     int      // in bytes delivered: what comes after it must not be executed

	expected []simElement // from head on
	head     int
	want     []simWant
	got      []byte // received, and not matched yet
	owed     []simOwed
	matched  int // bytes of texts that have come

	writer    *writer     // of its outbox, while there is one
	enrolling func(error) // its socket is about to be watched again; reports a failure

	moved    time.Time // when it last sent, or took, something
	pings    int       // the server's, that it hasn't seen yet
	ending   bool      // it has sent something that the server closes it for
	halved   bool      // it has shut its sending side down
	excused  string    // why some of its commands need no answer
	farewell []byte    // how the server then ends
}

// simElement is one answer that is due: to an element of a command, or to a whole command.
type simElement struct {
	name    string // of the command
	kind    engine.Kind
	whole   bool // COUNT, CLEAR, CLEAR_SET or SERVER_INFO
	key, to *simKey
	value   string // what is stored, or the new key
	answer  []byte // if the store isn't asked
	end     int    // the command's last byte, counted in client.sent

	http       bool     // it is a request of HTTP's
	walk       *simWalk // of a KEYS or FIND
	expected   string   // what the value is compared with
	delta, ttl int64
}

func (e *simElement) needsStore() bool { return e.kind != 0 || e.whole || e.walk != nil }

// simWant is what must come next: a text, or the answer to SERVER_INFO.
type simWant struct {
	text []byte
	info bool
	keys int
}

// simOwed is that a client which has got all texts up to one place has seen effects up to that
// many: no crash may undo them.
type simOwed struct{ at, effects int }

// send frames a command whose answers are those from expected[from] on.
func (c *simClient) send(payload []byte, from int) {
	if cap(payload) > cap(c.s.scratch) {
		c.s.scratch = payload
	}
	r, end := c.s.rng, 0
	switch {
	case !c.ws && c.http != nil:
		end = c.post(payload)
	case !c.ws:
		c.push(payload)
		c.push([]byte("\n"))
	case r.IntN(10) > 0 || len(payload) < 3:
		c.push(c.s.clientFrame(true, 0x1+byte(r.IntN(2)), payload)) // text or binary
	default: // in two fragments, with a ping between them, which is answered first
		n := 1 + r.IntN(len(payload)-2)
		second := bytes.Clone(payload[n:])
		c.push(c.s.clientFrame(false, 0x1, payload[:n]))
		if r.IntN(2) == 0 {
			due := append([]simElement(nil), c.expected[from:]...)
			c.expected = c.expected[:from]
			c.ping()
			from = len(c.expected)
			c.expected = append(c.expected, due...)
		}
		c.push(c.s.clientFrame(true, 0x0, second))
	}
	if end == 0 {
		end = c.sent
	}
	for i := from; i < len(c.expected); i++ {
		c.expected[i].end = end
	}
}

func (c *simClient) push(b []byte) {
	if c.sent += len(b); c.tls != nil {
		c.tls.push(c, b)
		return
	}
	c.out.put(b)
}

// frame puts the framing of the client's answers around a payload.
func (c *simClient) frame(payload []byte) []byte {
	if !c.ws {
		return append(payload, '\n')
	}
	return append(serverHeader(nil, len(payload)), payload...)
}

func serverHeader(dst []byte, n int) []byte {
	switch {
	case n < 126:
		return append(dst, 0x81, byte(n))
	case n < 1<<16:
		return append(dst, 0x81, 126, byte(n>>8), byte(n))
	default:
		return append(dst, 0x81, 127, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
}

func closeFrame(code int, reason string) string {
	return string([]byte{0x88, byte(2 + len(reason)), byte(code >> 8), byte(code)}) + reason
}

func (c *simClient) status(name string, st int, text string) []byte {
	if st == 7 && text != "" { // a pair's: a key that is no string has no text
		return c.frame(fmt.Appendf(nil, `{"%s_RSP":{"st":7,"k":"%s","m":"%s"}}`, name, text, mistypedText))
	}
	return c.frame(fmt.Appendf(nil, `{"%s_RSP":{"st":%d,"k":"%s"}}`, name, st, text))
}

// answered records the answer to the element at the head of expected, which the store has
// executed.
func (c *simClient) answered(head, tail string, parts ...string) {
	n := len(head) + len(tail)
	for _, p := range parts {
		n += len(p)
	}
	w := c.lastWant()
	if c.ws {
		w.text = serverHeader(w.text, n)
	}
	w.text = append(w.text, head...)
	for _, p := range parts {
		w.text = append(w.text, p...)
	}
	w.text = append(w.text, tail...)
	if !c.ws {
		w.text = append(w.text, '\n')
	}
}

// lastWant is the text that what is expected is appended to.
func (c *simClient) lastWant() *simWant {
	if n := len(c.want); n == 0 || c.want[n-1].info {
		c.want = append(c.want, simWant{})
	}
	return &c.want[len(c.want)-1]
}

// due is the element that the store is asked for next. All that comes before it and needs
// no store must have been answered.
func (c *simClient) due() *simElement {
	for c.foresee() {
	}
	return c.next()
}

// next is the first element that has not been answered.
func (c *simClient) next() *simElement {
	if c.head == len(c.expected) {
		return nil
	}
	return &c.expected[c.head]
}

// foresee moves the next element to want if it needs no store, and reports whether it did.
func (c *simClient) foresee() bool {
	e := c.next()
	if e != nil && e.isFull(c.s) {
		c.s.endPage(e.walk, false)
		return true
	}
	if e == nil || e.needsStore() || e.end > min(c.delivered, c.limit) {
		return false
	}
	w := c.lastWant()
	w.text = append(w.text, e.answer...)
	c.done(1)
	return true
}

// done forgets the first n elements.
func (c *simClient) done(n int) {
	c.s.ops += n
	if c.head += n; c.head > len(c.expected)/2 {
		c.expected, c.head = c.expected[:copy(c.expected, c.expected[c.head:])], 0
	}
}

// receive compares what has come with what must.
func (c *simClient) receive(b []byte) {
	if c.http != nil {
		b = c.http.take(c.s, b)
	}
	c.got = append(c.got, b...)
	at := 0
	for at < len(c.got) {
		rest := c.got[at:]
		if len(c.want) == 0 {
			if len(rest) < 4 && c.farewell != nil && rest[0] == 0x88 || len(rest) < 2 && c.pings > 0 && rest[0] == 0x89 {
				break // the rest of a close frame, or of a ping, has to come
			}
			if c.farewell != nil && bytes.HasPrefix(c.farewell, rest[:min(len(rest), len(c.farewell))]) {
				if len(rest) < len(c.farewell) {
					break
				}
				at, c.farewell = at+len(c.farewell), nil
				continue
			}
			if n := c.pinged(rest); n > 0 {
				at += n
				continue
			}
			if !c.foresee() {
				c.s.fatalf("client %d: it gets what it hasn't asked for: %.200q", c.id, rest)
			}
		}
		w := &c.want[0]
		if w.info {
			if n := c.pinged(rest); n > 0 {
				at += n
				continue
			}
			n := c.takeInfo(rest, w)
			if n == 0 {
				break
			}
			at += n
			c.want = c.want[1:]
			continue
		}
		n := min(len(w.text), len(rest))
		if !bytes.Equal(w.text[:n], rest[:n]) {
			i := 0
			for w.text[i] == rest[i] {
				i++
			}
			ping := c.pinged(rest[i:])
			if ping == 0 {
				if len(rest) == i+1 && rest[i] == 0x89 && c.pings > 0 {
					break // the rest of a ping has to come
				}
				c.s.fatalf("client %d: it gets %.200q\nwant %.200q", c.id, rest[i:], w.text[i:])
			}
			at, w.text = at+i+ping, w.text[i:]
			c.matched += i
			continue
		}
		at, w.text = at+n, w.text[n:]
		c.matched += n
		if len(w.text) == 0 {
			c.want = c.want[1:]
		}
	}
	c.got = append(c.got[:0], c.got[at:]...)
	for ; len(c.owed) > 0 && c.owed[0].at <= c.matched; c.owed = c.owed[1:] {
		c.s.disk.tell(c, c.owed[0].effects)
	}
}

// texts is where the texts end that have come or must.
func (c *simClient) texts() int {
	n := c.matched
	for i := range c.want {
		n += len(c.want[i].text)
	}
	return n
}

// pinged takes a ping, if one is due.
func (c *simClient) pinged(b []byte) int {
	if c.pings == 0 || !bytes.HasPrefix(b, []byte("\x89\x00")) {
		return 0
	}
	c.pings--
	if c.s.rng.IntN(4) > 0 && !c.halved && !c.ending {
		c.push(c.s.clientFrame(true, 0xA, nil))
	}
	return 2
}

// takeInfo takes the answer to SERVER_INFO, if it has come whole.
func (c *simClient) takeInfo(b []byte, w *simWant) int {
	n := bytes.IndexByte(b, '\n') + 1
	head := []byte(nil)
	if c.ws {
		if len(b) < 4 {
			return 0
		}
		if n = 4 + int(b[2])<<8 + int(b[3]); b[1] != 126 || len(b) < n {
			n = 0
		}
		head = b[:4]
	}
	if n == 0 {
		return 0
	}
	want := fmt.Appendf(head[:len(head):len(head)], `{"SERVER_INFO_RSP":{"st":0,"keyCnt":%d,`, w.keys)
	if !bytes.HasPrefix(b, want) || !bytes.HasSuffix(bytes.TrimSpace(b[:n]), []byte("}}")) {
		c.s.fatalf("client %d: SERVER_INFO with %d keys is answered %.200q", c.id, w.keys, b[:n])
	}
	return n
}

// speaksWebSocket reports whether the server has upgraded the connection.
func (c *simClient) speaksWebSocket() bool {
	_, ok := c.conn.framing.(*wsFraming)
	return ok
}

// excuse records why some of what the client has sent needs no answer.
func (c *simClient) excuse(why string) {
	c.excused = why
	c.s.reach(why)
}

// clientFrame is a masked frame.
func (s *sim) clientFrame(fin bool, opcode byte, payload []byte) []byte {
	b := s.frame[:0]
	if fin {
		opcode |= 0x80
	}
	switch n := len(payload); {
	case n < 126:
		b = append(b, opcode, 0x80|byte(n))
	case n < 1<<16:
		b = append(b, opcode, 0x80|126, byte(n>>8), byte(n))
	default:
		b = append(b, opcode, 0x80|127, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	key := s.rng.Uint32()
	mask := [4]byte{byte(key), byte(key >> 8), byte(key >> 16), byte(key >> 24)}
	b = append(b, mask[:]...)
	for i, x := range payload {
		b = append(b, x^mask[i&3])
	}
	s.frame = b
	return b
}
