package engine

import (
	"cmp"
	"slices"
)

// compact copies all small records of a shard into new blocks, a segment at a
// time, merges segments that have become sparse, and gives the old blocks back.
//
// Blocks that exist at the start are old. From then on new records go to new
// blocks only, and freed ones are put aside: given up with the old blocks, or put
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
	// At the ceiling the copies take the pool's reserve. If it can't suffice the
	// compaction waits for more garbage.
	copies := s.liveBytes + s.liveBytes/3
	room, need := e.pool.left()*pageBytes, copies+maxBlockPages*pageBytes
	if room < need {
		e.postponeLocked(s, (need+need/32)/pageBytes+1) // not to be tried in vain whenever a large value goes
		s.mu.Unlock()
		return
	}
	e.maintainer.compactions.Add(1)
	epoch := s.epoch
	s.retireBump()
	s.kept, s.free = s.free, [smallClasses]ref{}
	s.bump, s.bumpEnd = 0, 0
	s.old = len(s.blocks)
	s.restBytes, s.tried, s.short, s.untidy = 0, 0, 0, false
	s.closeIfShortLocked(copies)
	blocks := slices.Clone(s.blocks)
	// What is on the lists now goes with the old blocks; what is freed from
	// here on stays counted until then, too.
	s.mu.Unlock()

	old := newBlockSet(blocks)
	there := func() bool { return s.epoch == epoch } // or Clear took everything
	ok := e.walk(s, there, func(at uint64) (uint64, bool) {
		s.closeIfShortLocked(copies - int(uint64(copies)*at/maxDirSize))
		return s.compactLocked(at, all, old)
	})
	back := false
	if !ok && !e.stopping() {
		s.mu.Lock()
		if !there() {
			s.mu.Unlock()
			return
		}
		taken := newBlockSet(s.blocks[s.old:])
		s.closed = true // or a new record could lie in a block that is given back
		s.mu.Unlock()
		back = e.walk(s, there, func(at uint64) (uint64, bool) { return s.revertLocked(at, taken) })
	}

	s.mu.Lock()
	if !there() {
		s.mu.Unlock()
		return
	}
	var given []run
	switch {
	case ok:
		given = slices.Clone(s.blocks[:s.old])
		s.blocks = append(s.blocks[:0], s.blocks[s.old:]...)
		s.late = 0
	case back:
		e.maintainer.reverts.Add(1)
		given = slices.Clone(s.blocks[s.old:])
		s.blocks = s.blocks[:s.old]
		s.free, s.bump, s.bumpEnd = s.kept, 0, 0
		s.takeLate(newBlockSet(given))
	default: // what was free, and what was moved, serves on
		for class, ref := range s.kept {
			for ref != 0 {
				ref = s.relink(ref, class)
			}
		}
		s.takeLate(nil)
	}
	s.kept = [smallClasses]ref{}
	s.old, s.closed, s.toCopy = 0, false, 0
	for _, b := range given {
		s.blockBytes -= b.pages * pageBytes
	}
	// What isn't live is garbage: on the lists, or freed during the walk in blocks
	// that stay.
	s.freeBytes = s.blockBytes - s.liveBytes - int(s.bumpEnd-s.bump)*8
	if ok {
		s.checkGarbage() // what was freed meanwhile may be too much already
	} else {
		e.postponeLocked(s, max(room/pageBytes, e.pool.left())+s.blockBytes/32/pageBytes+1)
	}
	s.mu.Unlock()
	for _, b := range given {
		e.pool.release(b.page, b.pages)
		e.yield()
	}
	for e.pool.releaseOne(false) || e.pool.prefaultOne() {
	}
}

// closeIfShortLocked keeps what the copies to come may need from the shard's new records.
// They may take no pages of it, and nothing at all while there is hardly more left: or
// else they would eat what is left of the copies' blocks, one of which they may fill up
// before this is asked again.
func (s *shard) closeIfShortLocked(copies int) {
	s.toCopy = copies/pageBytes + 1
	s.closed = s.pool.left()*pageBytes < copies+2*maxBlockPages*pageBytes
}

// walk calls step for one segment after the other, with the shard's lock held,
// while there is true and step reports success.
func (e *Engine) walk(s *shard, there func() bool, step func(at uint64) (next uint64, ok bool)) bool {
	ok := true
	for at := uint64(0); at < maxDirSize && ok; {
		s.mu.Lock()
		if ok = there(); ok {
			s.compacting = true
			at, ok = step(at)
			s.compacting = false
		}
		s.mu.Unlock()
		s.mu.letOthers()
		ok = e.yield() && ok
	}
	return ok
}

// postponeLocked has the next compaction wait for a thirty-second of garbage more, or
// for the pool to have so many pages left.
func (e *Engine) postponeLocked(s *shard, pages int) {
	e.maintainer.postponed.Add(1)
	s.tried, s.short = s.freeBytes+s.blockBytes/32, pages
	e.pool.callAt(pages)
}

// retryPostponed has the compactions asked for again that were postponed for want of
// memory that is there now.
func (e *Engine) retryPostponed() {
	left, ok := e.pool.called()
	if !ok {
		return
	}
	for i := range e.shards {
		s := &e.shards[i]
		s.mu.Lock()
		if s.short > left {
			e.pool.callAt(s.short)
		} else if s.short > 0 {
			s.tried, s.short = 0, 0
			s.checkGarbage()
		}
		s.mu.Unlock()
	}
}

