package journal

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"syscall"
	"testing"
)

// This file is what is more than a number of the format has room for.

// TestLastNumber: a server does not go on from a file that has the last name there is, since none
// would know its segment again. With one name left it takes that, and refuses writes when it is full.
func TestLastNumber(t *testing.T) {
	fs := newMemFS()
	fs.files[segmentName(maxNumber)] = &memFile{}
	if _, err := tryOpen(fs, 2, small(EverySec)); !errors.Is(err, errNoNumber) {
		t.Errorf("a server begins: %v", err)
	}
	fs = newMemFS()
	fs.files[segmentName(maxNumber-1)] = &memFile{}
	o := open(t, fs, 2, small(EverySec))
	h := newHeld(o)
	why, refused := "", false
	for i := 0; !refused; i++ {
		if _, err := h.set(o, fmt.Sprint("key", i), "value"); err != nil || i > 1000 {
			t.Fatalf("write %d: %v", i, err)
		}
		o.Maintain()
		why, refused = o.Refuses()
	}
	if !strings.Contains(why, segmentName(maxNumber)) {
		t.Errorf("they are refused since %s", why)
	}
	if got, _, err := recovered(fs.copyOf(), 2, Options{}); err != nil || !maps.Equal(got, o.store.content()) {
		t.Errorf("%d keys, want %d; %v", len(got), len(o.store.content()), err)
	}
}

// TestLongGroup: what is too long for a group's header is the journal's end. It is not written with
// a length that it hasn't, after which a recovery would find damage.
func TestLongGroup(t *testing.T) {
	if underRace {
		t.Skip("the race detector has memory of its own for all that is made")
	}
	fs := newMemFS()
	o := open(t, fs, 2, small(EverySec))
	l := o.NewLane(func(uint64, error) {})
	wrote := false
	fs.fail(func(op, _ string) error {
		if op == "write" {
			wrote = true
			return syscall.EIO
		}
		return nil
	})
	l.Begin()
	*l.Records() = make([]byte, int64(mostGroupBytes)+1) // of which nobody has touched a page
	l.End()
	if err := o.Err(); err == nil || !strings.Contains(err.Error(), "4294967296 bytes") || wrote {
		t.Errorf("%v, written: %v", err, wrote)
	}
}

// TestMostWaiting: all that a group can hold may wait for its last record, and no more.
func TestMostWaiting(t *testing.T) {
	const each = mostGroupBytes / 4
	_, o := replayed(1)
	if err := errors.Join(o.begin(1), o.start([]uint64{0})); err != nil {
		t.Fatal(err)
	}
	take := func(seq uint64) error {
		rec, _, _ := readRecord(AppendSet(nil, 0, seq, []byte("key"), nil, 0, 0))
		return o.take(rec, each)
	}
	for seq := uint64(2); seq <= 5; seq++ {
		if err := take(seq); err != nil {
			t.Fatalf("%d records of %d bytes may not wait: %v", seq-1, each, err)
		}
	}
	if err := take(6); err == nil {
		t.Error("more than a group waits")
	}
}

// hugeFS is a directory whose files all say that they have more bytes than there is memory.
type hugeFS struct{ *memFS }

func (fs hugeFS) Open(name string) (File, error) {
	f, err := fs.memFS.Open(name)
	return hugeFile{f}, err
}

type hugeFile struct{ File }

func (hugeFile) Size() (int64, error) { return 1 << 60, nil }

// TestHugeSegment: no memory is made for the length of a file that can't be a segment's.
func TestHugeSegment(t *testing.T) {
	fs := newMemFS()
	o := open(t, fs, 2, small(EverySec))
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"a segment", "one without a header"} {
		var damage *DamageError
		if _, _, err := recovered(hugeFS{fs}, 2, Options{}); !errors.As(err, &damage) || damage.Name != segmentName(1) {
			t.Errorf("%s: %v", what, err)
		}
		fs.files[segmentName(1)].data[0] ^= 1
	}
}
