package engine_test

import (
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
