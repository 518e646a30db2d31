package load_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"keyframe/bench/iolimit"
	"keyframe/bench/load"
	"keyframe/engine"
	"keyframe/netio"
	"keyframe/netio/netiotest"
)

// serve starts a Keyframe server in this process.
func serve(t *testing.T, listen string) (addr string, store *engine.Engine) {
	t.Helper()
	srv, store := netiotest.Start(t, netio.Options{Listen: []string{listen}})
	if strings.HasPrefix(listen, "unix:") {
		return listen, store
	}
	return srv.Addrs()[0].String(), store
}

// patience is how long a test may take whose load has to end on its own.
const patience = time.Minute

// watched is the test's context. It ends the program, with the stacks of all goroutines,
// when the test takes too long: a worker that spins looks at no context.
func watched(t *testing.T) context.Context {
	name := t.Name()
	timer := time.AfterFunc(patience, func() {
		debug.SetTraceback("all")
		panic(name + " hangs")
	})
	t.Cleanup(func() { timer.Stop() })
	return t.Context()
}

func mix(t *testing.T, text string) load.Mix {
	t.Helper()
	m, err := load.ParseMix(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestAgainstServer drives a real server in every way, and reads back what it wrote.
func TestAgainstServer(t *testing.T) {
	for name, o := range map[string]load.Options{
		"lines":           {},
		"deep":            {Depth: 64},
		"many keys":       {Keys: 100, Depth: 4},
		"websocket":       {Protocol: "websocket", Depth: 16},
		"long frames":     {Protocol: "websocket", Keys: 20, ValueSize: 128},
		"longest frames":  {Protocol: "websocket", Keys: 80, ValueSize: 1024, Requests: 400},
		"unix":            {Addr: "unix", Depth: 8},
		"sequential":      {Dist: "seq", Keys: 10, Depth: 4},
		"zipf":            {Dist: "zipf", Keys: 10, Depth: 4},
		"numbers":         {ValueType: "number", ValueSize: 9},
		"digits":          {ValueType: "number", ValueSize: 1},
		"booleans":        {ValueType: "bool", Keys: 3},
		"large values":    {ValueSize: 100_000, Depth: 8, Space: 50, Conns: 4, Requests: 200},
		"a full socket":   {Addr: "unix", ValueSize: 100_000, Depth: 16, Space: 50, Conns: 2, Requests: 200}, // it takes 200 KB
		"one connection":  {Conns: 1, Depth: 3},
		"two threads":     {Threads: 2, Conns: 7, Depth: 5},
		"every command":   {Mix: mix(t, "set=30,get=30,add=20,contains=10,rmv=10"), Keys: 4, Depth: 8},
		"gets and sets":   {Protocol: "websocket", Mix: mix(t, "get=95,set=5"), Depth: 8, Fill: true},
		"gets of numbers": {ValueType: "number", Mix: mix(t, "get=50,set=50"), Depth: 8, Fill: true},
		"open loop":       {Rate: 20_000, Depth: 16},
		"compared":        {Compare: true, Mix: mix(t, "set=30,get=30,add=20,contains=10,rmv=10"), Keys: 4, Depth: 8},
		"compared frames": {Compare: true, Protocol: "websocket", Mix: mix(t, "get=60,set=40"), Keys: 5, ValueSize: 200, Fill: true, Depth: 4},
		"compared bools":  {Compare: true, ValueType: "bool", Mix: mix(t, "get=60,set=40"), Fill: true},
		"adds":            {Compare: true, Mix: mix(t, "add"), Keys: 3},
		"adds to a full":  {Compare: true, Mix: mix(t, "add=50,get=50"), Keys: 3, Fill: true},
		"removes":         {Compare: true, Mix: mix(t, "rmv"), Keys: 3, Fill: true},
		"short records":   {Compare: true, KeySize: 8, ValueSize: 5, Fill: true},
		"that expire":     {TTL: time.Hour, Compare: true, Mix: mix(t, "set=40,add=20,get=40"), Keys: 5, Fill: true},
		"frames, expire":  {TTL: time.Hour, Protocol: "websocket", Depth: 16, Keys: 10},
		"warm-up":         {WarmUp: 20 * time.Millisecond, Depth: 16},
		"open, warm-up":   {WarmUp: 20 * time.Millisecond, Rate: 20_000, Conns: 7},
		"open, mixed":     {Rate: 20_000, Depth: 16, Mix: mix(t, "get=50,set=50"), Threads: 2, AllowMisses: true},
		"overloaded":      {Rate: 1e9, Depth: 16},
	} {
		t.Run(name, func(t *testing.T) {
			listen := "127.0.0.1:0"
			if o.Addr == "unix" {
				listen = "unix://" + filepath.Join(t.TempDir(), "s")
			}
			var store *engine.Engine
			o.Addr, store = serve(t, listen)
			if o.Requests == 0 {
				o.Requests = 3001
			}
			if o.Space == 0 {
				o.Space = 1000
			}
			o.Verify = true
			r, err := load.Run(watched(t), o)
			if err != nil {
				t.Fatal(err)
			}
			if r.Commands != uint64(o.Requests) || r.Latency.TotalCount() != int64(o.Requests) {
				t.Errorf("%d commands, %d latencies, want %d", r.Commands, r.Latency.TotalCount(), o.Requests)
			}
			if r.Unanswered != 0 {
				t.Errorf("%d commands unanswered", r.Unanswered)
			}
			if expires := store.Stats().CalendarBytes > 0; expires != (o.TTL > 0) {
				t.Errorf("the keys expire: %v, want %v", expires, o.TTL > 0)
			}
			if got := r.Compared > 0; got != o.Compare {
				t.Errorf("%d keys of answers were compared", r.Compared)
			}
			if r.Verified == 0 || r.Verified < store.Len() {
				t.Errorf("%d keys read back, %d in the store", r.Verified, store.Len())
			}
			if o.Fill && o.Mix[load.Add]+o.Mix[load.Remove] == 0 && (store.Len() != o.Space || r.Misses != 0) {
				t.Errorf("%d keys after a fill of %d, %d misses", store.Len(), o.Space, r.Misses)
			}
			if o.Dist == "seq" && store.Len() != o.Space {
				t.Errorf("%d keys after going through %d", store.Len(), o.Space)
			}
		})
	}
}

// TestCounters: after a run of INCRs the counters have what was added, from what the filling set.
func TestCounters(t *testing.T) {
	for name, o := range map[string]load.Options{
		"new":        {},
		"filled":     {Fill: true, ValueType: "number", ValueSize: 8},
		"many":       {Keys: 10, Depth: 16, Fill: true, ValueType: "number", ValueSize: 18},
		"few":        {Keys: 10, Depth: 16, Space: 10},
		"websocket":  {Protocol: "websocket", Keys: 10, Depth: 4, Fill: true, ValueType: "number", ValueSize: 8},
		"new frames": {Protocol: "websocket", Keys: 3, Depth: 4},
		"repeated":   {Repeat: true, Keys: 10, Depth: 4},
	} {
		t.Run(name, func(t *testing.T) {
			var store *engine.Engine
			o.Addr, store = serve(t, "127.0.0.1:0")
			o.Mix, o.Requests = mix(t, "incr"), 3001
			if o.Space == 0 {
				o.Space = 1000
			}
			r, err := load.Run(watched(t), o)
			if err != nil {
				t.Fatal(err)
			}
			if r.Commands != uint64(o.Requests) || r.Hits+r.Misses != 0 {
				t.Errorf("%d commands, want %d; %d keys hit, %d missed", r.Commands, o.Requests, r.Hits, r.Misses)
			}
			added := -int(r.Keys)
			store.Range(func(key, value []byte) bool {
				n, err := strconv.Atoi(string(value))
				if err != nil {
					t.Errorf("the counter %s is %q", key, value)
				}
				if o.Fill {
					n -= filled(key, o.ValueSize)
				}
				added += n
				return true
			})
			if added != 0 {
				t.Errorf("the counters have %+d of %d added", added, r.Keys)
			}
		})
	}
}

// filled is the number that a key is filled with: its own, after ones and twos.
func filled(key []byte, digits int) (n int) {
	text := fmt.Sprintf("%012s", key[len("key:"):])
	if text = strings.Repeat("2", 18) + text; digits <= 12 {
		text = "1" + text[len(text)-digits+1:]
	} else {
		text = text[len(text)-digits:]
	}
	n, _ = strconv.Atoi(text)
	return n
}

// TestMisses: hits and misses are counted, and misses that the run itself did not cause
// fail a verified run.
func TestMisses(t *testing.T) {
	const none, all, some = 0, 1500, -1 // of 500 commands of 3 keys
	for name, test := range map[string]struct {
		o            load.Options
		hits, misses int
		want         string
	}{
		"not verified":              {load.Options{Mix: mix(t, "get")}, none, all, ""},
		"an empty store":            {load.Options{Mix: mix(t, "get"), Verify: true}, none, all, "1500 of 1500 keys"},
		"an empty store, compared":  {load.Options{Mix: mix(t, "get"), Verify: true, Compare: true}, none, all, "1500 of 1500 keys"},
		"an empty store, CONTAINS":  {load.Options{Mix: mix(t, "contains"), Verify: true}, none, all, "1500 of 1500 keys"},
		"an empty store is allowed": {load.Options{Mix: mix(t, "get=50,contains=50"), Verify: true, Compare: true, AllowMisses: true}, none, all, ""},
		"a part of a store":         {load.Options{Mix: mix(t, "get=50,set=50"), Verify: true}, some, some, "fill the store first"},
		"a full store":              {load.Options{Mix: mix(t, "get"), Verify: true, Compare: true, Fill: true}, all, none, ""},
		"removed by the run":        {load.Options{Mix: mix(t, "get=50,rmv=50"), Verify: true, Compare: true, Fill: true}, some, some, ""},
		"nothing to remove":         {load.Options{Mix: mix(t, "rmv"), Verify: true, Compare: true}, none, all, ""},
		"adds to a full store":      {load.Options{Mix: mix(t, "add"), Verify: true, Compare: true, Fill: true}, none, all, ""},
		"adds to an empty store":    {load.Options{Mix: mix(t, "add"), Verify: true, Compare: true, Dist: "seq", Space: 1500}, all, none, ""},
		"sets":                      {load.Options{Verify: true}, none, none, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := test.o
			o.Addr, _ = serve(t, "127.0.0.1:0")
			o.Requests, o.Keys = 500, 3
			if o.Space == 0 {
				o.Space = 300
			}
			r, err := load.Run(watched(t), o)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error %v, want one with %q", err, test.want)
			}
			right := func(n uint64, want int) bool { return n == uint64(want) || want == some && n > 0 }
			if !right(r.Hits, test.hits) || !right(r.Misses, test.misses) {
				t.Errorf("%d hits and %d misses, want %d and %d", r.Hits, r.Misses, test.hits, test.misses)
			}
		})
	}
}

