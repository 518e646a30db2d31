package engine

import (
	"iter"
	"math/bits"
)

// A group is a cache line: a control word, then seven slots.
//
//	control word:  byte 7: how many keys passed this group by, because it was
//	               full, on the way from the group that is theirs (255: lost
//	               count, stays). Bytes 0 to 6: for each slot 0, which is empty,
//	               or its tag.
//	slot:          26 bits of hash (the position), 2 bits that eviction has (the state),
//	               36 bits of reference to the record.
const (
	groupSlots = 7
	groupBytes = 64
	groupWords = groupBytes / 8
	refBits    = 36
	refMask    = 1<<refBits - 1
	stateBits  = 64 - posBits - refBits
	stateShift = refBits
	slotShift  = refBits + stateBits

	lowBytes   = 0x0101010101010101
	slotHighs  = 0x0080808080808080 // the high bit of each slot's control byte
	lastSlot   = 1 << 55            // the highest of them
	onePassed  = 1 << 56
	manyPassed = 255
)

// ref is a place in the Engine's memory, of a record or of a part of the index: a
// count of words of 8 bytes. 0 is none.
type ref uint64

// pageRef is where a page begins; page is the page that a reference points into.
func pageRef(page uint64) ref { return ref(page * pageWords) }
func (r ref) page() uint64    { return uint64(r) / pageWords }

// slot is what a group keeps of a key.
type slot uint64

func makeSlot(p position, st state, r ref) slot {
	return slot(p)<<slotShift | slot(st)<<stateShift | slot(r)
}
func (s slot) position() position { return position(s >> slotShift) }
func (s slot) state() state       { return state(s >> stateShift & (1<<stateBits - 1)) }
func (s slot) ref() ref           { return ref(s & refMask) }

// pointTo has a slot refer to another record of its key.
func (s *slot) pointTo(r ref) { *s = *s&^refMask | slot(r) }

// group is a line of a segment.
type group struct {
	control control
	slots   [groupSlots]slot // reached through slot, which checks no bound
}

func (g *group) slot(i uint64) *slot { return (*slot)(add(ptr(g), 8+i*8)) }

// control is a group's control word.
type control uint64

// match returns the slots with a tag: bytes that are zero after the exclusive or have
// their high bit set when 1 is subtracted, and had not before. A false one may follow
// a true one, which the subtraction has borrowed for.
func (c control) match(t tags) bitset {
	x := uint64(c) ^ uint64(t)
	return bitset((x - lowBytes) &^ x & slotHighs)
}

func (c control) occupied() bitset { return bitset(c & slotHighs) }
func (c control) empty() bitset    { return bitset(^c & slotHighs) }

func (c control) tag(i uint64) tag { return tag(c >> (i * 8) & 0xFF) }

// with is c after a tag has been put into an empty slot's byte; without is c after a
// slot has become empty.
func (c control) with(i uint64, t tag) control { return c | control(t)<<(i*8) }
func (c control) without(i uint64) control     { return c &^ (0xFF << (i * 8)) }

// passed is how many keys have gone past the group.
func (c control) passed() uint64 { return uint64(c) >> 56 }

// onePast and oneLessPast are c after a key has gone past the group, and after such a
// key has been removed.
func (c control) onePast() control {
	if c.passed() == manyPassed {
		return c
	}
	return c + onePassed
}

func (c control) oneLessPast() control {
	if c.passed() == manyPassed {
		return c
	}
	return c - onePassed
}

// bitset has the high bit of the control byte of each slot that is meant.
type bitset uint64

// first is the lowest slot that is meant; rest is the set without it.
func (b bitset) first() uint64 { return uint64(bits.TrailingZeros64(uint64(b))) >> 3 }
func (b bitset) rest() bitset  { return b & (b - 1) }
func (b bitset) count() int    { return bits.OnesCount64(uint64(b)) }

// entry is what a directory says of a segment: its reference, above 8 bits of the
// binary logarithm of its groups.
type entry uint64

func makeEntry(r ref, log uint64) entry { return entry(r)<<8 | entry(log) }
func (e entry) ref() ref                { return ref(e >> 8) }
func (e entry) log() uint64             { return uint64(e & 63) }
func (e entry) mask() uint64            { return 1<<(e&63) - 1 }

// segment is groups, a power of two of them; mask is one less than that.
type segment struct {
	base ptr
	mask uint64
}

