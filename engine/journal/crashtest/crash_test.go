package crashtest

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"keyframe/engine"
	"keyframe/engine/journal"
)

var (
	seedFlag = flag.Uint64("seed", 0, "the one seed to run; 0: -seeds of them")
	seeds    = flag.Int("seeds", 1000, "how many seeds to run")
)

// TestPowerCuts runs lives of a journal beside an engine. In each goroutines execute
// batches of every kind, snapshots are made, and the power goes at any operation; then the
// store is recovered, and compared with what is known of it; the power goes in the
// recoveries, too. With Always all that was acknowledged must be there. With EverySec the
// effects of each shard are there up to some point, which is past all that was synced.
func TestPowerCuts(t *testing.T) {
	if *seedFlag != 0 {
		newLife(t, *seedFlag).run()
		return
	}
	first := uint64(time.Now().UnixNano())
	seen := map[string]int{}
	for i := range uint64(*seeds) {
		l := newLife(t, first+i)
		l.run()
		for what, n := range l.seen {
			seen[what] += n
		}
		if t.Failed() {
			t.Fatalf("-seed %d", first+i)
		}
	}
	t.Log(seen)
	for _, what := range []string{"power cut", "kill", "in a recovery", "torn tail", "snapshot", "from a snapshot", "acknowledged", "lost, not acknowledged", "clear and set", "several groups at once", "begun write", "begun write waited for", "snapshot failed", "batch beside a snapshot"} {
		if seen[what] == 0 && *seeds >= 300 {
			t.Errorf("there was no %s", what)
		}
	}
}

// life is a directory, from one server to the next.
type life struct {
	t    *testing.T
	seed uint64
	r    *rand.Rand
	disk *disk
	mode journal.Mode
	seen map[string]int

	// known is, by key, each value that it has had since the last that is certainly there,
	// which is the first of them: "" is gone.
	known  map[string][]string
	shards []*shard // of the store of the last server that has come to its work
}

// shard is what one shard of a store has been.
type shard struct {
	base    map[string]string // what was found
	effects []change          // since, in the shard's order; key "": all are gone
	synced  int               // how many of them are certainly there
}

func newLife(t *testing.T, seed uint64) *life {
	r := rand.New(rand.NewPCG(seed, 1))
	return &life{
		t: t, seed: seed, r: r, disk: newDisk(), mode: journal.Mode(r.IntN(3)),
		seen: make(map[string]int), known: make(map[string][]string),
	}
}

func (l *life) options() journal.Options {
	return journal.Options{
		Mode: l.mode, SegmentBytes: 2 << 10, GroupBytes: 512, SnapshotBytes: 8 << 10,
		Manual: true,
	}
}

// run is some servers one after the other, each of which the power is taken from.
func (l *life) run() {
	for range 2 + l.r.IntN(3) {
		l.server()
		if l.t.Failed() {
			return
		}
	}
}

// store is an engine as source and sink.
type store struct {
	*engine.Engine
	beside func() (leave bool) // is called after each turn of a snapshot
}

func (s store) Apply(changes []journal.Change) error {
	var b engine.Batch
	for i := range changes {
		switch c := &changes[i]; {
		case c.Gone:
			b.Add(engine.Remove, c.Key, nil)
		case c.Deadline != 0:
			b.AddArgs(engine.Set, c.Key, c.Value, engine.Form(c.Form), engine.Args{Deadline: c.Deadline})
		default:
			b.AddForm(engine.Set, c.Key, c.Value, engine.Form(c.Form))
		}
	}
	s.Engine.Apply(&b)
	return nil
}

func (s store) Clear() { s.Engine.Clear() }

func (s store) Some(cursor uint64, f func(*journal.Change)) (uint64, bool) {
	next, done := s.Visit(engine.Cursor(cursor), func(key, value []byte, form engine.Form, deadline int64) {
		f(&journal.Change{Key: key, Value: value, Form: uint8(form), Deadline: deadline})
	})
	return uint64(next), done
}

// Beside leaves early, which no server's does: what there is then is written, and a small store
// in some writes too.
func (s store) Beside(work func() bool) {
	for work() && !s.beside() {
	}
}

