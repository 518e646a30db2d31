package engine_test

import (
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
	const shards = 4 // one alone would find no room to be compacted in
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
