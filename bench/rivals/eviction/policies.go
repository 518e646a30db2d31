package eviction

import (
	"container/heap"
	"math"

	"github.com/maypok86/otter/v2"
)

// Policy is a cache of a number of keys.
type Policy interface {
	// Request asks for a key, which is stored if it isn't there, and reports whether it was.
	Request(key uint32) (hit bool)
}

// Ratio is the part of a trace's requests that a policy has served, in per cent.
func Ratio(p Policy, t *Trace) float64 {
	hits := 0
	for _, key := range t.Requests {
		if p.Request(key) {
			hits++
		}
	}
	return 100 * float64(hits) / float64(len(t.Requests))
}

// ring is a doubly linked list of keys; element 0 is its end, key k element k+1.
type ring struct{ next, prev []uint32 }

func newRing(keys int) ring {
	return ring{make([]uint32, keys+1), make([]uint32, keys+1)}
}

func (l *ring) pushFront(i uint32) {
	first := l.next[0]
	l.next[i], l.prev[i] = first, 0
	l.prev[first], l.next[0] = i, i
}

func (l *ring) remove(i uint32) {
	l.next[l.prev[i]], l.prev[l.next[i]] = l.next[i], l.prev[i]
}

func (l *ring) last() uint32 { return l.prev[0] }

// lru evicts the key that was asked for longest ago.
type lru struct {
	list      ring
	in        []bool
	size, cap int
}

func newLRU(capacity, keys int) Policy {
	return &lru{list: newRing(keys), in: make([]bool, keys+1), cap: capacity}
}

func (p *lru) Request(key uint32) bool {
	i := key + 1
	if p.in[i] {
		p.list.remove(i)
		p.list.pushFront(i)
		return true
	}
	if p.size == p.cap {
		last := p.list.last()
		p.list.remove(last)
		p.in[last] = false
		p.size--
	}
	p.list.pushFront(i)
	p.in[i] = true
	p.size++
	return false
}

// sieve is SIEVE (Zhang and others, NSDI 2024): a hand goes from the oldest key to the
// newest, takes the mark from those that were asked for, and evicts the first without.
type sieve struct {
	list      ring
	in, mark  []bool
	hand      uint32
	size, cap int
}

func newSieve(capacity, keys int) Policy {
	return &sieve{list: newRing(keys), in: make([]bool, keys+1), mark: make([]bool, keys+1), cap: capacity}
}

func (p *sieve) Request(key uint32) bool {
	i := key + 1
	if p.in[i] {
		p.mark[i] = true
		return true
	}
	if p.size == p.cap {
		at := p.hand
		for at == 0 || p.mark[at] {
			p.mark[at] = false
			at = p.list.prev[at] // of 0: the oldest
		}
		p.hand = p.list.prev[at]
		p.list.remove(at)
		p.in[at] = false
		p.size--
	}
	p.list.pushFront(i)
	p.in[i], p.mark[i] = true, false
	p.size++
	return false
}

// s3fifo is S3-FIFO (Yang and others, SOSP 2023): a small queue of a tenth, a main one,
// and a ghost of as many keys as the main one.
type s3fifo struct {
	small, main, ghost               ring
	where                            []uint8 // 0: nowhere
	freq                             []uint8
	smallSize, mainSize, ghostSize   int
	smallCap, mainCap, cap, ghostCap int
}

const (
	inSmall = 1 + iota
	inMain
	inGhost
)

func newS3FIFO(capacity, keys int) Policy {
	small := max(capacity/10, 1)
	return &s3fifo{
		small: newRing(keys), main: newRing(keys), ghost: newRing(keys),
		where: make([]uint8, keys+1), freq: make([]uint8, keys+1),
		smallCap: small, mainCap: capacity - small, cap: capacity, ghostCap: capacity - small,
	}
}

