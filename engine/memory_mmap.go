//go:build linux && (amd64 || arm64) && !race

package engine

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// OffHeap says which twin of memory this build has: whether the store is outside Go's
// heap.
const OffHeap = true

// chunkPages is the pages in a chunk: 2 MiB, one huge page of the processor.
const chunkPages = 512

// maxReserve and minReserve bound the address space that one Engine asks for.
// It costs nothing until it is touched; 512 GiB is what 36 bits of a reference
// can name. Where less is allowed (ulimit -v, strict overcommit) it is halved
// until it fits.
const (
	maxReserve = 1 << (refBits + 3)
	minReserve = 1 << 30
)

// A shard is an odd number of cache lines: any other remainder doesn't compile.
var _ [64 - unsafe.Sizeof(shard{})%128]struct{}
var _ [unsafe.Sizeof(shard{})%128 - 64]struct{}

// memory is one reserved range of address space, cut into chunks. It is mapped
// readable and writable from the start, so a load through a stale reference
// reads zeros or old bytes but never faults: the hint passes rely on it.
// Its methods may be called by any goroutine, except close, which must be last.
type memory struct {
	base  unsafe.Pointer // chunk-aligned
	limit uint64         // bytes in the range, a power of two

	mapping []byte // what mmap returned, for close
	refuse  func() bool
}

func (m *memory) reserve() error {
	for size := maxReserve; ; size /= 2 {
		b, err := unix.Mmap(-1, 0, size+chunkBytes, unix.PROT_READ|unix.PROT_WRITE,
			unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
		if err != nil {
			if size > minReserve {
				continue
			}
			return fmt.Errorf("engine: reserve %d bytes of address space: %w", size, err)
		}
		start := unsafe.Pointer(unsafe.SliceData(b))
		m.mapping = b
		m.base = unsafe.Add(start, -uintptr(start)&(chunkBytes-1))
		m.limit = uint64(size)
		// Refused by kernels without huge pages; then small ones have to do.
		_ = unix.Madvise(b, unix.MADV_HUGEPAGE)
		return nil
	}
}

func (m *memory) close() error { return unix.Munmap(m.mapping) }

// at returns the address of a reference: a count of 8-byte words from base.
func (m *memory) at(r ref) unsafe.Pointer { return unsafe.Add(m.base, r<<3) }

// hintAt is at for a reference that may be garbage: always a mapped address.
func (m *memory) hintAt(r ref) unsafe.Pointer {
	return unsafe.Add(m.base, uint64(r)<<3&(m.limit-1))
}

func (m *memory) chunks() int { return int(m.limit / chunkBytes) }

// commit makes n chunks usable, which an mmap that is there already is; only a
// test makes it fail.
func (m *memory) commit(_, _ int) bool { return m.refuse == nil || !m.refuse() }

// populate has the kernel find and clear the pages of a chunk now. Where it
// can't (before Linux 5.14), the first use of the chunk does.
func (m *memory) populate(chunk int) {
	_ = unix.Madvise(m.slice(chunk, 1), unix.MADV_POPULATE_WRITE)
}

// release gives the pages of n chunks back to the kernel. They read as zero
// until they are written again.
func (m *memory) release(chunk, n int) {
	_ = unix.Madvise(m.slice(chunk, n), unix.MADV_DONTNEED)
}

func (m *memory) slice(chunk, n int) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(m.base, chunk*chunkBytes)), n*chunkBytes)
}
