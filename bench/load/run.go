package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latencies are kept in nanoseconds, 64 ns to ten minutes, with three digits.
const (
	shortestLatency = 64
	longestLatency  = int64(10 * time.Minute)
	latencyDigits   = 3
)

// window is what was counted in a stretch of time.
type window struct {
	commands, misses uint64
	compared         uint64                         // keys of answers
	latency          [kinds]*hdrhistogram.Histogram // nil for kinds not in the mix
}

func newWindow(m Mix) *window {
	w := &window{}
	for k, share := range m {
		if share > 0 {
			w.latency[k] = hdrhistogram.New(shortestLatency, longestLatency, latencyDigits)
		}
	}
	return w
}

func (w *window) reset() {
	w.commands, w.misses, w.compared = 0, 0, 0
	for _, h := range w.latency {
		if h != nil {
			h.Reset()
		}
	}
}

func (w *window) add(other *window) {
	w.commands += other.commands
	w.misses += other.misses
	w.compared += other.compared
	for k, h := range other.latency {
		if h != nil {
			w.latency[k].Merge(h)
		}
	}
}

func count(h *hdrhistogram.Histogram, d time.Duration, n int) {
	v := min(max(int64(d), 0), longestLatency)
	if err := h.RecordValues(v, int64(n)); err != nil {
		panic("BUG: a latency out of range: " + err.Error())
	}
}

// Interval is what happened in one interval of the measurement.
type Interval struct {
	Start, End time.Duration // since measuring began
	Total      time.Duration // the length of the measurement, 0 when it is not known
	Part       float64       // how much of the measurement is done, 0 to 1
	Commands   uint64
	Keys       uint64
	Latency    *hdrhistogram.Histogram // of all commands, in nanoseconds

	// ByKind are the latencies by kind when the mix has several, else nil.
	ByKind [kinds]*hdrhistogram.Histogram
}

// Result is what a run came to.
type Result struct {
	Options     Options // with the defaults filled in
	Elapsed     time.Duration
	Commands    uint64
	Keys        uint64
	Misses      uint64                         // keys that were not there (for ADD: that were)
	Unanswered  uint64                         // planned commands that the server did not get to; the latencies have them with the time they had waited
	Interrupted bool                           // it was stopped before its end
	Latency     *hdrhistogram.Histogram        // of all commands, in nanoseconds
	ByKind      [kinds]*hdrhistogram.Histogram // nil for kinds not in the mix
	Compared    uint64                         // keys in answers that were compared
	Verified    int                            // keys read back
	FillTime    time.Duration
	Err         error // the one that Run returned, for outputs
}

// Run does what o describes. When it returns an error with a result that has
// commands, these were answered before the error. It ends early, without an
// error, when ctx is done.
func Run(ctx context.Context, o Options) (*Result, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	var filled time.Duration
	if o.Fill {
		r, err := run(ctx, o.filling())
		if err == nil && r.Interrupted {
			err = context.Cause(ctx)
		}
		if err != nil {
			return nil, fmt.Errorf("filling the store: %w", err)
		}
		filled = r.Elapsed
	}
	r, err := run(ctx, o)
	if r != nil {
		r.FillTime, r.Err = filled, err
	}
	return r, err
}

// filling are the options of the run that sets every key before.
func (o Options) filling() Options {
	f := o
	f.Keys = min(o.Space, 100, max(1, 1<<20/o.ValueSize))
	f.Depth, f.Conns, f.Threads = 4, min(o.Conns, 32), 1
	f.Requests, f.Duration, f.WarmUp, f.Rate = (o.Space+f.Keys-1)/f.Keys, 0, 0, 0
	f.Mix, f.Dist, f.isFilling = Mix{Set: 100}, "seq", true
	f.Fill, f.Verify, f.Compare, f.Repeat, f.OnInterval, f.Running = false, false, false, false, nil, nil
	return f
}