// relink puts a free record that is on some list on that of its class, and returns
// the next of the list that it was on. Its bytes are counted already.
func (s *shard) relink(r ref, class int) (next ref) {
	next = *s.nextFree(r)
	*s.nextFree(r) = s.free[class]
	s.free[class] = r
	return next
}

// takeLate puts what was freed during a compaction on the lists, but for what lies
// in the blocks that are given back.
func (s *shard) takeLate(given blockSet) {
	for s.late != 0 {
		r, class := s.late.ref(), s.late.class()
		s.late = *(*freeRecord)(s.pool.mem.at(r))
		if !given.has(r) {
			s.relink(r, class)
		}
	}
}

// revertLocked moves the records of the segment at a directory position that are in
// the taken blocks back to where there was room at the start, and returns the
// position after it. Each that was moved has left its old place on the lists.
func (s *shard) revertLocked(at uint64, taken blockSet) (next uint64, ok bool) {
	seg, in := s.table.segmentAt(at)
	for from := range seg.slots(0, seg.groups()) {
		rec := s.table.record(*from.slot)
		class := rec.class()
		if class == largeClass || !taken.has(from.ref()) {
			continue
		}
		to := s.kept[class]
		if to == 0 {
			return at, false
		}
		s.kept[class] = *s.nextFree(to)
		n := classBytes(class)
		copy(bytesAt(s.pool.mem.at(to), n), bytesAt(ptr(rec), n))
		from.pointTo(to)
	}
	return in.next(), true
}

// A blockSet is blocks in the order of their addresses.
type blockSet []run

func newBlockSet(blocks []run) blockSet {
	set := slices.Clone(blocks)
	slices.SortFunc(set, func(a, b run) int { return cmp.Compare(a.page, b.page) })
	return set
}

// has reports whether a record lies in one of the blocks.
func (set blockSet) has(r ref) bool {
	page := r.page()
	i, exact := slices.BinarySearchFunc(set, page, func(b run, page uint64) int { return cmp.Compare(b.page, page) })
	return exact || i > 0 && page < set[i-1].page+uint64(set[i-1].pages)
}

// compactLocked moves the records of the segment at a directory position that lie in
// the old blocks and returns the position after it.
func (s *shard) compactLocked(at uint64, all bool, old blockSet) (next uint64, ok bool) {
	if s.table.directory() == emptyDir {
		return maxDirSize, true
	}
	seg, in := s.table.segmentAt(at)
	keys := 0
	for g := uint64(0); g < seg.groups(); g += touchGroups {
		end := min(g+touchGroups, seg.groups())
		s.touchRecords(seg, g, end)
		for from := range seg.slots(g, end) {
			keys++
			rec := s.table.record(*from.slot)
			class := rec.class()
			if class == largeClass || !old.has(from.ref()) {
				continue
			}
			to, got := s.allocClass(class)
			if !got {
				return at, false
			}
			n := classBytes(class)
			s.liveBytes -= n // the copy replaces it
			copy(bytesAt(s.pool.mem.at(to), n), bytesAt(ptr(rec), n))
			if invariants {
				mangle(bytesAt(ptr(rec), n))
			}
			*s.nextFree(from.ref()) = s.kept[class]
			s.kept[class] = from.ref()
			from.pointTo(to)
		}
	}
	next = in.next()
	if !s.shrinkLocked(in, keys) && all {
		log := s.table.entry(in.dir, in.lo).log()
		s.table.rebuild(s.pool, in.lo, in.hi, in.hi, log)
	}
	return next, true
}

// touchGroups is how many groups' records are asked for before the first of them is
// copied. Not yet measured against other numbers.
const touchGroups = 8

// touchRecords loads a byte of each record of some groups, so that their cache
// misses overlap.
func (s *shard) touchRecords(seg segment, from, to uint64) {
	n := uint64(0)
	for g := from; g < to; g++ {
		for i := range uint64(groupSlots) {
			n += *word(s.table.mem.at(seg.group(g).slot(i).ref()))
		}
	}
	sink.Store(n)
}

// shrinkLocked halves a segment that has become sparse, or merges it with the
// one before it, and reports whether it did. What it makes is at most three quarters
// full, so that it doesn't have to grow again at once.
func (s *shard) shrinkLocked(in span, keys int) bool {
	t := &s.table
	log := t.entry(in.dir, in.lo).log()
	if log == splitSegLog && in.lo > 0 {
		before := t.spanOf(in.dir, in.lo-1)
		e := *t.entry(in.dir, before.lo)
		if e.log() == splitSegLog && keys+t.segment(e).countKeys() <= groupSlots<<splitSegLog*3/4 {
			return t.rebuild(s.pool, before.lo, in.hi, in.hi, splitSegLog)
		}
	}
	if in.lo > 0 || in.hi < in.dir.size() {
		return false
	}
	small := log
	for small > minSegLog && keys <= groupSlots<<(small-1)*3/4 {
		small--
	}
	return small < log && t.rebuild(s.pool, in.lo, in.hi, in.hi, small)
}
