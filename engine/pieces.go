package engine

import "math/bits"

// A small index, a directory or a segment, is a piece of a page: 1, 2 or 4 of its eight
// units, at a multiple of that.
const (
	pieceShift = pageShift - 3 // a unit, in bytes: 512
	pageUnits  = 8
	allUnits   = 1<<pageUnits - 1
	pieceSizes = 3
)

// pieces is the pool's note of the pages that are cut into pieces of index; its mu guards
// it. The lowest piece that is free is taken, of a page that has others if there is one;
// a page whose last piece is given back goes back to the pool. So what small indexes leave
// is room for anything, wherever in memory they were.
type pieces struct {
	free  []*freeUnits       // of each chunk; nil: it has had no such page
	first [pieceSizes]uint64 // no page below has a free piece of this size
	pages int                // that are cut into pieces
}

// freeUnits has a bit for each unit of a chunk that is free, in a page that isn't wholly
// free. Eight pages are a word.
type freeUnits [chunkPages * pageUnits / 64]uint64

// pieceSize is the size of a piece for n bytes, 0 to 2: 512 bytes, 1024, 2048.
func pieceSize(n int) int { return max(0, bits.Len(uint(n-1))-pieceShift) }

// runsOf has the first bit of each run of 1<<size units that are free.
func runsOf(units uint64, size int) uint64 {
	switch size {
	case 0:
		return units
	case 1:
		return units & (units >> 1) & 0x5555_5555_5555_5555
	}
	units &= units >> 1
	return units & (units >> 2) & 0x1111_1111_1111_1111
}

// unitsOf has the bits of a piece whose first unit is bit 0.
func unitsOf(size int) uint64 { return 1<<(1<<size) - 1 }

// find returns the lowest page with a free piece of a size, if there is one.
func (s *pieces) find(size int) (page uint64, ok bool) {
	const perWord = 64 / pageUnits
	page = s.first[size]
	for c := int(page / chunkPages); c < len(s.free); c++ {
		if units := s.free[c]; units != nil {
			for w := int(page % chunkPages / perWord); w < len(units); w++ {
				if runs := runsOf(units[w], size); runs != 0 {
					page = uint64(c*chunkPages + w*perWord + bits.TrailingZeros64(runs)/pageUnits)
					s.first[size] = page
					return page, true
				}
			}
		}
		page = uint64(c+1) * chunkPages
	}
	s.first[size] = page
	return 0, false
}

// take takes the lowest free piece of a page, which must have one.
func (s *pieces) take(page uint64, size int) ref {
	word, shift := s.at(page)
	unit := bits.TrailingZeros64(runsOf(*word>>shift&allUnits, size))
	*word &^= unitsOf(size) << unit << shift
	return pageRef(page) + wordsOf(unit<<pieceShift)
}

// add has a page of the pool's cut into pieces, of which the first is taken.
func (s *pieces) add(page uint64, size int) (r ref) {
	c := int(page / chunkPages)
	for len(s.free) <= c {
		s.free = append(s.free, nil)
	}
	if s.free[c] == nil {
		s.free[c] = new(freeUnits)
	}
	s.pages++
	s.put(page, allUnits&^unitsOf(size))
	return pageRef(page)
}

// giveBack reports whether the page of a piece is wholly free with it, and no longer one
// that is cut into pieces.
func (s *pieces) giveBack(r ref, size int) (pageFree bool) {
	page := r.page()
	unit := int(r-pageRef(page)) / int(wordsOf(1<<pieceShift))
	units := s.put(page, unitsOf(size)<<unit)
	if units != allUnits {
		return false
	}
	word, shift := s.at(page)
	*word &^= units << shift
	s.pages--
	return true
}

// put adds to the free units of a page, and returns all that it has.
func (s *pieces) put(page uint64, more uint64) (units uint64) {
	word, shift := s.at(page)
	if invariants && *word>>shift&more != 0 {
		panic("BUG: engine: a piece of index freed twice")
	}
	*word |= more << shift
	units = *word >> shift & allUnits
	for size := range s.first {
		if runsOf(units, size) != 0 {
			s.first[size] = min(s.first[size], page)
		}
	}
	return units
}

// at is where the free units of a page are.
func (s *pieces) at(page uint64) (word *uint64, shift int) {
	bit := int(page%chunkPages) * pageUnits
	return &s.free[page/chunkPages][bit/64], bit % 64
}

// allocIndex takes n bytes for index. They leave what records have to leave. A compaction
// puts them into the lowest page that there is.
func (a *allocator) allocIndex(n int) (ref, bool) {
	return a.pool.allocIndex(n, a.spare(), a.copying)
}

// allocIndex takes a piece of a page that is cut already, if there is one, unless lowest is
// set and a free page is below that: then what is in high pages can gather in low ones.
func (p *pool) allocIndex(n, spare int, lowest bool) (ref, bool) {
	if n > pageBytes/2 {
		page, ok := p.alloc((n+pageBytes-1)/pageBytes, spare)
		return pageRef(page), ok
	}
	r, ok := p.allocPiece(pieceSize(n), spare, lowest)
	for !ok && p.releaseCleared() {
		r, ok = p.allocPiece(pieceSize(n), spare, lowest)
	}
	return r, ok
}

func (p *pool) allocPiece(size, spare int, lowest bool) (ref, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	cut, ok := p.pieces.find(size)
	if ok && lowest {
		if c, at, free := p.findLocked(1); free && uint64(c*chunkPages+at) < cut && p.left() > spare {
			ok = false
		}
	}
	if ok {
		return p.pieces.take(cut, size), true
	}
	page, ok := p.allocLocked(1, spare)
	if !ok {
		return 0, false
	}
	return p.pieces.add(page, size), true
}

// releaseIndex gives n bytes of index back.
func (p *pool) releaseIndex(r ref, n int) {
	if invariants {
		mangle(bytesAt(p.mem.at(r), n))
	}
	if n > pageBytes/2 {
		p.release(r.page(), (n+pageBytes-1)/pageBytes)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pieces.giveBack(r, pieceSize(n)) {
		p.releaseLocked(r.page(), 1)
	}
}
