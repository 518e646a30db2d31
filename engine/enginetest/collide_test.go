package enginetest_test

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/cespare/xxhash/v2"

	"keyframe/engine/enginetest"
)

// hashes counts how many keys have each hash, and checks that no key is there twice.
func hashes(t *testing.T, keys [][]byte, seed uint64) map[uint64]int {
	t.Helper()
	seen, count := make(map[string]bool, len(keys)), map[uint64]int{}
	for _, key := range keys {
		if seen[string(key)] {
			t.Fatalf("%q is there twice", key)
		}
		seen[string(key)] = true
		d := xxhash.NewWithSeed(seed)
		_, _ = d.Write(key)
		count[d.Sum64()]++
	}
	return count
}

// TestKeys16: under every seed 65,536 keys have 256 hashes, each of them 256 keys.
func TestKeys16(t *testing.T) {
	keys, r := enginetest.Keys16(2<<16), rand.New(rand.NewPCG(1, 0))
	for range 4 {
		count := hashes(t, keys, r.Uint64())
		if len(count) != 2*256 {
			t.Errorf("%d hashes", len(count))
		}
		for h, n := range count {
			if n != 256 {
				t.Fatalf("%d keys have the hash %x", n, h)
			}
		}
	}
}

// TestKeys64: under nearly every seed all keys have one hash.
func TestKeys64(t *testing.T) {
	keys, r := enginetest.Keys64(enginetest.MaxKeys64), rand.New(rand.NewPCG(1, 0))
	missed := 0
	for range 8 {
		if len(hashes(t, keys, r.Uint64())) > 1 {
			missed++
		}
	}
	if missed > 2 {
		t.Errorf("under %d of 8 seeds there are several hashes", missed)
	}
	for _, key := range keys {
		if text := `"` + string(key) + `"`; len(key) != 64 || !json.Valid([]byte(text)) {
			t.Fatalf("%q has %d bytes, and isn't JSON as it is", key, len(key))
		}
	}
}
