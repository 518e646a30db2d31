package engine_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"keyframe/engine"
)

// applyEvicting applies a batch to a store that records its effects, and to an oracle from
// which the keys are taken that the store says it has evicted, before the operation that
// they made room for. It returns how many there were, and how many operations of each kind were
// refused. None evicts the key that it is about.
func applyEvicting(t testing.TB, e *engine.Engine, o oracle, b *engine.Batch) (evicted int, refused [engine.Merge + 1]int) {
	t.Helper()
	asked, args := slices.Clone(b.Ops), make([]engine.Args, len(b.Ops))
	for i := range asked {
		args[i] = argsOf(b, i)
	}
	if !e.Apply(b) {
		t.Fatal("Apply stopped without a limit")
	}
	gone := make(map[int][]string)
	for effect := range b.Effects() {
		if effect.Evicted {
			if !effect.Gone || effect.Value != nil {
				t.Fatalf("an evicted key's effect is %+v", effect)
			}
			gone[effect.Op] = append(gone[effect.Op], string(effect.Key))
			evicted++
		}
	}
	for i, op := range b.Ops {
		for _, key := range gone[i] {
			if _, ok := o[key]; !ok {
				t.Fatalf("operation %d has evicted %.40q, which wasn't there", i, key)
			}
			if key == string(op.Key) {
				t.Fatalf("operation %d, of kind %d, has evicted its own key %.40q", i, op.Kind, key)
			}
			delete(o, key)
		}
		if op.Status == engine.OutOfMemory {
			refused[op.Kind]++
			continue
		}
		compare(t, b, i, o.apply(asked[i], args[i], b.Now))
	}
	return evicted, refused
}

// TestEvictModel runs all operations on stores that are full. What they evict is known
// from their effects; everything else must be as in a map.
func TestEvictModel(t *testing.T) {
	for _, policy := range []engine.Evict{engine.EvictVolatile, engine.EvictAll} {
		for _, name := range []string{"seeded", "two-value", "constant"} {
			t.Run(fmt.Sprintf("policy=%d/hash=%s", policy, name), func(t *testing.T) {
				r := newRand(t)
				e := newEngine(t, engine.Options{
					Shards: 4, MaxBytes: 4 << 20, Evict: policy, RecordEffects: true, Merge: testMerge,
				}.WithHash(hashes[name]))
				o := oracle{}
				var b engine.Batch
				evicted, batches := 0, rounds(400)
				var asked, refused [engine.Merge + 1]int
				universe := 20_000
				if name != "seeded" {
					universe, batches = 1500, rounds(100) // each lookup goes through all of them
				}
				for i := range batches {
					b.Now = 1000 + int64(i)
					for range 1 + r.IntN(200) {
						addRandom(r, &b, allKinds[r.IntN(len(allKinds))], func() []byte { return numbered(r, universe) }, func() []byte { return randomValue(r) })
					}
					n, of := applyEvicting(t, e, o, &b)
					evicted += n
					for _, op := range b.Ops {
						asked[op.Kind]++
					}
					for kind, n := range of {
						refused[kind] += n
					}
					b.Reset()
					if i%1000 == 500 {
						e.Clear()
						clear(o)
					}
				}
				dropDead(e, o, b.Now)
				checkSame(t, e, o)
				if st := e.Stats(); st.Evicted != evicted {
					t.Errorf("%d keys evicted, %d in the effects", st.Evicted, evicted)
				}
				t.Logf("%d keys evicted, %d left; operations refused, by kind: %d", evicted, len(o), refused)
				if policy == engine.EvictAll && name == "seeded" && evicted == 0 && !isShort() {
					t.Error("nothing was evicted")
				}
				for kind, n := range refused {
					if policy == engine.EvictAll && n > 10+asked[kind]/50 {
						t.Errorf("%d of %d operations of kind %d were refused", n, asked[kind], kind)
					}
				}
			})
		}
	}
}

// numbered draws a key from n, of 1 to 30 bytes.
func numbered(r *rand.Rand, n int) []byte {
	i := r.IntN(n)
	return fmt.Appendf(nil, "%0*d", 1+i%30, i)
}

