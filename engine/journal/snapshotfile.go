package journal

import (
	"errors"
	"fmt"
	"io"
	"slices"
)

// This file is the bytes of a snapshot: a header, blocks of keys, and an end without which
// it is none.

const (
	snapshotHeaderBytes = 56 // without the shards' sequences and the sum
	blockHeaderBytes    = 16
	snapshotKeyBytes    = 8 // before each key

	// blockBytes is where a block of a snapshot ends, and so the least that a sum is for. Not yet
	// measured beside others.
	blockBytes = 64 << 10
	// mostBlockBytes is what the body of one comes to at most: one more key, as long as they
	// get, when it has almost come to its end.
	mostBlockBytes = blockBytes + snapshotKeyBytes + 8 + MaxKeyBytes + MaxValueBytes
	// leastGathered is what is gathered for a write, and mostGathered where that is waited for
	// if the one before has not ended.
	leastGathered = 1 << 20
	mostGathered  = 2 << 20
	// mostBegun is what is begun to be written at once, which the kernel must take hold of before
	// anybody goes on. A value may be longer.
	mostBegun = 8 << 20
	// writeUnit is what positions and lengths of writes are multiples of, except for the last
	// one: what a file needs whose writes go past the system's cache.
	writeUnit = 4 << 10
)

// What a block is.
const (
	blockKeys = iota
	blockEnd
)

// snapshotHeader is the beginning of a snapshot's file.
type snapshotHeader struct {
	run      uint64
	segment  uint64 // the first segment whose effects are not in it
	position uint64 // and where that begins
	created  int64  // ms since 1970
	seqs     []uint64
}

func (h *snapshotHeader) append(dst []byte) []byte {
	from := len(dst)
	dst = append(dst, snapshotMagic...)
	dst = le.AppendUint32(dst, versionSnapshot)
	dst = le.AppendUint32(dst, uint32(len(h.seqs)))
	for _, n := range [...]uint64{h.run, h.segment, h.position, uint64(h.created), 0} {
		dst = le.AppendUint64(dst, n)
	}
	for _, n := range h.seqs {
		dst = le.AppendUint64(dst, n)
	}
	return le.AppendUint32(dst, sum(dst[from:]))
}

// snapshotEnd is the body of the last block.
type snapshotEnd struct {
	keys  uint64
	bytes uint64 // of keys and values
	needs uint64 // the log must reach this position: the snapshot has effects up to there
}

// appendSnapshotKey appends a key to a block.
func appendSnapshotKey(dst []byte, c *Change) []byte {
	head := uint64(len(c.Value)) | uint64(len(c.Key))<<28 | uint64(c.Form&3)<<44
	if c.Deadline != 0 {
		dst = le.AppendUint64(dst, head|1<<46)
		dst = le.AppendUint64(dst, uint64(c.Deadline))
	} else {
		dst = le.AppendUint64(dst, head)
	}
	return append(append(dst, c.Key...), c.Value...)
}

// readSnapshotKey reads a key at the beginning of b.
func readSnapshotKey(b []byte) (c Change, n int, ok bool) {
	if len(b) < snapshotKeyBytes {
		return c, 0, false
	}
	head := le.Uint64(b)
	value, key := int(head&(1<<28-1)), int(head>>28&0xFFFF)
	c.Form = uint8(head >> 44 & 3)
	n = snapshotKeyBytes
	if head>>46 == 1 {
		if len(b) < n+8 {
			return c, 0, false
		}
		c.Deadline = int64(le.Uint64(b[n:]))
		n += 8
	} else if head>>46 != 0 {
		return c, 0, false
	}
	if len(b)-n < key+value {
		return c, 0, false
	}
	c.Key, c.Value = b[n:n+key:n+key], b[n+key:n+key+value:n+key+value]
	return c, n + key + value, true
}

// sealBlock fills in the header at the beginning of a block: the sum, the length of what
// follows, what it is, and its number.
func sealBlock(b []byte, kind int, number uint32) {
	le.PutUint32(b[4:], uint32(len(b)-blockHeaderBytes))
	le.PutUint32(b[8:], uint32(kind))
	le.PutUint32(b[12:], number)
	le.PutUint32(b, sum(b[4:]))
}

// snapshotWriter writes a snapshot's file.
type snapshotWriter struct {
	f      File
	at     int64  // where b goes
	b      []byte // what is to be written
	open   bool   // a block is being filled
	block  int    // where in b it begins
	number uint32 // and its number, or the next one's
	end    *snapshotEnd

	async   asyncFile // f, as long as writes can be begun; or nil
	started int       // how many bytes of other are being written
	other   []byte
	wait    func() // waits a little
	waits   func() // is called before a write that is waited for
}

