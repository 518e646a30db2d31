package netio

import (
	"context"
	"flag"
	"fmt"
	"testing"

	"keyframe/engine"
	"keyframe/engine/journal"
)

var diskKeys = flag.Int("disk-keys", 20_000, "how many keys BenchmarkSnapshot, BenchmarkLoad and BenchmarkReplay have")

// filled returns a store of diskKeys keys of 16 bytes with values of 10, and its journal in
// a directory, which has all of them and no snapshot.
func filled(b *testing.B, dir string) (*engine.Engine, *journal.Journal) {
	e, j := opened(b, dir, *diskKeys)
	if err := startLog(j, newJournalStore(context.Background(), e, nil)); err != nil {
		b.Fatal(err)
	}
	lane := j.NewLane(func(uint64, error) {})
	var batch engine.Batch
	for i := 0; i < *diskKeys; {
		batch.Reset()
		for ; len(batch.Ops) < 512 && i < *diskKeys; i++ {
			batch.Add(engine.Set, fmt.Appendf(nil, "key:%012d", i), []byte("0123456789"))
		}
		lane.Begin()
		e.Apply(&batch)
		*lane.Records() = appendEffects(*lane.Records(), &batch)
		lane.End()
		if _, err := lane.Done(j.Position()); err != nil {
			b.Fatal(err)
		}
	}
	return e, j
}

func opened(b *testing.B, dir string, keys int) (*engine.Engine, *journal.Journal) {
	fs, err := journal.Dir(dir, false)
	if err != nil {
		b.Fatal(err)
	}
	j, err := journal.Open(fs, journal.Options{Mode: journal.No, SnapshotBytes: 1 << 40})
	if err != nil {
		b.Fatal(err)
	}
	e, err := engine.New(engine.Options{InitialCapacity: keys, RecordEffects: true})
	if err != nil {
		b.Fatal(err)
	}
	return e, j
}

func closed(b testing.TB, e *engine.Engine, j *journal.Journal) {
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
	benchmarkRecovery(b, dir, func(r *journal.Report) uint64 { return r.SnapshotKeys })
}

// BenchmarkReplay does what a log says that no snapshot has made shorter.
func BenchmarkReplay(b *testing.B) {
	dir := b.TempDir()
	e, j := filled(b, dir)
	closed(b, e, j)
	benchmarkRecovery(b, dir, func(r *journal.Report) uint64 { return uint64(r.Effects) })
}

func benchmarkRecovery(b *testing.B, dir string, keys func(*journal.Report) uint64) {
	for b.Loop() {
		b.StopTimer()
		e, j := opened(b, dir, *diskKeys)
		b.StartTimer()
		if report, err := Recover(context.Background(), j, e); err != nil || keys(&report) != uint64(*diskKeys) {
			b.Fatal(report, err)
		}
		b.StopTimer()
		closed(b, e, j)
		b.StartTimer()
	}
	b.ReportMetric(float64(*diskKeys)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mkeys/s")
}
