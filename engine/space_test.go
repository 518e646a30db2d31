package engine_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyframe/engine"
)

// setAll sets key0 to key<n-1> and returns how many were refused.
func setAll(t *testing.T, e *engine.Engine, prefix string, n int, value []byte) (refused int) {
	t.Helper()
	var b engine.Batch
	for i := range n {
		b.Add(engine.Set, fmt.Appendf(nil, "%s%d", prefix, i), value)
		if len(b.Ops) == 32 || i == n-1 {
			e.Apply(&b)
			for _, op := range b.Ops {
				if op.Status == engine.OutOfMemory {
					refused++
				}
			}
			b.Reset()
		}
	}
	return refused
}

// removeSome removes the keys whose number, modulo 10, is below tenths.
func removeSome(e *engine.Engine, prefix string, n, tenths int) {
	var b engine.Batch
	for i := range n {
		if i%10 < tenths {
			b.Add(engine.Remove, fmt.Appendf(nil, "%s%d", prefix, i), nil)
		}
	}
	e.Apply(&b)
}

// TestLargeMemoryComesBack: what removing nine tenths of the large records leaves is
// little more than what a fresh store takes for the rest.
func TestLargeMemoryComesBack(t *testing.T) {
	for _, size := range []int{17_000, 60_000, 300_000, engine.ChunkBytes - 100, engine.ChunkBytes + 1} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			n := min(2000, 400*engine.ChunkBytes/size)
			e, fresh := newEngine(t, engine.Options{Shards: 8}), newEngine(t, engine.Options{Shards: 8})
			value := bytes.Repeat([]byte{'v'}, size)
			setAll(t, e, "key", n, value)
			removeSome(e, "key", n, 9)
			setAll(t, fresh, "key", n/10, value)
			e.Settle()
			fresh.Settle()
			got, want := e.Stats().ReservedBytes, fresh.Stats().ReservedBytes
			if got > want*13/10+6*engine.ChunkBytes {
				t.Errorf("%d bytes are reserved, a fresh store of the same content has %d", got, want)
			}
			n = 0
			e.Range(func(_, v []byte) bool {
				n++
				if !bytes.Equal(v, value) {
					t.Error("a value has changed on its way")
				}
				return true
			})
			if n != e.Len() {
				t.Errorf("Range sees %d of %d", n, e.Len())
			}
		})
	}
}

// TestBlocksFitTheirRecords: records of one size fill their blocks whatever the size is,
// and a store of them isn't compacted over and over for the unused ends.
func TestBlocksFitTheirRecords(t *testing.T) {
	oneWriter(t)
	for size := 2200; size < engine.MaxSmall; size += 523 {
		e := newEngine(t, engine.Options{Shards: 1})
		value := make([]byte, size)
		n := 8 << 20 / size
		setAll(t, e, "key", n, value)
		st := e.Stats()
		if waste := st.BlockBytes - st.LiveBytes; waste > st.LiveBytes/16+128<<10 {
			t.Errorf("%d bytes: %d live in blocks of %d", size, st.LiveBytes, st.BlockBytes)
		}
		e.Settle()
		before := e.Stats().Compactions
		for range 5 {
			setAll(t, e, "key", n, value[1:])
			setAll(t, e, "key", n, value)
			e.Settle()
		}
		if after := e.Stats().Compactions; after > before+1 {
			t.Errorf("%d bytes: %d compactions for overwriting in place", size, after-before)
		}
	}
}