// newSnapshotWriter begins a file. Its writes are begun where they can be, if wait is not nil.
func newSnapshotWriter(f File, h *snapshotHeader, end *snapshotEnd, wait, waits func()) *snapshotWriter {
	w := &snapshotWriter{f: f, end: end, wait: wait, waits: waits}
	const room = mostGathered + 2*blockBytes
	w.b = h.append(make([]byte, 0, room))
	if wait != nil {
		w.async, _ = f.(asyncFile)
	}
	if w.async == nil {
		w.waits()
	} else {
		w.other = make([]byte, 0, room)
	}
	return w
}

// add adds a key.
func (w *snapshotWriter) add(c *Change) {
	if !w.open {
		w.beginBlock()
	}
	w.b = appendSnapshotKey(w.b, c)
	w.end.keys++
	w.end.bytes += uint64(len(c.Key) + len(c.Value))
	if len(w.b)-w.block >= blockBytes {
		w.seal(blockKeys)
	}
}

func (w *snapshotWriter) beginBlock() {
	w.block, w.open = len(w.b), true
	w.b = append(w.b, make([]byte, blockHeaderBytes)...)
}

func (w *snapshotWriter) seal(kind int) {
	sealBlock(w.b[w.block:], kind, w.number)
	w.number++
	w.open = false
}

// appendEnd adds the end, where all keys have been added.
func (w *snapshotWriter) appendEnd() {
	if w.open {
		w.seal(blockKeys)
	}
	w.beginBlock()
	for _, n := range [...]uint64{w.end.keys, w.end.bytes, w.end.needs} {
		w.b = le.AppendUint64(w.b, n)
	}
	w.seal(blockEnd)
}

// flush writes what has been added, but for an end that is less than a unit. If the write before
// has not ended it is left for later, unless it is much already.
func (w *snapshotWriter) flush() error {
	if w.started > 0 && len(w.b) < mostGathered {
		if ended, err := w.settle(); !ended || err != nil {
			return err
		}
	}
	if w.open {
		w.seal(blockKeys)
	}
	return w.write(len(w.b) &^ (writeUnit - 1))
}

// flushAll writes all that has been added. Nothing may follow it.
func (w *snapshotWriter) flushAll() error {
	if err := w.settleAll(); err != nil {
		return err
	}
	w.giveUpAsync() // f has to be as long as it is written
	return w.write(len(w.b))
}

func (w *snapshotWriter) write(length int) error {
	if err := w.settleAll(); err != nil {
		return err
	}
	switch {
	case w.async == nil || length == 0:
	case length > mostBegun:
		w.waits()
	default:
		if w.async.StartWrite(w.b[:length], w.at) {
			w.at += int64(length)
			w.started = length
			w.b, w.other = append(w.other[:0], w.b[length:]...), w.b
			return nil
		}
		w.giveUpAsync()
	}
	n, err := w.f.WriteAt(w.b[:length], w.at)
	w.at += int64(n)
	if err == nil && n < length {
		err = ErrFull
	}
	if err != nil {
		return err
	}
	w.b = w.b[:copy(w.b, w.b[length:])] // its memory stays aligned
	return nil
}

func (w *snapshotWriter) giveUpAsync() {
	if w.async != nil {
		w.async = nil
		w.waits()
	}
}

// settle finds out whether what was begun is written. A write that the system refuses when it is
// under way, such as one that is not aligned as the file system wants it, is written as others.
func (w *snapshotWriter) settle() (ended bool, err error) {
	n, ended, err := w.async.WriteEnded()
	if !ended {
		return false, nil
	}
	length := w.started
	if w.started = 0; err != nil && !isBroken(err) {
		w.giveUpAsync()
		n, err = w.f.WriteAt(w.other[:length], w.at-int64(length))
	}
	if err == nil && n < length {
		err = ErrFull
	}
	return true, err
}

// settleAll waits for it.
func (w *snapshotWriter) settleAll() error {
	for w.started > 0 {
		if ended, err := w.settle(); err != nil {
			return err
		} else if !ended {
			w.wait()
		}
	}
	return nil
}

// snapshotReader reads a snapshot's file.
type snapshotReader struct {
	f      File
	name   string
	size   int64
	header snapshotHeader
	blocks int64 // where the first block begins
}

