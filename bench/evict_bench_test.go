package bench

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"testing"

	"keyframe/engine"
)

// BenchmarkEvict sets keys drawn from a zipf distribution, in batches of 32: without a
// ceiling, and with one that about a tenth of the keys fit under. So with it every Set of a
// key that isn't there evicts another.
func BenchmarkEvict(b *testing.B) {
	const keys, draws, batch = 1_000_000, 1 << 21, 32
	stored := NewKeys(keys)
	sums, sum := make([]float64, keys), 0.0
	for i := range sums {
		sum += 1 / float64(i+1)
		sums[i] = sum
	}
	r := rand.New(rand.NewPCG(1, 1))
	order := r.Perm(keys)
	drawn := make([]uint32, draws)
	for i := range drawn {
		drawn[i] = uint32(order[sort.SearchFloat64s(sums, r.Float64()*sum)])
	}
	requests := stored.Gather(drawn)
	value := Value(make([]byte, ValueBytes), 1)
	for _, c := range []struct {
		ceiling int
		policy  engine.Evict
	}{{0, engine.EvictNone}, {8 << 20, engine.EvictAll}} {
		b.Run(fmt.Sprintf("evict=%v/keys=%d/batch=%d", c.policy, keys, batch), func(b *testing.B) {
			e, err := engine.New(engine.Options{MaxBytes: c.ceiling, Evict: c.policy})
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close()
			var ops engine.Batch
			at, created, refused, done := 0, 0, 0, 0
			run := func() {
				for i := range batch {
					ops.Add(engine.Set, requests.At((at+i)%draws), value)
				}
				at = (at + batch) % draws
				e.Apply(&ops)
				for i := range ops.Ops {
					switch ops.Ops[i].Status {
					case engine.Created:
						created++
					case engine.OutOfMemory:
						refused++
					}
				}
				done += batch
				ops.Reset()
			}
			if c.ceiling == 0 {
				for i := range keys {
					ops.Add(engine.Set, stored.At(i), value)
					if len(ops.Ops) == batch {
						e.Apply(&ops)
						ops.Reset()
					}
				}
				e.Apply(&ops)
				ops.Reset()
			}
			for range draws / batch {
				run()
			}
			at, created, refused, done = 0, 0, 0, 0
			b.ResetTimer()
			for b.Loop() {
				run()
			}
			b.StopTimer()
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/math.Max(float64(done), 1), "ns/key")
			b.ReportMetric(100*float64(created)/float64(done), "miss-%")
			b.ReportMetric(float64(refused), "refused")
			b.ReportMetric(float64(e.Len()), "keys")
		})
	}
}
