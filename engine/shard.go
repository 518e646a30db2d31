package engine

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// shard is a lock and what it guards: an index and the records it refers to.
//
// mu guards everything but the counters and flags that are atomic; functions
// whose names end in Locked need it held. table.dir is written under mu and read
// by hint passes without. keys is written under mu and read by anyone. Lock order: shards in
// ascending index, then the pool's lock inside. Must not be copied.
type shard struct {
	mu    sync.Mutex
	keys  atomic.Int64
	table table // begins with what every operation reads

	allocator
	stagger     int         // decides the directory's first size
	epoch       uint64      // counts Clears, for those who walk in steps
	wantCompact atomic.Bool // the maintainer is to come by

	// Whatever comes next in memory is another shard's, or its lock.
	_ [64]byte
}

func (s *shard) init(p *pool, stagger, capacity int) {
	s.pool = p
	s.table.mem = p.mem
	s.stagger = stagger
	s.table.setDir(emptyDir)
	if capacity > 0 {
		s.table.start(p, stagger, capacity) // if it fails it will grow, or fail, later
	}
}

// setLocked stores a value of another length, or a new key. slot and rec are
// what find returned; a value of the same length Apply copies over the old one.
func (s *shard) setLocked(slot, rec ptr, h uint64, key, value []byte) Status {
	if rec == nil {
		return s.insertLocked(h, key, value)
	}
	return s.replaceLocked(slot, rec, key, value)
}

// insertLocked stores a key that isn't there.
func (s *shard) insertLocked(h uint64, key, value []byte) Status {
	n, _ := recordBytes(len(key), len(value))
	ref, class, ok := s.alloc(n)
	if !ok {
		return OutOfMemory
	}
	rec := s.pool.mem.at(ref)
	writeRecord(rec, class, key, value)
	if !s.table.insert(s.pool, s.stagger, h, ref) {
		s.release(ref, rec)
		return OutOfMemory
	}
	s.keys.Store(s.keys.Load() + 1)
	return Created
}

// replaceLocked gives a key a value of another length: in place if it fits and
// leaves at most an eighth of the room unused, otherwise in a new record.
func (s *shard) replaceLocked(slot, rec ptr, key, value []byte) Status {
	ref := *word(slot) & refMask
	n, _ := recordBytes(len(key), len(value))
	room := s.room(ref, rec)
	sameKind := (n > maxSmall) == (recordClass(rec) == largeClass)
	fits := n <= room && sameKind
	if fits && (n >= room-room/8 || n > room-8) {
		writeRecord(rec, recordClass(rec), key, value)
		return Updated
	}
	newRef, class, ok := s.alloc(n)
	if !ok {
		if fits {
			writeRecord(rec, recordClass(rec), key, value)
			return Updated
		}
		return OutOfMemory
	}
	writeRecord(s.pool.mem.at(newRef), class, key, value)
	*word(slot) = *word(slot)&^refMask | newRef
	s.release(ref, rec)
	s.checkGarbage()
	return Updated
}

func (s *shard) addLocked(h uint64, key, value []byte) Status {
	if _, rec := s.table.find(h, key); rec != nil {
		return Exists
	}
	return s.insertLocked(h, key, value)
}

// getLocked appends the value of key to dst.
func (s *shard) getLocked(dst []byte, h uint64, key []byte) ([]byte, Status) {
	_, rec := s.table.find(h, key)
	if rec == nil {
		return dst, NotFound
	}
	return append(dst, recordValue(rec)...), Found
}

func (s *shard) containsLocked(h uint64, key []byte) Status {
	if _, rec := s.table.find(h, key); rec == nil {
		return NotFound
	}
	return Found
}

func (s *shard) removeLocked(h uint64, key []byte) Status {
	slot, rec := s.table.find(h, key)
	if rec == nil {
		return NotFound
	}
	s.dropLocked(slot, rec)
	return Removed
}

func (s *shard) dropLocked(slot, rec ptr) {
	ref := *word(slot) & refMask
	s.table.erase(slot)
	s.release(ref, rec)
	s.keys.Store(s.keys.Load() - 1)
	s.checkGarbage()
}

// renameLocked moves a value from one shard to another, or within one; both
// must be locked. Renaming a key to itself succeeds when it exists.
func renameLocked(src, dst *shard, fromHash, toHash uint64, from, to []byte) Status {
	_, rec := src.table.find(fromHash, from)
	if rec == nil {
		return NotFound
	}
	if string(from) == string(to) {
		return Renamed
	}
	if _, taken := dst.table.find(toHash, to); taken != nil {
		return Exists
	}
	// The record stays where it is while the new one is written.
	if st := dst.insertLocked(toHash, to, recordValue(rec)); st != Created {
		return st
	}
	slot, rec := src.table.find(fromHash, from) // the index may have grown
	src.dropLocked(slot, rec)
	return Renamed
}

// Garbage up to a sixth of the blocks may lie on the lists before the maintainer is
// called: with the classes' own waste that keeps a store within 1.3 times what a
// fresh one takes. Below minGarbage it isn't worth the way.
const minGarbage = 64 << 10

// checkGarbage calls the maintainer when there is too much.
func (s *shard) checkGarbage() {
	if s.freeBytes > minGarbage && s.freeBytes > s.blockBytes/6 && s.old == 0 && !s.wantCompact.Load() {
		s.wantCompact.Store(true)
		s.pool.wake()
	}
}

// snapshot copies the keys and values of the segment at a directory position
// into buf, one after the other, and the position after it. What an earlier step
// saw, because a merge has made the segment reach back, is left out.
func (s *shard) snapshot(buf []byte, ends []int, at uint64) ([]byte, []int, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &s.table
	d := t.dir.Load()
	size := dirSize(d)
	lo, hi := t.span(d, at*size>>dirBits)
	e := *t.entry(d, lo)
	seg := t.mem.at(e >> 8)
	for g := range uint64(1) << (e & 63) {
		control := *word(add(seg, g*groupBytes))
		for m := control & slotHighs; m != 0; m &= m - 1 {
			slot := *word(add(seg, g*groupBytes+8+uint64(bits.TrailingZeros64(m))&^7))
			if slot>>(refBits+groupBits) < at {
				continue
			}
			rec := t.mem.at(slot & refMask)
			buf = append(buf, recordKey(rec)...)
			ends = append(ends, len(buf))
			buf = append(buf, recordValue(rec)...)
			ends = append(ends, len(buf))
		}
	}
	return buf, ends, (hi<<dirBits + size - 1) / size
}

// detached is what a Clear takes out of a shard.
type detached struct {
	table table
	allocator
}

// clearLocked forgets all records, in a bounded time, and returns what held
// them and how many there were.
func (s *shard) clearLocked() (*detached, int) {
	n := int(s.keys.Load())
	d := &detached{allocator: s.allocator}
	d.table.mem, d.table.segments, d.table.bytes = s.table.mem, s.table.segments, s.table.bytes
	d.table.setDir(s.table.dir.Load())
	s.table.setDir(emptyDir)
	s.table.segments, s.table.bytes = 0, 0
	s.allocator = allocator{pool: s.pool}
	s.keys.Store(0)
	s.epoch++
	return d, n
}

// releaseAll gives all of it back to the pool; yield is called between steps.
func (d *detached) releaseAll(yield func()) {
	d.table.releaseAll(d.pool, yield)
	for _, b := range d.blocks {
		d.pool.release(b.page, b.pages)
		yield()
	}
	for d.large != 0 {
		d.releaseLarge(d.large + largePrefix/8)
		yield()
	}
}
