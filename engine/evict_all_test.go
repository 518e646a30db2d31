package engine_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"keyframe/engine"
)

// TestEvictEverywhere: the hand passes no slot by. Of keys that fill the store, and are not asked
// for again, none stays for ever.
func TestEvictEverywhere(t *testing.T) {
	e := newEngine(t, engine.Options{Shards: 1, MaxBytes: 4 << 20, Evict: engine.EvictAll})
	var b engine.Batch
	from := fillToEvict(e, &b, 100, 100)
	for i := from; i < from+4*e.Len(); i++ {
		set(e, &b, i, 100, 0)
		set(e, &b, i, 100, 0) // now it is a main key
	}
	left := 0
	e.Range(func(key, _ []byte) bool { // which asks for none
		if i, _ := strconv.Atoi(string(key[4:])); i < from {
			left++
		}
		return true
	})
	if left > 0 {
		t.Errorf("%d of the first %d keys are there", left, from)
	}
}

// TestEvictGhostGrows: where short values have taken the place of long ones, as many keys that
// were evicted are remembered as there are keys now.
func TestEvictGhostGrows(t *testing.T) {
	if isShort() {
		t.Skip("half a million inserts")
	}
	const shards = 16 // a large one may find no room to be compacted in: its index can't grow then, and keys make room near them
	e := newEngine(t, engine.Options{Shards: shards, MaxBytes: 16 << 20, Evict: engine.EvictAll})
	var b engine.Batch
	from := fillToEvict(e, &b, 1000, 100)
	long, room := e.Len(), e.GhostRoom()
	for i := from; i < from+40*long; i++ {
		set(e, &b, i, 50, 0)
		set(e, &b, i, 50, 0)
		if i%2000 == 0 {
			e.Settle() // or the maintainer has no time on one processor
		}
	}
	if keys := e.Len(); keys < 4*long || e.GhostRoom() < keys/shards/2 {
		t.Errorf("%d keys were there, and room for %d in a shard; now %d and %d", long, room, keys, e.GhostRoom())
	}
}

// TestGhost: a bucket remembers the fingerprints of the five keys that were evicted last, and
// forgets one that it is asked for.
func TestGhost(t *testing.T) {
	r := newRand(t)
	g := engine.NewGhost()
	var kept []uint64 // the newest first
	keys := make([]uint64, 12)
	for i := range rounds(100_000) {
		if i%500 == 0 {
			for k := range keys {
				// Prints that differ in their lowest bits are those that a match may take for another.
				for keys[k] = r.Uint64(); g.Print(keys[k]) > 16; {
					keys[k] = r.Uint64()
				}
			}
		}
		key := keys[r.IntN(len(keys))]
		print := g.Print(key)
		if r.IntN(2) == 0 {
			g.Remember(key)
			kept = append([]uint64{print}, kept...)
			kept = kept[:min(len(kept), 5)]
			continue
		}
		at := slices.Index(kept, print)
		if got := g.Recall(key); got != (at >= 0) {
			t.Fatalf("round %d: print %#x recalled: %v, of %#x", i, print, got, kept)
		}
		if at >= 0 {
			kept = slices.Delete(kept, at, at+1)
		}
	}
}

// TestPull: an evicted key's slot is filled by one that has gone past its group, and so on, until
// none in the groups after the empty one has, or enough have been moved. One key stays where it is;
// all counts are right.
func TestPull(t *testing.T) {
	const full, half = 880, 440 // of 896 slots
	r := newRand(t)
	s := engine.NewSegment()
	var keys []uint64
	there := map[uint64]bool{}
	for range rounds(10) {
		for len(keys) < full {
			if key := r.Uint64N(1 << 26); !there[key] {
				keys, there[key] = append(keys, key), true
				s.Place(key)
			}
		}
		for len(keys) > half {
			i := r.IntN(len(keys) - 1)
			gone, kept := keys[i], keys[len(keys)-1]
			keys = slices.Delete(keys, i, i+1)
			delete(there, gone)
			before := s.Keys()
			s.Evict(gone, kept)
			if err := checkPulled(s, before, there, kept); err != nil {
				t.Fatalf("%d keys: %v", len(keys), err)
			}
		}
	}
}

func checkPulled(s *engine.Segment, before [][]uint64, keys map[uint64]bool, kept uint64) error {
	const groups = 128
	after, n, moved := s.Keys(), 0, 0
	past := make([][]uint64, groups) // the keys that have gone past each group
	for g, in := range after {
		n += len(in)
		for _, key := range in {
			if !keys[key] {
				return fmt.Errorf("group %d has key %d", g, key)
			}
			if !slices.Contains(before[g], key) {
				moved++
			}
			for at := int(key % groups); at != g; at = (at + 1) % groups {
				past[at] = append(past[at], key)
			}
		}
		if slices.Contains(in, kept) != slices.Contains(before[g], kept) {
			return fmt.Errorf("key %d, which was to stay, has come to or left group %d", kept, g)
		}
	}
	if n != len(keys) || moved > engine.MaxPulled {
		return fmt.Errorf("%d are left, %d were moved", n, moved)
	}
	for g, in := range after {
		if n := s.Passed(uint64(g)); n != uint64(len(past[g])) {
			return fmt.Errorf("group %d counts %d keys that pass, there are %d", g, n, len(past[g]))
		}
		for d := 1; moved < engine.MaxPulled && len(in) < len(before[g]) && d <= engine.PulledGroups; d++ {
			for _, key := range after[(g+d)%groups] {
				if key != kept && slices.Contains(past[g], key) {
					return fmt.Errorf("group %d has an empty slot, and key %d has gone past it by %d", g, key, d)
				}
			}
		}
	}
	return nil
}
