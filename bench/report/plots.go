package report

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// plots by name. A function returns nil when its section was not measured.
var plots = map[string]func(*raw) *plot.Plot{
	"keys":    keysPlot,
	"suite":   suitePlot,
	"store":   storePlot,
	"latency": latencyPlot,
	"growth":  growthPlot,

	"eviction": evictionPlot,
}

// Sizes of a plot, which fit a document's column.
const (
	plotWidth  = 8.5 * vg.Inch
	plotHeight = 4 * vg.Inch
	margin     = 10 * vg.Millimeter / 2
)

// ink is for text and axes: it has a contrast of about 4 with white and with a
// dark page's black, since the page behind the plot may be either and the plot has
// no ground of its own.
var ink = color.RGBA{0x7a, 0x84, 0x90, 0xff}

// colours of lines: of middle lightness for the same reason, and, together with the shapes
// of the points, distinct without seeing red or green.
var colours = []color.RGBA{
	{0x1f, 0x8f, 0xd6, 0xff}, // blue
	{0xe0, 0x7b, 0x10, 0xff}, // orange
	{0x1f, 0xa3, 0x7a, 0xff}, // green
	{0xc8, 0x5f, 0xa8, 0xff}, // pink
	{0x9a, 0x7b, 0xe8, 0xff}, // violet
	{0xb0, 0x90, 0x20, 0xff}, // olive
}

var glyphs = []draw.GlyphDrawer{draw.CircleGlyph{}, draw.SquareGlyph{}, draw.TriangleGlyph{}, draw.PyramidGlyph{}, draw.RingGlyph{}, draw.BoxGlyph{}}

// newPlot is a plot without a ground.
func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil // for a transparent colour gonum writes an invalid one
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.TextStyle.Color = ink
	p.Title.Padding = vg.Points(8)
	p.Legend.TextStyle.Color = ink
	p.Legend.Top = true
	p.Legend.Padding = vg.Points(3)
	p.Legend.ThumbnailWidth = vg.Points(24)
	styles := []*text.Style{&p.Title.TextStyle, &p.Legend.TextStyle}
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Color, axis.Tick.Color = ink, ink
		axis.Label.TextStyle.Color, axis.Tick.Label.Color = ink, ink
		axis.Label.Padding = vg.Points(4)
		styles = append(styles, &axis.Label.TextStyle, &axis.Tick.Label)
	}
	for _, style := range styles {
		style.Font.Variant, style.Font.Size = "Sans", vg.Points(10)
	}
	grid := plotter.NewGrid()
	faint := color.NRGBA{ink.R, ink.G, ink.B, 0x48}
	grid.Horizontal.Color, grid.Vertical.Color = faint, faint
	p.Add(grid)
	return p
}

// line adds a line, the n-th of the plot.
func line(p *plot.Plot, n int, name string, points plotter.XYs, dashed bool) {
	if len(points) == 0 {
		return
	}
	l, s, err := plotter.NewLinePoints(points)
	if err != nil {
		panic("BUG: " + err.Error()) // a value that is not a number; raw files hold only numbers
	}
	c := colours[n%len(colours)]
	l.Color, l.Width = c, vg.Points(2)
	if dashed {
		l.Dashes = []vg.Length{vg.Points(5), vg.Points(3)}
	}
	s.Color, s.Radius, s.Shape = c, vg.Points(3.2), glyphs[n%len(glyphs)]
	if len(points) > 60 {
		p.Add(l)
		p.Legend.Add(name, l)
		return
	}
	p.Add(l, s)
	p.Legend.Add(name, l, s)
}

// Logarithmic axes are linear axes of logarithms with ticks to match: gonum's own scale
// misplaces the label of such an axis and takes room for it.

// logX labels an x axis of logarithms with each of the values.
func logX(p *plot.Plot, values []float64) {
	var ticks plot.ConstantTicks
	for _, v := range values {
		ticks = append(ticks, plot.Tick{Value: math.Log10(v), Label: count(strconv.FormatFloat(v, 'f', 0, 64))})
	}
	p.X.Tick.Marker = ticks
}

// logY labels a y axis of logarithms at each decade around all points, or at 1, 2
// and 5 of a few decades. The axis begins and ends at a label.
func logY(p *plot.Plot, all []plotter.XYs, label func(float64) string) {
	low, high := math.Inf(1), math.Inf(-1)
	for _, points := range all {
		for _, point := range points {
			low, high = min(low, point.Y), max(high, point.Y)
		}
	}
	steps := []float64{1, 2, 5}
	if math.Ceil(high)-math.Floor(low) > 3 {
		steps = steps[:1]
	}
	var ticks plot.ConstantTicks
	for decade := math.Floor(low); decade <= math.Ceil(high); decade++ {
		for _, m := range steps {
			at := decade + math.Log10(m)
			if at <= low {
				ticks = ticks[:0] // this tick is nearer
			}
			if len(ticks) == 0 || ticks[len(ticks)-1].Value < high {
				ticks = append(ticks, plot.Tick{Value: at, Label: label(m * math.Pow(10, decade))})
			}
		}
	}
	p.Y.Tick.Marker = ticks
	p.Y.Min, p.Y.Max = ticks[0].Value, ticks[len(ticks)-1].Value
}

