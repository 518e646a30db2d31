package report

import (
	"fmt"
	"slices"
)

// target is a row of BENCHMARKS.md's section "Targets": a figure of the raw files and what
// it is meant to be. One without a goal is the control of the row before it.
type target struct {
	what    string
	goal    float64
	least   bool // the goal is a lower bound
	value   func(*raw) (float64, bool)
	section string // whose command measures it
}

// divide is the ratio of two medians.
func divide(a, b *point, unit string) (float64, bool) {
	x, ok := a.median(unit)
	y, ok2 := b.median(unit)
	if !ok || !ok2 || y == 0 {
		return 0, false
	}
	return x / y, true
}

// againstRedis is ours ÷ Redis in one of compare's shapes.
func againstRedis(framing, shape string) func(*raw) (float64, bool) {
	return func(r *raw) (float64, bool) {
		return divide(r.load("compare", contender{"keyframe", framing}, shapeLabels(shape)...),
			r.load("compare", contender{"redis", "resp"}, shapeLabels(shape)...), "keys/s")
	}
}

// commandAgainstRedis is ours, as lines, ÷ Redis of a command in one of the shapes.
func commandAgainstRedis(mix, shape, store string, labels ...string) func(*raw) (float64, bool) {
	labels = append(labels, append(shapeLabels(shape), "mix", mix, "store", store)...)
	return func(r *raw) (float64, bool) {
		return divide(r.load("commands", contender{"keyframe", "lines"}, slices.Clone(labels)...),
			r.load("commands", contender{"redis", "resp"}, slices.Clone(labels)...), "keys/s")
	}
}

// ofLimit is ours ÷ the I/O limit in one of compare's shapes.
func ofLimit(framing, shape string) func(*raw) (float64, bool) {
	return func(r *raw) (float64, bool) {
		return divide(r.load("compare", contender{"keyframe", framing}, shapeLabels(shape)...),
			r.load("compare", contender{"io-limit", framing}, shapeLabels(shape)...), "keys/s")
	}
}

// figure is what a Go benchmark of a section has measured, in the unit's parts.
func figure(section, bench, unit string, parts float64, labels ...string) func(*raw) (float64, bool) {
	return func(r *raw) (float64, bool) {
		x, ok := r.find(section, bench, labels...).median(unit)
		return x / parts, ok
	}
}

// quotient of two figures.
func quotient(a, b func(*raw) (float64, bool)) func(*raw) (float64, bool) {
	return func(r *raw) (float64, bool) {
		x, ok := a(r)
		y, ok2 := b(r)
		if !ok || !ok2 || y == 0 {
			return 0, false
		}
		return x / y, true
	}
}