// TestCeilingServesOtherSizes: at the ceiling space moves from one size to others.
func TestCeilingServesOtherSizes(t *testing.T) {
	oneWriter(t)
	for _, sizes := range [][2]int{{100, 300}, {300, 100}, {100, 5000}, {5000, 20}, {100, engine.MaxSmall + 1}} {
		t.Run(fmt.Sprint(sizes), func(t *testing.T) {
			const limit = 24 * engine.ChunkBytes
			e := newEngine(t, engine.Options{Shards: 16, MaxBytes: limit})
			n := limit / sizes[0]
			if refused := setAll(t, e, "key", n, make([]byte, sizes[0])); refused == 0 {
				t.Fatal("the ceiling isn't reached")
			}
			removeSome(e, "key", n, 7)
			e.Settle()
			m := limit / 2 / (sizes[1]*5/4 + 60) // a run of pages may be a quarter longer
			if refused := setAll(t, e, "other", m, make([]byte, sizes[1])); refused > 0 {
				t.Errorf("%d of %d are refused with 70 %% of the store removed: %+v", refused, m, e.Stats())
			}
			if err := e.CheckInvariants(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestCeilingTakesLess: where there is no room for anything new, every value can become
// smaller.
func TestCeilingTakesLess(t *testing.T) {
	for _, size := range []int{100, 5000, engine.MaxSmall, engine.MaxSmall + 1, engine.ChunkBytes + 1} {
		e, o := newEngine(t, engine.Options{Shards: 4, MaxBytes: 16 * engine.ChunkBytes}), oracle{}
		var keys []string
		for i, refused := 0, 0; refused < 100; i++ {
			key, value := fmt.Sprint("key", i), string(make([]byte, size))
			if st, _ := one(e, engine.Set, key, value); st == engine.OutOfMemory {
				refused++
				continue
			}
			o[key] = kept{value: value}
			keys = append(keys, key)
		}
		var b engine.Batch
		for i, key := range keys {
			b.Add(engine.Set, []byte(key), make([]byte, []int{0, 7, 500, size - 1}[i%4]*min(size, 1)%size))
			b.Add(engine.Get, []byte(key), nil)
		}
		applyBoth(t, e, o, &b)
		checkSame(t, e, o)
	}
}

// TestCeilingGivesEmptyChunks: chunks that are kept ready make room for a value that
// takes whole ones.
func TestCeilingGivesEmptyChunks(t *testing.T) {
	const chunks = 64
	e := newEngine(t, engine.Options{Shards: 256, MaxBytes: chunks * engine.ChunkBytes})
	stored := 0
	for {
		e.Settle() // makes chunks ready
		if st, _ := one(e, engine.Set, fmt.Sprint("large", stored), string(make([]byte, engine.ChunkBytes+1))); st != engine.Created {
			break
		}
		stored++
	}
	if want := (chunks - 1) / 2; stored != want { // one is for the index
		t.Errorf("%d values of two chunks in %d chunks, want %d", stored, chunks, want)
	}
}

// TestCeilingCountsChunksOnTheWay: a chunk that is being prefaulted, or given back to the
// system, counts as memory: the store takes as much as if it weren't on its way.
func TestCeilingCountsChunksOnTheWay(t *testing.T) {
	for _, size := range []int{100, engine.MaxSmall + 1, 3 * engine.ChunkBytes} {
		stored := map[string]int{}
		for _, state := range []string{"ready", "filling", "emptying"} {
			e := newEngine(t, engine.Options{Shards: 1, MaxBytes: 16 * engine.ChunkBytes})
			release := hold(t, e)
			setAll(t, e, "some", 5*engine.ChunkBytes/140, make([]byte, 100))
			end, ok := e.HoldPrefault()
			if ok && state != "filling" {
				end()
			}
			if ok && state == "emptying" {
				end, ok = e.HoldEmptying()
			}
			if !ok {
				t.Fatal("there is no such chunk")
			}
			n := 0
			for refused := 0; refused < 10; n++ { // the shorter may still fit
				if st, _ := one(e, engine.Set, fmt.Sprint("key", n), string(make([]byte, size-refused*size/10))); st != engine.Created {
					refused++
				}
			}
			if state != "ready" {
				end()
			}
			release()
			stored[state] = n
			if err := e.CheckInvariants(); err != nil {
				t.Errorf("%s: %v", state, err)
			}
		}
		// How the index grows depends on the hashes, which differ from store to store: by
		// much less than a chunk, so a chunk that isn't counted shows.
		for state, n := range stored {
			if d := (n - stored["ready"]) * size; d < -engine.ChunkBytes/8 || d > engine.ChunkBytes/8 {
				t.Errorf("values of %d bytes: %v, %s differs", size, stored, state)
			}
		}
	}
}

// TestCeilingGivesFillingChunk: a chunk that is being prefaulted makes room for a value
// that takes whole chunks, and that may be gone again when the chunk is ready.
func TestCeilingGivesFillingChunk(t *testing.T) {
	if engine.ChunkBytes < 2<<20 {
		t.Skip("with memory on the heap the reserve is more than a chunk")
	}
	e := newEngine(t, engine.Options{Shards: 256, MaxBytes: 16 * engine.ChunkBytes})
	hold(t, e)
	setAll(t, e, "two chunks", 2, make([]byte, engine.ChunkBytes+1)) // and a chunk for the index
	end, ok := e.HoldPrefault()
	if !ok {
		t.Fatal("no chunk is wanted")
	}
	if refused := setAll(t, e, "eleven", 1, make([]byte, 11*engine.ChunkBytes-100)); refused > 0 {
		t.Errorf("what is left isn't given: %+v", e.Stats())
	}
	removeSome(e, "eleven", 1, 1)
	end()
	if n, err := e.Resident(); err != nil || n > e.Stats().ReservedBytes {
		t.Errorf("%d bytes are resident, %d reserved (%v)", n, e.Stats().ReservedBytes, err)
	}
}

// TestClearStorm: clearing faster than memory is given back must not pile up what waits for
// that.
func TestClearStorm(t *testing.T) {
	e, o := newEngine(t, engine.Options{Shards: 8}), oracle{}
	release := hold(t, e)
	for i := range 100 {
		setAll(t, e, "key", 50, make([]byte, 100+i))
		if n := e.Clear(); n != 50 {
			t.Errorf("Clear says %d", n)
		}
	}
	if n := e.ClearsLeft(); n == 0 || n > 2*8 {
		t.Errorf("%d shards' contents wait", n)
	}
	e.Clear() // clears nothing
	release()
	checkSame(t, e, o)
	if n := e.ClearsLeft(); n != 0 {
		t.Errorf("%d shards' contents are still there", n)
	}
	if st := e.Stats(); st.LiveBytes+st.IndexBytes+st.BlockBytes != 0 {
		t.Errorf("after Clear: %+v", st)
	}
}

func TestStats(t *testing.T) {
	e := newEngine(t, engine.Options{Shards: 4})
	setAll(t, e, "key", 5000, make([]byte, 20))
	one(e, engine.Set, "large", string(make([]byte, 100_000)))
	st := e.Stats()
	sampled, far := 0, 0
	for groups, n := range st.Probes {
		sampled += n
		far += groups * n
	}
	if st.Keys != 5001 || st.KeysInLargest < 5001/4 || st.KeysInLeast > 5001/4 || st.KeysInLeast < 1000 {
		t.Errorf("keys: %+v", st)
	}
	if sampled == 0 || sampled > 5001 || st.Probes[0] < sampled*3/4 || st.Passed > 0.5 || float64(far)/float64(sampled) > st.Passed+1e-9 {
		t.Errorf("probes: %+v", st)
	}
	if st.LargeBytes < 100_000 || st.LiveBytes < st.LargeBytes+5000*28 || st.ReservedBytes < st.BlockBytes+st.LargeBytes {
		t.Errorf("bytes: %+v", st)
	}
}

// TestCompactionReverts has the system refuse memory in the middle of compactions: each
// puts back what it has moved, and what was free can still be used.
func TestCompactionReverts(t *testing.T) {
	var failing atomic.Bool
	e, o := newEngine(t, engine.Options{Shards: 1}.WithFailing(failing.Load)), oracle{}
	var b engine.Batch
	n := 40 * engine.ChunkBytes / 128
	for i := range n {
		b.Add(engine.Set, fmt.Appendf(nil, "key%06d", i), fmt.Appendf(nil, "%0100d", i))
	}
	applyBoth(t, e, o, &b)
	e.Settle()
	release := hold(t, e)
	for i := range n {
		if i%10 < 4 {
			b.Add(engine.Remove, fmt.Appendf(nil, "key%06d", i), nil)
		}
	}
	applyBoth(t, e, o, &b)
	failing.Store(true)
	full := e.Stats()
	release()
	e.Settle()
	if st := e.Stats(); st.Compactions == full.Compactions || st.BlockBytes != full.BlockBytes || st.FreeBytes < full.FreeBytes {
		t.Errorf("before %+v, after %+v", full, st)
	}
	checkSame(t, e, o)
	release = hold(t, e)   // a shard that is being compacted takes nothing new
	for i := range n / 3 { // about as many as were removed, and as long
		b.Add(engine.Set, fmt.Appendf(nil, "new%06d", i), fmt.Appendf(nil, "%0100d", i))
	}
	applyBoth(t, e, o, &b)
	release()
	checkSame(t, e, o)
	failing.Store(false)
	for i := range n / 3 {
		b.Add(engine.Remove, fmt.Appendf(nil, "new%06d", i), nil)
	}
	for i := range n { // more garbage than last time
		if i%10 == 4 {
			b.Add(engine.Remove, fmt.Appendf(nil, "key%06d", i), nil)
		}
	}
	applyBoth(t, e, o, &b)
	checkSame(t, e, o)
	if st := e.Stats(); st.BlockBytes > full.BlockBytes*6/10 {
		t.Errorf("with memory again: %+v", st)
	}
}

// TestPostponedCompactionIsRetried: a compaction that there was no memory for runs once
// there is, although nothing is done to its shard.
func TestPostponedCompactionIsRetried(t *testing.T) {
	const chunks = 32
	e := newEngine(t, engine.Options{Shards: 1, MaxBytes: chunks * engine.ChunkBytes})
	n := 12 * engine.ChunkBytes / 128
	setAll(t, e, "key", n, make([]byte, 110))
	large := 0
	for st := engine.Created; st == engine.Created; large++ {
		st, _ = one(e, engine.Set, fmt.Sprint("large", large), string(make([]byte, engine.ChunkBytes-5000)))
	}
	release := hold(t, e)
	removeSome(e, "key", n, 5)
	release()
	e.Settle() // the maintainer finds no room for the copy
	full := e.Stats()
	if garbage := full.BlockBytes - full.LiveBytes + full.LargeBytes; garbage < full.BlockBytes/3 {
		t.Fatalf("compacted already: %+v", full)
	}
	removeSome(e, "large", 7, 10)
	for start := time.Now(); e.Stats().BlockBytes > full.BlockBytes*6/10; runtime.Gosched() {
		if time.Since(start) > time.Minute {
			t.Fatalf("never compacted: before %+v, after %+v", full, e.Stats())
		}
	}
}

// TestCompactionLetsOthersIn: while a shard is compacted it takes new records, as long
// as there is memory for them beside the copies.
func TestCompactionLetsOthersIn(t *testing.T) {
	const limit = 24 * engine.ChunkBytes
	e := newEngine(t, engine.Options{Shards: 1, MaxBytes: limit})
	n := limit / 3 / 128
	setAll(t, e, "key", n, make([]byte, 110))
	e.Settle()
	release := hold(t, e)
	removeSome(e, "key", n, 2)
	before := e.Stats().Compactions
	release()
	for start := time.Now(); e.Stats().Compactions == before; runtime.Gosched() {
		if time.Since(start) > time.Minute {
			t.Fatal("never compacted")
		}
	}
	if refused := setAll(t, e, "new", limit/12/300, make([]byte, 200)); refused > 0 {
		t.Errorf("%d are refused: %+v", refused, e.Stats())
	}
}

// TestNewRecordsLeaveWhatCopiesNeed: between two steps of a compaction its shard's new
// records, of every size, may fill the store up, except for what the copies still need.
func TestNewRecordsLeaveWhatCopiesNeed(t *testing.T) {
	const chunks, kept = 24, 6
	pages := kept * engine.ChunkBytes / engine.PageBytes
	for _, size := range []int{100, engine.MaxSmall + 1, engine.ChunkBytes + 1} {
		e := newEngine(t, engine.Options{Shards: 1, MaxBytes: chunks * engine.ChunkBytes})
		release := hold(t, e)
		e.ToCopy(pages)
		n := 0
		for ; ; n++ {
			if st, _ := one(e, engine.Set, fmt.Sprint("key", n), string(make([]byte, size))); st != engine.Created {
				break
			}
		}
		if left := e.ToCopy(0); left < pages || left > pages+4*engine.ChunkBytes/engine.PageBytes {
			t.Errorf("values of %d bytes leave %d pages, want %d or a little more", size, left, pages)
		}
		if st, _ := one(e, engine.Set, fmt.Sprint("key", n), string(make([]byte, size))); st != engine.Created {
			t.Errorf("a value of %d bytes is refused when the copies are made", size)
		}
		release()
	}
}

// TestCompactionsFailUnderLoad: the same while others change the shards.
func TestCompactionsFailUnderLoad(t *testing.T) {
	var failing atomic.Bool
	e := newEngine(t, engine.Options{Shards: 2}.WithFailing(failing.Load))
	base := newRand(t).Uint64()
	oracles := [3]oracle{{}, {}, {}}
	var wg sync.WaitGroup
	for g := range oracles {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(base, uint64(g)))
			o := oracles[g]
			for round := range rounds(400) {
				if g == 0 {
					failing.Store(round%5 > 1)
				}
				for range 200 {
					key := fmt.Sprint(g, "key", r.IntN(3000))
					value := string(make([]byte, r.IntN(1+round%7*200)))
					kind := []engine.Kind{engine.Set, engine.Set, engine.Remove}[r.IntN(3)]
					st, _ := one(e, kind, key, value)
					if st == engine.OutOfMemory {
						continue
					}
					if want := o.apply(engine.Op{Kind: kind, Key: []byte(key), Value: []byte(value)}, engine.Args{}, 0).status; st != want {
						t.Errorf("kind %d: status %d, want %d", kind, st, want)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	all := oracle{}
	for _, o := range oracles {
		maps.Copy(all, o)
	}
	checkSame(t, e, all)
}
