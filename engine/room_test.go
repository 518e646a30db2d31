package engine_test

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"keyframe/engine"
)

// roomFlag has TestRoom go through all ceilings and numbers of CPUs; `make soak` sets it.
var roomFlag = flag.Bool("room", false, "TestRoom takes all ceilings up to 1 GiB, for half an hour")

// noKey is the size of a value that isn't there.
const noKey = -1

// roomValue is what all values of a roomStore begin like.
var roomValue = make([]byte, 8<<20)

// A roomStore is a store under a ceiling, which knows the size of each value that it holds:
// the number of a key is its place in sizes.
type roomStore struct {
	*engine.Engine
	t         testing.TB
	simulated bool
	sizes     []int
	history   []string
	batch     engine.Batch
}

// newRoomStore makes a store as Options' defaults do where there are this many CPUs.
func newRoomStore(t testing.TB, opts engine.Options, procs int) *roomStore {
	t.Helper()
	opts.Shards = engine.DefaultShards(procs, opts.MaxBytes)
	return &roomStore{Engine: newEngine(t, opts), t: t, simulated: opts.Simulation != nil}
}

func (s *roomStore) apply(kind engine.Kind, key int, value []byte) engine.Status {
	var name [16]byte
	binary.BigEndian.PutUint64(name[8:], uint64(key))
	s.batch.Reset()
	s.batch.Add(kind, name[:], value)
	s.Apply(&s.batch)
	return s.batch.Ops[0].Status
}

// set reports whether the store takes a value of this size.
func (s *roomStore) set(key, size int) bool {
	for len(s.sizes) <= key {
		s.sizes = append(s.sizes, noKey)
	}
	switch st := s.apply(engine.Set, key, roomValue[:size]); {
	case st == engine.OutOfMemory:
		return false
	case (st == engine.Created) != (s.sizes[key] == noKey):
		s.t.Fatalf("status %d for key %d", st, key)
	}
	s.sizes[key] = size
	return true
}

// fill stores values of a size under new keys until many in a row are refused, and returns
// how many it stored.
func (s *roomStore) fill(size int) (stored int) {
	for refused := 0; refused < 200; refused++ {
		if s.set(len(s.sizes), size) {
			stored++
			refused = 0
		}
	}
	return stored
}

// removeFrom removes this percentage of the values, at random, of the keys from a number on.
func (s *roomStore) removeFrom(r *rand.Rand, key, percent int) {
	for ; key < len(s.sizes); key++ {
		if s.sizes[key] != noKey && r.IntN(100) < percent {
			if st := s.apply(engine.Remove, key, nil); st != engine.Removed {
				s.t.Fatalf("status %d for key %d", st, key)
			}
			s.sizes[key] = noKey
		}
	}
}

// resize overwrites a quarter of the values.
func (s *roomStore) resize(r *rand.Rand, to func(size int) int) {
	for key, size := range s.sizes {
		if size != noKey && r.IntN(4) == 0 {
			s.set(key, min(to(size), len(roomValue)))
		}
	}
}

func (s *roomStore) clear() {
	s.Clear()
	for key := range s.sizes {
		s.sizes[key] = noKey
	}
}

// rest is what the maintainer of a simulated store does once nothing calls it any more.
func (s *roomStore) rest() {
	s.Maintain(false)
	s.Maintain(true)
}

// randomSize is that of a value: of some bytes, of pages of its own, of whole chunks.
func randomSize(r *rand.Rand) int {
	return []int{0, 20, 100, 500, 1500, 3000, 5000, 9000, 16_000, 17_000, 60_000, 200_000, 1_000_000, 2_500_000}[r.IntN(14)]
}

