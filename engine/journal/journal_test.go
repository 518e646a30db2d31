package journal

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// small are options that reach every limit soon.
func small(mode Mode) Options {
	return Options{Mode: mode, SegmentBytes: 4 << 10, GroupBytes: 1 << 10, SnapshotBytes: 16 << 10, Manual: true}
}

// work has a lane log n batches.
func work(r *rand.Rand, o *opened, l *Lane, n int) {
	for range n {
		l.Begin()
		for range r.IntN(8) {
			randomEffect(r, o.store, l.Records(), 100)
		}
		l.End()
		if r.IntN(4) == 0 {
			_, _ = l.Done(o.Position())
		}
	}
	_, _ = l.Done(o.Position())
}

// TestRestarts: what was logged is there after each of many runs, with any numbers of
// shards, in every mode, with snapshots at any time and without.
func TestRestarts(t *testing.T) {
	r := newRand(t)
	for _, mode := range everyMode {
		for range 30 {
			fs := mode.newFS()
			want := map[string]string{}
			for run := range 1 + r.IntN(8) {
				o, err := tryOpen(fs, 1<<r.IntN(5), small(mode.Mode))
				if err != nil {
					t.Fatalf("%s, run %d: %v", mode, run, err)
				}
				if got := o.store.content(); !maps.Equal(got, want) {
					t.Fatalf("%s, run %d: %d keys, want %d, or others", mode, run, len(got), len(want))
				}
				if o.report.Cut != nil || o.report.Skipped != nil {
					t.Fatalf("%s, run %d: %v, %v", mode, run, o.report.Cut, o.report.Skipped)
				}
				if run > 0 && o.Keys() != o.report.SnapshotKeys {
					t.Errorf("%s, run %d: %d keys are expected, the snapshot has %d", mode, run, o.Keys(), o.report.SnapshotKeys)
				}
				lanes := []*Lane{o.NewLane(func(uint64, error) {}), o.NewLane(func(uint64, error) {})}
				for range r.IntN(30) {
					work(r, o, lanes[r.IntN(2)], 1+r.IntN(20))
					if r.IntN(3) == 0 {
						o.Maintain()
					}
					if r.IntN(10) == 0 {
						if info, err := o.Snapshot(r.IntN(2) == 0); err != nil || info.Keys != uint64(len(o.store.content())) {
							t.Fatalf("%s: a snapshot of %d keys, want %d: %v", mode, info.Keys, len(o.store.content()), err)
						}
					}
				}
				want = o.store.content()
				st := o.Stats()
				if r.IntN(2) == 0 {
					err = o.Close()
				} else { // as a process that is killed: what is in the files stays
					for _, l := range lanes {
						_, _ = l.Done(o.Position())
					}
					o.Maintain()
					fs.locked = false
				}
				if err != nil {
					t.Fatal(err)
				}
				if st.Errors != 0 || st.Refusing {
					t.Errorf("%+v", st)
				}
			}
		}
	}
}

// fails is a sink that takes nothing.
type fails struct{ nowhere }

func (fails) Apply([]Change) error { return os.ErrDeadlineExceeded }

