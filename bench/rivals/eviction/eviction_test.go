package eviction

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ulikunitz/xz"
)

var folder = flag.String("traces", os.Getenv("TRACES"), "the folder of the traces (or TRACES in the environment)")
var seed = flag.Uint64("seed", rand.Uint64(), "of random tests")

var policies = []struct {
	name string
	make func(capacity, keys int) Policy
}{
	{"lru", newLRU},
	{"sieve", newSieve},
	{"s3fifo", newS3FIFO},
	{"otter", newOtter},
	{"keyframe", newModel},
}

// few are the traces of a thousand keys: how many clients play them, and how many
// requests of each, 0 for all.
var few = map[string]struct{ clients, requests int }{
	"gli":  {clients: 64},
	"loop": {clients: 128, requests: 20 * 1011},
}

// theTraces is what is measured: the folder's, if there is one, and draws of zipf.
func theTraces(tb testing.TB) []*Trace {
	var traces []*Trace
	if *folder == "" {
		tb.Log("no public traces: TRACES names their folder")
	} else {
		var err error
		if traces, err = ReadTraces(*folder); err != nil {
			tb.Fatal(err)
		}
	}
	for i, t := range traces {
		if f, ok := few[t.Name]; ok {
			if f.requests > 0 {
				t.Requests = t.Requests[:min(f.requests, len(t.Requests))]
			}
			traces[i] = t.Clients(f.clients)
		}
	}
	keys := 1_000_000
	if *folder == "" {
		keys /= 10 // a run to see whether it runs
	}
	for _, s := range []float64{0.9, 1.0, 1.1} {
		traces = append(traces, Zipf(s, keys, 4*keys, 1))
	}
	return traces
}

// BenchmarkHitRatio is the comparison. The time is that of the policy's model, not of the
// store that has it.
func BenchmarkHitRatio(b *testing.B) {
	for _, t := range theTraces(b) {
		for _, percent := range []int{1, 5, 10, 25} {
			capacity := t.Keys * percent / 100
			name := fmt.Sprintf("trace=%s/percent=%d/keys=%d", t.Name, percent, capacity)
			run := func(policy string, ratio func() float64) {
				b.Run(name+"/policy="+policy, func(b *testing.B) {
					r := 0.0
					for b.Loop() {
						r = ratio()
					}
					b.ReportMetric(r, "hit-%")
				})
			}
			for _, p := range policies {
				run(p.name, func() float64 { return Ratio(p.make(capacity, t.Keys), t) })
			}
			run("optimum", func() float64 { return Optimum(t, capacity) })
		}
	}
}

// TestGoals holds what the engine's policy was chosen for.
func TestGoals(t *testing.T) {
	if testing.Short() {
		t.Skip("some seconds long")
	}
	if *folder == "" {
		t.Skip("no public traces: TRACES names their folder")
	}
	var ours, lrus, sieves float64
	for _, trace := range theTraces(t) {
		for _, percent := range []int{1, 5, 10, 25} {
			capacity := trace.Keys * percent / 100
			our := Ratio(newModel(capacity, trace.Keys), trace)
			lru := Ratio(newLRU(capacity, trace.Keys), trace)
			sieve := Ratio(newSieve(capacity, trace.Keys), trace)
			if better := max(lru, sieve); our < better-1 {
				t.Errorf("%s at %d %%: %.2f %%, where LRU has %.2f and SIEVE %.2f", trace.Name, percent, our, lru, sieve)
			}
			ours, lrus, sieves = ours+our, lrus+lru, sieves+sieve
		}
	}
	if ours <= lrus || ours <= sieves {
		t.Errorf("on the mean below LRU or SIEVE: sums %.1f, %.1f, %.1f", ours, lrus, sieves)
	}
}

