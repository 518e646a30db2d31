package netio

import (
	"bytes"
	"strings"
	"testing"

	"keyframe/netio/frame"
)

// TestNotUTF8FailsFast: a text message is refused with the byte with which it can't become
// UTF-8, whether it comes in one frame or in fragments, of any length, and however it is cut.
// The commands before it are answered.
func TestNotUTF8FailsFast(t *testing.T) {
	long := strings.Repeat("κόσμε", 2000)
	for name, message := range map[string]struct{ before, bad, after string }{
		"Autobahn 6.4.1":     {"κόσμε", "\xf4\x90", "\x80\x80edited"},
		"a lone byte":        {`{"SET":{"abcdef":"`, "\xff", `"}}`},
		"a surrogate":        {"κόσμε", "\xed\xa0", "\x80edited"},
		"an overlong form":   {"", "\xc0", "\xaf"},
		"cut off by another": {"é", "\xc3(", "edited"},
		"after much":         {long, "\xf8", long},
	} {
		text := message.before + message.bad + message.after
		condemned := len(message.before) + len(message.bad)
		var whole []byte
		whole = append(whole, textFrame(`{"COUNT":{}}`)...)
		frames := append(whole[:len(whole):len(whole)], textFrame(text)...)
		at := len(frames) - len(text) + condemned
		checkFailsFast(t, name+", one frame", frames, at)

		// A fragment's end before, within and after the bytes at fault.
		for cut := max(0, len(message.before)-1); cut <= condemned; cut++ {
			first := clientFrame(false, frame.Text, []byte(text[:cut]), testKey)
			ping := clientFrame(true, frame.Ping, []byte("x"), testKey)
			second := clientFrame(true, frame.Continuation, []byte(text[cut:]), testKey)
			frames := bytes.Join([][]byte{whole, first, ping, second}, nil)
			at := len(frames) - len(text) + condemned
			if cut == condemned {
				at = len(whole) + len(first)
			}
			checkFailsFast(t, name+", fragments", frames, at)
		}
	}
}

// checkFailsFast feeds a stream that is condemned with its first at bytes.
func checkFailsFast(t *testing.T, name string, stream []byte, at int) {
	t.Helper()
	for _, size := range []int{1, 3, 1000, at} {
		if size < 1000 && len(stream) > 10_000 {
			continue
		}
		h := newHarness(t, Options{})
		h.startReading()
		h.feed([]byte(upgradeRequest))
		for from := 0; from < at-1; from += size {
			h.feed(stream[from:min(from+size, at-1)])
		}
		if h.conn.phase != phaseOpen {
			t.Fatalf("%s, %d bytes at a time: it is refused before the byte at fault", name, size)
		}
		h.feed(stream[at-1 : at])
		if h.conn.phase != phaseLinger {
			t.Fatalf("%s, %d bytes at a time: it is not refused with byte %d of %d", name, size, at, len(stream))
		}
		n := h.loop.count.Errors[ErrorInvalidText]
		queries := h.loop.count.Queries
		got := serverMessages(t, h.finish())
		last := len(got) - 1
		if got[0] != `{"COUNT_RSP":{"st":0,"cnt":0}}` || got[last] != "close 1007: the message is not UTF-8" || n != 1 || queries != 2 {
			t.Fatalf("%s, %d bytes at a time: %q, %d counted, %d queries", name, size, got, n, queries)
		}
	}
}

// TestUTF8CutAnywhere: texts of all kinds of characters are served however they are cut, also
// by fragments, and one message's end leaves nothing to the next.
func TestUTF8CutAnywhere(t *testing.T) {
	key := "aé\u0800😀\U0010ffff\u007f"
	set := `{"SET":{"` + key + `":"` + key + `"}}`
	stream := []byte(upgradeRequest)
	for cut := range len(set) {
		stream = append(stream, clientFrame(false, frame.Text, []byte(set[:cut]), testKey)...)
		stream = append(stream, clientFrame(true, frame.Continuation, []byte(set[cut:]), testKey)...)
		stream = append(stream, textFrame(set)...)
		stream = append(stream, clientFrame(true, frame.Binary, []byte(set), testKey)...)
	}
	for _, size := range []int{1, 2, 3, 5, 7, 11, 64, 1000} {
		var pieces [][]byte
		for rest := stream; len(rest) > 0; rest = rest[min(size, len(rest)):] {
			pieces = append(pieces, rest[:min(size, len(rest))])
		}
		got := serverMessages(t, roundTrip(t, Options{}, pieces...))
		if len(got) != 3*len(set) {
			t.Fatalf("%d bytes at a time: %d answers of %d, the last %q", size, len(got), 3*len(set), got[len(got)-1])
		}
		for i, answer := range got {
			if !strings.HasPrefix(answer, `{"SET_RSP":{"st":`) {
				t.Fatalf("%d bytes at a time: answer %d is %s", size, i, answer)
			}
		}
	}
}

// TestUnmaskedOnceAcrossTurns: a frame that has not come whole is unmasked as far as it has;
// a turn that ends in the middle of the batch before it has the next one find it so.
func TestUnmaskedOnceAcrossTurns(t *testing.T) {
	h := newHarness(t, Options{})
	h.startReading()
	h.loop.pipe.shares.turnOutputBytes = 1000
	h.feed([]byte(upgradeRequest))
	h.feed(textFrame(`{"SET":{"unmasked":"` + strings.Repeat("v", 600) + `"}}`))
	gets := bytes.Repeat(textFrame(`{"GET":["unmasked"]}`), 5)
	last := textFrame(`{"SET":{"cut_in_two":1}}`)
	h.feed(append(gets, last[:20]...))
	h.feed(last[20:])
	got := serverMessages(t, h.finish())
	if len(got) != 7 || got[6] != `{"SET_RSP":{"st":1,"k":"cut_in_two"}}` {
		t.Errorf("%d answers, the last %.100q", len(got), got[len(got)-1])
	}
}
