package netio

import (
	"time"

	"golang.org/x/sys/unix"
)

// threadClock returns the number of the thread that this runs on, 0 if that isn't known, and
// how much of the CPU's time it has had.
func threadClock() (thread int, cpu time.Duration) {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) != nil {
		return 0, 0
	}
	return unix.Gettid(), time.Duration(ts.Nano())
}
