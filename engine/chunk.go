package engine

import "math/bits"

// A chunk is in one of these states.
const (
	chunkNone        = iota // has no memory
	chunkPrefaulting        // being prefaulted: used only when nothing else is found
	chunkReady              // pages are handed out one run at a time
	chunkWhole              // part of a run of whole chunks
	chunkEmptying           // being given back to the system: no longer counted
)

// chunkState is the pool's note of one chunk.
type chunkState struct {
	free      [chunkPages / 64]uint64 // a bit for each free page
	freePages uint16
	state     uint8
}

// findRun returns the lowest run of free pages of this length.
func (ch *chunkState) findRun(pages int) (at int, ok bool) {
	if pages == chunkPages {
		return 0, ch.freePages == chunkPages
	}
	run := 0
	for w, word := range ch.free {
		if word == 0 {
			run = 0
			continue
		}
		if word == ^uint64(0) {
			if run += 64; run >= pages {
				return w*64 + 64 - run, true
			}
			continue
		}
		for i := 0; i < 64; {
			if word>>i&1 == 0 {
				run = 0
				i += max(1, min(64-i, bits.TrailingZeros64(word>>i)))
				continue
			}
			n := min(64-i, bits.TrailingZeros64(^(word >> i)))
			if run+n >= pages {
				return w*64 + i - run, true
			}
			run += n
			i += n
		}
	}
	return 0, false
}

// freeFrom returns how many pages from one on are free, most of them at most.
func (ch *chunkState) freeFrom(at, most int) (n int) {
	for n < most && at+n < chunkPages && ch.free[(at+n)/64]>>((at+n)%64)&1 != 0 {
		n++
	}
	return n
}

// findUsed returns how many of these pages are in use.
func (ch *chunkState) findUsed(at, pages int) int {
	n := 0
	for i := at; i < at+pages; i++ {
		n += int(^ch.free[i/64] >> (i % 64) & 1)
	}
	return n
}

// freeTail returns how many pages at the end are free.
func (ch *chunkState) freeTail() int {
	n := 0
	for w := len(ch.free) - 1; w >= 0; w-- {
		zeros := bits.LeadingZeros64(^ch.free[w])
		if n += zeros; zeros < 64 {
			break
		}
	}
	return n
}

func (ch *chunkState) mark(at, pages int, free bool) {
	for i := at; i < at+pages; {
		n := min(64-i%64, at+pages-i)
		mask := (^uint64(0) >> (64 - n)) << (i % 64)
		if free {
			ch.free[i/64] |= mask
		} else {
			ch.free[i/64] &^= mask
		}
		i += n
	}
}
