package journal

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openUncached makes a file whose writes can be begun, or skips the test.
func openUncached(t *testing.T) *uncachedFile {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "keyframe-")
	if err != nil {
		t.Fatal(err)
	}
	f := (&osFile{file}).uncached().(*uncachedFile)
	t.Cleanup(func() { _ = f.Close() })
	if !f.direct || f.aio.context == 0 {
		t.Skip("no write can be begun here: no O_DIRECT in this file system, or no io_setup(2)")
	}
	return f
}

// await waits for a write.
func (f *uncachedFile) await() (int, error) {
	for {
		if n, ended, err := f.WriteEnded(); ended {
			return n, err
		}
		time.Sleep(50 * time.Microsecond)
	}
}

// TestStartWrite: what is begun is written; the file is as long as that, and no longer, when it
// has been synced; and what cannot be begun is left to WriteAt.
func TestStartWrite(t *testing.T) {
	f := openUncached(t)
	a, b := bytes.Repeat([]byte{1}, 64<<10), bytes.Repeat([]byte{2}, 128<<10)
	at := int64(0)
	for i, p := range [][]byte{a, b, a} {
		if !f.StartWrite(p, at) {
			if i == 0 {
				t.Skip("this file system takes O_DIRECT, and refuses the write")
			}
			t.Fatalf("write %d can't be begun", i)
		}
		if n, err := f.await(); n != len(p) || err != nil {
			t.Fatalf("write %d: %d bytes, want %d: %v", i, n, len(p), err)
		}
		at += int64(len(p))
	}
	if size, err := f.Size(); err != nil || size < at+reserveStep/2 {
		t.Errorf("it is %d bytes long while it is written: %v", size, err)
	}
	if n, err := f.WriteAt([]byte("end"), at); n != 3 || err != nil {
		t.Errorf("%d bytes are written: %v", n, err)
	}
	if f.StartWrite(a, at) {
		t.Error("a write is begun after one that was not aligned")
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(f.Name())
	if want := append(bytes.Join([][]byte{a, b, a}, nil), "end"...); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes that are not the %d that were written: %v", len(got), len(want), err)
	}
}

// TestStartWriteFails: what the system refuses is said when the write is begun, or when it ends.
func TestStartWriteFails(t *testing.T) {
	f := openUncached(t)
	page := make([]byte, writeUnit)
	if !f.StartWrite(page, 0) {
		t.Skip("this file system takes O_DIRECT, and refuses the write")
	}
	if _, err := f.await(); err != nil {
		t.Fatal(err)
	}
	if !f.StartWrite(page[:10], 0) {
		t.Error("the system refuses to begin a write of 10 bytes; it said so at its end")
	} else if _, err := f.await(); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a write of 10 bytes: %v", err)
	}
	read, err := os.Open(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	if err := f.aio.start(read.Fd(), page, 0); !errors.Is(err, unix.EBADF) {
		t.Errorf("a write to a file that is open to be read: %v", err)
	}
	f.reserved = 1 << 62
	if f.StartWrite(page, 1<<61) {
		if _, err := f.await(); !errors.Is(err, unix.EFBIG) {
			t.Errorf("a write far away: %v", err)
		}
	}
	f.reserved = 0
	if f.StartWrite(page, 1<<61) {
		t.Error("a file of 2 EiB is reserved")
	}
}

// TestAIOClose: a context that is closed waits for what is under way, and may be closed twice.
func TestAIOClose(t *testing.T) {
	f := openUncached(t)
	page := bytes.Repeat([]byte{7}, 1<<20)
	if !f.StartWrite(page, 0) {
		t.Skip("this file system takes O_DIRECT, and refuses the write")
	}
	f.aio.close()
	f.aio.close()
	got := make([]byte, len(page))
	if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, page) {
		t.Errorf("what was begun is not there: %v", err)
	}
	if f.StartWrite(page, 0) {
		t.Error("a write is begun without a context")
	}
}

// TestReserveFull: where there is room for a snapshot but not for what is reserved for it, it has
// no more than it needs, and is whole. ext4 takes all the room that there is before it refuses.
func TestReserveFull(t *testing.T) {
	fs, err := Dir(mountSmall(t, 40), false)
	if err != nil {
		t.Fatal(err)
	}
	fill, err := fs.Create("fill")
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(fs.(*osDir).name, &st); err != nil {
		t.Fatal(err)
	}
	room := int64(st.Bfree) * st.Bsize
	if err := errors.Join(fill.Reserve(room-20<<20, false), fill.Close()); err != nil {
		t.Fatal(err)
	}
	file, err := fs.Create("f")
	if err != nil {
		t.Fatal(err)
	}
	f := file.(uncacher).uncached()
	mustWriteKeys(t, f, newRand(t).Uint64(), func() { time.Sleep(time.Millisecond) })
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if n := len(readKeys(t, fs, "f")); n < 5000*1000 {
		t.Errorf("%d bytes of keys and values", n)
	}
	next, err := fs.Create("next")
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if err := next.Reserve(4<<20, false); err != nil {
		t.Errorf("what was reserved did not come back: %v", err)
	}
}

// mountSmall returns a directory of an ext4 of so many MiB, or skips the test.
func mountSmall(t *testing.T, mib int) string {
	t.Helper()
	dir, image := t.TempDir(), filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, int64(mib)<<20); err != nil {
		t.Fatal(err)
	}
	for _, cmd := range [][]string{{"mkfs.ext4", "-q", "-m", "0", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.Command(cmd[0], cmd[1:]...).CombinedOutput(); err != nil {
			t.Skipf("no file system of its own can be mounted here: %s: %v: %s", cmd[0], err, out)
		}
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, 0) })
	return dir
}