func TestReadTraces(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var gz, packed bytes.Buffer
	w := gzip.NewWriter(&gz)
	fmt.Fprint(w, "10 3 0 0\n11 1 0 1\n")
	w.Close()
	write("a.arc.gz", gz.Bytes())
	x, err := xz.NewWriter(&packed)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = x.Write([]byte("\x01\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x01" + "\x01\x00\x00\x00\x00\x00\x00\x00"))
	x.Close()
	write("corda.u64be.xz", packed.Bytes())
	write("loop.lirs", []byte("5\r\n7\r\n*\r\n5\r\n"))
	write("README.md", []byte("not a trace"))
	traces, err := ReadTraces(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []Trace{
		{Name: "a", Requests: []uint32{0, 1, 2, 1}, Keys: 3},
		{Name: "corda", Requests: []uint32{0, 1, 0}, Keys: 2},
		{Name: "loop", Requests: []uint32{0, 1, 0}, Keys: 2},
		{Name: "mixed", Requests: []uint32{0, 1, 0, 2, 3, 2, 2, 3, 2, 2, 3, 2, 2, 3, 2, 2, 3, 2, 0, 1, 0}, Keys: 4},
	}
	if len(traces) != len(want) {
		t.Fatalf("%d traces, want %d", len(traces), len(want))
	}
	for i := range want {
		if got := *traces[i]; got.Name != want[i].Name || got.Keys != want[i].Keys || !slices.Equal(got.Requests, want[i].Requests) {
			t.Errorf("trace %d is %v, want %v", i, got, want[i])
		}
	}
	for name, data := range map[string]string{"x.arc": "1\n", "y.lirs": "q\n", "z.u64be": "1234567"} {
		bad := t.TempDir()
		if err := os.WriteFile(filepath.Join(bad, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadTraces(bad); err == nil {
			t.Errorf("%s with %q is read", name, data)
		}
	}
}

// plain is a cache of a number of keys in its shortest form: victim says which to drop.
func plain(t *Trace, capacity int, victim func(in []uint32, now int) int, hit func(in []uint32, at int) []uint32) int {
	var in []uint32
	hits := 0
	for now, key := range t.Requests {
		if at := slices.Index(in, key); at >= 0 {
			hits++
			in = hit(in, at)
			continue
		}
		if len(in) == capacity {
			at := victim(in, now)
			in = slices.Delete(in, at, at+1)
		}
		in = append(in, key)
	}
	return hits
}

// TestAgainstPlain compares LRU with the same in a few lines, and the optimum with a cache
// that knows the future but must store every key. No policy has more hits than the optimum.
func TestAgainstPlain(t *testing.T) {
	t.Logf("-seed=%d", *seed)
	r := rand.New(rand.NewPCG(*seed, 0))
	for range 50 {
		keys, capacity := 2+r.IntN(30), 1+r.IntN(12)
		requests := make([]uint64, 300)
		for i := range requests {
			requests[i] = uint64(r.IntN(keys))
		}
		trace := newTrace("random", requests)
		count := func(ratio float64) int { return int(ratio*float64(len(requests))/100 + 0.5) }
		oldest := func([]uint32, int) int { return 0 }
		toEnd := func(in []uint32, at int) []uint32 { key := in[at]; return append(slices.Delete(in, at, at+1), key) }
		if got, want := count(Ratio(newLRU(capacity, trace.Keys), trace)), plain(trace, capacity, oldest, toEnd); got != want {
			t.Fatalf("LRU of %d has %d hits, want %d: %v", capacity, got, want, trace.Requests)
		}
		latest := func(in []uint32, now int) int {
			best, bestAt := 0, -1
			for i, key := range in {
				next := slices.Index(trace.Requests[now:], key)
				if next < 0 {
					next = len(requests)
				}
				if next > bestAt {
					best, bestAt = i, next
				}
			}
			return best
		}
		stay := func(in []uint32, _ int) []uint32 { return in }
		got, want := count(Optimum(trace, capacity)), plain(trace, capacity, latest, stay)
		if got < want {
			t.Fatalf("the optimum of %d has %d hits, fewer than %d without refusing: %v", capacity, got, want, trace.Requests)
		}
		for _, p := range policies {
			if hits := count(Ratio(p.make(capacity, trace.Keys), trace)); hits > got {
				t.Fatalf("%s of %d has %d hits, more than the optimum's %d: %v", p.name, capacity, hits, got, trace.Requests)
			}
		}
	}
}

// TestCapacity has every policy hold all keys that fit, and no more than that.
func TestCapacity(t *testing.T) {
	const n = 5000
	once := make([]uint64, n)
	for i := range once {
		once[i] = uint64(i)
	}
	twice := newTrace("twice", append(once, once...))
	for _, p := range policies {
		if got := Ratio(p.make(2*n, twice.Keys), twice); got != 50 {
			t.Errorf("%s has %.2f %% of what fits, want 50", p.name, got)
		}
		if p.name == "otter" {
			continue // it counts what it is about to evict
		}
		c := p.make(n/10, twice.Keys)
		held := 0
		for _, key := range twice.Requests[:n] {
			c.Request(key)
		}
		switch c := c.(type) {
		case *lru:
			held = c.size
		case *sieve:
			held = c.size
		case *s3fifo:
			held = c.smallSize + c.mainSize
		case *model:
			for i := range c.shards {
				held += c.shards[i].size
			}
		}
		if held != n/10 {
			t.Errorf("%s holds %d keys, want %d", p.name, held, n/10)
		}
	}
}

// TestSieve follows the paper's rules by hand, and so does TestS3FIFO.
func TestSieve(t *testing.T) {
	p := newSieve(3, 10)
	for _, step := range []struct {
		key uint32
		hit bool
	}{{0, false}, {1, false}, {2, false}, {0, true}, {3, false}, {0, true}, {1, false}, {3, true}, {2, false}, {0, true}} {
		// 3 evicts 1 (0 is marked); 1 evicts 2; 2 evicts 1 (3 is marked).
		if hit := p.Request(step.key); hit != step.hit {
			t.Errorf("request of %d: hit %v, want %v", step.key, hit, step.hit)
		}
	}
}

func TestS3FIFO(t *testing.T) {
	p := newS3FIFO(10, 100).(*s3fifo)
	for key := range uint32(10) {
		p.Request(key)
	}
	p.Request(10) // evicts 0, into the ghost
	if p.where[1] != inGhost {
		t.Fatal("the oldest of the small queue isn't in the ghost")
	}
	p.Request(0)
	if p.where[1] != inMain {
		t.Error("a key that the ghost has isn't stored in the main queue")
	}
	p.Request(2)
	p.Request(2) // twice: it may stay
	p.Request(11)
	p.Request(12)
	if p.where[3] != inMain {
		t.Error("a key of the small queue that was asked for twice isn't in the main queue")
	}
}

// TestGhost has the model's ghost keep the five latest of a bucket.
func TestGhost(t *testing.T) {
	s := modelShard{ghost: make([]uint64, 1)}
	var keys []uint32
	prints := make(map[uint64]bool)
	for key := uint32(0); len(keys) < 6; key++ {
		if _, print := s.printOf(key); !prints[print] {
			prints[print] = true
			keys = append(keys, key)
		}
	}
	for _, key := range keys {
		bucket, print := s.printOf(key)
		*bucket = *bucket<<ghostPrintBits | print
	}
	if s.takeGhost(keys[0]) {
		t.Error("the sixth is remembered")
	}
	for _, i := range []int{3, 1, 5, 2, 4} {
		if !s.takeGhost(keys[i]) {
			t.Errorf("the bucket has forgotten key %d", i)
		}
		if s.takeGhost(keys[i]) {
			t.Errorf("the bucket has key %d twice", i)
		}
	}
}

// BenchmarkStore runs traces through the engine itself, with a ceiling that about a tenth
// of the keys fit under, and says what LRU, otter and the model have with as many keys as
// it holds in the end.
func BenchmarkStore(b *testing.B) {
	for _, t := range theTraces(b) {
		b.Run("trace="+t.Name, func(b *testing.B) {
			for b.Loop() {
				s, err := newStore(max(t.Keys/10*(storeRecordBytes+64)*11/10, 8<<20))
				if err != nil {
					b.Fatal(err)
				}
				ratio := Ratio(s, t)
				st := s.e.Stats()
				if err := s.e.Close(); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(ratio, "hit-%")
				b.ReportMetric(float64(st.Keys), "keys")
				b.ReportMetric(float64(s.refused), "refused")
				b.ReportMetric(float64(st.Compactions), "compactions")
				b.ReportMetric(float64(st.FreeBytes)/float64(st.BlockBytes)*100, "free-%")
				b.ReportMetric(Ratio(newLRU(st.Keys, t.Keys), t), "lru-hit-%")
				b.ReportMetric(Ratio(newModel(st.Keys, t.Keys), t), "model-hit-%")
			}
		})
	}
}
