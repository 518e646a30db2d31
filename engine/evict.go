package engine

import (
	"bytes"
	"fmt"
	"strconv"
)

// Evict says which keys a store at its ceiling may drop to make room for others.
type Evict uint8

// The policies.
const (
	EvictNone     Evict = iota // none: what finds no room is refused with OutOfMemory
	EvictVolatile              // those that have a deadline; of a sample, the one whose is next
	EvictAll                   // all; those that are asked for least
)

var evictNames = [...]string{"none", "volatile", "all"}

func (p Evict) String() string {
	if int(p) < len(evictNames) {
		return evictNames[p]
	}
	return strconv.Itoa(int(p))
}

// MarshalText makes none, volatile or all of it.
func (p Evict) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText takes none, volatile or all.
func (p *Evict) UnmarshalText(text []byte) error {
	for i, name := range evictNames {
		if string(text) == name {
			*p = Evict(i)
			return nil
		}
	}
	return fmt.Errorf("want one of %v", evictNames)
}

const (
	newcomersPart = 10 // newcomers are one in so many of the keys
	filterPart    = 32 // of the ceiling, one byte in so many is the filters'
)

// Bounds on what one insert does. Not yet measured against others.
const (
	maxVictims  = 64  // keys that it evicts, of its own shard
	maxPaid     = 8   // of them for what earlier ones have borrowed
	maxSwept    = 128 // groups that the hand goes through for one victim
	maxStale    = 64  // newcomers that have gone or are main keys, and reminders, for one victim
	sampledKeys = 5   // with a deadline, for one victim of EvictVolatile
	maxSampled  = 16  // groups that are looked through for them
	maxNear     = 32  // groups that are looked through for a key of a segment
)

// At the ceiling evicting inserts may borrow from a part of memory that others have to
// leave. So what is freed in one size makes room for another before the shard is
// compacted. What is borrowed is paid for by evicting as much, a few keys an insert.
const (
	loanPart    = 32 // of the ceiling, one in so many
	garbagePart = 32 // while others borrow, a shard with more garbage than that is compacted
	latePart    = 4  // a shard with more than that waits for it already; see churned
)

// evictor is a shard's part in eviction; the shard's lock guards it.
type evictor struct {
	policy   Evict
	recorded bool // the keys that are evicted are kept for the batch's effects

	full    bool // the shard has been full: keys that come are newcomers
	hand    hand
	filter  filter
	debt    int // bytes that were borrowed and not paid for
	evicted int // keys, since the start

	gone [][]byte // the evicted keys that no batch has noted yet
}

// evictor returns the shard's, nil if nothing is evicted.
func (s *shard) evictor() *evictor {
	if s.pool.evictors == nil {
		return nil
	}
	return &s.pool.evictors[s.stagger]
}

// initEvictors makes what eviction needs, before any shard has memory.
func (p *pool) initEvictors(policy Evict, shards int, recorded bool) {
	if policy == EvictNone {
		return
	}
	p.evictors = make([]evictor, shards)
	p.loan = p.maxChunks * chunkPages / loanPart
	each := 0
	if policy == EvictAll {
		each = p.maxChunks * chunkBytes / filterPart / shards &^ 63
	}
	var base ref
	if each > 0 {
		p.filterPages = (each*shards + pageBytes - 1) / pageBytes
		page, ok := p.alloc(p.filterPages, 0)
		if !ok {
			p.filterPages, each = 0, 0 // the states alone have to do
		}
		base = pageRef(page)
	}
	p.shareBytes = (p.maxChunks*chunkPages - p.filterPages - p.reserve - p.loan) * pageBytes / shards
	for i := range p.evictors {
		ev := &p.evictors[i]
		ev.policy, ev.recorded = policy, recorded
		if each > 0 {
			ev.filter = makeFilter(p.mem.at(base+wordsOf(each*i)), each)
		}
	}
}

// clear forgets what was known of the keys of a shard that has none any more.
func (ev *evictor) clear() {
	ev.full, ev.debt, ev.hand = false, 0, hand{}
	ev.filter.oldest, ev.filter.newcomers = 0, 0
}

