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
// mu guards pendingClears, working the rounds. mu may be taken with shards' locks held, and
// the pool's after it. wake may be called with any lock held; it never blocks.
type maintainer struct {
	shards []shard // the Engine's
	pool   *pool

	signal  chan struct{}
	closing chan struct{}
	done    sync.WaitGroup

	mu            sync.Mutex
	pendingClears []*detached // what Clear took out of the shards
	hasCleared    atomic.Bool // there is some; written under mu

	// Since the start, of a shard: compactions begun, those of them that ran out of memory
	// and put back what they had moved, and those put off until there is more memory.
	compactions, reverts, postponed atomic.Uint64

	accepted int // pages that the latest round left scattered; guarded by working

	working sync.Mutex // one round at a time: the tests ask for rounds, too
}

// init comes before the first wake: a call before start is kept for it.
func (m *maintainer) init(shards []shard, pool *pool) {
	m.shards, m.pool = shards, pool
	m.signal = make(chan struct{}, 1)
	m.closing = make(chan struct{})
}

func (m *maintainer) wake() {
	select {
	case m.signal <- struct{}{}:
	default: // it has been called already
	}
}

// maxPendingClears is how many Clears of a full store may wait to be given back.
const maxPendingClears = 2

// tryAdd takes in what a Clear took out of the shards, unless that makes more than limit.
func (m *maintainer) tryAdd(d []*detached, limit int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.pendingClears)+len(d) > limit {
		return false
	}
	m.pendingClears = append(m.pendingClears, d...)
	m.hasCleared.Store(len(m.pendingClears) > 0)
	m.wake()
	return true
}

// clearedAtOnce is how many blocks, segments or large records the maintainer gives back at
// once of what was cleared, and clearedAtNeed how many an operation does that finds no
// memory: some ms of work, but so many that what lies side by side becomes free together. Not
// yet measured against other numbers.
const (
	clearedAtOnce = 16
	clearedAtNeed = 1 << 16
)

