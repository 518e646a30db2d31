package engine_test

import (
	"fmt"
	"strings"
	"testing"

	"keyframe/engine"
)

// A compacted is a simulated store of one shard, and its oracle. step is called between the
// steps of its compactions; while refuse is set, the system has no memory.
type compacted struct {
	*engine.Engine
	t      *testing.T
	o      oracle
	refuse bool
	step   func(n int)
	steps  int
	next   int // key for removeNext
}

func newCompacted(t *testing.T, maxBytes int) *compacted {
	c := &compacted{t: t, o: oracle{}, step: func(int) {}}
	c.Engine = newEngine(t, engine.Options{Shards: 1, MaxBytes: maxBytes, Simulation: &engine.Simulation{
		Seed:   1,
		Refuse: func() bool { return c.refuse },
		Step:   func() { c.steps++; c.step(c.steps) },
	}})
	return c
}

// set stores a value of n bytes, and reports whether it was taken.
func (c *compacted) set(key string, n int) bool {
	c.t.Helper()
	value := strings.Repeat(key+" ", n/(len(key)+1)+1)[:n]
	st, _ := one(c.Engine, engine.Set, key, value)
	if st == engine.OutOfMemory {
		return false
	}
	if want := c.o.apply(engine.Op{Kind: engine.Set, Key: []byte(key), Value: []byte(value)}, engine.Args{}, 0).status; st != want {
		c.t.Fatalf("set %s: status %d, want %d", key, st, want)
	}
	return true
}

func (c *compacted) remove(key string) {
	c.t.Helper()
	st, _ := one(c.Engine, engine.Remove, key, "")
	if want := c.o.apply(engine.Op{Kind: engine.Remove, Key: []byte(key)}, engine.Args{}, 0).status; st != want {
		c.t.Fatalf("remove %s: status %d, want %d", key, st, want)
	}
}

// fill stores n keys, each with a value of this many bytes, and removes four tenths of
// them.
func (c *compacted) fill(n, bytes int) {
	c.t.Helper()
	for i := range n {
		if !c.set(fmt.Sprint("key", i), bytes) {
			c.t.Fatalf("%d of %d keys found room", i, n)
		}
	}
	for i := range n {
		if i%10 < 4 {
			c.remove(fmt.Sprint("key", i))
		}
	}
}

// removeNext removes the next n of fill's keys that are still there.
func (c *compacted) removeNext(n int) {
	for ; n > 0 && len(c.o) > 0; c.next++ {
		if key := fmt.Sprint("key", c.next); c.o[key].value != "" {
			c.remove(key)
			n--
		}
	}
}

// takePages takes all pages that the store can give without more memory from the system,
// except for a number of runs of 16.
func (c *compacted) takePages(left int) (giveBack func()) {
	take := func(pages int) (runs []uint64) {
		for {
			page, ok := c.AllocPages(pages)
			if !ok {
				return runs
			}
			runs = append(runs, page)
		}
	}
	release := func(runs []uint64, pages int) {
		for _, page := range runs {
			c.ReleasePages(page, pages)
		}
	}
	long, single := take(16), take(1)
	if len(long) < left {
		c.t.Fatalf("there are %d runs of 16 pages", len(long))
	}
	release(long[:left], 16)
	return func() {
		release(long[left:], 16)
		release(single, 1)
	}
}

func (c *compacted) clear() {
	c.t.Helper()
	if n := c.Clear(); n != len(c.o) {
		c.t.Fatalf("Clear says %d, want %d", n, len(c.o))
	}
	clear(c.o)
}

// check compares the content, and how many compactions there were, and how they ended.
func (c *compacted) check(compactions, reverts, postponed int) {
	c.t.Helper()
	st := c.Stats()
	if st.Compactions != compactions || st.Reverts != reverts || st.Postponed != postponed {
		c.t.Errorf("%d compactions, %d reverted, %d postponed; want %d, %d, %d",
			st.Compactions, st.Reverts, st.Postponed, compactions, reverts, postponed)
	}
	if c.ClearsLeft() == 0 { // pages that wait to be cleared belong to no shard
		if err := c.CheckAsIs(); err != nil {
			c.t.Fatal(err)
		}
	}
	c.step = func(int) {}
	checkSame(c.t, c.Engine, c.o)
}

