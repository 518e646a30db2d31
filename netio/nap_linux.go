package netio

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// nap sleeps for less than the millisecond that is the least for time.Sleep when a program
// has nothing else to do. It keeps a processor of Go's scheduler: the only one it must not.
func nap(d time.Duration) {
	if d == 0 {
		return
	}
	if runtime.GOMAXPROCS(0) == 1 {
		time.Sleep(d)
		return
	}
	ts := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&ts, nil) // a signal may end it early
}