func (p *s3fifo) Request(key uint32) bool {
	i := key + 1
	switch p.where[i] {
	case inSmall, inMain:
		p.freq[i] = min(p.freq[i]+1, 3)
		return true
	}
	for p.smallSize+p.mainSize >= p.cap {
		if p.smallSize >= p.smallCap || p.mainSize == 0 {
			p.evictSmall()
		} else {
			p.evictMain()
		}
	}
	if p.where[i] == inGhost {
		p.ghost.remove(i)
		p.ghostSize--
		p.toMain(i)
	} else {
		p.small.pushFront(i)
		p.where[i] = inSmall
		p.smallSize++
	}
	p.freq[i] = 0
	return false
}

func (p *s3fifo) toMain(i uint32) {
	p.main.pushFront(i)
	p.where[i] = inMain
	p.mainSize++
}

func (p *s3fifo) evictSmall() {
	for p.smallSize > 0 {
		i := p.small.last()
		p.small.remove(i)
		p.smallSize--
		if p.freq[i] > 1 {
			p.freq[i] = 0
			p.toMain(i)
			if p.mainSize > p.mainCap {
				p.evictMain()
				return
			}
			continue
		}
		if p.ghostCap == 0 {
			p.where[i] = 0
			return
		}
		if p.ghostSize == p.ghostCap {
			last := p.ghost.last()
			p.ghost.remove(last)
			p.where[last] = 0
			p.ghostSize--
		}
		p.ghost.pushFront(i)
		p.where[i] = inGhost
		p.ghostSize++
		return
	}
}

func (p *s3fifo) evictMain() {
	for p.mainSize > 0 {
		i := p.main.last()
		p.main.remove(i)
		if p.freq[i] > 0 {
			p.freq[i]--
			p.main.pushFront(i)
			continue
		}
		p.mainSize--
		p.where[i] = 0
		return
	}
}

// otterCache is otter's W-TinyLFU, whose window adapts itself.
type otterCache struct {
	c *otter.Cache[uint32, struct{}]
}

func newOtter(capacity, _ int) Policy {
	return otterCache{otter.Must(&otter.Options[uint32, struct{}]{
		MaximumSize: capacity,
		Executor:    func(fn func()) { fn() }, // its work is done at once, not beside
	})}
}

func (p otterCache) Request(key uint32) bool {
	if _, ok := p.c.GetIfPresent(key); ok {
		return true
	}
	p.c.Set(key, struct{}{})
	p.c.CleanUp()
	return false
}

// Optimum is the hit ratio of Belady's MIN, which knows the future: it evicts the key that
// is asked for last, and doesn't store one that is asked for later than all that it has.
func Optimum(t *Trace, capacity int) float64 {
	next := make([]int, len(t.Requests))
	seen := make([]int, t.Keys)
	for i := range seen {
		seen[i] = math.MaxInt
	}
	for i := len(next) - 1; i >= 0; i-- {
		next[i] = seen[t.Requests[i]]
		seen[t.Requests[i]] = i
	}
	at := make([]int, t.Keys) // when the key is asked for next; 0: not stored
	var order uses
	hits, size := 0, 0
	for i, key := range t.Requests {
		if at[key] == i && i > 0 {
			hits++
		} else {
			size++
		}
		at[key] = next[i]
		heap.Push(&order, use{next[i], key})
		for size > capacity {
			last := heap.Pop(&order).(use)
			if at[last.key] == last.at {
				at[last.key] = 0
				size--
			}
		}
	}
	return 100 * float64(hits) / float64(len(t.Requests))
}

type use struct {
	at  int
	key uint32
}

// uses is a heap, the latest first. What it has of keys that were asked for since is stale.
type uses []use

func (u uses) Len() int           { return len(u) }
func (u uses) Less(i, j int) bool { return u[i].at > u[j].at }
func (u uses) Swap(i, j int)      { u[i], u[j] = u[j], u[i] }
func (u *uses) Push(x any)        { *u = append(*u, x.(use)) }
func (u *uses) Pop() any {
	old := *u
	last := old[len(old)-1]
	*u = old[:len(old)-1]
	return last
}
