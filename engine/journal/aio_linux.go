package journal

import (
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// This file is Linux's asynchronous writes, io_submit(2), which x/sys has the numbers of and
// no more. A write that is only begun needs no thread that waits for it. Go's scheduler lets a
// thread that does keep its processor for up to 10 ms, and the event loops wait for that too;
// a second processor helps, see addProcessor, but on one core it has two threads look for
// work each time that a loop goes to sleep.

// iocb is a request, ioEvent an answer, of linux/aio_abi.h; opWrite is IOCB_CMD_PWRITE.
type (
	iocb struct {
		_      [2]uint64 // data, which would come back; a key that the kernel sets, and flags
		op     uint16
		_      uint16 // its priority
		fd     uint32
		buf    uint64
		length uint64
		offset int64
		_      [2]uint64 // reserved, flags, and the descriptor of an eventfd
	}
	ioEvent struct {
		_      [2]uint64 // the request's data and address
		result int64
		_      int64
	}
)

const opWrite = 1

// aio is a kernel's context for one write at a time; 0 is none.
type aio struct {
	context uintptr
	request iocb
	writing []byte // has its memory stay
}

// spareAIO is a context that nobody uses: to end one takes the kernel 30 ms.
var spareAIO struct {
	sync.Mutex
	context uintptr
}

func (a *aio) open() error {
	spareAIO.Lock()
	a.context, spareAIO.context = spareAIO.context, 0
	spareAIO.Unlock()
	if a.context != 0 {
		return nil
	}
	if _, _, err := unix.Syscall(unix.SYS_IO_SETUP, 1, uintptr(unsafe.Pointer(&a.context)), 0); err != 0 {
		return err
	}
	return nil
}

// close returns when nothing is written any more.
func (a *aio) close() {
	if a.writing == nil {
		spareAIO.Lock()
		if spareAIO.context == 0 {
			spareAIO.context, a.context = a.context, 0
		}
		spareAIO.Unlock()
	}
	if a.context != 0 {
		_, _, _ = unix.Syscall(unix.SYS_IO_DESTROY, a.context, 0, 0) // the context is valid
	}
	*a = aio{}
}

// start begins to write b, which must stay as it is until it has ended.
func (a *aio) start(fd uintptr, b []byte, at int64) error {
	a.request = iocb{op: opWrite, fd: uint32(fd), buf: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))), length: uint64(len(b)), offset: at}
	requests := [1]*iocb{&a.request}
	_, _, err := unix.Syscall(unix.SYS_IO_SUBMIT, a.context, 1, uintptr(unsafe.Pointer(&requests)))
	runtime.KeepAlive(a)
	if err != 0 {
		return err
	}
	a.writing = b
	return nil
}

// ended reports whether the write has, and how many bytes it came to.
func (a *aio) ended() (n int, ended bool, err error) {
	var e ioEvent
	var now unix.Timespec
	got, _, errno := unix.RawSyscall6(unix.SYS_IO_GETEVENTS, a.context, 0, 1, uintptr(unsafe.Pointer(&e)), uintptr(unsafe.Pointer(&now)), 0)
	switch {
	case errno == unix.EINTR || errno == 0 && got == 0:
		return 0, false, nil
	case errno != 0:
		return 0, true, errno
	}
	a.writing = nil
	if e.result < 0 {
		return 0, true, unix.Errno(-e.result)
	}
	return int(e.result), true, nil
}
