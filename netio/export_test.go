package netio

import (
	"context"

	"keyframe/engine"
	"keyframe/engine/journal"
)

// ApplyLogged has a batch applied and logged as on a loop, without one.
func ApplyLogged(log *journal.Journal, e *engine.Engine, b *engine.Batch) {
	c := &journaled{store: e, log: log, lane: log.NewLane(func(uint64, error) {}), settling: true}
	c.apply(b)
	_, _ = c.lane.Done(log.Position())
}

// StartLog begins a run of the journal of a store.
func StartLog(log *journal.Journal, e *engine.Engine) error {
	return startLog(log, newJournalStore(context.Background(), e, nil))
}

// onEachLoop calls f on every event loop, one after the other, and waits for it.
func (s *Server) onEachLoop(f func(l *loop)) {
	for _, l := range s.loopList() {
		done := make(chan struct{})
		l.execute(func() { f(l); close(done) })
		<-done
	}
}

// Peers are who the clients of all connections have proved to be with certificates.
func (s *Server) Peers() (names []string) {
	s.onEachLoop(func(l *loop) {
		for _, c := range l.conns {
			names = append(names, c.peer())
		}
	})
	return names
}

// ReloadNews is what watchCertificates does at a tick.
func (s *Server) ReloadNews() (changed, news bool, err error) { return s.reloadCertificates() }

// LiveOptions are those that hold now, for the server and for each loop that has had a
// connection.
func (s *Server) LiveOptions() (all []Options) {
	all = append(all, *s.live.Load())
	s.onEachLoop(func(l *loop) { all = append(all, *l.opts, *l.pipe.service.opts) })
	return all
}
