package netio

import (
	"fmt"
	"slices"

	"keyframe/codec"
	"keyframe/engine"
)

// This file is the simulation's committer: what a journal, or a log, will do between the
// store and the clients, at times that the seed decides.

// simCommit is what stands between a simulated loop and its clients.
type simCommit interface {
	step()      // does something that is due, if anything is
	idle() bool // nothing waits
	String() string
}

// simCommitter is the committer of a simulated loop, and no more.
type simCommitter struct {
	s         *sim
	loop      *simLoop
	late      int // of 4 batches are applied later
	submitted []simBatch
	applied   uint64 // how many batches and CLEARs have been
}

// simBatch is what a client waits for.
type simBatch struct {
	client *simClient
	apply  func()
}

func newSimCommitter(s *sim, el *simLoop) *simCommitter {
	c := &simCommitter{s: s, loop: el, late: s.rng.IntN(5)}
	el.commit = c
	el.loop.commit, el.loop.pipe.commit = c, c
	return c
}

func (c *simCommitter) refuses() (st codec.Status, why string) { return 0, "" }

func (c *simCommitter) later() bool { return c.s.rng.IntN(4) < c.late }

func (c *simCommitter) apply(b *engine.Batch) bool {
	if c.later() {
		return false
	}
	c.applied++
	c.s.srv.store.Apply(b)
	return true
}

func (c *simCommitter) submit(b *engine.Batch, applied func()) {
	c.wait(func() {
		c.s.srv.store.Apply(b)
		applied()
	})
}

func (c *simCommitter) clear(b *engine.Batch) (int, bool) {
	if c.later() {
		return 0, false
	}
	c.applied++
	return c.clearNow(b), true
}

func (c *simCommitter) clearNow(b *engine.Batch) int {
	if b == nil {
		return c.s.srv.store.Clear()
	}
	keys, _ := c.s.srv.store.ClearSet(b, nil)
	return keys
}

func (c *simCommitter) submitClear(b *engine.Batch, cleared func(int)) {
	c.wait(func() { cleared(c.clearNow(b)) })
}

func (c *simCommitter) wait(apply func()) {
	client := c.s.serving
	if client == nil {
		c.s.fatalf("a batch waits in nobody's turn")
	}
	if slices.ContainsFunc(c.submitted, func(b simBatch) bool { return b.client == client }) {
		c.s.fatalf("client %d: two of its batches wait", client.id)
	}
	c.s.reach("a batch that waits to be applied")
	c.submitted = append(c.submitted, simBatch{client, apply})
}

func (c *simCommitter) seesAll() {}

func (c *simCommitter) isFull() bool { return false }

func (c *simCommitter) position() uint64 { return c.applied }

// step applies a batch that waits, or lets the answers of one connection go.
func (c *simCommitter) step() {
	s, l := c.s, c.loop.loop
	if n := len(c.submitted); n > 0 && (len(l.holding) == 0 || s.rng.IntN(2) == 0) {
		i := s.rng.IntN(n)
		b := c.submitted[i]
		c.submitted = slices.Delete(c.submitted, i, i+1)
		if !slices.Contains(s.clients, b.client) {
			return // it has gone, and its part of the model with it
		}
		s.trace("client %d: its batch is applied", b.client.id)
		c.applied++
		s.serving = b.client
		b.apply()
		s.serving = nil
		last := &c.loop.tasks[len(c.loop.tasks)-1] // that which goes on with the connection
		goOn := *last
		*last = func() { s.turn(b.client, goOn) }
		return
	}
	if len(l.holding) > 0 {
		s.letGo(l)
	}
}

// letGo releases the answers of one connection, so that the store knows whose turn follows.
func (s *sim) letGo(l *loop) {
	waiting := l.holding
	l.holding = waiting[:1:1]
	client := s.clientOf(waiting[0].conn)
	if client == nil {
		l.release(waiting[0].position, nil) // it has gone
	} else {
		s.trace("client %d: its answers may leave", client.id)
		s.reach("answers that were held")
		s.turn(client, func() { l.release(waiting[0].position, nil) })
	}
	l.holding = append(waiting[1:len(waiting):len(waiting)], l.holding...)
}

func (c *simCommitter) idle() bool { return len(c.submitted) == 0 && len(c.loop.loop.holding) == 0 }

func (c *simCommitter) String() string {
	return fmt.Sprintf("%d batches and %d connections wait, %d applied, released up to %d", len(c.submitted), len(c.loop.loop.holding), c.applied, c.loop.loop.released)
}
