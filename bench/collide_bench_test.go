package bench

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"keyframe/engine"
	"keyframe/engine/enginetest"
)

// floodKeys is how many keys BenchmarkCollidingKeys has.
const floodKeys = 100_000

// BenchmarkCollidingKeys inserts, reads and removes keys that have the same xxhash64, and as
// many random ones of their length, in batches of 32: what a flood of the first costs.
func BenchmarkCollidingKeys(b *testing.B) {
	for _, length := range []int{16, 64} {
		colliding := enginetest.Keys16
		if length == 64 {
			colliding = enginetest.Keys64
		}
		for _, keys := range []struct {
			name string
			keys [][]byte
		}{{"random", randomKeys(floodKeys, length)}, {"colliding", colliding(floodKeys)}} {
			b.Run(fmt.Sprintf("bytes=%d/keys=%s", length, keys.name), func(b *testing.B) { benchFlood(b, keys.keys) })
		}
	}
}

func randomKeys(n, length int) [][]byte {
	r := rand.New(rand.NewPCG(1, 1))
	keys := make([][]byte, n)
	for i := range keys {
		keys[i] = make([]byte, length)
		for j := range keys[i] {
			keys[i][j] = byte(r.Uint32())
		}
	}
	return keys
}

func benchFlood(b *testing.B, keys [][]byte) {
	steps := []struct {
		name string
		kind engine.Kind
		want engine.Status
	}{{"insert", engine.Set, engine.Created}, {"read", engine.Get, engine.Found}, {"remove", engine.Remove, engine.Removed}}
	for _, step := range steps {
		b.Run("op="+step.name, func(b *testing.B) {
			var batch engine.Batch
			value := Value(make([]byte, ValueBytes), 9)
			run := func(e *engine.Engine, kind engine.Kind, want engine.Status) {
				for i := 0; i < len(keys); {
					for range min(32, len(keys)-i) {
						batch.Add(kind, keys[i], value)
						i++
					}
					e.Apply(&batch)
					if got := batch.Ops[0].Status; got != want {
						b.Fatalf("status %d, want %d", got, want)
					}
					batch.Reset()
				}
			}
			for range b.N {
				b.StopTimer()
				e := newEngine(b, engine.Options{})
				for _, before := range steps {
					if before.name == step.name {
						break
					}
					run(e, before.kind, before.want)
				}
				b.StartTimer()
				run(e, step.kind, step.want)
				b.StopTimer()
				_ = e.Close()
				b.StartTimer()
			}
			perKey(b, len(keys))
		})
	}
}
