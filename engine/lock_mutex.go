//go:build !amd64 || race

package engine

import "sync"

// lock is the mutex of a shard: sync.Mutex, which every platform has and the race
// detector understands. lock_spin.go is its twin.
type lock struct {
	sync.Mutex
	_ [4]byte // as large as its twin: the size of a shard counts on it
}

// waitsLocked would be how often somebody had to wait; sync.Mutex doesn't tell.
func (*lock) waitsLocked() int { return 0 }

// letOthers is nothing to do: sync.Mutex hands over to who waits long.
func (*lock) letOthers() {}