// live is a random step of a history.
func (s *roomStore) live(r *rand.Rand) {
	step := ""
	switch r.IntN(10) {
	default:
		size := randomSize(r)
		step = fmt.Sprintf("%d of %d bytes", s.fill(size), size)
	case 0, 1, 2:
		percent := []int{100, 90, 50, 20, 5}[r.IntN(5)]
		s.removeFrom(r, 0, percent)
		step = fmt.Sprintf("%d %% removed", percent)
	case 3:
		s.clear()
		step = "clear"
	case 4:
		factor := 1 + r.IntN(3)
		s.resize(r, func(size int) int { return size*factor + r.IntN(100) })
		step = fmt.Sprintf("longer by %d", factor)
	case 5:
		s.resize(r, func(size int) int { return r.IntN(size + 1) })
		step = "shorter"
	case 6:
		s.rest()
		step = "rest"
	}
	s.history = append(s.history, step)
}

// checkRoom checks that the store takes seven eighths as many values of a size as a fresh one
// that was given the same content. One value less is none of its histories' fault, nor is a
// sixteenth of the ceiling: where there is hardly room at all, what the shards round up
// to pages and what compaction leaves free in blocks is much of it. Nor need a fresh store
// take the whole content of one that is full to the brim: which shard doubles its index
// first decides about the last pages, and values that have grown one after the other, in the
// pages that others left, may lie closer than a fresh store puts them. There is nothing to
// compare then. With nine tenths and a thirty-second five seeds of 380 failed, by little.
func (s *roomStore) checkRoom(opts engine.Options, procs, size int) {
	s.t.Helper()
	fresh := newRoomStore(s.t, opts, procs)
	defer fresh.Close()
	refused := 0
	for key, size := range s.sizes {
		if size != noKey && !fresh.set(key, size) {
			refused += size + 64
		}
	}
	slack := opts.MaxBytes / 16
	if refused > slack {
		if s.Stats().LiveBytes > opts.MaxBytes/8*7 {
			return
		}
		s.t.Errorf("%d MiB, %d CPUs: a fresh store refuses %d bytes of what this one holds. It has had %s. %+v, fresh %+v",
			opts.MaxBytes>>20, procs, refused, strings.Join(s.history, ", "), s.Stats(), fresh.Stats())
	}
	if s.simulated {
		fresh.rest()
	}
	before, n := s.Stats(), len(s.sizes)
	want := fresh.fill(size)
	got := s.fill(size)
	if got < min(want*7/8, want-1) && (want-got)*size > slack || before.Keys == 0 && got < want*7/8 {
		s.t.Errorf("%d MiB, %d CPUs: %d of %d bytes, a fresh store takes %d. It has had %s. %+v, fresh %+v",
			opts.MaxBytes>>20, procs, got, size, want, strings.Join(s.history, ", "), before, fresh.Stats())
	}
	s.removeFrom(rand.New(rand.NewPCG(0, 0)), n, 100)
	s.sizes = s.sizes[:n]
}

// TestRoom: after any history a store at rest has room for as many values, of any size, as a
// fresh one of the same content, less an eighth. The next history begins with what is left.
func TestRoom(t *testing.T) {
	r := newRand(t)
	run := func(mib, procs, histories int) {
		opts := engine.Options{MaxBytes: mib << 20, Simulation: &engine.Simulation{Seed: r.Uint64()}}
		s := newRoomStore(t, opts, procs)
		defer s.Close()
		for range histories {
			for range 2 + r.IntN(4) {
				s.live(r)
			}
			if r.IntN(4) > 0 { // or there may be no room to speak of
				s.removeFrom(r, 0, 90)
				s.history = append(s.history, "90 % removed")
			}
			s.rest()
			if err := s.CheckAsIs(); err != nil {
				t.Fatal(err)
			}
			s.checkRoom(opts, procs, randomSize(r))
		}
	}
	switch {
	case *roomFlag:
		for mib := 4; mib <= 1024 && !t.Failed(); mib *= 2 {
			shards := 0
			for procs := 1; procs <= 64; procs *= 2 {
				if n := engine.DefaultShards(procs, mib<<20); n != shards {
					shards = n
					run(mib, procs, max(1, 256/mib))
				}
			}
		}
	case isShort() || !engine.OffHeap || engine.Invariants:
		run(4, 1<<r.IntN(7), 2)
	default:
		for mib := 4; mib <= 64; mib *= 2 {
			run(mib, 1<<r.IntN(7), 2)
		}
	}
}

