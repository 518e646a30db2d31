package bench_test

import (
	"bytes"
	"context"
	"flag"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"keyframe/bench"
	"keyframe/bench/load"
	"keyframe/codec"
	"keyframe/codec/client"
	"keyframe/engine"
	"keyframe/netio"
)

// BenchmarkSet is SET by keys per command, through each layer.
func BenchmarkSet(b *testing.B) {
	var s suite
	s.each(b, cells(), func(b *testing.B, c cell) { s.run(b, c, load.Mix{load.Set: 100}) })
}

// BenchmarkGet reads keys that are there.
func BenchmarkGet(b *testing.B) {
	var s suite
	s.each(b, few(gridLayers...), func(b *testing.B, c cell) { s.run(b, c, load.Mix{load.Get: 100}) })
}

// BenchmarkAdd inserts keys that are not there.
func BenchmarkAdd(b *testing.B) {
	var s suite
	list := few("engine", "netio", "server")
	for i := range list {
		list[i].mode = "insert"
	}
	s.each(b, list, func(b *testing.B, c cell) { s.run(b, c, load.Mix{load.Add: 100}) })
}

// BenchmarkRmv removes keys that are there.
func BenchmarkRmv(b *testing.B) {
	var s suite
	list := few("engine", "netio", "server")
	for i := range list {
		list[i].mode = "remove"
	}
	s.each(b, list, func(b *testing.B, c cell) { s.run(b, c, load.Mix{load.Remove: 100}) })
}

// BenchmarkMixed reads and writes in two proportions.
func BenchmarkMixed(b *testing.B) {
	for name, mix := range map[string]load.Mix{"95-5": {load.Get: 95, load.Set: 5}, "50-50": {load.Get: 50, load.Set: 50}} {
		b.Run("mix="+name, func(b *testing.B) {
			var s suite
			s.each(b, few("engine", "netio", "server"), func(b *testing.B, c cell) { s.run(b, c, mix) })
		})
	}
}

// suite keeps a filled store for the next cell if that wants the same.
type suite struct {
	of    cell // its store and val
	store *engine.Engine
	keys  bench.Keys
	ours  bool // its values are those of the load generator
}

func (s *suite) drop() {
	if s.store != nil {
		_ = s.store.Close()
	}
	*s = suite{}
	debug.FreeOSMemory()
}

func maxKeys() int { return flag.Lookup("maxkeys").Value.(flag.Getter).Get().(int) }

// numbers fixes how often a benchmark of a large store goes round different keys:
// far more than the caches hold.
func numbers(c cell) []uint32 {
	next := bench.Sequence(c.dist, c.store, 1)
	out := make([]uint32, min(max(c.store, c.keys), 1<<20)/c.keys*c.keys)
	for i := range out {
		out[i] = uint32(next())
	}
	return out
}

// run measures one cell.
func (s *suite) run(b *testing.B, c cell, mix load.Mix) {
	switch c.layer {
	case "codec":
		benchCodec(b, c, mix)
	case "netio":
		s.throughSockets(b, c, load.Options{Mix: mix, Conns: 1, Depth: 1})
	case "server":
		s.throughSockets(b, c, load.Options{Mix: mix, Conns: 32, Depth: 16})
	default:
		if c.mode == "overwrite" {
			s.steady(b, c, mix)
		} else {
			s.consuming(b, c, mix)
		}
	}
}

// filled returns a store with all keys of the cell.
func (s *suite) filled(b *testing.B, c cell) *engine.Engine {
	b.Helper()
	if s.store == nil || s.of.store != c.store || s.of.val != c.val {
		s.drop()
		s.of, s.store, s.keys = c, newStore(b, engine.Options{}), bench.NewKeys(c.store)
		apply(b, s.store, s.keys, engine.Set, valueOf(c), 100)
	}
	return s.store
}

// options are those of the cell's store.
func (c cell) options() engine.Options {
	if c.mode == "presized" {
		return engine.Options{InitialCapacity: c.store}
	}
	return engine.Options{}
}

func newStore(b *testing.B, opts engine.Options) *engine.Engine {
	b.Helper()
	e, err := engine.New(opts)
	if err != nil {
		b.Fatal(err)
	}
	return e
}

