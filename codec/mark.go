package codec

import "math/bits"

// Where the processor has wide registers, a payload is searched a window at a time,
// without branches, for the bytes at which a string may stop. Each gets a mark, and the
// decoder leaps from mark to mark. A loop for each string would mispredict its end
// whenever a string is not as long as the one before it, and would go eight bytes at a
// time, which is all that Go has a register for.
//
// Elsewhere nothing is ever marked, and stopFar has scan look for each string's end. That
// is also the twin that tests hold the marks against.
//
// The wide code is assembly because package simd/archsimd is an experiment of the
// toolchain, which a plain go build does not have.

const (
	// windowBytes are marked at a time. A window and its marks stay in the first-level
	// cache until the decoder is through with them. Not yet measured against others.
	windowBytes = 4096

	// marksBytes is one bit for each byte of a window, and room for loads and stores
	// at the last of them that reach past it.
	marksBytes = windowBytes/8 + 16
)

// marks are those of one window of the payload. The bits begin at a word: they are written as
// words, and one across two cache lines would cost a command two nanoseconds, or six.
type marks struct {
	bits    [marksBytes]byte
	size    int  // of a window: windowBytes, or less in tests
	base    int  // where the window begins
	n       int  // its length; 0: nothing is marked
	unicode bool // there were bytes past ASCII in this window or an earlier one
}

// from returns the marks of the bytes from index i of the payload on, the first one
// lowest. There are 57 to 64. It is 0, too, if the bytes have not been marked.
func (m *marks) from(i int) uint64 {
	if !canMark {
		return 0
	}
	at := uint(i - m.base)
	if at >= uint(m.n) {
		return 0
	}
	return m.uncheckedLoad(at)
}

// stop returns the index of the first byte of b, from i on, that is a quote, a
// backslash or a control character, or len(b) if there is none.
func (d *Decoder) stop(b []byte, i int) int {
	if m := d.marks.from(i); m != 0 {
		return i + bits.TrailingZeros64(m)
	}
	return d.stopFar(b, i)
}

// stopFar is stop where marks.from has none.
func (d *Decoder) stopFar(b []byte, i int) int {
	if !canMark || !wide {
		if d.inPart {
			if end := d.leap(i); end >= 0 {
				return end
			}
		}
		end, seen := scan(b, i)
		if seen&highBits != 0 {
			d.sawUnicode(b)
		}
		return end
	}
	for i < len(b) {
		at := uint(i - d.marks.base)
		if at >= uint(d.marks.n) {
			if d.inPart {
				if end := d.leap(i); end >= 0 {
					return end
				}
			}
			d.mark(b, i)
			at = 0
		}
		if m := d.marks.uncheckedLoad(at); m != 0 {
			return i + bits.TrailingZeros64(m)
		}
		i = d.marks.base + min(int(at&^7)+64, d.marks.n)
	}
	return len(b)
}

// mark marks the window of b that begins at i.
func (d *Decoder) mark(b []byte, i int) {
	n := min(len(b)-i, d.marks.size)
	d.marks.base, d.marks.n = i, n
	if high := markBytes(&d.marks.bits, b[i:i+n]); high != 0 {
		d.sawUnicode(b)
	}
}

// sawUnicode notes that there are bytes past ASCII in b.
func (d *Decoder) sawUnicode(b []byte) {
	if !d.marks.unicode {
		d.marks.unicode = true
		d.dirty = !d.validUTF8(b)
	}
}
