package journal

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// copyServed copies a directory as README says: the newest file of each kind first, while it
// goes on being written. A file is read in pieces. Before one of them turn is called, which
// returns when the log has gone on to another segment. gone is how many went away meanwhile.
func copyServed(t *testing.T, fs *memFS, r *rand.Rand, turn func()) (to *memFS, gone int) {
	to = newMemFS()
	names := fs.names()
	slices.Reverse(names)
	at := r.IntN(len(names))
	if r.IntN(2) == 0 { // most can go wrong with those that were begun last
		at = min(r.IntN(6), at)
	}
	for i, name := range names {
		if i == at {
			turn()
		}
		f, err := fs.Open(name)
		if errors.Is(err, os.ErrNotExist) {
			gone++
			continue
		}
		var data []byte
		for piece := make([]byte, 100); err == nil; {
			var n int
			n, err = f.ReadAt(piece, int64(len(data)))
			data = append(data, piece[:n]...)
		}
		if !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		to.files[name] = &memFile{data: data}
	}
	return to, gone
}

// TestCopyServed: a copy that is made while a store is written, and its segments turn over
// and snapshots are made, is a state that the store was in after the copy had begun.
func TestCopyServed(t *testing.T) {
	const keys = 40
	fs := newMemFS()
	o := open(t, fs, 4, Options{Mode: EverySec, SegmentBytes: 2 << 10, GroupBytes: 512, SnapshotBytes: 64 << 10})
	var acknowledged atomic.Int64
	// As a server mostly has it, the next segment is ready when it is needed.
	ready := func() bool {
		o.writer.Lock()
		defer o.writer.Unlock()
		return o.next != nil
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		lane := o.NewLane(func(uint64, error) {})
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if !ready() {
				time.Sleep(20 * time.Microsecond)
				i--
				continue
			}
			lane.Begin()
			o.store.set(lane.Records(), Change{Key: fmt.Appendf(nil, "key%d", i%keys), Value: strconv.AppendInt(nil, int64(i), 10)})
			lane.End()
			if _, err := lane.Done(o.Position()); err != nil {
				t.Error(err)
				return
			}
			acknowledged.Store(int64(i))
		}
	}()
	turn := func() {
		from := o.Stats().Position
		for deadline := time.Now().Add(30 * time.Second); o.Stats().Position < from+4<<10; time.Sleep(20 * time.Microsecond) {
			if time.Now().After(deadline) {
				t.Fatal("nothing is written any more")
			}
		}
	}
	r := newRand(t)
	snapshots := uint64(0)
	for whole := 0; whole < 100; {
		least, before := acknowledged.Load(), o.Stats()
		to, gone := copyServed(t, fs, r, turn)
		after := o.Stats()
		got, report, err := recovered(to, 2, Options{})
		if gone > 0 && after.Snapshots > before.Snapshots+1 {
			continue // it took longer than the time between two snapshots
		}
		if err != nil {
			t.Fatalf("copy %d: %v", whole, err)
		}
		most := 0
		values := map[string]int{}
		for key, text := range got {
			if values[key], err = strconv.Atoi(strings.Trim(strings.Fields(text)[0], `"`)); err != nil {
				t.Fatal(err)
			}
			most = max(most, values[key])
		}
		for i := max(1, most-keys+1); i <= most; i++ {
			if key := fmt.Sprintf("key%d", i%keys); values[key] != i {
				t.Fatalf("copy %d: %s is %d, and was %d when the last of all was %d", whole, key, values[key], i, most)
			}
		}
		if int64(most) < least {
			t.Fatalf("copy %d has %d, and %d was acknowledged before it; %+v", whole, most, least, report)
		}
		snapshots = after.Snapshots
		whole++
	}
	close(stop)
	<-stopped
	if snapshots == 0 {
		t.Error("there were no snapshots")
	}
}
