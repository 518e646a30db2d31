package journal

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// TestBehind: while a sync stands still and writes do not, writes are refused before too many
// segments wait for one, and taken again when it moves.
func TestBehind(t *testing.T) {
	for _, mode := range []Mode{EverySec, No} {
		fs := newMemFS()
		opts := small(mode)
		opts.SnapshotBytes = 1 << 40
		o := open(t, fs, 2, opts)
		h := newHeld(o)
		written := 0
		write := func() {
			position, err := h.set(o, fmt.Sprint("key", written%100), strings.Repeat("v", 400))
			if written++; err != nil || o.Kept() < position {
				t.Fatalf("%s, write %d: %d of %d are kept, %v", mode, written, o.Kept(), position, err)
			}
			o.keepUp()
		}
		for o.Stats().Segments < 20 { // which a sync takes
			write()
		}
		stands, moves := make(chan struct{}, 1), make(chan struct{})
		goOn := sync.OnceFunc(func() { close(moves) })
		t.Cleanup(goOn)
		fs.fail(func(op, _ string) error {
			if op == "sync" {
				select {
				case stands <- struct{}{}:
				default:
				}
				<-moves
			}
			return nil
		})
		synced := make(chan struct{})
		go func() {
			defer close(synced)
			if mode == No {
				o.tidy()
			} else if err := o.Sync(); err != nil {
				t.Error(err)
			}
		}()
		<-stands
		why, refused := "", false
		for !refused {
			write()
			if n := fs.numOpen(); n > mostLeft+2 { // the current one, and the next
				t.Fatalf("%s: %d files are open", mode, n)
			}
			why, refused = o.Refuses()
		}
		st := o.Stats()
		if st.Segments != mostLeft+1 || !strings.Contains(why, errBehind.Error()) || st.Errors != 0 || o.Err() != nil {
			t.Errorf("%s: refused with %q: %+v, %v", mode, why, st, o.Err())
		}
		write() // what had been admitted before
		goOn()
		<-synced
		o.keepUp()
		if why, refused := o.Refuses(); refused {
			t.Errorf("%s: then %s", mode, why)
		}
		for range 100 {
			write()
		}
		if mode == No {
			o.tidy()
		} else if err := o.Sync(); err != nil {
			t.Error(err)
		}
		if n := fs.numOpen(); n > 2 {
			t.Errorf("%s: then %d files are open", mode, n)
		}
		if got, report, err := recovered(fs.copyOf(), 2, Options{}); err != nil || report.Cut != nil || !maps.Equal(got, o.store.content()) {
			t.Errorf("%s: %d keys, cut %v, %v", mode, len(got), report.Cut, err)
		}
	}
}

// TestSlowNext: while the next segment is being made ready, and that stands still, writes are refused
// before the one that is written has grown too long, and taken again when it moves.
func TestSlowNext(t *testing.T) {
	for _, mode := range everyMode {
		fs := mode.newFS()
		opts := small(mode.Mode)
		opts.SnapshotBytes = 1 << 40
		o := open(t, fs, 2, opts)
		h := newHeld(o)
		stands, moves := make(chan struct{}), make(chan struct{})
		goOn := sync.OnceFunc(func() { close(moves) })
		t.Cleanup(goOn)
		fs.fail(func(op, _ string) error {
			if op == "create" {
				close(stands)
				<-moves
			}
			return nil
		})
		made := make(chan error)
		go func() { made <- o.prepare() }()
		<-stands
		written := 0
		write := func() {
			written++
			_, _ = h.set(o, fmt.Sprint("key", written%100), strings.Repeat("v", 400))
			if err := o.flush(o.Position()); err != nil {
				t.Fatalf("%s, write %d: %v", mode, written, err)
			}
		}
		why, refused := "", false
		for !refused {
			write()
			if at := o.current.end; at > (mostGrown+1)*opts.SegmentBytes {
				t.Fatalf("%s: a segment of %d bytes has grown to %d", mode, opts.SegmentBytes, at)
			}
			why, refused = o.Refuses()
		}
		if at := o.current.end; at < mostGrown*opts.SegmentBytes || !strings.Contains(why, errSlow.Error()) || o.Err() != nil {
			t.Errorf("%s: refused at %d with %q, %v", mode, at, why, o.Err())
		}
		write() // what had been admitted before
		goOn()
		if err := <-made; err != nil {
			t.Errorf("%s: %v", mode, err)
		}
		if why, refused := o.Refuses(); refused {
			t.Errorf("%s: then %s", mode, why)
		}
		write()
		if got, report, err := recovered(fs.copyOf(), 2, Options{}); err != nil || report.Cut != nil || !maps.Equal(got, o.store.content()) {
			t.Errorf("%s: %d keys, cut %v, %v", mode, len(got), report.Cut, err)
		}
	}
}