func (seg segment) group(i uint64) *group { return (*group)(add(seg.base, i*groupBytes)) }
func (seg segment) groups() uint64        { return seg.mask + 1 }

// indexOf is group's inverse.
func (seg segment) indexOf(g *group) uint64 {
	return uint64(addrOf(ptr(g))-addrOf(seg.base)) / groupBytes
}

// home is the group that is a position's own.
func (seg segment) home(p position) uint64 { return uint64(p) & seg.mask }

// probe returns the i-th group that is asked for a key whose own is home, which is the 0th;
// distance is its inverse.
func (seg segment) probe(home, i uint64) uint64     { return (home + i) & seg.mask }
func (seg segment) distance(home, at uint64) uint64 { return (at - home) & seg.mask }

// occupiedSlot is a slot in use: its group, its tag, and the slot itself.
type occupiedSlot struct {
	group uint64
	tag   tag
	*slot
}

// slots goes through the slots in use of the groups from one to before another. Each
// group's control word is read once, before its slots.
func (seg segment) slots(from, to uint64) iter.Seq[occupiedSlot] {
	return func(yield func(occupiedSlot) bool) {
		for i := from; i < to; i++ {
			g := seg.group(i)
			c := g.control
			for m := c.occupied(); m != 0; m = m.rest() {
				n := m.first()
				if !yield(occupiedSlot{i, c.tag(n), g.slot(n)}) {
					return
				}
			}
		}
	}
}

func (seg segment) countKeys() int {
	n := 0
	for i := range seg.groups() {
		n += seg.group(i).control.occupied().count()
	}
	return n
}

// put writes a slot into the group, if it has room.
func (g *group) put(s slot, t tag) bool {
	empty := g.control.empty()
	if empty == 0 {
		return false
	}
	n := empty.first()
	*g.slot(n) = s
	g.control = g.control.with(n, t)
	return true
}

// place writes a slot into the first group with room, which there must be.
func (seg segment) place(s slot, t tag) {
	home := seg.home(s.position())
	for i := uint64(0); ; i++ {
		g := seg.group(seg.probe(home, i))
		if g.put(s, t) {
			return
		}
		g.control = g.control.onePast()
	}
}

// erase empties a slot and forgets its way from its own group.
func (seg segment) erase(slot *slot) {
	p := slot.position()
	g, n := groupOf(slot)
	*slot = 0
	g.control = g.control.without(n)
	home := seg.home(p)
	for i := uint64(0); ; i++ {
		passed := seg.group(seg.probe(home, i))
		if passed == g {
			return
		}
		passed.control = passed.control.oneLessPast()
	}
}

// pulledGroups is how many groups after an empty slot's pull looks into: with 3 of them sets at a
// ceiling took 85.4 ns, with 8 81.2, with 32 84.3.
const pulledGroups = 8

// maxPulled is how many keys a pull moves: few, as a rule, but in a segment that was full there may
// be one in each group, and a shard's lock is held.
const maxPulled = 16

// pull fills an empty slot of a group with a key that has gone past that, then the slot which that
// has left, and so on. The slot keep, which may be nil, stays as it is.
func (seg segment) pull(g *group, n uint64, keep *slot) {
	at, left := seg.indexOf(g), maxPulled
	for d := uint64(1); left > 0 && g.control >= onePassed && d <= min(pulledGroups, seg.mask); d++ {
		from := seg.group(seg.probe(at, d))
		k, ok := seg.pastBy(from, d, keep)
		if !ok {
			continue
		}
		*g.slot(n), *from.slot(k) = *from.slot(k), 0
		g.control = g.control.with(n, from.control.tag(k))
		from.control = from.control.without(k)
		for i := range d {
			passed := seg.group(seg.probe(at, i))
			passed.control = passed.control.oneLessPast()
		}
		g, n, at, d = from, k, seg.probe(at, d), 0
		left--
	}
}

// pastBy returns a slot of a group, except keep, whose key has gone past the group that is d
// before it.
func (seg segment) pastBy(g *group, d uint64, keep *slot) (n uint64, ok bool) {
	at := seg.indexOf(g)
	for m := g.control.occupied(); m != 0; m = m.rest() {
		s := g.slot(m.first())
		if s != keep && seg.distance(seg.home(s.position()), at) >= d {
			return m.first(), true
		}
	}
	return 0, false
}
