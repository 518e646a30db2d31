package frame_test

import (
	"math/rand/v2"
	"testing"
	"unicode/utf8"

	"keyframe/netio/frame"
)

// mayGoOn reports, the slow way, whether a text may become UTF-8: by trying what may follow.
func mayGoOn(text []byte) bool {
	if utf8.Valid(text) {
		return true
	}
	if len(text) == 0 {
		return false
	}
	var grow func(end []byte) bool
	grow = func(end []byte) bool {
		if len(end) > utf8.UTFMax {
			return false
		}
		for _, b := range []byte{0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF} {
			if longer := append(end[:len(end):len(end)], b); utf8.Valid(longer) || grow(longer) {
				return true
			}
		}
		return false
	}
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if utf8.Valid(text[:len(text)-n]) && grow(text[len(text)-n:]) {
			return true
		}
	}
	return false
}

// TestUTF8 compares the check of a text in pieces, at every cut, with the slow way: it fails
// at the first byte with which no character can go on, and never before.
func TestUTF8(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	edges := []byte{0x00, 'a', 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xF8, 0xFF}
	for range 30_000 {
		var text []byte
		for range r.IntN(6) {
			text = append(text, []string{"a", "é", "\u0800", "\ud7ff", "\uffff", "😀", "\U0010ffff", "long enough for words"}[r.IntN(8)]...)
		}
		for range r.IntN(5) {
			text = append(text, edges[r.IntN(len(edges))])
		}
		var u frame.UTF8
		for at := 0; at < len(text); {
			n := 1 + r.IntN(min(len(text)-at, 7))
			got := u.Check(text[at : at+n])
			at += n
			if want := mayGoOn(text[:at]); got != want {
				t.Fatalf("%x, after %d bytes: %v, want %v", text, at, got, want)
			}
			if u.Check(nil) != got {
				t.Fatalf("%x, after %d bytes: the answer changes", text, at)
			}
			if !got && (u.Check([]byte("a")) || u.Check([]byte("\x80"))) {
				t.Fatalf("%x: it has forgotten the fault", text)
			}
			if !got {
				break
			}
		}
	}
}

// FuzzUTF8: as TestUTF8, of any bytes.
func FuzzUTF8(f *testing.F) {
	f.Add([]byte("κόσμε\xf4\x90\x80\x80edited"), 3)
	f.Fuzz(func(t *testing.T, text []byte, n int) {
		var u frame.UTF8
		n = 1 + int(uint(n)%8)
		for at := 0; at < len(text); at += n {
			end := min(at+n, len(text))
			got := u.Check(text[at:end])
			if want := mayGoOn(text[:end]); got != want {
				t.Fatalf("%x, after %d bytes: %v, want %v", text, end, got, want)
			}
			if !got {
				return
			}
		}
	})
}
