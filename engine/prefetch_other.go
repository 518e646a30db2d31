//go:build !amd64

package engine

// prefetch loads a byte from n addresses: the misses overlap as far as the
// processor looks ahead.
func prefetch(at *[strideOps]uintptr, n int) {
	sum := uint64(0)
	for i := range n {
		sum += *word(ptrTo(at[i]))
	}
	sink.Store(sum)
}

func prefetch2(at *[strideOps]uintptr, n int) { prefetch(at, n) }

func prefetchVictim(record, line, other ptr) {
	sink.Store(*word(record) + *word(line) + *word(other))
}

// prefetchWrite would take the lines from other cores only to read them.
func prefetchWrite(*[strideOps]uintptr, int) {}
