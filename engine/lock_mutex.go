//go:build !amd64 || race

package engine

import (
	"sync"
	"sync/atomic"
)

// lock is the mutex of a shard: sync.Mutex, which every platform has and the race
// detector understands. lock_spin.go is its twin.
type lock struct {
	sync.Mutex
	_ [4]byte // as large as its twin: the size of a shard counts on it
}

// waitsLocked would be how often a goroutine had to wait; sync.Mutex doesn't count.
func (*lock) waitsLocked() int { return 0 }

// letOthers has nothing to do: sync.Mutex hands over to a goroutine that waits long.
func (*lock) letOthers() {}

// counter is a count that is written under a lock and read by anyone.
type counter = atomic.Int64
