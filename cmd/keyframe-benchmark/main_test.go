package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"keyframe/bench/load"
	"keyframe/netio"
	"keyframe/netio/netiotest"
)

// serve starts a Keyframe server in this process.
func serve(t *testing.T) (addr string) {
	t.Helper()
	srv, _ := netiotest.Start(t, netio.Options{})
	return srv.Addrs()[0].String()
}

func TestFormats(t *testing.T) {
	addr := serve(t)
	for format, want := range map[string]string{
		"table":     "keys read back and right",
		"json":      `"verified": `,
		"benchmark": "BenchmarkLoad/impl=mine/framing=lines/mix=set/keys=2/depth=3/conns=4/store=1000/val=20/dist=zipf\t",
	} {
		dir := t.TempDir()
		timeline, hlog := filepath.Join(dir, "csv"), filepath.Join(dir, "hlog")
		var out, errs bytes.Buffer
		status := run([]string{"-a", addr, "-c", "4", "-P", "3", "-k", "2", "-r", "1000", "-n", "500", "-w", "0", "--distribution", "zipf",
			"--verify", "-f", format, "--name", "mine", "--timeline", timeline, "--hlog", hlog}, &out, &errs)
		if status != exitOK || !strings.Contains(out.String(), want) || errs.Len() > 0 {
			t.Errorf("%s: status %d\n%s%s", format, status, out.String(), errs.String())
		}
		if format == "json" && !json.Valid(out.Bytes()) {
			t.Error("not JSON")
		}
		for _, path := range []string{timeline, hlog} {
			if text, err := os.ReadFile(path); err != nil || bytes.Count(text, []byte("\n")) < 2 {
				t.Errorf("%s: %q, %v", path, text, err)
			}
		}
	}
}

// TestExitStatus: a failure shows in the message and in the status.
func TestExitStatus(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := ln.Addr().String()
	_ = ln.Close()
	addr := serve(t)
	for _, test := range []struct {
		args   string
		status int
		want   string
	}{
		{"--help", exitOK, ""},
		{"--nonsense", exitUsage, "unknown flag"},
		{"argument", exitUsage, "everything is a flag"},
		{"--keys 0", exitUsage, "--keys must be more than 0"},
		{"--depth 1000001", exitUsage, "depth is 1000001"},
		{"--mix put", exitUsage, "no command"},
		{"--format xml", exitUsage, "--format"},
		{"--name a/b", exitUsage, "want a word"},
		{"--resp --websocket", exitUsage, "exclude each other"},
		{"--requests 1 --duration 1s", exitUsage, "not both"},
		{"--allow-misses", exitUsage, "--allow-misses is for --verify"},
		{"-n 10 -w 0 --mix get --verify --addr " + addr, exitFailure, "10 of 10 keys that were looked up were not there"},
		{"-n 10 -w 0 --mix get --verify --allow-misses --addr " + addr, exitOK, ""},
		{"-n 10 -w 0 --mix get --verify --fill -r 20 --addr " + addr, exitOK, ""},
		{"--addr " + nobody, exitFailure, "refused"},
		{"--memcached -n 10 --addr " + addr, exitFailure, "was answered with"},
		{"-n 10 --timeline /nonexistent/file --addr " + addr, exitFailure, "no such file"},
		{"--serve-io-limit 203.0.113.1:1", exitFailure, "203.0.113.1"},
		{"--serve-io-limit nonsense", exitUsage, "want host:port"},
		{"--addr nonsense", exitUsage, "want host:port"},
		{"--addr 127.0.0.1:99999", exitUsage, "want a port from 1 to 65535"},
		{"--addr unix://relative", exitUsage, "want an absolute path"},
		{"-p lots", exitUsage, "want a port from 1 to 65535"},
		{"-p 0", exitUsage, "want a port from 1 to 65535"},
		{"-h 127.0.0.1/x", exitUsage, "want host:port"},
		{"-h", exitUsage, "flag needs an argument: 'h' in -h"},
		{"-p 1 --addr 127.0.0.1:1", exitUsage, "say the same"},
		{"-t set,ping", exitUsage, `no test "ping"`},
		{"-t set --mix get", exitUsage, "exclude each other"},
		{"-t set,get --timeline x", exitUsage, "of one test"},
		{"-t contains --memcached", exitUsage, "no CONTAINS"},
		{"--mix incr --fill", exitUsage, "INCR counts"},
		{"--mix incr --verify", exitUsage, "can't be verified"},
		{"--version", exitOK, ""},
	} {
		var out, errs bytes.Buffer
		if status := run(strings.Fields(test.args), &out, &errs); status != test.status || !strings.Contains(errs.String(), test.want) {
			t.Errorf("%s: status %d, want %d; said %q, want %q", test.args, status, test.status, errs.String(), test.want)
		}
	}
}

