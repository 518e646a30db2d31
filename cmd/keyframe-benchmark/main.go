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

	"github.com/spf13/pflag"

	"keyframe/bench/iolimit"
	"keyframe/bench/load"
	"keyframe/cmd/internal/version"
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
	case cfg.version:
		fmt.Fprintf(stdout, "keyframe-benchmark %s\n", version.String())
		return exitOK
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

// drive runs the tests and writes their results.
func drive(ctx context.Context, cfg *config, stdout, stderr io.Writer) error {
	// One thread of Go's more than workers: with all of them waiting in the
	// kernel the runtime's monitor would take their processors away and wake
	// every 20 µs for it, on the core that the worker is to have for itself.
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), cfg.load.Threads+1))
	if cfg.format == "csv" {
		if err := load.WriteCSVHead(stdout); err != nil {
			return err
		}
	}
	for _, t := range cfg.tests {
		if err := measure(ctx, cfg, cfg.options(t), stdout, stderr); err != nil || ctx.Err() != nil {
			return err
		}
	}
	return nil
}

// measure runs one test and writes its outputs.
func measure(ctx context.Context, cfg *config, o load.Options, stdout, stderr io.Writer) (err error) {
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
	if cfg.timeline != "" {
		w, err := create(cfg.timeline)
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
	bar := newProgress(stderr, cfg.quiet)
	if bar != nil {
		adders = append(adders, bar.add)
	}
	var outputErr error
	if len(adders) > 0 {
		o.OnInterval = func(i load.Interval) {
			for _, add := range adders {
				outputErr = errors.Join(outputErr, add(i))
			}
		}
	}
	r, runErr := load.Run(ctx, o)
	if bar != nil {
		bar.finish() // before anything else is written to the terminal
	}
	// What was measured before a failure is worth having, but not among figures.
	if r != nil && r.Commands > 0 {
		if spectrum != nil {
			fail(r.WritePercentiles(spectrum))
		}
		whole := runErr == nil && !r.Interrupted
		switch {
		case cfg.format == "json":
			fail(r.WriteJSON(stdout))
		case cfg.format == "table" && cfg.quiet && whole:
			fail(r.WriteLine(stdout))
		case cfg.format == "table":
			fail(r.WriteTable(stdout))
		case whole && cfg.format == "csv":
			fail(r.WriteCSV(stdout))
		case whole:
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
