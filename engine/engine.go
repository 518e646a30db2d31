package engine

import (
	"math/bits"
	"sync/atomic"
)

// Engine is a sharded map from bytes to bytes.
//
// Every method may be called from any goroutine, except that Close must be the
// last. shards is never changed after New; each shard guards its own records.
// Lock order: shards in ascending index. No lock is held while caller's code
// runs. An Engine must not be copied.
type Engine struct {
	shards []shard
	shift  uint // 64 - log2(len(shards)): the hash's top bits are the index
	hash   func(key []byte) uint64
	closed atomic.Bool
}

// New returns an empty Engine, or an error that names every fault of opts.
func New(opts Options) (*Engine, error) {
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, err
	}
	e := &Engine{
		shards: make([]shard, opts.Shards),
		shift:  uint(64 - bits.TrailingZeros(uint(opts.Shards))),
		hash:   opts.hash,
	}
	if e.hash == nil {
		seed := newSeed()
		e.hash = func(key []byte) uint64 { return seededHash(seed, key) }
	}
	for i := range e.shards {
		e.shards[i].init(opts.InitialCapacity / opts.Shards)
	}
	return e, nil
}

// Apply executes the batch's operations in order, from the first that has not
// been executed yet, and reports whether all of them are executed now. It
// reports false only when it stopped at the batch's ReadLimit; the caller takes
// the values that were read and calls Apply again.
//
// Values that an earlier Apply of the same batch read are overwritten.
func (e *Engine) Apply(b *Batch) bool {
	b.scratch = b.scratch[:0]
	for b.next < len(b.Ops) {
		if b.ReadLimit > 0 && len(b.scratch) >= b.ReadLimit {
			return false
		}
		op := &b.Ops[b.next]
		b.next++
		if op.Kind == Rename {
			op.Status = e.rename(op.Key, op.Value)
			continue
		}
		s := e.shard(op.Key)
		s.mu.Lock()
		switch op.Kind {
		case Set:
			op.Status = s.setLocked(op.Key, op.Value)
		case Add:
			op.Status = s.addLocked(op.Key, op.Value)
		case Get:
			from := len(b.scratch)
			b.scratch, op.Status = s.getLocked(b.scratch, op.Key)
			// Cut from the scratch as it is now: when it grows later, this
			// slice goes on naming the bytes that were read.
			op.Value = b.scratch[from:len(b.scratch):len(b.scratch)]
		case Remove:
			op.Status = s.removeLocked(op.Key)
		case Contains:
			op.Status = s.containsLocked(op.Key)
		default:
			s.mu.Unlock()
			panic("BUG: engine: an operation of unknown kind")
		}
		s.mu.Unlock()
	}
	return true
}

// Len returns the number of keys.
func (e *Engine) Len() int {
	n := 0
	for i := range e.shards {
		n += int(e.shards[i].keys.Load())
	}
	return n
}

// Clear removes all keys, as one atomic step, and returns how many there were.
func (e *Engine) Clear() int {
	for i := range e.shards {
		e.shards[i].mu.Lock()
	}
	n := 0
	for i := range e.shards {
		n += e.shards[i].clearLocked()
	}
	for i := range e.shards {
		e.shards[i].mu.Unlock()
	}
	return n
}

// Range calls fn for each key and its value until fn returns false. The slices
// are valid during the call only. fn runs without a lock and may use the Engine.
//
// Each shard is copied at one moment: a key that exists all the time is seen
// exactly once, unless a rename moves it; one that comes or goes may be seen.
func (e *Engine) Range(fn func(key, value []byte) bool) {
	for i := range e.shards {
		for _, r := range e.shards[i].snapshot() {
			if !fn(r.key, r.value) {
				return
			}
		}
	}
}

// Close releases what the Engine holds. No other method may be called during
// it or after it.
func (e *Engine) Close() error {
	if e.closed.Swap(true) {
		return ErrClosed
	}
	e.Clear()
	return nil
}

// rename moves the value of from to the key to, atomically.
func (e *Engine) rename(from, to []byte) Status {
	src, dst := e.shardIndex(from), e.shardIndex(to)
	first, second := min(src, dst), max(src, dst)
	e.shards[first].mu.Lock()
	defer e.shards[first].mu.Unlock()
	if second != first {
		e.shards[second].mu.Lock()
		defer e.shards[second].mu.Unlock()
	}
	return renameLocked(&e.shards[src], &e.shards[dst], from, to)
}

func (e *Engine) shardIndex(key []byte) int { return int(e.hash(key) >> e.shift) }

func (e *Engine) shard(key []byte) *shard { return &e.shards[e.shardIndex(key)] }
