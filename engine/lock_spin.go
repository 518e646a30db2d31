//go:build amd64 && !race

package engine

import (
	"runtime"
	"sync/atomic"
	"time"
)

// lock is the mutex of a shard, for holds of some dozen nanoseconds. It has the
// methods of sync.Mutex, and must not be copied once it is in use.
//
// It spins where sync.Mutex would park, because it can then be given back with a
// plain store: no goroutine sleeps that would have to be woken. An atomic instruction
// costs 6 ns, and the processor starts nothing after it until it is done, so that the
// misses of neighbouring operations don't overlap. doc.go has what sync.Mutex costs.
//
// A waiter asks again after a pause of the processor, then after others had its turn, then
// after a sleep: the holder may have been put off its processor, and may need this one to
// go on. So a long wait costs next to nothing. But nothing makes waiters take turns: a
// goroutine that takes the lock again and again, as the maintainer does, has to call
// letOthers in between, or the others starve.
type lock struct {
	held    uint32
	waits   uint32 // how many acquisitions had to wait; guarded by the lock itself
	waiting atomic.Int32
}

// How long a waiter spins, in rounds of spinRound pauses (15 to 40 ns each on Skylake
// and later, a few on others), how often it gives its processor away then, and how long it
// sleeps after that.
//
// A step of the maintainer or the sweeper holds a lock for 5 to 40 µs. A waiter that is still
// there after 512 rounds, some 30 µs, mostly has the processor that the holder needs: on some
// systems the one wakes up where the other runs, and puts it off, though another processor is
// idle. To give the thread's turn away is .3 µs if nobody wants it; a sleep is 100 µs at least,
// and 1 ms if the whole process sleeps. Of 200,000 batches beside a million keys that die in 6 s
// 218 to 303 waited for more than 100 µs when they slept after 32 turns, 6 to 18 with 1,024 (p999
// 112 µs and 55 to 70; two processors). After 64 rounds instead of 512 it was the same. Not yet
// measured beside other work on the waiter's CPU, which the turn goes to then. With one
// processor the holder can go on only when the waiter gives way.
const (
	spinRoundsAlone = 32
	spinRounds      = 512
	yieldRounds     = 1024
	spinRound       = 4
	waiterSleep     = 50 * time.Microsecond
)

func (l *lock) Lock() {
	if !atomic.CompareAndSwapUint32(&l.held, 0, 1) {
		l.lockSlow()
	}
}

// Unlock gives the lock back. On amd64 a store becomes visible after all that
// came before it in the program, so it publishes what the holder wrote; the
// compiler moves nothing across the call.
func (l *lock) Unlock() { storeRelease(&l.held) }

func (l *lock) lockSlow() {
	l.waiting.Add(1)
	defer l.waiting.Add(-1)
	spins := spinRoundsAlone
	for round := 1; ; round++ {
		switch {
		case round < spins:
			pause(spinRound)
		case round == spinRoundsAlone && runtime.GOMAXPROCS(0) > 1:
			spins = spinRounds
		case round <= spins+yieldRounds:
			yieldThread()
			runtime.Gosched()
		default:
			time.Sleep(waiterSleep)
		}
		if atomic.LoadUint32(&l.held) == 0 && atomic.CompareAndSwapUint32(&l.held, 0, 1) {
			l.waits++
			return
		}
	}
}

// letOthers gives waiters the time to wake up and take the lock, for a while: they may
// have been put off the processor. The caller must not hold it.
//
// It doesn't sleep: when all of a process sleeps the scheduler rounds the time up to a
// millisecond, the waiters' too, and Gosched makes it look for those whose time has
// come.
func (l *lock) letOthers() {
	if l.waiting.Load() == 0 {
		return
	}
	for start := time.Now(); l.waiting.Load() > 0 && time.Since(start) < 4*waiterSleep; {
		yieldProcessor()
	}
}

// waitsLocked is how often a goroutine had to wait for the lock.
func (l *lock) waitsLocked() int { return int(l.waits) }

// storeRelease is *p = 0, in assembly so that it is more than a hope: the
// language says nothing of plain stores that other goroutines read, and its
// atomic ones are full barriers.
//
//go:noescape
func storeRelease(p *uint32)

// counter is a count that is written under a lock and read by anyone. A plain store suffices
// for that on amd64, see Unlock; an atomic one waits until all stores before it are done,
// those of a record and of what eviction knows among them, which miss the caches.
type counter struct{ n int64 }

func (c *counter) Load() int64   { return atomic.LoadInt64(&c.n) }
func (c *counter) Store(n int64) { storeCount(&c.n, n) }

// storeCount is *p = n, in assembly for the same reason as storeRelease.
//
//go:noescape
func storeCount(p *int64, n int64)

// pause waits for n PAUSE instructions.
func pause(n uint32)