func (s store) content() map[string]string {
	all := make(map[string]string)
	s.Each(func(key, value []byte, form engine.Form, deadline int64) bool {
		all[string(key)] = text(value, form, deadline)
		return true
	})
	return all
}

// text is all that a key has.
func text(value []byte, form engine.Form, deadline int64) string {
	return fmt.Sprintf("%s, form %d, until %d", value, form, deadline)
}

func (l *life) newStore() store {
	e, err := engine.New(engine.Options{Shards: 1 << l.r.IntN(4), RecordEffects: true, Simulation: &engine.Simulation{Seed: l.r.Uint64()}})
	if err != nil {
		l.t.Fatal(err)
	}
	return store{e, func() bool { return false }}
}

// server recovers, is compared, works, and loses its power, or is killed: then all that it
// has written stays, synced or not.
func (l *life) server() {
	cut := &outage{disk: l.disk, r: rand.New(rand.NewPCG(l.r.Uint64(), 3))}
	cut.left.Store(1 + l.r.Int64N(1<<(4+l.r.IntN(6))))
	w := &work{life: l, s: l.newStore()}
	if l.r.IntN(2) == 0 {
		w.begun = &begunWrites{t: l.t, r: rand.New(rand.NewPCG(l.r.Uint64(), 4)), seen: l.seen}
		w.s.beside = w.besideSnapshot
	}
	s := w.s
	defer s.Close()
	block := l.r.IntN(2) * 64
	if block > 0 && l.mode == journal.Always {
		l.seen["several groups at once"]++
	}
	j, err := journal.Open(l.disk.on(cut, w.begun, block), l.options())
	if err != nil {
		l.t.Errorf("open: %v", err)
		return
	}
	report, err := j.Recover(s)
	if err != nil {
		l.t.Errorf("recover: %v", err)
		return
	}
	if report.Cut != nil {
		l.seen["torn tail"]++
	}
	if report.Snapshot != "" {
		l.seen["from a snapshot"]++
	}
	for _, fault := range report.Skipped { // it has its name, and so it was on disk
		l.t.Errorf("a snapshot is damaged: %v", fault)
	}
	found := s.content()
	l.compare(found)
	if err := j.Start(s); err != nil {
		l.t.Errorf("start: %v", err)
		return
	}
	if cut.then != nil {
		l.seen["in a recovery"]++
	} else {
		// What was read is safe from now on, whatever the server before has synced.
		for key := range l.known {
			l.known[key] = []string{found[key]}
		}
		l.shards = make([]*shard, s.Shards())
		for i := range l.shards {
			l.shards[i] = &shard{base: make(map[string]string)}
		}
		for key, value := range found {
			l.shards[s.Shard([]byte(key))].base[key] = value
		}
	}
	w.j = j
	for i := range w.lanes {
		w.lanes[i] = j.NewLane(func(uint64, error) {})
	}
	rounds := 1000
	if l.r.IntN(4) == 0 {
		rounds = l.r.IntN(4)
	}
	for ; cut.then == nil && rounds > 0; rounds-- {
		w.round(cut)
	}
	if cut.then == nil {
		l.seen["kill"]++
		return
	}
	l.seen["power cut"]++
	l.disk = cut.then
}

// isPrefix reports whether got has of the shard's keys what it had after some of its effects,
// all that are certainly there among them.
func (s *shard) isPrefix(got map[string]string) bool {
	now, others := maps.Clone(s.base), make(map[string]bool) // those that differ from got
	for _, c := range s.effects {
		others[c.key] = got[c.key] != "" // before its first effect it isn't there, or in base
	}
	delete(others, "")
	for key, value := range s.base {
		others[key] = got[key] != value
	}
	differ := 0
	for _, is := range others {
		if is {
			differ++
		}
	}
	become := func(key, value string) {
		if value == "" {
			delete(now, key)
		} else {
			now[key] = value
		}
		if is := got[key] != value; is != others[key] {
			others[key] = is
			if differ--; is {
				differ += 2
			}
		}
	}
	for i := 0; ; i++ {
		if i >= s.synced && differ == 0 {
			return true
		}
		if i == len(s.effects) {
			return false
		}
		if c := s.effects[i]; c.key != "" {
			become(c.key, c.value)
			continue
		}
		for key := range now {
			become(key, "")
		}
	}
}

