package engine_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"keyframe/engine"
)

// rounds is how long a test goes on that would take n rounds.
func rounds(n int) int {
	switch {
	case testing.Short():
		return n / 10
	case underRace:
		return n / 4
	}
	return n
}

// few is what is left of n things that one goroutine does where each takes long.
func few(n int) int {
	if isShort() {
		return n / 10
	}
	return n
}

// isShort reports whether a test is to do with little work, of which not everything can be
// expected that comes up in a long one.
func isShort() bool { return testing.Short() || underRace }

// oneWriter skips a test under the race detector that is about what memory, eviction or work come
// to: it has one goroutine, or one that writes beside the maintainer, which the tests named Stress
// run together with more.
func oneWriter(t *testing.T) {
	t.Helper()
	if underRace {
		t.Skip("the race detector finds nothing in it that it doesn't in TestStress")
	}
}

// TestRenameIsAtomic moves one key forward along a line of names, while readers walk the
// line. A reader that walks the same way must meet the key: at each name it asks for, the
// key is at this name or further on. One that walks against it must not meet it twice. So
// no reader ever sees both names or neither.
func TestRenameIsAtomic(t *testing.T) {
	const names = 20
	e := newEngine(t, engine.Options{Shards: 8})
	line := make([][]byte, names)
	for i := range line {
		line[i] = fmt.Appendf(nil, "name%d", i)
	}
	for range rounds(3000) {
		e.Clear()
		one(e, engine.Set, string(line[0]), "v")
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := 1; i < names; i++ {
				if st, _ := one(e, engine.Rename, string(line[i-1]), string(line[i])); st != engine.Renamed {
					t.Errorf("rename %d: status %d", i, st)
				}
			}
		})
		for _, forward := range []bool{true, false} {
			wg.Go(func() {
				var b engine.Batch
				for i := range line {
					if !forward {
						i = names - 1 - i
					}
					b.Add(engine.Contains, line[i], nil)
				}
				e.Apply(&b)
				met := 0
				for _, op := range b.Ops {
					if op.Status == engine.Found {
						met++
					}
				}
				if forward && met == 0 {
					t.Error("a reader saw neither name")
				}
				if !forward && met > 1 {
					t.Error("a reader saw both names")
				}
			})
		}
		wg.Wait()
	}
}

// TestClearIsAtomic carries a key to and fro between shards while Clear runs: a
// Clear that unlocks a shard before it has cleared the others leaves it alive.
func TestClearIsAtomic(t *testing.T) {
	e := newEngine(t, engine.Options{Shards: 64})
	carriers := newCrew(t)
	for g := range 2 {
		carriers.each(func(i int) {
			a, b := fmt.Sprint(g, "k", i%50), fmt.Sprint(g, "k", (i+1)%50)
			one(e, engine.Rename, a, b)
		})
	}
	for i := range rounds(5000) {
		for g := range 2 {
			one(e, engine.Set, fmt.Sprint(g, "k", i%50), "v")
		}
		e.Clear()
		if n := e.Len(); n != 0 {
			t.Fatalf("%d keys lived through Clear", n)
		}
	}
}

// TestRenamesBothWays would hang if renames took their locks in the order of
// their arguments.
func TestRenamesBothWays(t *testing.T) {
	e := newEngine(t, engine.Options{Shards: 2})
	for i := range 4 {
		one(e, engine.Set, string(rune('a'+i)), "v")
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 0))
			for range rounds(20000) {
				one(e, engine.Rename, string(rune('a'+r.IntN(8))), string(rune('a'+r.IntN(8))))
			}
		})
	}
	wg.Wait()
	if e.Len() != 4 {
		t.Errorf("renames made %d keys of 4", e.Len())
	}
}

// TestStress runs everything at once on few keys. A value repeats one byte, so
// one that was half written, or cut from two, is noticed.
func TestStress(t *testing.T) {
	for name, hash := range hashes {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, engine.Options{Shards: 4}.WithHash(hash))
			e.ForceHints()
			base := newRand(t).Uint64()
			var now atomic.Int64
			var wg sync.WaitGroup
			for g := range 4 {
				wg.Go(func() { stressWorker(t, e, &now, rand.New(rand.NewPCG(base, uint64(g)))) })
			}
			wg.Go(func() {
				for range rounds(100) {
					n := 0
					e.Range(func(_, value []byte) bool { checkValue(t, value); n++; return true })
					if st := e.Stats(); st.Keys < 0 || n > 200 {
						t.Errorf("Stats has %d keys, Range saw %d", st.Keys, n)
					}
				}
			})
			wg.Wait()
			n := 0
			e.Range(func(_, value []byte) bool { checkValue(t, value); n++; return true })
			if n != e.Len() {
				t.Errorf("Len is %d, Range sees %d", e.Len(), n)
			}
		})
	}
}

func stressWorker(t *testing.T, e *engine.Engine, now *atomic.Int64, r *rand.Rand) {
	var b engine.Batch
	key := func() []byte { return fmt.Appendf(nil, "key%d", r.IntN(100)) }
	fill := byte(r.IntN(10) + '0')
	value := func() []byte {
		n := 1 + r.IntN(100)
		if r.IntN(100) == 0 {
			n = r.IntN(100_000)
		}
		return bytes.Repeat([]byte{fill}, n)
	}
	for range rounds(1000) {
		b.Now = now.Add(r.Int64N(3))
		for range 1 + r.IntN(40) {
			kind := allKinds[r.IntN(len(allKinds))]
			switch kind {
			case engine.Merge, engine.Incr, engine.CompareSet:
				kind = engine.Take // they would mix the bytes of a value
			}
			addRandom(r, &b, kind, key, value)
		}
		e.Apply(&b)
		for _, op := range b.Ops {
			if op.Status == engine.Pending {
				t.Error("an executed operation is pending")
			}
			if reads(op) {
				checkValue(t, op.Value)
			}
		}
		b.Reset()
		if r.IntN(300) == 0 {
			e.Clear()
		}
	}
}

// checkValue: the values of TestStress repeat one byte.
func checkValue(t *testing.T, value []byte) {
	for i := range value {
		if value[i] != value[0] {
			t.Errorf("a torn value: byte 0 is %d, byte %d of %d is %d", value[0], i, len(value), value[i])
			return
		}
	}
}
