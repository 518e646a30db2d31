package engine_test

import (
	"fmt"
	"maps"
	"strconv"
	"testing"

	"keyframe/engine"
)

// This file is what is refused although a store evicts: little, of every kind of operation.

// TestEvictLarge has values with pages of their own come to a full store, more shards than
// there is room for values.
func TestEvictLarge(t *testing.T) {
	e := newEngine(t, engine.Options{Shards: 64, MaxBytes: 32 << 20, Evict: engine.EvictAll})
	var b engine.Batch
	r := newRand(t)
	refused := 0
	const n = 2000
	for i := range n {
		if set(e, &b, i, 20_000+r.IntN(300_000), 0) == engine.OutOfMemory {
			refused++
		} else if !has(e, &b, i) {
			t.Fatalf("key %d is gone at once", i)
		}
	}
	st := e.Stats()
	t.Logf("%d keys, %d refused, %d evicted, %d bytes in them", st.Keys, refused, st.Evicted, st.LargeBytes)
	if refused > n/50 || st.LargeBytes < 8<<20 {
		t.Errorf("%d of %d were refused; %d bytes are left", refused, n, st.LargeBytes)
	}
	// A value that can't fit costs no other key.
	before := e.Len()
	if st := set(e, &b, n, 64<<20, 0); st != engine.OutOfMemory || e.Len() < before-16 {
		t.Errorf("a value above the ceiling has status %d, %d keys of %d are left", st, e.Len(), before)
	}
}

// largeKinds are the operations that may need a run of pages: what is there before them, a
// value that the operation has, and its status.
var largeKinds = []struct {
	name string
	was  func(value []byte) []byte // nil: nothing
	add  func(b *engine.Batch, key, value []byte)
	want engine.Status
}{
	{"Set", nil, func(b *engine.Batch, key, value []byte) { b.Add(engine.Set, key, value) }, engine.Created},
	{"Add", nil, func(b *engine.Batch, key, value []byte) { b.Add(engine.Add, key, value) }, engine.Created},
	{"Swap", nil, func(b *engine.Batch, key, value []byte) { b.Add(engine.Swap, key, value) }, engine.Created},
	{"Merge", nil, func(b *engine.Batch, key, value []byte) { b.Add(engine.Merge, key, value) }, engine.Created},
	{"longer Set", half, func(b *engine.Batch, key, value []byte) { b.Add(engine.Set, key, value) }, engine.Updated},
	{"longer Swap", half, func(b *engine.Batch, key, value []byte) { b.Add(engine.Swap, key, value) }, engine.Updated},
	{"longer Merge", half, func(b *engine.Batch, key, value []byte) { b.Add(engine.Merge, key, half(value)) }, engine.Updated},
	{"CompareSet", half, func(b *engine.Batch, key, value []byte) {
		b.AddArgs(engine.CompareSet, key, value, 0, engine.Args{Expected: half(value)})
	}, engine.Updated},
	{"Expire", whole, func(b *engine.Batch, key, value []byte) {
		b.AddArgs(engine.Expire, key, nil, 0, engine.Args{Deadline: 1 << 40})
	}, engine.Updated},
	{"Rename", whole, func(b *engine.Batch, key, value []byte) {
		b.Add(engine.Rename, key, append([]byte("to "), key...))
	}, engine.Renamed},
	{"replacing Rename", whole, func(b *engine.Batch, key, value []byte) {
		b.AddArgs(engine.Rename, key, []byte("replaced"), 0, engine.Args{Replace: true})
	}, engine.Renamed},
}

func half(value []byte) []byte  { return value[:len(value)/2] }
func whole(value []byte) []byte { return value }

