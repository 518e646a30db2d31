package bench_test

import (
	"flag"
	"testing"

	"keyframe/bench"
	"keyframe/bench/load"
	"keyframe/engine"
)

// once makes a benchmark run one operation only.
func once(t *testing.T) {
	t.Helper()
	benchtime := flag.Lookup("test.benchtime").Value
	old := benchtime.String()
	if err := benchtime.Set("1x"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = benchtime.Set(old) })
}

// TestSuiteFillsItsStore: however short a benchmark runs, every key of the store in its
// name has its turn, and the figures are of all keys.
func TestSuiteFillsItsStore(t *testing.T) {
	once(t)
	for _, layer := range []string{"engine", "server"} {
		for mode, mix := range map[string]load.Mix{"insert": {load.Set: 100}, "presized": {load.Add: 100}, "remove": {load.Remove: 100}} {
			c := cell{layer: layer, mode: mode, dist: "uniform", store: 10_000, val: 20, keys: 10}
			t.Run(c.String(), func(t *testing.T) {
				var s suite
				defer s.drop()
				r := testing.Benchmark(func(b *testing.B) { s.run(b, c, mix) })
				if r.N != 1 {
					t.Fatalf("the benchmark failed: %+v", r)
				}
				// A store that got only one batch of ten would reserve thousands of bytes a
				// key.
				if bytes, ok := r.Extra["bytes/key"]; ok == (mode == "remove") || bytes > 1e6 {
					t.Errorf("bytes/key is %v, %v", bytes, ok)
				}
				for _, unit := range []string{"ns/key", "keys/s", "p50-ns", "p99-ns", "p999-ns"} {
					if r.Extra[unit] <= 0 {
						t.Errorf("%s is %v", unit, r.Extra[unit])
					}
				}
			})
		}
	}
}

// TestSuiteFailsOnMisses: a GET of what is not there is cheaper, so it must not become a
// figure.
func TestSuiteFailsOnMisses(t *testing.T) {
	once(t)
	for _, layer := range []string{"engine", "netio", "server"} {
		c := cell{layer: layer, mode: "overwrite", dist: "uniform", store: 1000, val: 20, keys: 10}
		for there, works := range map[int]bool{c.store: true, c.store / 2: false} {
			s := suite{of: c, keys: bench.NewKeys(c.store), ours: layer != "engine"}
			var failed bool
			testing.Benchmark(func(b *testing.B) {
				defer func() { failed = b.Failed() }() // a failure ends the goroutine
				s.store = newStore(b, engine.Options{})
				apply(b, s.store, bench.NewKeys(there), engine.Set, valueOf(c), 100)
				s.run(b, c, load.Mix{load.Get: 100})
			})
			if s.drop(); failed == works {
				t.Errorf("%s, %d of %d keys: failed is %v", layer, there, c.store, failed)
			}
		}
	}
}
