package engine

import (
	"cmp"
	"slices"
)

// compaction copies all small records of a shard into new blocks, a segment at a
// time, merges segments that have become sparse, and gives the old blocks back.
//
// Blocks that exist at the start are old. From then on new records go to new
// blocks only, and freed ones are put aside: given up with the old blocks, or put
// back on the lists when there is no memory for the copies. The walk goes by directory
// position, so it meets every slot that existed at the start, however segments
// split on the way; after it no slot refers to an old block.
//
// It is the maintainer's; what the shard has to know meanwhile is its evacuation.
type compaction struct {
	m   *maintainer
	s   *shard
	all bool // move segments that stay as they are, too

	epoch  uint64   // of the shard at the start: another one after a Clear
	pages  int      // that the pool had left at the start
	slack  int      // bytes that records had too much at the start
	copies int      // bytes that the copies may take, all of them
	old    blockSet // the blocks to be emptied
	taken  blockSet // to be emptied by revert: those that the copies went to
}

// evacuation is what a compaction makes of a shard's allocator: the first of its blocks
// are being emptied. The shard's lock guards it. If it is zero no compaction is under way.
type evacuation struct {
	oldBlocks   int               // how many are being emptied
	oldBytes    int               // in them
	oldFree     [smallClasses]ref // free records in them, moved records' places included
	freedDuring freeRecord        // the list of what others have freed since

	copying           bool // the maintainer is copying: it may have the pool's reserve
	reservedForCopies bool // it alone may have memory: there is hardly more than it needs
	reverting         bool // the blocks that are taken now are about to go
	pagesForCopies    int  // that it may still need
}

// compact is one compaction, from begin to end.
func (m *maintainer) compact(s *shard, all bool) {
	c := compaction{m: m, s: s, all: all}
	if m.stopping() || m.releaseEmpty(s) || !c.begin() {
		return
	}
	how := copied
	if !c.copy() {
		how = abandoned
		if c.revert() {
			how = reverted
		}
	}
	given := c.end(how)
	m.pool.forCopies.Store(0)
	for _, b := range given {
		m.pool.release(b.page, b.pages)
		m.yield()
	}
	for m.pool.releaseOne(&churned) || m.pool.prefaultOne() {
		yieldThread()
	}
}

// releaseEmpty gives back all that a shard has if it has no keys, and reports whether it
// had none. No compaction could give back the last block, and one needs memory.
func (m *maintainer) releaseEmpty(s *shard) bool {
	s.mu.Lock()
	if s.keys.Load() > 0 {
		s.mu.Unlock()
		return false
	}
	s.wantCompact.Store(false)
	d, _ := s.clearLocked()
	s.mu.Unlock()
	if d != nil {
		d.releaseAll(m.yield)
	}
	return true
}

// outcome is how a compaction ended.
type outcome int

const (
	abandoned outcome = iota // in the middle: old blocks and new ones serve on
	copied                   // the old blocks are empty
	reverted                 // the new blocks are empty again
)

// begin makes all blocks old. It reports false if the copies wouldn't find room: at
// the ceiling they take the pool's reserve, and if that can't suffice the compaction
// waits for more garbage.
func (c *compaction) begin() bool {
	s := c.s
	s.mu.Lock()
	s.wantCompact.Store(false)
	c.copies = s.liveBytes + s.liveBytes/3
	c.pages = c.m.pool.left()
	if need := c.copies + maxBlockPages*pageBytes; c.pages*pageBytes < need {
		// Not to be tried in vain whenever a large value goes.
		c.m.postponeLocked(s, (need+need/32)/pageBytes+1)
		s.mu.Unlock()
		return false
	}
	c.m.compactions.Add(1)
	c.m.pool.lentBeside.Store(0)
	c.epoch = s.epoch
	s.retireBump()
	// What is on the lists now goes with the old blocks. What is freed from here on
	// stays counted until then, too.
	s.evacuation = evacuation{oldBlocks: len(s.blocks), oldBytes: s.blockBytes, oldFree: s.free}
	s.free = [smallClasses]ref{}
	s.bump, s.bumpEnd = 0, 0
	s.restBytes, s.retryAboveBytes, s.retryAtPages, s.untidy = 0, 0, 0, false
	c.slack, s.slackBytes = s.slackBytes, 0
	s.reserveIfShort(c.copies)
	blocks := slices.Clone(s.blocks)
	s.mu.Unlock()
	c.old = newBlockSet(blocks)
	return true
}

