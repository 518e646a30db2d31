package engine_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"keyframe/engine"
)

// TestClasses stores a record of each length up to and past the largest that
// shares pages, replaces each by its neighbours, and removes all.
func TestClasses(t *testing.T) {
	e, o := newEngine(t, engine.Options{Shards: 4}), oracle{}
	var b engine.Batch
	value := make([]byte, 2<<20)
	for i := range value {
		value[i] = byte(i * 7)
	}
	lengths := []int{engine.ChunkBytes - 100, engine.ChunkBytes, engine.ChunkBytes + 1, 2*engine.ChunkBytes - 50}
	for n := range 1100 {
		lengths = append(lengths, n)
	}
	for n := 1024; n <= 2*engine.MaxSmall; n += n / 8 {
		for d := -30; d <= 10; d += 2 {
			lengths = append(lengths, n+d)
		}
	}
	for _, long := range []int{0, 251, 252, 253, 254, 255, 256, 300} {
		for _, delta := range []int{0, 1, -9, 40, -200} {
			for _, n := range lengths {
				n = min(max(n+delta, 0), len(value))
				b.Add(engine.Set, fmt.Appendf(nil, "%0*d", long, n), value[:n])
				b.Add(engine.Get, fmt.Appendf(nil, "%0*d", long, n), nil)
			}
			applyBoth(t, e, o, &b)
			if isShort() {
				break
			}
		}
		for _, n := range lengths[len(lengths)/2:] {
			b.Add(engine.Remove, fmt.Appendf(nil, "%0*d", long, n), nil)
		}
		applyBoth(t, e, o, &b)
	}
	checkSame(t, e, o)
	for key := range o {
		b.Add(engine.Remove, []byte(key), nil)
	}
	applyBoth(t, e, o, &b)
	checkSame(t, e, o)
	if st := e.Stats(); st.LiveBytes != 0 || st.LargeBytes != 0 {
		t.Errorf("an empty store has %d bytes of records", st.LiveBytes)
	}
}

// TestGrowth goes through the sizes of segments and directories, and back.
func TestGrowth(t *testing.T) {
	keys := 300_000
	if isShort() {
		keys = 50_000
	}
	e, o := newEngine(t, engine.Options{Shards: 4}), oracle{}
	var b engine.Batch
	for i := range keys {
		b.Add(engine.Set, fmt.Appendf(nil, "key:%09d", i), fmt.Appendf(nil, "%d", i))
		if i%5000 == 0 {
			applyBoth(t, e, o, &b)
		}
		if i%(keys/3) == 0 {
			checkSame(t, e, o)
		}
	}
	applyBoth(t, e, o, &b)
	checkSame(t, e, o)
	full := e.Stats()
	if full.Passed > 0.5 {
		t.Errorf("keys lie %.2f groups from their own", full.Passed)
	}
	for i := range keys {
		if i%20 != 0 {
			b.Add(engine.Remove, fmt.Appendf(nil, "key:%09d", i), nil)
		}
	}
	applyBoth(t, e, o, &b)
	checkSame(t, e, o)
	if st := e.Stats(); keys > 100_000 && (st.IndexBytes > full.IndexBytes/5 || st.BlockBytes > full.BlockBytes/5) {
		t.Errorf("after removing 19 of 20 keys the index has %d of %d bytes, the blocks %d of %d",
			st.IndexBytes, full.IndexBytes, st.BlockBytes, full.BlockBytes)
	}
}

// TestProbesStayShort: at any filling of the segments a lookup goes through few groups,
// because segments grow before they are full.
func TestProbesStayShort(t *testing.T) {
	e := newEngine(t, engine.Options{Shards: 1, Simulation: &engine.Simulation{Seed: 1}})
	worst, farthest := 0.0, 0
	for i := range 40 {
		setAll(t, e, fmt.Sprint("key", i, "-"), 1000, nil)
		st := e.Stats()
		worst = max(worst, st.Passed)
		for groups, n := range st.Probes {
			if n > 0 {
				farthest = max(farthest, groups)
			}
		}
	}
	t.Logf("at worst %.2f groups on average, %d the farthest", worst, farthest)
	if worst > 0.5 {
		t.Errorf("at worst keys lie %.2f groups from their own", worst)
	}
}

