package load_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"keyframe/bench/load"
	"keyframe/codec"
	"keyframe/netio/netiotest"
)

// store is a server of JSON Lines that keeps what it is sent in a map, except for the fault
// that it has.
type store struct {
	mu     sync.Mutex
	values map[string]string
	fault  func(s *store, op codec.Opcode, key, value string) (st codec.Status, k, v string)
}

// right is what a server without a fault does.
func (s *store) right(op codec.Opcode, key, value string) (codec.Status, string, string) {
	old, ok := s.values[key]
	switch {
	case op == codec.OpGet && ok:
		return codec.StatusOK, key, old
	case op == codec.OpContains && ok, op == codec.OpAdd && ok:
		return codec.StatusKeyExists, key, ""
	case op == codec.OpGet, op == codec.OpContains, op == codec.OpRemove && !ok:
		return codec.StatusKeyNotExist, key, ""
	case op == codec.OpRemove:
		delete(s.values, key)
		return codec.StatusKeyRemoved, key, ""
	}
	s.values[key] = value
	return codec.StatusKeySet, key, ""
}

func (s *store) answer(c net.Conn, _ int, line []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := codec.NewDecoder(codec.Options{})
	if err != nil {
		return false
	}
	args, cmd, err := d.Decode(bytes.TrimSpace(line), nil, 1000)
	if err != nil {
		return false
	}
	var out []byte
	op := cmd.Op
	for i := range args {
		text := string(args[i].Value)
		if args[i].Form == codec.FormString {
			text = `"` + text + `"`
		}
		st, key, value := s.fault(s, op, string(args[i].Key), text)
		if op == codec.OpGet && st == codec.StatusOK {
			out = fmt.Appendf(out, `{"GET_RSP":{"st":0,"%s":%s}}`+"\n", key, value)
		} else {
			out = fmt.Appendf(out, `{"%s_RSP":{"st":%d,"k":"%s"}}`+"\n", op, st, key)
		}
	}
	_, err = c.Write(out)
	return err == nil
}

