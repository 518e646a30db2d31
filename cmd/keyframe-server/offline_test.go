package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestDump: what is dumped is what another server has when it has read it.
func TestDump(t *testing.T) {
	dir := t.TempDir()
	p := startOn(t, dir, "--values", "any")
	s, err := dial(p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	fmt.Fprint(s, `{"SETQ":{"string":"with \u00fc and \"","number":1.0,"nested":{"a":[1,null]},"key \" quoted":"x"}}`+"\n"+`{"SETEXQ":{"ttl":3600000,"pairs":{"expires":true}}}`+"\n"+`{"SETEXQ":{"ttl":1,"pairs":{"is over":true}}}`+"\n")
	if got, err := s.ask(`{"PING":{}}`); err != nil || got != `{"PING_RSP":{"st":0}}` {
		t.Fatal(got, err)
	}
	_ = p.Process.Signal(syscall.SIGTERM)
	p.wait(t)
	status, out, stderr := runToEnd(t, "dump", dir)
	if status != 0 || strings.Count(out, "\n") != 5 {
		t.Fatalf("status %d\n%s%s", status, out, stderr)
	}
	q := start(t, "--listen", "127.0.0.1:0", "--values", "any")
	c, err := dial(q.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, out)
	for key, want := range map[string]string{"string": `"with \u00fc and \""`, "number": "1.0", "nested": `{"a":[1,null]}`, `key \" quoted`: `"x"`, "expires": "true"} {
		if got, err := c.ask(`{"GET":["` + key + `"]}`); err != nil || got != `{"GET_RSP":{"st":0,"`+key+`":`+want+`}}` {
			t.Errorf("%s: %s, %v", key, got, err)
		}
	}
	if got, err := c.ask(`{"TTL":["expires"]}`); err != nil || !strings.HasPrefix(got, `{"TTL_RSP":{"st":0,"expires":35`) {
		t.Errorf("%s, %v", got, err)
	}
	if status, _, _ := runToEnd(t, "dump", filepath.Join(dir, "none")); status != 1 {
		t.Errorf("of nothing: status %d", status)
	}
	if status, _, _ := runToEnd(t, "dump"); status != 2 {
		t.Errorf("without a directory: status %d", status)
	}
}

// TestNoStore: a directory that isn't the one that was meant is no store without keys.
func TestNoStore(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"check", dir}, {"dump", dir}, {"copy", dir, filepath.Join(t.TempDir(), "to")}} {
		if status, out, stderr := runToEnd(t, args...); status != 1 || out != "" || !strings.Contains(stderr, dir) {
			t.Errorf("%s: status %d, %q, %s", args[0], status, out, stderr)
		}
	}
	p := startOn(t, dir) // one that a server has begun with is, however
	p.kill()
	if status, out, stderr := runToEnd(t, "check", dir); status != 0 || !strings.Contains(out, "keys      0,") {
		t.Errorf("new: status %d, %s%s", status, out, stderr)
	}
}

// TestDamagedSnapshot: a server starts on the snapshot before one that is damaged; what looks at the
// directory tells a script that it is.
func TestDamagedSnapshot(t *testing.T) {
	dir := t.TempDir()
	p := startOn(t, dir)
	for i := range 2 {
		mustAsk(t, p.addr, fmt.Sprintf(`{"SET":{"number-%d":%d}}`, i, i))
		mustAsk(t, p.addr, `{"SAVE":{}}`)
	}
	p.kill()
	snapshots, _ := filepath.Glob(filepath.Join(dir, "snapshot-*"))
	if len(snapshots) != 2 {
		t.Fatal(snapshots)
	}
	damage(t, snapshots[1], "number-1")
	for _, args := range [][]string{{"check", dir}, {"copy", dir, filepath.Join(t.TempDir(), "to")}} {
		status, out, stderr := runToEnd(t, args...)
		if status != 1 || !strings.Contains(out, "damaged ") || !strings.Contains(out, "journal ") || !strings.Contains(stderr, "stands in") {
			t.Errorf("%s: status %d, %s%s", args[0], status, out, stderr)
		}
	}
	p = startOn(t, dir)
	if got := mustAsk(t, p.addr, `{"COUNT":{}}`); got != `{"COUNT_RSP":{"st":0,"cnt":2}}` {
		t.Errorf("it has %s", got)
	}
}
