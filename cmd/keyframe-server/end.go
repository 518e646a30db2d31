package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"keyframe/engine/journal"
	"keyframe/netio"
)

// This file is the end of a server. What waits for a disk that stands still can't be taken back:
// it is left, with the store and the journal that it uses, and ends with the process.

// errDisk ends a server that has been stopped, and whose disk stands still.
var errDisk = errors.New("the disk stands still: what was not acknowledged may be lost")

const (
	// diskPatience is how long the end of a server waits for a disk that does nothing. A pause of
	// some seconds is usual where disks are shared; systemd kills after 90 s, Kubernetes after 30.
	diskPatience = 10 * time.Second
	diskTick     = 10 * time.Millisecond
)

// ending is what the end of a server waits for.
type ending struct {
	journal *journal.Journal // nil: nothing is kept on disk
	failed  <-chan struct{}  // closed when the journal has failed
	steps   func() uint64    // grows while the disk does anything
	ticks   int              // how many it may do nothing for
	log     *slog.Logger
}

func newEnding(j *journal.Journal, log *slog.Logger) *ending {
	e := &ending{journal: j, steps: func() uint64 { return 0 }, ticks: int(diskPatience / diskTick), log: log}
	if j != nil {
		e.failed = j.Failed()
		e.steps = func() uint64 { return j.Stats().Steps }
	}
	return e
}

// wait waits until done is closed, and says why not if that is in vain: the journal has failed, or
// the disk has done nothing for diskPatience. It counts its own ticks: a process that was stopped
// meanwhile, or had no CPU, has not waited.
func (e *ending) wait(done <-chan struct{}) error {
	tick := time.NewTicker(diskTick)
	defer tick.Stop()
	for left, last := e.ticks, e.steps(); left > 0; left-- {
		select {
		case <-done:
			return nil
		case <-e.failed:
			return fmt.Errorf("%w: %w", errJournal, e.journal.Err())
		case <-tick.C:
			if now := e.steps(); now != last {
				left, last = e.ticks, now
			}
		}
	}
	select {
	case <-done:
		return nil
	default:
		return errDisk
	}
}

// stop stops a server. After an error something of it is left, and uses the store and the journal.
func (e *ending) stop(srv *netio.Server) error {
	err := srv.Stop(context.Background())
	running := (*netio.RunningError)(nil)
	if !errors.As(err, &running) {
		if err != nil {
			e.log.Warn("some clients were cut off", "note", err) // they are not the server's failure
		}
		return nil
	}
	e.log.Warn("waiting for what has not come back", "at most", diskPatience, "note", err)
	waited := e.wait(srv.Gone())
	if waited != nil && e.journal == nil {
		return running // it waits for no disk
	}
	return waited
}

// save makes a snapshot, if anything is kept on disk, and closes the journal. After an error the
// journal is left, and may use the store.
func (e *ending) save(report *journal.Report) (err error) {
	if e.journal == nil {
		return nil
	}
	saved := make(chan struct{})
	var unsaved error
	go func() {
		unsaved = save(e.journal, report, e.log)
		close(saved)
	}()
	if err := e.wait(saved); err != nil {
		return err
	}
	if unsaved != nil {
		return fmt.Errorf("%w: %w", errJournal, unsaved)
	}
	return nil
}