// TestRoomOfShortened: a value that becomes shorter is taken when there is no room for
// another record, and what it doesn't need any more makes room for others.
func TestRoomOfShortened(t *testing.T) {
	for _, test := range []struct{ from, to, then int }{
		{16_000, 20, 16_000}, {16_000, 20, 17_000}, {16_000, 9000, 500}, {60_000, 20_000, 60_000}, {60_000, 20, 100}, {2_500_000, 20, 1_000_000},
	} {
		opts := engine.Options{MaxBytes: 8 << 20, Simulation: &engine.Simulation{Seed: 1}}
		s := newRoomStore(t, opts, 1)
		s.fill(test.from)
		s.fill(0) // the last pages
		s.Woken()
		for key, size := range s.sizes {
			if size == test.from && !s.set(key, test.to) {
				t.Fatal("a shorter value is refused")
			}
		}
		if !s.Woken() && test.from < 17_000 { // of larger ones there are few
			t.Errorf("%d bytes, cut to %d: the maintainer isn't told", test.from, test.to)
		}
		if err := s.CheckAsIs(); err != nil {
			t.Fatal(err)
		}
		s.rest()
		s.history = []string{fmt.Sprintf("%d bytes, cut to %d", test.from, test.to)}
		s.checkRoom(opts, 1, test.then)
		s.Close()
	}
}

// TestRoomOfCleared: what a Clear has removed makes room for whatever comes next, although
// the maintainer hasn't come by.
func TestRoomOfCleared(t *testing.T) {
	oneWriter(t)
	for _, size := range []int{20, 9000, 60_000, 1_000_000} {
		for _, then := range []int{20, 9000, 60_000, 1_000_000} {
			if pair := [2]int{size, then}; isShort() && pair != [2]int{20, 60_000} && pair != [2]int{1_000_000, 20} {
				continue
			}
			opts := engine.Options{MaxBytes: 16 << 20, Simulation: &engine.Simulation{Seed: 1}}
			s := newRoomStore(t, opts, 2)
			s.fill(size)
			s.clear()
			s.history = []string{fmt.Sprintf("%d bytes, clear", size)}
			s.checkRoom(opts, 2, then)
			s.Close()
		}
	}
}

// TestHighPagesAreLeft: records, index and calendar that came when the low pages were taken
// are in low pages once those are free.
func TestHighPagesAreLeft(t *testing.T) {
	if !engine.OffHeap {
		t.Skip("chunks of the heap are too short for it")
	}
	s := newRoomStore(t, engine.Options{MaxBytes: 64 << 20, Simulation: &engine.Simulation{Seed: 1}}, 4)
	for range 20 {
		for range 20 { // each on a page of its own
			s.set(len(s.sizes), 60_000)
		}
		for range 300 {
			s.set(len(s.sizes), 20)
			var name [16]byte
			binary.BigEndian.PutUint64(name[8:], uint64(len(s.sizes)-1))
			s.batch.Reset()
			s.batch.AddArgs(engine.Expire, name[:], nil, 0, engine.Args{Deadline: 1 << 40 >> (len(s.sizes) % 20)})
			s.Apply(&s.batch)
		}
	}
	for key, size := range s.sizes {
		if size == 60_000 {
			s.apply(engine.Remove, key, nil)
			s.sizes[key] = noKey
		}
	}
	s.rest()
	if n := s.ScatteredPages(); n > 64 {
		t.Errorf("%d pages are scattered between %+v", n, s.Stats())
	}
	if err := s.CheckAsIs(); err != nil {
		t.Fatal(err)
	}
}

