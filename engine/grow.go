package engine

import "math/bits"

// A directory doubles when a segment has but one entry. In a large store it becomes pairedSpan
// times as large once, and from then on the segments of pairs grow together: a pair of 6
// entries each becomes three segments of 4, and these four of 3; then the directory doubles,
// and they are two pairs. So a table grows by a half and by a third instead of to twice its
// size, and has 1.2 times the slots that it has when they are full, on average, where it would
// have 1.44 times as many. 1.25 slots are moved for each that comes, where a split moves half
// of one, and of 2.5 it is asked whether they are; so an insert takes 8 ns more, of 118, where
// the index is in a cache. Small stores, where little memory is at stake, go without.
const (
	pairedSpan = 6
	maxGang    = 3
	pairedFrom = 2 << 20 // keys of all shards; in the invariants build, as soon as they can
)

// pairs reports whether a store is large whose shards have so many keys each.
func (p *pool) pairs(keys int) bool { return keys >= p.pairedFrom }

// crowded reports whether a segment had better grow, of a table that has so many keys, when a
// key must go so far. To count a segment's keys is to read all of it, and one of 20 to 30
// inserts did; so it is taken to have its entries' share of all. Where many keys have gone it may
// have so many entries that it is quicker to count its keys.
func (t *table) crowded(pos position, seg segment, far uint64, keys int) bool {
	d := t.directory()
	most := int(seg.groups()) * groupSlots * crowdedPart / 32
	if t.paired {
		most = int(seg.groups()) * groupSlots * pairedPart / 32
	}
	if d.size() > mostEntries*uint64(t.segments) {
		return seg.countKeys() >= most
	}
	in := t.spanOf(d, pos.dirIndex(d.size()))
	return keys*int(in.hi-in.lo) >= most*int(d.size()) || far > veryFar && seg.countKeys() >= most
}

// mostEntries is how many entries a segment may have, on average, for its share to be asked.
const mostEntries = 32

// gang is neighbouring segments of the same span, which become one more.
type gang struct {
	lo, hi uint64 // entries
	n      uint64 // segments
}

// bound is the entry that the i-th of n segments begins at which share a gang's entries evenly.
func (g gang) bound(i, n uint64) uint64 { return g.lo + (g.hi-g.lo)*i/n }

// gangOf returns the segments that grow with the one of a span: its pair, or the three that
// have become of one. Otherwise it is alone.
func (t *table) gangOf(in span) gang {
	w := in.hi - in.lo
	if t.paired {
		if w%3 == 0 {
			if g := (gang{in.lo / (2 * w) * 2 * w, 0, 2}); t.isGang(&g, in) {
				return g
			}
		} else if w%4 == 0 {
			if g := (gang{in.lo / (3 * w) * 3 * w, 0, 3}); t.isGang(&g, in) {
				return g
			}
		}
	}
	return gang{in.lo, in.hi, 1}
}

// isGang reports whether a gang is segments of a span's length, none larger than those that
// are split.
func (t *table) isGang(g *gang, in span) bool {
	w := in.hi - in.lo
	g.hi = g.lo + g.n*w
	if g.hi > in.dir.size() {
		return false
	}
	for lo := g.lo; lo < g.hi; lo += w {
		if s := t.spanOf(in.dir, lo); s.lo != lo || s.hi != lo+w || t.entry(in.dir, lo).log() != splitSegLog {
			return false
		}
	}
	return true
}

// grow makes room around a position: it doubles a small segment, or makes one more of it and
// of those that grow with it.
func (t *table) grow(a *allocator, pos position, keys int) bool {
	d := t.directory()
	in := t.spanOf(d, pos.dirIndex(d.size()))
	log := t.entry(d, in.lo).log()
	if log < splitSegLog {
		return t.rebuild(a, in.lo, in.hi, log+1)
	}
	if w := in.hi - in.lo; log == splitSegLog && (w == 1 || w == pairedSpan/2 && t.paired) {
		pairs := !t.paired && a.pool.pairs(keys) && t.mayHave(d.size()*pairedSpan)
		times := uint64(2)
		if pairs {
			times = pairedSpan
		}
		if t.mayHave(d.size() * times) {
			if !t.enlargeDir(a, times) {
				return false
			}
			t.paired = t.paired || pairs
			d = t.directory()
			in = t.spanOf(d, pos.dirIndex(d.size()))
		}
	}
	if log == splitSegLog && in.hi-in.lo > 1 {
		return t.spread(a, in)
	}
	// Splitting doesn't help.
	return log < maxSegLog && t.rebuild(a, in.lo, in.hi, log+1)
}

