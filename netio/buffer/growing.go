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

// Growth is how much more memory it takes once n bytes are added: at most, if the system has
// no mappings.
func (g *Growing) Growth(n int) int {
	switch {
	case n > cap(g.b)-len(g.b):
		size, _ := g.sizeFor(n)
		return max(0, size-g.Held())
	case g.mapped != nil:
		return max(0, pages(len(g.b)+n)-g.Held())
	}
	return 0
}

// sizeFor is how much memory it takes once there is room for n bytes more, and whether that
// is a mapping.
func (g *Growing) sizeFor(n int) (size int, isMapped bool) {
	need := len(g.b) + n
	switch {
	case g.mapped != nil:
		return pages(need), true
	case mapsLong && need >= mapFrom:
		return pages(g.Len() + n), true
	}
	size = max(need, cap(g.b)+cap(g.b)/4)
	return (size + First - 1) &^ (First - 1), false
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
	size, isMapped := g.sizeFor(n)
	need := len(g.b) + n
	switch {
	case !isMapped:
		g.b = append(make([]byte, 0, size), g.b...)
	case g.mapped != nil:
		if b, ok := g.mapped.grow(2 * need); ok {
			g.b = b[:len(g.b)]
			return
		}
		g.moveToHeap(n)
	default:
		m := newMapping(2 * need)
		if m == nil {
			g.moveToHeap(n)
			return
		}
		g.b, g.start, g.mapped = append(m.bytes()[:0], g.Bytes()...), 0, m
		m.written = len(g.b)
	}
}

// moveToHeap is for when the system has no more mappings, or no more addresses: the heap has
// to do. It has room for n bytes more, and none to spare, since Growth has said so.
func (g *Growing) moveToHeap(n int) {
	b := append(make([]byte, 0, g.Len()+n), g.Bytes()...)
	g.Release()
	g.b = b
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
