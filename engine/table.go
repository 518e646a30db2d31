package engine

import (
	"math/bits"
	"sync/atomic"
)

// A group is a cache line: a control word, then seven slots.
//
//	control word:  byte 7: how many keys passed this group by, because it was
//	               full, on the way from the group that is theirs (255: lost
//	               count, stays). Bytes 0 to 6: for each slot 0, which is empty,
//	               or 0x80 and seven bits of hash, the tag.
//	slot:          28 bits of hash (posOf), 36 bits of reference to the record.
const (
	groupSlots = 7
	groupBytes = 64
	groupWords = groupBytes / 8
	refBits    = 64 - posBits
	refMask    = 1<<refBits - 1

	lowBytes  = 0x0101010101010101
	slotHighs = 0x0080808080808080 // the high bit of each slot's control byte
)

// Sizes of a segment, in binary logarithms of groups. A segment of 128 groups
// (8 KiB) is split in two: 2.5 µs in cache, the longest that growing holds a
// lock. Smaller ones are doubled; larger ones exist only for keys that share
// the hash bits that splitting goes by.
const (
	minSegLog   = 3
	splitSegLog = groupBits
	maxSegLog   = chunkShift - 6
)

// A key that must go this many groups from its own asks whether its segment is
// crowded, which a segment is from 13/16 of its slots on. In between, longer
// walks are cheaper than an early split.
const (
	farGroups   = 2
	crowdedPart = 13
)

// table is the index of one shard: an extendible hash table. The directory is
// an array; a hash's directory bits, scaled to its size, pick an entry, and the
// entry names a segment. Neighbouring entries may name the same segment.
//
// dir is the reference of the directory and its size, in one word, so that hint
// passes may load it without the lock, like only, which spares small tables the
// way through the directory (10 k keys: 4 ns of 45); all else is guarded by the shard's lock.
// Old directories and segments go back to the pool at once: who follows a stale
// hint reads nonsense, which is harmless (see hintAt).
type table struct {
	dir      atomic.Uint64
	only     atomic.Uint64 // the entry, if all of the directory's are the same; or 0
	mem      memory        // a copy, so that its base is at hand
	segments int
	bytes    int // of directory and segments
}

// dir holds the reference above dirSizeBits bits of size.
const dirSizeBits = 64 - refBits

// An entry is the reference of a segment above 8 bits of its size's logarithm.

// The empty table is one group and a directory of one entry in page 0, the same
// for all shards and never written to. Reference 8 is the group's.
const (
	emptyGroup = 8
	emptyEntry = emptyGroup << 8
	emptyDir   = (2*emptyGroup)<<dirSizeBits | 1
)

func dirIndex(pos, size uint64) uint64 { return pos >> groupBits * size >> dirBits }

func (t *table) entry(d uint64, i uint64) *uint64 {
	return word(add(t.mem.at(d>>dirSizeBits), i*8))
}

func dirSize(d uint64) uint64 { return d & (1<<dirSizeBits - 1) }

// home returns the segment of a position, its group mask and the group that is
// the position's own.
func (t *table) home(pos uint64) (seg ptr, mask, group uint64) {
	d := t.dir.Load()
	e := *t.entry(d, dirIndex(pos, dirSize(d)))
	mask = 1<<(e&63) - 1
	return t.mem.at(e >> 8), mask, pos & mask
}

// find returns the slot of a key and its record; nil if there is none. It is
// where the time goes: home, hasKey and the first words of equalKey are written
// out in it.
func (t *table) find(h uint64, key []byte) (slot, rec ptr) {
	pos, tags := posOf(h), tagOf(h)*lowBytes
	e := t.only.Load()
	if e == 0 {
		d := t.dir.Load()
		e = *word(add(t.mem.at(d>>dirSizeBits), dirIndex(pos, dirSize(d))*8))
	}
	mask := uint64(1)<<(e&63) - 1
	seg, group := t.mem.at(e>>8), pos&mask
	for i := uint64(0); ; {
		g := add(seg, group*groupBytes)
		control := *word(g)
		x := control ^ tags
		// Bytes that are zero in x; a false one may follow a true one.
		for m := (x - lowBytes) &^ x & slotHighs; m != 0; m &= m - 1 {
			p := add(g, 8+uint64(bits.TrailingZeros64(m))&^7)
			s := *word(p)
			if s>>refBits != pos {
				continue
			}
			r := t.mem.at(s & refMask)
			if n := int(*half(r) & 0xFF); n == len(key) && n != longKey {
				if equalKey(add(r, shortHeader), key) {
					return p, r
				}
			} else if n == longKey && hasKey(r, key) {
				return p, r
			}
		}
		if control>>56 == 0 {
			return nil, nil
		}
		if i++; i > mask {
			return nil, nil
		}
		group = (group + 1) & mask
	}
}

// insert adds a slot for a key that isn't there. It reports false if there is
// neither a free slot nor memory for more.
func (t *table) insert(p *pool, stagger int, h, ref uint64) bool {
	pos := posOf(h)
	if t.dir.Load() == emptyDir && !t.start(p, stagger, 0) {
		return false
	}
	for {
		seg, mask, group := t.home(pos)
		far := uint64(0)
		for ; far <= mask; far++ {
			if ^*word(add(seg, (group+far)&mask*groupBytes))&slotHighs != 0 {
				break
			}
		}
		if far > mask || far > farGroups && crowded(seg, mask) {
			if t.grow(p, pos) {
				continue
			}
			if far > mask {
				return false
			}
		}
		place(seg, mask, pos, tagOf(h), ref)
		return true
	}
}

// crowded says whether a segment had better grow.
func crowded(seg ptr, mask uint64) bool {
	return countKeys(seg, mask)*16 >= int(mask+1)*groupSlots*crowdedPart
}

func countKeys(seg ptr, mask uint64) int {
	n := 0
	for g := range mask + 1 {
		n += bits.OnesCount64(*word(add(seg, g*groupBytes)) & slotHighs)
	}
	return n
}

// place writes a slot into the first group with room, which there must be.
func place(seg ptr, mask, pos, tag, ref uint64) {
	for group := pos & mask; ; group = (group + 1) & mask {
		g := add(seg, group*groupBytes)
		control := *word(g)
		if empty := ^control & slotHighs; empty != 0 {
			i := uint64(bits.TrailingZeros64(empty)) >> 3
			*word(add(g, 8+i*8)) = pos<<refBits | ref
			*word(g) = control | tag<<(i*8)
			return
		}
		if control>>56 != 255 {
			*word(g) = control + 1<<56
		}
	}
}

// erase empties a slot and forgets its way from its own group.
func (t *table) erase(slot ptr) {
	pos := *word(slot) >> refBits
	seg, mask, group := t.home(pos)
	g := alignDown(slot)
	i := uint64(addrOf(slot)-addrOf(g))/8 - 1
	*word(slot) = 0
	*word(g) &^= 0xFF << (i * 8)
	for ; add(seg, group*groupBytes) != g; group = (group + 1) & mask {
		passed := add(seg, group*groupBytes)
		if *word(passed)>>56 != 255 {
			*word(passed) -= 1 << 56
		}
	}
}

// start makes the first directory and segments, with room for keys. Directories
// of different shards begin with different sizes, 16 to 31, and so their
// segments, all growing at the same pace, don't all split at the same time:
// memory and time go up evenly.
func (t *table) start(p *pool, stagger, keys int) bool {
	size := uint64(16 + stagger*11&15)
	log, segments := uint64(minSegLog), uint64(1)
	for log < splitSegLog && keys*4 > groupSlots*3<<log {
		log++
	}
	if keys*4 > groupSlots*3<<log {
		segments = uint64(keys)*4/(groupSlots*3<<log) + 1
		for size < segments && size*2 <= maxDirSize {
			size *= 2
		}
		segments = size
	}
	d, ok := t.newDir(p, size)
	if !ok {
		return false
	}
	for s := range segments {
		e, ok := t.newSegment(p, log)
		if !ok {
			// Make do with what there is.
			if s == 0 {
				t.freeDir(p, d)
				return false
			}
			e = *t.entry(d, s*size/segments-1)
		}
		t.setEntries(d, s*size/segments, (s+1)*size/segments, e)
	}
	t.setDir(d)
	return true
}

// span returns the entries [lo, hi) that name the segment of entry i.
func (t *table) span(d, i uint64) (lo, hi uint64) {
	e := *t.entry(d, i)
	for lo = i; lo > 0 && *t.entry(d, lo-1) == e; lo-- {
	}
	for hi = i + 1; hi < dirSize(d) && *t.entry(d, hi) == e; hi++ {
	}
	return lo, hi
}

func (t *table) setEntries(d, lo, hi, e uint64) {
	for i := lo; i < hi; i++ {
		// A word at a time, atomically: hint passes read along.
		atomic.StoreUint64(t.entry(d, i), e)
	}
}

// setDir publishes a directory, all entries of which are set.
func (t *table) setDir(d uint64) {
	first := *t.entry(d, 0)
	if *t.entry(d, dirSize(d)-1) != first {
		first = 0 // what all entries are, the first and the last are
	}
	t.only.Store(first)
	t.dir.Store(d)
}

// grow makes room around a position: it doubles a small segment, or splits one.
func (t *table) grow(p *pool, pos uint64) bool {
	d := t.dir.Load()
	lo, hi := t.span(d, dirIndex(pos, dirSize(d)))
	e := *t.entry(d, lo)
	log := e & 63
	if log < splitSegLog {
		return t.rebuild(p, lo, hi, hi, log+1)
	}
	if log == splitSegLog && hi-lo == 1 {
		// The bound holds for hashes that differ in their directory bits; for
		// others, a directory that doubles with each split would fill memory.
		if size := dirSize(d) * 2; size <= maxDirSize && size <= uint64(8*t.segments+64) {
			if !t.doubleDir(p) {
				return false
			}
			lo, hi = lo*2, hi*2
		}
	}
	if hi-lo > 1 && log == splitSegLog {
		return t.rebuild(p, lo, (lo+hi)/2, hi, log)
	}
	// Splitting doesn't help.
	return log < maxSegLog && t.rebuild(p, lo, hi, hi, log+1)
}

func (t *table) doubleDir(p *pool) bool {
	old := t.dir.Load()
	d, ok := t.newDir(p, dirSize(old)*2)
	if !ok {
		return false
	}
	for i := range dirSize(old) {
		t.setEntries(d, 2*i, 2*i+2, *t.entry(old, i))
	}
	t.setDir(d)
	t.freeDir(p, old)
	return true
}

// rebuild moves all slots of the segments of the entries [lo, hi), which must be
// whole segments, into new ones of 1<<log groups: one for [lo, mid) and, unless
// mid is hi, one for [mid, hi). It reports false if there is no memory.
func (t *table) rebuild(p *pool, lo, mid, hi, log uint64) bool {
	d := t.dir.Load()
	size := dirSize(d)
	left, ok := t.newSegment(p, log)
	if !ok {
		return false
	}
	right := left
	if mid < hi {
		if right, ok = t.newSegment(p, log); !ok {
			t.freeSegment(p, left)
			return false
		}
	}
	mask := uint64(1)<<log - 1
	leftSeg, rightSeg := t.mem.at(left>>8), t.mem.at(right>>8)
	for i := lo; i < hi; {
		_, end := t.span(d, i)
		seg, segMask := t.mem.at(*t.entry(d, i)>>8), uint64(1)<<(*t.entry(d, i)&63)-1
		for group := range segMask + 1 {
			g := add(seg, group*groupBytes)
			control := *word(g)
			for m := control & slotHighs; m != 0; m &= m - 1 {
				n := uint64(bits.TrailingZeros64(m)) >> 3
				s := *word(add(g, 8+n*8))
				to := leftSeg
				if dirIndex(s>>refBits, size) >= mid {
					to = rightSeg
				}
				place(to, mask, s>>refBits, control>>(n*8)&0xFF, s&refMask)
			}
		}
		i = end
	}
	for i := lo; i < hi; {
		_, end := t.span(d, i)
		e := *t.entry(d, i)
		if i < mid && end > mid {
			t.setEntries(d, i, mid, left)
			t.setEntries(d, mid, end, right)
		} else if i < mid {
			t.setEntries(d, i, end, left)
		} else {
			t.setEntries(d, i, end, right)
		}
		t.freeSegment(p, e)
		i = end
	}
	t.setDir(d)
	return true
}

// newSegment returns the entry of an empty segment.
func (t *table) newSegment(p *pool, log uint64) (uint64, bool) {
	n := groupBytes << log
	ref, ok := p.allocIndex(n)
	if !ok {
		return 0, false
	}
	clear(bytesAt(t.mem.at(ref), n))
	t.segments++
	t.bytes += n
	return ref<<8 | log, true
}

func (t *table) freeSegment(p *pool, e uint64) {
	n := groupBytes << (e & 63)
	t.segments--
	t.bytes -= n
	p.releaseIndex(e>>8, n)
}

// newDir returns a directory of which no entry is set.
func (t *table) newDir(p *pool, size uint64) (uint64, bool) {
	ref, ok := p.allocIndex(int(size) * 8)
	if !ok {
		return 0, false
	}
	t.bytes += int(size) * 8
	return ref<<dirSizeBits | size, true
}

func (t *table) freeDir(p *pool, d uint64) {
	n := int(dirSize(d)) * 8
	t.bytes -= n
	p.releaseIndex(d>>dirSizeBits, n)
}

// releaseAll gives a whole index back, in steps: yield is called between them, and
// ends it early by returning false, as releaseAll does then.
func (t *table) releaseAll(p *pool, yield func() bool) bool {
	d := t.dir.Load()
	if d == emptyDir {
		return true
	}
	for i := uint64(0); i < dirSize(d); {
		_, end := t.span(d, i)
		t.freeSegment(p, *t.entry(d, i))
		i = end
		if !yield() {
			return false
		}
	}
	t.freeDir(p, d)
	t.setDir(emptyDir)
	return true
}

// allocIndex takes n bytes for index: small ones share a page.
func (p *pool) allocIndex(n int) (ref uint64, ok bool) {
	if n <= pageBytes/2 {
		return p.allocSmall(smallKind(n))
	}
	page, ok := p.alloc((n+pageBytes-1)/pageBytes, p.reserve)
	return page * pageWords, ok
}

func (p *pool) releaseIndex(ref uint64, n int) {
	if invariants {
		mangle(bytesAt(p.mem.at(ref), n))
	}
	if n <= pageBytes/2 {
		p.releaseSmall(ref, smallKind(n))
		return
	}
	p.release(ref/pageWords, (n+pageBytes-1)/pageBytes)
}

// smallKind is 0 for up to 512 bytes, 1 for 1024, 2 for 2048.
func smallKind(n int) int { return max(0, bits.Len(uint(n-1))-9) }
