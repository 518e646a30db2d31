//go:build amd64 && !race

package engine

import "sync/atomic"

// WaiterTime is how long a goroutine that waits for a shard is given to take it.
const WaiterTime = 4 * waiterSleep

// PretendWaiting adds a waiter to the first shard that never takes it, until end is called.
func (e *Engine) PretendWaiting() (end func()) {
	e.shards[0].mu.waiting.Add(1)
	return func() { e.shards[0].mu.waiting.Add(-1) }
}

// IsLocked reports whether the lock of a key's shard is held.
func (e *Engine) IsLocked(key string) bool {
	return atomic.LoadUint32(&e.shardOf(e.hashOf([]byte(key))).mu.held) != 0
}
