package netio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"

	"keyframe/engine"
	"keyframe/engine/journal"
)

// This file is the disk of a simulated server that has a journal, and what becomes of it when
// the process is killed or the power goes. Then there is a new server with what is left, in the
// same life, and the store must be as it was after some batch: after one from which on no
// client has been told anything, and nothing was synced.

// simBlock is what a power cut takes or leaves as a whole.
const simBlock = 512

// simDisk is a directory. What nothing has synced is lost at a power cut, or not, as the seed
// has it: of a file's blocks any, of the changes of the directory those after some moment.
type simDisk struct {
	s     *sim
	opts  journal.Options
	log   *journal.Journal
	files map[string]*simFile
	safe  map[string]*simFile // as the directory was when it was synced
	moves []simMove           // what has been done to it since
	boot  uint64
	block int // of durable writes; 0: there are none

	// What the server has done since its start, as the model has it.
	notes     []simNote
	batch     int
	last      map[string]int // notes up to the last one of a key
	lastClear int            // and of all keys
	told      int            // notes up to the last one that a client may know of
	synced    int            // and those that no power cut can undo
}

// simFile is a file. dirty are the blocks that have been written and not synced.
type simFile struct {
	data, safe []byte
	dirty      map[int]bool
}

// simMove is a change of the directory: a name is gone, or has a file, or both.
type simMove struct {
	gone, name string
	f          *simFile
}

func (m simMove) in(names map[string]*simFile) {
	delete(names, m.gone)
	if m.f != nil {
		names[m.name] = m.f
	}
}

// simNote is what a key was before a batch of that number has changed it, in that group.
type simNote struct {
	key   string
	was   simValue
	there bool
	batch int
	group uint64
}

func newSimDisk(s *sim) *simDisk {
	r := s.rng
	return &simDisk{
		s: s, boot: 1, files: map[string]*simFile{}, safe: map[string]*simFile{}, last: map[string]int{},
		opts: journal.Options{
			Mode: journal.Mode(r.IntN(3)), SegmentBytes: 8 << 10 << r.IntN(6), GroupBytes: 100 << r.IntN(8), Manual: true,
		},
		block: r.IntN(2) * simBlock,
	}
}

// begin is before what a crash undoes as a whole.
func (d *simDisk) begin() {
	if d != nil {
		d.batch++
	}
}

// note remembers what keys are before they are changed.
func (d *simDisk) note(keys ...string) {
	if d == nil {
		return
	}
	for _, key := range keys {
		was, there := d.s.model[key]
		d.notes = append(d.notes, simNote{key, was, there, d.batch, d.log.Position()})
		d.last[key] = len(d.notes)
	}
}

// seen is up to which note a client knows of that gets an element's answer.
func (d *simDisk) seen(e *simElement) int {
	n := max(d.last[e.key.key], d.lastClear)
	if e.to != nil {
		n = max(n, d.last[e.to.key])
	}
	return n
}

// tell is called when a client has got an answer that tells of as many notes: what it knows of must
// be as safe as the mode has it.
func (d *simDisk) tell(c *simClient, notes int) {
	if notes <= d.told {
		return
	}
	if group, kept := d.notes[notes-1].group, d.log.Kept(); group > kept {
		d.s.fatalf("client %d: it knows of what is in group %d, and they are safe up to %d", c.id, group, kept)
	}
	d.told = notes
}

// open opens the journal of a server that is about to start.
func (d *simDisk) open() *journal.Journal {
	var err error
	if d.log, err = journal.Open(d, d.opts); err != nil {
		d.s.fatalf("%v", err)
	}
	return d.log
}

// recover has the server load what is on the disk. It does that on as many goroutines as there
// are processors, in any order, and a seed would not repeat what follows from that.
func (d *simDisk) recover() {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	if _, err := d.s.srv.Load(context.Background()); err != nil {
		d.s.fatalf("the store can't be loaded: %v", err)
	}
}

// sync is what goes on in the background of a server.
func (d *simDisk) sync() {
	n := len(d.notes)
	d.log.Maintain()
	d.synced = n
}

