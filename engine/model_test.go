package engine_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"keyframe/engine"
)

// hashes are what every model test runs under: the real one, and two that put
// all keys into one or two places.
var hashes = map[string]func([]byte) uint64{
	"seeded":   nil,
	"constant": func([]byte) uint64 { return 0x9E3779B97F4A7C15 },
	"zero":     func([]byte) uint64 { return 0 },
	"two-value": func(key []byte) uint64 {
		if len(key)%2 == 0 {
			return 0x0123456789ABCDEF
		}
		return 0xFEDCBA9876543210
	},
}

// kinds are weighted so that the store fills, and drains again.
var kinds = []engine.Kind{
	engine.Set, engine.Set, engine.Set, engine.Set, engine.Set, engine.Add, engine.Get, engine.Get, engine.Get,
	engine.Remove, engine.Remove, engine.Contains, engine.Rename,
}

// randomKey draws from a universe of n keys of 0 to 300 bytes.
func randomKey(r *rand.Rand, n int) []byte {
	i := r.IntN(n)
	switch {
	case i == 0:
		return nil
	case i%50 == 0:
		return fmt.Appendf(nil, "%0300d", i)
	}
	return fmt.Appendf(nil, "%0*d", 1+i%30, i)
}

// randomValue is mostly short, sometimes longer than a page, rarely huge.
func randomValue(r *rand.Rand) []byte {
	n := r.IntN(64)
	switch r.IntN(200) {
	case 0:
		n = r.IntN(200_000)
	case 1, 2, 3, 4, 5:
		n = r.IntN(5000)
	}
	v := make([]byte, n)
	for i := range v {
		v[i] = byte(n + i)
	}
	if n > 0 {
		v[r.IntN(n)] = byte(r.Uint32())
	}
	return v
}

func randomOp(r *rand.Rand, b *engine.Batch, universe int) {
	kind, key := kinds[r.IntN(len(kinds))], randomKey(r, universe)
	switch kind {
	case engine.Set, engine.Add:
		b.Add(kind, key, randomValue(r))
	case engine.Rename:
		b.Add(kind, key, randomKey(r, universe))
	default:
		b.Add(kind, key, nil)
	}
}

func TestModel(t *testing.T) {
	for name, hash := range hashes {
		for _, universe := range []int{10, 300, 5000} {
			if hash != nil && universe > 300 {
				continue // chains of thousands: slow, and they find nothing new
			}
			t.Run(fmt.Sprintf("%s/%d", name, universe), func(t *testing.T) {
				r := newRand(t)
				e, o := newEngine(t, engine.Options{Shards: 1 << r.IntN(8)}.WithHash(hash)), oracle{}
				if r.IntN(2) == 0 {
					e.ForceHints()
				}
				var b engine.Batch
				batches := 2000
				if testing.Short() {
					batches = 300
				}
				for i := range batches {
					for range 1 + r.IntN(70) {
						randomOp(r, &b, universe)
					}
					b.ReadLimit = r.IntN(3) * r.IntN(300)
					applyBoth(t, e, o, &b)
					if i%100 == 0 {
						checkSame(t, e, o)
					}
					if r.IntN(1000) == 0 {
						if n := e.Clear(); n != len(o) {
							t.Fatalf("Clear says %d, want %d", n, len(o))
						}
						clear(o)
					}
				}
				checkSame(t, e, o)
			})
		}
	}
}
