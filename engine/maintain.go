package engine

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// maintainer does, in a goroutine of its own and in short steps, what no Apply
// should wait for: it faults memory in ahead of use, copies shards that hold
// much garbage into new blocks, and gives back what Clear left and what is empty.
//
// mu guards left. wake may be called with any lock held; it never blocks.
type maintainer struct {
	signal chan struct{}
	stop   chan struct{}
	done   sync.WaitGroup

	mu   sync.Mutex
	left []*detached // by Clear

	// Since the start, of a shard: compactions begun, those of them that ran out of memory
	// and put back what they had moved, and those put off until there is more memory.
	compactions, reverts, postponed atomic.Uint64

	accepted int // pages that the latest round left scattered; guarded by working

	working sync.Mutex // one round at a time: the tests ask for rounds, too
}

// init comes before the first wake: what calls the maintainer before it is started
// is kept for it.
func (m *maintainer) init() {
	m.signal = make(chan struct{}, 1)
	m.stop = make(chan struct{})
}

func (m *maintainer) wake() {
	select {
	case m.signal <- struct{}{}:
	default: // it has been called already
	}
}

// maxClearsLeft is how many Clears of a full store may wait to be given back.
const maxClearsLeft = 2

// tryAdd takes in what a Clear left, unless as much as limit waits already.
func (m *maintainer) tryAdd(d []*detached, limit int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.left)+len(d) > limit {
		return false
	}
	m.left = append(m.left, d...)
	m.wake()
	return true
}

// restAfter is how long nobody must have called the maintainer until it takes the store
// to be at rest, and tidies up what isn't worth the work while memory is churned. Not
// yet measured against other times.
const restAfter = 50 * time.Millisecond

// How much may lie unused, as a part of what is in use, before it is gathered. In all a
// store keeps within 1.3 times a fresh one's size (10 M keys of which nine tenths
// were removed: 1.4 without the second pair).
const (
	churnedGarbage, churnedScattered = 6, 8
	restingGarbage, restingScattered = 16, 32
)

func (e *Engine) startMaintainer() {
	e.maintainer.done.Go(func() {
		rest := time.NewTimer(restAfter)
		for {
			select {
			case <-e.maintainer.stop:
				rest.Stop()
				return
			case <-e.maintainer.signal:
				e.maintainAlone(false)
				rest.Reset(restAfter)
			case <-rest.C:
				e.maintainAlone(true)
			}
		}
	})
}

func (e *Engine) stopMaintainer() {
	close(e.maintainer.stop)
	e.maintainer.done.Wait()
}

// maintainAlone is one round of work, at a time.
func (e *Engine) maintainAlone(resting bool) {
	e.maintainer.working.Lock()
	defer e.maintainer.working.Unlock()
	e.maintain(resting)
}

// maintain works until there is nothing to do.
func (e *Engine) maintain(resting bool) {
	for !resting && e.pool.prefaultOne() {
	}
	e.maintainer.mu.Lock()
	left := e.maintainer.left
	e.maintainer.left = nil
	e.maintainer.mu.Unlock()
	for _, d := range left {
		d.releaseAll(e.yield)
		for e.pool.releaseOne(resting) {
		}
	}
	e.retryPostponed()
	for i := range e.shards {
		if s := &e.shards[i]; s.wantCompact.Load() || resting && s.isUntidy() {
			e.compact(s, false)
		}
	}
	e.pack(resting)
	for e.pool.releaseOne(resting) {
	}
}

func (e *Engine) stopping() bool {
	select {
	case <-e.maintainer.stop:
		return true
	default:
		return false
	}
}

// yield comes between the steps of maintenance, and tells whether to go on.
func (e *Engine) yield() bool {
	e.pool.stepped()
	return e.giveWay()
}

// giveWay lets others have the processor, and tells whether to go on.
func (e *Engine) giveWay() bool {
	runtime.Gosched()
	return !e.stopping()
}
