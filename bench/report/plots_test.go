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

// TestPlotsAreValid: a plot is XML, and each colour in it is one.
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