// TestIndexBytes bounds the index of stores of several sizes, many shards and few: the bits
// of a hash that choose the shard must not be those that choose its segment, or a shard's
// keys would crowd into a part of its directory.
func TestIndexBytes(t *testing.T) {
	oneWriter(t)
	for _, shards := range []int{1, 64} {
		for _, keys := range []int{60_000, 90_000, 120_000} {
			e := newEngine(t, engine.Options{Shards: shards, Simulation: &engine.Simulation{Seed: 1}})
			setAll(t, e, "key", keys, nil)
			st := e.Stats()
			t.Logf("%d shards, %d keys: %.1f bytes of index a key", shards, keys, float64(st.IndexBytes)/float64(keys))
			if st.IndexBytes > keys*20 {
				t.Errorf("%d shards: %d bytes of index for %d keys", shards, st.IndexBytes, keys)
			}
		}
	}
}

// TestExactFitStays: a value that fills its record to the byte is written where it is.
func TestExactFitStays(t *testing.T) {
	e := newEngine(t, engine.Options{Shards: 1})
	key, full := "sixteen bytes...", "twenty bytes of value"[:20] // 4 + 16 + 20: a class
	for _, value := range []string{full, full[1:], full} {
		one(e, engine.Set, key, value)
		if st := e.Stats(); st.FreeBytes != 0 || st.LiveBytes != 40 {
			t.Errorf("%d bytes: %d live, %d free", len(value), st.LiveBytes, st.FreeBytes)
		}
	}
}

// TestSegmentsDouble: a small table has at most twice the index that its keys need at the
// filling at which a segment grows, 13 slots of 16.
func TestSegmentsDouble(t *testing.T) {
	e := newEngine(t, engine.Options{Shards: 1})
	for n := 1; n <= 800; n++ {
		one(e, engine.Set, fmt.Sprint("key", n), "v")
		if got, most := e.Stats().IndexBytes, n*2*64/7*16/13+1024; got > most {
			t.Fatalf("%d keys: %d bytes of index, %d at most", n, got, most)
		}
	}
}

// TestCollisions: keys that all have the same hash must neither be mixed up nor
// make the index grow without bound.
func TestCollisions(t *testing.T) {
	for name, hash := range hashes {
		t.Run(name, func(t *testing.T) {
			e, o := newEngine(t, engine.Options{Shards: 2}.WithHash(hash)), oracle{}
			var b engine.Batch
			n := few(5000)
			for i := range n {
				b.Add(engine.Set, fmt.Appendf(nil, "%d", i), fmt.Appendf(nil, "%d", i))
			}
			applyBoth(t, e, o, &b)
			checkSame(t, e, o)
			if st := e.Stats(); st.IndexBytes > 2<<20 {
				t.Errorf("%d bytes of index for %d keys", st.IndexBytes, n)
			}
			for i := range n {
				b.Add(engine.Remove, fmt.Appendf(nil, "%d", i), nil)
			}
			applyBoth(t, e, o, &b)
			checkSame(t, e, o)
		})
	}
}

// TestLargeSegmentLeavesTheDirectory: a segment of keys that no split separates grows by
// itself. A directory of twice the size would be of no use to it.
func TestLargeSegmentLeavesTheDirectory(t *testing.T) {
	hash := func(key []byte) uint64 {
		var n uint64
		fmt.Sscan(string(key[1:]), &n)
		h := n * 0x9E37_79B9_7F4A_7C15 >> 30
		if key[0] == 'h' {
			h &= 1<<15 - 1 // all in the first entry of any directory
		}
		return h
	}
	e := newEngine(t, engine.Options{Shards: 1, Simulation: &engine.Simulation{}}.WithHash(hash))
	setAll(t, e, "h", 1200, nil)
	setAll(t, e, "o", 20_000, nil)
	before, size := e.Stats(), e.DirSize()
	if most := 8*before.Segments + 64; 2*size > most {
		t.Fatalf("a directory of %d entries for %d segments can't double", size, before.Segments)
	}
	setAll(t, e, "h", 6000, nil)
	after := e.Stats()
	if got := e.DirSize(); got != size || after.Segments != before.Segments || after.IndexBytes <= before.IndexBytes {
		t.Errorf("%d entries for %d segments, %d bytes; before %d, %d, %d",
			got, after.Segments, after.IndexBytes, size, before.Segments, before.IndexBytes)
	}
}

