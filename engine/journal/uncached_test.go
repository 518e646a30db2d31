package journal

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
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
// that are longer than what is gathered at most.
func writeKeys(t *testing.T, f File, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	h := snapshotHeader{seqs: make([]uint64, 3)}
	w := snapshotWriter{f: f, b: h.append(make([]byte, 0, mostGathered+2*blockBytes)), end: &snapshotEnd{}}
	for i := range 3000 {
		n := r.IntN(300)
		if i%500 == 0 {
			n = 2*mostGathered + r.IntN(1000)
		}
		w.add(&Change{Key: fmt.Appendf(nil, "key:%d", i), Value: bytes.Repeat([]byte{byte(i)}, n)})
		if len(w.b) > blockBytes*(1+r.IntN(3)) {
			if err := w.flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.appendEnd()
	if err := w.flushAll(); err != nil {
		t.Fatal(err)
	}
	if size, err := f.Size(); err != nil || size != w.at {
		t.Errorf("%d bytes, want %d: %v", size, w.at, err)
	}
}

// TestWriteUnits: all writes of a snapshot but the last one are of whole units, and its bytes
// are the same whether the system's cache has them or not.
func TestWriteUnits(t *testing.T) {
	seed := newRand(t).Uint64()
	want, err := newMemFS().Create("f")
	if err != nil {
		t.Fatal(err)
	}
	p := &pieces{File: want}
	writeKeys(t, p, seed)
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
	f, err := fs.Create("f")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	u, ok := f.(uncacher)
	if !ok {
		t.Skip("this system has no files that go past its cache")
	}
	writeKeys(t, u.uncached(), seed)
	got, err := os.ReadFile(dir + "/f")
	if err != nil || !bytes.Equal(got, want.(*memHandle).f.data) {
		t.Errorf("%d bytes that are not the %d that were written: %v", len(got), len(want.(*memHandle).f.data), err)
	}
}