// set stores a value of n bytes under key i, and returns the status.
func set(e *engine.Engine, b *engine.Batch, i, n int, deadline int64) engine.Status {
	b.Reset()
	b.AddArgs(engine.Set, strconv.AppendInt([]byte("key:"), int64(i), 10), sized(i, n), 0, engine.Args{Deadline: deadline})
	e.Apply(b)
	return b.Ops[0].Status
}

// sized is the value of key i with n bytes.
func sized(i, n int) []byte {
	v := bytes.Repeat([]byte{byte(i)}, n)
	return append(v[:0], strconv.AppendInt(v[:0:0], int64(i), 10)...)[:n]
}

func has(e *engine.Engine, b *engine.Batch, i int) bool {
	b.Reset()
	b.Add(engine.Contains, strconv.AppendInt([]byte("key:"), int64(i), 10), nil)
	e.Apply(b)
	return b.Ops[0].Status == engine.Found
}

// fillToEvict stores keys with values of size bytes until some have been evicted, and returns the
// number of the next one.
func fillToEvict(e *engine.Engine, b *engine.Batch, size, evicted int) (next int) {
	for ; next-e.Len() < evicted; next++ {
		set(e, b, next, size, 0)
	}
	return next
}

// TestEvictNone fills a store that evicts nothing: it refuses, and has all that it took.
func TestEvictNone(t *testing.T) {
	e := newEngine(t, engine.Options{Shards: 4, MaxBytes: 4 << 20})
	var b engine.Batch
	stored, refused := 0, 0
	for i := range 100_000 {
		if set(e, &b, i, 100, 1<<40) == engine.OutOfMemory {
			refused++
		} else {
			stored++
		}
	}
	if refused == 0 || e.Len() != stored || e.Stats().Evicted != 0 {
		t.Errorf("%d stored and %d refused, %d there, %d evicted", stored, refused, e.Len(), e.Stats().Evicted)
	}
}

// TestEvictVolatile: keys without a deadline stay, whatever comes; of the others those whose
// deadline is next go first, as far as a sample tells; when they are used up, what comes is
// refused.
func TestEvictVolatile(t *testing.T) {
	e := newEngine(t, engine.Options{Shards: 4, MaxBytes: 4 << 20, Evict: engine.EvictVolatile})
	var b engine.Batch
	r := newRand(t)
	lasting, deadlines := 0, make(map[int]int64)
	i := 0
	for ; e.Len() == i; i++ {
		if i%3 == 0 {
			set(e, &b, i, 100, 0)
			lasting++
			continue
		}
		deadlines[i] = 1_000_000 + r.Int64N(1_000_000)
		set(e, &b, i, 100, deadlines[i])
	}
	if e.Len() < i-10 {
		t.Fatalf("%d of %d keys are left after the first eviction", e.Len(), i)
	}
	for range len(deadlines) / 4 {
		if st := set(e, &b, i, 100, 3_000_000); st != engine.Created {
			t.Fatalf("a key with a deadline has status %d", st)
		}
		i++
	}
	var left, gone, leftN, goneN int64
	for key, deadline := range deadlines {
		if has(e, &b, key) {
			left, leftN = left+deadline, leftN+1
		} else {
			gone, goneN = gone+deadline, goneN+1
		}
	}
	if goneN == 0 || leftN == 0 || gone/goneN > left/leftN-100_000 {
		t.Errorf("the deadlines of %d evicted keys are %d on the mean, of %d others %d", goneN, gone/max(goneN, 1), leftN, left/max(leftN, 1))
	}
	if n := len(deadlines); goneN < int64(n)/10 {
		t.Errorf("%d of %d keys are gone, for %d others", goneN, n, n/4)
	}
	st := engine.Created
	for n := 0; st == engine.Created && n < 200_000; n++ {
		st = set(e, &b, i, 100, 0)
		if st == engine.Created {
			lasting++
		}
		i++
	}
	if st != engine.OutOfMemory {
		t.Fatalf("a store full of lasting keys has status %d for another", st)
	}
	n := 0
	e.Range(func(key, _ []byte) bool {
		if k, _ := strconv.Atoi(string(key[4:])); deadlines[k] == 0 && k < i {
			n++
		}
		return true
	})
	if n < lasting {
		t.Errorf("%d of %d lasting keys are there", n, lasting)
	}
}

