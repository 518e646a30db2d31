package netio

import (
	"bytes"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"keyframe/netio/frame"
)

// repeated is an element again and again between a head and a tail, about n bytes of it.
func repeated(head, element, tail string, n int) []byte {
	return []byte(head + strings.Repeat(element, n/len(element)) + tail)
}

// longCommands are of about n bytes, each of another kind of work, with their answer.
func longCommands(n int) map[string][2]string {
	key := strings.Repeat(`\u0061`, 10_000)
	return map[string][2]string{
		"nested": {string(repeated(`{"SET":{"nested_key":[[]`, `,[]`, `]}}`, n)), `{"SET_RSP":{"st":7,"k":"nested_key","m":"null, objects and arrays are values only with --values any"}}`},
		"escaped": {string(repeated(`{"GET":["abc"`, `,"`+key+`"`, `]}`, n)), `{"GET_RSP":{"st":6,"k":"abc"}}` +
			strings.Repeat("\n"+`{"GET_RSP":{"st":3,"k":"`+strings.Repeat("a", 10_000)+`"}}`, n/(len(key)+3))},
		"fault":       {string(repeated(`{"SET":{"first_key":1`, `,"second_key":"value"`, `]}`, n)), fmt.Sprintf(`{"SERVER_ERROR":{"s":5,"m":"not JSON: unexpected ']' at byte %d, want ',' or '}'"}}`, len(repeated(`{"SET":{"first_key":1`, `,"second_key":"value"`, ``, n)))},
		"spaces":      {string(repeated(``, ` `, `{"COUNT":{}}`, n)), `{"COUNT_RSP":{"st":0,"cnt":0}}`},
		"spaces last": {string(repeated(`{"COUNT":`, ` `, `{}}`, n)), `{"COUNT_RSP":{"st":0,"cnt":0}}`},
		"one value":   {string(repeated(`{"SETQ":{"long_key":"`, `v`, `"}}`, n)), ``},
		"refused":     {string(repeated(`{"GET":{"a":"`, `é`, `"}}`, n)), `{"GET_RSP":{"st":12,"m":"GET takes an array of keys"}}`},
	}
}

// TestLongCommandHasItsShare: a command that takes long to check takes many turns, of
// which each costs little more than its share, and is answered as any other.
func TestLongCommandHasItsShare(t *testing.T) {
	const n = 4 << 20
	for name, c := range longCommands(n) {
		for _, ws := range []bool{false, true} {
			h := newHarness(t, Options{})
			h.startReading()
			input := []byte(c[0] + "\n")
			if ws {
				h.feed([]byte(upgradeRequest))
				input = textFrame(c[0])
			}
			lent := bytes.Clone(input)
			h.loop.serve(h.conn, lent)
			clear(lent)
			turns, checked := 0, 0
			for ; len(h.loop.ready) > 0; turns++ {
				if n := h.loop.pipe.cost.spent; n > turnCost+turnCost/2 {
					t.Errorf("%s: a turn has cost %d", name, n)
				}
				if check := h.conn.check; check != nil {
					if most := turnCost<<byteShift + checkBytes; check.At()-checked > most {
						t.Errorf("%s: %d bytes have been checked in one turn", name, check.At()-checked)
					}
					checked = check.At()
				}
				<-h.loop.rerun
				h.loop.runReady()
			}
			if turns < n>>byteShift/turnCost {
				t.Errorf("%s: %d turns", name, turns)
			}
			if h.conn.check != nil {
				t.Errorf("%s: the check is kept when the command is over", name)
			}
			got := string(h.finish())
			want := strings.TrimPrefix(c[1]+"\n", "\n")
			if ws {
				got = strings.Join(append(serverMessages(t, []byte(got)), ""), "\n")
			}
			if got != want {
				t.Errorf("%s, WebSocket %v: got %d bytes, %.200q, want %d, %.200q", name, ws, len(got), got, len(want), want)
			}
		}
	}
}

// TestClockEndsTurns: where work takes longer than it costs, the clock ends the turn.
func TestClockEndsTurns(t *testing.T) {
	for name, input := range map[string][]byte{
		"a long command": append([]byte(longCommands(1 << 20)["nested"][0]), '\n'),
		"short ones":     bytes.Repeat([]byte("{\"GET\":[\"no_such_key\"]}\n"), 10_000),
	} {
		h := newHarness(t, Options{})
		h.startDiscarding()
		now := time.Unix(1e9, 0)
		clock := func() time.Time { now = now.Add(time.Millisecond); return now }
		h.loop.pipe.now, h.loop.pipe.cost.now = clock, clock
		h.srv.shares.turnTime, h.loop.pipe.shares.turnTime = turnTime, turnTime
		h.loop.serve(h.conn, bytes.Clone(input))
		turns := 1
		for ; len(h.loop.ready) > 0; turns++ {
			if n := h.loop.pipe.cost.spent; n > 2*lookEvery {
				t.Fatalf("%s: a turn has cost %d, though it took a millisecond", name, n)
			}
			<-h.loop.rerun
			h.loop.runReady()
		}
		if least := len(input) >> byteShift / (2 * lookEvery); turns < least {
			t.Errorf("%s: %d turns, want %d", name, turns, least)
		}
		h.finish()
	}
}

