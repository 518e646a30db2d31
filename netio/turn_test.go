package netio

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"keyframe/codec/http1"
	"keyframe/netio/buffer"
	"keyframe/netio/frame"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the random tests; 0 draws one")

// newRand prints its seed, so that a failure can be repeated with -seed.
func newRand(t testing.TB) *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// few is what is left under the race detector of n rounds that one goroutine makes, where they
// would take minutes and there is nothing to detect.
func few(n int) int {
	if UnderRace {
		return n / 10
	}
	return n
}

const upgradeRequest = "GET /any/path HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

// upgradeAnswer is what a server answers to the head of a request for a WebSocket.
func upgradeAnswer(head []byte) (answer []byte, ok bool) {
	r, err := http1.ParseHead(head)
	if err != nil {
		return httpError(http.StatusBadRequest, err.Error()), false
	}
	answer, _, refused := upgrade(&Options{}, &r)
	if refused != nil {
		return refused.answer, false
	}
	return answer, true
}

// session is a stream of commands that takes every path, with the answers that it must get.
var session = []struct{ command, want string }{
	{`{"SET":{"user1234_name":"bob","user1234_age":31}}`, `{"SET_RSP":{"st":1,"k":"user1234_name"}} {"SET_RSP":{"st":1,"k":"user1234_age"}}`},
	{`{"GET":["user1234_name","nobody_here","key1"]}`, `{"GET_RSP":{"st":0,"user1234_name":"bob"}} {"GET_RSP":{"st":3,"k":"nobody_here"}} {"GET_RSP":{"st":6,"k":"key1"}}`},
	{`{"COUNT":{}}`, `{"COUNT_RSP":{"st":0,"cnt":2}}`},
	{`{"SETQ":{"quietly":true,"key1":1}}`, `{"SETQ_RSP":{"st":6,"k":"key1"}}`},
	{`{"ADD":{"user1234_age":32,"added_key":1.0}}`, `{"ADD_RSP":{"st":4,"k":"user1234_age"}} {"ADD_RSP":{"st":1,"k":"added_key"}}`},
	{`{"RNM_KEY":[{"added_key":"renamed"}]}`, `{"RNM_KEY_RSP":{"added_key":"renamed","st":1}}`},
	{`{"CONTAINS":["renamed","added_key"]}`, `{"CONTAINS_RSP":{"st":4,"k":"renamed"}} {"CONTAINS_RSP":{"st":3,"k":"added_key"}}`},
	{`{"SET":{"k\u00e9y_\"quoted\"":"\u0041\n"}}`, `{"SET_RSP":{"st":1,"k":"kéy_\"quoted\""}}`},
	{`{"NOPE":{}}`, `{"SERVER_ERROR":{"s":3,"m":"unknown command NOPE"}}`},
	{`[]`, `{"SERVER_ERROR":{"s":4,"m":"Only one command permitted"}}`},
	{`{"RMV":["renamed"]}`, `{"RMV_RSP":{"st":5,"k":"renamed"}}`},
	{`{"CLEAR":{}}`, `{"CLEAR_RSP":{"st":0,"cnt":4}}`},
	{`{"COUNT":{}}`, `{"COUNT_RSP":{"st":0,"cnt":0}}`},
}

func sessionWant() (want []string) {
	for _, s := range session {
		want = append(want, strings.SplitAfter(s.want, "}} ")...)
	}
	for i := range want {
		want[i] = strings.TrimSpace(want[i])
	}
	return want
}

func lineSession() []byte {
	var b bytes.Buffer
	for i, s := range session {
		b.WriteString(s.command)
		b.WriteString([]string{"\n", "\r\n", "\n\n \r\n"}[i%3])
	}
	return b.Bytes()
}

// webSocketSession sends some commands in fragments with pings between.
func webSocketSession(pings bool) []byte {
	b := []byte(upgradeRequest)
	for i, s := range session {
		if i%3 != 1 {
			b = append(b, textFrame(s.command)...)
			continue
		}
		half := len(s.command) / 2
		b = append(b, clientFrame(false, frame.Text, []byte(s.command[:half]), testKey)...)
		if pings {
			b = append(b, clientFrame(true, frame.Ping, []byte("mid"), testKey)...)
		}
		b = append(b, clientFrame(true, frame.Continuation, []byte(s.command[half:]), testKey)...)
	}
	return b
}