// TestEvictAllKeepsWhatIsUsed: keys that are asked for stay, while many that are never asked
// for again pass through; and no key is refused.
func TestEvictAllKeepsWhatIsUsed(t *testing.T) {
	oneWriter(t)
	for name, kind := range map[string]engine.Kind{"Get": engine.Get, "Merge": engine.Merge} {
		t.Run(name, func(t *testing.T) { testKeepsWhatIsUsed(t, kind) })
	}
}

func testKeepsWhatIsUsed(t *testing.T, kind engine.Kind) {
	e := newEngine(t, engine.Options{Shards: 4, MaxBytes: 4 << 20, Evict: engine.EvictAll, Merge: testMerge})
	var b engine.Batch
	const used = 2000
	for i := range used {
		set(e, &b, i, 100, 0)
	}
	for i := used; i < 120_000; i++ {
		if st := set(e, &b, i, 100, 0); st != engine.Created {
			t.Fatalf("key %d has status %d", i, st)
		}
		b.Reset()
		b.AddForm(kind, strconv.AppendInt([]byte("key:"), int64(i*7%used), 10), nil, 1) // a Merge that changes nothing
		e.Apply(&b)
		if !has(e, &b, i) {
			t.Fatalf("key %d is gone at once", i)
		}
	}
	n := 0
	for i := range used {
		if has(e, &b, i) {
			n++
		}
	}
	st := e.Stats()
	if n < used*99/100 || st.Evicted == 0 {
		t.Errorf("%d of %d keys that are used are there; %d evicted, %d left", n, used, st.Evicted, e.Len())
	}
	if in := float64(st.LiveBytes+st.IndexBytes) / (4 << 20); in < 0.6 {
		t.Errorf("%.0f %% of the ceiling are used", 100*in)
	}
}

// TestEvictAllResists: most keys that were asked for twice stay while three times as many as there
// is room for pass through, each once; also where values are so short that the keys of a shard
// are more than its ring is long for.
func TestEvictAllResists(t *testing.T) {
	oneWriter(t)
	for _, size := range []int{10, 100} {
		e := newEngine(t, engine.Options{Shards: 64, MaxBytes: 4 << 20, Evict: engine.EvictAll})
		var b engine.Batch
		room := fillToEvict(e, &b, size, 1)
		e.Clear()
		e.Settle()
		used := room / 4
		for range 2 {
			for i := range used {
				set(e, &b, i, size, 0)
			}
		}
		for i := used; i < used+3*room; i++ {
			set(e, &b, i, size, 0)
		}
		n := 0
		for i := range used {
			if has(e, &b, i) {
				n++
			}
		}
		least := used / 2
		if isShort() {
			least = used / 3 // the maintainer is late under the race detector
		}
		if n < least {
			t.Errorf("values of %d bytes: %d of %d keys are there", size, n, used)
		}
	}
}

// TestEvictForgets: keys that were asked for often, and are not any more, make room for keys
// that are asked for now.
func TestEvictForgets(t *testing.T) {
	oneWriter(t)
	e := newEngine(t, engine.Options{Shards: 4, MaxBytes: 4 << 20, Evict: engine.EvictAll})
	var b engine.Batch
	const once = 2000
	for range 5 {
		for i := range once {
			set(e, &b, i, 100, 0)
		}
	}
	for i := once; i < 150_000; i++ {
		set(e, &b, i, 100, 0)
		set(e, &b, i, 100, 0) // it is asked for again
	}
	n := 0
	for i := range once {
		if has(e, &b, i) {
			n++
		}
	}
	if n > once/20 {
		t.Errorf("%d of %d keys that nobody has asked for since are there", n, once)
	}
}

// TestEvictGhost: a key that comes again soon after it was evicted is a main key at once, and
// stays longer than those that came with it.
func TestEvictGhost(t *testing.T) {
	e := newEngine(t, engine.Options{Shards: 1, MaxBytes: 4 << 20, Evict: engine.EvictAll})
	var b engine.Batch
	i := fillToEvict(e, &b, 100, 5000)
	var again []int
	for k := i - 1; len(again) < 200; k-- {
		if !has(e, &b, k) {
			again = append(again, k)
		}
	}
	for _, k := range again {
		set(e, &b, k, 100, 0)
	}
	fresh := i
	for range len(again) {
		set(e, &b, i, 100, 0)
		i++
	}
	for range e.Len() / 5 { // twice the newcomers
		set(e, &b, i, 100, 0)
		i++
	}
	there, newThere := 0, 0
	for _, k := range again {
		if has(e, &b, k) {
			there++
		}
	}
	for k := fresh; k < fresh+len(again); k++ {
		if has(e, &b, k) {
			newThere++
		}
	}
	if there < 100 || newThere > there/5 {
		t.Errorf("%d of 200 that came again are there, and %d of 200 that came for the first time", there, newThere)
	}
}

