package report

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// blocks are the parts of the document that are written from raw files.
var blocks = map[string]func(*raw) string{
	"environment": environment,
	"targets":     targets,
	"compare":     withRuns("compare", compare),
	"keys":        withRuns("keys", keysTable),
	"store":       withRuns("store", storeTable),
	"latency":     withRuns("latency", latencyTable),
	"growth":      withRuns("growth", growthTable),
	"memory":      withRuns("memory", memoryTable),
	"churn":       churnTable,
	"scaling":     withRuns("scaling", scalingTable),
	"suite":       withRuns("suite", suiteTable),
	"engine":      withRuns("engine", func(r *raw) string { return list(r, "engine") }),
	"codec":       withRuns("codec", codecTable),
	"disk":        withRuns("disk", diskTable),
	"eviction":    evictionTable,
	"files":       files,
}

// missing stands for what has no raw file.
const missing = "Not measured at this revision.\n"

// table writes rows of cells; the first row is the head.
func table(rows [][]string) string {
	var b strings.Builder
	for i, row := range rows {
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
		if i == 0 {
			b.WriteString("|" + strings.Repeat("---|", len(row)) + "\n")
		}
	}
	return b.String()
}

// withRuns adds a line to a section's block: of how many runs a figure is the median, and
// what unsteady means where it occurs.
func withRuns(section string, block func(*raw) string) func(*raw) string {
	return func(r *raw) string {
		text := block(r)
		if r.heads[section] == nil {
			return text
		}
		least, most := r.runs(section)
		line := fmt.Sprint(least)
		if least != most {
			line += fmt.Sprintf(" to %d", most)
		}
		if line += " runs each"; most == 1 {
			line = "1 run each"
		}
		if strings.Contains(text, ")"+unsteady) {
			line += "; " + unsteady + " marks a figure whose highest run is more than twice its lowest"
		}
		return text + "\n" + line + ".\n"
	}
}

// runs is how often the figures of a section were measured. The closed loop that
// finds a capacity is no figure of the report, nor is the engine's memory.
func (r *raw) runs(section string) (least, most int) {
	least = math.MaxInt
	for _, p := range r.points {
		if p.section != section || section == "engine" && p.bench == "Memory" ||
			section == "latency" && p.labels["percent"] == "" && p.labels["rate"] == "" {
			continue
		}
		n := 0
		for _, values := range p.values {
			n = max(n, len(values))
		}
		least, most = min(least, n), max(most, n)
	}
	return min(least, most), most
}

// number writes v with two or three significant digits.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0"
	case a >= 1e6:
		return number(v/1e6) + " M"
	case a >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// rate writes keys a second.
func rate(v float64) string {
	if v < 1e5 {
		return number(v/1e3) + " k"
	}
	return number(v/1e6) + " M"
}

// duration writes nanoseconds.
func duration(ns float64) string {
	switch {
	case ns >= 1e9:
		return number(ns/1e9) + " s"
	case ns >= 1e6:
		return number(ns/1e6) + " ms"
	case ns >= 1e3:
		return number(ns/1e3) + " µs"
	}
	return number(ns) + " ns"
}

// unsteady marks a figure whose highest run is more than twice its lowest: its median
// says little.
const unsteady = "!"

// cell is the median with lowest and highest.
func (p *point) cell(unit string, format func(float64) string) string {
	m, ok := p.median(unit)
	if !ok {
		return "–"
	}
	v := p.values[unit]
	low, high, mark := format(slices.Min(v)), format(slices.Max(v)), ""
	if slices.Max(v) > 2*slices.Min(v) {
		mark = unsteady
	}
	if low == high {
		return format(m)
	}
	if _, suffix, ok := strings.Cut(low, " "); ok {
		if _, other, _ := strings.Cut(high, " "); other == suffix {
			low = strings.TrimSuffix(low, " "+suffix)
		}
	}
	return fmt.Sprintf("%s (%s–%s)%s", format(m), low, high, mark)
}

// ratio is a ÷ b of the medians.
func ratio(a, b *point, unit string) string {
	x, ok := a.median(unit)
	y, ok2 := b.median(unit)
	if !ok || !ok2 || y == 0 {
		return "–"
	}
	return number(x / y)
}