// TestRoomOfEmptied: what was full of small values, and was emptied, takes as many large
// ones as a fresh store once its maintainer has been at rest, which nothing asks it for.
func TestRoomOfEmptied(t *testing.T) {
	for _, test := range []struct{ mib, procs int }{{64, 64}, {4, 2}} {
		if test.mib > 4 && (isShort() || !engine.OffHeap || engine.Invariants) {
			continue
		}
		for _, empty := range []string{"remove", "clear"} {
			opts := engine.Options{MaxBytes: test.mib << 20}
			fresh, s := newRoomStore(t, opts, test.procs), newRoomStore(t, opts, test.procs)
			want := fresh.fill(60_000)
			if want*60_000 < opts.MaxBytes*8/10 {
				t.Errorf("a fresh store of %d MiB takes %d values of 60 KB", test.mib, want)
			}
			s.fill(20)
			if empty == "clear" {
				s.clear()
			} else {
				s.removeFrom(newRand(t), 0, 100)
			}
			for start := time.Now(); ; runtime.Gosched() {
				if st := s.Stats(); st.BlockBytes+st.IndexBytes+s.ClearsLeft() == 0 && s.PiecePages() == 0 {
					break
				}
				if time.Since(start) > time.Minute {
					t.Fatalf("%d MiB, %d CPUs, %s: not given back: %+v", test.mib, test.procs, empty, s.Stats())
				}
			}
			if got := s.fill(60_000); got < want*9/10 {
				t.Errorf("%d MiB, %d CPUs, %s: %d values of 60 KB, a fresh store takes %d: %+v", test.mib, test.procs, empty, got, want, s.Stats())
			}
			fresh.Close()
			s.Close()
		}
	}
}

// TestEmptiedShardHasNothing: at rest a shard without keys has no block and no index, and
// the store no memory but a few chunks that are ready.
func TestEmptiedShardHasNothing(t *testing.T) {
	oneWriter(t)
	for _, size := range []int{20, 5000, 60_000} {
		s := newRoomStore(t, engine.Options{MaxBytes: 16 << 20, Simulation: &engine.Simulation{}}, 2)
		s.fill(size)
		s.removeFrom(newRand(t), 0, 100)
		if !s.Woken() {
			t.Errorf("%d bytes: the maintainer isn't told", size)
		}
		s.rest()
		if st := s.Stats(); st.BlockBytes+st.IndexBytes+st.FreeBytes > 0 || s.PiecePages() > 0 {
			t.Errorf("%d bytes: there is something left: %d pages of pieces, %+v", size, s.PiecePages(), st)
		}
		if n := s.ScatteredPages(); n > 0 {
			t.Errorf("%d bytes: %d pages are scattered", size, n)
		}
	}
}

// TestLastKeyGoes: a shard whose last key is removed tells the maintainer once, and takes
// new keys before and after that has come by.
func TestLastKeyGoes(t *testing.T) {
	e, o := newEngine(t, engine.Options{Shards: 1, Simulation: &engine.Simulation{}}), oracle{}
	var b engine.Batch
	cycle := func() {
		b.Add(engine.Set, []byte("key"), []byte("value"))
		b.Add(engine.Remove, []byte("key"), nil)
		applyBoth(t, e, o, &b)
	}
	e.Woken()
	cycle()
	if !e.Woken() {
		t.Error("the maintainer isn't told of an empty shard")
	}
	cycle()
	if e.Woken() {
		t.Error("the maintainer is told again")
	}
	e.Maintain(true)
	if st := e.Stats(); st.BlockBytes+st.IndexBytes > 0 {
		t.Errorf("an empty shard has %+v", st)
	}
	cycle()
	if !e.Woken() {
		t.Error("the maintainer isn't told of a shard that is empty again")
	}
	checkSame(t, e, o)
}

