package netio_test

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"keyframe/engine"
	"keyframe/engine/journal"
	"keyframe/netio"
)

// farOff is a deadline that no test lives to see.
const farOff = math.MaxInt64 / 2

// storeDir is a directory that one store after another keeps its keys in.
type storeDir struct {
	t  *testing.T
	fs journal.FS
}

func newStoreDir(t *testing.T) storeDir {
	fs, err := journal.Dir(t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	return storeDir{t, fs}
}

// recover has a store filled with what is there.
func (d storeDir) recover(opts engine.Options) (*journal.Journal, *engine.Engine, error) {
	e, err := engine.New(opts)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = e.Close() })
	j, err := journal.Open(d.fs, journal.Options{})
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err = netio.Recover(context.Background(), j, e); err != nil {
		_ = j.Close()
	}
	return j, e, err
}

// start has a store begin with what is there. It ends with its journal.
func (d storeDir) start(opts engine.Options) (*journal.Journal, *engine.Engine) {
	opts.RecordEffects = true
	j, e, err := d.recover(opts)
	if err == nil {
		err = netio.StartLog(j, e)
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return j, e
}

// content is what a store without a ceiling finds there.
func (d storeDir) content() map[string]string {
	j, e, err := d.recover(engine.Options{Shards: 8})
	if err != nil {
		d.t.Fatal(err)
	}
	_ = j.Close()
	return contentOf(e)
}

func contentOf(e *engine.Engine) map[string]string {
	all := make(map[string]string)
	e.Each(func(key, value []byte, form engine.Form, deadline int64) bool {
		all[string(key)] = fmt.Sprintf("%d %d %s", form, deadline, value)
		return true
	})
	return all
}

// TestRecoverEvictions: what was evicted to make room, by sets, renames and CLEAR_SETs, is
// gone after a restart too, and nothing else is.
func TestRecoverEvictions(t *testing.T) {
	r := rand.New(rand.NewPCG(newSeed(t), 0)) // what is evicted depends on the store's own secrets too
	dir := newStoreDir(t)
	j, e := dir.start(engine.Options{Shards: 4, MaxBytes: 8 << 20, Evict: engine.EvictAll})
	evicted := 0
	var b engine.Batch
	for i := range 6000 {
		key := fmt.Appendf(nil, "key-%d", r.IntN(4000))
		if i%10 == 0 {
			b.Add(engine.Rename, key, fmt.Appendf(nil, "moved-%d", i))
		} else {
			b.Add(engine.Set, key, make([]byte, 1+r.IntN(6000)))
		}
		if len(b.Ops) == 20 {
			netio.ApplyLogged(j, e, &b)
			for effect := range b.Effects() {
				if effect.Evicted {
					evicted++
				}
			}
			b.Reset()
		}
	}
	want := contentOf(e)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if got := dir.content(); evicted == 0 || !maps.Equal(got, want) {
		t.Errorf("%d were evicted; %d keys are back, want %d, or others", evicted, len(got), len(want))
	}

	// A store that is too small for them evicts some while it is loaded.
	j, e = dir.start(engine.Options{Shards: 4, MaxBytes: 4 << 20, Evict: engine.EvictAll})
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if all := len(want); e.Len() >= all {
		t.Errorf("the small store has %d keys of %d", e.Len(), all)
	}
	want = contentOf(e)
	if got := dir.content(); !maps.Equal(got, want) {
		t.Errorf("after a smaller store %d keys are back, want %d, or others", len(got), len(want))
	}
}

// TestRecoverTooLarge: a value for which a store that evicts has no room is as if it had been
// evicted at once, though there is nothing that could be evicted for it.
func TestRecoverTooLarge(t *testing.T) {
	for _, policy := range []engine.Evict{engine.EvictAll, engine.EvictVolatile} {
		dir := newStoreDir(t)
		j, e := dir.start(engine.Options{Shards: 4})
		var b engine.Batch
		b.Add(engine.Set, []byte("larger"), []byte("not yet"))
		b.AddArgs(engine.Set, []byte("larger"), make([]byte, 4<<20), 0, engine.Args{Deadline: farOff})
		netio.ApplyLogged(j, e, &b)
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if _, _, err := dir.recover(engine.Options{Shards: 4, MaxBytes: 4 << 20}); err == nil || !strings.Contains(err.Error(), "--max-memory") {
			t.Errorf("without eviction: %v", err)
		}
		j, e = dir.start(engine.Options{Shards: 4, MaxBytes: 4 << 20, Evict: policy})
		if st := e.Stats(); st.Keys != 0 || st.Evicted != 1 {
			t.Errorf("policy %d: %d keys, %d evicted", policy, st.Keys, st.Evicted)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if got := dir.content(); len(got) != 0 {
			t.Errorf("policy %d: it is back", policy)
		}
	}
}

// TestRecoverVolatile: of what has no room in a smaller store, keys without a deadline are not
// evicted.
func TestRecoverVolatile(t *testing.T) {
	r := rand.New(rand.NewPCG(newSeed(t), 0))
	dir := newStoreDir(t)
	j, e := dir.start(engine.Options{Shards: 4})
	var b engine.Batch
	for i := range 6000 {
		value := make([]byte, 1000+r.IntN(1000))
		b.AddArgs(engine.Set, fmt.Appendf(nil, "volatile-%d", i), value, 0, engine.Args{Deadline: farOff})
		if i%6 == 0 {
			b.Add(engine.Set, fmt.Appendf(nil, "lasting-%d", i), value)
		}
		if i%20 == 19 {
			netio.ApplyLogged(j, e, &b)
			b.Reset()
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j, e = dir.start(engine.Options{Shards: 16, MaxBytes: 6 << 20, Evict: engine.EvictVolatile})
	want := contentOf(e)
	lasting := 0
	for key := range want {
		if strings.HasPrefix(key, "lasting") {
			lasting++
		}
	}
	if lasting != 1000 || len(want) == lasting || len(want) >= 7000 {
		t.Errorf("%d keys, %d of them lasting; want all 1000 of those, and some of 6000", len(want), lasting)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if got := dir.content(); !maps.Equal(got, want) {
		t.Errorf("later there are %d keys, want %d, or others", len(got), len(want))
	}
}

// TestRecoverFull: a store that was full, and refused, has all it had after a restart with the
// same ceiling, whatever was done to it.
func TestRecoverFull(t *testing.T) {
	r := rand.New(rand.NewPCG(newSeed(t), 0))
	opts := engine.Options{Shards: 16, MaxBytes: 8 << 20}
	stores := 10
	if netio.UnderRace { // it watches one goroutine there
		stores = 1
	}
	for range stores {
		dir := newStoreDir(t)
		j, e := dir.start(opts)
		var b engine.Batch
		refused, size := 0, 0
		for i := range 30_000 {
			if i%6000 == 0 {
				size = 10 + r.IntN(6000)
			}
			key, value := fmt.Appendf(nil, "key-%d", r.IntN(8000)), make([]byte, 1+r.IntN(size))
			if i%3 == 0 {
				b.AddArgs(engine.Set, key, value, 1, engine.Args{Deadline: farOff})
			} else {
				b.AddForm(engine.Set, key, value, engine.Form(i%3))
			}
			if len(b.Ops) == 20 {
				netio.ApplyLogged(j, e, &b)
				for i := range b.Ops {
					if b.Ops[i].Status == engine.OutOfMemory {
						refused++
					}
				}
				b.Reset()
			}
		}
		want := contentOf(e)
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if refused == 0 {
			continue
		}
		j, e = dir.start(opts)
		if got := contentOf(e); !maps.Equal(got, want) {
			t.Errorf("%d keys are back, want %d, or others", len(got), len(want))
		}
		_ = j.Close()
	}
}
