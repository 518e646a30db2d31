package journal

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// atOnce is a journal that writes several groups at once, the first of which is held back.
type atOnce struct {
	*opened
	fs      *memFS
	h       *held
	before  map[string]string // what the store was before it
	first   uint64            // its number
	last    uint64            // and that of the last one, which is on disk
	held    chan struct{}     // receives when its write has begun
	goOn    chan error        // has it be done, or not
	written atomic.Int64      // groups since
}

func holdFirst(t *testing.T) *atOnce {
	a := &atOnce{fs: everyMode[2].newFS(), held: make(chan struct{}, 1), goOn: make(chan error)}
	opts := small(Always)
	opts.Manual = false
	a.opened = open(t, a.fs, 2, opts)
	t.Cleanup(func() { close(a.goOn) })
	a.h = newHeld(a.opened)
	a.set(t, "before", 100)
	a.until(t, func() bool { return a.h.upTo() == a.first })
	a.before = a.store.content()
	isFirst := true
	a.fs.fail(func(op, name string) error {
		if op != "write" || !strings.HasPrefix(name, segmentPrefix) {
			return nil
		}
		a.fs.mu.Lock()
		wait := isFirst
		isFirst = false
		a.fs.mu.Unlock()
		if wait {
			a.held <- struct{}{}
			return <-a.goOn
		}
		a.written.Add(1)
		return nil
	})
	a.set(t, "first", 100)
	<-a.held
	first := a.first
	for i := range 5 {
		a.set(t, fmt.Sprint("later", i), 100)
		n := int64(i + 1)
		a.until(t, func() bool { return a.written.Load() >= n })
	}
	a.first, a.last = first, a.first
	return a
}

func (a *atOnce) set(t *testing.T, key string, length int) {
	t.Helper()
	position, err := a.h.set(a.opened, key, strings.Repeat("v", length))
	if err != nil {
		t.Fatal(err)
	}
	a.first = position
}

func (a *atOnce) until(t *testing.T, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(50 * time.Microsecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in a minute: %+v", a.Stats())
		}
	}
}

// TestAtOnce: a group is written while the one before it is. It counts as written when that one
// is, too; a process that is killed before leaves a hole, which is no damage.
func TestAtOnce(t *testing.T) {
	a := holdFirst(t)
	if upTo := a.h.upTo(); upTo >= a.first || a.Kept() >= a.first {
		t.Fatalf("released up to %d, and %d is not written", upTo, a.first)
	}
	got, report, err := recovered(a.fs.copyOf(), 2, Options{})
	if err != nil || report.Cut == nil || report.Cut.Groups == 0 || !maps.Equal(got, a.before) {
		t.Fatalf("killed there: %d keys, want %d, cut %v, %v", len(got), len(a.before), report.Cut, err)
	}
	to := newMemFS()
	if report, err := Copy(a.fs, to); err != nil || report.Cut != nil {
		t.Fatalf("copied there: cut %v, %v", report.Cut, err)
	}
	if got, _, err := recovered(to, 2, Options{}); err != nil || !maps.Equal(got, a.before) {
		t.Fatalf("copied there: %d keys, want %d: %v", len(got), len(a.before), err)
	}
	a.goOn <- nil
	a.until(t, func() bool { return a.h.upTo() >= a.last })
	if got, report, err := recovered(a.fs.powerCut(), 2, Options{}); err != nil || report.Cut != nil || !maps.Equal(got, a.store.content()) {
		t.Fatalf("then: %d keys, cut %v, %v", len(got), report.Cut, err)
	}
}

// TestAtOnceFails: when one fails nothing behind it was ever there.
func TestAtOnceFails(t *testing.T) {
	a := holdFirst(t)
	a.goOn <- syscall.EIO
	<-a.Failed()
	a.until(t, func() bool { return a.h.upTo() == 0 }) // it is told of the error
	a.h.mu.Lock()
	to := a.h.to
	a.h.mu.Unlock()
	if to >= a.first || a.Kept() >= a.first {
		t.Fatalf("released up to %d, and %d has failed", to, a.first)
	}
	if err := a.Close(); err == nil {
		t.Error("it ends well")
	}
	a.fs.fail(nil)
	o := open(t, a.fs, 2, small(Always))
	if o.report.Cut == nil || !maps.Equal(o.store.content(), a.before) {
		t.Errorf("%d keys, want %d, cut %v", len(o.store.content()), len(a.before), o.report.Cut)
	}
}

