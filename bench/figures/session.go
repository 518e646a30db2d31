package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"keyframe/bench/report"
)

// machine is what the head of a raw file says.
type machine struct {
	revision string
	head     []string // "key: value"
	pin      bool     // taskset is there, and two cores
}

// measuredFiles are the files whose changes make a tree differ from its revision: what is
// measured is code. Results and the report may differ.
var measuredFiles = []string{"*.go", "*.s", "*.c", "*.h", "go.mod", "go.sum", "go.work", "Makefile"}

// describe looks at the machine and the revision. A tree with changes is named
// as such: its figures belong to no revision.
func describe(ctx context.Context) (*machine, error) {
	git := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, "git", args...).Output()
		return strings.TrimSpace(string(out)), err
	}
	revision, err := git("rev-parse", "--short=7", "HEAD")
	if err != nil {
		return nil, fmt.Errorf("git rev-parse: %w (figures belong to a revision)", err)
	}
	changes, err := git(append([]string{"status", "--porcelain", "--"}, measuredFiles...)...)
	if err != nil {
		return nil, err
	}
	if changes != "" {
		revision += report.Dirty
	}
	m := &machine{revision: revision}
	_, noTaskset := exec.LookPath("taskset")
	m.pin = noTaskset == nil && runtime.NumCPU() > 1
	if !m.pin {
		fmt.Println("note: no taskset or one core only: server and client share the cores, which is no measurement of capacity")
	}
	version, err := exec.CommandContext(ctx, "go", "version").Output()
	if err != nil {
		return nil, err
	}
	add := func(key, value string) { m.head = append(m.head, key+": "+value) }
	add("revision", revision)
	add("cpu", procField("/proc/cpuinfo", "model name"))
	add("cores", fmt.Sprint(runtime.NumCPU()))
	add("memory", procField("/proc/meminfo", "MemTotal"))
	add("kernel", strings.TrimSpace(readFile("/proc/sys/kernel/ostype")+" "+readFile("/proc/sys/kernel/osrelease")))
	add("go", strings.TrimPrefix(strings.TrimSpace(string(version)), "go version "))
	add("gogc", orElse(os.Getenv("GOGC"), "100"))
	add("thp", readFile("/sys/kernel/mm/transparent_hugepage/enabled"))
	add("pinned", fmt.Sprint(m.pin))
	return m, nil
}

func procField(path, field string) string {
	for line := range strings.SplitSeq(readFile(path), "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == field {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func readFile(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// build makes the commands and the test binary once, so that no compiler runs
// while something is measured.
func build(ctx context.Context) (dir string, err error) {
	root, err := top()
	if err != nil {
		return "", err
	}
	dir, err = os.MkdirTemp("", "keyframe-figures")
	if err != nil {
		return "", err
	}
	for _, args := range [][]string{
		{"build", "-o", dir + string(filepath.Separator), "./cmd/..."},
		{"test", "-c", "-o", filepath.Join(dir, "bench.test"), "./bench"},
	} {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.Dir = root
		if err := cmd.Run(); err != nil {
			_ = os.RemoveAll(dir)
			return "", fmt.Errorf("go %s: %w", args[0], err)
		}
	}
	return dir, nil
}

// top is the directory of the server's module, at or above the working directory. go -C
// runs the command in a directory below it, where it has a module of its own.
func top() (string, error) {
	at, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := at; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "bench", "figures", "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is in no tree of Keyframe", at)
		}
	}
}

// session is the measuring of one section.
type session struct {
	*config
	*machine
	bin  string // the directory of what was built
	data string // where the servers of section disk have their files
	base string // the raw file's path without its end
	raw  *bufio.Writer
}

// record runs the section and writes its raw file, which gets its name only when
// it is whole.
func (s *session) record(ctx context.Context, sec section) error {
	path := s.base + ".txt"
	f, err := os.Create(path + ".partial")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // nothing is left of it after the rename
	s.raw = bufio.NewWriter(f)
	s.note("section: %s", sec.name)
	s.note("date: %s", time.Now().UTC().Format(time.RFC3339))
	for _, line := range s.head {
		s.note("%s", line)
	}
	s.note("load: %s", readFile("/proc/loadavg"))
	err = sec.run(ctx, s)
	s.note("# load at the end: %s", readFile("/proc/loadavg"))
	if flushErr := s.raw.Flush(); err == nil {
		err = flushErr
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// note writes a line into the raw file; Flush returns the error if there was one.
func (s *session) note(format string, args ...any) { fmt.Fprintf(s.raw, format+"\n", args...) }

// on returns the command pinned to a core, where that is possible.
func (s *session) on(core int, command ...string) []string {
	if !s.pin || core < 0 {
		return command
	}
	return append([]string{"taskset", "-c", fmt.Sprint(core)}, command...)
}

// shown is a command as the reader would type it.
func (s *session) shown(command []string) string {
	text := strings.ReplaceAll(strings.Join(command, " "), s.bin, "bin")
	if s.data != "" {
		text = strings.ReplaceAll(text, s.data, "data")
	}
	return text
}

// command runs a command with its output in the raw file; an error has what it printed.
func (s *session) command(ctx context.Context, command ...string) error {
	s.note("# $ %s", s.shown(command))
	var output strings.Builder
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = s.raw, &output
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", s.shown(command), err, output.String())
	}
	return nil
}

// load runs the load generator on core 1 against a server.
func (s *session) load(ctx context.Context, srv *server, args ...string) error {
	return s.loadOn(ctx, 1, srv, args...)
}

func (s *session) loadOn(ctx context.Context, core int, srv *server, args ...string) error {
	command := s.on(core, append([]string{filepath.Join(s.bin, "keyframe-benchmark"), "--addr", srv.addr,
		"--format", "benchmark", "--name", srv.name}, append(srv.clientArgs, args...)...)...)
	return s.command(ctx, command...)
}

// goBenchmarks runs some of bench's Go benchmarks.
func (s *session) goBenchmarks(ctx context.Context, core int, args ...string) error {
	command := append([]string{filepath.Join(s.bin, "bench.test"), "-test.run", "^$", "-test.timeout", "60m",
		"-test.count", fmt.Sprint(s.count), fmt.Sprintf("-maxkeys=%d", s.maxKeys)}, args...)
	if s.short {
		command = append(command, "-test.benchtime", "1x")
	}
	return s.command(ctx, s.on(core, command...)...)
}

// newDiscard is a raw file for what is not to be kept.
func newDiscard() *bufio.Writer { return bufio.NewWriter(io.Discard) }

// newTee writes into the raw file and into other.
func newTee(raw *bufio.Writer, other io.Writer) *bufio.Writer {
	return bufio.NewWriter(io.MultiWriter(raw, other))
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
