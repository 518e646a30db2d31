package engine

// This file is the policy of EvictVolatile: of the keys with a deadline, those whose time is
// over soonest, of a sample and of what the calendar knows.

// soonest returns the key with the next deadline of a few that have one: of those that the
// hand meets, or, if they are so few that it meets none, of those that the calendar has.
func (s *shard) soonest(ev *evictor, keep *slot) (found *slot) {
	if s.calendar == nil || s.calendar.records == 0 {
		return nil
	}
	var next int64
	seen := 0
	s.walk(ev, maxSampled, func(g *group, n uint64) bool {
		at := g.slot(n)
		rec := s.table.record(*at)
		if at == keep || !rec.head.expires() {
			return true
		}
		if deadline := rec.expiry().deadline(); found == nil || deadline < next {
			found, next = at, deadline
		}
		seen++
		return seen < sampledKeys
	})
	if found == nil {
		return s.soonestReminded(keep)
	}
	return found
}

// walk goes through groups from the hand on, at most so many, until look returns false. The
// hand is after the slot that look is shown.
func (s *shard) walk(ev *evictor, groups int, look func(*group, uint64) bool) {
	for ; groups > 0; groups-- {
		if g := s.groupAt(&ev.hand); g != nil {
			for m := g.control.from(ev.hand.slot); m != 0; m = m.rest() {
				n := m.first()
				if ev.hand.slot = n + 1; !look(g, n) {
					return
				}
			}
		}
		s.moveHand(ev)
	}
}

// soonestReminded looks at the last ones of the first bands of the calendar. On its way it takes reminders out that are left over; sheets stay, since one may
// have been made sure of for a reminder to come.
func (s *shard) soonestReminded(keep *slot) (found *slot) {
	c := s.calendar
	var next int64
	seen, looked := 0, 0
	for _, first := range c.bands {
		for r := first; r != 0 && looked < maxStale; r = s.sheetAt(r).head.next() {
			p := s.sheetAt(r)
			for i := p.head.len() - 1; i >= 0 && looked < maxStale && seen < sampledKeys; i-- {
				looked++
				m := *p.at(i)
				at := s.remindedBy(m)
				if at == nil {
					s.takeOut(p, i)
					continue
				}
				seen++
				if deadline := s.table.record(*at).expiry().deadline(); at != keep && (found == nil || deadline < next) {
					found, next = at, deadline
				}
			}
		}
		if found != nil {
			return found
		}
	}
	return nil
}

// dropLeftOver takes a reminder that is left over out of a sheet, and reports whether it
// found one: evictions leave theirs, and at the ceiling there may be no room for others.
func (s *shard) dropLeftOver(r ref) bool {
	if r == 0 {
		return false
	}
	p := s.sheetAt(r)
	for i := p.head.len() - 1; i >= max(0, p.head.len()-maxStale); i-- {
		if s.remindedBy(*p.at(i)) == nil {
			s.takeOut(p, i)
			return true
		}
	}
	return false
}

// evictReminded evicts the key of a reminder in the band of a tick, so that another has room
// there, and reports whether there was one.
func (s *shard) evictReminded(ev *evictor, t tick, keep *slot) bool {
	first := s.calendar.bands[s.calendar.bandOf(t)]
	if first == 0 {
		return false
	}
	p := s.sheetAt(first)
	for i := p.head.len() - 1; i >= 0; i-- {
		if at := s.remindedBy(*p.at(i)); at != nil && at != keep {
			s.evictSlot(ev, at, keep)
			if s.dropLeftOver(first) { // not if it is another's of the same position, too
				return true
			}
		}
	}
	return false
}

// takeOut takes a reminder out of a sheet.
func (s *shard) takeOut(p *sheet, i int) {
	p.head--
	*p.at(i) = *p.at(p.head.len())
	s.calendar.reminders--
}

// remindedBy returns the slot of a record whose reminder this is, nil if there is none.
func (s *shard) remindedBy(m reminder) *slot {
	for at := range s.table.slotsOf(m.position()) {
		if rec := s.table.record(*at); rec.head.expires() && rec.expiry().isRemindedAt(m.tick()) {
			return at
		}
	}
	return nil
}
