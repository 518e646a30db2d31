package netio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"keyframe/codec"
	"keyframe/engine"
	"keyframe/engine/journal"
)

// This file is a server that keeps its store on disk: the committer that stands between a
// loop and the journal, and the store as the journal sees it.

// journaled is the committer of a loop whose effects are logged. A batch is applied at
// once. Its answers, and whatever else is answered from a store that has effects which are
// not safe yet, are held; at the end of the loop's wake-up one write makes all of them safe
// that were noted until then, on any loop.
type journaled struct {
	loop     *loop
	store    *engine.Engine
	log      *journal.Journal
	lane     *journal.Lane
	settling bool     // settle is about to run
	seqs     []uint64 // scratch

	unsynced *unsynced // all loops'; nil: whoever reads waits for all that is not safe
	depends  uint64    // with it: the last group that what was read since position depends on
}

func (l *loop) commitTo(log *journal.Journal, e *engine.Engine) {
	c := &journaled{loop: l, store: e, log: log, unsynced: l.srv.unsynced}
	c.lane = log.NewLane(func(upTo uint64, err error) {
		l.execute(func() { c.release(upTo, err) })
	})
	l.commit, l.pipe.commit, l.pipe.save = c, c, l.srv.save
}

func (c *journaled) refuses() (st codec.Status, why string) {
	if why, refuses := c.log.Refuses(); refuses {
		return codec.StatusUnavailable, why
	}
	return codec.StatusOK, ""
}

// apply applies the batch and notes its effects.
func (c *journaled) apply(b *engine.Batch) (now bool) {
	ops := b.Ops[b.Executed():]
	if !mayChange(ops) {
		c.store.Apply(b)
		if c.unsynced != nil {
			for i := range ops[:len(ops)-(len(b.Ops)-b.Executed())] {
				c.depends = max(c.depends, c.unsynced.group(ops[i].Key))
			}
		}
		return true
	}
	group := c.lane.Begin()
	if c.unsynced != nil {
		c.markUnsynced(ops, group)
	}
	c.store.Apply(b)
	to := c.lane.Records()
	*to = appendEffects(*to, b)
	c.lane.End()
	c.settleSoon()
	return true
}

// mayChange reports whether there is an operation that may have an effect.
func mayChange(ops []engine.Op) bool {
	for i := range ops {
		if !onlyReads(ops[i].Kind) {
			return true
		}
	}
	return false
}

func onlyReads(kind engine.Kind) bool {
	return kind == engine.Get || kind == engine.Contains || kind == engine.Deadline
}

// markUnsynced marks the keys that may be changed. It comes before the change.
func (c *journaled) markUnsynced(ops []engine.Op, group uint64) {
	for i := range ops {
		op := &ops[i]
		if onlyReads(op.Kind) {
			continue
		}
		c.unsynced.mark(op.Key, group)
		if op.Kind == engine.Rename {
			c.unsynced.mark(op.Value, group)
		}
	}
	c.depends = max(c.depends, group) // no key of the batch can have a later one
}

// appendEffects appends the records of what the batch's last Apply has changed.
func appendEffects(dst []byte, b *engine.Batch) []byte {
	for i := range b.NumEffects() {
		if op, shard, seq, ok := b.StoredEffect(i); ok {
			dst = journal.AppendSet(dst, shard, seq, op.Key, op.Value, uint8(op.Form), 0)
			continue
		}
		switch e := b.Effect(i); {
		case e.Gone && !e.Evicted && b.Ops[e.Op].Kind == engine.Rename:
			dst = journal.AppendRename(dst, e.Shard, e.Seq, e.Key) // that of the new key follows
		case e.Gone:
			dst = journal.AppendGone(dst, e.Shard, e.Seq, e.Key)
		default:
			dst = journal.AppendSet(dst, e.Shard, e.Seq, e.Key, e.Value, uint8(e.Form), e.Deadline)
		}
	}
	return dst
}

func (c *journaled) submit(*engine.Batch, func()) {
	panic("BUG: netio: a batch that is applied at once is submitted")
}

