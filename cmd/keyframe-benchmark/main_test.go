package main

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

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
		csv, hlog := filepath.Join(dir, "csv"), filepath.Join(dir, "hlog")
		var out, errs bytes.Buffer
		status := run([]string{"-a", addr, "-c", "4", "-d", "3", "-k", "2", "-s", "1000", "-n", "500", "-w", "0", "--distribution", "zipf",
			"--verify", "-f", format, "--name", "mine", "--csv", csv, "--hlog", hlog}, &out, &errs)
		if status != exitOK || !strings.Contains(out.String(), want) || errs.Len() > 0 {
			t.Errorf("%s: status %d\n%s%s", format, status, out.String(), errs.String())
		}
		if format == "json" && !json.Valid(out.Bytes()) {
			t.Error("not JSON")
		}
		for _, path := range []string{csv, hlog} {
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
		{"-n 10 -w 0 --mix get --verify --fill -s 20 --addr " + addr, exitOK, ""},
		{"--addr " + nobody, exitFailure, "refused"},
		{"--resp -n 10 --addr " + addr, exitFailure, "was answered with"},
		{"-n 10 --csv /nonexistent/file --addr " + addr, exitFailure, "no such file"},
		{"--serve-io-limit 203.0.113.1:1", exitFailure, "203.0.113.1"},
	} {
		var out, errs bytes.Buffer
		if status := run(strings.Fields(test.args), &out, &errs); status != test.status || !strings.Contains(errs.String(), test.want) {
			t.Errorf("%s: status %d, want %d; said %q, want %q", test.args, status, test.status, errs.String(), test.want)
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