// TestRefusalCalls: the first refusal since the latest rest calls the maintainer, others
// don't, so that clients that are refused all the time don't keep it running.
func TestRefusalCalls(t *testing.T) {
	s := newRoomStore(t, engine.Options{MaxBytes: 4 << 20, Simulation: &engine.Simulation{}}, 1)
	for range 2 {
		s.fill(17_000)
		if !s.Woken() {
			t.Error("the maintainer isn't called")
		}
		s.fill(17_000)
		if s.Woken() {
			t.Error("it is called for each refusal")
		}
		s.Maintain(false)
		s.fill(17_000)
		if s.Woken() {
			t.Error("it is called for a refusal although it hasn't rested since the first")
		}
		s.rest()
	}
}

// TestHolesCall: large values that are removed here and there leave holes, of which the
// maintainer is told, although no chunk is empty and no shard has garbage.
func TestHolesCall(t *testing.T) {
	s := newRoomStore(t, engine.Options{MaxBytes: 32 << 20, Simulation: &engine.Simulation{}}, 1)
	for range 2 {
		s.fill(60_000)
		s.rest()
		s.Woken()
		for key := 0; key < len(s.sizes); key += 2 {
			if s.sizes[key] != noKey {
				s.apply(engine.Remove, key, nil)
				s.sizes[key] = noKey
			}
		}
		if !s.Woken() {
			t.Error("the maintainer isn't called")
		}
		s.rest()
		// On the heap chunks are shorter than four of these values: more stays between them.
		if n := s.ScatteredPages(); n > 300 && engine.OffHeap {
			t.Errorf("%d pages are scattered", n)
		}
	}
}

// TestBusyStoreGathers: a store that refuses gets what there is at rest although others
// don't let it rest.
func TestBusyStoreGathers(t *testing.T) {
	s := newRoomStore(t, engine.Options{MaxBytes: 4 << 20}, 1)
	s.fill(20)
	s.removeFrom(newRand(t), 0, 12) // less than a busy store would gather
	n := len(s.sizes)
	for start := time.Now(); !s.set(n, 60_000); s.Wake() {
		if time.Since(start) > time.Minute {
			t.Fatalf("no room for 60 KB in %+v", s.Stats())
		}
	}
}

// TestPacing: each call puts the rest of a store off, except one that refuses. That one gets
// its rest, however often it is called, and is left to itself for some times as long after.
func TestPacing(t *testing.T) {
	p := engine.NewPacing()
	expires := false
	want := func(refused bool, after time.Duration, ok bool) {
		t.Helper()
		if gotAfter, gotOK := p.Called(refused, expires); gotAfter != after || gotOK != ok {
			t.Errorf("a call is answered with %v, %v, want %v, %v", gotAfter, gotOK, after, ok)
		}
	}
	want(false, engine.RestAfter, true)
	want(false, engine.RestAfter, true)
	want(true, engine.RestAfter, true)
	want(true, 0, false)
	want(true, 0, false)
	p.Rested(time.Second)
	want(true, engine.RestEvery*time.Second, true)
	want(true, 0, false)
	want(false, engine.RestAfter, true) // it takes again
	p.Rested(time.Millisecond)
	want(true, engine.RestAfter, true)
	expires = true
	want(false, engine.RestAfterDeaths, true) // the next pass calls it before that
	want(true, 0, false)
}

// TestUntidyTellsAgain: a shard that has told the maintainer of garbage tells it again once
// that has looked, and has found the garbage used.
func TestUntidyTellsAgain(t *testing.T) {
	s := &roomStore{Engine: newEngine(t, engine.Options{Shards: 1, Simulation: &engine.Simulation{}}), t: t}
	const keys = 2000
	for key := range keys {
		s.set(key, 100)
	}
	s.rest()
	for range 3 {
		s.Woken()
		for key := range keys / 10 {
			s.apply(engine.Remove, key, nil)
			s.sizes[key] = noKey
		}
		if !s.Woken() {
			t.Error("the maintainer isn't told")
		}
		for key := range keys / 10 {
			s.set(key, 100)
		}
		before := s.Stats().Compactions
		s.Maintain(true)
		if n := s.Stats().Compactions; n != before {
			t.Fatal("there was garbage left: the test needs less of it")
		}
	}
}