// TestEvictSizes fills a store with records of one size and then has others come, smaller and
// larger ones: they find room, however small the pieces are that are freed for them.
func TestEvictSizes(t *testing.T) {
	t.Run("cpus=all", testEvictSizes)
	// With one processor the maintainer has none for as long as inserts don't wait for it.
	t.Run("cpus=1", func(t *testing.T) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
		testEvictSizes(t)
	})
}

func testEvictSizes(t *testing.T) {
	part := 1
	if isShort() {
		part = 4
	}
	for _, shards := range []int{16 / part, 64 / part} {
		t.Run(fmt.Sprintf("shards=%d", shards), func(t *testing.T) {
			e := newEngine(t, engine.Options{Shards: shards, MaxBytes: 16 << 20 / part, Evict: engine.EvictAll})
			var b engine.Batch
			i, refused := 0, 0
			for _, size := range []int{20, 40, 1000, 20, 4000, 100, 15_000, 300, 20} {
				for range min(40<<20/(size+50), 50_000) / part {
					if set(e, &b, i, size, 0) == engine.OutOfMemory {
						refused++
					}
					i++
				}
				st := e.Stats()
				t.Logf("after values of %d: %d keys, %d refused so far, %d evicted, %d compactions, %d live, %d free", size, st.Keys, refused, st.Evicted, st.Compactions, st.LiveBytes, st.FreeBytes)
			}
			// Values that are some ten times as long as those that they come to may come faster
			// than the maintainer makes space of what is evicted for them.
			if refused > i/50 {
				t.Errorf("%d of %d keys were refused", refused, i)
			}
			// Room that is there in larger pieces is used, or the store would stay as empty as the
			// largest values have left it.
			if live := e.Stats().LiveBytes; live < 1<<20/part {
				t.Errorf("%d bytes are in use at the end", live)
			}
		})
	}
}

// TestEvictStress has goroutines fill a store, with values that say whose they are.
func TestEvictStress(t *testing.T) {
	for _, policy := range []engine.Evict{engine.EvictVolatile, engine.EvictAll} {
		e := newEngine(t, engine.Options{Shards: 8, MaxBytes: 8 << 20, Evict: policy, RecordEffects: true})
		seed := newRand(t).Uint64()
		var now atomic.Int64
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(seed, uint64(g)))
				var b engine.Batch
				for range rounds(2000) {
					b.Reset()
					b.Now = now.Add(1)
					for range 32 {
						i := r.IntN(60_000)
						key := strconv.AppendInt([]byte("key:"), int64(i), 10)
						switch r.IntN(10) {
						case 0:
							b.Add(engine.Remove, key, nil)
						case 1:
							b.Add(engine.Rename, key, strconv.AppendInt([]byte("new:"), int64(i), 10))
						case 2, 3, 4:
							b.Add(engine.Get, key, nil)
						default:
							size := 10 + r.IntN(300)
							if r.IntN(300) == 0 {
								size = 40_000
							}
							b.AddArgs(engine.Set, key, sized(i, size), 0, engine.Args{Deadline: b.Now + 1 + r.Int64N(10_000)})
						}
					}
					e.Apply(&b)
					for _, op := range b.Ops {
						if op.Kind == engine.Get && op.Status == engine.Found {
							i, _ := strconv.Atoi(string(op.Key[4:]))
							if !bytes.Equal(op.Value, sized(i, len(op.Value))) {
								t.Errorf("key %d has another's value", i)
								return
							}
						}
					}
				}
			})
		}
		wg.Wait()
		if st := e.Stats(); !isShort() && st.Evicted == 0 {
			t.Errorf("policy %d has evicted nothing of %d keys", policy, st.Keys)
		}
	}
}

