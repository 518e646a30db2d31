package bench

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
)

// Sizes of a record in most benchmarks.
const (
	KeyBytes   = 16
	ValueBytes = 20
)

// Keys are n different keys of KeyBytes bytes, in one piece of memory.
type Keys struct{ all []byte }

// NewKeys returns the same keys for the same n each time.
func NewKeys(n int) Keys {
	all := make([]byte, n*KeyBytes)
	for i := range n {
		Key(all[i*KeyBytes:(i+1)*KeyBytes], i)
	}
	return Keys{all}
}

// Key writes key number i into dst, which has KeyBytes bytes.
func Key(dst []byte, i int) {
	copy(dst, "key:")
	digits(dst[4:], i)
}

// digits writes i in decimal, filled with zeros from the left.
func digits(dst []byte, i int) {
	for at := len(dst) - 1; at >= 0; at-- {
		dst[at] = byte('0' + i%10)
		i /= 10
	}
}

// At returns key i.
func (k Keys) At(i int) []byte { return k.all[i*KeyBytes : (i+1)*KeyBytes : (i+1)*KeyBytes] }

// Bytes returns the keys, one after the other.
func (k Keys) Bytes() []byte { return k.all }

// Len returns the number of keys.
func (k Keys) Len() int { return len(k.all) / KeyBytes }

// Uniform returns count random key numbers below n, a power of two of them at
// least as long as count, so that a loop may mask its counter.
func Uniform(n, count int, seed uint64) []uint32 {
	size := 1
	for size < count {
		size *= 2
	}
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([]uint32, size)
	for i := range out {
		out[i] = uint32(r.Uint64N(uint64(n)))
	}
	return out
}

// Gather copies the keys with these numbers one after the other, so that a
// benchmark reads its input in order, as a server reads frames.
func (k Keys) Gather(numbers []uint32) Keys {
	all := make([]byte, 0, len(numbers)*KeyBytes)
	for _, i := range numbers {
		all = append(all, k.At(int(i))...)
	}
	return Keys{all}
}

// Value writes the value number i into dst, which has ValueBytes bytes or more.
func Value(dst []byte, i uint64) []byte {
	dst = dst[:ValueBytes]
	binary.LittleEndian.PutUint64(dst, i)
	copy(dst[8:], "............")
	return dst
}

// zipfExponent is as near to YCSB's default, 0.99, as a generator comes that needs more
// than 1. Of a million keys the most popular gets 7 % of all.
const zipfExponent = 1.01

// Distributions are the orders in which a workload visits its keys.
var Distributions = []string{"seq", "uniform", "zipf"}

// Sequence returns a function that yields key numbers below n, drawn from the
// distribution. The popular keys of "zipf" are spread over the key space.
func Sequence(distribution string, n int, seed uint64) func() uint64 {
	r := rand.New(rand.NewPCG(seed, 2))
	limit := uint64(n)
	switch distribution {
	case "seq":
		next := uint64(0)
		return func() uint64 {
			i := next
			if next++; next == limit {
				next = 0
			}
			return i
		}
	case "uniform":
		return func() uint64 { return r.Uint64N(limit) }
	case "zipf":
		z := rand.NewZipf(r, zipfExponent, 1, limit-1)
		key := spread(limit)
		return func() uint64 { return key(z.Uint64()) }
	}
	panic("BUG: no distribution " + distribution)
}

// spread returns a permutation of the numbers below n, in which those of neighbouring
// ranks are far apart: rank × m modulo n, with an m that has no divisor in common
// with n and is near the golden ratio's part of it. The product has 128 bits: one
// that wrapped at 64 would give two ranks the same key.
func spread(n uint64) func(rank uint64) uint64 {
	const golden = 0.6180339887498949
	m := max(uint64(float64(n)*golden), 1)
	for gcd(m, n) != 1 {
		m++
	}
	return func(rank uint64) uint64 {
		high, low := bits.Mul64(rank, m)
		return bits.Rem64(high, low, n)
	}
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
