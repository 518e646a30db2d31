package buffer

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

var pageSize = os.Getpagesize()

// mapsLong is whether long input is mapped.
const mapsLong = true

// mapping is anonymous memory of the kernel's, of which a page is there when it is first
// written to. Slices of it must not be used after grow and end, nor after trim those of
// what that gives back: they would fault.
//
// The safe line that it replaces is make([]byte, size), and append to grow.
type mapping struct {
	base    unsafe.Pointer
	size    uintptr // whole pages
	written int     // of them, so many bytes have been written to
}

// newMapping maps at least n bytes. It returns nil if the system has no more mappings.
func newMapping(n int) *mapping {
	size := uintptr(pages(n))
	if refuse != nil && refuse() {
		return nil
	}
	base, err := unix.MmapPtr(-1, 0, nil, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil
	}
	return &mapping{base: base, size: size}
}

// grow makes the mapping at least n bytes long, somewhere else if need be. It moves no
// bytes.
func (m *mapping) grow(n int) (_ []byte, ok bool) {
	if refuse != nil && refuse() {
		return nil, false
	}
	size := uintptr(pages(n))
	base, err := unix.MremapPtr(m.base, m.size, nil, size, unix.MREMAP_MAYMOVE)
	if err != nil {
		return nil, false
	}
	m.base, m.size = base, size
	return m.bytes(), true
}

// trim gives back the first n bytes, whole pages and not all of them.
func (m *mapping) trim(n int) []byte {
	if err := unix.MunmapPtr(m.base, uintptr(n)); err != nil {
		panic("BUG: buffer: munmap: " + err.Error())
	}
	m.base, m.size = unsafe.Add(m.base, n), m.size-uintptr(n)
	m.written -= n
	return m.bytes()
}

func (m *mapping) end() {
	if err := unix.MunmapPtr(m.base, m.size); err != nil {
		panic("BUG: buffer: munmap: " + err.Error())
	}
}

func (m *mapping) bytes() []byte { return unsafe.Slice((*byte)(m.base), m.size) }
