// Command keyframe-benchmark drives a server with Keyframe's, Redis's or memcached's
// protocol, and reports how fast it answers. Run it with --help.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"keyframe/bench/iolimit"
	"keyframe/bench/load"
)

// Exit statuses.
const (
	exitOK          = 0
	exitFailure     = 1 // the server failed, or answered wrongly
	exitUsage       = 2
	exitInterrupted = 130 // what shells report of a program that SIGINT ended
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is main with its surroundings as arguments; it returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	cfg, err := parseFlags(args, stdout)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return exitOK
	case err != nil:
		fmt.Fprintf(stderr, "keyframe-benchmark: %s\nTry --help.\n", err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal kills
	if cfg.ioLimit != "" {
		err = serveIOLimit(ctx, cfg, stdout)
	} else {
		err = drive(ctx, cfg, stdout, stderr)
	}
	switch {
	case err != nil:
		fmt.Fprintf(stderr, "keyframe-benchmark: %s\n", err)
		if !errors.Is(err, context.Canceled) {
			return exitFailure
		}
	case ctx.Err() == nil || cfg.ioLimit != "":
		return exitOK
	}
	return exitInterrupted
}

func serveIOLimit(ctx context.Context, cfg *config, stdout io.Writer) error {
	return iolimit.Serve(ctx, iolimit.Options{
		Addr: cfg.ioLimit, Loops: cfg.load.Threads, KeySize: cfg.load.KeySize, ValueSize: cfg.load.ValueSize,
		Ready: func() { fmt.Fprintf(stdout, "ready: the I/O limit at %s\n", cfg.ioLimit) },
	})
}

// drive runs the load and writes its outputs.
func drive(ctx context.Context, cfg *config, stdout, stderr io.Writer) (err error) {
	var adders []func(load.Interval) error
	closers, fail := []func() error{}, func(e error) { err = errors.Join(err, e) }
	defer func() {
		for _, c := range closers {
			fail(c())
		}
	}()
	create := func(path string) (io.Writer, error) {
		f, err := os.Create(path)
		if err != nil {
			return nil, err
		}
		w := bufio.NewWriter(f)
		closers = append(closers, w.Flush, f.Close)
		return w, nil
	}
	if cfg.csv != "" {
		w, err := create(cfg.csv)
		if err != nil {
			return err
		}
		t, err := load.NewTimeline(w)
		if err != nil {
			return err
		}
		adders = append(adders, t.Add)
	}
	if cfg.hlog != "" {
		w, err := create(cfg.hlog)
		if err != nil {
			return err
		}
		l, err := load.NewHistogramLog(w)
		if err != nil {
			return err
		}
		adders = append(adders, l.Add)
	}
	var spectrum io.Writer
	if cfg.hgrm != "" {
		if spectrum, err = create(cfg.hgrm); err != nil {
			return err
		}
	}
	if bar := newProgress(stderr, cfg.quiet); bar != nil {
		adders = append(adders, bar.add)
		defer bar.finish()
	}
	var outputErr error
	if len(adders) > 0 {
		cfg.load.OnInterval = func(i load.Interval) {
			for _, add := range adders {
				outputErr = errors.Join(outputErr, add(i))
			}
		}
	}

	// One more of Go's processors than there are workers: with all workers waiting in the
	// kernel the runtime's monitor would wake every 20 µs to take their processors away, on
	// the core that the worker is to have for itself.
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), cfg.load.Threads+1))
	r, runErr := load.Run(ctx, cfg.load)
	// What was measured before a failure is worth having, but it is no figure for
	// benchstat.
	if r != nil && r.Commands > 0 {
		if spectrum != nil {
			fail(r.WritePercentiles(spectrum))
		}
		switch {
		case cfg.format == "json":
			fail(r.WriteJSON(stdout))
		case cfg.format == "table":
			fail(r.WriteTable(stdout))
		case runErr == nil && !r.Interrupted:
			fail(r.WriteBenchmark(stdout, cfg.name))
		}
	}
	if runErr == nil && r.Commands == 0 && !r.Interrupted {
		runErr = errors.New("nothing was answered while it measured")
	}
	fail(outputErr)
	fail(runErr)
	return err
}

// progress is a line on a terminal: how far, how fast, the latest p99.
type progress struct{ bar *progressbar.ProgressBar }

// newProgress returns nil when there is no terminal to draw on.
func newProgress(w io.Writer, quiet bool) *progress {
	f, ok := w.(*os.File)
	if quiet || !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	p := &progress{progressbar.NewOptions(100,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetWidth(30),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionShowDescriptionAtLineEnd(),
		progressbar.OptionClearOnFinish())}
	p.bar.Describe("connecting, filling, warming up")
	return p
}

func (p *progress) add(i load.Interval) error {
	p99 := time.Duration(i.Latency.ValueAtPercentile(99)).Round(time.Microsecond)
	p.bar.Describe(fmt.Sprintf("%s keys/s, p99 %s", humanize.SIWithDigits(i.Rate(), 2, ""), p99))
	return p.bar.Set(int(i.Part * 100))
}

func (p *progress) finish() { _ = p.bar.Finish() }
