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
	store    store
	log      *journal.Journal
	lane     *journal.Lane
	settling bool     // settle is about to run
	gathered int      // bytes of records that were to be written after the last batch
	seqs     []uint64 // scratch

	unsynced *unsynced // all loops'; nil: whoever reads waits for all that is not safe
	depends  uint64    // the last group that what was read since position depends on
	sees     bool      // a key was read, or anything changed, since position: without unsynced it depends on all
}

func (l *loop) commitTo(log *journal.Journal) {
	c := &journaled{loop: l, store: l.srv.store, log: log, unsynced: l.srv.unsynced}
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
	c.sees = true
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
	c.gathered = len(*to)
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
		dst = appendOther(dst, b.Effect(i), b)
	}
	return dst
}

// appendOther appends the record of an effect that is no plain SET's.
func appendOther(dst []byte, e engine.Effect, b *engine.Batch) []byte {
	switch {
	case e.Gone && !e.Evicted && b.Ops[e.Op].Kind == engine.Rename:
		return journal.AppendRename(dst, e.Shard, e.Seq, e.Key) // that of the new key follows
	case e.Gone:
		return journal.AppendGone(dst, e.Shard, e.Seq, e.Key)
	}
	return journal.AppendSet(dst, e.Shard, e.Seq, e.Key, e.Value, uint8(e.Form), e.Deadline)
}

func (c *journaled) submit(*engine.Batch, func()) {
	panic("BUG: netio: a batch that is applied at once is submitted")
}

