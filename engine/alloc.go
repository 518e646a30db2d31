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

	bump, bumpEnd ref // the rest of the newest block
	free          [smallClasses]ref
	blocks        []run // all blocks, the newest last
	large         ref   // list of large records

	blockBytes int // in blocks
	largeBytes int // in runs of large records
	freeBytes  int // on the lists, or abandoned during a compaction
	liveBytes  int // room in small records
	restBytes  int // of freeBytes, about: rests of blocks that nothing fitted into
	leftBytes  int // of freeBytes, at most: what the latest compaction has left
	slackBytes int // about: what records have too much that became shorter when there was no room

	evacuation
	retryAboveBytes int   // a compaction that was postponed is tried again when freeBytes passes this
	retryAtPages    int32 // or when the pool has this many pages left; 0: none was postponed
	untidy          bool  // the maintainer knows of garbage that may wait until the store is at rest
	borrowing       bool  // an insert that has evicted something may have pages that are lent
}

// Blocks grow with the shard, so that small stores stay small and large ones
// seldom ask the pool: an eighth of what the shard has, between these. Half of the newest
// block of each shard isn't used yet, so blocks of short records, which many fill, are short:
// with 16 pages that was 1 byte a key of 10 M, with 4 it is a quarter.
const (
	minBlockPages   = 1
	shortBlockPages = 4  // for records up to shortRecord, see allocUpTo
	maxBlockPages   = 16 // for longer ones
	shortRecord     = 512
)

// freeRecord is a free record of a list that isn't of one class: the class above its
// reference.
type freeRecord uint64

func makeFreeRecord(r ref, class int) freeRecord {
	return freeRecord(class)<<refBits | freeRecord(r)
}
func (f freeRecord) ref() ref   { return ref(f & refMask) }
func (f freeRecord) class() int { return int(f >> refBits) }

// recordAt is the record at a reference; nextFree is where a free one has the reference
// of the next on its list.
func (a *allocator) recordAt(r ref) *record { return (*record)(a.pool.mem.at(r)) }
func (a *allocator) nextFree(r ref) *ref    { return (*ref)(a.pool.mem.at(r)) }

// alloc returns room for a record of n bytes.
func (a *allocator) alloc(n int) (r ref, class int, ok bool) {
	if n > maxSmall {
		r, ok = a.allocLarge(n)
		return r, largeClass, ok
	}
	class = classOf(n)
	r, ok = a.allocClass(class)
	return r, class, ok
}

func (a *allocator) allocClass(class int) (r ref, ok bool) {
	if a.reservedForCopies && !a.copying && (!a.borrowing || a.reverting) {
		return 0, false // nor from the lists: what is on them may be about to go
	}
	size := classBytes(class)
	if r = a.free[class]; r != 0 {
		a.free[class] = *a.nextFree(r)
		a.freeBytes -= size
		a.liveBytes += size
		return r, true
	}
	if a.bump+wordsOf(size) > a.bumpEnd && !a.newBlock(size) {
		return 0, false
	}
	r = a.bump
	a.bump += wordsOf(size)
	a.liveBytes += size
	return r, true
}

// wordsOf is how far apart references are that have n bytes between them.
func wordsOf(n int) ref { return ref(n >> 3) }

// spare is how many pages a run must leave in the pool: the reserve, what is lent to
// inserts that evict, and what the shard's own copies may still need. The maintainer may
// have it all.
func (a *allocator) spare() int {
	if a.copying {
		return 0
	}
	if a.borrowing {
		return a.pool.spareOfLoans()
	}
	return max(a.pool.reserve+a.pool.loan, a.pagesForCopies)
}

// newBlock gets a block with room for size bytes.
func (a *allocator) newBlock(size int) bool {
	if a.pool.isFull(a.spare()) {
		return false
	}
	b, ok := a.newRun(size)
	if !ok {
		return false
	}
	a.retireBump()
	a.blocks = append(a.blocks, b)
	a.blockBytes += b.pages * pageBytes
	a.bump, a.bumpEnd = pageRef(b.page), pageRef(b.page+uint64(b.pages))
	return true
}

// newRun gets the pages of a block.
func (a *allocator) newRun(size int) (b run, ok bool) {
	least := (size + pageBytes - 1) / pageBytes
	pages := max(min((a.blockBytes-a.oldBytes)/8/pageBytes, maxBlockPages), minBlockPages, least)
	if a.borrowing {
		pages = least
	}
	if size <= shortRecord {
		return a.pool.allocUpTo(min(pages, shortBlockPages), a.spare())
	}
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
	return run{page, pages}, ok
}

// retireBump puts the rest of the newest block on the lists.
func (a *allocator) retireBump() {
	a.restBytes += int(a.bumpEnd-a.bump) * 8
	a.pushAll(a.bump, a.bumpEnd)
	a.bump = a.bumpEnd
}

