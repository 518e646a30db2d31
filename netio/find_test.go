package netio

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// TestFindIsChargedForValues: a turn of a FIND looks at no more bytes of values than its share
// is worth, whether they are found or not, and what it looks for outlives the payload.
func TestFindIsChargedForValues(t *testing.T) {
	const keys, size = 200, 32 << 10
	for _, find := range []string{`"==":["x",7],"path":"/~1"`, `"!=":[]`} {
		h := newHarness(t, Options{AnyValues: true})
		h.startReading()
		for i := range keys {
			h.feed(fmt.Appendf(nil, "{\"SETQ\":{\"large:%d\":{\"/\":[\"x\",%d],\"text\":\"%s\"}}}\n", i, i, strings.Repeat("x", size)))
		}
		lent := []byte(`{"FIND":{"prefix":"large:",` + find + "}}\n")
		h.loop.serve(h.conn, lent)
		copy(lent, bytes.Repeat([]byte{0xCC}, len(lent)))
		turns := 1
		for ; len(h.loop.ready) > 0; turns++ {
			if n := h.loop.pipe.cost.spent; n > 2*turnCost {
				t.Fatalf("%s: a turn has cost %d", find, n)
			}
			<-h.loop.rerun
			h.loop.runReady()
		}
		// A turn goes on for its share, and then ends with its step.
		if least := keys * size / (turnCost<<byteShift + 2*scanBytes); turns < least {
			t.Errorf("%s: %d turns for %d KiB, want %d", find, turns, keys*size>>10, least)
		}
		out := string(h.finish())
		if n := strings.Count(out, `"large:`); n != map[bool]int{true: keys, false: 1}[find[1] == '!'] || find[1] == '=' && !strings.Contains(out, `["large:7"]`) {
			t.Errorf("%s finds %d keys: %.100s", find, n, out)
		}
	}
}
