package journal

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var writeVersion = flag.Bool("write-version", false, "have TestVersions write testdata's directory of the version that is written now, if there is none")

// versionContent is what the directories of all versions hold: each kind of record, before
// a snapshot and after it, in two runs of different shards, with spare segments.
func versionContent(t *testing.T, fs FS) map[string]string {
	opts := Options{Mode: Always, SegmentBytes: 1 << 10, GroupBytes: 512, SnapshotBytes: 1 << 20, Manual: true}
	var content map[string]string
	for run, shards := range []int{4, 2} {
		o := open(t, fs, shards, opts)
		l := o.NewLane(func(uint64, error) {})
		step := func(do func(dst *[]byte)) {
			l.Begin()
			do(l.Records())
			l.End()
			_, _ = l.Done(o.Position())
			o.Maintain()
		}
		set := func(key, value string, form uint8, deadline int64) {
			step(func(dst *[]byte) {
				o.store.set(dst, Change{Key: []byte(key), Value: []byte(value), Form: form, Deadline: deadline})
			})
		}
		if run == 0 {
			set("cleared", "1", 0, 0)
			step(func(dst *[]byte) { o.store.clearSet(dst) })
			set("cleared too", "2", 0, 0)
			step(func(dst *[]byte) {
				o.store.clearSet(dst, Change{Key: []byte("kept"), Value: []byte("3"), Form: 1}, Change{Key: []byte("kept until"), Value: nil, Deadline: 1 << 43})
			})
			set("in the snapshot", strings.Repeat("long ", 40), 2, 1<<42)
			if _, err := o.Snapshot(false); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 12 {
			set(strings.Repeat("key", i+1), strings.Repeat("value", 3*i), uint8(i%4), int64(i%3)<<41)
		}
		step(func(dst *[]byte) { o.store.remove(dst, []byte("kept")) })
		step(func(dst *[]byte) { o.store.rename(dst, []byte("keykey"), []byte("renamed")) })
		step(func(dst *[]byte) { o.store.rename(dst, []byte("kept until"), []byte("\x00\xff")) })
		content = o.store.content()
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return content
}

// listed is a content as testdata has it beside its directory.
func listed(content map[string]string) string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(content)) {
		fmt.Fprintf(&b, "%q: %s\n", key, content[key])
	}
	return b.String()
}

// TestVersions reads the directories that every version has written, as testdata keeps them.
// A change of the format raises version, and adds one with -write-version.
func TestVersions(t *testing.T) {
	name := fmt.Sprintf("testdata/version-%d", version)
	if _, err := os.Stat(name); *writeVersion && os.IsNotExist(err) {
		fs := everyMode[2].newFS()
		want := versionContent(t, fs)
		if err := os.MkdirAll(name, 0o755); err != nil {
			t.Fatal(err)
		}
		for file, f := range fs.files {
			if err := os.WriteFile(filepath.Join(name, file), f.data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(name+".txt", []byte(listed(want)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for v := 1; v <= version; v++ {
		dir := fmt.Sprintf("testdata/version-%d", v)
		text, err := os.ReadFile(dir + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		want := string(text)
		fs := newMemFS()
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			data, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			fs.files[e.Name()] = &memFile{data: data}
		}
		got, report, err := recovered(fs, 8, Options{})
		if err != nil {
			t.Fatalf("%s: %v", dir, err)
		}
		if report.Snapshot == "" || report.Segments < 3 || report.Cut != nil || report.Skipped != nil {
			t.Errorf("%s: %+v", dir, report)
		}
		if listed(got) != want {
			t.Errorf("%s has\n%s, want\n%s", dir, listed(got), want)
		}
		o := open(t, fs, 8, Options{Manual: true}) // and goes on
		if got := listed(o.store.content()); got != want {
			t.Errorf("%s: the next run begins with\n%s", dir, got)
		}
	}
}
