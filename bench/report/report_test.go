package report

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReportIsWhatWasMeasured: the document and the plots in the tree are what the
// raw files in the tree say, and those are of one revision.
func TestReportIsWhatWasMeasured(t *testing.T) {
	if _, err := os.Stat("../results/figures"); os.IsNotExist(err) {
		t.Skip("no raw files: make figures measures them")
	}
	if err := Check("../../BENCHMARKS.md", "../results/figures"); err != nil {
		t.Fatal(err)
	}
}

// blank is a document with every block, empty.
func blank() []byte {
	var b bytes.Buffer
	for name := range blocks {
		fmt.Fprintf(&b, "before\n<!-- begin %s -->\n<!-- end %s -->\n", name, name)
	}
	return b.Bytes()
}

// rawFile is a raw file with some rates.
func rawFile(revision, section string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "section: %s\nrevision: %s\ncpu: some\n", section, revision)
	for i, impl := range []string{"io-limit", "keyframe", "redis"} {
		framing := "lines"
		if impl == "redis" {
			framing = "resp"
		}
		for _, rate := range []int{30, 10, 20} {
			fmt.Fprintf(&b, "# $ bin/keyframe-benchmark\nBenchmarkLoad/impl=%s/framing=%s/mix=set/keys=1/depth=64/conns=32/store=1000 7 1.0 ns/op %d000000 keys/s\n", impl, framing, rate/(i+1))
		}
	}
	return b.String()
}

// tree makes a directory with a report of these raw files.
func tree(t *testing.T, files map[string]string) (document, dir string) {
	t.Helper()
	root := t.TempDir()
	document, dir = filepath.Join(root, "B.md"), filepath.Join(root, "results")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	files[document] = string(blank())
	for name, text := range files {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return document, dir
}

// written is tree after a Write that Check finds right.
func written(t *testing.T, files map[string]string) (document, dir string) {
	t.Helper()
	document, dir = tree(t, files)
	if err := Write(document, dir); err != nil {
		t.Fatal(err)
	}
	if err := Check(document, dir); err != nil {
		t.Fatal(err)
	}
	return document, dir
}

// requireTexts checks that a file has all of these in it.
func requireTexts(t *testing.T, path string, wants ...string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range wants {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("no %q in %s:\n%s", want, path, text)
		}
	}
}

func TestWrittenReportIsRight(t *testing.T) {
	document, _ := written(t, map[string]string{"a-compare.txt": rawFile("r1", "compare"), "a-keys.txt": rawFile("r1", "keys")})
	requireTexts(t, document,
		"| Keyframe, JSON Lines | – | – | 10.0 M (5.00–15.0 M)! |", "| Keyframe ÷ I/O limit, JSON Lines | – | – | 0.50 |",
		"\n\n3 runs each; ! marks a figure whose highest run is more than twice its lowest.\n<!-- end keys -->",
		"the same ÷ I/O limit | ≥ 0.55 | 0.50 | **missed**", missing, "[a-keys.txt](bench/results/figures/a-keys.txt)",
	)
}

// TestDisagreementsAreFound changes each part of a right report.
func TestDisagreementsAreFound(t *testing.T) {
	for name, change := range map[string]func(document, dir string) error{
		"a figure in the document": func(document, _ string) error {
			text, err := os.ReadFile(document)
			if err != nil {
				return err
			}
			return os.WriteFile(document, bytes.Replace(text, []byte("10.0 M"), []byte("11.0 M"), 1), 0o644)
		},
		"a raw figure": func(_, dir string) error {
			return os.WriteFile(filepath.Join(dir, "a-keys.txt"), []byte(strings.ReplaceAll(rawFile("r1", "keys"), " 10000000 ", " 11000000 ")), 0o644)
		},
		"a plot":        func(_, dir string) error { return os.WriteFile(filepath.Join(dir, plotDir, "keys.svg"), nil, 0o644) },
		"a plot gone":   func(_, dir string) error { return os.Remove(filepath.Join(dir, plotDir, "keys.svg")) },
		"a plot more":   func(_, dir string) error { return os.WriteFile(filepath.Join(dir, plotDir, "old.svg"), nil, 0o644) },
		"raw file gone": func(_, dir string) error { return os.Remove(filepath.Join(dir, "a-keys.txt")) },
		"two revisions": func(_, dir string) error {
			return os.WriteFile(filepath.Join(dir, "a-keys.txt"), []byte(rawFile("r2", "keys")), 0o644)
		},
		"a section twice": func(_, dir string) error {
			return os.WriteFile(filepath.Join(dir, "b-keys.txt"), []byte(rawFile("r1", "keys")), 0o644)
		},
		"no section": func(_, dir string) error {
			return os.WriteFile(filepath.Join(dir, "b.txt"), []byte("BenchmarkLoad 1 1 ns/op\n"), 0o644)
		},
		"a broken line": func(_, dir string) error {
			return os.WriteFile(filepath.Join(dir, "b.txt"), []byte("section: x\nBenchmarkLoad 1 x ns/op\n"), 0o644)
		},
		"a block gone": func(document, _ string) error {
			text, err := os.ReadFile(document)
			if err != nil {
				return err
			}
			return os.WriteFile(document, bytes.Replace(text, []byte("<!-- begin keys -->\n"), nil, 1), 0o644)
		},
	} {
		t.Run(name, func(t *testing.T) {
			document, dir := written(t, map[string]string{"a-compare.txt": rawFile("r1", "compare"), "a-keys.txt": rawFile("r1", "keys")})
			if err := change(document, dir); err != nil {
				t.Fatal(err)
			}
			if err := Check(document, dir); err == nil {
				t.Fatal("nothing was found")
			}
		})
	}
}

