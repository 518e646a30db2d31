package journal

import (
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"syscall"
	"testing"
)

// These are the tests of a disk without room.

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