// TestKeysDifferInOneByte has keys of one hash and one length that differ in a single byte,
// whichever it is, with values as long as their keys.
func TestKeysDifferInOneByte(t *testing.T) {
	e := newEngine(t, engine.Options{Shards: 1}.WithHash(hashes["constant"]))
	for n := 1; n <= 260; n++ {
		if n > 40 && n < 252 {
			continue
		}
		e.Clear()
		var b engine.Batch
		o, key := oracle{}, bytes.Repeat([]byte{'k'}, n)
		b.Add(engine.Set, key, key)
		for i := range n {
			other := bytes.Clone(key)
			other[i] = 'x'
			b.Add(engine.Get, other, nil)
			b.Add(engine.Add, other, other)
			b.Add(engine.Get, other, nil)
		}
		b.Add(engine.Get, key, nil)
		applyBoth(t, e, o, &b)
	}
}

// TestMaxBytes fills a store until it refuses, and checks that nothing is lost, that what
// fits in place is still taken, and that removing makes room.
func TestMaxBytes(t *testing.T) {
	for _, size := range []int{20, 3000, engine.MaxSmall, engine.ChunkBytes + 1} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			const limit = 12 * engine.ChunkBytes
			e, o := newEngine(t, engine.Options{Shards: 4, MaxBytes: limit}), oracle{}
			value := bytes.Repeat([]byte{'v'}, size)
			refused := 0
			var b engine.Batch
			for i := 0; refused < 300; i++ {
				key := fmt.Sprintf("key%d", i)
				switch st, _ := one(e, engine.Kind(1+i%2), key, string(value)); st {
				case engine.Created:
					o[key] = kept{value: string(value)}
				case engine.OutOfMemory:
					refused++
				default:
					t.Fatalf("status %d", st)
				}
			}
			if len(o)*size < limit/4 {
				t.Errorf("%d records of %d bytes fill %d bytes", len(o), size, limit)
			}
			checkSame(t, e, o)
			if st := e.Stats(); st.ReservedBytes > limit {
				t.Errorf("%d bytes reserved, limit %d", st.ReservedBytes, limit)
			}
			value[0] = 'w'
			longer := append(bytes.Clone(value), make([]byte, 3*engine.ChunkBytes)...)
			for key, old := range o {
				if st, _ := one(e, engine.Set, key, string(longer)); st != engine.OutOfMemory && size < limit/8 {
					t.Fatalf("a longer value: status %d", st)
				} else if st == engine.Updated {
					one(e, engine.Set, key, old.value)
				}
				b.Add(engine.Set, []byte(key), value)
				b.Add(engine.Get, []byte(key), nil)
				if len(b.Ops) > 100 {
					break
				}
			}
			applyBoth(t, e, o, &b)
			checkSame(t, e, o)
			for key := range o {
				b.Add(engine.Remove, []byte(key), nil)
			}
			applyBoth(t, e, o, &b)
			e.Settle()
			if st, _ := one(e, engine.Set, "key", string(value)); st != engine.Created {
				t.Errorf("after removing all: status %d", st)
			}
		})
	}
}

