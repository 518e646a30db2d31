package bench

import (
	"fmt"
	"math"
	"testing"
)

// TestSpread: every rank has a key of its own, for sizes of all kinds: tiny, a power
// of two, a prime, round ones.
func TestSpread(t *testing.T) {
	for _, n := range []uint64{1, 2, 3, 10, 1000, 99_991, 100_000, 1 << 20} {
		key, seen := spread(n), make([]bool, n)
		for rank := range n {
			k := key(rank)
			if k >= n || seen[k] {
				t.Fatalf("of %d keys, rank %d has key %d, which is another's or none", n, rank, k)
			}
			seen[k] = true
		}
	}
	// A product of 64 bits or more must not wrap: no two of these may meet.
	key, seen := spread(1<<62+1), map[uint64]uint64{}
	for rank := uint64(1 << 62); rank > 1<<62-1000; rank-- {
		if other, ok := seen[key(rank)]; ok {
			t.Fatalf("ranks %d and %d have the same key", rank, other)
		}
		seen[key(rank)] = rank
	}
}

// TestPopularKeysAreApart: no two of the most popular keys are neighbours.
func TestPopularKeysAreApart(t *testing.T) {
	for _, n := range []uint64{1000, 99_991, 1 << 20, 10_000_000} {
		key := spread(n)
		for a := range uint64(10) {
			for b := range a {
				apart := key(a) - key(b)
				if apart = min(apart, -apart); min(apart, n-apart) < n/40 {
					t.Errorf("of %d keys, those of ranks %d and %d are %d and %d", n, a, b, key(a), key(b))
				}
			}
		}
	}
}

// TestZipfFrequencies: each rank's key is drawn as often as the exponent says.
func TestZipfFrequencies(t *testing.T) {
	const draws = 2_000_000
	for _, n := range []int{2, 10, 1000, 99_991} {
		next, drawn := Sequence("zipf", n, 1), make([]int, n)
		for range draws {
			drawn[next()]++
		}
		sum := 0.0
		for rank := range n {
			sum += math.Pow(float64(rank+1), -zipfExponent)
		}
		key := spread(uint64(n))
		for rank := range min(n, 20) {
			got := float64(drawn[key(uint64(rank))]) / draws
			want := math.Pow(float64(rank+1), -zipfExponent) / sum
			// Five standard deviations of a count.
			if slack := 5 * math.Sqrt(want/draws); math.Abs(got-want) > slack {
				t.Errorf("of %d keys, rank %d has %.5f of the draws, want %.5f ± %.5f", n, rank, got, want, slack)
			}
		}
	}
}

// TestSequences: every distribution stays below n and works with a single key.
func TestSequences(t *testing.T) {
	for _, distribution := range Distributions {
		for _, n := range []int{1, 2, 7, 1000} {
			next, seen := Sequence(distribution, n, 1), map[uint64]bool{}
			for range 100_000 {
				k := next()
				if k >= uint64(n) {
					t.Fatalf("%s: key %d of %d", distribution, k, n)
				}
				seen[k] = true
			}
			if len(seen) != n {
				t.Errorf("%s: %d of %d keys were drawn", distribution, len(seen), n)
			}
		}
	}
}

// BenchmarkSequence is what choosing a key costs the load generator.
func BenchmarkSequence(b *testing.B) {
	for _, distribution := range Distributions {
		b.Run(fmt.Sprintf("dist=%s/store=1000000", distribution), func(b *testing.B) {
			const n = 1_000_000
			next := Sequence(distribution, n, 1)
			for b.Loop() {
				if k := next(); k >= n {
					b.Fatalf("key %d of %d", k, n)
				}
			}
		})
	}
}
