package engine

import "sync/atomic"

// shard is a lock and what it guards: an index and the records it refers to.
//
// mu guards everything except the counters and flags that are atomic; functions
// whose names end in Locked need it held. table.dir is written under mu and read
// by hint passes without; keys is written under mu and read by anyone. Lock order:
// shards in ascending index, then the maintainer, then the pool. Must not be copied.
//
// A shard is an odd number of cache lines; memory_mmap.go checks. What every operation
// reads, from the lock to table.mem.base, is in the first. No line is shared with a
// neighbour, and the first lines of all shards spread over the sets of a cache, as they
// would not at a power of two.
type shard struct {
	mu      lock
	keys    counter
	effects uint64 // counts changes, if they are recorded
	table   table  // begins with what every operation reads

	allocator
	calendar    *calendar   // nil until something expires
	epoch       uint64      // counts Clears and compactions given up, for walks in steps
	wantCompact atomic.Bool // the maintainer is to come by
	stagger     uint32      // decides the directory's first size
}

func (s *shard) init(p *pool, stagger, capacity int) {
	s.pool = p
	s.table.mem = p.mem
	s.stagger = uint32(stagger)
	s.table.setDir(emptyDir)
	if capacity > 0 {
		s.table.start(&s.allocator, stagger, capacity) // if it fails it will grow, or fail, later
	}
}

// lookup returns the slot of a key and its record; nil if there is none, or its time is
// over. What has held it then is free.
func (s *shard) lookup(h hash, key []byte, now int64) (*slot, *record) {
	slot, rec := s.table.find(h, key)
	if rec != nil && rec.head.expires() {
		rec = s.ifAlive(slot, rec, now)
	}
	return slot, rec
}

// ifAlive returns the record of a slot, which expires, or nil if its time is over: then it
// is dropped.
func (s *shard) ifAlive(slot *slot, rec *record, now int64) *record {
	if rec.expiry().deadline() > now {
		return rec
	}
	s.dropLocked(slot, rec)
	s.pool.expired.Add(1)
	return nil
}

// setLocked stores what Set stores. slot and rec are what find returned; a value of the
// same length and form Apply copies over the old one, of a key without deadline or with one
// that doesn't come nearer.
func (s *shard) setLocked(slot *slot, rec *record, h hash, b *Batch, op *Op) Status {
	var c content
	b.contentOf(op, &c)
	if rec != nil && rec.head.expires() {
		rec = s.ifAlive(slot, rec, b.Now)
	}
	if rec == nil {
		return s.insertLocked(h, op.Key, &c)
	}
	return s.replaceLocked(slot, rec, op.Key, &c)
}

// insertLocked stores a key that isn't there.
func (s *shard) insertLocked(h hash, key []byte, c *content) Status {
	if s.pool.evictors != nil {
		return s.insertEvicting(h, key, c, nil)
	}
	if !s.scheduleNew(c) {
		return s.refuse()
	}
	n, _ := recordBytes(len(key), c.bytes())
	r, class, ok := s.alloc(n)
	if !ok {
		return s.refuse()
	}
	rec := s.recordAt(r)
	rec.write(class, key, c)
	if ok, _ := s.table.insert(&s.allocator, int(s.stagger), int(s.keys.Load()), h, newcomer, r); !ok {
		s.release(r, rec)
		return s.refuse()
	}
	s.keys.Store(s.keys.Load() + 1)
	if c.expiry != 0 {
		s.calendar.records++
		s.remind(c.expiry.tick(), h.position())
	}
	return Created
}

// replaceLocked gives a key another content, which must not alias its record.
func (s *shard) replaceLocked(slot *slot, rec *record, key []byte, c *content) Status {
	if !rec.head.expires() && c.expiry == 0 {
		return s.rewriteLocked(slot, rec, key, c)
	}
	had, pos := rec.expiry(), slot.position()
	isNew, ok := s.scheduleLocked(had, &c.expiry)
	if !ok {
		return s.refuse()
	}
	st := s.rewriteLocked(slot, rec, key, c)
	if st == Updated {
		s.noteExpiry(had, c.expiry, pos, isNew)
	}
	return st
}

// scheduleNew gives the expiry of a record that is to come its reminder, if it has one, and
// makes room for that. It reports false if there is no memory for it.
func (s *shard) scheduleNew(c *content) bool {
	if c.expiry == 0 {
		return true
	}
	at := c.expiry.tick()
	c.expiry = c.expiry.remindedAt(at)
	return s.roomToRemind(at)
}

