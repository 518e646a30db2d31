package load

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/gobwas/ws"
)

// TestAnswersInPieces: an answer stream counts the same wherever it is cut.
func TestAnswersInPieces(t *testing.T) {
	const a, b = "key:000000000001", "key:000000000002"
	frames := func(texts ...string) string {
		var out []byte
		for _, text := range texts {
			out = append(out, ws.MustCompileFrame(ws.NewTextFrame([]byte(text)))...)
		}
		return string(out)
	}
	found := func(key, value string) string { return fmt.Sprintf(`{"GET_RSP":{"st":0,%q:%q}}`, key, value) }
	for name, test := range map[string]struct {
		o         Options
		kind      Kind
		stream    string
		n, misses int
	}{
		"lines":                    {Options{}, Set, `{"SET_RSP":{"st":1,"k":"` + a + `"}}` + "\n" + `{"SET_RSP":{"st":2,"k":"` + b + `"}}` + "\n", 2, 0},
		"lines, that expire":       {Options{TTL: time.Hour}, Set, `{"SETEX_RSP":{"st":1,"k":"` + a + `"}}` + "\n" + `{"SETEX_RSP":{"st":2,"k":"` + b + `"}}` + "\n", 2, 0},
		"lines, written otherwise": {Options{}, Set, ` {"SET_RSP": {"k":"` + a + `","st":1}}` + "\r\n", 1, 0},
		"lines, found and not":     {Options{}, Get, found(a, "vvvvvvvv000000000001") + "\n" + `{"GET_RSP":{"st":3,"k":"` + b + `"}}` + "\n", 2, 1},
		"lines, of other lengths":  {Options{}, Get, found(a, "") + "\n" + found("abcdef", strings.Repeat("x", 300)) + "\n", 2, 0},
		"lines, one length":        {Options{}, Contains, `{"CONTAINS_RSP":{"st":4,"k":"` + a + `"}}` + "\n" + `{"CONTAINS_RSP":{"st":3,"k":"` + b + `"}}` + "\n", 2, 1},
		"frames, one length":       {Options{Protocol: "websocket"}, Contains, frames(`{"CONTAINS_RSP":{"st":4,"k":"`+a+`"}}`, `{"CONTAINS_RSP":{"st":3,"k":"`+b+`"}}`), 2, 1},
		"frames":                   {Options{Protocol: "websocket"}, Set, frames(`{"SET_RSP":{"st":1,"k":"`+a+`"}}`, `{"SET_RSP":{"st":2,"k":"`+b+`"}}`), 2, 0},
		"frames of three lengths":  {Options{Protocol: "websocket"}, Get, frames(found(a, strings.Repeat("x", 20)), found(a, strings.Repeat("x", 300)), found(a, strings.Repeat("x", 70_000))), 3, 0},
		"frames and a ping":        {Options{Protocol: "websocket"}, Remove, frames(`{"RMV_RSP":{"st":3,"k":"`+a+`"}}`) + "\x89\x01x" + frames(`{"RMV_RSP":{"st":5,"k":"`+a+`"}}`), 2, 1},
		"lines, counted":           {Options{}, Incr, `{"INCR_RSP":{"st":1,"` + a + `":1}}` + "\n" + `{"INCR_RSP":{"st":2,"` + b + `":2}}` + "\n", 2, 0},
		"lines, of one length":     {Options{ValueType: "number", ValueSize: 8}, Incr, `{"INCR_RSP":{"st":2,"` + a + `":10000002}}` + "\n" + `{"INCR_RSP":{"st":2,"` + b + `":10000003}}` + "\n", 2, 0},
		"frames, counted":          {Options{Protocol: "websocket"}, Incr, frames(`{"INCR_RSP":{"st":1,"`+a+`":1}}`, `{"INCR_RSP":{"st":2,"`+b+`":-1234567890123456789}}`), 2, 0},
		"sums":                     {Options{Protocol: "resp", Keys: 2}, Incr, ":1\r\n:-2\r\n:1234567890123456789\r\n", 3, 0},
		"ok":                       {Options{Protocol: "resp"}, Set, "+OK\r\n+OK\r\n", 2, 0},
		"bulk":                     {Options{Protocol: "resp"}, Get, "$3\r\na\r\n\r\n$-1\r\n$0\r\n\r\n", 3, 1},
		"array":                    {Options{Protocol: "resp", Keys: 3}, Get, "*3\r\n$1\r\na\r\n$-1\r\n$-1\r\n*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nb\r\n", 2, 2},
		"counts":                   {Options{Protocol: "resp", Keys: 3}, Remove, ":3\r\n:1\r\n", 2, 2},
		"stored":                   {Options{Protocol: "memcached"}, Set, "STORED\r\nSTORED\r\n", 2, 0},
		"not stored":               {Options{Protocol: "memcached"}, Add, "STORED\r\nNOT_STORED\r\n", 2, 1},
		"values":                   {Options{Protocol: "memcached", Keys: 2}, Get, "VALUE k 0 5\r\nEND\r\n\r\nEND\r\nVALUE k 0 1\r\na\r\nVALUE l 0 1\r\nb\r\nEND\r\n", 2, 1},
		"deleted":                  {Options{Protocol: "memcached"}, Remove, "DELETED\r\nNOT_FOUND\r\n", 2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProtocol(test.o.withDefaults())
			// A long stream is cut at every byte near its ends, and at some places between.
			for cut := 0; cut <= len(test.stream); cut++ {
				if cut > 500 && cut < len(test.stream)-500 {
					cut += 996
				}
				var buf []byte
				n, misses := 0, 0
				for _, piece := range []string{test.stream[:cut], test.stream[cut:]} {
					buf = append(buf, piece...)
					got, used, m, err := p.consume(buf, test.kind, test.n-n)
					if err != nil {
						t.Fatalf("cut at %d: %v", cut, err)
					}
					n, misses, buf = n+got, misses+m, buf[used:]
				}
				if n != test.n || misses != test.misses || len(buf) > 0 {
					t.Fatalf("cut at %d: %d answers, %d misses, %q left; want %d, %d", cut, n, misses, buf, test.n, test.misses)
				}
			}
		})
	}
}

