package engine_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"keyframe/engine"
)

// replica is a store that is rebuilt from effects: a plain map a shard.
type replica struct {
	effects [][]replicated // by shard, as they came in
}

// replicated is an effect that outlives its batch.
type replicated struct {
	seq   uint64
	key   string
	kept  kept
	gone  bool
	clear bool // of a Clear
}

func (r *replica) take(b *engine.Batch) {
	for e := range b.Effects() {
		r.effects[e.Shard] = append(r.effects[e.Shard], replicated{e.Seq, string(e.Key), kept{string(e.Value), e.Form, e.Deadline}, e.Gone, false})
	}
}

func (r *replica) cleared(seqs []uint64) {
	for shard, seq := range seqs {
		r.effects[shard] = append(r.effects[shard], replicated{seq: seq, clear: true})
	}
}

// content is what the effects amount to, done in the order of their numbers.
func (r *replica) content(t *testing.T) map[string]kept {
	t.Helper()
	all := make(map[string]kept)
	for shard, effects := range r.effects {
		slices.SortFunc(effects, func(a, b replicated) int { return int(int64(a.seq) - int64(b.seq)) })
		m := make(map[string]kept)
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
				m[e.key] = e.kept
			}
		}
		maps.Copy(all, m)
	}
	return all
}

// TestEffects has goroutines change a store at the same time, while time passes: the effects
// of them all, in the order of each shard's numbers, make the same store again.
func TestEffects(t *testing.T) {
	const shards, goroutines, batches = 8, 4, 400
	var now atomic.Int64
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
				b.Now = now.Add(int64(r.IntN(2)))
				if r.IntN(batches) < 4 {
					clear := e.ClearRecorded
					if r.IntN(2) == 0 {
						for range r.IntN(20) {
							addRandom(r, &b, engine.Set, func() []byte { return randomKey(r, 300) }, func() []byte { return randomValue(r) })
						}
						clear = func(seqs []uint64) (int, []uint64) { return e.ClearSet(&b, seqs) }
					}
					n, seqs := clear(nil)
					if n < 0 || len(seqs) != shards {
						t.Errorf("a Clear has %d numbers, want %d", len(seqs), shards)
					}
					mine.cleared(seqs)
					mine.take(&b)
					b.Reset()
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
	want := whole.content(t)
	maps.DeleteFunc(want, func(_ string, k kept) bool { return k.isDead(now.Load()) })
	if got := content(e, now.Load()); !maps.Equal(got, want) {
		t.Errorf("the store has %d keys, what the effects make of it has %d, or other values", len(got), len(want))
	}
}

// content is what a store has at a time.
func content(e *engine.Engine, now int64) map[string]kept {
	b := engine.Batch{Now: now}
	e.Range(func(key, _ []byte) bool {
		b.Add(engine.Get, bytes.Clone(key), nil)
		b.AddArgs(engine.Deadline, bytes.Clone(key), nil, 0, engine.Args{})
		return true
	})
	e.Apply(&b)
	all := make(map[string]kept)
	for i := 0; i < len(b.Ops); i += 2 {
		if op := b.Ops[i]; op.Status == engine.Found {
			all[string(op.Key)] = kept{string(op.Value), op.Form, b.Args(i + 1).Deadline}
		}
	}
	return all
}

// randomOps adds n operations of every kind, on few enough keys that they meet.
func randomOps(r *rand.Rand, b *engine.Batch, n, universe int) {
	for range n {
		randomOp(r, b, universe)
	}
}

// TestEffectsOfEach says what every outcome hands on. The keys are here and taken, which
// have 0, of form 0; session, which has abc, of form 1, until 100; dead, until 10.
func TestEffectsOfEach(t *testing.T) {
	large := bytes.Repeat([]byte("v"), 100_000)
	gone := func(key string) engine.Effect { return engine.Effect{Key: []byte(key), Gone: true} }
	has := func(key, value string, form engine.Form, deadline int64) engine.Effect {
		return engine.Effect{Key: []byte(key), Value: []byte(value), Form: form, Deadline: deadline}
	}
	until := func(deadline int64) engine.Args { return engine.Args{Deadline: deadline} }
	expects := func(value string, form engine.Form) engine.Args {
		return engine.Args{Expected: []byte(value), ExpectedForm: form}
	}
	type effects []engine.Effect
	for _, tc := range []struct {
		name  string
		kind  engine.Kind
		key   string
		value []byte
		form  engine.Form
		args  engine.Args
		want  effects
	}{
		{"a new key", engine.Set, "new", []byte("1"), 2, until(0), effects{has("new", "1", 2, 0)}},
		{"its value again, of the same length", engine.Set, "here", []byte("2"), 0, until(0), effects{has("here", "2", 0, 0)}},
		{"of another", engine.Set, "here", large, 0, until(0), effects{has("here", string(large), 0, 0)}},
		{"with a deadline", engine.Set, "here", []byte("2"), 1, until(70), effects{has("here", "2", 1, 70)}},
		{"a deadline that goes", engine.Set, "session", []byte("abc"), 1, until(0), effects{has("session", "abc", 1, 0)}},
		{"a key that was dead", engine.Set, "dead", []byte("2"), 1, until(70), effects{has("dead", "2", 1, 70)}},
		{"added", engine.Add, "new", []byte("1"), 3, until(30), effects{has("new", "1", 3, 30)}},
		{"added to what was dead", engine.Add, "dead", []byte("1"), 3, until(0), effects{has("dead", "1", 3, 0)}},
		{"not added", engine.Add, "here", []byte("1"), 0, until(0), nil},
		{"read", engine.Get, "here", nil, 0, until(0), nil},
		{"read, and dead", engine.Get, "dead", nil, 0, until(0), nil},
		{"looked for", engine.Contains, "here", nil, 0, until(0), nil},
		{"removed", engine.Remove, "here", nil, 0, until(0), effects{gone("here")}},
		{"not removed", engine.Remove, "none", nil, 0, until(0), nil},
		{"dead already", engine.Remove, "dead", nil, 0, until(0), nil},
		{"renamed", engine.Rename, "session", []byte("there"), 0, until(0), effects{gone("session"), has("there", "abc", 1, 100)}},
		{"renamed to itself", engine.Rename, "here", []byte("here"), 0, until(0), nil},
		{"renamed to one that is taken", engine.Rename, "here", []byte("taken"), 0, until(0), nil},
		{"renamed to one that is dead", engine.Rename, "here", []byte("dead"), 0, until(0), effects{gone("here"), has("dead", "0", 0, 0)}},
		{"renamed, and not there", engine.Rename, "none", []byte("there"), 0, until(0), nil},
		{"no room", engine.Set, "full", bytes.Repeat([]byte("v"), 5<<20), 0, until(0), nil},
		{"a deadline", engine.Expire, "here", nil, 0, until(70), effects{has("here", "0", 0, 70)}},
		{"another", engine.Expire, "session", nil, 0, until(70), effects{has("session", "abc", 1, 70)}},
		{"one that is over", engine.Expire, "session", nil, 0, until(-1), effects{has("session", "abc", 1, 1)}},
		{"none any more", engine.Expire, "session", nil, 0, until(0), effects{has("session", "abc", 1, 0)}},
		{"a deadline for none", engine.Expire, "none", nil, 0, until(70), nil},
		{"read deadline", engine.Deadline, "session", nil, 0, until(0), nil},
		{"counted", engine.Incr, "here", nil, 0, engine.Args{Delta: 12}, effects{has("here", "12", 0, 0)}},
		{"counted from nothing", engine.Incr, "new", nil, 1, engine.Args{Delta: -3}, effects{has("new", "-3", 1, 0)}},
		{"not counted", engine.Incr, "session", nil, 1, engine.Args{Delta: 12}, nil},
		{"compared and set", engine.CompareSet, "session", []byte("d"), 2, expects("abc", 1), effects{has("session", "d", 2, 100)}},
		{"compared and not set", engine.CompareSet, "session", []byte("d"), 2, expects("abc", 0), nil},
		{"compared and removed", engine.CompareRemove, "session", nil, 0, expects("abc", 1), effects{gone("session")}},
		{"compared and not removed", engine.CompareRemove, "session", nil, 0, expects("abd", 1), nil},
		{"taken", engine.Take, "session", nil, 0, until(0), effects{gone("session")}},
		{"not taken", engine.Take, "dead", nil, 0, until(0), nil},
		{"taken, since it is readable", engine.Take, "session", nil, 0, engine.Args{Readable: true}, effects{gone("session")}},
		{"not taken, since it is unreadable", engine.Take, "raw", nil, 0, engine.Args{Readable: true}, nil},
		{"not swapped, since it is unreadable", engine.Swap, "raw", []byte("new"), 0, engine.Args{Readable: true}, nil},
		{"unreadable, and dead", engine.Swap, "dead raw", []byte("new"), 0, engine.Args{Readable: true}, effects{has("dead raw", "new", 0, 0)}},
		{"swapped", engine.Swap, "session", []byte("new"), 0, until(0), effects{has("session", "new", 0, 0)}},
		{"swapped in", engine.Swap, "new", []byte("new"), 3, until(60), effects{has("new", "new", 3, 60)}},
		{"merged", engine.Merge, "session", []byte("def"), 0, until(0), effects{has("session", "abcdef", 2, 100)}},
		{"merged with none", engine.Merge, "new", []byte("def"), 0, until(0), effects{has("new", "def", 1, 0)}},
		{"not merged", engine.Merge, "session", []byte("def"), 2, until(0), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := newEngine(t, engine.Options{Shards: 2, MaxBytes: 4 << 20, RecordEffects: true})
			var b engine.Batch
			b.Add(engine.Set, []byte("here"), []byte("0"))
			b.Add(engine.Set, []byte("taken"), []byte("0"))
			b.AddArgs(engine.Set, []byte("session"), []byte("abc"), 1, until(100))
			b.AddArgs(engine.Set, []byte("dead"), []byte("123"), 0, until(10))
			b.AddForm(engine.Set, []byte("raw"), []byte("456"), 3)
			b.AddArgs(engine.Set, []byte("dead raw"), []byte("789"), 3, until(10))
			e.Apply(&b)
			b.Reset()
			b.Now = 10
			b.Add(engine.Get, []byte("taken"), nil) // something in the scratch before it
			b.AddArgs(tc.kind, []byte(tc.key), tc.value, tc.form, tc.args)
			e.Apply(&b)
			got := slices.Collect(b.Effects())
			if len(got) != len(tc.want) {
				t.Fatalf("%d effects, want %d: %v", len(got), len(tc.want), got)
			}
			for i, want := range tc.want {
				if g := got[i]; g.Op != 1 || string(g.Key) != string(want.Key) || string(g.Value) != string(want.Value) ||
					g.Form != want.Form || g.Deadline != want.Deadline || g.Gone != want.Gone {
					t.Errorf("effect %d is of operation %d, %.20q, value %.20q, form %d, until %d, gone %v", i, g.Op, g.Key, g.Value, g.Form, g.Deadline, g.Gone)
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
		expected := make([][]byte, len(want))
		for i := range want {
			want[i].Key, want[i].Value = bytes.Clone(want[i].Key), bytes.Clone(want[i].Value)
			expected[i] = bytes.Clone(argsOf(&b, i).Expected)
		}
		lentExpected := make([][]byte, len(lent))
		for i := range lent {
			lentExpected[i] = argsOf(&b, i).Expected
		}
		b.Own()
		for _, op := range lent {
			clear(op.Key)
			clear(op.Value)
		}
		for _, p := range lentExpected {
			clear(p)
		}
		if r.IntN(2) == 0 {
			b.Own() // once more does no harm
		}
		for i, op := range b.Ops {
			if op.Kind != want[i].Kind || !bytes.Equal(op.Key, want[i].Key) || !bytes.Equal(op.Value, want[i].Value) || !bytes.Equal(argsOf(&b, i).Expected, expected[i]) {
				t.Fatalf("operation %d is %d of %.20q, %.20q, want %d of %.20q, %.20q", i, op.Kind, op.Key, op.Value, want[i].Kind, want[i].Key, want[i].Value)
			}
		}
		b.Reset()
	}
}

// TestShard finds a key's shard where its effect is.
func TestShard(t *testing.T) {
	e := newEngine(t, engine.Options{RecordEffects: true, Shards: 8})
	var b engine.Batch
	for i := range 1000 {
		b.Add(engine.Set, fmt.Appendf(nil, "key:%d", i), nil)
	}
	e.Apply(&b)
	had := make([]bool, e.Shards())
	for effect := range b.Effects() {
		if shard := e.Shard(effect.Key); shard != effect.Shard {
			t.Fatalf("%q is in shard %d, and its effect in %d", effect.Key, shard, effect.Shard)
		}
		had[effect.Shard] = true
	}
	if len(had) != 8 || slices.Contains(had, false) {
		t.Fatalf("shards of 1,000 keys: %v", had)
	}
}
