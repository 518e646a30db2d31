package engine_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"

	"keyframe/engine"
	"keyframe/engine/enginetest"
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

// allKinds are those and the ones with deadlines, comparisons and arithmetic.
var allKinds = append([]engine.Kind{
	engine.Set, engine.Set, engine.Expire, engine.Expire, engine.Deadline, engine.Incr, engine.Incr,
	engine.CompareSet, engine.CompareSet, engine.CompareRemove, engine.Take, engine.Swap, engine.Merge, engine.Merge,
}, kinds...)

// colliding16 and colliding64 are keys of 16 and of 64 bytes that collide under xxhash64.
var (
	colliding16 = sync.OnceValue(func() [][]byte { return enginetest.Keys16(5000) })
	colliding64 = sync.OnceValue(func() [][]byte { return enginetest.Keys64(5000) })
)

// randomKey draws from a universe of n keys, up to 5000, of 0 to 300 bytes.
func randomKey(r *rand.Rand, n int) []byte {
	i := r.IntN(n)
	switch {
	case i == 0:
		return nil
	case i%4 == 1:
		return colliding16()[i]
	case i%4 == 3:
		return colliding64()[i]
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

// randomOp adds an operation of any kind, on one of n keys.
func randomOp(r *rand.Rand, b *engine.Batch, n int) {
	addRandom(r, b, allKinds[r.IntN(len(allKinds))], func() []byte { return randomKey(r, n) }, func() []byte { return randomValue(r) })
}

// addRandom adds an operation of a kind, whose deadlines are about b.Now.
func addRandom(r *rand.Rand, b *engine.Batch, kind engine.Kind, key, value func() []byte) {
	form := engine.Form(r.IntN(4))
	args := engine.Args{Delta: int64(r.IntN(200) - 100), Readable: r.IntN(2) == 0}
	if r.IntN(2) == 0 {
		args.Deadline = max(1, b.Now+int64(r.IntN(200)-20))
	}
	if r.IntN(20) == 0 {
		args.Delta = math.MaxInt64 - int64(r.IntN(2))
	}
	integer := func() []byte { return strconv.AppendInt(nil, int64(r.IntN(20)-10), 10) }
	switch kind {
	case engine.Set, engine.Add, engine.Swap:
		if r.IntN(2) == 0 {
			b.AddForm(kind, key(), value(), form)
			return
		}
		b.AddArgs(kind, key(), value(), form, args)
	case engine.Rename:
		b.Add(kind, key(), key())
	case engine.Expire, engine.Deadline, engine.Incr, engine.Take:
		b.AddArgs(kind, key(), nil, form, args)
	case engine.CompareSet, engine.CompareRemove:
		// With what an Incr or another of these may have left, so that some are equal.
		args.Expected, args.ExpectedForm = integer(), form%2
		b.AddArgs(kind, key(), integer(), form%2, args)
	case engine.Merge:
		b.AddArgs(kind, key(), value(), form, engine.Args{})
	default:
		b.Add(kind, key(), nil)
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
				now := r.Int64N(1 << 44)
				e, o := newEngine(t, engine.Options{Shards: 1 << r.IntN(8), Clock: func() int64 { return now }}.WithHash(hash)), oracle{}
				if r.IntN(2) == 0 {
					e.ForceHints()
				}
				var b engine.Batch
				batches := 2000
				if isShort() {
					batches = 300
				}
				for i := range batches {
					b.Now = now
					for range 1 + r.IntN(70) {
						randomOp(r, &b, universe)
					}
					b.ReadLimit = r.IntN(3) * r.IntN(300)
					applyBoth(t, e, o, &b)
					if r.IntN(4) == 0 {
						release := e.HoldSweeper()
						now += r.Int64N(100)
						release()
					}
					if r.IntN(20) == 0 {
						e.Sweep()
					}
					if i%100 == 0 {
						dropDead(e, o, now)
						checkSame(t, e, o)
					}
					if r.IntN(1000) == 0 {
						dropDead(e, o, now)
						if n := e.Clear(); n != len(o) {
							t.Fatalf("Clear says %d, want %d", n, len(o))
						}
						clear(o)
					}
				}
				dropDead(e, o, now)
				checkSame(t, e, o)
			})
		}
	}
}
