//go:build !race

package engine_test

import (
	"fmt"
	"testing"

	"keyframe/engine"
)

// TestAllocs pins what an Apply in steady use allocates: nothing.
func TestAllocs(t *testing.T) {
	const keys = 1000
	e := newEngine(t, engine.Options{RecordEffects: true})
	var fill, b engine.Batch
	var names [keys][]byte
	for i := range names {
		names[i] = fmt.Appendf(nil, "key:%012d", i)
		fill.Add(engine.Set, names[i], []byte("a value of 20 bytes."))
	}
	e.Apply(&fill)
	for i, kind := range []engine.Kind{engine.Set, engine.Add, engine.Get, engine.Contains, engine.Set, engine.Get} {
		if i == 4 {
			e.ForceHints()
		}
		value := []byte("another of 20 bytes.")
		next := 0
		run := func() {
			for range 32 {
				b.Add(kind, names[next%keys], value)
				next++
			}
			e.Apply(&b)
			b.Reset()
		}
		run() // grows the batch to its size
		if n := testing.AllocsPerRun(200, run); n != 0 {
			t.Errorf("kind %d: %v allocations a batch of 32", kind, n)
		}
	}
}

// TestAllocsOfChanges: making and giving up records allocates nothing either, for short
// keys and long ones.
func TestAllocsOfChanges(t *testing.T) {
	for _, length := range []int{16, 40, 300} {
		e := newEngine(t, engine.Options{Shards: 1, RecordEffects: true, Simulation: &engine.Simulation{Seed: 1}})
		from, to := fmt.Appendf(nil, "%0*d", length, 1), fmt.Appendf(nil, "%0*d", length, 2)
		var b engine.Batch
		short, long, large := make([]byte, 10), make([]byte, 200), make([]byte, 50_000)
		run := func() {
			for _, value := range [][]byte{short, long, large, short} {
				b.Add(engine.Set, from, value)
				b.Add(engine.Rename, from, to)
				b.Add(engine.Get, to, nil)
				b.Add(engine.Rename, to, from)
			}
			b.Add(engine.Remove, from, nil)
			b.Add(engine.Add, from, long)
			b.Add(engine.Remove, from, nil)
			e.Apply(&b)
			b.Reset()
		}
		run()
		if n := testing.AllocsPerRun(200, run); n != 0 {
			t.Errorf("keys of %d bytes: %v allocations a batch", length, n)
		}
	}
}
