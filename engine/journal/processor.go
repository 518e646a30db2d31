package journal

import (
	"os"
	"runtime"
	"strconv"
	"sync"
)

// extraProcessor is the second processor of Go's scheduler that this package has it have.
var extraProcessor struct {
	sync.Mutex
	users int
}

// addProcessor gives the program a second processor of Go's scheduler where it has only one,
// until the func that it returns is called by everybody who has asked for one.
//
// Some of a journal's system calls wait for the disk: the sync of each second, the making of a
// segment, the end of a snapshot, the removal of an old file. The goroutine that is in one
// keeps its processor until the scheduler takes it away, up to 10 ms later, and with only one
// the event loops wait for that: with one key at a time, 40,000 a second, and one snapshot after
// the other p99 was 12 to 16 ms, and 2 ms with two processors on the same core. To have two all
// the time would cost SETs of 10 keys, 16 at a time, a sixth of their throughput; to have one
// more stops the program for some 20 µs, and once more when it goes. But with Always there is a
// sync all the time: two give 1.19 times the throughput with one key at a time, 1.10 with 64,
// 1.04 with 10 keys, 16 at a time (medians of two rounds).
func addProcessor() (remove func()) {
	x := &extraProcessor
	x.Lock()
	defer x.Unlock()
	if x.users == 0 {
		if runtime.GOMAXPROCS(0) > 1 {
			return func() {}
		}
		runtime.GOMAXPROCS(2)
	}
	x.users++
	return func() {
		x.Lock()
		defer x.Unlock()
		if x.users--; x.users > 0 {
			return
		}
		if n, err := strconv.Atoi(os.Getenv("GOMAXPROCS")); err == nil && n > 0 {
			runtime.GOMAXPROCS(n)
		} else {
			runtime.SetDefaultGOMAXPROCS() // from then on it follows the container's quota again
		}
	}
}

// addProcessor is the function of this name, if the program allows it.
func (j *Journal) addProcessor() (remove func()) {
	if !j.opts.AddProcessor {
		return func() {}
	}
	return addProcessor()
}
