package engine_test

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"keyframe/engine"
)

// tick is how late the sweeper may drop a record, with how long it has not been called.
const tick = 128

// A swept is a simulated store with a clock of its own.
type swept struct {
	*engine.Engine
	t    *testing.T
	o    oracle
	now  int64
	step func()
}

func newSwept(t *testing.T, opts engine.Options) *swept {
	s := &swept{t: t, o: oracle{}, now: 1_800_000_000_000, step: func() {}}
	opts.Clock = func() int64 { return s.now }
	opts.Simulation = &engine.Simulation{Seed: 1, Step: func() { s.step() }}
	s.Engine = newEngine(t, opts)
	return s
}

// set stores a key that dies after so many milliseconds.
func (s *swept) set(key string, after int64) {
	s.t.Helper()
	b := engine.Batch{Now: s.now}
	b.AddArgs(engine.Set, []byte(key), []byte("value"), 0, engine.Args{Deadline: s.now + after})
	applyBoth(s.t, s.Engine, s.o, &b)
}

// sweep is a pass after so many milliseconds. What has been dead for a tick is gone then,
// though no operation has met it; what lives is there.
func (s *swept) sweep(after int64) {
	s.t.Helper()
	s.now += after
	s.Sweep()
	s.checkSwept()
}

func (s *swept) checkSwept() {
	s.t.Helper()
	least, most := 0, 0
	for _, k := range s.o {
		if !k.isDead(s.now) {
			least++
		}
		if !k.isDead(s.now - tick) {
			most++
		}
	}
	if n := s.Len(); n < least || n > most {
		s.t.Fatalf("at %d there are %d keys, %d live and %d have been dead for less than a tick", s.now, n, least, most-least)
	}
	if err := s.CheckAsIs(); err != nil {
		s.t.Fatal(err)
	}
}

// TestSweepInTime has keys die after a millisecond to some centuries, and looks after every
// time around the limits of the bands.
func TestSweepInTime(t *testing.T) {
	s := newSwept(t, engine.Options{Shards: 4})
	s.sweep(0)
	span := int64(tick)
	n := 0
	for range 13 {
		for _, d := range []int64{-tick - 1, -tick, -1, 0, 1, tick, tick + 1} {
			for range 5 {
				n++
				s.set(fmt.Sprint("key", n), max(1, span+d))
			}
		}
		span *= 8
	}
	s.set("for ever", 0)
	s.o["for ever"] = kept{}
	one(s.Engine, engine.Set, "for ever", "")
	for s.now < 2_000_000_000_000 {
		s.sweep(max(1, (s.now-1_800_000_000_000)/50))
	}
	s.sweep(span)
	if s.Len() != 1 || s.Stats().Expiring != 0 || s.Reminders() != 0 {
		t.Errorf("at the end %d keys, %d expire, %d reminders", s.Len(), s.Stats().Expiring, s.Reminders())
	}
	if st := s.Stats(); st.Expired != n {
		t.Errorf("%d expired, want %d", st.Expired, n)
	}
}

// TestSweepAtAnyPace lets time pass in steps of all sizes, forward and back, while deadlines
// come, move and go.
func TestSweepAtAnyPace(t *testing.T) {
	r := newRand(t)
	for range 20 {
		s := newSwept(t, engine.Options{Shards: 1 << r.IntN(4)})
		pace := int64(1) << r.IntN(30)
		for range rounds(300) {
			b := engine.Batch{Now: s.now}
			for range r.IntN(30) {
				args := engine.Args{Deadline: s.now + r.Int64N(1<<r.IntN(40))}
				if r.IntN(4) == 0 {
					args.Deadline = 0
				}
				kind := []engine.Kind{engine.Set, engine.Add, engine.Expire, engine.Expire, engine.Swap, engine.Remove}[r.IntN(6)]
				b.AddArgs(kind, fmt.Append(nil, r.IntN(500)), []byte("value")[r.IntN(5):], 0, args)
			}
			applyBoth(t, s.Engine, s.o, &b)
			s.sweep(r.Int64N(pace))
			if r.IntN(50) == 0 {
				// The dead are dead in the engine, and the oracle forgets them, too.
				for key := range s.o {
					s.o.drop(key, s.now-tick)
				}
				dropDead(s.Engine, s.o, s.now)
				s.now -= min(r.Int64N(pace), s.now-1)
				s.Sweep()
			}
		}
		dropDead(s.Engine, s.o, s.now)
		checkSame(t, s.Engine, s.o)
	}
}

