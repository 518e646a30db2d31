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
