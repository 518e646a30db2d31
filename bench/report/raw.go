// Package report writes the tables and plots of BENCHMARKS.md from the raw files
// that bench/figures leaves in bench/results/figures.
//
// The document is prose, by hand, with blocks between
//
//	<!-- begin NAME -->
//	<!-- end NAME -->
//
// that Write replaces. Check reports whether document, plots and raw files agree, and
// whether all raw files are of one revision; a test of this package calls it for the ones
// in the tree, so figures can't be edited or left behind.
package report

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/perf/benchfmt"
)

// point is one measurement with all its runs.
type point struct {
	section string
	bench   string            // without "Benchmark"
	labels  map[string]string // of the name, and the configuration "percent"
	name    string
	values  map[string][]float64 // by unit
}

// raw is all that was measured.
type raw struct {
	heads  map[string]map[string]string // by section: revision, cpu, …
	files  map[string]string            // by section: the file's name
	points []*point
	growth []sample // the time line of an insert
}

// sample is a row of a time line.
type sample struct{ seconds, keys, keysPerSecond, p99 float64 }

// TimelineKey is the line of growth's raw file that says which round's time line was kept.
const TimelineKey = "timeline"

// headKeys are the lines of a raw file's head.
var headKeys = []string{"revision", "date", "cpu", "cores", "memory", "kernel", "go", "gogc", "thp", "pinned", "load"}

// read reads the raw files of dir.
func read(dir string) (*raw, error) {
	r := &raw{heads: map[string]map[string]string{}, files: map[string]string{}}
	paths, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		if err := r.file(path); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	paths, err = filepath.Glob(filepath.Join(dir, "*-growth.csv"))
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		if r.growth, err = timeline(path); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return r, nil
}

func (r *raw) file(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() // it was only read
	reader := benchfmt.NewReader(f, path)
	byName := map[string]*point{}
	for reader.Scan() {
		result, ok := reader.Result().(*benchfmt.Result)
		if !ok {
			if bad, ok := reader.Result().(*benchfmt.SyntaxError); ok {
				return bad
			}
			continue
		}
		section := result.GetConfig("section")
		if section == "" {
			return errors.New("no section in its head")
		}
		if section == hitRatios {
			r.files[section] = filepath.Base(path)
		} else if _, ok := r.heads[section]; !ok {
			head := map[string]string{}
			for _, key := range headKeys {
				head[key] = result.GetConfig(key)
			}
			r.heads[section], r.files[section] = head, filepath.Base(path)
		} else if r.files[section] != filepath.Base(path) {
			return fmt.Errorf("section %s is in %s too", section, r.files[section])
		}
		if timeline := result.GetConfig(TimelineKey); timeline != "" {
			r.heads[section][TimelineKey] = timeline // known when the rounds are over
		}
		base, parts := result.Name.Parts()
		labels := map[string]string{}
		for _, part := range parts {
			if key, value, ok := strings.Cut(strings.TrimPrefix(string(part), "/"), "="); ok {
				labels[key] = value
			} else if procs, ok := strings.CutPrefix(string(part), "-"); ok {
				labels["procs"] = procs
			}
		}
		percent := result.GetConfig("percent")
		if percent != "" {
			labels["percent"] = percent
			delete(labels, "rate") // it follows from the capacity of the day
		}
		var id strings.Builder
		id.Write(base)
		for _, key := range slices.Sorted(maps.Keys(labels)) {
			fmt.Fprintf(&id, "/%s=%s", key, labels[key])
		}
		p := byName[id.String()]
		if p == nil {
			p = &point{section: section, bench: string(base), labels: labels, name: result.Name.String(), values: map[string][]float64{}}
			byName[id.String()] = p
			r.points = append(r.points, p)
		}
		for _, v := range result.Values {
			unit, value := v.Unit, v.Value
			if v.OrigUnit != "" {
				unit, value = v.OrigUnit, v.OrigValue
			}
			p.values[unit] = append(p.values[unit], value)
		}
	}
	return reader.Err()
}

func timeline(path string) ([]sample, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // it was only read
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, errors.New("no head")
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	var samples []sample
	keys := 0.0
	for _, row := range rows[1:] {
		values := [4]float64{}
		for i, name := range []string{"end-s", "keys", "keys/s", "p99-ns"} {
			at, ok := column[name]
			if !ok {
				return nil, fmt.Errorf("no column %s", name)
			}
			if values[i], err = strconv.ParseFloat(row[at], 64); err != nil {
				return nil, err
			}
		}
		keys += values[1]
		samples = append(samples, sample{values[0], keys, values[2], values[3]})
	}
	return samples, nil
}

// Dirty ends the revision of raw files that were measured in a tree with changes.
const Dirty = "-dirty"

// revision is that of all files. It is an error when they are of several, or of a tree with
// changes, which is no revision that others can check out.
func (r *raw) revision() (string, error) {
	revisions := map[string][]string{}
	for section, head := range r.heads {
		revisions[head["revision"]] = append(revisions[head["revision"]], section)
	}
	switch len(revisions) {
	case 0:
		return "", errors.New("no raw files")
	case 1:
		for revision := range revisions {
			if strings.HasSuffix(revision, Dirty) {
				return "", fmt.Errorf("the raw files are of %s, a tree with changes: measure a revision", revision)
			}
			return revision, nil
		}
	}
	return "", fmt.Errorf("the raw files are of several revisions: %v", revisions)
}

// find returns the point of a section with these labels: pairs of key and value.
func (r *raw) find(section, bench string, labels ...string) *point {
	for _, p := range r.points {
		if p.section == section && p.bench == bench && p.has(labels...) {
			return p
		}
	}
	return nil
}

func (p *point) has(labels ...string) bool {
	for i := 0; i < len(labels); i += 2 {
		if p.labels[labels[i]] != labels[i+1] {
			return false
		}
	}
	return true
}

// labelled returns the different values of a label in a section, in order of
// appearance.
func (r *raw) labelled(section, bench, label string) []string {
	var found []string
	for _, p := range r.points {
		if v, ok := p.labels[label]; ok && p.section == section && p.bench == bench && !slices.Contains(found, v) {
			found = append(found, v)
		}
	}
	return found
}

// median of a unit's values; 0, false when there are none.
func (p *point) median(unit string) (float64, bool) {
	if p == nil || len(p.values[unit]) == 0 {
		return 0, false
	}
	v := slices.Sorted(slices.Values(p.values[unit]))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2, true
	}
	return v[len(v)/2], true
}

// replaceBlock puts text between the marks of a block.
func replaceBlock(document []byte, name, text string) ([]byte, error) {
	begin, end := []byte("<!-- begin "+name+" -->\n"), []byte("<!-- end "+name+" -->")
	i := bytes.Index(document, begin)
	j := bytes.Index(document, end)
	if i < 0 || j < i || bytes.Count(document, begin) != 1 || bytes.Count(document, end) != 1 {
		return nil, fmt.Errorf("the document has no block %q, or several", name)
	}
	out := append(bytes.Clone(document[:i+len(begin)]), text...)
	return append(out, document[j:]...), nil
}
