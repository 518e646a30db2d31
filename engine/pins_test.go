//go:build amd64 && linux && !race

package engine_test

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"keyframe/engine"
)

// compilerSays is what the compiler notes about inlining and escapes in this package.
func compilerSays(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command")
	}
	out, err := exec.Command("go", "build", "-gcflags=-m", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// TestInlining pins what must cost no call.
func TestInlining(t *testing.T) {
	says := compilerSays(t)
	for reason, names := range map[string][]string{
		"its way without waiting is one instruction":   {"(*lock).Lock", "(*lock).Unlock"},
		"every reference that is followed":             {"(*memory).at", "(*memory).hintAt", "word", "half", "add", "bytesAt", "addrOf", "ptrTo"},
		"every key's way to its group":                 {"hash.position", "hash.tags", "position.dirIndex", "directory.size", "(*table).entry", "(*table).entryOf", "(*table).segment", "segment.group"},
		"every group that is looked into":              {"control.match", "control.passed", "bitset.first", "bitset.rest", "(*group).slot", "(*table).record", "groupOf"},
		"every group that is prefetched":               {"(*Engine).lockAddr", "(*Engine).shardOf", "(*Engine).applyHinted.func1"},
		"every record that is written or read":         {"(*record).class", "(*record).parts", "(*record).shortValue", "(*record).shortKey", "recordBytes", "classOf", "classBytes", "copyTo"},
		"every 8 bytes of a key that is hashed":        {"load64", "load32", "round"},
		"every key that is hashed":                     {"avalanche", "tail", "(*secrets).keyedSum", "(*wide).times", "wide.plus"},
		"every operation that is decoded into a batch": {"(*Batch).Add"},
		"every record that is allocated or freed":      {"(*allocator).push", "(*allocator).spare"},
	} {
		for _, name := range names {
			if !strings.Contains(says, ": can inline "+name+"\n") {
				t.Errorf("%s isn't inlined: %s", name, reason)
			}
		}
	}
}

// TestEscapes: no variable of any function is moved to the heap. What is allocated is meant
// to stay, or grows by append; TestAllocs counts it.
func TestEscapes(t *testing.T) {
	says := compilerSays(t)
	if !strings.Contains(says, "escapes to heap") {
		t.Fatal("the compiler notes no escapes")
	}
	for _, moved := range regexp.MustCompile(`(?m)^\./.*moved to heap.*$`).FindAllString(says, -1) {
		t.Error(moved)
	}
	// The window and the digest of a long key are large, so nothing in these files may
	// escape.
	for _, line := range regexp.MustCompile(`(?m)^\./(?:hint|hash|table|record)\.go:.* escapes to heap.*$`).FindAllString(says, -1) {
		t.Errorf("on every operation's way: %s", line)
	}
}

// TestLayouts pins the layout of what there is many of, and of what must lie together.
func TestLayouts(t *testing.T) {
	for name, want := range map[string]struct {
		bytes  uintptr
		reason string
	}{
		"lock":       {12, "its twin of sync.Mutex is padded to as much"},
		"shard tail": {56, "what every operation reads must be in the shard's first line, of 64"},
		"shard":      {1984, "Options says 2 KiB; an odd number of lines, see shardPad"},
		"Op":         {56, "a batch of 32 is 28 lines"},
		"chunkState": {72, "one for each 2 MiB: 9 KiB in a store of 256 MiB"},
		"window":     {512, "it is cleared for every batch"},
		"run":        {16, "one for each block, copied for a compaction"},
	} {
		if got := engine.Layouts()[name]; got != want.bytes {
			t.Errorf("%s: %d bytes, want %d: %s", name, got, want.bytes, want.reason)
		}
	}
}
