package journal

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// This file tests copies of a directory that is being written. The server goes on at
// chosen moments, in the middle of what the copy reads, on the same goroutine: nothing
// depends on the machine.

// piecesFS reads files in pieces, as cp and the system do, and has something happen after
// each.
type piecesFS struct {
	*memFS
	opens func(name string)
	piece func(name string, from, to int64)
}

const pieceBytes = 100

func (fs piecesFS) Open(name string) (File, error) {
	fs.opens(name)
	f, err := fs.memFS.Open(name)
	return piecesFile{f, fs, name}, err
}

type piecesFile struct {
	File
	fs   piecesFS
	name string
}

func (f piecesFile) ReadAt(p []byte, at int64) (n int, err error) {
	for n < len(p) && err == nil {
		from := at + int64(n)
		var m int
		m, err = f.File.ReadAt(p[n:min(n+pieceBytes, len(p))], from)
		n += m
		f.fs.piece(f.name, from, from+int64(m))
	}
	return n, err
}

// served is a directory that is written: a counter goes round some keys.
type served struct {
	*opened
	fs   *memFS
	lane *Lane
	n    int
}

const servedKeys = 40

func serve(t *testing.T) *served {
	fs := newMemFS()
	s := &served{fs: fs, opened: open(t, fs, 4, Options{Manual: true, SegmentBytes: 2 << 10})}
	s.lane = s.NewLane(func(uint64, error) {})
	return s
}

