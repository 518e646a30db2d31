package journal

import (
	"errors"
	"maps"
	"syscall"
	"testing"
)

// TestLostHeader: the header of a segment that has groups is judged as a group is. If it was
// never synced, power may take it, and what follows goes with it; otherwise it is damage.
func TestLostHeader(t *testing.T) {
	r := newRand(t)
	o := open(t, newMemFS(), 2, small(No))
	lane := o.NewLane(func(uint64, error) {})
	for range 60 {
		work(r, o, lane, 10)
		o.keepUp()
	}
	unsynced := o.fs.(*memFS).copyOf()
	if err := o.Journal.Sync(); err != nil {
		t.Fatal(err)
	}
	synced := o.current.number // only what is in later segments isn't
	for range 60 {
		work(r, o, lane, 10)
		o.keepUp()
	}
	last := o.current.number
	later := o.fs.(*memFS).copyOf()
	if last < synced+3 {
		t.Fatalf("segment %d, and %d later", synced, last)
	}
	for _, c := range []struct {
		name   string
		fs     *memFS
		number uint64
		boot   uint64
		damage bool
	}{
		{"never synced", unsynced, 2, 2, false},
		{"past what is synced", later, synced + 1, 2, false},
		{"the last", later, last, 2, false},
		{"without a power cut", later, last, 1, true},
		{"synced", later, 2, 2, true},
		{"the last that is synced", later, synced, 2, true},
		{"the first of a run", unsynced, 1, 2, true},
	} {
		fs, before := c.fs.copyOf(), c.fs.copyOf()
		fs.boot = c.boot
		fs.files[segmentName(c.number)].data[0] ^= 1
		for _, name := range before.names() {
			if n, ok := numberOf(name, segmentPrefix); ok && n >= c.number {
				delete(before.files, name)
			}
		}
		want, _, err := recovered(before, 2, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var damage *DamageError
		_, _, err = recovered(fs, 2, Options{})
		if errors.As(err, &damage) != c.damage || damage != nil && damage.Name != segmentName(c.number) {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if c.number == 1 {
			continue // there is nothing before it that the log could end in
		}
		got, report, err := recovered(fs, 2, Options{Truncate: true})
		if err != nil || report.Cut == nil || report.Cut.Name != segmentName(c.number) || report.Cut.Groups == 0 || !maps.Equal(got, want) {
			t.Errorf("%s, truncated: %d keys, want %d, %v, %v", c.name, len(got), len(want), report.Cut, err)
			continue
		}
		// The next server leaves it out, even if it is killed before it removes it.
		fs.fail(func(op, _ string) error {
			if op == "remove" {
				return syscall.EIO
			}
			return nil
		})
		next, err := tryOpen(fs, 2, Options{Mode: No, Manual: true, Truncate: true})
		if err != nil {
			t.Errorf("%s, the next run: %v", c.name, err)
			continue
		}
		_ = next.Close()
		if got, report, err := recovered(fs, 2, Options{}); err != nil || report.Cut != nil || !maps.Equal(got, want) {
			t.Errorf("%s, one run later: %d keys, want %d, %v, %v", c.name, len(got), len(want), report.Cut, err)
		}
	}
}

// TestLostHeaderOfRun: the first segment of a run is on disk before a second group is, so
// that its header isn't lost with power.
func TestLostHeaderOfRun(t *testing.T) {
	fs := newMemFS()
	for range 2 {
		o, err := tryOpen(fs, 2, small(No))
		if err != nil {
			t.Fatal(err)
		}
		lane := o.NewLane(func(uint64, error) {})
		lane.Begin()
		o.store.set(lane.Records(), Change{Key: []byte("key")})
		lane.End()
		if _, err := lane.Done(o.Position()); err != nil {
			t.Fatal(err)
		}
		number := o.current.number
		cut := fs.copyOf()
		cut.boot = 2
		cut.files[segmentName(number)].data[0] ^= 1
		var damage *DamageError
		if got, _, err := recovered(cut, 2, Options{}); !errors.As(err, &damage) || damage.Name != segmentName(number) {
			t.Errorf("segment %d: %d keys, %v", number, len(got), err)
		}
		_ = o.Close()
	}
}
