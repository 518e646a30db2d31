package journal

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// logged is a directory with groups in it, and the store after each of them.
type logged struct {
	fs     *memFS
	states []map[string]string
	begins []int // where each group begins in the segment
	ends   []int // and ends
}

// isFilling reports whether a byte only fills up the group, or the header, before it.
func (l *logged) isFilling(at int) bool {
	i, exact := slices.BinarySearch(l.begins, at)
	if exact || i == len(l.begins) {
		return false
	}
	end := segmentHeaderBytes
	if i > 0 {
		end = l.ends[i-1]
	}
	return at >= end
}

// logGroups logs n groups, each synced when the next one is written, into one segment.
func logGroups(t *testing.T, n int, mode fsMode) logged {
	r := newRand(t)
	l := logged{fs: mode.newFS()}
	opts := small(Always)
	opts.SegmentBytes = 1 << 10
	o := open(t, l.fs, 2, opts)
	lane := o.NewLane(func(uint64, error) {})
	begin := int(o.current.fill(segmentHeaderBytes))
	note := func() {
		l.states = append(l.states, o.store.content())
		l.begins = append(l.begins, begin)
		l.ends = append(l.ends, begin+int(le.Uint32(l.fs.files[segmentName(1)].data[begin+4:])))
		begin = int(o.current.end)
	}
	note()
	for range n {
		lane.Begin()
		o.store.set(lane.Records(), randomChange(r, 5))
		randomEffect(r, o.store, lane.Records(), 5)
		lane.End()
		o.writeAndSync()
		note()
	}
	l.fs = l.fs.copyOf()
	l.fs.boot = 2
	return l
}

// is reports whether a directory is in state i; before the first it is empty.
func (l *logged) is(got map[string]string, i int) bool {
	return maps.Equal(got, l.states[max(i, 0)])
}

// everyByte is 1; where the plain build has had them all every third will do.
func everyByte() int {
	if testing.Short() || underRace {
		return 3
	}
	return 1
}

// TestFlips: every byte of a segment, another one each time. Never is there a state that
// wasn't; a place that was on disk is damage; the last group is a torn tail.
func TestFlips(t *testing.T) {
	for _, mode := range everyMode[1:3] {
		t.Run(mode.String(), func(t *testing.T) { testFlips(t, logGroups(t, 12, mode)) })
	}
}

func testFlips(t *testing.T, l logged) {
	name := segmentName(1)
	whole := l.fs.files[name].data
	last := len(l.states) - 1
	for at := 0; at < len(whole); at += everyByte() {
		for _, sameBoot := range []bool{false, true} {
			fs := l.fs.copyOf()
			if sameBoot {
				fs.boot = 1
			}
			fs.files[name].data[at] ^= 1 << (at % 8)
			where := fmt.Sprintf("byte %d of %d, groups end at %d, the same boot %v", at, len(whole), l.ends, sameBoot)
			got, report, err := recovered(fs, 4, Options{})
			var damage *DamageError
			switch {
			case at >= l.ends[last] || l.isFilling(at): // not used yet, or never
				if err != nil || report.Cut != nil || !l.is(got, last) {
					t.Fatalf("%s: %d keys, %v, %v", where, len(got), report.Cut, err)
				}
			case at >= l.ends[last-1]:
				if err != nil || !l.is(got, last-1) {
					t.Fatalf("%s: %d keys, %v", where, len(got), err)
				}
			case !errors.As(err, &damage):
				t.Fatalf("%s: %d keys, %v", where, len(got), err)
			case at >= segmentHeaderBytes:
				i, _ := slices.BinarySearch(l.ends, at+1) // the group that it is in
				if damage.Offset != int64(l.begins[i]) || damage.Groups != last-i || !damage.CanTruncate {
					t.Fatalf("%s: %v", where, err)
				}
				got, report, err := recovered(fs, 4, Options{Truncate: true})
				if err != nil || report.Cut == nil || !l.is(got, i-1) {
					t.Fatalf("%s, truncated: %d keys, %v", where, len(got), err)
				}
			}
		}
	}
}

