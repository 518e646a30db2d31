// Command profile runs a server under load and leaves its profiles: cpu, heap,
// allocs, mutex, block and the flight recorder's last seconds as an execution
// trace, with the top of each as text. See BENCHMARKS.md for how to read them.
//
//	go run ./bench/profile --out bench/profiles
//
// The server runs in this process, with event loops as keyframe-server has them;
// the load generator is a process of its own, so that the profiles are the
// server's alone. What profiling costs is kept apart: the CPU is profiled first,
// with nothing else on, then locks and blocking, then the trace.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"keyframe/engine"
	"keyframe/netio"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "profile: %s\n", err)
		os.Exit(1)
	}
}

// config is how to load the server and for how long.
type config struct {
	out         string
	benchmark   string
	duration    time.Duration
	loops, keys int
	depth       int
	space       int
	websocket   bool
	mix         string
}

func run(args []string) error {
	cfg := config{}
	fs := pflag.NewFlagSet("profile", pflag.ContinueOnError)
	fs.StringVar(&cfg.out, "out", "bench/profiles", "where the profiles go")
	fs.StringVar(&cfg.benchmark, "benchmark", "bin/keyframe-benchmark", "the load generator")
	fs.DurationVar(&cfg.duration, "duration", 10*time.Second, "of the CPU profile; locks and the trace get a third each")
	fs.IntVar(&cfg.loops, "loops", 1, "event loops")
	fs.IntVar(&cfg.keys, "keys", 10, "keys a command")
	fs.IntVar(&cfg.depth, "depth", 16, "commands in flight on each connection")
	fs.IntVar(&cfg.space, "key-space", 1_000_000, "different keys")
	fs.BoolVar(&cfg.websocket, "websocket", false, "WebSocket instead of JSON Lines")
	fs.StringVar(&cfg.mix, "mix", "set", "commands, as keyframe-benchmark takes them")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return nil
		}
		return err
	}
	if cfg.duration < 3*time.Second {
		return fmt.Errorf("--duration is %s, want 3s at least", cfg.duration)
	}
	if err := os.MkdirAll(cfg.out, 0o755); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	store, err := engine.New(engine.Options{})
	if err != nil {
		return err
	}
	defer store.Close() // it reports only a second close
	srv, err := netio.New(store, netio.Options{Listen: []string{"127.0.0.1:0"}, Loops: cfg.loops, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	if err := srv.Start(); err != nil {
		return err
	}
	defer srv.Stop(context.Background()) //nolint:errcheck // the clients have ended
	addr := srv.Addrs()[0].String()

	third := cfg.duration / 3
	for _, phase := range []struct {
		name string
		load time.Duration
		do   func(context.Context) error
	}{
		{"cpu", cfg.duration, func(ctx context.Context) error { return cpu(ctx, &cfg) }},
		{"locks", third, func(ctx context.Context) error { return locks(ctx, &cfg, third) }},
		{"trace", third, func(ctx context.Context) error { return flight(ctx, &cfg, third) }},
	} {
		fmt.Printf("== %s, %s\n", phase.name, phase.load)
		if err := underLoad(ctx, &cfg, addr, phase.load, phase.do); err != nil {
			return fmt.Errorf("%s: %w", phase.name, err)
		}
	}
	for _, name := range []string{"heap", "allocs"} {
		runtime.GC() // the heap profile is that of the latest collection
		if err := lookup(&cfg, name); err != nil {
			return err
		}
	}
	return tops(ctx, &cfg)
}

// underLoad runs do while the load generator runs, and a second longer than it
// measures: its warm-up is not profiled.
func underLoad(ctx context.Context, cfg *config, addr string, d time.Duration, do func(context.Context) error) error {
	args := []string{"--addr", addr, "--duration", (d + time.Second).String(), "--warm-up", "0", "--fill",
		"--keys", strconv.Itoa(cfg.keys), "--depth", strconv.Itoa(cfg.depth), "--key-space", strconv.Itoa(cfg.space), "--mix", cfg.mix}
	if cfg.websocket {
		args = append(args, "--websocket")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	client := exec.CommandContext(ctx, cfg.benchmark, args...)
	client.Stdout, client.Stderr = os.Stdout, os.Stderr
	if err := client.Start(); err != nil {
		return fmt.Errorf("%w (make build makes it)", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- client.Wait() }()
	if err := sleep(ctx, time.Second); err != nil {
		return err
	}
	if err := do(ctx); err != nil {
		return err
	}
	return <-ended
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// save creates a file and has it written.
func save(cfg *config, name string, write func(io.Writer) error) error {
	f, err := os.Create(filepath.Join(cfg.out, name))
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

func lookup(cfg *config, name string) error {
	return save(cfg, name+".pprof", func(w io.Writer) error { return pprof.Lookup(name).WriteTo(w, 0) })
}

func cpu(ctx context.Context, cfg *config) error {
	return save(cfg, "cpu.pprof", func(w io.Writer) error {
		if err := pprof.StartCPUProfile(w); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
		return sleep(ctx, cfg.duration)
	})
}

// locks profiles where goroutines wait: each contended mutex, and everything that
// blocks for a microsecond or more.
func locks(ctx context.Context, cfg *config, d time.Duration) error {
	runtime.SetMutexProfileFraction(1)
	runtime.SetBlockProfileRate(1000)
	defer runtime.SetMutexProfileFraction(0)
	defer runtime.SetBlockProfileRate(0)
	if err := sleep(ctx, d/2); err != nil {
		return err
	}
	return errors.Join(lookup(cfg, "mutex"), lookup(cfg, "block"))
}

// flight keeps the flight recorder on and takes what it has seen last.
func flight(ctx context.Context, cfg *config, d time.Duration) error {
	recorder := trace.NewFlightRecorder(trace.FlightRecorderConfig{MinAge: time.Second, MaxBytes: 64 << 20})
	if err := recorder.Start(); err != nil {
		return err
	}
	defer recorder.Stop()
	if err := sleep(ctx, d/2); err != nil {
		return err
	}
	return save(cfg, "flight.trace", func(w io.Writer) error {
		_, err := recorder.WriteTo(w)
		return err
	})
}

// tops writes the heads of all profiles into one text, and the CPU's to standard
// output.
func tops(ctx context.Context, cfg *config) error {
	return save(cfg, "top.txt", func(w io.Writer) error {
		for _, p := range []struct{ name, index string }{
			{"cpu", ""}, {"heap", "inuse_space"}, {"allocs", "alloc_space"}, {"mutex", "delay"}, {"block", "delay"},
		} {
			args := []string{"tool", "pprof", "-top", "-nodecount", "25"}
			if p.index != "" {
				args = append(args, "-sample_index", p.index)
			}
			cmd := exec.CommandContext(ctx, "go", append(args, filepath.Join(cfg.out, p.name+".pprof"))...)
			cmd.Stdout = w
			if p.name == "cpu" {
				cmd.Stdout = io.MultiWriter(w, os.Stdout)
			}
			fmt.Fprintf(w, "== %s\n", p.name)
			if err := cmd.Run(); err != nil {
				return fmt.Errorf("go tool pprof %s: %w", p.name, err)
			}
		}
		return nil
	})
}
