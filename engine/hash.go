package engine

import (
	"math/bits"

	"github.com/cespare/xxhash/v2"
)

// The bits of a hash, from the top:
//
//	63                48 47      34 33              15 14      8 7 6       0
//	shard (as many as       unused    position: 19 bits  group:   -  tag:
//	there are shards)                 of directory       7 bits      7 bits
//
// No bit is used twice, as long as a segment has at most 128 groups.
const (
	tagBits    = 7
	groupBits  = 7
	dirBits    = 19
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

// hash is the keyed hash of a key.
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

// Of xxhash64.
const (
	prime1 = 11400714785074694791
	prime2 = 14029467366897019727
	prime3 = 1609587929392839161
	prime4 = 9650029242287828579
	prime5 = 2870177450012600261
)

// hash is xxhash64 of key under the secrets' seed, with a keyed sum added before the last
// mixing, see keyedSum. For the short keys that are the rule it calls nothing: the library
// hashes under a seed through a Digest only, which costs a copy of the key into its buffer.
func (s *secrets) hash(key []byte) uint64 {
	n := len(key)
	if n > wordsBytes {
		return s.longHash(key)
	}
	h := s.seed + prime5 + uint64(n)
	// Two words that, with its length, say what the key is.
	var first, last uint64
	i := 0
	switch {
	case n >= 8:
		first, last = load64(key, 0), load64(key, n-8)
		h = round(h, first)
		if n == 16 {
			return avalanche(round(h, last) + s.keyedSum(first, last, s.offsets[16]))
		}
		i = 8
	case n >= 4:
		first, last = uint64(load32(key, 0)), uint64(load32(key, n-4))
	case n > 0:
		first = uint64(key[0]) | uint64(key[n/2])<<8 | uint64(key[n-1])<<16
	}
	return avalanche(tail(h, key, i) + s.keyedSum(first, last, s.offsets[n]))
}

// longHash is hash for longer keys. From 32 bytes on it leaves the rounds to the library,
// whose last mixing comes before the sum, and so there is another one after it. The library's
// Digest lives on the stack.
func (s *secrets) longHash(key []byte) uint64 {
	n := len(key)
	if n >= 32 {
		var d xxhash.Digest
		d.ResetWithSeed(s.seed)
		_, _ = d.Write(key) // never fails
		return avalanche(d.Sum64() + s.digest(key))
	}
	h := round(s.seed+prime5+uint64(n), load64(key, 0))
	h = round(h, load64(key, 8))
	i := 16
	if n >= 24 {
		h = round(h, load64(key, 16))
		i = 24
	}
	// What digest does, written out.
	sum := wide{lo: uint64(n)}.
		plus(s.blockKeys[0].times(load64(key, 0), load64(key, 8))).
		plus(s.blockKeys[1].times(load64(key, n-16), load64(key, n-8)))
	return avalanche(tail(h, key, i) + s.keyedSum(sum.hi, sum.lo, s.offsets[oneBlock]))
}

// round takes the next 8 bytes of a key in.
func round(h, word uint64) uint64 {
	h ^= bits.RotateLeft64(word*prime2, 31) * prime1
	return bits.RotateLeft64(h, 27)*prime1 + prime4
}

// tail takes the last bytes of a key in, less than 8, from i on.
func tail(h uint64, key []byte, i int) uint64 {
	if i+4 <= len(key) {
		h ^= uint64(load32(key, i)) * prime1
		h = bits.RotateLeft64(h, 23)*prime2 + prime3
		i += 4
	}
	for ; i < len(key); i++ {
		h ^= uint64(key[i]) * prime5
		h = bits.RotateLeft64(h, 11) * prime1
	}
	return h
}

// avalanche is the last mixing of xxhash64. Different numbers come out different.
func avalanche(h uint64) uint64 {
	h ^= h >> 33
	h *= prime2
	h ^= h >> 29
	h *= prime3
	return h ^ h>>32
}
