package netio

import (
	"strings"
	"testing"

	"keyframe/codec/http1"
)

func TestChooseFraming(t *testing.T) {
	for first, want := range map[string]string{
		"":         "unknown",
		"G":        "unknown",
		"GE":       "unknown",
		"GET":      "unknown",
		"GET ":     "HTTP",
		"GET /x":   "HTTP",
		"GETX":     "unknown",
		"GETX\n":   "lines",
		"get ":     "RESP",
		"{":        "lines",
		"\n":       "lines",
		" GET ":    "lines",
		"\xef\xbb": "lines",

		"POST / HTT":                       "unknown",
		"POST / HTTP/1.1":                  "unknown",
		"POST / HTTP/1.1\r\n":              "HTTP",
		"HEAD / HTTP/1.0\n{\"SET\":{}}\n":  "HTTP",
		"NAME http://x HTTP/1.1\r\nX: y":   "HTTP",
		"POST / HTTP/1.1 x\r\n":            "lines",
		"POST /\r\n":                       "lines",
		"POST\r\n":                         "lines",
		"POST ":                            "unknown",
		"Post / HTTP/1.1\r\n":              "lines",
		"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDE":  "unknown",
		"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF": "lines",

		"POST /" + strings.Repeat("x", http1.MaxHeadBytes-7): "unknown",
		"POST /" + strings.Repeat("x", http1.MaxHeadBytes-6): "HTTP",
	} {
		got := "unknown"
		if row := chooseFraming([]byte(first)); row != nil {
			switch row.make(&Options{}).(type) {
			case *httpFraming:
				got = "HTTP"
			case *lineFraming:
				got = "lines"
			case *respFraming:
				got = "RESP"
			}
		}
		if got != want {
			t.Errorf("%q: %s, want %s", first, got, want)
		}
	}
}

func TestBlankLines(t *testing.T) {
	for line, want := range map[string]bool{"": true, "\r": true, " \t ": true, "{}": false, " x": false, "\v": false} {
		if got := skipBlank([]byte(line), 0) == len(line); got != want {
			t.Errorf("%q: blank %v, want %v", line, got, want)
		}
	}
}
