package engine

import "sync/atomic"

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
	hashes [windowBlocks][blockOps]hash
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
		t := &e.shardOf(h).table
		pos := h.position()
		to := entry(t.soleEntry.Load())
		if to == 0 {
			d := t.directory()
			to = entry(atomic.LoadUint64((*uint64)(t.entry(d, pos.dirIndex(d.size())))))
		}
		group := uint64(pos) & to.mask()
		addrs[i] = addrOf(e.pool.mem.hintAt(to.ref() + ref(group*groupWords)))
	}
	prefetch(addrs, n)
}

func (w *window) findSlots(e *Engine, block, n int) {
	hashes, addrs := &w.hashes[block%windowBlocks], &w.addrs[block%windowBlocks]
	for i, h := range hashes[:n] {
		g := (*group)(ptrTo(addrs[i]))
		m := control(atomic.LoadUint64((*uint64)(&g.control))).match(h.tags())
		// Without a match this reads the line's end: harmless.
		s := slot(atomic.LoadUint64((*uint64)(g.slot((m | lastSlot).first()))))
		addrs[i] = addrOf(e.pool.mem.hintAt(s.ref()))
	}
	prefetch2(addrs, n)
}

// sink keeps loads that exist for their misses from being removed.
var sink atomic.Uint64
