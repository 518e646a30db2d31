package netio

import (
	"runtime"
	"testing"
	"time"
)

// TestBesidePace: a loop that keeps up has short turns, and rests by what it lets wait; one
// that has fallen behind is given time to catch up; only one that doesn't, though it rested,
// and works all the time, is taken for busy, and asked again after busyTurns turns.
func TestBesidePace(t *testing.T) {
	const µs, ms = time.Microsecond, time.Millisecond
	var p besidePace
	works, waits := loopWork{ops: 2000, busy: true}, loopWork{ops: 2000}
	long := 2000 * opBeside
	step := func(waited time.Duration, did loopWork, turn, rest time.Duration) {
		t.Helper()
		if got := p.turn(waited, did); got != turn {
			t.Fatalf("a turn of %v after %v, want %v", got, waited, turn)
		}
		if got := p.rest(); got != rest {
			t.Fatalf("a rest of %v, want %v", got, rest)
		}
	}
	step(5*ms, works, leastBeside, restParts*5*ms) // what came before the first turn is nobody's rest
	step(10*µs, works, leastBeside, leastRest)
	step(100*µs, works, leastBeside, restParts*100*µs)
	step(3*ms, works, leastBeside, restParts*3*ms) // it falls behind, and catches up
	step(1500*µs, works, leastBeside, restParts*1500*µs)
	step(busyBeside, works, leastBeside, restParts*busyBeside)
	step(10*ms, works, leastBeside, mostRest)
	step(5*ms+µs, waits, leastBeside, mostRest) // it waits itself
	for range 3 {                               // or doesn't catch up
		step(5*ms+µs, works, long, 0)
		for range busyTurns - 2 {
			step(400*µs, works, long, 0)
		}
		step(400*µs, works, long, restParts*400*µs)
	}
	step(200*µs, works, leastBeside, restParts*200*µs) // it has
	step(300*µs, works, leastBeside, restParts*300*µs)
	step(300*µs, works, long, 0)
	step(300*µs, waits, leastBeside, restParts*300*µs)
	step(300*µs, works, long, 0)
	step(busyBeside, works, leastBeside, restParts*busyBeside)
}

// TestBesideLong: beside a busy loop a turn is as long as what the loop has done allows.
func TestBesideLong(t *testing.T) {
	for i, c := range []struct {
		ops, bytes uint64
		want       time.Duration
	}{
		{0, 0, leastBeside},
		{1, 8, leastBeside},
		{1000, 0, 120 * time.Microsecond},
		{0, 8_000_000, 1000 * time.Microsecond},
		{1000, 8_000_000, 1120 * time.Microsecond},
		{1 << 40, 0, mostBeside},
		{1 << 20, 1 << 40, mostBeside},
	} {
		p := besidePace{waited: time.Millisecond, busy: true, turns: 1}
		if got := p.turn(time.Millisecond, loopWork{c.ops, c.bytes, true}); got != c.want {
			t.Errorf("%d: %v, want %v", i, got, c.want)
		}
	}
}

// TestBesideMeter: it counts what a loop has done since it was read, and tells work from sleep.
func TestBesideMeter(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var m besideMeter
	count := Counters{BatchOps: 5, BytesIn: 3, BytesOut: 4}
	if m.nothing(&count) {
		t.Error("it says nothing was done")
	}
	if did := m.read(time.Now(), &count); did.ops != 5 || did.bytes != 7 || did.busy {
		t.Errorf("at first %+v", did)
	}
	if !m.nothing(&count) {
		t.Error("it says something was done")
	}
	time.Sleep(50 * time.Millisecond)
	count.BytesOut++
	if m.nothing(&count) {
		t.Error("it says nothing was sent")
	}
	if did := m.read(time.Now(), &count); did.ops != 0 || did.bytes != 1 || did.busy {
		t.Errorf("after a sleep %+v", did)
	}
	thread, began := threadClock()
	if thread == 0 {
		t.Skip("this system has no clock of a thread")
	}
	// Busy is a share of the time that passes, which here is what the CPU gave it, so that a
	// machine that gives it nothing meanwhile makes no difference.
	from := m.at
	m.cpu = began
	for cpu := began; cpu-began < 20*time.Millisecond; _, cpu = threadClock() {
	}
	_, cpu := threadClock()
	count.BatchOps++
	if did := m.read(from.Add(cpu-began), &count); did.ops != 1 || !did.busy {
		t.Errorf("after work %+v", did)
	}
	m.thread++ // as if it had been another one
	if did := m.read(m.at, &count); did.busy {
		t.Errorf("on another thread %+v", did)
	}
}
