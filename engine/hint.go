package engine

import (
	"math/bits"
	"sync/atomic"
)

// A window is the operations of a batch on their way through four stages, a
// block in each:
//
//	hashKeys   hash the keys; ask for the cache lines of their shards' locks
//	findGroups read the directories; ask for the lines of the keys' groups
//	findSlots  read the groups; ask for the records that the tags there point to
//	execute    (Apply itself) do it, in order, under the locks
//
// So a block's misses are on their way while three other blocks are worked on. No
// stage but the last takes a lock, so what they read may be changing or may have
// become something else; they only ever ask for cache lines, and every address
// that they compute is mapped (see memory). What they saw is not trusted:
// execution looks again.
//
// The locks' lines come first, for writing: another core has most of those that
// it used last, and to take a line away from it costs as much as a miss.
//
// The stages read plain memory that others write under their locks, on purpose:
// a word is read whole on the platforms that have it, and any word will do. The
// build for the race detector leaves them out with the off-heap memory.
type window struct {
	hashes [windowBlocks][blockOps]uint64
	addrs  [windowBlocks][blockOps]uintptr // what the latest stage asked for
}

const (
	windowBlocks = 4
	stages       = windowBlocks - 1 // before execution

	// blockOps is how many operations a block has. Measured on a Xeon, batches
	// of 32, ns a key at 1 M and 10 M keys: 4: 58, 95; 8: 49, 85; 16: 55, 89; all
	// 32 in one block, stage after stage, 63, 99; two blocks of 16, one after the
	// other, 70, 111.
	blockOps = 8
)

// hashKeys begins with a block.
func (w *window) hashKeys(e *Engine, block int, ops []Op) {
	hashes, addrs := &w.hashes[block%windowBlocks], &w.addrs[block%windowBlocks]
	for i := range ops {
		h := e.hashOf(ops[i].Key)
		hashes[i%blockOps] = h
		addrs[i%blockOps] = e.lockAddr(h)
	}
	prefetchWrite(addrs, len(ops))
}

func (w *window) findGroups(e *Engine, block, n int) {
	hashes, addrs := &w.hashes[block%windowBlocks], &w.addrs[block%windowBlocks]
	for i, h := range hashes[:n] {
		t := &e.shards[h>>e.shift].table
		pos := posOf(h)
		entry := t.only.Load()
		if entry == 0 {
			d := t.dir.Load()
			entry = atomic.LoadUint64(t.entry(d, dirIndex(pos, dirSize(d))))
		}
		group := pos & (1<<(entry&63) - 1)
		addrs[i] = addrOf(e.pool.mem.hintAt(entry>>8 + group*groupWords))
	}
	prefetch(addrs, n)
}

func (w *window) findSlots(e *Engine, block, n int) {
	hashes, addrs := &w.hashes[block%windowBlocks], &w.addrs[block%windowBlocks]
	for i, h := range hashes[:n] {
		g := ptrTo(addrs[i])
		x := atomic.LoadUint64(word(g)) ^ tagOf(h)*lowBytes
		m := (x - lowBytes) &^ x & slotHighs
		// Without a match this reads the line's end: harmless.
		slot := atomic.LoadUint64(word(add(g, uint64(8+bits.TrailingZeros64(m|1<<55)&^7))))
		addrs[i] = addrOf(e.pool.mem.hintAt(slot & refMask))
	}
	prefetch2(addrs, n)
}

// sink keeps loads that exist for their misses from being removed.
var sink atomic.Uint64
