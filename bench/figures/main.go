// Command figures measures what BENCHMARKS.md shows, and writes it.
//
//	go -C bench/figures run .                     # every section, into bench/results/local
//	go -C bench/figures run . compare latency     # these sections
//	go -C bench/figures run . --out bench/results/figures   # where the report reads
//	go -C bench/figures run . --report            # BENCHMARKS.md and the plots, from there
//
// It is a module of its own, and bench/report another, so that a build of the server
// doesn't download what draws plots. Paths are relative to the top of the tree.
//
// Raw files in bench/results/figures are of one revision and committed, so nothing
// is written there unless it is asked for by name, as make figures does. What is
// measured for oneself goes to bench/results/local, which git ignores.
//
// A section is one raw file, date-revision-section.txt, in Go's benchmark format after a
// head that names the machine and the revision. A section that has a file of this revision
// is skipped, so a run that was interrupted goes on where it stopped; --force measures
// again.
//
// It installs nothing. Servers that it does not find are named and left out.
// Every server runs on core 0 and every client on core 1, where there is taskset.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"keyframe/bench/report"
)

// Where raw files are.
const (
	reportDir = "bench/results/figures" // those of BENCHMARKS.md, committed
	localDir  = "bench/results/local"   // ignored by git
)

// config is how to measure.
type config struct {
	out     string
	rivals  []rival
	rounds  int
	time    time.Duration // of one run of the load generator
	maxKeys int           // no store has more
	short   bool
	count   int // of Go benchmarks
	memory  int // keys for the section memory
}

// section is one raw file.
type section struct {
	name string
	run  func(context.Context, *session) error
}

var sections = []section{
	{"compare", compare}, {"keys", keysPerCommand}, {"store", keysInStore}, {"latency", openLoop},
	{"growth", growth}, {"memory", memory}, {"scaling", scaling}, {"suite", suite},
	{"engine", engineSuite}, {"codec", codecSuite}, {"commands", commands}, {"deadlines", deadlines}, {"pages", pages}, {"disk", disk},
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "figures: %s\n", err)
		os.Exit(1)
	}
}

func run() error {
	cfg := config{}
	fs := pflag.NewFlagSet("figures", pflag.ContinueOnError)
	writeReport := fs.Bool("report", false, "write BENCHMARKS.md's tables and the plots from the raw files, and measure nothing")
	force := fs.Bool("force", false, "measure sections again that have a raw file of this revision")
	fs.StringVar(&cfg.out, "out", "", "where raw files are ("+localDir+"; for --report "+reportDir+")")
	document := fs.String("document", "BENCHMARKS.md", "the report")
	rivals := fs.String("rivals", os.Getenv("RIVALS"), "servers of Redis's or memcached's protocol: name=/path[,arg…], separated by blanks; {port} in an argument stands for the port (what is in the PATH, unless given)")
	fs.IntVar(&cfg.rounds, "rounds", 5, "how often each server is measured, in turn")
	fs.DurationVar(&cfg.time, "time", time.Second, "of one measurement by the load generator")
	fs.IntVar(&cfg.maxKeys, "max-keys", 10_000_000, "no store has more")
	fs.IntVar(&cfg.memory, "memory-keys", 10_000_000, "keys for the section memory")
	fs.IntVar(&cfg.count, "count", 5, "how often each Go benchmark is run")
	fs.BoolVar(&cfg.short, "short", false, "everything once and tiny: whether it works, not how fast it is")
	if err := fs.Parse(os.Args[1:]); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return nil
		}
		return err
	}
	root, err := top()
	if err != nil {
		return err
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	cfg.out = directory(cfg.out, *writeReport)
	if *writeReport {
		return report.Write(*document, cfg.out)
	}
	if cfg.short {
		cfg.rounds, cfg.time, cfg.count = 1, 100*time.Millisecond, 1
		cfg.maxKeys, cfg.memory = min(cfg.maxKeys, 100_000), min(cfg.memory, 100_000)
	}
	chosen, err := choose(fs.Args())
	if err != nil {
		return err
	}
	if cfg.rivals, err = findRivals(*rivals); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return measure(ctx, &cfg, chosen, *force)
}

// directory is where raw files are, unless told: no measurement replaces the report's
// figures by accident.
func directory(told string, report bool) string {
	switch {
	case told != "":
		return told
	case report:
		return reportDir
	}
	return localDir
}

func choose(names []string) ([]section, error) {
	if len(names) == 1 {
		names = strings.Split(names[0], ",")
	}
	if len(names) == 0 || names[0] == "" {
		return sections, nil
	}
	var chosen []section
	for _, name := range names {
		i := slices.IndexFunc(sections, func(s section) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no section %q", name)
		}
		chosen = append(chosen, sections[i])
	}
	return chosen, nil
}

func measure(ctx context.Context, cfg *config, chosen []section, force bool) error {
	m, err := describe(ctx)
	if err != nil {
		return err
	}
	if filepath.Clean(cfg.out) == reportDir && strings.HasSuffix(m.revision, report.Dirty) {
		return fmt.Errorf("%s holds figures of a revision and this tree has changes: commit them, or measure into another --out", reportDir)
	}
	if err := os.MkdirAll(cfg.out, 0o755); err != nil {
		return err
	}
	dir, err := build(ctx)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, s := range chosen {
		old, err := filepath.Glob(filepath.Join(cfg.out, "*-"+s.name+".*"))
		if err != nil {
			return err
		}
		// A table or a time line alone belongs to a section that was not finished.
		whole := fmt.Sprintf("-%s-%s.txt", m.revision, s.name)
		if !force && slices.ContainsFunc(old, func(path string) bool { return strings.HasSuffix(path, whole) }) {
			fmt.Printf("%s: measured already at %s\n", s.name, m.revision)
			continue
		}
		base := filepath.Join(cfg.out, fmt.Sprintf("%s-%s-%s", time.Now().UTC().Format("2006-01-02"), m.revision, s.name))
		start := time.Now()
		fmt.Printf("== %s\n", s.name)
		ses := &session{config: cfg, machine: m, bin: dir, base: base}
		if err := ses.record(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		// The numbers of one section are of one revision.
		for _, path := range old {
			if !strings.HasPrefix(path, base+".") {
				if err := os.Remove(path); err != nil {
					return err
				}
				fmt.Printf("%s is of another day or revision: removed\n", path)
			}
		}
		fmt.Printf("== %s took %s\n", s.name, time.Since(start).Round(time.Second))
		if s.name == "compare" {
			table, err := report.Comparison(cfg.out)
			if err != nil {
				return err
			}
			if err := os.WriteFile(base+".md", []byte(table), 0o644); err != nil {
				return err
			}
			fmt.Println(table)
		}
	}
	return nil
}
