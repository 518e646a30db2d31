package engine_test

import (
	"math/bits"
	"testing"

	"keyframe/engine"
)

// piecesModel is what the pool must do with small indexes: for each page that is cut into
// pieces, which of its eight units are in use.
type piecesModel map[uint64]*[8]bool

// alloc takes the lowest piece of this many units in a page that is cut already.
func (m piecesModel) alloc(units int) (page uint64, unit int, ok bool) {
	for p, used := range m {
		if ok && p > page {
			continue
		}
		for at := 0; at < len(used); at += units {
			free := true
			for _, u := range used[at : at+units] {
				free = free && !u
			}
			if free {
				page, unit, ok = p, at, true
				break
			}
		}
	}
	if ok {
		mark(m[page][unit:unit+units], true)
	}
	return page, unit, ok
}

// release gives a piece back, and its page if nothing else is in use there.
func (m piecesModel) release(page uint64, unit, units int) {
	mark(m[page][unit:unit+units], false)
	if *m[page] == [8]bool{} {
		delete(m, page)
	}
}

// TestPiecesModel takes and gives back pieces of all sizes, first more and more of them and
// then fewer: each is the lowest that is free, no two overlap, and a page that has none in
// use goes back to the pool.
func TestPiecesModel(t *testing.T) {
	type piece struct {
		page               uint64
		unit, units, bytes int
	}
	r := newRand(t)
	e := newEngine(t, engine.Options{Shards: 1, Simulation: &engine.Simulation{}})
	before := e.FreePages()
	m, most := piecesModel{}, 0
	var pieces []piece
	for i := range 20_000 {
		if full := len(pieces) > 6*engine.ChunkPages; r.IntN(10_000) < 3000+i/5 || full {
			if k := r.IntN(len(pieces) + 1); k < len(pieces) {
				p := pieces[k]
				e.ReleaseIndex(p.page, p.unit, p.bytes)
				m.release(p.page, p.unit, p.units)
				pieces[k] = pieces[len(pieces)-1]
				pieces = pieces[:len(pieces)-1]
			}
		} else {
			p := piece{bytes: 1 + r.IntN(engine.PageBytes/2)}
			p.units = max(1, 1<<bits.Len(uint(p.bytes-1))/512)
			var ok bool
			if p.page, p.unit, ok = e.AllocIndex(p.bytes); !ok {
				t.Fatalf("step %d: no room", i)
			}
			page, unit, cut := m.alloc(p.units)
			if !cut {
				if page, unit = p.page, 0; m[page] != nil {
					t.Fatalf("step %d: page %d is in use and was taken", i, page)
				}
				m[page] = new([8]bool)
				mark(m[page][:p.units], true)
			}
			if p.page != page || p.unit != unit {
				t.Fatalf("step %d: %d bytes at page %d, unit %d; want %d, %d", i, p.bytes, p.page, p.unit, page, unit)
			}
			pieces = append(pieces, p)
		}
		if n := e.PiecePages(); n != len(m) {
			t.Fatalf("step %d: %d pages are cut into pieces, want %d", i, n, len(m))
		}
		most = max(most, len(m))
	}
	t.Logf("up to %d pages, %d pieces at the end", most, len(pieces))
	if most <= engine.ChunkPages {
		t.Errorf("all in one chunk: %d pages", most)
	}
	for _, p := range pieces {
		e.ReleaseIndex(p.page, p.unit, p.bytes)
	}
	if n := e.PiecePages(); n != 0 {
		t.Errorf("%d pages are cut into pieces that are all free", n)
	}
	if after := e.FreePages(); after != before {
		t.Errorf("%d pages were free, %d are now", before, after)
	}
}

// TestIndexLeavesWhatIsKept: index leaves the pool's reserve, and what the copies of a
// compaction need if that is more, to the page; in pages of its own, and in pieces, of which
// those of pages that are cut already are there all the same.
func TestIndexLeavesWhatIsKept(t *testing.T) {
	for _, bytes := range []int{512, engine.PageBytes, 2 * engine.PageBytes} {
		for _, copies := range []int{0, 1500} {
			e := newEngine(t, engine.Options{Shards: 64, MaxBytes: 8 << 20, Simulation: &engine.Simulation{}})
			keep := max(e.Reserve(), copies)
			if copies > 0 && keep == e.Reserve() {
				t.Fatalf("the reserve is %d pages", keep)
			}
			e.ToCopy(copies)
			pages := max(1, bytes/engine.PageBytes)
			type place struct {
				page uint64
				unit int
			}
			var taken []place
			for {
				page, unit, ok := e.AllocIndex(bytes)
				if !ok {
					break
				}
				taken = append(taken, place{page, unit})
			}
			if left := e.FreePages(); left < keep || left >= keep+pages {
				t.Errorf("index of %d bytes leaves %d pages, want %d", bytes, left, keep)
			}
			if bytes == 512 && len(taken)%8 != 0 {
				t.Errorf("%d pieces of 512 bytes: not all of the last page's", len(taken))
			}
			for _, p := range taken {
				e.ReleaseIndex(p.page, p.unit, bytes)
			}
			e.ToCopy(0)
		}
	}
}

// TestDirectoryGoesDown: packing moves a directory to a lower piece if one is free, and
// leaves it where it is if there is none.
func TestDirectoryGoesDown(t *testing.T) {
	e := newEngine(t, engine.Options{Shards: 1, Simulation: &engine.Simulation{}})
	page, unit, ok := e.AllocIndex(512)
	if !ok {
		t.Fatal("no room")
	}
	one(e, engine.Set, "key", "value")
	atPage, atUnit := e.DirectoryAt()
	if e.PackDirectory(); atPage < page {
		t.Fatalf("the directory is at page %d, below %d", atPage, page)
	}
	if p, u := e.DirectoryAt(); p != atPage || u != atUnit {
		t.Errorf("the directory went from page %d, unit %d to %d, %d", atPage, atUnit, p, u)
	}
	e.ReleaseIndex(page, unit, 512)
	e.PackDirectory()
	if p, u := e.DirectoryAt(); p != page || u != unit {
		t.Errorf("the directory is at page %d, unit %d; want %d, %d", p, u, page, unit)
	}
	if st, v := one(e, engine.Get, "key", ""); st != engine.Found || v != "value" {
		t.Errorf("status %d, %q", st, v)
	}
}
