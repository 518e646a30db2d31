package engine_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"keyframe/engine"
)

// TestSetProlongs has Sets meet a key with a deadline: another deadline, another time, another
// value. What they share their Args with, and what was written in place, makes no difference:
// the store is as the map is, and what was to die is swept when its time comes, and no sooner.
func TestSetProlongs(t *testing.T) {
	const (
		begin = 1_800_000_000_000
		first = 100_000 // milliseconds until the deadline that the key has
	)
	long := strings.Repeat("v", 300)
	values := map[string]engine.Form{"value": 1, "VALUE": 1, "other": 2, "longer value": 1, "": 1, long: 1}
	// A long key in which a short one's expiry would be, if it had no value: that of a key
	// that can be prolonged.
	expiry := binary.LittleEndian.AppendUint64(nil, uint64(begin+first)<<16)
	trap := strings.Repeat("k", 243) + string(expiry) + "kkkk"
	for _, key := range []string{"key", strings.Repeat("k", 254), trap} {
		for _, had := range []string{"value", "", long} {
			for _, after := range []int64{0, first - tick, first - 1, first, first + 1, 100 * first} {
				for _, now := range []int64{0, first - 1, first} {
					for value, form := range values {
						for _, between := range []bool{false, true} {
							prolong(t, key, had, value, form, begin+first, begin+after, begin+now, between)
						}
					}
				}
			}
		}
	}
}

// prolong has a key get a value and a deadline, and at another time others. If it is to have
// none between, what its record had may still be in its place.
func prolong(t *testing.T, key, had, value string, form engine.Form, first, next, now int64, between bool) {
	s := newSwept(t, engine.Options{Shards: 2})
	defer s.Close()
	begin := s.now
	set := func(keys []string, value string, form engine.Form, deadline int64) {
		t.Helper()
		b := engine.Batch{Now: s.now}
		b.Add(engine.Set, []byte("none"), []byte("no deadline"))
		from := len(b.Ops)
		for _, key := range keys {
			b.AddForm(engine.Set, []byte(key), []byte(value), form)
		}
		b.ShareArgs(from, engine.Args{Deadline: deadline})
		applyBoth(t, s.Engine, s.o, &b)
	}
	set([]string{key, "another"}, had, 1, first)
	if between {
		set([]string{key}, had, 1, 0)
	}
	s.now = now
	deadline := next
	if next == begin {
		deadline = 0
	}
	set([]string{key, "new", key}, value, form, deadline)
	checkSame(t, s.Engine, s.o)
	for _, at := range []int64{next - 1, next + tick, first + tick, 200*first - 199*begin} {
		if at > s.now {
			s.sweep(at - s.now)
		}
	}
	dropDead(s.Engine, s.o, s.now)
	checkSame(t, s.Engine, s.o)
}

// TestShareArgs: of no operations they are nobody's, and those of others stay.
func TestShareArgs(t *testing.T) {
	e := newEngine(t, engine.Options{Shards: 2})
	var b engine.Batch
	b.ShareArgs(0, engine.Args{Deadline: 1})
	b.AddArgs(engine.Incr, []byte("number"), nil, 0, engine.Args{Delta: 5})
	b.ShareArgs(len(b.Ops), engine.Args{Deadline: 2})
	b.Add(engine.Set, []byte("before"), []byte("1"))
	from := len(b.Ops)
	b.Add(engine.Set, []byte("first"), []byte("1"))
	b.Add(engine.Add, []byte("second"), []byte("2"))
	b.ShareArgs(from, engine.Args{Deadline: 3000})
	b.Add(engine.Set, []byte("after"), []byte("1"))
	e.Apply(&b)
	for key, want := range map[string]int64{"number": 0, "before": 0, "first": 3000, "second": 3000, "after": 0} {
		if got := do(e, 1, engine.Deadline, key, "", 0, engine.Args{}); got.status != engine.Found || got.args.Deadline != want {
			t.Errorf("%s: status %d, deadline %d, want %d", key, got.status, got.args.Deadline, want)
		}
	}
}
