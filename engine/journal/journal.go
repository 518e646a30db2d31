package journal

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Mode is when what has been written is synced, and so what a power cut may take.
type Mode uint8

// The modes. A process that is killed loses nothing acknowledged in any of them.
const (
	EverySec Mode = iota // each second, in the background: a power cut takes a second, and as long as a sync takes
	Always               // before it is acknowledged: a power cut takes nothing
	No                   // when the system likes, or when the segment is left
)

var modeNames = [...]string{"everysec", "always", "no"}

func (m Mode) String() string {
	if int(m) < len(modeNames) {
		return modeNames[m]
	}
	return fmt.Sprintf("Mode(%d)", m)
}

// ParseMode returns the mode of a name.
func ParseMode(name string) (Mode, bool) {
	for m, n := range modeNames {
		if n == name {
			return Mode(m), true
		}
	}
	return 0, false
}

// Defaults of Options.
const (
	// DefaultSegmentBytes is what a spare segment takes, and what one read at a recovery
	// needs of memory. Not yet measured beside others.
	DefaultSegmentBytes = 32 << 20
	// DefaultGroupBytes bounds how long a loop gathers. It is more than what a wake-up mostly
	// brings, so that there is one write for it. 1 M keys, 32 clients, SETs of 10 keys, 16 at a
	// time, and of 100, 4 at a time, CPU a key by that without a journal: 1.12 to 1.17 and 1.16
	// to 1.25 with 64 KiB, 1.11 and 1.11 to 1.17 with 256, 1.06 to 1.10 and 1.14 with 512, the
	// same with 1024; with 16 a quarter of the throughput was lost. What is gathered is read
	// twice soon after, for the sum and the write, and should stay in a CPU's own cache.
	DefaultGroupBytes = 512 << 10
	// DefaultSnapshotBytes is what the log may hold, or as much as the last snapshot, before
	// there is a new one.
	DefaultSnapshotBytes = 64 << 20
)

// Options configure a Journal. The zero value means the defaults.
type Options struct {
	Mode          Mode
	SegmentBytes  int64
	GroupBytes    int
	SnapshotBytes int64

	// Truncate has Recover cut a damaged log where the damage is.
	Truncate bool
	// ReadOnly is for looking at a directory: there is no Start.
	ReadOnly bool
	// AddProcessors allows what waits for the disk to have more processors of Go's scheduler
	// meanwhile: a second one where there is one, and with Always, where several groups are
	// written at once, three more than there are. It is for programs that leave GOMAXPROCS to Go
	// or to its environment variable: that is where it is set back to. While there are more,
	// their number doesn't follow the container's quota.
	AddProcessors bool
	// Manual starts no goroutine: Maintain is called instead, by a test.
	Manual bool
	// Log takes what an operator should know: a text, and names and values in turn. nil
	// drops it. It may be called from any goroutine.
	Log func(isError bool, text string, args ...any)
}

func (o Options) withDefaults() Options {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = DefaultSegmentBytes
	}
	if o.GroupBytes == 0 {
		o.GroupBytes = DefaultGroupBytes
	}
	if o.SnapshotBytes == 0 {
		o.SnapshotBytes = DefaultSnapshotBytes
	}
	if o.Log == nil {
		o.Log = func(bool, string, ...any) {}
	}
	return o
}

// Source is the store whose effects are logged.
type Source interface {
	// Sequences appends the number of effects that each shard has had.
	Sequences(dst []uint64) []uint64
	// Some calls f with some of the keys and returns where to go on; done says that there
	// are no more. From 0 to the end it meets each key that is there all the time once. f
	// keeps nothing of what it gets, and is quick: it is called with a lock of the store held.
	Some(cursor uint64, f func(*Change)) (next uint64, done bool)
	// Beside calls work, which takes some 20 µs, until it returns false, and lets what else is
	// to be done with the store come in between.
	Beside(work func() (more bool))
}

var (
	// ErrFull says that the disk has no room. Writes are refused meanwhile.
	ErrFull = errors.New("journal: the disk is full")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("journal: closed")
)

// Journal keeps the effects of a store in a directory. Open, Recover, Start and Close are
// called once each, in this order; Close may follow any of them. The other methods may be
// called from any goroutine, after Start.
//
// Lock order: snapshots, then syncing or the writer's making; writer, taking, the lanes' noting and the
// store's after it, durable. A lane's noting is held while it applies a batch and notes its effects,
// and all lanes' while what was noted is taken. So what is taken at a time is closed: of every effect
// in it, those before it in its shard are in it too, or have been taken before.
type Journal struct {
	fs     FS
	opts   Options
	log    func(isError bool, text string, args ...any)
	unlock io.Closer
	layout *layout
	source Source
	done   atomic.Int64 // bytes of files that Recover has read
	total  int64
	keys   uint64

	gathering atomic.Uint64 // the number of the group that is gathered, times 2, + 1 if anything may be in it
	taking    sync.Mutex
	lanes     []*Lane // taking

	writer
	durable     durable
	syncing     sync.Mutex
	written     atomic.Uint64             // the last group that is written
	syncedGroup atomic.Uint64             // … and on disk
	synced      atomic.Uint64             // the position up to which the log is
	syncBegan   atomic.Pointer[time.Time] // when the last sync has
	syncedSince atomic.Pointer[time.Time] // all that was written before is on disk

	refusing atomic.Pointer[refusal]
	failure  atomic.Pointer[error]
	failed   chan struct{} // closed with failure

	snapshots snapshots
	counts    counts

	wake       chan struct{} // the syncer of Always, or of No
	wakeKeeper chan struct{}
	quit       chan struct{}
	background sync.WaitGroup
	// removeProcessors undo what Always has added
	removeProcessors []func()
	otherWriters     sync.Once
	closed           atomic.Bool
}

