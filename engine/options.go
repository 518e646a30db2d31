package engine

import (
	"errors"
	"fmt"
	"math/bits"
	"runtime"
)

// maxShards bounds Options.Shards: Clear and Stats visit every shard.
const (
	shardBits = 16
	maxShards = 1 << shardBits
)

// minKeyBytes is the least that a key takes: a slot in a segment that is as full as
// they get, and the smallest record.
const minKeyBytes = 16

// MaxMaxBytes is the largest Options.MaxBytes: what references can name, and less where the
// memory is Go's.
const MaxMaxBytes = maxReserve

// Options configure an Engine. The zero value means the defaults.
type Options struct {
	// Shards is the number of locks, a power of two. 0 means 256 for each CPU
	// that Go may use, or 64 for a single one, but no more than one for each 64 KiB of
	// MaxBytes. Each costs 2 KiB, and some 20 KiB of half-filled blocks in a large store.
	Shards int

	// InitialCapacity is the number of keys to make room for at once.
	InitialCapacity int

	// MaxBytes bounds the memory for keys, values and index. What would pass it
	// is refused with OutOfMemory. It is counted in chunks of 2 MiB, the empty
	// and half-empty ones included; the process itself comes on top. 0 means no
	// bound but the most that an Engine can name: 512 GiB.
	MaxBytes int

	// Evict says which keys are dropped to make room when MaxBytes is reached, which must
	// be set then.
	Evict Evict

	// RecordEffects has every batch note what it changes, for Batch.Effects.
	RecordEffects bool

	// Merge is what the operations of kind Merge do; nil if there are none.
	Merge MergeFunc

	// Readable is asked by the operations that have Args.Readable; nil if there are none.
	Readable ReadableFunc

	// Clock is what dead keys are dropped by that no operation meets: milliseconds since
	// 1970. nil: the system's clock; of a simulated Engine none, so that nothing is dropped.
	Clock func() int64

	// Simulation, unless nil, makes the Engine repeatable, for tests.
	Simulation *Simulation

	// hash replaces the keyed hash; the tests use it to force collisions.
	hash func(key []byte) uint64
}

// MergeFunc makes the new value of a key out of the old one and of what a Merge carries in
// Value and Form. It appends the value to dst and returns it, and its form, with Updated or
// Created; or it returns NotFound or Refused, and nothing is stored. exists is false if there
// is no such key; then old is nil.
//
// It is called on a copy of the old value, and again if that has changed before the new one
// could be stored: twice without a lock, then with the lock of the key's shard held, so that
// others who change the key can't keep a Merge from its end. So it must depend on its
// arguments alone, change nothing but dst and what it returns, keep no slice and not use the
// Engine; and its time must be bounded by the lengths that it is given, since the other keys
// of the shard may have to wait for it.
type MergeFunc func(dst, old []byte, oldForm Form, exists bool, op *Op) (value []byte, form Form, st Status)

// ReadableFunc reports whether a value is one that may be handed out to those who ask for
// readable ones. It is called with the lock of the key's shard held, on the value as it is
// kept; so it must not use the Engine nor keep the slice, and its time must be bounded by the
// value's length.
type ReadableFunc func(value []byte, form Form) bool

// CheckOptions reports all faults of opts in one error, as New does.
func CheckOptions(opts Options) error { return opts.withDefaults().validate() }

func (o Options) withDefaults() Options {
	if o.Shards == 0 {
		o.Shards = defaultShards(runtime.GOMAXPROCS(0), o.MaxBytes)
	}
	switch {
	case o.Clock != nil:
	case o.Simulation != nil:
		o.Clock = func() int64 { return 0 }
	default:
		o.Clock = wallClock
	}
	return o
}

// leastShardBytes is what a shard has of a ceiling, at least: 16 pages. A shard has blocks
// and a small index of its own, rounded up to pages, and what they leave unused no other
// shard may use. Not yet measured against other sizes.
const leastShardBytes = 64 << 10

// defaultShards is enough that two CPUs seldom ask for the same lock's cache line
// while one of them holds it or is about to, as far as the ceiling allows. doc.go has
// what fewer and more cost.
func defaultShards(procs, maxBytes int) int {
	n := 64
	if procs > 1 {
		n = min(1<<bits.Len(uint(256*procs-1)), maxShards)
	}
	if most := maxBytes / leastShardBytes; maxBytes > 0 && n > most {
		n = 1 << (bits.Len(uint(max(most, 1))) - 1)
	}
	return n
}

// OptionError is a fault of one field of Options: what it holds, and what it may
// hold. Several faults come joined, as errors.Join does it.
type OptionError struct {
	Field string // its name in Options
	Value any    // what it is
	Want  string // what it may be, such as "0 or more"
}

func (e *OptionError) Error() string {
	return fmt.Sprintf("engine: %s is %v, want %s", e.Field, e.Value, e.Want)
}

// validate reports all faults of o in one error.
func (o Options) validate() error {
	var faults []error
	fault := func(field string, value int, want string, args ...any) {
		faults = append(faults, &OptionError{field, value, fmt.Sprintf(want, args...)})
	}
	if o.Shards < 1 || o.Shards > maxShards || o.Shards&(o.Shards-1) != 0 {
		fault("Shards", o.Shards, "a power of two from 1 to %d", maxShards)
	}
	if o.InitialCapacity < 0 {
		fault("InitialCapacity", o.InitialCapacity, "0 or more")
	}
	if o.MaxBytes != 0 && (o.MaxBytes < chunkBytes || o.MaxBytes > maxReserve) {
		fault("MaxBytes", o.MaxBytes, "0, or %d to %d", chunkBytes, maxReserve)
	}
	if most := o.MaxBytes / minKeyBytes; o.MaxBytes > 0 && o.InitialCapacity > most {
		fault("InitialCapacity", o.InitialCapacity, "at most %d, what MaxBytes of %d has room for", most, o.MaxBytes)
	}
	switch {
	case o.Evict > EvictAll:
		faults = append(faults, &OptionError{"Evict", o.Evict, "none, volatile or all"})
	case o.Evict != EvictNone && o.MaxBytes == 0:
		faults = append(faults, &OptionError{"Evict", o.Evict, "none while there is no ceiling"})
	}
	return errors.Join(faults...)
}
