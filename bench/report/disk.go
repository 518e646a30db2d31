package report

// diskServer is a server of the section disk, by its name in the raw file.
type diskServer struct {
	contender
	title string
}

var (
	noJournal     = diskServer{contender{"keyframe", "lines"}, "no journal"}
	everysec      = diskServer{contender{"keyframe-everysec", "lines"}, "`everysec`"}
	always        = diskServer{contender{"keyframe-always", "lines"}, "`always`"}
	redisEverysec = diskServer{contender{"redis-everysec", "resp"}, "Redis `everysec`"}
	redisAlways   = diskServer{contender{"redis-always", "resp"}, "Redis `always`"}
)

var diskShapes = []string{"1×1", "1×64", "10×16", "100×4"}

// closedLoop is what a server of the section did in a shape as fast as it goes.
func (r *raw) closedLoop(c contender, shape string) *point {
	for _, p := range r.points {
		if _, planned := p.labels["rate"]; p.section == "disk" && p.bench == "Load" && !planned &&
			p.has(append(shapeLabels(shape), "impl", c.impl, "framing", c.framing)...) {
			return p
		}
	}
	return nil
}

// onDisk is one server's keys a second ÷ another's in a shape.
func onDisk(a, b diskServer, shape string) func(*raw) (float64, bool) {
	return func(r *raw) (float64, bool) {
		return divide(r.closedLoop(a.contender, shape), r.closedLoop(b.contender, shape), "keys/s")
	}
}

// alwaysOfSync is the median of an answer's time with always ÷ what the disk takes by itself.
func alwaysOfSync(r *raw) (float64, bool) {
	return divide(r.load("disk", always.contender, "rate", "20000"), r.find("disk", "DiskSync"), "p50-ns")
}

// diskTable has the rates and the times of an answer with a journal and without.
func diskTable(r *raw) string {
	if r.heads["disk"] == nil {
		return missing
	}
	rates := [][]string{append([]string{"keys a command × in flight"}, diskShapes...)}
	times := [][]string{append([]string{"p50, p99"}, diskShapes...)}
	for _, s := range []diskServer{noJournal, everysec, always, redisEverysec, redisAlways} {
		rateRow, timeRow := []string{s.title}, []string{s.title}
		for _, shape := range diskShapes {
			p := r.closedLoop(s.contender, shape)
			rateRow = append(rateRow, p.cell("keys/s", rate))
			timeRow = append(timeRow, p.middle("p50-ns")+", "+p.middle("p99-ns"))
		}
		rates, times = append(rates, rateRow), append(times, timeRow)
	}
	for _, q := range [][2]diskServer{{everysec, noJournal}, {everysec, redisEverysec}, {always, redisAlways}} {
		row := []string{q[0].title + " ÷ " + q[1].title}
		for _, shape := range diskShapes {
			row = append(row, ratio(r.closedLoop(q[0].contender, shape), r.closedLoop(q[1].contender, shape), "keys/s"))
		}
		rates = append(rates, row)
	}
	out := table(rates) + "\n" + table(times)
	planned := [][]string{{"20,000 commands a second of one key", "p50", "p99", "÷ the disk's, p50"}}
	sync := r.find("disk", "DiskSync")
	for _, s := range []diskServer{always, redisAlways} {
		if p := r.load("disk", s.contender, "rate", "20000"); p != nil {
			planned = append(planned, []string{s.title, p.cell("p50-ns", duration), p.cell("p99-ns", duration), ratio(p, sync, "p50-ns")})
		}
	}
	planned = append(planned, []string{"the disk: 400 bytes written and synced", sync.cell("p50-ns", duration), "–", "1"})
	return out + "\n" + table(planned)
}

// middle is the median of times alone.
func (p *point) middle(unit string) string {
	ns, ok := p.median(unit)
	if !ok {
		return "–"
	}
	return duration(ns)
}
