package engine

import (
	"math/bits"
	"math/rand/v2"

	"github.com/cespare/xxhash/v2"
)

// The bits of a hash, from the top:
//
//	63                48 47      36 35              15 14      8 7 6       0
//	shard (as many as       unused    position: 21 bits  group:   -  tag:
//	there are shards)                 of directory       7 bits      7 bits
//
// No bit is used twice, as long as a segment has at most 128 groups.
const (
	tagBits    = 7
	groupBits  = 7
	dirBits    = 21
	posBits    = dirBits + groupBits
	posShift   = 8
	posMask    = 1<<posBits - 1
	maxDirSize = 1 << dirBits
)

// Tag, position and shard share no bit: overlapping ranges don't compile. If they did,
// keys of one shard would have but a part of its directory's entries (27 bytes of index a
// key were measured), or keys of one group alike tags.
var (
	_ [posShift - tagBits]struct{}
	_ [64 - shardBits - posShift - posBits]struct{}
)

// hash is the seeded hash of a key.
type hash uint64

// position is what a slot keeps of a hash: which entry of the directory, and which
// group of the segment there.
type position uint64

// tag is what a control byte keeps of a hash; its high bit says occupied. tags is the
// same in each byte of a word, to be compared with a control word.
type (
	tag  uint64
	tags uint64
)

func (h hash) position() position { return position(h >> posShift & posMask) }
func (h hash) tag() tag           { return tag(h&(1<<tagBits-1) | 0x80) }
func (h hash) tags() tags         { return tags((h&(1<<tagBits-1) | 0x80) * lowBytes) }

// dirIndex is the entry of a position in a directory of a size.
func (p position) dirIndex(size uint64) uint64 { return uint64(p) >> groupBits * size >> dirBits }

// newSeed returns a seed that clients can't guess: the top-level functions of
// math/rand/v2 draw from a ChaCha8 generator that the runtime seeds from the
// operating system.
func newSeed() uint64 { return rand.Uint64() }

const (
	prime1 = 11400714785074694791
	prime2 = 14029467366897019727
	prime3 = 1609587929392839161
	prime4 = 9650029242287828579
	prime5 = 2870177450012600261
)

// seededHash is xxhash64 of key under seed. The library hashes under a seed
// through a Digest only, which costs a copy of the key into its buffer: for the
// short keys that are the rule this is the same function written out
// (16 bytes, on a busy machine: 9 ns instead of 31). A test compares the two.
func seededHash(seed uint64, key []byte) uint64 {
	n := len(key)
	if n >= 32 {
		return longHash(seed, key)
	}
	h := seed + prime5 + uint64(n)
	i := 0
	for ; i+8 <= n; i += 8 {
		h ^= bits.RotateLeft64(load64(key, i)*prime2, 31) * prime1
		h = bits.RotateLeft64(h, 27)*prime1 + prime4
	}
	if i+4 <= n {
		h ^= uint64(load32(key, i)) * prime1
		h = bits.RotateLeft64(h, 23)*prime2 + prime3
		i += 4
	}
	for ; i < n; i++ {
		h ^= uint64(key[i]) * prime5
		h = bits.RotateLeft64(h, 11) * prime1
	}
	h ^= h >> 33
	h *= prime2
	h ^= h >> 29
	h *= prime3
	return h ^ h>>32
}

// longHash leaves long keys to the library. The digest lives on the stack.
func longHash(seed uint64, key []byte) uint64 {
	var d xxhash.Digest
	d.ResetWithSeed(seed)
	_, _ = d.Write(key) // never fails
	return d.Sum64()
}
