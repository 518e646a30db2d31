package codec_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"keyframe/codec"
)

// Surroundings of a string or value are not checked: faults in them must not show, and must
// not hide one inside.
var surroundings = []struct{ before, after string }{
	{"", ""}, {"x", ""}, {"", `,"more":1}`}, {"\xff\xff", "\xff\xff"}, {"ä", "ä"}, {strings.Repeat("\xff", 5000), "\n"},
}

// requireScan requires that a scan accepts a good text wherever it stands and returns the
// index after it, and refuses any other with the place of the fault.
func requireScan(t *testing.T, text string, good bool, scan func(b []byte, i int) (end int, err error)) {
	t.Helper()
	for _, s := range surroundings {
		b, i := []byte(s.before+text+s.after), len(s.before)
		end, err := scan(b, i)
		if good && (err != nil || end != i+len(text)) {
			t.Errorf("%.80q after %d bytes: ends at %d, %v; want %d", text, i, end, err, i+len(text))
		}
		var syntax *codec.Refusal
		if !good && (!errors.As(err, &syntax) || syntax.Offset < i || syntax.Offset > len(b)) {
			t.Errorf("%.80q after %d bytes: ends at %d, %v; want a fault in it", text, i, end, err)
		}
	}
}

// paddings put what they surround near a string's begin, end and middle, and where the
// marks have a window of their own.
var paddings = []string{`%s`, `abc%s`, `%sabc`, `abcdefghijklmnopqrs%s`, `ä%sä`, `\n%s`, strings.Repeat("abc ", 1100) + `%s`}

// isText reports whether encoding/json and package utf8 agree that it is JSON.
func isText(text string) bool { return json.Valid([]byte(text)) && utf8.ValidString(text) }

func TestScanString(t *testing.T) {
	d := newDecoder(t, codec.Options{})
	scan := func(b []byte, i int) (int, error) {
		d.Reset()
		unquoted, end, err := d.ScanString(b, i)
		if err != nil {
			return end, err
		}
		var want string
		if err := json.Unmarshal(b[i:end], &want); err != nil || string(unquoted) != want {
			t.Errorf("%.80q says %.80q, %v; want %.80q", b[i:end], unquoted, err, want)
		}
		return end, nil
	}
	for _, padding := range paddings {
		for _, inside := range append(slices.Collect(maps.Values(badStrings)), goodStrings...) {
			// Half a surrogate pair is JSON, but no text.
			text := fmt.Sprintf(`"`+padding+`"`, inside)
			requireScan(t, text, isText(text) && !loneSurrogate(text), scan)
		}
	}
	for _, none := range []string{"", "x", "1", "'a'", `"`, `"abc`, `"abc\`, `"abc\"`} {
		if _, _, err := d.ScanString([]byte(none), 0); err == nil {
			t.Errorf("%q is taken for a string", none)
		}
	}
}

func TestScanValue(t *testing.T) {
	d := newDecoder(t, codec.Options{})
	for _, frame := range []string{`"%s"`, `["%s"]`, `{"%s":1}`, `{"a":[{"b":"%s"},null]}`} {
		for _, padding := range paddings {
			for _, inside := range append(slices.Collect(maps.Values(badStrings)), goodStrings...) {
				text := fmt.Sprintf(frame, fmt.Sprintf(padding, inside))
				requireScan(t, text, isText(text), d.ScanValue)
			}
		}
	}
	for _, good := range goodValues {
		requireScan(t, good, true, func(b []byte, i int) (int, error) {
			// The bytes after a number could be more of it.
			return d.ScanValue(append(b[:i+len(good):i+len(good)], ' '), i)
		})
	}
}

// TestScansAreOnTheirOwn: what one call has learned about its bytes is not used for the
// next call's.
func TestScansAreOnTheirOwn(t *testing.T) {
	d := newDecoder(t, codec.Options{})
	for range 3 {
		for _, good := range []string{`"abcdef"`, `"ключ"`, `"\u00e4"`} {
			if _, _, err := d.ScanString([]byte(good), 0); err != nil {
				t.Errorf("%s: %v", good, err)
			}
			if _, err := d.ScanValue([]byte(good), 0); err != nil {
				t.Errorf("%s: %v", good, err)
			}
		}
		if _, _, err := d.ScanString([]byte("\"abc\xff\xfe\""), 0); err == nil {
			t.Error("a string that is not UTF-8 was taken")
		}
		if _, err := d.ScanValue([]byte("[\"abc\xff\xfe\"]"), 0); err == nil {
			t.Error("a value that is not UTF-8 was taken")
		}
	}
}