// TestWrongAnswers: each is an error, not an answer and not a wait for more.
func TestWrongAnswers(t *testing.T) {
	for _, test := range []struct {
		protocol string
		kind     Kind
		stream   string
	}{
		{"lines", Set, `{"SET_RSP":{"st":3,"k":"key:000000000001"}}` + "\n"},
		{"lines", Set, `{"SET_RSP":{"st":14,"k":"key:000000000001"}}` + "\n"},
		{"lines", Get, `{"SET_RSP":{"st":1,"k":"key:000000000001"}}` + "\n"},
		{"lines", Set, `{"SET_RSP":{"st":1,"k":"key:000000000001"}` + "\n"},
		{"lines", Set, "\n"},
		{"lines", Set, `{"SET_RSP":{"st":1,"k":"key:000000000001"}}` + "\n" + `{"SET_RSP":{"st":6,"k":"key:000000000002"}}` + "\n"},
		{"websocket", Set, "\x81\x2b" + `{"SET_RSP":{"st":1,"k":"key:000000000001"}}` + "\x81\x2b" + `{"SET_RSP":{"st":6,"k":"key:000000000002"}}`},
		{"websocket", Set, "\x82\x2b" + `{"SET_RSP":{"st":1,"k":"key:000000000001"}}`},
		{"websocket", Set, "\x88\x02\x03\xf0"},
		{"websocket", Set, "\x01\x01{"},
		{"websocket", Set, "\x81\xab\x00\x00\x00\x00" + `{"SET_RSP":{"st":1,"k":"key:000000000001"}}`}, // masked
		{"websocket", Set, "\xc1\x2b" + `{"SET_RSP":{"st":1,"k":"key:000000000001"}}`},
		{"websocket", Set, "\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00"},
		{"lines", Incr, `{"INCR_RSP":{"st":9,"k":"key:000000000001"}}` + "\n"},
		{"lines", Incr, `{"SET_RSP":{"st":1,"k":"key:000000000001"}}` + "\n"},
		{"resp", Incr, "-ERR value is not an integer or out of range\r\n"},
		{"resp", Incr, "+OK\r\n"},
		{"resp", Incr, ":x\r\n"},
		{"resp", Set, "-OOM command not allowed\r\n"},
		{"resp", Set, ":1\r\n"},
		{"resp", Get, "+OK\r\n"},
		{"resp", Get, "$2\r\nabcd"},
		{"resp", Get, "$-2\r\n"},
		{"resp", Get, "*999999999\r\n"},
		{"resp", Get, "*0\r\n"},
		{"resp", Get, "*1\r\n$1\r\na\r\n"},
		{"resp", Remove, ":2\r\n"},
		{"resp", Remove, ":-1\r\n"},
		{"memcached", Get, "VALUE k 0 1\r\na\r\nVALUE k 0 1\r\na\r\nEND\r\n"},
		{"memcached", Set, "SERVER_ERROR out of memory storing object\r\n"},
		{"memcached", Get, "VALUE k 0\r\n"},
		{"memcached", Get, "VALUE k 0 -1\r\n"},
	} {
		p := newProtocol(Options{Protocol: test.protocol}.withDefaults())
		if n, _, _, err := p.consume([]byte(test.stream), test.kind, 2); err == nil {
			t.Errorf("%s, %s: %q was taken as %d answers", test.protocol, test.kind, test.stream, n)
		}
	}
}

