package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// This file copies a directory while a server writes it. Files that are read in pieces, as
// cp does, may come out with a hole: a piece is read where the log ends, then the server
// goes on, and the next piece has valid groups again. To whoever reads the copy that is
// damage.

// copyTries is how often a copy is begun, if each of them takes longer than the time
// between two snapshots.
const copyTries = 5

// copyPieceBytes is what is read of a file at once. Not yet measured.
const copyPieceBytes = 1 << 20

var (
	// ErrNotEmpty is returned by Copy if there is something where the copy should be.
	ErrNotEmpty = errors.New("journal: there are files in it; a copy needs an empty directory")
	// ErrNothing is returned by Copy for a directory that has no segment and no snapshot.
	ErrNothing = errors.New("journal: there is nothing to copy")
)

// Copy copies what a directory has to an empty one, also while a server writes it, and reads
// the copy from beginning to end. It is what the store was at a moment after Copy was
// called. What is damaged is copied as it is, and is the error of the copy, which is left
// there then. After any other error the directory is empty again.
func Copy(from, to FS) (Report, error) {
	if names, err := to.List(); err != nil {
		return Report{}, fmt.Errorf("journal: %w", err)
	} else if len(names) > 0 {
		return Report{}, ErrNotEmpty
	}
	for try := 1; ; try++ {
		c := copier{from: from, to: to}
		err := c.copyAll()
		if err != nil {
			return Report{}, errors.Join(err, c.undo())
		}
		report, err := c.verify()
		if err == nil && report.Cut == nil && len(report.Skipped) == 0 {
			return report, nil
		}
		names, listErr := from.List()
		damage := (*DamageError)(nil)
		// The last group of a segment that is full may have been under way; see look.
		behind := err == nil && report.Cut != nil && report.Cut.Groups > 0
		newest, _ := newestSnapshots(names)
		switch changed := c.gone || newest != c.newest; {
		case listErr != nil:
			err = fmt.Errorf("journal: %w", listErr)
		case (changed || behind) && try < copyTries:
			err = nil
		case !changed && (err == nil || errors.As(err, &damage)):
			return report, err // it is so in the directory itself
		case changed:
			err = fmt.Errorf("journal: %d copies have each taken longer than the time between two snapshots; the last came to this: %w", try, err)
		}
		if err = errors.Join(err, c.undo()); err != nil {
			return Report{}, err
		}
	}
}

// copier is one try.
type copier struct {
	from, to FS
	newest   uint64   // the newest snapshot when it began; 0: there was none
	gone     bool     // a file went away meanwhile
	made     []string // files
}

// newestSnapshots returns the numbers of the newest snapshot and of the one before it; 0: there is
// none.
func newestSnapshots(names []string) (newest, previous uint64) {
	for _, name := range names {
		if n, ok := numberOf(name, snapshotPrefix); ok {
			newest, previous = max(newest, n), max(previous, min(newest, n))
		}
	}
	return newest, previous
}