// TestAtOnceFull: when one finds no room, it is written in its place when there is some.
func TestAtOnceFull(t *testing.T) {
	a := holdFirst(t)
	a.goOn <- syscall.ENOSPC
	a.until(t, func() bool { return a.h.upTo() >= a.last })
	if why, refuses := a.Refuses(); refuses || a.Err() != nil {
		t.Errorf("%s, %v", why, a.Err())
	}
	if got, report, err := recovered(a.fs.powerCut(), 2, Options{}); err != nil || report.Cut != nil || !maps.Equal(got, a.store.content()) {
		t.Fatalf("%d keys, cut %v, %v", len(got), report.Cut, err)
	}
}

// TestNoDurable: a directory that can't write so, or whose first write so fails, is written one
// group after the other.
func TestNoDurable(t *testing.T) {
	for _, fault := range []error{nil, syscall.EINVAL, syscall.EOPNOTSUPP} {
		fs := newMemFS()
		if fs.durableFault = fault; fault != nil {
			fs.block = 32
		}
		o := open(t, fs, 2, small(Always))
		h := newHeld(o)
		position, err := h.set(o, "key", "value")
		o.Maintain()
		if err != nil || h.upTo() < position || o.durable.on.Load() {
			t.Fatalf("%v: released up to %d of %d, %v", fault, h.upTo(), position, err)
		}
		if h, _, err := readSegmentHeader(fs.files[segmentName(1)].data); err != nil || h.block != 0 {
			t.Errorf("%v: blocks of %d, %v", fault, h.block, err)
		}
	}
}

// TestRoomToBegin: a run that has found no room at its beginning, at any write, begins with the
// first room there is, where the one before has ended.
func TestRoomToBegin(t *testing.T) {
	for _, mode := range everyMode {
		for n := range 6 {
			fs := mode.newFS()
			o := open(t, fs, 2, small(mode.Mode))
			h := newHeld(o)
			if _, err := h.set(o, "before", "1"); err != nil {
				t.Fatal(err)
			}
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
			left := n
			fs.fail(func(op, name string) error {
				if op == "write" && strings.HasPrefix(name, segmentPrefix) {
					if left--; left < 0 {
						return syscall.ENOSPC
					}
				}
				return nil
			})
			o = open(t, fs, 2, small(mode.Mode))
			if o.current == nil && len(o.wakeKeeper) > 0 {
				t.Errorf("%s, %d writes: what had no room to begin is tried again at once, and so on", mode, n)
			}
			fs.fail(nil)
			o.Maintain()
			h = newHeld(o)
			position, err := h.set(o, "after", "2")
			o.Maintain()
			if err != nil || h.upTo() < position {
				t.Fatalf("%s, %d writes: released up to %d of %d, %v", mode, n, h.upTo(), position, err)
			}
			got, report, err := recovered(fs.copyOf(), 2, Options{})
			if err != nil || report.Cut != nil || !maps.Equal(got, o.store.content()) || len(got) != 2 {
				t.Fatalf("%s, %d writes: %d keys, cut %v, %v", mode, n, len(got), report.Cut, err)
			}
		}
	}
}

// TestFilledHeaders: a header that says that groups are filled up says how far.
func TestFilledHeaders(t *testing.T) {
	h := segmentHeader{shards: 2, number: 1, run: 1, begin: 1000, block: 512}
	for _, c := range []struct{ position, next uint64 }{{1000, 1432}, {1432, 1432}, {1433, 1944}, {1944, 1944}} {
		if next := h.next(c.position); next != c.next {
			t.Errorf("after %d comes %d, want %d", c.position, next, c.next)
		}
	}
	for block, want := range map[int]bool{1: true, 512: true, maxBlock: true, 0: false, 3: false, 2 * maxBlock: false, -512: false} {
		b := h.append(nil)
		le.PutUint32(b[72:], uint32(block))
		le.PutUint32(b[76:], sum(b[:76]))
		if got, ok, err := readSegmentHeader(b); ok != want || err != nil || ok && got.block != block {
			t.Errorf("blocks of %d: %v, %v", block, ok, err)
		}
	}
	var newer *VersionError
	b := h.append(nil)
	b[8] = version + 1
	le.PutUint32(b[76:], sum(b[:76]))
	if _, _, err := readSegmentHeader(b); !errors.As(err, &newer) {
		t.Errorf("a newer one: %v", err)
	}
}