// valueOf is the value that the load generator gives to key 0, as JSON text.
func valueOf(c cell) []byte {
	return append(append([]byte{'"'}, bytes.Repeat([]byte{'v'}, c.val)...), '"')
}

// apply does the same to all keys in batches.
func apply(b *testing.B, e *engine.Engine, keys bench.Keys, kind engine.Kind, value []byte, size int) {
	b.Helper()
	var batch engine.Batch
	for i := 0; i < keys.Len(); {
		for range min(size, keys.Len()-i) {
			batch.Add(kind, keys.At(i), value)
			i++
		}
		e.Apply(&batch)
		batch.Reset()
	}
}

// kindsOf deals out the kinds of a mix for n operations, in random order.
func kindsOf(mix load.Mix, n int) []engine.Kind {
	all := map[load.Kind]engine.Kind{load.Set: engine.Set, load.Add: engine.Add, load.Get: engine.Get, load.Remove: engine.Remove}
	var kinds []engine.Kind
	for kind, share := range mix {
		for range share * n / 100 {
			kinds = append(kinds, all[load.Kind(kind)])
		}
	}
	for len(kinds) < n {
		kinds = append(kinds, kinds[len(kinds)-1])
	}
	r := rand.New(rand.NewPCG(1, 4))
	r.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	return kinds
}

// steady measures batches on a store whose number of keys stays: overwriting,
// reading, both.
func (s *suite) steady(b *testing.B, c cell, mix load.Mix) {
	e := s.filled(b, c)
	sample := s.keys.Gather(numbers(c))
	kinds := kindsOf(mix, sample.Len())
	value := valueOf(c)
	if s.ours {
		apply(b, e, s.keys, engine.Set, value, 100)
		s.ours = false
	}
	var batch engine.Batch
	at := 0
	one := func() {
		for range c.keys {
			batch.Add(kinds[at], sample.At(at), value)
			if at++; at == sample.Len() {
				at = 0
			}
		}
		e.Apply(&batch)
	}
	b.ReportAllocs()
	for b.Loop() {
		one()
		batch.Reset()
	}
	perKeyOf(b, b.Elapsed(), b.N*c.keys)

	// The clock would be a large part of a small batch, so batches are timed in
	// a pass of their own.
	h := hdrhistogram.New(1, int64(time.Minute), 3)
	for range min(b.N, 100_000) {
		start := time.Now()
		one()
		_ = h.RecordValue(min(int64(time.Since(start)), int64(time.Minute)))
		for i := range batch.Ops {
			if st := batch.Ops[i].Status; st != engine.Updated && st != engine.Found {
				b.Fatalf("status %d for a key that is there", st)
			}
		}
		batch.Reset()
	}
	reportLatency(b, h)
	if e.Len() != c.store {
		b.Fatalf("%d keys, want %d", e.Len(), c.store)
	}
	readBack(b, e, s.keys, value)
}

