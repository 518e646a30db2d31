package bench_test

import (
	"flag"
	"fmt"
	"testing"
)

// The grid of the suite: every layer under the same names, so that benchstat can
// put them side by side: -col /layer, -row /keys.
//
//	BenchmarkSet/layer=engine/mode=overwrite/store=1000000/val=20/dist=uniform/keys=10
//
// layer=engine applies a batch of that many operations. layer=codec decodes one command and
// appends its responses; it has no store, and carries the label to stand beside the others.
// layer=netio is one connection over loopback with one command in flight: the whole way of
// a frame, with both ends in this process. layer=server is 32 connections with 16 commands
// in flight each.
var (
	grid = flag.String("grid", "smoke", "points of the suite: smoke (does it run), report (what BENCHMARKS.md shows), full")

	gridKeys   = []int{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000}
	gridStores = []int{1_000, 10_000, 100_000, 1_000_000, 10_000_000, 50_000_000}
	gridValues = []int{8, 20, 128, 1024}
	gridDists  = []string{"seq", "uniform", "zipf"}
	gridModes  = []string{"overwrite", "insert", "presized"}
	gridLayers = []string{"engine", "codec", "netio", "server"}
)

// maxStoreBytes bounds keys × value size: more does not fit beside the benchmark's own keys
// on a machine of 16 GB.
const maxStoreBytes = 6 << 30

// cell is a point of the grid.
type cell struct {
	layer, mode, dist string
	store, val, keys  int
}

func (c cell) String() string {
	return fmt.Sprintf("layer=%s/mode=%s/store=%d/val=%d/dist=%s/keys=%d", c.layer, c.mode, c.store, c.val, c.dist, c.keys)
}

// meaningful reports whether the cell measures something that no other does. An insert
// visits every key once, so it has no popular keys; the codec knows neither stores nor
// modes.
func (c cell) meaningful(base cell) bool {
	if c.mode != "overwrite" && c.dist == "zipf" {
		return false
	}
	return c.layer != "codec" || c.mode == base.mode && c.store == base.store && c.dist == base.dist
}

// cells lists the points of a benchmark.
func cells() []cell {
	base := cell{mode: "overwrite", dist: "uniform", store: 1_000_000, val: 20, keys: 10}
	var list []cell
	add := func(c cell) {
		for _, layer := range gridLayers {
			c.layer = layer
			if c.meaningful(base) {
				list = append(list, c)
			}
		}
	}
	switch *grid {
	case "smoke":
		base.store = 1_000
		for _, keys := range []int{1, 100} {
			c := base
			c.keys = keys
			add(c)
		}
		for _, mode := range gridModes[1:] {
			c := base
			c.mode = mode
			add(c)
		}
	case "report": // one thing is varied at a time
		for _, keys := range gridKeys {
			c := base
			c.keys = keys
			add(c)
		}
		vary := func(change func(*cell)) {
			c := base
			if change(&c); c != base {
				add(c)
			}
		}
		for _, store := range gridStores {
			vary(func(c *cell) { c.store = store })
		}
		for _, val := range gridValues {
			vary(func(c *cell) { c.val = val })
		}
		for _, dist := range gridDists {
			vary(func(c *cell) { c.dist = dist })
		}
		for _, mode := range gridModes {
			vary(func(c *cell) { c.mode = mode })
		}
	case "full":
		for _, store := range gridStores {
			for _, val := range gridValues {
				for _, mode := range gridModes {
					for _, dist := range gridDists {
						for _, keys := range gridKeys {
							add(cell{mode: mode, dist: dist, store: store, val: val, keys: keys})
						}
					}
				}
			}
		}
	default:
		panic("-grid is " + *grid + ", want smoke, report or full")
	}
	return list
}

// few are the points of the benchmarks other than SET's: the base, and 100 keys.
func few(layers ...string) []cell {
	var list []cell
	store := 1_000_000
	if *grid == "smoke" {
		store = 1_000
	}
	for _, layer := range layers {
		for _, keys := range []int{10, 100} {
			list = append(list, cell{layer: layer, mode: "overwrite", dist: "uniform", store: store, val: 20, keys: keys})
		}
	}
	return list
}

// each runs the cells.
func (s *suite) each(b *testing.B, list []cell, run func(*testing.B, cell)) {
	for _, c := range list {
		b.Run(c.String(), func(b *testing.B) {
			if c.store > maxKeys() {
				b.Skip("more than -maxkeys")
			}
			if c.store*(c.val+40) > maxStoreBytes {
				b.Skip("more than fits")
			}
			run(b, c)
		})
	}
	s.drop()
}
