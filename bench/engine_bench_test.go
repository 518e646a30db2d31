package bench

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"keyframe/engine"
)

var maxKeys = flag.Int("maxkeys", 1_000_000, "skip stores of more keys")

var (
	storeSizes = []int{10_000, 1_000_000, 10_000_000}
	batchSizes = []int{1, 4, 32, 100}
)

// sampleKeys is how many random keys a benchmark of a large store goes round: far more than
// the caches hold. A small store and its keys are to stay in cache: its benchmark goes
// round about as many keys as it has.
const sampleKeys = 1 << 20

func sampleOf(n int) int { return min(sampleKeys, n) }

func sizes(b *testing.B, run func(b *testing.B, keys int)) {
	for _, n := range storeSizes {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			if n > *maxKeys {
				b.Skip("more than -maxkeys")
			}
			run(b, n)
		})
	}
}

// The stores are kept from one benchmark to the next of the same size.
var filled struct {
	n    int
	keys Keys
	e    *engine.Engine
}

func newEngine(b *testing.B, opts engine.Options) *engine.Engine {
	e, err := engine.New(opts)
	if err != nil {
		b.Fatal(err)
	}
	return e
}

func filledEngine(b *testing.B, n int) (*engine.Engine, Keys) {
	if filled.n != n {
		if filled.e != nil {
			_ = filled.e.Close()
		}
		filled.n, filled.keys, filled.e = n, NewKeys(n), newEngine(b, engine.Options{})
		fill(filled.e, filled.keys)
	}
	return filled.e, filled.keys
}

// fill inserts all keys in batches of 32 and returns the slowest batch.
func fill(e *engine.Engine, keys Keys) (slowest time.Duration) {
	var b engine.Batch
	value := Value(make([]byte, ValueBytes), 7)
	for i := 0; i < keys.Len(); {
		for range min(32, keys.Len()-i) {
			b.Add(engine.Set, keys.At(i), value)
			i++
		}
		start := time.Now()
		e.Apply(&b)
		slowest = max(slowest, time.Since(start))
		b.Reset()
	}
	return slowest
}

// each runs batches of one kind over random keys until the benchmark ends.
func each(b *testing.B, e *engine.Engine, sample Keys, kind engine.Kind, want engine.Status, size int) {
	var batch engine.Batch
	value := Value(make([]byte, ValueBytes), 9)
	for i := 0; i < size; i++ {
		batch.Add(kind, nil, value)
	}
	batch.Reset()
	at, mask := 0, sample.Len()-1
	b.ReportAllocs()
	for b.Loop() {
		for range size {
			batch.Add(kind, sample.At(at&mask), value)
			at++
		}
		e.Apply(&batch)
		if batch.Ops[0].Status != want || batch.Ops[size-1].Status != want {
			b.Fatalf("status %d, want %d", batch.Ops[0].Status, want)
		}
		batch.Reset()
	}
	perKey(b, size)
}

func perKey(b *testing.B, size int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/key")
}

// reportTimes sorts what was taken and reports its quantiles, as those of something.
func reportTimes(b *testing.B, took []time.Duration, of string) {
	slices.Sort(took)
	for name, q := range map[string]float64{"p50-ns": 0.5, "p99-ns": 0.99, "p999-ns": 0.999, "p9999-ns": 0.9999, "max-ns": 1} {
		b.ReportMetric(float64(took[int(q*float64(len(took)-1))].Nanoseconds()), of+name)
	}
}

func benchKind(b *testing.B, kind engine.Kind, want engine.Status) {
	for _, size := range batchSizes {
		b.Run(fmt.Sprintf("impl=engine/batch=%d", size), func(b *testing.B) {
			sizes(b, func(b *testing.B, n int) {
				e, keys := filledEngine(b, n)
				each(b, e, keys.Gather(Uniform(n, sampleOf(n), 1)), kind, want, size)
				if e.Len() != n {
					b.Fatalf("%d keys, want %d", e.Len(), n)
				}
			})
		})
	}
}

func BenchmarkSetOverwrite(b *testing.B) { benchKind(b, engine.Set, engine.Updated) }
func BenchmarkGetHit(b *testing.B)       { benchKind(b, engine.Get, engine.Found) }

func BenchmarkGetMiss(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		e, _ := filledEngine(b, n)
		other := NewKeys(1 << 20)
		for i := range other.all {
			other.all[i] ^= 0x80
		}
		each(b, e, other, engine.Get, engine.NotFound, 32)
	})
}

// BenchmarkSetParallel: the same work by each goroutine; keys/s goes up with
// -cpu 1,2.
func BenchmarkSetParallel(b *testing.B) {
	const size = 32
	sizes(b, func(b *testing.B, n int) {
		e, keys := filledEngine(b, n)
		procs := runtime.GOMAXPROCS(0)
		samples := make([]Keys, procs)
		for g := range samples {
			samples[g] = keys.Gather(Uniform(n, sampleKeys, uint64(g)))
		}
		b.ResetTimer()
		var wg sync.WaitGroup
		for g := range samples {
			wg.Go(func() {
				var batch engine.Batch
				value := Value(make([]byte, ValueBytes), 9)
				for i := range b.N {
					for j := range size {
						batch.Add(engine.Set, samples[g].At((i*size+j)&(sampleKeys-1)), value)
					}
					e.Apply(&batch)
					batch.Reset()
				}
			})
		}
		wg.Wait()
		b.ReportMetric(float64(b.N*size*procs)/b.Elapsed().Seconds(), "keys/s")
	})
}

