package engine

import (
	"math/bits"
	"sync/atomic"
)

// hint has the cache lines that a group of operations will want brought in, all
// their misses at once: first the home groups of the keys, then the records that
// the tags there point to. It takes no lock, so what it reads may be changing or
// may have become something else; it only ever asks for cache lines, and every
// address that it computes is mapped (see memory). What it saw is not trusted:
// execution looks again, under the lock.
//
// The locks come first, for writing: another core has most of those that it used
// last, and to take a lock's line away from it costs as much as a miss.
//
// It reads plain memory that others write under their locks, on purpose: a word
// is read whole on the platforms that have it, and any word will do. The build
// for the race detector leaves it out with the off-heap memory.
func (e *Engine) hint(hashes []uint64) {
	var at [maxGroup]uintptr
	mem := &e.pool.mem
	for i, h := range hashes {
		at[i&(maxGroup-1)] = e.lockAddr(h)
	}
	prefetchWrite(&at, len(hashes))
	for i, h := range hashes {
		t := &e.shards[h>>e.shift].table
		pos := posOf(h)
		entry := t.only.Load()
		if entry == 0 {
			d := t.dir.Load()
			entry = atomic.LoadUint64(t.entry(d, dirIndex(pos, dirSize(d))))
		}
		group := pos & (1<<(entry&63) - 1)
		at[i&(maxGroup-1)] = addrOf(mem.hintAt(entry>>8 + group*groupWords))
	}
	prefetch(&at, len(hashes))
	for i, h := range hashes {
		g := ptrTo(at[i&(maxGroup-1)])
		x := atomic.LoadUint64(word(g)) ^ tagOf(h)*lowBytes
		m := (x - lowBytes) &^ x & slotHighs
		// Without a match this reads the line's end: harmless.
		slot := atomic.LoadUint64(word(add(g, uint64(8+bits.TrailingZeros64(m|1<<55)&^7))))
		at[i&(maxGroup-1)] = addrOf(mem.hintAt(slot & refMask))
	}
	prefetch2(&at, len(hashes))
}

// sink keeps loads that exist for their misses from being removed.
var sink atomic.Uint64
