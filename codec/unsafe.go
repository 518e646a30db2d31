package codec

import (
	"encoding/binary"
	"unsafe"
)

// This file is the package's only use of unsafe.

// uncheckedLoad64 returns the eight bytes of b from i on, the first one lowest.
// It is binary.LittleEndian.Uint64(b[i:]) without the two bounds checks, which
// cost a tenth of a scan.
//
// Precondition: 0 <= i && i+8 <= len(b).
func uncheckedLoad64(b []byte, i int) uint64 {
	return binary.LittleEndian.Uint64((*[8]byte)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(b)), i))[:])
}

// uncheckedLoad returns the marks of the window's bytes from at on, as many as eight
// bytes hold. It is binary.LittleEndian.Uint64(m.bits[at/8:]) >> (at & 7).
//
// Precondition: at < windowBytes. marksBytes has room for eight bytes from there.
func (m *marks) uncheckedLoad(at uint) uint64 {
	return binary.LittleEndian.Uint64((*[8]byte)(unsafe.Add(unsafe.Pointer(&m.bits), at>>3))[:]) >> (at & 7)
}

// stringView returns b as a string, without copying it. It replaces string(b). The
// string is valid until b changes. Here that is the time of one call; it is never kept.
func stringView(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
