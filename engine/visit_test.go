package engine_test

import (
	"bytes"
	"fmt"
	"testing"

	"keyframe/engine"
)

// visitAll goes from one end to the other, does between in between, and returns what was met.
func visitAll(t *testing.T, e *engine.Engine, between func()) map[string]kept {
	t.Helper()
	met := make(map[string]kept)
	for cursor, done := engine.Cursor(0), false; !done; between() {
		before := cursor
		cursor, done = e.Visit(cursor, func(key, value []byte, form engine.Form, deadline int64) {
			if _, twice := met[string(key)]; twice {
				t.Errorf("%.40q is met twice", key)
			}
			met[string(key)] = kept{string(value), form, deadline}
		})
		if !done && cursor <= before {
			t.Fatalf("from %x it goes on at %x", before, cursor)
		}
	}
	return met
}

// TestVisit: every key, with what it has, is met once: short and long ones, keys without a
// value, those that are cut in the middle of a segment, in shards with and without keys.
func TestVisit(t *testing.T) {
	for _, shards := range []int{1, 4, 256} {
		e := newEngine(t, engine.Options{Shards: shards})
		if met := visitAll(t, e, func() {}); len(met) > 0 {
			t.Errorf("an empty store has %d keys", len(met))
		}
		r := newRand(t)
		o := oracle{}
		var b engine.Batch
		for i := range 3000 {
			n := r.IntN(60)
			if i%100 == 0 {
				n = r.IntN(4) * 40_000
			}
			key := fmt.Appendf(nil, "%0*d", 4+i%300, i)
			b.AddArgs(engine.Set, key, bytes.Repeat([]byte{byte(i)}, n), engine.Form(i%4), engine.Args{Deadline: int64(i%3) << 40})
		}
		b.Add(engine.Set, nil, nil)
		applyBoth(t, e, o, &b)
		calls := 0
		met := visitAll(t, e, func() { calls++ })
		for key, k := range o {
			if met[key] != k {
				t.Errorf("%.20q has %.20q, want %.20q", key, fmt.Sprint(met[key]), fmt.Sprint(k))
			}
		}
		if len(met) != len(o) {
			t.Errorf("%d keys, want %d", len(met), len(o))
		}
		if shards == 1 && calls < 5 {
			t.Errorf("%d calls for more than 1 MB: a lock is held for too long", calls)
		}
	}
}

// TestVisitBesideChanges: what is there throughout is met exactly once.
func TestVisitBesideChanges(t *testing.T) {
	r := newRand(t)
	for _, shards := range []int{1, 8} {
		c := newChurned(t, shards)
		for range few(3) {
			met := visitAll(t, c.Engine, func() { c.churn(r) })
			for key := range c.stays {
				if _, ok := met[key]; !ok {
					t.Errorf("%d shards: %s is not met", shards, key)
				}
			}
		}
	}
}

// TestVisitCuts: what a call shows of a segment with long values ends where it is a lot, with
// the keys of that place, and the next call goes on there.
func TestVisitCuts(t *testing.T) {
	const keys, length = 200, 20_000 // far fewer than a segment has
	e := newEngine(t, engine.Options{Shards: 1})
	var b engine.Batch
	for i := range keys {
		b.Add(engine.Set, fmt.Appendf(nil, "%05d", i), bytes.Repeat([]byte{byte(i)}, length))
	}
	e.Apply(&b)
	shown, most := 0, 0
	met := visitAll(t, e, func() {})
	for cursor, done := engine.Cursor(0), false; !done; most = max(most, shown) {
		shown = 0
		cursor, done = e.Visit(cursor, func(_, value []byte, _ engine.Form, _ int64) { shown += len(value) })
	}
	if len(met) != keys || most > engine.VisitBytes+4*length {
		t.Errorf("%d keys, want %d; %d bytes are shown at once, want some %d", len(met), keys, most, engine.VisitBytes)
	}
}

// TestVisitCutsKeys: of a segment with many short keys a call shows about as many as it should.
func TestVisitCutsKeys(t *testing.T) {
	const keys = 20_000
	e := newEngine(t, engine.Options{Shards: 1})
	var b engine.Batch
	for i := range keys {
		b.Add(engine.Set, fmt.Appendf(nil, "%05d", i), nil)
	}
	e.Apply(&b)
	all, most := 0, 0
	for cursor, done := engine.Cursor(0), false; !done; {
		shown := 0
		cursor, done = e.Visit(cursor, func(_, _ []byte, _ engine.Form, _ int64) { shown++ })
		all, most = all+shown, max(most, shown)
	}
	if all != keys || most > engine.VisitKeys*3/2 {
		t.Errorf("%d keys, want %d; %d are shown at once, want some %d", all, keys, most, engine.VisitKeys)
	}
}
