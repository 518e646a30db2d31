package engine

import "math/bits"

// run is pages taken from the pool.
type run struct {
	page  uint64
	pages int
}

// allocator hands out the records of one shard; the shard's lock guards it.
//
// Small records are cut from blocks, runs of a few pages. What is freed goes on
// a list for its size class and is used again for that class only; when too much
// lies on the lists the maintainer copies what lives into new blocks and gives
// the old ones back (compact.go). Large records have a run of pages each.
type allocator struct {
	pool *pool

	bump, bumpEnd uint64 // references: the rest of the newest block
	free          [smallClasses]uint64
	kept          [smallClasses]uint64 // during a compaction: the lists of the old blocks, moved records' places included
	late          uint64               // during a compaction: what others freed, the class above the reference
	blocks        []run                // all blocks, the newest last
	old           int                  // how many of them are being emptied
	large         uint64               // list of large records

	blockBytes int // in blocks
	largeBytes int // in runs of large records
	freeBytes  int // on the lists, or abandoned during a compaction
	liveBytes  int // room in small records
	restBytes  int // of freeBytes, about: rests of blocks that nothing fitted into

	tried      int  // a compaction that was postponed is tried again when freeBytes passes this
	short      int  // or when the pool has so many pages left; 0: none was postponed
	untidy     bool // the maintainer knows of garbage that may wait until the store is at rest
	compacting bool // the maintainer is copying: it may have the pool's reserve
	closed     bool // to all others for now: memory is short, and a compaction needs the rest
	toCopy     int  // pages that a compaction under way may still need
}

// Blocks grow with the shard, so that small stores stay small and large ones
// seldom ask the pool: an eighth of what the shard has, between these.
// Not yet measured against other sizes.
const (
	minBlockPages = 1
	maxBlockPages = 16
)

// alloc returns room for a record of n bytes.
func (a *allocator) alloc(n int) (ref uint64, class int, ok bool) {
	if n > maxSmall {
		ref, ok = a.allocLarge(n)
		return ref, largeClass, ok
	}
	class = classOf(n)
	ref, ok = a.allocClass(class)
	return ref, class, ok
}

func (a *allocator) allocClass(class int) (ref uint64, ok bool) {
	if a.closed && !a.compacting {
		return 0, false // nor from the lists: what is on them may be about to go
	}
	if ref = a.free[class]; ref != 0 {
		a.free[class] = *word(a.pool.mem.at(ref))
		size := classBytes(class)
		a.freeBytes -= size
		a.liveBytes += size
		return ref, true
	}
	size := classBytes(class)
	if a.bump+uint64(size>>3) > a.bumpEnd && !a.newBlock(size) {
		return 0, false
	}
	ref = a.bump
	a.bump += uint64(size >> 3)
	a.liveBytes += size
	return ref, true
}

// spare is how many pages a run must leave in the pool: the reserve, and what the
// shard's own copies may still need. The maintainer may have it all.
func (a *allocator) spare() int {
	if a.compacting {
		return 0
	}
	return max(a.pool.reserve, a.toCopy)
}

// newBlock gets a block with room for size bytes.
func (a *allocator) newBlock(size int) bool {
	least := (size + pageBytes - 1) / pageBytes
	pages := max(min(a.blockBytes/8/pageBytes, maxBlockPages), minBlockPages, least)
	// Records of one size should fill their blocks: a class above a page is an
	// odd number of pages, up to 15, divided or multiplied by a power of two.
	// (13 KiB in 16 pages would leave 19 % unused, in 13 nothing.)
	if size > pageBytes/2 {
		if odd := size >> bits.TrailingZeros(uint(size)); pages > odd {
			pages -= pages % odd
		}
	}
	page, ok := a.pool.alloc(pages, a.spare())
	if !ok && pages > least {
		pages = least
		page, ok = a.pool.alloc(pages, a.spare())
	}
	if !ok {
		return false
	}
	a.retireBump()
	a.blocks = append(a.blocks, run{page, pages})
	a.blockBytes += pages * pageBytes
	a.bump = page * pageWords
	a.bumpEnd = a.bump + uint64(pages)*pageWords
	return true
}

// retireBump puts the rest of the newest block on the lists.
func (a *allocator) retireBump() {
	a.restBytes += int(a.bumpEnd-a.bump) * 8
	for a.bump < a.bumpEnd {
		class := classOf(int(min((a.bumpEnd-a.bump)*8, maxSmall)))
		if a.bump+uint64(classBytes(class)>>3) > a.bumpEnd {
			class--
		}
		a.push(a.bump, class)
		a.bump += uint64(classBytes(class) >> 3)
	}
}

func (a *allocator) push(ref uint64, class int) {
	p := a.pool.mem.at(ref)
	if invariants {
		mangle(bytesAt(p, classBytes(class)))
	}
	*word(p) = a.free[class]
	a.free[class] = ref
	a.freeBytes += classBytes(class)
}

// release takes a record back.
func (a *allocator) release(ref uint64, rec ptr) {
	class := recordClass(rec)
	if class == largeClass {
		a.releaseLarge(ref)
		return
	}
	a.liveBytes -= classBytes(class)
	if a.old > 0 {
		// It may lie in a block that is being emptied. Nothing is lost: this
		// compaction gives it back, or the next.
		a.freeBytes += classBytes(class)
		if invariants {
			mangle(bytesAt(rec, classBytes(class)))
		}
		*word(rec) = a.late
		a.late = uint64(class)<<refBits | ref
		return
	}
	a.push(ref, class)
}

// A large record's run begins with the references of the next and the previous
// large record of the shard and the number of its pages.
func (a *allocator) allocLarge(n int) (uint64, bool) {
	pages := (n + largePrefix + pageBytes - 1) / pageBytes
	page, ok := a.pool.alloc(pages, a.spare())
	if !ok {
		return 0, false
	}
	a.linkLarge(page*pageWords, pages)
	return page*pageWords + largePrefix/8, true
}

func (a *allocator) linkLarge(at uint64, pages int) {
	p := a.pool.mem.at(at)
	*word(p) = a.large
	*word(add(p, 8)) = 0
	*word(add(p, 16)) = uint64(pages)
	if a.large != 0 {
		*word(add(a.pool.mem.at(a.large), 8)) = at
	}
	a.large = at
	a.largeBytes += pages * pageBytes
}

func (a *allocator) releaseLarge(ref uint64) {
	at := ref - largePrefix/8
	p := a.pool.mem.at(at)
	next, prev, pages := *word(p), *word(add(p, 8)), int(*word(add(p, 16)))
	if next != 0 {
		*word(add(a.pool.mem.at(next), 8)) = prev
	}
	if prev != 0 {
		*word(a.pool.mem.at(prev)) = next
	} else {
		a.large = next
	}
	a.largeBytes -= pages * pageBytes
	if invariants {
		mangle(bytesAt(p, min(pages*pageBytes, chunkBytes)))
	}
	a.pool.release(at/pageWords, pages)
}

// room returns how many bytes a record could have without moving.
func (a *allocator) room(ref uint64, rec ptr) int {
	class := recordClass(rec)
	if class != largeClass {
		return classBytes(class)
	}
	pages := int(*word(add(a.pool.mem.at(ref-largePrefix/8), 16)))
	return pages*pageBytes - largePrefix
}