// TestCommandsAreDecoded compares the commands of both framings with plain text.
func TestCommandsAreDecoded(t *testing.T) {
	const pairs = `{"key:000000000007":"vvvvvvvv000000000007","key:000000000008":"vvvvvvvv000000000008"}`
	for _, test := range []struct {
		kind Kind
		ttl  time.Duration
		want string
	}{
		{Set, 0, `{"SET":` + pairs + `}`},
		{Set, time.Minute, `{"SETEX":{"ttl":60000,"pairs":` + pairs + `}}`},
		{Add, 0, `{"ADD":` + pairs + `}`},
		{Add, time.Millisecond, `{"ADDEX":{"ttl":1,"pairs":` + pairs + `}}`},
		{Get, time.Minute, `{"GET":["key:000000000007","key:000000000008"]}`},
		{Remove, 0, `{"RMV":["key:000000000007","key:000000000008"]}`},
		{Incr, time.Minute, `{"INCR":{"key:000000000007":1,"key:000000000008":1}}`},
	} {
		kind, want := test.kind, test.want
		lines := newProtocol(Options{TTL: test.ttl}.withDefaults())
		if got := string(lines.appendCommand([]byte("before "), kind, []uint64{7, 8})); got != "before "+want+"\n" {
			t.Errorf("a line is %q, want %q", got, want)
		}
		framed := newProtocol(Options{Protocol: "websocket", TTL: test.ttl}.withDefaults())
		out := framed.appendCommand([]byte("before "), kind, []uint64{7, 8})
		f, err := ws.ReadFrame(bytes.NewReader(out[len("before "):]))
		if err != nil || !f.Header.Masked {
			t.Fatal(f.Header, err)
		}
		if f = ws.UnmaskFrame(f); string(f.Payload) != want {
			t.Errorf("a frame holds %q, want %q", f.Payload, want)
		}
	}
}

// TestRivalsCommandsExpire: what rivals are told of the time to live.
func TestRivalsCommandsExpire(t *testing.T) {
	for protocol, want := range map[string]string{
		"resp":      "*5\r\n$3\r\nSET\r\n$16\r\nkey:000000000007\r\n$2\r\n07\r\n$2\r\nPX\r\n$5\r\n60000\r\n",
		"memcached": "set key:000000000007 0 60 2\r\n07\r\n",
	} {
		p := newProtocol(Options{Protocol: protocol, TTL: time.Minute, ValueSize: 2}.withDefaults())
		if got := string(p.appendCommand(nil, Set, []uint64{7})); got != want {
			t.Errorf("%s: %q, want %q", protocol, got, want)
		}
	}
}

