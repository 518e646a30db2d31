package journal

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
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

// TestShortWrites: a write that finds no room, after any of its bytes, loses nothing: what
// waits is held, writes are refused, and when there is room again all goes on.
func TestShortWrites(t *testing.T) {
	r := newRand(t)
	for _, mode := range everyMode {
		fs := mode.newFS()
		o := open(t, fs, 2, small(mode.Mode))
		h := newHeld(o)
		work(r, o, h.Lane, 5)
		o.Maintain()
		for room := range 70 {
			fs.short = func(_ string, n int) int { return min(n, room) }
			position, err := h.set(o, "key", strings.Repeat("v", 30))
			o.Maintain()
			if err != nil || h.upTo() >= position {
				t.Fatalf("%s, room for %d: released up to %d of %d, %v", mode, room, h.upTo(), position, err)
			}
			if _, refuses := o.Refuses(); !refuses {
				t.Fatalf("%s: writes are not refused", mode)
			}
			if room%10 == 0 { // a server that is killed now has what was done before
				got, _, err := recovered(fs.copyOf(), 2, Options{})
				if err != nil || room > 0 && got["key"] == "" {
					t.Fatalf("%s: %d keys, %v", mode, len(got), err)
				}
			}
			fs.short = nil
			o.Maintain()
			o.Maintain()
			if h.upTo() < position {
				t.Fatalf("%s: released up to %d, want %d", mode, h.upTo(), position)
			}
			if why, refuses := o.Refuses(); refuses {
				t.Fatalf("%s: %s", mode, why)
			}
		}
		if got, _, err := recovered(fs.copyOf(), 2, Options{}); err != nil || !maps.Equal(got, o.store.content()) {
			t.Fatalf("%s: %v", mode, err)
		}
		if o.Err() != nil {
			t.Error(o.Err())
		}
	}
}

// TestRoomAgain: what was noted while a group had found no room is written with the first room
// there is, though nobody writes any more, and all that wait for it are told.
func TestRoomAgain(t *testing.T) {
	for _, mode := range []Mode{EverySec, No} {
		fs := newMemFS()
		o := open(t, fs, 2, small(mode))
		lanes := []*held{newHeld(o), newHeld(o), newHeld(o)}
		fs.short = func(string, int) int { return 0 }
		var last uint64
		for i, h := range lanes { // the first one's group is stuck, and the others behind it
			position, err := h.set(o, fmt.Sprint("key", i), "value")
			if err != nil || h.upTo() >= position {
				t.Fatalf("%s, %d: released up to %d of %d, %v", mode, i, h.upTo(), position, err)
			}
			last = position
		}
		fs.short = nil
		o.keepUp()
		for i, h := range lanes {
			if h.upTo() < last {
				t.Errorf("%s, %d: released up to %d of %d", mode, i, h.upTo(), last)
			}
		}
	}
}

// TestNoNextSegment: when no segment can be reserved, writes are refused before this one
// is full, and taken again when there is room.
func TestNoNextSegment(t *testing.T) {
	fs := newMemFS()
	o := open(t, fs, 2, small(Always))
	h := newHeld(o)
	for _, fault := range []string{"create", "reserve", "sync", "syncdir"} {
		o.Maintain()
		number := o.next.number
		fs.fail(func(op, name string) error {
			if op == fault && (name == "" || name > segmentName(number)) {
				return syscall.ENOSPC
			}
			return nil
		})
		refused := false
		for i := 0; i < 1000 && !refused; i++ {
			position, err := h.set(o, "key", strings.Repeat("v", 30))
			o.Maintain()
			if err != nil || h.upTo() < position {
				t.Fatalf("%s: released up to %d of %d, %v", fault, h.upTo(), position, err)
			}
			_, refused = o.Refuses()
		}
		if !refused {
			t.Fatalf("%s: writes are taken for ever", fault)
		}
		if room := o.current.size - o.current.end; room < 512 {
			t.Errorf("%s: %d bytes of room are left when writes are refused", fault, room)
		}
		fs.fail(nil)
		o.Maintain()
		if why, refuses := o.Refuses(); refuses {
			t.Errorf("%s: with room: %s", fault, why)
		}
	}
	if got, _, err := recovered(fs.copyOf(), 2, Options{}); err != nil || !maps.Equal(got, o.store.content()) {
		t.Error(err)
	}
}