// TestShortTurnsReadNoClock: a turn of one command doesn't pay for the share.
func TestShortTurnsReadNoClock(t *testing.T) {
	h := newHarness(t, Options{})
	h.startDiscarding()
	h.loop.pipe.cost.now = func() time.Time { t.Error("the clock is read"); return time.Time{} }
	h.feed([]byte("{\"SET\":{\"short_key\":1}}\n"))
	h.feed(bytes.Repeat([]byte("{\"GET\":[\"short_key\"]}\n"), 4096/22))
	h.finish()
}

// TestRestIsDecodedOnce: a command that stops in each of many turns, for what it reads, has
// each of its bytes decoded once, and not what is left of it each time.
func TestRestIsDecodedOnce(t *testing.T) {
	h := newHarness(t, Options{})
	h.startDiscarding()
	key := strings.Repeat(`\u0061`, 65_000)
	h.feed([]byte(`{"SET":{"` + strings.Repeat("a", 65_000) + `":"` + strings.Repeat("v", 700<<10) + "\"}}\n"))
	command := `{"GET":["` + key + strings.Repeat(`","`+key, 39) + "\"]}\n"
	h.loop.serve(h.conn, []byte(command))
	scanned, turns := h.loop.pipe.cost.spent<<byteShift, 1
	for ; len(h.loop.ready) > 0; turns++ {
		<-h.loop.rerun
		h.loop.runReady()
		scanned += h.loop.pipe.cost.spent << byteShift
	}
	if turns < 20 || scanned > 3*len(command) {
		t.Errorf("%d bytes were scanned in %d turns for a command of %d", scanned, turns, len(command))
	}
	h.finish()
}

// TestNoiseHasItsShare: what is answered with nothing, or hardly anything, takes a share
// of the turn, too.
func TestNoiseHasItsShare(t *testing.T) {
	for _, tt := range []struct {
		name, first string
		noise       []byte
		cost        int // of one, at the least
	}{
		{"blank lines", "", []byte("\n"), costUnit},
		{"refused lines", "", []byte("x\n"), costRefusal},
		{"COUNT", "", []byte("{\"COUNT\":{}}\n"), costCount},
		{"CLEAR", "", []byte("{\"CLEAR\":{}}\n"), costClear},
		{"SERVER_INFO", "", []byte("{\"SERVER_INFO\":{}}\n"), costServerInfo},
		{"pongs", upgradeRequest, clientFrame(true, frame.Pong, nil, testKey), costFrame},
		{"pings", upgradeRequest, clientFrame(true, frame.Ping, nil, testKey), costFrame},
		{"fragments", upgradeRequest + string(clientFrame(false, frame.Text, nil, testKey)), clientFrame(false, frame.Continuation, nil, testKey), costFrame},
	} {
		h := newHarness(t, Options{})
		h.startDiscarding()
		h.feed([]byte(tt.first))
		const most = turnCost
		before := len(tt.noise) * (most/tt.cost + 2*batchOps)
		h.loop.serve(h.conn, bytes.Repeat(tt.noise, before/len(tt.noise)+1))
		if left := h.conn.pending.Len(); !h.conn.ready || left < before-len(tt.noise)*(most/tt.cost+1) {
			t.Errorf("%s: %d of %d in one turn", tt.name, (before-left)/len(tt.noise), before/len(tt.noise))
		}
		h.runReady()
		h.finish()
	}
}