// write writes groups.
func (s *served) write(t *testing.T, groups int) {
	for range groups {
		s.keepUp() // the next segment is ready, as a server mostly has it
		s.n++
		s.lane.Begin()
		s.store.set(s.lane.Records(), Change{Key: fmt.Appendf(nil, "key%d", s.n%servedKeys), Value: strconv.AppendInt(nil, int64(s.n), 10)})
		s.lane.End()
		if _, err := s.lane.Done(s.Position()); err != nil {
			t.Fatal(err)
		}
		if s.numLeft.Load() > mostLeft/2 { // as each second
			if err := s.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func (s *served) snapshot(t *testing.T) {
	if _, err := s.Snapshot(false); err != nil {
		t.Fatal(err)
	}
}

// goOn has the server write what comes right after the piece that was read, if that is
// where the log ends, and now and then much, and snapshots.
func (s *served) goOn(t *testing.T, r *rand.Rand) piecesFS {
	return piecesFS{s.fs, func(string) {}, func(name string, from, to int64) {
		ends := func() bool {
			return name == segmentName(s.current.number) && s.current.end >= from && s.current.end < to
		}
		if ends() && r.IntN(3) > 0 {
			for ends() {
				s.write(t, 1)
			}
			s.write(t, 1)
		}
		if r.IntN(300) == 0 {
			s.write(t, r.IntN(200))
		}
		if r.IntN(3000) == 0 {
			s.snapshot(t)
		}
	}}
}

// check fails the test unless a copy is what the store was after so many writes at least.
func (s *served) check(t *testing.T, to *memFS, least int) {
	t.Helper()
	got, _, err := recovered(to, 2, Options{})
	if err != nil {
		t.Fatal(err)
	}
	most := 0
	values := map[string]int{}
	for key, text := range got {
		if values[key], err = strconv.Atoi(strings.Trim(strings.Fields(text)[0], `"`)); err != nil {
			t.Fatal(err)
		}
		most = max(most, values[key])
	}
	for i := max(1, most-servedKeys+1); i <= most; i++ {
		if key := fmt.Sprintf("key%d", i%servedKeys); values[key] != i {
			t.Fatalf("%s is %d, and was %d when the last of all was %d", key, values[key], i, most)
		}
	}
	if most < least {
		t.Fatalf("the copy has %d writes, and there were %d before it", most, least)
	}
}

// copyBare copies as cp does, the newest files first.
func copyBare(from FS, names []string) *memFS {
	to := newMemFS()
	for _, name := range slices.Backward(names) {
		if b, err := readFile(from, name); err == nil {
			to.files[name] = &memFile{data: b}
		}
	}
	return to
}

// TestCopyServed: a copy that is made while a store is written, and its segments turn over
// and snapshots are made, is a state that the store was in after the copy had begun. Bare
// copies at the same moments often are not.
func TestCopyServed(t *testing.T) {
	const copies = 100
	r := newRand(t)
	s := serve(t)
	damaged, more := 0, 0
	for range copies {
		s.write(t, r.IntN(40))
		_, _, err := recovered(copyBare(s.goOn(t, r), s.fs.names()), 2, Options{})
		if damage := (*DamageError)(nil); errors.As(err, &damage) && damage.Groups > 0 {
			damaged++
		}
		s.write(t, r.IntN(40))
		to, least := newMemFS(), s.n
		if _, err := Copy(s.goOn(t, r), to); err != nil {
			t.Fatal(err)
		}
		s.check(t, to, least)
		for _, name := range to.names() {
			if isTemporary(name) {
				t.Fatalf("there is %s in a copy", name)
			}
		}
		if s.n > least {
			more++
		}
	}
	if damaged == 0 || more == 0 || s.Stats().Snapshots < 3 {
		t.Errorf("%d bare copies were damaged; %d copies were written to; %d snapshots", damaged, more, s.Stats().Snapshots)
	}
}

// TestCopyBeginsAgain: two snapshots made meanwhile take away what a copy needs. It begins
// again, and not for ever. After few groups only the newest segment is gone, and those
// before it, which nothing needs any more, are still there.
func TestCopyBeginsAgain(t *testing.T) {
	for _, c := range []struct {
		times   int
		before  int  // groups in the segments that are copied
		groups  int  // between the snapshots
		reading bool // the newest segment, and not only about to
	}{{1, 70, 120, false}, {1, 70, 15, false}, {1, 105, 15, true}, {copyTries - 1, 70, 120, false}, {copyTries, 70, 120, false}} {
		s := serve(t)
		s.write(t, 10)
		s.snapshot(t)
		tries := 0
		goOn := func(name string, reading bool) {
			// The first segment that is copied is the last; the snapshot needs others.
			if tries < c.times && name == segmentName(s.current.number) && reading == c.reading {
				tries++
				for range 2 {
					s.write(t, c.groups)
					s.snapshot(t)
				}
				s.write(t, max(c.groups, c.before-15)) // into the file of the newest segment
			}
		}
		from := piecesFS{s.fs, func(name string) { goOn(name, false) }, func(name string, _, _ int64) { goOn(name, true) }}
		s.write(t, c.before)
		to, least := newMemFS(), s.n
		_, err := Copy(from, to)
		switch {
		case tries != c.times:
			t.Errorf("%+v: it has begun %d", c, tries)
		case c.times == copyTries:
			if damage := (*DamageError)(nil); !errors.As(err, &damage) || !strings.Contains(err.Error(), "the time between two snapshots") || len(to.files) > 0 {
				t.Errorf("%v, and there is %v", err, to.names())
			}
		case err != nil:
			t.Errorf("%+v: %v", c, err)
		default:
			s.check(t, to, least)
		}
	}
}

// TestCopyRecycled: a segment that is recycled while it is read counts as gone. What was read
// before would look like a log that ends there.
func TestCopyRecycled(t *testing.T) {
	s := serve(t)
	s.write(t, 20)
	number := s.current.number
	name := segmentName(number)
	whole, err := readServed(s.fs, name, number)
	if err != nil || len(whole) <= pieceBytes {
		t.Fatalf("%d bytes, %v", len(whole), err)
	}
	recycled := false
	from := piecesFS{s.fs, func(string) {}, func(string, int64, int64) {
		if recycled {
			return
		}
		recycled = true
		other := segmentName(number + 10)
		if err := s.fs.Rename(name, other); err != nil {
			t.Fatal(err)
		}
		f, err := s.fs.Reuse(other)
		if err == nil {
			_, err = f.WriteAt(make([]byte, len(whole)), 0)
		}
		if err != nil {
			t.Fatal(err)
		}
	}}
	if b, err := readServed(from, name, number); !errors.Is(err, errGone) || !recycled {
		t.Errorf("%d bytes of %d, %v", len(b), len(whole), err)
	}
}

// TestCopyDamaged: what is damaged in a directory that nobody writes is damaged in its
// copy, at the same place, and the copy says so.
func TestCopyDamaged(t *testing.T) {
	r := newRand(t)
	s := serve(t)
	s.write(t, 50)
	s.snapshot(t)
	s.write(t, 90)
	names := s.fs.names()
	for _, boot := range []uint64{1, 2} {
		for _, name := range names {
			for at := r.IntN(29); at < len(s.fs.files[name].data); at += 29 {
				from, to := s.fs.copyOf(), newMemFS()
				from.boot, to.boot = boot, boot
				from.files[name].data[at] ^= 1 << (at % 8)
				where := fmt.Sprintf("byte %d of %s", at, name)
				want, wantReport, wantErr := recovered(from, 2, Options{})
				report, err := Copy(from, to)
				var version *VersionError
				if errors.As(err, &version) {
					t.Fatalf("%s: %v", where, err)
				}
				if (err == nil) != (wantErr == nil) {
					t.Fatalf("%s: %v, and the copy: %v", where, wantErr, err)
				}
				if err != nil {
					if place(t, err) != place(t, wantErr) {
						t.Fatalf("%s: %v, and the copy: %v", where, wantErr, err)
					}
					want, wantReport, wantErr = recovered(from, 2, Options{Truncate: true})
				}
				got, gotReport, err := recovered(to, 2, Options{Truncate: true})
				if (err == nil) != (wantErr == nil) || !maps.Equal(got, want) || gotReport.Position != wantReport.Position {
					t.Fatalf("%s: %+v, %v, and the copy: %+v, %v", where, wantReport, wantErr, report, err)
				}
				if len(report.Skipped) != len(wantReport.Skipped) && wantErr == nil {
					t.Fatalf("%s: skipped %v, and the copy %v", where, wantReport.Skipped, report.Skipped)
				}
			}
		}
	}
}

// place is where err says that damage is.
func place(t *testing.T, err error) string {
	var damage *DamageError
	if !errors.As(err, &damage) {
		t.Fatal(err)
	}
	return fmt.Sprint(damage.Name, damage.Offset)
}

// TestCopyFaults: every operation on the copy, and on what is copied, fails once, and then
// those after it as well. A copy that fails says so. What it leaves when it can't even tidy
// up is taken by nobody for a whole one that isn't.
func TestCopyFaults(t *testing.T) {
	s := serve(t)
	s.write(t, 50)
	s.snapshot(t)
	s.write(t, 90)
	fault := errors.New("a fault")
	for _, forEver := range []bool{false, true} {
		for _, faulty := range []string{"from", "to"} {
			for nth := 1; ; nth++ {
				from, to := s.fs.copyOf(), newMemFS()
				ops, last := 0, ""
				fail := func(op, name string) error {
					if ops++; ops == nth || forEver && ops > nth {
						last = op + " " + name
						return fault
					}
					return nil
				}
				if faulty == "from" {
					from.fail(fail)
				} else {
					to.fail(fail)
				}
				_, err := Copy(from, to)
				if ops < nth {
					if err != nil {
						t.Fatal(err)
					}
					break
				}
				to.fail(nil)
				where := fmt.Sprintf("%s, operation %d, %s, for ever %v", faulty, nth, last, forEver)
				left := to.names()
				if err != nil && !errors.Is(err, fault) || err == nil && len(left) == 0 {
					t.Fatalf("%s: %v, and there is %v", where, err, left)
				}
				if len(left) == 0 {
					continue
				} else if err != nil && !forEver {
					t.Fatalf("%s: there is %v left", where, left)
				}
				got, _, fault := recovered(to, 2, Options{})
				if whole := maps.Equal(got, s.store.content()); !whole && (err == nil || fault == nil) {
					t.Fatalf("%s: %v; what is left, %v, is no copy: %v", where, err, left, fault)
				}
				if _, err := Copy(s.fs, to); !errors.Is(err, ErrNotEmpty) {
					t.Fatalf("%s: a second copy to it: %v", where, err)
				}
			}
		}
	}
	if _, err := Copy(newMemFS(), newMemFS()); !errors.Is(err, ErrNothing) {
		t.Errorf("of nothing: %v", err)
	}
}
