package journal

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// This file is how Always writes where several groups can be written and synced at once (see
// DurableFS). One after the other, a change waits for the rest of the sync that is under way,
// and then for its own: 2.2 syncs in the median, one key at a time, 20,000 a second. A disk does
// several in the time of one.
//
// They end in any order, and count in the log's: what has ended behind one that has not is as
// good as not written, since a recovery ends there. So a hole with groups behind it is no damage
// here, unless something says that it was on disk: a process that is killed leaves one as well
// as a power cut, and nobody was told of what is behind it.

// durableWriters is how many goroutines write and sync groups.
const durableWriters = 2

// What is taken while the first of it takes its time: past that it is gathered, and clients wait.
const (
	mostDurable      = 64 // groups
	mostDurableBytes = 8 << 20
)

// durable is the groups that are being written. Its lock comes after all others.
type durable struct {
	on    atomic.Bool // since the run's first segment was made
	block int         // groups begin at multiples of it. Since then, too

	sync.Mutex
	ended  sync.Cond       // one has
	groups []*durableGroup // in the log's order: all from the first one on that is not on disk
	todo   []*durableGroup // those of them that nobody writes yet
	bytes  int             // of those that have not ended
	full   bool            // one has found no room
	left   atomic.Bool     // segments that were gone on from are open
	spare  [][]byte
	tried  bool // it is known whether it can be on. Guarded by writer.making
}

// durableGroup is a group, with its segment's header if it is the first there, or only that.
type durableGroup struct {
	s     *segment
	bytes []byte // whole blocks; nil when it has ended
	at    int64
	began time.Time
	done  bool
	full  bool // it has found no room

	// What is on disk when it and all before it are.
	group, position uint64
}

// tryDurable has the run's groups be written so, if that can be done with its first segment. It
// is called before the run begins, when a block of that is written in vain.
func (j *Journal) tryDurable(s *segment) {
	fs, ok := j.fs.(DurableFS)
	d := &j.durable
	if !ok || j.opts.Mode != Always || d.tried {
		return
	}
	d.tried = true
	d.ended.L = &d.Mutex
	f, block, err := fs.Durable(segmentName(s.number))
	if err == nil {
		if _, err = f.WriteDurable(alignedBytes(block, block), 0); err == nil {
			s.d, d.block = f, block
			d.on.Store(true)
			return
		}
		_ = f.Close()
	}
	j.log(false, "groups of the journal are synced one after the other here", "error", err)
}

// put adds a group, or a header, at a segment's end, where the log ends then. With it the log has
// groups up to a number. The writer's lock is held.
func (j *Journal) put(s *segment, b []byte, group uint64) error {
	end := s.fill(s.end + int64(len(b)))
	position := s.begin + uint64(end-segmentHeaderBytes)
	var err error
	if s.d == nil || !j.begun {
		err = j.writeAt(s, b, s.end)
	} else {
		err = j.durable.add(s, b, int(end-s.end), position, group)
	}
	if err == nil {
		s.end = end
		j.position.Store(position)
	}
	return err
}

// add has a group, or a header, be written next, filled up to a size.
func (d *durable) add(s *segment, b []byte, size int, position, group uint64) error {
	d.Lock()
	defer d.Unlock()
	if d.full {
		return ErrFull
	}
	if n := len(d.todo); n > 0 && s.end > 0 && d.todo[n-1].s == s && d.todo[n-1].at == 0 && int64(len(d.todo[n-1].bytes)) == s.end {
		g := d.todo[n-1] // the header
		head := g.bytes
		g.bytes = d.buffer(len(head) + size)
		clear(g.bytes[copy(g.bytes, head)+copy(g.bytes[len(head):], b):])
		g.group, g.position = group, position
		d.bytes += size
		return nil
	}
	g := &durableGroup{s: s, bytes: d.buffer(size), at: s.end, began: time.Now(), group: group, position: position}
	clear(g.bytes[copy(g.bytes, b):])
	d.bytes += size
	d.groups = append(d.groups, g)
	d.todo = append(d.todo, g)
	return nil
}

// writeNext takes what has gathered, and writes it, or what somebody else has taken. It returns
// false if there is neither.
func (j *Journal) writeNext() bool {
	if !j.durable.isBehind() {
		_ = j.take(j.Position()) // an error is told by those who try it again
	}
	wrote := j.writeOne()
	j.notify()
	if j.durable.left.Load() {
		j.closeLeft()
	}
	return wrote
}

// writeOne writes a group that has been taken, if there is one.
func (j *Journal) writeOne() bool {
	g := j.nextToDo()
	if g == nil {
		return false
	}
	err := j.writeDurably(g)
	d := &j.durable
	d.Lock()
	switch {
	case err == nil:
		d.end(g)
		j.publish()
	case isFull(err):
		g.full, d.full = true, true
		j.noteFull(len(g.bytes))
	}
	d.ended.Broadcast() // with any other error, too
	d.Unlock()
	if isFull(err) {
		j.writer.Lock()
		j.updateRefusingLocked()
		j.writer.Unlock()
	}
	return true
}

// nextToDo returns a group that nobody writes yet, or nil.
func (j *Journal) nextToDo() *durableGroup {
	d := &j.durable
	d.Lock()
	defer d.Unlock()
	n := len(d.todo)
	if n == 0 || j.Err() != nil {
		return nil
	}
	i := 0
	if j.opts.Manual {
		i = n - 1 // a test has them end in the wrong order
	}
	g := d.todo[i]
	d.todo = slices.Delete(d.todo, i, i+1)
	return g
}