// TestRedisCounts: Redis has no INCR of several keys, so a command is several of them, and has
// as many answers.
func TestRedisCounts(t *testing.T) {
	p := newProtocol(Options{Protocol: "resp", Keys: 2}.withDefaults())
	const want = "*2\r\n$4\r\nINCR\r\n$16\r\nkey:000000000007\r\n*2\r\n$4\r\nINCR\r\n$16\r\nkey:000000000008\r\n"
	if got := string(p.appendCommand(nil, Incr, []uint64{7, 8})); got != want || p.answers(Incr, 2) != 2 {
		t.Errorf("%q with %d answers, want %q with 2", got, p.answers(Incr, 2), want)
	}
	const answers = ":1\r\n:12\r\n"
	for cut := range answers {
		if used, _, err := p.check([]byte(answers[:cut]), Incr, []uint64{7, 8}, nil); used > 0 || err != nil {
			t.Errorf("%d bytes were used of %q, %v", used, answers[:cut], err)
		}
	}
	if used, _, err := p.check([]byte(answers+":3"), Incr, []uint64{7, 8}, nil); used != len(answers) || err != nil {
		t.Errorf("%d bytes were used, %v", used, err)
	}
}

// TestSequentialScripts: together the connections go through the key space once.
func TestSequentialScripts(t *testing.T) {
	o := Options{Conns: 3, Keys: 7, Space: 210, Dist: "seq", Requests: 1}.withDefaults()
	p := newProtocol(o)
	seen := make([]int, o.Space)
	for i := range o.Conns {
		s := newScript(&o, p, templates{}, i)
		for k := range uint64(10) {
			for _, key := range s.next(k) {
				seen[key]++
			}
		}
	}
	for key, n := range seen {
		if n != 1 {
			t.Fatalf("key %d was visited %d times", key, n)
		}
	}
}

// TestScriptsAreReplayed: a script of the same options draws the same again, however
// many commands were asked for at once, and another connection's draws others.
func TestScriptsAreReplayed(t *testing.T) {
	o := Options{Keys: 2, Space: 1_000_000, Conns: 2, Mix: Mix{Set: 50, Get: 50}}.withDefaults()
	p := newProtocol(o)
	text := func(index, step int) (out []byte) {
		s := newScript(&o, p, newTemplates(&o, p), index)
		for k := 0; k < 60; {
			text, n := s.commands(uint64(k), step, nil)
			out = append(out, text...)
			k += n
		}
		return out
	}
	if !bytes.Equal(text(0, 1), text(0, 12)) || bytes.Equal(text(0, 1), text(1, 1)) {
		t.Fatal("a script depends on its seed and connection, and on nothing else")
	}
	var replayed []byte
	for s, k := newScript(&o, p, templates{}, 0), uint64(0); k < 60; k++ {
		replayed = p.appendCommand(replayed, s.kind(k), s.next(k))
	}
	if !bytes.Equal(replayed, text(0, 1)) {
		t.Fatal("what is drawn again is not what was sent")
	}
}

// TestSpaceIsReached: as many different keys are drawn as chance gives, however large
// the commands are.
func TestSpaceIsReached(t *testing.T) {
	o := Options{Keys: 100, Space: 100_000, Conns: 1, ValueSize: 100_000}.withDefaults()
	s := newScript(&o, newProtocol(o), templates{}, 0)
	seen := map[uint64]bool{}
	for k := range uint64(3 * o.Space / o.Keys) {
		for _, key := range s.next(k) {
			seen[key] = true
		}
	}
	if len(seen) < 94_000 || len(seen) > 96_000 { // 1 - e^-3
		t.Fatalf("%d different keys of 100,000 in 300,000 draws, want about 95,000", len(seen))
	}
}

