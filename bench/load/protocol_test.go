package load

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/gobwas/ws"
	"golang.org/x/perf/benchfmt"
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
		"lines, written otherwise": {Options{}, Set, ` {"SET_RSP": {"k":"` + a + `","st":1}}` + "\r\n", 1, 0},
		"lines, found and not":     {Options{}, Get, found(a, "vvvvvvvv000000000001") + "\n" + `{"GET_RSP":{"st":3,"k":"` + b + `"}}` + "\n", 2, 1},
		"lines, of other lengths":  {Options{}, Get, found(a, "") + "\n" + found("abcdef", strings.Repeat("x", 300)) + "\n", 2, 0},
		"frames":                   {Options{Protocol: "websocket"}, Set, frames(`{"SET_RSP":{"st":1,"k":"`+a+`"}}`, `{"SET_RSP":{"st":2,"k":"`+b+`"}}`), 2, 0},
		"frames of three lengths":  {Options{Protocol: "websocket"}, Get, frames(found(a, strings.Repeat("x", 20)), found(a, strings.Repeat("x", 300)), found(a, strings.Repeat("x", 70_000))), 3, 0},
		"frames and a ping":        {Options{Protocol: "websocket"}, Remove, frames(`{"RMV_RSP":{"st":3,"k":"`+a+`"}}`) + "\x89\x01x" + frames(`{"RMV_RSP":{"st":5,"k":"`+a+`"}}`), 2, 1},
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
			// A long stream is cut at every byte of its ends, and here and there.
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
		{"websocket", Set, "\x82\x2b" + `{"SET_RSP":{"st":1,"k":"key:000000000001"}}`},
		{"websocket", Set, "\x88\x02\x03\xf0"},
		{"websocket", Set, "\x01\x01{"},
		{"websocket", Set, "\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00"},
		{"resp", Set, "-OOM command not allowed\r\n"},
		{"resp", Set, ":1\r\n"},
		{"resp", Get, "+OK\r\n"},
		{"resp", Get, "$2\r\nabcd"},
		{"resp", Get, "$-2\r\n"},
		{"resp", Get, "*999999999\r\n"},
		{"memcached", Set, "SERVER_ERROR out of memory storing object\r\n"},
		{"memcached", Get, "VALUE k 0\r\n"},
		{"memcached", Get, "VALUE k 0 -1\r\n"},
	} {
		p := newProtocol(Options{Protocol: test.protocol}.withDefaults())
		if n, _, _, err := p.consume([]byte(test.stream), test.kind, 1); err == nil {
			t.Errorf("%s, %s: %q was taken as %d answers", test.protocol, test.kind, test.stream, n)
		}
	}
}

// TestCommandsAreDecoded compares the commands of both framings with plain text.
func TestCommandsAreDecoded(t *testing.T) {
	for kind, want := range map[Kind]string{
		Set:    `{"SET":{"key:000000000007":"vvvvvvvv000000000007","key:000000000008":"vvvvvvvv000000000008"}}`,
		Get:    `{"GET":["key:000000000007","key:000000000008"]}`,
		Remove: `{"RMV":["key:000000000007","key:000000000008"]}`,
	} {
		lines := newProtocol(Options{}.withDefaults())
		if got := string(lines.appendCommand([]byte("before "), kind, []uint64{7, 8})); got != "before "+want+"\n" {
			t.Errorf("a line is %q, want %q", got, want)
		}
		framed := newProtocol(Options{Protocol: "websocket"}.withDefaults())
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

// TestSequentialScripts: together the connections go through the key space once.
func TestSequentialScripts(t *testing.T) {
	o := Options{Conns: 3, Keys: 7, Space: 210, Dist: "seq", Requests: 1}.withDefaults()
	p := newProtocol(o)
	seen := make([]int, o.Space)
	for i := range o.Conns {
		s := newScript(o, p, i)
		for k := range uint64(10) {
			for _, key := range s.keysOf(k) {
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

func TestScriptsRepeat(t *testing.T) {
	o := Options{Keys: 2, Space: 100, Conns: 2}.withDefaults()
	s, same, other := newScript(o, newProtocol(o), 0), newScript(o, newProtocol(o), 0), newScript(o, newProtocol(o), 1)
	if !bytes.Equal(s.text, same.text) || bytes.Equal(s.text, other.text) {
		t.Fatal("a script depends on its seed and connection, and on nothing else")
	}
	m := uint64(len(s.ends))
	text, n := s.commands(m-1, 5, nil)
	if want, _ := s.commands(2*m-1, 1, nil); n != 1 || !bytes.Equal(text, want) {
		t.Fatal("a script ends where it begins again")
	}
}

func TestMix(t *testing.T) {
	for text, want := range map[string]string{"set": "set", "get=95,set=5": "set5+get95", "GET=100": "get"} {
		if m, err := ParseMix(text); err != nil || m.String() != want {
			t.Errorf("%s: %v, %v", text, m, err)
		}
	}
	for _, text := range []string{"", "put", "set=x", "set=50", "set=101", "set=-1,get=101", "set,get"} {
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
		"both": func(o *Options) { o.Duration = 1 }, "neither": func(o *Options) { o.Requests = 0 },
		"rate": func(o *Options) { o.Rate = -1 }, "redis add": func(o *Options) { o.Protocol, o.Mix = "resp", Mix{Add: 100} },
		"memcached contains": func(o *Options) { o.Protocol, o.Mix = "memcached", Mix{Contains: 100} },
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
	r := &Result{Options: Options{Requests: 1}.withDefaults(), Elapsed: 2 * time.Second, Commands: 1000, Keys: 1000, Latency: h, Verified: 5}
	r.ByKind[Set] = h

	var out bytes.Buffer
	if err := r.WriteBenchmark(&out, "keyframe"); err != nil {
		t.Fatal(err)
	}
	reader := benchfmt.NewReader(&out, "result")
	if !reader.Scan() {
		t.Fatal("no benchmark line", reader.Err())
	}
	result := reader.Result().(*benchfmt.Result)
	if v, _ := result.Value("keys/s"); v != 500 {
		t.Errorf("keys/s is %v, want 500", v)
	}
	if v, _ := result.Value("p999-sec"); v < 0.99 || v > 1.01 { // benchfmt tidies ns into sec
		t.Errorf("p999 is %v s, want 1", v)
	}

	out.Reset()
	if err := r.WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	var decoded map[string]any
	if err := json.Unmarshal(out.Bytes(), &decoded); err != nil || decoded["keys-per-s"] != 500.0 {
		t.Error(decoded, err)
	}
	out.Reset()
	if err := r.WriteTable(&out); err != nil || !strings.Contains(out.String(), "5 keys read back and right") {
		t.Error(out.String(), err)
	}

	interval := Interval{Start: time.Second, End: 3 * time.Second, Commands: 1000, Keys: 1000, Latency: h}
	out.Reset()
	timeline, err := NewTimeline(&out)
	if err == nil {
		err = timeline.Add(interval)
	}
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil || len(rows) != 2 || rows[1][0] != "3.000" || rows[1][3] != "500" {
		t.Error(rows, err)
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
	if err != nil || back == nil || back.TotalCount() != 1000 || back.Max() != h.Max() {
		t.Error(back, err)
	}
	_, _ = io.Copy(io.Discard, &out)
}
