//go:build amd64 && !race

package engine

// WaiterTime is how long a goroutine that waits for a shard is given to take it.
const WaiterTime = 4 * waiterSleep

// PretendWaiting adds a waiter to the first shard that never takes it, until end is called.
func (e *Engine) PretendWaiting() (end func()) {
	e.shards[0].mu.waiting.Add(1)
	return func() { e.shards[0].mu.waiting.Add(-1) }
}
