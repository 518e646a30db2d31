package report

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// ratios is a raw file of hit ratios: for each policy ten more than for the one before.
func ratios(revision string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "section: eviction\nrevision: %s\n", revision)
	for t, trace := range []string{"first", "second"} {
		for i, policy := range policies {
			fmt.Fprintf(&b, "BenchmarkHitRatio/trace=%s/percent=10/keys=%d/policy=%s-2 1 9 ns/op %d.125 hit-%%\n", trace, 100+t, policy.label, 10*i+t)
		}
	}
	return b.String()
}

// TestHitRatios: their table and their plot are of the raw file, whose revision is its own.
func TestHitRatios(t *testing.T) {
	document, dir := written(t, map[string]string{"a-keys.txt": rawFile("r1", "keys"), "b-eviction.txt": ratios("r0")})
	requireTexts(t, document,
		"| first | 10 (100) | 0.12 | 10.12 | 20.12 | 30.12 | 40.12 | 50.12 |\n", "| second | 10 (101) | 1.12 |",
		"| mean |  | 0.62 | 10.62 | 20.62 | 30.62 | 40.62 | 50.62 |\n", "(bench/results/figures/b-eviction.txt)", "`r1`",
	)
	requireTexts(t, filepath.Join(dir, plotDir, "eviction.svg"), "first", "second", "optimum", "SIEVE")
}
