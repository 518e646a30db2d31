package load

import (
	"math"
	"time"
)

// The schedule of an open loop: command i of all is planned at i/Rate, on connection i mod
// Conns. The warm-up's commands come first. Those that are measured are successive, so
// their number divided by their time is the rate.

// before is how many of the connection's commands come before command i of all.
func (c *conn) before(i uint64, conns int) uint64 {
	if i <= uint64(c.index) {
		return 0
	}
	return (i-uint64(c.index)-1)/uint64(conns) + 1
}

// planned returns the number of the first command of the schedule that is measured, and how
// many are.
func (o *Options) planned() (from, n uint64) {
	from = uint64(math.Ceil(o.WarmUp.Seconds() * o.Rate))
	if o.Requests > 0 {
		return from, uint64(o.Requests)
	}
	return from, uint64(math.Ceil((o.WarmUp+o.Duration).Seconds()*o.Rate)) - from
}

// at is when command i of the schedule is to be sent.
func (o *Options) at(i uint64) time.Duration {
	return time.Duration(float64(i) / o.Rate * float64(time.Second))
}

// planned is when command k of c is to be sent.
func (w *worker) planned(c *conn, k uint64) time.Duration {
	return w.o.at(k*uint64(w.o.Conns) + uint64(c.index))
}

// plan sends the commands whose planned time has come.
func (w *worker) plan(now time.Duration) error {
	for w.planning {
		c := w.conns[w.nextConn]
		switch {
		case w.stop.Load() || w.nextTurn >= c.limit: // so are the connections after it
			w.planning = false
		case w.planned(c, w.nextTurn) > now:
			return w.flushDirty()
		default:
			c.due++
			w.markDirty(c)
		}
		if w.nextConn++; w.nextConn == len(w.conns) {
			w.nextConn = 0
			w.nextTurn++
		}
	}
	return w.flushDirty()
}

func (w *worker) timeout(now time.Duration, open bool) time.Duration {
	// A timer fires tens of microseconds late; what is nearer is spun for.
	const spin = 60 * time.Microsecond
	if !open || !w.planning {
		return longestWait
	}
	left := w.planned(w.conns[w.nextConn], w.nextTurn) - now
	if left <= spin {
		return 0
	}
	return min(left-spin, longestWait)
}

// giveUp counts the commands that were planned and that the server did not answer. The time
// that they have waited until now is kept apart from the latencies of the others: an answer
// would have taken longer.
func (w *worker) giveUp() (unanswered uint64) {
	now := time.Since(w.base)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		for k := max(c.answered, c.first); k < c.due; k++ {
			kind := c.script.kind(k)
			if w.now.waited[kind] == nil {
				w.now.waited[kind] = newHistogram()
			}
			count(w.now.waited[kind], now-w.planned(c, k), 1)
			w.now.tally[kind].Unanswered++
			unanswered++
		}
	}
	return unanswered
}
