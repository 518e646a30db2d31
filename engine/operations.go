package engine

import (
	"bytes"
	"strconv"
)

// This file is the operations that are not the everyday ones: what execute leaves.

// executeOther executes an operation of any kind from Rename on.
func (e *Engine) executeOther(b *Batch, op *Op, h hash) {
	switch op.Kind {
	case Rename:
		args := b.argsOf(op)
		op.Status = e.rename(b, h, op.Key, op.Value, args != nil && args.Replace)
	case Merge:
		e.mergeInto(b, op, h)
		if args := b.argsOf(op); args != nil && op.Status.changes() {
			args.Delta = int64(len(b.merged))
			if args.Read {
				op.Value, op.Form = b.readMerged()
			}
		}
	case Expire, Deadline, Incr, CompareSet, CompareRemove, Take, Swap:
		s := e.shardOf(h)
		s.mu.Lock()
		op.Status = e.operateLocked(s, b, op, h)
		if e.recordEffects {
			e.noteEffects(b, s, h, op)
		}
		s.mu.Unlock()
	default:
		panic("BUG: engine: an operation of unknown kind")
	}
	if e.evicts && op.Status == OutOfMemory && !b.retrying {
		e.retryFull(b, op, h)
	}
}

// operateLocked executes an operation on one key of a shard.
func (e *Engine) operateLocked(s *shard, b *Batch, op *Op, h hash) Status {
	slot, rec := s.lookup(h, op.Key, b.Now)
	if rec != nil && s.pool.evictors != nil && op.Kind != Deadline {
		slot.touch()
	}
	args := b.argsOf(op)
	if args == nil {
		args = new(Args)
	}
	if rec == nil {
		switch op.Kind {
		case Incr:
			return s.incrLocked(b, op, h, slot, nil, args.Delta)
		case Swap:
			if args.If == IfExists {
				return NotFound
			}
			return s.setLocked(slot, nil, h, b, op)
		case Take:
			op.Value = nil
		}
		return NotFound
	}
	switch op.Kind {
	case Expire:
		if !args.If.allows(rec.expiry().deadline(), args.Deadline) {
			return Differs
		}
		if !args.Read {
			return s.expireLocked(b, op, slot, rec, expiryOf(args.Deadline))
		}
		from := len(b.scratch)
		value, form := b.read(rec)
		st := s.expireLocked(b, op, slot, rec, expiryOf(args.Deadline))
		if st != Updated {
			b.scratch = b.scratch[:from]
			return st
		}
		op.Value, op.Form = value, form
		return Updated
	case Deadline:
		args.Deadline = rec.expiry().deadline()
		return Found
	case Incr:
		return s.incrLocked(b, op, h, slot, rec, args.Delta)
	case Take:
		if args.Readable && !e.isReadable(b, rec) {
			op.Value = nil
			return Refused
		}
		op.Value, op.Form = b.read(rec)
		s.dropLocked(slot, rec)
		return Removed
	case Swap:
		if args.Readable && !e.isReadable(b, rec) {
			return Refused
		}
		from := len(b.scratch)
		old, form := b.read(rec)
		if args.If == IfMissing {
			op.Value, op.Form = old, form
			return Exists
		}
		var c content
		b.contentOf(op, &c)
		if args.Keep {
			c.expiry = rec.expiry()
		}
		if st := s.replaceLocked(slot, rec, op.Key, &c); st != Updated {
			b.scratch = b.scratch[:from]
			return st
		}
		op.Value, op.Form = old, form
		return Updated
	}
	// CompareSet and CompareRemove.
	b.addWork(len(args.Expected))
	if rec.head.form() != args.ExpectedForm || !bytes.Equal(rec.value(), args.Expected) {
		return Differs
	}
	if op.Kind == CompareRemove {
		s.dropLocked(slot, rec)
		return Removed
	}
	return s.replaceLocked(slot, rec, op.Key, &content{op.Value, op.Form, rec.expiry()})
}

// isReadable reports what Options.Readable says of a record's value. One that is readable is
// read after it, which counts its bytes.
func (e *Engine) isReadable(b *Batch, rec *record) bool {
	if e.readable == nil {
		panic("BUG: engine: Args.Readable without Options.Readable")
	}
	value := rec.value()
	if e.readable(value, rec.head.form()) {
		return true
	}
	b.addWork(len(value))
	return false
}