// refusal is why writes are refused.
type refusal struct {
	why    string
	noRoom bool // the disk is full, as far as is known
}

// Open locks a directory and looks at what is in it.
func Open(fs FS, opts Options) (*Journal, error) {
	opts = opts.withDefaults()
	unlock, err := fs.Lock(opts.ReadOnly)
	if err != nil {
		return nil, err
	}
	j := &Journal{
		fs: fs, opts: opts, log: opts.Log, unlock: unlock,
		failed: make(chan struct{}), quit: make(chan struct{}),
		wake: make(chan struct{}, durableWriters), wakeKeeper: make(chan struct{}, 1),
	}
	j.gathering.Store(1 << 1)
	j.writer.measureLocked() // nobody else has it yet
	if j.layout, err = scan(fs); err != nil {
		_ = unlock.Close()
		return nil, err
	}
	for _, s := range j.layout.segments {
		if len(j.layout.snapshots) == 0 || s.number >= j.layout.snapshots[0] {
			j.total += s.size
		}
	}
	j.keys = j.findKeys()
	return j, nil
}

// findKeys returns how many keys the newest snapshot has, as far as it can be known without
// reading it.
func (j *Journal) findKeys() (keys uint64) {
	for _, n := range j.layout.snapshots {
		if r, err := openSnapshot(j.fs, snapshotName(n)); err == nil {
			end, err := r.end()
			_ = r.Close()
			if err == nil {
				j.total += r.size // it is what Recover begins with
				return end.keys
			}
		}
	}
	return 0
}

// Keys returns how many keys the snapshot has that Recover begins with, for a store that is
// made to size.
func (j *Journal) Keys() uint64 { return j.keys }

// Progress returns how far Recover is.
func (j *Journal) Progress() Progress {
	return Progress{Done: min(j.done.Load(), j.total), Total: j.total}
}

// Mode returns the journal's mode.
func (j *Journal) Mode() Mode { return j.opts.Mode }

// Recover fills a store with what is in the directory. It changes nothing there.
func (j *Journal) Recover(sink Sink) (Report, error) {
	r := recovery{fs: j.fs, layout: j.layout, truncate: j.opts.Truncate, sink: sink, done: &j.done}
	err := r.recover()
	if err == nil {
		j.snapshots.continueFrom(&r)
		j.writer.continueFrom(&r, j.snapshots.previous)
		j.counts.recovery = r.report.Duration
	}
	return r.report, err
}

// Start begins a run: source's effects, from the next one on, can be logged. If there is no
// room for that on the disk, it is no error: writes are refused until there is.
func (j *Journal) Start(source Source) error {
	j.source = source
	w := &j.writer
	w.making.Lock()
	w.had = source.Sequences(nil)
	err := j.begin()
	w.making.Unlock()
	switch {
	case isFull(err):
		j.log(true, "no room for the journal: writes are refused until there is", "error", err)
		w.Lock()
		j.updateRefusingLocked()
		w.Unlock()
	case err != nil:
		return err
	}
	if j.opts.Manual {
		return nil
	}
	switch j.opts.Mode {
	case Always:
		j.startWriters()
	case EverySec:
		j.background.Go(j.syncEverySec)
	case No:
		j.background.Go(j.syncLeft)
	}
	j.background.Go(j.keep) // last: it starts other writers when the run begins later
	return nil
}

// startWriters starts what writes and syncs with Always: one goroutine, and more when the run has
// begun where several can write at once.
func (j *Journal) startWriters() {
	j.removeProcessors = append(j.removeProcessors, j.addProcessor())
	j.background.Go(j.syncAlways)
	if j.durable.on.Load() {
		j.startOtherWriters()
	}
}

func (j *Journal) startOtherWriters() {
	j.otherWriters.Do(func() { // a run whose first group found no room begins once more
		j.removeProcessors = append(j.removeProcessors, j.addProcessors(processorsOfWriters))
		for range durableWriters - 1 {
			j.background.Go(j.syncAlways)
		}
	})
}

// Position returns the group after which an answer may leave that is made of what the store
// has been until now.
func (j *Journal) Position() uint64 {
	now := j.gathering.Load()
	return now>>1 - (now&1 ^ 1)
}

