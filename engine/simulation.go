package engine

// Simulation makes an Engine a function of what is done to it: the same calls, in the
// same order, find and leave the same store, and so a run can be repeated from a seed.
// Nothing of the Engine runs by itself. What Apply and Clear would wake the maintainer
// for waits until [Engine.Maintain] is called. The default of Options.Shards goes by the
// CPUs; a run that is to be repeated elsewhere sets it.
//
// All calls must come from one goroutine, or one at a time. Step may call every method
// but Maintain and Close; so what it does happens in the middle of a compaction, between
// two of its steps, as other goroutines do it to a store that isn't simulated.
type Simulation struct {
	// Seed is what the secrets of the hash are drawn from.
	Seed uint64

	// Refuse has the system refuse memory when it reports true. It is called under the
	// pool's lock, whenever a chunk is to be taken from the system, and must not use the
	// Engine. nil: never.
	Refuse func() bool

	// Step is called between the steps of maintenance: in the goroutine that calls
	// Maintain, with no lock held. nil: nothing is done there.
	Step func()

	// background has the maintainer run by itself all the same: for tests of what goes on
	// at once, while the system refuses memory.
	background bool
}

// Maintain is one round of the maintainer's work: what it does when it is called, or, if
// atRest, when it hasn't been called for a while. Only for an Engine with
// [Options.Simulation].
func (e *Engine) Maintain(atRest bool) {
	if !e.simulated {
		panic("BUG: engine: Maintain of a store that maintains itself")
	}
	if !e.maintainer.working.TryLock() {
		panic("BUG: engine: Maintain during Maintain")
	}
	defer e.maintainer.working.Unlock()
	e.sweeper.pass()
	how := &churned
	if atRest {
		how = &resting
	}
	e.maintainer.maintain(how)
}
