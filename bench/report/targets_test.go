package report

import (
	"os"
	"strings"
	"testing"
)

// TestTargets: each target is made of the figures that its name says.
func TestTargets(t *testing.T) {
	const head = "section: %\nrevision: r1\n"
	_, dir := tree(t, map[string]string{
		"a-engine.txt": strings.Replace(head, "%", "engine", 1) +
			"BenchmarkSetOverwrite/impl=engine/batch=32/keys=1000000 1 70 ns/key\n" +
			"BenchmarkSetOverwrite/impl=engine/batch=32/keys=10000000 1 80 ns/key\n" +
			"BenchmarkGetHit/impl=engine/batch=32/keys=1000000 1 77 ns/key\n" +
			"BenchmarkGetHit/impl=engine/batch=32/keys=10000000 1 40 ns/key\n",
		"a-growth.txt": strings.Replace(head, "%", "growth", 1) +
			"BenchmarkSetInsert/impl=engine/batch=32/presized=false/keys=10000000 1 300 ns/key 1000 slowest-us\n" +
			"BenchmarkSetInsert/impl=engine/batch=32/presized=true/keys=10000000 1 100 ns/key 3000 slowest-us\n",
		"a-codec.txt": strings.Replace(head, "%", "codec", 1) +
			"BenchmarkDecode/form=plain/keys=1/impl=keyframe 1 20 ns/key\n" +
			"BenchmarkDecode/form=plain/keys=10/impl=keyframe 1 10 ns/key\n" +
			"BenchmarkDecode/form=spaced/keys=1/impl=keyframe 1 40 ns/key\n" +
			"BenchmarkDecode/form=spaced/keys=10/impl=keyframe 1 12 ns/key\n" +
			"BenchmarkDecode/form=unicode/keys=10/impl=keyframe 1 10 ns/key\n" +
			"BenchmarkDecode/form=unicode/keys=10/impl=preorder 1 30 ns/key\n" +
			"BenchmarkDecode/form=escaped/keys=10/impl=keyframe 1 20 ns/key\n" +
			"BenchmarkDecode/form=escaped/keys=10/impl=preorder 1 30 ns/key\n" +
			"BenchmarkDecode/form=kib/keys=10/impl=keyframe 1 102.4 ns/key\n" +
			"BenchmarkDecodeGet/keys=10/impl=keyframe 1 13 ns/key\n",
		"a-commands.txt": strings.Replace(head, "%", "commands", 1) +
			"BenchmarkLoad/impl=keyframe/framing=lines/mix=set/keys=1/depth=64/store=1000000/ttl=1h0m0s 1 900 keys/s\n" +
			"BenchmarkLoad/impl=keyframe/framing=lines/mix=set/keys=1/depth=64/store=10000 1 700 keys/s\n" +
			"BenchmarkLoad/impl=redis/framing=resp/mix=set/keys=1/depth=64/store=1000000/ttl=1h0m0s 1 200 keys/s\n" +
			"BenchmarkLoad/impl=redis/framing=resp/mix=set/keys=1/depth=64/store=10000 1 350 keys/s\n" +
			"BenchmarkLoad/impl=keyframe/framing=lines/mix=set5+get95/keys=10/depth=16/store=1000000 1 500 keys/s\n" +
			"BenchmarkLoad/impl=redis/framing=resp/mix=set5+get95/keys=10/depth=16/store=1000000 1 100 keys/s\n",
		"a-deadlines.txt": strings.Replace(head, "%", "deadlines", 1) +
			"BenchmarkEvict/evict=none/keys=1000000/batch=32 1 60 ns/key\n" +
			"BenchmarkEvict/evict=all/keys=1000000/batch=32 1 80 ns/key\n" +
			"BenchmarkExpire/dies=true/keys=10000000 1 8200000 max-ns 7100000 control-max-ns 220 back-ms\n",
		"a-pages.txt": strings.Replace(head, "%", "pages", 1) +
			"BenchmarkServerScan/keys=10000000/mode=values 1 5200000 keys/s\n",
		"a-disk.txt": strings.Replace(head, "%", "disk", 1) +
			"BenchmarkLoad/impl=keyframe/framing=lines/keys=1/depth=64 1 100 keys/s 10000 p50-ns 30000 p99-ns\n" +
			"BenchmarkLoad/impl=keyframe-everysec/framing=lines/keys=1/depth=64 1 93 keys/s 11000 p50-ns 40000 p99-ns\n" +
			"BenchmarkLoad/impl=keyframe-always/framing=lines/keys=1/depth=64/rate=20000 1 20 keys/s 300000 p50-ns\n" +
			"BenchmarkLoad/impl=keyframe-always/framing=lines/keys=1/depth=64 1 50 keys/s\n" +
			"BenchmarkLoad/impl=redis-everysec/framing=resp/keys=1/depth=64 1 14 keys/s\n" +
			"BenchmarkLoad/impl=redis-always/framing=resp/keys=1/depth=64 1 10 keys/s\n" +
			"BenchmarkDiskSync 1000 210000 ns/op 200000 p50-ns\n",
	})
	r, err := read(dir)
	if err != nil {
		t.Fatal(err)
	}
	text := targets(r)
	for _, want := range []string{
		"| engine, 1 M keys, batches of 32, ns a key | ≤ 75.0 | 70.0 | met | `engine` |",
		"| engine, 1 M keys, batches of 32: GET ÷ SET | ≤ 1.00 | 1.10 | **missed** | `engine` |",
		"| engine, 10 M keys, batches of 32: GET ÷ SET | ≤ 1.00 | 0.50 | met | `engine` |",
		"| the same, unicode | ≥ 2.00 | 3.00 | met | `codec` |",
		"| the same, escaped | ≥ 2.00 | 1.50 | **missed** | `codec` |",
		"| decode 1 key, ns | ≤ 30.0 | 20.0 | met | `codec` |",
		"| decode 10 keys: pretty-printed ÷ compact | ≤ 1.50 | 1.20 | met | `codec` |",
		"| decode 1 key: pretty-printed ÷ compact | ≤ 1.50 | 2.00 | **missed** | `codec` |",
		"| decode 10 keys with values of 1 KiB, GB/s of values | ≥ 8.00 | 10.0 | met | `codec` |",
		"| decode 10 keys: GET ÷ SET | ≤ 1.20 | 1.30 | **missed** | `codec` |",
		"| inserting 10 M keys, ns a key: growing ÷ made to size | ≤ 2.00 | 3.00 | **missed** | `growth` |",
		"| growing to 10 M keys, slowest batch of 32, ms | ≤ 2.00 | 1.00 | met | `growth` |",
		"| append a response, ns | ≤ 10.0 | – | not measured | `codec` |",
		"| SET of 1, 64 in flight, 10 k keys ÷ Redis SET | ≥ 3.00 | 2.00 | **missed** | `commands` |",
		"| SETEX of 1, 64 in flight ÷ Redis SET … PX | ≥ 4.00 | 4.50 | met | `commands` |",
		"| INCR of 10, 16 in flight ÷ Redis INCR | ≥ 4.00 | – | not measured | `commands` |",
		"| 95 GETs and 5 SETs of 10, 16 in flight ÷ Redis | ≥ 4.50 | 5.00 | met | `commands` |",
		"| 10 M keys die in a minute: slowest batch of another client, ms | ≤ 2.00 | 8.20 | **missed** | `deadlines` |",
		"| the same client, the same minute, a store where nothing dies | – | 7.10 | control | `deadlines` |",
		"| keys that die: memory back after the last deadline, s | ≤ 2.00 | 0.22 | met | `deadlines` |",
		"| zipf 1.0, a tenth fits: throughput at the ceiling ÷ without one | ≥ 0.70 | 0.75 | met | `deadlines` |",
		"| KEYS with values, 10 M keys, M keys/s | ≥ 5.00 | 5.20 | met | `pages` |",
		"| a SET beside KEYS with values over 10 M keys, p99, ms | ≤ 1.00 | – | not measured | `pages` |",
		"| 1×64, SETs: everysec ÷ no journal | ≥ 0.92 | 0.93 | met | `disk` |\n" +
			"| the same ÷ Redis everysec | ≥ 7.00 | 6.64 | **missed** | `disk` |\n" +
			"| 1×64, SETs: always ÷ Redis always | ≥ 4.50 | 5.00 | met | `disk` |",
		"| 10×16, SETs: everysec ÷ no journal | ≥ 0.88 | – | not measured | `disk` |",
		"| always, 20,000 SETs a second, p50 ÷ the disk's own | ≤ 1.60 | 1.50 | met | `disk` |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	text = diskTable(r)
	for _, want := range []string{
		"| `everysec` ÷ no journal | – | 0.93 | – | – |",
		"| `everysec` | –, – | 11.0 µs, 40.0 µs | –, – | –, – |",
		"| `always` | 300 µs | – | 1.50 |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// TestTargetsFindTheirFigures: the names in the tree's raw files are those that the
// targets look for.
func TestTargetsFindTheirFigures(t *testing.T) {
	if _, err := os.Stat("../results/figures"); os.IsNotExist(err) {
		t.Skip("no raw files: make figures measures them")
	}
	r, err := read("../results/figures")
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range allTargets {
		if _, ok := target.value(r); !ok && r.heads[target.section] != nil {
			t.Errorf("the section %s has no figure for %q", target.section, target.what)
		}
	}
}