// TestWorkHasItsShare: commands that are short, answer with little and take as long as the
// value that is there is don't have a turn for all of them.
func TestWorkHasItsShare(t *testing.T) {
	const size, commands = 1 << 20, 50
	for name, tt := range map[string]struct {
		lines [2]string // in turn
		turns int       // at the least
	}{
		"APPENDQ": {[2]string{`{"APPENDQ":{"key_one":"x"}}`, `{"APPENDQ":{"key_one":"yz"}}`}, commands},
		"nothing": {[2]string{`{"APPENDQ":{"key_one":""}}`, `{"APPENDQ":{"key_one":""}}`}, commands},
		"EXPIREQ": {[2]string{`{"EXPIREQ":{"key_one":100000}}`, `{"EXPIREQ":{"key_one":null}}`}, commands},
		"RNM_KEY": {[2]string{`{"RNM_KEY":[{"key_one":"key_two"}]}`, `{"RNM_KEY":[{"key_two":"key_one"}]}`}, commands},
		"EXPIRES": {[2]string{`{"EXPIREQ":{"key_one":100000,"key_one":null}}`, `{"EXPIREQ":{"key_one":100000,"key_one":null}}`}, 2 * commands},
	} {
		h := newHarness(t, Options{})
		h.startReading()
		h.feed([]byte(`{"SETQ":{"key_one":"` + strings.Repeat("v", size) + "\"}}\n"))
		var input []byte
		for i := range commands {
			input = append(append(input, tt.lines[i%2]...), '\n')
		}
		h.loop.serve(h.conn, bytes.Clone(input))
		turns := 1
		for ; len(h.loop.ready) > 0; turns++ {
			<-h.loop.rerun
			h.loop.runReady()
		}
		if turns < tt.turns {
			t.Errorf("%s: %d turns, want %d", name, turns, tt.turns)
		}
		answers := 0
		if name == "RNM_KEY" {
			answers = commands
		}
		if got := h.finish(); bytes.Count(got, []byte("\n")) != answers {
			t.Errorf("%s: got %.200q, want %d answers", name, got, answers)
		}
	}
	// What doesn't reach a batch's bound is part of what the turn has spent.
	h := newHarness(t, Options{})
	h.startDiscarding()
	h.feed([]byte(`{"SETQ":{"key_one":"` + strings.Repeat("v", size/8) + "\"}}\n"))
	h.feed([]byte("{\"EXPIREQ\":{\"key_one\":100000}}\n"))
	if spent := h.loop.pipe.cost.spent; spent < size/8 || spent > size/4 {
		t.Errorf("an EXPIRE of %d bytes costs %d", size/8, spent)
	}
	h.finish()
}

// TestReadyTime: the loop looks at its sockets when those that wait have had their time,
// and the others have their turns after that, in order.
func TestReadyTime(t *testing.T) {
	h := newHarness(t, Options{})
	now := time.Unix(1e9, 0)
	h.srv.now = func() time.Time { now = now.Add(time.Millisecond); return now }
	h.srv.shares.readyTime = 2500 * time.Microsecond
	h.loop.pipe.shares.turnCost = 1 // a line a turn
	var conns []*conn
	for range 5 {
		c, client := h.newConn()
		t.Cleanup(func() { _ = client.Close() })
		c.pending.Append([]byte("\n\n"))
		h.loop.reschedule(c)
		conns = append(conns, c)
	}
	for _, want := range [][]int{{3, 4, 0, 1, 2}, {1, 2, 3, 4}, {4}, {}} {
		<-h.loop.rerun
		h.loop.runReady()
		var got []int
		for _, c := range h.loop.ready {
			got = append(got, slices.Index(conns, c))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%v wait, want %v", got, want)
		}
	}
	for _, c := range conns {
		socket := int(c.out.sock.(descriptor))
		h.loop.drop(c)
		_ = unix.Close(socket)
	}
	h.startDiscarding()
	h.finish()
}

// TestLongFramesInPieces: long frames and fragments are unmasked as they come, wherever
// they are cut, also when the turn before them goes back.
func TestLongFramesInPieces(t *testing.T) {
	rng := newRand(t)
	for i := range few(60) {
		value := strings.Repeat("long value ", []int{30_000, 1500}[i%2])
		n := 5 << 18 / len(value) // more than a turn's answers
		set := `{"SET":{"long_key":"` + value + `"}}`
		stream := append([]byte(upgradeRequest), textFrame(set)...)
		want := []string{`{"SET_RSP":{"st":1,"k":"long_key"}}`}
		for range 3 {
			stream = append(stream, textFrame(strings.TrimSpace(gets("long_key", n)))...)
			stream = append(stream, textFrame(set)...)
			cut := rng.IntN(len(set))
			stream = append(stream, clientFrame(false, frame.Text, []byte(set[:cut]), testKey)...)
			stream = append(stream, clientFrame(true, frame.Ping, []byte("mid"), testKey)...)
			stream = append(stream, clientFrame(true, frame.Continuation, []byte(set[cut:]), testKey)...)
			for range n {
				want = append(want, `{"GET_RSP":{"st":0,"long_key":"`+value+`"}}`)
			}
			want = append(want, `{"SET_RSP":{"st":2,"k":"long_key"}}`, "pong mid", `{"SET_RSP":{"st":2,"k":"long_key"}}`)
		}
		var pieces [][]byte
		for rest := stream; len(rest) > 0; {
			n := min(1+rng.IntN(1<<rng.IntN(20)), len(rest))
			pieces = append(pieces, rest[:n])
			rest = rest[n:]
		}
		got := serverMessages(t, roundTrip(t, Options{}, pieces...))
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Fatalf("the answers differ: %d, want %d", len(got), len(want))
		}
	}
}