// compare checks that each key has one of the values that it can have, and that of the effects
// of each shard those up to some point are there, which is past all that was synced.
func (l *life) compare(got map[string]string) {
	for i, s := range l.shards {
		if !s.isPrefix(got) {
			l.t.Errorf("%s, shard %d of %d has what it never had: after %d effects of which %d were synced", l.mode, i, len(l.shards), len(s.effects), s.synced)
		}
	}
	for key, values := range l.known {
		is := got[key]
		if !slices.Contains(values, is) {
			l.t.Errorf("%s, %s is %q, want one of %q", l.mode, key, is, values)
			return
		}
		if is != values[len(values)-1] {
			l.seen["lost, not acknowledged"]++
		}
	}
	where := make(map[string]string)
	for key, value := range got {
		if l.known[key] == nil {
			l.t.Errorf("%s, %s is %q, and was never set", l.mode, key, value)
		}
		if other := where[value]; other != "" { // no value is set twice
			l.t.Errorf("%s, half of a rename from %s to %s, or back", l.mode, key, other)
		}
		where[value] = key
	}
}

// work is what a server does.
type work struct {
	*life
	j     *journal.Journal
	s     store
	lanes [3]*journal.Lane
	begun *begunWrites // nil: snapshots are written at once
}

// round is batches of some goroutines, each on keys of its own, and then some of what goes
// on in the background.
func (w *work) round(cut *outage) {
	var wg sync.WaitGroup
	changes := make([][]change, len(w.lanes))
	for g, lane := range w.lanes {
		r := rand.New(rand.NewPCG(w.r.Uint64(), 2))
		if r.IntN(3) == 0 {
			continue
		}
		wg.Go(func() {
			for range 1 + r.IntN(6) {
				changes[g] = append(changes[g], w.batch(r, lane, g)...)
			}
			_, _ = lane.Done(w.j.Position())
		})
	}
	wg.Wait()
	w.note(slices.Concat(changes...))
	switch w.r.IntN(40) {
	case 0:
		w.clear(nil)
	case 1:
		var b engine.Batch
		for range w.r.IntN(5) {
			w.set(w.r, &b, engine.Set, fmt.Appendf(nil, "g%d-%d", w.r.IntN(len(w.lanes)), w.r.IntN(20)))
		}
		w.clear(&b)
	}
	switch w.r.IntN(6) {
	case 0:
		w.snapshot()
	case 1:
		return // nothing is on disk
	default:
		w.j.Maintain()
	}
	if cut.then == nil {
		for key, values := range w.known {
			w.known[key] = values[len(values)-1:]
		}
		for _, s := range w.shards {
			s.synced = len(s.effects)
		}
		w.seen["acknowledged"]++
	}
}

// snapshot makes one, which fails if a write that was begun does, and is tried once more if
// that was for want of room.
func (w *work) snapshot() {
	w.seen["snapshot"]++
	if w.begun == nil {
		if _, err := w.j.Snapshot(false); err != nil {
			w.t.Errorf("snapshot: %v", err)
		}
		return
	}
	w.begun.failed, w.begun.broken = false, false
	_, err := w.j.Snapshot(true)
	switch {
	case err != nil && !w.begun.failed, err == nil && w.begun.broken:
		w.t.Errorf("a snapshot of which a write has failed, %t: %v", w.begun.failed, err)
	case err == nil && w.begun.failed:
		w.seen["snapshot tried again"]++ // there was no room, and segments that waited to be used again
	}
	if err != nil {
		w.seen["snapshot failed"]++
		w.j.Maintain() // it may not have come to the sync of the log
	}
}

// besideSnapshot is what comes between two turns of a snapshot.
func (w *work) besideSnapshot() (leave bool) {
	if r := w.begun.r; r.IntN(3) == 0 {
		g := r.IntN(len(w.lanes))
		w.note(w.batch(r, w.lanes[g], g))
		_, _ = w.lanes[g].Done(w.j.Position())
		w.seen["batch beside a snapshot"]++
	}
	return w.begun.r.IntN(2) == 0
}

