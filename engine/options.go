package engine

import (
	"errors"
	"fmt"
	"math/bits"
	"runtime"
)

// maxShards bounds Options.Shards: Clear and Stats visit every shard.
const maxShards = 1 << 16

// Options configure an Engine. The zero value means the defaults.
type Options struct {
	// Shards is the number of locks, a power of two. 0 means 64 for each
	// CPU that Go may use, so that two goroutines seldom want the same one.
	Shards int

	// InitialCapacity is the number of keys to make room for at once.
	InitialCapacity int

	// MaxBytes bounds the memory for keys, values and index. What would pass it
	// is refused with OutOfMemory. It is counted in chunks of 2 MiB, the empty
	// and half-empty ones included; the process itself comes on top. 0 means no
	// bound but the address space: 512 GiB.
	MaxBytes int

	// hash replaces the seeded hash; the tests use it to force collisions.
	hash func(key []byte) uint64

	// failing makes the system refuse memory when it returns true.
	failing func() bool
}

// CheckOptions reports all faults of opts in one error, as New does.
func CheckOptions(opts Options) error { return opts.withDefaults().validate() }

func (o Options) withDefaults() Options {
	if o.Shards == 0 {
		n := 64 * runtime.GOMAXPROCS(0)
		o.Shards = min(1<<bits.Len(uint(n-1)), maxShards)
	}
	return o
}

// validate reports all faults of o in one error.
func (o Options) validate() error {
	var faults []error
	if o.Shards < 1 || o.Shards > maxShards || o.Shards&(o.Shards-1) != 0 {
		faults = append(faults, fmt.Errorf("engine: Shards is %d, want a power of two from 1 to %d", o.Shards, maxShards))
	}
	if o.InitialCapacity < 0 {
		faults = append(faults, fmt.Errorf("engine: InitialCapacity is %d, want 0 or more", o.InitialCapacity))
	}
	if o.MaxBytes != 0 && o.MaxBytes < chunkBytes {
		faults = append(faults, fmt.Errorf("engine: MaxBytes is %d, want 0 or at least %d", o.MaxBytes, chunkBytes))
	}
	return errors.Join(faults...)
}