func checkLines(t testing.TB, got []byte) {
	t.Helper()
	want := strings.Join(sessionWant(), "\n") + "\n"
	if string(got) != want {
		t.Fatalf("got:\n%s\nwant:\n%s", got, want)
	}
}

// TestSessionCutAnywhere: wherever the stream of a connection is cut, the answers
// are the same, in both framings.
func TestSessionCutAnywhere(t *testing.T) {
	lines := lineSession()
	for cut := range len(lines) + 1 {
		checkLines(t, roundTrip(t, Options{}, lines[:cut], lines[cut:]))
	}
	frames := webSocketSession(false)
	want := fmt.Sprint(sessionWant())
	for cut := range len(frames) + 1 {
		if got := fmt.Sprint(serverMessages(t, roundTrip(t, Options{}, frames[:cut], frames[cut:]))); got != want {
			t.Fatalf("cut at %d:\n got %s\nwant %s", cut, got, want)
		}
	}
}

// TestSessionByteByByte sends one byte at a time.
func TestSessionByteByByte(t *testing.T) {
	single := func(b []byte) (pieces [][]byte) {
		for i := range b {
			pieces = append(pieces, b[i:i+1])
		}
		return pieces
	}
	checkLines(t, roundTrip(t, Options{}, single(lineSession())...))
	got := serverMessages(t, roundTrip(t, Options{}, single(webSocketSession(false))...))
	if fmt.Sprint(got) != fmt.Sprint(sessionWant()) {
		t.Fatalf("got %s\nwant %s", got, sessionWant())
	}
}

// TestPongKeepsItsPlace: control frames between fragments are answered at once,
// in the order of the stream.
func TestPongKeepsItsPlace(t *testing.T) {
	got := serverMessages(t, roundTrip(t, Options{}, webSocketSession(true)))
	var pongs, rest []string
	for _, m := range got {
		if strings.HasPrefix(m, "pong") {
			pongs = append(pongs, m)
		} else {
			rest = append(rest, m)
		}
	}
	if len(pongs) != 4 || fmt.Sprint(rest) != fmt.Sprint(sessionWant()) {
		t.Fatalf("got %q", got)
	}
	if got[2] != "pong mid" { // after SET's two answers, before GET's
		t.Fatalf("the first pong is not third: %q", got[:4])
	}
}

// bigSet is one SET of n pairs.
func bigSet(n int) []byte {
	b := []byte(`{"SET":{`)
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `"key_%07d":%d`, i, i)
	}
	return append(b, "}}"...)
}

// TestLongCommandTakesSeveralTurns: a command with more elements than a turn executes is
// answered whole and in order, and so is what is pipelined after it.
func TestLongCommandTakesSeveralTurns(t *testing.T) {
	for _, n := range []int{batchOps - 1, batchOps, batchOps + 1, 8192, 30_007} {
		var want bytes.Buffer
		for i := range n {
			fmt.Fprintf(&want, "{\"SET_RSP\":{\"st\":1,\"k\":\"key_%07d\"}}\n", i)
		}
		fmt.Fprintf(&want, "{\"COUNT_RSP\":{\"st\":0,\"cnt\":%d}}\n", n)

		stream := append(bigSet(n), "\n{\"COUNT\":{}}\n"...)
		got := roundTrip(t, Options{}, stream[:len(stream)/2], stream[len(stream)/2:])
		if !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("lines, %d keys: the answers differ", n)
		}

		set := bigSet(n)
		frames := append([]byte(upgradeRequest), clientFrame(false, frame.Text, set[:100], testKey)...)
		frames = append(frames, clientFrame(true, frame.Continuation, set[100:], testKey)...)
		frames = append(frames, textFrame(`{"COUNT":{}}`)...)
		messages := serverMessages(t, roundTrip(t, Options{}, frames))
		if strings.Join(messages, "\n")+"\n" != want.String() {
			t.Fatalf("fragmented message, %d keys: the answers differ", n)
		}
	}
}