// TestSweepAfterClockSetBack has a key come and die after the clock was set back, before the
// time of the latest pass over its shard: the next pass drops it.
func TestSweepAfterClockSetBack(t *testing.T) {
	const back = 3600 * 1000
	for _, others := range []bool{false, true} {
		for _, seen := range []bool{false, true} { // by a pass
			for _, after := range []int64{2000, back - 1, back, back + tick} {
				t.Run(fmt.Sprintf("others %v seen %v after %d", others, seen, after), func(t *testing.T) {
					s := newSwept(t, engine.Options{Shards: 1})
					s.set("first", 1000)
					if others {
						s.set("other", 100*back)
					}
					s.sweep(5000)
					dropDead(s.Engine, s.o, s.now)
					s.now -= back
					if seen {
						s.Sweep()
					}
					s.set("second", 1000)
					s.sweep(after)
				})
			}
		}
	}
}

// TestRemindersAreFew: a deadline that moves away takes none, one that comes nearer or a key
// that is made anew leaves one over, and those don't pile up.
func TestRemindersAreFew(t *testing.T) {
	const keys, day, slack = 100, 24 * 3600 * 1000, 512
	s := newSwept(t, engine.Options{Shards: 1})
	b := engine.Batch{Now: s.now}
	apply := func(kind engine.Kind, key int, deadline int64) {
		b.Now = s.now
		b.AddArgs(kind, fmt.Append(nil, "key", key), []byte("value"), 0, engine.Args{Deadline: deadline})
		applyBoth(t, s.Engine, s.o, &b)
	}
	for i := range keys {
		apply(engine.Set, i, s.now+day)
	}
	for round := range 50 { // sessions: prolonged all the time
		for i := range keys {
			apply([]engine.Kind{engine.Expire, engine.Set, engine.Swap}[round%3], i, s.now+day)
		}
		s.sweep(1000)
	}
	if n := s.Reminders(); n != keys {
		t.Errorf("%d reminders of %d keys that were prolonged", n, keys)
	}
	s.sweep(day - 5000)
	if n := s.Reminders(); n != keys || s.Len() != keys {
		t.Errorf("%d reminders of %d keys that were prolonged, of %d, at their old time", n, s.Len(), keys)
	}
	most := 0
	for range 100 { // locks: taken and given back
		for i := range keys {
			apply(engine.Remove, i, 0)
			apply(engine.Add, i, s.now+day)
			apply(engine.Expire, i, s.now+day/2)
		}
		s.sweep(1000)
		most = max(most, s.Reminders())
	}
	if most > 2*keys+slack {
		t.Errorf("%d reminders of %d keys", most, keys)
	}
	if most < 3*keys {
		t.Errorf("%d reminders at most: nothing was left over, and this test tests nothing", most)
	}
	dropDead(s.Engine, s.o, s.now)
	checkSame(t, s.Engine, s.o)
}

// TestSweepGivesMemoryBack: all of it, the calendar's included.
func TestSweepGivesMemoryBack(t *testing.T) {
	const keys = 50_000
	s := newSwept(t, engine.Options{Shards: 4})
	r := newRand(t)
	for i := range keys {
		s.set(fmt.Sprint("key", i), 1+r.Int64N(60_000))
	}
	full := s.Stats()
	if full.CalendarBytes > keys*9 || full.Expiring != keys {
		t.Errorf("%d bytes of calendar for %d keys, %d of which expire", full.CalendarBytes, keys, full.Expiring)
	}
	for range 60_000/200 + 2 {
		s.now += 200
		s.Maintain(false)
	}
	s.Maintain(true)
	if st := s.Stats(); st.Keys != 0 || st.LiveBytes != 0 || st.BlockBytes > 4*engine.PageBytes || st.CalendarBytes != 0 || st.Expired != keys {
		t.Errorf("after it: %+v", st)
	}
	if err := s.CheckInvariants(); err != nil {
		t.Error(err)
	}
}

