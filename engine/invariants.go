package engine

import (
	"bytes"
	"fmt"
	"math/bits"
)

// checkInvariants looks at every word of the store and returns what is wrong.
// Nothing else may run meanwhile but Gets. The tests call it in every build.
func (e *Engine) checkInvariants() error {
	used, small := 1, 0 // pages, page 0 included; and bytes of small pieces of index
	for i := range e.shards {
		s := &e.shards[i]
		s.mu.Lock()
		pages, pieces, err := e.checkShardLocked(s, uint64(i))
		s.mu.Unlock()
		if err != nil {
			return fmt.Errorf("shard %d: %w", i, err)
		}
		used += pages
		small += pieces
	}
	return e.pool.check(used, small)
}

// checkShardLocked returns how many pages the shard has, and how many bytes of pages that
// are cut into small pieces of index.
func (e *Engine) checkShardLocked(s *shard, index uint64) (pages, small int, err error) {
	hold := func(bytes int) { // of index
		if bytes <= pageBytes/2 {
			small += 512 << smallKind(bytes)
		} else {
			pages += (bytes + pageBytes - 1) / pageBytes
		}
	}
	t := &s.table
	keys, segments, live, large := 0, 0, 0, 0
	blocks := newBlockSet(s.blocks)
	d := t.dir.Load()
	size := dirSize(d)
	if e := t.only.Load(); e != 0 && (e != *t.entry(d, 0) || e != *t.entry(d, size-1)) {
		return 0, 0, fmt.Errorf("the only segment is said to be %x", e)
	}
	for i := uint64(0); i < size; {
		lo, hi := t.span(d, i)
		if lo != i {
			return 0, 0, fmt.Errorf("the segment of entry %d begins at %d", i, lo)
		}
		entry := *t.entry(d, i)
		seg, mask := t.mem.at(entry>>8), uint64(1)<<(entry&63)-1
		if entry != emptyEntry {
			segments++
			hold(groupBytes << (entry & 63))
		}
		passed := make([]int, mask+1)
		err := s.eachSlot(seg, mask, func(group uint64, tag, slot uint64) error {
			keys++
			pos := slot >> refBits
			if at := dirIndex(pos, size); at < lo || at >= hi {
				return fmt.Errorf("a slot of entry %d lies in the segment of %d to %d", at, lo, hi)
			}
			for g := pos & mask; g != group; g = (g + 1) & mask {
				passed[g]++
			}
			rec := t.mem.at(slot & refMask)
			key := recordKey(rec)
			h := e.hashOf(key)
			if h>>e.shift != index || posOf(h) != pos || tagOf(h) != tag {
				return fmt.Errorf("the slot of key %.40q has position %x and tag %x, its hash is %x", key, pos, tag, h)
			}
			if found, _ := t.find(h, key); found == nil || *word(found) != slot {
				return fmt.Errorf("key %.40q isn't found in its slot", key)
			}
			n, _ := recordBytes(len(key), len(recordValue(rec)))
			if room := s.room(slot&refMask, rec); n > room {
				return fmt.Errorf("a record of %d bytes has room for %d", n, room)
			}
			if class := recordClass(rec); class == largeClass {
				large++
			} else if live += classBytes(class); !blocks.has(slot & refMask) {
				return fmt.Errorf("the record of key %.40q lies in none of the shard's blocks", key)
			}
			return nil
		})
		if err != nil {
			return 0, 0, err
		}
		for g := range mask + 1 {
			if n := *word(add(seg, g*groupBytes)) >> 56; n != 255 && int(n) != passed[g] {
				return 0, 0, fmt.Errorf("group %d counts %d keys that pass, there are %d", g, n, passed[g])
			}
		}
		i = hi
	}
	if keys != int(s.keys.Load()) || segments != t.segments || live != s.liveBytes {
		return 0, 0, fmt.Errorf("%d keys, %d segments, %d live bytes; counted %d, %d, %d",
			s.keys.Load(), t.segments, s.liveBytes, keys, segments, live)
	}
	if d != emptyDir {
		hold(int(size) * 8)
	}
	n, err := s.check(large, blocks)
	return pages + n, small, err
}

// eachSlot calls fn for each slot of a segment.
func (s *shard) eachSlot(seg ptr, mask uint64, fn func(group, tag, slot uint64) error) error {
	for g := range mask + 1 {
		control := *word(add(seg, g*groupBytes))
		for m := control & slotHighs; m != 0; m &= m - 1 {
			n := uint64(bits.TrailingZeros64(m)) >> 3
			if err := fn(g, control>>(n*8)&0xFF, *word(add(seg, g*groupBytes+8+n*8))); err != nil {
				return err
			}
		}
	}
	return nil
}

// check returns how many pages the allocator has, the set of whose blocks it is given.
func (a *allocator) check(large int, in blockSet) (pages int, err error) {
	blocks := 0
	for _, b := range a.blocks {
		blocks += b.pages
	}
	listed := 0
	for class, ref := range a.free {
		for ; ref != 0; ref = *word(a.pool.mem.at(ref)) {
			if listed += classBytes(class); !in.has(ref) {
				return 0, fmt.Errorf("a free record of class %d lies in none of the blocks", class)
			}
			if body := bytesAt(add(a.pool.mem.at(ref), 8), classBytes(class)-8); invariants && bytes.Count(body, []byte{0xDD}) != len(body) {
				return 0, fmt.Errorf("a free record of class %d was written to", class)
			}
			if listed > a.freeBytes { // said here, for a list may be a ring
				return 0, fmt.Errorf("%d bytes on the lists, if not more; %d counted", listed, a.freeBytes)
			}
		}
	}
	if sum := a.liveBytes + a.freeBytes + int(a.bumpEnd-a.bump)*8; blocks*pageBytes != a.blockBytes || a.old == 0 && sum != a.blockBytes {
		return 0, fmt.Errorf("%d block bytes, %d counted, %d in use or free", blocks*pageBytes, a.blockBytes, sum)
	}
	pages = blocks
	for at := a.large; at != 0; at = *word(a.pool.mem.at(at)) {
		n := int(*word(add(a.pool.mem.at(at), 16)))
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
		if (ch.state == chunkFilling) != (i == p.filling && i > 0) {
			return fmt.Errorf("chunk %d is in state %d, chunk %d is being prefaulted", i, ch.state, p.filling)
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
	if free != p.freePages || ready != p.ready || committed != p.committed || committed > p.maxChunks {
		return fmt.Errorf("%d free pages, %d ready and %d committed chunks; counted %d, %d, %d",
			p.freePages, p.ready, p.committed, free, ready, committed)
	}
	for k, ref := range p.small {
		for ; ref != 0 && small <= p.smallPages*pageBytes; ref = *word(p.mem.at(ref)) {
			small += 512 << k
		}
	}
	if small != p.smallPages*pageBytes {
		return fmt.Errorf("%d bytes of small pieces of index, used and free, in %d pages", small, p.smallPages)
	}
	if in := usable*chunkPages - free; in != used+p.smallPages {
		return fmt.Errorf("%d pages in use, the shards have %d and pieces of index %d", in, used, p.smallPages)
	}
	return nil
}