// TestInvalidLongCommandExecutesNothing: the fault comes after more elements than one batch
// holds.
func TestInvalidLongCommandExecutesNothing(t *testing.T) {
	set := bigSet(3 * batchOps)
	set = append(set[:len(set)-2], `,"broken_key":01}}`...)
	got := roundTrip(t, Options{}, append(set, "\n{\"COUNT\":{}}\n"...))
	lines := strings.Split(strings.TrimSpace(string(got)), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], `{"SERVER_ERROR":{"s":5,`) || lines[1] != `{"COUNT_RSP":{"st":0,"cnt":0}}` {
		t.Fatalf("got %q", lines)
	}
}

// TestReadsBeyondATurn: what GETs read takes many turns, and each is answered once, in
// order, although turns end in the middle of commands.
func TestReadsBeyondATurn(t *testing.T) {
	value := `"` + strings.Repeat("v", 100_000) + `"`
	var in, want bytes.Buffer
	fmt.Fprintf(&in, "{\"SET\":{\"big_key\":%s,\"small_key\":1}}\n", value)
	want.WriteString("{\"SET_RSP\":{\"st\":1,\"k\":\"big_key\"}}\n{\"SET_RSP\":{\"st\":1,\"k\":\"small_key\"}}\n")
	for range 5 {
		in.WriteString("{\"GET\":[\"small_key\",\"" + strings.Repeat("big_key\",\"", 20) + "no_such_key\",7]}\n{\"SERVER_INFO\":{}}\n{\"GET\":[\"small_key\"]}\n")
	}
	h := newHarness(t, Options{})
	h.startReading()
	h.feed(in.Bytes())
	got := h.finish()

	wantCount := 2 + 5*(1+20+2+1+1)
	lines := strings.Split(strings.TrimSuffix(string(got), "\n"), "\n")
	if len(lines) != wantCount {
		t.Fatalf("%d responses, want %d", len(lines), wantCount)
	}
	if !strings.HasPrefix(string(got), want.String()) {
		t.Fatal("the responses begin wrongly")
	}
	block := lines[2:27]
	for i := range 5 {
		next := lines[2+i*25 : 27+i*25]
		for j := range next {
			if j != 23 && next[j] != block[j] {
				t.Fatalf("block %d, response %d differs from the first block's", i, j)
			}
		}
		if !strings.Contains(next[23], fmt.Sprintf(`"qryCnt":%d,`, 3+3*i)) {
			t.Fatalf("SERVER_INFO %d: %.100s", i, next[23])
		}
	}
}

// gets is one GET of n times the same key.
func gets(key string, n int) string {
	return `{"GET":["` + strings.Repeat(key+`","`, n-1) + key + "\"]}\n"
}

// TestLongLineAfterUnfinishedGets: GETs use up a turn's output, so that the turn ends in
// one of them. A long line after them has been searched already, whole or in part, and what
// is known of its end is not taken for the end of the line with which the next turn begins.
func TestLongLineAfterUnfinishedGets(t *testing.T) {
	value := `"` + strings.Repeat("v", 100_000) + `"`
	first := fmt.Sprintf("{\"SET\":{\"big_key\":%s}}\n", value) + gets("big_key", 15)
	line := fmt.Sprintf("{\"SET\":{\"other_key\":%s}}\n", value)
	for _, cut := range []int{5000, len(line)} {
		got := roundTrip(t, Options{}, []byte(first+line[:cut]), []byte(line[cut:]+"{\"COUNT\":{}}\n"))
		if n := bytes.Count(got, []byte("\n")); n != 18 || !bytes.HasSuffix(got, []byte(`"cnt":2}}`+"\n")) {
			t.Errorf("cut at %d: %d answers, the last %q", cut, n, got[max(0, len(got)-60):])
		}
	}
}

// TestEndAfterABatch: what ends a connection is answered after the commands that had
// arrived before it.
func TestEndAfterABatch(t *testing.T) {
	set := `{"SET":{"first_key":1}}`
	lines := roundTrip(t, Options{MaxFrameBytes: 1000}, append([]byte(set+"\n"), bytes.Repeat([]byte("x"), 2000)...))
	if got := strings.Split(strings.TrimSpace(string(lines)), "\n"); len(got) != 2 || got[0] != `{"SET_RSP":{"st":1,"k":"first_key"}}` || !strings.HasPrefix(got[1], `{"SERVER_ERROR"`) {
		t.Errorf("a line over the limit: %q", got)
	}
	frames := append([]byte(upgradeRequest), textFrame(set)...)
	frames = append(frames, textFrame("{\"SET\":{\"other_key\":\"\xff\"}}")...)
	frames = append(frames, textFrame(set)...)
	if got := serverMessages(t, roundTrip(t, Options{}, frames)); len(got) != 2 || got[0] != `{"SET_RSP":{"st":1,"k":"first_key"}}` || got[1] != "close 1007: the message is not UTF-8" {
		t.Errorf("a message that is not UTF-8: %q", got)
	}
}

