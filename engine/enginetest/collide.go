// Package enginetest makes the keys that an attacker of a store would send, for the tests
// and benchmarks of every layer above the engine, too.
//
// # Keys that collide
//
// xxhash64 protects with its seed alone, and there are keys that it gives one hash under
// nearly every seed. They are made once, without a store to ask, from two steps of it:
//
//   - A round of 8 bytes is h = rotl(h ^ rotl(w·P2, 31)·P1, 27)·P1 + P4. What differs in
//     bits 29 to 36 of what a word contributes rotates to the top 8 bits, and odd factors
//     and sums leave it there. The next word's top 8 bits are added to that without a carry
//     to anywhere. So of 65,536 keys of 16 bytes that differ in these 8 bits of both words
//     256 at a time have one hash. Under each seed it is other ones that do.
//   - A lane of longer keys is v = rotl(v + w·P2, 31)·P1. A small d that is added to w·P2
//     comes out as d·2³¹·P1, unless there is a carry out of bit 32; the lane's next word
//     takes it away again. So the words (a+d)·P2⁻¹ and (b − d·2³¹·P1)·P2⁻¹ lead to the same
//     state for all d, under nearly every seed. Choices for three of the four lanes multiply.
package enginetest

import (
	"encoding/binary"
	"math/bits"
	"sync"
)

// Of xxhash64.
const (
	prime1 = 11400714785074694791
	prime2 = 14029467366897019727
)

// inverse returns the x with x·odd = 1 modulo 2⁶⁴. Newton's method: each step doubles the
// bits that are right, and odd is its own inverse in 3 of them.
func inverse(odd uint64) uint64 {
	x := odd
	for range 5 {
		x *= 2 - odd*x
	}
	return x
}

// Keys16 returns n different keys of 16 bytes. Of each 65,536, counted from the first, every
// 256 have one xxhash64, whatever its seed; which ones they are the seed decides.
func Keys16(n int) [][]byte {
	keys := make([][]byte, n)
	for i := range keys {
		set, first, second := uint64(i>>16), uint64(i>>8&0xFF), uint64(i&0xFF)
		key := binary.LittleEndian.AppendUint64(nil, contributing(set<<40|first<<29))
		keys[i] = binary.LittleEndian.AppendUint64(key, contributing(second<<56))
	}
	return keys
}

// contributing returns the word that a round takes for k: rotl(w·P2, 31)·P1 is k.
func contributing(k uint64) uint64 {
	return bits.RotateLeft64(k*inverse(prime1), -31) * inverse(prime2)
}

// Keys64 returns n different keys of 64 printable bytes that a JSON string holds as they
// are, at most MaxKeys64. They have one xxhash64 under 19 of 20 seeds.
func Keys64(n int) [][]byte {
	if n > MaxKeys64 {
		panic("BUG: enginetest: more keys than there are")
	}
	keys := make([][]byte, n)
	for i := range keys {
		key := make([]byte, 64)
		for j := range key {
			key[j] = 'k' // the fourth lane is the same in all
		}
		for lane, rest := 0, i; lane < 3; lane, rest = lane+1, rest/lanePairs {
			pair := pairs()[rest%lanePairs]
			binary.LittleEndian.PutUint64(key[lane*8:], pair[0])
			binary.LittleEndian.PutUint64(key[32+lane*8:], pair[1])
		}
		keys[i] = key
	}
	return keys
}

// MaxKeys64 is how many keys Keys64 has.
const (
	lanePairs = 47
	MaxKeys64 = lanePairs * lanePairs * lanePairs
)

// pairs finds words for a lane, printable ones, that lead to one state: a third of a second
// the first time.
var pairs = sync.OnceValue(func() (found [lanePairs][2]uint64) {
	// The steps by which d changes the two words; any printable words are a beginning. A
	// negative d is as good.
	up, down := inverse(prime2), inverse(prime2)*prime1<<31
	begin := binary.LittleEndian.Uint64([]byte("keyframe"))
	for n, d := 0, uint64(0); n < lanePairs; d++ {
		for _, d := range [2]uint64{d, -d} {
			if first, second := begin+d*up, begin-d*down; n < lanePairs && printable(first) && printable(second) {
				found[n] = [2]uint64{first, second}
				n++
			}
			if d == 0 {
				break
			}
		}
	}
	return found
})

// printable reports whether all bytes of a word stand for themselves in a JSON string.
func printable(w uint64) bool {
	if w&0x8080808080808080 != 0 {
		return false
	}
	for i := range 8 {
		if b := w >> (8 * i) & 0xFF; b < ' ' || b == '"' || b == '\\' || b == 0x7F {
			return false
		}
	}
	return true
}
