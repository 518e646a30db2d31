//go:build !amd64 || race

package engine

// IsLocked reports whether the lock of a key's shard is held.
func (e *Engine) IsLocked(key string) bool {
	mu := &e.shardOf(e.hashOf([]byte(key))).mu
	if !mu.TryLock() {
		return true
	}
	mu.Unlock()
	return false
}