// TestEndAfterUnfinishedGets: GETs before what ends a connection use up the turn's output,
// so that the end is seen again in later turns. It comes last all the same.
func TestEndAfterUnfinishedGets(t *testing.T) {
	const n = 40
	set := `{"SET":{"big_key":"` + strings.Repeat("v", 100_000) + `"}}`
	get := strings.TrimSpace(gets("big_key", n))
	for _, tt := range []struct{ name, end, want string }{
		{"not UTF-8", string(textFrame("\xff")), "close 1007: the message is not UTF-8"},
		{"a continuation", string(clientFrame(true, frame.Continuation, nil, testKey)), "close 1002: "},
		{"a client's close", string(clientFrame(true, frame.Close, []byte("\x03\xE8"), testKey)), "close 1000: "},
	} {
		stream := append([]byte(upgradeRequest), textFrame(set)...)
		stream = append(append(stream, textFrame(get)...), tt.end...)
		got := serverMessages(t, roundTrip(t, Options{}, stream))
		if len(got) != 1+n+1 || !strings.HasPrefix(got[len(got)-1], tt.want) {
			t.Errorf("%s: %d messages, the last %.60q", tt.name, len(got), got[len(got)-1])
		}
	}
}

// TestStopTakesNoInput: what arrives when the server has begun to stop is not executed,
// though it completes a command.
func TestStopTakesNoInput(t *testing.T) {
	h := newHarness(t, Options{})
	h.startReading()
	h.feed([]byte("{\"SET\":{\"first_key\":1}}\n{\"SE"))
	h.srv.draining.Store(true)
	h.feed([]byte("T\":{\"second_key\":1}}\n"))
	if n := h.store.Len(); n != 1 {
		t.Errorf("%d keys", n)
	}
	h.finish()
}

// TestOutputLimit: a connection is paused as soon as it has MaxOutputBytes unread, and
// one turn's answers at most come on top.
func TestOutputLimit(t *testing.T) {
	const limit, value = 4 << 20, 100_000
	h := newHarness(t, Options{MaxOutputBytes: limit})
	h.feed([]byte(`{"SET":{"paused_key":"` + strings.Repeat("v", value) + "\"}}\n"))
	h.feed([]byte(strings.Repeat(gets("paused_key", 1), 200)))
	if n := h.conn.out.unread.Load(); n < limit || n > limit+turnOutputBytes+2*value {
		t.Errorf("%d bytes unread, the limit is %d", n, limit)
	}
	h.startDiscarding()
	h.finish()
}

// TestPendingIsMovedDown: a connection that is always in the middle of a line keeps no
// more than a few lines of it.
func TestPendingIsMovedDown(t *testing.T) {
	h := newHarness(t, Options{})
	h.startDiscarding()
	const lines = 10_000
	h.feed([]byte(`{"GE`))
	for range lines {
		h.feed([]byte("T\":[\"nobody_here\"]}\n{\"GE"))
		if n := h.conn.pending.Held(); n > 2*buffer.First {
			t.Fatalf("%d bytes are kept for half a line", n)
		}
	}
	if n := h.loop.count.Queries; n != lines {
		t.Errorf("%d commands", n)
	}
	h.finish()
}

// enrollments is an event loop that counts them.
type enrollments struct {
	eventLoop
	n int
}

func (e *enrollments) enroll(*conn, func(error)) { e.n++ }

// TestUnparkedOnce: a parked connection may be served again while it is on its way back
// to its loop, and goes that way once.
func TestUnparkedOnce(t *testing.T) {
	h := newHarness(t, Options{})
	h.startDiscarding()
	el := &enrollments{}
	h.loop.el, h.conn.parked = el, true
	for range 3 {
		h.loop.serve(h.conn, nil)
	}
	if el.n != 1 {
		t.Errorf("given back %d times", el.n)
	}
	h.conn.parked = false
	h.finish()
}

