package codec_test

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"keyframe/codec"
)

// protocolRows returns the tables' rows of a section of PROTOCOL.md, cell by cell.
func protocolRows(t *testing.T, section string) (rows [][]string) {
	t.Helper()
	text, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(text), "\n## "+section)
	if !ok {
		t.Fatalf("PROTOCOL.md has no section %q", section)
	}
	body, _, _ := strings.Cut(after, "\n## ")
	for line := range strings.Lines(body) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "| ") {
			cells := strings.Split(strings.Trim(line, "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			rows = append(rows, cells)
		}
	}
	return rows
}

// TestTheTableIsTheProtocols: section 4 of PROTOCOL.md has a row for each command, with
// the statuses that the command table gives it, and section 2 has a name for each.
func TestTheTableIsTheProtocols(t *testing.T) {
	named := codec.StatusSet(0)
	for _, row := range protocolRows(t, "2.") {
		for i := 0; i+1 < len(row); i += 3 {
			if st, err := strconv.Atoi(row[i]); err == nil {
				named |= 1 << st
			}
		}
	}
	command := regexp.MustCompile("^`([A-Z_]+)`$")
	var documented, served []string
	used := codec.StatusSet(1<<codec.StatusQueryRootInvalidType | 1<<codec.StatusDenied | 1<<codec.StatusUnavailable)
	for _, row := range protocolRows(t, "4.") {
		name := command.FindStringSubmatch(row[0])
		if name == nil || len(row) != 4 {
			continue
		}
		documented = append(documented, name[1])
		op := codec.Lookup([]byte(name[1]))
		if op == 0 {
			t.Errorf("%s is not served", name[1])
			continue
		}
		want := codec.StatusSet(0)
		for _, text := range strings.Fields(row[3]) {
			st, err := strconv.Atoi(text)
			if err != nil {
				t.Errorf("%s: status %q", op, text)
			}
			want |= 1 << st
		}
		got := op.Answers() | op.Values()
		if op.Reply() != codec.ReplyElements {
			got |= 1 << codec.StatusOK
		}
		if got != want {
			t.Errorf("%s: the table has the statuses %b, PROTOCOL.md %b", op, got, want)
		}
		used |= got
	}
	for op := range codec.Opcodes() {
		served = append(served, op.String())
	}
	if !slices.Equal(documented, served) {
		t.Errorf("PROTOCOL.md has %v\nthe table has %v", documented, served)
	}
	classes := map[string]codec.Class{"read": codec.ClassRead, "write": codec.ClassWrite, "scan": codec.ClassScan, "admin": codec.ClassAdmin}
	needs := map[codec.Opcode]codec.Class{}
	for _, row := range protocolRows(t, "7.") {
		if of := row[0]; len(row) == 2 && of != "---" {
			for _, name := range regexp.MustCompile("`([A-Z_]+)`").FindAllStringSubmatch(row[1], -1) {
				for class := range strings.SplitSeq(of, " and ") {
					needs[codec.Lookup([]byte(name[1]))] |= classes[class]
				}
			}
		}
	}
	for op := range codec.Opcodes() {
		if got, ok := needs[op]; !ok || got != op.Class() {
			t.Errorf("%s: the table has the classes %b, PROTOCOL.md section 7 %b", op, op.Class(), got)
		}
	}
	if named != used {
		t.Errorf("PROTOCOL.md names the statuses %b, commands have %b", named, used)
	}
}