// TestRefusalSaysWhy: whoever is refused is told what the fault is, without the names of files;
// only a full disk is called so.
func TestRefusalSaysWhy(t *testing.T) {
	for _, fault := range []error{syscall.ENOSPC, syscall.EMFILE, syscall.EACCES, syscall.EIO} {
		fs := newMemFS()
		opts := small(EverySec)
		var said []string
		opts.Log = func(_ bool, text string, args ...any) { said = append(said, fmt.Sprint(text, args)) }
		o := open(t, fs, 2, opts)
		fs.fail(func(op, _ string) error {
			if op == "create" {
				return &os.PathError{Op: "open", Path: "/secret", Err: fault}
			}
			return nil
		})
		h := newHeld(o)
		why, refused := "", false
		for i := 0; !refused; i++ {
			if _, err := h.set(o, "key", strings.Repeat("v", 100)); err != nil || i > 1000 {
				t.Fatalf("write %d: %v", i, err)
			}
			o.Maintain()
			why, refused = o.Refuses()
		}
		full := fault == syscall.ENOSPC
		if strings.Contains(why, "no room") != full || strings.Contains(why, fault.Error()) == full || strings.Contains(why, "secret") {
			t.Errorf("%v: refused with %q", fault, why)
		}
		if log := strings.Join(said, "\n"); !strings.Contains(log, fault.Error()) || strings.Contains(log, "no room") {
			t.Errorf("%v: the log has %s", fault, log)
		}
	}
}

// TestFullDisk: the same with segments of the usual size, on a disk that has room for two:
// writes are refused while an eighth of a segment is left, and what was being done finds
// room.
func TestFullDisk(t *testing.T) {
	fs := newMemFS()
	o := open(t, fs, 2, Options{Mode: EverySec, SnapshotBytes: 1 << 40, Manual: true})
	fs.fail(func(op, name string) error {
		if op == "reserve" && name > segmentName(2) {
			return syscall.ENOSPC
		}
		return nil
	})
	h := newHeld(o)
	value := strings.Repeat("v", 200<<10)
	write := func(i int) {
		if position, err := h.set(o, fmt.Sprint("key", i%3), value); err != nil || o.Kept() < position {
			t.Fatalf("write %d: %d of %d are kept, %v", i, o.Kept(), position, err)
		}
	}
	n, refused := 0, false
	for ; !refused && n < 1000; n++ {
		write(n)
		o.Maintain()
		_, refused = o.Refuses()
	}
	room := o.current.size - o.current.end
	if !refused || o.current.number != 2 || room < DefaultSegmentBytes/8-256<<10 {
		t.Fatalf("after %d writes in segment %d %d bytes are left, refused: %t", n, o.current.number, room, refused)
	}
	for range room/(256<<10) - 1 {
		write(n) // what had been admitted before
		n++
	}
	fs.fail(nil)
	o.Maintain()
	if why, refuses := o.Refuses(); refuses {
		t.Errorf("with room: %s", why)
	}
	for range 10 {
		write(n)
		n++
	}
	if got, _, err := recovered(fs.copyOf(), 2, Options{}); err != nil || !maps.Equal(got, o.store.content()) || o.current.number != 3 {
		t.Errorf("segment %d: %v", o.current.number, err)
	}
}

