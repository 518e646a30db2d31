package buffer

import "sync"

// The sizes of chunks: smallest, 4 times that, and so on to MaxChunk.
const (
	smallest = 4 << 10
	classes  = 4

	// MaxChunk is how much of a Queue can be taken, and offered to a socket, at a time.
	// GETs of 60 KB values, MB/s: 64 KiB offered at a time 505, 256 KiB 590, 1 MiB 580.
	MaxChunk = smallest << (2 * (classes - 1))

	// maxIdle is how much memory the pool keeps, in all classes: what four turns make of
	// output. It is counted to no connection. Not yet measured.
	maxIdle = 4 << 20
)

// Chunk is a piece of a Queue. It belongs to whoever has taken it, and is freed once.
type Chunk struct {
	next  *Chunk
	b     []byte
	class int
	idle  bool // it is in the pool
}

// pool keeps chunks that were freed, for the next that need some. A sync.Pool would keep
// any number of them, until the garbage collector has run twice.
var pool struct {
	sync.Mutex
	free [classes]*Chunk
	idle int // bytes
}

// classFor is the class of a chunk with room for n bytes, or for MaxChunk.
func classFor(n int) (class int) {
	for class < classes-1 && smallest<<(2*class) < n {
		class++
	}
	return class
}

func newChunk(class int) *Chunk {
	pool.Lock()
	c := pool.free[class]
	if c != nil {
		pool.free[class], c.next, c.idle = c.next, nil, false
		pool.idle -= cap(c.b)
	}
	pool.Unlock()
	if c != nil {
		return c
	}
	return &Chunk{b: make([]byte, 0, smallest<<(2*class)), class: class}
}

// Bytes are what it holds.
func (c *Chunk) Bytes() []byte { return c.b }

// Held is how much memory it takes.
func (c *Chunk) Held() int { return cap(c.b) }

// Free gives it back to the pool, or to the garbage collector when that has enough.
func (c *Chunk) Free() {
	pool.Lock()
	defer pool.Unlock()
	if c.idle {
		panic("BUG: buffer: a chunk is freed twice")
	}
	c.idle, c.b = true, c.b[:0]
	if pool.idle+cap(c.b) <= maxIdle {
		pool.idle += cap(c.b)
		c.next, pool.free[c.class] = pool.free[c.class], c
	}
}

// Queue is bytes that leave in the order in which they came. The zero value is empty.
type Queue struct {
	first, last *Chunk
	held        int
}

// Held is how much memory it takes.
func (q *Queue) Held() int { return q.held }

// Growth is how much more memory it takes once n bytes are added.
func (q *Queue) Growth(n int) int {
	if q.last != nil {
		n -= cap(q.last.b) - len(q.last.b)
	}
	held := q.held
	for n > 0 {
		size := smallest << (2 * classFor(max(n, held)))
		held += size
		n -= size
	}
	return held - q.held
}

// Append adds a copy of p. A chunk is as large as what is left of p, or as what there is
// already if that is more: so less than half of what is held is slack, or one chunk.
func (q *Queue) Append(p []byte) {
	for len(p) > 0 {
		if q.last == nil || len(q.last.b) == cap(q.last.b) {
			c := newChunk(classFor(max(len(p), q.held)))
			if q.last == nil {
				q.first = c
			} else {
				q.last.next = c
			}
			q.last = c
			q.held += cap(c.b)
		}
		c := q.last
		n := min(len(p), cap(c.b)-len(c.b))
		c.b = append(c.b, p[:n]...)
		p = p[n:]
	}
}

// Take returns the first chunk, which is the caller's then; nil if there is none.
func (q *Queue) Take() *Chunk {
	c := q.first
	if c == nil {
		return nil
	}
	if q.first = c.next; q.first == nil {
		q.last = nil
	}
	c.next = nil
	q.held -= cap(c.b)
	return c
}

// Release drops everything.
func (q *Queue) Release() {
	for c := q.Take(); c != nil; c = q.Take() {
		c.Free()
	}
}