// TestCuts: a segment that ends after each of its bytes, as a copy or a file system may
// leave it, has the groups before.
func TestCuts(t *testing.T) {
	for _, mode := range everyMode[1:3] {
		t.Run(mode.String(), func(t *testing.T) { testCuts(t, logGroups(t, 12, mode)) })
	}
}

func testCuts(t *testing.T, l logged) {
	name := segmentName(1)
	whole := l.fs.files[name].data
	for n := 0; n < len(whole); n += everyByte() {
		fs := l.fs.copyOf()
		fs.files[name].data = whole[:n:n]
		got, report, err := recovered(fs, 4, Options{})
		i, exact := slices.BinarySearch(l.ends, n)
		if !exact {
			i--
		}
		switch {
		case n < segmentHeaderBytes: // a segment that was never begun
			if err != nil || len(got) > 0 {
				t.Fatalf("%d bytes: %d keys, %v", n, len(got), err)
			}
		case err != nil || !l.is(got, i):
			t.Fatalf("%d bytes: %d keys, want state %d, %v, %v", n, len(got), i, report.Cut, err)
		}
		// The next run goes on from there, and what it logs is there too.
		o, err := tryOpen(fs, 2, small(No))
		if err != nil {
			t.Fatal(err)
		}
		lane := o.NewLane(func(uint64, error) {})
		lane.Begin()
		o.store.set(lane.Records(), Change{Key: []byte("after")})
		lane.End()
		want := o.store.content()
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		if got, _, err := recovered(fs, 1, Options{}); err != nil || !maps.Equal(got, want) {
			t.Fatalf("%d bytes, one run later: %v", n, err)
		}
	}
}

// TestUnsynced: in a log that nothing says was on disk, power may take any group. What
// follows it then goes with it. Without a power cut it is damage.
func TestUnsynced(t *testing.T) {
	r := newRand(t)
	fs := newMemFS()
	o := open(t, fs, 2, small(No))
	lane := o.NewLane(func(uint64, error) {})
	for range 60 {
		work(r, o, lane, 10)
		o.keepUp()
	}
	fs = fs.copyOf()
	names := fs.names()
	if len(names) < 4 {
		t.Fatalf("only %v", names)
	}
	fs.files[segmentName(2)].data[segmentHeaderBytes+groupHeaderBytes] ^= 1
	if _, _, err := recovered(fs, 2, Options{}); err == nil {
		t.Error("damage without a power cut is taken")
	}
	fs.boot = 2
	_, report, err := recovered(fs, 2, Options{})
	if err != nil || report.Cut == nil || report.Cut.Groups == 0 || report.Cut.Name != segmentName(2) {
		t.Errorf("after a power cut: %v, %v", report.Cut, err)
	}
	// As if the next server had been killed before it removes what it has cut off.
	kept := fs.copyOf()
	kept.boot = 2
	kept.fail(func(op, _ string) error {
		if op == "remove" {
			return syscall.EIO
		}
		return nil
	})
	if o, err = tryOpen(kept, 2, small(No)); err != nil {
		t.Fatal(err)
	}
	want := o.store.content()
	_ = o.Close()
	if got, report, err := recovered(kept, 2, Options{}); err != nil || report.Cut != nil || !maps.Equal(got, want) {
		t.Errorf("with what was cut off still there: %v, %v", report.Cut, err)
	}
	o, err = tryOpen(fs, 2, small(No))
	if err != nil {
		t.Fatal(err)
	}
	_ = o.Close()
	if got, report, err := recovered(fs, 2, Options{}); err != nil || report.Cut != nil || !maps.Equal(got, want) {
		t.Errorf("once more: %v, %v", report.Cut, err)
	}
	for _, name := range fs.names() {
		if n, ok := numberOf(name, segmentPrefix); ok && n == 3 {
			t.Error("what was cut off is still there")
		}
	}
}

// TestMissing: a segment that isn't there any more.
func TestMissing(t *testing.T) {
	r := newRand(t)
	fs := newMemFS()
	o := open(t, fs, 2, small(Always))
	lane := o.NewLane(func(uint64, error) {})
	for range 60 {
		work(r, o, lane, 10)
		o.Maintain()
	}
	fs = fs.copyOf()
	for _, name := range []string{segmentName(1), segmentName(2)} {
		without := fs.copyOf()
		delete(without.files, name)
		if _, _, err := recovered(without, 2, Options{}); err == nil {
			t.Errorf("without %s: it is taken", name)
		}
	}
	if _, err := o.Snapshot(false); err != nil {
		t.Fatal(err)
	}
	fs = o.fs.(*memFS).copyOf()
	delete(fs.files, segmentName(o.snapshots.newest))
	if _, _, err := recovered(fs, 2, Options{}); err == nil {
		t.Error("a snapshot without the segment that it goes on with is taken")
	}
}

func (w writesMeanwhile) Some(cursor uint64, f func(*Change)) (next uint64, done bool) {
	w.write()
	return w.store.Some(cursor, f)
}

// TestGap: a log that ends while a record waits for another has lost that.
func TestGap(t *testing.T) {
	h := segmentHeader{shards: 1, number: 1, run: 1}
	b := appendStart(make([]byte, groupHeaderBytes), []uint64{0})
	b = AppendSet(b, 0, 2, []byte("second"), nil, 0, 0)
	sealGroup(b, 1, 0, 0)
	fs := newMemFS()
	fs.files[segmentName(1)] = &memFile{data: append(h.append(nil), b...)}
	var damage *DamageError
	if got, _, err := recovered(fs, 1, Options{}); !errors.As(err, &damage) || damage.CanTruncate {
		t.Errorf("%d keys, %v", len(got), err)
	}
}

// TestOfOtherPlaces: a whole group, or a whole block, at another's place is none.
func TestOfOtherPlaces(t *testing.T) {
	b := append(make([]byte, groupHeaderBytes), 1)
	sealGroup(b, 3, 100, 0)
	if _, ok := readGroup(b, 3, 100); !ok {
		t.Error("a group is none at its own place")
	}
	for _, at := range [][2]uint64{{3, 101}, {4, 100}} {
		if _, ok := readGroup(b, at[0], at[1]); ok {
			t.Errorf("a group is taken in segment %d at %d", at[0], at[1])
		}
	}
	h := snapshotHeader{run: 1, segment: 1, seqs: []uint64{0}}
	data := h.append(nil)
	block := appendSnapshotKey(make([]byte, blockHeaderBytes), &Change{Key: []byte("key")})
	sealBlock(block, blockKeys, 0)
	data = append(append(data, block...), block...) // the first block instead of the second
	fs := newMemFS()
	fs.files[snapshotName(1)] = &memFile{data: data}
	r, err := openSnapshot(fs, snapshotName(1))
	if err != nil {
		t.Fatal(err)
	}
	blocks := 0
	if err := r.eachBlock(nil, func([]byte, int64) error { blocks++; return nil }); err == nil || blocks != 1 {
		t.Errorf("%d blocks, %v", blocks, err)
	}
}

// large is a file that is longer than what is in it, and knows the longest read of it.
type large struct {
	File
	longest int
}

func (l *large) Size() (int64, error) { return 4 << 30, nil }

func (l *large) ReadAt(p []byte, at int64) (int, error) {
	l.longest = max(l.longest, len(p))
	return l.File.ReadAt(p[:min(len(p), 1<<20)], at)
}

