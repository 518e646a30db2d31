package netio

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"keyframe/engine"
)

// TestCursorTexts: a cursor comes back as it was, of every shard, and what differs from it in a
// byte, or comes from another server, is none.
func TestCursorTexts(t *testing.T) {
	h := newHarness(t, Options{})
	defer func() { _ = h.store.Close() }()
	p := h.loop.pipe
	p.cursorKey = 0x9E3779B97F4A7C15
	r := rand.New(rand.NewPCG(1, 2)) // the same ones each time: of some millions one would pass
	other := *p
	other.cursorKey++
	for i := range 300 {
		c := h.store.CursorAt(r.Uint64())
		if i == 0 {
			c = 1
		}
		text := string(p.appendCursor(nil, c))
		if got, ok := p.parseCursor([]byte(text)); !ok || got != c || text != strings.ToLower(text) {
			t.Fatalf("%d is %s, which is %d, %t", c, text, got, ok)
		}
		number := p.cursorNumber(c)
		if got, ok := p.cursorOf(number); !ok || got != c || number >= 1<<53 {
			t.Fatalf("%d is %d, which is %d, %t", c, number, got, ok)
		}
		wrong := []string{"0" + text, " " + text, text + " ", "+" + text, text + "0", text[1:], text[:len(text)-1], text + text, strings.Repeat("0", 1<<16) + text, string(other.appendCursor(nil, c)), strconv.FormatUint(uint64(c), cursorBase)}
		if upper := strings.ToUpper(text); upper != text {
			wrong = append(wrong, upper)
		}
		for at := range text {
			wrong = append(wrong, text[:at]+string("0123456789abcdefghijklmnopqrstuvwxyz"[r.IntN(36)])+text[at+1:])
		}
		for _, w := range wrong {
			if c, ok := p.parseCursor([]byte(w)); ok && w != text {
				t.Errorf("%.30q, made from %s, is %d", w, text, c)
			}
		}
		for _, w := range []uint64{uint64(c), other.cursorNumber(c), number ^ 1<<(i%53), number | 1<<63} {
			if c, ok := p.cursorOf(w); ok && w != number {
				t.Errorf("%d, made from %d, is %d", w, number, c)
			}
		}
	}
	for _, c := range []engine.Cursor{4 << 26, 1<<engine.CursorBits - 1} { // of shards that there aren't
		if got, ok := p.parseCursor(p.appendCursor(nil, c)); ok {
			t.Errorf("the text of %d is %d", c, got)
		}
		if got, ok := p.cursorOf(p.cursorNumber(c)); ok {
			t.Errorf("the number of %d is %d", c, got)
		}
	}
	for _, w := range []string{"", "0", "?", "abc", "ABC", "000abc", "3w5e11264sgsf", "3w5e11264sgsg", "zzzzzzzzzzzzz", "-1"} {
		if c, ok := p.parseCursor([]byte(w)); ok {
			t.Errorf("%q is %d", w, c)
		}
	}
}
