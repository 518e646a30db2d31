package engine

import "math/bits"

// filter is what a shard's policy of eviction knows beside the states of its slots: which
// keys are newcomers, in the order of their arrival, and which ones were evicted lately.
// Both are parts of a fixed run of bytes, of which as much is used as the keys that the
// shard has are worth. The shard's lock guards it.
type filter struct {
	ring  ptr // arrivals
	size  int // how many newcomers it holds at most
	ghost ptr // buckets
	most  int // how many there is room for

	// newcomers is how many arrivals there are in a ring. A key that has gone meanwhile, or is
	// no newcomer any more, is still in it.
	oldest, newcomers int
	// buckets is how many of the ghost's are in use: of five fingerprints of 12 bits, the newest
	// lowest.
	buckets int
}

const (
	ringPart       = 5 // of the bytes, one in so many is the ring's
	ghostWays      = 5
	ghostPrintBits = 12
	ghostBits      = ghostWays * ghostPrintBits
	ghostOnes      = 1 | 1<<ghostPrintBits | 1<<(2*ghostPrintBits) | 1<<(3*ghostPrintBits) | 1<<(4*ghostPrintBits)
	ghostHighs     = ghostOnes << (ghostPrintBits - 1)
)

// makeFilter makes one of a run of bytes, a multiple of 8.
func makeFilter(run ptr, bytes int) filter {
	size := bytes / ringPart / 4
	ring := (size*4 + 7) &^ 7
	return filter{ring: run, size: size, ghost: add(run, uint64(ring)), most: (bytes - ring) / 8}
}

// mostNewcomers is how many newcomers there may be beside a number of keys: a part of them, or
// what leaves the ring room for another. Records of a few bytes are more than it is long for.
func (f *filter) mostNewcomers(keys int) int { return min(keys/newcomersPart, f.size-1) }

func (f *filter) at(i int) *uint32 {
	if i >= f.size {
		i -= f.size
	}
	return half(add(f.ring, uint64(i*4)))
}

func (f *filter) bucket(i uint64) *uint64 { return word(add(f.ghost, i*8)) }

// reset forgets everything, and sets the ghost's length for a number of keys: as many are
// remembered as there are, if there is room.
func (f *filter) reset(keys int) {
	f.oldest, f.newcomers = 0, 0
	f.resizeGhost(keys)
}

// resizeGhost forgets the evicted keys if their number doesn't suit that of the keys.
func (f *filter) resizeGhost(keys int) {
	want := min(max(keys/ghostWays, 1), f.most)
	if d := want - f.buckets; d*4 <= f.buckets && d*4 >= -f.buckets && f.buckets > 0 {
		return
	}
	f.buckets = want
	for i := range f.buckets {
		*f.bucket(uint64(i)) = 0
	}
}

// arrival is what the ring keeps of a newcomer: its position, below as many of the low bits of
// its tag as there is room for.
type arrival uint32

const arrivalTagBits = 32 - posBits

// All bits of a tag but one must fit, since matchedBy looks for two tags.
var _ [arrivalTagBits - (tagBits - 1)]struct{}

func makeArrival(p position, t tag) arrival { return arrival(p) | arrival(t)<<posBits }

func (a arrival) position() position { return position(a & posMask) }

// matchedBy returns the slots of a group whose tag may be its, which is one of two.
func (a arrival) matchedBy(c control) bitset {
	first := (tags(a>>posBits)&(1<<(tagBits-1)-1) | 0x80) * lowBytes
	return c.match(first) | c.match(first|(1<<(tagBits-1))*lowBytes)
}

// pushNewcomer notes a key that has come. There must be room.
func (f *filter) pushNewcomer(a arrival) {
	*f.at(f.oldest + f.newcomers) = uint32(a)
	f.newcomers++
}

// peekNewcomer returns a newcomer, counted from the one that has come first.
func (f *filter) peekNewcomer(i int) arrival { return arrival(*f.at(f.oldest + i)) }

// popNewcomer returns the one that has come first.
func (f *filter) popNewcomer() arrival {
	a := f.peekNewcomer(0)
	if f.oldest++; f.oldest == f.size {
		f.oldest = 0
	}
	f.newcomers--
	return a
}

// remember puts a key that is evicted into the ghost, in place of the oldest of its bucket.
func (f *filter) remember(p position, t tag) {
	if f.buckets > 0 {
		b, print := f.printOf(p, t)
		*b = (*b<<ghostPrintBits | print) & (1<<ghostBits - 1)
	}
}

// recall reports whether the ghost has a key, and has it forget it.
func (f *filter) recall(p position, t tag) bool {
	if f.buckets == 0 {
		return false
	}
	b, print := f.printOf(p, t)
	// As control.match does it: a loop that ends where the print is costs more than all of this.
	x := *b ^ print*ghostOnes
	found := (x - ghostOnes) &^ x & ghostHighs
	if found == 0 {
		return false
	}
	i := uint(bits.TrailingZeros64(found)) - (ghostPrintBits - 1)
	newer := *b & (1<<i - 1)
	*b = *b>>(i+ghostPrintBits)<<i | newer
	return true
}

// printOf returns the bucket of a key and its fingerprint, which isn't 0.
func (f *filter) printOf(p position, t tag) (*uint64, uint64) {
	mixed := (uint64(p)<<tagBits | uint64(t)&(1<<tagBits-1)) * prime1
	i, low := bits.Mul64(mixed, uint64(f.buckets))
	return f.bucket(i), max(low*prime2>>(64-ghostPrintBits), 1)
}
