package engine

import (
	"math/rand/v2"

	"github.com/cespare/xxhash/v2"
)

// newSeed returns a seed that clients can't guess: the top-level functions of
// math/rand/v2 draw from a ChaCha8 generator that the runtime seeds from the
// operating system.
func newSeed() uint64 { return rand.Uint64() }

// seededHash is xxhash64 of key under seed. The digest lives on the stack.
func seededHash(seed uint64, key []byte) uint64 {
	var d xxhash.Digest
	d.ResetWithSeed(seed)
	_, _ = d.Write(key) // never fails
	return d.Sum64()
}
