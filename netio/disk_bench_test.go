package netio

import (
	"context"
	"flag"
	"fmt"
	"testing"

	"keyframe/engine"
	"keyframe/engine/journal"
)

var diskKeys = flag.Int("disk-keys", 20_000, "how many keys BenchmarkSnapshot and BenchmarkLoad have")

// filled returns a store of diskKeys keys of 16 bytes with values of 10, and its journal in
// a directory.
func filled(b *testing.B, dir string) (*engine.Engine, *journal.Journal) {
	e, j := opened(b, dir, *diskKeys)
	if err := startLog(context.Background(), j, e); err != nil {
		b.Fatal(err)
	}
	var batch engine.Batch
	for i := 0; i < *diskKeys; {
		batch.Reset()
		for ; len(batch.Ops) < 512 && i < *diskKeys; i++ {
			batch.Add(engine.Set, fmt.Appendf(nil, "key:%012d", i), []byte("0123456789"))
		}
		e.Apply(&batch)
	}
	return e, j
}

func opened(b *testing.B, dir string, keys int) (*engine.Engine, *journal.Journal) {
	fs, err := journal.Dir(dir, false)
	if err != nil {
		b.Fatal(err)
	}
	j, err := journal.Open(fs, journal.Options{})
	if err != nil {
		b.Fatal(err)
	}
	e, err := engine.New(engine.Options{InitialCapacity: keys, RecordEffects: true})
	if err != nil {
		b.Fatal(err)
	}
	return e, j
}

func closed(b *testing.B, e *engine.Engine, j *journal.Journal) {
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
	_ = e.Close()
}

// BenchmarkSnapshot writes a snapshot: beside others, as a server makes one while it
// serves, and with the machine to itself, as at its end.
func BenchmarkSnapshot(b *testing.B) {
	for _, gentle := range []bool{true, false} {
		b.Run(fmt.Sprintf("gentle=%v", gentle), func(b *testing.B) {
			e, j := filled(b, b.TempDir())
			defer closed(b, e, j)
			for b.Loop() {
				if info, err := j.Snapshot(gentle); err != nil || info.Keys != uint64(*diskKeys) {
					b.Fatal(info, err)
				}
			}
			b.ReportMetric(float64(*diskKeys)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mkeys/s")
		})
	}
}

// BenchmarkLoad loads a snapshot.
func BenchmarkLoad(b *testing.B) {
	dir := b.TempDir()
	e, j := filled(b, dir)
	if _, err := j.Snapshot(false); err != nil {
		b.Fatal(err)
	}
	closed(b, e, j)
	for b.Loop() {
		b.StopTimer()
		e, j := opened(b, dir, *diskKeys)
		b.StartTimer()
		if report, err := Recover(context.Background(), j, e); err != nil || report.SnapshotKeys != uint64(*diskKeys) {
			b.Fatal(report, err)
		}
		b.StopTimer()
		closed(b, e, j)
		b.StartTimer()
	}
	b.ReportMetric(float64(*diskKeys)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mkeys/s")
}
