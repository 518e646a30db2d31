package engine

import (
	"math"
	"sync/atomic"
)

// A window is the operations of a batch on their way through four stages, a
// stride in each:
//
//	hashKeys   hash the keys; ask for the cache lines of their shards' locks
//	findGroups read the directories; ask for the lines of the keys' groups
//	findSlots  read the groups, and those that keys have gone on to; ask for the records
//	           that the tags there point to, or for what a new one will need
//	execute    (Apply itself) do it, in order, under the locks
//
// So a stride's misses are on their way while three other strides are worked on. No
// stage but the last takes a lock, so what they read may be changing or may have
// become something else; they only ever ask for cache lines, and every address
// that they compute is mapped (see memory). What they saw is not trusted:
// execution looks again.
//
// The locks' lines come first, for writing: most of those that another core used last
// are still in its cache, and to take a line from there costs as much as a miss.
//
// The stages read plain memory that other goroutines write under locks, on purpose:
// a word is read whole on the platforms that have it, and any word will do. The
// build for the race detector leaves them out with the off-heap memory.
type window struct {
	hashes [windowStrides][strideOps]hash
	addrs  [windowStrides][strideOps]uintptr // what the latest stage asked for
}

const (
	windowStrides = 4
	stages        = windowStrides - 1 // before execution

	// strideOps is how many operations a stride has. doc.go has what 4, 16 and 32 cost.
	strideOps = 8
)

// hashKeys begins with a stride.
func (w *window) hashKeys(e *Engine, stride int, ops []Op) {
	hashes, addrs := &w.hashes[stride%windowStrides], &w.addrs[stride%windowStrides]
	for i := range ops {
		h := e.hashOf(ops[i].Key)
		hashes[i%strideOps] = h
		addrs[i%strideOps] = e.lockAddr(h)
	}
	prefetchWrite(addrs, len(ops))
}

func (w *window) findGroups(e *Engine, stride, n int) {
	hashes, addrs := &w.hashes[stride%windowStrides], &w.addrs[stride%windowStrides]
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

func (w *window) findSlots(e *Engine, stride, n int) {
	hashes, addrs := &w.hashes[stride%windowStrides], &w.addrs[stride%windowStrides]
	last, ahead := hash(math.MaxUint64), 0 // the shard of the insert before, and how many before that
	for i, h := range hashes[:n] {
		g := (*group)(ptrTo(addrs[i]))
		c := control(atomic.LoadUint64((*uint64)(&g.control)))
		m := c.match(h.tags())
		for k := uintptr(1); m == 0 && c >= onePassed && k < followedGroups; k++ {
			g = (*group)(ptrTo(addrs[i] + k*groupBytes))
			c = control(atomic.LoadUint64((*uint64)(&g.control)))
			m = c.match(h.tags())
		}
		if m == 0 { // it may be inserted
			if shard := h >> e.shift; shard == last {
				ahead++
			} else {
				last, ahead = shard, 0
			}
			addrs[i] = e.insertAddr(h, ahead)
			continue
		}
		// Without a match this reads the line's end: harmless.
		s := slot(atomic.LoadUint64((*uint64)(g.slot((m | lastSlot).first()))))
		addrs[i] = addrOf(e.pool.mem.hintAt(s.ref()))
	}
	prefetch2(addrs, n)
}

// followedGroups is how many groups a key is looked for in. Past a segment's end is not where
// its first group is; what lies there is mapped, and harmless. At 1 M keys with 2 of them
// reads took 62.4 ns and overwrites 59.1, with 4 61.4 and 57.4, with the key's own alone 65.0
// and 63.2; inserts took 4 ns less then.
const followedGroups = 4

// insertAddr is what an insert is going to miss beside its group: the ghost's bucket, or the
// place of the new record, where the shard's newest block ends. In a batch that is ordered by
// shard there are as many inserts of the stride ahead of it as it is told, and those of the
// stride before, which has not been executed yet. Each is taken to need a line. Without this
// the lock of the next operation waits for the record's stores, a quarter of a load's CPU time: a
// million keys into a store that was made to size took 217 ns each, and take 139.
func (e *Engine) insertAddr(h hash, ahead int) uintptr {
	if e.touches {
		if f := &e.pool.evictors[h>>e.shift].filter; f.buckets > 0 {
			bucket, _ := f.printOf(h.position(), h.tag())
			return addrOf(ptr(bucket))
		}
	}
	if ahead > 0 {
		ahead += strideOps
	}
	newest := ref(atomic.LoadUint64((*uint64)(&e.shardOf(h).bump)))
	return addrOf(e.pool.mem.hintAt(newest + ref(ahead*groupWords)))
}

// sink keeps loads that are there only for their misses from being removed.
var sink atomic.Uint64
