package codec_test

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"keyframe/codec"
)

// requireMarks fails when the marks of b are not those of its bytes, one by one.
func requireMarks(t testing.TB, b []byte) {
	t.Helper()
	b = b[:min(len(b), codec.WindowForTesting)]
	if !codec.WideForTesting || len(b) == 0 {
		return
	}
	marks, high := codec.MarksForTesting(b)
	want := make([]byte, len(marks))
	past := false
	for i, c := range b {
		if c < ' ' || c == '"' || c == '\\' {
			want[i/8] |= 1 << (i % 8)
		}
		past = past || c >= utf8.RuneSelf
	}
	if !bytes.Equal(marks, want) || high != past {
		t.Fatalf("%q:\n got %08b %t\nwant %08b %t", b, marks, high, want, past)
	}
}

func TestMarks(t *testing.T) {
	skipUnlessWide(t)
	// Every byte at every place of each length up to three times 64, beside ordinary and
	// beside marked bytes.
	for size := range 3*64 + 2 {
		for _, fill := range "a\"\x00\xff" {
			b := bytes.Repeat([]byte{byte(fill)}, size)
			requireMarks(t, b)
			for at := range size {
				if sample() && (size+at)%8 != 0 {
					continue
				}
				for _, c := range "\x00\x1f !\"#[\\]~\x7f\u0080\u00ff" {
					b[at] = byte(c)
					requireMarks(t, b)
				}
				b[at] = byte(fill)
			}
		}
	}
	for c := range 256 {
		for at := range 64 {
			b := bytes.Repeat([]byte{'a'}, 64)
			b[at] = byte(c)
			requireMarks(t, b)
		}
	}
	rnd := rand.New(rand.NewPCG(uint64(*seedFlag), 4))
	for range 200 {
		requireMarks(t, randomMarked(rnd, rnd.IntN(codec.WindowForTesting+1)))
	}
	requireMarks(t, bytes.Repeat([]byte{'"'}, codec.WindowForTesting))
}

func skipUnlessWide(t *testing.T) {
	t.Helper()
	if !codec.WideForTesting {
		t.Skip("nothing is marked: the wide scanner needs amd64 with AVX2 and a build without the tag purego")
	}
}

// randomMarked is n bytes with marked ones and bytes past ASCII here and there.
func randomMarked(rnd *rand.Rand, n int) []byte {
	b := make([]byte, n)
	rare := 1 + rnd.IntN(300)
	for i := range b {
		switch rnd.IntN(rare) {
		case 0:
			b[i] = "\"\\\n\x00\x1f"[rnd.IntN(5)]
		case 1:
			b[i] = byte(rnd.IntN(256))
		default:
			b[i] = 'a' + byte(rnd.IntN(26))
		}
	}
	return b
}

// TestMarksAtTheEdgeOfMemory: bytes are loaded several at a time, so bytes outside the text
// are read. They must not be on another page, which may not be mapped.
func TestMarksAtTheEdgeOfMemory(t *testing.T) {
	skipUnlessWide(t)
	page := unix.Getpagesize()
	all, err := unix.Mmap(-1, 0, 3*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Skip("no mmap: ", err)
	}
	defer func() { _ = unix.Munmap(all) }()
	for i := range all {
		all[i] = "\"\x80a"[i%3]
	}
	for _, edge := range [][]byte{all[:page], all[2*page:]} {
		if err := unix.Mprotect(edge, unix.PROT_NONE); err != nil {
			t.Skip("no mprotect: ", err)
		}
	}
	for n := range 200 {
		requireMarks(t, all[page:page+n])
		requireMarks(t, all[2*page-n:2*page:2*page])
		requireMarks(t, all[2*page-n-7:2*page-7])
	}
}

// TestStopsAcrossWindows: payloads of several windows, searched from every place, in order
// and out of order.
func TestStopsAcrossWindows(t *testing.T) {
	rnd := rand.New(rand.NewPCG(uint64(*seedFlag), 5))
	d := newDecoder(t, codec.Options{})
	for _, size := range []int{0, 1, 63, 64, 65, codec.WindowForTesting - 1, codec.WindowForTesting, codec.WindowForTesting + 1, 3*codec.WindowForTesting + 77} {
		for round := range 6 {
			b := randomMarked(rnd, size)
			if round == 0 {
				b = bytes.Repeat([]byte{'a'}, size)
			}
			var forward, anywhere []int
			for i := 0; i <= size; i += 1 + rnd.IntN(1+size/500) {
				forward = append(forward, i)
				anywhere = append(anywhere, rnd.IntN(size+1))
			}
			for _, places := range [][]int{forward, anywhere} {
				for k, got := range codec.StopsForTesting(d, b, places) {
					if want, _ := codec.ScanBytesForTesting(b, places[k]); got != want {
						t.Fatalf("%d bytes, from %d: %d, want %d", size, places[k], got, want)
					}
				}
			}
		}
	}
}