// TestOneTurnAtATime: a connection that waits for its turn, and gets input meanwhile,
// waits for one turn.
func TestOneTurnAtATime(t *testing.T) {
	h := newHarness(t, Options{})
	h.startDiscarding()
	for range 3 {
		h.loop.serve(h.conn, bytes.Repeat([]byte("\n"), 2*turnCost/costUnit))
		if len(h.loop.ready) != 1 {
			t.Errorf("it waits for %d turns", len(h.loop.ready))
		}
	}
	h.runReady()
	h.finish()
}

// TestPausedIsNotAnswered: what arrives for a connection that has MaxOutputBytes unread
// waits until the client has read.
func TestPausedIsNotAnswered(t *testing.T) {
	h := newHarness(t, Options{MaxOutputBytes: 4 << 20})
	h.feed([]byte(`{"SET":{"paused_key":"` + strings.Repeat("v", 100_000) + "\"}}\n"))
	h.feed([]byte(strings.Repeat(gets("paused_key", 1), 200)))
	before := h.loop.count.BytesOut
	h.feed([]byte(gets("paused_key", 1)))
	if n := h.loop.count.BytesOut - before; !h.conn.paused || n != 0 {
		t.Errorf("paused: %v; %d bytes of answers", h.conn.paused, n)
	}
	h.startDiscarding()
	h.finish()
}

// TestPauseOutlivesInput: a connection that waits for its client to read goes on when that
// has happened, also when more input came in between, or the server began to stop.
func TestPauseOutlivesInput(t *testing.T) {
	for _, between := range []string{"input", "drain"} {
		t.Run(between, func(t *testing.T) {
			h := newHarness(t, Options{MaxOutputBytes: 4 << 20})
			value := strings.Repeat("v", 100_000)
			h.feed([]byte(`{"SET":{"paused_key":"` + value + "\"}}\n"))
			const gets = 200
			h.feed([]byte(strings.Repeat("{\"GET\":[\"paused_key\"]}\n", gets)))
			if !h.conn.paused || !h.conn.hasPending() {
				t.Fatal("it is not paused: the test needs larger numbers")
			}
			// Between half the limit, below which it goes on, and the limit.
			got := make([]byte, 0, 32<<20)
			for h.conn.out.unread.Load() >= 4<<20 {
				n, err := h.client.Read(got[len(got) : len(got)+64<<10])
				if err != nil {
					t.Fatal(err)
				}
				got = got[:len(got)+n]
				h.runEvents(false)
			}
			if !h.conn.paused {
				t.Fatal("it is not paused any more: the test needs smaller steps")
			}
			if between == "input" {
				h.feed([]byte("\n"))
			} else {
				h.srv.draining.Store(true)
				h.loop.drain()
			}
			h.startReading()
			for h.conn.hasPending() || h.conn.out.writing.Load() {
				h.runEvents(true)
			}
			got = append(got, h.finish()...)
			if n := bytes.Count(got, []byte("\n")); n != 1+gets {
				t.Fatalf("%d answers of %d", n, 1+gets)
			}
		})
	}
}

// TestPartialLineIsScannedOnce: bytes that were searched for a line's end are not searched
// again. A newline is put where none must be looked for.
func TestPartialLineIsScannedOnce(t *testing.T) {
	h := newHarness(t, Options{})
	h.startReading()
	for i := range 50 {
		h.feed(bytes.Repeat([]byte("x"), 1000))
		if f := h.conn.framing.(*lineFraming); f.from != 0 || f.to != 1000*(i+1) {
			t.Fatalf("bytes %d to %d scanned of %d", f.from, f.to, 1000*(i+1))
		}
	}
	h.conn.pending.Bytes()[10] = '\n'
	h.feed([]byte("x"))
	if h.conn.pending.Len() != 50_001 {
		t.Fatal("it was searched again")
	}
	h.finish()
}