// TestAsRedisBenchmark: its flags mean here what they mean there.
func TestAsRedisBenchmark(t *testing.T) {
	cfg, err := parseFlags(strings.Fields("-h 127.0.0.2 -p 7000 -c 3 -n 500 -d 33 -P 7 -r 1234 -t set,mset,get -q --csv"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	o := cfg.load
	if o.Addr != "127.0.0.2:7000" || o.Conns != 3 || o.Requests != 500 || o.ValueSize != 33 || o.Depth != 7 || o.Space != 1234 || !cfg.quiet || cfg.format != "csv" {
		t.Errorf("%+v", cfg)
	}
	want := []test{{load.Mix{load.Set: 100}, 1}, {load.Mix{load.Set: 100}, 10}, {load.Mix{load.Get: 100}, 1}}
	if !slices.Equal(cfg.tests, want) {
		t.Errorf("tests %v, want %v", cfg.tests, want)
	}
	for args, addr := range map[string]string{
		"": "127.0.0.1:1987", "--websocket": "127.0.0.1:1987", "--resp": "127.0.0.1:6379", "--memcached": "127.0.0.1:11211",
		"--resp -p 6380": "127.0.0.1:6380", "-h ::1": "[::1]:1987", "--resp -a unix:///x": "unix:///x",
	} {
		if cfg, err := parseFlags(strings.Fields(args), io.Discard); err != nil || cfg.load.Addr != addr {
			t.Errorf("%q: %v, %v, want %s", args, cfg, err, addr)
		}
	}

	host, port, err := net.SplitHostPort(serve(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ args, want string }{
		{"-q", `^SET: [\d.]+ requests per second, p50=[\d.]+ msec\nSET \(10 keys\): [^\n]*\nGET: [^\n]*\n$`},
		{"--csv", `^"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"\n` +
			`"SET"(,"\d+\.\d+"){7}\n"SET \(10 keys\)"(,"\d+\.\d+"){7}\n"GET"(,"\d+\.\d+"){7}\n$`},
	} {
		var out, errs bytes.Buffer
		args := append(strings.Fields("-c 4 -n 200 -w 0 -r 100 --fill -t set,mset,get -h "+host+" -p "+port), tt.args)
		status := run(args, &out, &errs)
		if want := regexp.MustCompile(tt.want); status != exitOK || errs.Len() > 0 || !want.Match(out.Bytes()) {
			t.Errorf("%s: status %d, %s\n%s\nwant %s", tt.args, status, errs.String(), out.String(), want)
		}
	}
}

// stores answers a SET as a server does.
func stores(c net.Conn, line []byte) bool {
	_, err := c.Write(netiotest.Stored(line))
	return err == nil
}

// TestPartOfAResult: what was measured before a failure is written, together with the
// failure. Figures for benchstat are not.
func TestPartOfAResult(t *testing.T) {
	for format, want := range map[string]string{"json": `"error": "the server at `, "table": "100 commands", "benchmark": ""} {
		addr := netiotest.Lines(t, func(c net.Conn, n int, line []byte) bool { return n < 100 && stores(c, line) })
		var out, errs bytes.Buffer
		status := run([]string{"-a", addr, "-c", "1", "-n", "1000", "-w", "0", "-f", format}, &out, &errs)
		if status != exitFailure || !strings.Contains(out.String(), want) || want == "" && out.Len() > 0 || !strings.Contains(errs.String(), "ended connection 0") {
			t.Errorf("%s: status %d\n%s%s", format, status, out.String(), errs.String())
		}
	}
}

// TestInterrupt: one SIGINT ends the run with what it has measured.
func TestInterrupt(t *testing.T) {
	addr := netiotest.Lines(t, func(c net.Conn, n int, line []byte) bool {
		if n == 99 {
			if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
				t.Error(err)
			}
		}
		return stores(c, line)
	})
	hgrm := filepath.Join(t.TempDir(), "hgrm")
	var out, errs bytes.Buffer
	status := run([]string{"-a", addr, "-c", "1", "-D", "1h", "-w", "0", "--hgrm", hgrm}, &out, &errs)
	if status != exitInterrupted || !strings.Contains(out.String(), "interrupted") || errs.Len() > 0 {
		t.Errorf("status %d\n%s%s", status, out.String(), errs.String())
	}
	if text, err := os.ReadFile(hgrm); err != nil || !strings.Contains(string(text), "Percentile") {
		t.Errorf("%q, %v", text, err)
	}
}
