package codec_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/bytedance/sonic"

	"keyframe/codec"
)

// requireTwins fails when a scan and its twin differ from any place of b.
func requireTwins(t testing.TB, b []byte) {
	t.Helper()
	for i := range len(b) + 1 {
		fast, seen := codec.ScanForTesting(b, i)
		slow, slowSeen := codec.ScanBytesForTesting(b, i)
		if fast != slow {
			t.Fatalf("%q from %d: %d, twin %d", b, i, fast, slow)
		}
		// seen may have a bit too many, which makes a string slower, but never one too few.
		if seen&codec.HighBitsForTesting == 0 && slowSeen >= utf8.RuneSelf {
			t.Fatalf("%q from %d: has bytes past ASCII unseen", b, i)
		}
	}
	for _, n := range []int{1, 6, 7} {
		if utf8.Valid(b) && codec.FewerCharsForTesting(b, n) != (utf8.RuneCount(b) < n) {
			t.Fatalf("%q has %d characters; fewer than %d: %t", b, utf8.RuneCount(b), n, codec.FewerCharsForTesting(b, n))
		}
	}
	requireMarks(t, b)
	if codec.ValidUTF8(b) != utf8.Valid(b) {
		t.Fatalf("%q: valid UTF-8 %t", b, codec.ValidUTF8(b))
	}
}

func TestScanTwins(t *testing.T) {
	// Every byte at every place of a few lengths, alone and beside every kind of
	// byte: a mark must not come from a neighbour.
	for _, size := range []int{1, 7, 8, 9, 16, 23} {
		for at := range size {
			for c := range 256 {
				if sample() && c%8 > 2 {
					continue
				}
				b := bytes.Repeat([]byte{'a'}, size)
				b[at] = byte(c)
				requireTwins(t, b)
				for _, beside := range "\x00\x1f !\"#[\\]~\x7f\u0080\u00ff" {
					if at > 0 {
						b[at-1] = byte(beside)
					}
					requireTwins(t, b)
				}
			}
		}
	}
}

func TestValidUTF8(t *testing.T) {
	// All sequences of two bytes, and of four whose first is a lead byte, over a long and a
	// short text: sonic checks them differently.
	buf := []byte(strings.Repeat("a", 100))
	check := func(at int) {
		t.Helper()
		if got, want := codec.ValidUTF8(buf), utf8.Valid(buf); got != want {
			t.Fatalf("% x: %t, want %t", buf[at:at+4], got, want)
		}
	}
	edges := []byte{0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC2, 0xFF}
	for _, at := range []int{30, 96} {
		for a := 0x80; a < 0x100; a++ {
			if sample() && a%16 != 0 && a != 0xED && a != 0xF4 {
				continue
			}
			for b := range 256 {
				buf[at], buf[at+1] = byte(a), byte(b)
				check(at)
				for _, c := range edges {
					for _, e := range edges {
						buf[at+2], buf[at+3] = c, e
						check(at)
					}
				}
				copy(buf[at:], "aaaa")
			}
		}
	}
	for _, n := range []int{0, 1, 2, 3} {
		for _, s := range []string{"", "a", "é", "€", "\xff", "\xc3", "\xe2\x82"} {
			b := []byte(strings.Repeat("a", n) + s)
			if codec.ValidUTF8(b) != utf8.Valid(b) {
				t.Errorf("%q: %t", b, codec.ValidUTF8(b))
			}
		}
	}
	if !codec.ValidUTF8(nil) {
		t.Error("nothing is valid UTF-8")
	}
}