// insertEvicting is insertLocked of a store that evicts; it never evicts the key of the
// slot keep, which may be nil.
func (s *shard) insertEvicting(h hash, key []byte, c *content, keep *slot) Status {
	ev := s.evictor()
	if !s.scheduleNew(c) && !s.evictReminded(ev, c.expiry.tick(), keep) {
		return s.refuse()
	}
	st := ev.firstState(h)
	if ev.full {
		s.payLocked(ev, keep)
	}
	n, _ := recordBytes(len(key), c.bytes())
	r, class, ok := s.alloc(n)
	if !ok {
		if r, class, ok = s.makeRoomLocked(n, keep); !ok {
			return s.refuse()
		}
	}
	rec := s.recordAt(r)
	rec.write(class, key, c)
	index := s.table.bytes
	s.borrowing = ev.full // the index grows seldom, and for all
	ok, crowded := s.table.insert(&s.allocator, int(s.stagger), int(s.keys.Load()), h, st, r)
	s.borrowing = false
	if crowded {
		// A segment that can't grow must not become full: every lookup would go through it.
		s.evictNear(ev, h.position(), r, keep)
		if !ok {
			ok, _ = s.table.insert(&s.allocator, int(s.stagger), int(s.keys.Load()), h, st, r)
		}
	}
	if !ok {
		s.release(r, rec)
		return s.refuse()
	}
	s.keys.Store(s.keys.Load() + 1)
	if c.expiry != 0 {
		s.calendar.records++
		s.remind(c.expiry.tick(), h.position())
	}
	if ev.full {
		ev.debt += max(s.table.bytes-index, 0)
	}
	if st == newcomer && ev.policy == EvictAll {
		ev.filter.pushNewcomer(makeArrival(h.position(), h.tag()))
	}
	return Created
}

// makeRoomLocked finds room for a record of n bytes after alloc could not, by evicting. It
// never evicts the key of the slot keep, which may be nil.
func (s *shard) makeRoomLocked(n int, keep *slot) (r ref, class int, ok bool) {
	ev := s.evictor()
	if !ev.full {
		ev.full = true
		if ev.policy == EvictAll {
			ev.filter.reset(int(s.keys.Load()))
		}
	}
	if s.isSmall() {
		if r, class, ok = s.borrow(n); ok {
			return r, class, true // which the larger shards pay for
		}
	}
	if s.garbage(false)*latePart > s.blockBytes {
		// The maintainer is late: there is room for many, in pieces of other sizes.
		if r, class, ok = s.allocFreed(n); ok {
			return r, class, true
		}
	}
	freed := 0
	for range maxVictims {
		room := s.evictLocked(ev, keep)
		if room == 0 {
			break
		}
		if r, class, ok = s.allocFreed(n); ok {
			return r, class, true
		}
		if freed += room; freed >= n {
			break
		}
	}
	had := s.blockBytes + s.largeBytes
	if r, class, ok = s.borrow(n); ok {
		ev.debt += max(s.blockBytes+s.largeBytes-had-freed, 0)
	} else {
		if s.oldBlocks > 0 {
			s.giveUpLocked()
		}
		for i := 0; !ok && i < maxVictims && s.evictLocked(ev, keep) > 0; i++ {
			r, class, ok = s.allocFreed(n)
		}
	}
	s.checkLent()
	return r, class, ok
}

// payLocked evicts a few keys for what was borrowed, or if the shard has more than its
// share.
func (s *shard) payLocked(ev *evictor, keep *slot) {
	for range maxPaid {
		if ev.debt <= 0 && !s.isLarge() {
			break
		}
		room := s.evictLocked(ev, keep)
		if room == 0 {
			break
		}
		ev.debt = max(ev.debt-room, 0)
	}
	s.checkLent()
}

// isSmall and isLarge compare what a shard holds with the same part for each.
func (s *shard) isSmall() bool {
	return (s.blockBytes+s.largeBytes+s.table.bytes)*4 < s.pool.shareBytes*3
}

func (s *shard) isLarge() bool {
	return (s.blockBytes+s.largeBytes+s.table.bytes-s.freeBytes)*8 > s.pool.shareBytes*9
}