// writeDurably writes a group, or returns ErrFull if there is no room. Any other error is the
// journal's end.
func (j *Journal) writeDurably(g *durableGroup) error {
	began := time.Now()
	n, err := g.s.d.WriteDurable(g.bytes, g.at)
	switch {
	case isFull(err) || err == nil && n < len(g.bytes):
		return ErrFull
	case err != nil:
		return j.fail("write", fmt.Errorf("%s at byte %d: %w", segmentName(g.s.number), g.at, err))
	}
	j.counts.countSync(time.Since(began))
	return nil
}

// publish counts what is on disk with all that is before it. d is locked.
func (j *Journal) publish() {
	d := &j.durable
	for len(d.groups) > 0 && d.groups[0].done && j.Err() == nil {
		g := d.groups[0]
		d.groups = slices.Delete(d.groups, 0, 1)
		j.synced.Store(g.position)
		j.syncedSince.Store(&g.began)
		j.syncedGroup.Store(g.group)
	}
}

// publishNothing has a group be on disk that has turned out to hold nothing, with all before it.
func (j *Journal) publishNothing(group uint64) {
	d := &j.durable
	d.Lock()
	defer d.Unlock()
	if n := len(d.groups); n > 0 {
		d.groups[n-1].group = group
	} else {
		j.syncedGroup.Store(group)
	}
}

// syncDurable returns when all that has been taken is on disk.
func (j *Journal) syncDurable() error {
	j.writer.Lock()
	position, begun := j.position.Load(), j.current != nil
	j.writer.Unlock()
	if !begun {
		return ErrFull
	}
	for j.writeOne() {
	}
	defer wakeUp(j.wake) // others may wait for it
	d := &j.durable
	d.Lock()
	for j.synced.Load() < position && j.Err() == nil && !d.full {
		d.ended.Wait()
	}
	full := d.full
	d.Unlock()
	if err := j.Err(); err != nil {
		return err
	}
	if full {
		return ErrFull
	}
	j.closeLeft()
	return nil
}

// closeLeft closes the segments that were gone on from, when all that is in them is on disk.
func (j *Journal) closeLeft() {
	j.writer.Lock()
	defer j.writer.Unlock()
	synced := j.synced.Load()
	for len(j.retired) > 0 {
		next := j.current
		if len(j.retired) > 1 {
			next = j.retired[1]
		}
		if synced <= next.begin { // up to there is its header, which is written after it
			return
		}
		_ = j.retired[0].close() // it is on disk
		j.numLeft.Add(-1)
		j.retired = j.retired[1:]
	}
	j.durable.left.Store(false)
}

// writeFull writes what has found no room once more, each in its place. Meanwhile nothing else is
// taken: the writer's lock is held.
func (j *Journal) writeFull() {
	d := &j.durable
	d.Lock()
	defer d.Unlock()
	for d.full && j.Err() == nil {
		i := slices.IndexFunc(d.groups, func(g *durableGroup) bool { return g.full })
		if i < 0 {
			d.full = false
			j.noteRoom()
			return
		}
		g := d.groups[i]
		d.Unlock() // Stats waits for no disk
		err := j.writeDurably(g)
		d.Lock()
		if err != nil {
			return
		}
		g.full = false
		d.end(g)
		j.publish()
	}
}

// oldest returns when the first was taken of what is not on disk.
func (d *durable) oldest() *time.Time {
	d.Lock()
	defer d.Unlock()
	if len(d.groups) == 0 {
		return nil
	}
	return &d.groups[0].began
}

// end notes that a group is on disk. d is locked.
func (d *durable) end(g *durableGroup) {
	g.done = true
	d.bytes -= len(g.bytes)
	if len(d.spare) <= durableWriters && cap(g.bytes) <= maxKeptRecords {
		d.spare = append(d.spare, g.bytes)
	}
	g.bytes = nil
}

// isBehind reports whether no more is to be taken before some of what was has ended.
func (d *durable) isBehind() bool {
	d.Lock()
	defer d.Unlock()
	return d.isBehindLocked()
}

func (d *durable) isBehindLocked() bool {
	return len(d.groups) >= mostDurable || d.bytes >= mostDurableBytes
}

// waitForRoom returns when more can be taken, or when there is no telling when.
func (j *Journal) waitForRoom() {
	d := &j.durable
	d.Lock()
	defer d.Unlock()
	for d.isBehindLocked() && !d.full && j.Err() == nil {
		d.ended.Wait()
	}
}

func (d *durable) isFull() bool {
	if !d.on.Load() {
		return false
	}
	d.Lock()
	defer d.Unlock()
	return d.full
}

// leastBuffer is the memory of a small write, so that the next one finds it large enough.
const leastBuffer = 64 << 10

// buffer returns memory for a write of so many bytes.
func (d *durable) buffer(n int) []byte {
	if k := len(d.spare) - 1; k >= 0 {
		b := d.spare[k]
		d.spare = d.spare[:k]
		if cap(b) >= n {
			return b[:n]
		}
	}
	return alignedBytes(max(n, leastBuffer), d.block)[:n]
}

// alignedBytes returns n bytes at an address that is a multiple of a power of two.
func alignedBytes(n, align int) []byte {
	b := make([]byte, n+align-1)
	at := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (align - 1)
	return b[at : at+n : at+n]
}