// Kept returns the position up to which answers may leave: of the last group that is as safe
// as the mode has it.
func (j *Journal) Kept() uint64 {
	if j.opts.Mode == Always {
		return j.syncedGroup.Load()
	}
	return j.written.Load()
}

// advance has a group written: at once, or by the goroutine that syncs.
func (j *Journal) advance(position uint64) error {
	if j.opts.Mode != Always {
		return j.flush(position)
	}
	if j.opts.Manual && j.durable.on.Load() {
		return j.take(position) // so that Maintain has several to write
	}
	wakeUp(j.wake)
	return nil
}

// flush writes what is gathered, unless the group at position has been written.
func (j *Journal) flush(position uint64) error {
	if !j.durable.on.Load() {
		return j.take(position)
	}
	for j.writeOne() { // all that was taken must be under way before it is waited for
	}
	j.waitForRoom()
	err := j.take(position)
	for j.writeOne() {
	}
	wakeUp(j.wake) // others may wait for it
	return err
}

// take has a group written, or, where several are at once, has it be the next to be.
func (j *Journal) take(position uint64) error {
	if j.written.Load() >= position {
		return nil
	}
	lockSoon(&j.writer.Mutex)
	defer j.writer.Unlock()
	if j.written.Load() >= position {
		return nil
	}
	return j.takeLocked(nil)
}

// takeLocked takes what all lanes have noted and writes it as one group. If seqs isn't nil,
// it appends the sequences up to which the effects have been taken.
func (j *Journal) takeLocked(seqs *[]uint64) error {
	if err := j.Err(); err != nil {
		return err
	}
	if j.stuck != nil || j.durable.isFull() {
		return ErrFull
	}
	number := j.takeNotedLocked(seqs)
	taken := j.taken
	if len(taken) == 0 {
		j.written.Store(number)
		if j.durable.on.Load() {
			j.publishNothing(number)
		}
		return nil
	}
	group := taken[0].spare
	for _, l := range taken[1:] {
		group = append(group, l.spare[groupHeaderBytes:]...)
	}
	taken[0].spare = group
	err := j.writeLocked(group, number)
	for _, l := range taken {
		l.spare = l.spare[:0]
		if cap(l.spare) > maxKeptRecords {
			l.spare = nil
		}
	}
	return err
}

// maxKeptRecords is the memory that a lane keeps for its next records.
const maxKeptRecords = 1 << 20

// notify tells the lanes that wait what has been done.
func (j *Journal) notify() {
	upTo, err := j.Kept(), j.Err()
	lockSoon(&j.taking)
	lanes := j.lanes
	j.taking.Unlock()
	for _, l := range lanes {
		waits := l.waits.Load()
		if waits == 0 && err == nil {
			continue
		}
		l.release(upTo, err)
		if upTo >= waits {
			l.waits.CompareAndSwap(waits, 0)
		}
	}
}

// Refuses reports whether what may change the store must not be done, and why.
func (j *Journal) Refuses() (why string, refuses bool) {
	if r := j.refusing.Load(); r != nil {
		return r.why, true
	}
	return "", false
}

// Failed is closed when something was lost that can't be written again: nothing that waits
// may be answered, and the process should end. Err then says what.
func (j *Journal) Failed() <-chan struct{} { return j.failed }

// Err returns why the journal has failed, or ErrClosed, or nil.
func (j *Journal) Err() error {
	if p := j.failure.Load(); p != nil {
		return *p
	}
	return nil
}

// fail is the end of the journal. A failed write or sync is never tried again: the system
// may have dropped what it could not write, and say that all is well the next time.
func (j *Journal) fail(what string, err error) error {
	err = fmt.Errorf("journal: can't %s: %w", what, err)
	if j.failure.CompareAndSwap(nil, &err) {
		j.refusing.Store(&refusal{why: "the journal has failed"})
		j.counts.errors.Add(1)
		close(j.failed)
		j.log(true, "the journal has failed: nothing more is acknowledged", "error", err)
		go j.notify() // not here: the writer's lock may be held, and those of who is released
	}
	return j.Err()
}

func wakeUp(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Close writes and syncs what has been noted, and lets the directory go. It waits for the disk,
// however long that takes; Stats, which may be called meanwhile, tells whether it does anything.
func (j *Journal) Close() error {
	if j.closed.Swap(true) {
		return ErrClosed
	}
	close(j.quit)
	j.background.Wait()
	for _, remove := range j.removeProcessors {
		remove()
	}
	j.snapshots.making.Lock() // one that was under way has given up
	defer j.snapshots.making.Unlock()
	var err error
	if j.current != nil {
		if err = j.flush(j.Position()); err == nil {
			err = j.Sync()
		}
		j.notify()
	}
	err = errors.Join(err, j.closeFiles())
	j.failure.CompareAndSwap(nil, &ErrClosed)
	return errors.Join(err, j.unlock.Close())
}

// seconds is for logs.
func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }
