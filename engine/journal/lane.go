package journal

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// This file is where effects are noted, by several goroutines at once, and how all that was noted
// is taken at one moment.

// Lane is how one goroutine logs what it does to the store. Its methods are for that
// goroutine.
type Lane struct {
	j       *Journal
	release func(upTo uint64, err error)
	waits   atomic.Uint64 // the position that release is wanted for; 0: none

	// noting is held while the lane applies a batch and notes its effects. takeNotedLocked holds
	// it, and the writer's lock, to swap records and spare.
	noting  sync.Mutex
	records []byte // what was noted and not taken: after the room for a group's header; noting
	spare   []byte // what was taken until it is written, then empty; writer

	_ [48]byte // a lane has two cache lines, and shares none with another loop's
}

// NewLane returns a lane. release is called, on any goroutine, when a group is done that
// Done said was not: what was waited for up to there is kept, or, with an error, will never
// be.
func (j *Journal) NewLane(release func(upTo uint64, err error)) *Lane {
	l := &Lane{j: j, release: release}
	j.taking.Lock()
	defer j.taking.Unlock()
	j.lanes = append(j.lanes, l)
	return l
}

// Begin comes before what may change the store. Everybody who can see the change finds that
// there is something to wait for: the group of which Begin returns the position.
func (l *Lane) Begin() (position uint64) {
	j := l.j
	lockSoon(&l.noting)
	now := j.gathering.Load()
	if now&1 == 0 {
		j.gathering.Or(1)
	}
	if len(l.records) == 0 {
		l.records = append(l.records, make([]byte, groupHeaderBytes)...)
	}
	return now >> 1
}

// Records is where the effects are to be appended, between Begin and End.
func (l *Lane) Records() *[]byte { return &l.records }

// End comes after the effects have been noted.
func (l *Lane) End() {
	n := len(l.records)
	if n == groupHeaderBytes {
		l.records, n = l.records[:0], 0
	}
	l.noting.Unlock()
	switch j := l.j; {
	case n >= j.opts.GroupBytes*gatheredGroups:
		_ = j.flush(j.Position()) // an error is Done's, too
	case n >= j.opts.GroupBytes:
		_ = j.advance(j.Position())
	}
}

// gatheredGroups bounds what a lane gathers, in groups, while Always waits for a sync. A client that
// is not answered, as after SETQ, waits for nothing, so the lane writes then, itself.
const gatheredGroups = 8

// Done writes what has been gathered up to a position, if it has to, and returns the
// position up to which answers may leave. If that is less, release will be called.
func (l *Lane) Done(position uint64) (upTo uint64, err error) {
	j := l.j
	if err := j.Err(); err != nil {
		return 0, err
	}
	if upTo = j.Kept(); upTo >= position {
		return upTo, nil
	}
	if j.opts.Mode == Always {
		l.waits.Store(position)
	}
	err = j.advance(position)
	if errors.Is(err, ErrFull) {
		l.waits.Store(position)
		err = nil
	}
	return j.Kept(), err // as it is now: what was done before waits was set releases nothing
}

// takeNotedLocked begins the next group, and returns the number of the one before. What all lanes
// have noted of that is their spare until it is written; j.taken is those that have any.
func (j *Journal) takeNotedLocked(seqs *[]uint64) (number uint64) {
	j.taken = j.taken[:0]
	j.taking.Lock()
	defer j.taking.Unlock()
	j.lockLanes()
	number = j.gathering.Load() >> 1
	for _, l := range j.lanes {
		if len(l.records) > 0 {
			j.taken = append(j.taken, l)
			l.records, l.spare = l.spare, l.records
		}
	}
	j.gathering.Store((number + 1) << 1)
	if seqs != nil {
		*seqs = j.source.Sequences(*seqs)
	}
	for _, l := range j.lanes {
		l.noting.Unlock()
	}
	return number
}

// lockLanes locks all lanes. It asks for those that it hasn't in turn, so that it waits for the
// longest batch that is under way, and not for one after the other.
func (j *Journal) lockLanes() {
	left := append(j.unlocked[:0], j.lanes...)
	askSoon(func() bool {
		left = slices.DeleteFunc(left, func(l *Lane) bool { return l.noting.TryLock() })
		return len(left) == 0
	})
	for _, l := range left {
		l.noting.Lock()
	}
	j.unlocked = left
}

// lockSoon locks what is held for a short time.
func lockSoon(m *sync.Mutex) {
	if !askSoon(m.TryLock) {
		m.Lock()
	}
}

// soon is how long is asked before it is slept. A loop holds its lane's lock for a batch, some 15 µs, and
// the writer's for a write, some 20. Two loops on two CPUs, with the client, and SETs of one key, 64 in
// flight, of 10, 16 in flight, and of 100, 4 in flight, came to 3,447, 6,351 and 7,109 thousand keys a second
// without this, and to 4,057, 6,840 and 8,223 with it; 20 µs and 100 were no better on the whole.
const soon = 50 * time.Microsecond

// askSoon calls try until it returns true, or soon is over. A mutex asks for about a microsecond and
// then has the goroutine sleep, and where its processor has nothing else to do it takes some 100 µs to
// wake up: an event loop would sleep for longer than it waits. On one CPU nobody asks: the goroutine
// that holds the lock needs that CPU, however many processors Go's scheduler has (see addProcessors).
func askSoon(try func() bool) bool {
	if try() {
		return true
	}
	if runtime.NumCPU() > 1 && runtime.GOMAXPROCS(0) > 1 {
		for began := time.Now(); time.Since(began) < soon; {
			if try() {
				return true
			}
		}
	}
	return false
}
