package engine

import (
	"bytes"
	"math"
	"math/bits"
	"slices"
	"sync"
)

// Cursor is how far a scan has come, in the order of shards and of positions: the position
// to go on at, below its shard. 0 is the beginning. Every key has its place in that order,
// whatever becomes of segments and records, so a Cursor holds for as long as its Engine.
type Cursor uint64

// CursorBits is how many bits of a Cursor may be set, the lowest ones.
const CursorBits = shardBits + posBits

// HasCursor reports whether a scan of this Engine may return the Cursor: there is such a shard.
func (e *Engine) HasCursor(c Cursor) bool { return c.shard() < uint64(len(e.shards)) }

// CursorAt returns a Cursor in the middle of the order, the same for the same number: a random
// one's is as good as anywhere.
func (e *Engine) CursorAt(n uint64) Cursor {
	return makeCursor(int(n>>e.shift), hash(n).position())
}

func makeCursor(shard int, p position) Cursor { return Cursor(shard)<<posBits | Cursor(p) }
func (c Cursor) shard() uint64                { return uint64(c >> posBits) }
func (c Cursor) position() position           { return position(c & posMask) }

// What a step of a scan does with a shard's lock held: 256 keys take some 20 µs. A position
// isn't cut: it may be more by the keys that share one, and by one value.
const (
	scanKeys  = 256
	scanBytes = 64 << 10
)

// maxVisits bounds a call, in records looked at; a shard counts as some, and so do the groups
// of a segment. So a call takes a tenth of a millisecond, or two, however rare the prefix is.
const (
	maxVisits      = 2048
	shardVisits    = 4
	groupsPerVisit = 8
)

// Scan calls fn for keys that begin with prefix and are alive at now, with what they have,
// until there are limit of them, or fn returns false, or it has done a bounded amount of
// work, which may be in vain. It returns where to go on; done says that this was the end.
//
// A key that exists from the first call of a scan to the last is seen exactly once, unless a
// rename moves it; one that comes or goes may be seen. Keys that share a position, which
// next to none do, come together, even if that is more than limit, or fn has returned false.
//
// The slices are valid during the call of fn only. fn runs without a lock and may use the
// Engine. What is copied at one moment is a part of a shard; large values are read one by
// one.
func (e *Engine) Scan(cursor Cursor, prefix []byte, limit int, now int64, fn func(key, value []byte, form Form, deadline int64) bool) (next Cursor, done bool) {
	sc := newScan(prefix, now, true)
	defer sc.release()
	return sc.run(e, cursor, limit, fn)
}

// ScanKeys is Scan without the values.
func (e *Engine) ScanKeys(cursor Cursor, prefix []byte, limit int, now int64, fn func(key []byte) bool) (next Cursor, done bool) {
	sc := newScan(prefix, now, false)
	defer sc.release()
	return sc.run(e, cursor, limit, func(key, _ []byte, _ Form, _ int64) bool { return fn(key) })
}

// Each is a whole Scan: it calls fn for each key, with what it has, until fn returns false.
// A key whose time is over may be among them.
func (e *Engine) Each(fn func(key, value []byte, form Form, deadline int64) bool) {
	sc, stopped := newScan(nil, 0, true), false
	defer sc.release()
	for cursor, done := Cursor(0), false; !done && !stopped; {
		cursor, done = sc.run(e, cursor, math.MaxInt, func(key, value []byte, form Form, deadline int64) bool {
			stopped = stopped || !fn(key, value, form, deadline)
			return !stopped
		})
	}
}

// Range is Each for those that ask for no more.
func (e *Engine) Range(fn func(key, value []byte) bool) {
	e.Each(func(key, value []byte, _ Form, _ int64) bool { return fn(key, value) })
}

// scan is what a call of Scan carries: what it looks for, and scratch.
type scan struct {
	prefix []byte
	now    int64
	values bool

	visits int

	slots  []slot  // of a step, in the order of their positions
	sorted []slot  // for sorting them
	buf    []byte  // keys and values, one after the other
	found  []found // where each is in buf
	large  []byte
}

// scans are those that no call uses, with their scratch.
var scans = sync.Pool{New: func() any { return new(scan) }}

func newScan(prefix []byte, now int64, values bool) *scan {
	sc := scans.Get().(*scan)
	sc.prefix, sc.now, sc.values = prefix, now, values
	return sc
}

// release keeps the scratch for another call, unless it is more than most need.
func (sc *scan) release() {
	sc.prefix = nil
	if cap(sc.buf)+cap(sc.large) <= maxKeptScratch && cap(sc.slots) <= maxKeptSlots {
		scans.Put(sc)
	}
}

// maxKeptSlots is how many slots scratch that is kept has room for: a step of a segment whose
// positions are hashes has some 300.
const maxKeptSlots = 1 << 14

// collect finds the slots of a segment from one position to before another.
func (sc *scan) collect(seg segment, from, end position) {
	sc.slots = sc.slots[:0]
	for i := range seg.groups() {
		g := seg.group(i)
		for m := g.control.occupied(); m != 0; m = m.rest() {
			if s := *g.slot(m.first()); s.position()-from < end-from { // not before from, too: no sign
				sc.slots = append(sc.slots, s)
			}
		}
	}
}

// sortBuckets is how many parts positions are sorted into before those of each are: as many
// as there are slots, about. Sorting by comparisons alone took a quarter of a scan. Not yet
// measured against other numbers.
const sortBuckets = 256

