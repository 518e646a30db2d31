package engine

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
)

// secrets are the random numbers that the hash of an Engine depends on. They are never
// changed after New. A seed is not enough: it only shifts where xxhash64 begins, and there
// are keys that collide wherever that is, see package enginetest. What protects is a sum
// of products with secret factors, keyedSum.
//
// Its theorem: of two different keys of up to 16 bytes, each sum is uniform in 64 bits, and
// the two have any two values with a probability of at most 4·2⁻¹²⁸, over the draw of the
// secrets. The hash adds to the sum what depends on the key and the seed only, and mixes by
// a permutation, so that holds for hashes, too: however the keys were chosen, k bits of two
// hashes agree with a probability of at most 4·2⁻ᵏ. That they agree no more often than those
// of random numbers, and that the hashes of many keys are as evenly spread, is what the last
// mixing is for, and what is measured, see hash_test.go. For longer keys a digest takes the
// key's place; those of two keys agree with a probability below 2⁻⁴⁹ up to 256 KiB, and
// below 2⁻³⁵ up to 4 GiB.
type secrets struct {
	seed uint64 // xxhash64's

	// Of keyedSum; there is an offset for each length up to 16 bytes, one for keys of a
	// block, and one for longer ones.
	factorA, factorB wide
	offsets          [offsetCount]uint64

	// Of digest: a pair of keys for each pair of words of a block, and the point at which
	// a polynomial is evaluated, below fieldPrime.
	blockKeys [digestBlock / wordsBytes]wide
	point     uint64
}

// The last of the offsets; before them is one for each length.
const (
	oneBlock = wordsBytes + 1 + iota
	manyBlocks
	offsetCount
)

// wide is a number of 128 bits.
type wide struct{ hi, lo uint64 }

// newSecrets draws secrets that clients can't guess: the generator's key is from the
// runtime's, which the operating system seeds.
func newSecrets() secrets {
	var key [32]byte
	for i := 0; i < len(key); i += 8 {
		binary.LittleEndian.PutUint64(key[i:], rand.Uint64())
	}
	return secretsFrom(key)
}

// simulatedSecrets are those of a seed, to be repeated.
func simulatedSecrets(seed uint64) secrets {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return secretsFrom(key)
}

func secretsFrom(key [32]byte) secrets {
	r := rand.NewChaCha8(key)
	draw := func() wide { return wide{r.Uint64(), r.Uint64()} }
	s := secrets{seed: r.Uint64(), factorA: draw(), factorB: draw(), point: r.Uint64() % fieldPrime}
	for i := range s.offsets {
		s.offsets[i] = r.Uint64()
	}
	for i := range s.blockKeys {
		s.blockKeys[i] = draw()
	}
	return s
}

// wordsBytes is the longest key that is hashed as two words.
const wordsBytes = 16

// keyedSum is the top half of A·B modulo 2¹²⁸, plus a secret offset for each length of key. A
// and B are secret factors of 128 bits to whose lower halves the words have been added,
// modulo 2⁶⁴: the pair-multiply-shift of M. Thorup, High Speed Hashing for Integers and
// Strings (arXiv:1504.06804), without its carries, which took a third of its time.
//
// Why it is as random as secrets says: let two keys, A·B and A'·B', have the same offset and
// different last words; if only the first ones differ it is alike. B - B' is not zero and
// below 2⁶⁴, so 2ˢ, the highest power of 2 in it, has an s < 64. A' - A is one of two numbers:
// one if an addition wrapped around, another if not. For each, A·B - A'·B' is A·(B - B')
// less a number that the draw of A doesn't change. A is uniform in 128 bits, so the
// difference is uniform among the numbers of one remainder modulo 2ˢ, and its upper half
// uniform. That half is the difference of the sums, or one more. This makes four ways to have
// a given difference, each of a probability of at most 2⁻⁶⁴. The offset makes one of the sums
// uniform whatever the difference. With different offsets there is nothing to show.
func (s *secrets) keyedSum(first, last, offset uint64) uint64 {
	a, b := s.factorA.lo+first, s.factorB.lo+last
	hi, _ := bits.Mul64(a, b)
	return hi + s.factorA.hi*b + s.factorB.hi*a + offset
}

const (
	digestBlock = 256 // bytes; not yet measured against other lengths
	fieldPrime  = 1<<61 - 1
)

// digest is the keyed sum of a key of more than 16 bytes. A block is compressed to the sum of
// (key + word)·(key + word) modulo 2¹²⁸, NH of J. Black and others, UMAC (CRYPTO 1999):
// those of different blocks differ by any given number with a probability of at most 2⁻⁶³.
// A key of one block adds its length, and that is all. The sums of a longer key's are the
// coefficients of a polynomial modulo a prime, after its length, and evaluated at a secret
// point (M. Wegman and L. Carter, 1981): those of two keys of n blocks agree with a
// probability of 2n·2⁻⁶¹, or if the coefficients do, below 2⁻⁵⁵.
func (s *secrets) digest(key []byte) uint64 {
	n := uint64(len(key))
	if n <= digestBlock {
		sum := s.compress(wide{lo: n}, key)
		return s.keyedSum(sum.hi, sum.lo, s.offsets[oneBlock])
	}
	at := n
	for len(key) > 0 {
		block := key
		if len(block) > digestBlock {
			// The last block has more than 16 bytes, too.
			block = block[:min(digestBlock, len(block)-wordsBytes-1)]
		}
		key = key[len(block):]
		sum := s.compress(wide{}, block)
		at = fold(at, s.point, sum.hi)
		at = fold(at, s.point, sum.lo)
	}
	return s.keyedSum(at, 0, s.offsets[manyBlocks])
}

// compress adds to sum the products of the pairs of words of a block, the last of which
// ends with it.
func (s *secrets) compress(sum wide, block []byte) wide {
	last, pair := len(block)-wordsBytes, 0
	for i := 0; i < last; i += wordsBytes {
		sum = sum.plus(s.blockKeys[pair].times(load64(block, i), load64(block, i+8)))
		pair++
	}
	return sum.plus(s.blockKeys[pair].times(load64(block, last), load64(block, last+8)))
}

// times is the product of a pair of words, each with its key added.
func (key *wide) times(first, last uint64) (hi, lo uint64) {
	return bits.Mul64(key.hi+first, key.lo+last)
}

func (w wide) plus(hi, lo uint64) wide {
	lo, carry := bits.Add64(w.lo, lo, 0)
	return wide{w.hi + hi + carry, lo}
}

// fold is at·point + x modulo fieldPrime; at and point are below it.
func fold(at, point, x uint64) uint64 {
	hi, lo := bits.Mul64(at, point)
	sum := lo&fieldPrime + (hi<<3 | lo>>61) + x&fieldPrime + x>>61 // below 2⁶³
	if sum = sum&fieldPrime + sum>>61; sum >= fieldPrime {
		sum -= fieldPrime
	}
	return sum
}
