package engine

import (
	"encoding/binary"
	"math/big"
	"math/bits"

	"github.com/cespare/xxhash/v2"
)

// SimulatedHash is the hash of a store that is simulated with a seed.
func SimulatedHash(seed uint64) func(key []byte) uint64 {
	s := simulatedSecrets(seed)
	return s.hash
}

// SlowHash is that hash by the book: the library's xxhash64, with its last mixing undone,
// and numbers of any length.
func SlowHash(seed uint64, key []byte) uint64 {
	s := simulatedSecrets(seed)
	d := xxhash.NewWithSeed(s.seed)
	_, _ = d.Write(key)
	rounds := d.Sum64()
	if len(key) < 32 {
		rounds = unmix(rounds)
	}
	if mixed := avalanche(unmix(rounds)); mixed != rounds {
		panic("BUG: unmix is no inverse")
	}
	return avalanche(rounds + s.slowSum(key))
}

// unmix is the inverse of avalanche.
func unmix(h uint64) uint64 {
	inverse := func(odd uint64) uint64 {
		n := new(big.Int).ModInverse(number(odd), new(big.Int).Lsh(big.NewInt(1), 64))
		return n.Uint64()
	}
	h ^= h >> 32
	h *= inverse(prime3)
	h ^= h>>29 ^ h>>58
	h *= inverse(prime2)
	return h ^ h>>33
}

func number(n uint64) *big.Int { return new(big.Int).SetUint64(n) }

func (w wide) number() *big.Int {
	n := number(w.hi)
	return n.Lsh(n, 64).Or(n, number(w.lo))
}

func product(a, b *big.Int) *big.Int { return new(big.Int).Mul(a, b) }
func sum(a, b *big.Int) *big.Int     { return new(big.Int).Add(a, b) }

// low returns the lower bits of n.
func low(n *big.Int, bits uint) *big.Int {
	return new(big.Int).Mod(n, new(big.Int).Lsh(big.NewInt(1), bits))
}

func (s *secrets) slowSum(key []byte) uint64 {
	word := func(p []byte) *big.Int {
		var eight [8]byte
		copy(eight[:], p)
		return number(binary.LittleEndian.Uint64(eight[:]))
	}
	pair := func(first, last *big.Int, offset int) uint64 {
		shifted := func(factor wide, word *big.Int) *big.Int {
			return sum(wide{hi: factor.hi}.number(), low(sum(number(factor.lo), word), 64))
		}
		n := low(product(shifted(s.factorA, first), shifted(s.factorB, last)), 128)
		return n.Rsh(n, 64).Uint64() + s.offsets[offset]
	}
	compressed := func(block []byte) *big.Int {
		n := new(big.Int)
		for i := 0; i < len(block); i += 16 {
			at := min(i, len(block)-16)
			a := low(sum(number(s.blockKeys[i/16].hi), word(block[at:at+8])), 64)
			b := low(sum(number(s.blockKeys[i/16].lo), word(block[at+8:at+16])), 64)
			n = low(sum(n, product(a, b)), 128)
		}
		return n
	}
	halves := func(n *big.Int) (hi, lo *big.Int) { return new(big.Int).Rsh(n, 64), low(n, 64) }
	n := len(key)
	switch {
	case n == 0:
		return pair(new(big.Int), new(big.Int), n)
	case n < 4:
		return pair(word([]byte{key[0], key[n/2], key[n-1]}), new(big.Int), n)
	case n < 8:
		return pair(word(key[:4]), word(key[n-4:]), n)
	case n <= 16:
		return pair(word(key[:8]), word(key[n-8:]), n)
	case n <= 256:
		hi, lo := halves(low(sum(compressed(key), big.NewInt(int64(n))), 128))
		return pair(hi, lo, 17)
	}
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 61), big.NewInt(1))
	at := big.NewInt(int64(n))
	for len(key) > 0 {
		block := min(256, len(key))
		if rest := len(key) - block; rest > 0 && rest < 17 {
			block -= 17 - rest
		}
		hi, lo := halves(compressed(key[:block]))
		for _, half := range []*big.Int{hi, lo} {
			at = sum(product(at, number(s.point)), half)
			at.Mod(at, p)
		}
		key = key[block:]
	}
	return pair(at, new(big.Int), 18)
}

// Work is what find does for a key: how many groups it looks into, and how many records'
// keys it compares with.
func (e *Engine) Work(key []byte) (groups, compared int) {
	h := e.hashOf(key)
	s := e.shardOf(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	pos := h.position()
	seg := s.table.segment(s.table.entryOf(pos))
	for groups <= int(seg.mask) {
		g := seg.group(seg.probe(seg.home(pos), uint64(groups)))
		groups++
		for m := g.control.match(h.tags()); m != 0; m = m.rest() {
			slot := *g.slot(m.first())
			if slot.position() != pos {
				continue
			}
			compared++
			if s.table.record(slot).hasKey(key) {
				return groups, compared
			}
		}
		if g.control.passed() == 0 {
			break
		}
	}
	return groups, compared
}

// LargestSegment is the number of groups of the largest segment, and LargestShard the
// number of keys of the shard with the most.
func (e *Engine) LargestSegment() (groups int) {
	for i := range e.shards {
		t := &e.shards[i].table
		for at := range t.directory().size() {
			groups = max(groups, int(t.segment(*t.entry(t.directory(), at)).groups()))
		}
	}
	return groups
}

func (e *Engine) LargestShard() (keys int) {
	for i := range e.shards {
		keys = max(keys, int(e.shards[i].keys.Load()))
	}
	return keys
}

// HashBits are the parts of a hash of a key that a store of 256 shards uses.
func HashBits(hashed uint64) (shard, group, directory, tag uint64) {
	h := hash(hashed)
	return bits.Reverse64(hashed) & 0xFF, uint64(h.position()) & (1<<groupBits - 1), uint64(h.position()) >> groupBits, uint64(h.tag())
}