// scheduleLocked finds out which reminder a record is to have whose expiry is x and was
// had: a new one if the deadline is earlier than it was, for which it makes room. It reports
// false if there is no memory for that.
func (s *shard) scheduleLocked(had expiry, x *expiry) (isNew, ok bool) {
	switch {
	case *x == 0:
		return false, true
	case had != 0 && had.deadline() <= x.deadline():
		*x = x.remindedAs(had)
		return false, true
	}
	at := x.tick()
	*x = x.remindedAt(at)
	return true, s.roomToRemind(at)
}

// noteExpiry notes in the calendar that a record has another expiry now.
func (s *shard) noteExpiry(had, x expiry, pos position, isNew bool) {
	if had != 0 {
		s.calendar.records--
	}
	if x != 0 {
		s.calendar.records++
	}
	if isNew {
		s.remind(x.tick(), pos)
	}
}

// rewriteLocked writes what a record has anew: in place if it fits and leaves at most an
// eighth of the room unused, otherwise in a new record.
func (s *shard) rewriteLocked(slot *slot, rec *record, key []byte, c *content) Status {
	old := slot.ref()
	n, _ := recordBytes(len(key), c.bytes())
	room := s.room(old, rec)
	fits := n <= room
	if fits && (n >= room-room/8 || n > room-8) {
		rec.write(rec.class(), key, c)
		return Updated
	}
	r, class, ok := s.alloc(n)
	if !ok && !fits && s.pool.evictors != nil {
		r, class, ok = s.makeRoomLocked(n, slot)
	}
	if !ok {
		if fits {
			had := rec.bytes()
			rec.write(rec.class(), key, c)
			s.noteSlack(old, rec, had)
			return Updated
		}
		return s.refuse()
	}
	s.recordAt(r).write(class, key, c)
	slot.pointTo(r)
	s.release(old, rec)
	s.checkGarbage()
	return Updated
}

// noteSlack has what a record doesn't need any more, which was so long before, given back:
// at once if it is whole pages, otherwise when the shard is compacted.
func (s *shard) noteSlack(r ref, rec *record, had int) {
	n := rec.bytes()
	if rec.class() == largeClass {
		s.cutLarge(r, n)
		if n > maxSmall {
			return
		}
		had = min(had, s.room(r, rec))
	}
	s.slackBytes = max(s.slackBytes+had-n, 0)
	s.checkGarbage()
}

// refuse is what an operation ends with that there is no memory for. The first since the
// latest round at rest has the maintainer gather what there is.
func (s *shard) refuse() Status {
	if refused := &s.pool.refused; !refused.Load() && !refused.Swap(true) {
		s.pool.wake()
	}
	return OutOfMemory
}

func (s *shard) addLocked(h hash, b *Batch, op *Op) Status {
	if _, rec := s.lookup(h, op.Key, b.Now); rec != nil {
		return Exists
	}
	var c content
	b.contentOf(op, &c)
	return s.insertLocked(h, op.Key, &c)
}

func (s *shard) containsLocked(h hash, key []byte, now int64) Status {
	if _, rec := s.lookup(h, key, now); rec == nil {
		return NotFound
	}
	return Found
}

func (s *shard) removeLocked(h hash, key []byte, now int64) Status {
	slot, rec := s.lookup(h, key, now)
	if rec == nil {
		return NotFound
	}
	s.dropLocked(slot, rec)
	return Removed
}

func (s *shard) dropLocked(slot *slot, rec *record) {
	if rec.head.expires() {
		s.calendar.records--
	}
	r := slot.ref()
	s.table.erase(slot)
	s.release(r, rec)
	s.keys.Store(s.keys.Load() - 1)
	s.checkGarbage()
}

// renameLocked moves what a key has from one shard to another, or within one; both
// must be locked. Renaming a key to itself succeeds when it exists.
func renameLocked(b *Batch, src, dst *shard, fromHash, toHash hash, from, to []byte) Status {
	old, rec := src.lookup(fromHash, from, b.Now)
	if rec == nil {
		return NotFound
	}
	if string(from) == string(to) {
		return Renamed
	}
	if _, taken := dst.lookup(toHash, to, b.Now); taken != nil {
		return Exists
	}
	// The record stays where it is while the new one is written.
	c := rec.content()
	b.addWork(len(c.value))
	st := Pending
	if dst.pool.evictors != nil {
		st = dst.insertEvicting(toHash, to, &c, old)
	} else {
		st = dst.insertLocked(toHash, to, &c)
	}
	if st != Created {
		return st
	}
	slot, rec := src.table.find(fromHash, from) // the index may have grown
	src.dropLocked(slot, rec)
	return Renamed
}

