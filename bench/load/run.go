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

// Tally is what was counted of commands: of one kind, or of all.
type Tally struct {
	Commands   uint64 // that were answered
	Unanswered uint64 // that were planned, and that the server did not get to

	// Keys that were looked up: SET and INCR look none up. A hit is a key that was there,
	// and a miss one that was not; for ADD, which wants none, the other way round.
	Hits, Misses uint64
}

func (t *Tally) add(other Tally) {
	t.Commands += other.Commands
	t.Unanswered += other.Unanswered
	t.Hits += other.Hits
	t.Misses += other.Misses
}

// window is what was counted in a period of time.
type window struct {
	tally    [kinds]Tally
	compared uint64                         // keys of answers
	latency  [kinds]*hdrhistogram.Histogram // of what was answered; nil for kinds not in the mix
	waited   [kinds]*hdrhistogram.Histogram // of what was not; nil where there is none
}

func newWindow(m Mix) *window {
	w := &window{}
	for k, share := range m {
		if share > 0 {
			w.latency[k] = newHistogram()
		}
	}
	return w
}

func (w *window) reset() {
	w.tally, w.compared = [kinds]Tally{}, 0
	w.waited = [kinds]*hdrhistogram.Histogram{}
	for _, h := range w.latency {
		if h != nil {
			h.Reset()
		}
	}
}

func (w *window) add(other *window) {
	w.compared += other.compared
	for k := range w.tally {
		w.tally[k].add(other.tally[k])
		if h := other.latency[k]; h != nil {
			w.latency[k].Merge(h)
		}
		if h := other.waited[k]; h != nil {
			merge(&w.waited[k], h)
		}
	}
}

// all is the tally of all kinds.
func (w *window) all() (sum Tally) {
	for _, t := range w.tally {
		sum.add(t)
	}
	return sum
}

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(shortestLatency, longestLatency, latencyDigits)
}

// merge adds from to *into, which begins when there is something to add.
func merge(into **hdrhistogram.Histogram, from *hdrhistogram.Histogram) {
	if *into == nil {
		*into = newHistogram()
	}
	(*into).Merge(from)
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
	Tally
	Keys    uint64                  // of the commands that were answered
	Latency *hdrhistogram.Histogram // of these commands, in nanoseconds
	Waited  *hdrhistogram.Histogram // how long the unanswered had waited in the end; nil: there are none

	// ByKind are the latencies by kind when the mix has several, else nil.
	ByKind [kinds]*hdrhistogram.Histogram
}

// Rate is how many keys a second were answered.
func (i *Interval) Rate() float64 { return perSecond(i.Keys, i.End-i.Start) }

// Result is the result of a run.
type Result struct {
	Options     Options // with the defaults filled in
	Elapsed     time.Duration
	Tally              // of all kinds
	Keys        uint64 // of the commands that were answered
	Interrupted bool   // it was stopped before its end
	ByKind      [kinds]OfKind
	Compared    uint64 // keys in answers that were compared
	Verified    int    // keys read back
	FillTime    time.Duration
	Err         error // the one that Run returned, for outputs

	// Latency is that of all commands, in nanoseconds. The unanswered are in it with
	// the time that they had waited in the end, so it has more of them than Commands.
	Latency *hdrhistogram.Histogram
}

// OfKind is the result of a run for commands of one kind.
type OfKind struct {
	Tally
	Latency *hdrhistogram.Histogram // as Result's; nil for a kind that is not in the mix
}

// result makes a Result of what w has counted.
func (w *window) result(o *Options) *Result {
	all := w.all()
	r := &Result{Options: *o, Tally: all, Keys: all.Commands * uint64(o.Keys), Compared: w.compared, Latency: newHistogram()}
	for k, h := range w.latency {
		if h == nil {
			continue
		}
		if waited := w.waited[k]; waited != nil {
			h.Merge(waited)
		}
		r.ByKind[k] = OfKind{w.tally[k], h}
		r.Latency.Merge(h)
	}
	return r
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
	if o.TTL > 0 {
		f.Keys = min(f.Keys, o.Keys) // Redis has no command for several
	}
	f.Depth, f.Conns, f.Threads = 4, min(o.Conns, 32), 1
	f.Requests, f.Duration, f.WarmUp, f.Rate = (o.Space+f.Keys-1)/f.Keys, 0, 0, 0
	f.Mix, f.Dist, f.isFilling = Mix{Set: 100}, "seq", true
	f.Fill, f.Verify, f.AllowMisses, f.Compare, f.Repeat, f.OnInterval, f.Running = false, false, false, false, false, nil, nil
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
		if ctx.Err() != nil { // nothing has run
			r := newWindow(o.Mix).result(&o)
			r.Interrupted = true
			return r, nil
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
		if err := o.missing(&result.ByKind); err != nil && !result.Interrupted {
			return result, err
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
			if all := interval.all(); all.Commands+all.Unanswered > 0 {
				part := float64(total.all().Commands) / float64(max(o.Requests, 1))
				if o.Duration > 0 {
					part = float64(to-start) / float64(o.Duration)
				}
				o.OnInterval(Interval{
					Start: from - start, End: to - start, Total: o.Duration, Part: min(part, 1),
					Tally: all, Keys: all.Commands * uint64(o.Keys),
					Latency: merged(&interval.latency), Waited: merged(&interval.waited), ByKind: interval.byKind(),
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
	for _, w := range workers {
		last = max(last, w.last)
		if w.quit == 0 && o.Rate > 0 && w.giveUp() > 0 {
			// What was not answered took until now: a server that answers only a part was
			// not as fast as it began.
			last = max(last, time.Since(base))
		}
	}
	emit(max(last, from))

	r := total.result(o)
	r.Elapsed = last - start
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
			merge(&copies[k], h)
		}
	}
	return copies
}

// merged is the histogram of all kinds, nil when none has one.
func merged(byKind *[kinds]*hdrhistogram.Histogram) (all *hdrhistogram.Histogram) {
	for _, h := range byKind {
		if h != nil {
			merge(&all, h)
		}
	}
	return all
}