// TestEvictEffects: what the effects make, evictions among them, is the store.
func TestEvictEffects(t *testing.T) {
	const shards, goroutines = 8, 3
	e := newEngine(t, engine.Options{Shards: shards, MaxBytes: 4 << 20, Evict: engine.EvictAll, RecordEffects: true})
	seed := newRand(t).Uint64()
	whole := replica{make([][]replicated, shards)}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(g)))
			mine := replica{make([][]replicated, shards)}
			var b engine.Batch
			for range rounds(500) {
				for range 64 {
					addRandom(r, &b, kinds[r.IntN(len(kinds))], func() []byte { return numbered(r, 20_000) }, func() []byte { return randomValue(r) })
				}
				e.Apply(&b)
				mine.take(&b)
				b.Reset()
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
	if got := content(e, 0); !maps.Equal(got, want) {
		t.Errorf("the store has %d keys, what the effects make of it has %d, or other values", len(got), len(want))
	}
	if st := e.Stats(); st.Evicted == 0 && !isShort() {
		t.Error("nothing was evicted")
	}
}

// TestEvictSimulation has full stores compacted, and used in the middle of that, with memory
// and without.
func TestEvictSimulation(t *testing.T) {
	r := newRand(t)
	all := 0
	for n := 0; n < rounds(20) || all == 0 && n < 20; n++ { // one store in ten evicts nothing
		o := oracle{}
		refuse, quiet := false, false
		var e *engine.Engine
		evicted := 0
		batch := func() {
			var b engine.Batch
			length := 1 + r.IntN(3000)
			for range 1 + r.IntN(40) {
				addRandom(r, &b, allKinds[r.IntN(len(allKinds))],
					func() []byte { return fmt.Appendf(nil, "key%d", r.IntN(20_000)) },
					func() []byte { return bytes.Repeat([]byte{'a' + byte(r.IntN(26))}, r.IntN(length)) })
			}
			n, _ := applyEvicting(t, e, o, &b)
			evicted += n
		}
		e = newEngine(t, engine.Options{
			Shards: 4, MaxBytes: 2 << 20, Evict: engine.EvictAll - engine.Evict(r.IntN(2)), RecordEffects: true, Merge: testMerge,
			Simulation: &engine.Simulation{Seed: r.Uint64(), Refuse: func() bool { return refuse }, Step: func() {
				if !quiet && r.IntN(4) == 0 {
					batch()
				}
				if !quiet && r.IntN(300) == 0 {
					e.Clear()
					clear(o)
				}
			}},
		})
		for range 400 {
			batch()
			refuse = r.IntN(10) == 0
			if r.IntN(20) == 0 {
				e.Maintain(r.IntN(3) == 0)
			}
		}
		refuse, quiet = false, true
		checkSame(t, e, o)
		all += evicted
		t.Logf("%d keys evicted, %d left", evicted, len(o))
	}
	if all == 0 {
		t.Error("nothing was evicted")
	}
}

// TestEvictClear: a store that was cleared takes as many keys as a fresh one.
func TestEvictClear(t *testing.T) {
	e := newEngine(t, engine.Options{Shards: 4, MaxBytes: 4 << 20, Evict: engine.EvictAll})
	var b engine.Batch
	fill := func() int { return fillToEvict(e, &b, 100, 1) }
	first := fill()
	for i := range 10_000 {
		set(e, &b, first+i, 100, 0)
	}
	e.Clear()
	e.Settle()
	if second := fill(); second < first*9/10 {
		t.Errorf("%d keys before the first is evicted, %d after Clear", first, second)
	}
}

func TestEvictOptions(t *testing.T) {
	for _, opts := range []engine.Options{
		{Evict: engine.EvictAll},
		{Evict: engine.EvictVolatile},
		{Evict: engine.EvictAll + 1, MaxBytes: 64 << 20},
	} {
		var fault *engine.OptionError
		if err := engine.CheckOptions(opts); !errors.As(err, &fault) || fault.Field != "Evict" {
			t.Errorf("%+v: %v, want a fault of Evict", opts, err)
		}
	}
	// So many shards that none has keys enough to choose from are fewer, unless asked for.
	for _, c := range []struct{ shards, want int }{{0, 64}, {1024, 1024}} {
		e := newEngine(t, engine.Options{Shards: c.shards, MaxBytes: 4 << 20, Evict: engine.EvictAll})
		if got := e.Stats().Shards; got > c.want || c.shards > 0 && got != c.want {
			t.Errorf("%d shards for 4 MiB, want %d at most", got, c.want)
		}
	}
}
