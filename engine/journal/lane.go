package journal

import (
	"errors"
	"runtime"
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

	// noting is held while the lane applies a batch and notes its effects, and by whoever takes
	// what all lanes have noted. It guards records.
	noting  sync.Mutex
	records []byte // what was noted and not taken: after the room for a group's header
	spare   []byte // for the next records; writer

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

// gatheredGroups bounds what a lane gathers, in groups, while Always waits for a sync. Who
// is not answered, as by SETQ, waits for nothing: so the lane writes then, itself.
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
	for _, l := range j.lanes {
		lockSoon(&l.noting)
	}
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

// soon is how long lockSoon asks for a lock. A loop holds its lane's for a batch, some 15 µs, and the
// writer's for a write, some 20. With two loops, and the client, on two processors, thousands of keys
// a second of SETs of 10, 16 in flight, and of 100, 4 in flight: 6,590 and 6,860 if it doesn't ask
// again, 7,370 and 7,650 with 20 µs, 7,290 and 7,980 with 50, 7,050 and 8,320 with 100. Four loops on
// the two gain as much.
const soon = 50 * time.Microsecond

// lockSoon locks what is held for a short time by somebody who has a processor. A mutex asks for
// about a microsecond and then has the goroutine sleep, and where its processor has nothing else to
// do it takes some 100 µs to wake up: an event loop would sleep for longer than it waits.
func lockSoon(m *sync.Mutex) {
	if m.TryLock() {
		return
	}
	if runtime.GOMAXPROCS(0) > 1 { // or the holder can't go on
		for began := time.Now(); time.Since(began) < soon; {
			if m.TryLock() {
				return
			}
		}
	}
	m.Lock()
}