// TestSinkFails: when the store takes no more, as at a stop, what is left of the log is not read.
func TestSinkFails(t *testing.T) {
	fs := newMemFS()
	for range 2 {
		o := open(t, fs, 2, small(EverySec))
		if _, err := newHeld(o).set(o, "key", "value"); err != nil {
			t.Fatal(err)
		}
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
	}
	j, err := Open(fs, Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	// The second run waits until the store has what the first one did.
	if report, err := j.Recover(fails{}); err != os.ErrDeadlineExceeded || report.Groups != 2 {
		t.Errorf("%v after %d groups, want 2", err, report.Groups)
	}
}

// TestReadOnly: looking at a directory changes nothing.
func TestReadOnly(t *testing.T) {
	r := newRand(t)
	fs := newMemFS()
	o := open(t, fs, 4, small(Always))
	work(r, o, o.NewLane(func(uint64, error) {}), 200)
	o.Maintain()
	fs.locked = false
	fs.fail(func(op, name string) error {
		if op == "read" || op == "open" || op == "list" {
			return nil
		}
		t.Errorf("%s of %s", op, name)
		return nil
	})
	got, report, err := recovered(fs, 8, Options{})
	if err != nil || !maps.Equal(got, o.store.content()) || report.Effects == 0 {
		t.Errorf("%v: %d keys, %+v", err, len(got), report)
	}
}

// TestConcurrent has goroutines log at the same time, in every mode, with what goes on in
// the background, and snapshots. Each waits for its answers; at the end all is there. Then
// every copy that was made of the files meanwhile is a state that has what was acknowledged
// before it.
func TestConcurrent(t *testing.T) {
	seed := newRand(t).Uint64()
	for _, mode := range everyMode {
		t.Run(mode.String(), func(t *testing.T) {
			fs := mode.newFS()
			opts := small(mode.Mode)
			opts.Manual = false
			o := open(t, fs, 8, opts)
			var mine [4]sync.Map // what each goroutine has been acknowledged, by its keys
			var workers, copier sync.WaitGroup
			for g := range len(mine) {
				workers.Go(func() { acknowledge(t, o, rand.New(rand.NewPCG(seed, uint64(g))), g, &mine[g]) })
			}
			stop := make(chan struct{})
			copier.Go(func() {
				for range 5 {
					if _, err := o.Snapshot(true); err != nil {
						t.Error(err)
					}
				}
				close(stop)
			})
			for n := 0; n < 4; n++ {
				before := make([]map[string]uint64, len(mine))
				for g := range mine {
					before[g] = make(map[string]uint64)
					mine[g].Range(func(k, v any) bool { before[g][k.(string)] = v.(uint64); return true })
				}
				if n == 3 {
					workers.Wait()
				}
				got, _, err := recovered(fs.copyOf(), 4, Options{Truncate: true})
				if err != nil {
					t.Fatal(err)
				}
				for g := range before {
					for k, count := range before[g] {
						var is uint64
						if _, err := fmt.Sscanf(got[k], "\"%d", &is); err != nil || is < count {
							t.Fatalf("%s is %q, and was acknowledged as %d", k, got[k], count)
						}
					}
				}
			}
			workers.Wait()
			<-stop
			copier.Wait()
			want := o.store.content()
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
			if got, _, err := recovered(fs, 2, Options{}); err != nil || !maps.Equal(got, want) {
				t.Errorf("%v: %d keys, want %d, or others", err, len(got), len(want))
			}
		})
	}
}

// acknowledge counts up the values of keys of one goroutine, and notes in done what has
// been acknowledged.
func acknowledge(t *testing.T, o *opened, r *rand.Rand, g int, done *sync.Map) {
	var mu sync.Mutex
	released := sync.NewCond(&mu)
	upTo, failed := uint64(0), error(nil)
	l := o.NewLane(func(to uint64, err error) {
		mu.Lock()
		defer mu.Unlock()
		upTo, failed = max(upTo, to), err
		released.Broadcast()
	})
	for i := range uint64(300) {
		var keys []string
		l.Begin()
		for range 1 + r.IntN(5) {
			k := fmt.Sprintf("g%d-%d", g, r.IntN(30))
			o.store.set(l.Records(), Change{Key: []byte(k), Value: fmt.Append(nil, i)})
			keys = append(keys, k)
		}
		l.End()
		position := o.Position()
		to, err := l.Done(position)
		mu.Lock()
		for upTo = max(upTo, to); err == nil && failed == nil && upTo < position; {
			released.Wait()
		}
		err = errors.Join(err, failed)
		mu.Unlock()
		if err != nil {
			t.Error(err)
			return
		}
		for _, k := range keys {
			done.Store(k, i)
		}
	}
}

// TestClosed: of what is in a group, all that came before in its shard is in it or in one
// before. So a log that is cut after any group misses nothing in between.
func TestClosed(t *testing.T) {
	seed := newRand(t).Uint64()
	fs := newMemFS()
	opts := small(No)
	opts.SegmentBytes = 1 << 20
	o := open(t, fs, 8, opts)
	var workers sync.WaitGroup
	for g := range uint64(4) {
		l := o.NewLane(func(uint64, error) {})
		workers.Go(func() { work(rand.New(rand.NewPCG(seed, g)), o, l, 200) })
	}
	workers.Wait()
	name := segmentName(1)
	b := fs.files[name].data
	h, _, _ := readSegmentHeader(b)
	groups := 0
	for at := segmentHeaderBytes; ; groups++ {
		cut := fs.copyOf()
		cut.files[name].data = b[:at]
		if _, _, err := recovered(cut, 4, Options{}); err != nil {
			t.Fatalf("after %d groups: %v", groups, err)
		}
		g, ok := readGroup(b[at:], 1, h.begin+uint64(at-segmentHeaderBytes))
		if !ok {
			break
		}
		at += g.bytes
	}
	if groups < 50 {
		t.Errorf("only %d groups", groups)
	}
}

// TestPosition says what has to wait.
func TestPosition(t *testing.T) {
	fs := newMemFS()
	o := open(t, fs, 2, small(Always))
	released := uint64(0)
	a, b := o.NewLane(func(to uint64, err error) { released = to }), o.NewLane(func(uint64, error) {})
	at := o.Position()
	if to, err := a.Done(at); to < at || err != nil {
		t.Fatalf("nothing was written, and it waits: %d of %d, %v", to, at, err)
	}
	a.Begin()
	if p := o.Position(); p <= at {
		t.Error("what is being applied need not be waited for")
	}
	o.store.set(a.Records(), Change{Key: []byte("k")})
	a.End()
	other := o.Position() // of one that may have read it
	if to, _ := b.Done(other); to >= other {
		t.Error("what was read and is not on disk is not waited for")
	}
	if p := o.Position(); p != other {
		t.Errorf("position %d, want %d", p, other)
	}
	if to, _ := a.Done(other); to >= other {
		t.Error("it is not on disk, and not waited for")
	}
	o.Maintain()
	if released < other {
		t.Errorf("released up to %d, want %d", released, other)
	}
	if to, _ := b.Done(o.Position()); to < other {
		t.Error("it is on disk, and still waited for")
	}
	if _, err := a.Done(1 << 40); err != nil { // a position that nothing leads to
		t.Error(err)
	}
}

// TestUnsyncedAge: nothing that is on disk counts, and of what is not, nothing is younger than
// it is said to be.
func TestUnsyncedAge(t *testing.T) {
	for _, mode := range everyMode {
		fs := mode.newFS()
		o := open(t, fs, 2, small(mode.Mode))
		h := newHeld(o)
		during := time.Duration(0)
		fs.fail(func(op, name string) error {
			if op == "sync" && name == segmentName(o.current.number) {
				during = o.Stats().UnsyncedAge
			}
			return nil
		})
		for i := range 100 {
			if age := o.Stats().UnsyncedAge; age != 0 {
				t.Fatalf("%s: all is on disk, and %s old", mode, age)
			}
			began := time.Now()
			if _, err := h.set(o, fmt.Sprint("key", i), strings.Repeat("v", 200)); err != nil {
				t.Fatal(err)
			}
			written := time.Now()
			least := time.Since(written)
			if age := o.Stats().UnsyncedAge; mode.Mode != Always && (age == 0 || age < least) {
				t.Fatalf("%s: what was written %s ago is %s old", mode, least, age)
			}
			during = 0
			o.Maintain()
			if during <= 0 || mode.Mode == Always && during > time.Since(began) {
				t.Fatalf("%s: during the sync it is %s old", mode, during)
			}
		}
		// What is written during a sync is not on disk after it.
		if mode.Mode != Always {
			var written time.Time
			fs.fail(func(op, name string) error {
				if op == "sync" && written.IsZero() {
					_, _ = h.set(o, "meanwhile", "v")
					written = time.Now()
				}
				return nil
			})
			_, _ = h.set(o, "before", "v")
			o.writeAndSync()
			least := time.Since(written)
			if age := o.Stats().UnsyncedAge; age == 0 || age < least {
				t.Errorf("%s: what was written during a sync, %s ago, is %s old", mode, least, age)
			}
			o.writeAndSync()
		}
		// A segment that is left takes with it what is in it.
		if mode.Mode == No {
			_, _ = h.set(o, "left", strings.Repeat("v", 200))
			left := time.Now()
			for segment := o.current.number; o.current.number == segment; {
				_, _ = h.set(o, "more", strings.Repeat("v", 200))
			}
			o.tidy()
			if age := o.Stats().UnsyncedAge; age <= 0 || age > time.Since(left)+2*time.Millisecond { // created is in ms
				t.Errorf("%s old, %s since the segment was left", age, time.Since(left))
			}
		}
	}
}

// TestSnapshotsAreMade: with what goes on in the background the log stays short.
func TestSnapshotsAreMade(t *testing.T) {
	r := newRand(t)
	fs := newMemFS()
	opts := small(EverySec)
	opts.Manual = false
	o := open(t, fs, 4, opts)
	l := o.NewLane(func(uint64, error) {})
	for deadline := time.Now().Add(time.Minute); o.Stats().Snapshots < 3; {
		work(r, o, l, 50)
		if time.Now().After(deadline) {
			t.Fatalf("no snapshots in a minute: %+v", o.Stats())
		}
	}
	want := o.store.content()
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	got, report, err := recovered(fs, 4, opts)
	if err != nil || !maps.Equal(got, want) || report.Snapshot == "" {
		t.Errorf("%v: %d keys, want %d, %+v", err, len(got), len(want), report)
	}
}

// TestSnapshotIsDue: when the log has grown, and the last snapshot is long enough ago, or it
// has grown by far too much.
func TestSnapshotIsDue(t *testing.T) {
	r := newRand(t)
	o := open(t, newMemFS(), 4, small(EverySec))
	l := o.NewLane(func(uint64, error) {})
	grow := func(by int64) {
		for to := o.position.Load() + uint64(by); o.position.Load() < to; {
			work(r, o, l, 1)
		}
	}
	s := &o.snapshots
	isDue := func(what string, want bool) {
		t.Helper()
		if got := o.snapshotIsDue(); got != want {
			t.Errorf("%s: due %v", what, got)
		}
		s.busy = false
	}
	limit := o.opts.SnapshotBytes
	isDue("at first", false)
	s.position = o.position.Load()
	grow(limit + 1)
	isDue("grown, and none yet", true)
	s.last = SnapshotInfo{Duration: time.Hour, Ended: time.Now().Add(-restParts*time.Hour + time.Minute)}
	isDue("not long ago", false)
	s.last.Ended = s.last.Ended.Add(-time.Minute)
	isDue("long ago", true)
	s.last.Ended = time.Now()
	grow((smallParts - 2) * limit)
	isDue("just now", false)
	grow(limit)
	isDue("grown by too much for a small store", true)
	s.bytes = limit * (smallParts + 1)
	isDue("no more than the last snapshot allows", false)
	s.bytes = limit * (smallParts - 1)
	isDue("more than the last snapshot allows, but just now", false)
	grow(mostParts*s.bytes - smallParts*limit)
	isDue("grown by too much", true)
}
