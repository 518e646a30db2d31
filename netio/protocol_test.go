package netio_test

import (
	"os"
	"strings"
	"testing"

	"keyframe/netio"
)

// TestProtocolExamples runs the examples of PROTOCOL.md and README.md: each group of lines that begin
// with > or < is what one client of a new server sends and gets. After a sentence that ends
// with «with `--values any`:» the server has that option.
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
			for _, line := range append(block, "> "+fence, `< {"CONTAINS_RSP":{"st":3,"k":"fence!"}}`) {
				if line[0] == '>' {
					c.send(line[2:])
					continue
				}
				got, want := c.recv(), line[2:]
				if prefix, cut := strings.CutSuffix(want, "…"); got != want && !(cut && strings.HasPrefix(got, prefix)) {
					t.Fatalf("got  %s\nwant %s", got, want)
				}
			}
		})
	}
}
