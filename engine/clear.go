package engine

// Clear removes all keys, as one atomic step, and returns how many there were.
// The maintainer gives their memory back after it has returned, and an operation that finds
// no memory before that does so itself. If Clears arrive faster than the maintainer frees
// them, Clear frees the memory.
func (e *Engine) Clear() int {
	n, _ := e.ClearRecorded(nil)
	return n
}

// ClearRecorded is Clear, which is one effect on every shard. If Options.RecordEffects is
// set it appends their numbers, Effect.Seq, in the order of the shards.
func (e *Engine) ClearRecorded(seqs []uint64) (n int, _ []uint64) {
	e.lockAll()
	taken, n, seqs := e.clearLocked(seqs)
	e.unlockAll()
	e.release(taken)
	return n, seqs
}

// ClearSet removes all keys and executes the batch, which may hold operations of kind Set
// only, as one atomic step, and returns how many keys there were. It holds all locks
// meanwhile: for 10,000 keys 2 to 10 ms, a part of it for memory that is touched for the first
// time (BenchmarkClearSet). The batch has its effects, which come after those of the Clear; those are
// ClearRecorded's.
func (e *Engine) ClearSet(b *Batch, seqs []uint64) (n int, _ []uint64) {
	for i := range b.Ops {
		if b.Ops[i].Kind != Set {
			panic("BUG: engine: ClearSet of other operations than Set")
		}
	}
	b.scratch = b.scratch[:0]
	b.resetEffects()
	e.lockAll()
	taken, n, seqs := e.clearLocked(seqs)
	e.release(taken)
	b.holdsAll = true
	for i := b.next; i < len(b.Ops); i++ {
		op := &b.Ops[i]
		b.next++
		h := e.hashOf(op.Key)
		e.setLocked(b, op, h)
		if e.evicts && op.Status == OutOfMemory {
			e.retryFull(b, op, h)
		}
	}
	b.holdsAll = false
	e.unlockAll()
	return n, seqs
}

// setLocked executes a Set; the key's shard must be locked.
func (e *Engine) setLocked(b *Batch, op *Op, h hash) {
	s := e.shardOf(h)
	slot, rec := s.table.find(h, op.Key)
	op.Status = s.setLocked(slot, rec, h, b, op)
	if e.recordEffects {
		e.noteEffects(b, s, h, op)
	}
}

func (e *Engine) lockAll() {
	for i := range e.shards {
		e.shards[i].mu.Lock()
	}
}

func (e *Engine) unlockAll() {
	for i := range e.shards {
		e.shards[i].mu.Unlock()
	}
}

// clearLocked takes what all shards hold out of them.
func (e *Engine) clearLocked(seqs []uint64) (taken []*detached, n int, _ []uint64) {
	for i := range e.shards {
		s := &e.shards[i]
		d, keys := s.clearLocked()
		n += keys
		if e.recordEffects {
			s.effects++
			seqs = append(seqs, s.effects)
		}
		if d != nil {
			taken = append(taken, d)
		}
	}
	return taken, n, seqs
}

// release has the maintainer give back what a Clear took out of the shards.
func (e *Engine) release(taken []*detached) {
	if !e.maintainer.tryAdd(taken, maxPendingClears*len(e.shards)) {
		for _, d := range taken {
			d.releaseAll(e.maintainer.giveWay)
		}
		e.maintainer.wake()
	}
}
