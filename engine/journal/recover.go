package journal

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Sink is what a recovery fills: a store.
type Sink interface {
	// Apply does the changes in order, and keeps nothing of them. It is called from several
	// goroutines at once, no two of which have changes of one key.
	Apply([]Change) error
	// Clear removes all keys.
	Clear()
}

// Report is what a recovery has found.
type Report struct {
	Snapshot     string // the file's name; "": there was none
	SnapshotKeys uint64
	SnapshotTime time.Time // when it was begun
	// Skipped are the faults of newer snapshots, which one before has stood in for.
	Skipped []error

	Segments int
	Groups   int
	Effects  int
	Bytes    int64 // of groups
	Position uint64

	// Cut is set if the log ended in something that was not whole, which is left out: a
	// torn tail, as a crash leaves it, or damage with Options.Truncate.
	Cut *DamageError

	Duration time.Duration
}

// Progress is how far a recovery is.
type Progress struct{ Done, Total int64 } // bytes of files

// bytesAtOnce is how much of a snapshot a Sink is given together, and changesAtOnce how many
// changes of a log: enough for it to put those together that are about one part of it, and
// little enough for a CPU's cache. Ten million keys of 16 bytes with values of 20, CPU seconds of
// a server's start: 3.1 with 64 KiB of a snapshot, 2.7 with 512 KiB, 1 and 2 MiB, 3.6 with 4.
// Six million of a log, millions a second: 4.1 with 512 changes, 4.7 with 2048, 5.2 with 8192,
// 3.9 with 32,768 (one run each).
const (
	bytesAtOnce   = 1 << 20
	changesAtOnce = 8192
)

// recovery is one attempt, from one snapshot on.
type recovery struct {
	fs       FS
	layout   *layout
	truncate bool
	sink     Sink
	done     *atomic.Int64
	report   Report

	synced uint64 // something says that the log was on disk up to there

	end  segmentFile // the segment in which the log ends; number 0: it has none
	left []string    // the segments past a cut
}

// recover reads the newest snapshot that is whole and what follows it.
func (r *recovery) recover() error {
	began := time.Now()
	var skipped []error
	for _, n := range r.layout.snapshots {
		damage, err := r.recoverFrom(n)
		if damage == nil {
			r.report.Skipped, r.report.Duration = skipped, time.Since(began)
			return err
		}
		skipped = append(skipped, damage)
		r.sink.Clear()
		r.report = Report{}
	}
	if len(skipped) > 0 && (len(r.layout.segments) == 0 || r.layout.segments[0].previous != 0) {
		return errors.Join(skipped...)
	}
	if l := r.layout; len(l.segments) == 0 {
		// A server has a segment before it makes anything else.
		if i := slices.IndexFunc(l.unused, isTemporary); i >= 0 {
			return &DamageError{Name: l.unused[i], What: "the directory is a copy that was not ended"}
		}
	}
	err := r.replay(nil, 0)
	r.report.Skipped, r.report.Duration = skipped, time.Since(began)
	return err
}

// recoverFrom begins with the snapshot n. If that is damaged, the one before may stand in.
func (r *recovery) recoverFrom(n uint64) (damage *DamageError, err error) {
	name := snapshotName(n)
	from, err := openSnapshot(r.fs, name)
	if errors.As(err, &damage) {
		return damage, nil
	} else if err != nil {
		return nil, err
	}
	defer from.Close()
	h := &from.header
	if h.segment != n {
		return &DamageError{Name: name, What: "the header of a snapshot is that of another"}, nil
	}
	end, err := from.end()
	if err == nil {
		err = r.load(from, end.keys)
	}
	if errors.As(err, &damage) {
		return damage, nil
	} else if err != nil {
		return nil, err
	}
	r.report.Snapshot, r.report.SnapshotKeys = name, end.keys
	r.report.SnapshotTime = time.UnixMilli(h.created)
	r.synced = max(r.synced, end.needs)
	return nil, r.replay(h, end.needs)
}