// TestBlockLength: a block that is longer than any can be is not read, nor is there memory
// for it: one bit of its length is enough for that. One that can be is.
func TestBlockLength(t *testing.T) {
	header := (&snapshotHeader{run: 1, segment: 1, seqs: []uint64{0}}).append(nil)
	for _, bit := range []int{17, 29, 31} {
		block := appendSnapshotKey(make([]byte, blockHeaderBytes), &Change{Key: []byte("key")})
		sealBlock(block, blockKeys, 0)
		le.PutUint32(block[4:], le.Uint32(block[4:])^1<<bit)
		fs := newMemFS()
		fs.files[snapshotName(1)] = &memFile{data: append(header[:len(header):len(header)], block...)}
		r, err := openSnapshot(fs, snapshotName(1))
		if err != nil {
			t.Fatal(err)
		}
		f := &large{File: r.f}
		r.f = f
		r.size, _ = f.Size()
		var damage *DamageError
		if err := r.eachBlock(nil, func([]byte, int64) error { return nil }); !errors.As(err, &damage) {
			t.Errorf("bit %d: %v", bit, err)
		}
		if read := f.longest > 1<<bit; read != (bit == 17) {
			t.Errorf("bit %d: %d bytes are read at once", bit, f.longest)
		}
	}
}

// TestNewerFormat: what a later version has written is left alone.
func TestNewerFormat(t *testing.T) {
	l := logGroups(t, 2, everyMode[1])
	name := segmentName(1)
	b := l.fs.files[name].data
	b[8] = version + 1
	le.PutUint32(b[76:], sum(b[:76]))
	var newer *VersionError
	if _, _, err := recovered(l.fs, 2, Options{}); !errors.As(err, &newer) || newer.Name != name || newer.Version != version+1 {
		t.Errorf("%v", err)
	}

	l = logGroups(t, 2, everyMode[1])
	name = snapshotName(1)
	h := snapshotHeader{run: 1, segment: 1, seqs: []uint64{0, 0}}
	b = h.append(nil)
	b[8] = versionSnapshot + 1
	b = le.AppendUint32(b[:len(b)-4], sum(b[:len(b)-4]))
	l.fs.files[name] = &memFile{data: b}
	const want = "journal: snapshot-0000000000000001 has format 2, of a later version of the server than this one"
	if _, _, err := recovered(l.fs, 2, Options{}); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v", err)
	}
}

// FuzzSegment: no bytes of a segment crash the reader, or make it read more than there is.
func FuzzSegment(f *testing.F) {
	group := appendStart(make([]byte, groupHeaderBytes), []uint64{0, 0})
	group = AppendSet(group, 0, 1, []byte("key"), []byte("value"), 1, 5)
	group = AppendSet(AppendRename(group, 0, 2, []byte("key")), 1, 1, []byte("other"), []byte("value"), 1, 5)
	f.Add(group[groupHeaderBytes:], uint8(0))
	f.Add(AppendClearSet(group, []uint64{3, 2}, 1)[groupHeaderBytes:], uint8(3))
	f.Fuzz(func(t *testing.T, body []byte, cut uint8) {
		for _, block := range []int{0, 64} {
			h := segmentHeader{shards: 2, number: 1, run: 1, block: block}
			data := h.append(nil)
			data = append(data, make([]byte, h.fill(segmentHeaderBytes)-segmentHeaderBytes)...)
			g := append(make([]byte, groupHeaderBytes), body...)
			sealGroup(g, 1, h.next(0), 0)
			data = append(data, g...)
			fs := newMemFS()
			fs.files[segmentName(1)] = &memFile{data: data}
			_, _, _ = recovered(fs, 2, Options{})
			fs.files[segmentName(1)].data = data[:max(0, len(data)-int(cut))]
			_, _, _ = recovered(fs, 2, Options{})
		}
	})
}

// TestNextNumber: every place where a group's header has room, and none past them, against
// a byte a time.
func TestNextNumber(t *testing.T) {
	for _, number := range []uint64{1, 256, 1<<16 + 1} {
		for size := range 100 {
			for place := 0; place+8 <= size; place++ {
				b := make([]byte, size)
				le.PutUint64(b[place:], number)
				for from := range size + 1 {
					want := -1
					for at := from; at+groupHeaderBytes < size; at++ {
						if le.Uint64(b[at+8:]) == number {
							want = at
							break
						}
					}
					if got := nextNumber(b, from, number); got != want {
						t.Fatalf("%d at %d of %d, from %d: %d, want %d", number, place, size, from, got, want)
					}
				}
			}
		}
	}
}
