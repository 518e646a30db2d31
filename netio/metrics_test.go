package netio

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"keyframe/codec"
	"keyframe/engine"
	"keyframe/engine/journal"
)

// measured are Stats in which every number is different, so that none can be taken for
// another unnoticed.
func measured() *Stats {
	counters := func(base uint64) Counters {
		n := Counters{
			Frames: base + 1, Queries: base + 2, BytesIn: base + 3, BytesOut: base + 4, BatchOps: base + 5,
			Squeezed:  base + 7,
			CutOff:    base + 8,
			ApplyTime: time.Duration(base) * 1_234_567,
		}
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
	st := &Stats{
		Conns: 31, ConnsTotal: 1 << 63, ConnsRefused: 33, SlowConsumers: 34, AcceptErrors: 35,
		Loops:   []LoopStats{{11, counters(1000)}, {20, counters(2000)}},
		Keys:    10_000_000,
		Store:   engine.Stats{Shards: 512, ReservedBytes: 1 << 40, LiveBytes: 42, FreeBytes: 43, IndexBytes: 44, Evicted: 45},
		Uptime:  90*time.Second + 999*time.Millisecond,
		Version: `9.8.7 "<&>"`,

		InputBytes: 51, OutputBytes: 52, MaxBufferBytes: 53, RestBytes: 54,
	}
	st.TLS = TLSStats{Handshakes: [2]uint64{61, 62}, Resumed: 63, Shaking: 64}
	for i := range st.TLS.Failures {
		st.TLS.Failures[i] = uint64(70 + i)
	}
	for i := range st.Loops {
		st.Total.add(&st.Loops[i].Counters)
	}
	return st
}

// TestServerInfoText: members, their order and how numbers are written are what
// clients parse today. Commands are listed as there are any.
func TestServerInfoText(t *testing.T) {
	var commands []string
	for op := range codec.Opcodes() {
		commands = append(commands, fmt.Sprintf(`"%s":%d`, op, 3200+2*int(op)))
	}
	want := `{"SERVER_INFO_RSP":{"st":0,"keyCnt":10000000,"qryCnt":3004,"version":"9.8.7 \"<&>\"","uptimeSeconds":90,"loops":2,"shards":512,` +
		`"storeBytes":1099511627776,"evicted":45,"inputBytes":51,"outputBytes":52,"maxBufferBytes":53,"restBytes":54,"connsNow":31,"connsTotal":9223372036854775808,"connsRefused":33,"slowConsumers":34,"squeezed":3014,"cutOff":3016,"acceptErrors":35,` +
		`"tlsHandshakes":{"1.2":61,"1.3":62},"tlsResumed":63,"tlsShaking":64,"tlsFailures":{"not_tls":70,"version":71,"parameters":72,"certificate":73,` +
		`"rejected":74,"timeout":75,"busy":76,"closed":77,"other":78,"record":79,"truncated":80},` +
		`"frames":3002,"bytesIn":3006,"bytesOut":3008,"commands":{` + strings.Join(commands, ",") + `},` +
		`"errors":{"syntax":3400,"not_one_command":3402,"unknown_command":3404,"argument_type":3406,"key_length":3408,"value_type":3410,` +
		`"out_of_memory":3412,"value_differs":3414,"not_an_integer":3416,"denied":3418,"unavailable":3420,"upgrade":3422,"protocol":3424,` +
		`"unsupported":3426,"invalid_text":3428,"too_big":3430,"handshake_timeout":3432,"idle_timeout":3434,"unauthenticated":3436,"revoked":3438},"batches":43332,"batchOps":3010,"batchSizes":[3600,3602,3604,3606,3608,3610,3612,3614,3616,3618,3620,3622],` +
		`"applySeconds":3.703701,"unsyncedMs":`
	st := measured()
	if got := string(codec.AppendMembers(nil, codec.OpServerInfo, infoMembers(st))); got != want+"0}}" {
		t.Errorf("got  %s\nwant %s", got, want+"0}}")
	}
	st.Journal = &journal.Stats{UnsyncedAge: 81_999 * time.Microsecond}
	want += "81}}"
	if got := string(codec.AppendMembers(nil, codec.OpServerInfo, infoMembers(st))); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestMetricsAreWhole: each metric has a name, a help text and what its kind needs, and no
// name occurs twice. Names end as Prometheus wants them.
func TestMetricsAreWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range Metrics() {
		name := m.Name + "/" + m.Info
		for _, n := range []string{"keyframe_" + m.Name, m.Info} {
			if n != "keyframe_" && n != "" && seen[n] {
				t.Errorf("%s is there twice", n)
			}
			seen[n] = true
		}
		if !strings.HasSuffix(m.Help, ".") {
			t.Errorf("%s: its text is no sentence: %q", name, m.Help)
		}
		if (m.Name == "") != (m.Kind == KindFact) || m.Name == "" && m.Info == "" {
			t.Errorf("%s: a fact has no name, and all else has one", name)
		}
		if m.Info != "" && m.InfoValue == nil {
			t.Errorf("%s: there is no value for SERVER_INFO", name)
		}
		if (m.Kind == KindHistogram) != (m.Histogram != nil) || (m.Kind == KindCounter || m.Kind == KindGauge) != (m.Samples != nil) {
			t.Errorf("%s: its values are not of its kind", name)
		}
		if strings.HasSuffix(m.Name, "_total") != (m.Kind == KindCounter) {
			t.Errorf("%s: a counter's name ends in _total, and no other", name)
		}
	}
}

// TestReadmeListsTheMetrics: the README's table is this list.
func TestReadmeListsTheMetrics(t *testing.T) {
	const head = "| `/metrics`: `keyframe_` and | `SERVER_INFO` | |\n|---|---|---|\n"
	cell := func(name string) string {
		if name == "" {
			return ""
		}
		return "`" + name + "`"
	}
	var table strings.Builder
	for _, m := range Metrics() {
		name := m.Name
		if m.Label != "" {
			name += "{" + m.Label + "}"
		}
		fmt.Fprintf(&table, "| %s | %s | %s |\n", cell(name), cell(m.Info), m.Help)
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, got, found := strings.Cut(string(readme), head)
	got, _, _ = strings.Cut(got, "\n\n")
	if want := strings.TrimSuffix(table.String(), "\n"); !found || got != want {
		t.Errorf("the README has\n%s%s\nwant\n%s%s", head, got, head, want)
	}
}
