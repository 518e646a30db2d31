package engine

import (
	"math"
)

// Stats is a picture of an Engine, for operators and tests.
type Stats struct {
	Keys          int   // keys in all shards
	Shards        int   // number of shards
	MaxBytes      int   // Options.MaxBytes
	Evict         Evict // Options.Evict
	KeysInLargest int   // keys in the shard that holds most
	KeysInLeast   int   // and in the one that holds fewest
	Compactions   int   // of a shard, since the start
	Reverts       int   // compactions that ran out of memory, and put back what they had moved
	Evicted       int   // keys that were dropped to make room, since the start
	Postponed     int   // compactions put off until there is more memory, or more garbage
	LockWaits     int   // how often somebody had to wait for a shard; 0 where the lock doesn't tell

	Expiring      int // keys that have a deadline
	Expired       int // keys dropped because it was over, since the start
	CalendarBytes int // what the sweeper finds them by

	LiveBytes     int // records, with the rounding of their sizes
	FreeBytes     int // in blocks: what removed and replaced records left
	BlockBytes    int // what small records are cut from: live, free and not used yet
	LargeBytes    int // records with pages of their own
	IndexBytes    int // directories and segments
	Segments      int // of the index
	ReservedBytes int // chunks taken from the system: all of the above, and spare

	// Probes are keys by how many full groups a lookup passes before it meets
	// them, the last element for that many and more; sampled from a segment of
	// each shard. Passed is the mean.
	Probes [8]int
	Passed float64
}

// Stats takes each shard's lock for a moment and reads 8 KiB of its index.
func (e *Engine) Stats() Stats {
	st := Stats{Shards: len(e.shards), MaxBytes: e.maxBytes, Evict: e.evict, KeysInLeast: math.MaxInt}
	sampled, passed := 0, 0
	for i := range e.shards {
		s := &e.shards[i]
		s.mu.Lock()
		n := int(s.keys.Load())
		st.Keys += n
		st.KeysInLargest = max(st.KeysInLargest, n)
		st.KeysInLeast = min(st.KeysInLeast, n)
		if ev := s.evictor(); ev != nil {
			st.Evicted += ev.evicted
		}
		st.LockWaits += s.mu.waitsLocked()
		st.LiveBytes += s.liveBytes + s.largeBytes
		st.FreeBytes += s.freeBytes
		st.BlockBytes += s.blockBytes
		st.LargeBytes += s.largeBytes
		st.IndexBytes += s.table.bytes
		st.Segments += int(s.table.segments)
		if c := s.calendar; c != nil {
			st.Expiring += c.records
			st.CalendarBytes += c.bytes
		}
		s.table.eachFar(func(groups uint64) {
			sampled++
			passed += int(groups)
			st.Probes[min(groups, uint64(len(st.Probes)-1))]++
		})
		s.mu.Unlock()
	}
	if sampled > 0 {
		st.Passed = float64(passed) / float64(sampled)
	}
	st.Compactions = int(e.maintainer.compactions.Load())
	st.Reverts = int(e.maintainer.reverts.Load())
	st.Postponed = int(e.maintainer.postponed.Load())
	st.Expired = int(e.pool.expired.Load())
	e.pool.mu.Lock()
	st.ReservedBytes = e.pool.committed * chunkBytes
	e.pool.mu.Unlock()
	return st
}

// eachFar calls fn for each key of the table's first segment, or of its first 128
// groups, with the number of groups that a lookup passes before its slot's.
func (t *table) eachFar(fn func(groups uint64)) {
	seg, _ := t.segmentAt(0)
	for at := range seg.slots(0, min(seg.groups(), 1<<splitSegLog)) {
		fn(seg.distance(seg.home(at.position()), at.group))
	}
}
