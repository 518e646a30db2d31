package engine

import (
	"sync"
	"time"
)

// sweeper drops what is dead, in a goroutine of its own and in short steps, so that its
// memory comes back even if nobody asks for it again. The maintainer can't do that between
// its own steps: a round of it over a large store takes seconds.
type sweeper struct {
	shards []shard // the Engine's
	pool   *pool
	clock  func() int64

	signal  chan struct{}
	closing chan struct{}
	done    sync.WaitGroup

	working sync.Mutex // one pass at a time: the tests ask for some, too
}

// sweepEvery is how long after a pass the next one begins, as long as there is anything that
// expires. With a tick it is how much later than its deadline a record is dropped. A pass
// over 512 shards with nothing to do takes 20 µs.
const sweepEvery = 200 * time.Millisecond

// stepsAYield is after how many steps, in which the lock is given back, others get the
// processor. After each of them, with one processor, 4 M keys that died a million a second were
// gone 480 to 660 ms after the last deadline; it is 360 to 410 so, and 240 with steps of 64.
const stepsAYield = 2

// pruneAbove is how many reminders that are left over a shard keeps, beside as many as it
// has of the others.
const pruneAbove = 512

func (w *sweeper) init(shards []shard, pool *pool, clock func() int64) {
	w.shards, w.pool, w.clock = shards, pool, clock
	w.signal = make(chan struct{}, 1)
	w.closing = make(chan struct{})
}

// wake is called when a shard has something that expires, and had nothing. It never blocks.
func (w *sweeper) wake() {
	select {
	case w.signal <- struct{}{}:
	default: // it has been called already
	}
}

// start has the sweeper work in a goroutine, until stop.
func (w *sweeper) start() {
	w.done.Go(func() {
		next, waits := time.NewTimer(sweepEvery), true
		defer next.Stop()
		for {
			select {
			case <-w.closing:
				return
			case <-w.signal:
				if !waits {
					next.Reset(sweepEvery)
					waits = true
				}
			case <-next.C:
				if waits = w.pass(); waits {
					next.Reset(sweepEvery)
				}
			}
		}
	})
}

func (w *sweeper) stop() {
	close(w.closing)
	w.done.Wait()
}

// pass goes once through the shards and reports whether any has something that expires.
func (w *sweeper) pass() (more bool) {
	w.working.Lock()
	defer w.working.Unlock()
	now := w.clock()
	for i := range w.shards {
		if w.sweep(&w.shards[i], i, now) {
			more = true
		}
	}
	return more
}

// sweep drops the records of a shard that are dead, and reports whether others expire.
func (w *sweeper) sweep(s *shard, index int, now int64) (more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.calendar
	if c == nil || c.reminders == 0 {
		return false
	}
	at := tick(max(now, 0) >> tickShift)
	all := c.reminders > 2*c.records+pruneAbove
	due := c.dueBands(at, index)
	if all {
		due = 1<<bands - 1
	}
	c.walked = at
	for band := bands - 1; band >= 0; band-- {
		if due>>band&1 == 0 {
			continue
		}
		c.walkBand(band)
		for step := 1; ; step++ {
			dropped, goOn := s.walkLocked(c, band, now, all)
			w.pool.expired.Add(uint64(dropped))
			if !goOn {
				break
			}
			s.mu.Unlock()
			s.mu.letOthers()
			goOn = step%stepsAYield != 0 || w.yield()
			s.mu.Lock()
			if s.calendar != c {
				return s.calendar != nil // Clear took everything
			}
			if !goOn {
				return true
			}
		}
	}
	return c.reminders > 0
}

// yield comes between the steps of a pass, and reports whether to go on.
func (w *sweeper) yield() bool {
	w.pool.stepped()
	yieldProcessor()
	select {
	case <-w.closing:
		return false
	default:
		return true
	}
}

// dueBands returns a bit for each band that is to be gone through at a tick: once in the
// span of the band before it, in which nothing of it can come due. The shards take turns.
// After a clock that was set back, what was added since may be due before the latest walk:
// all of that is in the first band.
func (c *calendar) dueBands(at tick, shard int) (due uint) {
	due = c.late
	if at <= c.walked {
		return due | 1
	}
	turn := tick(uint64(shard) * 0x9E3779B97F4A7C15 >> 32)
	for band := range bands {
		if (at+turn)>>(band*bandLog) != (c.walked+turn)>>(band*bandLog) {
			due |= 1 << band
		}
	}
	return due
}

// wallClock is the default of Options.Clock.
func wallClock() int64 { return time.Now().UnixMilli() }