// change is what a key has become.
type change struct {
	key, value string
	shard      int
	seq        uint64
}

// note notes what several goroutines have done, each on keys of its own.
func (l *life) note(changes []change) {
	for _, c := range changes {
		l.become(c.key, c.value)
	}
	slices.SortFunc(changes, func(a, b change) int { return cmp.Compare(a.seq, b.seq) })
	for _, c := range changes {
		l.shards[c.shard].effects = append(l.shards[c.shard].effects, c)
	}
}

func (l *life) become(key, value string) {
	if l.known[key] == nil {
		l.known[key] = []string{""}
	}
	l.known[key] = append(l.known[key], value)
}

// clear is a CLEAR, or, with a batch, a CLEAR_SET.
func (w *work) clear(b *engine.Batch) {
	lane := w.lanes[0]
	lane.Begin()
	defer lane.End()
	to := lane.Records()
	if b == nil {
		_, seqs := w.s.ClearRecorded(nil)
		*to = journal.AppendClear(*to, seqs)
	} else {
		_, seqs := w.s.ClearSet(b, nil)
		*to = journal.AppendClearSet(*to, seqs, b.NumEffects())
		w.seen["clear and set"]++
	}
	for key := range w.known {
		w.become(key, "")
	}
	for _, s := range w.shards {
		s.effects = append(s.effects, change{})
	}
	if b != nil {
		w.note(w.log(b, to))
	}
}

// set adds an operation with a value that nothing else has.
func (w *work) set(r *rand.Rand, b *engine.Batch, kind engine.Kind, key []byte) {
	most := 60
	if w.begun != nil {
		most = 2000 // they need a snapshot of some units
	}
	value, form := fmt.Appendf(nil, "%x-%0*d", r.Uint64(), r.IntN(most), 0), engine.Form(r.IntN(4))
	if r.IntN(3) == 0 {
		b.AddArgs(kind, key, value, form, engine.Args{Deadline: 1<<46 + r.Int64N(1<<46)})
	} else {
		b.AddForm(kind, key, value, form)
	}
}

// batch executes some operations on keys of goroutine g.
func (w *work) batch(r *rand.Rand, lane *journal.Lane, g int) []change {
	key := func() []byte { return fmt.Appendf(nil, "g%d-%d", g, r.IntN(20)) }
	var b engine.Batch
	for range 1 + r.IntN(6) {
		switch r.IntN(7) {
		case 0:
			b.Add(engine.Remove, key(), nil)
		case 1:
			b.Add(engine.Rename, key(), key())
		case 2:
			w.set(r, &b, engine.Add, key())
		case 3:
			b.AddArgs(engine.Expire, key(), nil, 0, engine.Args{Deadline: 1<<46 + r.Int64N(1<<46)})
		default:
			w.set(r, &b, engine.Set, key())
		}
	}
	lane.Begin()
	defer lane.End()
	w.s.Engine.Apply(&b)
	return w.log(&b, lane.Records())
}

// log appends the effects of a batch.
func (w *work) log(b *engine.Batch, to *[]byte) (changes []change) {
	renamed := -1
	for e := range b.Effects() {
		value := ""
		switch {
		case e.Gone && b.Ops[e.Op].Kind == engine.Rename:
			*to = journal.AppendRename(*to, e.Shard, e.Seq, e.Key)
			renamed = e.Op
		case e.Gone:
			*to = journal.AppendGone(*to, e.Shard, e.Seq, e.Key)
		default:
			if b.Ops[e.Op].Kind == engine.Rename && renamed != e.Op {
				w.t.Error("the old key of a rename comes after the new one")
			}
			*to = journal.AppendSet(*to, e.Shard, e.Seq, e.Key, e.Value, uint8(e.Form), e.Deadline)
			value = text(e.Value, e.Form, e.Deadline)
		}
		changes = append(changes, change{string(e.Key), value, e.Shard, e.Seq})
	}
	return changes
}
