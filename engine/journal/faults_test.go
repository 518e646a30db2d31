package journal

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// held is a lane that knows what has been released.
type held struct {
	*Lane
	mu  sync.Mutex
	to  uint64
	err error
}

func newHeld(o *opened) *held {
	h := &held{}
	h.Lane = o.NewLane(h.released)
	return h
}

func (h *held) released(upTo uint64, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.to = max(h.to, upTo)
	h.err = errors.Join(h.err, err)
}

// upTo returns what has been released, 0 after an error.
func (h *held) upTo() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err != nil {
		return 0
	}
	return h.to
}

// set logs a value and returns the position that its answer waits for.
func (h *held) set(o *opened, key, value string) (position uint64, err error) {
	h.Begin()
	o.store.set(h.Records(), Change{Key: []byte(key), Value: []byte(value)})
	h.End()
	position = o.Position()
	upTo, err := h.Done(position)
	h.released(upTo, nil)
	return position, err
}

// TestFails: a write or a sync that fails is the end: nothing that waits is released, and
// nothing is tried again.
func TestFails(t *testing.T) {
	for _, fault := range []string{"write", "sync"} {
		for _, mode := range everyMode[:3] {
			fs := mode.newFS()
			o := open(t, fs, 2, small(mode.Mode))
			h := newHeld(o)
			tries := 0
			fs.fail(func(op, name string) error {
				if op == fault && name == segmentName(o.current.number) {
					tries++
					return syscall.EIO
				}
				return nil
			})
			released := make(chan error, 10)
			o.NewLane(func(_ uint64, err error) { released <- err })
			position, err := h.set(o, "key", "value")
			if mode.Mode == EverySec && fault == "write" && !errors.Is(err, syscall.EIO) {
				t.Errorf("%s, %s: %v", fault, mode, err)
			}
			o.writeAndSync()
			if mode.Mode == Always && h.upTo() >= position {
				t.Errorf("%s, %s: released", fault, mode)
			}
			<-o.Failed()
			if err := <-released; !errors.Is(err, syscall.EIO) {
				t.Errorf("%s, %s: released with %v", fault, mode, err)
			}
			if _, refuses := o.Refuses(); !refuses {
				t.Errorf("%s, %s: writes are not refused", fault, mode)
			}
			for range 3 {
				o.Maintain()
				if _, err := h.Done(o.Position()); !errors.Is(err, syscall.EIO) {
					t.Errorf("%s, %s: then %v", fault, mode, err)
				}
			}
			if _, err := o.Snapshot(false); !errors.Is(err, syscall.EIO) {
				t.Errorf("%s, %s: a snapshot: %v", fault, mode, err)
			}
			if tries != 1 {
				t.Errorf("%s, %s: it was tried %d times", fault, mode, tries)
			}
			if text := o.Err().Error(); fault == "sync" && !strings.Contains(text, segmentName(o.current.number)) {
				t.Errorf("%s, %s: which file? %s", fault, mode, text)
			}
		}
	}
}

// TestNoSnapshot: however long there is no snapshot, only the segments that are written stay
// open, in every mode; and with No, too, a sync of those that are left that fails is the end.
func TestNoSnapshot(t *testing.T) {
	for _, mode := range everyMode {
		fs := mode.newFS()
		opts := small(mode.Mode)
		opts.Manual, opts.SnapshotBytes = false, 1<<40
		o := open(t, fs, 2, opts)
		h := newHeld(o)
		until := func(what string, is func() bool) {
			t.Helper()
			for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(100 * time.Microsecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%s: not %s in a minute: %+v, %d files are open", mode, what, o.Stats(), fs.numOpen())
				}
			}
		}
		grow := func() {
			if _, err := h.set(o, "key", strings.Repeat("v", 500)); err != nil && o.Err() == nil {
				t.Fatal(err)
			}
		}
		until("20 segments", func() bool { grow(); return o.Stats().Segments >= 20 })
		least := 2
		if mode.block > 0 {
			least = 4 // each twice
		}
		until("closed", func() bool { return fs.numOpen() <= least })
		if mode.Mode != No {
			continue
		}
		until("known to be on disk", func() bool {
			o.writer.Lock()
			defer o.writer.Unlock()
			return o.synced.Load() == o.current.begin
		})
		fs.fail(func(op, _ string) error {
			if op == "sync" {
				return syscall.EIO
			}
			return nil
		})
		until("failed", func() bool { grow(); return o.Err() != nil })
		if err := o.Err(); !errors.Is(err, syscall.EIO) {
			t.Error(err)
		}
	}
}