// TestNotUTF8InSteps: a long message that is refused, and not UTF-8 past what it is refused
// for, is closed with 1007, however long that takes.
func TestNotUTF8InSteps(t *testing.T) {
	for _, bad := range []string{"\xff", "\xe2\x82", "\x80"} {
		message := `{"SET":[` + strings.Repeat("é", 1<<20) + bad + strings.Repeat("é", 1<<20)
		got := serverMessages(t, roundTrip(t, Options{}, append([]byte(upgradeRequest), textFrame(message)...)))
		if len(got) != 1 || got[0] != "close 1007: the message is not UTF-8" {
			t.Errorf("%q: got %q", bad, got)
		}
	}
}

// TestBlankLineIsLookedAtOnce: white space that may be a blank line is not looked at again
// with each piece that comes, nor in each turn of a command after it.
func TestBlankLineIsLookedAtOnce(t *testing.T) {
	var f lineFraming
	f.maxBytes = 1 << 20
	src := bytes.Repeat([]byte(" "), 100)
	for n := 10; n <= 50; n += 10 {
		if _, _, _, err := f.next(src[:n], 0); err != frame.ErrIncomplete {
			t.Fatal(err)
		}
		f.done(0)
		src[n-1] = 'x' // it has been looked at
	}
	src[60] = '\n'
	if _, _, kind, err := f.next(src, 0); kind != unitBlank || err != nil {
		t.Fatalf("%v, %v: it was looked at again", kind, err)
	}
	f.done(0)
	src[55] = 'x'
	if _, _, kind, _ := f.next(src, 0); kind != unitBlank {
		t.Fatal("it was looked at again in its next turn")
	}
	f.done(61)
	if _, size, kind, _ := f.next([]byte("x \n"), 0); kind != unitCommand || size != 3 {
		t.Fatal("another line is taken for blank")
	}
}

// TestEnrollOfAGoneClient: a parked connection whose client has left is ended, not lost in
// a goroutine of gnet's.
func TestEnrollOfAGoneClient(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	file, err := server.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	_ = client.(*net.TCPConn).SetLinger(0)
	_ = client.Close() // a reset
	if _, err := server.Read(make([]byte, 1)); err == nil {
		t.Fatal("the client has not left")
	}
	var failed error
	(&gnetLoop{}).enroll(&conn{out: outbox{sock: descriptor(int(file.Fd()))}}, func(err error) { failed = err })
	if failed == nil {
		t.Error("it does not fail")
	}
}

// TestClockIsReadForDeadlines: a short turn reads the clock for the time only once a key has
// had a deadline, or if a command of its own needs it, and then once.
func TestClockIsReadForDeadlines(t *testing.T) {
	h := newHarness(t, Options{})
	h.conn.framing = &lineFraming{maxBytes: 1 << 20}
	reads, now := 0, time.UnixMilli(1_000_000)
	h.loop.pipe.now = func() time.Time { reads++; return now }
	turn := func(want int, commands string) {
		t.Helper()
		reads = 0
		if used, more := h.loop.turn(h.conn, []byte(commands)); used != len(commands) || more {
			t.Fatal("the turn is not over")
		}
		if reads != want {
			t.Errorf("%q reads the clock %d times, want %d", commands, reads, want)
		}
	}
	turn(0, "{\"SET\":{\"key-01\":1}}\n{\"GET\":[\"key-01\"]}\n{\"COUNT\":{}}\n")
	turn(1, "{\"TTL\":[\"key-01\"]}\n{\"TTL\":[\"key-02\"]}\n")
	turn(0, "{\"KEYS\":{}}\n")
	turn(1, "{\"SETEX\":{\"ttl\":5,\"pairs\":{\"key-02\":1}}}\n{\"EXPIRE\":{\"key-01\":5}}\n")
	turn(1, "{\"GET\":[\"key-01\"]}\n{\"GET\":[\"key-02\"]}\n")
	h.loop.pipe.out = h.loop.pipe.out[:0]
	now = now.Add(5 * time.Millisecond)
	turn(1, "{\"GET\":[\"key-01\",\"key-02\"]}\n")
	if got, want := string(h.loop.pipe.out), "{\"GET_RSP\":{\"st\":3,\"k\":\"key-01\"}}\n{\"GET_RSP\":{\"st\":3,\"k\":\"key-02\"}}\n"; got != want {
		t.Errorf("at their deadline: %s", got)
	}
}