// load hands the keys of a snapshot on, on as many goroutines as there are CPUs.
func (r *recovery) load(from *snapshotReader, keys uint64) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	type block struct {
		bytes []byte
		at    int64
	}
	blocks := make(chan block, 8)
	// Those that are done with.
	spare := make(chan []byte, cap(blocks)+bytesAtOnce/blockBytes*runtime.GOMAXPROCS(0))
	var got atomic.Uint64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			var changes []Change
			var taken [][]byte // the blocks that these are in
			size := 0
			apply := func() {
				got.Add(uint64(len(changes)))
				if err := r.sink.Apply(changes); err != nil {
					cancel(err)
				}
				clear(changes)
				changes = changes[:0]
				r.done.Add(int64(size))
				for _, b := range taken {
					select {
					case spare <- b:
					default:
					}
				}
				clear(taken)
				taken, size = taken[:0], 0
			}
			for b := range blocks {
				for body := b.bytes[blockHeaderBytes:]; len(body) > 0; {
					c, n, ok := readSnapshotKey(body)
					if !ok {
						cancel(from.damage(b.at, "a key of a snapshot is damaged"))
						break
					}
					changes = append(changes, c)
					body = body[n:]
				}
				taken = append(taken, b.bytes)
				if size += len(b.bytes); size >= bytesAtOnce {
					apply()
				}
			}
			apply()
		})
	}
	err := from.eachBlock(spare, func(b []byte, at int64) error {
		select {
		case blocks <- block{b, at}:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	close(blocks)
	workers.Wait()
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err == nil && got.Load() != keys {
		err = from.damage(from.size, fmt.Sprintf("a snapshot of %d keys has %d", keys, got.Load()))
	}
	return err
}

// replay does what the log says from the snapshot of a header on, or from its beginning.
// The log must reach the position needs.
func (r *recovery) replay(from *snapshotHeader, needs uint64) error {
	list := r.layout.segments
	if from != nil {
		for len(list) > 0 && list[0].number < from.segment {
			list = list[1:]
		}
		if len(list) == 0 || list[0].number != from.segment || list[0].begin != from.position || list[0].run != from.run {
			return &DamageError{Name: segmentName(from.segment), What: "the segment that a snapshot goes on with is missing, or another"}
		}
	} else if len(list) == 0 {
		return nil
	} else if list[0].previous != 0 {
		return &DamageError{Name: segmentName(list[0].previous), What: "the segment that the log goes on from is missing, and there is no snapshot"}
	}
	if list[0].headless { // it was synced before its second group, and before its snapshot
		return &DamageError{Name: list[0].name, What: "the header of a segment that has groups is damaged"}
	}

	out := newApplier(r.sink)
	o := newOrder(out.change, out.clear)
	err := r.segments(list, o, out, from, needs)
	if err == nil {
		if faulty := o.end(); faulty != nil {
			err = &DamageError{Name: r.end.name, Offset: int64(r.report.Position - r.end.begin + segmentHeaderBytes), What: faulty.Error()}
		}
	}
	out.close()
	if fault := out.err(); fault != nil {
		err = fault
	}
	r.report.Effects = out.count
	return err
}

// segments reads the groups of all segments in order.
func (r *recovery) segments(list []segmentFile, o *order, out *applier, from *snapshotHeader, needs uint64) error {
	ahead := readAhead(r.fs, list)
	defer ahead.stop()
	position := list[0].begin
	for i := range list {
		s := &list[i]
		b, err := ahead.next()
		if err != nil {
			return err
		}
		if s.headless {
			return r.hole(list, i, b, 0, position, needs)
		}
		if i == 0 || s.run != list[i-1].run {
			out.settle()
		}
		if i > 0 && s.run != list[i-1].run {
			needs = 0 // whoever began this run has judged where the one before it ends
		}
		switch {
		case i > 0 && s.run == list[i-1].run:
		case i == 0 && from != nil:
			if err = o.begin(s.shards); err == nil {
				err = o.start(from.seqs)
			}
		default:
			err = o.begin(s.shards)
		}
		if err != nil {
			return &DamageError{Name: s.name, What: err.Error()}
		}
		r.end = *s
		r.synced = max(r.synced, s.synced)
		r.report.Segments++
		position = s.next(position)
		r.report.Position = position
		limit, isLast := uint64(0), i == len(list)-1
		if !isLast {
			limit = list[i+1].begin
		}
		for isLast || position < limit {
			at := int(position - s.begin + segmentHeaderBytes)
			g, ok := readGroup(b[min(at, len(b)):], s.number, position)
			if !ok {
				return r.hole(list, i, b, at, position, needs)
			}
			if err := o.group(g.body); err != nil {
				return &DamageError{Name: s.name, Offset: int64(at), What: err.Error()}
			}
			if err := out.err(); err != nil {
				return err // such as that the server is to stop: there may be gigabytes left
			}
			r.synced = max(r.synced, g.synced)
			position = s.next(position + uint64(g.bytes))
			r.report.Groups++
			r.report.Bytes += int64(g.bytes)
			r.report.Position = position
			r.done.Add(int64(g.bytes))
		}
		if position != limit || list[i+1].previous != s.number {
			return r.hole(list, i, b, int(position-s.begin+segmentHeaderBytes), position, needs)
		}
	}
	return nil
}

// hole decides what a place without a valid group is: the end of the log, a torn tail, or
// damage.
func (r *recovery) hole(list []segmentFile, i int, b []byte, at int, position, needs uint64) error {
	h, err := look(r.fs, list, i, b, at, position)
	if err != nil {
		return err
	}
	r.report.Position = position
	if needs > position {
		h.vouched = true
	}
	switch {
	case h.vouched && !r.truncate:
		return h.damage("the log is damaged")
	case h.vouched:
		r.report.Cut = h.damage("the log was damaged, and is truncated")
	case h.groups > 0 && list[i].block > 0:
		r.report.Cut = h.damage("the log's last groups were being written when the server, or the machine, stopped, and not all of them are whole")
	case h.torn || h.groups > 0:
		r.report.Cut = h.damage("the log's last group was not whole: what was being written when the server, or the machine, stopped")
	}
	if !list[i].headless {
		i++ // the log ends in it
	}
	for _, s := range list[i:] {
		r.left = append(r.left, s.name)
	}
	return nil
}

// applier hands changes on to a sink, several at once, on goroutines of its own: while a
// store takes them, the next ones are read. Each goroutine has some of the shards, so the
// changes of a shard stay in order.
type applier struct {
	sink    Sink
	pending [][]Change // by goroutine
	work    []chan []Change
	spare   chan []Change
	count   int

	running sync.WaitGroup // the goroutines
	todo    sync.WaitGroup // what they have not done yet
	failed  atomic.Pointer[error]
}

func newApplier(sink Sink) *applier {
	n := runtime.GOMAXPROCS(0)
	a := &applier{sink: sink, pending: make([][]Change, n), work: make([]chan []Change, n), spare: make(chan []Change, 8*n)}
	for i := range a.work {
		a.pending[i] = make([]Change, 0, changesAtOnce)
		a.work[i] = make(chan []Change, 4)
		a.running.Go(func() { a.run(a.work[i]) })
	}
	return a
}

func (a *applier) run(work <-chan []Change) {
	for changes := range work {
		if a.failed.Load() == nil {
			if err := a.sink.Apply(changes); err != nil {
				a.failed.CompareAndSwap(nil, &err)
			}
		}
		clear(changes)
		select {
		case a.spare <- changes[:0]:
		default:
		}
		a.todo.Done()
	}
}

func (a *applier) change(shard int, c Change) {
	i := shard % len(a.pending)
	a.pending[i] = append(a.pending[i], c)
	if len(a.pending[i]) == changesAtOnce {
		a.flush(i)
	}
}

func (a *applier) clear() {
	a.settle()
	a.sink.Clear()
}

// settle returns when the sink has all changes. It comes before what concerns keys of more
// than one shard: a clear, or a run, whose shards are others.
func (a *applier) settle() {
	for i := range a.pending {
		a.flush(i)
	}
	a.todo.Wait()
}

func (a *applier) flush(i int) {
	if len(a.pending[i]) == 0 {
		return
	}
	a.count += len(a.pending[i])
	a.todo.Add(1)
	a.work[i] <- a.pending[i]
	select {
	case a.pending[i] = <-a.spare:
	default:
		a.pending[i] = make([]Change, 0, changesAtOnce)
	}
}

func (a *applier) close() {
	a.settle()
	for _, work := range a.work {
		close(work)
	}
	a.running.Wait()
}

// err returns what the sink has failed with, or nil.
func (a *applier) err() error {
	if err := a.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// ahead reads files while those before them are being used.
type ahead struct {
	files chan fileOrError
	quit  chan struct{}
}

type fileOrError struct {
	b   []byte
	err error
}

func readAhead(fs FS, list []segmentFile) *ahead {
	a := &ahead{make(chan fileOrError), make(chan struct{})}
	go func() {
		defer close(a.files)
		for i := range list {
			b, err := readFile(fs, list[i].name)
			select {
			case a.files <- fileOrError{b, err}:
			case <-a.quit:
				return
			}
		}
	}()
	return a
}

func (a *ahead) next() ([]byte, error) {
	f := <-a.files
	return f.b, f.err
}

func (a *ahead) stop() {
	close(a.quit)
	for range a.files { // until the goroutine has ended
	}
}
