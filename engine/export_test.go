package engine

import (
	"math/rand/v2"
	"time"
	"unsafe"
)

// ChunkBytes is the unit of MaxBytes, MaxReserve the most that it may be; PageBytes is the
// unit of the pool; MaxSmall the largest record that shares pages, LargeHeader what others have
// before their keys; Invariants whether this build checks them.
const (
	ChunkBytes  = chunkBytes
	MaxReserve  = maxReserve
	PageBytes   = pageBytes
	MaxSmall    = maxSmall
	LargeHeader = largePrefix + longHeader
	Invariants  = invariants
)

// WithFailing returns o with a system that refuses memory when failing returns true, and a
// maintainer that runs as usual.
func (o Options) WithFailing(failing func() bool) Options {
	o.Simulation = &Simulation{Seed: rand.Uint64(), Refuse: failing, background: true}
	return o
}

// CheckInvariants does what there is to do for the maintainer and checks e.
// Nothing else may use e meanwhile.
func (e *Engine) CheckInvariants() error {
	e.maintainer.working.Lock()
	defer e.maintainer.working.Unlock()
	e.sweeper.working.Lock()
	defer e.sweeper.working.Unlock()
	e.maintainer.maintain(&resting)
	return e.checkInvariants()
}

// CheckAsIs checks e as it is, with what still waits for the maintainer.
func (e *Engine) CheckAsIs() error { return e.checkInvariants() }

// Settle does what there is to do for the maintainer.
func (e *Engine) Settle() {
	e.maintainer.round(&resting)
}

// ScanStep is the first step of a scan of the first shard: how many keys it has copied, and
// how many bytes.
func (e *Engine) ScanStep(most int) (keys, bytes int) {
	sc := scan{values: true}
	sc.step(&e.shards[0], 0, most)
	return len(sc.found), len(sc.buf)
}

// ScanBytes and ScanKeys are what a step copies, MaxVisits what a call looks at, and VisitBytes
// what one of Visit shows.
const (
	ScanBytes    = scanBytes
	ScanStepKeys = scanKeys
	MaxVisits    = maxVisits
	VisitBytes   = visitBytes
	VisitKeys    = visitKeys
)

// Sweep is a pass of the sweeper.
func (e *Engine) Sweep() { e.sweeper.pass() }

// HoldSweeper keeps the sweeper from working until release is called.
func (e *Engine) HoldSweeper() (release func()) {
	e.sweeper.working.Lock()
	return e.sweeper.working.Unlock
}

// Reminders is how many reminders there are, those that are left over included.
func (e *Engine) Reminders() (n int) {
	for i := range e.shards {
		s := &e.shards[i]
		s.mu.Lock()
		if s.calendar != nil {
			n += s.calendar.reminders
		}
		s.mu.Unlock()
	}
	return n
}

// Miscount has the first shard count n segments more than it has.
func (e *Engine) Miscount(n int) {
	s := &e.shards[0]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.table.segments += int32(n)
}

// Compact compacts the first shard, whether or not it needs it.
func (e *Engine) Compact() {
	e.maintainer.working.Lock()
	defer e.maintainer.working.Unlock()
	e.maintainer.compact(&e.shards[0], false)
}

// WithHash returns o with the keyed hash replaced, to force collisions.
func (o Options) WithHash(hash func(key []byte) uint64) Options {
	o.hash = hash
	return o
}

// HashOf returns the hash that e gives to key.
func (e *Engine) HashOf(key string) uint64 { return uint64(e.hashOf([]byte(key))) }

// Closed reports whether Close has been called.
func (e *Engine) Closed() bool { return e.closed.Load() }

// ForceHints has e ask for cache lines ahead, small as it is.
func (e *Engine) ForceHints() { e.pool.hintsPay.Store(true) }

// HoldMaintainer keeps the maintainer from working until release is called.
func (e *Engine) HoldMaintainer() (release func()) {
	e.maintainer.working.Lock()
	return e.maintainer.working.Unlock
}

// ClearsLeft is how many shards' contents wait to be given back.
func (e *Engine) ClearsLeft() int {
	e.maintainer.mu.Lock()
	defer e.maintainer.mu.Unlock()
	return len(e.maintainer.pendingClears)
}

// Kept is how many bytes of values b has room for without asking for more.
func (b *Batch) Kept() int { return cap(b.scratch) }

// Lock is the mutex of a shard.
type Lock = lock

// LetOthers is what a goroutine calls between taking the lock and taking it again.
func LetOthers(l *Lock) { l.letOthers() }

