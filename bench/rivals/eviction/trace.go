package eviction

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"github.com/ulikunitz/xz"
)

// Trace is a sequence of requests, each of a key. Keys are numbered from 0 in the order
// of their first request.
type Trace struct {
	Name     string
	Requests []uint32
	Keys     int
}

// newTrace numbers the keys of requests.
func newTrace(name string, requests []uint64) *Trace {
	t := &Trace{Name: name, Requests: make([]uint32, len(requests))}
	numbers := make(map[uint64]uint32)
	for i, key := range requests {
		n, ok := numbers[key]
		if !ok {
			n = uint32(len(numbers))
			numbers[key] = n
		}
		t.Requests[i] = n
	}
	t.Keys = len(numbers)
	return t
}

// ReadTraces reads every trace of a folder, in the order of their names, and adds the
// mixed one if what it is made of is there.
func ReadTraces(folder string) ([]*Trace, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	requests := make(map[string][]uint64)
	for _, entry := range entries {
		name, format, packing := splitName(entry.Name())
		if parsers[format] == nil {
			continue
		}
		r, err := readFile(filepath.Join(folder, entry.Name()), packing, parsers[format])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", entry.Name(), err)
		}
		requests[name] = r
	}
	names := make([]string, 0, len(requests))
	for name := range requests {
		names = append(names, name)
	}
	sort.Strings(names)
	var traces []*Trace
	for _, name := range names {
		traces = append(traces, newTrace(name, requests[name]))
	}
	if corda, loop := requests["corda"], requests["loop"]; corda != nil && loop != nil {
		traces = append(traces, newTrace("mixed", mixed(corda, loop)))
	}
	return traces, nil
}

// mixed is what adaptive policies are judged by: recency alone helps with corda, and is
// the worst there is for a loop.
func mixed(corda, loop []uint64) []uint64 {
	all := append([]uint64(nil), corda...)
	for range 5 {
		for _, key := range loop {
			all = append(all, ^key) // no key of both
		}
	}
	return append(all, corda...)
}

// splitName takes "oltp.arc.gz" apart.
func splitName(file string) (name, format, packing string) {
	parts := strings.Split(file, ".")
	switch len(parts) {
	case 2:
		return parts[0], parts[1], ""
	case 3:
		return parts[0], parts[1], parts[2]
	}
	return file, "", ""
}

func readFile(path, packing string, parse func([]byte) ([]uint64, error)) ([]uint64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var r io.Reader = bufio.NewReader(f)
	switch packing {
	case "gz":
		r, err = gzip.NewReader(r)
	case "xz":
		r, err = xz.NewReader(r)
	case "":
	default:
		err = fmt.Errorf("unknown packing %q", packing)
	}
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	return parse(data)
}

// parsers by the format that a file's name says.
var parsers = map[string]func([]byte) ([]uint64, error){
	"arc":   parseARC,
	"lirs":  parseLIRS,
	"u64be": parseU64BE,
}

// parseARC reads lines of a first block, a number of blocks, and two numbers more.
func parseARC(data []byte) ([]uint64, error) {
	var out []uint64
	for i, line := range bytes.Split(data, []byte("\n")) {
		fields := strings.Fields(string(line))
		if len(fields) == 0 {
			continue
		}
		if len(fields) < 2 {
			return nil, fmt.Errorf("line %d: %q", i+1, line)
		}
		first, err := strconv.ParseUint(fields[0], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		n, err := strconv.ParseUint(fields[1], 10, 32)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		for block := first; block < first+n; block++ {
			out = append(out, block)
		}
	}
	return out, nil
}

// parseLIRS reads a key a line; a star in between marks a phase.
func parseLIRS(data []byte) ([]uint64, error) {
	var out []uint64
	for i, line := range bytes.Split(data, []byte("\n")) {
		word := string(bytes.TrimSpace(line))
		if word == "" || word == "*" {
			continue
		}
		key, err := strconv.ParseUint(word, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		out = append(out, key)
	}
	return out, nil
}

// parseU64BE reads keys of 8 bytes, the highest first.
func parseU64BE(data []byte) ([]uint64, error) {
	if len(data)%8 != 0 {
		return nil, fmt.Errorf("%d bytes are no whole keys", len(data))
	}
	out := make([]uint64, 0, len(data)/8)
	for ; len(data) > 0; data = data[8:] {
		out = append(out, binary.BigEndian.Uint64(data))
	}
	return out, nil
}

// Zipf is n requests of keys whose popularity falls with the power s of their rank, drawn
// from a seed.
func Zipf(s float64, keys, n int, seed uint64) *Trace {
	sums := make([]float64, keys)
	sum := 0.0
	for i := range sums {
		sum += math.Pow(float64(i+1), -s)
		sums[i] = sum
	}
	r := rand.New(rand.NewPCG(seed, 1))
	requests := make([]uint64, n)
	for i := range requests {
		requests[i] = uint64(sort.SearchFloat64s(sums, r.Float64()*sum))
	}
	return newTrace(fmt.Sprintf("zipf-%.1f", s), requests)
}

// Clients is the trace played by n clients in step, each with keys of its own. A cache n
// times as large has the same hit ratio under LRU; a trace of a thousand keys becomes one
// that fills a store of many shards.
func (t *Trace) Clients(n int) *Trace {
	out := &Trace{Name: fmt.Sprintf("%s-x%d", t.Name, n), Keys: t.Keys * n, Requests: make([]uint32, 0, len(t.Requests)*n)}
	for _, key := range t.Requests {
		for client := range n {
			out.Requests = append(out.Requests, uint32(client*t.Keys)+key)
		}
	}
	return out
}
