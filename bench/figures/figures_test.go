package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"keyframe/bench/report"
)

// TestSections runs the sections that need servers, with tiny sizes, and writes the report
// from them.
func TestSections(t *testing.T) {
	if _, err := exec.Command("git", "rev-parse", "HEAD").Output(); err != nil {
		t.Skip("no git, or no repository: figures belong to a revision")
	}
	if runtime.GOOS != "linux" {
		t.Skip("memory is read from Linux's /proc")
	}
	root := t.TempDir()
	cfg := &config{out: filepath.Join(root, "results"), rounds: 1, time: 100 * time.Millisecond, maxKeys: 1000, memory: 1000, count: 1, short: true}
	chosen, err := choose([]string{"compare,latency,growth,memory,disk"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(cfg.out, 0o755); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(cfg.out, "2026-01-01-0000000-memory.txt")
	if err := os.WriteFile(other, []byte("section: memory\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := measure(t.Context(), cfg, chosen, false); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(other); !os.IsNotExist(err) {
		t.Errorf("the section's raw file of another revision is there yet: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(cfg.out, "*"))
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	// A second run measures nothing again.
	before := modified(t, files)
	if err := measure(t.Context(), cfg, chosen, false); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(before, modified(t, files)) {
		t.Error("what was measured at this revision was measured again")
	}

	// A time line without its raw file belongs to a run that did not finish.
	texts, err := filepath.Glob(filepath.Join(cfg.out, "*-growth.txt"))
	if err != nil || len(texts) != 1 {
		t.Fatal(texts, err)
	}
	if err := os.Remove(texts[0]); err != nil {
		t.Fatal(err)
	}
	if err := measure(t.Context(), cfg, chosen, false); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(texts[0]); err != nil || !strings.Contains(string(text), "\n"+report.TimelineKey+": round 1 of 1, ") {
		t.Errorf("%v, no name of the time line in\n%s", err, text)
	}

	table, err := report.Comparison(cfg.out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| I/O limit, JSON Lines | ", "| Keyframe, WebSocket | ", "Keyframe ÷ I/O limit, JSON Lines"} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
	if strings.Contains(table, " – ") {
		t.Errorf("a figure is missing in\n%s", table)
	}
}

func modified(t *testing.T, files []string) (times []string) {
	t.Helper()
	for _, path := range files {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		times = append(times, fmt.Sprint(path, info.ModTime()))
	}
	return times
}

// TestMeasuredFiles: a tree with a change of code is no longer its revision; with a change
// of the report it still is.
func TestMeasuredFiles(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("no git")
	}
	t.Chdir(t.TempDir())
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("git", args...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files := map[string]bool{"a/b/x.go": true, "codec/mark.s": true, "go.mod": true, "Makefile": true, "BENCHMARKS.md": false, "bench/results/x.txt": false}
	run("init", "--quiet")
	for name := range files {
		write(name, "old")
	}
	run("add", ".")
	run("-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "--quiet", "-m", "x")
	for name, measured := range files {
		write(name, "new")
		m, err := describe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(m.revision, report.Dirty) != measured {
			t.Errorf("with a change in %s the revision is %s", name, m.revision)
		}
		if err := measure(t.Context(), &config{out: reportDir}, nil, false); measured && (err == nil || !strings.Contains(err.Error(), "changes")) {
			t.Errorf("with a change in %s the report's figures may be measured: %v", name, err)
		}
		write(name, "old")
	}
}

// TestWhereRawFilesGo: unless told, only --report reads the report's directory, and nothing
// writes there. git ignores the other one.
func TestWhereRawFilesGo(t *testing.T) {
	for _, c := range []struct {
		told   string
		report bool
		want   string
	}{{"", false, localDir}, {"", true, reportDir}, {"x", false, "x"}, {"x", true, "x"}, {reportDir, false, reportDir}} {
		if got := directory(c.told, c.report); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
	if err := exec.Command("git", "rev-parse", "HEAD").Run(); err != nil {
		t.Skip("no git, or no repository: whether git ignores local figures isn't looked at")
	}
	for dir, ignored := range map[string]bool{localDir: true, reportDir: false} {
		err := exec.Command("git", "check-ignore", "--quiet", "--no-index", filepath.Join("..", "..", dir, "x.txt")).Run()
		if (err == nil) != ignored {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

func TestChoose(t *testing.T) {
	for text, want := range map[string]int{"": len(sections), "compare": 1, "latency,compare": 2} {
		if got, err := choose(strings.Fields(text)); err != nil || len(got) != want {
			t.Errorf("%q: %d sections, %v", text, len(got), err)
		}
	}
	if _, err := choose([]string{"lunch"}); err == nil {
		t.Error("a section that does not exist was chosen")
	}
}

// TestTurns: in n rounds with n contenders, each is once in each place.
func TestTurns(t *testing.T) {
	list := []string{"a", "b", "c", "d"}
	places := map[string]bool{}
	for round := range list {
		order := turns(list, round+len(list))
		if len(order) != len(list) || order[0] != list[round] {
			t.Fatalf("round %d: %v", round, order)
		}
		for place, name := range order {
			places[fmt.Sprint(name, place)] = true
		}
	}
	if len(places) != len(list)*len(list) {
		t.Errorf("%d places of %d", len(places), len(list)*len(list))
	}
	if turns([]string(nil), 3) != nil {
		t.Error("the turns of nobody")
	}
}

// TestMedianTimeline: the one in the middle by its end, wherever it is in the list.
func TestMedianTimeline(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var paths []string
	for i, end := range []string{"10.5", "9.25", "2.5"} {
		paths = append(paths, write(fmt.Sprint(i), "end-s,keys\n0.05,1\n"+end+",2\n"))
	}
	index, text, err := medianTimeline(paths)
	if err != nil || index != 1 || !strings.Contains(string(text), "9.25") {
		t.Errorf("time line %d, %v:\n%s", index, err, text)
	}
	for _, bad := range [][]string{nil, {filepath.Join(dir, "none")}, {write("empty", "")}, {write("head", "end-s,keys\n")}, {write("text", "end-s,keys\nx,1\n")}} {
		if _, _, err := medianTimeline(bad); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}

func TestFindRivals(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no sh to stand for a rival")
	}
	got, err := findRivals("valkey=" + sh + " other=" + sh + ",-x,{port} memcached-2=" + sh)
	if err != nil || len(got) != 3 {
		t.Fatal(got, err)
	}
	if got[0].protocol != "--resp" || !slices.Contains(got[0].args, "--port") || !slices.Equal(got[1].args, []string{"-x", "{port}"}) || got[2].protocol != "--memcached" {
		t.Errorf("%+v", got)
	}
	for _, bad := range []string{"redis", "=" + sh, "a/b=" + sh, "redis=/nonexistent/redis-server"} {
		if _, err := findRivals(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// TestServerThatFails: what it printed is in the error.
func TestServerThatFails(t *testing.T) {
	s := &session{config: &config{}, machine: &machine{}, raw: newDiscard()}
	if _, err := s.start(t.Context(), -1, "broken", nil, "sh", "-c", "echo no luck >&2; exit 3"); err == nil || !strings.Contains(err.Error(), "no luck") {
		t.Fatal(err)
	}
}