// TestBeginsLater: while a run waits for room to begin, that its first segment can't be made for
// another reason is not the end.
func TestBeginsLater(t *testing.T) {
	for _, mode := range everyMode {
		fs := mode.newFS()
		fault := syscall.ENOSPC
		fs.fail(func(op, _ string) error {
			if op == "create" && fault != 0 {
				return fault
			}
			return nil
		})
		o := open(t, fs, 2, small(mode.Mode))
		for _, fault = range []syscall.Errno{syscall.EMFILE, syscall.ENOSPC} {
			o.Maintain()
			if _, refused := o.Refuses(); !refused || o.Err() != nil {
				t.Errorf("%s, %v: refused %t, %v", mode, fault, refused, o.Err())
			}
		}
		fault = 0
		o.Maintain()
		if why, refused := o.Refuses(); refused || o.current == nil {
			t.Errorf("%s: then %s", mode, why)
		}
	}
}

// TestWrittenBeforeFull: what was written before a group found no room is synced, and answered.
func TestWrittenBeforeFull(t *testing.T) {
	fs := newMemFS()
	o := open(t, fs, 2, small(Always))
	h := newHeld(o)
	written, _ := h.set(o, "key1", "value")
	if err := o.flush(written); err != nil {
		t.Fatal(err)
	}
	fs.short = func(string, int) int { return 0 }
	full, _ := h.set(o, "key2", "value")
	if err := o.flush(full); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	o.Maintain()
	if upTo := h.upTo(); upTo < written || upTo >= full {
		t.Errorf("released up to %d, want %d, and not %d", upTo, written, full)
	}
	if got, _, err := recovered(fs.powerCut(), 2, Options{}); err != nil || got["key1"] == "" {
		t.Errorf("after a power cut: %v, %v", got, err)
	}
}

// TestWrittenAfterFailure: a write that ends, and well, when the journal has failed meanwhile, as
// by a sync of what was written before, is answered to nobody.
func TestWrittenAfterFailure(t *testing.T) {
	for _, mode := range everyMode {
		o := open(t, mode.newFS(), 2, small(mode.Mode))
		h := newHeld(o)
		failed := false
		o.fs.(*memFS).fail(func(op, _ string) error {
			if op == "write" && !failed {
				failed = true
				_ = o.fail("sync", syscall.EIO)
			}
			return nil
		})
		position, err := h.set(o, "key", "value")
		if mode.Mode == Always { // it is the background that writes
			o.writeAndSync()
			_, err = h.Done(position)
		}
		if !failed || !errors.Is(err, syscall.EIO) || h.upTo() >= position || o.Kept() >= position {
			t.Errorf("%s: failed %t, then %v, and %d of %d is released", mode, failed, err, h.upTo(), position)
		}
	}
}

// TestFailedCloses: a journal that has failed in a sync, of what was left or of what is written, or
// in a write, closes its files all the same.
func TestFailedCloses(t *testing.T) {
	for _, mode := range everyMode {
		for _, fault := range []string{"left", "current", "write"} {
			fs := mode.newFS()
			o := open(t, fs, 2, small(mode.Mode))
			h := newHeld(o)
			written := 0
			write := func() {
				written++
				_, _ = h.set(o, fmt.Sprint("key", written), strings.Repeat("v", 400))
				_ = o.take(o.Position())
				_ = o.prepare()
			}
			for o.numLeft.Load() < 3 && written < 100 {
				write()
			}
			last := segmentName(o.current.number)
			fs.fail(func(op, name string) error {
				if fault == "write" && op == "write" || fault != "write" && op == "sync" && (name == last) == (fault == "current") {
					return syscall.EIO
				}
				return nil
			})
			write()
			_ = o.Sync()
			if err := o.Close(); err == nil || o.Err() == nil {
				t.Errorf("%s, %s: closed with %v", mode, fault, err)
			}
			if n := fs.numOpen(); n > 0 {
				t.Errorf("%s, %s: %d files are open", mode, fault, n)
			}
		}
	}
}