// TestEvictLargeKinds: no kind of operation is refused a run of pages more often than others, and
// none has the key evicted that it is about.
func TestEvictLargeKinds(t *testing.T) {
	for _, size := range []int{50_000, 200_000} {
		t.Run(fmt.Sprintf("size=%d", size), func(t *testing.T) {
			e := newEngine(t, engine.Options{Shards: 256, MaxBytes: 16 << 20, Evict: engine.EvictAll, Merge: testMerge})
			n := rounds(150)
			tried, refused := make([]int, len(largeKinds)), make([]int, len(largeKinds))
			var b engine.Batch
			apply := func() engine.Status {
				e.Apply(&b)
				return b.Ops[0].Status
			}
			for i := range n {
				for k, kind := range largeKinds {
					key := fmt.Appendf(nil, "%3d of kind %2d", i, k)
					// The record has whole pages: with a deadline it needs another.
					value := sized(i, (size/engine.PageBytes+1)*engine.PageBytes-engine.LargeHeader-len(key))
					if kind.was != nil {
						b.Reset()
						b.Add(engine.Set, key, kind.was(value))
						if apply() != engine.Created {
							continue
						}
					}
					b.Reset()
					kind.add(&b, key, value)
					tried[k]++
					switch st := apply(); st {
					case kind.want:
					case engine.OutOfMemory:
						refused[k]++
					default:
						t.Fatalf("%s %d has status %d, want %d", kind.name, i, st, kind.want)
					}
				}
			}
			for k, kind := range largeKinds {
				if tried[k] < n*9/10 || refused[k] > 1+n/50 {
					t.Errorf("%s: %d of %d refused, %d without a value before", kind.name, refused[k], tried[k], n-tried[k])
				}
			}
		})
	}
}

// TestEvictRefused has large values come to a store full of small ones, while the maintainer has
// no time. The one that is refused has evicted as much as it needs, and finds room when the
// maintainer has come by. Many that are refused at once don't empty the store.
func TestEvictRefused(t *testing.T) {
	for _, policy := range []engine.Evict{engine.EvictVolatile, engine.EvictAll} {
		t.Run(policy.String(), func(t *testing.T) {
			const size, small, deadline = 100_000, 20, 1 << 40
			const enough = size / (small + 40) // keys
			e := newEngine(t, engine.Options{Shards: 16, MaxBytes: 4 << 20, Evict: policy})
			var b engine.Batch
			i := 0
			for ; i-e.Len() < 100; i++ {
				set(e, &b, i, small, deadline)
			}
			e.Settle()
			release := e.HoldMaintainer()
			before := 0
			for st := engine.Created; st == engine.Created; i++ { // the first find what may be lent
				before = e.Stats().Evicted
				st = set(e, &b, i, size, deadline)
			}
			if n := e.Stats().Evicted - before; n < enough || n > 2*enough {
				t.Errorf("a value that was refused has evicted %d keys, want some %d", n, enough)
			}
			release()
			e.Settle()
			if st := set(e, &b, i, size, deadline); st != engine.Created {
				t.Errorf("it has status %d when the maintainer has come by", st)
			}
			defer e.HoldMaintainer()()
			before = e.Stats().Evicted
			b.Reset()
			const many = 50
			for range many {
				i++
				b.AddArgs(engine.Set, strconv.AppendInt([]byte("key:"), int64(i), 10), sized(i, size), 0, engine.Args{Deadline: deadline})
			}
			e.Apply(&b)
			if n := e.Stats().Evicted - before; n > 3*enough+many*400 { // what each may evict beside that
				t.Errorf("%d values that were refused have evicted %d keys", many, n)
			}
		})
	}
}

// TestEvictClearSet: a ClearSet of more than the store has room for evicts what it has stored
// itself, of whatever shard.
func TestEvictClearSet(t *testing.T) {
	const shards = 256
	e := newEngine(t, engine.Options{Shards: shards, MaxBytes: 16 << 20, Evict: engine.EvictAll, RecordEffects: true})
	copied := replica{make([][]replicated, shards)}
	for _, size := range []int{1000, 100_000} {
		var b engine.Batch
		n := 32 << 20 / size
		for i := range n {
			b.Add(engine.Set, strconv.AppendInt(nil, int64(i), 10), sized(i, size))
		}
		_, seqs := e.ClearSet(&b, nil)
		copied.cleared(seqs)
		copied.take(&b)
		refused := 0
		for i := range b.Ops {
			if b.Ops[i].Status == engine.OutOfMemory {
				refused++
			}
		}
		st := e.Stats()
		if refused > n/50 || st.LiveBytes+st.LargeBytes < 8<<20 || n-refused == st.Keys {
			t.Errorf("values of %d bytes: %d of %d were refused; %d keys are left, of %d bytes", size, refused, n, st.Keys, st.LiveBytes+st.LargeBytes)
		}
		if got, want := content(e, 0), copied.content(t); !maps.Equal(got, want) {
			t.Errorf("the store has %d keys, what the effects make of it has %d, or other values", len(got), len(want))
		}
	}
}
