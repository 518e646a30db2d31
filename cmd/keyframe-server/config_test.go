package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// write makes a file of a text and returns its path.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keyframe.toml")
	rewrite(t, path, text)
	return path
}

// rewrite has a file hold a text and nothing else.
func rewrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestLayers: flags before the environment before the file before the defaults.
func TestLayers(t *testing.T) {
	file := write(t, `
listen = ["127.0.0.1:1", "unix:///s"]
max-conns = 1
max-output = "1MiB"
max-frame = 65536
values = "any"
idle-timeout = "1m"
`)
	environ := []string{
		"PATH=/bin", "KEYFRAME_CONFIG=" + file, "KEYFRAME_MAX_CONNS=2", "KEYFRAME_MAX_OUTPUT=2MiB", "KEYFRAME_LISTEN=127.0.0.1:2, 127.0.0.1:3",
		// Those are Kubernetes's, for a service that is called keyframe.
		"KEYFRAME_PORT=tcp://10.0.0.1:1987", "KEYFRAME_SERVICE_HOST=10.0.0.1", "KEYFRAME_PORT_1987_TCP_ADDR=10.0.0.1",
	}
	cfg, err := parseFlags([]string{"--max-conns", "3"}, environ, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	o := cfg.server
	if o.MaxConns != 3 || o.MaxOutputBytes != 2<<20 || o.MaxFrameBytes != 65536 || !o.AnyValues || o.IdleTimeout != time.Minute || o.Loops != 0 {
		t.Errorf("%+v", o)
	}
	if got := fmt.Sprint(o.Listen); got != "[127.0.0.1:2 127.0.0.1:3]" {
		t.Errorf("listen is %s", got)
	}
	want := sources{
		"max-conns": "--max-conns", "max-output": "environment variable KEYFRAME_MAX_OUTPUT", "listen": "environment variable KEYFRAME_LISTEN",
		"max-frame": file + ": max-frame", "values": file + ": values", "idle-timeout": file + ": idle-timeout",
	}
	if fmt.Sprint(cfg.from) != fmt.Sprint(want) {
		t.Errorf("they come from\n%v, not\n%v", cfg.from, want)
	}
	if cfg, err = parseFlags([]string{"--config", write(t, "max-conns = 4")}, environ, io.Discard); err != nil || cfg.server.MaxFrameBytes == 65536 {
		t.Errorf("a file that --config names stands for KEYFRAME_CONFIG's: %v", err)
	}
}

func TestFaultyLayers(t *testing.T) {
	for _, tt := range []struct{ file, environ, want string }{
		{"max-memroy = 1", "", "max-memroy: no such option (max-memory?)"},
		{"something-of-its-own = 1", "", "something-of-its-own: no such option"},
		{"[limits]\nmax-conns = 1", "", "limits.max-conns: no such option (max-conns?)"},
		{"max-conns = [1]", "", "max-conns: want a int"},
		{"max-conns = 1.5", "", "max-conns: want a int"},
		{"max-conns = \"lots\"", "", "max-conns: "},
		{"max-frame = \"lots\"", "", "max-frame: want a size such as 16MiB"},
		{"max-conns = -1", "", "--max-conns is -1, want 1 to"},
		{"max-conns = 0", "", "--max-conns must be more than 0"},
		{"version = true", "", "version: no such option"},
		{"config = \"x\"", "", "config: no such option"},
		{"pprof = \"6060\"", "", "pprof: no such option"},
		{"max-conns", "", "toml: "},
		{"", "KEYFRAME_MAX_CONN=1", "environment variable KEYFRAME_MAX_CONN: no such option (max-conns?)"},
		{"", "KEYFRAME_LOOPS=all", "environment variable KEYFRAME_LOOPS: "},
		{"", "KEYFRAME_VERSION=true", "environment variable KEYFRAME_VERSION: no such option"},
		{"", "KEYFRAME_CONFIG=/no/such/file", "no such file"},
	} {
		var args []string
		if tt.file != "" {
			args = []string{"--config", write(t, tt.file)}
		}
		if _, err := parseFlags(args, []string{tt.environ}, io.Discard); err == nil || !strings.Contains(oneLine(err), tt.want) {
			t.Errorf("%q %q: %v, want %q", tt.file, tt.environ, err, tt.want)
		}
	}
	file := write(t, "a-b-c-d-e-f = 1\nmax-conns = \"x\"")
	if _, err := parseFlags([]string{"--config", file}, []string{"KEYFRAME_LOOPS=x"}, io.Discard); err == nil || strings.Count(oneLine(err), "; ") != 2 {
		t.Errorf("three faults at once: %v", err)
	}
}

// TestNearest: an unknown option's error has a hint only at a name that is like it.
func TestNearest(t *testing.T) {
	for name, want := range map[string]string{"userz": "users", "uzzrs": "users", "uszzz": "", "something-of-its-own": ""} {
		hint := ""
		if want != "" {
			hint = " (" + want + "?)"
		}
		_, err := parseFlags([]string{"--config", write(t, name+" = 1")}, nil, io.Discard)
		if err == nil || !strings.HasSuffix(oneLine(err), name+": no such option"+hint) {
			t.Errorf("%s: %v, want the hint %q", name, err, hint)
		}
	}
}

// TestZeros: options that can't be 0 don't take it for the default, wherever it comes from.
func TestZeros(t *testing.T) {
	for _, name := range []string{"min-key", "max-frame", "max-conns", "max-output", "max-buffers", "ping-interval", "handshake-timeout", "output-timeout"} {
		zero := "0"
		if strings.HasSuffix(name, "-timeout") || name == "ping-interval" {
			zero = "0s"
		}
		for _, layer := range []struct{ args, environ []string }{{args: []string{"--" + name, zero}}, {environ: []string{envName(name) + "=" + zero}}} {
			if _, err := parseFlags(layer.args, layer.environ, io.Discard); err == nil || !strings.Contains(err.Error(), "--"+name+" must be more than 0") {
				t.Errorf("%v %v: %v", layer.args, layer.environ, err)
			}
		}
	}
	if _, err := parseFlags([]string{"--admin", ""}, nil, io.Discard); err == nil || !strings.Contains(err.Error(), "--admin") {
		t.Errorf("an empty --admin: %v", err)
	}
	if cfg, err := parseFlags([]string{"--config", write(t, `admin = ""`)}, nil, io.Discard); err != nil || cfg.admin != "" {
		t.Errorf("an empty admin in a file, which means off: %v", err)
	}
}

// TestMinKey: what is said of keys' lengths counts for Redis's clients too, wherever it is said;
// what isn't doesn't.
func TestMinKey(t *testing.T) {
	for _, tt := range []struct {
		args, environ []string
		want          int
	}{
		{nil, nil, 0},
		{[]string{"--min-key", "8"}, nil, 8},
		{nil, []string{"KEYFRAME_MIN_KEY=8"}, 8},
		{[]string{"--config", write(t, "min-key = 8")}, nil, 8},
	} {
		cfg, err := parseFlags(tt.args, tt.environ, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if got := cfg.server.MinKeyChars; got != tt.want {
			t.Errorf("%v %v: %d, want %d", tt.args, tt.environ, got, tt.want)
		}
	}
}

// TestComment: a comment's lines are full, and not longer than 90 characters.
func TestComment(t *testing.T) {
	words := func(n int) string { return "#" + strings.Repeat(" word", n) }
	if got, want := comment(strings.Repeat("word ", 40)), words(17)+"\n"+words(17)+"\n"+words(6); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// TestConfigPrint: what print and sample print are files that mean the same.
func TestConfigPrint(t *testing.T) {
	run := func(args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if status := runConfig(args, []string{"KEYFRAME_MAX_OUTPUT=3MiB"}, &out, &errs); status != exitOK || errs.Len() > 0 {
			t.Fatal(args, status, errs.String())
		}
		return out.String()
	}
	args := []string{"--listen", "127.0.0.1:1", "-l", "unix:///a b", "--loops", "2", "--max-frame", "1MiB", "--idle-timeout", "90s", "--values", "any", "--log-level", "warn", "--admin", "6060"}
	printed := run(append([]string{"print"}, args...)...)
	for _, line := range []string{
		"listen = [\"127.0.0.1:1\", \"unix:///a b\"]  # --listen\n",
		"max-output = \"3.0 MiB\"  # environment variable KEYFRAME_MAX_OUTPUT\n",
		"max-conns = 10000  # default\n",
		"strict-text = false  # default\n",
		"idle-timeout = \"1m30s\"  # --idle-timeout\n",
	} {
		if !strings.Contains(printed, line) {
			t.Errorf("lacks %q:\n%s", line, printed)
		}
	}
	if strings.Contains(printed, "version") || strings.Contains(printed, "config") {
		t.Errorf("has what is only a flag:\n%s", printed)
	}
	again := run("print", "--config", write(t, printed))
	uncommented := func(text string) (lines string) {
		for line := range strings.Lines(text) {
			line, _, _ = strings.Cut(line, "  # ")
			lines += strings.TrimSpace(line) + "\n"
		}
		return lines
	}
	if uncommented(again) != uncommented(printed) {
		t.Errorf("read back:\n%s\nbefore:\n%s", again, printed)
	}

	sample := run("sample")
	var bare string
	for line := range strings.Lines(sample) {
		if name, ok := strings.CutPrefix(line, "# "); ok && strings.Contains(line, " = ") {
			bare += name
		}
	}
	defaults, err := parseFlags([]string{"--config", write(t, bare)}, nil, io.Discard)
	if err != nil {
		t.Fatalf("%v:\n%s", err, bare)
	}
	n := 0
	options(defaults.flags, func(f *pflag.Flag) {
		if n++; f.Value.String() != f.DefValue {
			t.Errorf("%s is %s in the sample, and by default %s", f.Name, f.Value, f.DefValue)
		}
	})
	if n != len(defaults.from) {
		t.Errorf("%d options, of which %d are in the sample", n, len(defaults.from))
	}
	if got := strings.Count(strings.ReplaceAll(sample, "\n# ", " "), "SIGHUP changes it."); got != len(reloadable) {
		t.Errorf("SIGHUP changes %d options, the sample says so of %d", len(reloadable), got)
	}
	for line := range strings.Lines(sample) {
		if len(line) > 91 && !strings.Contains(line, " = ") {
			t.Errorf("a long line: %s", line)
		}
	}
}

func TestConfigCommand(t *testing.T) {
	for _, tt := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"config", "check"}, exitOK, "the configuration is right"},
		{[]string{"config", "check", "--loops", "-1"}, exitUsage, "--loops"},
		{[]string{"config", "check", "--config", "/no/such/file"}, exitUsage, "no such file"},
		{[]string{"config"}, exitUsage, "check, print or sample"},
		{[]string{"config", "show"}, exitUsage, "check, print or sample"},
		{[]string{"config", "--help"}, exitOK, "Usage: keyframe-server config"},
	} {
		var out bytes.Buffer
		if status := run(tt.args, nil, &out, &out); status != tt.status || !strings.Contains(out.String(), tt.want) {
			t.Errorf("%v: %d, %s", tt.args, status, &out)
		}
	}
}

// TestReadmeListsTheOptions: the README's table is made of the flags.
func TestReadmeListsTheOptions(t *testing.T) {
	const head = "| option | default | |\n|---|---|---|\n"
	cfg, err := parseFlags(nil, nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	options(cfg.flags, func(f *pflag.Flag) {
		word, what := pflag.UnquoteUsage(f)
		if word == "stringArray" {
			word = "text"
		}
		if f.Annotations[atHangUp] != nil {
			what += " ↻"
		}
		def := ""
		if f.DefValue != "" && f.DefValue != "[]" {
			def = "`" + strings.Trim(f.DefValue, "[]") + "`"
		}
		fmt.Fprintf(&table, "| `--%s` %s | %s | %s |\n", f.Name, strings.ReplaceAll(word, "|", `\|`), def, what)
	})
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, got, found := strings.Cut(string(readme), head)
	got, _, _ = strings.Cut(got, "\n\n")
	if want := strings.TrimSuffix(table.String(), "\n"); !found || got != want {
		t.Errorf("the README has\n%s%s\nwant\n%s%s", head, got, head, want)
	}
}