// TestDirtyReportIsRefused, although document and raw files agree.
func TestDirtyReportIsRefused(t *testing.T) {
	document, dir := tree(t, map[string]string{"a-keys.txt": rawFile("r1-dirty", "keys")})
	for name, do := range map[string]func(document, dir string) error{"Write": Write, "Check": Check} {
		if err := do(document, dir); err == nil || !strings.Contains(err.Error(), "changes") {
			t.Errorf("%s says %v", name, err)
		}
	}
}

// TestNumbers pins how figures are written.
func TestNumbers(t *testing.T) {
	for want, got := range map[string]string{
		"0.50": number(0.5), "12.3": number(12.34), "123": number(123.4), "1.20 M": number(1.2e6), "0": number(0),
		"0.10 M": rate(1e5), "50.0 k": rate(5e4), "12.3 M": rate(12.34e6),
		"120 ns": duration(120), "1.50 µs": duration(1500), "2.00 ms": duration(2e6), "3.00 s": duration(3e9),
		"10 k": count("10000"), "1 M": count("1000000"), "20": count("20"),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	p := &point{values: map[string][]float64{"x": {3, 1, 2}, "w": {3, 1.5, 2}, "y": {4, 4}, "z": {1, 2}}}
	if got := p.cell("x", number); got != "2.00 (1.00–3.00)!" {
		t.Error(got)
	}
	if got := p.cell("w", number); got != "2.00 (1.50–3.00)" {
		t.Error(got)
	}
	if got := p.cell("y", number); got != "4.00" {
		t.Error(got)
	}
	if m, _ := p.median("z"); m != 1.5 {
		t.Error(m)
	}
}

// TestLatencyTables: parts of capacity are one table, equal rates another, and the
// closed loop that found the capacity is in neither.
func TestLatencyTables(t *testing.T) {
	const run = "BenchmarkLoad/impl=keyframe/framing=lines/depth=%s 7 1.0 ns/op %d keys/s %d p50-ns\n"
	text := "section: latency\nrevision: r1\n" +
		fmt.Sprintf(run, "16", 2_000_000, 1000) +
		"percent: 50\n" + fmt.Sprintf(run, "64/rate=1000000", 1_000_000, 2000) + fmt.Sprintf(run, "64/rate=1000001", 1_000_000, 4000) +
		"percent:\n" + fmt.Sprintf(run, "64/rate=100000", 100_000, 3000)
	document, dir := tree(t, map[string]string{"a-latency.txt": text})
	if err := Write(document, dir); err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| Keyframe, JSON Lines | 50 % | 1.00 M | 3.00 µs (2.00–4.00 µs) |",
		"| Keyframe, JSON Lines | 100 k | 3.00 µs | – |",
		"\n\n1 to 2 runs each.\n<!-- end latency -->",
	} {
		if !bytes.Contains(written, []byte(want)) {
			t.Errorf("no %q in the report:\n%s", want, written)
		}
	}
	if bytes.Contains(written, []byte("1.00 µs")) {
		t.Errorf("the closed loop's latency is in the report:\n%s", written)
	}
}
