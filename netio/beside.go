package netio

import (
	"sync"
	"time"
)

// This file is how a snapshot is made beside what the loops do: on them, a bit at a time.
//
// A thread of its own would need a processor of its own. With fewer, what it does depends on
// the scheduler of the system. With a low priority it gets next to nothing beside a loop that
// is always busy, and with a higher one the loop waits for it. And what it holds when it is
// put off, a shard's lock or the file system's, the loops wait for too. A loop knows when it
// has nothing else to do.

const (
	// leastBeside is how long a turn is beside a loop that is not always busy: what arrives
	// meanwhile waits for it. mostBeside bounds it for one that is. With 10 million keys, one
	// snapshot after the other, GETs of 10 keys, 60,000 a second, half of what one loop can do,
	// had a p99 of 0.8 ms, and of 20 to 350 ms with turns of 60 us and rests of 50, by which
	// the loop fell behind. One key at a time, 40,000 a second: 0.2 and 0.3 ms.
	leastBeside = 40 * time.Microsecond
	mostBeside  = 2 * time.Millisecond

	// opBeside is how long it may be for each operation that the loop has executed since the
	// turn before, and bytesBeside how many bytes that came or went count for 1 ns: about what
	// those cost it, 10 keys at a time, 16 deep. So a loop that was waited for since the system
	// had something else to do isn't taken for one that is always busy.
	opBeside    = 250 * time.Nanosecond
	bytesBeside = 4

	// After a turn there is none for restParts times as long as that one was waited for, and
	// no less than leastRest nor more than mostRest. Values other than these are not yet
	// measured, but for those above, nor are those below.
	restParts = 4
	leastRest = 100 * time.Microsecond
	mostRest  = 20 * time.Millisecond

	// busyBeside is more than a loop that keeps up lets a turn wait, and busyTurns after how
	// many turns it is found out anew whether it does; at once when it lets turns wait
	// busyGrowth times as long as it did.
	busyBeside = 200 * time.Microsecond
	busyTurns  = 32
	busyGrowth = 2
)

// beside gives turns to work that is done in bits: on the loops one after the other, after
// what is to be done there. It is for one goroutine at a time.
type beside struct {
	srv   *Server
	last  int          // the loop that had one
	paces []besidePace // of the loops
}

// do is a turn: it calls work until that returns false or the turn is over, at least once.
func (b *beside) do(work func() (more bool)) {
	loops := b.srv.loopList()
	if len(loops) == 0 {
		work()
		return
	}
	if len(b.paces) < len(loops) {
		b.paces = make([]besidePace, len(loops))
	}
	b.last = (b.last + 1) % len(loops)
	pace := &b.paces[b.last]
	nap(pace.rest())
	var mu sync.Mutex
	over := false
	done := make(chan struct{})
	asked := time.Now()
	l := loops[b.last]
	l.execute(func() {
		mu.Lock()
		defer mu.Unlock()
		if over {
			return
		}
		now := time.Now()
		long := min(pace.turn(now.Sub(asked)), pace.earned(l.count.BatchOps, l.count.BytesIn+l.count.BytesOut))
		for end := now.Add(long); work() && time.Now().Before(end); {
		}
		close(done)
	})
	select {
	case <-done:
	case <-b.srv.stopped: // a loop that has ended drops what it is asked to do
		mu.Lock()
		defer mu.Unlock()
		over = true
		work()
	}
}

// besidePace is how much of a loop's time the turns take.
//
// A loop that keeps up with what arrives has a little time to spare. There turns are short, and
// the rests between them the longer the less there is. One that is always busy answers no
// later for a rest, and there would never be enough of one: turns get as much time as a
// round of what else it does takes, which then takes twice as long. The two are told apart by
// a rest, after which a loop that had only fallen behind has caught up; and by what becomes
// of the time that turns are waited for, which grows if it is they that keep the loop busy.
type besidePace struct {
	waited time.Duration // for the last turn
	busy   time.Duration // if the loop is always busy, for the turn that showed it; or 0
	turns  int           // since the last rest

	ops, bytes uint64 // that the loop had done at the last turn
}

// rest returns how long there is to be no turn.
func (p *besidePace) rest() time.Duration {
	if p.busy > 0 && p.turns < busyTurns {
		return 0
	}
	p.turns = 0
	return min(max(restParts*p.waited, leastRest), mostRest)
}

// turn returns how long a turn may be for which the loop has let wait so long.
func (p *besidePace) turn(waited time.Duration) time.Duration {
	switch before := p.waited; {
	case waited <= busyBeside:
		p.busy = 0
	case p.turns > 0:
		if waited > busyGrowth*p.busy {
			p.busy = 0
		}
	case before > busyBeside && waited > before/2: // though there was a rest of restParts*before
		p.busy = waited
	default:
		p.busy = 0
	}
	p.waited = waited
	if p.turns++; p.busy == 0 {
		return leastBeside
	}
	return min(waited, mostBeside)
}

// earned returns how long a turn may be for what the loop has done since the last one.
func (p *besidePace) earned(ops, bytes uint64) time.Duration {
	long := time.Duration(ops-p.ops)*opBeside + time.Duration(bytes-p.bytes)/bytesBeside
	p.ops, p.bytes = ops, bytes
	return max(long, leastBeside)
}
