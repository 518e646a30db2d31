package engine

import (
	"iter"
	"math/bits"
)

// A calendar has a reminder for each record of a shard that expires, so that the sweeper
// finds the dead ones and need not look at any other. It is a ladder of bands: lists of
// reminders that are not in order, each for a span of time eight times as long as that of
// the band before it. A band is gone through once in the span of the one before it, and what
// has come nearer by then goes down: so a reminder is read some eight times in each band,
// one after the other in memory, and nothing of its record until its time has come.
//
// A reminder is never changed from outside. A record knows by 16 bits which reminder is its
// own; others of its position are left over from what was removed, or had a later deadline
// once, and vanish when their time comes, or when there are more of them than of the others.
// A deadline that moves away leaves the reminder where it is: it asks at the old time, and
// again at the new one. So a session that is prolonged all the time has one reminder, which
// is written as often as it would have ended.
//
// The shard's lock guards it.
type calendar struct {
	walked    tick       // the time of the latest walk
	bands     [bands]ref // lists of sheets
	walking   ref        // sheets of the band that is being gone through, still to come
	at        int        // and how far the walk has come in the first of them
	late      uint       // a bit for each band in which something stayed for want of memory
	records   int        // that expire
	reminders int
	bytes     int // of sheets
}

const (
	// bands: up to 1 s, 8 s, 65 s, 9 min, 70 min, 9 h, 3 days, 25 days, and longer.
	bands   = 9
	bandLog = 3

	tickShift = 7 // a tick is 128 ms
	maxTick   = 1<<(64-posBits) - 1

	// A sheet is this long, and the first of a band short, so that a shard with a few
	// deadlines takes little.
	shortSheet = 512
	longSheet  = pageBytes
)

// tick is a time: milliseconds since 1970, without the lowest bits.
type tick uint64

// tick is the first at which a deadline is over.
func (x expiry) tick() tick { return tick(min((x.deadline()+1<<tickShift-1)>>tickShift, maxTick)) }

// remindedAt is the expiry of a record whose own reminder is that of a tick; isRemindedAt
// reports whether it is.
func (x expiry) remindedAt(t tick) expiry     { return x&^0xFFFF | expiry(t)&0xFFFF }
func (x expiry) isRemindedAt(t tick) bool     { return uint16(x) == uint16(t) }
func (x expiry) remindedAs(old expiry) expiry { return x&^0xFFFF | old&0xFFFF }

// reminder is a tick, above the position of a record that may be dead then. 0 is none.
type reminder uint64

func makeReminder(t tick, p position) reminder { return reminder(t)<<posBits | reminder(p) }
func (m reminder) tick() tick                  { return tick(m >> posBits) }
func (m reminder) position() position          { return position(m & posMask) }

// sheet is a part of a band: its head, and reminders.
type sheet struct{ head sheetHead }

// sheetHead is the reference of the next sheet, a bit for long ones, and how many
// reminders the sheet has.
type sheetHead uint64

const (
	sheetNextShift = 16
	sheetIsLong    = 1 << 15
)

func (h sheetHead) next() ref { return ref(h >> sheetNextShift) }
func (h sheetHead) len() int  { return int(h & (sheetIsLong - 1)) }
func (h sheetHead) bytes() int {
	if h&sheetIsLong != 0 {
		return longSheet
	}
	return shortSheet
}
func (h sheetHead) room() int { return h.bytes()/8 - 1 - h.len() }

func (p *sheet) at(i int) *reminder { return (*reminder)(add(ptr(p), uint64(8+i*8))) }

func (p *sheet) push(m reminder) {
	*p.at(p.head.len()) = m
	p.head++
}

func (p *sheet) setNext(r ref) { p.head = p.head&(1<<sheetNextShift-1) | sheetHead(r)<<sheetNextShift }

func (s *shard) sheetAt(r ref) *sheet { return (*sheet)(s.pool.mem.at(r)) }

// bandOf is the band of a tick: how far it is from the latest walk.
func (c *calendar) bandOf(t tick) int {
	if t <= c.walked {
		return 0
	}
	return min((bits.Len64(uint64(t-c.walked))-1)/bandLog, bands-1)
}

// roomToRemind makes sure that a reminder of this tick can be added.
func (s *shard) roomToRemind(t tick) bool {
	if s.calendar == nil {
		s.calendar = new(calendar)
		s.pool.expires.Store(true)
	}
	s.borrowing = s.pool.evictors != nil // a sheet is seldom new, and for many
	ok := s.roomInBand(s.calendar, s.calendar.bandOf(t), s.spare())
	s.borrowing = false
	if !ok && s.pool.evictors != nil {
		return s.dropLeftOver(s.calendar.bands[s.calendar.bandOf(t)])
	}
	return ok
}

// roomInBand makes sure that a band's first sheet isn't full.
func (s *shard) roomInBand(c *calendar, band, spare int) bool {
	first := c.bands[band]
	bytes := longSheet
	if first == 0 {
		bytes = shortSheet
	} else if s.sheetAt(first).head.room() > 0 {
		return true
	}
	r, ok := s.pool.allocIndex(bytes, spare, false)
	if !ok {
		return false
	}
	p := s.sheetAt(r)
	p.head = 0
	if bytes == longSheet {
		p.head = sheetIsLong
	}
	p.setNext(first)
	c.bands[band] = r
	c.bytes += bytes
	return true
}

// remind adds a reminder, for which there is room.
func (s *shard) remind(t tick, p position) {
	c := s.calendar
	s.sheetAt(c.bands[c.bandOf(t)]).push(makeReminder(t, p))
	if c.reminders++; c.reminders == 1 {
		s.pool.sweep()
	}
}

