package engine

import "math/bits"

// Stats is a picture of an Engine, for operators and tests.
type Stats struct {
	Keys          int // keys in all shards
	Shards        int // number of shards
	KeysInLargest int // keys in the shard that holds most

	LiveBytes     int // records, with the rounding of their sizes
	FreeBytes     int // in blocks: what removed and replaced records left
	BlockBytes    int // what small records are cut from: live, free and not used yet
	LargeBytes    int // records with pages of their own
	IndexBytes    int // directories and segments
	Segments      int // of the index
	ReservedBytes int // chunks taken from the system: all of the above, and spare

	// Passed is how many full groups a lookup passes on average before it
	// meets its key; sampled from a segment of each shard.
	Passed float64
}

// Stats takes each shard's lock for a moment and reads 8 KiB of its index.
func (e *Engine) Stats() Stats {
	st := Stats{Shards: len(e.shards)}
	sampled, passed := 0, 0
	for i := range e.shards {
		s := &e.shards[i]
		s.mu.Lock()
		n := int(s.keys.Load())
		st.Keys += n
		st.KeysInLargest = max(st.KeysInLargest, n)
		st.LiveBytes += s.liveBytes + s.largeBytes
		st.FreeBytes += s.freeBytes
		st.BlockBytes += s.blockBytes
		st.LargeBytes += s.largeBytes
		st.IndexBytes += s.table.bytes
		st.Segments += s.table.segments
		d := s.table.dir.Load()
		entry := *s.table.entry(d, 0)
		seg := s.table.mem.at(entry >> 8)
		for g := range uint64(1) << min(entry&63, splitSegLog) {
			control := *word(add(seg, g*groupBytes))
			sampled += bits.OnesCount64(control & slotHighs)
			passed += int(control >> 56)
		}
		s.mu.Unlock()
	}
	if sampled > 0 {
		st.Passed = float64(passed) / float64(sampled)
	}
	e.pool.mu.Lock()
	st.ReservedBytes = e.pool.committed * chunkBytes
	e.pool.mu.Unlock()
	return st
}
