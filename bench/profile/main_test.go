package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestProfiles takes all of them, short.
func TestProfiles(t *testing.T) {
	dir := t.TempDir()
	benchmark := filepath.Join(dir, "keyframe-benchmark")
	if out, err := exec.Command("go", "build", "-o", benchmark, "keyframe/cmd/keyframe-benchmark").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out := filepath.Join(dir, "profiles")
	if err := run([]string{"--out", out, "--benchmark", benchmark, "--duration", "3s", "--key-space", "1000"}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cpu.pprof", "heap.pprof", "allocs.pprof", "mutex.pprof", "block.pprof", "flight.trace"} {
		if info, err := os.Stat(filepath.Join(out, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	top, err := os.ReadFile(filepath.Join(out, "top.txt"))
	if err != nil || !strings.Contains(string(top), "keyframe/engine.") {
		t.Errorf("the CPU's top has nothing of the store in it: %v\n%s", err, top)
	}
}

func TestWrongUse(t *testing.T) {
	for _, args := range [][]string{{"--duration", "1s"}, {"--nonsense"}, {"--duration", "3s", "--out", t.TempDir(), "--benchmark", "/nonexistent/benchmark"}} {
		if err := run(args); err == nil {
			t.Errorf("%v was taken", args)
		}
	}
}
