package journal

import (
	"fmt"
	"math/bits"
	"sync/atomic"
	"time"
)

// This file is what goes on in the background: syncs, the next segment, another try when
// there was no room.

const (
	// keepInterval is how soon what found no room is tried again, and how often a sync of
	// a part is begun, so that the one of each second has little left to do.
	keepInterval = 100 * time.Millisecond
	syncInterval = time.Second
)

// Sync returns when all that has been written is on disk.
func (j *Journal) Sync() error {
	j.syncing.Lock()
	defer j.syncing.Unlock()
	if err := j.Err(); err != nil {
		return err
	}
	if j.durable.on.Load() {
		return j.syncDurable()
	}
	began := time.Now()
	j.syncBegan.Store(&began)
	j.writer.Lock()
	group, position, current := j.written.Load(), j.position.Load(), j.current
	retired := j.retired
	j.retired = nil
	j.writer.Unlock()
	if current == nil {
		return ErrFull // the run has not begun
	}
	if position != j.synced.Load() || len(retired) > 0 {
		defer j.addProcessor()()
		if err := j.syncRetired(retired); err != nil {
			return err
		}
		if err := j.syncSegment(current); err != nil {
			return j.fail("sync", err)
		}
		j.counts.countSync(time.Since(began))
	}
	j.synced.Store(position)
	j.syncedSince.Store(&began)
	j.syncedGroup.Store(group)
	return nil
}

// syncRetired has segments that have been left on disk, and closes them, after an error too.
func (j *Journal) syncRetired(retired []*segment) (err error) {
	for _, s := range retired {
		if err == nil {
			if err = j.syncSegment(s); err != nil {
				err = j.fail("sync", err)
			}
		}
		_ = s.close()
		j.numLeft.Add(-1)
	}
	return err
}

// syncSegment returns when a segment, and its name, are on disk.
func (j *Journal) syncSegment(s *segment) error {
	if s.unlisted {
		if err := j.fs.SyncDir(); err != nil {
			return err
		}
		s.unlisted = false
	}
	err := s.f.Sync()
	j.counts.steps.Add(1)
	if err != nil { // of which the system says no more than what it is
		err = fmt.Errorf("%s: %w", segmentName(s.number), err)
	}
	return err
}

// syncAlways writes and syncs a group while the next one gathers. Where several can be written at
// once, several goroutines do this.
func (j *Journal) syncAlways() {
	for {
		select {
		case <-j.quit:
			return
		case <-j.wake:
			if j.durable.on.Load() {
				for j.writeNext() && !j.isClosing() {
				}
			} else {
				j.writeAndSync()
			}
		}
	}
}

// writeAndSync writes what has been gathered, syncs it, and lets what waits for it go. Without room
// for that it is what was written before that is synced, as by a lane that had gathered too much.
func (j *Journal) writeAndSync() {
	_ = j.flush(j.Position()) // an error is told by those who try it again
	if j.Sync() == nil {
		j.notify()
	}
}

// syncEverySec syncs each second.
func (j *Journal) syncEverySec() {
	tick := time.NewTicker(keepInterval)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-j.quit:
			return
		case <-tick.C:
		}
		if time.Since(last) < syncInterval {
			j.startSync()
			continue
		}
		last = time.Now()
		_ = j.Sync() // an error is the journal's end, and said there
	}
}

// syncLeft syncs what No has left: each segment that is gone on from. The system would have
// written most of it by then; and no file stays open for it, however long there is no snapshot.
func (j *Journal) syncLeft() {
	for {
		select {
		case <-j.quit:
			return
		case <-j.wake:
			j.tidy()
		}
	}
}

// tidy syncs the segments that have been left, and closes them.
func (j *Journal) tidy() {
	j.syncing.Lock()
	defer j.syncing.Unlock()
	if j.Err() != nil {
		return
	}
	j.writer.Lock()
	retired, begin, begun := j.retired, j.current.begin, time.UnixMilli(j.current.created)
	j.retired = nil
	j.writer.Unlock()
	if len(retired) == 0 {
		return
	}
	defer j.addProcessor()()
	began := time.Now()
	if j.syncRetired(retired) == nil { // an error is the journal's end, and said there
		j.counts.countSync(time.Since(began))
		if begin > j.synced.Load() { // current goes on where the last of them ends
			j.synced.Store(begin)
			j.syncedSince.Store(&begun)
		}
	}
}

func (j *Journal) startSync() {
	j.syncing.Lock() // no file is closed meanwhile
	defer j.syncing.Unlock()
	j.writer.Lock()
	s, from := j.current, j.started
	if s == nil {
		j.writer.Unlock()
		return
	}
	to := s.end
	j.started = to
	j.writer.Unlock()
	if to > from {
		defer j.addProcessor()()
		_ = s.f.StartSync(from, to) // a sync follows, and reports
	}
}