// TestHitsAreKeys: where one answer is for several keys, each of them is a hit or a miss.
func TestHitsAreKeys(t *testing.T) {
	const n, keys = 50, 3
	for name, compare := range map[string]bool{"counted": false, "compared": true} {
		t.Run(name, func(t *testing.T) {
			addr := netiotest.Lines(t, func(c net.Conn, _ int, line []byte) bool {
				key := strings.Fields(string(line))[1] // the other two are not there
				_, err := fmt.Fprintf(c, "VALUE %s 0 20\r\nvvvvvvvv%s\r\nEND\r\n", key, strings.TrimPrefix(key, "key:"))
				return err == nil
			})
			r, err := load.Run(watched(t), load.Options{
				Addr: addr, Protocol: "memcached", Conns: 1, Keys: keys, Depth: 4, Dist: "seq", Mix: mix(t, "get"), Requests: n, Compare: compare,
			})
			if err != nil || r.Hits != n || r.Misses != (keys-1)*n {
				t.Fatalf("%d hits, %d misses, %v; want %d and %d", r.Hits, r.Misses, err, n, (keys-1)*n)
			}
		})
	}
}

// TestWarmUpIsNotMeasured: answers to the warm-up and to what is measured may come in
// one piece, and are counted apart.
func TestWarmUpIsNotMeasured(t *testing.T) {
	const warmUp, n = 20, 30
	for name, compare := range map[string]bool{"counted": false, "compared": true} {
		t.Run(name, func(t *testing.T) {
			var out []byte
			addr := netiotest.Lines(t, func(c net.Conn, i int, line []byte) bool {
				key := strings.TrimSuffix(strings.TrimPrefix(string(line), `{"GET":["`), `"]}`+"\n")
				if i >= warmUp && i%3 == 0 {
					out = fmt.Appendf(out, `{"GET_RSP":{"st":0,"%s":"vvvvvvvv%s"}}`+"\n", key, strings.TrimPrefix(key, "key:"))
				} else {
					out = fmt.Appendf(out, `{"GET_RSP":{"st":3,"k":"%s"}}`+"\n", key)
				}
				if i+1 < warmUp+n {
					return true
				}
				_, err := c.Write(out)
				return err == nil
			})
			const hits = n / 3 // 21, 24, … 48
			r, err := load.Run(watched(t), load.Options{
				Addr: addr, Conns: 1, Depth: 100, Mix: mix(t, "get"), Rate: 1000,
				WarmUp: warmUp * time.Millisecond, Requests: n, Compare: compare,
			})
			if err != nil || r.Commands != n || r.Hits != hits || r.Misses != n-hits {
				t.Fatalf("%d commands, %d hits, %d misses, %v; want %d, %d, %d", r.Commands, r.Hits, r.Misses, err, n, hits, n-hits)
			}
		})
	}
}

