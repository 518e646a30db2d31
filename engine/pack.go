package engine

// pack gathers what is scattered. Where each shard's copies went depended on what was
// free just then, and large records lie where they were put: a round over all
// shards moves them, and the index, to the lowest pages. What a round can't improve,
// such as the rests beside large records, is accepted, and no reason for another.
func (m *maintainer) pack(leaves *effort) {
	before, used := m.pool.scattered()
	m.accepted = min(m.accepted, before)
	for before > max(leaves.leastScattered, used/leaves.scatteredPart, m.accepted*3/2) && !m.stopping() {
		moved := 0
		for i := range m.shards {
			m.compact(&m.shards[i], true)
			m.shards[i].packDirectory()
			m.packCalendar(&m.shards[i])
			moved += m.packLarge(&m.shards[i])
		}
		var after int
		after, used = m.pool.scattered()
		// Not what has been moved, nor what was freed meanwhile.
		m.accepted = max(0, min(before, after)-moved)
		before = after
	}
	m.pool.tidied(leaves)
}

// packDirectory moves the directory of a shard to lower pages, as a compaction does with
// its segments.
func (s *shard) packDirectory() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.copying = true
	s.table.lowerDir(&s.allocator, packPages*pageBytes)
	s.copying = false
}

// packCalendar moves the sheets of a shard's calendar to lower pages.
func (m *maintainer) packCalendar(s *shard) {
	if !m.pool.expires.Load() {
		return
	}
	for band := range bands + 1 { // the last is what is being walked through
		for from, more := 0, true; more && m.yield(); from += packPages {
			s.mu.Lock()
			more = s.lowerSheetsLocked(band, from)
			s.mu.Unlock()
			s.mu.letOthers()
		}
	}
}

// lowerSheetsLocked does so for packPages sheets of a band, after a number of them, and
// reports whether there are more.
func (s *shard) lowerSheetsLocked(band, from int) (more bool) {
	c := s.calendar
	if c == nil {
		return false
	}
	first := &c.walking
	if band < bands {
		first = &c.bands[band]
	}
	var before *sheet
	for r, n := *first, 0; r != 0; n++ {
		if n == from+packPages {
			return true
		}
		if n >= from {
			if to, ok := s.lowerSheet(r); ok && before != nil {
				before.setNext(to)
				r = to
			} else if ok {
				*first, r = to, to
			}
		}
		before = s.sheetAt(r)
		r = before.head.next()
	}
	return false
}

// lowerSheet moves a sheet to where there is room below it, and reports whether there is.
// What refers to it is the caller's.
func (s *shard) lowerSheet(r ref) (to ref, ok bool) {
	bytes := s.sheetAt(r).head.bytes()
	if to, ok = s.pool.allocIndex(bytes, 0, true); !ok {
		return r, false
	}
	from := r
	if to < r {
		copy(bytesAt(s.pool.mem.at(to), bytes), bytesAt(s.pool.mem.at(r), bytes))
	} else {
		from = to
	}
	s.pool.releaseIndex(from, bytes)
	return to, from == r
}

// packPages is what packLarge copies with a shard's lock held, or up to one record more,
// which has less than 2 MiB if it shares its chunk.
const packPages = 64

// packLarge moves the large records of a shard that share their chunk with others
// to the lowest pages that are free, so that chunks become empty. It returns how many
// pages it moved.
func (m *maintainer) packLarge(s *shard) (pages int) {
	for at, group := uint64(0), uint64(0); at < maxDirSize && m.yield(); {
		var moved int
		s.mu.Lock()
		at, group, moved = s.packLocked(at, group)
		s.mu.Unlock()
		s.mu.letOthers()
		pages += moved
	}
	return pages
}

// packLocked does so for the segment at a directory position, from a group on, and
// returns where to go on and how many pages it moved. If the segment has been rebuilt by
// then, some records stay where they are.
func (s *shard) packLocked(at, group uint64) (nextAt, nextGroup uint64, moved int) {
	if s.large == 0 {
		return maxDirSize, 0, 0
	}
	seg, in := s.table.segmentAt(at)
	for ; group < seg.groups(); group++ {
		if moved >= packPages {
			return at, group, moved
		}
		for from := range seg.slots(group, group+1) {
			if s.table.record(*from.slot).class() == largeClass {
				moved += s.lowerLocked(from.slot)
			}
		}
	}
	return in.next(), 0, moved
}

// lowerLocked moves a large record to lower pages, if there are any, and returns
// how many pages it has.
func (s *shard) lowerLocked(slot *slot) int {
	from := slot.ref()
	pages := int(s.largeAt(runOf(from)).pages)
	if pages > chunkPages {
		return 0
	}
	page, ok := s.pool.alloc(pages, 0)
	if !ok {
		return 0
	}
	if pageRef(page) >= from {
		s.pool.release(page, pages)
		return 0
	}
	n := pages*pageBytes - largePrefix
	to := largeRef(pageRef(page))
	copy(bytesAt(s.pool.mem.at(to), n), bytesAt(s.pool.mem.at(from), n))
	s.linkLarge(pageRef(page), pages)
	slot.pointTo(to)
	s.releaseLarge(from)
	return pages
}