// pushAll puts what lies between two references on the lists.
func (a *allocator) pushAll(r, end ref) {
	for r < end {
		class := classOf(int(min((end-r)*8, maxSmall)))
		if r+wordsOf(classBytes(class)) > end {
			class--
		}
		a.push(r, class)
		r += wordsOf(classBytes(class))
	}
}

// allocFreed returns room for a record of n bytes out of what was freed: of its own class,
// or cut from a larger one's.
func (a *allocator) allocFreed(n int) (r ref, class int, ok bool) {
	if n > maxSmall {
		return a.alloc(n)
	}
	class = classOf(n)
	if a.reservedForCopies {
		return 0, class, false
	}
	for larger := class; larger < smallClasses; larger++ {
		if a.free[larger] == 0 {
			continue
		}
		r, _ = a.allocClass(larger)
		if rest := classBytes(larger) - classBytes(class); rest > 0 {
			a.liveBytes -= rest
			a.pushAll(r+wordsOf(classBytes(class)), r+wordsOf(classBytes(larger)))
		}
		return r, class, true
	}
	return 0, class, false
}

func (a *allocator) push(r ref, class int) {
	next := a.nextFree(r)
	if invariants {
		mangle(bytesAt(ptr(next), classBytes(class)))
	}
	*next = a.free[class]
	a.free[class] = r
	a.freeBytes += classBytes(class)
}

// release takes a record back.
func (a *allocator) release(r ref, rec *record) {
	class := rec.class()
	if class == largeClass {
		a.releaseLarge(r)
		return
	}
	a.liveBytes -= classBytes(class)
	if a.oldBlocks > 0 {
		// It may lie in a block that is being emptied. Nothing is lost: this
		// compaction gives it back, or the next.
		a.freeBytes += classBytes(class)
		a.putAside(r, rec, class)
		return
	}
	a.push(r, class)
}

// putAside puts a record that is freed during a compaction on the list of those.
func (a *allocator) putAside(r ref, rec *record, class int) {
	if invariants {
		mangle(bytesAt(ptr(rec), classBytes(class)))
	}
	*(*freeRecord)(ptr(rec)) = a.freedDuring
	a.freedDuring = makeFreeRecord(r, class)
}

// A large record's run begins with a link: the references of the next and the previous
// large record's runs of the shard, and the number of its pages.
type largeLink struct {
	next, prev ref
	pages      int64
}

// largeAt is the link at the beginning of a run.
func (a *allocator) largeAt(run ref) *largeLink { return (*largeLink)(a.pool.mem.at(run)) }

// runOf is where the run of a large record begins, and largeRef the record of a run.
func runOf(r ref) ref      { return r - largePrefix/8 }
func largeRef(run ref) ref { return run + largePrefix/8 }

func (a *allocator) allocLarge(n int) (ref, bool) {
	pages := (n + largePrefix + pageBytes - 1) / pageBytes
	page, ok := a.pool.alloc(pages, a.spare())
	if !ok {
		return 0, false
	}
	a.linkLarge(pageRef(page), pages)
	return largeRef(pageRef(page)), true
}

func (a *allocator) linkLarge(run ref, pages int) {
	*a.largeAt(run) = largeLink{next: a.large, pages: int64(pages)}
	if a.large != 0 {
		a.largeAt(a.large).prev = run
	}
	a.large = run
	a.largeBytes += pages * pageBytes
}

func (a *allocator) releaseLarge(r ref) {
	run := runOf(r)
	link := a.largeAt(run)
	next, prev, pages := link.next, link.prev, int(link.pages)
	if next != 0 {
		a.largeAt(next).prev = prev
	}
	if prev != 0 {
		a.largeAt(prev).next = next
	} else {
		a.large = next
	}
	a.largeBytes -= pages * pageBytes
	if invariants {
		mangle(bytesAt(ptr(link), min(pages*pageBytes, chunkBytes)))
	}
	a.pool.release(run.page(), pages)
}

// cutLarge gives back the pages of a large record that it doesn't need for n bytes.
func (a *allocator) cutLarge(r ref, n int) {
	run := runOf(r)
	link := a.largeAt(run)
	pages := (n + largePrefix + pageBytes - 1) / pageBytes
	if pages < int(link.pages) {
		a.largeBytes -= (int(link.pages) - pages) * pageBytes
		a.pool.cut(run.page(), int(link.pages), pages)
		link.pages = int64(pages)
	}
}

// room returns how many bytes a record could have without moving.
func (a *allocator) room(r ref, rec *record) int {
	class := rec.class()
	if class != largeClass {
		return classBytes(class)
	}
	return int(a.largeAt(runOf(r)).pages)*pageBytes - largePrefix
}
