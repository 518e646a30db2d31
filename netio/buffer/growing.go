package buffer

const (
	// First is the size of a heap buffer when something short comes.
	First = 4 << 10

	// mapFrom is the length from which a Growing is a mapping: a client that pipelines and
	// waits for its turns stays below it. Not yet measured; BenchmarkGrowing has both kinds.
	mapFrom = 256 << 10

	// trimFrom is how much must be used up of a mapping before its pages are given back.
	// Not yet measured.
	trimFrom = 1 << 20
)

// refuse, unless nil, has the system refuse mappings, for a test.
var refuse func() bool

// Growing is bytes that gather at its end and are used up from its front. The zero value
// is empty. It must be released, since the garbage collector does not see a mapping.
type Growing struct {
	b      []byte   // all of it, the front that is used up included
	start  int      // of what is not used up
	mapped *mapping // b's memory; nil: it is on the heap
}

// Len is how many bytes there are.
func (g *Growing) Len() int { return len(g.b) - g.start }

// Bytes are those bytes, until the next call of another method.
func (g *Growing) Bytes() []byte { return g.b[g.start:] }

// Held is how much memory it takes. Of a mapping that is the pages that have been written
// to.
func (g *Growing) Held() int {
	if g.mapped == nil {
		return cap(g.b)
	}
	return g.Mapped()
}

// Mapped is how much of what it holds is a mapping, and so not on Go's heap.
func (g *Growing) Mapped() int {
	if g.mapped == nil {
		return 0
	}
	return pages(g.mapped.written)
}

// Append adds a copy of p.
func (g *Growing) Append(p []byte) {
	if len(p) > cap(g.b)-len(g.b) {
		g.grow(len(p))
	}
	g.b = append(g.b, p...)
	if g.mapped != nil {
		g.mapped.written = max(g.mapped.written, len(g.b))
	}
}

// grow makes room for n further bytes.
func (g *Growing) grow(n int) {
	need := len(g.b) + n
	switch {
	case g.mapped != nil:
		if b, ok := g.mapped.grow(2 * need); ok {
			g.b = b[:len(g.b)]
			return
		}
		// The system has no more mappings, or no more addresses: the heap has to do.
		b := append(make([]byte, 0, need-g.start), g.Bytes()...)
		g.Release()
		g.b = b
	case need < mapFrom:
		if g.b == nil {
			g.b = make([]byte, 0, max(First, n))
		}
	default:
		if m := newMapping(2 * need); m != nil {
			g.b, g.start, g.mapped = append(m.bytes()[:0], g.Bytes()...), 0, m
			m.written = len(g.b)
		}
	}
}

// Drop uses up the first n bytes.
func (g *Growing) Drop(n int) {
	g.start += n
	rest := g.Bytes()
	switch {
	case len(rest) == 0:
		// An idle connection costs little, and the next partial frame may never come.
		g.Release()
	case g.mapped == nil:
		// Move the rest down only when that frees at least as much as it copies: linear
		// work in all.
		if g.start > len(g.b)/2 {
			g.b, g.start = g.b[:copy(g.b, rest)], 0
		}
	case len(rest) < mapFrom/2:
		b := append(make([]byte, 0, max(First, len(rest))), rest...)
		g.Release()
		g.b = b
	case g.start >= trimFrom:
		used := pages(g.start+1) - pages(1)
		g.b = g.mapped.trim(used)[:len(g.b)-used]
		g.start -= used
	}
}

// Release gives all memory back. The buffer is empty then.
func (g *Growing) Release() {
	if g.mapped != nil {
		g.mapped.end()
	}
	*g = Growing{}
}

// pages is n rounded up to whole pages.
func pages(n int) int { return (n + pageSize - 1) &^ (pageSize - 1) }
