package journal

import (
	"errors"
	"hash/fnv"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

func (f *osFile) Sync() error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return err
		}
	}
}

func (f *osFile) StartSync(from, to int64) error {
	return unix.SyncFileRange(int(f.Fd()), from, to-from, unix.SYNC_FILE_RANGE_WRITE)
}

func (f *osFile) allocate(size int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, 0, size)
		switch err {
		case unix.EINTR:
		case unix.EOPNOTSUPP, unix.ENOSYS:
			return errors.ErrUnsupported
		default:
			return err
		}
	}
}

func (osDir) BootID() uint64 {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write(id) // never fails
	return h.Sum64()
}

// lowPriority has the rest of the goroutine run on a thread of its own that the system
// prefers all others to. The thread ends with the goroutine.
func lowPriority() {
	runtime.LockOSThread()
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 19) // without it, it is only in the way
}

// sleepThread sleeps with the thread. time.Sleep would wait for the poller of the network,
// which counts in milliseconds when nothing else is to be done: 200 µs came to more than one.
func sleepThread(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	for unix.Nanosleep(&ts, &ts) == unix.EINTR {
	}
}
