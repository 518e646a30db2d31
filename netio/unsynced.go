package netio

import (
	"hash/maphash"
	"sync/atomic"
)

// This file knows which keys a reader has to wait for. With --fsync always a group takes as
// long as the disk does, and gets a new one at once: if each read waited for whatever is not
// on disk yet, each would take as long as a write.

// unsyncedSlots is how many slots there are, of 8 bytes. Keys that share one wait for each
// other: 0.4 % of all reads if 2,000 keys are being synced, what 500,000 SETs a second leave
// in two groups of 2 ms.
const unsyncedSlots = 1 << 19

// unsynced has, for each key, the last group that may have an effect on it. Its methods may
// be called from any goroutine. A key is marked before it is changed: so a reader that has
// seen the change, and asks afterwards, finds the mark. Nothing is ever taken out: a group
// that is on disk is waited for by nobody.
type unsynced struct {
	hash  func(key []byte) uint64 // another one for each server: nobody can choose keys that share a slot
	slots []atomic.Uint64
	all   atomic.Uint64 // the last group with an effect on every key
}

func newUnsynced() *unsynced {
	seed := maphash.MakeSeed()
	return &unsynced{hash: func(key []byte) uint64 { return maphash.Bytes(seed, key) }, slots: make([]atomic.Uint64, unsyncedSlots)}
}

func (u *unsynced) slot(key []byte) *atomic.Uint64 {
	return &u.slots[u.hash(key)%unsyncedSlots]
}

// mark notes that the group may have an effect on the key.
func (u *unsynced) mark(key []byte, group uint64) { raise(u.slot(key), group) }

// markAll notes that the group has one on every key.
func (u *unsynced) markAll(group uint64) { raise(&u.all, group) }

// group returns the last group that may have an effect on the key, or one before that is
// on disk.
func (u *unsynced) group(key []byte) uint64 { return max(u.slot(key).Load(), u.all.Load()) }

// raise is a maximum: loops that gather for groups one after the other may come in any order.
func raise(at *atomic.Uint64, group uint64) {
	for now := at.Load(); now < group && !at.CompareAndSwap(now, group); now = at.Load() {
	}
}