func count(text string) string {
	n, err := strconv.Atoi(text)
	switch {
	case err != nil:
		return text
	case n >= 1_000_000 && n%1_000_000 == 0:
		return fmt.Sprintf("%d M", n/1_000_000)
	case n >= 1_000 && n%1_000 == 0:
		return fmt.Sprintf("%d k", n/1_000)
	}
	return text
}

var implNames = map[string]string{"keyframe": "Keyframe", "io-limit": "I/O limit", "redis": "Redis", "lines": "JSON Lines", "websocket": "WebSocket"}

func title(name string) string {
	if t, ok := implNames[name]; ok {
		return t
	}
	return name
}

// contender is a server in a framing.
type contender struct{ impl, framing string }

func (c contender) String() string {
	if c.framing == "lines" || c.framing == "websocket" {
		return title(c.impl) + ", " + title(c.framing)
	}
	return title(c.impl)
}

// contenders of a section, in the order of the raw file.
func (r *raw) contenders(section string) []contender {
	var found []contender
	for _, p := range r.points {
		c := contender{p.labels["impl"], p.labels["framing"]}
		if p.section == section && p.bench == "Load" && !slices.Contains(found, c) {
			found = append(found, c)
		}
	}
	return found
}

func (r *raw) load(section string, c contender, labels ...string) *point {
	return r.find(section, "Load", append(labels, "impl", c.impl, "framing", c.framing)...)
}

// ours and limit are the contenders of ratios and plots that name no other framing.
var ours, limit = contender{"keyframe", "lines"}, contender{"io-limit", "lines"}

// rivals are those of a section that are neither ours nor the limit.
func (r *raw) rivals(section string) []contender {
	return slices.DeleteFunc(r.contenders(section), func(c contender) bool { return c.impl == "keyframe" || c.impl == "io-limit" })
}

// grid is a table of rates: contenders by the values of one label, and the ratios of ours
// to the limit and to each rival.
func (r *raw) grid(section, corner string, columns []string, heads []string, labels func(column string) []string) string {
	if r.heads[section] == nil {
		return missing
	}
	rows := [][]string{append([]string{corner}, heads...)}
	for _, c := range r.contenders(section) {
		row := []string{c.String()}
		for _, column := range columns {
			row = append(row, r.load(section, c, labels(column)...).cell("keys/s", rate))
		}
		rows = append(rows, row)
	}
	compareWith := func(a, b contender, name string) {
		row := []string{name}
		for _, column := range columns {
			row = append(row, ratio(r.load(section, a, labels(column)...), r.load(section, b, labels(column)...), "keys/s"))
		}
		rows = append(rows, row)
	}
	compareWith(ours, limit, "Keyframe ÷ I/O limit, JSON Lines")
	if slices.Contains(r.contenders(section), contender{"keyframe", "websocket"}) {
		compareWith(contender{"keyframe", "websocket"}, contender{"io-limit", "websocket"}, "Keyframe ÷ I/O limit, WebSocket")
	}
	for _, c := range r.rivals(section) {
		compareWith(ours, c, "Keyframe, JSON Lines ÷ "+c.String())
	}
	return table(rows)
}

var shapes = []string{"1×1", "1×16", "1×64", "10×16", "100×4"}

func shapeLabels(shape string) []string {
	keys, depth, _ := strings.Cut(shape, "×")
	return []string{"keys", keys, "depth", depth}
}

func compare(r *raw) string {
	return r.grid("compare", "keys a command × in flight", shapes, shapes, shapeLabels)
}

func (r *raw) by(section, label, corner string) string {
	columns := r.labelled(section, "Load", label)
	var heads []string
	for _, c := range columns {
		heads = append(heads, count(c))
	}
	return r.grid(section, corner, columns, heads, func(c string) []string { return []string{label, c} })
}

func keysTable(r *raw) string  { return r.by("keys", "keys", "keys a command") }
func storeTable(r *raw) string { return r.by("store", "store", "keys in the store") }

