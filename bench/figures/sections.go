package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/perf/benchfmt"

	"keyframe/bench/report"
)

// contender is a server in one of its framings.
type contender struct {
	*server
	framing []string
}

// contenders starts Keyframe, the I/O limit and the rivals, all on core 0, where
// those that are not being measured sleep. Call stop in any case.
func (s *session) contenders(ctx context.Context, space int) (list []contender, stop func(), err error) {
	var servers []*server
	stop = func() { stopAll(servers) }
	limit, err := s.ioLimit(ctx, 0)
	if err != nil {
		return nil, stop, err
	}
	servers = append(servers, limit)
	ours, err := s.keyframe(ctx, 0, 1)
	if err != nil {
		return nil, stop, err
	}
	servers = append(servers, ours)
	for _, srv := range servers {
		list = append(list, contender{srv, nil}, contender{srv, []string{"--websocket"}})
	}
	for _, r := range s.rivals {
		srv, err := s.rival(ctx, 0, r)
		if err != nil {
			return nil, stop, err
		}
		servers = append(servers, srv)
		list = append(list, contender{srv, nil})
	}
	for _, srv := range servers[1:] {
		if err := s.fill(ctx, srv, space); err != nil {
			return nil, stop, err
		}
	}
	return list, stop, nil
}

// fill sets every key of the space, outside the figures.
func (s *session) fill(ctx context.Context, srv *server, space int) error {
	raw := s.raw
	defer func() { s.raw = raw }()
	s.note("# %s is filled with %d keys", srv.name, space)
	if err := raw.Flush(); err != nil {
		return err
	}
	quiet := *s
	quiet.raw = newDiscard()
	return quiet.load(ctx, srv, "--fill", "--key-space", strconv.Itoa(space), "--requests", "1", "--connections", "1", "--warm-up", "0")
}

// closed are the client's arguments of a closed loop.
func (s *session) closed(space, keys, depth int) []string {
	return []string{
		"--key-space", strconv.Itoa(space), "--keys", strconv.Itoa(keys), "--depth", strconv.Itoa(depth),
		"--duration", s.time.String(), "--warm-up", (s.time / 4).String(),
	}
}

// turns is the order of a round: each begins with the next of the list, so that none is
// always the first or the last.
func turns[T any](list []T, round int) []T {
	if len(list) == 0 {
		return nil
	}
	first := round % len(list)
	return slices.Concat(list[first:], list[:first])
}

// against runs a section's measurements with the contenders started.
func (s *session) against(ctx context.Context, space int, measure func(list []contender) error) error {
	list, stop, err := s.contenders(ctx, space)
	defer stop()
	if err != nil {
		return err
	}
	return measure(list)
}

// inTurn measures every contender in one of the rounds.
func (s *session) inTurn(ctx context.Context, round int, list []contender, args []string) error {
	for _, c := range turns(list, round) {
		if err := s.load(ctx, c.server, append(args, c.framing...)...); err != nil {
			return err
		}
	}
	return nil
}