// TestStartWithoutRoom starts on a disk that has no room for a segment, whichever operation
// finds that out: what is there is read, writes are refused, a stop loses nothing, and all
// goes on when there is room.
func TestStartWithoutRoom(t *testing.T) {
	for _, mode := range everyMode {
		fs := mode.newFS()
		full := func(fault string, after int) {
			fs.fail(func(op, name string) error {
				if op == fault && strings.HasPrefix(name, segmentPrefix) {
					if after--; after < 0 {
						return syscall.ENOSPC
					}
				}
				return nil
			})
		}
		// The first server goes until it has no spare segment any more.
		o := open(t, fs, 2, small(mode.Mode))
		full("create", 0)
		h := newHeld(o)
		for i, refused := 0, false; !refused; i++ {
			if _, err := h.set(o, fmt.Sprint("key", i), "value"); err != nil || i > 1000 {
				t.Fatalf("%s, write %d: %v", mode, i, err)
			}
			o.Maintain()
			_, refused = o.Refuses()
		}
		want := o.store.content()
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		for _, fault := range []struct {
			op    string
			after int
		}{{"create", 0}, {"reserve", 0}, {"write", 0}, {"write", 1}, {"write", 2}, {"write", 3}} {
			if fault.op == "create" {
				fs.fail(nil)
				for _, name := range fs.names() { // no spare
					if n, _ := numberOf(name, segmentPrefix); n > o.last {
						_ = fs.Remove(name)
					}
				}
			}
			what := fmt.Sprintf("%s, %s %d", mode, fault.op, fault.after)
			full(fault.op, fault.after)
			o, err := tryOpen(fs, 4, small(mode.Mode))
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if got := o.store.content(); !maps.Equal(got, want) {
				t.Fatalf("%s: %d keys, want %d, or others", what, len(got), len(want))
			}
			_, refuses := o.Refuses()
			if begun := o.current != nil; refuses == begun || begun && fault.op != "write" {
				t.Fatalf("%s: refused: %t, begun: %t", what, refuses, begun)
			}
			h := newHeld(o)
			o.Maintain()
			if at := o.Position(); h.upTo() < at {
				if upTo, err := h.Done(at); upTo < at || err != nil {
					t.Fatalf("%s: a read waits, %v", what, err)
				}
			}
			if o.current == nil {
				if _, err := o.Snapshot(false); !isFull(err) {
					t.Errorf("%s: a snapshot: %v", what, err)
				}
			}
			if fault.after%2 == 1 { // a stop without room, too
				if err := o.Close(); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				if o, err = tryOpen(fs, 4, small(mode.Mode)); err != nil {
					t.Fatalf("%s, once more: %v", what, err)
				}
				h = newHeld(o)
			}
			// A write that has been admitted all the same is held.
			position, err := h.set(o, "late", what)
			if err != nil || o.current == nil && h.upTo() >= position {
				t.Fatalf("%s: released up to %d of %d, %v", what, h.upTo(), position, err)
			}
			fs.fail(nil)
			o.Maintain()
			o.Maintain()
			if why, refuses := o.Refuses(); refuses || h.upTo() < position {
				t.Fatalf("%s: with room: released up to %d of %d, refused: %s", what, h.upTo(), position, why)
			}
			want = o.store.content()
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
			if got, report, err := recovered(fs, 1, Options{}); err != nil || report.Cut != nil || !maps.Equal(got, want) {
				t.Fatalf("%s, afterwards: %d keys, want %d: %v, %v", what, len(got), len(want), report.Cut, err)
			}
		}
	}
}

// TestSpareStays: a server that has stopped leaves its spare segment to the next one, which
// need not find room for another.
func TestSpareStays(t *testing.T) {
	fs := newMemFS()
	for run := range 3 {
		o := open(t, fs, 2, small(EverySec))
		if _, refuses := o.Refuses(); refuses {
			t.Fatalf("run %d: writes are refused", run)
		}
		fs.fail(nil)
		h := newHeld(o)
		if _, err := h.set(o, fmt.Sprint("key", run), "value"); err != nil {
			t.Fatal(err)
		}
		o.Maintain()
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		fs.fail(func(op, name string) error {
			if op == "create" {
				return syscall.ENOSPC
			}
			return nil
		})
	}
	if got, _, err := recovered(fs, 2, Options{}); err != nil || len(got) != 3 {
		t.Errorf("%d keys, %v", len(got), err)
	}
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

// TestIsFull names what is tried again.
func TestIsFull(t *testing.T) {
	for _, err := range []error{syscall.ENOSPC, syscall.EDQUOT, io.ErrShortWrite} {
		if !isFull(err) {
			t.Errorf("%v is not", err)
		}
	}
	if isFull(syscall.EIO) || isFull(io.EOF) {
		t.Error("EIO or EOF is")
	}
}