// sort sorts the slots by their positions: hashes, so that a part has few.
func (sc *scan) sort(from, end position) {
	shift := max(0, bits.Len64(uint64(end-from-1))-bits.Len(sortBuckets-1))
	var ends [sortBuckets]int32
	for _, s := range sc.slots {
		ends[(s.position()-from)>>shift]++
	}
	sum := int32(0)
	for i, n := range ends {
		ends[i], sum = sum, sum+n
	}
	sc.sorted = slices.Grow(sc.sorted[:0], len(sc.slots))[:len(sc.slots)]
	for _, s := range sc.slots {
		at := &ends[(s.position()-from)>>shift]
		sc.sorted[*at] = s
		*at++
	}
	sc.slots, sc.sorted = sc.sorted, sc.slots
	begin := int32(0)
	for _, end := range ends {
		if part := sc.slots[begin:end]; len(part) > 1 {
			sortPart(part)
		}
		begin = end
	}
}

// sortPart sorts few slots by their positions. Those that share one need no order.
func sortPart(part []slot) {
	if len(part) > 32 {
		slices.Sort(part)
		return
	}
	for i := 1; i < len(part); i++ {
		s, at := part[i], i
		for ; at > 0 && part[at-1].position() > s.position(); at-- {
			part[at] = part[at-1]
		}
		part[at] = s
	}
}

// found is a key of a step.
type found struct {
	position   position
	key, value int // where they end
	form       Form
	readLater  bool // a large value: copying it would hold the lock for too long
	deadline   int64
}

func (sc *scan) run(e *Engine, cursor Cursor, limit int, fn func(key, value []byte, form Form, deadline int64) bool) (next Cursor, done bool) {
	i, pos := cursor.shard(), cursor.position()
	sc.visits = 0
	for i < uint64(len(e.shards)) {
		if limit <= 0 || sc.visits >= maxVisits {
			return makeCursor(int(i), pos), false
		}
		s := &e.shards[i]
		after := position(1 << posBits)
		sc.visits += shardVisits
		sc.found = sc.found[:0]
		if s.keys.Load() > 0 {
			after = sc.step(s, pos, min(limit, scanKeys))
		}
		from, goOn := 0, true
		for j := range sc.found {
			f := &sc.found[j]
			if !goOn && f.position != sc.found[j-1].position {
				return makeCursor(int(i), f.position), false
			}
			key, value := sc.buf[from:f.key:f.key], sc.buf[f.key:f.value:f.value]
			from = f.value
			if f.readLater {
				if !sc.readLarge(s, e.hashOf(key), key, f) {
					continue // it has gone meanwhile
				}
				value = sc.large[:len(sc.large):len(sc.large)]
			}
			limit--
			goOn = fn(key, value, f.form, f.deadline) && goOn
		}
		if pos = after; pos == 1<<posBits {
			i, pos = i+1, 0
		}
		if !goOn {
			return makeCursor(int(i), pos), i == uint64(len(e.shards))
		}
	}
	return 0, true
}

// step copies what it looks for from the positions of a shard from one on, some keys of one
// segment at most, and returns the position after them.
func (sc *scan) step(s *shard, from position, most int) (after position) {
	sc.buf = sc.buf[:0]
	s.mu.Lock()
	defer s.mu.Unlock()
	seg, in := s.table.segmentAt(uint64(from >> groupBits))
	end := in.upTo(from, seg.countKeys(), most)
	// Left out is also what an earlier step has seen: a merge may have made the segment
	// begin before it.
	sc.collect(seg, from, end)
	sc.sort(from, end)
	sc.visits += len(sc.slots) + int(seg.groups())/groupsPerVisit
	sum := uint64(0)
	for _, slot := range sc.slots[:min(len(sc.slots), 2*scanKeys)] { // so that their misses overlap
		sum += *word(s.table.mem.at(slot.ref()))
	}
	sink.Store(sum)
	last := from
	for _, slot := range sc.slots {
		p := slot.position()
		if p != last && (len(sc.found) >= most || len(sc.buf) >= scanBytes) {
			return p
		}
		last = p
		sc.take(s.table.record(slot), p)
	}
	return end
}

// positions returns the first position of a span's entries, and the one after the last.
func (in span) positions() (first, after position) {
	size := in.dir.size()
	return position((in.lo<<dirBits+size-1)/size) << groupBits, position(in.next()) << groupBits
}

// upTo returns the position before which to stop, so that from there are about as many keys as
// most, if the segment has so many, and all of the span otherwise.
func (in span) upTo(from position, keys, most int) position {
	start, end := in.positions()
	if keys > most {
		end = min(end, from+max(1, (end-start)*position(most)/position(keys)))
	}
	return end
}

// take copies a record if it is one that is looked for.
func (sc *scan) take(rec *record, p position) {
	k, v, header := rec.parts()
	at := add(ptr(rec), header)
	if rec.isDead(sc.now) || !bytes.HasPrefix(bytesAt(at, k), sc.prefix) {
		return
	}
	f := found{position: p, form: rec.head.form(), deadline: rec.expiry().deadline()}
	f.key = len(sc.buf) + k
	switch {
	case !sc.values:
		v = 0
	case rec.class() == largeClass:
		f.readLater, v = true, 0
	}
	f.value = f.key + v
	sc.buf = append(sc.buf, bytesAt(at, k+v)...) // the value follows the key
	sc.found = append(sc.found, f)
}

// readLarge reads what a key has now, if it is there.
func (sc *scan) readLarge(s *shard, h hash, key []byte, f *found) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, rec := s.table.find(h, key)
	if rec == nil || rec.isDead(sc.now) {
		return false
	}
	c := rec.content()
	sc.large = append(sc.large[:0], c.value...)
	f.form, f.deadline = c.form, c.expiry.deadline()
	return true
}