// copy empties the old blocks. It reports false if it couldn't empty all of them.
func (c *compaction) copy() bool {
	return c.walk(func(at uint64) (uint64, bool) {
		c.s.reserveIfShort(c.copies - int(uint64(c.copies)*at/maxDirSize))
		return c.s.compactLocked(at, c.all, c.old)
	})
}

// revert puts what was copied back, when there is no memory for the rest, and reports
// whether it could put all of it back.
func (c *compaction) revert() bool {
	if c.m.stopping() {
		return false
	}
	c.s.mu.Lock()
	if !c.there() {
		c.s.mu.Unlock()
		return false
	}
	c.taken = newBlockSet(c.s.blocks[c.s.oldBlocks:])
	c.s.reservedForCopies = true // or a new record could lie in a block that is given back
	c.s.reverting = true
	c.s.mu.Unlock()
	return c.walk(func(at uint64) (uint64, bool) { return c.s.revertLocked(at, c.taken) })
}

// end has the shard go on with the blocks that aren't empty now, and returns the
// others, for the pool.
func (c *compaction) end(how outcome) []run {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.there() {
		return nil // Clear took everything
	}
	var given []run
	switch how {
	case copied:
		given = slices.Clone(s.blocks[:s.oldBlocks])
		s.blocks = append(s.blocks[:0], s.blocks[s.oldBlocks:]...)
	case reverted:
		c.m.reverts.Add(1)
		given = slices.Clone(s.blocks[s.oldBlocks:])
		s.blocks = s.blocks[:s.oldBlocks]
		s.free, s.bump, s.bumpEnd = s.oldFree, 0, 0
		s.relinkFreedDuring(newBlockSet(given))
	case abandoned: // what was free, and what was moved, serves on
		for class, r := range s.oldFree {
			for r != 0 {
				r = s.relink(r, class)
			}
		}
		s.relinkFreedDuring(nil)
	}
	s.evacuation = evacuation{}
	for _, b := range given {
		s.blockBytes -= b.pages * pageBytes
	}
	// What isn't live is garbage: on the lists, or freed during the walk in blocks
	// that stay.
	s.freeBytes = s.blockBytes - s.liveBytes - int(s.bumpEnd-s.bump)*8
	if how == copied {
		s.leftBytes = s.freeBytes
		s.checkGarbage() // what was freed meanwhile may be too much already
	} else {
		s.slackBytes += c.slack
		c.m.postponeLocked(s, max(c.pages, c.m.pool.left())+s.blockBytes/32/pageBytes+1)
	}
	return given
}

// giveUpLocked ends a compaction in its middle, for an insert that finds no memory while
// it runs: old blocks and new ones serve on, and what was free, or was moved, can be had at
// once. The lists that are walked to their ends are those that began with the compaction,
// and short; the maintainer learns of it from the epoch.
func (s *shard) giveUpLocked() {
	for class, old := range s.oldFree {
		if old == 0 {
			continue
		}
		last := &s.free[class]
		for *last != 0 {
			last = s.nextFree(*last)
		}
		*last = old
	}
	s.relinkFreedDuring(nil)
	s.evacuation = evacuation{}
	s.freeBytes = s.blockBytes - s.liveBytes - int(s.bumpEnd-s.bump)*8
	s.epoch++
}

// there reports whether the shard still has what it had at the start.
func (c *compaction) there() bool { return c.s.epoch == c.epoch }

// walk calls step for one segment after the other, with the shard's lock held,
// until there is nothing to go through any more or step reports false.
func (c *compaction) walk(step func(at uint64) (next uint64, ok bool)) bool {
	s, ok := c.s, true
	for at := uint64(0); at < maxDirSize && ok; {
		s.mu.Lock()
		if ok = c.there(); ok {
			s.copying = true
			at, ok = step(at)
			s.copying = false
		}
		s.mu.Unlock()
		s.mu.letOthers()
		ok = c.m.yield() && ok
	}
	return ok
}

// postponeLocked has the next compaction wait for a thirty-second of garbage more, or
// for the pool to have pages left.
func (m *maintainer) postponeLocked(s *shard, pages int) {
	m.postponed.Add(1)
	s.retryAboveBytes, s.retryAtPages = s.freeBytes+s.slackBytes+s.blockBytes/32, int32(pages)
	m.pool.wakeWhenFree(pages)
}

