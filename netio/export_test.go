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
	return startLog(context.Background(), log, e)
}

// Peers are who the clients of all connections have proved to be with certificates.
func (s *Server) Peers() (names []string) {
	for _, l := range s.loopList() {
		found := make(chan []string, 1)
		l.execute(func() {
			var of []string
			for _, c := range l.conns {
				of = append(of, c.peer())
			}
			found <- of
		})
		names = append(names, <-found...)
	}
	return names
}
