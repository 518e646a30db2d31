package journal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pieces is a file that notes the writes to it.
type pieces struct {
	File
	lengths []int
}

func (p *pieces) WriteAt(b []byte, at int64) (int, error) {
	p.lengths = append(p.lengths, len(b))
	return p.File.WriteAt(b, at)
}

// writeKeys writes a snapshot's blocks to a file, with values that are mostly short and a few
// that are longer than what is gathered at most. With wait its writes are begun, if f can.
func writeKeys(t *testing.T, f File, seed uint64, wait func()) (waits int, err error) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	h := snapshotHeader{seqs: make([]uint64, 3)}
	w := newSnapshotWriter(f, &h, &snapshotEnd{}, wait, func() { waits++ })
	for i := range 3000 {
		n := r.IntN(300)
		if i%1000 == 0 {
			n = 2*mostGathered + r.IntN(1000)
		}
		w.add(&Change{Key: fmt.Appendf(nil, "key:%d", i), Value: bytes.Repeat([]byte{byte(i)}, n)})
		if len(w.b) > blockBytes*(1+r.IntN(3)) {
			if err := w.flush(); err != nil {
				return waits, err
			}
		}
	}
	w.appendEnd()
	if err := w.flushAll(); err != nil {
		return waits, err
	}
	if err := f.Sync(); err != nil {
		t.Error(err)
	}
	if size, err := f.Size(); err != nil || size != w.at {
		t.Errorf("%d bytes, want %d: %v", size, w.at, err)
	}
	return waits, nil
}

// readKeys returns what a snapshot's file has, without its blocks: where they end depends on
// when writes do.
func readKeys(t *testing.T, fs FS, name string) []byte {
	t.Helper()
	r, err := openSnapshot(fs, name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var all []byte
	if err := r.eachBlock(nil, func(b []byte, _ int64) error {
		all = append(all, b[blockHeaderBytes:]...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// mustWriteKeys is writeKeys with a file whose writes work.
func mustWriteKeys(t *testing.T, f File, seed uint64, wait func()) (waits int) {
	t.Helper()
	waits, err := writeKeys(t, f, seed, wait)
	if err != nil {
		t.Fatal(err)
	}
	return waits
}

// later is a file whose writes are begun, and done when they have been asked for a few times.
type later struct {
	File
	t       *testing.T
	pending []byte // what is being written
	was     []byte // what that was when it was begun
	at      int64
	asked   int

	begun         int
	refuses, ends int   // the numbers of the write that can't be begun, and of one that ends
	err           error // with this, or short without one
}

func (f *later) StartWrite(b []byte, at int64) bool {
	if f.pending != nil {
		f.t.Fatal("a write is begun while another is under way")
	}
	if len(b)%writeUnit != 0 || at%writeUnit != 0 {
		f.t.Errorf("a write of %d bytes is begun at %d", len(b), at)
	}
	if f.begun++; f.begun == f.refuses {
		return false
	}
	f.pending, f.was, f.at, f.asked = b, bytes.Clone(b), at, 0
	return true
}

func (f *later) WriteEnded() (int, bool, error) {
	if f.asked++; f.asked%4 != 0 {
		return 0, false, nil
	}
	b := f.pending
	if f.pending = nil; !bytes.Equal(b, f.was) {
		f.t.Error("what is being written was changed")
	}
	if f.begun == f.ends {
		return len(b) - 1, true, f.err
	}
	n, err := f.File.WriteAt(b, f.at)
	return n, true, err
}

func (f *later) WriteAt(b []byte, at int64) (int, error) {
	if f.pending != nil {
		f.t.Error("a write while another is under way")
	}
	return f.File.WriteAt(b, at)
}

// TestWritesBegun: a file whose writes are begun has the same keys, also if one can't be; only
// what is waited for needs a processor. A write that fails, or is short, is an error; one that is
// refused when it is under way is written without.
func TestWritesBegun(t *testing.T) {
	seed := newRand(t).Uint64()
	failed, refused := error(unix.EIO), error(unix.EINVAL)
	fs := newMemFS()
	want, err := fs.Create("want")
	if err != nil {
		t.Fatal(err)
	}
	if waits := mustWriteKeys(t, want, seed, nil); waits != 1 {
		t.Errorf("waits is called %d times", waits)
	}
	keys := readKeys(t, fs, "want")
	for _, c := range []struct {
		refuses, ends int
		err, want     error
	}{{}, {refuses: 1}, {refuses: 2}, {refuses: 5}, {ends: 1, want: ErrFull}, {ends: 3, want: ErrFull}, {ends: 2, err: failed, want: failed}, {ends: 1, err: refused}, {ends: 4, err: refused}} {
		file, err := fs.Create("f")
		if err != nil {
			t.Fatal(err)
		}
		f, waited := &later{File: file, t: t, refuses: c.refuses, ends: c.ends, err: c.err}, 0
		waits, err := writeKeys(t, f, seed, func() { waited++ })
		switch {
		case !errors.Is(err, c.want):
			t.Errorf("%+v: %v", c, err)
		case c.want == nil && !bytes.Equal(readKeys(t, fs, "f"), keys):
			t.Errorf("%+v: it has other keys", c)
		case c.want == nil && waits != 1:
			t.Errorf("%+v: waits is called %d times", c, waits)
		case c.want != nil && waits != 0:
			t.Errorf("%+v: waits is called where nothing was waited for", c)
		case c == struct {
			refuses, ends int
			err, want     error
		}{} && (f.begun < 5 || waited == 0):
			t.Errorf("%d writes are begun, and waited for %d times", f.begun, waited)
		}
	}
}

// TestWriteUnits: all writes of a snapshot but the last one are of whole units, and its keys are
// the same whether the system's cache has them or not, and whether writes are begun or not.
func TestWriteUnits(t *testing.T) {
	seed := newRand(t).Uint64()
	mem := newMemFS()
	want, err := mem.Create("f")
	if err != nil {
		t.Fatal(err)
	}
	p := &pieces{File: want}
	mustWriteKeys(t, p, seed, nil)
	for i, n := range p.lengths {
		if n%writeUnit != 0 && i < len(p.lengths)-1 {
			t.Errorf("write %d of %d is of %d bytes", i, len(p.lengths), n)
		}
	}
	dir := t.TempDir()
	fs, err := Dir(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, wait := range []func(){nil, func() { time.Sleep(time.Millisecond) }} { // written, and begun
		f, err := fs.Create("f")
		if err != nil {
			t.Fatal(err)
		}
		u, ok := f.(uncacher)
		if !ok {
			_ = f.Close()
			t.Skip("this system has no files that go past its cache")
		}
		f = u.uncached()
		mustWriteKeys(t, f, seed, wait)
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if !bytes.Equal(readKeys(t, fs, "f"), readKeys(t, mem, "f")) {
			t.Error("it has other keys")
		}
	}
}