// copyAll copies the snapshots, and then the segments, the newest first. So the log ends in
// the newest segment that was listed, wherever it was when that was read, and has what the
// snapshots need. The other way round it could have a later segment whole, and only a part
// of the one before. Where one has gone away it ends: those before it would make a log that
// ends too early.
func (c *copier) copyAll() error {
	names, err := c.from.List()
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	var keep uint64
	c.newest, keep = newestSnapshots(names)
	slices.Sort(names)
	for _, name := range slices.Backward(names) {
		segment := false
		if _, ok := numberOf(name, snapshotPrefix); ok {
			err = c.copySnapshot(name)
		} else if number, ok := numberOf(name, segmentPrefix); ok && number >= keep { // those before wait to be used again
			segment = true
			err = c.copySegment(name, number)
		}
		if errors.Is(err, errGone) {
			c.gone = true
			if segment {
				break
			}
		} else if err != nil {
			return err
		}
	}
	if len(c.made) == 0 {
		return ErrNothing
	}
	if err := c.to.SyncDir(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// errGone is about a file that was listed and is not there any more.
var errGone = errors.New("journal: a file has gone away")

// copySnapshot copies a file that nobody changes.
func (c *copier) copySnapshot(name string) error {
	f, err := c.from.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return errGone
	} else if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return c.write(name, f, size)
}

// copySegment copies the groups of a segment, if it has any.
func (c *copier) copySegment(name string, number uint64) error {
	b, err := readServed(c.from, name, number)
	if err != nil || len(b) == 0 {
		return err
	}
	return c.write(name, bytes.NewReader(b), int64(len(b)))
}

// readServed returns the beginning of a segment that is valid, while it may be written. If
// more valid groups follow it, it returns the whole file, which is damaged then.
func readServed(fs FS, name string, number uint64) ([]byte, error) {
	for before := -1; ; {
		b, err := readFile(fs, name)
		if err == nil {
			err = isThere(fs, name)
		}
		if errors.Is(err, os.ErrNotExist) {
			return nil, errGone
		} else if err != nil {
			return nil, err
		}
		end, followed, err := validPart(b, number)
		if v := (*VersionError)(nil); errors.As(err, &v) {
			v.Name = name
		}
		switch {
		case err != nil:
			return nil, err
		case !followed:
			return b[:end], nil
		case end <= before:
			// What follows was there before this was read, and says that so was then all that
			// comes before it.
			return b, nil
		}
		before = end
	}
}

// isThere returns no error if there is a file of that name. Before a segment is recycled it
// gets another.
func isThere(fs FS, name string) error {
	f, err := fs.Open(name)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return f.Close()
}

// validPart returns where the valid groups at the beginning of a segment's file end, and
// whether valid ones follow all the same. A file without a header has none.
func validPart(b []byte, number uint64) (end int, followed bool, err error) {
	h, ok, err := readSegmentHeader(b)
	if err != nil {
		return 0, false, err
	}
	if !ok || h.number != number {
		_, followed = beginOf(b, number)
		return 0, followed, nil
	}
	for end = segmentHeaderBytes; ; {
		end = min(int(h.fill(int64(end))), len(b))
		g, ok := readGroup(b[end:], number, h.begin+uint64(end-segmentHeaderBytes))
		if !ok {
			return end, isFollowed(b, end, &h), nil
		}
		end += g.bytes
	}
}

// isFollowed reports whether groups past a place say that there should be one. Where several are
// written at once one that is under way has others behind it that are done.
func isFollowed(b []byte, at int, h *segmentHeader) bool {
	position := h.begin + uint64(at-segmentHeaderBytes)
	for next := at + 1; ; {
		g, found, ok := nextGroup(b, next, h)
		if !ok {
			return false
		}
		if h.block == 0 || g.synced > position {
			return true
		}
		next = found + g.bytes
	}
}

// write makes a file, which gets its name when it is on disk.
func (c *copier) write(name string, from io.ReaderAt, size int64) error {
	if err := c.tryWrite(name, from, size); err != nil {
		return fmt.Errorf("journal: %s: %w", name, err)
	}
	return nil
}

func (c *copier) tryWrite(name string, from io.ReaderAt, size int64) error {
	f, err := c.to.Create(name + temporary)
	if err != nil {
		return err
	}
	c.made = append(c.made, name+temporary)
	err = copyBytes(f, from, 0, size)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := c.to.Rename(name+temporary, name); err != nil {
		return err
	}
	c.made[len(c.made)-1] = name
	return nil
}

// copyBytes copies what is between two places.
func copyBytes(to io.WriterAt, from io.ReaderAt, at, end int64) error {
	piece := make([]byte, max(0, min(copyPieceBytes, end-at)))
	for ; at < end; at += int64(len(piece)) {
		piece = piece[:min(copyPieceBytes, end-at)]
		if n, err := from.ReadAt(piece, at); n < len(piece) {
			return err
		}
		if _, err := to.WriteAt(piece, at); err != nil {
			return err
		}
	}
	return nil
}

// undo removes what was made.
func (c *copier) undo() (err error) {
	for _, name := range c.made {
		err = errors.Join(err, c.to.Remove(name))
	}
	if err != nil {
		err = fmt.Errorf("journal: what was copied can't be removed: %w", err)
	}
	return err
}

// verify reads the copy as a recovery does.
func (c *copier) verify() (Report, error) {
	j, err := Open(c.to, Options{ReadOnly: true})
	if err != nil {
		return Report{}, err
	}
	report, err := j.Recover(nowhere{})
	return report, errors.Join(err, j.Close())
}

// nowhere is a sink that keeps nothing.
type nowhere struct{}

func (nowhere) Apply([]Change) error { return nil }
func (nowhere) Clear()               {}