// moveLocked is renameLocked over what the new key has, if it exists.
func moveLocked(b *Batch, src, dst *shard, fromHash, toHash hash, from, to []byte) Status {
	st := renameLocked(b, src, dst, fromHash, toHash, from, to)
	if st != Exists {
		return st
	}
	_, rec := src.table.find(fromHash, from)
	c := rec.content()
	b.addWork(len(c.value))
	scratch := len(b.scratch)
	if dst.pool.evictors != nil { // the record may be evicted to make room
		b.scratch = append(b.scratch, c.value...)
		c.value = b.scratch[scratch:]
	}
	slot, taken := dst.table.find(toHash, to)
	st = dst.replaceLocked(slot, taken, to, &c)
	b.scratch = b.scratch[:scratch]
	if st != Updated {
		return st
	}
	if slot, rec = src.table.find(fromHash, from); rec != nil {
		src.dropLocked(slot, rec)
	}
	return Renamed
}

// checkGarbage wakes the maintainer when there is too much; or once when there is more
// than a store at rest should have, so that it comes by when the store is.
func (s *shard) checkGarbage() {
	if s.garbage(false) <= resting.leastGarbage && s.keys.Load() > 0 {
		return // no effort asks for so little
	}
	switch {
	case s.oldBlocks != 0:
	case s.hasGarbage(&churned):
		if !s.wantCompact.Load() {
			s.wantCompact.Store(true)
			s.pool.wake()
		}
	case !s.untidy && (s.keys.Load() == 0 || s.hasGarbage(&resting)):
		s.untidy = true
		s.pool.wake()
	}
}

// hasGarbage reports whether there is more garbage than an effort leaves.
func (s *shard) hasGarbage(leaves *effort) bool {
	garbage := s.garbage(leaves.rests)
	return garbage > leaves.leastGarbage && garbage*leaves.garbagePart > s.blockBytes && s.freeBytes+s.slackBytes > s.retryAboveBytes
}

// garbage is how much a compaction would give back, about. The rests of blocks that no
// record fitted into don't count: it would leave as many. Not all of them are rests still,
// since other records may have come there, and gone; so with rests it is all that wasn't
// there after the latest compaction.
func (a *allocator) garbage(rests bool) int {
	if rests {
		a.leftBytes = min(a.leftBytes, a.freeBytes)
		return a.freeBytes + a.slackBytes - a.leftBytes
	}
	return a.freeBytes + a.slackBytes - a.restBytes
}

// isUntidy reports whether there is more than an effort at rest leaves: garbage, or
// anything at all in a shard without keys.
func (s *shard) isUntidy(leaves *effort) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.untidy = false // garbage that has been used since is told again
	return s.hasGarbage(leaves) || s.keys.Load() == 0 && s.hasMemory()
}

// hasMemory reports whether there is anything for a Clear to take.
func (s *shard) hasMemory() bool {
	return s.table.directory() != emptyDir || len(s.blocks) > 0 || s.large != 0
}

// detached is what a Clear takes out of a shard.
type detached struct {
	table table
	allocator
	calendar *calendar
	at       uint64 // the first entry of the directory whose segment isn't given back
}

// clearLocked forgets all records, in a bounded time, and returns what held
// them, nil if nothing did, and how many there were.
func (s *shard) clearLocked() (*detached, int) {
	n := int(s.keys.Load())
	if !s.hasMemory() {
		return nil, n
	}
	d := &detached{allocator: s.allocator, calendar: s.calendar}
	d.table.mem, d.table.segments, d.table.bytes = s.table.mem, s.table.segments, s.table.bytes
	d.table.setDir(s.table.directory())
	s.table.setDir(emptyDir)
	s.table.segments, s.table.paired, s.table.bytes = 0, false, 0
	s.allocator, s.calendar = allocator{pool: s.pool}, nil
	s.keys.Store(0)
	s.epoch++
	if ev := s.evictor(); ev != nil {
		ev.clear()
	}
	return d, n
}

// releaseAll gives all of it back to the pool. yield is called between steps, and
// ends it early by returning false.
func (d *detached) releaseAll(yield func() bool) {
	for d.releaseOne() && yield() {
	}
}

// releaseOne gives a part of it back, and reports whether there was one.
func (d *detached) releaseOne() bool {
	if n := len(d.blocks); n > 0 {
		b := d.blocks[n-1]
		d.blocks = d.blocks[:n-1]
		d.pool.release(b.page, b.pages)
		return true
	}
	if d.large != 0 {
		d.releaseLarge(largeRef(d.large))
		return true
	}
	if dir := d.table.directory(); dir != emptyDir {
		if d.at < dir.size() {
			e := *d.table.entry(dir, d.at)
			d.at = d.table.spanOf(dir, d.at).hi
			d.table.freeSegment(&d.allocator, e)
		} else {
			d.table.freeDir(&d.allocator, dir)
			d.table.setDir(emptyDir)
		}
		return true
	}
	return d.calendar != nil && d.calendar.releaseOne(d.pool)
}
