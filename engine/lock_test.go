package engine_test

import (
	"runtime"
	"sync"
	"testing"

	"keyframe/engine"
)

// TestLock has goroutines count under one lock, with fewer processors than
// goroutines, so that holders are put off theirs while others wait.
func TestLock(t *testing.T) {
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
							runtime.Gosched() // as if the scheduler had come by
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
