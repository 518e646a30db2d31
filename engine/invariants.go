package engine

import (
	"bytes"
	"fmt"
	"math/bits"
	"slices"
)

// checkInvariants looks at every word of the store and returns what is wrong.
// Nothing else may run meanwhile, except Gets. The tests call it in every build; the
// invariants build checks a shard after a sample of the batches, see afterBatch.
func (e *Engine) checkInvariants() error {
	used, small := 1, 0                           // pages, page 0 included; and bytes of small pieces of index
	if n := e.pool.filterPages; n <= chunkPages { // larger ones have chunks of their own
		used += n
	}
	for i := range e.shards {
		s := &e.shards[i]
		s.mu.Lock()
		pages, pieces, err := e.checkShardLocked(s)
		s.mu.Unlock()
		if err != nil {
			return fmt.Errorf("shard %d: %w", i, err)
		}
		used += pages
		small += pieces
	}
	return e.pool.check(used, small)
}

// checkShardLocked looks at a shard, which may be in the middle of a compaction, and
// returns how many pages it has, and how many bytes of pages that are cut into small
// pieces of index.
func (e *Engine) checkShardLocked(s *shard) (pages, small int, err error) {
	hold := func(bytes int) { // of index
		if bytes <= pageBytes/2 {
			small += 1 << (pieceShift + pieceSize(bytes))
		} else {
			pages += (bytes + pageBytes - 1) / pageBytes
		}
	}
	t := &s.table
	keys, segments, live, large := 0, 0, 0, 0
	blocks := newBlockSet(s.blocks)
	reminders, err := s.checkCalendar(hold)
	if err != nil {
		return 0, 0, err
	}
	expiring := 0
	d := t.directory()
	size := d.size()
	if e := entry(t.soleEntry.Load()); e != 0 && (e != *t.entry(d, 0) || e != *t.entry(d, size-1)) {
		return 0, 0, fmt.Errorf("the only segment is said to be %x", e)
	}
	for i := uint64(0); i < size; {
		in := t.spanOf(d, i)
		if in.lo != i {
			return 0, 0, fmt.Errorf("the segment of entry %d begins at %d", i, in.lo)
		}
		to := *t.entry(d, i)
		seg := t.segment(to)
		if to != emptyEntry {
			segments++
			hold(groupBytes << to.log())
		}
		passed := make([]int, seg.groups())
		for at := range seg.slots(0, seg.groups()) {
			keys++
			pos := at.position()
			if i := pos.dirIndex(size); i < in.lo || i >= in.hi {
				return 0, 0, fmt.Errorf("a slot of entry %d lies in the segment of %d to %d", i, in.lo, in.hi)
			}
			home := seg.home(pos)
			for i := range seg.distance(home, at.group) {
				passed[seg.probe(home, i)]++
			}
			rec := t.record(*at.slot)
			key := rec.key()
			h := e.hashOf(key)
			if e.shardOf(h) != s || h.position() != pos || h.tag() != at.tag {
				return 0, 0, fmt.Errorf("the slot of key %.40q has position %x and tag %x, its hash is %x", key, pos, at.tag, h)
			}
			if found, _ := t.find(h, key); found != at.slot {
				return 0, 0, fmt.Errorf("key %.40q isn't found in its slot", key)
			}
			c := rec.content()
			if c.expiry != 0 {
				expiring++
				if !slices.ContainsFunc(reminders[pos], func(at tick) bool { return at <= c.expiry.tick() && c.expiry.isRemindedAt(at) }) {
					return 0, 0, fmt.Errorf("key %.40q, which expires at %d, has no reminder", key, c.expiry.deadline())
				}
			}
			n, _ := recordBytes(len(key), c.bytes())
			if room := s.room(at.ref(), rec); n > room {
				return 0, 0, fmt.Errorf("a record of %d bytes has room for %d", n, room)
			}
			if class := rec.class(); class == largeClass {
				large++
			} else if live += classBytes(class); !blocks.has(at.ref()) {
				return 0, 0, fmt.Errorf("the record of key %.40q lies in none of the shard's blocks", key)
			}
		}
		for g := range seg.groups() {
			if n := seg.group(g).control.passed(); n != manyPassed && int(n) != passed[g] {
				return 0, 0, fmt.Errorf("group %d counts %d keys that pass, there are %d", g, n, passed[g])
			}
		}
		i = in.hi
	}
	if keys != int(s.keys.Load()) || segments != int(t.segments) || live != s.liveBytes {
		return 0, 0, fmt.Errorf("%d keys, %d segments, %d live bytes; counted %d, %d, %d",
			s.keys.Load(), t.segments, s.liveBytes, keys, segments, live)
	}
	if c := s.calendar; c != nil && c.records != expiring || c == nil && expiring > 0 {
		return 0, 0, fmt.Errorf("%d records expire, counted %+v", expiring, c)
	}
	if d != emptyDir {
		hold(int(size) * 8)
	}
	n, err := s.check(large, blocks)
	return pages + n, small, err
}