// TestDropped: what a failed sync has dropped is read from the system's cache by the next
// server. That has it on disk before it says so: a power cut, later, leaves no hole.
func TestDropped(t *testing.T) {
	for _, mode := range everyMode {
		for n := range 30 {
			fs := mode.newFS()
			opts := small(mode.Mode)
			o := open(t, fs, 2, opts)
			h := newHeld(o)
			write := func(key string, length int) {
				t.Helper()
				if _, err := h.set(o, key, strings.Repeat("v", length)); err != nil {
					t.Fatal(err)
				}
			}
			for i := range n {
				write(fmt.Sprint("key", i), 100)
				if i%7 == 0 {
					o.Maintain()
				}
			}
			o.keepUp()
			write("dropped", 50)
			if n == 10 && mode.block == 0 { // or the lane syncs it itself
				write("dropped, and long", 5*copyPieceBytes/2)
			}
			fs.fail(func(op, name string) error {
				if op == "sync" && (n%2 == 0 || name == segmentName(o.current.number)) {
					return syscall.EIO
				}
				return nil
			})
			o.writeAndSync()
			if o.Err() == nil {
				t.Fatal("it has not failed")
			}
			_ = o.Close()
			fs.fail(nil)
			o, err := tryOpen(fs, 2, opts)
			if err != nil {
				t.Fatal(err)
			}
			h = newHeld(o)
			write("after", 50)
			o.Maintain()
			want := o.store.content()
			got, report, err := recovered(fs.powerCut(), 2, Options{})
			if err != nil || report.Cut != nil || !maps.Equal(got, want) {
				t.Fatalf("%s, after %d writes: %d keys, want %d: %v, %v", mode, n, len(got), len(want), report.Cut, err)
			}
			_ = o.Close()
		}
	}
}

// TestWritesNothingAgain: what is known to be on disk is not written once more.
func TestWritesNothingAgain(t *testing.T) {
	for _, c := range []struct {
		mode  fsMode
		clean bool
		want  int // the last group, or the last header
	}{{everyMode[1], true, 1}, {everyMode[1], false, 1}, {everyMode[2], true, 0}, {everyMode[2], false, 1}} {
		fs := c.mode.newFS()
		o := open(t, fs, 2, small(Always))
		h := newHeld(o)
		for i := range 100 {
			if _, err := h.set(o, fmt.Sprint("key", i), strings.Repeat("v", 100)); err != nil {
				t.Fatal(err)
			}
			o.Maintain()
		}
		last := o.current.number
		if c.clean {
			if _, err := o.Snapshot(false); err != nil {
				t.Fatal(err)
			}
			last = o.current.number
		}
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		again := 0
		fs.fail(func(op, name string) error {
			if number, ok := numberOf(name, segmentPrefix); ok && op == "write" && number <= last {
				again++
				if number != last {
					t.Errorf("%s is written again, stopped clean: %t", name, c.clean)
				}
			}
			return nil
		})
		open(t, fs, 2, small(Always))
		if again != c.want { // a header that is filled up is known to be on disk with a snapshot
			t.Errorf("%s, stopped clean: %t: %d pieces are written again, want %d", c.mode, c.clean, again, c.want)
		}
	}
}

