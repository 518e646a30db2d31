package engine_test

import (
	"fmt"
	"testing"

	"keyframe/engine"
)

// grown is a store whose segments pair from a number of keys a shard on.
func grown(t *testing.T, shards, pairedFrom int, hash func([]byte) uint64) *engine.Engine {
	e := newEngine(t, engine.Options{Shards: shards, Simulation: &engine.Simulation{Seed: 1}}.WithHash(hash))
	e.PairFrom(pairedFrom)
	return e
}

// indexOverDoubling is the index of a store in bytes a key, on average while it grows from n
// keys to twice as many.
func indexOverDoubling(t *testing.T, e *engine.Engine, n int) float64 {
	const steps = 24
	setAll(t, e, "key", n, nil)
	sum := 0.0
	for i := range steps {
		setAll(t, e, fmt.Sprint("key", i, "-"), n/steps, nil)
		st := e.Stats()
		sum += float64(st.IndexBytes) / float64(st.Keys)
	}
	if err := e.CheckInvariants(); err != nil {
		t.Error(err)
	}
	return sum / steps
}

// TestPairsSpareIndex: growing by a half and a third has fewer slots empty than doubling.
func TestPairsSpareIndex(t *testing.T) {
	const n = 4 * 12_000 // the shards' directories begin with 8, 11, 14 and 9 entries
	pairs, alone := indexOverDoubling(t, grown(t, 4, 1, nil), n), indexOverDoubling(t, grown(t, 4, 1<<40, nil), n)
	t.Logf("%.1f bytes a key in pairs, %.1f without", pairs, alone)
	if pairs > 14.2 || pairs > alone*0.9 {
		t.Errorf("%.1f bytes of index a key in pairs, %.1f without", pairs, alone)
	}
}

// TestPairsOfUnlikeSegments: a pair that has its keys in the middle, where a third segment
// would have to take more than it has room for, splits as if each were alone.
func TestPairsOfUnlikeSegments(t *testing.T) {
	hash := func(key []byte) uint64 {
		var n uint64
		fmt.Sscan(string(key[1:]), &n)
		h := n * 0x9E37_79B9_7F4A_7C15 >> 20
		directory := h >> 20 % (1 << 19)
		if key[0] == 'm' {
			directory = (1<<19 + directory) / 12 // of a pair's 12 of 48 entries those from 4 to 8
		}
		return directory<<15 | h%(1<<15)
	}
	e, o := grown(t, 1, 1, hash), oracle{}
	var b engine.Batch
	each := func(kind engine.Kind, prefix string, from, n int) {
		for i := from; i < n; i++ {
			b.Add(kind, fmt.Appendf(nil, "%s%d", prefix, i), fmt.Appendf(nil, "%d", i))
		}
		applyBoth(t, e, o, &b)
		if err := e.CheckAsIs(); err != nil {
			t.Fatal(err)
		}
	}
	each(engine.Set, "u", 0, 5500)
	if got := e.DirSize(); got != 8 {
		t.Fatalf("%d entries, want 8: one for each segment, before they pair", got)
	}
	each(engine.Remove, "u", 500, 5500)
	each(engine.Set, "m", 0, 2000)
	if got := e.DirSize(); got < 48 {
		t.Fatalf("%d entries, want 48: segments that pair", got)
	}
	each(engine.Set, "m", 2000, 6000)
	each(engine.Set, "u", 0, 30_000)
	checkSame(t, e, o)
	if st := e.Stats(); st.Passed > 0.5 || st.IndexBytes > 22*st.Keys {
		t.Errorf("keys lie %.2f groups from their own, %d bytes of index for %d", st.Passed, st.IndexBytes, st.Keys)
	}
}

// TestPairsGoAndComeBack: removing merges what has grown in pairs, and what is merged grows.
func TestPairsGoAndComeBack(t *testing.T) {
	e := grown(t, 1, 1, nil)
	const n = 40_000
	setAll(t, e, "key", n, nil)
	full := e.Stats().IndexBytes
	for range 2 {
		removeSome(e, "key", n, 9)
		if err := e.CheckInvariants(); err != nil {
			t.Fatal(err)
		}
		if st := e.Stats(); st.IndexBytes > full/4 {
			t.Errorf("%d bytes of index for %d keys, %d for %d", st.IndexBytes, st.Keys, full, n)
		}
		setAll(t, e, "key", n, nil)
		if st := e.Stats(); st.IndexBytes > full*3/2 {
			t.Errorf("%d bytes of index, %d at first", st.IndexBytes, full)
		}
	}
	e.Clear()
	setAll(t, e, "key", n, nil)
	if err := e.CheckInvariants(); err != nil {
		t.Error(err)
	}
}

// TestMadeToSizeHasLessIndex: a store that is made for its keys takes what they need.
func TestMadeToSizeHasLessIndex(t *testing.T) {
	for _, keys := range []int{20_000, 60_000, 120_000} {
		e := newEngine(t, engine.Options{Shards: 1, InitialCapacity: keys, Simulation: &engine.Simulation{Seed: 1}})
		setAll(t, e, "key", keys, nil)
		if st := e.Stats(); st.IndexBytes > keys*13 {
			t.Errorf("%d bytes of index for %d keys", st.IndexBytes, keys)
		}
	}
	for keys := 42; keys <= 42<<4; keys *= 2 { // three quarters of a segment's slots
		var bytes [2]int
		for i := range bytes {
			e := newEngine(t, engine.Options{Shards: 1, InitialCapacity: keys - i, Simulation: &engine.Simulation{Seed: 1}})
			bytes[i] = e.Stats().IndexBytes
		}
		if bytes[0] != bytes[1] {
			t.Errorf("%d bytes of index for %d keys, and %d for one less", bytes[0], keys, bytes[1])
		}
	}
}