// TestVerifyFinds: each fault of a store is found, and a store without one passes.
func TestVerifyFinds(t *testing.T) {
	type outcome = func(*store, codec.Opcode, string, string) (codec.Status, string, string)
	sets, gets := 0, 0
	for name, test := range map[string]struct {
		fault outcome
		o     load.Options
		want  string
	}{
		"nothing": {(*store).right, load.Options{Mix: mix(t, "set=40,get=40,rmv=20"), Fill: true}, ""},
		"lost overwrites": {func(s *store, op codec.Opcode, key, value string) (codec.Status, string, string) {
			if _, ok := s.values[key]; ok && op == codec.OpSet {
				return codec.StatusKeySet, key, ""
			}
			return s.right(op, key, value)
		}, load.Options{Fill: true}, "read back"},
		"a lost key": {func(s *store, op codec.Opcode, key, value string) (codec.Status, string, string) {
			if sets++; sets == 150 && op == codec.OpSet {
				return codec.StatusKeySet, key, ""
			}
			return s.right(op, key, value)
		}, load.Options{Space: 1_000_000}, "is not there"},
		"another's key": {func(s *store, op codec.Opcode, key, value string) (codec.Status, string, string) {
			s.right(op, key, value)
			return codec.StatusKeySet, "key:XXXXXXXXXXXX", ""
		}, load.Options{}, "was answered with"},
		"another's value": {func(s *store, op codec.Opcode, key, value string) (codec.Status, string, string) {
			if op == codec.OpGet {
				return codec.StatusOK, key, `"vvvvvvvv999999999999"`
			}
			return s.right(op, key, value)
		}, load.Options{Mix: mix(t, "get"), Fill: true}, "read back"},
		"what ADD writes, beside GETs that miss": {func(s *store, op codec.Opcode, key, value string) (codec.Status, string, string) {
			if op == codec.OpAdd {
				value = `"garbage"`
			}
			return s.right(op, key, value)
		}, load.Options{Mix: mix(t, "add=50,contains=50"), Space: 1_000_000, AllowMisses: true}, "read back"},
		"a filled key, once": {func(s *store, op codec.Opcode, key, value string) (codec.Status, string, string) {
			if op == codec.OpGet {
				if gets++; gets == 150 {
					return codec.StatusKeyNotExist, key, ""
				}
			}
			return s.right(op, key, value)
		}, load.Options{Mix: mix(t, "get"), Fill: true}, "was set and is not there"},
		"a filled key, of CONTAINS": {func(s *store, op codec.Opcode, key, value string) (codec.Status, string, string) {
			if op == codec.OpContains && key == "key:000000000007" {
				return codec.StatusKeyNotExist, key, ""
			}
			return s.right(op, key, value)
		}, load.Options{Mix: mix(t, "contains"), Fill: true, AllowMisses: true}, "and the store had all"},
		"a key that was removed": {func(s *store, op codec.Opcode, key, value string) (codec.Status, string, string) {
			if op == codec.OpRemove {
				return codec.StatusKeyRemoved, key, ""
			}
			return s.right(op, key, value)
		}, load.Options{Mix: mix(t, "rmv"), Fill: true}, "was removed"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &store{values: map[string]string{}, fault: test.fault}
			o := test.o
			o.Addr, o.Conns, o.Requests, o.Verify, o.Compare = netiotest.Lines(t, s.answer), 2, 400, true, true
			if o.Space == 0 {
				o.Space = 300
			}
			r, err := load.Run(watched(t), o)
			switch {
			case test.want == "" && (err != nil || r.Verified != o.Space || r.Compared != 400):
				t.Fatalf("%+v, %v", r, err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Fatalf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

// TestOneSilentConnection: a silent connection is found while the others go on, whichever
// it is.
func TestOneSilentConnection(t *testing.T) {
	for _, index := range []string{"0", "2", "3"} {
		t.Run(index, func(t *testing.T) {
			var silent sync.Map
			addr := netiotest.Lines(t, func(c net.Conn, n int, line []byte) bool {
				// In sequence, a connection's first key has its number.
				if n == 0 && strings.Contains(string(line), "key:00000000000"+index) {
					silent.Store(c, true)
				}
				if _, is := silent.Load(c); is {
					return true
				}
				_, err := c.Write(netiotest.Stored(line))
				return err == nil
			})
			_, err := load.Run(watched(t), load.Options{Addr: addr, Conns: 4, Dist: "seq", Duration: time.Hour, Timeout: 100 * time.Millisecond})
			if err == nil || !strings.Contains(err.Error(), "silent") || !strings.Contains(err.Error(), "connection "+index) {
				t.Fatal(err)
			}
		})
	}
}

// TestInterrupted: a run that is interrupted says so, reports no fault, and doesn't wait
// for a silent server.
func TestInterrupted(t *testing.T) {
	for name, o := range map[string]load.Options{
		"closed": {Duration: time.Hour}, "open": {Duration: time.Hour, Rate: 5000},
		"filling": {Duration: time.Hour, Fill: true, Space: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(watched(t))
			defer cancel()
			o.Conns, o.Timeout = 2, time.Hour
			o.Addr = netiotest.Lines(t, func(c net.Conn, n int, line []byte) bool {
				if n > 20 || o.Fill {
					cancel() // and answers nothing more
					return true
				}
				_, err := c.Write(netiotest.Stored(line))
				return err == nil
			})
			r, err := load.Run(ctx, o)
			if o.Fill {
				if !errors.Is(err, context.Canceled) {
					t.Fatal(r, err)
				}
				return
			}
			if err != nil || !r.Interrupted || r.Unanswered != 0 || r.Commands == 0 {
				t.Fatalf("%+v, %v", r, err)
			}
		})
	}
}

// TestInterruptedWhenNothingRuns: before the first connection, and while keys are read
// back.
func TestInterruptedWhenNothingRuns(t *testing.T) {
	addr := netiotest.Lines(t, (&store{values: map[string]string{}, fault: (*store).right}).answer)
	for _, rate := range []float64{0, 100} {
		ctx, cancel := context.WithCancel(watched(t))
		cancel()
		if r, err := load.Run(ctx, load.Options{Addr: addr, Requests: 10, Rate: rate}); err != nil || !r.Interrupted || r.Commands != 0 || r.Latency == nil {
			t.Errorf("rate %g: %+v, %v", rate, r, err)
		}
	}
	ctx, cancel := context.WithCancel(watched(t))
	defer cancel()
	addr = netiotest.Lines(t, (&store{values: map[string]string{}, fault: func(s *store, op codec.Opcode, key, value string) (codec.Status, string, string) {
		if op == codec.OpGet {
			cancel()
		}
		return s.right(op, key, value)
	}}).answer)
	r, err := load.Run(ctx, load.Options{Addr: addr, Requests: 2000, Conns: 2, Verify: true})
	if err != nil || !r.Interrupted || r.Verified == 0 || r.Verified > 1000 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestAddsOfWhatWasThere: an ADD that finds its key changes nothing, in the warm-up
// too, so no value is demanded then.
func TestAddsOfWhatWasThere(t *testing.T) {
	addr := netiotest.Lines(t, (&store{values: map[string]string{}, fault: (*store).right}).answer)
	o := load.Options{Addr: addr, Requests: 300, Conns: 1, Space: 100, Dist: "seq", ValueSize: 30}
	if _, err := load.Run(watched(t), o); err != nil {
		t.Fatal(err)
	}
	o.Mix, o.ValueSize, o.Requests, o.WarmUp, o.Verify = mix(t, "add"), 20, 50, 100*time.Millisecond, true
	if r, err := load.Run(watched(t), o); err != nil || r.Verified != 100 {
		t.Fatalf("%+v, %v", r, err)
	}
}

// TestUnansweredAreLate: commands that a server does not answer are in the latencies, and
// make the run fail.
func TestUnansweredAreLate(t *testing.T) {
	const n = 100
	addr := netiotest.Lines(t, func(c net.Conn, i int, line []byte) bool {
		if i == n/2 { // a byte now and then is not silence
			go func() {
				for _, err := c.Write([]byte(" ")); err == nil; _, err = c.Write([]byte(" ")) {
					time.Sleep(10 * time.Millisecond)
				}
			}()
		}
		if i >= n/2 {
			return true
		}
		_, err := c.Write(netiotest.Stored(line))
		return err == nil
	})
	o := load.Options{Addr: addr, Conns: 1, Depth: n, Rate: 1000, Requests: n, Timeout: time.Second, Interval: 50 * time.Millisecond}
	var timeline, hlog bytes.Buffer
	rows, err := load.NewTimeline(&timeline)
	if err != nil {
		t.Fatal(err)
	}
	log, err := load.NewHistogramLog(&hlog)
	if err != nil {
		t.Fatal(err)
	}
	o.OnInterval = func(i load.Interval) {
		if err := errors.Join(rows.Add(i), log.Add(i)); err != nil {
			t.Error(err)
		}
	}
	r, err := load.Run(watched(t), o)
	if err == nil || !strings.Contains(err.Error(), "50 planned commands were not answered") {
		t.Fatal(err)
	}
	if r.Commands != n/2 || r.Unanswered != n/2 || r.Latency.TotalCount() != n {
		t.Fatalf("%d commands, %d unanswered, %d latencies", r.Commands, r.Unanswered, r.Latency.TotalCount())
	}
	if r.Elapsed < o.Timeout {
		t.Errorf("%d commands in %s: those that were waited for took a second more", r.Commands, r.Elapsed)
	}
	requireRates(t, r)
	requireIntervals(t, &timeline, &hlog, n/2)
	late := int64(0)
	for _, bar := range r.Latency.Distribution() {
		if time.Duration(bar.From) >= o.Timeout {
			late += bar.Count
		}
	}
	if late < n/2 {
		t.Errorf("%d latencies are as long as the wait for what did not come, want %d", late, n/2)
	}
}

// TestSilenceTakesTime: a server that answers half of the schedule at once and then nothing
// has taken all the time until the run gave up.
func TestSilenceTakesTime(t *testing.T) {
	const n, timeout = 100, 200 * time.Millisecond
	addr := netiotest.Lines(t, func(c net.Conn, i int, line []byte) bool {
		if i >= n/2 {
			return true
		}
		_, err := c.Write(netiotest.Stored(line))
		return err == nil
	})
	r, err := load.Run(watched(t), load.Options{Addr: addr, Conns: 1, Depth: n, Rate: 10_000, Requests: n, Timeout: timeout})
	if err == nil || r.Commands != n/2 || r.Unanswered != n/2 {
		t.Fatalf("%d commands, %d unanswered, %v", r.Commands, r.Unanswered, err)
	}
	if r.Elapsed < timeout {
		t.Errorf("%d commands in %s, and the rest was waited for until %s", r.Commands, r.Elapsed, timeout)
	}
	requireRates(t, r)
}

// requireRates: every output divides what was answered, and nothing else, by the time.
func requireRates(t *testing.T, r *load.Result) {
	t.Helper()
	want := float64(r.Commands) / r.Elapsed.Seconds()
	var out bytes.Buffer
	if err := r.WriteTable(&out); err != nil {
		t.Fatal(err)
	}
	found := false
	for line := range strings.Lines(out.String()) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "set" {
			continue
		}
		found = true
		if got, err := strconv.ParseFloat(strings.ReplaceAll(fields[1], ",", ""), 64); err != nil || got < want-1 || got > want+1 {
			t.Errorf("the table has %s commands/s, want %.0f", fields[1], want)
		}
	}
	if !found || !strings.Contains(out.String(), fmt.Sprintf("%d planned commands were not answered", r.Unanswered)) {
		t.Errorf("the table has no row of SET, or not what was left:\n%s", out.String())
	}

	out.Reset()
	if err := r.WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	type part struct {
		Count, Unanswered uint64
	}
	var decoded struct {
		Commands, Unanswered uint64
		Rate                 float64 `json:"keys-per-s"`
		Latency              part
		ByCommand            map[string]part `json:"latency-by-command"`
	}
	if err := json.Unmarshal(out.Bytes(), &decoded); err != nil {
		t.Fatal(err)
	}
	if all := (part{r.Commands, r.Unanswered}); decoded.Latency != all || decoded.ByCommand["set"] != all ||
		decoded.Commands != r.Commands || decoded.Unanswered != r.Unanswered || decoded.Rate < want-1 || decoded.Rate > want+1 {
		t.Errorf("%+v, want %d answered, %d not, %.0f a second", decoded, r.Commands, r.Unanswered, want)
	}

	out.Reset()
	if err := r.WriteBenchmark(&out, "server"); err != nil || !strings.Contains(out.String(), fmt.Sprintf("\t%d unanswered", r.Unanswered)) ||
		!strings.Contains(out.String(), fmt.Sprintf("\t%.0f keys/s", want)) {
		t.Errorf("%s, %v; want %.0f keys/s and what was left", out.String(), err, want)
	}
}

// requireIntervals: time line and log have half commands that were answered and, apart from
// them, half that were not.
func requireIntervals(t *testing.T, timeline, hlog io.Reader, half int) {
	t.Helper()
	rows, err := csv.NewReader(timeline).ReadAll()
	if err != nil || len(rows) < 2 {
		t.Fatal(rows, err)
	}
	sums := map[string]float64{}
	for _, row := range rows[1:] {
		for i, name := range rows[0] {
			v, err := strconv.ParseFloat(row[i], 64)
			if err != nil {
				t.Fatal(err)
			}
			sums[name] += v
		}
	}
	if sums["commands"] != float64(half) || sums["keys"] != float64(half) || sums["unanswered"] != float64(half) {
		t.Errorf("the time line has %v, want %d answered and %d not", rows, half, half)
	}
	if last := rows[len(rows)-1]; last[slices.Index(rows[0], "keys/s")] != "0" || len(last[slices.Index(rows[0], "p50-ns")]) < len("1000000000") {
		t.Errorf("the last interval is %v, want no answer, and latencies of a second", last)
	}
	tags := map[string]int64{}
	for reader := hdrhistogram.NewHistogramLogReader(hlog); ; {
		h, err := reader.NextIntervalHistogram()
		if err != nil {
			t.Fatal(err)
		}
		if h == nil {
			break
		}
		tags[h.Tag()] += h.TotalCount()
	}
	if tags[""] != int64(half) || tags["unanswered"] != int64(half) || len(tags) != 2 {
		t.Errorf("the log counts %v, want %d answered and %d not", tags, half, half)
	}
}
