package engine

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// A page is what the pool counts in; a chunk is what it gets from the system.
const (
	pageShift  = 12
	pageBytes  = 1 << pageShift
	pageWords  = pageBytes / 8 // references count words of 8 bytes
	chunkBytes = chunkPages * pageBytes
	chunkShift = pageShift + 6 + 3*(chunkPages/512) // 18 or 21
)

// Both twins' sizes must fit the shift: a negative length doesn't compile.
var _ [chunkBytes - 1<<chunkShift]struct{}
var _ [1<<chunkShift - chunkBytes]struct{}

// The pool has chunks prefaulted ahead of use while the store grows, up to
// readyGrowing of them, fewer while it is small. Where the system has to find the
// memory first, that takes as long as inserts take to fill it; see doc.go.
const readyGrowing = 16

// hintPages is the store from which hint passes win over the caches: 2 MiB; below
// that they cost 2 to 4 ns a key (10 k keys: 46 ns with, 43 without). A store that
// has been above it keeps them: it may grow again, and what they cost is little.
const hintPages = 512

// runBuckets is the number of sizes of runs whose search is remembered.
const runBuckets = 32

// pool hands out runs of pages, and pieces of pages for small indexes, to the shards of
// one Engine. It takes the lowest chunk that has room, so that what is freed
// gathers at the top, where whole chunks can go back to the system.
//
// mu guards everything below it, except that leftPages is read without; it is taken with a
// shard's lock held, never the other way. It is held for a search of bitmaps, and for a system
// call only by allocChunksLocked at the ceiling and by endPrefaultLocked after a race.
type pool struct {
	mem   memory
	wake  func() // tells the maintainer that there is work; never blocks
	sweep func() // tells the sweeper that something expires; never blocks
	// releaseCleared gives a part of what was cleared back, and reports whether there was
	// any. It takes the maintainer's mu, and then the pool's.
	releaseCleared func() bool

	step     func()      // called between the steps of maintenance; nil: see Simulation
	expires  atomic.Bool // a key has had a deadline
	hintsPay atomic.Bool // more pages than hintPages have been in use
	refused  atomic.Bool // an operation was refused since the latest round at rest

	expired atomic.Uint64 // records that were dropped because they were dead

	pairedFrom  int          // keys of a shard from which on its segments grow in pairs
	evictors    []evictor    // of the shards; nil: nothing is evicted
	filterPages int          // what their filters have
	shareBytes  int          // of the ceiling, for each shard
	forCopies   atomic.Int64 // pages that the compaction that runs may still need; 0: none runs
	lentBeside  atomic.Int64 // pages that were lent while it ran

	mu          sync.Mutex
	chunks      []chunkState
	maxChunks   int             // the ceiling
	exceeds     int             // by how much it is raised while the store is loaded
	exceeded    bool            // it was, and chunks above it may be in use
	reserve     int             // pages below it that only a compaction may take
	loan        int             // pages above those that only evicting inserts may take
	committed   int             // chunks that have memory
	prefaulting int             // the one of them that is chunkPrefaulting; 0: none
	ready       int             // usable chunks with all pages free
	freePages   int             // in chunkReady chunks
	leftPages   atomic.Int64    // below the ceiling, the reserve included
	first       [runBuckets]int // no chunk below has a free run of the bucket's size
	firstNone   int             // no chunk below is chunkNone
	pieces      pieces          // of small indexes
	wakeAtPages int             // pages left from which on the maintainer is woken; 0: never
	untidyAt    int             // scattered pages from which on it is woken to rest
}

func (p *pool) init(maxBytes, shards int) error {
	if err := p.mem.reserve(); err != nil {
		return err
	}
	if !invariants {
		p.pairedFrom = pairedFrom / shards
	}
	p.maxChunks = p.mem.chunks()
	p.untidyAt = chunkPages
	if maxBytes > 0 {
		p.maxChunks = min(p.maxChunks, maxBytes/chunkBytes)
		// So that a store at its ceiling can still be compacted, which is how space
		// that was freed in one size becomes space for another: room for a copy of
		// what a shard has. Few shards would take too much, and do without.
		all := p.maxChunks * chunkPages
		p.reserve = min(all*4/3/shards+4*maxBlockPages, all/8)
	}
	p.leftPages.Store(int64(p.maxChunks * chunkPages))
	p.mu.Lock()
	defer p.mu.Unlock()
	// Page 0 is never handed out: reference 0 is no record.
	if page, ok := p.allocLocked(1, 0); !ok || page != 0 {
		_ = p.mem.close()
		return ErrNoMemory
	}
	return nil
}

