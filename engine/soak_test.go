package engine_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"keyframe/engine"
)

// soakFlag is how long TestSoak runs; `make soak` gives it minutes.
var soakFlag = flag.Duration("soak", 0, "how long TestSoak churns; 0 skips it")

// TestSoak churns stores by several goroutines, each with keys and an oracle of
// its own. The lengths of the values drift, and the number of keys swells and
// shrinks, so that memory is always of the wrong kind. After each round it
// compares the content, checks the invariants and bounds the memory.
func TestSoak(t *testing.T) {
	if *soakFlag == 0 {
		t.Skip("no -soak")
	}
	const workers = 3
	seed := newRand(t).Uint64()
	e := newEngine(t, engine.Options{})
	oracles := [workers]oracle{{}, {}, {}}
	for round, end := uint64(0), time.Now().Add(*soakFlag); time.Now().Before(end); round++ {
		var wg sync.WaitGroup
		for g := range workers {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(seed, round*workers+uint64(g)))
				soakRound(t, e, oracles[g], g, round, 3000, 1000+r.IntN(300_000), r)
			})
		}
		wg.Wait()
		all := oracle{}
		for _, o := range oracles {
			for k, v := range o {
				all[k] = v
			}
		}
		checkSame(t, e, all)
		st := e.Stats()
		if over := st.BlockBytes + st.IndexBytes - st.LiveBytes*13/10; over > 48<<20 {
			t.Errorf("round %d: %d bytes live take %d and %d of index", round, st.LiveBytes, st.BlockBytes, st.IndexBytes)
		}
		t.Logf("round %d: %+v", round, st)
		if round%10 == 9 {
			e.Clear()
			for _, o := range oracles {
				clear(o)
			}
		}
		if t.Failed() {
			return
		}
	}
}

// TestChurn is TestSoak in a few seconds and one goroutine, so that a seed repeats it. The
// store is small, and what other goroutines would do to it is done between the steps of
// maintenance.
func TestChurn(t *testing.T) {
	oneWriter(t)
	r := newRand(t)
	var e *engine.Engine
	o := oracle{}
	round, steps := uint64(0), 0
	e = newEngine(t, engine.Options{Shards: 4, Simulation: &engine.Simulation{
		Seed: r.Uint64(),
		Step: func() {
			if steps++; r.IntN(4) == 0 {
				soakRound(t, e, o, 0, round, 1, 20_000, r)
			}
		},
	}})
	for ; round < 30; round++ {
		for range 10 {
			soakRound(t, e, o, 0, round, 20, 500+int(round)%10*2000, r)
			e.Maintain(false)
		}
		checkSame(t, e, o)
		st := e.Stats()
		if over := st.BlockBytes + st.IndexBytes - st.LiveBytes*13/10; over > 1<<20 {
			t.Errorf("round %d: %d bytes live take %d and %d of index", round, st.LiveBytes, st.BlockBytes, st.IndexBytes)
		}
		if round%10 == 9 {
			e.Clear()
			clear(o)
		}
	}
	t.Logf("%d steps of maintenance, %d compactions", steps, e.Stats().Compactions)
	if n := e.Stats().Compactions; steps < 100 || n < 4 { // 8 and more were seen with small chunks, 36 and more without
		t.Errorf("%d steps of maintenance, %d compactions", steps, n)
	}
}

// soakRound applies batches on keys of worker g.
func soakRound(t *testing.T, e *engine.Engine, o oracle, g int, round uint64, batches, universe int, r *rand.Rand) {
	length := 1 + int(round*29%400)
	filling := round%3 != 2
	var b engine.Batch
	for range batches {
		for range 1 + r.IntN(100) {
			key := fmt.Appendf(nil, "%d:%0*d", g, r.IntN(20), r.IntN(universe))
			kind := kinds[r.IntN(len(kinds))]
			if !filling && r.IntN(2) == 0 {
				kind = engine.Remove
			}
			switch kind {
			case engine.Set, engine.Add:
				n := r.IntN(length)
				if r.IntN(5000) == 0 {
					n = r.IntN(3 << 20)
				}
				b.Add(kind, key, bytes.Repeat([]byte{byte(r.Uint32())}, n))
			case engine.Rename:
				b.Add(kind, key, fmt.Appendf(nil, "%d:%0*d", g, r.IntN(20), r.IntN(universe)))
			default:
				b.Add(kind, key, nil)
			}
		}
		applyBoth(t, e, o, &b)
	}
}
