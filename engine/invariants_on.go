//go:build invariants

package engine

import (
	"fmt"
	"sync/atomic"
)

// invariants turns on checks that cost too much otherwise.
const invariants = true

// mangle overwrites freed bytes, so that a use of them is noticed.
func mangle(b []byte) {
	for i := range b {
		b[i] = 0xDD
	}
}

// sampler chooses the batches after which a shard is checked.
type sampler struct {
	executed atomic.Int64  // operations since the latest check
	checks   atomic.Uint64 // the next check is of the shard of this number, modulo theirs
}

// A check costs as much as a few operations on each key of the shard. One comes after as
// many operations as that, so that a test is a few times slower, however large its store.
const (
	opsPerKey   = 2
	opsPerCheck = 256
)

// afterBatch checks a shard, one after the other, after a sample of the batches. It may
// run at any time, in the middle of a compaction, too.
func (p *sampler) afterBatch(e *Engine, ops int) {
	executed := p.executed.Add(int64(ops))
	s := &e.shards[p.checks.Load()%uint64(len(e.shards))]
	if executed < opsPerCheck+opsPerKey*s.keys.Load() {
		return
	}
	p.executed.Store(0)
	p.checks.Add(1)
	s.mu.Lock()
	_, _, err := e.checkShardLocked(s)
	s.mu.Unlock()
	if err != nil {
		panic(fmt.Sprint("BUG: engine: after a batch: ", err))
	}
}
