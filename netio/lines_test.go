package netio

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"keyframe/netio/frame"
)

// drainLines takes all lines of a stream that arrives in the given pieces.
func drainLines(maxBytes int, pieces ...[]byte) (got []string, err error) {
	var buf []byte
	scanned := 0
	for _, p := range pieces {
		buf = append(buf, p...)
		for {
			line, size, err := nextLine(buf, scanned, maxBytes)
			if errors.Is(err, frame.ErrIncomplete) {
				scanned = len(buf)
				break
			}
			if err != nil {
				return got, err
			}
			scanned = 0
			got = append(got, string(line))
			buf = buf[size:]
		}
	}
	return got, nil
}

func TestChooseFraming(t *testing.T) {
	for first, want := range map[string]string{
		"":         "unknown",
		"G":        "unknown",
		"GE":       "unknown",
		"GET":      "unknown",
		"GET ":     "handshake",
		"GET /x":   "handshake",
		"GETX":     "unknown",
		"GETX\n":   "lines",
		"get ":     "RESP",
		"{":        "lines",
		"\n":       "lines",
		" GET ":    "lines",
		"\xef\xbb": "lines",

		"POST / HTT":                       "unknown",
		"POST / HTTP/1.1":                  "unknown",
		"POST / HTTP/1.1\r\n":              "handshake",
		"HEAD / HTTP/1.0\n{\"SET\":{}}\n":  "handshake",
		"NAME http://x HTTP/1.1\r\nX: y":   "handshake",
		"POST / HTTP/1.1 x\r\n":            "lines",
		"POST /\r\n":                       "lines",
		"POST\r\n":                         "lines",
		"POST ":                            "unknown",
		"Post / HTTP/1.1\r\n":              "lines",
		"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDE":  "unknown",
		"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF": "lines",

		"POST /" + strings.Repeat("x", maxRequestBytes-7): "unknown",
		"POST /" + strings.Repeat("x", maxRequestBytes-6): "handshake",
	} {
		got := "unknown"
		if row := chooseFraming([]byte(first)); row != nil {
			switch row.make(&Options{}).(type) {
			case *handshake:
				got = "handshake"
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

func TestNextLine(t *testing.T) {
	stream := []byte("one\r\n\n{\"a\":1}\nlast")
	want := []string{"one\r", "", `{"a":1}`}
	for cut := range len(stream) + 1 {
		got, err := drainLines(100, stream[:cut], stream[cut:])
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("cut at %d: %q, error %v; want %q", cut, got, err, want)
		}
	}
}

func TestLineLimit(t *testing.T) {
	at := bytes.Repeat([]byte("x"), 64)
	for _, tt := range []struct {
		name string
		in   []byte
		err  error
	}{
		{"at the limit", append(bytes.Clone(at), '\n'), nil},
		{"at the limit, no end yet", at, nil},
		{"one over, with its end", append(append(bytes.Clone(at), 'y'), '\n'), errLineTooLong},
		{"one over, no end yet", append(bytes.Clone(at), 'y'), errLineTooLong},
	} {
		if _, err := drainLines(64, tt.in); !errors.Is(err, tt.err) {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.err)
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

// FuzzLines: any bytes, cut anywhere, give the lines that a split by newline gives.
func FuzzLines(f *testing.F) {
	f.Add([]byte("one\r\n\n{}\nlast"), uint64(1))
	f.Add(bytes.Repeat([]byte("x"), 300), uint64(2))
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		const limit = 128
		var want []string
		tooLong := false
		for rest := stream; ; {
			line, after, found := bytes.Cut(rest, []byte("\n"))
			if tooLong = len(line) > limit; tooLong || !found {
				break
			}
			want = append(want, string(line))
			rest = after
		}
		rng := rand.New(rand.NewPCG(seed, 0))
		var pieces [][]byte
		for rest := stream; len(rest) > 0; {
			n := 1 + rng.IntN(len(rest))
			pieces = append(pieces, rest[:n])
			rest = rest[n:]
		}
		got, err := drainLines(limit, pieces...)
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) || (err != nil) != tooLong {
			t.Fatalf("got %q, error %v; want %q, too long %v", got, err, want, tooLong)
		}
	})
}