// TestFaultsEverywhere has each operation fail once, whichever it is, in a life of a
// journal. What was released is there afterwards, whether or not that was the end.
func TestFaultsEverywhere(t *testing.T) {
	for i, fault := range []error{syscall.EIO, syscall.ENOSPC, syscall.EACCES, syscall.EIO, syscall.ENOSPC} {
		for n := 0; ; n++ {
			fs := everyMode[1+i/3].newFS()
			left := n
			what := ""
			fs.fail(func(op, name string) error {
				left--
				if left == -1 {
					what = op + " " + name
					return fault
				}
				return nil
			})
			acknowledged := map[string]string{}
			err := lifeOf(fs, acknowledged)
			if left >= 0 {
				if err != nil {
					t.Fatalf("without a fault: %v", err)
				}
				if n < 100 {
					t.Errorf("only %d operations", n)
				}
				break
			}
			fs.fail(nil)
			fs.locked = false
			got, _, err := recovered(fs, 4, Options{})
			if err != nil {
				t.Fatalf("%v at operation %d, %s: afterwards %v", fault, n, what, err)
			}
			for k, v := range acknowledged {
				if !strings.HasPrefix(got[k], `"`+v+`"`) {
					t.Fatalf("%v at operation %d, %s: %s is %s, and was acknowledged as %s", fault, n, what, k, got[k], v)
				}
			}
		}
	}
}

// lifeOf opens a journal, logs, makes snapshots, ends and opens again. It stops at an error
// that is the journal's end.
func lifeOf(fs FS, acknowledged map[string]string) error {
	for run := range 3 {
		o, err := tryOpen(fs, 2, small(Always))
		if err != nil {
			return err
		}
		h := newHeld(o)
		waits := map[string]string{}
		for i := range 12 {
			key, value := string(rune('a'+i)), strings.Repeat(string(rune('0'+run)), 20)
			if _, refuses := o.Refuses(); refuses {
				break
			}
			delete(acknowledged, key) // it may be either now
			waits[key] = value
			position, err := h.set(o, key, value)
			o.Maintain()
			if err == nil && h.upTo() >= position {
				maps.Copy(acknowledged, waits)
				clear(waits)
			}
			if i == 6 && o.Err() == nil {
				_, _ = o.Snapshot(false) // without it the log is longer, no more
			}
		}
		if err := o.Err(); err != nil {
			_ = o.Close()
			return err
		}
		if err := o.Close(); err != nil {
			return err
		}
	}
	return nil
}

// TestStalls: while the disk stands still everything else goes on: positions, refusals,
// other lanes; and what waits is released when it moves again.
func TestStalls(t *testing.T) {
	for _, mode := range everyMode[1:3] {
		t.Run(mode.String(), func(t *testing.T) { testStalls(t, mode.newFS()) })
	}
}

func testStalls(t *testing.T, fs *memFS) {
	opts := small(Always)
	opts.Manual = false
	o := open(t, fs, 2, opts)
	stalled, moves := make(chan struct{}, 100), make(chan struct{})
	fs.fail(func(op, name string) error {
		if op == "sync" && name == segmentName(1) {
			stalled <- struct{}{}
			<-moves
		}
		return nil
	})
	const lanes = 200
	released := make(chan int, 10*lanes)
	var positions [lanes]atomic.Uint64
	for i := range lanes {
		l := o.NewLane(func(upTo uint64, err error) {
			if err == nil && upTo >= positions[i].Load() {
				released <- i
			}
		})
		l.Begin()
		o.store.set(l.Records(), Change{Key: []byte{byte(i)}})
		l.End()
		at := o.Position()
		positions[i].Store(at)
		if upTo, err := l.Done(at); upTo >= at || err != nil {
			t.Fatalf("lane %d: done up to %d of %d, %v", i, upTo, at, err)
		}
		if i == 0 {
			<-stalled
		}
	}
	if len(released) > 0 {
		t.Error("something is released before it is on disk")
	}
	close(moves)
	for is := make(map[int]bool); len(is) < lanes; {
		is[<-released] = true
	}
}

// TestGathered: a lane that waits for no answer gathers no more than its bound while the
// disk stands still.
func TestGathered(t *testing.T) {
	fs := newMemFS()
	o := open(t, fs, 2, small(Always)) // nobody syncs
	lane := o.NewLane(func(uint64, error) {})
	for range 1000 {
		lane.Begin()
		o.store.set(lane.Records(), Change{Key: []byte("key"), Value: make([]byte, 100)})
		lane.End()
		if n := len(lane.records); n > (gatheredGroups+1)*o.opts.GroupBytes {
			t.Fatalf("%d bytes are gathered", n)
		}
	}
	if o.Kept() > 0 {
		t.Error("what is written counts as synced")
	}
}
