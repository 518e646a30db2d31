package netio

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// This file is the end of a server.
//
// An event loop with a journal may stand in a write, and on a disk that stands still it does so
// for ever: no call of the system's can be taken back. Then Stop leaves it where it is.

const (
	// stopGrace is how long Stop waits for what ends at once where nothing stands still: for
	// the acceptors, and at last for the event loops.
	stopGrace = time.Second
	graceStep = 10 * time.Millisecond
	// lastTaskWait is how long the loops are given for their last task, which gnet's own way to end
	// them would overtake.
	lastTaskWait = 100 * time.Millisecond
	lastTaskStep = time.Millisecond
)

// RunningError is returned by Stop when something of the server has not come back: mostly an
// event loop that stands in a write of the journal, on a disk that stands still. When it comes
// back it uses the journal and the engine, so neither may be closed before Server.Gone is.
type RunningError struct {
	Loops []int // the event loops that have not, as in Stats.Loops; none: it is something else
}

func (e *RunningError) Error() string {
	switch len(e.Loops) {
	case 0:
		return "netio: something of the server has not come back"
	case 1:
		return fmt.Sprintf("netio: event loop %d has not come back", e.Loops[0])
	}
	return fmt.Sprintf("netio: event loops %s have not come back", strings.Trim(fmt.Sprint(e.Loops), "[]"))
}

// Stop ends the server: it stops accepting, answers the commands that have been read,
// closes every connection (WebSockets with code 1001) and waits until the clients have
// taken their answers, at most StopTimeout or until ctx is done. When it returns no
// goroutine, descriptor or connection of the server is left, except a snapshot that a client has
// asked for: Journal.Close ends it, and comes before that of the engine.
//
// It returns an error when connections had to be closed with answers unsent. If an event loop
// does not come back within two seconds more the error is, or wraps, a *RunningError: that loop
// and its connections are left as they are, the others have ended. When it comes back it may answer
// what it has written, and ends.
func (s *Server) Stop(ctx context.Context) error {
	s.stop()
	s.closeListeners()
	accepted := make(chan struct{})
	go func() {
		s.acceptors.Wait()
		close(accepted)
	}()
	waitGrace(accepted) // one that gives a connection to a loop waits for that

	before := s.counters.closedUnsent.Load()
	s.draining.Store(true)
	s.eachLoop((*loop).drain)
	cut := s.waitForClients(ctx) + s.counters.closedUnsent.Load() - before

	close(s.stopped)
	s.mu.Lock()
	for _, l := range s.inOrder {
		l.el.execute(func() { l.atEnd.Store(true) })
	}
	s.ended = true
	s.mu.Unlock()
	for left := lastTaskWait / lastTaskStep; left > 0 && len(s.runningLoops()) > 0; left-- {
		time.Sleep(lastTaskStep)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- s.endLoops(accepted)
		close(s.gone)
	}()
	var err error
	if waitGrace(s.gone) {
		err = <-ended
	} else {
		err = &RunningError{s.runningLoops()}
	}
	if cut > 0 {
		err = errors.Join(err, fmt.Errorf("netio: %d connections were cut off before they had all their answers", cut))
	}
	return err
}

// Gone is closed when nothing of the server is left: when Stop returns, or later, if that was
// with a RunningError. Then the journal and the engine may be closed.
func (s *Server) Gone() <-chan struct{} { return s.gone }

// endLoops ends the event loops, and returns when they and all else have come back.
func (s *Server) endLoops(accepted <-chan struct{}) error {
	err := s.loops.Stop()
	<-accepted
	// The event loops have ended, so their connections may be touched here: those that gnet
	// has closed already and that still had output.
	for _, l := range s.inOrder {
		for len(l.conns) > 0 {
			l.drop(l.conns[len(l.conns)-1])
		}
	}
	s.background.Wait()
	return err
}

// runningLoops returns which event loops have not had their last task.
func (s *Server) runningLoops() (running []int) {
	for i, l := range s.loopList() {
		if !l.atEnd.Load() {
			running = append(running, i)
		}
	}
	return running
}

// waitForClients waits for the last connection to end and returns how many have
// not.
func (s *Server) waitForClients(ctx context.Context) (left int64) {
	timeout := time.After(s.opts.StopTimeout)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for s.counters.conns.Load() > 0 {
		select {
		case <-tick.C:
		case <-timeout:
			return s.counters.conns.Load()
		case <-ctx.Done():
			return s.counters.conns.Load()
		}
	}
	return 0
}

// waitGrace waits until done is closed, for stopGrace, and reports whether it is. It counts its
// own steps: a process that was stopped meanwhile, or had no CPU, has not had that time.
func waitGrace(done <-chan struct{}) bool {
	tick := time.NewTicker(graceStep)
	defer tick.Stop()
	for range stopGrace / graceStep {
		select {
		case <-done:
			return true
		case <-tick.C:
		}
	}
	select {
	case <-done:
		return true
	default:
		return false
	}
}