// keep makes segments and snapshots when they are due, and tries again what found no room.
func (j *Journal) keep() {
	tick := time.NewTicker(keepInterval)
	defer tick.Stop()
	for {
		select {
		case <-j.quit:
			return
		case <-tick.C:
		case <-j.wakeKeeper:
		}
		j.keepUp()
		if j.snapshotIsDue() {
			j.background.Go(j.snapshotInBackground)
		}
	}
}

// keepUp is a round of keep, except for snapshots.
func (j *Journal) keepUp() {
	_ = j.prepare() // an error is logged, and tried again
	j.writer.Lock()
	wasStuck := j.stuck != nil || j.durable.isFull()
	j.writeFull()
	err := j.retryLocked()
	j.updateRefusingLocked()
	j.writer.Unlock()
	if wasStuck && err == nil {
		if j.opts.Mode == Always {
			wakeUp(j.wake)
		} else {
			_ = j.flush(j.Position()) // what was noted meanwhile; its lanes have tried, and wait
			j.notify()
		}
	}
}

// Maintain does what is due of the background's work, if Options.Manual is set.
func (j *Journal) Maintain() {
	j.keepUp()
	j.writeAndSync()
}

// counts are what Stats tells.
type counts struct {
	groups, bytes, errors atomic.Uint64
	steps                 atomic.Uint64
	syncs                 [NumSyncTimes]atomic.Uint64
	syncTime              atomic.Int64
	recovery              time.Duration // before Start
}

// NumSyncTimes is the length of Stats.Syncs: up to 32 s.
const NumSyncTimes = 20

// SyncTimeUnit is the bound of the first of Stats.Syncs; each following one is twice that.
const SyncTimeUnit = 64 * time.Microsecond

func (c *counts) countGroup(group []byte) {
	c.groups.Add(1)
	c.bytes.Add(uint64(len(group)))
}

func (c *counts) countSync(d time.Duration) {
	c.syncTime.Add(int64(d))
	c.syncs[min(bits.Len64(uint64(max(d-1, 0)/SyncTimeUnit)), NumSyncTimes-1)].Add(1)
}

// Stats are numbers about a journal.
type Stats struct {
	Groups uint64 // since the start
	Bytes  uint64 // of them
	Errors uint64 // operations that failed
	// Syncs counts those that took up to SyncTimeUnit, twice that, and so on; the last has
	// the longer ones too.
	Syncs    [NumSyncTimes]uint64
	SyncTime time.Duration

	// UnsyncedAge is how long ago the oldest was written of what is not on disk, or less: a
	// power cut now would take what is younger. 0: all is on disk.
	UnsyncedAge time.Duration

	Position      uint64 // where the log ends
	Segments      int    // files of the log
	SegmentBytes  int64
	Recovery      time.Duration
	Snapshots     uint64 // since the start
	LastSnapshot  SnapshotInfo
	Snapshotting  bool   // one is being made
	SinceSnapshot uint64 // bytes of the log

	SnapshotFailed bool // the last one that was tried came to nothing
	Refusing       bool

	// Steps grows while the disk does anything: with each write, sync, piece of a snapshot and
	// change of a file that has ended. What waits for a disk without a step waits in vain.
	Steps uint64
}

// Stats returns the numbers of this moment. It waits for nothing that waits for the disk: while
// that stands still is when they are asked for.
func (j *Journal) Stats() Stats {
	st := Stats{
		Groups: j.counts.groups.Load(), Bytes: j.counts.bytes.Load(), Errors: j.counts.errors.Load(),
		SyncTime: time.Duration(j.counts.syncTime.Load()), Recovery: j.counts.recovery,
	}
	st.Steps = st.Groups + j.counts.steps.Load()
	for i := range st.Syncs {
		st.Syncs[i] = j.counts.syncs[i].Load()
		st.Steps += st.Syncs[i]
	}
	_, st.Refusing = j.Refuses()
	size := j.size.Load() // before the position, which is then not before current's begin
	j.snapshots.addTo(&st, &j.position)
	st.Segments, st.SegmentBytes = size.segments, size.bytes
	if size.currentBytes > 0 {
		st.SegmentBytes += max(size.currentBytes, int64(st.Position-size.begin)+segmentHeaderBytes)
	}
	st.UnsyncedAge = j.unsyncedAge()
	return st
}

// unsyncedAge takes no note of each write: what is not on disk was written since the
// last sync that came through has begun, or, with Always, since the one that is under way has, or
// the oldest of those that are was taken.
func (j *Journal) unsyncedAge() time.Duration {
	since := j.syncedSince.Load()
	if j.opts.Mode == Always {
		since = j.syncBegan.Load()
	}
	if oldest := j.durable.oldest(); oldest != nil {
		since = oldest
	}
	if since == nil || j.synced.Load() >= j.position.Load() {
		return 0
	}
	return time.Since(*since)
}
