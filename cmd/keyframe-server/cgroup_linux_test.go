package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyframe/engine"
)

// memoryGroup makes a control group that may have so much memory, of version 2 or 1, and
// returns the file that takes its processes. It skips where there can't be one.
func memoryGroup(t *testing.T, bytes int) (procs string) {
	t.Helper()
	var why []string
	for _, v := range []struct{ root, limit string }{
		{"/sys/fs/cgroup", "memory.max"},
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
	} {
		dir := filepath.Join(v.root, fmt.Sprintf("keyframe-test-%d", os.Getpid()))
		if err := os.Mkdir(dir, 0o755); err != nil {
			why = append(why, err.Error())
			continue
		}
		t.Cleanup(func() { _ = os.Remove(dir) })                               // runs when the processes have ended
		limit, err := os.OpenFile(filepath.Join(dir, v.limit), os.O_WRONLY, 0) // which the kernel has made, or not
		if err == nil {
			_, err = fmt.Fprint(limit, bytes)
			_ = limit.Close()
		}
		if err != nil {
			why = append(why, err.Error())
			_ = os.Remove(dir)
			continue
		}
		return filepath.Join(dir, "cgroup.procs")
	}
	t.Skipf("a control group with a limit on memory can't be made here: %s", strings.Join(why, "; "))
	return ""
}

// TestContainerIsFilled: in a control group of 300 MB, with --max-memory auto, a fill ends
// in status 14, and clients that read nothing and half lines beside it end as slow
// consumers. The kernel kills nothing.
func TestContainerIsFilled(t *testing.T) {
	if !engine.OffHeap {
		t.Skip("the store of this build is on Go's heap")
	}
	procs := memoryGroup(t, 300e6)
	cmd := exec.Command("sh", "-c", `echo $$ > "$1" && exec "$2" --listen 127.0.0.1:0 --max-memory auto`, "sh", procs, binary)
	p := startCommand(t, cmd)
	t.Cleanup(func() { // before the group is removed
		p.kill()
	})
	dial := func() (net.Conn, *bufio.Reader) {
		c, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatalf("%v: %s", err, p.stderr)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(2 * patience))
		return c, bufio.NewReader(c)
	}
	fill, answers := dial()
	value := strings.Repeat("v", 64<<10)
	full := make(chan error, 1)
	go func() {
		line, err := answers.ReadString('\n')
		if err == nil && !strings.Contains(line, `{"SETQ_RSP":{"st":14,`) && !strings.Contains(line, `"st":14`) {
			err = fmt.Errorf("it answers %.200q", line)
		}
		full <- err
		_, _ = io.Copy(io.Discard, answers)
	}()
	stored := 0
	for ended := false; !ended; stored++ {
		if _, err := fmt.Fprintf(fill, `{"SETQ":{"key:%09d":"%s"}}`+"\n", stored, value); err != nil {
			t.Fatalf("after %d values: %v: %s", stored, err, p.stderr)
		}
		select {
		case err := <-full:
			if err != nil {
				t.Fatalf("after %d values: %v: %s", stored, err, p.stderr)
			}
			ended = true
		default:
		}
	}
	if bytes := stored * len(value); bytes < 120e6 || bytes > 250e6 {
		t.Errorf("%d MB were stored", bytes/1e6)
	}
	for i := range 40 {
		c, _ := dial()
		input := strings.Repeat(fmt.Sprintf("{\"GET\":[\"key:%09d\"]}\n", i), 400)
		if i%2 == 0 {
			input = strings.Repeat("[", 15<<20)
		}
		go func() { _, _ = io.WriteString(c, input) }()
	}
	p.waitForLog(t, "cutting a connection off", 1)
	c, r := dial()
	_, _ = io.WriteString(c, "{\"COUNT\":{}}\n{\"SET\":{\"key:000000000\":\"new\"}}\n")
	for _, want := range []string{`{"COUNT_RSP":{"st":0,"cnt":`, `{"SET_RSP":{"st":2,`} {
		if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, want) {
			t.Fatalf("%q, %v: %s", line, err, p.stderr)
		}
	}
}