// releaseCleared gives a part of what Clear took out of the shards back, and reports whether
// there was any. Operations that find no memory ask, so where nothing was cleared it takes
// no lock.
func (m *maintainer) releaseCleared(most int) bool {
	if !m.hasCleared.Load() {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for ; n < most && len(m.pendingClears) > 0; n++ {
		if last := len(m.pendingClears) - 1; !m.pendingClears[last].releaseOne() {
			m.pendingClears[last] = nil
			m.pendingClears = m.pendingClears[:last]
		}
	}
	m.hasCleared.Store(len(m.pendingClears) > 0)
	return n > 0
}

// restAfter is how long the maintainer waits for a call before it takes the store to be
// at rest. Not yet measured against other times.
const restAfter = 50 * time.Millisecond

// restAfterDeaths is how long it waits in a store in which keys have had deadlines: past the
// sweeper's next pass. After 50 ms a store of a million keys that died in 6 s was gathered
// between any two passes: 25 compactions of each shard instead of 12, and of the chunks that
// were given back 60 a second were made ready again instead of 10.
const restAfterDeaths = sweepEvery + restAfter

// effort is how hard a round of maintenance works: what it leaves as it is.
type effort struct {
	prefaults  bool // make chunks ready ahead of their use
	everyShard bool // look at all shards, not only at those that ask for it
	rests      bool // count the rests of blocks as garbage if they weren't left by a compaction

	// Of a shard's blocks, garbage up to one part in garbagePart stays, and up to
	// leastGarbage bytes, which aren't worth the way.
	garbagePart, leastGarbage int
	// Of the pages in use, as many free ones between them as one in scatteredPart, and up
	// to leastScattered.
	scatteredPart, leastScattered int
	// Empty chunks: keptChunks, and one for each keptPart that are in use, so that churn
	// doesn't fault its pages again. At rest each is .2 bytes a key of 10 M, which need 256.
	keptChunks, keptPart int
}

// While a store is used, what costs more than it gives can wait: churned keeps it within
// 1.3 times a fresh one's size, the classes' own waste included. Without resting, 10 M
// keys of which nine tenths were removed stayed at 1.4.
var (
	churned = effort{
		prefaults:   true,
		garbagePart: 6, leastGarbage: 16 << 10,
		scatteredPart: 8, leastScattered: 1024,
		keptChunks: readyGrowing, keptPart: 32,
	}
	resting = effort{
		everyShard:  true,
		garbagePart: 16, leastGarbage: pageBytes,
		scatteredPart: 32, leastScattered: 256,
		keptChunks: 1, keptPart: 1024,
	}
	// scarce is for a store at rest that has little more room below its ceiling than what
	// resting may leave: see spared. Not yet measured against other numbers.
	scarce = effort{
		everyShard: true, rests: true,
		garbagePart: 32, leastGarbage: pageBytes / 2,
		scatteredPart: 1024, leastScattered: 16,
		keptChunks: 1, keptPart: 1024,
	}
)

// spared is the part of the room below the ceiling that a store at rest may leave as
// garbage and scattered: a fresh store of the same content has that much more. Not yet
// measured against other parts.
const spared = 16

// restEvery is how many times as long as the latest round at rest took a store that refuses
// is left to itself before the next: it gets them although it isn't at rest. Not yet measured
// against other numbers.
const restEvery = 10

// pacing decides when a maintainer that is called again and again rests.
type pacing struct {
	forced bool          // a rest is due whatever calls come before it
	pause  time.Duration // how long a store that refuses is left to itself
}

// called returns how long after a call the next rest is due, unless that stands already.
func (p *pacing) called(refused, expires bool) (after time.Duration, ok bool) {
	switch {
	case !refused && expires:
		return restAfterDeaths, true
	case !refused:
		return restAfter, true
	case !p.forced:
		p.forced = true
		return p.pause, true
	}
	return 0, false
}

// rested is told how long a rest took.
func (p *pacing) rested(took time.Duration) { *p = pacing{pause: max(restAfter, restEvery*took)} }

// start has the maintainer work in a goroutine, until stop.
func (m *maintainer) start() {
	m.done.Go(func() {
		rest := time.NewTimer(restAfter)
		pace := pacing{pause: restAfter}
		for {
			select {
			case <-m.closing:
				rest.Stop()
				return
			case <-m.signal:
				m.round(&churned)
				if after, ok := pace.called(m.pool.refused.Load(), m.pool.expires.Load()); ok {
					rest.Reset(after)
				}
			case <-rest.C:
				start := time.Now()
				m.round(&resting)
				pace.rested(time.Since(start))
			}
		}
	})
}

func (m *maintainer) stop() {
	close(m.closing)
	m.done.Wait()
}

// round is one round of work; a second one waits for it.
func (m *maintainer) round(how *effort) {
	m.working.Lock()
	defer m.working.Unlock()
	m.maintain(how)
}

// gather is a round that tries once more to improve what the rounds before have accepted.
func (m *maintainer) gather() {
	m.working.Lock()
	defer m.working.Unlock()
	m.accepted = 0
	m.maintain(&scarce)
}

// maintain works until there is nothing to do. The system makes a chunk ready in 250 µs, in
// 6 ms if its host has to find the memory, and lets no other thread have that processor
// meanwhile: one that waited for it, with another idle, did so for the 4 ms that 14 took in a
// row. Goroutines need not be given way to: a thread in the system leaves them its turn.
func (m *maintainer) maintain(how *effort) {
	for how.prefaults && m.pool.prefaultOne() {
		yieldThread()
	}
	for m.releaseCleared(clearedAtOnce) && m.yield() {
		m.releaseChunks(how)
	}
	m.retryPostponed()
	if how.everyShard {
		m.pool.refused.Store(false) // from here on a refusal asks for another round
		if m.isScarce() {
			how = &scarce
		}
	}
	for i := range m.shards {
		if s := &m.shards[i]; s.wantCompact.Load() || how.everyShard && s.isUntidy(how) {
			m.compact(s, false)
		}
	}
	m.pack(how)
	m.releaseChunks(how)
}

// releaseChunks gives chunks back to the system, as many as an effort lets go.
func (m *maintainer) releaseChunks(how *effort) {
	for m.pool.releaseOne(how) {
		yieldThread()
	}
}

// isScarce reports whether garbage and scattered pages are more than what may be spared of
// the room below the ceiling.
func (m *maintainer) isScarce() bool {
	scattered, _ := m.pool.scattered()
	garbage := 0
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		garbage += s.garbage(true)
		s.mu.Unlock()
	}
	return (garbage/pageBytes+scattered)*spared > m.pool.left()-m.pool.reserve
}

func (m *maintainer) stopping() bool {
	select {
	case <-m.closing:
		return true
	default:
		return false
	}
}

// yield comes between the steps of maintenance, and reports whether to go on.
func (m *maintainer) yield() bool {
	m.pool.stepped()
	return m.giveWay()
}

// giveWay lets others have the processor, and reports whether to go on.
func (m *maintainer) giveWay() bool {
	yieldProcessor()
	return !m.stopping()
}

// yieldProcessor lets other goroutines, and other threads, have the processor.
func yieldProcessor() {
	runtime.Gosched()
	yieldThread()
}
