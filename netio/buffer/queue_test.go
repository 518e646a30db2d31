package buffer

import (
	"bytes"
	"testing"
)

// TestQueueModel: what is taken is what was put in, in order, and what is held is counted.
func TestQueueModel(t *testing.T) {
	rng := newRand(t)
	var q Queue
	var taken []*Chunk
	sent, received := 0, 0
	for range 3000 {
		if rng.IntN(2) == 0 {
			p := fill(sent, rng.IntN(1<<rng.IntN(20)))
			sent += len(p)
			want := q.Held() + q.Growth(len(p))
			q.Append(p)
			if q.Held() != want {
				t.Fatalf("%d bytes are held, Growth has said %d", q.Held(), want)
			}
			clear(p) // it was copied
		} else if c := q.Take(); c != nil {
			if len(c.Bytes()) == 0 || len(c.Bytes()) > MaxChunk || !bytes.Equal(c.Bytes(), fill(received, len(c.Bytes()))) {
				t.Fatalf("a chunk of %d bytes, or others", len(c.Bytes()))
			}
			received += len(c.Bytes())
			taken = append(taken, c)
		} else if received != sent {
			t.Fatalf("nothing is left, %d bytes of %d taken", received, sent)
		}
		held := 0
		for c := q.first; c != nil; c = c.next {
			held += c.Held()
		}
		if q.Held() != held {
			t.Fatalf("%d bytes are held, it says %d", held, q.Held())
		}
		if n := sent - received; held > 2*n+MaxChunk || n > 0 && held < n {
			t.Fatalf("%d bytes are held for %d", held, n)
		}
		for len(taken) > 3 { // those that were taken stay what they are
			taken[0].Free()
			taken = taken[1:]
		}
	}
	q.Release()
	if q.Held() != 0 || q.Take() != nil {
		t.Fatal("something is left")
	}
}

// TestQueueOfLittle: a few bytes hold the smallest chunk, many the largest.
func TestQueueOfLittle(t *testing.T) {
	for _, tt := range []struct{ n, held int }{
		{1, smallest}, {smallest, smallest}, {smallest + 1, 4 * smallest}, {64 << 10, 64 << 10},
		{64<<10 + 1, MaxChunk}, {MaxChunk, MaxChunk}, {MaxChunk + 1, 2 * MaxChunk}, {64 << 20, 64 << 20},
	} {
		var q Queue
		q.Append(make([]byte, tt.n))
		if q.Held() != tt.held {
			t.Errorf("%d bytes hold %d, want %d", tt.n, q.Held(), tt.held)
		}
		q.Release()
	}
}

// TestPoolIsBounded: what was freed is used again, and the pool keeps no more than maxIdle.
func TestPoolIsBounded(t *testing.T) {
	idle := func() (n int) {
		for _, c := range pool.free {
			for ; c != nil; c = c.next {
				if !c.idle || len(c.b) != 0 {
					t.Fatalf("a chunk of %d bytes in the pool", len(c.b))
				}
				n += c.Held()
			}
		}
		if n != pool.idle {
			t.Fatalf("%d bytes are idle, %d are counted", n, pool.idle)
		}
		return n
	}
	for _, size := range []int{1000, smallest, smallest + 1, 64 << 10, MaxChunk} {
		var q Queue
		for p := make([]byte, size); q.Held() < 3*maxIdle; {
			q.Append(p)
		}
		q.Release()
		if n := idle(); n > maxIdle || n < maxIdle/2 {
			t.Errorf("%d bytes are idle, want up to %d", n, maxIdle)
		}
		var chunks [2]*Chunk
		for i := range chunks {
			q.Append(make([]byte, MaxChunk))
			chunks[i] = q.Take()
			if idle(); chunks[i].idle {
				t.Error("a chunk is in use and idle")
			}
		}
		if chunks[0] == chunks[1] {
			t.Error("a chunk is in use twice")
		}
		chunks[1].Free()
		q.Append(make([]byte, MaxChunk))
		if again := q.Take(); again != chunks[1] {
			t.Error("a chunk that was freed is not used again")
		}
	}
}

// TestFreedTwice: two Queues must never write to one chunk.
func TestFreedTwice(t *testing.T) {
	var q Queue
	q.Append([]byte("text"))
	c := q.Take()
	c.Free()
	defer func() {
		if r := recover(); r != "BUG: buffer: a chunk is freed twice" {
			t.Errorf("it ends in %v", r)
		}
	}()
	c.Free()
}
