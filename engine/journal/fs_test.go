package journal

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"unsafe"
)

// memFS is a directory in memory, whose operations a test can make fail, or wait.
type memFS struct {
	mu     sync.Mutex
	files  map[string]*memFile
	locked bool
	open   int // files
	boot   uint64
	// before is called before each operation, which fails with what it returns.
	before func(op, name string) error
	// short is called before each write, and returns how much of it is done; then there is
	// no more room.
	short func(name string, n int) int
	// block is what durable writes are multiples of, 0: there are none; and durableFault is
	// what they all come to.
	block        int
	durableFault error
}

// memFile has what was written as the system's cache has it, and what of it is on disk. What
// was being synced when that failed is in the cache only, and no later sync changes that.
type memFile struct {
	mu    sync.Mutex
	data  []byte
	disk  []byte
	dirty [][2]int // from, to
}

// sync has what is dirty on disk, or drops it.
func (f *memFile) sync(fault error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range f.dirty {
		if grow := d[1] - len(f.disk); fault == nil && grow > 0 {
			f.disk = append(f.disk, make([]byte, grow)...)
		}
		if fault == nil {
			copy(f.disk[d[0]:d[1]], f.data[d[0]:])
		}
	}
	f.dirty = nil
	return fault
}

func newMemFS() *memFS { return &memFS{files: make(map[string]*memFile), boot: 1} }

// fsMode is a mode, and the directory that its journal is in.
type fsMode struct {
	Mode
	block int // of durable writes; 0: there are none
}

var everyMode = []fsMode{{EverySec, 0}, {Always, 0}, {Always, 32}, {No, 0}}

func (m fsMode) String() string {
	if m.block > 0 {
		return m.Mode.String() + ", several at once"
	}
	return m.Mode.String()
}

func (m fsMode) newFS() *memFS {
	fs := newMemFS()
	fs.block = m.block
	return fs
}

// copyOf is another directory with the same files, each its own bytes.
func (fs *memFS) copyOf() *memFS {
	to := newMemFS()
	to.boot, to.block = fs.boot, fs.block
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for name, f := range fs.files {
		f.mu.Lock()
		to.files[name] = &memFile{data: slices.Clone(f.data)}
		f.mu.Unlock()
	}
	return to
}

// powerCut is the directory with what is on disk, and all names.
func (fs *memFS) powerCut() *memFS {
	to := fs.copyOf()
	to.boot++
	for name, f := range fs.files {
		clear(to.files[name].data)
		copy(to.files[name].data, f.disk)
	}
	return to
}

func (fs *memFS) names() []string {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return slices.Sorted(maps.Keys(fs.files))
}

// numOpen returns how many files are open.
func (fs *memFS) numOpen() int {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.open
}

func (fs *memFS) do(op, name string) error {
	fs.mu.Lock()
	before := fs.before
	fs.mu.Unlock()
	if before != nil {
		return before(op, name)
	}
	return nil
}

// fail sets before.
func (fs *memFS) fail(before func(op, name string) error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.before = before
}