// checkListed checks that all garbage is on the lists, for new records: a compaction that
// failed loses none.
func (c *compacted) checkListed() {
	c.t.Helper()
	if free, listed := c.Stats().FreeBytes, c.ListedBytes(); free != listed || free == 0 {
		c.t.Errorf("%d bytes are free, %d on the lists", free, listed)
	}
}

// TestChangesDuringRevert: the system refuses memory in the middle of a compaction, while
// others store new keys and remove some of them. What they store in the copies' blocks
// before the compaction turns back is moved with the rest. What they free there goes with
// the blocks. While it walks back they can store nothing, because it would lie in a block
// that is given back.
func TestChangesDuringRevert(t *testing.T) {
	c := newCompacted(t, 0)
	for i := range 1000 { // the old blocks have room for some short records
		c.set(fmt.Sprint("short", i), 50)
	}
	c.fill(6*engine.ChunkBytes/200, 180)
	for i := range 1000 {
		c.remove(fmt.Sprint("short", i))
	}
	refused := 0
	c.step = func(n int) {
		c.refuse = n > 3
		for i := range 20 {
			key := fmt.Sprint("new", n, "-", i)
			if c.set(key, 180) {
				if i%2 == 0 {
					c.remove(key)
				}
				continue
			}
			// There is no memory for another block, but there is room for a short record at
			// the end of each block of 192-byte records.
			if !c.set(key, 50) {
				refused++
			}
			return
		}
	}
	c.Compact()
	if refused < 10 {
		t.Errorf("%d short records were refused on the way back", refused)
	}
	c.checkListed()
	for i := range 2000 { // from the lists: there is no memory for a new block
		if !c.set(fmt.Sprint("later", i), 180) {
			t.Fatalf("key %d finds no room in what was free", i)
		}
	}
	c.check(1, 1, 1)
}

// TestRevertWithoutRoom: there is no way back if new records, of a size that the old
// blocks have no room for, lie in the new ones. Then both serve on, and the next
// compaction, with memory, ends it.
func TestRevertWithoutRoom(t *testing.T) {
	c := newCompacted(t, 0)
	c.fill(6*engine.ChunkBytes/128, 110)
	c.step = func(n int) {
		c.refuse = n > 3
		c.set(fmt.Sprint("new", n), 300)
		c.removeNext(200)
	}
	c.Compact()
	c.checkListed() // also what was moved back before room ran out
	c.check(1, 0, 1)
	c.refuse, c.step = false, func(int) {}
	c.Compact()
	c.check(2, 0, 1)
	if st := c.Stats(); st.FreeBytes > st.LiveBytes/20 {
		t.Errorf("after a whole compaction: %+v", st)
	}
}

// TestRevertLosesNothing: without changes in between, everything is as it was.
func TestRevertLosesNothing(t *testing.T) {
	c := newCompacted(t, 0)
	c.fill(6*engine.ChunkBytes/128, 110)
	before := c.Stats()
	c.step = func(n int) { c.refuse = n > 3 }
	c.Compact()
	if after := c.Stats(); after.BlockBytes != before.BlockBytes || after.LiveBytes != before.LiveBytes {
		t.Errorf("%d live bytes in blocks of %d, before %d in %d", after.LiveBytes, after.BlockBytes, before.LiveBytes, before.BlockBytes)
	}
	c.checkListed()
	c.check(1, 1, 1)
}

// TestFreedDuringCompactions: what was freed during a compaction that succeeded is gone
// with it, and doesn't concern one that is reverted later.
func TestFreedDuringCompactions(t *testing.T) {
	c := newCompacted(t, 0)
	c.fill(6*engine.ChunkBytes/128, 110)
	c.step = func(int) { c.removeNext(20) }
	c.Compact()
	c.refuse = true
	giveBack := c.takePages(5)
	c.Compact()
	giveBack()
	c.check(2, 1, 1)
}

