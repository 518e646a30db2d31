package report

import "fmt"

// target is a floor of the design: a figure of the raw files and what it must be.
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

// ofLimit is ours ÷ the I/O limit in one of compare's shapes.
func ofLimit(framing, shape string) func(*raw) (float64, bool) {
	return func(r *raw) (float64, bool) {
		return divide(r.load("compare", contender{"keyframe", framing}, shapeLabels(shape)...),
			r.load("compare", contender{"io-limit", framing}, shapeLabels(shape)...), "keys/s")
	}
}

// engineNs is the time of a Go benchmark of the engine.
func engineNs(bench, unit string, labels ...string) func(*raw) (float64, bool) {
	return func(r *raw) (float64, bool) { return r.find("engine", bench, labels...).median(unit) }
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

// designTargets are the floors, in the design's order.
var designTargets = func() []target {
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
	overwrite := func(batch, keys string) func(*raw) (float64, bool) {
		return engineNs("SetOverwrite", "ns/key", "batch", batch, "keys", keys)
	}
	goMap := engineNs("BaselineOverwrite", "ns/key", "impl", "map-unlocked", "keys", "10000")
	decode := func(impl string) func(*raw) (float64, bool) {
		return func(r *raw) (float64, bool) {
			return r.find("codec", "Decode", "form", "plain", "keys", "10", "impl", impl).median("ns/key")
		}
	}
	const million10 = "10000000"
	return append(t,
		target{"engine, 10 M keys: batches of 32 ÷ one at a time", 0.4, false, quotient(overwrite("32", million10), overwrite("1", million10)), "engine"},
		target{"engine, 10 M keys, batches of 32, ns a key", 85, false, overwrite("32", million10), "engine"},
		target{"engine, 10 k keys, batches of 32 ÷ Go map without a lock", 1, false, quotient(overwrite("32", "10000"), goMap), "engine"},
		target{"decode 10 keys: ast.Preorder ÷ ours", 2.2, true, quotient(decode("preorder"), decode("keyframe")), "codec"},
		target{"decode 10 keys, ns a key", 18, false, decode("keyframe"), "codec"},
		target{"append a response, ns", 10, false, func(r *raw) (float64, bool) {
			return r.find("codec", "Respond", "form", "plain", "kind", "status").median("ns/op")
		}, "codec"},
		target{"memory at 10 M keys, whole process, bytes a key", 62, false, func(r *raw) (float64, bool) {
			return r.find("memory", "Memory", "impl", "keyframe", "store", million10).median("bytes/key")
		}, "memory"},
		target{"growing to 10 M keys, slowest batch of 32, ms", 2, false, func(r *raw) (float64, bool) {
			us, ok := r.find("growth", "SetInsert", "keys", million10, "presized", "false").median("slowest-us")
			return us / 1000, ok
		}, "growth"},
		target{"engine, two goroutines ÷ one, 1 M keys", 1.8, true, func(r *raw) (float64, bool) {
			one, two := r.goroutines("1000000")
			return divide(two, one, "keys/s")
		}, "scaling"},
	)
}()

func targets(r *raw) string {
	rows := [][]string{{"target", "floor", "measured", "", "section"}}
	for _, t := range designTargets {
		goal, verdict, value := "≤ "+number(t.goal), "not measured", "–"
		if t.least {
			goal = "≥ " + number(t.goal)
		}
		if v, ok := t.value(r); ok {
			value, verdict = number(v), "**missed**"
			if t.least && v >= t.goal || !t.least && v <= t.goal {
				verdict = "met"
			}
		}
		rows = append(rows, []string{t.what, goal, value, verdict, fmt.Sprintf("`%s`", t.section)})
	}
	return table(rows)
}
