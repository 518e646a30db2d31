package report

import (
	"fmt"
	"slices"
	"strings"
)

// layers of the Go suite, from the store outwards.
var layers = []string{"engine", "codec", "netio", "server"}

var layerNames = map[string]string{
	"engine": "engine: a batch",
	"codec":  "codec: decode and answer",
	"netio":  "netio: one connection, one SET in flight",
	"server": "whole server: 32 connections × 16 in flight",
}

// shortNames fit beside a plot.
var shortNames = map[string]string{"engine": "engine, a batch", "codec": "codec", "netio": "netio, one SET in flight", "server": "whole server"}

func (r *raw) suite(bench string, labels ...string) *point { return r.find("suite", bench, labels...) }

// suiteBase are the labels of the points that vary in their keys only. Their store is the
// one that has the most points.
func suiteBase(r *raw) []string {
	most, store := 0, ""
	for _, s := range r.labelled("suite", "Set", "store") {
		n := 0
		for _, p := range r.points {
			if p.section == "suite" && p.labels["store"] == s {
				n++
			}
		}
		if n > most {
			most, store = n, s
		}
	}
	return []string{"mode", "overwrite", "store", store, "val", "20", "dist", "uniform"}
}

func suiteTable(r *raw) string {
	if r.heads["suite"] == nil {
		return missing
	}
	base := suiteBase(r)
	columns := r.labelled("suite", "Set", "keys")
	rows := [][]string{append([]string{"ns a key, keys per SET"}, columns...)}
	for _, layer := range layers {
		row := []string{layerNames[layer]}
		for _, keys := range columns {
			row = append(row, r.suite("Set", append(base, "layer", layer, "keys", keys)...).cell("ns/key", number))
		}
		rows = append(rows, row)
	}
	out := table(rows)

	// Everything else is one change from the base, with ten keys a command.
	var lines []string
	seen := map[string][]string{}
	for _, p := range r.points {
		if p.section != "suite" || p.bench == "Set" && p.has(base...) {
			continue
		}
		what := strings.ToUpper(p.bench)
		if p.bench == "Mixed" {
			what = p.labels["mix"] + " GET/SET"
		}
		if p.labels["mode"] != "overwrite" && p.labels["mode"] != "" {
			what += ", " + p.labels["mode"]
		}
		line := fmt.Sprintf("%s; %s keys in the store, %s-byte values, %s, %s a command", what, count(p.labels["store"]), p.labels["val"], p.labels["dist"], p.labels["keys"])
		if seen[line] == nil {
			lines = append(lines, line)
			seen[line] = make([]string, len(layers))
		}
		seen[line][slices.Index(layers, p.labels["layer"])] = p.cell("ns/key", number)
	}
	rows = [][]string{append([]string{"ns a key"}, layers...)}
	for _, line := range lines {
		row := []string{line}
		for _, cell := range seen[line] {
			if cell == "" {
				cell = "–"
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	return out + "\n" + table(rows)
}
