package engine

import "time"

// This file is what is done for an operation that has found no room in its own shard, though
// that has evicted keys: others have to, and the maintainer.

// Bounds on it. Not yet measured against others.
const (
	outsideShards = 64  // shards that are looked into for large records, in a round
	gatherShards  = 16  // shards that evict to be compacted, in a round
	gatherVictims = 256 // keys that each of them evicts

	maxAwaited  = time.Millisecond      // how long the operations of an Apply wait for the maintainer, all of them
	awaitedStep = 50 * time.Microsecond // how long until they look again
)

// Rounds. With two of outsideRounds, which free as many pages as are needed but not always side
// by side, values of 400 kB among others of 50 to 200 were refused 10 times of 100, with 4 none of
// 900. With 4 and 8 of gatherRounds as many were refused as with 2.
const (
	outsideRounds = 4
	gatherRounds  = 2
)

// retryFull executes an operation again that has found no room in its own shard.
func (e *Engine) retryFull(b *Batch, op *Op, h hash) {
	n, s := e.neededBytes(b, op, h)
	if n > e.maxBytes/4 {
		return
	}
	b.retrying = true
	if n <= maxSmall {
		if !b.holdsAll && e.awaitCompaction(b, s) {
			e.executeAgain(b, op, h)
		}
	} else { // large records alone give pages back at once
		for range outsideRounds {
			if op.Status != OutOfMemory || !e.evictOutside(b, op, h, n) {
				break
			}
			e.executeAgain(b, op, h)
		}
	}
	for range gatherRounds {
		if n <= pageBytes || op.Status != OutOfMemory || !e.evictToCompact(b, op, h, n) {
			break
		}
		e.executeAgain(b, op, h)
	}
	b.retrying = false
}

func (e *Engine) executeAgain(b *Batch, op *Op, h hash) {
	if b.holdsAll {
		e.setLocked(b, op, h)
	} else {
		e.execute(b, op, h)
	}
}

// neededBytes returns how long the record may be that an operation has found no room for, and
// the shard where it looked. What the operation makes of a value that is there, or moves, it
// doesn't carry.
func (e *Engine) neededBytes(b *Batch, op *Op, h hash) (n int, s *shard) {
	s = e.shardOf(h)
	key, value := len(op.Key), len(op.Value)
	switch op.Kind {
	case Merge:
		value = len(b.merged)
	case Rename, Expire:
		s.mu.Lock()
		_, rec := s.table.find(h, op.Key)
		value = 0
		if rec != nil {
			value = len(rec.value())
		}
		s.mu.Unlock()
		if op.Kind == Rename {
			key, s = len(op.Value), e.shardOf(e.hashOf(op.Value))
		}
	}
	return largePrefix + longHeader + key + value + expiryBytes, s
}

// lockNext locks the shard whose turn it is to evict for another, and returns the slot of the
// operation's own key if that is there: it stays.
func (e *Engine) lockNext(b *Batch, op *Op, h hash) (s *shard, own *slot) {
	i := e.outside.Add(1) % uint64(len(e.shards))
	s = &e.shards[i]
	if !b.holdsAll {
		s.mu.Lock()
	}
	if s == e.shardOf(h) {
		own, _ = s.table.find(h, op.Key)
	}
	return s, own
}

// unlockNext notes what the shard has evicted, and unlocks it.
func (e *Engine) unlockNext(b *Batch, s *shard) {
	e.noteEvicted(b, s, hash(s.stagger))
	if !b.holdsAll {
		s.mu.Unlock()
	}
}

// evictOutside evicts large records of all shards until there are n bytes more in the pool,
// and reports whether there are.
func (e *Engine) evictOutside(b *Batch, op *Op, h hash, n int) bool {
	left := e.pool.left()
	for range min(outsideShards, len(e.shards)) {
		s, own := e.lockNext(b, op, h)
		for range maxVictims {
			if s.large == 0 || s.evictLocked(s.evictor(), own) == 0 {
				break
			}
		}
		e.unlockNext(b, s)
		if (e.pool.left()-left)*pageBytes >= n {
			return true
		}
	}
	return false
}

// evictToCompact evicts n bytes of records of any length, of a few shards, has those compacted
// and waits for that, and reports whether it has evicted anything. It takes of what an Apply
// may wait: what that has to store may all be refused.
func (e *Engine) evictToCompact(b *Batch, op *Op, h hash, n int) bool {
	if b.holdsAll || e.simulated || b.awaited >= maxAwaited {
		return false
	}
	start := time.Now()
	var last *shard
	for range min(gatherShards, len(e.shards)) {
		s, own := e.lockNext(b, op, h)
		for range gatherVictims {
			room := s.evictLocked(s.evictor(), own)
			if room == 0 {
				break
			}
			last = s
			s.wantCompact.Store(true)
			if n -= room; n <= 0 {
				break
			}
		}
		e.unlockNext(b, s)
		if n <= 0 {
			break
		}
	}
	b.awaited += time.Since(start)
	if last == nil {
		return false
	}
	e.pool.wake()
	e.awaitCompaction(b, last)
	return true
}

// awaitCompaction waits until the maintainer has compacted a shard that asks for it, for a
// while, and reports whether there was anything to wait for. What was evicted in one size is
// room for another only then. Without it a maintainer that gets no processor, since the
// inserts take all that there are, has a third of them refused.
func (e *Engine) awaitCompaction(b *Batch, s *shard) bool {
	waits := false
	for start := time.Now(); !e.simulated && b.awaited < maxAwaited; {
		s.mu.Lock()
		under := s.oldBlocks > 0 || s.wantCompact.Load()
		s.mu.Unlock()
		if !under {
			break
		}
		waits = true
		time.Sleep(awaitedStep)
		now := time.Now()
		b.awaited, start = b.awaited+now.Sub(start), now
	}
	return waits
}
