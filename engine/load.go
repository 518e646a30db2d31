package engine

// This file is for a store that is filled from disk. It gets in a second what it came to have
// in months, with all the garbage of that and without the rests in which the maintainer gathers:
// it can be refused what it had room for. So it may exceed its ceiling until it is loaded.

// exceedPart is the part of the ceiling by which a store that is loaded may exceed it. Of 100
// full stores of 8 MiB and four shards, with values of up to 6 KB, 42 couldn't be loaded without
// it, and 9 if they waited for the maintainer; with it one of 400 can't, and of 600 with 16
// shards none. Not yet measured against other parts.
const exceedPart = 4

// madePart is the part of the ceiling that MakeRoom evicts. Not yet measured against others.
const madePart = 16

// MakeRoom is for what is refused while a store is loaded. The first call has the store exceed
// Options.MaxBytes by a quarter until [Engine.EndLoad]; later ones evict what may be evicted, a
// sixteenth of that, from all shards, and gather what is free, which may take seconds. It
// reports whether it has evicted any. Any goroutine may call it.
func (e *Engine) MakeRoom() (evicted bool) {
	if e.pool.exceed() {
		return false
	}
	evicted = e.evictShares(e.maxBytes / madePart)
	e.maintainer.gather()
	return evicted
}

// Evict applies a batch of Removes, each of which counts as an eviction, whether the key was
// there or not: there was no room for what it should have become. Only where keys are evicted.
func (e *Engine) Evict(b *Batch) {
	e.Apply(b)
	for i := range b.Ops {
		s := e.shardOf(e.hashOf(b.Ops[i].Key))
		s.mu.Lock()
		s.evictor().evicted++
		s.mu.Unlock()
	}
}

// EndLoad ends what MakeRoom allows, and reports whether what the store has takes no more than
// its ceiling; what may be evicted for that is. It comes when all is loaded, and before anything
// else is done to the store.
func (e *Engine) EndLoad() bool {
	for !e.pool.comeBack() {
		e.maintainer.gather()
		if !e.pool.comeBack() && !e.evictShares(e.pool.excess()*pageBytes) {
			return false
		}
	}
	return true
}

// evictShares evicts from each shard its share of so many bytes, and reports whether there
// was anything to evict.
func (e *Engine) evictShares(n int) (some bool) {
	share := n/len(e.shards) + 1
	var b Batch
	for i := range e.shards {
		s := &e.shards[i]
		ev := s.evictor()
		if ev == nil {
			return false
		}
		s.mu.Lock()
		for room, n := 0, 1; n > 0 && room < share; room += n {
			n = s.evictLocked(ev, nil)
			some = some || n > 0
		}
		e.noteEvicted(&b, s, hash(i))
		s.mu.Unlock()
	}
	return some
}

// exceed raises the ceiling, and reports whether it wasn't yet.
func (p *pool) exceed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.exceeds > 0 {
		return false
	}
	p.exceeds = min((p.maxChunks+exceedPart-1)/exceedPart, p.mem.chunks()-p.maxChunks)
	p.exceeded = p.exceeds > 0
	p.raiseLocked(p.exceeds)
	return p.exceeded
}

// excess is how many pages are in use above the ceiling as it was.
func (p *pool) excess() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exceeds*chunkPages - p.left()
}

// comeBack has the ceiling as it was if no more pages are in use, and reports whether it is so.
// They may lie in more chunks: where a shard has as much as a chunk, what is free can't always
// be gathered in one. Those above the ceiling go back when they are empty.
func (p *pool) comeBack() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left() < p.exceeds*chunkPages {
		return false
	}
	p.raiseLocked(-p.exceeds)
	p.exceeds = 0
	p.wake()
	return true
}

func (p *pool) raiseLocked(chunks int) {
	p.maxChunks += chunks
	p.leftPages.Add(int64(chunks * chunkPages))
}
