//go:build amd64 && !race

package engine

// WaiterTime is what a goroutine that waits for a shard is given to come.
const WaiterTime = 4 * waiterSleep

// PretendWaiting has somebody wait for the first shard who never comes, until end is called.
func (e *Engine) PretendWaiting() (end func()) {
	e.shards[0].mu.waiting.Add(1)
	return func() { e.shards[0].mu.waiting.Add(-1) }
}
