package journal

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// This file is the file that is written: one segment after the other.

// writer is the end of the log. Its lock guards what is in it; one goroutine at a time
// decides where a group goes and writes it there, so that no hole can be left; or, where several
// are written at once, only decides, see durable.
type writer struct {
	sync.Mutex
	taken, unlocked []*Lane // scratch

	run      uint64
	current  *segment      // nil before Start
	position atomic.Uint64 // where the log ends. Whoever reads it may do without the lock, as Stats does
	size     atomic.Pointer[logSize]
	started  int64          // how much of current has been begun to be synced
	retired  []*segment     // left, and not synced yet: they are open
	numLeft  atomic.Int32   // how many are: retired, and those that a sync has taken from there
	older    []olderSegment // those before current that the log still has
	unused   []string       // files that nothing has needed since before this run
	cut      []string       // files to be removed when the run has begun
	recycled []string       // segments that nothing needs any more
	last     uint64         // the highest number of a segment's file

	next      *segment // ready to be gone on with; nil: not yet
	nextFault error    // why it could not be made ready, the last time

	stuck      []byte // a group that found no room; writes wait until it is written
	stuckGroup uint64

	making sync.Mutex // held while next is being made; before the writer's own lock

	// Until the run has begun; guarded by making.
	begun  bool
	had    []uint64      // the shards' sequences at its start
	unsure []segmentFile // the segments that it goes on from
	onDisk uint64        // the position up to which something says that they are
}

// segment is a segment that is open.
type segment struct {
	segmentHeader
	f    File
	d    DurableFile // nil: it is written through f, and synced
	size int64       // what is reserved
	end  int64       // what is used

	// unlisted is set while the file's name may not be on disk. Before Start, and then
	// guarded by Journal.syncing.
	unlisted bool
}

// olderSegment is a segment that has been left.
type olderSegment struct {
	number uint64
	size   int64
}

// logSize is how large the log is, of which Stats tells. What it has is of one moment.
type logSize struct {
	segments     int
	bytes        int64 // of those before current
	begin        uint64
	currentBytes int64 // of current when it was begun; 0: there is none
}

// measureLocked notes how large the log is, when a segment has been added or removed.
func (w *writer) measureLocked() {
	size := logSize{segments: len(w.older) + 1}
	for _, s := range w.older {
		size.bytes += s.size
	}
	if s := w.current; s != nil {
		size.begin, size.currentBytes = s.begin, s.size
	}
	w.size.Store(&size)
}

// continueFrom takes over what a recovery has found. Segments before the one that keep says
// waited to be used again, and do so still; 0: there are none.
func (w *writer) continueFrom(r *recovery, keep uint64) {
	w.run, w.last = r.layout.run+1, r.layout.last
	w.position.Store(r.report.Position)
	spare := func(name string) {
		if _, ok := numberOf(name, segmentPrefix); ok && len(w.recycled) < maxRecycled {
			w.recycled = append(w.recycled, name)
		} else {
			w.unused = append(w.unused, name)
		}
	}
	for _, name := range r.layout.unused {
		spare(name)
	}
	w.cut = r.left
	for _, s := range r.layout.segments {
		if s.number > r.end.number {
			break
		}
		if s.number < keep {
			spare(s.name)
			continue
		}
		w.older = append(w.older, olderSegment{s.number, s.size})
		w.unsure = append(w.unsure, s)
	}
	w.onDisk = min(r.synced, r.report.Position)
	w.measureLocked()
}

// begin begins a run with a segment of its own. If there is no room for that, it can be tried
// again. w.making is held.
func (j *Journal) begin() error {
	w := &j.writer
	j.removeFiles(w.unused) // first: the disk may be full
	w.unused = nil
	if err := j.syncBefore(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if err := j.makeNext(); err != nil {
		return err
	}
	j.tryDurable(w.next)
	w.Lock()
	defer w.Unlock()
	previous := uint64(0)
	if n := len(w.older); n > 0 {
		previous = w.older[n-1].number
	}
	if err := j.goOnLocked(previous, len(w.had)); err != nil {
		return err
	}
	group := appendStart(make([]byte, groupHeaderBytes), w.had)
	if err := j.tryWriteLocked(group, j.written.Load()); err != nil {
		w.position.Store(w.current.begin)
		w.current, w.next = nil, w.current // the other way round when there is room
		w.measureLocked()
		return err
	}
	j.counts.countGroup(group)
	if err := j.syncSegment(w.current); err != nil {
		return j.fail("sync", err)
	}
	now := time.Now()
	j.synced.Store(w.position.Load())
	j.syncedSince.Store(&now)
	j.removeFiles(w.cut)
	w.begun, w.cut, w.had = true, nil, nil
	wakeUp(j.wakeKeeper)
	j.updateRefusingLocked()
	return nil
}

// syncBefore has what the run before has left on disk, so that this one can say so. What
// nothing says was synced is written again. It may have been read from the system's cache:
// after a sync that failed it can be there, and on disk never, and the next sync says that all
// is well.
func (j *Journal) syncBefore() error {
	w := &j.writer
	for len(w.unsure) > 0 {
		s, end := &w.unsure[0], w.position.Load()
		if len(w.unsure) > 1 {
			end = w.unsure[1].begin
		}
		if end > w.onDisk || s.begin == w.onDisk {
			if err := j.writeAgain(s, w.onDisk, end); err != nil {
				return err
			}
		}
		w.unsure = w.unsure[1:]
	}
	j.synced.Store(w.position.Load())
	return nil
}

// writeAgain writes what is in a segment between two positions in its place, with the header
// if nothing past that was synced, and syncs it.
func (j *Journal) writeAgain(s *segmentFile, from, to uint64) error {
	f, err := j.fs.Reuse(s.name)
	if err != nil {
		return err
	}
	defer f.Close()
	at := int64(0)
	if from > s.begin {
		at = int64(from-s.begin) + segmentHeaderBytes
	}
	end := min(int64(to-s.begin)+segmentHeaderBytes, s.size) // what fills up the last group may be missing
	if err := copyBytes(f, f, at, end); err != nil {
		return err
	}
	return f.Sync()
}

// removeFiles removes files that nothing needs.
func (j *Journal) removeFiles(names []string) {
	for _, name := range names {
		if err := j.fs.Remove(name); err != nil {
			j.log(true, "an unused file can't be removed", "file", name, "error", err)
		}
		j.counts.steps.Add(1)
	}
}

// close closes a segment's files.
func (s *segment) close() error {
	if s.d != nil {
		_ = s.d.Close() // nothing is written any more
	}
	return s.f.Close()
}

// goOnLocked goes on with the next segment.
func (j *Journal) goOnLocked(previous uint64, shards int) error {
	w := &j.writer
	s := w.next
	s.shards, s.previous, s.run = shards, previous, w.run
	s.begin, s.synced, s.boot = w.position.Load(), j.synced.Load(), j.fs.BootID()
	s.created, s.block, s.end = time.Now().UnixMilli(), 0, 0
	if s.d != nil {
		s.block = j.durable.block
	}
	if err := j.put(s, s.segmentHeader.append(nil), j.written.Load()); err != nil {
		return err
	}
	if w.current != nil {
		w.retired = append(w.retired, w.current)
		w.numLeft.Add(1)
		w.older = append(w.older, olderSegment{w.current.number, max(w.current.size, w.current.end)})
		switch {
		case j.opts.Mode == No:
			wakeUp(j.wake)
		case s.d != nil:
			j.durable.left.Store(true)
		}
	}
	w.current, w.next, w.started = s, nil, 0
	w.measureLocked()
	if w.begun { // else begin does, when that has come through
		wakeUp(j.wakeKeeper)
	}
	return nil
}

// writeAt writes all of b, or returns ErrFull if there is no room. Any other error is the
// journal's end.
func (j *Journal) writeAt(s *segment, b []byte, at int64) error {
	n, err := s.f.WriteAt(b, at)
	switch {
	case n == len(b) && err == nil:
		return nil
	case err == nil || isFull(err):
		return ErrFull
	}
	return j.fail("write", err)
}

// writeLocked writes the group of a number.
func (j *Journal) writeLocked(group []byte, number uint64) error {
	err := j.tryWriteLocked(group, number)
	switch err {
	case nil:
		j.written.Store(number)
		j.counts.countGroup(group)
	case ErrFull:
		// What was written of it, if anything, is written over: the segment's end is where it was.
		j.stuck, j.stuckGroup = append([]byte(nil), group...), number
		j.noteFull(len(group))
	}
	if s := j.current; s != nil && j.next == nil && j.nextFault == nil && s.end > mostGrown*j.opts.SegmentBytes {
		j.noteNextLocked(errSlow)
	}
	j.updateRefusingLocked()
	return err
}

// noteFull and noteRoom say that a group has found no room, and that there is some again.
func (j *Journal) noteFull(bytes int) {
	j.counts.errors.Add(1)
	j.log(true, "no room for a group of the journal: answers are held and writes refused until there is", "bytes", bytes)
}

func (j *Journal) noteRoom() { j.log(false, "there is room for the journal again") }

// mostGrown is how many times its usual size a segment may come to while the next one is being made
// ready, which takes a sync where it is an old one. On a disk whose syncs stand still, and whose
// writes don't, it would grow for ever; a recovery has a segment in memory at once, and two more. Of
// the usual size it is 2 GiB.
const mostGrown = 64

func (j *Journal) tryWriteLocked(group []byte, number uint64) error {
	w := &j.writer
	s := w.current
	if s == nil {
		return ErrFull // the run has not begun
	}
	if int64(len(group)) > mostGroupBytes {
		return j.fail("write", fmt.Errorf("a group of %d bytes: its header has room for %d", len(group), int64(mostGroupBytes)))
	}
	if s.end+int64(len(group)) > s.size && s.end > s.fill(segmentHeaderBytes) && w.next != nil {
		if err := j.goOnLocked(s.number, s.shards); err != nil {
			return err
		}
		s = w.current
	}
	sealGroup(group, s.number, w.position.Load(), j.synced.Load())
	if err := j.put(s, group, number); err != nil {
		return err
	}
	return j.Err() // it may have failed meanwhile: nobody is to be told that this is written
}

// retryLocked writes what found no room before.
func (j *Journal) retryLocked() error {
	if j.stuck == nil || j.Err() != nil {
		return j.Err()
	}
	group := j.stuck
	err := j.tryWriteLocked(group, j.stuckGroup)
	if err == nil {
		j.stuck = nil
		j.written.Store(j.stuckGroup)
		j.counts.countGroup(group)
		j.noteRoom()
		j.updateRefusingLocked()
	}
	return err
}

// updateRefusingLocked decides whether writes have to be refused before they are done.
func (j *Journal) updateRefusingLocked() {
	w := &j.writer
	if j.Err() != nil {
		return // for ever
	}
	refuse := w.stuck != nil || w.current == nil || j.durable.isFull()
	if s := w.current; s != nil && w.nextFault != nil && w.next == nil {
		// What is being done at this moment must still find room.
		refuse = refuse || s.size-s.end < max(j.opts.SegmentBytes/8, int64(j.opts.GroupBytes))
	}
	if !refuse {
		if j.refusing.Load() != nil {
			j.refusing.Store(nil)
		}
		return
	}
	r := refusal{"no room on the disk for the journal", true}
	if w.stuck == nil && w.nextFault != nil && !isFull(w.nextFault) {
		r = refusal{"the journal's next segment can't be made: " + cause(w.nextFault).Error(), false}
	}
	if was := j.refusing.Load(); was == nil || *was != r {
		j.refusing.Store(&r)
	}
}

// cause is what an error comes from, without the path of the file: clients are told of it.
func cause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// closeFiles closes what is open. The next segment stays there, for the next run: there may
// be no room for another then.
func (j *Journal) closeFiles() (err error) {
	w := &j.writer
	w.Lock()
	defer w.Unlock()
	if w.current != nil {
		err = w.current.close()
		w.current = nil
	}
	if w.next != nil {
		_ = w.next.close()
		w.next = nil
	}
	for _, s := range w.retired { // after a failure: else they have been synced, and closed
		_ = s.close()
	}
	w.retired = nil
	return err
}
