package engine_test

import (
	"testing"

	"keyframe/engine"
)

// TestMemoryGoesBack: the system really gets back what the store no longer needs. The
// pool's own count of its chunks would not show that.
func TestMemoryGoesBack(t *testing.T) {
	e := newEngine(t, engine.Options{Shards: 4, Simulation: &engine.Simulation{Seed: 1}})
	resident := func(when string, least, most int) {
		t.Helper()
		n, err := e.Resident()
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d bytes are resident, %d reserved", when, n, e.Stats().ReservedBytes)
		if n < least || n > most {
			t.Errorf("%s: %d bytes are resident, want %d to %d", when, n, least, most)
		}
		if reserved := e.Stats().ReservedBytes; n > reserved {
			t.Errorf("%s: %d bytes are resident, %d reserved", when, n, reserved)
		}
	}
	const chunk, spare = engine.ChunkBytes, 8 * engine.ChunkBytes
	resident("empty", 0, chunk)
	setAll(t, e, "small", 40*chunk/1000, make([]byte, 1000))
	resident("small values", 40*chunk, 48*chunk)
	setAll(t, e, "whole", 1, make([]byte, 30*chunk))
	resident("a large value", 70*chunk, 80*chunk)
	removeSome(e, "whole", 1, 1)
	resident("without the large value", 40*chunk, 48*chunk)
	removeSome(e, "small", 40*chunk/1000, 8)
	e.Maintain(true)
	resident("a fifth", 8*chunk, 10*chunk+spare)
	e.Clear()
	e.Maintain(true)
	resident("cleared", 0, spare)
}