func runBucket(pages int) int {
	if pages <= 16 {
		return pages - 1
	}
	return 11 + bits.Len(uint(pages-1)) // 17..32 pages: 16
}

// alloc takes a run of pages and returns the first. Its bytes are anything. At least
// spare pages have to be left: the reserve, unless a compaction asks.
func (p *pool) alloc(pages, spare int) (page uint64, ok bool) {
	page, ok = p.try(pages, spare)
	for !ok && p.releaseCleared() {
		page, ok = p.try(pages, spare)
	}
	return page, ok
}

// try takes no lock if there is nothing to be had: at the ceiling every insert asks.
func (p *pool) try(pages, spare int) (page uint64, ok bool) {
	if p.left()-pages < spare {
		return 0, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.allocLocked(pages, spare)
}

func (p *pool) allocLocked(pages, spare int) (uint64, bool) {
	chunks := 0
	if pages > chunkPages { // whole ones
		chunks = chunksOf(pages)
		pages = chunks * chunkPages
	}
	if p.left()-pages < spare {
		return 0, false
	}
	if chunks > 0 {
		return p.allocChunksLocked(chunks)
	}
	if c, at, ok := p.findLocked(pages); ok {
		p.takeLocked(c, at, pages)
		return uint64(c*chunkPages + at), true
	}
	c := p.prefaulting
	if p.committed < p.maxChunks {
		var ok bool
		if c, ok = p.nextNoneLocked(1); !ok || !p.mem.commit(c, 1) {
			return 0, false
		}
		p.addReadyLocked(c)
		p.committed++
	} else if !p.publishPrefaultedLocked() {
		return 0, false
	}
	p.takeLocked(c, 0, pages)
	return uint64(c * chunkPages), true
}

// findLocked returns where the lowest free run of this length begins, of a chunk at most.
func (p *pool) findLocked(pages int) (c, at int, ok bool) {
	bucket := runBucket(pages)
	// The hint is true for the bucket's smallest size; what a larger run passes
	// over is noted only where a bucket is one size.
	for c := p.first[bucket]; c < len(p.chunks); c++ {
		ch := &p.chunks[c]
		if ch.state != chunkReady || int(ch.freePages) < pages {
			continue
		}
		if at, ok := ch.findRun(pages); ok {
			if pages <= 16 {
				p.first[bucket] = c
			}
			return c, at, true
		}
	}
	return 0, 0, false
}

// allocUpTo takes the lowest free page and those after it that are free, most of them at
// most. So what index leaves between its runs, of other lengths each time that it grows, is
// used up: with blocks of a fixed length 1 byte a key of 10 M stayed free.
func (p *pool) allocUpTo(most, spare int) (r run, ok bool) {
	r, ok = p.tryUpTo(most, spare)
	for !ok && p.releaseCleared() {
		r, ok = p.tryUpTo(most, spare)
	}
	return r, ok
}

func (p *pool) tryUpTo(most, spare int) (r run, ok bool) {
	if p.left() <= spare {
		return run{}, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	page, ok := p.allocLocked(1, spare)
	if !ok {
		return run{}, false
	}
	most = min(most-1, p.left()-spare)
	more := p.chunks[page/chunkPages].freeFrom(int(page%chunkPages)+1, most)
	if more > 0 {
		p.takeLocked(int(page/chunkPages), int(page%chunkPages)+1, more)
	}
	return run{page, 1 + more}, true
}

// isFull reports whether there is no page to be had. At the ceiling every insert asks.
func (p *pool) isFull(spare int) bool { return p.left() <= spare && !p.releaseCleared() }

// left is how many pages there are below the ceiling, the reserve included. Without the
// pool's lock it is how many there were a moment ago.
func (p *pool) left() int { return int(p.leftPages.Load()) }

// takeLocked marks pages as used.
func (p *pool) takeLocked(c, at, pages int) {
	ch := &p.chunks[c]
	if ch.freePages == chunkPages {
		p.ready--
		if p.wantReadyLocked() > 0 {
			p.wake()
		}
	}
	ch.mark(at, pages, false)
	ch.freePages -= uint16(pages)
	p.freePages -= pages
	p.leftPages.Add(-int64(pages))
	if (p.committed-p.ready)*chunkPages > hintPages && !p.hintsPay.Load() {
		p.hintsPay.Store(true)
	}
}

// nextNoneLocked returns the lowest of n neighbouring chunks without memory.
func (p *pool) nextNoneLocked(n int) (int, bool) {
	run := 0
	for c := p.firstNone; c < len(p.chunks); c++ {
		if p.chunks[c].state != chunkNone {
			run = 0
			continue
		}
		if run++; run == n {
			if n == 1 {
				p.firstNone = c
			}
			return c - n + 1, true
		}
	}
	c := len(p.chunks) - run
	if c+n > p.mem.chunks() {
		return 0, false
	}
	for len(p.chunks) < c+n {
		p.chunks = append(p.chunks, chunkState{})
	}
	if n == 1 {
		p.firstNone = c
	}
	return c, true
}

func (p *pool) addReadyLocked(c int) {
	ch := &p.chunks[c]
	*ch = chunkState{freePages: chunkPages, state: chunkReady}
	ch.mark(0, chunkPages, true)
	p.freePages += chunkPages
	p.ready++
	for i := range p.first {
		p.first[i] = min(p.first[i], c)
	}
}

// allocChunksLocked takes a run of whole chunks, fresh from the system. At the
// ceiling it gives empty ones back for it, which is the one system call that is made
// with the lock held.
func (p *pool) allocChunksLocked(n int) (uint64, bool) {
	if p.committed-p.ready+n > p.maxChunks {
		p.publishPrefaultedLocked()
	}
	if p.committed-p.ready+n > p.maxChunks {
		return 0, false
	}
	for p.committed+n > p.maxChunks {
		c := p.takeReadyLocked()
		p.mem.release(c, 1)
		p.releasedLocked(c)
	}
	c, ok := p.nextNoneLocked(n)
	if !ok || !p.mem.commit(c, n) {
		return 0, false
	}
	p.committed += n
	p.leftPages.Add(-int64(n * chunkPages))
	for i := range n {
		p.chunks[c+i].state = chunkWhole
	}
	return uint64(c * chunkPages), true
}

// release gives a run back.
func (p *pool) release(page uint64, pages int) {
	c := int(page / chunkPages)
	if pages > chunkPages {
		p.releaseChunks(c, chunksOf(pages))
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.releaseLocked(page, pages)
}

// chunksOf is how many whole chunks a run of more than one has.
func chunksOf(pages int) int { return (pages + chunkPages - 1) / chunkPages }

func (p *pool) releaseChunks(c, n int) {
	p.mem.release(c, n) // no one else knows these chunks: no lock
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range n {
		p.chunks[c+i].state = chunkNone
	}
	p.firstNone = min(p.firstNone, c)
	p.committed -= n
	p.leftPages.Add(int64(n * chunkPages))
	p.wakeIfFreeLocked()
}

// cut gives back what a run has after its first pages, of which there are fewer left.
func (p *pool) cut(page uint64, pages, left int) {
	c := int(page / chunkPages)
	if pages <= chunkPages {
		p.release(page+uint64(left), pages-left)
		return
	}
	if had, has := chunksOf(pages), chunksOf(left); has < had {
		p.releaseChunks(c+has, had-has)
	}
	if left <= chunkPages { // its chunk is one that others share now
		p.mu.Lock()
		defer p.mu.Unlock()
		p.chunks[c] = chunkState{state: chunkReady}
		if left < chunkPages {
			p.releaseLocked(page+uint64(left), chunkPages-left)
		}
	}
}

// releaseLocked is release of a run within a chunk.
func (p *pool) releaseLocked(page uint64, pages int) {
	c, at := int(page/chunkPages), int(page%chunkPages)
	ch := &p.chunks[c]
	if invariants && ch.findUsed(at, pages) != pages {
		panic("BUG: engine: pages freed twice")
	}
	ch.mark(at, pages, true)
	ch.freePages += uint16(pages)
	p.freePages += pages
	p.leftPages.Add(int64(pages))
	for i := range p.first {
		p.first[i] = min(p.first[i], c)
	}
	if ch.freePages == chunkPages {
		p.ready++
		if p.tooManyReadyLocked(&churned) {
			p.wake()
		}
	}
	p.wakeIfFreeLocked()
	if free := p.freePages - p.ready*chunkPages; free > p.untidyAt {
		p.untidyAt = free + free/2
		p.wake()
	}
}

// wakeWhenFree has the maintainer woken once there are n pages left.
func (p *pool) wakeWhenFree(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wakeAtPages == 0 || n < p.wakeAtPages {
		p.wakeAtPages = n
	}
	p.wakeIfFreeLocked()
}

func (p *pool) wakeIfFreeLocked() {
	if p.wakeAtPages > 0 && p.left() >= p.wakeAtPages {
		p.wake()
	}
}

// takeWake reports whether the pages that wakeWhenFree waits for are there, and how many
// are left. The wake is used up: a caller that goes on waiting asks for another.
func (p *pool) takeWake() (left int, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	left = p.left()
	if p.wakeAtPages == 0 || left < p.wakeAtPages {
		return 0, false
	}
	p.wakeAtPages = 0
	return left, true
}

// wantReadyLocked is how many chunks to prefault.
func (p *pool) wantReadyLocked() int {
	used := p.committed - p.ready
	return min(min(readyGrowing, used/2)-p.ready, p.maxChunks-p.committed)
}

// tooManyReadyLocked reports whether there are more empty chunks than an effort keeps.
func (p *pool) tooManyReadyLocked(keeps *effort) bool {
	used := p.committed - p.ready
	return p.ready > keeps.keptChunks+used/keeps.keptPart || p.ready > 0 && p.committed > p.maxChunks
}

// scattered returns how many free pages lie about between others, and how many pages are
// in use. What is free above them all, in the last chunk that is in use, isn't scattered.
func (p *pool) scattered() (free, used int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	free = p.freePages - p.ready*chunkPages
	used = (p.committed-p.ready)*chunkPages - free
	for c := len(p.chunks) - 1; c >= 0; c-- {
		if ch := &p.chunks[c]; ch.state == chunkReady && ch.freePages < chunkPages {
			free -= ch.freeTail()
			break
		}
	}
	return free, used
}

// tidied notes what a round has left scattered: the next is asked for when there is more
// than an effort leaves.
func (p *pool) tidied(leaves *effort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	free := p.freePages - p.ready*chunkPages
	p.untidyAt = free + max(leaves.leastScattered, p.committed*chunkPages/leaves.scatteredPart)
}

// prefaultOne gets one more chunk ready, if one is wanted. Only one may be on its way.
func (p *pool) prefaultOne() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, ok := p.beginPrefaultLocked()
	if !ok {
		return false
	}
	p.mu.Unlock()
	p.mem.populate(c)
	p.stepped()
	p.mu.Lock()
	p.endPrefaultLocked(c)
	return true
}

func (p *pool) beginPrefaultLocked() (c int, ok bool) {
	if p.wantReadyLocked() <= 0 {
		return 0, false
	}
	if c, ok = p.nextNoneLocked(1); !ok || !p.mem.commit(c, 1) {
		return 0, false
	}
	p.committed++
	p.chunks[c].state = chunkPrefaulting
	p.prefaulting = c
	return c, true
}

// endPrefaultLocked notes that a chunk has been prefaulted. A caller that was short of
// memory may have taken it meanwhile, and given it back: then it goes back to the system
// again. If it is just going back as a part of several, what was prefaulted after that
// stays until the chunk is used again.
func (p *pool) endPrefaultLocked(c int) {
	if p.prefaulting == c {
		p.publishPrefaultedLocked()
	} else if p.chunks[c].state == chunkNone {
		p.mem.release(c, 1)
	}
}

// publishPrefaultedLocked makes the chunk that is being prefaulted usable, if there is
// one. A caller that can't wait for the rest of it faults in what it uses itself:
// prefaulting changes nothing that is there.
func (p *pool) publishPrefaultedLocked() bool {
	if p.prefaulting == 0 {
		return false
	}
	p.addReadyLocked(p.prefaulting)
	p.prefaulting = 0
	return true
}

// releaseOne gives the highest empty chunk back, if there are too many.
func (p *pool) releaseOne(keeps *effort) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.tooManyReadyLocked(keeps) {
		return false
	}
	c := p.takeReadyLocked()
	p.mu.Unlock()
	p.mem.release(c, 1)
	p.stepped()
	p.mu.Lock()
	p.releasedLocked(c)
	return true
}

// stepped is between two steps of maintenance: no lock is held.
func (p *pool) stepped() {
	if p.step != nil {
		p.step()
	}
}

// takeReadyLocked takes the highest empty chunk, which there must be, out of use. From
// here on another may be had instead, so that no operation is refused memory that is
// about to be free: this one may exceed the ceiling, for as long as the system takes.
func (p *pool) takeReadyLocked() int {
	c := len(p.chunks) - 1
	for p.chunks[c].state != chunkReady || p.chunks[c].freePages != chunkPages {
		c--
	}
	p.chunks[c] = chunkState{state: chunkEmptying}
	p.committed--
	p.ready--
	p.freePages -= chunkPages
	return c
}

// releasedLocked notes that a chunk has gone back to the system.
func (p *pool) releasedLocked(c int) {
	p.chunks[c].state = chunkNone
	p.firstNone = min(p.firstNone, c)
}