// checkCalendar returns the ticks of the reminders of each position, and has hold count the
// sheets.
func (s *shard) checkCalendar(hold func(bytes int)) (map[position][]tick, error) {
	c := s.calendar
	if c == nil {
		return nil, nil
	}
	all := make(map[position][]tick)
	n, bytes := 0, 0
	for _, p := range c.sheets(s.pool) {
		hold(p.head.bytes())
		bytes += p.head.bytes()
		if p.head.room() < 0 || bytes > c.bytes {
			return nil, fmt.Errorf("a sheet of the calendar has %d reminders; %d bytes, if not more, counted %d", p.head.len(), bytes, c.bytes)
		}
		for i := range p.head.len() {
			if m := *p.at(i); m != 0 {
				all[m.position()] = append(all[m.position()], m.tick())
				n++
			}
		}
	}
	if n != c.reminders || bytes != c.bytes {
		return nil, fmt.Errorf("%d reminders in %d bytes, counted %d in %d", n, bytes, c.reminders, c.bytes)
	}
	return all, nil
}

// check returns how many pages the allocator has, the set of whose blocks it is given.
func (a *allocator) check(large int, in blockSet) (pages int, err error) {
	blocks := 0
	for _, b := range a.blocks {
		blocks += b.pages
	}
	listed := 0
	for class, r := range a.free {
		for ; r != 0; r = *a.nextFree(r) {
			if listed += classBytes(class); !in.has(r) {
				return 0, fmt.Errorf("a free record of class %d lies in none of the blocks", class)
			}
			if body := bytesAt(add(a.pool.mem.at(r), 8), classBytes(class)-8); invariants && bytes.Count(body, []byte{0xDD}) != len(body) {
				return 0, fmt.Errorf("a free record of class %d was written to", class)
			}
			if listed > a.freeBytes { // reported at once: a list may be a ring
				return 0, fmt.Errorf("%d bytes on the lists, if not more; %d counted", listed, a.freeBytes)
			}
		}
	}
	if sum := a.liveBytes + a.freeBytes + int(a.bumpEnd-a.bump)*8; blocks*pageBytes != a.blockBytes || a.oldBlocks == 0 && sum != a.blockBytes {
		return 0, fmt.Errorf("%d block bytes, %d counted, %d in use or free", blocks*pageBytes, a.blockBytes, sum)
	}
	pages = blocks
	for run := a.large; run != 0; run = a.largeAt(run).next {
		n := int(a.largeAt(run).pages)
		if n > chunkPages {
			n = 0 // whole chunks, not pages
		}
		pages += n
		if large--; large < 0 {
			break
		}
	}
	if large != 0 {
		return 0, fmt.Errorf("large records and their list differ by %d", large)
	}
	return pages, nil
}

// check compares the bitmaps with the counts, and with the pages that the shards say they
// have; the pages of small pieces of index come on top, all bytes of which are the shards'
// or free.
func (p *pool) check(used, small int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	free, ready, committed, usable := 0, 0, 0, 0
	for i := range p.chunks {
		ch := &p.chunks[i]
		if ch.state != chunkNone && ch.state != chunkEmptying {
			committed++
		}
		if (ch.state == chunkPrefaulting) != (i == p.prefaulting && i > 0) {
			return fmt.Errorf("chunk %d is in state %d, chunk %d is being prefaulted", i, ch.state, p.prefaulting)
		}
		if ch.state != chunkReady {
			continue
		}
		usable++
		n := chunkPages - ch.findUsed(0, chunkPages)
		if n != int(ch.freePages) {
			return fmt.Errorf("chunk %d has %d free pages, %d counted", i, n, ch.freePages)
		}
		free += n
		if n == chunkPages {
			ready++
		}
	}
	if free != p.freePages || ready != p.ready || committed != p.committed || committed > p.maxChunks && !p.exceeded {
		return fmt.Errorf("%d free pages, %d ready and %d committed chunks; counted %d, %d, %d",
			p.freePages, p.ready, p.committed, free, ready, committed)
	}
	left := (p.maxChunks-p.committed)*chunkPages + free
	if p.prefaulting != 0 {
		left += chunkPages
	}
	if left != p.left() {
		return fmt.Errorf("%d pages are left, counted %d", left, p.left())
	}
	for _, units := range p.pieces.free {
		if units != nil {
			for _, word := range units {
				small += bits.OnesCount64(word) << pieceShift
			}
		}
	}
	if small != p.pieces.pages*pageBytes {
		return fmt.Errorf("%d bytes of pieces of index, used and free, in %d pages", small, p.pieces.pages)
	}
	if in := usable*chunkPages - free; in != used+p.pieces.pages {
		return fmt.Errorf("%d pages in use, the shards have %d and pieces of index %d", in, used, p.pieces.pages)
	}
	return nil
}