// prolong executes a Set with a deadline on a record that has as long a value of the same
// form, and a deadline that isn't later. So it is with a session that is written again and
// again: its reminder stays, and nothing is to be counted. It reports false of any other.
func (b *Batch) prolong(op *Op, rec *record) bool {
	at, ok := rec.timedValue(len(op.Value), op.Form)
	if !ok {
		return false
	}
	last := (*expiry)(add(at, uint64(len(op.Value))))
	had, x := *last, expiryOf(b.deadlineOf(op))
	if had.deadline() <= b.Now || x.deadline() < had.deadline() {
		return false
	}
	copyTo(at, op.Value)
	*last = x.remindedAs(had)
	return true
}

// read appends a record's value to the scratch.
func (b *Batch) read(rec *record) (value []byte, form Form) {
	from := len(b.scratch)
	b.scratch = append(b.scratch, rec.value()...)
	return b.scratch[from:len(b.scratch):len(b.scratch)], rec.head.form()
}

// readMerged appends what a Merge has made to the scratch.
func (b *Batch) readMerged() (value []byte, form Form) {
	from := len(b.scratch)
	b.scratch = append(b.scratch, b.merged...)
	return b.scratch[from:len(b.scratch):len(b.scratch)], b.mergedForm
}

// expireLocked gives a key another deadline, or none.
func (s *shard) expireLocked(b *Batch, op *Op, slot *slot, rec *record, x expiry) Status {
	if had := rec.expiry(); had != 0 && x != 0 {
		isNew, ok := s.scheduleLocked(had, &x)
		if !ok {
			return s.refuse()
		}
		rec.setExpiry(x)
		s.noteExpiry(had, x, slot.position(), isNew)
		return Updated
	}
	if !rec.head.expires() && x == 0 {
		return Updated
	}
	// With a copy of the value: the record gets another length, maybe in place.
	from := len(b.scratch)
	value, form := b.read(rec)
	b.addWork(2 * len(value))
	st := s.replaceLocked(slot, rec, op.Key, &content{value, form, x})
	b.scratch = b.scratch[:from]
	return st
}

// incrLocked adds to the integer that a record has, or to 0 if there is no record. The integer
// is text, as anybody reads it and compares it: see the package's documentation.
func (s *shard) incrLocked(b *Batch, op *Op, h hash, slot *slot, rec *record, delta int64) Status {
	from := len(b.scratch)
	if rec == nil {
		b.scratch = strconv.AppendInt(b.scratch, delta, 10)
		value := b.scratch[from:len(b.scratch):len(b.scratch)]
		st := s.insertLocked(h, op.Key, &content{value: value, form: op.Form})
		if st != Created {
			b.scratch = b.scratch[:from]
			return st
		}
		op.Value = value
		return Created
	}
	form := rec.head.form()
	if form != 0 && form != op.Form {
		return NotInteger
	}
	n, ok := parseInteger(rec.value())
	sum := n + delta
	if !ok || (sum > n) != (delta > 0) {
		return NotInteger
	}
	b.scratch = strconv.AppendInt(b.scratch, sum, 10)
	value := b.scratch[from:len(b.scratch):len(b.scratch)]
	if at, ok := rec.plainValue(len(value), form); ok {
		copyTo(at, value)
	} else if st := s.replaceLocked(slot, rec, op.Key, &content{value, form, rec.expiry()}); st != Updated {
		b.scratch = b.scratch[:from]
		return st
	}
	op.Value, op.Form = value, form
	return Updated
}

// parseInteger returns the integer of 64 bits that a text is: digits without a leading
// zero, after a minus or not.
func parseInteger(text []byte) (n int64, ok bool) {
	digits := text
	negative := len(digits) > 0 && digits[0] == '-'
	if negative {
		digits = digits[1:]
	}
	// 19 digits don't overflow the 64 bits without a sign.
	if len(digits) == 0 || len(digits) > 19 || digits[0] == '0' && len(digits) > 1 {
		return 0, false
	}
	sum := uint64(0)
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, false
		}
		sum = sum*10 + uint64(d-'0')
	}
	if negative {
		return -int64(sum), sum <= 1<<63
	}
	return int64(sum), sum < 1<<63
}