// TestNoMemory: the system refuses memory now and then, and at last for good.
func TestNoMemory(t *testing.T) {
	r := newRand(t)
	var refuse atomic.Int64 // how many of a thousand requests
	fail := rand.New(rand.NewPCG(r.Uint64(), 1))
	failing := func() bool { return fail.Int64N(1000) < refuse.Load() } // under the pool's lock
	e, o := newEngine(t, engine.Options{Shards: 4}.WithFailing(failing)), oracle{}
	refused := 0
	for i := range 60_000 {
		if i%10_000 == 0 {
			refuse.Store([]int64{0, 500, 1000, 0, 900, 1000}[i/10_000])
			checkSame(t, e, o)
		}
		key, value := string(randomKey(r, 5000)), string(make([]byte, r.IntN(20_000)))
		if r.IntN(1000) == 0 {
			value = string(make([]byte, engine.ChunkBytes+r.IntN(engine.ChunkBytes)))
		}
		kind := []engine.Kind{engine.Set, engine.Set, engine.Add, engine.Remove, engine.Rename}[r.IntN(5)]
		if kind == engine.Rename {
			value = string(randomKey(r, 5000))
		}
		st, _ := one(e, kind, key, value)
		if st == engine.OutOfMemory {
			refused++
			continue
		}
		if want := o.apply(engine.Op{Kind: kind, Key: []byte(key), Value: []byte(value)}, engine.Args{}, 0).status; st != want {
			t.Fatalf("kind %d: status %d, want %d", kind, st, want)
		}
	}
	checkSame(t, e, o)
	if refused == 0 {
		t.Error("no operation was refused")
	}
	refuse.Store(1000)
	if _, err := engine.New(engine.Options{}.WithFailing(failing)); err == nil {
		t.Error("New without memory succeeds")
	}
}

// TestMemoryComesBack changes the lengths of all values, over and over.
func TestMemoryComesBack(t *testing.T) {
	e, o := newEngine(t, engine.Options{Shards: 2}), oracle{}
	var b engine.Batch
	for round := range 12 {
		value := bytes.Repeat([]byte{byte(round)}, 20+round*37%200)
		for i := range 20_000 {
			b.Add(engine.Set, fmt.Appendf(nil, "key%d", i), value)
		}
		applyBoth(t, e, o, &b)
		checkSame(t, e, o)
		st := e.Stats()
		if st.BlockBytes > st.LiveBytes*13/10+1<<19 {
			t.Errorf("round %d: %d bytes in blocks, %d live", round, st.BlockBytes, st.LiveBytes)
		}
	}
	if n := e.Clear(); n != 20_000 {
		t.Errorf("Clear says %d", n)
	}
	clear(o)
	checkSame(t, e, o)
	if st := e.Stats(); st.BlockBytes+st.IndexBytes != 0 || st.ReservedBytes > 8*engine.ChunkBytes {
		t.Errorf("after Clear: %+v", st)
	}
}

// TestRangeWhileItChanges: keys that are there all the time are seen once,
// while others come and go, segments split and merge, and records move.
func TestRangeWhileItChanges(t *testing.T) {
	e := newEngine(t, engine.Options{Shards: 1})
	const steady = 5000
	for i := range steady {
		one(e, engine.Set, fmt.Sprintf("steady%d", i), "v")
	}
	newCrew(t).each(func(int) {
		for _, kind := range []engine.Kind{engine.Set, engine.Remove} {
			var b engine.Batch
			for i := range 20_000 {
				b.Add(kind, fmt.Appendf(nil, "other%d", i), bytes.Repeat([]byte{'o'}, i%50))
			}
			e.Apply(&b)
		}
	})
	for deadline := time.Now().Add(300 * time.Millisecond); time.Now().Before(deadline); {
		seen := make(map[string]int, steady)
		e.Range(func(key, _ []byte) bool {
			if key[0] == 's' {
				seen[string(key)]++
			}
			return true
		})
		for key, n := range seen {
			if n != 1 {
				t.Errorf("%s seen %d times", key, n)
			}
		}
		if len(seen) != steady {
			t.Fatalf("%d of %d keys seen", len(seen), steady)
		}
	}
}

