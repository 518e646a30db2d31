package bench

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyframe/engine"
)

// BenchmarkSetDeadline is SetOverwrite with a deadline an hour off, which every Set moves on.
func BenchmarkSetDeadline(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		dropFilled()
		e, keys := newEngine(b, engine.Options{}), NewKeys(n)
		defer e.Close()
		value := Value(make([]byte, ValueBytes), 9)
		set := func(batch *engine.Batch, key []byte) {
			batch.AddArgs(engine.Set, key, value, 0, engine.Args{Deadline: batch.Now + 3600_000})
		}
		inBatches(e, keys, set)
		b.ReportMetric(float64(e.Stats().ReservedBytes)/float64(n), "bytes/key")
		operate(b, e, keys.Gather(Uniform(n, sampleOf(n), 1)), engine.Updated, set)
	})
}

// BenchmarkIncr counts up to a hundred thousand, mostly: integers of five digits.
func BenchmarkIncr(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		dropFilled()
		e, keys := newEngine(b, engine.Options{}), NewKeys(n)
		defer e.Close()
		inBatches(e, keys, func(batch *engine.Batch, key []byte) { batch.Add(engine.Set, key, []byte("10000")) })
		operate(b, e, keys.Gather(Uniform(n, sampleOf(n), 1)), engine.Updated, func(batch *engine.Batch, key []byte) {
			batch.AddArgs(engine.Incr, key, nil, 0, engine.Args{Delta: 1})
		})
	})
}