// retryPostponed has the compactions asked for again that were postponed for want of
// memory that is there now.
func (m *maintainer) retryPostponed() {
	left, ok := m.pool.takeWake()
	if !ok {
		return
	}
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		if at := int(s.retryAtPages); at > left {
			m.pool.wakeWhenFree(at)
		} else if at > 0 {
			s.retryAboveBytes, s.retryAtPages = 0, 0
			s.checkGarbage()
		}
		s.mu.Unlock()
	}
}

// reserveIfShort keeps what the copies to come may need, in bytes, from the shard's new
// records. They may take no pages of it, and nothing at all while there is hardly more
// left: they would eat what is left of the copies' blocks, one of which they may fill
// up before this is asked again.
func (a *allocator) reserveIfShort(copies int) {
	a.pagesForCopies = copies/pageBytes + 1
	a.pool.forCopies.Store(int64(a.pagesForCopies))
	a.reservedForCopies = a.pool.left()*pageBytes < copies+2*maxBlockPages*pageBytes
}

// relink puts a free record that is on some list on that of its class, and returns
// the next of the list that it was on. Its bytes are counted already.
func (a *allocator) relink(r ref, class int) (next ref) {
	next = *a.nextFree(r)
	*a.nextFree(r) = a.free[class]
	a.free[class] = r
	return next
}

// relinkFreedDuring puts what was freed during a compaction on the lists, except what
// lies in the blocks that are given back.
func (a *allocator) relinkFreedDuring(given blockSet) {
	for a.freedDuring != 0 {
		r, class := a.freedDuring.ref(), a.freedDuring.class()
		a.freedDuring = *(*freeRecord)(a.pool.mem.at(r))
		if !given.has(r) {
			a.relink(r, class)
		}
	}
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
			small := rec.fitted(s.room(from.ref(), rec))
			if class == largeClass && small == largeClass || class != largeClass && !old.has(from.ref()) {
				continue
			}
			to, got := s.allocClass(small)
			if !got {
				return at, false
			}
			if n := classBytes(small); small == class {
				copy(bytesAt(s.pool.mem.at(to), n), bytesAt(ptr(rec), n))
			} else {
				c := rec.content()
				s.recordAt(to).write(small, rec.key(), &c)
			}
			was := from.ref()
			from.pointTo(to)
			if class == largeClass {
				s.releaseLarge(was)
				continue
			}
			n := classBytes(class)
			s.liveBytes -= n // the copy replaces it
			if invariants {
				mangle(bytesAt(ptr(rec), n))
			}
			*s.nextFree(was) = s.oldFree[class]
			s.oldFree[class] = was
		}
	}
	next = in.next()
	if !s.shrinkLocked(in, keys) && all {
		log := s.table.entry(in.dir, in.lo).log()
		s.table.rebuild(&s.allocator, in.lo, in.hi, log)
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
			return t.rebuild(&s.allocator, before.lo, in.hi, splitSegLog)
		}
	}
	if in.lo > 0 || in.hi < in.dir.size() {
		return false
	}
	small := log
	for small > minSegLog && keys <= groupSlots<<(small-1)*3/4 {
		small--
	}
	return small < log && t.rebuild(&s.allocator, in.lo, in.hi, small)
}

// revertLocked moves the records of the segment at a directory position that are in
// the taken blocks back to where there was room at the start, and returns the
// position after it. Each that was moved has left its old place on the lists; what it
// leaves now is put aside, for the case that there isn't room for all.
func (s *shard) revertLocked(at uint64, taken blockSet) (next uint64, ok bool) {
	seg, in := s.table.segmentAt(at)
	for from := range seg.slots(0, seg.groups()) {
		rec := s.table.record(*from.slot)
		class := rec.class()
		if class == largeClass || !taken.has(from.ref()) {
			continue
		}
		to := s.oldFree[class]
		if to == 0 {
			return at, false
		}
		s.oldFree[class] = *s.nextFree(to)
		n := classBytes(class)
		copy(bytesAt(s.pool.mem.at(to), n), bytesAt(ptr(rec), n))
		s.putAside(from.ref(), rec, class)
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