func run(ctx context.Context, o Options) (*Result, error) {
	var stop atomic.Bool
	workers := make([]*worker, o.Threads)
	for i := range workers {
		poll, err := newPoller(o.Conns)
		if err != nil {
			return nil, err
		}
		w := &worker{
			o: &o, p: newProtocol(o), poll: poll, stop: &stop, accepts: []accept{o.during()},
			buf: make([]byte, 256<<10), now: newWindow(o.Mix),
		}
		w.templates = newTemplates(&o, w.p)
		workers[i] = w
		defer w.close()
	}
	for i := range o.Conns {
		if ctx.Err() != nil { // and nothing has run
			none := newWindow(o.Mix)
			return &Result{Options: o, Interrupted: true, Latency: none.merged(), ByKind: none.latency}, nil
		}
		if err := workers[i%o.Threads].open(i); err != nil {
			return nil, fmt.Errorf("connection %d of %d: %w", i+1, o.Conns, err)
		}
	}

	running := o.Running
	if running == nil {
		running = func(bool) {}
	}
	running(true)
	base := time.Now()
	errs := make([]error, len(workers))
	var driving sync.WaitGroup
	done := make(chan struct{})
	for i, w := range workers {
		w.base = base
		driving.Go(func() {
			if errs[i] = w.run(); errs[i] != nil {
				stop.Store(true)
			}
		})
	}
	go func() { driving.Wait(); close(done) }()
	cancel := context.AfterFunc(ctx, func() { stop.Store(true) })
	defer cancel()

	result := report(&o, workers, base, done)
	running(false)
	result.Interrupted = ctx.Err() != nil
	if err := errors.Join(errs...); err != nil || result.Interrupted {
		return result, err
	}
	if result.Unanswered > 0 {
		// What the server does with them is not known, so nothing is verified.
		return result, fmt.Errorf("the server did not keep up: %d planned commands were not answered within %s", result.Unanswered, o.Timeout)
	}
	if o.Verify {
		n, err := verify(ctx, o, workers)
		result.Verified, result.Interrupted = n, ctx.Err() != nil
		if err != nil {
			return result, fmt.Errorf("verifying: %w", err)
		}
	}
	return result, nil
}

// report gathers what the workers count, interval by interval, until done.
func report(o *Options, workers []*worker, base time.Time, done chan struct{}) *Result {
	total, interval, spare := newWindow(o.Mix), newWindow(o.Mix), newWindow(o.Mix)
	take := func() {
		for _, w := range workers {
			spare.reset()
			w.mu.Lock()
			w.now, spare = spare, w.now
			w.mu.Unlock()
			interval.add(spare)
		}
	}
	start := o.WarmUp
	if start > 0 {
		select {
		case <-time.After(time.Until(base.Add(start))):
		case <-done:
		}
	}
	var tick <-chan time.Time
	if o.OnInterval != nil {
		ticker := time.NewTicker(o.Interval)
		defer ticker.Stop()
		tick = ticker.C
	}
	from := start
	emit := func(to time.Duration) {
		interval.reset()
		take()
		total.add(interval)
		if o.OnInterval != nil {
			// Without commands there may be those that were given up.
			if all := interval.merged(); all.TotalCount() > 0 {
				part := float64(total.commands) / float64(max(o.Requests, 1))
				if o.Duration > 0 {
					part = float64(to-start) / float64(o.Duration)
				}
				o.OnInterval(Interval{
					Start: from - start, End: to - start, Total: o.Duration, Part: min(part, 1),
					Commands: interval.commands, Keys: interval.commands * uint64(o.Keys),
					Latency: all, ByKind: interval.byKind(),
				})
			}
		}
		from = to
	}
	for running := true; running; {
		select {
		case <-tick:
			emit(time.Since(base))
		case <-done:
			running = false
		}
	}
	last := start
	var unanswered uint64
	for _, w := range workers {
		last = max(last, w.last)
		if w.quit == 0 && o.Rate > 0 {
			unanswered += w.giveUp()
		}
	}
	emit(max(last, from))

	r := &Result{
		Options: *o, Elapsed: last - start,
		Commands: total.commands, Keys: total.commands * uint64(o.Keys), Misses: total.misses, Unanswered: unanswered,
		Compared: total.compared, Latency: total.merged(), ByKind: total.latency,
	}
	if o.Rate > 0 {
		// The last command has its part of the schedule too.
		r.Elapsed = max(r.Elapsed, time.Duration(float64(r.Commands)/o.Rate*float64(time.Second)))
	}
	return r
}

// byKind are copies of the histograms, when there are several.
func (w *window) byKind() (copies [kinds]*hdrhistogram.Histogram) {
	several := 0
	for _, h := range w.latency {
		if h != nil {
			several++
		}
	}
	for k, h := range w.latency {
		if h != nil && several > 1 {
			copies[k] = hdrhistogram.New(shortestLatency, longestLatency, latencyDigits)
			copies[k].Merge(h)
		}
	}
	return copies
}

// merged is the histogram of all kinds.
func (w *window) merged() *hdrhistogram.Histogram {
	all := hdrhistogram.New(shortestLatency, longestLatency, latencyDigits)
	for _, h := range w.latency {
		if h != nil {
			all.Merge(h)
		}
	}
	return all
}
