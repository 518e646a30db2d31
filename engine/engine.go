package engine

import (
	"math"
	"math/bits"
	"sync/atomic"
)

// Engine is a sharded map from bytes to bytes.
//
// Every method may be called from any goroutine, except that Close must be the
// last. shards is never changed after New; each shard guards its own records.
// Lock order: shards in ascending index, then the maintainer, then the pool. No lock is held while
// caller's code runs, except for the last attempt of a Merge (see MergeFunc) and for a
// ReadableFunc. An Engine must not be copied.
type Engine struct {
	shards []shard
	shift  uint                    // 64 - log2(len(shards)): the hash's top bits are the index
	hash   func(key []byte) uint64 // nil, but in tests
	closed atomic.Bool

	recordEffects bool      // Options.RecordEffects
	maxBytes      int       // Options.MaxBytes
	evict         Evict     // Options.Evict
	evicts        bool      // it isn't EvictNone
	touches       bool      // slots have states: it is EvictAll
	merge         MergeFunc // Options.Merge
	simulated     bool      // Maintain is called, instead of a goroutine

	outside    atomic.Uint64 // the shard that was last asked to evict for another
	secrets    secrets
	sampler    sampler // of the invariants build: nothing in others
	pool       pool
	maintainer maintainer
	sweeper    sweeper

	readable ReadableFunc // Options.Readable; last, since few ask, and what is above stays where it was
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

		recordEffects: opts.RecordEffects,
		maxBytes:      opts.MaxBytes,
		evict:         opts.Evict,
		evicts:        opts.Evict != EvictNone,
		touches:       opts.Evict == EvictAll,
		merge:         opts.Merge,
		readable:      opts.Readable,
		secrets:       newSecrets(),
	}
	if sim := opts.Simulation; sim != nil {
		e.secrets, e.simulated = simulatedSecrets(sim.Seed), !sim.background
		e.pool.mem.refuse, e.pool.step = sim.Refuse, sim.Step
	}
	e.maintainer.init(e.shards, &e.pool)
	e.sweeper.init(e.shards, &e.pool, opts.Clock)
	e.pool.wake, e.pool.sweep = e.maintainer.wake, e.sweeper.wake
	e.pool.releaseCleared = func() bool { return e.maintainer.releaseCleared(clearedAtNeed) }
	if err := e.pool.init(opts.MaxBytes, opts.Shards); err != nil {
		return nil, err
	}
	*(*entry)(e.pool.mem.at(emptyDir.ref())) = emptyEntry // the rest of page 0 is zero
	e.pool.initEvictors(opts.Evict, opts.Shards, opts.RecordEffects)
	for i := range e.shards {
		e.shards[i].init(&e.pool, i, (opts.InitialCapacity+opts.Shards-1)/opts.Shards)
	}
	if !e.simulated {
		e.maintainer.start() // last: they walk through the shards
		e.sweeper.start()
	}
	return e, nil
}

// minHinted is the smallest batch that is worth the stages before execution.
const minHinted = 4

// Apply executes the batch's operations in order, from the first that has not
// been executed yet, and reports whether all of them are executed now. It
// reports false only when it stopped at the batch's ReadLimit, for what it read or for its
// work; the caller takes the values that were read and calls Apply again.
//
// Values that an earlier Apply of the same batch read are overwritten, and its effects
// forgotten.
func (e *Engine) Apply(b *Batch) bool {
	b.scratch, b.work, b.awaited = b.scratch[:0], 0, 0
	b.resetEffects()
	b.stopAt = b.ReadLimit
	if b.stopAt <= 0 {
		b.stopAt = math.MaxInt
	}
	ops := b.Ops[b.next:]
	if invariants {
		defer e.sampler.afterBatch(e, len(ops))
	}
	if OffHeap && len(ops) >= minHinted && e.pool.hintsPay.Load() {
		return e.applyHinted(b, ops)
	}
	for i := range ops {
		if len(b.scratch) >= b.stopAt {
			return false
		}
		b.next++
		e.execute(b, &ops[i], e.hashOf(ops[i].Key))
	}
	return true
}

