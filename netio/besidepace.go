package netio

import "time"

// This file is how long the turns of what is done beside a loop are, and the rests between them.

const (
	// leastBeside is how long a turn is beside a loop that is not always busy: what arrives
	// meanwhile waits for it. mostBeside bounds it for one that is.
	leastBeside = 20 * time.Microsecond
	mostBeside  = 2 * time.Millisecond

	// opBeside is how long it may be, beside a loop that is always busy, for each operation that
	// the loop has executed since the turn before, and bytesBeside how many bytes that came or
	// went count for 1 ns: about what those cost it, 10 keys at a time, 16 deep. There 4 million
	// keys take 1.2 s, and p99 is 1.4 times what it is without (medians of three rounds); with
	// 60 and 80 ns they took 2.3 to 3 s. So turns are not as long as the system may have kept
	// the loop waiting.
	opBeside    = 120 * time.Nanosecond
	bytesBeside = 8

	// After a turn there is none for restParts times as long as that one was waited for, and
	// no less than leastRest nor more than mostRest. Beside 40,000 commands a second of one key, 10
	// million keys take 2.8 s with 60 µs, 4.5 with 80, and p90 is 84 and 82 µs, 70 to 79 without
	// (medians of four rounds). Beside GETs of 10, half of what a loop can do, 4 million take 1.4
	// and 1.7 s, and p90 is 80 and 81, 70 without; with 40 µs it was 90. The others are not yet
	// measured beside others.
	restParts = 4
	leastRest = 60 * time.Microsecond
	mostRest  = 20 * time.Millisecond

	// A loop is taken for one that is always busy if it lets turns wait for more than busyBeside
	// and works for all of the time but one of idleParts. busyTurns is after how many turns
	// beside such a loop there is a rest, to find out anew.
	busyBeside = 200 * time.Microsecond
	idleParts  = 4
	busyTurns  = 32
)

// besidePace is how much of a loop's time the turns take.
//
// A loop that keeps up with what arrives has a little time to spare. There turns are short, and
// the rests between them the longer the less there is. One that is always busy answers no
// later for a rest, and there would never be enough of one: turns get about as much time as a
// round of what else it does takes, which then takes twice as long. The two are told apart by
// a rest, in which a loop that had only fallen behind catches up.
type besidePace struct {
	waited time.Duration // for the last turn
	busy   bool          // the loop is always busy
	turns  int           // since the last rest
}

// turn returns how long a turn may be that was waited for so long.
func (p *besidePace) turn(waited time.Duration, did loopWork) time.Duration {
	switch before := p.waited; {
	case waited <= busyBeside || !did.busy:
		p.busy = false
	case p.turns == 0: // though there was a rest of restParts*before
		p.busy = before > busyBeside && waited > before/2
	}
	p.waited = waited
	if p.turns++; !p.busy {
		return leastBeside
	}
	long := time.Duration(did.ops)*opBeside + time.Duration(did.bytes)/bytesBeside
	return min(max(long, leastBeside), mostBeside)
}

// rest returns how long there is to be no turn after the last one.
func (p *besidePace) rest() time.Duration {
	if p.busy && p.turns < busyTurns {
		return 0
	}
	p.turns = 0
	return min(max(restParts*p.waited, leastRest), mostRest)
}

// loopWork is what a loop did since the last turn began.
type loopWork struct {
	ops, bytes uint64
	busy       bool // most of the time, with that turn or what is counted here
}

// besideMeter tells what a loop has done since it was last read. Whether it was busy the clock of
// its thread says: a loop that waits, for something to arrive or for a processor, has none of
// the CPU's time.
type besideMeter struct {
	at     time.Time
	thread int
	cpu    time.Duration

	ops, bytes uint64
}

// nothing reports whether a loop has done nothing.
func (m *besideMeter) nothing(count *Counters) bool {
	return m.ops == count.BatchOps && m.bytes == count.BytesIn+count.BytesOut
}

func (m *besideMeter) read(now time.Time, count *Counters) loopWork {
	thread, cpu := threadClock()
	was := *m
	*m = besideMeter{at: now, thread: thread, cpu: cpu, ops: count.BatchOps, bytes: count.BytesIn + count.BytesOut}
	passed := m.at.Sub(was.at)
	return loopWork{
		ops: m.ops - was.ops, bytes: m.bytes - was.bytes,
		busy: thread != 0 && thread == was.thread && cpu-was.cpu > passed-passed/idleParts,
	}
}
