package crashtest

import (
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"keyframe/engine/journal"
)

const dir = "data"

// disk is a machine's disk: a file system that can lose power at any operation.
type disk struct {
	mem  *vfs.MemFS
	boot uint64
}

func newDisk() *disk {
	d := &disk{mem: vfs.NewCrashableMem(), boot: 1}
	if err := d.mem.MkdirAll(dir, 0o700); err != nil {
		panic(err)
	}
	root, err := d.mem.OpenDir("/")
	if err != nil {
		panic(err)
	}
	if err := root.Sync(); err != nil {
		panic(err)
	}
	return d
}

// powerCut is the disk as the machine finds it when it is on again.
func (d *disk) powerCut(r *rand.Rand) *disk {
	return &disk{d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(3) * 50, RNG: r}), d.boot + 1}
}

// outage takes the power at an operation: the disk is cloned there, and what is done
// afterwards does not count.
type outage struct {
	disk *disk
	r    *rand.Rand
	left atomic.Int64 // operations until then
	then *disk        // what is left; nil: not yet
	at   string
}

// MaybeError implements errorfs.Injector. It is called before each operation.
func (o *outage) MaybeError(op errorfs.Op) error {
	if o.left.Add(-1) == 0 {
		o.at = op.Path
		o.then = o.disk.powerCut(o.r)
	}
	return nil
}

func (o *outage) String() string { return "outage" }

// fileSystem is journal.FS over one of pebble's.
type fileSystem struct {
	fs    vfs.FS
	boot  uint64
	begun *begunWrites // nil: no write can be begun
	block int          // of durable writes; 0: there are none
}

// on returns the disk's directory, in which o happens.
func (d *disk) on(o *outage, begun *begunWrites, block int) journal.FS {
	return &fileSystem{errorfs.Wrap(d.mem, o), d.boot, begun, block}
}

func (f *fileSystem) path(name string) string { return f.fs.PathJoin(dir, name) }

func (f *fileSystem) Create(name string) (journal.File, error) {
	made, err := f.fs.Create(f.path(name), vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	if err := made.Close(); err != nil { // a file that is created can't be read
		return nil, err
	}
	again, err := f.Reuse(name)
	if err == nil && f.begun != nil && strings.HasPrefix(name, "snapshot-") {
		again = &begunFile{file: again.(file), writes: f.begun}
	}
	return again, err
}

func (f *fileSystem) Open(name string) (journal.File, error) {
	file, err := f.fs.Open(f.path(name))
	return openFile(file, err)
}

func (f *fileSystem) Reuse(name string) (journal.File, error) {
	file, err := f.fs.OpenReadWrite(f.path(name), vfs.WriteCategoryUnspecified)
	return openFile(file, err)
}

func (f *fileSystem) Durable(name string) (journal.DurableFile, int, error) {
	if f.block == 0 {
		return nil, 0, errors.ErrUnsupported
	}
	opened, err := f.Reuse(name)
	if err != nil {
		return nil, 0, err
	}
	return opened.(file), f.block, nil
}

func (f *fileSystem) Rename(from, to string) error { return f.fs.Rename(f.path(from), f.path(to)) }
func (f *fileSystem) Remove(name string) error     { return f.fs.Remove(f.path(name)) }
func (f *fileSystem) List() ([]string, error)      { return f.fs.List(dir) }
func (f *fileSystem) BootID() uint64               { return f.boot }

func (f *fileSystem) SyncDir() error {
	d, err := f.fs.OpenDir(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func (f *fileSystem) Lock(bool) (io.Closer, error) { return io.NopCloser(nil), nil }

type file struct{ vfs.File }

func openFile(f vfs.File, err error) (journal.File, error) {
	if err != nil {
		return nil, err
	}
	return file{f}, nil
}

func (f file) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f file) Reserve(size int64, _ bool) error {
	now, err := f.Size()
	if err != nil || now >= size {
		return err
	}
	_, err = f.WriteAt(make([]byte, size-now), now)
	return err
}

func (f file) WriteDurable(b []byte, at int64) (int, error) {
	n, err := f.WriteAt(b, at)
	if err != nil {
		return n, err
	}
	return n, f.Sync()
}

func (f file) StartSync(from, to int64) error { return nil }
func (f file) Sync() error                    { return f.SyncData() }
