package engine

import (
	"math/bits"
	"runtime"
	"sync"
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

	accepted int // pages that the latest round left scattered; guarded by working

	working sync.Mutex // one round at a time: the tests ask for rounds, too
}

func (m *maintainer) wake() {
	select {
	case m.signal <- struct{}{}:
	default: // it has been called already
	}
}

func (m *maintainer) add(d []*detached) {
	m.mu.Lock()
	m.left = append(m.left, d...)
	m.mu.Unlock()
	m.wake()
}

func (e *Engine) startMaintainer() {
	e.maintainer.signal = make(chan struct{}, 1)
	e.maintainer.stop = make(chan struct{})
	e.maintainer.done.Go(func() {
		for {
			select {
			case <-e.maintainer.stop:
				return
			case <-e.maintainer.signal:
				e.maintainer.working.Lock()
				e.maintain()
				e.maintainer.working.Unlock()
			}
		}
	})
}

func (e *Engine) stopMaintainer() {
	close(e.maintainer.stop)
	e.maintainer.done.Wait()
}

// maintain works until there is nothing to do.
func (e *Engine) maintain() {
	for e.pool.prefaultOne() {
	}
	e.maintainer.mu.Lock()
	left := e.maintainer.left
	e.maintainer.left = nil
	e.maintainer.mu.Unlock()
	for _, d := range left {
		d.releaseAll(e.yield)
		for e.pool.releaseOne() {
		}
	}
	for i := range e.shards {
		if s := &e.shards[i]; s.wantCompact.Load() {
			e.compact(s, false)
		}
	}
	// Where each shard's copies went depended on what was free just then. A
	// second round puts them, and the index, where it is lowest now. What it can't
	// better, as the rests beside large records, is no reason for another.
	if e.pool.scattered() > e.maintainer.accepted*3/2 {
		for i := range e.shards {
			e.compact(&e.shards[i], true)
		}
	}
	e.maintainer.accepted = e.pool.scattered()
	for e.pool.releaseOne() {
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

// yield lets others have the processor, and the pool its memory, between steps.
func (e *Engine) yield() { runtime.Gosched() }

// compact copies all small records of a shard into new blocks, a segment at a
// time, merges segments that have become sparse, and gives the old blocks back.
//
// Blocks that exist at the start are old. From then on new records go to new
// blocks only, and freed ones are kept aside: given up with the old blocks, or put
// back on the lists when there is no memory for the copies. The walk goes by directory
// position, so it meets every slot that existed at the start, however segments
// split on the way; after it no slot refers to an old block.
// With all, segments that stay as they are move, too.
func (e *Engine) compact(s *shard, all bool) {
	if e.stopping() {
		return
	}
	s.mu.Lock()
	s.wantCompact.Store(false)
	epoch := s.epoch
	s.retireBump()
	s.kept, s.free = s.free, [smallClasses]uint64{}
	s.bump, s.bumpEnd = 0, 0
	s.old = len(s.blocks)
	// What is on the lists now goes with the old blocks; what is abandoned from
	// here on stays counted until then, too.
	s.mu.Unlock()

	ok := true
	for at := uint64(0); at < maxDirSize && ok; {
		s.mu.Lock()
		if s.epoch != epoch {
			s.mu.Unlock()
			return // Clear took everything
		}
		at, ok = s.compactLocked(at, all)
		s.mu.Unlock()
		if e.stopping() {
			ok = false
		}
		e.yield()
	}

	s.mu.Lock()
	if s.epoch != epoch {
		s.mu.Unlock()
		return
	}
	var old []run
	if ok {
		old = append(old, s.blocks[:s.old]...)
		s.blocks = append(s.blocks[:0], s.blocks[s.old:]...)
		for _, b := range old {
			s.blockBytes -= b.pages * pageBytes
		}
	}
	if !ok { // what was free, and what was moved, serves on
		for c, ref := range s.free {
			for ref != 0 {
				p := s.pool.mem.at(ref)
				next := *word(p)
				*word(p) = s.kept[c]
				s.kept[c], ref = ref, next
			}
		}
		s.free = s.kept
	}
	s.kept = [smallClasses]uint64{}
	// Without memory for the copies the old blocks stay, and serve on. What isn't
	// live is garbage: on the lists, or abandoned by changes during the walk.
	s.freeBytes = s.blockBytes - s.liveBytes - int(s.bumpEnd-s.bump)*8
	s.old = 0
	s.mu.Unlock()
	for _, b := range old {
		e.pool.release(b.page, b.pages)
		e.yield()
	}
	for e.pool.releaseOne() || e.pool.prefaultOne() {
	}
}

// compactLocked moves the records of the segment at a directory position and
// returns the position after it.
func (s *shard) compactLocked(at uint64, all bool) (next uint64, ok bool) {
	t := &s.table
	d := t.dir.Load()
	if d == emptyDir {
		return maxDirSize, true
	}
	size := dirSize(d)
	lo, hi := t.span(d, at*size>>dirBits)
	e := *t.entry(d, lo)
	seg, groups := t.mem.at(e>>8), uint64(1)<<(e&63)
	keys := 0
	for g := range groups {
		if g%8 == 0 {
			s.touchRecords(seg, g, min(g+8, groups))
		}
		control := *word(add(seg, g*groupBytes))
		for m := control & slotHighs; m != 0; m &= m - 1 {
			keys++
			slot := add(seg, g*groupBytes+8+uint64(bits.TrailingZeros64(m))&^7)
			rec := t.mem.at(*word(slot) & refMask)
			class := recordClass(rec)
			if class == largeClass {
				continue
			}
			ref, got := s.allocClass(class)
			if !got {
				return at, false
			}
			n := classBytes(class)
			s.liveBytes -= n // the copy replaces it
			copy(bytesAt(t.mem.at(ref), n), bytesAt(rec, n))
			if invariants {
				mangle(bytesAt(rec, n))
			}
			*word(rec) = s.kept[class]
			s.kept[class] = *word(slot) & refMask
			*word(slot) = *word(slot)&^refMask | ref
		}
	}
	next = (hi<<dirBits + size - 1) / size
	if !s.shrinkLocked(d, lo, hi, keys) && all {
		t.rebuild(s.pool, lo, hi, hi, e&63)
	}
	return next, true
}

// touchRecords loads a byte of each record of some groups, so that their cache
// misses overlap.
func (s *shard) touchRecords(seg ptr, from, to uint64) {
	n := uint64(0)
	for g := from; g < to; g++ {
		for i := range uint64(groupSlots) {
			n += *word(s.table.mem.at(*word(add(seg, g*groupBytes+8+i*8)) & refMask))
		}
	}
	sink.Store(n)
}

// shrinkLocked halves a segment that has become sparse, or merges it with the
// one before it, and tells if it did. What it makes is at most three quarters
// full, so that it doesn't have to grow again at once.
func (s *shard) shrinkLocked(d, lo, hi uint64, keys int) bool {
	t := &s.table
	log := *t.entry(d, lo) & 63
	if log == splitSegLog && lo > 0 {
		before, _ := t.span(d, lo-1)
		e := *t.entry(d, before)
		if e&63 == splitSegLog && keys+countKeys(t.mem.at(e>>8), 1<<splitSegLog-1) <= groupSlots<<splitSegLog*3/4 {
			return t.rebuild(s.pool, before, hi, hi, splitSegLog)
		}
	}
	if lo > 0 || hi < dirSize(d) {
		return false
	}
	small := log
	for small > minSegLog && keys <= groupSlots<<(small-1)*3/4 {
		small--
	}
	return small < log && t.rebuild(s.pool, lo, hi, hi, small)
}