func (fs *memFS) Create(name string) (File, error) {
	if err := fs.do("create", name); err != nil {
		return nil, err
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.files[name] = &memFile{}
	fs.open++
	return &memHandle{fs, name, fs.files[name]}, nil
}

func (fs *memFS) Open(name string) (File, error) {
	if err := fs.do("open", name); err != nil {
		return nil, err
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f := fs.files[name]
	if f == nil {
		return nil, fmt.Errorf("%s: %w", name, os.ErrNotExist)
	}
	fs.open++
	return &memHandle{fs, name, f}, nil
}

func (fs *memFS) Durable(name string) (DurableFile, int, error) {
	if fs.block == 0 {
		return nil, 0, errors.ErrUnsupported
	}
	f, err := fs.Open(name)
	if err != nil {
		return nil, 0, err
	}
	return f.(*memHandle), fs.block, nil
}

func (fs *memFS) Reuse(name string) (File, error) { return fs.Open(name) }

func (fs *memFS) Rename(from, to string) error {
	if err := fs.do("rename", from); err != nil {
		return err
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.files[from] == nil {
		return os.ErrNotExist
	}
	fs.files[to] = fs.files[from]
	delete(fs.files, from)
	return nil
}

func (fs *memFS) Remove(name string) error {
	if err := fs.do("remove", name); err != nil {
		return err
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.files[name] == nil {
		return os.ErrNotExist
	}
	delete(fs.files, name)
	return nil
}

func (fs *memFS) List() ([]string, error) { return fs.names(), fs.do("list", "") }
func (fs *memFS) SyncDir() error          { return fs.do("syncdir", "") }
func (fs *memFS) BootID() uint64          { return fs.boot }

func (fs *memFS) Lock(bool) (io.Closer, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.locked {
		return nil, ErrLocked
	}
	fs.locked = true
	return closer(func() error {
		fs.mu.Lock()
		defer fs.mu.Unlock()
		fs.locked = false
		return nil
	}), nil
}

type closer func() error

func (c closer) Close() error { return c() }

// memHandle is an open file.
type memHandle struct {
	fs   *memFS
	name string
	f    *memFile
}

func (h *memHandle) ReadAt(p []byte, at int64) (int, error) {
	if err := h.fs.do("read", h.name); err != nil {
		return 0, err
	}
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	if at >= int64(len(h.f.data)) {
		return 0, io.EOF
	}
	n := copy(p, h.f.data[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *memHandle) WriteAt(p []byte, at int64) (int, error) {
	if err := h.fs.do("write", h.name); err != nil {
		return 0, err
	}
	n := len(p)
	h.fs.mu.Lock()
	short := h.fs.short
	h.fs.mu.Unlock()
	if short != nil {
		n = short(h.name, n)
	}
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	if grow := int(at) + n - len(h.f.data); grow > 0 {
		h.f.data = append(h.f.data, make([]byte, grow)...)
	}
	copy(h.f.data[at:], p[:n])
	h.f.dirty = append(h.f.dirty, [2]int{int(at), int(at) + n})
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

// WriteDurable knows no cache: what a fault leaves of it is in both or in none.
func (h *memHandle) WriteDurable(p []byte, at int64) (int, error) {
	if at%int64(h.fs.block) != 0 || len(p)%h.fs.block != 0 || uintptr(unsafe.Pointer(unsafe.SliceData(p)))%uintptr(h.fs.block) != 0 {
		return 0, syscall.EINVAL
	}
	if h.fs.durableFault != nil {
		return 0, h.fs.durableFault
	}
	n, err := h.WriteAt(p, at)
	if err != nil {
		return n, err
	}
	if err := h.fs.do("sync", h.name); err != nil {
		return 0, err
	}
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	if grow := len(h.f.data) - len(h.f.disk); grow > 0 {
		h.f.disk = append(h.f.disk, make([]byte, grow)...)
	}
	copy(h.f.disk[at:], p)
	return n, nil
}

func (h *memHandle) Size() (int64, error) {
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	return int64(len(h.f.data)), nil
}

func (h *memHandle) Reserve(size int64, _ bool) error {
	if err := h.fs.do("reserve", h.name); err != nil {
		return err
	}
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	if grow := int(size) - len(h.f.data); grow > 0 {
		h.f.data = append(h.f.data, make([]byte, grow)...)
	}
	return nil
}

func (h *memHandle) StartSync(_, _ int64) error { return h.fs.do("startsync", h.name) }
func (h *memHandle) Sync() error                { return h.f.sync(h.fs.do("sync", h.name)) }

func (h *memHandle) Close() error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	h.fs.open--
	return nil
}

// store is a plain store with the engine's numbering, as a journal's source and sink: a map
// a shard, and the lock of each.
type store struct {
	mu     sync.Mutex
	shards []map[string]Change
	seqs   []uint64
}

func newStore(shards int) *store {
	s := &store{shards: make([]map[string]Change, shards), seqs: make([]uint64, shards)}
	s.Clear()
	return s
}

func (s *store) shardOf(key []byte) int {
	h := uint32(2166136261)
	for _, c := range key {
		h = (h ^ uint32(c)) * 16777619
	}
	return int(h % uint32(len(s.shards)))
}

func (s *store) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clearLocked()
}

func (s *store) clearLocked() {
	for i := range s.shards {
		s.shards[i] = make(map[string]Change)
	}
}

func (s *store) Apply(changes []Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range changes {
		s.doLocked(changes[i])
	}
	return nil
}

func (s *store) doLocked(c Change) {
	m := s.shards[s.shardOf(c.Key)]
	if c.Gone {
		delete(m, string(c.Key))
		return
	}
	c.Key, c.Value = slices.Clone(c.Key), slices.Clone(c.Value)
	m[string(c.Key)] = c
}

func (s *store) Sequences(dst []uint64) []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append(dst, s.seqs...)
}

// Some shows a shard, without a lock of its own.
func (s *store) Some(cursor uint64, f func(*Change)) (next uint64, done bool) {
	s.mu.Lock()
	changes := slices.Collect(maps.Values(s.shards[cursor]))
	s.mu.Unlock()
	for _, c := range changes {
		f(&c)
	}
	return cursor + 1, int(cursor+1) == len(s.shards)
}

func (s *store) Beside(work func() bool) {
	for work() {
	}
}

// content is what is in the store, in a form to be compared.
func (s *store) content() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]string)
	for _, m := range s.shards {
		for key, c := range m {
			all[key] = fmt.Sprintf("%q form %d until %d", c.Value, c.Form, c.Deadline)
		}
	}
	return all
}

// next counts an effect of the key's shard.
func (s *store) next(key []byte) (shard int, seq uint64) {
	shard = s.shardOf(key)
	s.seqs[shard]++
	return shard, s.seqs[shard]
}

// set, remove, rename and clearSet do something to the store and append its record, as one
// that holds the shards' locks does.
func (s *store) set(dst *[]byte, c Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doLocked(c)
	shard, seq := s.next(c.Key)
	*dst = AppendSet(*dst, shard, seq, c.Key, c.Value, c.Form, c.Deadline)
}

func (s *store) remove(dst *[]byte, key []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.shards[s.shardOf(key)][string(key)]; !ok {
		return
	}
	s.doLocked(Change{Key: key, Gone: true})
	shard, seq := s.next(key)
	*dst = AppendGone(*dst, shard, seq, key)
}

func (s *store) rename(dst *[]byte, old, key []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.shards[s.shardOf(old)][string(old)]
	if _, taken := s.shards[s.shardOf(key)][string(key)]; !ok || taken {
		return
	}
	s.doLocked(Change{Key: old, Gone: true})
	c.Key = key
	s.doLocked(c)
	shard, seq := s.next(old)
	*dst = AppendRename(*dst, shard, seq, old)
	shard, seq = s.next(key)
	*dst = AppendSet(*dst, shard, seq, key, c.Value, c.Form, c.Deadline)
}

func (s *store) clearSet(dst *[]byte, changes ...Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clearLocked()
	for i := range s.seqs {
		s.seqs[i]++
	}
	if len(changes) == 0 {
		*dst = AppendClear(*dst, s.seqs)
		return
	}
	*dst = AppendClearSet(*dst, s.seqs, len(changes))
	for _, c := range changes {
		s.doLocked(c)
		shard, seq := s.next(c.Key)
		*dst = AppendSet(*dst, shard, seq, c.Key, c.Value, c.Form, c.Deadline)
	}
}

// opened is a journal and its store.
type opened struct {
	*Journal
	store  *store
	report Report
}

// open recovers a directory into a new store and starts a run.
func open(t testing.TB, fs FS, shards int, opts Options) *opened {
	t.Helper()
	o, err := tryOpen(fs, shards, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Close() })
	return o
}

func tryOpen(fs FS, shards int, opts Options) (*opened, error) {
	j, err := Open(fs, opts)
	if err != nil {
		return nil, err
	}
	o := &opened{j, newStore(shards), Report{}}
	if o.report, err = j.Recover(o.store); err == nil && !opts.ReadOnly {
		err = j.Start(o.store)
	}
	if err != nil {
		return nil, errors.Join(err, j.Close())
	}
	return o, nil
}

// recovered is what is in a directory.
func recovered(fs FS, shards int, opts Options) (map[string]string, Report, error) {
	opts.ReadOnly, opts.Manual = true, true
	o, err := tryOpen(fs, shards, opts)
	if err != nil {
		return nil, Report{}, err
	}
	return o.store.content(), o.report, o.Close()
}
