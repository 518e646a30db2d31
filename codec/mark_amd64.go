//go:build !purego

package codec

import "golang.org/x/sys/cpu"

// canMark is whether there is a markAVX2 at all.
const canMark = true

// wide is whether the processor, and the system, can run markAVX2.
var wide = cpu.X86.HasAVX2

// markAVX2 marks the n bytes of src in the bits of dst: 1 for a quote, a backslash or a
// control character. After them it writes 64 bits of 0. If high is 0, all are ASCII.
//
// Precondition: n > 0, and dst has room for n/8 + 16 bytes.
//
//go:noescape
func markAVX2(dst, src *byte, n int) (high uint64)

// markBytes marks src, which is not empty and no longer than a window.
func markBytes(dst *[marksBytes]byte, src []byte) (high uint64) {
	return markAVX2(&dst[0], &src[0], len(src))
}