// TestAtOnceWakes: a lane that has gathered so much that it writes itself tells others that wait
// for the same group.
func TestAtOnceWakes(t *testing.T) {
	fs := everyMode[2].newFS()
	opts := small(Always)
	opts.Manual, opts.SegmentBytes = false, 1<<20
	o := open(t, fs, 2, opts)
	x, y := newHeld(o), newHeld(o)
	began, goOn := make(chan struct{}, 10), make(chan struct{})
	t.Cleanup(sync.OnceFunc(func() { close(goOn) }))
	fs.fail(func(op, name string) error {
		if op == "write" && strings.HasPrefix(name, segmentPrefix) {
			began <- struct{}{}
			<-goOn
		}
		return nil
	})
	x.Begin()
	o.store.set(x.Records(), Change{Key: []byte("x"), Value: []byte("v")})
	x.End()
	position := o.Position()
	done := make(chan error)
	go func() { // y writes both
		_, err := y.set(o, "y", strings.Repeat("v", 9<<10))
		done <- err
	}()
	<-began
	upTo, err := x.Done(position)
	x.released(upTo, err)
	for len(o.wake) > 0 { // the goroutines that write look, and find nothing
		time.Sleep(time.Millisecond)
	}
	time.Sleep(10 * time.Millisecond)
	goOn <- struct{}{}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); x.upTo() < position; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("released up to %d of %d, and %d is kept", x.upTo(), position, o.Kept())
		}
	}
}

// TestAtOnceBehind: while one group takes its time, no more than so much is taken behind it.
func TestAtOnceBehind(t *testing.T) {
	for _, length := range []int{1, 700} {
		a := holdFirst(t)
		a.h.Begin() // what gathers is bound, too: see TestGathered
		a.h.End()
		most := 0
		for i := range 3 * mostDurable {
			if _, err := a.h.set(a.opened, fmt.Sprint("more", i), strings.Repeat("v", length)); err != nil {
				t.Fatal(err)
			}
			for try := 0; try < 20 && !a.durable.isBehind() && a.written.Load() < int64(i); try++ {
				time.Sleep(100 * time.Microsecond)
			}
			a.durable.Lock()
			most = max(most, len(a.durable.groups))
			a.durable.Unlock()
			if a.durable.isBehind() && len(a.h.records) > 4<<10 {
				break // a lane with much more waits
			}
		}
		if most > mostDurable || most < mostDurable/4 {
			t.Errorf("%d groups were taken, %d may be", most, mostDurable)
		}
		a.durable.Lock()
		if n := a.durable.bytes; n > mostDurableBytes+(8<<10) {
			t.Errorf("%d bytes of them", n)
		}
		for _, g := range a.durable.groups {
			if g.done && g.bytes != nil {
				t.Error("one that is on disk keeps its memory")
			}
		}
		a.durable.Unlock()
		a.goOn <- nil
		a.until(t, func() bool { return a.Kept() >= a.Position() })
	}
}