// snapshot makes one. Other things happen whenever a part of it is written.
func (d *simDisk) snapshot() {
	s := d.s
	s.reach("a snapshot")
	s.snapshots++
	n := len(d.notes)
	_, err := d.log.Snapshot(false)
	s.snapshots--
	if d != s.disk {
		s.reach("a crash in the middle of a snapshot")
		return
	}
	if err != nil {
		s.fatalf("a snapshot: %v", err)
	}
	d.synced = max(d.synced, n)
}

// happens is called at each operation of the disk. The server may crash there, where nothing
// of it has to go on; and other things may happen where only the snapshot's own lock is held.
func (d *simDisk) happens(name string) {
	s := d.s
	inSnapshot := strings.HasPrefix(name, "snapshot-")
	for inSnapshot && d == s.disk && s.rng.IntN(3) > 0 {
		s.between()
	}
	if d == s.disk && s.crashes && s.serving == nil && (s.rng.IntN(300) == 0 || inSnapshot && s.rng.IntN(30) == 0) {
		s.reach("a crash in an operation of the disk")
		d.crash()
	}
}

// exposed calls f, in which the server may crash.
func (s *sim) exposed(f func()) {
	was := s.crashes
	s.crashes = true
	f()
	s.crashes = was
}

// crash ends the server, and starts one with what is on the disk then.
func (d *simDisk) crash() {
	s := d.s
	s.crashes = false
	for _, c := range s.clients {
		s.read(c, c.sock.buf.len()) // what has left the server reaches its client
	}
	power := s.rng.IntN(2) == 0
	least := d.told
	s.reach("a crash")
	if power {
		s.reach("a power cut")
		if d.opts.Mode != journal.Always {
			least = 0
		}
		least = max(least, d.synced)
	}
	s.trace("the server crashes, power cut %v", power)
	for _, c := range s.clients {
		s.spare.leave(c)
	}
	s.clients, s.walks, s.compacting = nil, nil, false // cursors are another store's
	d.restart(power, least)
}

// restart has a server start with what a crash leaves, and checks that at least so many notes are
// of what its store has.
func (d *simDisk) restart(power bool, least int) {
	s := d.s
	s.left = append(s.left, s.engine)
	s.disk = d.after(power)
	s.start()
	s.disk.undo(d.notes, least)
}

// stop closes the journal, and has a server start once more: then all is there.
func (d *simDisk) stop() {
	if err := d.log.Close(); err != nil {
		d.s.fatalf("the journal's end: %v", err)
	}
	d.restart(true, len(d.notes))
}

// undo takes the model back to what the store has after a recovery: to the state after some
// batch, with least notes or more.
func (d *simDisk) undo(notes []simNote, least int) {
	s, now := d.s, d.s.now.UnixMilli()
	stored := make(map[string]simValue)
	s.engine.Each(func(key, value []byte, form engine.Form, deadline int64) bool {
		stored[string(key)] = simValue{textOf(value, form), deadline}
		return true
	})
	differs := func(key string) bool {
		is, there := stored[key]
		want, wanted := s.model[key]
		there, wanted = there && !is.isDead(now), wanted && !want.isDead(now)
		return there != wanted || there && (asKept(is.text) != asKept(want.text) || is.deadline != want.deadline)
	}
	different := make(map[string]bool)
	look := func(key string) {
		if differs(key) {
			different[key] = true
		} else {
			delete(different, key)
		}
	}
	for key := range s.model {
		look(key)
	}
	for key := range stored {
		look(key)
	}
	n := len(notes)
	for len(different) > 0 || n > 0 && n < len(notes) && notes[n-1].batch == notes[n].batch {
		if n == least {
			s.fatalf("after a crash the store is as it never was with %d effects or more, of %d: %s", least, len(notes), d.show(different, stored))
		}
		n--
		if note := &notes[n]; note.there {
			s.model[note.key] = note.was
		} else {
			delete(s.model, note.key)
		}
		look(notes[n].key)
	}
	for key, v := range stored { // what is dead, and was known to be, is there again until it is swept
		if _, ok := s.model[key]; !ok {
			s.model[key] = v
		}
	}
	if n < len(notes) {
		s.reach("a crash that undoes something")
	} else {
		s.reach("a crash that undoes nothing")
	}
	s.trace("%d effects of %d are there", n, len(notes))
}