// operate runs batches of 32 of one operation over a sample of keys.
func operate(b *testing.B, e *engine.Engine, sample Keys, want engine.Status, add func(batch *engine.Batch, key []byte)) {
	const size = 32
	var batch engine.Batch
	at, mask := 0, sample.Len()-1
	if sample.Len()&mask != 0 {
		mask = 1<<13 - 1 // of 10,000 keys
	}
	b.ReportAllocs()
	for b.Loop() {
		batch.Now = time.Now().UnixMilli()
		for range size {
			add(&batch, sample.At(at&mask))
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

// inBatches adds an operation for each key, 32 at a time.
func inBatches(e *engine.Engine, keys Keys, add func(batch *engine.Batch, key []byte)) {
	var batch engine.Batch
	for i := 0; i < keys.Len(); {
		batch.Now = time.Now().UnixMilli()
		for range min(32, keys.Len()-i) {
			add(&batch, keys.At(i))
			i++
		}
		e.Apply(&batch)
		batch.Reset()
	}
}

// BenchmarkExpire has keys die evenly, 167,000 a second (10 M in a minute), while a client
// reads and writes others that live: how long its batches of 32 take, and after how much time
// from the last deadline the memory is back, to a twentieth of what it was.
//
// Half of the batches, in turn, are the control: they go to a store of keys that live, which
// has locks of its own. So they show what the machine does to that client at that time, and
// what it loses to the work itself, if not to the locks. With dies=false nothing dies in the
// first store either.
func BenchmarkExpire(b *testing.B) {
	for _, dies := range []bool{true, false} {
		b.Run(fmt.Sprintf("dies=%v", dies), func(b *testing.B) {
			sizes(b, func(b *testing.B, n int) {
				dropFilled()
				for b.Loop() {
					expire(b, n, 10_000_000/60, dies)
				}
			})
		})
	}
}

// BenchmarkExpireFast has a million keys die each second.
func BenchmarkExpireFast(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		dropFilled()
		for b.Loop() {
			expire(b, n, 1_000_000, true)
		}
	})
}

func expire(b *testing.B, n int, perSecond int64, dies bool) {
	const living = 100_000
	e, control, keys := newEngine(b, engine.Options{}), newEngine(b, engine.Options{}), NewKeys(n+living)
	defer e.Close()
	defer control.Close()
	value := Value(make([]byte, ValueBytes), 9)
	inBatches(control, Keys{keys.all[n*KeyBytes:]}, func(batch *engine.Batch, key []byte) { batch.Add(engine.Set, key, value) })
	fills := int64(n)/2000 + 1 // milliseconds: 2 M keys a second
	from, i := time.Now().UnixMilli()+fills+500, 0
	inBatches(e, keys, func(batch *engine.Batch, key []byte) {
		var args engine.Args
		if i++; i <= n && dies {
			args.Deadline = from + int64(i)*1000/perSecond
		}
		batch.AddArgs(engine.Set, key, value, 0, args)
	})
	last := time.UnixMilli(from + int64(n)*1000/perSecond)
	full := e.Stats()

	var stopped atomic.Bool
	var client sync.WaitGroup
	var took [2][]time.Duration
	for i := range took {
		took[i] = make([]time.Duration, 0, 1<<22) // to make it longer would start the garbage collector beside them
	}
	client.Go(func() {
		var batch engine.Batch
		for at := 0; !stopped.Load(); at++ {
			start := time.Now()
			batch.Now = start.UnixMilli()
			for j := range 32 {
				kind := []engine.Kind{engine.Get, engine.Set}[at&1]
				batch.Add(kind, keys.At(n+(at*32+j)%living), value)
			}
			store := at >> 1 & 1
			[]*engine.Engine{e, control}[store].Apply(&batch)
			took[store] = append(took[store], time.Since(start))
			batch.Reset()
			if at%63 == 0 { // so that it is not always the same store's batch that follows
				// Or it is the only one to run on its processor. A shorter sleep would be as long
				// whenever the process has nothing else to do, so there would be fewer batches then.
				time.Sleep(time.Millisecond)
			}
		}
	})
	time.Sleep(time.Until(last))
	if dies {
		b.ReportMetric(float64(e.Stats().Keys-living), "left-at-last-deadline")
		for e.Stats().Keys > living {
			time.Sleep(time.Millisecond)
		}
		b.ReportMetric(float64(time.Since(last).Milliseconds()), "dropped-ms")
		for e.Stats().ReservedBytes > full.ReservedBytes/20+64<<20 {
			time.Sleep(time.Millisecond)
		}
		b.ReportMetric(float64(time.Since(last).Milliseconds()), "back-ms")
	}
	stopped.Store(true)
	client.Wait()
	for i, of := range []string{"", "control-"} {
		reportTimes(b, took[i], of)
		for _, ms := range []time.Duration{1, 2} {
			at, _ := slices.BinarySearch(took[i], ms*time.Millisecond)
			b.ReportMetric(float64(len(took[i])-at), fmt.Sprintf("%sover-%dms", of, ms))
		}
	}
	b.ReportMetric(float64(len(took[0])), "batches")
	b.ReportMetric(float64(full.ReservedBytes)/float64(n), "bytes/key")
	b.ReportMetric(float64(full.CalendarBytes)/float64(n), "calendar-bytes/key")
}

// BenchmarkScan goes through a whole store, in calls that ask for a thousand keys.
func BenchmarkScan(b *testing.B) {
	for _, values := range []bool{false, true} {
		b.Run(fmt.Sprintf("values=%v", values), func(b *testing.B) {
			sizes(b, func(b *testing.B, n int) {
				e, _ := filledEngine(b, n)
				for b.Loop() {
					seen, longest := 0, time.Duration(0)
					for cursor, done := engine.Cursor(0), false; !done; {
						start := time.Now()
						if values {
							cursor, done = e.Scan(cursor, nil, 1000, 0, func(_, _ []byte, _ engine.Form, _ int64) bool { seen++; return true })
						} else {
							cursor, done = e.ScanKeys(cursor, nil, 1000, 0, func([]byte) bool { seen++; return true })
						}
						longest = max(longest, time.Since(start))
					}
					if seen != n {
						b.Fatalf("%d keys, want %d", seen, n)
					}
					b.ReportMetric(float64(longest.Microseconds()), "longest-us")
				}
				b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "keys/s")
			})
		})
	}
}
