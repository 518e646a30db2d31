package engine

// With EvictAll a slot has a state. A key that comes when the shard is full is a newcomer.
// If it is asked for again it is one of the main keys; each time that one of those is
// asked for its state rises. Newcomers are a tenth of the keys: when there are more, the
// one that came first is evicted, and remembered in the ghost. Otherwise a hand goes through
// the table, lowers the states of main keys by one, and evicts the first whose is the
// lowest. A key that comes while the ghost remembers it is a main key at once.
//
// It is S3-FIFO (Yang and others, SOSP 2023) without its queues: the order of the main keys
// is that of their hashes, which is no order at all, and which loops that don't fit like
// better than any. bench/rivals/eviction compares it with others.
type state uint64

const (
	newcomer  state = 0
	mainFirst state = 1
	mainLast  state = 1<<stateBits - 1
)

// touch notes that a key was asked for.
func (s *slot) touch() {
	if s.state() != mainLast {
		*s += 1 << stateShift
	}
}

// firstState is that of a key that comes.
func (ev *evictor) firstState(h hash) state {
	if ev.policy != EvictAll {
		return newcomer
	}
	if !ev.full || ev.filter.recall(h.position(), h.tag()) || ev.filter.newcomers == ev.filter.size {
		return mainFirst
	}
	return newcomer
}

// oldestNewcomer returns the newcomer that came first, if there are too many.
func (s *shard) oldestNewcomer(ev *evictor, keep *slot) *slot {
	f := &ev.filter
	for range maxStale {
		if f.newcomers == 0 || f.newcomers <= f.mostNewcomers(int(s.keys.Load())) {
			return nil
		}
		came := f.popNewcomer()
		s.hintNewcomers(f)
		if at := s.table.findNewcomer(came); at != nil && at != keep {
			return at
		}
	}
	return nil
}

// findNewcomer returns the slot of a newcomer. Two keys of the same position are one as good
// as the other.
func (t *table) findNewcomer(came arrival) *slot {
	p := came.position()
	seg := t.segment(t.entryOf(p))
	home := seg.home(p)
	for i := range seg.groups() {
		g := seg.group(seg.probe(home, i))
		for m := came.matchedBy(g.control); m != 0; m = m.rest() {
			if at := g.slot(m.first()); at.position() == p && at.state() == newcomer {
				return at
			}
		}
		if g.control < onePassed {
			return nil
		}
	}
	return nil
}

// homeOf returns the group that keys of a position begin in.
func (t *table) homeOf(p position) *group {
	seg := t.segment(t.entryOf(p))
	return seg.group(seg.home(p))
}

// An eviction would be four cache misses one after the other: of the group, of both lines of its
// slot's record, and of the bucket of the ghost. So each asks for what the next ones need: of
// the newcomers, the group of the third, and what belongs to the first.
const groupsAhead = 3 // not yet measured against other numbers

// hintNewcomers asks for what the eviction of the newcomers that come next will need.
func (s *shard) hintNewcomers(f *filter) {
	if !OffHeap || f.newcomers < groupsAhead {
		return
	}
	next := f.peekNewcomer(0)
	g := s.table.homeOf(next.position())
	s.hintVictim(f, g, (next.matchedBy(g.control) | lastSlot).first(), s.table.homeOf(f.peekNewcomer(groupsAhead-1).position()))
}

// hintVictim asks for what the eviction of a slot's key will need, which need not be in use,
// and for a group.
func (s *shard) hintVictim(f *filter, g *group, slot uint64, far *group) {
	bucket := ptr(far)
	if f.buckets > 0 {
		b, _ := f.printOf(g.slot(slot).position(), g.control.tag(slot))
		bucket = ptr(b)
	}
	prefetchVictim(s.table.mem.at(g.slot(slot).ref()), ptr(far), bucket)
}

// hand is how far the walk has come that looks for a victim: a directory position, a group of
// the segment there, and a slot of that.
type hand struct{ at, group, slot uint64 }

// entry is the one at the hand.
func (h *hand) entry(t *table) entry { return t.entryOf(position(h.at << groupBits)) }

// groupAt returns the group at the hand, nil if its segment has become smaller.
func (s *shard) groupAt(h *hand) *group {
	seg := s.table.segment(h.entry(&s.table))
	if h.group >= seg.groups() {
		return nil
	}
	return seg.group(h.group)
}

// moveHand moves it to the next group.
func (s *shard) moveHand(ev *evictor) {
	h := &ev.hand
	h.slot = 0
	if h.group++; h.group <= h.entry(&s.table).mask() {
		return
	}
	_, in := s.table.segmentAt(h.at)
	if h.at, h.group = in.next(), 0; h.at >= maxDirSize {
		h.at = 0
		ev.filter.resizeGhost(int(s.keys.Load()))
	}
}

// from returns the slots in use from one on.
func (c control) from(i uint64) bitset { return c.occupied() &^ (1<<(i*8) - 1) }

// sweep returns the first main key from the hand on whose state is the lowest, after it has
// lowered those of the others. If there is none near, it returns the last key that it
// has seen. The hand goes on to the next such key at once, which the next sweep begins with.
func (s *shard) sweep(ev *evictor, keep *slot) *slot {
	g, at := s.seek(ev, maxSwept, keep)
	if g == nil {
		return at
	}
	ev.hand.slot++
	if g, _ := s.seek(ev, hintedGroups, nil); g != nil && OffHeap {
		// After a segment's last group there is another's, or something else: harmless.
		s.hintVictim(&ev.filter, g, ev.hand.slot, (*group)(add(ptr(g), groupBytes)))
	}
	return at
}

// hintedGroups is how many groups the hand goes through at most to the next key: those that it
// has asked for.
const hintedGroups = 2

// seek moves the hand to the first main key whose state is the lowest, and lowers those of the
// others on its way. It returns the key's group and slot; if there is none in so many groups, no
// group, and the last key that it has seen.
func (s *shard) seek(ev *evictor, groups int, keep *slot) (g *group, last *slot) {
	h := &ev.hand
	for ; groups > 0; groups-- {
		if g := s.groupAt(h); g != nil {
			for m := g.control.from(h.slot); m != 0; m = m.rest() {
				h.slot = m.first()
				at := g.slot(h.slot)
				if at == keep {
					continue
				}
				last = at
				if st := at.state(); st == mainFirst {
					return g, at
				} else if st > mainFirst {
					*at -= 1 << stateShift
				}
			}
		}
		s.moveHand(ev)
	}
	return nil, last
}
