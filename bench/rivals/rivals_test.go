package rivals

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/allegro/bigcache/v3"
	"github.com/coocood/freecache"
	"github.com/maypok86/otter/v2"
	"github.com/puzpuzpuz/xsync/v4"

	"keyframe/bench"
	"keyframe/engine"
)

var maxKeys = flag.Int("maxkeys", 1_000_000, "skip stores of more keys")

// store is what each rival offers: set returns false if it could not.
type store struct {
	set   func(key, value []byte) bool
	get   func(key []byte) bool
	batch int // keys that set takes at once, one after the other
	close func()
}

func engineStore(batch int) func(n int) store {
	return func(int) store {
		e, err := engine.New(engine.Options{})
		if err != nil {
			panic(err)
		}
		var b, one engine.Batch
		return store{
			set: func(keys, value []byte) bool {
				for ; len(keys) > 0; keys = keys[bench.KeyBytes:] {
					b.Add(engine.Set, keys[:bench.KeyBytes], value)
				}
				e.Apply(&b)
				ok := b.Ops[0].Status != engine.OutOfMemory
				b.Reset()
				return ok
			},
			get: func(key []byte) bool {
				one.Reset()
				one.Add(engine.Get, key, nil)
				e.Apply(&one)
				return one.Ops[0].Status == engine.Found
			},
			batch: batch,
			close: func() { _ = e.Close() },
		}
	}
}

var stores = []struct {
	name string
	make func(n int) store
}{
	{"engine/batch=32", engineStore(32)},
	{"engine/batch=1", engineStore(1)},
	{"map-unlocked/batch=1", func(int) store {
		m := make(map[string][]byte)
		return store{
			set: func(key, value []byte) bool {
				if old, ok := m[string(key)]; ok {
					copy(old, value)
				} else {
					m[string(key)] = append([]byte(nil), value...)
				}
				return true
			},
			get: func(key []byte) bool { _, ok := m[string(key)]; return ok },
		}
	}},
	{"sync.Map/batch=1", func(int) store {
		var m sync.Map
		return store{
			set: func(key, value []byte) bool { m.Store(string(key), append([]byte(nil), value...)); return true },
			get: func(key []byte) bool { _, ok := m.Load(string(key)); return ok },
		}
	}},
	{"xsync/batch=1", func(int) store {
		m := xsync.NewMap[string, []byte]()
		return store{
			set: func(key, value []byte) bool { m.Store(string(key), append([]byte(nil), value...)); return true },
			get: func(key []byte) bool { _, ok := m.Load(string(key)); return ok },
		}
	}},
	{"otter/batch=1", func(n int) store {
		c := otter.Must(&otter.Options[string, []byte]{MaximumSize: 2 * n})
		return store{
			set: func(key, value []byte) bool { c.Set(string(key), append([]byte(nil), value...)); return true },
			get: func(key []byte) bool { _, ok := c.GetIfPresent(string(key)); return ok },
		}
	}},
	{"freecache/batch=1", func(n int) store {
		// Its records have a header of 24 bytes; a quarter more keeps it from evicting.
		c := freecache.NewCache(max(n*(24+36)*5/4, 1<<20))
		return store{
			set: func(key, value []byte) bool { return c.Set(key, value, 0) == nil },
			get: func(key []byte) bool { _, err := c.Get(key); return err == nil },
		}
	}},
	{"bigcache/batch=1", func(n int) store {
		cfg := bigcache.DefaultConfig(time.Hour)
		cfg.Verbose, cfg.CleanWindow = false, 0
		cfg.MaxEntriesInWindow, cfg.MaxEntrySize = n, 64
		c, err := bigcache.New(context.Background(), cfg)
		if err != nil {
			panic(err)
		}
		return store{
			set: func(key, value []byte) bool { return c.Set(string(key), value) == nil },
			get: func(key []byte) bool { _, err := c.Get(string(key)); return err == nil },
		}
	}},
}

func BenchmarkOverwrite(b *testing.B) {
	const sample = 1 << 20
	for _, s := range stores {
		b.Run("impl="+s.name, func(b *testing.B) {
			for _, n := range []int{10_000, 1_000_000, 10_000_000} {
				b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
					if n > *maxKeys {
						b.Skip("more than -maxkeys")
					}
					debug.FreeOSMemory()
					before := resident()
					st := s.make(n)
					if st.batch == 0 {
						st.batch = 1
					}
					key, value := make([]byte, bench.KeyBytes), bench.Value(make([]byte, bench.ValueBytes), 1)
					for i := range n {
						bench.Key(key, i)
						st.set(key, value)
					}
					debug.FreeOSMemory()
					bytes := float64(resident()-before) / float64(n)
					start := time.Now()
					runtime.GC()
					gc := time.Since(start)

					keys := bench.NewKeys(n).Gather(bench.Uniform(n, sample, 1))
					size := st.batch * bench.KeyBytes
					all := keys.Bytes()
					at := 0
					b.ReportAllocs()
					for b.Loop() {
						if !st.set(all[at:at+size], value) {
							b.Fatal("not stored")
						}
						if at += size; at >= len(all) {
							at = 0
						}
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*st.batch), "ns/key")
					b.ReportMetric(bytes, "bytes/key")
					b.ReportMetric(float64(gc.Microseconds()), "gc-us")
					lost := 0
					for i := range n {
						if bench.Key(key, i); !st.get(key) {
							lost++
						}
					}
					b.ReportMetric(float64(lost), "keys-lost")
					if st.close != nil {
						st.close()
					}
				})
			}
		})
	}
}

// resident is the memory of this process that is in RAM, in bytes.
func resident() int {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, _ := strconv.Atoi(strings.Fields(string(text))[1])
	return pages * os.Getpagesize()
}
