package journal

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestNoDescriptors: a server that has no descriptor left goes on with the
// segment that is ready, and syncs it, with its name. What needs one is tried again.
func TestNoDescriptors(t *testing.T) {
	fs, err := Dir(t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	o := open(t, fs, 2, small(EverySec))
	h := newHeld(o)
	if err := o.prepare(); err != nil {
		t.Fatal(err)
	}
	boot := fs.BootID()
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	limit := func(n uint64) {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: was.Max}); err != nil {
			t.Fatal(err)
		}
	}
	limit(0)
	defer limit(was.Cur)
	set := func(key string) {
		t.Helper()
		if position, err := h.set(o, key, strings.Repeat("v", 3000)); err != nil || h.upTo() < position {
			t.Errorf("%s: released up to %d of %d, %v", key, h.upTo(), position, err)
		}
	}
	for first := o.current.number; o.current.number == first && !t.Failed(); {
		set("key")
	}
	if err := o.Sync(); err != nil {
		t.Error(err)
	}
	if o.prepare() == nil {
		t.Error("a file is made without a descriptor")
	}
	if o.current.boot != boot {
		t.Errorf("the segment is of start %d, want %d", o.current.boot, boot)
	}
	limit(was.Cur)
	if err := o.prepare(); err != nil {
		t.Error(err)
	}
	set("then")
	if _, refused := o.Refuses(); refused || o.Err() != nil {
		t.Errorf("with descriptors it refuses: %t, and has failed: %v", refused, o.Err())
	}
}