func (c *journaled) clear(b *engine.Batch) (keys int, now bool) {
	group := c.lane.Begin()
	if c.unsynced != nil {
		c.unsynced.markAll(group)
		c.depends = max(c.depends, group)
	}
	to := c.lane.Records()
	if b == nil {
		keys, c.seqs = c.store.ClearRecorded(c.seqs[:0])
		*to = journal.AppendClear(*to, c.seqs)
	} else {
		keys, c.seqs = c.store.ClearSet(b, c.seqs[:0])
		// Not as many as pairs: for some there may be no room, or others had to make it.
		*to = appendEffects(journal.AppendClearSet(*to, c.seqs, b.NumEffects()), b)
	}
	c.lane.End()
	c.settleSoon()
	return keys, true
}

func (c *journaled) submitClear(*engine.Batch, func(int)) {
	panic("BUG: netio: a CLEAR that is executed at once is submitted")
}

// seesAll has answers depend on all that the store is made of.
func (c *journaled) seesAll() { c.depends = max(c.depends, c.log.Position()) }

// position returns the group that answers made now have to wait for. If it isn't safe yet,
// somebody will wait.
func (c *journaled) position() uint64 {
	at := c.depends
	if c.depends = 0; c.unsynced == nil {
		at = c.log.Position()
	}
	if at > c.loop.released {
		if c.loop.released = max(c.loop.released, c.log.Kept()); at > c.loop.released {
			c.settleSoon()
		}
	}
	return at
}

// settleSoon has settle run at the end of the loop's wake-up: gnet runs what a loop is
// given to execute when it has looked at all sockets that were ready.
func (c *journaled) settleSoon() {
	if !c.settling {
		c.settling = true
		c.loop.execute(c.settle)
	}
}

// settle makes what has been noted safe, or asks for it, and lets go what waits for no more.
func (c *journaled) settle() {
	c.settling = false
	c.release(c.lane.Done(c.log.Position()))
}

func (c *journaled) release(upTo uint64, err error) {
	if err != nil {
		upTo = math.MaxUint64 // of nothing that is held it will ever be known
	}
	c.loop.release(upTo, err)
}

// loadBatch is how many keys are stored at once while the store is loaded.
const loadBatch = 512

// loadBatches are those of recoveries.
var loadBatches = sync.Pool{New: func() any { return new(engine.Batch) }}

// errNoRoom ends a recovery into a store that is too small.
var errNoRoom = errors.New("netio: what is on disk takes more than the store's memory may be (--max-memory)")

// journalStore is the store as its journal sees it.
type journalStore struct {
	*engine.Engine
	ctx context.Context // ends a recovery
}

// Apply stores what was on disk. It may be called from any goroutine.
func (s journalStore) Apply(changes []journal.Change) error {
	b := loadBatches.Get().(*engine.Batch)
	defer loadBatches.Put(b)
	defer b.Reset()
	for len(changes) > 0 {
		n := min(len(changes), loadBatch)
		for i := range changes[:n] {
			switch c := &changes[i]; {
			case c.Gone:
				b.Add(engine.Remove, c.Key, nil)
			case c.Deadline != 0:
				b.AddArgs(engine.Set, c.Key, c.Value, engine.Form(c.Form), engine.Args{Deadline: c.Deadline})
			default:
				b.AddForm(engine.Set, c.Key, c.Value, engine.Form(c.Form))
			}
		}
		if err := s.ctx.Err(); err != nil {
			return err
		}
		s.Engine.Apply(b)
		if err := s.dropUnstored(b); err != nil {
			return err
		}
		b.Reset()
		changes = changes[n:]
	}
	return nil
}

// dropUnstored looks for what had no room. Where keys are evicted it is as if it had been
// evicted at once: what the key had before must not stay.
func (s journalStore) dropUnstored(b *engine.Batch) error {
	var drop engine.Batch
	for i := range b.Ops {
		if b.Ops[i].Status != engine.OutOfMemory {
			continue
		}
		if s.Stats().Evicted == 0 {
			return errNoRoom
		}
		key := b.Ops[i].Key
		if !slices.ContainsFunc(b.Ops[i+1:], func(op engine.Op) bool { return bytes.Equal(op.Key, key) }) {
			drop.Add(engine.Remove, key, nil)
		}
	}
	if len(drop.Ops) > 0 {
		s.Engine.Apply(&drop)
	}
	return nil
}

