package engine

// prefetch asks for the cache lines at n addresses; it never faults.
//
//go:noescape
func prefetch(at *[maxGroup]uintptr, n int)

// prefetch2 asks also for the lines 39 bytes further on.
//
//go:noescape
func prefetch2(at *[maxGroup]uintptr, n int)
