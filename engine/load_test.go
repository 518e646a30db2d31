package engine_test

import (
	"testing"

	"keyframe/engine"
)

// TestExceed: a store that is loaded may take more than its ceiling, once; it comes back to it
// when no more is in use, and then refuses as before.
func TestExceed(t *testing.T) {
	const ceiling = 8 << 20
	s := newRoomStore(t, engine.Options{MaxBytes: ceiling, Simulation: &engine.Simulation{Seed: 1}}, 1)
	before := s.fill(1000)
	if !s.EndLoad() {
		t.Fatal("a store that hasn't exceeded its ceiling is above it")
	}
	if s.fill(1000) > 0 {
		t.Fatal("there is room without MakeRoom")
	}
	s.MakeRoom()
	more := s.fill(1000)
	s.MakeRoom()
	if again := s.fill(1000); more < before/8 || again > more/4 {
		t.Fatalf("%d, then %d and %d more", before, more, again)
	}
	if s.EndLoad() {
		t.Fatalf("%d keys where there was room for %d", s.Len(), before)
	}
	r, others := newRand(t), len(s.sizes)
	s.removeFrom(r, 0, 40)
	s.fill(500)
	s.MakeRoom()
	if s.fill(500) < before/8 {
		t.Error("what is free was not gathered")
	}
	s.removeFrom(r, others, 100)
	if !s.EndLoad() {
		t.Fatalf("%d keys, of %d for which there was room, are too many", s.Len(), before)
	}
	if n := s.fill(1000); s.Len() > before+before/20 {
		t.Errorf("%d keys now, %d of them new; there was room for %d", s.Len(), n, before)
	}
	s.rest()
	if st := s.Stats(); st.ReservedBytes > ceiling {
		t.Errorf("%d bytes at rest", st.ReservedBytes)
	}
	if err := s.CheckAsIs(); err != nil {
		t.Error(err)
	}
}

// TestEndLoadEvicts: what may be evicted makes room for what may not when the loading ends.
func TestEndLoadEvicts(t *testing.T) {
	e := newEngine(t, engine.Options{Shards: 32, MaxBytes: 32 << 20, Evict: engine.EvictVolatile, RecordEffects: true})
	var b engine.Batch
	lasting := 0
	for set(e, &b, lasting, 1000, 0) != engine.OutOfMemory {
		lasting++
	}
	e.MakeRoom()
	volatile := lasting / 5
	for i := range volatile {
		set(e, &b, lasting+i, 1000, 1<<60)
	}
	before := e.Stats()
	if !e.EndLoad() {
		t.Fatal("they were not evicted")
	}
	after := e.Stats()
	if evicted := after.Evicted - before.Evicted; evicted < 100 || after.Keys != before.Keys-evicted {
		t.Errorf("%d of %d keys were evicted, of which %d must stay; %d are left", evicted, before.Keys, lasting, after.Keys)
	}
	for i := range lasting {
		if b.Reset(); set(e, &b, i, 1000, 0) != engine.Updated {
			t.Fatalf("key %d is gone", i)
		}
	}
	if err := e.CheckInvariants(); err != nil {
		t.Error(err)
	}
}

// TestEvict: each removal counts as an eviction, of a key that is there and of another.
func TestEvict(t *testing.T) {
	e := newEngine(t, engine.Options{Shards: 4, MaxBytes: 8 << 20, Evict: engine.EvictAll})
	var b engine.Batch
	set(e, &b, 1, 10, 0)
	b.Reset()
	b.Add(engine.Remove, []byte("key:1"), nil)
	b.Add(engine.Remove, []byte("key:2"), nil)
	e.Evict(&b)
	if st := e.Stats(); st.Keys != 0 || st.Evicted != 2 {
		t.Errorf("%d keys, %d evicted", st.Keys, st.Evicted)
	}
}
