package bench

import (
	"flag"
	"slices"
	"testing"
	"time"

	"keyframe/engine/journal"
)

var diskDir = flag.String("diskdir", "", "where BenchmarkDiskSync writes; a temporary directory unless given")

// BenchmarkDiskSync is what a disk takes to write and sync what a group has of six SETs, in a
// file whose blocks are there: the least that an answer of a server waits for which loses
// nothing. The server itself writes past the system's cache where it can, which is one call.
func BenchmarkDiskSync(b *testing.B) {
	dir := *diskDir
	if dir == "" {
		dir = b.TempDir()
	}
	fs, err := journal.Dir(dir, false)
	if err != nil {
		b.Fatal(err)
	}
	const name, size = "sync-benchmark", 4 << 20
	f, err := fs.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := f.Close(); err != nil {
			b.Error(err)
		}
		if err := fs.Remove(name); err != nil {
			b.Error(err)
		}
	}()
	if err := f.Reserve(size, true); err != nil {
		b.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	group := make([]byte, 400)
	var times []time.Duration
	for at := int64(0); b.Loop(); at = (at + int64(len(group))) % (size - int64(len(group))) {
		began := time.Now()
		if _, err := f.WriteAt(group, at); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Nanoseconds()), "p50-ns")
}