// BenchmarkSetInsert fills a store, growing it or made to size.
func BenchmarkSetInsert(b *testing.B) {
	for _, presized := range []bool{false, true} {
		b.Run(fmt.Sprintf("impl=engine/batch=32/presized=%v", presized), func(b *testing.B) {
			sizes(b, func(b *testing.B, n int) {
				dropFilled()
				keys := NewKeys(n)
				var slowest time.Duration
				for b.Loop() {
					b.StopTimer()
					opts := engine.Options{}
					if presized {
						opts.InitialCapacity = n
					}
					e := newEngine(b, opts)
					b.StartTimer()
					slowest = max(slowest, fill(e, keys))
					b.StopTimer()
					if e.Len() != n {
						b.Fatalf("%d keys, want %d", e.Len(), n)
					}
					_ = e.Close()
					b.StartTimer()
				}
				perKey(b, n)
				b.ReportMetric(float64(slowest.Microseconds()), "slowest-us")
			})
		})
	}
}

// BenchmarkMemory reports what a store costs: resident bytes of the process for each key,
// freshly filled, after every value has grown from 20 to 60 bytes, and after nine tenths of
// the keys have gone; each churned figure beside that of a fresh store with the same
// content. It also reports the times of a forced GC and of Clear.
func BenchmarkMemory(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		dropFilled()
		grown := make([]byte, 60)
		metrics := map[string]float64{}
		for b.Loop() {
			e := newEngine(b, engine.Options{})
			setEvery(e, n, 1, Value(make([]byte, ValueBytes), 3))
			settle(e)
			metrics["bytes/key"] = float64(resident()) / float64(n)
			start := time.Now()
			runtime.GC()
			metrics["gc-us"] = float64(time.Since(start).Microseconds())

			setEvery(e, n, 1, grown)
			settle(e)
			metrics["bytes/key-grown"] = float64(resident()) / float64(n)

			var batch engine.Batch
			key := make([]byte, KeyBytes)
			for i := range n {
				if i%10 != 0 {
					Key(key, i)
					batch.Add(engine.Remove, key, nil)
					e.Apply(&batch)
					batch.Reset()
				}
			}
			settle(e)
			metrics["bytes/key-thinned"] = float64(resident()) / float64(n/10)

			start = time.Now()
			e.Clear()
			metrics["clear-us"] = float64(time.Since(start).Microseconds())
			settle(e)
			metrics["bytes-after-clear"] = float64(resident())
			_ = e.Close()

			for name, step := range map[string]int{"grown": 1, "thinned": 10} {
				e := newEngine(b, engine.Options{})
				setEvery(e, n, step, grown)
				settle(e)
				metrics["bytes/key-fresh-"+name] = float64(resident()) / float64(n/step)
				_ = e.Close()
			}
		}
		for name, value := range metrics {
			b.ReportMetric(value, name)
		}
	})
}

// BenchmarkGetWhileCompacting is how long single Gets take while the maintainer compacts
// shards. Between the Gets every value grows from 20 to 60 bytes and shrinks again. With
// two processors (-cpu 2) Gets and the maintainer run side by side; with one they take
// turns.
func BenchmarkGetWhileCompacting(b *testing.B) {
	const n = 1_000_000
	keys, at := NewKeys(n), Uniform(n, sampleKeys, 1)
	for _, shards := range []int{1, 16, 512} {
		b.Run(fmt.Sprintf("shards=%d", shards), func(b *testing.B) {
			dropFilled()
			e := newEngine(b, engine.Options{Shards: shards})
			defer e.Close()
			fill(e, keys)
			settle(e)
			before := e.Stats().Compactions
			var set, get engine.Batch
			took := make([]time.Duration, 0, 2*n*b.N)
			b.ResetTimer()
			for range b.N {
				for _, value := range [][]byte{make([]byte, 60), make([]byte, 20)} {
					for i := range n {
						set.Add(engine.Set, keys.At(i), value)
						e.Apply(&set)
						set.Reset()
						get.Add(engine.Get, keys.At(int(at[i&(sampleKeys-1)])), nil)
						start := time.Now()
						e.Apply(&get)
						took = append(took, time.Since(start))
						get.Reset()
					}
				}
			}
			b.StopTimer()
			b.ReportMetric(float64(e.Stats().Compactions-before)/float64(b.N), "compactions/op")
			reportTimes(b, took, "")
			slow, _ := slices.BinarySearch(took, time.Millisecond)
			b.ReportMetric(float64(len(took)-slow)/float64(b.N), "over-1ms/op")
		})
	}
}

// setEvery sets every step-th key below n to the value.
func setEvery(e *engine.Engine, n, step int, value []byte) {
	var batch engine.Batch
	key := make([]byte, KeyBytes)
	for i := 0; i < n; i += step {
		Key(key, i)
		batch.Add(engine.Set, key, value)
		e.Apply(&batch)
		batch.Reset()
	}
}

// settle waits until the store has stopped gathering and giving back memory: the engine is
// at rest after 50 ms. Compactions count, too, because a chunk that many shards share
// becomes empty only when the last of them has been copied.
func settle(e *engine.Engine) {
	for last, same := [2]int{}, 0; same < 15; time.Sleep(20 * time.Millisecond) {
		st := e.Stats()
		if now := [2]int{st.ReservedBytes, st.Compactions}; now == last {
			same++
		} else {
			last, same = now, 0
		}
	}
	debug.FreeOSMemory()
}

func dropFilled() {
	if filled.e != nil {
		_ = filled.e.Close()
	}
	filled.n, filled.e, filled.keys = 0, nil, Keys{}
	debug.FreeOSMemory()
}

// resident is the memory of this process that is in RAM, in bytes; 0 where /proc doesn't
// say.
func resident() int {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, _ := strconv.Atoi(strings.Fields(string(text))[1])
	return pages * os.Getpagesize()
}
