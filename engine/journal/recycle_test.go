package journal

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestRecycled: segments that nothing needs are used again, and what was in them is not
// taken for the log's.
func TestRecycled(t *testing.T) {
	r := newRand(t)
	fs := newMemFS()
	o := open(t, fs, 4, small(Always))
	l := o.NewLane(func(uint64, error) {})
	recycled := 0
	fs.fail(func(op, name string) error {
		if op == "rename" && strings.HasPrefix(name, segmentPrefix) {
			recycled++
		}
		return nil
	})
	for range 20 {
		for range 10 {
			work(r, o, l, 10)
			o.Maintain()
		}
		if _, err := o.Snapshot(false); err != nil {
			t.Fatal(err)
		}
		work(r, o, l, 1)
		o.Maintain()
		got, report, err := recovered(fs.copyOf(), 4, Options{})
		if err != nil || !maps.Equal(got, o.store.content()) || report.Cut != nil {
			t.Fatalf("%v, cut %v: %d keys, want %d, or others", err, report.Cut, len(got), len(o.store.content()))
		}
	}
	if recycled < 10 {
		t.Errorf("%d segments were recycled", recycled)
	}
	if n := len(fs.names()); n > 40 {
		t.Errorf("%d files are left: %v", n, fs.names())
	}
}

// growAndSave has the log grow by so many segments, or one or two more, before a snapshot.
func growAndSave(t *testing.T, r *rand.Rand, o *opened, l *Lane, segments int) {
	t.Helper()
	for last := o.current.number; o.current.number < last+uint64(segments); {
		work(r, o, l, 1)
		o.Maintain()
	}
	if _, err := o.Snapshot(false); err != nil {
		t.Fatal(err)
	}
}

// openRecycling opens a journal some of whose segments wait to be used again.
func openRecycling(t *testing.T) (*rand.Rand, *memFS, *opened, *Lane) {
	t.Helper()
	r, fs := newRand(t), newMemFS()
	o := open(t, fs, 4, small(EverySec))
	l := o.NewLane(func(uint64, error) {})
	growAndSave(t, r, o, l, 10)
	growAndSave(t, r, o, l, 10)
	if len(o.recycled) < 10 {
		t.Fatalf("%d segments wait", len(o.recycled))
	}
	return r, fs, o, l
}

// TestNumberOfRecycled: as many segments wait to be used again as the last snapshot has freed, within
// bounds; the other ones are removed.
func TestNumberOfRecycled(t *testing.T) {
	r := newRand(t)
	fs := newMemFS()
	o := open(t, fs, 4, small(EverySec))
	l := o.NewLane(func(uint64, error) {})
	cycle := func(segments int) { t.Helper(); growAndSave(t, r, o, l, segments) }
	isFrom := func(what string, least, most int) {
		t.Helper()
		if n := len(o.recycled); n < least || n > most {
			t.Errorf("%s: %d wait, want %d to %d", what, n, least, most)
		}
		spare, log := 1, len(o.older)+1 // next, and current
		names := slices.DeleteFunc(fs.names(), func(name string) bool { return !strings.HasPrefix(name, segmentPrefix) })
		if len(names) > log+len(o.recycled)+spare {
			t.Errorf("%s: %d files, of which the log has %d, and %d wait", what, len(names), log, len(o.recycled))
		}
	}
	cycle(maxRecycled / 2)
	isFrom("the only snapshot keeps all before it", 0, 0)
	cycle(maxRecycled / 2)
	isFrom("the first cycle is freed", maxRecycled/2, maxRecycled/2+2)
	cycle(3 * maxRecycled)
	cycle(1)
	isFrom("a long one", maxRecycled, maxRecycled)
	cycle(1)
	isFrom("a short one", minRecycled, minRecycled)
}

// TestRecycledAtRestart: what waits to be used again is no part of the log of the next run, and waits
// there, too.
func TestRecycledAtRestart(t *testing.T) {
	r, fs, o, l := openRecycling(t)
	work(r, o, l, 1)
	want, log := len(o.recycled), len(o.older)+1
	next := open(t, fs.copyOf(), 4, small(EverySec))
	if n := next.Stats().Segments; n != log+1 { // it has begun one of its own
		t.Errorf("the log has %d segments, want %d", n, log+1)
	}
	if n := len(next.recycled); n < want-1 || n > want+1 { // the next one was made of one, and there was one
		t.Errorf("%d wait, want about %d", n, want)
	}
	if !maps.Equal(next.store.content(), o.store.content()) {
		t.Error("other keys")
	}
}

// TestRecycledIsNotCopied: a copy has no segments that wait to be used again.
func TestRecycledIsNotCopied(t *testing.T) {
	r, from, o, l := openRecycling(t)
	to := newMemFS()
	work(r, o, l, 1)
	if _, err := Copy(from, to); err != nil {
		t.Fatal(err)
	}
	if names, most := to.names(), len(o.older)+4; len(names) > most { // current, next, two snapshots
		t.Errorf("%d files, want %d at most; %d wait", len(names), most, len(o.recycled))
	}
	got, _, err := recovered(to, 4, Options{})
	if err != nil || !maps.Equal(got, o.store.content()) {
		t.Errorf("%v: %d keys, want %d, or others", err, len(got), len(o.store.content()))
	}
}

