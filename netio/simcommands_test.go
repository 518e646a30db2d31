package netio

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"

	"keyframe/codec"
	"keyframe/engine"
	"keyframe/engine/enginetest"
)

// This file is what a simulated client sends: keys, values and commands, good ones and others.

// simKey is a key with its ways of being written.
type simKey struct{ key, text, escaped string }

// collidingKeys are keys that have the same xxhash64.
var collidingKeys = sync.OnceValue(func() [][]byte { return enginetest.Keys64(3000) })

func newSimKey(i int) simKey {
	key := fmt.Sprintf("key:%06d", i)
	switch i % 7 {
	case 0:
		key = fmt.Sprintf("ké%d\"\\ \n", i)
	case 1:
		key = string(collidingKeys()[i])
	}
	text := string(codec.AppendString(nil, []byte(key)))
	text = text[1 : len(text)-1]
	return simKey{key, text, fmt.Sprintf(`\u%04x`, key[0]) + text[1:]}
}

// faulty are commands that are refused as a whole.
var faulty = []string{
	`[]`, `{}`, `{`, `{"NOPE":{}}`, `{"GET":{}}`, `{"SET":[]}`, `{"SET":{"abcdef":01}}`, `{"COUNT":{"a":1}}`,
	`{"SET":{"abcdef":1}} x`, "{\"SET\":{\"abc\x01def\":1}}", `{"SET":{"abcdef":1},"GET":["abcdef"]}`, "\uFEFF{}", `"`,
}

// shortKey and null are elements that the codec refuses.
const shortKey, null = "key1", "null"

// produce sends one command, or something that isn't one.
func (c *simClient) produce() {
	r := c.s.rng
	if c.http != nil && !c.ws && r.IntN(2) == 0 {
		c.request()
		return
	}
	switch n := r.IntN(1000); {
	case c.s.step < c.s.thinUntil && n < 600:
		c.keys("RMV", engine.Remove)
	case n < 190:
		c.pairs("SET", engine.Set)
	case n < 240:
		c.pairs("SETQ", engine.Set)
	case n < 300:
		c.pairs("ADD", engine.Add)
	case n < 320:
		c.pairs("ADDQ", engine.Add)
	case n < 500:
		c.keys("GET", engine.Get)
	case n < 550:
		c.keys(c.quiet("RMV"), engine.Remove)
	case n < 590:
		c.keys("CONTAINS", engine.Contains)
	case n < 640:
		c.renames()
	case n < 850:
		c.produceOther(n)
	case n < 865:
		c.whole("COUNT")
	case n < 875:
		c.expected = append(c.expected, simElement{answer: c.frame([]byte(`{"PING_RSP":{"st":0}}`))})
		c.send([]byte(`{"PING":{}}`), len(c.expected)-1)
	case n < 900:
		c.ask()
	case n < 905:
		c.whole("SERVER_INFO")
	case n < 907:
		c.whole("CLEAR")
	case n < 960:
		c.refused(faulty[r.IntN(len(faulty))])
	case n < 965:
		c.refused(`{"SET":{` + strings.Repeat(`"refused_key":1,`, 1+r.IntN(200)) + `"refused_key":}}`)
	case n < 998:
		c.noise()
	default:
		c.fatal()
	}
}

// count is how many elements a command has: mostly few.
func (c *simClient) count() int {
	r := c.s.rng
	switch n := r.IntN(100); {
	case n < 70:
		return 1 + r.IntN(8)
	case n < 96:
		return r.IntN(50)
	default:
		return 50 + r.IntN(c.s.longest)
	}
}

// fits reports whether a command may have another element after n bytes.
func (c *simClient) fits(n int) bool { return n < c.s.opts.MaxFrameBytes-300 }

func (c *simClient) pairs(name string, kind engine.Kind) {
	c.pairsIn(fmt.Appendf(c.s.scratch[:0], `{"%s":{`, name), simElement{name: name, kind: kind}, "}}", len(c.expected))
}

