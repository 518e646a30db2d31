package netio

import (
	"testing"
	"time"
)

// TestBesidePace: a loop that keeps up has short turns, and rests by what it lets wait; one
// that has fallen behind is given time to catch up; only one that doesn't, though it rested,
// is taken for busy, and asked again after busyTurns turns.
func TestBesidePace(t *testing.T) {
	const µs, ms = time.Microsecond, time.Millisecond
	var p besidePace
	step := func(rest, waited, turn time.Duration) {
		t.Helper()
		if got := p.rest(); got != rest {
			t.Fatalf("a rest of %v, want %v", got, rest)
		}
		if got := p.turn(waited); got != turn {
			t.Fatalf("a turn of %v after %v, want %v", got, waited, turn)
		}
	}
	step(leastRest, 5*ms, leastBeside) // what came before the first turn is nobody's rest
	step(restParts*5*ms, 10*µs, leastBeside)
	step(leastRest, 100*µs, leastBeside)
	step(restParts*100*µs, 3*ms, leastBeside) // it falls behind, and catches up
	step(restParts*3*ms, 1500*µs, leastBeside)
	step(restParts*1500*µs, busyBeside, leastBeside)
	step(restParts*busyBeside, 10*ms, leastBeside)
	step(mostRest, 5*ms+µs, mostBeside) // or doesn't
	for range busyTurns - 1 {
		step(0, 400*µs, 400*µs)
	}
	step(restParts*400*µs, 300*µs, 300*µs)
	step(0, 600*µs, 600*µs)
	step(0, 601*µs, leastBeside) // it is the turns that keep it busy
	step(restParts*601*µs, 300*µs, leastBeside)
	step(restParts*300*µs, busyBeside+µs, busyBeside+µs)
	step(0, busyBeside, leastBeside) // it has nothing more to do
	step(restParts*busyBeside, busyBeside+µs, leastBeside)
	step(restParts*(busyBeside+µs), busyBeside+µs, busyBeside+µs)
}

// TestBesideEarned: a turn is no longer than what the loop has done since the last one.
func TestBesideEarned(t *testing.T) {
	const µs = time.Microsecond
	var p besidePace
	for i, c := range []struct {
		ops, bytes uint64
		want       time.Duration
	}{
		{0, 0, leastBeside},
		{1000, 0, 250 * µs},
		{1001, 0, leastBeside},
		{1001, 4_000_000, 1000 * µs},
		{2001, 5_000_000, 500 * µs},
		{2001, 5_000_000, leastBeside},
	} {
		if got := p.earned(c.ops, c.bytes); got != c.want {
			t.Errorf("%d: %v, want %v", i, got, c.want)
		}
	}
}