// TestSweepBesideEverything sweeps between the steps of compactions, and has the store grow,
// split, be cleared and compacted between the steps of a sweep.
func TestSweepBesideEverything(t *testing.T) {
	r := newRand(t)
	s := newSwept(t, engine.Options{Shards: 2})
	inside, steps := false, 0
	batch := func(n int) {
		b := engine.Batch{Now: s.now}
		key := func() []byte { return fmt.Append(nil, "key", r.IntN(30_000)) }
		for range n {
			kind := allKinds[r.IntN(len(allKinds))]
			addRandom(r, &b, kind, key, func() []byte { return make([]byte, r.IntN(60)) })
			if args := b.Args(len(b.Ops) - 1); args != nil && args.Deadline != 0 {
				args.Deadline = s.now + r.Int64N(1<<r.IntN(18)) // up to four minutes
			}
		}
		applyBoth(t, s.Engine, s.o, &b)
	}
	s.step = func() {
		if steps++; inside {
			return
		}
		inside = true
		defer func() { inside = false }()
		batch(r.IntN(20))
		switch r.IntN(100) {
		case 0:
			if s.Clear(); true {
				clear(s.o)
			}
		case 1, 2, 3:
			s.now += r.Int64N(500)
		}
	}
	// Some seeds come to no compaction in as many rounds: then there are more of them.
	enough := rounds(150)
	for i := 0; i < enough || i < 20*enough && s.Stats().Compactions == 0 && !isShort(); i++ {
		batch(r.IntN(4000))
		s.now += r.Int64N(1000)
		switch r.IntN(4) {
		case 0:
			s.Sweep()
		case 1:
			s.Maintain(true)
		default:
			s.Maintain(false)
		}
		if s.ClearsLeft() > 0 {
			continue // what they hold is no shard's
		}
		if err := s.CheckAsIs(); err != nil {
			t.Fatal(err)
		}
	}
	s.step = func() {}
	dropDead(s.Engine, s.o, s.now)
	checkSame(t, s.Engine, s.o)
	t.Logf("%d steps, %+v", steps, s.Stats())
	if st := s.Stats(); st.Compactions == 0 && !isShort() || st.Expired == 0 || steps == 0 {
		t.Errorf("%d steps, %d compactions, %d expired", steps, st.Compactions, st.Expired)
	}
}

// TestSweepCollisions: keys that share a position, and their reminders.
func TestSweepCollisions(t *testing.T) {
	for name, hash := range hashes {
		t.Run(name, func(t *testing.T) {
			r := newRand(t)
			s := newSwept(t, engine.Options{Shards: 2}.WithHash(hash))
			for range rounds(200) {
				for range r.IntN(20) {
					s.set(fmt.Sprint("key", r.IntN(100)), 1+r.Int64N(3000))
				}
				s.sweep(r.Int64N(500))
			}
			s.sweep(10_000)
			if s.Len() != 0 || s.Reminders() != 0 {
				t.Errorf("%d keys, %d reminders", s.Len(), s.Reminders())
			}
		})
	}
}