// compare: the shapes that most of BENCHMARKS.md's targets are about, every server in turn.
func compare(ctx context.Context, s *session) error {
	space := min(1_000_000, s.maxKeys)
	return s.against(ctx, space, func(list []contender) error {
		for round := range s.rounds {
			s.note("# round %d", round+1)
			for _, shape := range [][2]int{{1, 1}, {1, 16}, {1, 64}, {10, 16}, {100, 4}} {
				if err := s.inTurn(ctx, round, list, s.closed(space, shape[0], shape[1])); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// commands: what is not SET, and SET in a small store, beside rivals of Redis's protocol.
func commands(ctx context.Context, s *session) error {
	type run struct {
		keys, depth int
		args        []string
	}
	counters := []string{"--mix", "incr", "--key-size", "17", "--value-type", "number", "--value-size", "8", "--fill"} // keys of their own
	measure := func(space int, runs []run) error {
		return s.against(ctx, space, func(list []contender) error {
			list = slices.DeleteFunc(list, func(c contender) bool {
				return c.name == "io-limit" || c.framing != nil || slices.Contains(c.clientArgs, "--memcached")
			})
			for round := range s.rounds {
				for _, r := range runs {
					if err := s.inTurn(ctx, round, list, append(s.closed(space, r.keys, r.depth), r.args...)); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	if err := measure(min(10_000, s.maxKeys), []run{{1, 64, nil}, {10, 16, nil}}); err != nil {
		return err
	}
	return measure(min(1_000_000, s.maxKeys), []run{
		{1, 64, nil}, {1, 64, []string{"--ttl", "1h"}}, {10, 16, []string{"--mix", "get"}}, {10, 16, []string{"--mix", "get=95,set=5"}}, {10, 16, counters},
	})
}

// deadlines: keys that die beside a client, and evictions at the ceiling.
func deadlines(ctx context.Context, s *session) error {
	if err := s.goBenchmarks(ctx, 0, "-test.bench", "Evict$", "-test.benchtime", "0.4s", "-test.cpu", "1"); err != nil {
		return err
	}
	return s.goBenchmarks(ctx, -1, "-test.bench", "Expire$/dies=true", "-test.benchtime", "1x", "-test.count", strconv.Itoa(min(s.count, 3)), "-test.cpu", "2")
}

// pages: walks through a store by KEYS, and what a client has beside one.
func pages(ctx context.Context, s *session) error {
	if err := s.goBenchmarks(ctx, 1, "-test.bench", "ServerScan$", "-test.benchtime", "1x", "-server-cpu", "0"); err != nil {
		return err
	}
	return s.goBenchmarks(ctx, 1, "-test.bench", "ServerBesideScan$", "-test.benchtime", "40000x", "-test.count", strconv.Itoa(min(s.count, 3)), "-server-cpu", "0")
}

// perCommand are the numbers of keys in a command that are measured.
var perCommand = []int{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000}

// keysPerCommand: one depth, all numbers of keys.
func keysPerCommand(ctx context.Context, s *session) error {
	space := min(1_000_000, s.maxKeys)
	return s.against(ctx, space, func(list []contender) error {
		for round := range s.rounds {
			for _, keys := range perCommand {
				if err := s.inTurn(ctx, round, list, s.closed(space, keys, 8)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// keysInStore: ten keys a command, stores of all sizes, each in fresh servers.
func keysInStore(ctx context.Context, s *session) error {
	for _, space := range []int{1_000, 10_000, 100_000, 1_000_000, 10_000_000} {
		if space > s.maxKeys {
			continue
		}
		err := s.against(ctx, space, func(list []contender) error {
			for round := range s.rounds {
				if err := s.inTurn(ctx, round, list, s.closed(space, 10, 16)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// sameRates are commands a second that every server here can answer.
var sameRates = []int{100_000, 400_000}

// openLoop: latency at parts of each server's own capacity, and at rates that are the same
// for all. The I/O limit's latency is what client, kernel and machine take without any
// server's work.
func openLoop(ctx context.Context, s *session) error {
	space := min(1_000_000, s.maxKeys)
	list, stop, err := s.contenders(ctx, space)
	defer stop()
	if err != nil {
		return err
	}
	capacity := map[string]int{}
	id := func(c contender) string { return fmt.Sprint(c.name, c.framing) }
	for _, c := range list {
		if capacity[id(c)], err = s.capacity(ctx, c, s.closed(space, 1, 16)); err != nil {
			return err
		}
	}
	at := func(c contender, rate int) error {
		args := append(s.closed(space, 1, 64), "--duration", (2 * s.time).String(), "--rate", fmt.Sprint(rate))
		return s.load(ctx, c.server, append(args, c.framing...)...)
	}
	for round := range s.rounds {
		for _, c := range turns(list, round) {
			for _, percent := range []int{25, 50, 75, 90} {
				s.note("percent: %d", percent)
				if err := at(c, capacity[id(c)]*percent/100); err != nil {
					return err
				}
			}
			s.note("percent:")
			for _, rate := range sameRates {
				if err := at(c, rate); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// capacity is how many commands a second a closed loop gets through, the median of
// three runs, which are in the raw file too.
func (s *session) capacity(ctx context.Context, c contender, args []string) (int, error) {
	var rates []float64
	for range 3 {
		var out strings.Builder
		tee := *s
		tee.raw = newTee(s.raw, &out)
		err := tee.load(ctx, c.server, append(args, c.framing...)...)
		if flushErr := tee.raw.Flush(); err == nil {
			err = flushErr
		}
		if err != nil {
			return 0, err
		}
		rate, err := rateOf(strings.NewReader(out.String()))
		if err != nil {
			return 0, err
		}
		rates = append(rates, rate)
	}
	return int(median(rates)), nil
}

func rateOf(r io.Reader) (float64, error) {
	reader := benchfmt.NewReader(r, "load")
	for reader.Scan() {
		if result, ok := reader.Result().(*benchfmt.Result); ok {
			if v, ok := result.Value("keys/s"); ok {
				return v, nil
			}
		}
	}
	return 0, fmt.Errorf("no rate in the load generator's output: %v", reader.Err())
}

// growth: a store that grows from nothing, through the server on one core, and in the
// engine, with the goroutine that prefaults ahead of the inserts on a core of its own.
// Of the rounds' time lines the one of median length is kept.
func growth(ctx context.Context, s *session) error {
	var timelines []string
	for round := range s.rounds {
		path := filepath.Join(s.bin, fmt.Sprintf("growth-%d.csv", round+1))
		timelines = append(timelines, path)
		srv, err := s.keyframe(ctx, 0, 1)
		if err != nil {
			return err
		}
		// Every key once, in order of its number, which is no order in the store.
		err = s.load(ctx, srv, "--distribution", "seq", "--key-space", strconv.Itoa(s.maxKeys), "--keys", "10", "--depth", "4",
			"--requests", strconv.Itoa(s.maxKeys/10), "--warm-up", "0", "--interval", "50ms", "--timeline", path)
		srv.stop()
		if err != nil {
			return err
		}
	}
	kept, text, err := medianTimeline(timelines)
	if err != nil {
		return err
	}
	s.note("%s: round %d of %d, the median by time", report.TimelineKey, kept+1, len(timelines))
	if err := s.goBenchmarks(ctx, -1, "-test.bench", "SetInsert", "-test.benchtime", "1x", "-test.cpu", "2"); err != nil {
		return err
	}
	return os.WriteFile(s.base+".csv", text, 0o644)
}

// medianTimeline is the time line whose last interval ends in the middle of all.
func medianTimeline(paths []string) (index int, text []byte, err error) {
	type line struct {
		index int
		text  []byte
		end   float64 // seconds
	}
	var lines []line
	for i, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return 0, nil, err
		}
		rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
		if err != nil {
			return 0, nil, fmt.Errorf("%s: %w", path, err)
		}
		if len(rows) < 2 || rows[0][0] != "end-s" {
			return 0, nil, fmt.Errorf("%s is no time line", path)
		}
		end, err := strconv.ParseFloat(rows[len(rows)-1][0], 64)
		if err != nil {
			return 0, nil, fmt.Errorf("%s: %w", path, err)
		}
		lines = append(lines, line{i, text, end})
	}
	if len(lines) == 0 {
		return 0, nil, errors.New("no time line was written")
	}
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(a.end, b.end) })
	m := lines[len(lines)/2]
	return m.index, m.text, nil
}

// memory: what a key costs in a fresh server, the whole process.
func memory(ctx context.Context, s *session) error {
	one := func(start func() (*server, error)) error {
		srv, err := start()
		if err != nil {
			return err
		}
		defer srv.stop()
		if err := s.fill(ctx, srv, s.memory); err != nil {
			return err
		}
		bytes, err := srv.rested(ctx)
		if err != nil {
			return err
		}
		s.note("BenchmarkMemory/impl=%s/store=%d/val=20 1 %.1f bytes/key %d resident-bytes", srv.name, s.memory, float64(bytes)/float64(s.memory), bytes)
		return nil
	}
	for range s.rounds {
		if err := one(func() (*server, error) { return s.keyframe(ctx, 0, 1) }); err != nil {
			return err
		}
		for _, r := range s.rivals {
			if err := one(func() (*server, error) { return s.rival(ctx, 0, r) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// scaling: the server with one event loop and with two, and the engine with one
// goroutine and with two. Nothing is pinned: the client has to run somewhere.
func scaling(ctx context.Context, s *session) error {
	space := min(1_000_000, s.maxKeys)
	var servers []*server
	defer func() { stopAll(servers) }()
	for _, loops := range []int{1, 2} {
		srv, err := s.keyframe(ctx, -1, loops)
		if err != nil {
			return err
		}
		srv.name = fmt.Sprintf("keyframe-%d", loops)
		servers = append(servers, srv)
		if err = s.fill(ctx, srv, space); err != nil {
			return err
		}
	}
	for round := range s.rounds {
		for _, srv := range turns(servers, round) {
			if err := s.loadOn(ctx, -1, srv, s.closed(space, 10, 16)...); err != nil {
				return err
			}
		}
	}
	return s.goBenchmarks(ctx, -1, "-test.bench", "SetParallel", "-test.benchtime", "100000x", "-test.cpu", "1,2")
}

// suite: the Go grid, layer by layer. Nothing is pinned: the outer layers have their
// client in the same process.
func suite(ctx context.Context, s *session) error {
	return s.goBenchmarks(ctx, -1, "-test.bench", "^Benchmark(Set|Get|Add|Rmv|Mixed)$", "-test.benchtime", "0.1s", "-test.cpu", "2", "-test.count", strconv.Itoa(s.count), "-grid", "report")
}

func engineSuite(ctx context.Context, s *session) error {
	if err := s.goBenchmarks(ctx, 1, "-test.bench", "SetOverwrite|GetHit|GetMiss|BaselineOverwrite", "-test.benchtime", "0.4s", "-test.cpu", "1"); err != nil {
		return err
	}
	return s.goBenchmarks(ctx, -1, "-test.bench", "BenchmarkMemory", "-test.benchtime", "1x", "-test.count", strconv.Itoa(min(s.count, 3)), "-test.cpu", "2")
}

func codecSuite(ctx context.Context, s *session) error {
	return s.goBenchmarks(ctx, 1, "-test.bench", "Decode|Respond", "-test.benchtime", "0.1s", "-test.cpu", "1")
}
