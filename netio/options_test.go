package netio

import "testing"

func TestDefaultLoopsLeaveRoom(t *testing.T) {
	for procs, want := range map[int]int{1: 1, 2: 1, 3: 2, 4: 3, 8: 6, 16: 12, 64: 48, 1024: maxLoops} {
		if got := defaultLoops(procs); got != want {
			t.Errorf("%d CPUs: %d loops, want %d", procs, got, want)
		}
	}
}
