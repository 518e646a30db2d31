package buffer

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the random tests, to repeat one")

func newRand(t *testing.T) *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-seed=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// fill is n bytes that depend on where they are in a stream.
func fill(from, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		at := from + i
		b[i] = byte(at ^ at>>8 ^ at>>16)
	}
	return b
}

// TestGrowingModel: whatever is added and used up, what is there is what a plain slice has,
// and what is held is that and little more.
func TestGrowingModel(t *testing.T) {
	rng := newRand(t)
	for range 20 {
		var g Growing
		var model []byte
		sent := 0
		for range 300 {
			if rng.IntN(3) > 0 {
				p := fill(sent, rng.IntN(1<<rng.IntN(20)))
				sent += len(p)
				model = append(model, p...)
				want := g.Held() + g.Growth(len(p))
				if g.Append(p); g.Held() != want && (g.Held() > want || g.mapped == nil) {
					t.Fatalf("%d bytes are held, Growth has said %d", g.Held(), want)
				}
			} else if len(model) > 0 {
				n := min(rng.IntN(1<<rng.IntN(22)), len(model))
				model = model[n:]
				g.Drop(n)
			}
			if g.Len() != len(model) || !bytes.Equal(g.Bytes(), model) {
				t.Fatalf("%d bytes, want %d, or others", g.Len(), len(model))
			}
			held := g.Held()
			if len(model) == 0 && held != 0 {
				t.Fatalf("%d bytes are held of none", held)
			}
			// A heap buffer is as long as it has had to be, with append's slack; the front
			// of a mapping is trimFrom and a page at most.
			if most := max(4*len(model), mapFrom+mapFrom/4) + First; g.mapped == nil && held > most && mapsLong {
				t.Fatalf("%d bytes are held for %d on the heap", held, len(model))
			}
			if g.mapped != nil && held > pages(g.start+len(model)) && held > pages(g.mapped.written) {
				t.Fatalf("%d bytes are held for %d, %d used up", held, len(model), g.start)
			}
			if g.mapped != nil && (g.start >= trimFrom+pageSize || len(model) < mapFrom/2-1) {
				t.Fatalf("%d bytes are mapped, %d are used up", len(model), g.start)
			}
		}
		g.Release()
		if g.Len() != 0 || g.Held() != 0 || g.Mapped() != 0 {
			t.Fatal("something is left")
		}
	}
}

// TestGrowingHoldsWhatCame: 16 MiB that come a read at a time take 16 MiB, and are at no
// time copied to a longer place.
func TestGrowingHoldsWhatCame(t *testing.T) {
	if !mapsLong {
		t.Skip("no mremap here")
	}
	var g Growing
	defer g.Release()
	piece := fill(0, 64<<10)
	for n := len(piece); n <= 16<<20; n += len(piece) {
		g.Append(piece)
		if held := g.Held(); held > n+n/4+First {
			t.Fatalf("%d bytes are held for %d", held, n)
		}
	}
	if g.Mapped() != g.Len() {
		t.Errorf("%d bytes of %d are mapped", g.Mapped(), g.Len())
	}
	before := mappings(t)
	if n := before["kept"]; n == 0 {
		t.Errorf("the mapping is not the system's")
	}
	g.Drop(10 << 20)
	if held := g.Held(); held != 6<<20 {
		t.Errorf("%d bytes are held for 6 MiB", held)
	}
	g.Drop(6<<20 - 100)
	if g.Mapped() != 0 || g.Held() != First {
		t.Errorf("100 bytes hold %d, %d of them mapped", g.Held(), g.Mapped())
	}
	g.Append(fill(0, 16<<20))
	before = mappings(t)
	g.Drop(g.Len())
	if n := mappings(t)["kept"]; n >= before["kept"] {
		t.Errorf("of %d long mappings %d are left", before["kept"], n)
	}
}

// mappings are the sizes of this process's anonymous mappings that were written to; "kept"
// is how many there are of 16 MiB and more.
func mappings(t *testing.T) map[string]int {
	t.Helper()
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	found := map[string]int{}
	for line := range strings.SplitSeq(string(smaps), "\n") {
		var kib int
		if _, err := fmt.Sscanf(line, "Rss: %d kB", &kib); err == nil && kib >= 16<<10 {
			found["kept"]++
		}
	}
	return found
}

// TestGrowingWithoutMappings: where the system has no more mappings the heap has to do.
func TestGrowingWithoutMappings(t *testing.T) {
	refuse = func() bool { return true }
	defer func() { refuse = nil }()
	var g Growing
	want := fill(0, 3<<20)
	for p := want; len(p) > 0; p = p[64<<10:] {
		g.Append(p[:64<<10])
		if len(p) == 2<<20 {
			refuse = nil // there are some
		}
		if len(p) == 1<<20 {
			refuse = func() bool { return true } // and no more, when it is to grow
		}
	}
	big := fill(3<<20, 8<<20)
	g.Append(big)
	if g.Mapped() != 0 || !bytes.Equal(g.Bytes(), append(want, big...)) {
		t.Errorf("%d bytes, %d mapped, or others", g.Len(), g.Mapped())
	}
}

// BenchmarkGrowing is a long command that comes 64 KiB at a time and is used up, ns a piece;
// impl=append is what a slice takes.
func BenchmarkGrowing(b *testing.B) {
	piece := make([]byte, 64<<10)
	for _, pieces := range []int{2, 4, 8, 16, 256} {
		b.Run(fmt.Sprintf("impl=growing/bytes=%d", pieces<<16), func(b *testing.B) {
			b.SetBytes(int64(pieces << 16))
			for b.Loop() {
				var g Growing
				for range pieces {
					g.Append(piece)
				}
				g.Drop(g.Len())
			}
		})
		b.Run(fmt.Sprintf("impl=append/bytes=%d", pieces<<16), func(b *testing.B) {
			b.SetBytes(int64(pieces << 16))
			for b.Loop() {
				var g []byte
				for range pieces {
					g = append(g, piece...)
				}
				if len(g) != pieces*len(piece) {
					b.Fatal(len(g))
				}
			}
		})
	}
}
