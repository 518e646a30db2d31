package engine_test

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyframe/engine"
)

// hangFlag is many times what the slowest test takes with one store on a busy machine.
var hangFlag = flag.Duration("hang", time.Minute, "how long a test may take with one store; TestSoak takes its time")

// watchStep is how often it is looked after the tests that are watched.
const watchStep = 100 * time.Millisecond

// watched has, for the testing.TB of each, the steps since its last store: an *atomic.Int64.
var watched sync.Map

// watch ends the process, with the stacks of all goroutines, if the test neither ends nor
// makes its next store in time: a test that spins or waits forever would never fail. Every
// test that has a store is watched.
func watch(t testing.TB) {
	if steps, ok := watched.Load(t); ok {
		steps.(*atomic.Int64).Store(0)
		return
	}
	watched.Store(t, new(atomic.Int64))
	t.Cleanup(func() { watched.Delete(t) })
}

// One goroutine, that is there before any test counts them. The steps are its own: a process that
// was stopped, or a machine that had no time for it, has made none, where by the clock a test would
// have hung.
func init() {
	go func() {
		for range time.Tick(watchStep) { // what nobody takes in time is dropped
			watched.Range(func(t, steps any) bool {
				if limit := *hangFlag + *soakFlag; steps.(*atomic.Int64).Add(1) > int64(limit/watchStep) {
					stacks := make([]byte, 1<<20)
					stacks = stacks[:runtime.Stack(stacks, true)]
					fmt.Fprintf(os.Stderr, "--- FAIL: %s\n    hangs: neither over nor at its next store after %v\n\n%s\n", t.(testing.TB).Name(), limit, stacks)
					os.Exit(1)
				}
				return true
			})
		}
	}()
}

// A crew is goroutines that use a store while the test does. They end before the store is
// closed, however the test ends: an access to memory that is unmapped is a fault whose
// message hides the test's own.
type crew struct {
	wg      sync.WaitGroup
	stopped atomic.Bool
}

// newCrew comes after newEngine: cleanups run last in, first out.
func newCrew(t *testing.T) *crew {
	c := new(crew)
	t.Cleanup(c.stop)
	return c
}

// each has a goroutine call fn over and over until the crew is stopped.
func (c *crew) each(fn func(i int)) {
	c.wg.Go(func() {
		for i := 0; !c.stopped.Load(); i++ {
			fn(i)
		}
	})
}

func (c *crew) stop() {
	c.stopped.Store(true)
	c.wg.Wait()
}

// hold keeps the maintainer from working until release is called, or the test ends: Close
// waits for the maintainer.
func hold(t *testing.T, e *engine.Engine) (release func()) {
	release = sync.OnceFunc(e.HoldMaintainer())
	t.Cleanup(release)
	return release
}
