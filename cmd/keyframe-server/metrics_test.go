package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"keyframe/codec"
	"keyframe/engine"
	"keyframe/netio"
	"keyframe/netio/access"
)

// measured are numbers that no two metrics share.
type measured struct{}

func (measured) Stats() netio.Stats {
	counters := func(base uint64) netio.Counters {
		n := netio.Counters{Frames: base + 1, Queries: base + 2, BytesIn: base + 3, BytesOut: base + 4, BatchOps: base + 5, Squeezed: base + 7, CutOff: base + 8, ApplyTime: time.Duration(base) * time.Microsecond}
		for i := range n.Commands {
			n.Commands[i] = base + 100 + uint64(i)
		}
		for i := range n.Errors {
			n.Errors[i] = base + 200 + uint64(i)
		}
		for i := range n.BatchSizes {
			n.BatchSizes[i] = base + 300 + uint64(i)
		}
		return n
	}
	tls := netio.TLSStats{Handshakes: [2]uint64{61, 62}, Resumed: 63, Shaking: 64, CertificateEnd: time.Unix(1_700_000_000, 0)}
	for i := range tls.Failures {
		tls.Failures[i] = uint64(70 + i)
	}
	return netio.Stats{
		Conns: 31, ConnsTotal: 32, ConnsRefused: 33, SlowConsumers: 34, AcceptErrors: 35,
		Loops:  []netio.LoopStats{{Conns: 11, Counters: counters(1000)}, {Conns: 20, Counters: counters(2000)}},
		Total:  counters(3000),
		Keys:   10_000_000,
		Store:  engine.Stats{Shards: 512, ReservedBytes: 1 << 40, LiveBytes: 42, FreeBytes: 43, IndexBytes: 44, Evicted: 45},
		Uptime: 90*time.Second + 999*time.Millisecond,

		InputBytes: 51, OutputBytes: 52, MaxBufferBytes: 53, RestBytes: 54,

		TLS:    tls,
		Access: &access.Stats{Users: 61, Waiting: 62, Hashes: 63, Logins: [access.NumMethods]uint64{71, 72, 73}, Refused: [access.NumReasons]uint64{81, 82, 83, 84}},
	}
}

// TestMetrics: names, texts, types, labels and values are those that dashboards know.
// Commands are listed as there are any.
func TestMetrics(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(newServerCollector(measured{}))
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	text, err := os.ReadFile("testdata/metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	for op := range codec.Opcodes() {
		commands = append(commands, fmt.Sprintf("keyframe_commands_total{command=%q} %d\n", op, 3100+int(op)))
	}
	slices.Sort(commands)
	want := strings.Replace(string(text), "COMMANDS\n", strings.Join(commands, ""), 1)
	if got := answer.Body.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