// TestSweepAtTheCeiling: a store that is full of what expires refuses, with nothing changed,
// and is empty when the time is over.
func TestSweepAtTheCeiling(t *testing.T) {
	for _, shards := range []int{1, 16} {
		s := newSwept(t, engine.Options{Shards: shards, MaxBytes: 2 * engine.ChunkBytes})
		b := engine.Batch{Now: s.now}
		refused := 0
		for i := 0; refused < 100; i++ {
			b.Now = s.now
			key := fmt.Append(nil, "key", i)
			b.AddArgs(engine.Set, key, []byte("v"), 0, engine.Args{Deadline: s.now + int64(i)%100_000 + 1000})
			s.Apply(&b)
			if b.Ops[0].Status == engine.OutOfMemory {
				refused++
			} else {
				s.o.apply(engine.Op{Kind: engine.Set, Key: key, Value: []byte("v")}, *b.Args(0), s.now)
			}
			b.Reset()
			if i%50_000 == 0 {
				s.sweep(1000)
			}
		}
		for key := range s.o {
			for _, sooner := range []bool{false, true} {
				deadline := s.now + 200_000
				if sooner {
					deadline = s.now + 500
				}
				b.AddArgs(engine.Expire, []byte(key), nil, 0, engine.Args{Deadline: deadline})
				s.Apply(&b)
				if b.Ops[0].Status == engine.Updated {
					s.o.apply(engine.Op{Kind: engine.Expire, Key: []byte(key)}, *b.Args(0), s.now)
				} else if st := b.Ops[0].Status; st != engine.OutOfMemory && !(st == engine.NotFound && s.o[key].isDead(s.now)) {
					t.Fatalf("status %d", st)
				}
				b.Reset()
			}
			if len(s.o)%7 == 0 {
				break
			}
		}
		for range 3000 {
			s.now += 100
			s.Maintain(false)
		}
		if st := s.Stats(); st.Keys != 0 || st.CalendarBytes != 0 {
			t.Errorf("%d shards: %+v", shards, st)
		}
		if err := s.CheckInvariants(); err != nil {
			t.Error(err)
		}
	}
}

// TestSweeperRuns: in a store that isn't simulated it drops what dies by itself, and sleeps
// when nothing does.
func TestSweeperRuns(t *testing.T) {
	var calls atomic.Int64
	var now atomic.Int64
	now.Store(1000)
	e := newEngine(t, engine.Options{Clock: func() int64 { calls.Add(1); return now.Load() }})
	for i := range 1000 {
		do(e, 0, engine.Set, fmt.Sprint("key", i), "", 0, engine.Args{Deadline: 2000})
	}
	wait := func(what string, ok func() bool) {
		t.Helper()
		for start := time.Now(); !ok(); time.Sleep(time.Millisecond) {
			if time.Since(start) > time.Minute {
				t.Fatal(what)
			}
		}
	}
	wait("no pass", func() bool { return calls.Load() > 1 })
	if e.Len() != 1000 {
		t.Errorf("%d keys before their time", e.Len())
	}
	now.Store(2000 + tick)
	wait("nothing is dropped", func() bool { return e.Len() == 0 })
	do(e, 0, engine.Set, "key", "", 0, engine.Args{Deadline: 2001})
	now.Add(tick)
	wait("it was not woken again", func() bool { return e.Len() == 0 })
}

// TestSweepStress: goroutines that make, prolong and remove what expires, beside the sweeper,
// the maintainer and Clears.
func TestSweepStress(t *testing.T) {
	var now atomic.Int64
	now.Store(1000)
	e := newEngine(t, engine.Options{Shards: 4, Clock: now.Load})
	base := newRand(t).Uint64()
	var batches atomic.Int64
	workers := newCrew(t)
	for g := range 3 {
		r := rand.New(rand.NewPCG(base, uint64(g)))
		workers.each(func(i int) {
			b := engine.Batch{Now: now.Load()}
			for range 50 {
				addRandom(r, &b, allKinds[r.IntN(len(allKinds))], func() []byte { return fmt.Append(nil, r.IntN(5000)) }, func() []byte { return make([]byte, r.IntN(50)) })
			}
			e.Apply(&b)
			batches.Add(1)
			if i%500 == 0 && g == 0 {
				e.Clear()
			}
		})
	}
	for batches.Load() < int64(rounds(10_000)) {
		now.Add(50)
		e.Sweep()
	}
	workers.stop()
	now.Add(1 << 20)
	e.Sweep()
	if st := e.Stats(); st.Expiring != 0 || st.Expired == 0 {
		t.Errorf("%+v", st)
	}
}