// allTargets are the rows of the table.
var allTargets = func() []target {
	var t []target
	for _, framing := range []string{"lines", "websocket"} {
		name := title(framing)
		t = append(t,
			target{"SET of 1 key, 64 in flight, " + name + " ÷ Redis SET", 3.5, true, againstRedis(framing, "1×64"), "compare"},
			target{"the same ÷ I/O limit", 0.55, true, ofLimit(framing, "1×64"), "compare"},
			target{"SET of 10, 16 in flight, " + name + " ÷ Redis MSET", 4.5, true, againstRedis(framing, "10×16"), "compare"},
			target{"the same ÷ I/O limit", 0.40, true, ofLimit(framing, "10×16"), "compare"},
			target{"SET of 100, 4 in flight, " + name + " ÷ Redis MSET", 6.5, true, againstRedis(framing, "100×4"), "compare"},
			target{"SET of 1, 1 in flight, " + name + " ÷ I/O limit", 0.97, true, ofLimit(framing, "1×1"), "compare"},
		)
	}
	engineKeys := func(bench, batch, keys string) func(*raw) (float64, bool) {
		return figure("engine", bench, "ns/key", 1, "batch", batch, "keys", keys)
	}
	overwrite := func(batch, keys string) func(*raw) (float64, bool) { return engineKeys("SetOverwrite", batch, keys) }
	goMap := figure("engine", "BaselineOverwrite", "ns/key", 1, "impl", "map-unlocked", "keys", "10000")
	const million, million10 = "1000000", "10000000"
	growth := func(unit string, parts float64, presized string) func(*raw) (float64, bool) {
		return figure("growth", "SetInsert", unit, parts, "keys", million10, "presized", presized)
	}
	t = append(t,
		target{"engine, 10 M keys: batches of 32 ÷ one at a time", 0.4, false, quotient(overwrite("32", million10), overwrite("1", million10)), "engine"},
		target{"engine, 10 M keys, batches of 32, ns a key", 85, false, overwrite("32", million10), "engine"},
		target{"engine, 1 M keys, batches of 32, ns a key", 75, false, overwrite("32", million), "engine"},
		target{"engine, 10 k keys, batches of 32 ÷ Go map without a lock", 1, false, quotient(overwrite("32", "10000"), goMap), "engine"},
	)
	for _, keys := range []string{million, million10} {
		t = append(t, target{"engine, " + count(keys) + " keys, batches of 32: GET ÷ SET", 1, false, quotient(engineKeys("GetHit", "32", keys), overwrite("32", keys)), "engine"})
	}
	churned := func(how string) func(*raw) (float64, bool) {
		return func(r *raw) (float64, bool) { return r.find("engine", "Memory", "keys", million10).churned(how) }
	}
	decode := func(form, keys, impl string) func(*raw) (float64, bool) {
		return figure("codec", "Decode", "ns/key", 1, "form", form, "keys", keys, "impl", impl)
	}
	plain := decode("plain", "10", "keyframe")
	t = append(t, target{"decode 10 keys: ast.Preorder ÷ ours", 2.2, true, quotient(decode("plain", "10", "preorder"), plain), "codec"})
	for _, form := range []string{"unicode", "escaped"} {
		t = append(t, target{"the same, " + form, 2, true, quotient(decode(form, "10", "preorder"), decode(form, "10", "keyframe")), "codec"})
	}
	t = append(t,
		target{"decode 10 keys, ns a key", 18, false, plain, "codec"},
		target{"decode 1 key, ns", 30, false, decode("plain", "1", "keyframe"), "codec"},
		target{"decode 10 keys: pretty-printed ÷ compact", 1.5, false, quotient(decode("spaced", "10", "keyframe"), plain), "codec"},
		target{"decode 1 key: pretty-printed ÷ compact", 1.5, false, quotient(decode("spaced", "1", "keyframe"), decode("plain", "1", "keyframe")), "codec"},
		target{"decode 10 keys with values of 1 KiB, GB/s of values", 8, true, func(r *raw) (float64, bool) {
			ns, ok := decode("kib", "10", "keyframe")(r)
			return 1024 / ns, ok // bytes a nanosecond
		}, "codec"},
		target{"decode 10 keys: GET ÷ SET", 1.2, false, quotient(figure("codec", "DecodeGet", "ns/key", 1, "keys", "10", "impl", "keyframe"), plain), "codec"},
		target{"append a response, ns", 10, false, figure("codec", "Respond", "ns/op", 1, "form", "plain", "kind", "status"), "codec"},
		target{"memory at 10 M keys, whole process, bytes a key", 56, false, figure("memory", "Memory", "bytes/key", 1, "impl", "keyframe", "store", million10), "memory"},
		target{"memory at 10 M keys, the engine alone, bytes a key", 52, false, figure("engine", "Memory", "bytes/key", 1, "keys", million10), "engine"},
		target{"values grown, 10 M keys: memory ÷ a fresh store's", 1.3, false, churned("grown"), "engine"},
		target{"nine tenths removed of 10 M keys: memory ÷ a fresh store's", 1.3, false, churned("thinned"), "engine"},
		target{"forced GC beside 10 M keys, ms", 1, false, figure("engine", "Memory", "gc-us", 1e3, "keys", million10), "engine"},
		target{"growing to 10 M keys, slowest batch of 32, ms", 2, false, growth("slowest-us", 1e3, "false"), "growth"},
		target{"inserting 10 M keys, ns a key: growing ÷ made to size", 2, false, quotient(growth("ns/key", 1, "false"), growth("ns/key", 1, "true")), "growth"},
		target{"engine, two goroutines ÷ one, 1 M keys", 1.8, true, func(r *raw) (float64, bool) {
			one, two := r.goroutines(million)
			return divide(two, one, "keys/s")
		}, "scaling"},
		target{"SET of 1, 64 in flight, 10 k keys ÷ Redis SET", 3, true, commandAgainstRedis("set", "1×64", "10000"), "commands"},
		target{"SET of 10, 16 in flight, 10 k keys ÷ Redis MSET", 3, true, commandAgainstRedis("set", "10×16", "10000"), "commands"},
		target{"SETEX of 1, 64 in flight ÷ Redis SET … PX", 4, true, commandAgainstRedis("set", "1×64", million, "ttl", "1h0m0s"), "commands"},
		target{"INCR of 10, 16 in flight ÷ Redis INCR", 4, true, commandAgainstRedis("incr", "10×16", million), "commands"},
		target{"GET of 10, 16 in flight ÷ Redis MGET", 4.5, true, commandAgainstRedis("get", "10×16", million), "commands"},
		target{"95 GETs and 5 SETs of 10, 16 in flight ÷ Redis", 4.5, true, commandAgainstRedis("set5+get95", "10×16", million), "commands"},
		target{"10 M keys die in a minute: slowest batch of another client, ms", 2, false, figure("deadlines", "Expire", "max-ns", 1e6, "keys", million10), "deadlines"},
		target{"the same client, the same minute, a store where nothing dies", 0, false, figure("deadlines", "Expire", "control-max-ns", 1e6, "keys", million10), "deadlines"},
		target{"keys that die: memory back after the last deadline, s", 2, false, figure("deadlines", "Expire", "back-ms", 1e3, "keys", million10), "deadlines"},
		target{"zipf 1.0, a tenth fits: throughput at the ceiling ÷ without one", 0.7, true, func(r *raw) (float64, bool) {
			return divide(r.find("deadlines", "Evict", "evict", "none"), r.find("deadlines", "Evict", "evict", "all"), "ns/key")
		}, "deadlines"},
		target{"KEYS with values, 10 M keys, M keys/s", 5, true, figure("pages", "ServerScan", "keys/s", 1e6, "keys", million10, "mode", "values"), "pages"},
		target{"a SET beside KEYS with values over 10 M keys, p99, ms", 1, false, figure("pages", "ServerBesideScan", "p99-ns", 1e6, "keys", million10, "beside", "values"), "pages"},
	)
	for i, shape := range diskShapes {
		t = append(t,
			target{shape + ", SETs: everysec ÷ no journal", []float64{.95, .92, .88, .88}[i], true, onDisk(everysec, noJournal, shape), "disk"},
			target{"the same ÷ Redis everysec", []float64{1.25, 7, 8, 8.5}[i], true, onDisk(everysec, redisEverysec, shape), "disk"},
			target{shape + ", SETs: always ÷ Redis always", []float64{1.6, 4.5, 4.5, 4.5}[i], true, onDisk(always, redisAlways, shape), "disk"},
		)
	}
	return append(t, target{"always, 20,000 SETs a second, p50 ÷ the disk's own", 1.6, false, alwaysOfSync, "disk"})
}()

func targets(r *raw) string {
	rows := [][]string{{"target", "goal", "measured", "", "section"}}
	for _, t := range allTargets {
		goal, verdict, value := "≤ "+number(t.goal), "not measured", "–"
		switch {
		case t.goal == 0:
			goal = "–"
		case t.least:
			goal = "≥ " + number(t.goal)
		}
		if v, ok := t.value(r); ok {
			value, verdict = number(v), "**missed**"
			switch {
			case t.goal == 0:
				verdict = "control"
			case t.least && v >= t.goal || !t.least && v <= t.goal:
				verdict = "met"
			}
		}
		rows = append(rows, []string{t.what, goal, value, verdict, fmt.Sprintf("`%s`", t.section)})
	}
	return table(rows)
}
