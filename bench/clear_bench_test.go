package bench

import (
	"testing"
	"time"

	"keyframe/engine"
)

// BenchmarkClearSet removes what the ClearSet before has stored and stores as many keys, with
// all shards locked from the first to the last: no operation of anybody else's runs meanwhile.
func BenchmarkClearSet(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		dropFilled()
		e, keys := newEngine(b, engine.Options{}), NewKeys(n)
		defer e.Close()
		value := Value(make([]byte, ValueBytes), 9)
		longest := time.Duration(0)
		for b.Loop() {
			var batch engine.Batch
			for i := range n {
				batch.Add(engine.Set, keys.At(i), value)
			}
			start := time.Now()
			e.ClearSet(&batch, nil)
			longest = max(longest, time.Since(start))
			if e.Len() != n {
				b.Fatalf("%d keys, want %d", e.Len(), n)
			}
		}
		b.ReportMetric(float64(longest.Microseconds()), "longest-us")
		perKey(b, n)
	})
}
