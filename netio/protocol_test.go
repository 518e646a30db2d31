package netio_test

import (
	"os"
	"strings"
	"testing"

	"keyframe/netio"
)

// TestProtocolExamples runs the examples of PROTOCOL.md and README.md: each group of lines that begin
// with > or < is what one client of a new server sends and gets. After a sentence that ends
// with «with `--values any`:» the server has that option. An answer with one … has what stands
// before it and what stands after it. A cursor is another one each time: the one in a document
// stands for the one that the server has given.
func TestProtocolExamples(t *testing.T) {
	text, err := os.ReadFile("../codec/PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, readme...)
	var blocks [][]string
	anyValues := map[int]bool{}
	inBlock, announced := false, false
	for line := range strings.Lines(string(text)) {
		example, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "    ")
		ok = ok && (strings.HasPrefix(example, "> ") || strings.HasPrefix(example, "< "))
		switch {
		case ok && inBlock:
			blocks[len(blocks)-1] = append(blocks[len(blocks)-1], example)
		case ok:
			anyValues[len(blocks)] = announced
			blocks = append(blocks, []string{example})
		case strings.TrimSpace(line) != "":
			announced = strings.HasSuffix(line, "with `--values any`:\n")
		}
		inBlock = ok
	}
	if len(blocks) < 4 {
		t.Fatalf("%d blocks of examples", len(blocks))
	}
	for i, block := range blocks {
		eachFraming(t, netio.Options{AnyValues: anyValues[i]}, func(t *testing.T, c client) {
			shown, given := "no cursor yet", ""
			for _, line := range append(block, "> "+fence, `< {"CONTAINS_RSP":{"st":3,"k":"fence!"}}`) {
				if line[0] == '>' {
					c.send(strings.ReplaceAll(line[2:], shown, given))
					continue
				}
				got, want := c.recv(), line[2:]
				if cursor := cursorIn(want); cursor != "" && cursorIn(got) != "" {
					shown, given = cursor, cursorIn(got)
					want = strings.ReplaceAll(want, shown, given)
				}
				prefix, suffix, cut := strings.Cut(want, "…")
				cut = cut && !strings.Contains(suffix, "…") && len(got) >= len(prefix)+len(suffix)
				if got != want && !(cut && strings.HasPrefix(got, prefix) && strings.HasSuffix(got, suffix)) {
					t.Fatalf("got  %s\nwant %s", got, want)
				}
			}
		})
	}
}

// cursorIn is the cursor of a page, "" if it has none.
func cursorIn(answer string) string {
	_, after, _ := strings.Cut(answer, `,"cursor":"`)
	cursor, _, _ := strings.Cut(after, `"`)
	return cursor
}