// TestAtOnceCopy: a segment may be full, and the next one begun, while its last group is under way.
// A copy is begun again then.
func TestAtOnceCopy(t *testing.T) {
	fs := everyMode[2].newFS()
	opts := small(Always)
	opts.Manual, opts.SnapshotBytes = false, 1<<40
	o := open(t, fs, 2, opts)
	h := newHeld(o)
	var writes, lists atomic.Int64
	goOn := make(chan struct{})
	let := sync.OnceFunc(func() { close(goOn) })
	t.Cleanup(let)
	var position uint64
	fs.fail(func(op, name string) error {
		switch {
		case op == "write" && strings.HasPrefix(name, segmentPrefix) && writes.Add(1) == 1:
			<-goOn
		case op == "list" && lists.Add(1) == 3: // the second try's
			let()
			for o.Kept() < position {
				time.Sleep(50 * time.Microsecond)
			}
		}
		return nil
	})
	for i := 0; o.Stats().Segments < 3; i++ {
		n := writes.Load()
		var err error
		if position, err = h.set(o, fmt.Sprint(i), strings.Repeat("v", 300)); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(time.Minute); writes.Load() == n; time.Sleep(50 * time.Microsecond) {
			if time.Now().After(deadline) {
				t.Fatal("nothing is written in a minute")
			}
		}
		o.keepUp()
	}
	want, to := o.store.content(), newMemFS()
	report, err := Copy(fs, to)
	if err != nil || report.Cut != nil {
		t.Fatalf("cut %v, %v", report.Cut, err)
	}
	if got, _, err := recovered(to, 2, Options{}); err != nil || !maps.Equal(got, want) || lists.Load() < 3 {
		t.Fatalf("%d keys, want %d, after %d lists: %v", len(got), len(want), lists.Load(), err)
	}
}

// TestAlignedBytes: memory for a write begins where that may.
func TestAlignedBytes(t *testing.T) {
	for align := 1; align <= maxBlock; align *= 2 {
		for n := range 50 {
			b := alignedBytes(n*100+1, align)
			if at := uintptr(unsafe.Pointer(unsafe.SliceData(b))); at%uintptr(align) != 0 || len(b) != n*100+1 {
				t.Fatalf("%d bytes at %x, want %d at a multiple of %d", len(b), at, n*100+1, align)
			}
		}
	}
}

// TestAtOnceOnDisk: the system's own files, where they can be written so: several lanes, and
// copies beside them.
func TestAtOnceOnDisk(t *testing.T) {
	fs, err := Dir(t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	opts := Options{Mode: Always, SegmentBytes: 256 << 10, SnapshotBytes: 1 << 20}
	o := open(t, fs, 4, opts)
	if !o.durable.on.Load() {
		t.Skip("the file system of the temporary directory can't write several groups at once")
	}
	var acknowledged [3]atomic.Int64
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for i := range acknowledged {
		wake := make(chan struct{}, 1)
		lane := o.NewLane(func(uint64, error) { wakeUp(wake) })
		wg.Go(func() {
			for n := int64(1); ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				lane.Begin()
				o.store.set(lane.Records(), Change{Key: []byte{byte(i)}, Value: fmt.Append(nil, n)})
				lane.End()
				position := o.Position()
				for upTo, err := lane.Done(position); err == nil && upTo < position; upTo = o.Kept() {
					<-wake
				}
				acknowledged[i].Store(n)
			}
		})
	}
	check := func(what string, got map[string]string, least [3]int64) {
		for i, n := range least {
			var is int64
			if _, err := fmt.Sscanf(got[string([]byte{byte(i)})], "\"%d\"", &is); n > 0 && (err != nil || is < n) {
				t.Errorf("%s: lane %d has %q, %d was acknowledged before", what, i, got[string([]byte{byte(i)})], n)
			}
		}
	}
	now := func() (least [3]int64) {
		for i := range acknowledged {
			least[i] = acknowledged[i].Load()
		}
		return least
	}
	for n := 0; n < 5 || acknowledged[0].Load() < 300; n++ {
		least, to := now(), newMemFS()
		if report, err := Copy(fs, to); err != nil || report.Cut != nil {
			t.Fatalf("copy %d: cut %v, %v", n, report.Cut, err)
		}
		got, _, err := recovered(to, 2, Options{})
		if err != nil {
			t.Fatal(err)
		}
		check("a copy", got, least)
	}
	close(stop)
	wg.Wait()
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	got, report, err := recovered(fs, 2, Options{})
	if err != nil || report.Cut != nil {
		t.Fatalf("cut %v, %v", report.Cut, err)
	}
	check("the end", got, now())
}