// HoldPrefault waits between the halves of prefaulting a chunk, until end is called. The
// maintainer must be held.
func (e *Engine) HoldPrefault() (end func(), ok bool) {
	p := &e.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	c, ok := p.beginPrefaultLocked()
	return func() {
		p.mem.populate(c)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.endPrefaultLocked(c)
	}, ok
}

// HoldEmptying waits between the halves of giving an empty chunk back.
func (e *Engine) HoldEmptying() (end func(), ok bool) {
	p := &e.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ready == 0 {
		return func() {}, false
	}
	c := p.takeReadyLocked()
	return func() {
		p.mem.release(c, 1)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.releasedLocked(c)
	}, true
}

// Compacting reports whether the first shard is being compacted. Only for Step.
func (e *Engine) Compacting() bool { return e.shards[0].oldBlocks > 0 }

// ListedBytes is how many bytes the first shard's lists have for new records.
func (e *Engine) ListedBytes() (n int) {
	s := &e.shards[0]
	s.mu.Lock()
	defer s.mu.Unlock()
	for class, r := range s.free {
		for ; r != 0; r = *s.nextFree(r) {
			n += classBytes(class)
		}
	}
	return n
}

// ChunkPages is how many pages a chunk has.
const ChunkPages = chunkPages

// AllocPages takes a run of pages; ReleasePages gives it back.
func (e *Engine) AllocPages(pages int) (page uint64, ok bool) { return e.pool.alloc(pages, 0) }
func (e *Engine) ReleasePages(page uint64, pages int)         { e.pool.release(page, pages) }

// AllocUpTo takes the lowest free pages, most of them at most.
func (e *Engine) AllocUpTo(most int) (page uint64, pages int, ok bool) {
	r, ok := e.pool.allocUpTo(most, 0)
	return r.page, r.pages, ok
}

// GhostRoom is how many evicted keys the first shard remembers at most.
func (e *Engine) GhostRoom() int { return e.shards[0].evictor().filter.buckets * ghostWays }

// Ghost is what one bucket knows of evicted keys.
type Ghost struct {
	f      filter
	bucket uint64
}

func NewGhost() *Ghost {
	g := &Ghost{}
	g.f = filter{ghost: ptr(&g.bucket), most: 1, buckets: 1}
	return g
}

func (g *Ghost) Remember(key uint64)    { g.f.remember(position(key>>tagBits&posMask), tag(key)) }
func (g *Ghost) Recall(key uint64) bool { return g.f.recall(position(key>>tagBits&posMask), tag(key)) }

// Print is a key's fingerprint.
func (g *Ghost) Print(key uint64) uint64 {
	_, print := g.f.printOf(position(key>>tagBits&posMask), tag(key))
	return print
}

// Segment is one of 128 groups; its keys have different positions, and are named by those.
type Segment struct{ seg segment }

func NewSegment() *Segment {
	lines := make([]group, 1<<splitSegLog+1)
	first := ptr(&lines[0])
	return &Segment{segment{add(first, uint64(-addrOf(first)&(groupBytes-1))), 1<<splitSegLog - 1}}
}

const (
	PulledGroups = pulledGroups
	MaxPulled    = maxPulled
)

func (s *Segment) Place(key uint64) {
	s.seg.place(makeSlot(position(key), newcomer, 1), tag(key&0x7F|0x80))
}

// Keys are those in each group, and Passed is how many have gone past one.
func (s *Segment) Keys() [][]uint64 {
	keys := make([][]uint64, s.seg.groups())
	for at := range s.seg.slots(0, s.seg.groups()) {
		keys[at.group] = append(keys[at.group], uint64(at.position()))
	}
	return keys
}

func (s *Segment) Passed(g uint64) uint64 { return s.seg.group(g).control.passed() }

func (s *Segment) slotOf(key uint64) (*group, uint64) {
	for at := range s.seg.slots(0, s.seg.groups()) {
		if at.position() == position(key) {
			return groupOf(at.slot)
		}
	}
	return nil, 0
}

// Evict erases a key and pulls others to where it was, except one.
func (s *Segment) Evict(key, keep uint64) {
	g, n := s.slotOf(key)
	kept, k := s.slotOf(keep)
	s.seg.erase(g.slot(n))
	s.seg.pull(g, n, kept.slot(k))
}

// WakeWhenFree has the maintainer woken once n pages are free. Woken reports whether that
// has happened since it was last called; RetryPostponed is what the maintainer does then.
func (e *Engine) WakeWhenFree(n int) { e.pool.wakeWhenFree(n) }
func (e *Engine) RetryPostponed()    { e.maintainer.retryPostponed() }
func (e *Engine) Woken() bool {
	select {
	case <-e.maintainer.signal:
		return true
	default:
		return false
	}
}

