package journal

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// answers has the journal say how it is, and reports whether it does.
func answers(j *Journal) bool {
	said := make(chan struct{})
	go func() {
		defer close(said)
		_ = j.Stats()
		_, _ = j.Refuses()
		_, _, _ = j.Position(), j.Kept(), j.Err()
	}()
	select {
	case <-said:
		return true
	case <-time.After(10 * time.Second):
		return false
	}
}

// TestStatsWaitForNoDisk: whichever operation stands still, the numbers can be read.
func TestStatsWaitForNoDisk(t *testing.T) {
	for _, mode := range everyMode {
		fs := mode.newFS()
		asked := map[string]int{}
		wait := func(j *Journal, fault func(op, name string) error) {
			fs.fail(func(op, name string) error {
				what := op
				if n, ok := numberOf(name, segmentPrefix); ok && n > 0 {
					what += " of a segment"
				}
				asked[what]++
				if !t.Failed() && !answers(j) {
					t.Errorf("%s: the numbers wait for %s %s", mode, op, name)
				}
				if fault != nil {
					return fault(op, name)
				}
				return nil
			})
		}
		for run := range 2 {
			opts := small(mode.Mode)
			opts.SnapshotBytes = 1 << 40
			j, err := Open(fs, opts)
			if err != nil {
				t.Fatal(err)
			}
			o := &opened{j, newStore(2), Report{}}
			if o.report, err = j.Recover(o.store); err != nil {
				t.Fatal(err)
			}
			wait(j, nil)
			if err := j.Start(o.store); err != nil {
				t.Fatal(err)
			}
			h := newHeld(o)
			set := func(i int) {
				if _, err := h.set(o, fmt.Sprint("key", i%10), strings.Repeat("v", 200)); err != nil {
					t.Fatal(err)
				}
			}
			for i := range 120 {
				set(i)
				if i%2 == 0 {
					o.startSync()
				}
				o.Maintain()
				if mode.Mode == No {
					o.tidy()
				}
			}
			full := true // for a segment's write, until there is room again
			wait(j, func(op, name string) error {
				if full && op == "write" && strings.HasPrefix(name, segmentPrefix) {
					return syscall.ENOSPC
				}
				return nil
			})
			set(0)
			o.writeAndSync()
			if !o.Stats().Refusing {
				t.Errorf("%s, run %d: there is room", mode, run)
			}
			full = false
			o.Maintain()
			if st := o.Stats(); st.Refusing || st.Segments < 3 {
				t.Errorf("%s, run %d: %+v", mode, run, st)
			}
			for range 3 { // the second frees many segments, the third few: so not all of them wait any more
				if _, err := o.Snapshot(true); err != nil {
					t.Fatal(err)
				}
			}
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
			fs.fail(nil)
		}
		for _, what := range []string{"create of a segment", "reserve of a segment", "write of a segment", "sync of a segment", "rename of a segment", "remove of a segment", "syncdir", "list", "create", "write", "sync", "rename"} {
			if asked[what] == 0 && (what != "rename of a segment" || mode.Mode == Always) {
				t.Errorf("%s: there was no %s: %v", mode, what, asked)
			}
		}
	}
}

// TestStatsOfSegments: as many segments are counted, and as many bytes, as there are files of the
// log.
func TestStatsOfSegments(t *testing.T) {
	r := newRand(t)
	for _, mode := range everyMode {
		fs := mode.newFS()
		o := open(t, fs, 2, small(mode.Mode))
		h := newHeld(o)
		last := uint64(0)
		for i := range 200 {
			length := 1 + r.IntN(300)
			if r.IntN(20) == 0 {
				length = 3 * int(o.opts.SegmentBytes) // more than a segment has room for
			}
			if _, err := h.set(o, fmt.Sprint("key", i%10), strings.Repeat("v", length)); err != nil {
				t.Fatal(err)
			}
			if mode.Mode == Always || r.IntN(3) == 0 { // what is under way is in no file
				o.Maintain()
			}
			if r.IntN(20) == 0 {
				if _, err := o.Snapshot(false); err != nil {
					t.Fatal(err)
				}
			}
			first := o.current.number
			if len(o.older) > 0 {
				first = o.older[0].number
			}
			segments, bytes := 0, int64(0)
			fs.mu.Lock()
			for name, f := range fs.files {
				if n, ok := numberOf(name, segmentPrefix); ok && n >= first && n <= o.current.number {
					segments++
					bytes += int64(len(f.data))
				}
			}
			fs.mu.Unlock()
			st := o.Stats()
			if st.Segments != segments || st.SegmentBytes != bytes {
				t.Fatalf("%s: %d segments of %d bytes, and there are %d of %d", mode, st.Segments, st.SegmentBytes, segments, bytes)
			}
			if st.Position <= last || st.SinceSnapshot > st.Position {
				t.Fatalf("%s: the log ends at %d, after %d: %+v", mode, st.Position, last, st)
			}
			last = st.Position
		}
	}
}

// TestStatsBeforeRecovery: a journal that has only been opened has numbers, too.
func TestStatsBeforeRecovery(t *testing.T) {
	j, err := Open(newMemFS(), small(EverySec))
	if err != nil {
		t.Fatal(err)
	}
	if st := j.Stats(); st.Position != 0 || st.SegmentBytes != 0 {
		t.Errorf("%+v", st)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}

// TestSteps: each write is a step, and while a snapshot is made there is one, at the latest, with a
// sync of what a disk takes in a moment.
func TestSteps(t *testing.T) {
	for _, mode := range []fsMode{{EverySec, 0}, {Always, 32}} {
		fs := mode.newFS()
		o := open(t, fs, 2, Options{Mode: mode.Mode, Manual: true})
		h := newHeld(o)
		const values, valueBytes = 10, snapshotSyncBytes / 8
		for i := range values {
			before := o.Stats().Steps
			if _, err := h.set(o, fmt.Sprint("key", i), strings.Repeat("v", valueBytes)); err != nil {
				t.Fatal(err)
			}
			o.Maintain()
			if o.Stats().Steps == before {
				t.Errorf("%s: a write is no step", mode)
			}
		}
		syncs, last := 0, o.Stats().Steps
		fs.fail(func(op, name string) error {
			if steps := o.Stats().Steps; op == "sync" && strings.HasPrefix(name, snapshotPrefix) {
				if syncs++; steps == last {
					t.Errorf("%s: no step before sync %d of the snapshot", mode, syncs)
				}
				last = steps
			}
			return nil
		})
		if _, err := o.Snapshot(false); err != nil || syncs != 2 {
			t.Errorf("%s: a snapshot with %d syncs, %v", mode, syncs, err)
		}
	}
}
