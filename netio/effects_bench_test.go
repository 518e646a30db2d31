package netio

import (
	"fmt"
	"testing"

	"keyframe/engine"
)

// BenchmarkAppendEffects is what it takes to have the records of a batch of SETs, 400 keys of
// 16 bytes with values of 20.
func BenchmarkAppendEffects(b *testing.B) {
	e, err := engine.New(engine.Options{RecordEffects: true})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	var batch engine.Batch
	for i := range 400 {
		batch.Add(engine.Set, fmt.Appendf(nil, "key-%012d", i), fmt.Appendf(nil, "value-%014d", i))
	}
	e.Apply(&batch)
	var dst []byte
	for b.Loop() {
		dst = appendEffects(dst[:0], &batch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch.NumEffects()), "ns/effect")
}
