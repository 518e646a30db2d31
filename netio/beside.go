package netio

import (
	"runtime"
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
//
// Nor does a goroutine ask for each turn. On one core its timer, its wake-up and the loop's
// cost more than a turn of 20 µs does, and while Go's scheduler looks for what is to run the
// loop doesn't. With 4 million keys, one snapshot after the other, GETs of 10 keys, 60,000 a
// second, half of what a loop can do, had a p50 of 49 µs and a p90 of 100 that way, 29 and 73
// now, and 26 and 67 without snapshots (medians of eight rounds). p99, which was mostly the
// host's, went from 1.4 to 1.2 times what it was without.

// besideTick is how often a loop is given a turn that takes none by itself, as it does when
// something arrives.
const besideTick = time.Millisecond

// beside has work done in bits, on the loops one after the other. It is for one goroutine at a
// time.
type beside struct {
	srv  *Server
	last int // the loop that had work
}

// do has a loop do work, in turns, until it returns false.
func (b *beside) do(work func() (more bool)) {
	job := &besideJob{work: work, ended: make(chan struct{})}
	loops := b.srv.loopList()
	if len(loops) == 0 {
		job.finish()
		return
	}
	b.last = (b.last + 1) % len(loops)
	l := loops[b.last]
	l.execute(func() { l.takeBeside(job) })
	looked := make(chan bool, 1) // what besideIfIdle has returned
	looking := false
	look := func() {
		looking = true
		l.execute(func() { looked <- l.besideIfIdle() })
	}
	look()
	tick := time.NewTicker(besideTick)
	defer tick.Stop()
	for {
		select {
		case again := <-looked:
			if looking = false; again {
				look()
			}
		case <-tick.C:
			if !looking {
				look()
			}
		case <-job.ended:
			return
		case <-b.srv.stopped: // a loop that has ended drops what it is asked to do
			job.finish()
			return
		}
	}
}

// besideJob is work for a loop, and for who takes it back.
type besideJob struct {
	mu    sync.Mutex         // held during a turn
	work  func() (more bool) // nil: it has returned false
	ended chan struct{}      // closed then
}

// turn does some of the work: until a moment, and at least once. It reports whether there is
// none left.
func (j *besideJob) turn(until time.Time) (ended bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.work == nil {
		return true
	}
	for j.work() {
		if !time.Now().Before(until) {
			return false
		}
	}
	j.work = nil
	close(j.ended)
	return true
}

// finish does the rest of the work.
func (j *besideJob) finish() {
	for !j.turn(time.Now().Add(time.Second)) {
	}
}

// besideTurns is what a loop has of it.
type besideTurns struct {
	job   *besideJob // nil: nothing is to be done
	meter besideMeter
	pace  besidePace
	next  time.Time // no turn before that
	asked time.Time // when the turn was asked for that is to come; zero: none was
}

// takeBeside takes work. If the loop had none for a while, what it was like then says nothing.
func (l *loop) takeBeside(job *besideJob) {
	b := &l.beside
	b.job = job
	if now := time.Now(); now.Sub(b.meter.at) > mostRest {
		b.pace = besidePace{}
		b.meter.read(now, &l.count)
	}
}

// askBesideTurn has a turn follow at the end of the loop's wake-up, if there may be one.
func (l *loop) askBesideTurn() {
	b := &l.beside
	if !b.asked.IsZero() {
		return
	}
	now := time.Now()
	if now.Before(b.next) {
		return
	}
	b.asked = now
	l.execute(func() {
		now, asked := time.Now(), b.asked
		if b.asked = (time.Time{}); b.job != nil {
			l.besideTurn(now, b.pace.turn(now.Sub(asked), b.meter.read(now, &l.count)))
			b.next = time.Now().Add(b.pace.rest())
		}
	})
}

// besideIfIdle is a turn of a loop that has done nothing since the last one, or has had none for
// a while. It reports whether another may follow as soon as the loop has looked at its sockets.
func (l *loop) besideIfIdle() (again bool) {
	b := &l.beside
	now := time.Now()
	idle := b.meter.nothing(&l.count)
	if b.job == nil || !idle && (now.Before(b.next) || now.Sub(b.meter.at) < besideTick) {
		return false
	}
	b.meter.read(now, &l.count)
	l.besideTurn(now, leastBeside)
	return idle && b.job != nil
}

func (l *loop) besideTurn(now time.Time, long time.Duration) {
	if b := &l.beside; b.job.turn(now.Add(long)) {
		b.job = nil
		// A loop that is always busy lets no goroutine have its processor, and the one that
		// waits for the end of this work may have more.
		runtime.Gosched()
	}
}
