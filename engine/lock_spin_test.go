//go:build amd64 && !race

package engine_test

import (
	"testing"
	"time"

	"keyframe/engine"
)

// TestWalksLetOthers: between two steps of a walk a goroutine that waits for the shard is
// given time to take it. A waiter that never takes it shows this: no step is shorter than
// that time, however fast the machine is.
func TestWalksLetOthers(t *testing.T) {
	c := newCompacted(t, 0)
	c.fill(2*engine.ChunkBytes/128, 110)
	end := c.PretendWaiting()
	steps, last, shortest := 0, time.Now(), time.Hour
	c.step = func(int) {
		if c.Compacting() {
			if steps++; steps > 1 {
				shortest = min(shortest, time.Since(last))
			}
			last = time.Now()
		}
	}
	c.Compact()
	end()
	c.step = func(int) {}
	if steps < 5 || shortest < engine.WaiterTime {
		t.Errorf("the shortest of %d steps took %v, a waiter is given %v", steps, shortest, engine.WaiterTime)
	}
}
