package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
)

// TestPlotsAreValid: a plot is XML, and each colour in it is a valid colour.
func TestPlotsAreValid(t *testing.T) {
	_, dir := tree(t, map[string]string{"a-keys.txt": rawFile("r1", "keys")})
	r, err := read(dir)
	if err != nil {
		t.Fatal(err)
	}
	image, err := svg(keysPlot(r))
	if err != nil {
		t.Fatal(err)
	}
	colour := regexp.MustCompile(`^(none|#[0-9A-F]{6})$`)
	seen := 0
	for d := xml.NewDecoder(bytes.NewReader(image)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		element, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		for _, attr := range element.Attr {
			if attr.Name.Local != "style" {
				continue
			}
			for property := range strings.SplitSeq(attr.Value, ";") {
				if name, value, _ := strings.Cut(property, ":"); name == "fill" || name == "stroke" {
					if seen++; !colour.MatchString(value) {
						t.Errorf("%s of a %s is %q", name, element.Name.Local, value)
					}
				}
			}
		}
	}
	if seen < 10 {
		t.Errorf("%d colours only in\n%s", seen, image)
	}
}

// TestGrowthPlotNamesItsRound, since only one of several is drawn.
func TestGrowthPlotNamesItsRound(t *testing.T) {
	const head, line, csv = "section: growth\nrevision: r1\n", "BenchmarkLoad/impl=keyframe 1 1 keys/s\n", "end-s,keys,keys/s,p99-ns\n0.5,10,20,30\n"
	for text, want := range map[string]string{
		head + line: "through the server (the last round)",
		head + line + "timeline: round 2 of 3, the median by time\nBenchmarkSetInsert/keys=1 1 1 ns/key\n": "through the server (round 2 of 3, the median by time)",
	} {
		_, dir := tree(t, map[string]string{"a-growth.txt": text, "a-growth.csv": csv})
		r, err := read(dir)
		if err != nil {
			t.Fatal(err)
		}
		if image, err := svg(growthPlot(r)); err != nil || !bytes.Contains(image, []byte(want)) {
			t.Errorf("%v, and no %q in\n%s", err, want, image)
		}
	}
}
