package engine_test

import (
	"testing"

	"keyframe/engine"
)

// poolModel is what the pool must behave like: the lowest run of free pages that there is
// within a chunk, or else the lowest chunk without memory; for more than a chunk, the
// lowest chunks without memory. Of each chunk it has the pages in use, nil for a chunk
// without memory.
type poolModel [][]bool

func (m *poolModel) alloc(pages int) (page uint64) {
	if pages > engine.ChunkPages {
		return m.commit((pages+engine.ChunkPages-1)/engine.ChunkPages, engine.ChunkPages)
	}
	for c, used := range *m {
		for at, run := 0, 0; at < len(used); at++ {
			if run++; used[at] {
				run = 0
			}
			if run == pages {
				mark(used[at+1-pages:at+1], true)
				return uint64(c*engine.ChunkPages + at + 1 - pages)
			}
		}
	}
	return m.commit(1, pages)
}

// commit takes n neighbouring chunks, and the first pages of each.
func (m *poolModel) commit(n, pages int) (page uint64) {
	run := 0
	for c := 0; ; c++ {
		if c == len(*m) {
			*m = append(*m, nil)
		}
		if run++; (*m)[c] != nil {
			run = 0
		}
		if run == n {
			for i := c + 1 - n; i <= c; i++ {
				(*m)[i] = make([]bool, engine.ChunkPages)
				mark((*m)[i][:pages], true)
			}
			return uint64((c + 1 - n) * engine.ChunkPages)
		}
	}
}

func (m *poolModel) release(page uint64, pages int) {
	c, at := int(page)/engine.ChunkPages, int(page)%engine.ChunkPages
	if pages > engine.ChunkPages {
		clear((*m)[c : c+(pages+engine.ChunkPages-1)/engine.ChunkPages])
		return
	}
	mark((*m)[c][at:at+pages], false)
}

func mark(used []bool, as bool) {
	for i := range used {
		used[i] = as
	}
}

// TestPoolModel takes and gives back runs of all lengths: each lies where the model has it,
// so what is free is found again, and memory gathers at the bottom.
func TestPoolModel(t *testing.T) {
	type run struct {
		page  uint64
		pages int
	}
	r := newRand(t)
	e := newEngine(t, engine.Options{Shards: 1, Simulation: &engine.Simulation{}})
	m := &poolModel{make([]bool, engine.ChunkPages)}
	mark((*m)[0][:1], true) // page 0
	var runs []run
	for i := range 20_000 {
		if len(runs) > 0 && r.IntN(400) < len(runs) {
			k := r.IntN(len(runs))
			e.ReleasePages(runs[k].page, runs[k].pages)
			m.release(runs[k].page, runs[k].pages)
			runs[k] = runs[len(runs)-1]
			runs = runs[:len(runs)-1]
			continue
		}
		pages := 1 + r.IntN(20)
		switch r.IntN(40) {
		case 0:
			pages = 1 + r.IntN(engine.ChunkPages)
		case 1:
			pages = 1 + r.IntN(3*engine.ChunkPages)
		case 2, 3, 4, 5:
			pages = 17 + r.IntN(40)
		}
		page, ok := e.AllocPages(pages)
		if want := m.alloc(pages); !ok || page != want {
			t.Fatalf("run %d, of %d pages: at %d (%v), want %d", i, pages, page, ok, want)
		}
		runs = append(runs, run{page, pages})
	}
	for _, run := range runs {
		e.ReleasePages(run.page, run.pages)
	}
	if st := e.Stats(); st.ReservedBytes > len(*m)*engine.ChunkBytes {
		t.Errorf("%d bytes are reserved, for %d chunks", st.ReservedBytes, len(*m))
	}
}