// pairsIn sends a command that begins with b, and whose answers begin with expected[from].
func (c *simClient) pairsIn(b []byte, like simElement, tail string, from int) {
	r, name := c.s.rng, like.name
	for n := c.count(); n > 0 && c.fits(len(b)); n-- {
		k := &c.s.keys[r.IntN(len(c.s.keys))]
		e := like
		e.key, e.value = k, c.s.randomValue()
		if len(b)+len(e.value) > c.s.opts.MaxFrameBytes-300 {
			e.value = "1"
		}
		written := k.text
		switch r.IntN(50) {
		case 0:
			written = k.escaped
		case 1:
			e.kind, e.answer, written = 0, c.status(name, 6, shortKey), shortKey
		case 2:
			if e.value = null; !c.s.opts.AnyValues {
				e.kind, e.answer = 0, c.status(name, 7, k.text)
			}
		}
		b = append(b, '"')
		b = append(append(append(append(b, written...), `":`...), e.value...), ',')
		c.expected = append(c.expected, e)
	}
	c.send(append(bytes.TrimSuffix(b, []byte(",")), tail...), from)
}

// produceOther sends one of the commands that aren't everyday ones.
func (c *simClient) produceOther(n int) {
	switch {
	case n < 680:
		c.timed(c.quiet("SETEX"), engine.Set)
	case n < 700:
		c.timed(c.quiet("ADDEX"), engine.Add)
	case n < 720:
		c.pairs("SWAP", engine.Swap)
	case n < 740:
		c.keys("TAKE", engine.Take)
	case n < 760:
		c.keys("TTL", engine.Deadline)
	case n < 785:
		c.members(c.quiet("INCR"), engine.Incr)
	case n < 805:
		c.members(c.quiet("EXPIRE"), engine.Expire)
	case n < 825:
		c.members("CAS", engine.CompareSet)
	case n < 835:
		c.members("CAD", engine.CompareRemove)
	case n < 841:
		c.members(c.quiet("APPEND"), engine.Merge)
	case n < 848 && c.s.opts.AnyValues:
		c.members(c.quiet("UPDATE"), engine.Merge)
	case n < 848:
		c.refused(pickText(c.s.rng, []string{`{"UPDATE":{"key:000002":{"":1}}}`, `{"UPDATEQ":{}}`, `{"FIND":{"path":"/a","==":1}}`, `{"KEYS":{"limit":0}}`, `{"PING":[]}`}))
	default:
		from := len(c.expected)
		c.expected = append(c.expected, simElement{name: "CLEAR_SET", whole: true})
		c.pairsIn(append(c.s.scratch[:0], `{"CLEAR_SET":{`...), simElement{name: "CLEAR_SET", kind: engine.Set}, "}}", from)
	}
}

// quiet is the name of a command, or of the form of it that answers only for what fails.
func (c *simClient) quiet(name string) string {
	if c.s.rng.IntN(3) == 0 {
		return name + "Q"
	}
	return name
}

// randomTTL is a time in milliseconds: from what is over in a turn or two to hours, as the
// simulation's time passes in small steps and large ones.
func (c *simClient) randomTTL() int64 { return 1 + c.s.rng.Int64N(1<<c.s.rng.IntN(24)) }

// timed sends pairs with a deadline.
func (c *simClient) timed(name string, kind engine.Kind) {
	e := simElement{name: name, kind: kind, ttl: c.randomTTL()}
	c.pairsIn(fmt.Appendf(c.s.scratch[:0], `{"%s":{"ttl":%d,"pairs":{`, name, e.ttl), e, "}}}", len(c.expected))
}

