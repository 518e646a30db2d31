package load

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/dustin/go-humanize"
)

// percentiles are the ones in every output, with their names as units of Go's benchmark
// format.
var percentiles = []struct {
	p    float64
	unit string
}{{50, "p50-ns"}, {90, "p90-ns"}, {99, "p99-ns"}, {99.9, "p999-ns"}, {99.99, "p9999-ns"}, {100, "max-ns"}}

// Rate is how many keys a second were answered.
func (r *Result) Rate() float64 {
	return perSecond(r.Keys, r.Elapsed)
}

// perSecond is 0 for no time at all.
func perSecond(n uint64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}

// looksUp reports whether the mix has commands that look keys up.
func (m Mix) looksUp() bool { return m[Set]+m[Incr] < 100 }

// Name is the run's name in Go's benchmark format: what varies between runs, as key=value
// pairs. impl is the server that was measured.
func (r *Result) Name(impl string) string {
	o := r.Options
	name := fmt.Sprintf("BenchmarkLoad/impl=%s/framing=%s/mix=%s/keys=%d/depth=%d/conns=%d/store=%d/val=%d/dist=%s",
		impl, o.Protocol, o.Mix, o.Keys, o.Depth, o.Conns, o.Space, o.ValueSize, o.Dist)
	if o.TTL > 0 {
		name += fmt.Sprintf("/ttl=%s", o.TTL)
	}
	if o.Rate > 0 {
		name += fmt.Sprintf("/rate=%.0f", o.Rate)
	}
	return name
}

// WriteBenchmark writes the line that benchstat reads.
func (r *Result) WriteBenchmark(w io.Writer, impl string) error {
	keys := float64(max(r.Keys, 1))
	_, err := fmt.Fprintf(w, "%s\t%8d\t%.1f ns/op\t%.0f keys/s\t%.2f ns/key", r.Name(impl), r.Commands,
		float64(r.Elapsed.Nanoseconds())/float64(max(r.Commands, 1)), r.Rate(), float64(r.Elapsed.Nanoseconds())/keys)
	for _, p := range percentiles {
		if err == nil {
			_, err = fmt.Fprintf(w, "\t%d %s", r.Latency.ValueAtPercentile(p.p), p.unit)
		}
	}
	for _, n := range []struct {
		show bool
		n    uint64
		unit string
	}{{r.Options.Mix.looksUp(), r.Hits, "hits"}, {r.Options.Mix.looksUp(), r.Misses, "misses"}, {r.Unanswered > 0, r.Unanswered, "unanswered"}} {
		if n.show && err == nil {
			_, err = fmt.Fprintf(w, "\t%d %s", n.n, n.unit)
		}
	}
	if err == nil {
		_, err = fmt.Fprintln(w)
	}
	return err
}

// WriteTable writes the result for people.
func (r *Result) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	o := r.Options
	loop := "closed loop"
	if o.Rate > 0 {
		loop = fmt.Sprintf("open loop, %s commands/s planned", humanize.Commaf(o.Rate))
	}
	lives := ""
	if o.TTL > 0 {
		lives = fmt.Sprintf(" that live for %s", o.TTL)
	}
	fmt.Fprintf(w, "%s, %s: %d connections × %d in flight, %d keys a command, %s keys, values %s of %d bytes%s, %s, %s\n",
		o.Addr, o.Protocol, o.Conns, o.Depth, o.Keys, humanize.Comma(int64(o.Space)), o.ValueType, o.ValueSize, lives, o.Dist, loop)
	fmt.Fprint(t, "\tcommands/s\tkeys/s\tp50\tp90\tp99\tp99.9\tp99.99\tmax\t\n")
	row := func(name string, answered uint64, h *hdrhistogram.Histogram) {
		rate := perSecond(answered, r.Elapsed)
		fmt.Fprintf(t, "%s\t%s\t%s\t", name, humanize.Comma(int64(rate)), humanize.Comma(int64(rate*float64(o.Keys))))
		for _, p := range percentiles {
			fmt.Fprintf(t, "%s\t", latency(h.ValueAtPercentile(p.p)))
		}
		fmt.Fprintln(t)
	}
	n := 0
	for k, of := range r.ByKind {
		if of.Latency != nil {
			row(Kind(k).String(), of.Commands, of.Latency)
			n++
		}
	}
	if n > 1 {
		row("all", r.Commands, r.Latency)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "%s commands, %s keys in %s", humanize.Comma(int64(r.Commands)), humanize.Comma(int64(r.Keys)), r.Elapsed.Round(time.Millisecond))
	if r.FillTime > 0 {
		fmt.Fprintf(w, "; filled in %s", r.FillTime.Round(time.Millisecond))
	}
	if o.Mix.looksUp() {
		fmt.Fprintf(w, "; %s keys hit, %s missed", humanize.Comma(int64(r.Hits)), humanize.Comma(int64(r.Misses)))
	}
	if r.Verified > 0 {
		fmt.Fprintf(w, "; %s keys read back and right", humanize.Comma(int64(r.Verified)))
	}
	if r.Compared > 0 {
		fmt.Fprintf(w, "; %s keys in answers compared", humanize.Comma(int64(r.Compared)))
	}
	if r.Interrupted {
		fmt.Fprint(w, "; interrupted")
	}
	if r.Unanswered > 0 {
		fmt.Fprintf(w, "\n%s planned commands were not answered: the rates are without them, and the latencies have them with what they had waited in the end, which is less than they would have taken", humanize.Comma(int64(r.Unanswered)))
	}
	_, err := fmt.Fprintln(w)
	return err
}