func (r *snapshotReader) Close() error { return r.f.Close() }

// damage is an error about a place in the file.
func (r *snapshotReader) damage(at int64, what string) error {
	return &DamageError{Name: r.name, Offset: at, What: what}
}

// openSnapshot opens a snapshot and reads its header.
func openSnapshot(fs FS, name string) (*snapshotReader, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	r := &snapshotReader{f: f, name: name}
	if r.size, err = f.Size(); err != nil {
		err = fmt.Errorf("journal: %w", err)
	} else {
		err = r.readHeader()
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return r, nil
}

func (r *snapshotReader) readHeader() error {
	b := make([]byte, snapshotHeaderBytes)
	if err := r.readAt(b, 0); err != nil {
		return err
	}
	shards := int(le.Uint32(b[12:]))
	if string(b[:8]) != snapshotMagic || shards < 1 || shards > maxShards {
		return r.damage(0, "the header of a snapshot is damaged")
	}
	all := make([]byte, snapshotHeaderBytes+8*shards+4)
	if err := r.readAt(all, 0); err != nil {
		return err
	}
	if end := len(all) - 4; sum(all[:end]) != le.Uint32(all[end:]) {
		return r.damage(0, "the header of a snapshot is damaged")
	}
	if v := le.Uint32(all[8:]); v != versionSnapshot {
		return &VersionError{Name: r.name, Version: int(v)}
	}
	r.header = snapshotHeader{
		run: le.Uint64(all[16:]), segment: le.Uint64(all[24:]), position: le.Uint64(all[32:]),
		created: int64(le.Uint64(all[40:])), seqs: sequences(all[snapshotHeaderBytes : len(all)-4]),
	}
	r.blocks = int64(len(all))
	return nil
}

// readAt fills b, and reports a file that is too short as damage.
func (r *snapshotReader) readAt(b []byte, at int64) error {
	n, err := r.f.ReadAt(b, at)
	switch {
	case n == len(b):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return r.damage(at, "the file ends too early")
	}
	return fmt.Errorf("journal: %s at byte %d: %w", r.name, at, err)
}

// end reads the last block alone: how many keys there are, before they are read.
func (r *snapshotReader) end() (e snapshotEnd, err error) {
	b := make([]byte, blockHeaderBytes+24)
	at := r.size - int64(len(b))
	if at < r.blocks {
		return e, r.damage(r.size, "the file ends too early")
	}
	if err := r.readAt(b, at); err != nil {
		return e, err
	}
	if sum(b[4:]) != le.Uint32(b) || le.Uint32(b[8:]) != blockEnd {
		return e, r.damage(at, "the end of a snapshot is missing or damaged")
	}
	body := b[blockHeaderBytes:]
	e = snapshotEnd{le.Uint64(body), le.Uint64(body[8:]), le.Uint64(body[16:])}
	if e.keys > uint64(at)/snapshotKeyBytes { // a store is made to their number before they are read
		return e, r.damage(at, fmt.Sprintf("a snapshot of %d bytes does not have %d keys", r.size, e.keys))
	}
	return e, nil
}

// eachBlock reads the blocks of keys in order. take gets each, with its header, as its own
// until it comes back as spare, and may stop it with an error.
func (r *snapshotReader) eachBlock(spare <-chan []byte, take func(block []byte, at int64) error) error {
	head := make([]byte, blockHeaderBytes)
	at := r.blocks
	for number := uint32(0); ; number++ {
		if err := r.readAt(head, at); err != nil {
			return err
		}
		n := int64(le.Uint32(head[4:]))
		if n > min(mostBlockBytes, r.size-at-blockHeaderBytes) { // its sum is not looked at yet
			return r.damage(at, "a block of a snapshot is damaged")
		}
		var b []byte
		select {
		case b = <-spare:
		default:
		}
		b = slices.Grow(b[:0], int(blockHeaderBytes+n))[:blockHeaderBytes+n]
		if err := r.readAt(b, at); err != nil {
			return err
		}
		if sum(b[4:]) != le.Uint32(b) || le.Uint32(b[12:]) != number {
			return r.damage(at, "a block of a snapshot is damaged")
		}
		if le.Uint32(b[8:]) == blockEnd {
			if at+int64(len(b)) != r.size {
				return r.damage(at, "something follows the end of a snapshot")
			}
			return nil
		}
		if err := take(b, at); err != nil {
			return err
		}
		at += int64(len(b))
	}
}