func (s journalStore) Clear() { s.Engine.Clear() }

func (s journalStore) Each(f func(*journal.Change) bool) {
	var c journal.Change // one for all: it escapes
	s.Engine.Each(func(key, value []byte, form engine.Form, deadline int64) bool {
		c = journal.Change{Key: key, Value: value, Form: uint8(form), Deadline: deadline}
		return f(&c)
	})
}

// Load fills the store with what the journal has, and then begins to serve. Options.Journal
// must be set; until then clients are turned away. It gives up when ctx is done.
func (s *Server) Load(ctx context.Context) (journal.Report, error) {
	report, err := Recover(ctx, s.opts.Journal, s.engine)
	if err == nil {
		err = startLog(ctx, s.opts.Journal, s.engine)
	}
	if err == nil {
		s.loading.Store(false)
	}
	return report, err
}

// startLog begins to log what a store does that a recovery has filled. If it was too small
// for what is on disk it has evicted keys, of which the log knows nothing: then there is a
// snapshot first, or those would be back after the next start, though clients were told that
// they are gone.
func startLog(ctx context.Context, log *journal.Journal, e *engine.Engine) error {
	evicted := e.Stats().Evicted
	err := log.Start(journalStore{e, ctx})
	if err == nil && evicted > 0 {
		_, err = log.Snapshot(false)
	}
	return err
}

// Recover fills a store with what a journal has, without serving it.
func Recover(ctx context.Context, log *journal.Journal, e *engine.Engine) (journal.Report, error) {
	return log.Recover(journalStore{e, ctx})
}

// Loading reports whether the server still loads its store, and how far it is.
func (s *Server) Loading() (progress journal.Progress, loading bool) {
	if !s.loading.Load() {
		return progress, false
	}
	return s.opts.Journal.Progress(), true
}

// loadingText says to clients how far it is.
func (s *Server) loadingText() string {
	p, _ := s.Loading()
	return fmt.Sprintf("LOADING: the server reads its store from disk, %d %% of %d MB are read", 100*p.Done/max(p.Total, 1), p.Total/1e6)
}

// errNotOnDisk is what a SAVE is told where there is nothing to save to.
var errNotOnDisk = errors.New("the server keeps nothing on disk: it was started without --data-dir")

// saveWaits are the SAVEs that one snapshot answers.
type saveWaits struct {
	sync.Mutex
	running bool
	next    []func(codec.Object, error) // those that came since it began
}

// save has a snapshot made of all that the store has now, and calls done with the members of
// SAVE's answer. It may be called from any goroutine. However many ask, one snapshot is made
// at a time, and the next one answers all that have asked meanwhile.
func (s *Server) save(done func(codec.Object, error)) {
	s.saves.Lock()
	defer s.saves.Unlock()
	s.saves.next = append(s.saves.next, done)
	if !s.saves.running {
		s.saves.running = true
		s.background.Go(s.saveAll)
	}
}

func (s *Server) saveAll() {
	for {
		s.saves.Lock()
		waiting := s.saves.next
		s.saves.next = nil
		s.saves.running = len(waiting) > 0
		s.saves.Unlock()
		if len(waiting) == 0 {
			return
		}
		info, err := s.opts.Journal.Snapshot(true)
		saved := codec.Object{
			{Name: "keys", Value: info.Keys},
			{Name: "bytes", Value: info.Bytes},
			{Name: "ms", Value: info.Duration.Milliseconds()},
		}
		for _, done := range waiting {
			done(saved, err)
		}
	}
}

// answerSave answers SAVE.
func (p *pipeline) answerSave(op codec.Opcode, extra *codec.Extra, saved codec.Object, err error) {
	if err != nil {
		p.count.Errors[ErrorUnavailable]++
		p.answerText(codec.AppendFailure(p.text[:0], op, codec.StatusUnavailable, err.Error()), extra)
		return
	}
	p.answerText(codec.AppendMembers(p.text[:0], op, saved), extra)
}
