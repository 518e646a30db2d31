package netio_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"keyframe/engine/journal"
)

// TestSnapshotBeside: a snapshot is made while clients write on every loop, and one when the
// loops have ended. The next server has all that was answered.
func TestSnapshotBeside(t *testing.T) {
	const clients, keys = 4, 1000
	dir := t.TempDir()
	s := startOnDisk(t, dir, journal.EverySec, 2, true)
	value := strings.Repeat("v", 100)
	set := func(c *diskClient, client, from, n int) error {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `{"SET":{"key:%d:%d":"%s%d"}}`+"\n", client, from+i, value, i)
		}
		if _, err := c.Write([]byte(b.String())); err != nil {
			return err
		}
		for range n {
			if got, err := c.in.ReadString('\n'); err != nil || !strings.Contains(got, `"st":1`) {
				return fmt.Errorf("answered %q, %w", got, err)
			}
		}
		return nil
	}
	var cs [clients]*diskClient
	for i := range cs {
		cs[i] = dialDisk(t, s.addr)
		if err := set(cs[i], i, 0, keys); err != nil {
			t.Fatal(err)
		}
	}
	var snapshots atomic.Int32
	failed := make(chan error, clients)
	written := make([]int, clients)
	for i, c := range cs {
		go func() {
			n := keys
			for ; snapshots.Load() < 3; n += 100 {
				if err := set(c, i, n, 100); err != nil {
					failed <- err
					return
				}
			}
			written[i] = n
			failed <- nil
		}()
	}
	for range 3 {
		if info, err := s.log.Snapshot(true); err != nil || info.Keys < clients*keys {
			t.Errorf("%d keys, want %d at least: %v", info.Keys, clients*keys, err)
		}
		snapshots.Add(1)
	}
	want := 0
	for range cs {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	for i, c := range cs {
		want += written[i]
		_ = c.Close()
	}
	s.once.Do(func() { // as end, with a snapshot in between
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if info, err := s.log.Snapshot(true); err != nil || info.Keys != uint64(want) {
			t.Errorf("%d keys when the loops have ended, want %d: %v", info.Keys, want, err)
		}
		_, _ = s.log.Close(), s.store.Close()
	})

	s = startOnDisk(t, dir, journal.EverySec, 1, true)
	if got := s.store.Len(); got != want {
		t.Errorf("%d keys, want %d", got, want)
	}
}