// ToCopy makes the first shard keep n pages for the copies of a compaction, as it does
// while it is compacted, and returns how many pages are free.
func (e *Engine) ToCopy(n int) (left int) {
	s := &e.shards[0]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pagesForCopies = n
	return e.pool.left()
}

// Layouts are sizes and places in bytes, on 64-bit platforms. The first cache line of a
// shard ends where its table's base does: tail.
func Layouts() map[string]uintptr {
	var s shard
	return map[string]uintptr{
		"shard":      unsafe.Sizeof(s),
		"shard tail": unsafe.Offsetof(s.table) + unsafe.Offsetof(s.table.mem) + 8,
		"lock":       unsafe.Sizeof(s.mu),
		"Op":         unsafe.Sizeof(Op{}),
		"chunkState": unsafe.Sizeof(chunkState{}),
		"window":     unsafe.Sizeof(window{}),
		"run":        unsafe.Sizeof(run{}),
	}
}

// DefaultShards is the number of shards of a store under a ceiling, for this many CPUs.
func DefaultShards(procs, maxBytes int) int { return defaultShards(procs, maxBytes) }

// PiecePages is how many pages are cut into pieces of index.
func (e *Engine) PiecePages() int {
	e.pool.mu.Lock()
	defer e.pool.mu.Unlock()
	return e.pool.pieces.pages
}

// ScatteredPages is how many free pages lie between others.
func (e *Engine) ScatteredPages() int {
	free, _ := e.pool.scattered()
	return free
}

// Wake calls the maintainer.
func (e *Engine) Wake() { e.maintainer.wake() }

// Pacing is when a maintainer that is called again and again rests: Called is after how long
// since a call, unless that stands already.
type Pacing struct{ p pacing }

func NewPacing() *Pacing                    { return &Pacing{pacing{pause: restAfter}} }
func (p *Pacing) Rested(took time.Duration) { p.p.rested(took) }
func (p *Pacing) Called(refused, expires bool) (after time.Duration, ok bool) {
	return p.p.called(refused, expires)
}

// A store that isn't called for RestAfter is at rest, for RestAfterDeaths if its keys die;
// RestEvery is how many times as long as a rest took one that refuses is left to itself.
const (
	RestAfter       = restAfter
	RestAfterDeaths = restAfterDeaths
	RestEvery       = restEvery
)

// LowerDirectory moves the first shard's directory to lower pages unless it has more bytes
// than most, and reports whether it has moved; bytes is what it has.
func (e *Engine) LowerDirectory(most int) (bytes int, moved bool) {
	s := &e.shards[0]
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.table.directory()
	s.copying = true
	s.table.lowerDir(&s.allocator, most)
	s.copying = false
	return int(before.size()) * 8, s.table.directory() != before
}

// AllocIndex takes a piece or pages of index for the first shard, and returns the page and
// the unit of it; ReleaseIndex gives it back.
func (e *Engine) AllocIndex(bytes int) (page uint64, unit int, ok bool) {
	r, ok := e.shards[0].allocIndex(bytes)
	return r.page(), int(r-pageRef(r.page())) / int(wordsOf(1<<pieceShift)), ok
}
func (e *Engine) ReleaseIndex(page uint64, unit, bytes int) {
	e.pool.releaseIndex(pageRef(page)+wordsOf(unit<<pieceShift), bytes)
}

// FreePages is how many pages there are below the ceiling, Reserve how many of them only a
// compaction may have.
func (e *Engine) FreePages() int { return e.pool.left() }
func (e *Engine) Reserve() int   { return e.pool.reserve }

// DirSize is how many entries the first shard's directory has.
func (e *Engine) DirSize() int { return int(e.shards[0].table.directory().size()) }

// PackDirectory moves the first shard's directory to lower pages; DirectoryAt is its page
// and unit.
func (e *Engine) PackDirectory() { e.shards[0].packDirectory() }
func (e *Engine) DirectoryAt() (page uint64, unit int) {
	r := e.shards[0].table.directory().ref()
	return r.page(), int(r-pageRef(r.page())) / int(wordsOf(1<<pieceShift))
}

// PairFrom has segments grow in pairs from a number of keys a shard on. Nothing else may use e
// meanwhile.
func (e *Engine) PairFrom(keys int) { e.pool.pairedFrom = keys }