// rename moves the value of from, which has the hash h, to the key to.
func (e *Engine) rename(b *Batch, h hash, from, to []byte, replace bool) Status {
	toHash := e.hashOf(to)
	src, dst := h>>e.shift, toHash>>e.shift
	first, second := min(src, dst), max(src, dst)
	e.shards[first].mu.Lock()
	defer e.shards[first].mu.Unlock()
	if second != first {
		e.shards[second].mu.Lock()
		defer e.shards[second].mu.Unlock()
	}
	st := Pending
	if replace {
		st = moveLocked(b, &e.shards[src], &e.shards[dst], h, toHash, from, to)
	} else {
		st = renameLocked(b, &e.shards[src], &e.shards[dst], h, toHash, from, to)
	}
	e.noteEvicted(b, &e.shards[dst], dst)
	if e.recordEffects && st == Renamed && !bytes.Equal(from, to) {
		b.record(&e.shards[src], src, effectGone)
		_, rec := e.shards[dst].table.find(toHash, to)
		b.recordContent(&e.shards[dst], dst, effectMoved, rec)
	}
	return st
}

// mergeAttempts is how often a Merge is tried, the last time under the lock. Others who have
// changed the key twice while the new value was made would do it again. The lock is held then
// for as long as Options.Merge takes: the server's takes 5 µs for an object of 1 KiB, 4 ms to
// append to a string of 16 MiB, and by its parts, not measured as a whole, some 120 ms for the
// UPDATE that does most.
const mergeAttempts = 3

// mergeInto executes a Merge: it copies the value, has Options.Merge make another without
// the lock, and stores that if the value is still the same. Each attempt that fails is one
// in which another operation has changed the key; the last one is made under the lock, where
// none can.
func (e *Engine) mergeInto(b *Batch, op *Op, h hash) {
	if e.merge == nil {
		panic("BUG: engine: a Merge without Options.Merge")
	}
	s := e.shardOf(h)
	for attempt := range mergeAttempts - 1 {
		s.mu.Lock()
		slot, rec := s.lookup(h, op.Key, b.Now)
		if rec != nil && e.touches && attempt == 0 {
			slot.touch()
		}
		old := b.copyOld(rec)
		s.mu.Unlock()
		existed := rec != nil
		merged, changed := e.mergeWith(b, op, old, existed)
		if !changed {
			return
		}
		s.mu.Lock()
		slot, rec = s.lookup(h, op.Key, b.Now)
		b.addWork(len(old.value))
		same := (rec != nil) == existed && (rec == nil || rec.has(old))
		if same {
			e.storeMerged(b, op, h, slot, rec, merged)
		}
		s.mu.Unlock()
		if same {
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	slot, rec := s.lookup(h, op.Key, b.Now)
	if merged, changed := e.mergeWith(b, op, b.copyOld(rec), rec != nil); changed {
		e.storeMerged(b, op, h, slot, rec, merged)
	}
}

// copyOld copies what a Merge is made from; nothing if there is no record.
func (b *Batch) copyOld(rec *record) (old content) {
	if rec == nil {
		return old
	}
	b.old = append(b.old[:0], rec.value()...)
	b.addWork(len(b.old))
	return content{value: b.old, form: rec.head.form()}
}

// has reports whether a record has a content's value and form.
func (r *record) has(c content) bool {
	return r.head.form() == c.form && bytes.Equal(r.value(), c.value)
}

// mergeWith has Options.Merge make a new value, and sets the outcome. It reports false if
// there is nothing to store: it was refused, or the new value is the old one.
func (e *Engine) mergeWith(b *Batch, op *Op, old content, exists bool) (merged content, changed bool) {
	merged.value, merged.form, op.Status = e.merge(b.merged[:0], old.value, old.form, exists, op)
	b.merged, b.mergedForm = merged.value, merged.form
	b.addWork(len(old.value) + len(merged.value))
	same := exists && merged.form == old.form && bytes.Equal(merged.value, old.value)
	return merged, op.Status.changes() && !same
}

// storeMerged stores what a Merge has made; the key's shard must be locked.
func (e *Engine) storeMerged(b *Batch, op *Op, h hash, slot *slot, rec *record, merged content) {
	s := e.shardOf(h)
	b.addWork(len(merged.value))
	if rec != nil {
		merged.expiry = rec.expiry()
		op.Status = s.replaceLocked(slot, rec, op.Key, &merged)
	} else {
		op.Status = s.insertLocked(h, op.Key, &merged)
	}
	if e.recordEffects {
		e.noteEffects(b, s, h, op)
	}
}