// title is what the run did, as redis-benchmark names its tests.
func (r *Result) title() string {
	name := strings.ToUpper(r.Options.Mix.String())
	if r.Options.Keys > 1 {
		name += fmt.Sprintf(" (%d keys)", r.Options.Keys)
	}
	return name
}

// WriteLine writes the result as one line, in redis-benchmark's words.
func (r *Result) WriteLine(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%s: %.2f requests per second, p50=%.3f msec\n",
		r.title(), perSecond(r.Commands, r.Elapsed), milliseconds(r.Latency.ValueAtPercentile(50)))
	return err
}

// csvHead are the columns of redis-benchmark's CSV.
var csvHead = []string{"test", "rps", "avg_latency_ms", "min_latency_ms", "p50_latency_ms", "p95_latency_ms", "p99_latency_ms", "max_latency_ms"}

// WriteCSVHead writes the names of WriteCSV's columns.
func WriteCSVHead(w io.Writer) error { return writeQuoted(w, csvHead) }

// WriteCSV writes the result as a row of CSV, as redis-benchmark does.
func (r *Result) WriteCSV(w io.Writer) error {
	row := []string{r.title(), fmt.Sprintf("%.2f", perSecond(r.Commands, r.Elapsed))}
	h := r.Latency
	for _, ns := range []int64{int64(h.Mean()), h.Min(), h.ValueAtPercentile(50), h.ValueAtPercentile(95), h.ValueAtPercentile(99), h.Max()} {
		row = append(row, fmt.Sprintf("%.3f", milliseconds(ns)))
	}
	return writeQuoted(w, row)
}

// writeQuoted writes a row with every cell in quotes, none of which has one inside.
func writeQuoted(w io.Writer, row []string) error {
	_, err := fmt.Fprintf(w, "\"%s\"\n", strings.Join(row, `","`))
	return err
}

func milliseconds(ns int64) float64 { return float64(ns) / float64(time.Millisecond) }

