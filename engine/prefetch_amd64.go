package engine

// prefetch asks for the cache lines at n addresses; it never faults.
//
//go:noescape
func prefetch(at *[strideOps]uintptr, n int)

// prefetch2 asks also for the lines 39 bytes further on.
//
//go:noescape
func prefetch2(at *[strideOps]uintptr, n int)

// prefetchWrite asks for cache lines that will be written to. It is a no-op on
// the few old processors that don't have it.
//
//go:noescape
func prefetchWrite(at *[strideOps]uintptr, n int)

// prefetchVictim asks for the line of a record and the one 39 bytes further on, and for two others.
//
//go:noescape
func prefetchVictim(record, line, other ptr)