func TestRepeatedScripts(t *testing.T) {
	o := Options{Keys: 2, Space: 3000, Conns: 2, Repeat: true, Mix: Mix{Set: 50, Get: 50}}.withDefaults()
	p := newProtocol(o)
	s := newScript(&o, p, newTemplates(&o, p), 0)
	m := uint64(len(s.ends))
	text, n := s.commands(m-1, 5, nil)
	if want, _ := s.commands(2*m-1, 1, nil); n != 1 || !bytes.Equal(text, want) {
		t.Fatal("a script ends where it begins again")
	}
	for k := range 3 * m { // it knows the kind of what it has sent
		text, _ := s.commands(k, 1, nil)
		if kind := s.kind(k); bytes.HasPrefix(text, []byte(`{"SET"`)) != (kind == Set) {
			t.Fatalf("command %d is said to be a %s, and is %s", k, kind, text)
		}
	}
}

// TestTemplates: a command from a template is the one that is written key by key.
func TestTemplates(t *testing.T) {
	keys := []uint64{0, 7, 99_999_999, 100_000_000, 1_234_567_890, 2_147_483_647}
	templated := 0
	for _, protocol := range Protocols {
		for kind := range kinds {
			for _, o := range []Options{
				{}, {KeySize: 14}, {KeySize: 13}, {KeySize: 12}, {KeySize: 11}, {KeySize: 250},
				{ValueSize: 8}, {ValueSize: 9}, {ValueSize: 10}, {ValueSize: 1}, {ValueSize: 70_000},
				{ValueType: "number"}, {ValueType: "number", ValueSize: 12}, {ValueType: "number", ValueSize: 13}, {ValueType: "bool"},
				{TTL: time.Hour}, {isFilling: true}, {isFilling: true, ValueType: "number"}, {isFilling: true, ValueType: "bool"},
			} {
				o.Protocol, o.Keys = protocol, 3
				for _, o.Space = range []int{100_000_000, maxSpace} {
					o := o.withDefaults()
					digits := o.KeySize - len("key:")
					p := newProtocol(o)
					tmpl := newTemplate(p, kind, o.Keys, o.Space)
					if tmpl == nil {
						continue
					}
					templated++
					for i := range keys {
						asked := []uint64{keys[i], keys[(i+1)%len(keys)], keys[(i+2)%len(keys)]}
						for j, key := range asked {
							if asked[j] = key % uint64(o.Space); digits < 10 {
								asked[j] %= 100_000_000 // more does not fit
							}
						}
						got := string(tmpl.append([]byte("before "), asked))
						if want := "before " + string(p.appendCommand(nil, kind, asked)); got != want {
							t.Fatalf("%s, %s, %+v: keys %v became\n%s, want\n%s", protocol, kind, o, asked, excerpt([]byte(got)), excerpt([]byte(want)))
						}
					}
				}
			}
		}
	}
	if templated < 300 {
		t.Errorf("%d commands were written from templates, want most", templated)
	}
	for _, n := range []uint32{0, 1, 9, 10, 99, 100, 9_999, 10_000, 12_345_678, 99_999_999} {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], digits8(n))
		if want := fmt.Sprintf("%08d", n); string(b[:]) != want {
			t.Errorf("the digits of %s came out as %s", want, b)
		}
	}
}