// mayHave reports whether a directory may be of a size. The bound holds for hashes that differ
// in their directory bits; for others, one that doubles with each split would fill memory.
func (t *table) mayHave(size uint64) bool {
	return size <= maxDirSize && size <= uint64(8*t.segments+64)
}

func (t *table) enlargeDir(a *allocator, times uint64) bool {
	old := t.directory()
	d, ok := t.newDir(a, old.size()*times)
	if !ok {
		return false
	}
	for i := range old.size() {
		t.setEntries(d, times*i, times*(i+1), *t.entry(old, i))
	}
	t.setDir(d)
	t.freeDir(a, old)
	return true
}

// leaving has, for each group of a segment, the slots that go to the next one.
type leaving [1 << splitSegLog]bitset

// spread adds a segment after those of a span's gang, and shares their entries evenly among
// all. What goes to a segment comes from the one before it; the rest stays where it is.
func (t *table) spread(a *allocator, in span) bool {
	var leaves [maxGang]leaving
	g := t.gangOf(in)
	if !t.findLeaving(g, &leaves) && g.n > 1 {
		g = gang{in.lo, in.hi, 1}
		t.findLeaving(g, &leaves)
	}
	added, ok := t.newSegment(a, splitSegLog)
	if !ok {
		return false
	}
	to := added
	for i := g.n; i > 0; i-- { // the last first: it makes room for what the one before hands on
		e := *t.entry(in.dir, g.bound(i-1, g.n))
		t.segment(e).hand(t.segment(to), &leaves[i-1])
		to = e
	}
	to = added
	for i := g.n; i > 0; i-- { // none is overwritten before it is read
		e := *t.entry(in.dir, g.bound(i-1, g.n))
		t.setEntries(in.dir, g.bound(i, g.n+1), g.bound(i+1, g.n+1), to)
		to = e
	}
	t.setDir(in.dir)
	return true
}

// growsTo is how many keys a segment has at most that grew with others: three quarters.
const growsTo = groupSlots << splitSegLog * 3 / 4

// findLeaving finds what leaves the segments of a gang when it has one more, and reports
// whether each will have room for more then: only hashes that someone has chosen don't.
func (t *table) findLeaving(g gang, leaves *[maxGang]leaving) (fits bool) {
	d, come := t.directory(), 0
	fits = true
	for i := range g.n {
		stay, leave := t.segment(*t.entry(d, g.bound(i, g.n))).leavingFrom(d.first(g.bound(i+1, g.n+1)), &leaves[i])
		fits = fits && stay+come <= growsTo
		come = leave
	}
	return fits && come <= growsTo
}

// leavingFrom finds the slots of a segment from a position on, and returns how many it has
// before that, and from there on.
func (seg segment) leavingFrom(p position, leaves *leaving) (stay, leave int) {
	least := uint64(makeSlot(p, 0, 0))
	for i := range leaves {
		g := seg.group(uint64(i))
		goes := g.control.occupied() &^ g.below(least)
		leaves[i] = goes
		stay += g.control.occupied().count()
		leave += goes.count()
	}
	return stay - leave, leave
}