// ratesPlot draws the contenders of a section over a label, both axes logarithmic.
func ratesPlot(r *raw, section, label, title, x string) *plot.Plot {
	columns := r.labelled(section, "Load", label)
	if len(columns) == 0 {
		return nil
	}
	p := newPlot(title, x, "keys set and answered per second")
	var all []plotter.XYs
	var xs []float64
	for _, column := range columns {
		v, _ := strconv.ParseFloat(column, 64)
		xs = append(xs, v)
	}
	for n, c := range r.contenders(section) {
		var points plotter.XYs
		for i, column := range columns {
			if v, ok := r.load(section, c, label, column).median("keys/s"); ok {
				points = append(points, plotter.XY{X: math.Log10(xs[i]), Y: math.Log10(v)})
			}
		}
		line(p, n, c.String(), points, c.impl == "io-limit")
		all = append(all, points)
	}
	logX(p, xs)
	logY(p, all, short)
	return p
}

func keysPlot(r *raw) *plot.Plot {
	return ratesPlot(r, "keys", "keys", "SET throughput by keys per command (32 connections × 8 in flight, one server core)", "keys per command")
}

func storePlot(r *raw) *plot.Plot {
	return ratesPlot(r, "store", "store", "SET throughput by keys in the store (10 keys a command, 32 connections × 16 in flight)", "keys in the store")
}

// latencyPlot has the percentiles on its x axis, as far apart as their nines.
func latencyPlot(r *raw) *plot.Plot {
	if r.heads["latency"] == nil {
		return nil
	}
	p := newPlot("Latency under open-loop load, at parts of each server's capacity", "percentile of the commands", "latency from the planned time of sending")
	var all []plotter.XYs
	n := 0
	for _, c := range r.contenders("latency") {
		if c != ours && c != (contender{"redis", "resp"}) {
			continue // too many lines; they are in the table
		}
		for _, percent := range percents {
			point := r.load("latency", c, "percent", percent)
			var points plotter.XYs
			for i, u := range latencyUnits {
				if v, ok := point.median(u.unit); ok {
					points = append(points, plotter.XY{X: float64(i), Y: math.Log10(max(v, 1))})
				}
			}
			// A colour for each part of capacity, dashed for the rival.
			line(p, n%len(percents), fmt.Sprintf("%s at %s %%", title(c.impl), percent), points, c != ours)
			all = append(all, points)
			n++
		}
	}
	var ticks plot.ConstantTicks
	for i, u := range latencyUnits {
		ticks = append(ticks, plot.Tick{Value: float64(i), Label: u.name})
	}
	p.X.Tick.Marker = ticks
	logY(p, all, duration)
	return p
}

func growthPlot(r *raw) *plot.Plot {
	if len(r.growth) == 0 {
		return nil
	}
	whose := r.heads["growth"][TimelineKey]
	if whose == "" {
		whose = "the last round" // raw files without the line have that one
	}
	p := newPlot("Inserting into a growing store, through the server ("+whose+")", "keys in the store", "keys inserted per second")
	var points plotter.XYs
	for _, s := range r.growth {
		points = append(points, plotter.XY{X: s.keys, Y: s.keysPerSecond})
	}
	line(p, 0, "Keyframe, JSON Lines", points, false)
	p.Y.Min = 0
	p.X.Tick.Marker, p.Y.Tick.Marker = rounded{}, rounded{}
	return p
}

// short writes a round number on an axis.
func short(v float64) string {
	switch {
	case v >= 1e6:
		return strconv.FormatFloat(v/1e6, 'g', 3, 64) + " M"
	case v >= 1e3:
		return strconv.FormatFloat(v/1e3, 'g', 3, 64) + " k"
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// rounded are the default ticks, labelled with M.
type rounded struct{}

func (rounded) Ticks(low, high float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(low, high)
	for i := range ticks {
		if ticks[i].Label != "" {
			ticks[i].Label = short(ticks[i].Value)
		}
	}
	return ticks
}

// suitePlot is the time a key takes in each layer.
func suitePlot(r *raw) *plot.Plot {
	columns := r.labelled("suite", "Set", "keys")
	if len(columns) == 0 {
		return nil
	}
	p := newPlot("Time per key by keys per SET, layer by layer (1 M keys, overwriting)", "keys per SET", "time per key")
	var all []plotter.XYs
	var xs []float64
	for _, column := range columns {
		v, _ := strconv.ParseFloat(column, 64)
		xs = append(xs, v)
	}
	for n, layer := range layers {
		var points plotter.XYs
		for i, column := range columns {
			if v, ok := r.suite("Set", append(suiteBase(r), "layer", layer, "keys", column)...).median("ns/key"); ok {
				points = append(points, plotter.XY{X: math.Log10(xs[i]), Y: math.Log10(v)})
			}
		}
		line(p, n, shortNames[layer], points, false)
		all = append(all, points)
	}
	logX(p, xs)
	logY(p, all, duration)
	return p
}

// svg draws a plot with its legend at the right, where it hides no line.
func svg(p *plot.Plot) ([]byte, error) {
	c := vgsvg.New(plotWidth, plotHeight)
	canvas := draw.Crop(draw.New(c), margin, -margin, margin/2, -margin/2)
	legend := p.Legend
	p.Legend = plot.NewLegend()
	width := legend.Rectangle(canvas).Size().X
	p.Draw(draw.Crop(canvas, 0, -width-2*margin, 0, 0))
	legend.Left = true
	legend.YOffs = -vg.Points(30) // below the title
	legend.Draw(draw.Crop(canvas, canvas.Size().X-width, 0, 0, 0))
	var b bytes.Buffer
	_, err := c.WriteTo(&b)
	return b.Bytes(), err
}