// TestCheck: which answers to a command are right, and which are not.
func TestCheck(t *testing.T) {
	const key, ran, filled = "key:000000000007", "vvvvvvvv000000000007", "ffffffff000000000007"
	line := func(format string, args ...any) string { return fmt.Sprintf(format, args...) + "\n" }
	found := func(value string) string { return line(`{"GET_RSP":{"st":0,%q:%q}}`, key, value) }
	missing := line(`{"GET_RSP":{"st":3,"k":%q}}`, key)
	bulk := func(value string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(value), value) }
	item := func(key, value string) string {
		return fmt.Sprintf("VALUE %s 0 %d\r\n%s\r\nEND\r\n", key, len(value), value)
	}
	for _, test := range []struct {
		protocol string
		kind     Kind
		stream   string
		a        accept
		fault    string // "": none
	}{
		{"lines", Set, line(`{"SET_RSP":{"st":1,"k":%q}}`, key), 0, ""},
		{"lines", Set, line(`{"SET_RSP":{"st":1,"k":"key:000000000008"}}`), 0, "was answered with"},
		{"lines", Remove, line(`{"RMV_RSP":{"st":3,"k":%q}}`, key), 0, ""},
		{"lines", Get, found(ran), runValue, ""},
		{"lines", Get, found(ran), fillValue, "want"},
		{"lines", Get, found(filled), runValue, "want"},
		{"lines", Get, found(filled), runValue | fillValue, ""},
		{"lines", Get, found("x"), runValue | fillValue, "want"},
		{"lines", Get, found("x"), anyValue, ""},
		{"lines", Get, found(ran), noValue, "was removed"},
		{"lines", Get, missing, runValue, "is not there"},
		{"lines", Get, missing, noValue | runValue, ""},
		{"resp", Get, bulk(ran), runValue, ""},
		{"resp", Get, bulk(filled), runValue, "want"},
		{"resp", Get, "$-1\r\n", runValue, "is not there"},
		{"resp", Get, "$-1\r\n", noValue, ""},
		{"resp", Remove, ":1\r\n", 0, ""},
		{"resp", Remove, ":2\r\n", 0, "was answered with"},
		{"memcached", Get, item(key, ran), runValue, ""},
		{"memcached", Get, item(key, filled), runValue, "want"},
		{"memcached", Get, item("other", ran), runValue, "is not there"},
		{"memcached", Get, "END\r\n", noValue, ""},
		{"memcached", Get, item("other", ran), noValue, "not asked for"},
		{"memcached", Get, "VALUE " + key + " 0 20\r\n" + ran + "\r\n" + item(key, ran), runValue, "not asked for"},
		{"memcached", Set, "STORED\r\n", 0, ""},
	} {
		p := newProtocol(Options{Protocol: test.protocol}.withDefaults())
		for cut := range test.stream {
			if used, _, err := p.check([]byte(test.stream[:cut]), test.kind, []uint64{7}, []accept{test.a}); used > 0 || err != nil && test.fault == "" {
				t.Errorf("%s: %d bytes were used of %q, %v", test.protocol, used, test.stream[:cut], err)
			}
		}
		used, _, err := p.check([]byte(test.stream), test.kind, []uint64{7}, []accept{test.a})
		if test.fault == "" && (err != nil || used != len(test.stream)) || test.fault != "" && (err == nil || !strings.Contains(err.Error(), test.fault)) {
			t.Errorf("%s, %s, %q, %b: %d bytes, %v; want %q", test.protocol, test.kind, test.stream, test.a, used, err, test.fault)
		}
	}
}

