//go:build !linux || !(amd64 || arm64) || race

package engine

import (
	"sync/atomic"
	"unsafe"
)

// OffHeap says which twin of memory this build has: this one is made of Go
// slices without pointers, which the race detector watches (it doesn't look at
// mapped memory) and every platform has.
const OffHeap = false

// chunkPages is the pages in a chunk: 256 KiB, so that tests of small stores
// meet the ends of chunks.
const chunkPages = 64

// maxReserve bounds a store on the heap: 64 GiB.
const (
	maxHeapChunks = 1 << 18
	maxReserve    = maxHeapChunks * chunkBytes
)

// memory is a table of chunks. Its methods may be called by any goroutine,
// except close, which must be last. A chunk is written into the table before
// anything refers to it.
type memory struct {
	table  []atomic.Pointer[byte]
	refuse func() bool
}

func (m *memory) reserve() error {
	m.table = make([]atomic.Pointer[byte], maxHeapChunks)
	return nil
}

func (m *memory) close() error {
	m.table = nil
	return nil
}

// at returns the address of a reference: a count of 8-byte words.
func (m *memory) at(r ref) unsafe.Pointer {
	p := m.table[r>>(chunkShift-3)].Load()
	return unsafe.Add(unsafe.Pointer(p), r<<3&(chunkBytes-1))
}

// hintAt is not called: without a fixed range, stale references may fault.
func (m *memory) hintAt(ref) unsafe.Pointer { return nil }

func (m *memory) chunks() int { return maxHeapChunks }

// commit makes n chunks, in one piece, or reports false.
func (m *memory) commit(chunk, n int) bool {
	if m.refuse != nil && m.refuse() {
		return false
	}
	if n == 1 && m.table[chunk].Load() != nil {
		return true
	}
	// Of words: records and groups are 8-byte aligned. One more than needed: the
	// address after the last record must not be another object's.
	words := make([]uint64, n*chunkBytes/8+1)
	for i := range n {
		m.table[chunk+i].Store((*byte)(unsafe.Pointer(&words[i*chunkBytes/8])))
	}
	return true
}

func (m *memory) populate(int) {}

// release drops the chunks; the garbage collector takes them.
func (m *memory) release(chunk, n int) {
	for i := range n {
		m.table[chunk+i].Store(nil)
	}
}