// TestMergedSegmentsHaveRoom: a compaction merges segments that have become sparse, not
// those that have just been split, which would have to be split again at once.
func TestMergedSegmentsHaveRoom(t *testing.T) {
	c := newCompacted(t, 0)
	for i := 0; c.Stats().Segments < 60; i++ {
		c.set(fmt.Sprint("key", i), 0)
	}
	full := c.Stats().Segments
	c.Compact()
	if st := c.Stats(); st.Segments < full*8/10 {
		t.Errorf("%d of %d segments are left of a store that has only grown", st.Segments, full)
	}
	for i := range c.Len() {
		if i%4 != 0 {
			c.remove(fmt.Sprint("key", i))
		}
	}
	c.Compact()
	if st := c.Stats(); st.Segments > full/2 {
		t.Errorf("%d of %d segments are left for a quarter of the keys", st.Segments, full)
	}
	c.check(2, 0, 0)
}

// TestClearDuringCompaction: a Clear in the middle of one leaves it nothing to do. It must
// notice: what is stored next may lie where its old blocks were, and must not be moved.
func TestClearDuringCompaction(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		c := newCompacted(t, 0)
		for range 2 { // so that the next Clear itself gives back what it clears
			c.set("key", 110)
			c.clear()
		}
		n := 6 * engine.ChunkBytes / 128
		c.fill(n, 110)
		var full engine.Stats
		c.step = func(step int) {
			if step == 3 {
				c.clear()
				for i := range n {
					c.set(fmt.Sprint("key", i), 110)
				}
				full = c.Stats()
				c.refuse = refuse
			}
		}
		c.Compact()
		if st := c.Stats(); st.BlockBytes != full.BlockBytes || st.FreeBytes != full.FreeBytes || st.LiveBytes != full.LiveBytes {
			t.Errorf("the compaction has gone on: %+v, at the Clear %+v", st, full)
		}
		c.check(1, 0, 0)
	}
}

// TestCopiesAreLeftTheirs: new records, stored as fast as they are taken between the steps
// of a compaction, don't take the memory from it that its copies need.
func TestCopiesAreLeftTheirs(t *testing.T) {
	c := newCompacted(t, 8*engine.ChunkBytes)
	c.fill(2*engine.ChunkBytes/32, 15)
	stored, refused := 0, 0
	c.step = func(int) {
		for range 5000 {
			if !c.set(fmt.Sprint("new", stored), 15) {
				refused++
				break
			}
			stored++
		}
	}
	c.Compact()
	if stored == 0 || refused == 0 {
		t.Errorf("%d new keys were stored, %d refused", stored, refused)
	}
	c.check(1, 0, 0)
}

// TestCompactionNeedsRoom: a compaction without room for its copies doesn't begin: it would
// have to go all the way back. With a little more room than the copies take it begins, and
// ends.
func TestCompactionNeedsRoom(t *testing.T) {
	for _, test := range []struct {
		tenths      int // of the shard's records have room
		compactions int
	}{{6, 0}, {9, 0}, {12, 0}, {15, 1}} {
		c := newCompacted(t, 8*engine.ChunkBytes)
		c.fill(3*engine.ChunkBytes/128, 110)
		want := c.Stats().LiveBytes * test.tenths / 10 / engine.PageBytes
		c.ToCopy(want)
		for i := 0; c.set(fmt.Sprint("large", i), 20_000); i++ {
		}
		if left := c.ToCopy(0); left < want || left > want+10 {
			t.Fatalf("%d pages are left, want %d", left, want)
		}
		c.Compact()
		c.check(test.compactions, 0, 1-test.compactions)
	}
}

// TestReserveIsExact: new records leave the pages that are kept from them, and no more.
func TestReserveIsExact(t *testing.T) {
	const kept = 5 * engine.ChunkBytes / engine.PageBytes
	c := newCompacted(t, 16*engine.ChunkBytes)
	c.ToCopy(kept)
	for i := 0; c.set(fmt.Sprint("key", i), engine.PageBytes-20); i++ {
	}
	if left := c.ToCopy(0); left != kept {
		t.Errorf("%d pages are left, want %d", left, kept)
	}
}
