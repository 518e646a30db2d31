package journal

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
)

// extraProcessors are those of Go's scheduler that this package has it have.
var extraProcessors struct {
	sync.Mutex
	base  int   // how many there were before
	asked []int // for how many each has asked that has not said that it is done; the most counts
	added int
}

// processorsOfWriters is how many processors more there are where several goroutines write and
// sync groups at once: one for each, and one for whoever is woken up when it has.
//
// A thread that comes back from the disk goes on only when there is a processor for it. With two
// for a loop and two writers it waited for the scheduler to take one from somebody. One core, one
// key at a time, 20,000 SETs a second: the median was 359 µs with two, 264 to 273 with four, 278
// with six (the disk alone 180 to 186); as many as can be, 69,000 a second and 76,000; 64 in
// flight 1.80 and 1.92 million; 10 and 100 keys a command the same within their spread. Two cores
// and two loops: 517, 440 with two more, 371 with three. (Medians of two to three servers.)
const processorsOfWriters = durableWriters + 1

// addProcessors gives the program so many processors of Go's scheduler more than it had before
// anybody asked, until the func that it returns is called.
func addProcessors(n int) (remove func()) {
	x := &extraProcessors
	x.Lock()
	defer x.Unlock()
	if len(x.asked) == 0 {
		x.base = runtime.GOMAXPROCS(0)
	}
	x.asked = append(x.asked, n)
	setProcessors()
	return func() {
		x.Lock()
		defer x.Unlock()
		i := slices.Index(x.asked, n)
		x.asked = slices.Delete(x.asked, i, i+1)
		setProcessors()
	}
}

// setProcessors has as many be there as are asked for. extraProcessors is locked.
func setProcessors() {
	x := &extraProcessors
	n := 0
	if len(x.asked) > 0 {
		n = slices.Max(x.asked)
	}
	if n == x.added {
		return // and whatever the program has made of it stays
	}
	x.added = n
	if n > 0 {
		runtime.GOMAXPROCS(x.base + n)
	} else if n, err := strconv.Atoi(os.Getenv("GOMAXPROCS")); err == nil && n > 0 {
		runtime.GOMAXPROCS(n)
	} else {
		runtime.SetDefaultGOMAXPROCS() // from then on it follows the container's quota again
	}
}

// addProcessors is the function of this name, if the program allows it.
func (j *Journal) addProcessors(n int) (remove func()) {
	if !j.opts.AddProcessors {
		return func() {}
	}
	return addProcessors(n)
}

// addProcessor gives the program a second processor where it has only one, until the func that it
// returns is called by everybody who has asked for one.
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
func (j *Journal) addProcessor() (remove func()) {
	if !j.opts.AddProcessors || numBase() > 1 {
		return func() {}
	}
	return addProcessors(1)
}

// numBase is how many there are without those that were asked for.
func numBase() int {
	x := &extraProcessors
	x.Lock()
	defer x.Unlock()
	if len(x.asked) > 0 {
		return x.base
	}
	return runtime.GOMAXPROCS(0)
}