// TestPoolWakes: the maintainer is woken once, as soon as the number of free pages that is
// waited for is reached, to the page.
func TestPoolWakes(t *testing.T) {
	e := newEngine(t, engine.Options{Shards: 1, MaxBytes: 4 * engine.ChunkBytes, Simulation: &engine.Simulation{}})
	left := e.ToCopy(0)
	page, ok := e.AllocPages(10)
	if !ok {
		t.Fatal("no pages")
	}
	e.WakeWhenFree(left - 3)
	e.WakeWhenFree(left - 5) // the smallest number counts
	for i := range uint64(10) {
		e.Woken()
		e.ReleasePages(page+i, 1)
		if woken := e.Woken(); woken != (i == 4) {
			t.Errorf("%d pages given back: woken is %v", i+1, woken)
		}
		if i == 4 {
			e.RetryPostponed()
		}
	}
	e.WakeWhenFree(left)
	if !e.Woken() {
		t.Error("as many as are waited for are free already, and the maintainer is not woken")
	}
}

// TestAddressSpaceEnds: where no chunks lie side by side any more for a run it is refused,
// although as many are left, and what was given back is found again.
func TestAddressSpaceEnds(t *testing.T) {
	if !engine.OffHeap {
		t.Skip("on the heap each chunk has memory from the start")
	}
	e := newEngine(t, engine.Options{Shards: 1, Simulation: &engine.Simulation{}})
	chunks := e.FreePages() / engine.ChunkPages
	take := func(n int) uint64 {
		t.Helper()
		page, ok := e.AllocPages(n * engine.ChunkPages)
		if !ok {
			t.Fatalf("no run of %d chunks, %d are left", n, e.FreePages()/engine.ChunkPages)
		}
		return page
	}
	runs := map[uint64]int{}
	below := take(2)
	middle := chunks - 5
	runs[take(middle)] = middle
	if left := e.FreePages() / engine.ChunkPages; left != 3 {
		t.Fatalf("%d of %d chunks are left", left, chunks)
	}
	e.ReleasePages(below, 2*engine.ChunkPages)
	if page, ok := e.AllocPages(4 * engine.ChunkPages); ok {
		t.Fatalf("a run of 4 chunks at page %d, past the end", page)
	}
	runs[take(3)] = 3
	if page := take(2); page != below {
		t.Errorf("two chunks at page %d, want %d", page, below)
	}
	if page, ok := e.AllocPages(2 * engine.ChunkPages); ok {
		t.Fatalf("two more chunks, at page %d", page)
	}
	e.ReleasePages(below, 2*engine.ChunkPages)
	for page, n := range runs {
		e.ReleasePages(page, n*engine.ChunkPages)
	}
}

// TestPoolToTheLastPage: what is below the ceiling is handed out to the last page.
func TestPoolToTheLastPage(t *testing.T) {
	for name, alloc := range map[string]func(*engine.Engine) (page uint64, pages int, ok bool){
		"one":     func(e *engine.Engine) (uint64, int, bool) { page, ok := e.AllocPages(1); return page, 1, ok },
		"two":     func(e *engine.Engine) (uint64, int, bool) { page, ok := e.AllocPages(2); return page, 2, ok },
		"any":     func(e *engine.Engine) (uint64, int, bool) { return e.AllocUpTo(1) },
		"up to 5": func(e *engine.Engine) (uint64, int, bool) { return e.AllocUpTo(5) },
	} {
		e := newEngine(t, engine.Options{Shards: 1, MaxBytes: 2 << 20, Simulation: &engine.Simulation{}})
		before, taken := e.FreePages(), map[uint64]int{}
		for {
			page, pages, ok := alloc(e)
			if !ok {
				break
			}
			taken[page] = pages
		}
		if left := e.FreePages(); left > 0 && (name != "two" || left > 1) {
			t.Errorf("%s: %d pages of %d are left", name, left, before)
		}
		for page, pages := range taken {
			e.ReleasePages(page, pages)
		}
		if left := e.FreePages(); left != before {
			t.Errorf("%s: %d pages are left of %d that were given back", name, left, before)
		}
	}
}
