package engine_test

import (
	"math/bits"
	"strings"
	"testing"

	"keyframe/engine"
)

// TestRoomOfRecords: a record has the least multiple of 8 bytes, above 512 the least
// multiple of an eighth of the power of two below it.
func TestRoomOfRecords(t *testing.T) {
	const header = 4
	e := newEngine(t, engine.Options{Shards: 1, Simulation: &engine.Simulation{Seed: 1}})
	for n := header; n <= engine.MaxSmall; n++ {
		one(e, engine.Set, "", strings.Repeat("v", n-header))
		step := 8
		if n > 512 {
			step = 1 << (bits.Len(uint(n-1)) - 4)
		}
		if got, want := e.Stats().LiveBytes, (n+step-1)/step*step; got != want {
			t.Fatalf("a record of %d bytes has room for %d, want %d", n, got, want)
		}
		one(e, engine.Remove, "", "")
	}
}

// TestShrunkenValueGivesItsRoom: a value that leaves more than an eighth of its record
// unused, and 8 bytes or more, gets a smaller one.
func TestShrunkenValueGivesItsRoom(t *testing.T) {
	const header, longHeader, largePrefix = 4, 16, 32
	pages := func(n int) int { return n * engine.PageBytes }
	large := pages(10) - longHeader - largePrefix // the record of a value that fills ten pages
	for _, test := range []struct{ from, to, live int }{
		{512, 512, 512},
		{512, 448, 512},
		{512, 447, 448},
		{512, header, 8},
		{1024, 896, 1024},
		{1024, 895, 896},
		{16, 9, 16}, // 7 bytes are not worth a smaller record
		{16, 8, 8},
		{engine.MaxSmall, engine.MaxSmall * 7 / 8, engine.MaxSmall},
		{engine.MaxSmall, engine.MaxSmall*7/8 - 1, engine.MaxSmall * 7 / 8},
	} {
		e := newEngine(t, engine.Options{Shards: 1, Simulation: &engine.Simulation{Seed: 1}})
		one(e, engine.Set, "", strings.Repeat("v", test.from-header))
		one(e, engine.Set, "", strings.Repeat("w", test.to-header))
		if st := e.Stats(); st.LiveBytes != test.live {
			t.Errorf("a record of %d bytes, then %d: %d are live, want %d", test.from, test.to, st.LiveBytes, test.live)
		}
	}
	room := large + longHeader // of which an eighth may be unused
	for _, test := range []struct{ to, live int }{
		{room, pages(10)},
		{room - room/8, pages(10)},
		{room - room/8 - 1, pages(9)},
	} {
		e := newEngine(t, engine.Options{Shards: 1, Simulation: &engine.Simulation{Seed: 1}})
		one(e, engine.Set, "", strings.Repeat("v", large))
		one(e, engine.Set, "", strings.Repeat("w", test.to-longHeader))
		if st := e.Stats(); st.LargeBytes != test.live {
			t.Errorf("a record of ten pages, then %d bytes: %d are live, want %d", test.to, st.LargeBytes, test.live)
		}
	}
}
