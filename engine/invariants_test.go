//go:build invariants

package engine_test

import (
	"fmt"
	"strings"
	"testing"

	"keyframe/engine"
)

// TestBatchesAreSampled: in this build batches notice a fault of a shard without a call to
// CheckInvariants, within some operations for each key.
func TestBatchesAreSampled(t *testing.T) {
	const shards, keys = 4, 1000
	e := newEngine(t, engine.Options{Shards: shards, Simulation: &engine.Simulation{Seed: 1}})
	setAll(t, e, "key", keys, []byte("value"))
	e.Miscount(1)
	defer func() {
		if got := fmt.Sprint(recover()); !strings.Contains(got, "segments") {
			t.Errorf("the batches end with %s", got)
		}
		e.Miscount(-1)
	}()
	var b engine.Batch
	for range 10 * (keys + shards*256) {
		b.Add(engine.Contains, []byte("any key"), nil)
		e.Apply(&b)
		b.Reset()
	}
}