func (c *journaled) clear(b *engine.Batch) (keys int, now bool) {
	c.sees = true
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
	c.gathered = len(*to)
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
// somebody will wait. An answer that tells nothing of the store, as PING's, waits for none: a loop
// that has only such would stand still with another's write.
func (c *journaled) position() uint64 {
	at := c.depends
	if c.unsynced == nil && c.sees {
		at = c.log.Position()
	}
	c.depends, c.sees = 0, false
	if at > c.loop.released {
		if c.loop.released = max(c.loop.released, c.log.Kept()); at > c.loop.released {
			c.settleSoon()
		}
	}
	return at
}

// mostGathered is what a loop may gather while the disk takes its time before clients wait that
// are not answered. A lane with a third more than that writes it itself, and with it the loop
// would wait for the disk. With two thirds of it a client that only sends SETQ took 10 % longer.
const mostGathered = 6 * journal.DefaultGroupBytes

func (c *journaled) isFull() bool { return c.gathered >= mostGathered }

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

// loads are those of recoveries.
var loads = sync.Pool{New: func() any { return new(load) }}

// placeTries is how many times room is made at least for what is loaded; the first is without
// work. As long as keys are evicted for it, it goes on: of some thousand starts of
// TestRecoverVolatile one had no room after three times.
const placeTries = 3

// errNoRoom ends a recovery into a store that is too small.
var errNoRoom = errors.New("netio: what is on disk takes more than the store's memory may be (--max-memory)")

// journalStore is the store as its journal sees it.
type journalStore struct {
	*engine.Engine
	ctx    context.Context // ends a recovery
	beside *beside         // nil: nobody serves it
	evict  engine.Evict    // its policy
}

func newJournalStore(ctx context.Context, e *engine.Engine, beside *beside) journalStore {
	return journalStore{e, ctx, beside, e.Stats().Evict}
}

// Apply stores what was on disk. It may be called from any goroutine.
func (s journalStore) Apply(changes []journal.Change) error {
	l := loads.Get().(*load)
	defer loads.Put(l)
	defer l.batch.Reset()
	b := &l.batch
	for order := l.byShard(s.Engine, changes); len(order) > 0; {
		n := min(len(order), loadBatch)
		for _, i := range order[:n] {
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
		if err := s.placeUnstored(b); err != nil {
			return err
		}
		b.Reset()
		order = order[n:]
	}
	return nil
}

// load is what a goroutine needs to store changes.
type load struct {
	batch  engine.Batch
	shards []uint16 // of the changes
	next   []uint32 // where in order each shard's next change goes
	order  []uint32
}

// byShard returns the indexes of changes, those of one shard together and in their order: its
// lock, its counts and the end of its newest block are in the caches then. Ten million keys were
// loaded in 1.58 s without it and in 1.13 with it.
func (l *load) byShard(e *engine.Engine, changes []journal.Change) []uint32 {
	l.shards = slices.Grow(l.shards[:0], len(changes))[:len(changes)]
	l.order = slices.Grow(l.order[:0], len(changes))[:len(changes)]
	l.next = slices.Grow(l.next[:0], e.Shards())[:e.Shards()]
	clear(l.next)
	for i := range changes {
		shard := e.Shard(changes[i].Key)
		l.shards[i] = uint16(shard)
		l.next[shard]++
	}
	at := uint32(0)
	for shard, n := range l.next {
		l.next[shard] = at
		at += n
	}
	for i, shard := range l.shards {
		l.order[l.next[shard]] = uint32(i)
		l.next[shard]++
	}
	return l.order
}

// placeUnstored sees to what had no room. Where it might be evicted it is as if it had been at
// once: what the key had before must not stay. What can't be evicted is tried again, a few
// times: there was room for it in a store of this size, if it wasn't a larger one.
func (s journalStore) placeUnstored(b *engine.Batch) error {
	for try, made := 0, false; ; try++ {
		var again, evicted engine.Batch
		for i := range b.Ops {
			op, args := &b.Ops[i], b.Args(i) // it has some if it has a deadline
			switch {
			case op.Status != engine.OutOfMemory:
			case slices.ContainsFunc(b.Ops[i+1:], func(later engine.Op) bool { return bytes.Equal(later.Key, op.Key) }):
			case s.evict == engine.EvictAll || s.evict == engine.EvictVolatile && args != nil:
				evicted.Add(engine.Remove, op.Key, nil)
			case args != nil:
				again.AddArgs(op.Kind, op.Key, op.Value, op.Form, *args)
			default:
				again.AddForm(op.Kind, op.Key, op.Value, op.Form)
			}
		}
		if len(evicted.Ops) > 0 {
			s.Engine.Evict(&evicted)
		}
		if len(again.Ops) == 0 {
			return nil
		}
		if try >= placeTries && !made {
			return errNoRoom
		}
		made = s.MakeRoom()
		s.Engine.Apply(&again)
		b = &again
	}
}

func (s journalStore) Clear() { s.Engine.Clear() }

func (s journalStore) Some(cursor uint64, f func(*journal.Change)) (next uint64, done bool) {
	var c journal.Change // one for all: it escapes
	at, done := s.Engine.Visit(engine.Cursor(cursor), func(key, value []byte, form engine.Form, deadline int64) {
		c = journal.Change{Key: key, Value: value, Form: uint8(form), Deadline: deadline}
		f(&c)
	})
	return uint64(at), done
}

func (s journalStore) Beside(work func() (more bool)) {
	if s.beside != nil {
		s.beside.do(work)
		return
	}
	for work() {
	}
}

// Load fills the store with what the journal has, and then begins to serve. Options.Journal
// must be set; until then clients are turned away. It gives up when ctx is done.
func (s *Server) Load(ctx context.Context) (journal.Report, error) {
	report, err := Recover(ctx, s.opts.Journal, s.engine)
	if err == nil {
		err = startLog(s.opts.Journal, newJournalStore(ctx, s.engine, &beside{srv: s}))
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
func startLog(log *journal.Journal, store journalStore) error {
	evicted := store.Stats().Evicted
	err := log.Start(store)
	if err == nil && evicted > 0 {
		_, err = log.Snapshot(false)
	}
	return err
}

// Recover fills a store with what a journal has, without serving it.
func Recover(ctx context.Context, log *journal.Journal, e *engine.Engine) (journal.Report, error) {
	report, err := log.Recover(newJournalStore(ctx, e, nil))
	if err == nil && !e.EndLoad() {
		err = errNoRoom
	}
	return report, err
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
		go s.saveAll() // a stop doesn't wait for it: the disk may stand still
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
		if err != nil && !errors.Is(err, journal.ErrClosed) {
			s.log.Error("a snapshot that was asked for has failed", "error", err) // BGSAVE waits for no answer
		}
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
