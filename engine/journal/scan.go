package journal

import (
	"errors"
	"fmt"
	"io"
	"slices"
)

// This file reads what is in a directory: which segments and snapshots there are, and how
// the segments go on from each other.

// DamageError is a place where the log, or a snapshot, is not what was written there.
type DamageError struct {
	Name   string // of the file
	Offset int64  // in it
	What   string

	// Groups is how many valid groups of the log follow, which a truncation would lose;
	// Bytes is their length.
	Groups int
	Bytes  int64
	// CanTruncate is whether the log may be cut there.
	CanTruncate bool
}

func (e *DamageError) Error() string {
	text := fmt.Sprintf("journal: %s at byte %d: %s", e.Name, e.Offset, e.What)
	if e.CanTruncate {
		text += fmt.Sprintf("; %d valid groups follow, %d bytes, which truncating the log there would lose", e.Groups, e.Bytes)
	}
	return text
}

// segmentFile is a segment that is there.
type segmentFile struct {
	segmentHeader
	name string
	size int64

	// headless is set if it has groups and no valid header. Its begin is what their
	// positions say; whether it is damage is decided where the log comes to it.
	headless bool
}

// layout is what is in a directory.
type layout struct {
	segments  []segmentFile // in the log's order; those that a truncation has left out are not in it
	snapshots []uint64      // their numbers, the newest first
	unused    []string      // files that hold nothing: spare segments, what a crash has left half done
	last      uint64        // the highest number of a segment's file
	run       uint64        // the highest
}

// scan reads the headers of all files.
func scan(fs FS) (*layout, error) {
	names, err := fs.List()
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	slices.Sort(names)
	l := &layout{}
	for _, name := range names {
		if n, ok := numberOf(name, snapshotPrefix); ok {
			l.snapshots = append(l.snapshots, n)
		} else if n, ok := numberOf(name, segmentPrefix); ok {
			if err := l.addSegment(fs, name, n); err != nil {
				return nil, err
			}
		} else if isTemporary(name) {
			l.unused = append(l.unused, name)
		}
	}
	slices.Reverse(l.snapshots)
	l.dropCut()
	return l, nil
}

func isTemporary(name string) bool {
	n := len(name) - len(temporary)
	if n < 0 || name[n:] != temporary {
		return false
	}
	_, segment := numberOf(name[:n], segmentPrefix)
	_, snapshot := numberOf(name[:n], snapshotPrefix)
	return segment || snapshot
}

func (l *layout) addSegment(fs FS, name string, n uint64) error {
	l.last = max(l.last, n)
	f, err := fs.Open(name)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	head := make([]byte, min(segmentHeaderBytes, size))
	if _, err := f.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("journal: %s: %w", name, err)
	}
	h, ok, err := readSegmentHeader(head)
	if v := (*VersionError)(nil); errors.As(err, &v) {
		v.Name = name
		return err
	}
	if ok && h.number == n {
		l.segments = append(l.segments, segmentFile{segmentHeader: h, name: name, size: size})
		l.run = max(l.run, h.run)
		return nil
	}
	// A spare, or a recycled one that has not been begun. If there are groups of its
	// number in it, it was: its header is damaged, or power has taken it with what was not
	// synced.
	b, err := readFile(fs, name)
	if err != nil {
		return err
	}
	if begin, ok := beginOf(b, n); ok {
		h := segmentHeader{number: n, begin: begin}
		l.segments = append(l.segments, segmentFile{segmentHeader: h, name: name, size: size, headless: true})
	} else {
		l.unused = append(l.unused, name)
	}
	return nil
}

// beginOf returns the log position of a segment's first group by what its first valid group
// says, and false if it has none.
func beginOf(b []byte, number uint64) (begin uint64, ok bool) {
	for at := segmentHeaderBytes; ; at++ {
		if at = nextNumber(b, at, number); at < 0 {
			return 0, false
		}
		position, before := le.Uint64(b[at+16:]), uint64(at-segmentHeaderBytes)
		if position < before {
			continue
		}
		if _, ok := readGroup(b[at:], number, position); ok {
			return position - before, true
		}
	}
}

// dropCut leaves out the segments that a later run has cut off: it went on from one before
// them. One without a header is taken to go on from the one before it, in the same run: the
// first of a run is synced before a second group is written.
func (l *layout) dropCut() {
	keep := l.segments[:0]
	for _, s := range l.segments {
		if n := len(keep); s.headless && n > 0 {
			before := keep[n-1]
			s.previous, s.shards, s.run, s.boot, s.block = before.number, before.shards, before.run, before.boot, before.block
		}
		for len(keep) > 0 && keep[len(keep)-1].number > s.previous {
			l.unused = append(l.unused, keep[len(keep)-1].name)
			keep = keep[:len(keep)-1]
		}
		keep = append(keep, s)
	}
	l.segments = keep
}

// mostSegmentFile is how long the file of a segment may be to be read: many times what one comes to
// (see mostGrown). The length of one that is longer is the file system's fault, and to make memory for
// it would end the process without a word of the file.
const mostSegmentFile = 64 << 30

// readFile returns the whole of a segment's file.
func readFile(fs FS, name string) ([]byte, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	if size > mostSegmentFile {
		return nil, &DamageError{Name: name, Offset: mostSegmentFile, What: fmt.Sprintf("a segment does not have %d bytes", size)}
	}
	b := make([]byte, size)
	n, err := f.ReadAt(b, 0)
	if n < len(b) && err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("journal: %s: %w", name, err)
	}
	return b[:n], nil
}

// hole is a place in the log where no valid group is.
type hole struct {
	name     string
	offset   int64
	position uint64

	groups  int   // valid ones that follow
	bytes   int64 // theirs
	vouched bool  // one of them, or a segment, says that this place had been on disk, and it wasn't lost with power
	torn    bool  // something was being written there
}

// look judges a hole in segment i of list, whose bytes are b: what follows it, there and in
// later segments.
func look(fs FS, list []segmentFile, i int, b []byte, at int, position uint64) (hole, error) {
	s := &list[i]
	h := hole{name: s.name, offset: int64(at), position: position}
	boot := fs.BootID()
	sameBoot := boot != 0 && boot == s.boot && s.block == 0
	h.torn = at+groupHeaderBytes <= len(b) && le.Uint64(b[at+8:]) == s.number && le.Uint64(b[at+16:]) == position
	vouch := func(synced uint64) { h.vouched = h.vouched || sameBoot || synced > position }
	for first := i; ; {
		for next := at + 1; ; {
			g, found, ok := nextGroup(b, next, &s.segmentHeader)
			if !ok {
				break
			}
			h.groups++
			h.bytes += int64(g.bytes)
			vouch(g.synced)
			next = found + g.bytes
		}
		if i++; i == len(list) {
			return h, nil
		}
		s = &list[i]
		if s.run != list[first].run {
			// The server that began it has had a look, too: it had read to the end.
			h.vouched = true
		}
		vouch(s.synced)
		var err error
		if b, err = readFile(fs, s.name); err != nil {
			return h, err
		}
		at = segmentHeaderBytes - 1
	}
}

func (h *hole) damage(what string) *DamageError {
	return &DamageError{Name: h.name, Offset: h.offset, What: what, Groups: h.groups, Bytes: h.bytes, CanTruncate: true}
}
