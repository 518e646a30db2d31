package main

import (
	"errors"
	"testing"

	"keyframe/engine/journal"
)

// TestEndWaitsWhileTheDiskMoves: however long it takes, the end is waited for as long as the disk
// does something, and not much longer; and not at all when the journal has failed.
func TestEndWaitsWhileTheDiskMoves(t *testing.T) {
	fs, err := journal.Dir(t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(fs, journal.Options{Manual: true})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close() // it has not begun
	for _, moves := range []int{0, 10} {
		for _, ends := range []bool{true, false} {
			done := make(chan struct{})
			e := newEnding(j, nil)
			e.ticks = 3
			calls := 0
			e.steps = func() uint64 {
				if calls++; calls == moves && ends {
					close(done)
				}
				return uint64(min(calls, moves))
			}
			want := errDisk
			if ends && moves > 0 {
				want = nil
			}
			if err := e.wait(done); !errors.Is(err, want) || calls < moves || calls > moves+e.ticks+1 {
				t.Errorf("a disk that moves for %d ticks, the end %t: %v after %d", moves, ends, err, calls)
			}
		}
	}
	failed := make(chan struct{})
	close(failed)
	e := newEnding(j, nil)
	e.failed = failed
	if err := e.wait(make(chan struct{})); !errors.Is(err, errJournal) {
		t.Errorf("a journal that has failed: %v", err)
	}
}
