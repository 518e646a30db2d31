package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// lockName is the file that is locked while a process uses the directory. It holds the
// process's number, for the message of the one that comes second.
const lockName = "LOCK"

// Dir returns the directory at path, which is made if it isn't there and readOnly isn't
// set. Then its name is on disk.
func Dir(path string, readOnly bool) (FS, error) {
	if !readOnly {
		if err := makeDir(path, syncDir); err != nil {
			return nil, fmt.Errorf("journal: %w", err)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("journal: %s is no directory", path)
	}
	return &osDir{name: path, boot: bootID()}, nil
}

// makeDir makes a directory, and those that it is in, if they aren't there, and has the names of
// those that it has made on disk: with the name of a directory all that was synced in it is lost.
// That of one that is there is synced too, since whoever made it may have been killed before that;
// but then there may be no right to, and it is left as it is.
func makeDir(path string, sync func(path string) error) error {
	path = filepath.Clean(path) // without a slash at its end, or it would be its own parent
	parent := filepath.Dir(path)
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, os.ErrNotExist) && parent != path {
		if err = makeDir(parent, sync); err == nil {
			err = os.Mkdir(path, 0o700)
		}
	}
	if errors.Is(err, os.ErrExist) {
		_ = sync(parent)
		return nil
	}
	if err != nil {
		return err
	}
	return sync(parent)
}

// osDir is a directory of the system's. While it is locked for a server it is open: when the system has
// no more descriptors there is none for a sync of it, which would look like one that has failed,
// and be the end of the journal. For the same reason, and since it is asked for with the writer's
// lock held, the machine's start is looked up once.
type osDir struct {
	name string
	dir  *os.File // or nil
	boot uint64
}

func (d *osDir) path(name string) string { return filepath.Join(d.name, name) }

func (d *osDir) BootID() uint64 { return d.boot }

func (d *osDir) open(name string, flags int) (File, error) {
	f, err := os.OpenFile(d.path(name), flags, 0o600)
	if err != nil {
		return nil, err
	}
	return &osFile{f}, nil
}

func (d *osDir) Create(name string) (File, error) {
	return d.open(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
}
func (d *osDir) Open(name string) (File, error)  { return d.open(name, os.O_RDONLY) }
func (d *osDir) Reuse(name string) (File, error) { return d.open(name, os.O_RDWR) }
func (d *osDir) Rename(from, to string) error    { return os.Rename(d.path(from), d.path(to)) }
func (d *osDir) Remove(name string) error        { return os.Remove(d.path(name)) }

func (d *osDir) List() ([]string, error) {
	entries, err := os.ReadDir(d.name)
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, err
}

func (d *osDir) SyncDir() error {
	if d.dir != nil {
		return d.dir.Sync()
	}
	return syncDir(d.name)
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

func (d *osDir) Lock(readOnly bool) (io.Closer, error) {
	flags, how := os.O_RDWR|os.O_CREATE, unix.LOCK_EX
	if readOnly {
		flags, how = os.O_RDONLY, unix.LOCK_SH
	}
	f, err := os.OpenFile(d.path(lockName), flags, 0o600)
	if readOnly && errors.Is(err, os.ErrNotExist) {
		return io.NopCloser(nil), nil // a copy, that nothing has served yet
	}
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB); err != nil {
		owner, _ := io.ReadAll(io.LimitReader(f, 20))
		by := "process " + strings.TrimSpace(string(owner))
		if unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) == nil {
			by = "one that reads it" // and has not said which it is: it changes nothing
		}
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s, by %s", ErrLocked, d.name, by)
		}
		return nil, fmt.Errorf("journal: can't lock %s: %w", d.path(lockName), err)
	}
	if readOnly {
		return f, nil
	}
	// In place first: what is truncated away may be the last room on the disk.
	n, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	if err = errors.Join(err, f.Truncate(int64(n))); err != nil && !isFull(err) { // without room the message has no number
		_ = f.Close()
		return nil, fmt.Errorf("journal: %w", err)
	}
	if d.dir, err = os.Open(d.name); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("journal: %w", err)
	}
	return dirLock{f, d}, nil
}

// dirLock is the lock of a directory that is open.
type dirLock struct {
	file *os.File
	d    *osDir
}

func (l dirLock) Close() error {
	err := errors.Join(l.d.dir.Close(), l.file.Close())
	l.d.dir = nil
	return err
}

// osFile is a file of the system's. What the systems differ in is in os_linux.go and
// os_other.go.
type osFile struct{ *os.File }

func (f *osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f *osFile) Reserve(size int64, zeroed bool) error {
	now, err := f.Size()
	if err != nil {
		return err
	}
	if now >= size {
		if !zeroed {
			f.warm(size)
		}
		return nil
	}
	if !zeroed {
		err := f.allocate(size)
		if !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	zeros := make([]byte, 1<<20)
	for at := now; at < size; {
		n, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at)
		if err != nil {
			return err
		}
		at += int64(n)
	}
	return nil
}

// isFull reports whether err means that there is no room, which may come back.
func isFull(err error) bool {
	return errors.Is(err, ErrFull) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, io.ErrShortWrite)
}

// isBroken reports whether an error is the disk's. What it is about is not tried again.
func isBroken(err error) bool { return errors.Is(err, unix.EIO) }
