package engine

import "math/bits"

// filter is what a shard's policy of eviction knows beside the states of its slots: which
// keys are newcomers, in the order of their arrival, and which ones were evicted lately.
// Both are parts of a fixed run of bytes, of which as much is used as the keys that the
// shard has are worth. The shard's lock guards it.
type filter struct {
	mem   memory // a copy
	base  ref
	bytes int

	// newcomers is how many arrivals there are in a ring. A key that has gone meanwhile, or is
	// no newcomer any more, is still in it.
	oldest, newcomers int
	// ghost is buckets of five fingerprints of 12 bits, the newest lowest.
	buckets int
}

const (
	ringPart       = 5 // of the bytes, one in so many is the ring's
	ghostWays      = 5
	ghostPrintBits = 12
	ghostBits      = ghostWays * ghostPrintBits
)

// ringSize is how many newcomers the ring holds at most.
func (f *filter) ringSize() int { return f.bytes / ringPart / 4 }

// mostNewcomers is how many newcomers there may be beside a number of keys: a part of them, or
// what leaves the ring room for another. Records of a few bytes are more than it is long for.
func (f *filter) mostNewcomers(keys int) int { return min(keys/newcomersPart, f.ringSize()-1) }

// mostBuckets is how many buckets there is room for.
func (f *filter) mostBuckets() int { return (f.bytes - f.ringBytes()) / 8 }
func (f *filter) ringBytes() int   { return (f.ringSize()*4 + 7) &^ 7 }

func (f *filter) at(i int) *uint32 {
	if size := f.ringSize(); i >= size {
		i -= size
	}
	return half(add(f.mem.at(f.base), uint64(i*4)))
}

func (f *filter) bucket(i uint64) *uint64 {
	return word(add(f.mem.at(f.base), uint64(f.ringBytes())+i*8))
}

// reset forgets everything, and sets the ghost's length for a number of keys: as many are
// remembered as there are, if there is room.
func (f *filter) reset(keys int) {
	f.oldest, f.newcomers = 0, 0
	f.resizeGhost(keys)
}

// resizeGhost forgets the evicted keys if their number doesn't suit that of the keys.
func (f *filter) resizeGhost(keys int) {
	want := min(max(keys/ghostWays, 1), f.mostBuckets())
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
	if f.oldest++; f.oldest == f.ringSize() {
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
	for i := uint(0); i < ghostBits; i += ghostPrintBits {
		if *b>>i&(1<<ghostPrintBits-1) == print {
			newer := *b & (1<<i - 1)
			*b = *b>>(i+ghostPrintBits)<<i | newer
			return true
		}
	}
	return false
}

// printOf returns the bucket of a key and its fingerprint, which isn't 0.
func (f *filter) printOf(p position, t tag) (*uint64, uint64) {
	mixed := (uint64(p)<<tagBits | uint64(t)&(1<<tagBits-1)) * prime1
	i, low := bits.Mul64(mixed, uint64(f.buckets))
	return f.bucket(i), max(low*prime2>>(64-ghostPrintBits), 1)
}