// TestSnapshotWithoutRoom: a snapshot that has no room has what waits to be used again removed, and is
// made then.
func TestSnapshotWithoutRoom(t *testing.T) {
	_, fs, o, _ := openRecycling(t)
	waited, removed := len(o.recycled), 0
	fs.fail(func(op, name string) error {
		_, segment := numberOf(name, segmentPrefix)
		switch {
		case op == "remove" && segment:
			removed++
		case op == "write" && strings.HasPrefix(name, snapshotPrefix) && removed < 5:
			return ErrFull
		}
		return nil
	})
	if _, err := o.Snapshot(false); err != nil {
		t.Errorf("%v, with %d segments that waited, of which %d were removed", err, waited, removed)
	}
	fs.fail(func(op, name string) error {
		if op == "write" && strings.HasPrefix(name, snapshotPrefix) {
			return ErrFull
		}
		return nil
	})
	if _, err := o.Snapshot(false); !isFull(err) {
		t.Errorf("without any room: %v", err)
	}
}

// TestSnapshotMakesRoom: a log that has filled a small disk alone, between two snapshots, makes room
// itself: writes are taken again, and at a restart too.
func TestSnapshotMakesRoom(t *testing.T) {
	for _, mode := range everyMode {
		fs := mode.newFS()
		o := open(t, fs, 2, small(mode.Mode))
		h := newHeld(o)
		room := 10
		fs.fail(func(op, name string) error {
			if _, segment := numberOf(name, segmentPrefix); segment && op == "remove" {
				room++
			} else if segment && op == "create" {
				if room == 0 {
					return syscall.ENOSPC
				}
				room--
			}
			return nil
		})
		write := func(i int) (refused bool) {
			if _, err := h.set(o, fmt.Sprint("key", i%5), strings.Repeat("v", 400)); err != nil {
				t.Fatalf("%s, write %d: %v", mode, i, err)
			}
			o.Maintain()
			_, refused = o.Refuses()
			return refused
		}
		hasRoom := func(what string) {
			t.Helper()
			if o.snapshotIsDue() {
				o.snapshotInBackground()
			}
			o.Maintain()
			if why, refuses := o.Refuses(); refuses {
				t.Fatalf("%s, %s: %s", mode, what, why)
			}
		}
		if _, err := o.Snapshot(false); err != nil {
			t.Fatal(err)
		}
		refused := 0
		for i := range 500 {
			o.snapshots.last.Ended, o.snapshots.last.Duration = time.Now(), time.Hour // it rests
			if write(i) {
				refused++
				hasRoom("with all segments used")
			}
		}
		if refused < 3 {
			t.Errorf("%s: there was no room %d times", mode, refused)
		}
		for i := 0; !write(i); i++ {
		}
		want := o.store.content()
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		o = open(t, fs, 4, small(mode.Mode))
		if !maps.Equal(o.store.content(), want) {
			t.Errorf("%s: other keys", mode)
		}
		h = newHeld(o)
		hasRoom("after a restart")
		write(1)
		if got, _, err := recovered(fs.copyOf(), 2, Options{}); err != nil || !maps.Equal(got, o.store.content()) {
			t.Errorf("%s: %v: %d keys, want %d, or others", mode, err, len(got), len(o.store.content()))
		}
	}
}

// TestRecycledIsKept: a segment that can't be used again now can be later.
func TestRecycledIsKept(t *testing.T) {
	for _, fails := range []string{"rename", "open"} {
		t.Run(fails, func(t *testing.T) {
			r, fs, o, l := openRecycling(t)
			failed := 0
			fs.fail(func(op, name string) error {
				if op == fails && strings.HasPrefix(name, segmentPrefix) && failed < 20 {
					failed++
					return syscall.EMFILE
				}
				return nil
			})
			waited, files := len(o.recycled), len(fs.names())
			for last := o.current.number; o.current.number == last && failed < 20; {
				work(r, o, l, 1)
				o.Maintain()
			}
			for range 30 {
				o.Maintain()
			}
			if n := len(o.recycled); n < waited-2 {
				t.Errorf("after %d faults %d wait, %d before", failed, n, waited)
			}
			if n := len(fs.names()); n > files+1 {
				t.Errorf("%d files, %d before", n, files)
			}
			growAndSave(t, r, o, l, 2)
		})
	}
}

// TestRecycledIsGone: segments that somebody has removed while they waited to be used again are not
// asked for over and over, with all writes refused in the end.
func TestRecycledIsGone(t *testing.T) {
	r, fs, o, l := openRecycling(t)
	for _, name := range o.recycled {
		if err := fs.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	for last := o.current.number; o.current.number < last+4; {
		work(r, o, l, 1)
		o.Maintain()
		if why, refused := o.Refuses(); refused && o.current.end > o.opts.SegmentBytes {
			t.Fatalf("writes are refused: %s", why)
		}
	}
	if got, _, err := recovered(fs.copyOf(), 4, Options{}); err != nil || !maps.Equal(got, o.store.content()) {
		t.Errorf("%v: %d keys, want %d, or others", err, len(got), len(o.store.content()))
	}
}