// show is for a failure: some keys with what they should be, and what they are.
func (d *simDisk) show(keys map[string]bool, stored map[string]simValue) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d keys differ from the state before them", len(keys))
	for i, key := range slices.Sorted(maps.Keys(keys)) {
		if i == 5 {
			break
		}
		fmt.Fprintf(&b, "\n%q is %.60v, want %.60v", key, stored[key], d.s.model[key])
	}
	return b.String()
}

// after is the disk that a crash leaves. What has been written is there if only the process was
// killed, and is as safe as before.
func (d *simDisk) after(power bool) *simDisk {
	to := newSimDisk(d.s)
	if d.s.rng.IntN(2) == 0 {
		to.opts.Mode = d.opts.Mode
	}
	to.boot = d.boot
	if power {
		to.boot++
		for _, m := range d.moves[:d.s.rng.IntN(len(d.moves)+1)] {
			m.in(d.safe)
		}
		for _, name := range slices.Sorted(maps.Keys(d.safe)) {
			data := d.safe[name].lose(d.s.rng)
			f := &simFile{data: data, safe: slices.Clone(data), dirty: map[int]bool{}}
			to.files[name], to.safe[name] = f, f
		}
		return to
	}
	copies := make(map[*simFile]*simFile) // what was begun before the crash may still write into the old ones
	copyOf := func(f *simFile) *simFile {
		if copies[f] == nil && f != nil {
			copies[f] = &simFile{data: slices.Clone(f.data), safe: slices.Clone(f.safe), dirty: maps.Clone(f.dirty)}
		}
		return copies[f]
	}
	for name, f := range d.files {
		to.files[name] = copyOf(f)
	}
	for name, f := range d.safe {
		to.safe[name] = copyOf(f)
	}
	for _, m := range d.moves {
		to.moves = append(to.moves, simMove{m.gone, m.name, copyOf(m.f)})
	}
	return to
}

// lose returns what a power cut leaves of a file.
func (f *simFile) lose(r *rand.Rand) []byte {
	data := slices.Clone(f.safe)
	if n := len(f.data) - len(data); n > 0 && r.IntN(2) == 0 {
		data = append(data, make([]byte, n)...)
	}
	for _, block := range slices.Sorted(maps.Keys(f.dirty)) {
		if from := block * simBlock; r.IntN(2) == 0 && from < len(data) {
			copy(data[from:], f.data[from:min(from+simBlock, len(f.data))])
		}
	}
	return data
}

func (d *simDisk) move(m simMove) {
	d.moves = append(d.moves, m)
	m.in(d.files)
}

func (d *simDisk) Create(name string) (journal.File, error) {
	d.happens(name)
	d.move(simMove{name: name, f: &simFile{dirty: map[int]bool{}}})
	return d.Open(name)
}

func (d *simDisk) Open(name string) (journal.File, error) {
	f := d.files[name]
	if f == nil {
		return nil, fmt.Errorf("%s: %w", name, os.ErrNotExist)
	}
	return &simHandle{d, name, f}, nil
}

func (d *simDisk) Reuse(name string) (journal.File, error) { return d.Open(name) }

func (d *simDisk) Durable(name string) (journal.DurableFile, int, error) {
	if d.block == 0 {
		return nil, 0, errors.ErrUnsupported
	}
	f, err := d.Open(name)
	if err != nil {
		return nil, 0, err
	}
	return f.(*simHandle), d.block, nil
}

func (d *simDisk) Rename(from, to string) error {
	f := d.files[from]
	if f == nil {
		return os.ErrNotExist
	}
	d.move(simMove{from, to, f})
	d.happens(to)
	return nil
}

