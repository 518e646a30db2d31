package journal

import (
	"errors"
	"fmt"
	"os"
)

// This file is how the next segment is made ready, before the one that is written is full.

// prepare makes the next segment ready, if there is none, and begins the run if there was no
// room for it before.
func (j *Journal) prepare() error {
	w := &j.writer
	w.making.Lock()
	defer w.making.Unlock()
	if err := j.Err(); err != nil {
		return err
	}
	if !w.begun {
		if err := j.makeNext(); err != nil {
			return err // as that of any other one it is tried again
		}
		if err := j.begin(); isFull(err) {
			return err
		} else if err != nil {
			return j.fail("begin", err)
		}
		j.noteRoom()
		if j.durable.on.Load() && !j.opts.Manual {
			j.startOtherWriters()
		}
	}
	return j.makeNext()
}

// makeNext makes the next segment ready, if there is none. w.making is held.
func (j *Journal) makeNext() error {
	w := &j.writer
	w.Lock()
	if w.next != nil || j.Err() != nil {
		w.Unlock()
		return j.Err()
	}
	fault := error(nil)
	switch {
	case w.numLeft.Load() >= mostLeft:
		fault = errBehind
	case w.last >= maxNumber:
		fault = errNoNumber
	}
	if fault != nil {
		defer w.Unlock()
		j.noteNextLocked(fault)
		return fmt.Errorf("journal: can't make a segment: %w", fault)
	}
	w.last++
	s := &segment{segmentHeader: segmentHeader{number: w.last}, size: j.opts.SegmentBytes}
	old := ""
	if n := len(w.recycled); n > 0 {
		old = w.recycled[n-1]
		w.recycled = w.recycled[:n-1]
	}
	w.Unlock()

	err := j.makeSegment(s, old)
	w.Lock()
	defer w.Unlock()
	if err != nil {
		w.last--
		j.counts.errors.Add(1)
		if old != "" && s.f == nil && !errors.Is(err, os.ErrNotExist) {
			w.recycled = append(w.recycled, old) // it could not be renamed or opened, and is there
		}
	} else {
		j.counts.steps.Add(1)
		w.next = s
	}
	j.noteNextLocked(err)
	if err != nil {
		err = fmt.Errorf("journal: can't make a segment: %w", err)
	}
	return err
}

// mostLeft is how many segments may have been left and not be synced yet: while a sync takes its
// time they stay open, since a descriptor that is opened later may never be told of a failed write. Of
// the usual size they are 8 GiB, what Linux lets be unwritten (a fifth of the memory) on a machine
// with 40. Past that a disk whose syncs stand still, and whose writes don't, would take all
// descriptors.
const mostLeft = 256

// Why there is no next segment, though there may be room.
var (
	errBehind = errors.New("the disk takes too long to sync those before")
	errSlow   = errors.New("the disk takes too long for it")
	// errNoNumber is of a directory into which somebody has put a file of the last name: no recovery
	// would know the next one for a segment.
	errNoNumber = fmt.Errorf("there is none after %s", segmentName(maxNumber))
)

// noteNextLocked notes why the next segment is not ready, or that it is.
func (j *Journal) noteNextLocked(err error) {
	w := &j.writer
	switch {
	case err != nil && (w.nextFault == nil || w.nextFault.Error() != err.Error()) && w.begun:
		j.log(true, "the journal's next segment can't be made ready; writes will be refused when this one is full", "error", err)
	case err == nil && w.nextFault != nil && w.begun:
		j.log(false, "the journal's next segment is ready")
	}
	w.nextFault = err
	j.updateRefusingLocked()
}

// makeSegment makes the file of a segment, out of an old one if there is one.
func (j *Journal) makeSegment(s *segment, old string) (err error) {
	defer j.addProcessor()()
	name := segmentName(s.number)
	if old != "" {
		if err = j.fs.Rename(old, name); err == nil {
			if s.f, err = j.fs.Reuse(name); err != nil {
				s.f = nil
				_ = j.fs.Rename(name, old) // if it keeps that name, the next server has it
			}
		}
	} else {
		s.f, err = j.fs.Create(name)
	}
	if err != nil {
		return err
	}
	if err = s.f.Reserve(s.size, j.opts.Mode == Always); err == nil && (old != "" || j.opts.Mode == Always) {
		if err = s.f.Sync(); err == nil {
			err = j.fs.SyncDir()
		}
	} else {
		s.unlisted = true
	}
	if err == nil && j.durable.on.Load() {
		s.d, _, err = j.fs.(DurableFS).Durable(name)
	}
	if err != nil {
		_ = s.f.Close()
		_ = j.fs.Remove(name) // if it stays, it is a spare to the next server
	}
	return err
}