// latency is a time with three digits.
func latency(ns int64) string {
	d := time.Duration(ns)
	switch {
	case d < 10*time.Microsecond:
		return d.Round(10 * time.Nanosecond).String()
	case d < time.Millisecond:
		return d.Round(100 * time.Nanosecond).String()
	case d < time.Second:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

// WriteJSON writes the result for programs.
func (r *Result) WriteJSON(w io.Writer) error {
	latencies := func(t Tally, h *hdrhistogram.Histogram) map[string]any {
		m := map[string]any{"count": t.Commands, "unanswered": t.Unanswered, "mean-ns": h.Mean(), "hits": t.Hits, "misses": t.Misses}
		for _, p := range percentiles {
			m[p.unit] = h.ValueAtPercentile(p.p)
		}
		return m
	}
	byKind := map[string]any{}
	for k, of := range r.ByKind {
		if of.Latency != nil {
			byKind[Kind(k).String()] = latencies(of.Tally, of.Latency)
		}
	}
	o := r.Options
	failure := ""
	if r.Err != nil {
		failure = r.Err.Error()
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(map[string]any{
		"address": o.Addr, "protocol": o.Protocol, "connections": o.Conns, "threads": o.Threads, "depth": o.Depth,
		"keys-per-command": o.Keys, "key-space": o.Space, "key-size": o.KeySize, "distribution": o.Dist,
		"value-size": o.ValueSize, "value-type": o.ValueType, "mix": o.Mix.String(), "ttl-s": o.TTL.Seconds(), "seed": o.Seed, "planned-rate": o.Rate,
		"warm-up-s": o.WarmUp.Seconds(), "elapsed-s": r.Elapsed.Seconds(), "commands": r.Commands, "keys": r.Keys,
		"keys-per-s": r.Rate(), "hits": r.Hits, "misses": r.Misses, "unanswered": r.Unanswered, "verified": r.Verified,
		"compared": r.Compared, "interrupted": r.Interrupted, "error": failure,
		"latency": latencies(r.Tally, r.Latency), "latency-by-command": byKind,
	})
}

// Timeline writes intervals as CSV.
type Timeline struct{ w *csv.Writer }

// NewTimeline writes the head of a time line.
func NewTimeline(w io.Writer) (*Timeline, error) {
	t := &Timeline{csv.NewWriter(w)}
	head := []string{"end-s", "commands", "keys", "keys/s"}
	for _, p := range percentiles {
		head = append(head, p.unit)
	}
	return t, t.w.Write(append(head, "hits", "misses", "unanswered"))
}

// Add writes an interval. Its percentiles include the unanswered, as Result's do.
func (t *Timeline) Add(i Interval) error {
	row := []string{
		fmt.Sprintf("%.3f", i.End.Seconds()), strconv.FormatUint(i.Commands, 10), strconv.FormatUint(i.Keys, 10),
		fmt.Sprintf("%.0f", i.Rate()),
	}
	all := i.Latency
	if i.Waited != nil {
		all = merged(&[kinds]*hdrhistogram.Histogram{i.Latency, i.Waited})
	}
	for _, p := range percentiles {
		row = append(row, strconv.FormatInt(all.ValueAtPercentile(p.p), 10))
	}
	for _, n := range []uint64{i.Hits, i.Misses, i.Unanswered} {
		row = append(row, strconv.FormatUint(n, 10))
	}
	if err := t.w.Write(row); err != nil {
		return err
	}
	t.w.Flush()
	return t.w.Error()
}

// WritePercentiles writes the percentile spectrum of all commands as HdrHistogram's
// tools plot it, in microseconds. The unanswered are in it as in Latency.
func (r *Result) WritePercentiles(w io.Writer) error {
	const stepsPerHalving = 5
	_, err := r.Latency.PercentilesPrint(w, stepsPerHalving, float64(time.Microsecond))
	return err
}

// HistogramLog writes intervals as an HdrHistogram log, version 1.3, in
// nanoseconds. With several kinds of commands each has its lines, tagged. What was not
// answered has a line of its own, tagged unanswered, with the times that it had waited:
// the counts of the other lines add up to what the server got through.
type HistogramLog struct {
	w     *hdrhistogram.HistogramLogWriter
	start time.Time
}

// NewHistogramLog writes the head of a log that begins now.
func NewHistogramLog(w io.Writer) (*HistogramLog, error) {
	l := &HistogramLog{w: hdrhistogram.NewHistogramLogWriter(w), start: time.Now()}
	ms := l.start.UnixMilli()
	l.w.SetBaseTime(ms)
	for _, write := range []func() error{
		l.w.OutputLogFormatVersion,
		func() error { return l.w.OutputStartTime(ms) },
		func() error { return l.w.OutputBaseTime(ms) },
		l.w.OutputLegend,
	} {
		if err := write(); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// Add writes an interval.
func (l *HistogramLog) Add(i Interval) error {
	if i.Waited != nil {
		i.Waited.SetTag("unanswered")
		if err := l.add(i, i.Waited); err != nil {
			return err
		}
	}
	if i.Commands == 0 {
		return nil
	}
	several := false
	for k, h := range i.ByKind {
		if h != nil {
			several = true
			h.SetTag(Kind(k).String())
			if err := l.add(i, h); err != nil {
				return err
			}
		}
	}
	if several {
		return nil
	}
	return l.add(i, i.Latency)
}

func (l *HistogramLog) add(i Interval, h *hdrhistogram.Histogram) error {
	h.SetStartTimeMs(l.start.Add(i.Start).UnixMilli())
	h.SetEndTimeMs(l.start.Add(i.End).UnixMilli())
	return l.w.OutputIntervalHistogram(h)
}