func environment(r *raw) string {
	revision, _ := r.revision()
	rows := [][]string{{"", ""}, {"revision", "`" + revision + "`"}}
	for _, key := range headKeys[1:] {
		seen := map[string]bool{}
		for _, head := range r.heads {
			seen[head[key]] = true
		}
		values := slices.Sorted(maps.Keys(seen))
		switch {
		case key == "date" || key == "load":
			value := values[0]
			if len(values) > 1 {
				value += " to " + values[len(values)-1]
			}
			name := map[string]string{"date": "measured", "load": "load average at the start of each section"}[key]
			rows = append(rows, []string{name, value})
		default:
			name := map[string]string{"thp": "transparent huge pages", "gogc": "GOGC", "cpu": "CPU", "go": "Go", "pinned": "server on core 0, client on core 1"}[key]
			if name == "" {
				name = key
			}
			rows = append(rows, []string{name, strings.Join(values, "; ")})
		}
	}
	return table(rows)
}

// units of the latency table.
var latencyUnits = []struct{ name, unit string }{
	{"p50", "p50-ns"}, {"p90", "p90-ns"}, {"p99", "p99-ns"}, {"p99.9", "p999-ns"}, {"p99.99", "p9999-ns"}, {"max", "max-ns"},
}

var percents = []string{"25", "50", "75", "90"}

func latencyTable(r *raw) string {
	if r.heads["latency"] == nil {
		return missing
	}
	var names []string
	for _, u := range latencyUnits {
		names = append(names, u.name)
	}
	row := func(p *point, first ...string) []string {
		for _, u := range latencyUnits {
			first = append(first, p.cell(u.unit, duration))
		}
		return first
	}
	parts := [][]string{append([]string{"", "of capacity", "keys/s"}, names...)}
	same := [][]string{append([]string{"", "commands/s planned"}, names...)}
	for _, c := range r.contenders("latency") {
		for _, percent := range percents {
			p := r.load("latency", c, "percent", percent)
			parts = append(parts, row(p, c.String(), percent+" %", p.cell("keys/s", rate)))
		}
	}
	for _, planned := range r.labelled("latency", "Load", "rate") {
		for _, c := range r.contenders("latency") {
			same = append(same, row(r.load("latency", c, "rate", planned), c.String(), count(planned)))
		}
	}
	out := table(parts)
	if len(same) > 1 {
		out += "\nAt rates that are the same for all:\n\n" + table(same)
	}
	return out
}

func growthTable(r *raw) string {
	if r.heads["growth"] == nil {
		return missing
	}
	rows := [][]string{{"keys", "", "ns a key", "slowest batch of 32"}}
	for _, n := range r.labelled("growth", "SetInsert", "keys") {
		for _, presized := range []string{"false", "true"} {
			p := r.find("growth", "SetInsert", "keys", n, "presized", presized)
			how := map[string]string{"false": "engine, growing", "true": "engine, made to size"}[presized]
			rows = append(rows, []string{count(n), how, p.cell("ns/key", number), p.cell("slowest-us", func(us float64) string { return duration(us * 1e3) })})
		}
	}
	out := table(rows)
	if p := r.find("growth", "Load", "impl", "keyframe"); p != nil {
		out += fmt.Sprintf("\nThrough the server, growing to %s keys: %s keys/s; slowest command of %s keys, with all that were sent before it: %s.\n",
			count(p.labels["store"]), p.cell("keys/s", rate), p.labels["keys"], p.cell("max-ns", duration))
	}
	return out
}

func memoryTable(r *raw) string {
	if r.heads["memory"] == nil {
		return missing
	}
	rows := [][]string{{"", "keys", "bytes a key, whole process", "÷ Keyframe"}}
	base := r.find("memory", "Memory", "impl", "keyframe")
	for _, impl := range r.labelled("memory", "Memory", "impl") {
		p := r.find("memory", "Memory", "impl", impl)
		rows = append(rows, []string{title(impl), count(p.labels["store"]), p.cell("bytes/key", number), ratio(p, base, "bytes/key")})
	}
	return table(rows)
}

