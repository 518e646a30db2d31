package journal

import (
	"errors"
	"io"
)

// FS is the directory that a journal lives in: what the package needs of a file system,
// and no more, so that a test can be one that loses power. Names have no path.
//
// Its methods may be called from any goroutine.
type FS interface {
	// Create makes a file, or empties the one that is there, to be read and written.
	Create(name string) (File, error)
	// Open opens a file to be read.
	Open(name string) (File, error)
	// Reuse opens a file to be overwritten.
	Reuse(name string) (File, error)
	// Rename takes the place of a file of the new name.
	Rename(from, to string) error
	Remove(name string) error
	List() ([]string, error)
	// SyncDir makes what Create, Rename and Remove have done survive a power cut.
	SyncDir() error
	// Lock keeps other processes out until it is closed, or, for a reader, those that write;
	// ErrLocked: one is in there. A reader of a directory without a lock file needs none.
	Lock(readOnly bool) (io.Closer, error)
	// BootID is another number after each start of the machine; 0: it isn't known.
	BootID() uint64
}

// File is an open file. Its methods may be called from any goroutine; those that change it
// are not called at the same time by this package, except StartSync and Sync.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	// Reserve makes the file at least so long, with room on the disk: with bytes that have
	// been written as zeros if zeroed is set, since a sync of a place that was never
	// written changes the file's map of blocks too. Otherwise a file that is long enough already is
	// made ready to be written over.
	Reserve(size int64, zeroed bool) error
	// StartSync begins to write what lies there to the disk, and promises nothing.
	StartSync(from, to int64) error
	// Sync returns when all that was written is on the disk.
	Sync() error
}

// uncacher is a File that can have what is written go past the system's cache. It is used
// instead of the one that it comes from.
type uncacher interface{ uncached() File }

// asyncFile is a File whose writes may be begun, one at a time. Sync and Close come when none is
// under way, or after an error.
type asyncFile interface {
	File
	// StartWrite begins to write b, which must not change until WriteEnded reports that it
	// has. It returns false if that can't be done with this write, or any; WriteAt may.
	StartWrite(b []byte, at int64) bool
	// WriteEnded reports whether the write has ended, and then what it came to. It waits for
	// nothing.
	WriteEnded() (n int, ended bool, err error)
}

// DurableFS is a directory in whose files several writes can be on their way to the disk at once.
type DurableFS interface {
	FS
	// Durable opens a file for that. Places, lengths and memory of what is written are
	// multiples of block, a power of two. An error says that it can't be done here.
	Durable(name string) (f DurableFile, block int, err error)
}

// DurableFile is an open file. Its methods may be called from any goroutine.
type DurableFile interface {
	// WriteDurable returns when b is on the disk, or an error, as WriteAt and Sync do.
	WriteDurable(b []byte, at int64) (int, error)
	Close() error
}

// ErrLocked is returned by Open for a directory that another process serves.
var ErrLocked = errors.New("journal: the directory is in use")
