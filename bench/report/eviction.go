package report

import (
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// hitRatios is a section without a head: what policies keep of a trace is the same on every
// machine, so its file need not be of the revision that the others are of.
const hitRatios = "eviction"

// policies are the labels of the raw file, and what the report calls them. The last one knows
// what comes.
var policies = []struct{ label, name string }{
	{"lru", "LRU"}, {"sieve", "SIEVE"}, {"s3fifo", "S3-FIFO"}, {"otter", "otter 2.2"}, {"keyframe", "Keyframe's"}, {"optimum", "optimum"},
}

// drawnPercent is the size of cache that the plot shows: a tenth of the keys.
const drawnPercent = "10"

func evictionTable(r *raw) string {
	traces := r.labelled(hitRatios, "HitRatio", "trace")
	if len(traces) == 0 {
		return missing
	}
	percent := func(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }
	rows := [][]string{{"trace", "cache: % of keys"}}
	for _, policy := range policies {
		rows[0] = append(rows[0], policy.name)
	}
	sums, n := make([]float64, len(policies)), 0
	for _, trace := range traces {
		for _, size := range r.labelled(hitRatios, "HitRatio", "percent") {
			row := []string{trace, ""}
			for i, policy := range policies {
				p := r.find(hitRatios, "HitRatio", "trace", trace, "percent", size, "policy", policy.label)
				row = append(row, p.cell("hit-%", percent))
				if v, ok := p.median("hit-%"); ok {
					sums[i] += v
					row[1] = size + " (" + p.labels["keys"] + ")"
				}
			}
			rows, n = append(rows, row), n+1
		}
	}
	mean := []string{"mean", ""}
	for _, sum := range sums {
		mean = append(mean, percent(sum/float64(n)))
	}
	return table(append(rows, mean))
}

// evictionPlot has a group of bars for each trace, a bar for each policy.
func evictionPlot(r *raw) *plot.Plot {
	traces := r.labelled(hitRatios, "HitRatio", "trace")
	if len(traces) == 0 {
		return nil
	}
	p := newPlot("Hit ratio of a cache for "+drawnPercent+" % of a trace's keys", "trace", "hits, per cent of the requests")
	const width = 6 // points; a group of six leaves a bar's width to the next at ten traces
	for n, policy := range policies {
		var heights plotter.Values
		for _, trace := range traces {
			v, _ := r.find(hitRatios, "HitRatio", "trace", trace, "percent", drawnPercent, "policy", policy.label).median("hit-%")
			heights = append(heights, v)
		}
		bars, err := plotter.NewBarChart(heights, vg.Points(width))
		if err != nil {
			panic("BUG: " + err.Error()) // a value that is not a number; raw files hold only numbers
		}
		bars.Color, bars.LineStyle.Width = colours[n%len(colours)], 0
		bars.Offset = vg.Points(width) * (vg.Length(n) - vg.Length(len(policies)-1)/2)
		p.Add(bars)
		p.Legend.Add(policy.name, bars)
	}
	p.NominalX(traces...)
	p.X.Width = 0
	p.Y.Min, p.Y.Max = 0, 100
	return p
}