// churnTable is what the engine costs after churn, beside a fresh store of the same
// content.
func churnTable(r *raw) string {
	sizes := r.labelled("engine", "Memory", "keys")
	if len(sizes) == 0 {
		return missing
	}
	rows := [][]string{{"keys", "fresh, bytes a key", "values grown from 20 to 60 bytes", "÷ fresh ones of 60", "then nine tenths removed", "÷ a fresh tenth", "forced GC", "Clear"}}
	micro := func(us float64) string { return duration(us * 1e3) }
	for _, keys := range sizes {
		p := r.find("engine", "Memory", "keys", keys)
		row := []string{count(keys), p.cell("bytes/key", number)}
		for _, churn := range []string{"grown", "thinned"} {
			value := "–"
			if v, ok := p.churned(churn); ok {
				value = number(v)
			}
			row = append(row, p.cell("bytes/key-"+churn, number), value)
		}
		rows = append(rows, append(row, p.cell("gc-us", micro), p.cell("clear-us", micro)))
	}
	return table(rows)
}

// churned is how much more a churned store takes than a fresh one.
func (p *point) churned(how string) (float64, bool) {
	v, ok := p.median("bytes/key-" + how)
	fresh, ok2 := p.median("bytes/key-fresh-" + how)
	return v / fresh, ok && ok2
}

func scalingTable(r *raw) string {
	if r.heads["scaling"] == nil {
		return missing
	}
	rows := [][]string{{"", "one", "two", "two ÷ one"}}
	one, two := r.find("scaling", "Load", "impl", "keyframe-1"), r.find("scaling", "Load", "impl", "keyframe-2")
	rows = append(rows, []string{"event loops; client on the same cores", one.cell("keys/s", rate), two.cell("keys/s", rate), ratio(two, one, "keys/s")})
	for _, n := range r.labelled("scaling", "SetParallel", "keys") {
		one, two := r.goroutines(n)
		rows = append(rows, []string{"goroutines on the engine, " + count(n) + " keys", one.cell("keys/s", rate), two.cell("keys/s", rate), ratio(two, one, "keys/s")})
	}
	return table(rows)
}

// goroutines are the points of one goroutine, whose name has no suffix, and of two.
func (r *raw) goroutines(keys string) (one, two *point) {
	for _, p := range r.points {
		if p.section == "scaling" && p.bench == "SetParallel" && p.labels["keys"] == keys {
			if p.labels["procs"] == "2" {
				two = p
			} else {
				one = p
			}
		}
	}
	return one, two
}

// list is a plain table of Go benchmarks: ns a key, and what else they report.
func list(r *raw, section string) string {
	if r.heads[section] == nil {
		return missing
	}
	rows := [][]string{{"benchmark", "ns a key", "allocs/op"}}
	for _, p := range r.points {
		unit := "ns/key"
		if _, ok := p.median(unit); !ok {
			unit = "ns/op"
		}
		if p.section != section || p.bench == "Memory" {
			continue
		}
		rows = append(rows, []string{"`" + p.name + "`", p.cell(unit, number), p.cell("allocs/op", number)})
	}
	return table(rows)
}

// codecTable has a column for each way to decode.
func codecTable(r *raw) string {
	if r.heads["codec"] == nil {
		return missing
	}
	impls := r.labelled("codec", "Decode", "impl")
	rows := [][]string{append([]string{"decode a SET, ns a key: form, pairs"}, impls...)}
	for _, form := range r.labelled("codec", "Decode", "form") {
		for _, keys := range r.labelled("codec", "Decode", "keys") {
			row := []string{form + ", " + keys}
			for _, impl := range impls {
				row = append(row, r.find("codec", "Decode", "form", form, "keys", keys, "impl", impl).cell("ns/key", number))
			}
			rows = append(rows, row)
		}
	}
	out := table(rows)
	rows = [][]string{{"the others", "ns", "allocs/op"}}
	for _, p := range r.points {
		if p.section == "codec" && p.bench != "Decode" {
			unit := "ns/key"
			if _, ok := p.median(unit); !ok {
				unit = "ns/op"
			}
			rows = append(rows, []string{"`" + p.name + "`", p.cell(unit, number), p.cell("allocs/op", number)})
		}
	}
	return out + "\n" + table(rows)
}

func files(r *raw) string {
	var b strings.Builder
	for _, section := range slices.Sorted(maps.Keys(r.files)) {
		fmt.Fprintf(&b, "- [%s](bench/results/figures/%s)\n", r.files[section], r.files[section])
	}
	return b.String()
}
