package frame_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
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
			line, size, err := frame.NextLine(buf, scanned, maxBytes)
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
		name    string
		in      []byte
		tooLong bool
	}{
		{"at the limit", append(bytes.Clone(at), '\n'), false},
		{"at the limit, no end yet", at, false},
		{"one over, with its end", append(append(bytes.Clone(at), 'y'), '\n'), true},
		{"one over, no end yet", append(bytes.Clone(at), 'y'), true},
	} {
		var wrong *frame.CloseError
		_, err := drainLines(64, tt.in)
		if errors.As(err, &wrong) != tt.tooLong || tt.tooLong && wrong.Code != frame.CloseTooBig || !tt.tooLong && err != nil {
			t.Errorf("%s: error %v, too long %v", tt.name, err, tt.tooLong)
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