func TestDurationAndWarmUp(t *testing.T) {
	addr, _ := serve(t, "127.0.0.1:0")
	var intervals int
	var sum uint64
	var running []bool // what Running said
	r, err := load.Run(watched(t), load.Options{
		Addr: addr, Depth: 4, Duration: 250 * time.Millisecond, WarmUp: 50 * time.Millisecond, Interval: 50 * time.Millisecond,
		Fill: true, Space: 1000, Verify: true,
		OnInterval: func(i load.Interval) { intervals++; sum += i.Commands },
		Running:    func(yes bool) { running = append(running, yes) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Commands == 0 || sum != r.Commands || intervals == 0 || r.Elapsed < 200*time.Millisecond {
		t.Fatalf("%d commands in %s, %d in %d intervals", r.Commands, r.Elapsed, sum, intervals)
	}
	if !slices.Equal(running, []bool{true, false}) {
		t.Errorf("Running was called with %v, want true and false: filling and verifying are not the load", running)
	}
}

func TestStopsWhenTold(t *testing.T) {
	addr, _ := serve(t, "127.0.0.1:0")
	ctx, cancel := context.WithCancel(watched(t))
	r, err := load.Run(ctx, load.Options{
		Addr: addr, Duration: time.Hour, Interval: 10 * time.Millisecond,
		OnInterval: func(load.Interval) { cancel() },
	})
	if err != nil || r.Commands == 0 {
		t.Fatal(r, err)
	}
}

// TestFailures: a server that fails or answers wrongly is an error that says so.
func TestFailures(t *testing.T) {
	after := func(n int, bad func(c net.Conn) bool) func(net.Conn, int, []byte) bool {
		return func(c net.Conn, i int, line []byte) bool {
			if i >= n {
				return bad(c)
			}
			_, err := c.Write(netiotest.Stored(line))
			return err == nil
		}
	}
	say := func(text string) func(net.Conn) bool {
		return func(c net.Conn) bool { _, err := c.Write([]byte(text)); return err == nil }
	}
	for name, test := range map[string]struct {
		answer func(net.Conn, int, []byte) bool
		o      load.Options
		want   string
	}{
		"closes at once":         {after(0, func(net.Conn) bool { return false }), load.Options{}, "ended connection"},
		"dies":                   {after(10, func(net.Conn) bool { return false }), load.Options{}, "after 10 answered"},
		"says error":             {after(3, say(`{"SERVER_ERROR":{"s":5,"m":"no"}}`+"\n")), load.Options{}, "SERVER_ERROR"},
		"refuses memory":         {after(3, say(`{"SET_RSP":{"st":14,"k":"key:000000000000"}}`+"\n")), load.Options{}, `\"st\":14`},
		"answers something else": {after(3, say(`{"GET_RSP":{"st":3,"k":"key:000000000000"}}`+"\n")), load.Options{}, "SET was answered with"},
		"answers nonsense":       {after(0, say("HTTP/1.1 400 Bad Request\r\n\r\n")), load.Options{}, "Bad Request"},
		"answers too much":       {after(5, say(strings.Repeat(`{"SET_RSP":{"st":1,"k":"key:000000000000"}}`+"\n", 2))), load.Options{}, "nothing asked for"},
		"falls silent":           {after(5, func(net.Conn) bool { return true }), load.Options{Timeout: 100 * time.Millisecond}, "silent"},
		"half an answer":         {after(5, say(`{"SET_RSP":{"st":1`)), load.Options{Timeout: 100 * time.Millisecond}, "silent"},
		"silent in an open loop": {after(5, func(net.Conn) bool { return true }), load.Options{Rate: 1000, Timeout: 100 * time.Millisecond}, "silent"},
		"refuses the WebSocket":  {after(0, say("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")), load.Options{Protocol: "websocket"}, "handshake was refused"},
		"no RESP":                {after(0, say("-ERR unknown command\r\n")), load.Options{Protocol: "resp"}, "ERR unknown command"},
		"no memcached":           {after(0, say("ERROR\r\n")), load.Options{Protocol: "memcached"}, "ERROR"},
		"lies about values": {func(c net.Conn, _ int, line []byte) bool {
			out := netiotest.Stored(line)
			if bytes.HasPrefix(line, []byte(`{"GET"`)) {
				out = []byte(`{"GET_RSP":{"st":0,"key:000000000000":"something else"}}` + "\n")
			}
			_, err := c.Write(out)
			return err == nil
		}, load.Options{Verify: true}, "was answered with"},
		"loses keys": {func(c net.Conn, _ int, line []byte) bool {
			out := netiotest.Stored(line)
			if bytes.HasPrefix(line, []byte(`{"GET"`)) {
				out = nil
				for _, key := range strings.Split(strings.Trim(string(line), "{\"GET:[]}\n"), `","`) {
					out = fmt.Appendf(out, `{"GET_RSP":{"st":3,"k":"key:%s"}}`+"\n", strings.TrimPrefix(key, "key:"))
				}
			}
			_, err := c.Write(out)
			return err == nil
		}, load.Options{Verify: true}, "is not there"},
	} {
		t.Run(name, func(t *testing.T) {
			o := test.o
			o.Addr, o.Conns, o.Requests = netiotest.Lines(t, test.answer), 1, 200
			_, err := load.Run(watched(t), o)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestNobodyListens(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	_ = ln.Close()
	if _, err := load.Run(watched(t), load.Options{Addr: addr, Requests: 1}); err == nil || !strings.Contains(err.Error(), "connection 1 of 32") || !strings.Contains(err.Error(), "refused") {
		t.Fatal(err)
	}
}

// TestStallShowsInOpenLoop: a server that stops once for 300 ms makes every
// command planned meanwhile late, although only one was in flight.
func TestStallShowsInOpenLoop(t *testing.T) {
	const stall, rate, n = 300 * time.Millisecond, 1000, 1000
	o := load.Options{Conns: 1, Requests: n}
	late := func(o load.Options) (late int64) {
		o.Addr = netiotest.Lines(t, func(c net.Conn, i int, line []byte) bool {
			if i == n/2 {
				time.Sleep(stall)
			}
			_, err := c.Write(netiotest.Stored(line))
			return err == nil
		})
		r, err := load.Run(watched(t), o)
		if err != nil {
			t.Fatal(err)
		}
		if r.Commands != n {
			t.Fatalf("%d commands, want %d", r.Commands, n)
		}
		for _, bar := range r.Latency.Distribution() {
			if time.Duration(bar.From) >= stall/3 {
				late += bar.Count
			}
		}
		return late
	}
	open := o
	open.Rate = rate
	// Those planned in the first two thirds of the stall are a third late.
	if got, want := late(open), int64(stall.Seconds()*2/3*rate)-1; got < want {
		t.Errorf("%d commands were late, want %d at least: the stall is hidden", got, want)
	}
}

// TestLatencyOfAClosedLoop: it runs from the write of the round to each of its answers.
func TestLatencyOfAClosedLoop(t *testing.T) {
	const wait, depth = 20 * time.Millisecond, 4
	var round [][]byte
	addr := netiotest.Lines(t, func(c net.Conn, _ int, line []byte) bool {
		if round = append(round, netiotest.Stored(line)); len(round) < depth {
			return true
		}
		for at, answer := range round {
			if at%2 == 0 { // the first two take one wait, the others two
				time.Sleep(wait)
			}
			if _, err := c.Write(answer); err != nil {
				return false
			}
		}
		round = nil
		return true
	})
	r, err := load.Run(watched(t), load.Options{Addr: addr, Conns: 1, Depth: depth, Requests: 3 * depth})
	if err != nil {
		t.Fatal(err)
	}
	const rounding = wait / 500
	if least, half := r.Latency.ValueAtPercentile(0), r.Latency.ValueAtPercentile(60); least < int64(wait-rounding) || half < int64(2*wait-rounding) {
		t.Errorf("latencies are %s and more, and %s in the later half, want %s and %s", time.Duration(least), time.Duration(half), wait, 2*wait)
	}
}

// TestDepthOfAnOpenLoop: what is planned waits at the client when as many commands are
// in flight as may be.
func TestDepthOfAnOpenLoop(t *testing.T) {
	const depth = 4
	var received atomic.Int32
	addr := netiotest.Lines(t, func(net.Conn, int, []byte) bool {
		received.Add(1)
		return true
	})
	_, err := load.Run(watched(t), load.Options{Addr: addr, Conns: 1, Depth: depth, Rate: 10_000, Requests: 100, Timeout: 200 * time.Millisecond})
	if got := received.Load(); err == nil || got != depth {
		t.Errorf("%d commands were sent to a server that answers none, want %d; %v", got, depth, err)
	}
}

// TestScheduleIsKept: planned commands are sent although none was answered yet,
// and all are measured.
func TestScheduleIsKept(t *testing.T) {
	addr, _ := serve(t, "127.0.0.1:0")
	r, err := load.Run(watched(t), load.Options{Addr: addr, Rate: 5000, Depth: 100, Conns: 3, Duration: 300 * time.Millisecond, WarmUp: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if want := uint64(5000 * 0.3); r.Commands < want-50 || r.Unanswered != 0 {
		t.Fatalf("%d commands measured, %d unanswered, want %d", r.Commands, r.Unanswered, want)
	}
}

// TestIOLimit: the server of canned answers answers as a real one would.
func TestIOLimit(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	_ = ln.Close()
	ctx, cancel := context.WithCancel(watched(t))
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- iolimit.Serve(ctx, iolimit.Options{Addr: addr, KeySize: 16, ValueSize: 20, Ready: func() { close(ready) }})
	}()
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	for _, protocol := range []string{"lines", "websocket"} {
		for _, keys := range []int{1, 2, 10, 100, 2000} {
			r, err := load.Run(watched(t), load.Options{Addr: addr, Protocol: protocol, Keys: keys, Depth: 4, Requests: 500, Conns: 4})
			if err != nil || r.Commands != 500 {
				t.Fatal(protocol, keys, err)
			}
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestRivals drives the real ones, where they are installed.
func TestRivals(t *testing.T) {
	for protocol, command := range map[string][]string{
		"resp":      {"redis-server", "--save", "", "--unixsocket"},
		"memcached": {"memcached", "-u", "nobody", "-s"},
	} {
		t.Run(protocol, func(t *testing.T) {
			binary, err := exec.LookPath(command[0])
			if err != nil {
				t.Skipf("%s is not installed", command[0])
			}
			dir, err := os.MkdirTemp("", "rival")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			path := filepath.Join(dir, "s")
			args := append(command[1:], path)
			if protocol == "resp" {
				args = append(args, "--port", "0")
			}
			cmd := exec.Command(binary, args...)
			if os.Getuid() == 0 && protocol == "memcached" {
				cmd.Args = append(cmd.Args, "-u", "root")
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
			for deadline := time.Now().Add(10 * time.Second); ; {
				c, err := net.Dial("unix", path)
				if err == nil {
					_ = c.Close()
					break
				}
				if time.Now().After(deadline) {
					t.Fatal(err)
				}
				time.Sleep(time.Millisecond)
			}
			for _, o := range []load.Options{
				{Keys: 1, Depth: 16, Fill: true},
				{Keys: 10, Depth: 4, Fill: true},
				{Keys: 1, Depth: 16, TTL: time.Hour, Mix: mix(t, "get=50,set=50")},
				{Keys: 1, Depth: 16, Mix: mix(t, "get=50,set=50")},
				{Keys: 7, Depth: 4, Mix: mix(t, "get=60,set=30,rmv=10")},
				{Keys: 1, Depth: 4, ValueType: "bool", Mix: mix(t, "set=100")},
				{Keys: 3, Depth: 4, ValueSize: 5000, Mix: mix(t, "get=40,set=60")},
			} {
				// The runs differ in the size of values, and the protocols have no command
				// in common that removes all keys, so each run sets all keys anew.
				o.Addr, o.Protocol, o.Requests, o.Space, o.Verify = "unix://"+path, protocol, 2000, 500, true
				o.Fill = true
				r, err := load.Run(watched(t), o)
				if err != nil || r.Commands != 2000 || r.Verified == 0 {
					t.Fatalf("%+v: %v", r, err)
				}
			}
			for _, o := range []load.Options{
				{Keys: 1, Depth: 16, KeySize: 20}, // new ones
				{Keys: 10, Depth: 4, Fill: true, ValueType: "number", ValueSize: 8},
			} {
				if protocol != "resp" {
					continue
				}
				o.Addr, o.Protocol, o.Requests, o.Space, o.Mix = "unix://"+path, protocol, 2000, 500, mix(t, "incr")
				if r, err := load.Run(watched(t), o); err != nil || r.Commands != 2000 {
					t.Fatalf("%+v: %v", r, err)
				}
			}
		})
	}
}