// TestTurnsKeepNothing: what passes through a loop does not stay with it.
func TestTurnsKeepNothing(t *testing.T) {
	h := newHarness(t, Options{})
	h.startDiscarding()
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	// Frames of many sizes; keys that need the decoder's scratch; refusals that quote what
	// they refuse.
	for n := few(40); n > 0; n-- {
		set := `{"SET":{` + strings.Repeat(`"key_\u0041":1,`, n) + `"pad_key":"` + strings.Repeat("x", 4<<20) + "\"}}\n"
		h.feed([]byte(set[:1<<20]))
		h.feed([]byte(set[1<<20:]))
		h.feed([]byte("{\"" + strings.Repeat("n", 4<<20) + "\":1}\n"))
	}
	for range few(2000) {
		h.feed([]byte(strings.Repeat(`{"GET":["`+strings.Repeat(`\u0041`, 1000)+"\"]}\n", 10)))
	}
	runtime.GC()
	runtime.ReadMemStats(&now)
	// The store has one value of 4 MiB, and the loop an output buffer of that size.
	if grown := int64(now.HeapAlloc) - int64(before.HeapAlloc); grown > 24<<20 {
		t.Fatalf("the heap grew by %d MiB", grown>>20)
	}
	h.finish()
}

// TestRandomPieces sends a long mixed stream in random pieces.
func TestRandomPieces(t *testing.T) {
	rng := newRand(t)
	var stream []byte
	var want strings.Builder
	for range 300 {
		stream = append(stream, lineSession()...)
		want.WriteString(strings.Join(sessionWant(), "\n") + "\n")
	}
	var pieces [][]byte
	for rest := stream; len(rest) > 0; {
		n := min(1+rng.IntN(1<<rng.IntN(17)), len(rest))
		pieces = append(pieces, rest[:n])
		rest = rest[n:]
	}
	if got := roundTrip(t, Options{}, pieces...); string(got) != want.String() {
		t.Fatal("the answers differ")
	}
}

// TestUpgradeRequestLimit: a request without an end is waited for up to http1.MaxHeadBytes,
// and refused from there on.
func TestUpgradeRequestLimit(t *testing.T) {
	request := append([]byte("GET / HTTP/1.1\r\nX: "), bytes.Repeat([]byte("x"), http1.MaxHeadBytes)...)
	for n, incomplete := range map[int]bool{http1.MaxHeadBytes - 1: true, http1.MaxHeadBytes: false, http1.MaxHeadBytes + 1: false} {
		if got := playHTTP(t, Options{}, request[:n]); (len(got) == 0) != incomplete || !incomplete && !bytes.HasPrefix(got, []byte("HTTP/1.1 400")) {
			t.Errorf("%d bytes: %q", n, got)
		}
	}
}

// FuzzConnection: whatever arrives, however it is cut, the server survives, sends
// only whole frames or lines, and the cut makes no difference.
func FuzzConnection(f *testing.F) {
	f.Add(lineSession(), uint64(1))
	f.Add(webSocketSession(true), uint64(2))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), uint64(3))
	f.Add([]byte("GE"), uint64(4))
	f.Add([]byte("GET \n\r\n\r\n"), uint64(5)) // a fault that is seen in the first piece already
	f.Add(append([]byte(upgradeRequest), 0x81, 0xFE, 0xFF), uint64(5))
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		if bytes.Contains(stream, []byte("SERVER_INFO")) {
			t.Skip("its answer tells the time")
		}
		checkCuts(t, stream, seed)
	})
}

// checkCuts compares what a server sends for a stream, whole and in pieces. Where a response of
// HTTP is in chunks the cuts make a difference, but not in what it says.
func checkCuts(t *testing.T, stream []byte, seed uint64) {
	opts := Options{MaxFrameBytes: 4096}
	whole := playHTTP(t, opts, stream)
	rng := rand.New(rand.NewPCG(seed, 0))
	var pieces [][]byte
	for rest := stream; len(rest) > 0; {
		n := 1 + rng.IntN(len(rest))
		pieces = append(pieces, rest[:n])
		rest = rest[n:]
	}
	cut := playHTTP(t, opts, pieces...)
	if bytes.HasPrefix(whole, []byte("HTTP/1.1 101")) {
		serverMessages(t, whole)
	} else if bytes.HasPrefix(whole, []byte("HTTP/1.1 ")) && !bytes.Contains(stream, []byte("HEAD")) {
		if a, b := shownResponses(t, whole), shownResponses(t, cut); !slices.Equal(a, b) {
			t.Fatalf("whole:\n%q\nin pieces:\n%q", a, b)
		}
		return
	}
	if !bytes.Equal(whole, cut) {
		t.Fatalf("whole:\n%q\nin pieces:\n%q", whole, cut)
	}
}
