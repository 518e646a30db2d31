package journal

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// This file makes snapshots: all keys in one file, from which a recovery needs only the
// segments that were begun with it.

const (
	// restParts is how long there is no snapshot after one, in parts of what that took: a
	// million keys that are written 5 million times a second would have one after the other,
	// which took more than half of the loop's CPU. A fifth of the time took 7 % of it, a tenth
	// 2. But the log doesn't become larger for that than mostParts times what it may, or, for
	// small stores, smallParts times Options.SnapshotBytes: 1 GiB, which 2.5 s read.
	restParts  = 9
	mostParts  = 2
	smallParts = 16
)

// SnapshotInfo is what a snapshot came to.
type SnapshotInfo struct {
	Keys     uint64
	Bytes    int64 // of the file
	Duration time.Duration
	Ended    time.Time
}

// snapshots is what there is of them.
type snapshots struct {
	making sync.Mutex // held while one is made

	mu       sync.Mutex
	busy     bool   // one is made in the background
	newest   uint64 // the segment that the newest begins with; 0: there is none
	previous uint64
	position uint64 // where the newest begins
	retryAt  uint64 // after a failure: the position for another try
	bytes    int64  // the newest's
	last     SnapshotInfo
	count    uint64
	running  bool // one is made, in the background or for a caller
	failed   bool // the last one that was tried came to nothing
}

func (s *snapshots) continueFrom(r *recovery) {
	for _, n := range r.layout.snapshots {
		switch {
		case snapshotName(n) == r.report.Snapshot:
			s.newest = n
		case s.newest != 0 && s.previous == 0:
			s.previous = n
		}
	}
	if s.newest == 0 {
		return
	}
	for _, seg := range r.layout.segments {
		if seg.number == s.newest {
			s.position = seg.begin
		}
	}
	if f, err := r.fs.Open(r.report.Snapshot); err == nil {
		s.bytes, _ = f.Size() // it only decides when there is the next one
		_ = f.Close()
	}
}

// addTo adds what is known of them to a journal's numbers.
func (s *snapshots) addTo(st *Stats, position *atomic.Uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Position = position.Load() // it is never before s.position
	st.Snapshots, st.LastSnapshot, st.SinceSnapshot = s.count, s.last, st.Position-s.position
	st.Snapshotting, st.SnapshotFailed = s.running, s.failed
}

func (s *snapshots) begun() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = true
}

// ended notes what the one that has begun came to.
func (s *snapshots) ended(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running, s.failed = false, err != nil
}

// snapshotIsDue reports whether the log has grown past what it may hold, or past what there is
// room for, and marks a snapshot as begun then.
func (j *Journal) snapshotIsDue() bool {
	s := &j.snapshots
	s.mu.Lock()
	defer s.mu.Unlock()
	position := j.position.Load() // it is never before one that s has
	grown, most := position-s.position, uint64(max(j.opts.SnapshotBytes, s.bytes))
	rested := time.Since(s.last.Ended) >= restParts*s.last.Duration || grown > max(mostParts*most, smallParts*uint64(j.opts.SnapshotBytes))
	refused := j.refusing.Load()
	due := grown > most && rested || grown > 0 && refused != nil && refused.noRoom
	if s.busy || !due || position < s.retryAt || j.Err() != nil {
		return false
	}
	s.busy = true
	return true
}

func (j *Journal) snapshotInBackground() {
	info, err := j.Snapshot(true)
	s := &j.snapshots
	s.mu.Lock()
	s.busy = false
	s.mu.Unlock()
	switch {
	case errors.Is(err, ErrClosed):
	case err != nil:
		j.log(true, "a snapshot has failed; the journal goes on", "error", err)
		s.mu.Lock()
		s.retryAt = j.position.Load() + uint64(j.opts.SnapshotBytes)/8
		s.mu.Unlock()
	default:
		j.log(false, "snapshot", "keys", info.Keys, "bytes", info.Bytes, "seconds", seconds(info.Duration))
	}
}

// Snapshot makes a snapshot, and removes what it makes unnecessary. gentle means that it
// gives way to what else is done with the store; see Source.Beside. If one is being made,
// another follows it.
func (j *Journal) Snapshot(gentle bool) (info SnapshotInfo, err error) {
	j.snapshots.making.Lock()
	defer j.snapshots.making.Unlock()
	j.snapshots.begun()
	defer func() { j.snapshots.ended(err) }()
	info, err = j.trySnapshot(gentle)
	for isFull(err) && (j.removeRecycled() || j.removeStandIn()) {
		info, err = j.trySnapshot(gentle)
	}
	return info, err
}

func (j *Journal) trySnapshot(gentle bool) (info SnapshotInfo, err error) {
	began := time.Now()
	h, err := j.rotate()
	if err != nil {
		return info, err
	}
	h.created = began.UnixMilli()
	name := snapshotName(h.segment)
	waits := func() {}
	if gentle {
		remove := func() {}
		waits = sync.OnceFunc(func() { remove = j.addProcessor() })
		defer func() { remove() }()
	}
	end, err := j.writeSnapshot(&h, name+temporary, gentle, waits, &info)
	if err == nil {
		err = j.fs.Rename(name+temporary, name)
		j.counts.steps.Add(1)
	}
	if err != nil {
		_ = j.fs.Remove(name + temporary) // if it stays, the next server removes it
		j.counts.errors.Add(1)
		return info, err
	}
	if err := j.fs.SyncDir(); err != nil {
		return info, fmt.Errorf("journal: %w", err) // nothing may be removed for it
	}
	j.counts.steps.Add(1)
	info.Keys, info.Ended, info.Duration = end.keys, time.Now(), time.Since(began)

	s := &j.snapshots
	s.mu.Lock()
	s.previous, s.newest, s.position = s.newest, h.segment, h.position
	s.bytes, s.last, s.retryAt = info.Bytes, info, 0
	s.count++
	keep := s.previous
	s.mu.Unlock()
	j.removeOlder(keep)
	return info, nil
}

// rotate begins a segment, and returns the header of a snapshot of all that is before it.
func (j *Journal) rotate() (h snapshotHeader, err error) {
	for {
		if err := j.prepare(); err != nil {
			return h, err
		}
		rotated, err := j.tryRotate(&h)
		if j.durable.on.Load() {
			wakeUp(j.wake) // the segment's header waits to be written
		}
		if rotated || err != nil {
			return h, err
		}
	}
}

// tryRotate is rotate, if the next segment is still there when all that was gathered is written.
func (j *Journal) tryRotate(h *snapshotHeader) (rotated bool, err error) {
	j.writer.Lock()
	defer j.writer.Unlock()
	if j.closed.Load() || j.current == nil {
		return false, ErrClosed
	}
	h.seqs = h.seqs[:0]
	if err := j.takeLocked(&h.seqs); err != nil || j.next == nil {
		return false, err
	}
	if err := j.goOnLocked(j.current.number, j.current.shards); err != nil {
		return false, err
	}
	h.run, h.segment, h.position = j.run, j.current.number, j.current.begin
	return true, nil
}

// waitForWrite is how long it is to the next look whether a write has ended that must have. Not
// yet measured beside others.
const waitForWrite = 200 * time.Microsecond

// snapshotSyncBytes is after how much a snapshot is synced that is written through the system's
// cache. One sync of all that the cache takes may take a minute, and nobody can tell it from one
// that stands still (Stats.Steps). 612 MB on a virtual machine's disk took .64 s with one sync, .72
// with one each 64 MiB, .77 with one each 32.
const snapshotSyncBytes = 64 << 20

// writeSnapshot writes a snapshot's file. When it returns without an error all of it is on
// disk, and so is what the log has of the effects in it. From when it waits for the disk on it
// has called waits.
func (j *Journal) writeSnapshot(h *snapshotHeader, name string, gentle bool, waits func(), info *SnapshotInfo) (end snapshotEnd, err error) {
	f, err := j.fs.Create(name)
	if err != nil {
		return end, fmt.Errorf("journal: %w", err)
	}
	beside, wait := wholly, (func())(nil) // and the next start may find it in the cache
	if gentle {
		beside, wait = j.source.Beside, func() { time.Sleep(waitForWrite) }
		if u, ok := f.(uncacher); ok {
			f = u.uncached()
		}
	}
	defer func() { err = errors.Join(err, f.Close()) }()

	w := newSnapshotWriter(f, h, &end, wait, waits)
	for cursor, done, synced := uint64(0), false, int64(0); err == nil && !done; {
		enough := max(leastGathered, len(w.b)+1)
		beside(func() (more bool) {
			cursor, done = j.source.Some(cursor, w.add)
			return !done && len(w.b) < enough
		})
		if err = w.flush(); err == nil && !gentle && w.at-synced >= snapshotSyncBytes {
			err, synced = f.Sync(), w.at
		}
		if j.counts.steps.Add(1); err == nil && j.isClosing() {
			err = ErrClosed
		}
	}
	waits()
	if err == nil {
		// What it has seen may be newer than its beginning. The log must have it, too.
		if err = j.flush(j.Position()); err == nil {
			err = j.Sync()
		}
		end.needs = j.synced.Load()
	}
	if err == nil {
		w.appendEnd()
		err = w.flushAll()
	}
	info.Bytes = w.at
	if err == nil {
		err = f.Sync()
		j.counts.steps.Add(1)
	}
	if err == nil {
		var size int64
		if size, err = f.Size(); err == nil && size != w.at { // a reader would find no end
			err = fmt.Errorf("journal: the file of a snapshot of %d bytes has %d", w.at, size)
		}
	}
	return end, err
}

// wholly does work until it returns false.
func wholly(work func() (more bool)) {
	for work() {
	}
}

func (j *Journal) isClosing() bool {
	select {
	case <-j.quit:
		return true
	default:
		return false
	}
}

// Segments that nothing needs are kept to be used again: as many as a snapshot has freed, so that the
// next ones find them if the log goes on growing as it did, and from minRecycled to maxRecycled,
// which is what the log of a small store may come to. What was written before has its blocks and, mostly,
// its pages. With 4 at most, SETs of one key, of 10 and of 100 came to .95, .95 and .96 of what they
// do with 32, and their p99 to 1.3, 1.3 and 1.1 times as much.
const (
	minRecycled = 4
	maxRecycled = smallParts * DefaultSnapshotBytes / DefaultSegmentBytes
)

// removeRecycled removes what waits to be used again, and reports whether there was anything: a
// snapshot that has no room for itself is what would make some.
func (j *Journal) removeRecycled() bool {
	j.writer.Lock()
	gone := j.recycled
	j.recycled = nil
	j.writer.Unlock()
	j.removeFiles(gone)
	return len(gone) > 0
}

// removeStandIn removes what would stand in for the newest snapshot if that were damaged, and reports
// whether there was anything. The newest one was read at the start, or has been written and synced
// since; and on a disk that the log has filled alone nothing else makes room, ever.
func (j *Journal) removeStandIn() bool {
	j.snapshots.mu.Lock()
	newest := j.snapshots.newest
	j.snapshots.mu.Unlock()
	w := &j.writer
	w.making.Lock()
	w.Lock()
	any := len(w.unsure) == 0 && len(w.older) > 0 && w.older[0].number < newest
	w.Unlock()
	w.making.Unlock()
	if any {
		j.log(true, "no room for a snapshot: what stands in for the last one is removed", "segments before", newest)
		j.removeOlder(newest)
	}
	return any
}

// removeOlder removes the snapshots before keep, and the segments that are only of use to
// them, except those that are recycled.
func (j *Journal) removeOlder(keep uint64) {
	names, err := j.fs.List()
	if err != nil {
		j.log(true, "old snapshots can't be listed", "error", err)
		return
	}
	var gone []string
	for _, name := range names {
		if n, ok := numberOf(name, snapshotPrefix); ok && n < keep {
			gone = append(gone, name)
		}
	}
	j.removeFiles(gone)
	if keep == 0 {
		return // the only snapshot: what is before it is what stands in for it
	}
	gone = gone[:0]
	j.writer.Lock()
	freed := 0
	for ; len(j.older) > 0 && j.older[0].number < keep; freed++ {
		s := j.older[0]
		j.older = j.older[1:]
		if s.size <= 2*j.opts.SegmentBytes {
			j.recycled = append(j.recycled, segmentName(s.number))
		} else {
			gone = append(gone, segmentName(s.number))
		}
	}
	if more := len(j.recycled) - min(max(freed, minRecycled), maxRecycled); more > 0 {
		gone = append(gone, j.recycled[:more]...) // the oldest: the system has dropped their pages first
		j.recycled = slices.Delete(j.recycled, 0, more)
	}
	j.measureLocked()
	j.writer.Unlock()
	j.removeFiles(gone)
}