// TestLongDirectoryStays: a directory that is too long to be copied with the shard's lock held
// is not moved.
func TestLongDirectoryStays(t *testing.T) {
	e := newEngine(t, engine.Options{Shards: 1, Simulation: &engine.Simulation{}})
	low, ok := e.AllocPages(1)
	if !ok {
		t.Fatal("there is no page")
	}
	one(e, engine.Set, "key", "value")
	e.ReleasePages(low, 1)
	bytes, moved := e.LowerDirectory(1)
	if moved {
		t.Errorf("a directory of %d bytes has moved, with a bound of 1", bytes)
	}
	if _, moved := e.LowerDirectory(bytes - 1); moved {
		t.Errorf("a directory of %d bytes has moved, with a bound of one less", bytes)
	}
	if _, moved := e.LowerDirectory(bytes); !moved {
		t.Errorf("a directory of %d bytes stays, with a bound of as many", bytes)
	}
}

// TestDefaultShards: 256 locks for each CPU, or 64 for one, as far as the ceiling gives
// each shard 64 KiB.
func TestDefaultShards(t *testing.T) {
	for _, tt := range []struct{ procs, maxBytes, want int }{
		{1, 0, 64}, {2, 0, 512}, {3, 0, 1024}, {64, 0, 16384}, {1024, 0, 65536},
		{1, 4 << 20, 64}, {1, 4<<20 - 1, 32}, {2, 4 << 20, 64}, {2, 32 << 20, 512}, {2, 32<<20 - 1, 256}, {2, 1 << 40, 512},
		{64, 64 << 20, 1024}, {64, 1 << 30, 16384}, {64, 2 << 20, 32}, {2, 64 << 10, 1}, {2, 1, 1},
	} {
		if got := engine.DefaultShards(tt.procs, tt.maxBytes); got != tt.want {
			t.Errorf("%d CPUs, %d bytes: %d shards, want %d", tt.procs, tt.maxBytes, got, tt.want)
		}
	}
}

// TestScarceRoomIsGathered: a store at rest leaves a twentieth of garbage as it is where
// there is room, and gathers it where it is much of what room there is.
func TestScarceRoomIsGathered(t *testing.T) {
	keys := 0
	for _, mib := range []int{8, 10, 64} { // full, with some room, and with a lot
		scarce := mib < 64
		opts := engine.Options{Shards: 16, MaxBytes: mib << 20, Simulation: &engine.Simulation{}}
		s := &roomStore{Engine: newEngine(t, opts), t: t}
		if mib == 8 {
			s.fill(100)
			keys = len(s.sizes)
		}
		for key := len(s.sizes); key < keys; key++ {
			s.set(key, 100)
		}
		s.rest()
		for key := 0; key < keys; key += 21 {
			if s.sizes[key] != noKey {
				s.apply(engine.Remove, key, nil)
			}
		}
		before := s.Stats()
		s.Maintain(true)
		after := s.Stats()
		if garbage := before.FreeBytes * 100 / before.BlockBytes; garbage < 4 || garbage > 5 {
			t.Errorf("%d MiB: %d %% of garbage", mib, garbage)
		}
		if compactions := after.Compactions - before.Compactions; scarce != (compactions > 0) {
			t.Errorf("%d MiB: %d compactions", mib, compactions)
		}
		if scarce && after.FreeBytes > before.FreeBytes*2/3 {
			t.Errorf("%d MiB: %d bytes are free, %d were", mib, after.FreeBytes, before.FreeBytes)
		}
	}
}