func TestStringPaths(t *testing.T) {
	rnd := rand.New(rand.NewPCG(uint64(*seedFlag), 2))
	d := newDecoder(t, codec.Options{})
	pieces := []string{`"`, `\`, `\\`, `\"`, `\n`, `\u`, `\u00e9`, `\ud83d`, "\x00", "\x1f", "\x7f", "é", "€", "😀", "\xff", "\xc3", "\xe2\x82", "a", "abcdefg", "hello, world "}
	n := 200_000
	if sample() {
		n = 10_000
	}
	for range n {
		var b []byte
		for range rnd.IntN(6) {
			b = append(b, pieces[rnd.IntN(len(pieces))]...)
		}
		requireStringPathsAgree(t, d, b)
	}
}

func requireStringPathsAgree(t testing.TB, d *codec.Decoder, b []byte) {
	t.Helper()
	for i := range len(b) + 1 {
		if i < len(b) && !utf8.RuneStart(b[i]) {
			continue // a string begins after a quote, not inside a character
		}
		end, slowEnd, escaped, slowEscaped, err, slowErr := codec.StringsForTesting(d, b, i)
		same := (err == nil) == (slowErr == nil)
		if same && err != nil {
			same = *err == *slowErr
		}
		if !same || end != slowEnd || escaped != slowEscaped {
			t.Fatalf("%q from %d: %d %t %v, the slow way %d %t %v", b, i, end, escaped, err, slowEnd, slowEscaped, slowErr)
		}
	}
}

func requireNestedPathsAgree(t testing.TB, d *codec.Decoder, b []byte) {
	t.Helper()
	if len(b) == 0 || b[0] != '[' && b[0] != '{' {
		return
	}
	end, slowEnd, err, slowErr := codec.NestedForTesting(d, b, 0)
	if (err == nil) != (slowErr == nil) || end != slowEnd {
		t.Fatalf("%q: %d %v, the slow way %d %v", b, end, err, slowEnd, slowErr)
	}
	// Where all strings are valid, sonic is right.
	if json.Valid(b) && utf8.Valid(b) && !codec.ValidGrammarForTesting(b) {
		t.Fatalf("%q: sonic refuses it", b)
	}
}

func TestNestedPaths(t *testing.T) {
	d := newDecoder(t, codec.Options{})
	for depth := 126; depth <= 130; depth++ {
		for _, inner := range []string{"", "1", "x", `"\x"`, ","} {
			for _, outer := range [][2]string{{"[", "]"}, {`{"a":`, "}"}} {
				text := []byte(strings.Repeat(outer[0], depth) + inner + strings.Repeat(outer[1], depth))
				requireNestedPathsAgree(t, d, text)
				_, _, _, err := codec.NestedForTesting(d, text, 0)
				if deep := err != nil && strings.Contains(err.Text, "deeper"); deep != (depth > 128) {
					t.Errorf("depth %d of %s: %v", depth, outer[0], err)
				}
			}
		}
	}
	for _, all := range [][]string{goodValues, badValues} {
		for _, a := range all {
			for _, b := range all {
				for _, text := range []string{a, "[" + a + "," + b + "]", `{"a":` + a + `,"b":` + b + "}", "[" + a + b + "]", "[" + a + "[" + b + "]"} {
					requireNestedPathsAgree(t, d, []byte(text))
				}
			}
		}
	}
}

// What sonic lets pass is why strings are checked here. When one of these fails,
// sonic has become stricter: look at json.go again.
func TestSonicLetsBadStringsPass(t *testing.T) {
	if codec.Backend() != "sonic" {
		t.Skip("sonic is encoding/json here")
	}
	for _, bad := range []string{"\n", "\x00", `\x41`, `\u12`, "\xff", "\xed\xa0\x80"} {
		if !sonic.Valid([]byte(`["` + bad + `"]`)) {
			t.Errorf("sonic.Valid refuses %q in a string", bad)
		}
	}
}

// Outside amd64 and arm64, and versions of Go that it does not know, sonic silently
// becomes encoding/json.
func TestSonicIsBehindIt(t *testing.T) {
	if sonic.APIKind != sonic.UseSonicJSON || codec.Backend() != "sonic" {
		t.Errorf("the backend is %s: sonic has no implementation for this platform", codec.Backend())
	}
}

func TestUnescape(t *testing.T) {
	rnd := rand.New(rand.NewPCG(uint64(*seedFlag), 3))
	pieces := append([]string{"abc", "é", "😀", "0123456789abcdef0123456789abcdef"}, goodStrings...)
	scratch := []byte("kept")
	n := 100_000
	if sample() {
		n = 10_000
	}
	for range n {
		var s string
		for range rnd.IntN(6) {
			s += pieces[rnd.IntN(len(pieces))]
		}
		var want string
		if err := json.Unmarshal([]byte(`"`+s+`"`), &want); err != nil {
			t.Fatal(s, err)
		}
		if codec.LoneSurrogateTesting([]byte(s), 0, len(s)) >= 0 {
			t.Fatalf("%s has no unpaired surrogate", s)
		}
		scratch = codec.UnescapeForTesting(scratch[:4], []byte(s))
		if got := string(scratch); got != "kept"+want {
			t.Fatalf("%s: %q, want %q", s, got, "kept"+want)
		}
		for _, unquote := range []func(room, s []byte) int{codec.UnquoteShortForTesting, codec.UnquoteLongForTesting} {
			room := make([]byte, len(s))
			if got := string(room[:unquote(room, []byte(s))]); got != want {
				t.Fatalf("%s: %q, want %q", s, got, want)
			}
		}
	}
}
