package engine_test

import (
	"bytes"
	"slices"
	"testing"

	"keyframe/engine"
)

// TestEach: every key is seen once, with its value, form and deadline, large ones too.
func TestEach(t *testing.T) {
	e := newEngine(t, engine.Options{Shards: 4})
	type content struct {
		value    []byte
		form     engine.Form
		deadline int64
	}
	want := map[string]content{}
	r := newRand(t)
	var b engine.Batch
	for i := range 3000 {
		n := r.IntN(60)
		if i%500 == 0 {
			n = 100_000
		}
		key := []byte{byte(i), byte(i >> 8), 'k'}
		c := content{bytes.Repeat([]byte{byte(i)}, n), engine.Form(i % 4), int64(i%3) << 40}
		want[string(key)] = c
		b.AddArgs(engine.Set, key, c.value, c.form, engine.Args{Deadline: c.deadline})
	}
	e.Apply(&b)
	e.Each(func(key, value []byte, form engine.Form, deadline int64) bool {
		c, ok := want[string(key)]
		delete(want, string(key))
		if !ok || !bytes.Equal(c.value, value) || c.form != form || c.deadline != deadline {
			t.Errorf("%x: %d bytes, form %d, deadline %d, want %d, %d, %d; seen before: %v", key, len(value), form, deadline, len(c.value), c.form, c.deadline, !ok)
		}
		return true
	})
	if len(want) != 0 {
		t.Errorf("%d keys were not seen", len(want))
	}
}

// TestSequences: they are the numbers of the last effects.
func TestSequences(t *testing.T) {
	r := newRand(t)
	e := newEngine(t, engine.Options{Shards: 8, RecordEffects: true})
	want := make([]uint64, 8)
	var b engine.Batch
	for range 50 {
		randomOps(r, &b, 40, 100)
		e.Apply(&b)
		for effect := range b.Effects() {
			want[effect.Shard] = effect.Seq
		}
		b.Reset()
	}
	if got := e.Sequences(nil); !slices.Equal(got, want) {
		t.Errorf("%d, want %d", got, want)
	}
}