// members sends keys with what is to be done to them, if it is no value.
func (c *simClient) members(name string, kind engine.Kind) {
	r, b := c.s.rng, fmt.Appendf(c.s.scratch[:0], `{"%s":{`, name)
	from := len(c.expected)
	for n := c.count(); n > 0 && c.fits(len(b)); n-- {
		k := &c.s.keys[r.IntN(len(c.s.keys))]
		e := simElement{name: name, kind: kind, key: k}
		b = append(append(append(b, '"'), k.text...), `":`...)
		switch kind {
		case engine.Incr:
			if e.delta = r.Int64N(1000) - 500; r.IntN(20) == 0 {
				e.delta = math.MaxInt64 - r.Int64N(10)
			}
			b = strconv.AppendInt(b, e.delta, 10)
		case engine.Expire:
			if r.IntN(3) == 0 {
				b = append(b, "null"...)
			} else {
				e.ttl = c.randomTTL()
				b = strconv.AppendInt(b, e.ttl, 10)
			}
		case engine.Merge:
			switch e.value = `"` + strings.Repeat("a", r.IntN(20)) + `"`; {
			case e.updates():
				e.value = randomUpdate(r)
			case c.s.opts.AnyValues:
				e.value = pickText(r, []string{e.value}, simObjects, simArrays)
			}
			b = append(b, e.value...)
		default:
			if kind == engine.CompareSet && !c.s.opts.AnyValues && r.IntN(10) == 0 { // null: there must be none
				e.kind, e.value = engine.Add, "3"
				b = append(b, "[null,3]"...)
				break
			}
			e.expected = c.s.randomValue()
			if v, ok := c.s.model[k.key]; ok && r.IntN(4) > 0 {
				e.expected = v.text
			}
			if len(b)+len(e.expected) > c.s.opts.MaxFrameBytes-400 {
				e.expected = "1"
			}
			if kind == engine.CompareRemove {
				b = append(b, e.expected...)
				break
			}
			if e.value = c.s.randomValue(); len(b)+len(e.expected)+len(e.value) > c.s.opts.MaxFrameBytes-400 {
				e.value = "2"
			}
			b = append(append(append(append(append(b, '['), e.expected...), ','), e.value...), ']')
		}
		b = append(b, ',')
		c.expected = append(c.expected, e)
	}
	c.send(append(bytes.TrimSuffix(b, []byte(",")), "}}"...), from)
}

func (c *simClient) keys(name string, kind engine.Kind) {
	r, b := c.s.rng, fmt.Appendf(c.s.scratch[:0], `{"%s":[`, name)
	from := len(c.expected)
	for n := c.count(); n > 0 && c.fits(len(b)); n-- {
		k := &c.s.keys[r.IntN(len(c.s.keys))]
		e := simElement{name: name, kind: kind, key: k}
		switch r.IntN(50) {
		case 0:
			b = append(append(append(b, '"'), k.escaped...), `",`...)
		case 1:
			e.kind, e.answer = 0, c.status(name, 6, shortKey)
			b = append(b, `"key1",`...)
		case 2:
			e.kind, e.answer = 0, c.status(name, 7, "")
			b = append(b, `[{}],`...)
		default:
			b = append(append(append(b, '"'), k.text...), `",`...)
		}
		c.expected = append(c.expected, e)
	}
	c.send(append(bytes.TrimSuffix(b, []byte(",")), "]}"...), from)
}

func (c *simClient) renames() {
	r, b := c.s.rng, append(c.s.scratch[:0], `{"RNM_KEY":[`...)
	from := len(c.expected)
	for n := 1 + r.IntN(5); n > 0; n-- {
		k, to := &c.s.keys[r.IntN(len(c.s.keys))], &c.s.keys[r.IntN(len(c.s.keys))]
		b = append(append(append(append(append(b, `{"`...), k.text...), `":"`...), to.text...), `"},`...)
		c.expected = append(c.expected, simElement{name: "RNM_KEY", kind: engine.Rename, key: k, to: to, value: to.key})
	}
	c.send(append(bytes.TrimSuffix(b, []byte(",")), "]}"...), from)
}

func (c *simClient) whole(name string) {
	c.expected = append(c.expected, simElement{name: name, whole: true})
	c.send(fmt.Appendf(c.s.scratch[:0], `{"%s":{}}`, name), len(c.expected)-1)
}

// refused sends a command that is not executed; the codec gives the reason.
func (c *simClient) refused(text string) {
	if len(text) > c.s.opts.MaxFrameBytes {
		return
	}
	c.s.dec.Reset()
	_, _, err := c.s.dec.Decode([]byte(text), nil, 0)
	if err == nil {
		panic("accepted: " + text)
	}
	c.expected = append(c.expected, simElement{answer: c.frame(codec.AppendError(nil, codec.RefusalOf(err)))})
	c.send([]byte(text), len(c.expected)-1)
}

