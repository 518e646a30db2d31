package engine_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"keyframe/engine"
)

// simulate runs batches, Clears and rounds of maintenance on a simulated store, all of
// them drawn from a seed, some in the middle of maintenance and some without memory. It
// returns what the store did: every status, the order in which Range sees the keys, and
// the figures.
func simulate(t *testing.T, seed uint64, batches int) (seen string, st engine.Stats) {
	r := rand.New(rand.NewPCG(seed, 0))
	refuse, quiet, inside := false, false, 0
	o, now := oracle{}, int64(1000)
	var e *engine.Engine
	var out bytes.Buffer
	// Half of the keys collide under xxhash64.
	colliding := append(slices.Clone(colliding16()[:2000]), colliding64()[:2000]...)
	key := func() []byte {
		i := r.IntN(8000)
		if i < len(colliding) {
			return colliding[i]
		}
		return fmt.Appendf(nil, "key%d", i)
	}
	batch := func(ops int) {
		b := engine.Batch{Now: now}
		length := 1 + r.IntN(4000)
		value := func() []byte { return bytes.Repeat([]byte{byte(r.Uint32())}, r.IntN(length)) }
		for range ops {
			addRandom(r, &b, allKinds[r.IntN(len(allKinds))], key, value)
		}
		asked, args := slices.Clone(b.Ops), make([]engine.Args, len(b.Ops))
		for i := range asked {
			args[i] = argsOf(&b, i)
		}
		e.Apply(&b)
		for i, op := range b.Ops {
			fmt.Fprintf(&out, "%d ", op.Status)
			if op.Status != engine.OutOfMemory { // or nothing has changed
				compare(t, &b, i, o.apply(asked[i], args[i], now))
			}
		}
		now += r.Int64N(50)
	}
	e = newEngine(t, engine.Options{Shards: 8, MaxBytes: 12 << 20, Clock: func() int64 { return now }, Simulation: &engine.Simulation{
		Seed:   r.Uint64(),
		Refuse: func() bool { return refuse },
		Step: func() {
			if quiet {
				return
			}
			inside++
			switch r.IntN(200) {
			default:
				batch(1 + r.IntN(4))
			case 0:
				e.Clear()
				clear(o)
			case 1, 2, 3:
				refuse = !refuse
			}
		},
	}})
	for range batches {
		batch(300)
		if r.IntN(3) == 0 {
			e.Maintain(r.IntN(2) == 0)
		}
	}
	refuse, quiet = false, true
	dropDead(e, o, now)
	st = e.Stats()
	checkSame(t, e, o)
	e.Range(func(key, value []byte) bool {
		fmt.Fprintf(&out, "%s=%x ", key, value)
		return true
	})
	if inside == 0 {
		t.Error("no step of maintenance")
	}
	return out.String(), st
}

// TestSimulationRepeats: one seed, one run, to the last status and byte; another seed,
// another run.
func TestSimulationRepeats(t *testing.T) {
	seed, batches := newRand(t).Uint64(), 150
	if isShort() {
		batches = 60
	}
	seen, st := simulate(t, seed, batches)
	t.Logf("%+v", st)
	again, stAgain := simulate(t, seed, batches)
	if seen != again || st != stAgain {
		t.Errorf("two runs of one seed differ: %+v, %+v", st, stAgain)
	}
	if other, _ := simulate(t, seed+1, batches); other == seen {
		t.Error("two seeds, one run")
	}
}

// TestSimulationStandsStill: nothing of a simulated store runs by itself.
func TestSimulationStandsStill(t *testing.T) {
	before := runtime.NumGoroutine()
	e := newEngine(t, engine.Options{Shards: 1, Simulation: &engine.Simulation{}})
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines, %d before New", n, before)
	}
	setAll(t, e, "key", 20_000, make([]byte, 100))
	removeSome(e, "key", 20_000, 5)
	full := e.Stats()
	if full.Compactions > 0 {
		t.Errorf("compacted by itself: %+v", full)
	}
	e.Maintain(false)
	if st := e.Stats(); st.Compactions != 1 || st.FreeBytes > full.FreeBytes/10 {
		t.Errorf("after Maintain: %+v, before: %+v", st, full)
	}
}

// TestMaintainIsForSimulations: in any other store it would get in the maintainer's way.
func TestMaintainIsForSimulations(t *testing.T) {
	bug := func(what string, fn func()) {
		t.Helper()
		defer func() {
			if r := recover(); r == nil || !strings.HasPrefix(fmt.Sprint(r), "BUG: engine: ") {
				t.Errorf("%s: %v", what, r)
			}
		}()
		fn()
	}
	bug("Maintain of a store that isn't simulated", func() { newEngine(t, engine.Options{}).Maintain(true) })
	var e *engine.Engine
	inside := false
	e = newEngine(t, engine.Options{Shards: 1, Simulation: &engine.Simulation{Step: func() {
		if !inside {
			inside = true
			bug("Maintain in Step", func() { e.Maintain(true) })
		}
	}}})
	setAll(t, e, "key", 20_000, make([]byte, 100))
	removeSome(e, "key", 20_000, 5)
	if e.Maintain(true); !inside {
		t.Error("no step of maintenance")
	}
}
