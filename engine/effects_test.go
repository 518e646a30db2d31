package engine_test

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"keyframe/engine"
)

// replica is a store that is rebuilt from effects: a plain map a shard.
type replica struct {
	effects [][]replicated // by shard, as they came in
}

// replicated is an effect that outlives its batch.
type replicated struct {
	seq        uint64
	key, value string
	gone       bool
	clear      bool // of a Clear
}

func (r *replica) take(b *engine.Batch) {
	for e := range b.Effects() {
		r.effects[e.Shard] = append(r.effects[e.Shard], replicated{e.Seq, string(e.Key), string(e.Value), e.Gone, false})
	}
}

func (r *replica) cleared(seqs []uint64) {
	for shard, seq := range seqs {
		r.effects[shard] = append(r.effects[shard], replicated{seq: seq, clear: true})
	}
}

// content is what the effects amount to, done in the order of their numbers.
func (r *replica) content(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for shard, effects := range r.effects {
		slices.SortFunc(effects, func(a, b replicated) int { return int(int64(a.seq) - int64(b.seq)) })
		m := make(map[string]string)
		for i, e := range effects {
			if e.seq != uint64(i+1) {
				t.Fatalf("shard %d: effect %d has the number %d", shard, i+1, e.seq)
			}
			switch {
			case e.clear:
				clear(m)
			case e.gone:
				delete(m, e.key)
			default:
				m[e.key] = e.value
			}
		}
		maps.Copy(all, m)
	}
	return all
}

// TestEffects has goroutines change a store at the same time: the effects of them all, in
// the order of each shard's numbers, make the same store again.
func TestEffects(t *testing.T) {
	const shards, goroutines, batches = 8, 4, 400
	seed := newRand(t).Uint64()
	e := newEngine(t, engine.Options{Shards: shards, RecordEffects: true})
	var mu sync.Mutex
	whole := replica{make([][]replicated, shards)}
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(g)))
			mine := replica{make([][]replicated, shards)}
			var b engine.Batch
			for i := range batches {
				if r.IntN(batches) < 4 {
					n, seqs := e.ClearRecorded(nil)
					if n < 0 || len(seqs) != shards {
						t.Errorf("a Clear has %d numbers, want %d", len(seqs), shards)
					}
					mine.cleared(seqs)
				}
				randomOps(r, &b, 1+r.IntN(80), 300)
				b.ReadLimit = 1 + r.IntN(5000)
				for done := false; !done; {
					done = e.Apply(&b)
					mine.take(&b)
				}
				b.Reset()
				if n := len(slices.Collect(b.Effects())); n != 0 {
					t.Errorf("batch %d: %d effects after Reset", i, n)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for shard := range whole.effects {
				whole.effects[shard] = append(whole.effects[shard], mine.effects[shard]...)
			}
		})
	}
	wg.Wait()
	got := make(map[string]string)
	e.Range(func(key, value []byte) bool {
		got[string(key)] = string(value)
		return true
	})
	if want := whole.content(t); !maps.Equal(got, want) {
		t.Errorf("the store has %d keys, what the effects make of it has %d, or other values", len(got), len(want))
	}
}

// randomOps adds n operations of every kind, on few enough keys that they meet.
func randomOps(r *rand.Rand, b *engine.Batch, n, universe int) {
	for range n {
		randomOp(r, b, universe)
	}
}