func (d *simDisk) Remove(name string) error {
	if d.files[name] == nil {
		return os.ErrNotExist
	}
	d.move(simMove{gone: name})
	d.happens(name)
	return nil
}

func (d *simDisk) List() ([]string, error) { return slices.Sorted(maps.Keys(d.files)), nil }

func (d *simDisk) SyncDir() error {
	d.happens("")
	d.safe, d.moves = maps.Clone(d.files), nil
	return nil
}

func (d *simDisk) Lock(bool) (io.Closer, error) { return io.NopCloser(nil), nil }
func (d *simDisk) BootID() uint64               { return d.boot }

// simHandle is an open file.
type simHandle struct {
	d    *simDisk
	name string
	*simFile
}

func (h *simHandle) ReadAt(p []byte, at int64) (int, error) {
	n := copy(p, h.data[min(at, int64(len(h.data))):])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *simHandle) WriteAt(p []byte, at int64) (int, error) {
	if n := h.d.s.rng.IntN(len(p) + 1); n > 0 {
		h.put(p[:n], at) // a crash may leave a part of it
	}
	h.d.happens(h.name)
	h.put(p, at)
	return len(p), nil
}

// WriteDurable has the server crash before it, in it, or when it is on disk.
func (h *simHandle) WriteDurable(p []byte, at int64) (int, error) {
	n, err := h.WriteAt(p, at)
	if err != nil {
		return n, err
	}
	h.d.s.reach("a write that is on disk when it ends")
	h.keep(func(block int) bool { return block*simBlock >= int(at) && block*simBlock < int(at)+len(p) })
	h.d.happens(h.name)
	return n, nil
}

func (f *simFile) put(p []byte, at int64) {
	f.grow(at + int64(len(p)))
	copy(f.data[at:], p)
	for block := int(at) / simBlock; block*simBlock < int(at)+len(p); block++ {
		f.dirty[block] = true
	}
}

func (f *simFile) grow(size int64) {
	if n := int(size) - len(f.data); n > 0 {
		f.data = append(f.data, make([]byte, n)...)
	}
}

func (h *simHandle) Size() (int64, error) { return int64(len(h.data)), nil }

func (h *simHandle) Reserve(size int64, _ bool) error {
	h.grow(size)
	return nil
}

func (h *simHandle) StartSync(_, _ int64) error { return nil }

func (h *simHandle) Sync() error {
	h.d.happens(h.name)
	h.keep(func(int) bool { return true })
	return nil
}

// keep has some of what is dirty be on disk.
func (f *simFile) keep(is func(block int) bool) {
	f.safe = append(f.safe, make([]byte, max(0, len(f.data)-len(f.safe)))...)
	for block := range f.dirty {
		if from := block * simBlock; is(block) {
			copy(f.safe[from:], f.data[from:min(from+simBlock, len(f.data))])
			delete(f.dirty, block)
		}
	}
}

func (h *simHandle) Close() error { return nil }

// simJournal is what a loop with a journal does besides its turns: what waits for no more
// leaves, and the journal's background has its time.
type simJournal struct {
	s    *sim
	loop *simLoop
}

func (c *simJournal) step() {
	s, l := c.s, c.loop.loop
	mayLeave := len(l.holding) > 0 && l.holding[0].position <= l.released
	switch n := s.rng.IntN(100); {
	case mayLeave && (n < 70 || s.quiet):
		s.letGo(l)
	case s.quiet || n < 20: // seldom, so that much is not on disk
		s.disk.sync()
	case n > 96 && s.snapshots == 0:
		s.disk.snapshot()
	}
}

func (c *simJournal) idle() bool { return len(c.loop.loop.holding) == 0 }

func (c *simJournal) String() string {
	l := c.loop.loop
	return fmt.Sprintf("a journal, %v: %d connections wait, released up to %d, position %d, kept %d", c.s.disk.opts.Mode, len(l.holding), l.released, c.s.disk.log.Position(), c.s.disk.log.Kept())
}
