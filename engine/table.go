package engine

import "sync/atomic"

// Sizes of a segment, in binary logarithms of groups. One of 128 groups (8 KiB) is split, or
// grows with its neighbours, see grow.go. Smaller ones are doubled; larger ones exist only for
// keys that share the hash bits that splitting goes by.
const (
	minSegLog   = 3
	splitSegLog = groupBits
	maxSegLog   = chunkShift - 6
)

// A key that must go more than farGroups from its own asks whether its segment is crowded:
// whether it has, by its share of the shard's keys, 26/32 of its slots in use, or 27/32 where
// segments pair. In between, longer walks are cheaper than early growth. One that must go more
// than veryFar has the segment's own keys counted.
const (
	farGroups   = 4
	veryFar     = 12
	crowdedPart = 26
	pairedPart  = 27
)

// leastDir is the fewest entries that a directory begins with.
const leastDir = 8

// table is the index of one shard: an extendible hash table. The directory is
// an array; a hash's directory bits, scaled to its size, pick an entry, and the
// entry names a segment. Neighbouring entries may name the same segment.
//
// dir is a directory in one word, so that hint passes may load it without the lock,
// like soleEntry, which spares small tables the way through the directory (10 k keys:
// 4 ns of 45); all else is guarded by the shard's lock. Old directories and segments
// go back to the pool at once: a goroutine that follows a stale hint reads nonsense,
// which is harmless, see hintAt.
type table struct {
	dir       atomic.Uint64
	soleEntry atomic.Uint64 // the entry, if all of the directory's are the same; or 0
	mem       memory        // a copy, so that its base is at hand
	segments  int32
	paired    bool // see pairedSpan
	bytes     int  // of directory and segments
}

// directory is the reference of an array of entries, above dirSizeBits bits of its size.
type directory uint64

const dirSizeBits = 64 - refBits

func makeDirectory(r ref, size uint64) directory { return directory(r)<<dirSizeBits | directory(size) }
func (d directory) ref() ref                     { return ref(d >> dirSizeBits) }
func (d directory) size() uint64                 { return uint64(d & (1<<dirSizeBits - 1)) }

// first is the first position of an entry.
func (d directory) first(i uint64) position {
	return position((i<<dirBits+d.size()-1)/d.size()) << groupBits
}

// The empty table is one group and a directory of one entry in page 0, the same
// for all shards and never written to. Reference 8 is the group's.
const (
	emptyGroup ref       = 8
	emptyEntry entry     = entry(emptyGroup) << 8
	emptyDir   directory = directory(2*emptyGroup)<<dirSizeBits | 1
)

func (t *table) directory() directory { return directory(t.dir.Load()) }

func (t *table) entry(d directory, i uint64) *entry {
	return (*entry)(add(t.mem.at(d.ref()), i*8))
}

func (t *table) segment(e entry) segment { return segment{t.mem.at(ref(e >> 8)), 1<<(e&63) - 1} }

// entryOf returns the entry of a position.
func (t *table) entryOf(p position) entry {
	d := t.directory()
	return *t.entry(d, p.dirIndex(d.size()))
}

// record returns the record that a slot refers to.
func (t *table) record(s slot) *record { return (*record)(t.mem.at(ref(s & refMask))) }

// find returns the slot of a key and its record; nil if there is none. It is
// where the time goes: entryOf, slots and what is passed are written out in it. The
// compiler may leave a NOP for a call that it inlines.
func (t *table) find(h hash, key []byte) (*slot, *record) {
	pos, tags := h.position(), h.tags()
	e := entry(t.soleEntry.Load())
	if e == 0 {
		d := directory(t.dir.Load())
		e = *t.entry(d, pos.dirIndex(d.size()))
	}
	seg := t.segment(e)
	group := uint64(pos) & seg.mask
	for i := uint64(0); ; {
		g := seg.group(group)
		c := g.control
		for m := c.match(tags); m != 0; m = m.rest() {
			p := g.slot(m.first())
			s := *p
			if s.position() != pos {
				continue
			}
			r := t.record(s)
			if head := r.head; head.keyBytes() == len(key) && head.isShort() {
				if equalKey(r.shortKey(), key) {
					return p, r
				}
			} else if !head.isShort() && r.hasKey(key) {
				return p, r
			}
		}
		if c < onePassed {
			return nil, nil
		}
		if i++; i > seg.mask {
			return nil, nil
		}
		group = (group + 1) & seg.mask
	}
}

// insert adds a slot for a key that isn't there. It reports !ok if there is neither a free
// slot nor memory for more, and crowded if there was a slot, but no memory for a segment
// that had better grow.
func (t *table) insert(a *allocator, stagger, keys int, h hash, st state, r ref) (ok, crowded bool) {
	pos := h.position()
	if t.directory() == emptyDir && !t.start(a, stagger, 0) {
		return false, false
	}
	for {
		seg := t.segment(t.entryOf(pos))
		home, far := seg.home(pos), uint64(0)
		if seg.group(home).put(makeSlot(pos, st, r), h.tag()) {
			return true, false
		}
		for far <= seg.mask && seg.group(seg.probe(home, far)).control.empty() == 0 {
			far++
		}
		if far > seg.mask || far > farGroups && t.crowded(pos, seg, far, keys) {
			if t.grow(a, pos, keys) {
				continue
			}
			if far > seg.mask {
				return false, true
			}
			crowded = true
		}
		seg.place(makeSlot(pos, st, r), h.tag())
		return true, crowded
	}
}

// erase empties a slot.
func (t *table) erase(slot *slot) { t.segment(t.entryOf(slot.position())).erase(slot) }

// start makes the first directory and segments, with room for keys: segments that are three
// quarters full when it has them. Directories that begin with one segment have 8 to 15
// entries, different shards different numbers, and so their segments, all growing at the same
// pace, don't all split at the same time: memory and time go up evenly.
func (t *table) start(a *allocator, stagger, keys int) bool {
	size := uint64(leastDir + stagger*3&(leastDir-1))
	log, segments, paired := uint64(minSegLog), uint64(1), false
	for log < splitSegLog && keys*4 > groupSlots*3<<log {
		log++
	}
	full := uint64(groupSlots*3) << log // a segment's keys, times 4
	if n := (uint64(keys)*4 + full - 1) / full; n > 1 {
		segments = min(n, maxDirSize/pairedSpan)
		size = segments * max(1, (leastDir+segments-1)/segments)
		if paired = a.pool.pairs(keys); paired {
			size = segments * pairedSpan
		}
	}
	d, ok := t.newDir(a, size)
	if !ok {
		return false
	}
	for s := range segments {
		e, ok := t.newSegment(a, log)
		if !ok {
			// Make do with what there is.
			if s == 0 {
				t.freeDir(a, d)
				return false
			}
			e = *t.entry(d, s*size/segments-1)
		}
		t.setEntries(d, s*size/segments, (s+1)*size/segments, e)
	}
	t.paired = paired
	t.setDir(d)
	return true
}

// span is the entries [lo, hi) of a directory that name one segment.
type span struct {
	dir    directory
	lo, hi uint64
}

// spanOf returns the entries that name the segment of entry i.
func (t *table) spanOf(d directory, i uint64) span {
	e, lo, hi := *t.entry(d, i), i, i+1
	for ; lo > 0 && *t.entry(d, lo-1) == e; lo-- {
	}
	for ; hi < d.size() && *t.entry(d, hi) == e; hi++ {
	}
	return span{d, lo, hi}
}

// next is the directory position after a span's.
func (in span) next() uint64 {
	size := in.dir.size()
	return (in.hi<<dirBits + size - 1) / size
}

// segmentAt returns the segment at a directory position, 0 to maxDirSize, and the
// entries that name it. A walk from 0 by way of next meets every slot that is there
// from its start to its end, however segments split and directories double meanwhile.
func (t *table) segmentAt(at uint64) (segment, span) {
	d := t.directory()
	in := t.spanOf(d, at*d.size()>>dirBits)
	return t.segment(*t.entry(d, in.lo)), in
}

func (t *table) setEntries(d directory, lo, hi uint64, e entry) {
	for i := lo; i < hi; i++ {
		// A word at a time, atomically: hint passes read along.
		atomic.StoreUint64((*uint64)(t.entry(d, i)), uint64(e))
	}
}

// setDir publishes a directory, all entries of which are set.
func (t *table) setDir(d directory) {
	first := *t.entry(d, 0)
	if *t.entry(d, d.size()-1) != first {
		first = 0 // what all entries are, the first and the last are
	}
	t.soleEntry.Store(uint64(first))
	t.dir.Store(uint64(d))
}

// lowerDir moves the directory to where there is room below it, unless it has more bytes
// than most.
func (t *table) lowerDir(a *allocator, most int) {
	old := t.directory()
	if old == emptyDir || int(old.size())*8 > most {
		return
	}
	d, ok := t.newDir(a, old.size())
	if !ok {
		return
	}
	if d.ref() > old.ref() {
		t.freeDir(a, d)
		return
	}
	for i := range old.size() {
		t.setEntries(d, i, i+1, *t.entry(old, i))
	}
	t.setDir(d)
	t.freeDir(a, old)
}

// newSegment returns the entry of an empty segment.
func (t *table) newSegment(a *allocator, log uint64) (entry, bool) {
	n := groupBytes << log
	r, ok := a.allocIndex(n)
	if !ok {
		return 0, false
	}
	clear(bytesAt(t.mem.at(r), n))
	t.segments++
	t.bytes += n
	return makeEntry(r, log), true
}

func (t *table) freeSegment(a *allocator, e entry) {
	n := groupBytes << e.log()
	t.segments--
	t.bytes -= n
	a.pool.releaseIndex(e.ref(), n)
}

// newDir returns a directory of which no entry is set.
func (t *table) newDir(a *allocator, size uint64) (directory, bool) {
	r, ok := a.allocIndex(int(size) * 8)
	if !ok {
		return 0, false
	}
	t.bytes += int(size) * 8
	return makeDirectory(r, size), true
}

func (t *table) freeDir(a *allocator, d directory) {
	n := int(d.size()) * 8
	t.bytes -= n
	a.pool.releaseIndex(d.ref(), n)
}