// TestEffectsOfEach says what every outcome hands on.
func TestEffectsOfEach(t *testing.T) {
	large := bytes.Repeat([]byte("v"), 100_000)
	for _, tc := range []struct {
		name  string
		kind  engine.Kind
		key   string
		value []byte
		want  []engine.Effect
	}{
		{"a new key", engine.Set, "new", []byte("1"), []engine.Effect{{Key: []byte("new"), Value: []byte("1")}}},
		{"its value again, of the same length", engine.Set, "here", []byte("2"), []engine.Effect{{Key: []byte("here"), Value: []byte("2")}}},
		{"of another", engine.Set, "here", large, []engine.Effect{{Key: []byte("here"), Value: large}}},
		{"added", engine.Add, "new", []byte("1"), []engine.Effect{{Key: []byte("new"), Value: []byte("1")}}},
		{"not added", engine.Add, "here", []byte("1"), nil},
		{"read", engine.Get, "here", nil, nil},
		{"looked for", engine.Contains, "here", nil, nil},
		{"removed", engine.Remove, "here", nil, []engine.Effect{{Key: []byte("here"), Gone: true}}},
		{"not removed", engine.Remove, "none", nil, nil},
		{"renamed", engine.Rename, "here", []byte("there"), []engine.Effect{
			{Key: []byte("here"), Gone: true}, {Key: []byte("there"), Value: []byte("0")}}},
		{"renamed to itself", engine.Rename, "here", []byte("here"), nil},
		{"renamed to one that is taken", engine.Rename, "here", []byte("taken"), nil},
		{"renamed, and not there", engine.Rename, "none", []byte("there"), nil},
		{"no room", engine.Set, "full", bytes.Repeat([]byte("v"), 5<<20), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := newEngine(t, engine.Options{Shards: 2, MaxBytes: 4 << 20, RecordEffects: true})
			var b engine.Batch
			b.Add(engine.Set, []byte("here"), []byte("0"))
			b.Add(engine.Set, []byte("taken"), []byte("0"))
			e.Apply(&b)
			b.Reset()
			b.Add(engine.Get, []byte("taken"), nil) // something in the scratch before it
			b.Add(tc.kind, []byte(tc.key), tc.value)
			e.Apply(&b)
			got := slices.Collect(b.Effects())
			if len(got) != len(tc.want) {
				t.Fatalf("%d effects, want %d: %v", len(got), len(tc.want), got)
			}
			for i, want := range tc.want {
				if g := got[i]; g.Op != 1 || string(g.Key) != string(want.Key) || string(g.Value) != string(want.Value) || g.Gone != want.Gone {
					t.Errorf("effect %d is of operation %d, %.20q, value %.20q, gone %v", i, g.Op, g.Key, g.Value, g.Gone)
				}
			}
		})
	}
}

// TestEffectsUnasked: without the option there are none.
func TestEffectsUnasked(t *testing.T) {
	e := newEngine(t, engine.Options{})
	var b engine.Batch
	b.Add(engine.Set, []byte("key"), []byte("value"))
	b.Add(engine.Rename, []byte("key"), []byte("other"))
	e.Apply(&b)
	if n := len(slices.Collect(b.Effects())); n != 0 {
		t.Errorf("%d effects", n)
	}
	if _, seqs := e.ClearRecorded(nil); seqs != nil {
		t.Errorf("%d numbers of a Clear", len(seqs))
	}
}

// TestBatchOwn overwrites what the operations were made from.
func TestBatchOwn(t *testing.T) {
	r := newRand(t)
	var b engine.Batch
	for range 50 {
		randomOps(r, &b, 1+r.IntN(30), 50)
		lent, want := slices.Clone(b.Ops), slices.Clone(b.Ops)
		for i := range want {
			want[i].Key, want[i].Value = bytes.Clone(want[i].Key), bytes.Clone(want[i].Value)
		}
		b.Own()
		for _, op := range lent {
			clear(op.Key)
			clear(op.Value)
		}
		if r.IntN(2) == 0 {
			b.Own() // once more does no harm
		}
		for i, op := range b.Ops {
			if op.Kind != want[i].Kind || !bytes.Equal(op.Key, want[i].Key) || !bytes.Equal(op.Value, want[i].Value) {
				t.Fatalf("operation %d is %d of %.20q, %.20q, want %d of %.20q, %.20q", i, op.Kind, op.Key, op.Value, want[i].Kind, want[i].Key, want[i].Value)
			}
		}
		b.Reset()
	}
}