func TestMix(t *testing.T) {
	for text, want := range map[string]string{"set": "set", "get=95,set=5": "set5+get95", "GET=100": "get"} {
		if m, err := ParseMix(text); err != nil || m.String() != want {
			t.Errorf("%s: %v, %v", text, m, err)
		}
	}
	for _, text := range []string{"", "put", "set=x", "set=50", "set=101", "set=-1,get=101", "set,get", "set=100,set=100", "get=95,get=5"} {
		if _, err := ParseMix(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
	next := mixer(Mix{Set: 25, Get: 75}, 1)
	counts := [kinds]int{}
	for range 10_000 {
		counts[next()]++
	}
	if counts[Set] < 2300 || counts[Set] > 2700 || counts[Set]+counts[Get] != 10_000 {
		t.Errorf("the shares came out as %v", counts)
	}
}

func TestOptionsAreBounded(t *testing.T) {
	ok := Options{Requests: 1}
	if err := CheckOptions(ok); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Options){
		"conns": func(o *Options) { o.Conns = maxConns + 1 }, "depth": func(o *Options) { o.Depth = -1 },
		"keys": func(o *Options) { o.Keys = maxKeys + 1 }, "space": func(o *Options) { o.Space = maxSpace + 1 },
		"value": func(o *Options) { o.ValueSize = maxValueSize + 1 }, "key": func(o *Options) { o.KeySize = 9 },
		"command": func(o *Options) { o.Keys, o.ValueSize = 1000, 1<<20 }, "protocol": func(o *Options) { o.Protocol = "http" },
		"dist": func(o *Options) { o.Dist = "normal" }, "type": func(o *Options) { o.ValueType = "null" },
		"address": func(o *Options) { o.Addr = "nonsense" }, "no port": func(o *Options) { o.Addr = "localhost:" },
		"port": func(o *Options) { o.Addr = "localhost:65536" }, "port 0": func(o *Options) { o.Addr = "localhost:0" },
		"no host": func(o *Options) { o.Addr = ":1987" }, "scheme": func(o *Options) { o.Addr = "http://localhost:1987" },
		"path": func(o *Options) { o.Addr = "unix://here" },
		"both": func(o *Options) { o.Duration = 1 }, "neither": func(o *Options) { o.Requests = 0 },
		"rate": func(o *Options) { o.Rate = -1 }, "no rate": func(o *Options) { o.Rate = math.NaN() },
		"password": func(o *Options) { o.Password = "x" }, "repeat and verify": func(o *Options) { o.Repeat, o.Verify = true, true },
		"allow nothing":       func(o *Options) { o.AllowMisses = true },
		"repeat and sequence": func(o *Options) { o.Repeat, o.Dist = true, "seq" },
		"repeat too much":     func(o *Options) { o.Repeat, o.Conns, o.ValueSize = true, 1000, 1<<20 },
		"ttl":                 func(o *Options) { o.TTL = -time.Second },
		"no ttl":              func(o *Options) { o.TTL = time.Millisecond - 1 },
		"ttl too long":        func(o *Options) { o.TTL = maxTTL + 1 },
		"redis mset":          func(o *Options) { o.Protocol, o.Keys, o.TTL = "resp", 2, time.Hour },
		"memcached ttl":       func(o *Options) { o.Protocol, o.TTL = "memcached", 1500*time.Millisecond },
		"redis add":           func(o *Options) { o.Protocol, o.Mix = "resp", Mix{Add: 100} },
		"memcached contains":  func(o *Options) { o.Protocol, o.Mix = "memcached", Mix{Contains: 100} },
		"memcached incr":      func(o *Options) { o.Protocol, o.Mix = "memcached", Mix{Incr: 100} },
		"verified incr":       func(o *Options) { o.Mix, o.Verify = Mix{Incr: 100}, true },
		"compared incr":       func(o *Options) { o.Mix, o.Compare = Mix{Incr: 100}, true },
		"incr of strings":     func(o *Options) { o.Mix, o.Fill, o.ValueSize = Mix{Incr: 100}, true, 8 },
		"incr beside strings": func(o *Options) { o.Mix, o.ValueSize = Mix{Incr: 50, Set: 50}, 8 },
		"incr of long values": func(o *Options) { o.Mix, o.Fill, o.ValueType = Mix{Incr: 100}, true, "number" },
	} {
		o := ok
		change(&o)
		if CheckOptions(o) == nil {
			t.Errorf("%s: no fault found", name)
		}
	}
}

// TestOutputs reads every output back with the library that others would use.
func TestOutputs(t *testing.T) {
	h := hdrhistogram.New(shortestLatency, longestLatency, latencyDigits)
	count(h, time.Millisecond, 990)
	count(h, time.Second, 10)
	tally := Tally{Commands: 1000, Hits: 1700, Misses: 300}
	r := &Result{Options: Options{Requests: 1, Mix: Mix{Get: 100}, Keys: 2}.withDefaults(), Elapsed: 2 * time.Second, Tally: tally, Keys: 2000, Latency: h, Verified: 5}
	r.ByKind[Get] = OfKind{tally, h}

	var out bytes.Buffer
	if err := r.WriteBenchmark(&out, "keyframe"); err != nil {
		t.Fatal(err)
	}
	// Package golang.org/x/perf/benchfmt reads such lines in the tests of bench/figures.
	fields := strings.Fields(out.String())
	if len(fields) < 4 || len(fields)%2 != 0 || !strings.HasPrefix(fields[0], "BenchmarkLoad/impl=keyframe/") || fields[1] != "1000" {
		t.Fatalf("%q is no line of a benchmark", out.String())
	}
	values := map[string]float64{}
	for at := 2; at < len(fields); at += 2 {
		v, err := strconv.ParseFloat(fields[at], 64)
		if err != nil {
			t.Fatalf("%q: %v", out.String(), err)
		}
		values[fields[at+1]] = v
	}
	for unit, want := range map[string]float64{"ns/op": 2e6, "keys/s": 1000, "ns/key": 1e6, "hits": 1700, "misses": 300} {
		if values[unit] != want {
			t.Errorf("%s is %v, want %v", unit, values[unit], want)
		}
	}
	if v := values["p999-ns"]; v < 0.99e9 || v > 1.01e9 {
		t.Errorf("p999 is %v ns, want a second", v)
	}

	out.Reset()
	if err := r.WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	var decoded map[string]any
	if err := json.Unmarshal(out.Bytes(), &decoded); err != nil || decoded["keys-per-s"] != 1000.0 || decoded["hits"] != 1700.0 || decoded["misses"] != 300.0 {
		t.Error(decoded, err)
	}
	out.Reset()
	if err := r.WriteTable(&out); err != nil || !strings.Contains(out.String(), "; 1,700 keys hit, 300 missed; 5 keys read back and right") {
		t.Error(out.String(), err)
	}

	interval := Interval{Start: time.Second, End: 3 * time.Second, Tally: tally, Keys: 1000, Latency: h}
	out.Reset()
	timeline, err := NewTimeline(&out)
	if err == nil {
		err = timeline.Add(interval)
	}
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil || len(rows) != 2 {
		t.Fatal(rows, err)
	}
	for column, want := range map[string]string{"end-s": "3.000", "commands": "1000", "keys/s": "500", "hits": "1700", "misses": "300", "unanswered": "0"} {
		if at := slices.Index(rows[0], column); at < 0 || rows[1][at] != want {
			t.Errorf("%s is not %s: %v", column, want, rows)
		}
	}

	out.Reset()
	log, err := NewHistogramLog(&out)
	if err == nil {
		err = log.Add(interval)
	}
	if err != nil {
		t.Fatal(err)
	}
	back, err := hdrhistogram.NewHistogramLogReader(&out).NextIntervalHistogram()
	if err != nil || back == nil || back.TotalCount() != 1000 || back.Max() != h.Max() || back.EndTimeMs()-back.StartTimeMs() != 2000 {
		t.Error(back, err)
	}
	_, _ = io.Copy(io.Discard, &out)
}

// TestScheduleHasNoHoles: the commands that are measured are successive in the schedule,
// whichever connections they fall on.
func TestScheduleHasNoHoles(t *testing.T) {
	for _, o := range []Options{
		{Conns: 1000, Rate: 1000, Requests: 500, WarmUp: 300 * time.Millisecond},
		{Conns: 32, Rate: 10, Requests: 5, WarmUp: 300 * time.Millisecond},
		{Conns: 7, Rate: 3333, Duration: 100 * time.Millisecond},
	} {
		from, n := o.planned()
		seen := map[uint64]bool{}
		for index := range o.Conns {
			c := &conn{index: index}
			for k := c.before(from, o.Conns); k < c.before(from+n, o.Conns); k++ {
				seen[k*uint64(o.Conns)+uint64(index)] = true
			}
		}
		if uint64(len(seen)) != n || n == 0 {
			t.Fatalf("%+v: %d commands are measured, want %d", o, len(seen), n)
		}
		for i := from; i < from+n; i++ {
			if !seen[i] {
				t.Fatalf("%+v: command %d is left out", o, i)
			}
		}
		if at := o.at(from); at < o.WarmUp {
			t.Errorf("%+v: measuring begins at %s", o, at)
		}
	}
}
