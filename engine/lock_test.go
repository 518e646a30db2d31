package engine_test

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"keyframe/engine"
)

// TestLock has goroutines count under one lock, with fewer processors than goroutines, so
// that a holder loses its processor while others wait.
func TestLock(t *testing.T) {
	watch(t)
	for _, procs := range []int{1, 2, 8} {
		func() {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			const workers = 8
			var l engine.Lock
			var wg sync.WaitGroup
			count, each := 0, rounds(200_000)
			for g := range workers {
				wg.Go(func() {
					for i := range each {
						l.Lock()
						count++
						if i%1000 == g {
							runtime.Gosched() // as when the scheduler takes the processor
						}
						l.Unlock()
					}
				})
			}
			wg.Wait()
			if count != workers*each {
				t.Errorf("%d processors: %d counted, want %d", procs, count, workers*each)
			}
		}()
	}
}

// TestLockLetsOthers has one goroutine take the lock again and again, for some 50 µs each
// time and with a moment in between, as the maintainer does while it walks through a shard.
// Another must not starve: it gets the lock within some rounds of the first: with letOthers
// in nearly every one, without it once in 4000. The bound is in rounds, not in time, so it
// holds on a slow machine, too.
func TestLockLetsOthers(t *testing.T) {
	watch(t)
	const wanted, atMost = 20, 200
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(2, runtime.GOMAXPROCS(0))))
	var l engine.Lock
	var asking atomic.Bool
	var got atomic.Int64
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for !stop.Load() && got.Load() < wanted {
			asking.Store(true)
			l.Lock()
			asking.Store(false)
			got.Add(1)
			l.Unlock()
		}
	})
	waited := 0 // rounds all through which the other asked in vain
	for work := uint32(1); got.Load() < wanted && waited < wanted*atMost; {
		asked, had := asking.Load(), got.Load()
		l.Lock()
		for range 50_000 {
			work = work*1664525 + 1013904223
		}
		l.Unlock()
		engine.LetOthers(&l)
		if asked && had == got.Load() {
			waited++
		}
		if work == 0 {
			t.Log("never so") // uses work, or the compiler could drop the loop
		}
	}
	stop.Store(true)
	wg.Wait()
	t.Logf("%d rounds for %d times", waited, wanted)
	if waited >= wanted*atMost {
		t.Errorf("the other got the lock %d times in %d rounds that it waited for", got.Load(), waited)
	}
}