// noise is what a client may send that gets no answer, except for pings.
func (c *simClient) noise() {
	r := c.s.rng
	blank := []byte([]string{"\n", "\r\n", " \t\n"}[r.IntN(3)])
	switch {
	case !c.ws && c.http == nil:
		c.push(blank)
	case !c.ws:
		c.openBody()
		c.pushChunk(blank)
	case r.IntN(2) == 0:
		c.push(c.s.clientFrame(true, 0xA, nil))
	default:
		c.ping()
	}
}

func (c *simClient) ping() {
	c.expected = append(c.expected, simElement{answer: []byte("\x8A\x02hi")})
	c.push(c.s.clientFrame(true, 0x9, []byte("hi")))
	c.expected[len(c.expected)-1].end = c.sent
}

// fatal sends something that the server closes the connection for, after serving all that
// came before.
func (c *simClient) fatal() {
	if c.s.rng.IntN(3) > 0 { // seldom, so that connections live long
		return
	}
	var answer string
	condemned := 0 // the bytes up to here suffice to close the connection
	switch n := c.s.rng.IntN(3); {
	case c.tls != nil && c.s.rng.IntN(4) == 0:
		c.tls.falsify(c)
		return
	case !c.ws && c.http != nil:
		answer, condemned = c.fatalRequest()
	case !c.ws:
		answer = `{"SERVER_ERROR":{"s":5,"m":"the line is longer than the frame limit"}}` + "\n"
		condemned = c.sent + c.s.opts.MaxFrameBytes + 1
		c.push(bytes.Repeat([]byte("x"), c.s.opts.MaxFrameBytes+1+c.s.rng.IntN(50)))
		c.s.reach("a line over the limit")
	case n == 0:
		answer = closeFrame(1007, "the message is not UTF-8")
		message := []byte("{\"SET\":{\"abc\xff\":1}}")
		condemned = c.sent + 6 + bytes.IndexByte(message, 0xFF) + 1
		c.push(c.s.clientFrame(true, 0x1, message))
		c.s.reach("a message that is not UTF-8")
	case n == 1:
		answer = closeFrame(1002, "continuation of nothing")
		condemned = c.sent + 6
		c.push(c.s.clientFrame(true, 0x0, []byte("nothing")))
		c.s.reach("a frame against the protocol")
	default:
		answer = closeFrame(1000, "")
		c.push(c.s.clientFrame(true, 0x8, []byte("\x03\xE8bye")))
		c.s.reach("a client's close")
	}
	if condemned == 0 {
		condemned = c.sent
	}
	if answer != "" {
		c.expected = append(c.expected, simElement{answer: []byte(answer), end: condemned})
	}
	c.ending = true
	if c.s.rng.IntN(2) == 0 { // a client may go on sending
		c.push([]byte("{\"COUNT\":{}}\n"))
		if c.tls != nil {
			c.tls.falsify(c)
		}
	}
}

// randomValue is the text of a value, mostly a short one.
func (s *sim) randomValue() string {
	switch n := s.rng.IntN(1000); {
	case n < s.huge:
		return s.values[30+s.rng.IntN(len(s.values)-30)]
	case n < 250:
		return s.values[s.rng.IntN(30)]
	default:
		return s.values[s.rng.IntN(20)]
	}
}

func newSimValues(r *rand.Rand, longest int, any bool) (values []string) {
	for i := range 20 {
		values = append(values, []string{fmt.Sprint(r.Int64()), `"` + strings.Repeat("s", i) + `"`, "true", `"é\n` + fmt.Sprint(i) + `"`}[i%4])
	}
	for i := range 20 {
		if any && i%2 == 0 {
			values[i] = pickText(r, simObjects, simArrays, simScalars)
		}
	}
	for i := range 10 {
		values = append(values, `"`+strings.Repeat("m", 20+r.IntN(400))+fmt.Sprint(i)+`"`)
	}
	for i := range 10 {
		values = append(values, `"`+strings.Repeat("h", 400+r.IntN(longest))+fmt.Sprint(i)+`"`)
	}
	return values
}