// releaseSheet gives a sheet back.
func (s *shard) releaseSheet(c *calendar, r ref) {
	bytes := s.sheetAt(r).head.bytes()
	c.bytes -= bytes
	s.pool.releaseIndex(r, bytes)
}

// sheets goes through all sheets, those of a walk included.
func (c *calendar) sheets(p *pool) iter.Seq2[ref, *sheet] {
	return func(yield func(ref, *sheet) bool) {
		for _, r := range append(c.bands[:], c.walking) {
			for r != 0 {
				sheet := (*sheet)(p.mem.at(r))
				next := sheet.head.next()
				if !yield(r, sheet) {
					return
				}
				r = next
			}
		}
	}
}

// releaseOne gives a sheet of a calendar that is given up back, and reports whether there
// was one.
func (c *calendar) releaseOne(p *pool) bool {
	for r, sheet := range c.sheets(p) {
		next, bytes := sheet.head.next(), sheet.head.bytes()
		for band := range c.bands {
			if c.bands[band] == r {
				c.bands[band] = next
			}
		}
		if c.walking == r {
			c.walking = next
		}
		p.releaseIndex(r, bytes)
		return true
	}
	return false
}

// walkBand begins to go through a band.
func (c *calendar) walkBand(band int) {
	c.walking, c.at, c.bands[band] = c.bands[band], 0, 0
	c.late &^= 1 << band
}

// maxLooked is how many reminders a step of a walk looks into: 32 records that are met and
// freed take some 5 µs, 8 at p99. With 64 it was 7 and 15.
const maxLooked = 32

// walkLocked is a step of the way through a band: it asks the records of the reminders whose
// time has come, or of all if it is to find those that are left over. It returns how many
// records it has dropped, and whether there is more to walk through.
func (s *shard) walkLocked(c *calendar, band int, now int64, all bool) (dropped int, more bool) {
	if c.walking == 0 {
		return 0, false
	}
	p := s.sheetAt(c.walking)
	var looked [maxLooked]*reminder
	n := 0
	for ; c.at < p.head.len() && n < maxLooked; c.at++ {
		if m := p.at(c.at); all || m.tick() <= c.walked {
			looked[n] = m
			n++
		}
	}
	s.touchReminded(looked[:n])
	for _, m := range looked[:n] {
		next, drops := s.askLocked(*m, now)
		dropped += drops
		if next == 0 {
			*m = 0
			c.reminders--
		} else {
			*m = makeReminder(next, m.position())
		}
	}
	if c.at == p.head.len() {
		s.sortSheetLocked(c, band, p)
	}
	return dropped, true
}

// askLocked asks the records whose reminder this is: it drops those that are dead, and
// returns when to ask the others, 0 if there are none.
func (s *shard) askLocked(m reminder, now int64) (next tick, dropped int) {
	t := &s.table
	for slot := range t.slotsOf(m.position()) {
		rec := t.record(*slot)
		if !rec.head.expires() || !rec.expiry().isRemindedAt(m.tick()) {
			continue
		}
		if x := rec.expiry(); x.deadline() <= now {
			s.dropLocked(slot, rec)
			dropped++
		} else if next == 0 || x.tick() < next {
			next = x.tick()
		}
	}
	if next == 0 || next == m.tick() {
		return next, dropped
	}
	for slot := range t.slotsOf(m.position()) {
		if rec := t.record(*slot); rec.head.expires() && rec.expiry().isRemindedAt(m.tick()) {
			rec.setExpiry(rec.expiry().remindedAt(next))
		}
	}
	return next, dropped
}

// sortSheetLocked takes a sheet that has been gone through from the walk: its reminders go
// where they belong.
func (s *shard) sortSheetLocked(c *calendar, band int, p *sheet) {
	r, kept := c.walking, 0
	c.walking, c.at = p.head.next(), 0
	for i := range p.head.len() {
		m := *p.at(i)
		if m == 0 {
			continue
		}
		if to := c.bandOf(m.tick()); to != band {
			if s.roomInBand(c, to, 0) {
				s.sheetAt(c.bands[to]).push(m)
				continue
			}
			c.late |= 1 << band
		}
		*p.at(kept) = m
		kept++
	}
	p.head -= sheetHead(p.head.len() - kept)
	first := c.bands[band]
	if first != 0 && s.sheetAt(first).head.room() >= kept {
		for i := range kept {
			s.sheetAt(first).push(*p.at(i))
		}
		kept = 0
	}
	if kept == 0 {
		s.releaseSheet(c, r)
		return
	}
	p.setNext(first)
	c.bands[band] = r
}

// touchReminded loads a word of each group and of each record that reminders are about, so
// that their cache misses overlap.
func (s *shard) touchReminded(reminders []*reminder) {
	t, sum := &s.table, uint64(0)
	for _, m := range reminders {
		seg := t.segment(t.entryOf(m.position()))
		sum += uint64(seg.group(seg.home(m.position())).control)
	}
	for _, m := range reminders {
		seg := t.segment(t.entryOf(m.position()))
		for i := range uint64(groupSlots) {
			if slot := *seg.group(seg.home(m.position())).slot(i); slot.position() == m.position() {
				sum += *word(t.mem.at(slot.ref()))
			}
		}
	}
	sink.Store(sum)
}

// slotsOf goes through the slots of a position. Each may be erased when it is met.
func (t *table) slotsOf(p position) iter.Seq[*slot] {
	return func(yield func(*slot) bool) {
		seg := t.segment(t.entryOf(p))
		home := seg.home(p)
		for i := range seg.groups() {
			g := seg.group(seg.probe(home, i))
			for set := g.control.occupied(); set != 0; set = set.rest() {
				if slot := g.slot(set.first()); slot.position() == p && !yield(slot) {
					return
				}
			}
			if g.control.passed() == 0 {
				return
			}
		}
	}
}