// checkLent has the shard compacted for less than otherwise while memory is lent.
func (s *shard) checkLent() {
	garbage := s.garbage(false)
	if s.oldBlocks == 0 && garbage > 2*pageBytes && garbage*garbagePart > s.blockBytes && s.freeBytes > s.retryAboveBytes &&
		!s.wantCompact.Load() && s.pool.isLending() {
		s.wantCompact.Store(true)
		s.pool.wake()
	}
}

// spareOfLoans is what a loan has to leave: the reserve, or, while it is used, what is
// still needed of it. But little is lent then, since the next compaction needs it, too.
func (p *pool) spareOfLoans() int {
	if n := p.forCopies.Load(); n > 0 && p.lentBeside.Load() < 3*maxBlockPages {
		return int(n) + 2*maxBlockPages
	}
	return p.reserve
}

// isLending reports whether more than half of what may be lent is.
func (p *pool) isLending() bool { return p.left() < p.reserve+p.loan/2 }

// borrow is alloc out of what only inserts may have that have evicted something.
func (s *shard) borrow(n int) (r ref, class int, ok bool) {
	s.borrowing = true
	had := s.blockBytes + s.largeBytes
	r, class, ok = s.alloc(n)
	s.borrowing = false
	if s.pool.forCopies.Load() > 0 {
		s.pool.lentBeside.Add(int64((s.blockBytes + s.largeBytes - had) / pageBytes))
	}
	return r, class, ok
}

// evictLocked evicts one key and returns how many bytes its record had; 0 if there is none
// to evict.
func (s *shard) evictLocked(ev *evictor, keep *slot) (room int) {
	if s.keys.Load() == 0 {
		return 0
	}
	var at *slot
	if ev.policy == EvictVolatile {
		at = s.soonest(ev, keep)
	} else if at = s.oldestNewcomer(ev, keep); at == nil {
		at = s.sweep(ev, keep)
	}
	if at == nil {
		return 0
	}
	return s.evictSlot(ev, at, keep)
}

// evictNear evicts the key whose state is the lowest of those that are in the group of a
// position, or in the groups after it, except the keys of a record and of a slot.
func (s *shard) evictNear(ev *evictor, p position, r ref, keep *slot) {
	seg := s.table.segment(s.table.entryOf(p))
	home := seg.home(p)
	for i := range min(seg.groups(), maxNear) {
		group := seg.probe(home, i)
		var lowest *slot
		for from := range seg.slots(group, group+1) {
			if from.slot == keep || from.ref() == r || ev.policy == EvictVolatile && !s.table.record(*from.slot).head.expires() {
				continue
			}
			if lowest == nil || from.state() < lowest.state() {
				lowest = from.slot
			}
		}
		if lowest != nil {
			s.evictSlot(ev, lowest, keep)
			return
		}
	}
}

// evictSlot evicts the key of a slot and returns how many bytes its record had. A segment that
// found no memory to grow is full, and its keys lie far from their own groups; they would stay
// there when it has room again, those that are asked for most the longest. So a key that had gone
// past comes back to where the evicted one was. Where that was a main key it would come from
// ahead of the hand to where the hand has been, and be spared: of sets of a zipf distribution
// 16.25 % missed instead of 16.12.
func (s *shard) evictSlot(ev *evictor, at, keep *slot) (room int) {
	rec := s.table.record(*at)
	if ev.recorded {
		ev.gone = append(ev.gone, bytes.Clone(rec.key()))
	}
	g, n := groupOf(at)
	p, isNewcomer := at.position(), at.state() == newcomer
	if ev.policy == EvictAll {
		ev.filter.remember(p, g.control.tag(n))
	}
	room = s.room(at.ref(), rec)
	s.dropLocked(at, rec)
	if isNewcomer && g.control >= onePassed {
		s.table.segment(s.table.entryOf(p)).pull(g, n, keep)
	}
	ev.evicted++
	return room
}

// noteEvicted notes the effects of evictions from a shard, which must be locked.
func (e *Engine) noteEvicted(b *Batch, s *shard, shard hash) {
	ev := s.evictor()
	if ev == nil || len(ev.gone) == 0 {
		return
	}
	for _, gone := range ev.gone {
		from := len(b.scratch)
		b.scratch = append(b.scratch, gone...)
		b.recordCopy(s, shard, effectEvicted, from, 0, 0)
	}
	clear(ev.gone)
	ev.gone = ev.gone[:0]
}
