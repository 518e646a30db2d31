package netio

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxRawWrite bounds the writes that the scheduler is not told of: they keep
// their P, and a garbage collection that begins meanwhile waits for them. 64 KiB
// take the kernel 24 µs.
const maxRawWrite = 64 << 10

// writeNow is write(2) on a non-blocking socket. For a short p it does without
// the scheduler's bookkeeping around a system call that might block: of 3.85 µs
// that a command takes which is sent and answered alone, 0.1 µs.
//
// The pointer refers to p during the call only, as unsafe.Pointer's rule 4 has
// it; the safe line it replaces is unix.Write(fd, p).
func writeNow(fd int, p []byte) (int, error) {
	if len(p) > maxRawWrite {
		return unix.Write(fd, p)
	}
	n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
