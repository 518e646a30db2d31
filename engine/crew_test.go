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

// watchdogs are the timers of the tests that are watched, by their testing.TB.
var watchdogs sync.Map

// watch ends the process, with the stacks of all goroutines, if the test neither ends nor
// makes its next store in time: a test that spins or waits forever would never fail. Every
// test that has a store is watched.
func watch(t testing.TB) {
	limit := *hangFlag + *soakFlag
	if timer, ok := watchdogs.Load(t); ok {
		timer.(*time.Timer).Reset(limit)
		return
	}
	timer := time.AfterFunc(limit, func() {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		fmt.Fprintf(os.Stderr, "--- FAIL: %s\n    hangs: neither over nor at its next store after %v\n\n%s\n", t.Name(), limit, stacks)
		os.Exit(1)
	})
	watchdogs.Store(t, timer)
	t.Cleanup(func() {
		timer.Stop()
		watchdogs.Delete(t)
	})
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
