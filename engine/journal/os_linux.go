package journal

import (
	"errors"
	"hash/fnv"
	"os"

	"golang.org/x/sys/unix"
)

func (f *osFile) Sync() error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return err
		}
	}
}

// uncachedFile is a file whose writes go past the system's cache, where the file system can
// do that.
//
// What a snapshot leaves in the cache is there for nobody. The system has to write it at
// last, in a burst of up to 230 ms for 10 million keys, and to free it when the file is
// removed, which takes 90 ms; meanwhile a loop on the same core waits for slices of a few
// ms. One key at a time, 40,000 a second, beside one snapshot after the other: p99 2 ms with
// the cache, 0.6 without it. And the CPU for it went from 136 to 82 ms.
//
// Its writes may also be begun, see asyncFile.
type uncachedFile struct {
	osFile
	direct   bool
	aio      aio
	end      int64 // of what was written
	reserved int64 // 0, or how long the file was made for what is begun
}

// reserveStep is how much longer a file is made at once for writes that are begun. One that
// makes it longer itself is waited for. Not yet measured beside others.
const reserveStep = 32 << 20

func (f *osFile) uncached() File {
	u := &uncachedFile{osFile: *f}
	if u.direct = u.setDirect(true) == nil; u.direct {
		_ = u.aio.open() // without it nothing is begun
	}
	return u
}

func (f *uncachedFile) setDirect(on bool) error {
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	if err != nil {
		return err
	}
	if flags &^= unix.O_DIRECT; on {
		flags |= unix.O_DIRECT
	}
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETFL, flags)
	return err
}

func (f *uncachedFile) StartWrite(b []byte, at int64) bool {
	if !f.direct || f.aio.context == 0 {
		return false
	}
	end := at + int64(len(b))
	if end > f.reserved && !f.reserve(end+reserveStep) {
		return false // if it is for want of room, the write says so
	}
	if f.aio.start(f.Fd(), b, at) != nil {
		return false
	}
	f.end = end
	return true
}

// reserve makes the file so long. What fails for want of room may have taken all that there was,
// and made the file longer: that is given back.
func (f *uncachedFile) reserve(size int64) bool {
	err := f.allocate(size)
	if f.reserved = size; err != nil && f.Truncate(f.end) == nil {
		f.reserved = 0
	}
	return err == nil
}

func (f *uncachedFile) WriteEnded() (n int, ended bool, err error) { return f.aio.ended() }

// WriteAt writes through the cache from the first write on that is not aligned as the file
// system wants it: the last one of a snapshot is not.
func (f *uncachedFile) WriteAt(b []byte, at int64) (int, error) {
	f.end = at + int64(len(b))
	n, err := f.File.WriteAt(b, at)
	if !f.direct || !errors.Is(err, unix.EINVAL) {
		return n, err
	}
	if f.direct = false; f.setDirect(false) != nil {
		return n, err
	}
	rest, err := f.File.WriteAt(b[n:], at+int64(n))
	return n + rest, err
}

// Sync also takes back what was reserved.
func (f *uncachedFile) Sync() error {
	if f.reserved > f.end {
		if err := f.Truncate(f.end); err != nil {
			return err
		}
	}
	f.reserved = 0
	return f.osFile.Sync()
}

func (f *uncachedFile) Close() error {
	f.aio.close()
	return f.osFile.Close()
}

func (f *osFile) StartSync(from, to int64) error {
	return unix.SyncFileRange(int(f.Fd()), from, to-from, unix.SYNC_FILE_RANGE_WRITE)
}

// warm has the system read what is in a file that will be written over. A group ends within a page, and
// a page that isn't in the cache is read before a part of it is written: SETs of one key came to .78
// of what they do, of 10 to .73. What is there already costs a look.
func (f *osFile) warm(size int64) {
	const step = 128 << 10 // of more than a request the system reads the beginning only
	for at := int64(0); at < size; at += step {
		if unix.Fadvise(int(f.Fd()), at, step, unix.FADV_WILLNEED) != nil {
			return // then it is slower, no more
		}
	}
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

func bootID() uint64 {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write(id) // never fails
	return h.Sum64()
}

// Durable opens a file whose writes go past the system's cache, and end when they are on disk.
// On a virtual machine's disk, 512 bytes a write, so many a second and the median of what one
// takes: 6,300 and 140 to 160 µs through the cache with fdatasync, 8,100 and 240 by two threads;
// so, 6,200 and 150 by one, 11,000 to 14,000 and 140 to 175 by two, 13,000 and 210 by three.
//
// A file system has to say what such writes need, as ext4 and XFS do since Linux 6.1. Others may
// take them through the cache all the same, as btrfs does with sums, and tell one of two writers
// of a fault that was the other's; or leave it to another process what is on disk, as FUSE does.
func (d *osDir) Durable(name string) (_ DurableFile, block int, err error) {
	var info unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, d.path(name), 0, unix.STATX_DIOALIGN, &info); err != nil {
		return nil, 0, err
	}
	block = int(max(info.Dio_mem_align, info.Dio_offset_align, minBlock))
	if info.Mask&unix.STATX_DIOALIGN == 0 || info.Dio_offset_align == 0 || block > maxBlock || block&(block-1) != 0 {
		return nil, 0, errors.ErrUnsupported
	}
	f, err := d.open(name, unix.O_RDWR|unix.O_DIRECT)
	if err != nil {
		return nil, 0, err
	}
	return &durableFile{f.(*osFile)}, block, nil
}

const minBlock = 512 // of every disk

type durableFile struct{ *osFile }

// WriteDurable goes on where the system has written a part, as os.File does.
func (f *durableFile) WriteDurable(b []byte, at int64) (n int, err error) {
	for n < len(b) {
		m, err := unix.Pwritev2(int(f.Fd()), [][]byte{b[n:]}, at+int64(n), unix.RWF_DSYNC)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return n, err
		case m == 0:
			return n, nil
		default:
			n += m
		}
	}
	return n, nil
}