// TestIndexFull has keys with one hash fill memory, after ballast of different sizes, so
// that the index finds no room where the record would.
func TestIndexFull(t *testing.T) {
	oneWriter(t)
	step := engine.ChunkBytes / 16
	if isShort() {
		step *= 4
	}
	for ballast := 0; ballast < engine.ChunkBytes; ballast += step {
		e, o := newEngine(t, engine.Options{Shards: 1, MaxBytes: engine.ChunkBytes}.WithHash(hashes["constant"])), oracle{}
		set := func(key, value string) engine.Status {
			st, _ := one(e, engine.Set, key, value)
			if st != engine.OutOfMemory {
				o[key] = kept{value: value}
			}
			return st
		}
		for i := range ballast / 8192 {
			set(fmt.Sprint("ballast", i), string(make([]byte, 8150)))
		}
		for round := range 3 {
			refused := 0
			for i := 0; refused < 20 && i < 3000; i++ {
				if set(fmt.Sprint("key", round, i), "thirty bytes of value, or near") == engine.OutOfMemory {
					refused++
				}
			}
			for i := range 300 { // what this frees is of use for records only
				if _, ok := o[fmt.Sprint("key", round, i)]; ok {
					set(fmt.Sprint("key", round, i), "")
				}
			}
		}
		checkSame(t, e, o)
	}
}

// TestIndexFullOfManyShards has the first directory or segment of a shard find no room
// where its first record does, with every number of free pages, and of free pieces of a
// page.
func TestIndexFullOfManyShards(t *testing.T) {
	const shards, inFirst = 1024, 60 // enough that its segment is a piece of another size
	keyed := engine.SimulatedHash(1)
	hash := func(key []byte) uint64 {
		h := keyed(key)
		if key[0] == 'f' {
			h &= 1<<63/(shards/2) - 1
		}
		return h
	}
	for ballast := 1; ballast <= 8; ballast++ {
		for _, first := range []int{0, inFirst} {
			opts := engine.Options{Shards: shards, MaxBytes: 2 << 20, Simulation: &engine.Simulation{}}
			e, o := newEngine(t, opts.WithHash(hash)), oracle{}
			page, ok := e.AllocPages(ballast)
			if !ok {
				t.Fatal("no pages")
			}
			for i, refused := 0, 0; refused < 200; i++ {
				key := fmt.Sprint("key", i)
				if i < first {
					key = fmt.Sprint("first", i)
				}
				if st, _ := one(e, engine.Set, key, ""); st == engine.OutOfMemory {
					refused++
				} else {
					o[key] = kept{}
				}
			}
			e.ReleasePages(page, ballast)
			checkSame(t, e, o)
		}
	}
}

// TestCeilingServesOn: a store that was filled to its ceiling, and then thinned, takes new
// keys of the same size again, although its compactor had no page to copy to. Space for
// other sizes has to wait for a page that becomes empty.
func TestCeilingServesOn(t *testing.T) {
	e, _ := newEngine(t, engine.Options{Shards: 16, MaxBytes: 8 << 20}), oracle{}
	var b engine.Batch
	do := func(kind engine.Kind, key string, value []byte) engine.Status {
		b.Reset()
		b.Add(kind, []byte(key), value)
		e.Apply(&b)
		return b.Ops[0].Status
	}
	value := make([]byte, 100)
	n := 0
	for refused := 0; refused < 2000; n++ {
		if do(engine.Set, fmt.Sprint(n), value) == engine.OutOfMemory {
			refused++
		}
	}
	full := e.Len()
	for i := range n {
		if i%10 < 7 {
			do(engine.Remove, fmt.Sprint(i), nil)
		}
	}
	e.Settle()
	stored := 0
	for i := range full / 3 {
		if do(engine.Set, fmt.Sprint("x", i), value) == engine.Created {
			stored++
		}
	}
	if stored < full/3*9/10 {
		t.Fatalf("%d of %d keys found room where %d had been removed", stored, full/3, full*7/10)
	}
	if err := e.CheckInvariants(); err != nil {
		t.Fatal(err)
	}
}