// below returns the slots that are less than one, without branches: which are is a matter of
// chance.
func (g *group) below(least uint64) bitset {
	_, b0 := bits.Sub64(uint64(g.slots[0]), least, 0)
	_, b1 := bits.Sub64(uint64(g.slots[1]), least, 0)
	_, b2 := bits.Sub64(uint64(g.slots[2]), least, 0)
	_, b3 := bits.Sub64(uint64(g.slots[3]), least, 0)
	_, b4 := bits.Sub64(uint64(g.slots[4]), least, 0)
	_, b5 := bits.Sub64(uint64(g.slots[5]), least, 0)
	_, b6 := bits.Sub64(uint64(g.slots[6]), least, 0)
	return bitset(b0<<7 | b1<<15 | b2<<23 | b3<<31 | b4<<39 | b5<<47 | b6<<55)
}

// hand moves the slots that leave a segment to another one.
func (seg segment) hand(to segment, leaves *leaving) {
	for i := range seg.groups() {
		g, there, m := seg.group(i), to.group(i), leaves[i]
		if seg.group(seg.probe(i, seg.mask)).control >= onePassed { // some here have gone past it
			m = seg.handFar(to, i, m)
		}
		if empty := there.control.empty(); m.count() <= empty.count() {
			g.give(there, m, empty)
			continue
		}
		for ; m != 0; m = m.rest() {
			n := m.first()
			to.place(*g.slot(n), g.control.tag(n))
			seg.erase(g.slot(n))
		}
	}
}

// give moves slots of a group, which are its own, to empty ones of another.
func (g *group) give(to *group, m, empty bitset) {
	c, there := g.control, to.control
	g.control = c &^ control(m>>7*0xFF)
	for ; m != 0; m = m.rest() {
		n, k := m.first(), empty.first()
		*to.slot(k), *g.slot(n) = *g.slot(n), 0
		there = there.with(k, c.tag(n))
		empty = empty.rest()
	}
	to.control = there
}

// handFar moves those slots of a group that are of others: closer to their own, or to another
// segment if they leave. It returns which still have to leave.
func (seg segment) handFar(to segment, i uint64, leaves bitset) bitset {
	g := seg.group(i)
	far := g.far(i) & g.control.occupied()
	for m := far; m != 0; m = m.rest() {
		n := m.first()
		s, tag := *g.slot(n), g.control.tag(n)
		g.control = g.control.without(n)
		*g.slot(n) = 0
		home := seg.home(s.position())
		for d := range seg.distance(home, i) {
			passed := seg.group(seg.probe(home, d))
			passed.control = passed.control.oneLessPast()
		}
		if m&-m&leaves != 0 {
			to.place(s, tag)
		} else {
			seg.place(s, tag)
		}
	}
	return leaves &^ far
}

// far returns the slots, of a group of a segment that is split, that aren't its own.
func (g *group) far(i uint64) bitset {
	b := func(s slot) uint64 {
		return ((uint64(s)>>slotShift^i)&(1<<splitSegLog-1) + 1<<splitSegLog - 1) >> splitSegLog
	}
	return bitset(b(g.slots[0])<<7 | b(g.slots[1])<<15 | b(g.slots[2])<<23 | b(g.slots[3])<<31 |
		b(g.slots[4])<<39 | b(g.slots[5])<<47 | b(g.slots[6])<<55)
}

// rebuild moves all slots of the segments of the entries [lo, hi), which must be
// whole segments, into a new one of 1<<log groups. It reports false if there is no memory.
func (t *table) rebuild(a *allocator, lo, hi, log uint64) bool {
	d := t.directory()
	to, ok := t.newSegment(a, log)
	if !ok {
		return false
	}
	seg := t.segment(to)
	for i := lo; i < hi; {
		end := t.spanOf(d, i).hi
		e := *t.entry(d, i)
		seg.placeAll(t.segment(e))
		t.setEntries(d, i, end, to)
		t.freeSegment(a, e)
		i = end
	}
	t.setDir(d)
	return true
}

// placeAll copies the slots of another segment.
func (seg segment) placeAll(from segment) {
	for i := range from.groups() {
		g := from.group(i)
		c := g.control
		for m := c.occupied(); m != 0; m = m.rest() {
			n := m.first()
			s := *g.slot(n)
			if !seg.group(seg.home(s.position())).put(s, c.tag(n)) {
				seg.place(s, c.tag(n))
			}
		}
	}
}