// consuming measures batches that need each key once: inserting into an empty
// store, growing or made to size, and removing from a full one.
//
// A batch doesn't cost the same in a store that is nearly empty and in one that is nearly
// full, so ns/key and keys/s are of whole passes over all keys: the pass in which the
// benchmark's time ends is finished, with the same clock, and only ns/op and allocs/op are
// of the batches before. So the store of every run reaches the size in its name, is read
// back, and gives its bytes/key. Latencies are measured in a pass of their own, as in
// steady.
func (s *suite) consuming(b *testing.B, c cell, mix load.Mix) {
	keys := bench.NewKeys(c.store)
	if c.dist != "seq" {
		order := make([]uint32, c.store)
		for i := range order {
			order[i] = uint32(i)
		}
		rand.New(rand.NewPCG(1, 5)).Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		keys = keys.Gather(order)
	}
	value, kind, want := valueOf(c), engine.Set, engine.Created
	switch {
	case mix[load.Add] > 0:
		kind = engine.Add
	case mix[load.Remove] > 0:
		kind, want = engine.Remove, engine.Removed
	}
	var e *engine.Engine
	at, done := 0, 0
	fresh := func() {
		if e != nil {
			_ = e.Close()
		}
		e, at = newStore(b, c.options()), 0
		if kind == engine.Remove {
			apply(b, e, keys, engine.Set, value, 100)
		}
	}
	fresh()
	defer func() { _ = e.Close() }()
	var batch engine.Batch
	one := func() {
		n := min(c.keys, keys.Len()-at)
		for range n {
			batch.Add(kind, keys.At(at), value)
			at++
		}
		e.Apply(&batch)
		done += n
	}
	check := func() {
		for i := range batch.Ops {
			if st := batch.Ops[i].Status; st != want {
				b.Fatalf("status %d, want %d", st, want)
			}
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if at == keys.Len() {
			b.StopTimer()
			s.consumed(b, c, e, keys, kind, value)
			fresh()
			b.StartTimer()
		}
		one()
		batch.Reset()
	}
	start := time.Now()
	for at < keys.Len() {
		one()
		batch.Reset()
	}
	perKeyOf(b, b.Elapsed()+time.Since(start), done)
	s.consumed(b, c, e, keys, kind, value)

	fresh()
	h := hdrhistogram.New(1, int64(time.Minute), 3)
	for at < keys.Len() {
		start := time.Now()
		one()
		_ = h.RecordValue(min(int64(time.Since(start)), int64(time.Minute)))
		check()
		batch.Reset()
	}
	reportLatency(b, h)
	s.consumed(b, c, e, keys, kind, value)
}

// consumed checks the store after every key had its turn.
func (s *suite) consumed(b *testing.B, c cell, e *engine.Engine, keys bench.Keys, kind engine.Kind, value []byte) {
	if kind == engine.Remove {
		if e.Len() != 0 {
			b.Fatalf("%d keys after all were removed", e.Len())
		}
		return
	}
	if e.Len() != c.store {
		b.Fatalf("%d keys, want %d", e.Len(), c.store)
	}
	readBack(b, e, keys, value)
	reportMemory(b, e)
}

// readBack compares a sample of the keys with what they must hold.
func readBack(b *testing.B, e *engine.Engine, keys bench.Keys, value []byte) {
	b.Helper()
	var batch engine.Batch
	for i := 0; i < keys.Len(); i += max(keys.Len()/10_000, 1) {
		batch.Add(engine.Get, keys.At(i), nil)
		e.Apply(&batch)
		if op := &batch.Ops[0]; op.Status != engine.Found || !bytes.Equal(op.Value, value) {
			b.Fatalf("key %s holds %q (status %d), want %q", keys.At(i), op.Value, op.Status, value)
		}
		batch.Reset()
	}
}

// benchCodec decodes a command and appends its responses.
func benchCodec(b *testing.B, c cell, mix load.Mix) {
	op, kind := codec.OpSet, codec.StatusKeyUpdated
	if mix[load.Get] > 0 {
		op, kind = codec.OpGet, codec.StatusOK
	}
	d, err := codec.NewDecoder(codec.Options{})
	if err != nil {
		b.Fatal(err)
	}
	// Many payloads, as a server sees them, so that the branch predictor learns none of
	// them.
	keys, value := bench.NewKeys(min(c.store, 100_000)), valueOf(c)
	sample := keys.Gather(bench.Uniform(keys.Len(), max(1<<14, c.keys), 1))
	var payloads [][]byte
	for i := 0; i+c.keys <= sample.Len(); i += c.keys {
		p := client.AppendOpen(nil, op)
		for j := range c.keys {
			if op == codec.OpGet {
				p = client.AppendKey(p, sample.At(i+j))
			} else {
				p = client.AppendPair(p, sample.At(i+j), value)
			}
		}
		payloads = append(payloads, client.AppendClose(p, op))
	}
	var args []codec.Arg
	var out []byte
	at := 0
	b.ReportAllocs()
	for b.Loop() {
		d.Reset()
		args, _, err = d.Decode(payloads[at], args[:0], c.keys)
		if err != nil || len(args) != c.keys {
			b.Fatal(err, len(args))
		}
		out = out[:0]
		for i := range args {
			if op == codec.OpGet {
				out = codec.AppendValue(out, op, &args[i], value)
			} else {
				out = codec.AppendResponse(out, op, &args[i], kind)
			}
		}
		if at++; at == len(payloads) {
			at = 0
		}
	}
	perKeyOf(b, b.Elapsed(), b.N*c.keys)
	if got := bytes.Count(out, []byte(`_RSP":`)); got != c.keys {
		b.Fatalf("%d responses to %d keys", got, c.keys)
	}
}

// socketProcs are Go's processors for a server and its client in one process: one
// for the event loop, one for the client's thread, and a spare. Without it the
// runtime's monitor takes the processors of threads that wait in the kernel away, and
// every wake-up waits for one: ten keys took 31 µs each instead of 0.5.
const socketProcs = 3

// throughSockets measures a server in this process with the load generator, which
// share the machine's cores. Only the load is timed: neither the connecting nor
// filling and verifying.
func (s *suite) throughSockets(b *testing.B, c cell, o load.Options) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), socketProcs)))
	b.StopTimer()
	b.ResetTimer()
	o.Running = func(yes bool) {
		if yes {
			b.StartTimer()
		} else {
			b.StopTimer()
		}
	}
	o.Keys, o.Space, o.ValueSize, o.Dist = c.keys, c.store, c.val, c.dist
	o.VerifySample, o.Verify = 10_000, o.Mix[load.Remove] == 0 && o.Mix[load.Get] < 100
	if c.mode == "overwrite" {
		addr, stop := serveStore(b, s.filled(b, c))
		defer stop()
		// What the suite filled the store with is not the generator's value.
		o.Addr, o.Fill = addr, !s.ours
		s.ours = true
		o.Requests = max(b.N, o.Conns)
		r := drive(b, o)
		if r.Misses > 0 {
			b.Fatalf("%d keys were not there", r.Misses)
		}
		perKeyOf(b, r.Elapsed, int(r.Keys))
		reportLatency(b, r.Latency)
		return
	}
	// Every key once, in whole passes, as in consuming. A pass is one run of the load
	// and can't be stopped: where it is longer than the benchmark's time, ns/op is
	// still a command's.
	o.Dist = "seq"
	o.Requests = (c.store + c.keys - 1) / c.keys
	total := hdrhistogram.New(64, int64(10*time.Minute), 3)
	var elapsed time.Duration // of the load: the timer's is a little longer
	commands := 0
	for commands < b.N {
		e := newStore(b, c.options())
		addr, stop := serveStore(b, e)
		o.Addr, o.Fill = addr, c.mode == "remove"
		r := drive(b, o)
		// The last command begins again with the first keys where too few are left to fill
		// it.
		if again := o.Requests*c.keys - c.store; r.Misses > uint64(again) {
			b.Fatalf("%d misses", r.Misses)
		}
		want := c.store
		if c.mode == "remove" {
			want = 0
		} else {
			reportMemory(b, e)
		}
		if e.Len() != want {
			b.Fatalf("%d keys, want %d", e.Len(), want)
		}
		stop()
		_ = e.Close()
		total.Merge(r.Latency)
		elapsed += r.Elapsed
		commands += o.Requests
	}
	b.ReportMetric(float64(elapsed.Nanoseconds())/float64(commands), "ns/op")
	perKeyOf(b, elapsed, commands*c.keys)
	reportLatency(b, total)
}

func serveStore(b *testing.B, e *engine.Engine) (addr string, stop func()) {
	b.Helper()
	srv, err := netio.New(e, netio.Options{Listen: []string{"127.0.0.1:0"}, Loops: 1, Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		err = srv.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	return srv.Addrs()[0].String(), func() { _ = srv.Stop(context.Background()) }
}

func drive(b *testing.B, o load.Options) *load.Result {
	b.Helper()
	r, err := load.Run(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	return r
}

func perKeyOf(b *testing.B, d time.Duration, keys int) {
	b.ReportMetric(float64(d.Nanoseconds())/float64(keys), "ns/key")
	b.ReportMetric(float64(keys)/d.Seconds(), "keys/s")
}

// reportMemory is the store's own memory.
func reportMemory(b *testing.B, e *engine.Engine) {
	b.ReportMetric(float64(e.Stats().ReservedBytes)/float64(e.Len()), "bytes/key")
}

func reportLatency(b *testing.B, h *hdrhistogram.Histogram) {
	for unit, p := range map[string]float64{"p50-ns": 50, "p99-ns": 99, "p999-ns": 99.9} {
		b.ReportMetric(float64(h.ValueAtPercentile(p)), unit)
	}
}
