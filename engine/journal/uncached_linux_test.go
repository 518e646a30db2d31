package journal

import (
	"bytes"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// direct notes which of the writes to a file went past the cache.
type direct struct {
	*uncachedFile
	past []bool
}

func (d *direct) WriteAt(b []byte, at int64) (int, error) {
	n, err := d.uncachedFile.WriteAt(b, at)
	d.past = append(d.past, d.direct)
	return n, err
}

// TestUncached: all writes of a snapshot but the last go past the cache, where the file system
// can do that. From the first on that is not aligned they don't, and are as good.
func TestUncached(t *testing.T) {
	seed := newRand(t).Uint64()
	for _, dir := range []string{t.TempDir(), "/dev/shm"} {
		file, err := os.CreateTemp(dir, "keyframe-")
		if err != nil {
			t.Logf("%s: %v", dir, err)
			continue
		}
		defer os.Remove(file.Name())
		d := &direct{uncachedFile: (&osFile{file}).uncached().(*uncachedFile)}
		defer d.Close()
		can := d.direct
		if flags, err := unix.FcntlInt(file.Fd(), unix.F_GETFL, 0); err != nil || (flags&unix.O_DIRECT != 0) != can {
			t.Errorf("%s: flags %#x, want O_DIRECT in them %v: %v", dir, flags, can, err)
		}
		mustWriteKeys(t, d, seed, nil)
		can = can && d.past[0] // some file systems take the flag, and refuse the write
		t.Logf("%s can do it: %v", dir, can)
		for i, past := range d.past {
			if past != can && i < len(d.past)-1 {
				t.Errorf("%s: write %d of %d did not go past the cache", dir, i, len(d.past))
			}
		}
		size, err := d.Size()
		if err != nil {
			t.Fatal(err)
		}
		if n, err := d.WriteAt([]byte("abcdefgh"), size); n != 8 || err != nil {
			t.Errorf("%d bytes are written: %v", n, err)
		}
		got := make([]byte, 8)
		if _, err := d.ReadAt(got, size); err != nil || !bytes.Equal(got, []byte("abcdefgh")) {
			t.Errorf("%q is read: %v", got, err)
		}
	}
}
