package journal

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
)

// TestSnapshotDamage: every byte of a snapshot, and every length. The one before it, or the
// log from its beginning, stands in, and gives the same; if neither is there it is an error.
func TestSnapshotDamage(t *testing.T) {
	r := newRand(t)
	for _, snapshots := range []int{1, 2} {
		fs := newMemFS()
		o := open(t, fs, 2, small(Always))
		lane := o.NewLane(func(uint64, error) {})
		for range snapshots {
			work(r, o, lane, 10)
			if _, err := o.Snapshot(false); err != nil {
				t.Fatal(err)
			}
		}
		work(r, o, lane, 10)
		o.Maintain()
		want := o.store.content()
		fs = fs.copyOf()
		name := snapshotName(o.snapshots.newest)
		whole := fs.files[name].data
		check := func(where string, data []byte) {
			fs := fs.copyOf()
			fs.files[name].data = data
			got, report, err := recovered(fs, 2, Options{})
			if err != nil || len(report.Skipped) != 1 || !maps.Equal(got, want) {
				t.Fatalf("%s: %v, skipped %v, %d keys, want %d", where, err, report.Skipped, len(got), len(want))
			}
			if snapshots == 1 {
				delete(fs.files, segmentName(1))
				if got, _, err := recovered(fs, 2, Options{}); err == nil {
					t.Fatalf("%s, without the log before it: %d keys", where, len(got))
				}
			}
		}
		for at := range whole {
			data := slices.Clone(whole)
			data[at] ^= 1 << (at % 8)
			check(fmt.Sprintf("byte %d", at), data)
			check(fmt.Sprintf("%d bytes", at), slices.Clone(whole[:at]))
		}
		check("a byte more", append(slices.Clone(whole), 0))
	}
}

// writesMeanwhile is a source that logs something while a snapshot is made of it.
type writesMeanwhile struct {
	*store
	write func()
}

// TestSnapshotNeeds: a snapshot has effects that came after its beginning. If the log has
// lost them, the store would be in a state that it never was in.
func TestSnapshotNeeds(t *testing.T) {
	fs := newMemFS()
	o := open(t, fs, 2, small(No))
	lane := o.NewLane(func(uint64, error) {})
	o.source = writesMeanwhile{o.store, func() {
		lane.Begin()
		o.store.set(lane.Records(), Change{Key: []byte("meanwhile"), Value: make([]byte, 400)})
		lane.End()
	}}
	if _, err := o.Snapshot(false); err != nil {
		t.Fatal(err)
	}
	cut := fs.copyOf()
	cut.boot = 2
	f := cut.files[segmentName(o.snapshots.newest)]
	f.data = f.data[:segmentHeaderBytes]
	var damage *DamageError
	if _, _, err := recovered(cut, 2, Options{}); !errors.As(err, &damage) {
		t.Errorf("without what it needs: %v", err)
	}
	if got, _, err := recovered(fs.copyOf(), 2, Options{}); err != nil || len(got) != 1 {
		t.Errorf("with it: %d keys, %v", len(got), err)
	}

	// A server that has truncated there is killed, at once or when it has logged something,
	// and the next one starts as any does.
	for _, writes := range []int{0, 3} {
		fs := cut.copyOf()
		fs.boot = 2
		opts := small(No)
		opts.Truncate = true
		o := open(t, fs, 2, opts)
		if o.report.Cut == nil {
			t.Error("nothing is truncated")
		}
		h := newHeld(o)
		for i := range writes {
			if _, err := h.set(o, fmt.Sprint("key", i), "value"); err != nil {
				t.Fatal(err)
			}
		}
		o.Maintain()
		want := o.store.content()
		fs = fs.copyOf()
		fs.boot = 2
		o, err := tryOpen(fs, 2, small(No))
		if err != nil {
			t.Errorf("after a truncation and %d writes: %v", writes, err)
			continue
		}
		if !maps.Equal(o.store.content(), want) || o.report.Cut != nil {
			t.Errorf("after a truncation and %d writes: %d keys, want %d, cut %v", writes, len(o.store.content()), len(want), o.report.Cut)
		}
		_ = o.Close()
	}
}

// TestSnapshotKeys: a store is not made to a number of keys that a snapshot has no room for.
func TestSnapshotKeys(t *testing.T) {
	r := newRand(t)
	fs := newMemFS()
	o := open(t, fs, 2, small(Always))
	lane := o.NewLane(func(uint64, error) {})
	var keys [2]uint64
	for i := range keys {
		work(r, o, lane, 10)
		info, err := o.Snapshot(false)
		if err != nil {
			t.Fatal(err)
		}
		keys[i] = info.Keys
	}
	want := o.store.content()
	fs = fs.copyOf()
	data := fs.files[snapshotName(o.snapshots.newest)].data
	end := data[len(data)-blockHeaderBytes-24:]
	for i, claimed := range []uint64{keys[1], 1 << 60} {
		le.PutUint64(end[blockHeaderBytes:], claimed)
		sealBlock(end, blockEnd, le.Uint32(end[12:]))
		j, err := Open(fs, Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		if got := j.Keys(); got != keys[1-i] {
			t.Errorf("of %d keys a store is made for %d, want %d", claimed, got, keys[1-i])
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		got, report, err := recovered(fs, 2, Options{})
		if err != nil || len(report.Skipped) != i || !maps.Equal(got, want) {
			t.Errorf("of %d keys: %v, skipped %v, %d keys, want %d", claimed, err, report.Skipped, len(got), len(want))
		}
	}
}

// FuzzSnapshot: the same of a snapshot's keys.
func FuzzSnapshot(f *testing.F) {
	f.Add(appendSnapshotKey(nil, &Change{Key: []byte("key"), Value: []byte("value"), Deadline: 1}))
	f.Fuzz(func(t *testing.T, body []byte) {
		h := snapshotHeader{run: 1, segment: 1, seqs: []uint64{0}}
		data := h.append(nil)
		b := append(make([]byte, blockHeaderBytes), body...)
		sealBlock(b, blockKeys, 0)
		data = append(data, b...)
		end := make([]byte, blockHeaderBytes+24)
		sealBlock(end, blockEnd, 1)
		fs := newMemFS()
		fs.files[snapshotName(1)] = &memFile{data: append(data, end...)}
		seg := segmentHeader{shards: 1, number: 1, run: 1}
		fs.files[segmentName(1)] = &memFile{data: seg.append(nil)}
		if _, report, err := recovered(fs, 1, Options{}); err == nil && len(report.Skipped) == 0 && len(body) > 0 {
			t.Error("keys that the end does not count are taken")
		}
	})
}