// applyHinted takes the operations through a window. It reports false if it
// stopped at the limit.
func (e *Engine) applyHinted(b *Batch, ops []Op) bool {
	var w window
	// strideAt returns stride k, which is nil before the first and past the last.
	strideAt := func(k int) []Op {
		if k < 0 || k*strideOps >= len(ops) {
			return nil
		}
		return ops[k*strideOps : min((k+1)*strideOps, len(ops))]
	}
	for k := 0; (k-stages)*strideOps < len(ops); k++ {
		if stride := strideAt(k); stride != nil {
			w.hashKeys(e, k, stride)
		}
		if stride := strideAt(k - 1); stride != nil {
			w.findGroups(e, k-1, len(stride))
		}
		if stride := strideAt(k - 2); stride != nil {
			w.findSlots(e, k-2, len(stride))
		}
		stride, hashes := strideAt(k-stages), &w.hashes[(k+1)%windowStrides]
		for i := range stride {
			if len(b.scratch) >= b.stopAt {
				return false
			}
			b.next++
			e.execute(b, &stride[i], hashes[i%strideOps])
		}
	}
	return true
}

// execute executes one operation, whose key has the hash h. The two that are
// most of a store's work are spelled out for keys and values as they mostly are.
func (e *Engine) execute(b *Batch, op *Op, h hash) {
	if op.Kind >= Rename {
		e.executeOther(b, op, h)
		return
	}
	s := e.shardOf(h)
	s.mu.Lock()
	switch op.Kind {
	case Set:
		slot, rec := s.table.find(h, op.Key)
		if rec != nil && e.touches {
			slot.touch()
		}
		if rec != nil && op.args == 0 {
			if at, ok := rec.plainValue(len(op.Value), op.Form); ok {
				copyTo(at, op.Value)
				op.Status = Updated
				break
			}
		} else if rec != nil && b.prolong(op, rec) {
			op.Status = Updated
			break
		}
		op.Status = s.setLocked(slot, rec, h, b, op)
	case Get:
		slot, rec := s.table.find(h, op.Key)
		if rec != nil && rec.head.expires() {
			rec = s.ifAlive(slot, rec, b.Now)
		}
		if rec == nil {
			op.Value, op.Status = nil, NotFound
			break
		}
		if e.touches {
			slot.touch()
		}
		from := len(b.scratch)
		if at, n, ok := rec.shortValue(); ok {
			b.scratch = appendFrom(b.scratch, at, n)
		} else {
			b.scratch = append(b.scratch, rec.value()...)
		}
		// Cut from the scratch as it is now: when it grows later, this
		// slice goes on naming the bytes that were read.
		op.Value, op.Status = b.scratch[from:len(b.scratch):len(b.scratch)], Found
		op.Form = rec.head.form()
	case Add:
		op.Status = s.addLocked(h, b, op)
	case Remove:
		op.Status = s.removeLocked(h, op.Key, b.Now)
	case Contains:
		op.Status = s.containsLocked(h, op.Key, b.Now)
	default:
		s.mu.Unlock()
		panic("BUG: engine: an operation of unknown kind")
	}
	if e.recordEffects {
		e.noteEffects(b, s, h, op)
	}
	s.mu.Unlock()
	if e.evicts && op.Status == OutOfMemory && !b.retrying {
		e.retryFull(b, op, h)
	}
}

// Expires reports whether any key has ever had a deadline. Reading the clock takes more time
// than anything else that a batch of few operations does for its deadlines.
func (e *Engine) Expires() bool { return e.pool.expires.Load() }

// Evicts reports whether keys may be evicted: Options.Evict says so.
func (e *Engine) Evicts() bool { return e.evicts }

// Len returns the number of keys.
func (e *Engine) Len() int {
	n := 0
	for i := range e.shards {
		n += int(e.shards[i].keys.Load())
	}
	return n
}

// Close releases what the Engine holds. No other method may be called during
// it or after it.
func (e *Engine) Close() error {
	if e.closed.Swap(true) {
		return ErrClosed
	}
	e.sweeper.stop()
	e.maintainer.stop()
	return e.pool.mem.close()
}

func (e *Engine) hashOf(key []byte) hash {
	if e.hash != nil {
		return hash(e.hash(key))
	}
	return hash(e.secrets.hash(key))
}

// Shard returns which of the Shards has a key: operations that are grouped by it find the
// shard's lock and its newest block in the caches.
func (e *Engine) Shard(key []byte) int { return int(e.hashOf(key) >> e.shift) }

// Shards is how many there are.
func (e *Engine) Shards() int { return len(e.shards) }

func (e *Engine) shardOf(h hash) *shard { return &e.shards[h>>e.shift] }
