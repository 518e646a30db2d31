package engine

import "unsafe"

// This file and the twins of memory are all that imports unsafe. What they
// point into is the memory of an Engine: it stays mapped until Close, so a
// pointer never dangles. The shard's lock keeps the bytes the same record: no pointer
// is used after the lock is released.

// ptr is an address in an Engine's memory.
type ptr = unsafe.Pointer

func add(p ptr, n uint64) ptr { return unsafe.Add(p, n) }

// word is the 8 bytes at p; half the 4 bytes. Both may be unaligned.
func word(p ptr) *uint64 { return (*uint64)(p) }
func half(p ptr) *uint32 { return (*uint32)(p) }

// bytesAt is the n bytes at p.
func bytesAt(p ptr, n int) []byte { return unsafe.Slice((*byte)(p), n) }

// addrOf is p as a number, for hints and alignment only.
func addrOf(p ptr) uintptr { return uintptr(p) }

// A group is a cache line: any other size doesn't compile.
var (
	_ [groupBytes - unsafe.Sizeof(group{})]struct{}
	_ [unsafe.Sizeof(group{}) - groupBytes]struct{}
)

// groupOf is the group that a slot lies in, and which of its slots it is. Groups begin
// at multiples of their size.
func groupOf(s *slot) (g *group, i uint64) {
	at := uintptr(ptr(s)) & (groupBytes - 1)
	return (*group)(unsafe.Add(ptr(s), -int(at))), uint64(at)/8 - 1
}

// equalKey is bytes.Equal(bytesAt(p, len(key)), key), without a call for the
// lengths that keys mostly have: 4.8 instead of 8.2 ns for 16 bytes, busy machine. The loads
// stay within both: the last one overlaps the one before it.
func equalKey(p ptr, key []byte) bool {
	n := len(key)
	k := unsafe.Pointer(unsafe.SliceData(key))
	if n == 16 {
		return *word(p) == *word(k) && *word(unsafe.Add(p, 8)) == *word(unsafe.Add(k, 8))
	}
	if n >= 8 {
		last := n - 8
		for i := 0; i < last; i += 8 {
			if *word(unsafe.Add(p, i)) != *word(unsafe.Add(k, i)) {
				return false
			}
		}
		return *word(unsafe.Add(p, last)) == *word(unsafe.Add(k, last))
	}
	if n >= 4 {
		return *half(p) == *half(k) && *half(unsafe.Add(p, n-4)) == *half(unsafe.Add(k, n-4))
	}
	for i := range n {
		if *(*byte)(unsafe.Add(p, i)) != *(*byte)(unsafe.Add(k, i)) {
			return false
		}
	}
	return true
}

// copyTo is copy(bytesAt(p, len(b)), b); short values without a call.
func copyTo(p ptr, b []byte) {
	n := len(b)
	k := unsafe.Pointer(unsafe.SliceData(b))
	if n >= 8 && n <= 32 {
		last := n - 8
		for i := 0; i < last; i += 8 {
			*word(unsafe.Add(p, i)) = *word(unsafe.Add(k, i))
		}
		*word(unsafe.Add(p, last)) = *word(unsafe.Add(k, last))
		return
	}
	copy(unsafe.Slice((*byte)(p), n), b)
}

// appendFrom is append(dst, bytesAt(p, n)...); short values without a call.
func appendFrom(dst []byte, p ptr, n int) []byte {
	at := len(dst)
	if n < 8 || n > 32 || cap(dst)-at < n {
		return append(dst, unsafe.Slice((*byte)(p), n)...)
	}
	dst = dst[:at+n]
	copyTo(unsafe.Pointer(&dst[at]), unsafe.Slice((*byte)(p), n))
	return dst
}

// load64 is binary.LittleEndian.Uint64(b[i:]) without the bounds check; the
// caller knows that i+8 <= len(b). Both platforms that are fast are little endian;
// elsewhere the hash differs from xxhash64 but is as good.
func load64(b []byte, i int) uint64 {
	return *word(unsafe.Add(unsafe.Pointer(unsafe.SliceData(b)), i))
}
func load32(b []byte, i int) uint32 {
	return *half(unsafe.Add(unsafe.Pointer(unsafe.SliceData(b)), i))
}

// ptrTo is addrOf's inverse, for addresses outside the Go heap.
func ptrTo(a uintptr) ptr { return *(*ptr)(unsafe.Pointer(&a)) }

// lockAddr is the address of the shard of a hash, which begins with its lock.
func (e *Engine) lockAddr(h hash) uintptr {
	return uintptr(unsafe.Pointer(e.shardOf(h)))
}
