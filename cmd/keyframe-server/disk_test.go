package main_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the random tests; 0 draws one")

func newSeed(t *testing.T) uint64 {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("-seed %d", seed)
		}
	})
	return seed
}

// session is a connection that speaks lines.
type session struct {
	net.Conn
	in *bufio.Reader
}

func dial(addr string) (*session, error) {
	nc, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	_ = nc.SetDeadline(time.Now().Add(patience))
	return &session{nc, bufio.NewReader(nc)}, nil
}

// ask sends a line and returns the answer's.
func (s *session) ask(line string) (string, error) {
	if _, err := io.WriteString(s, line+"\n"); err != nil {
		return "", err
	}
	answer, err := s.in.ReadString('\n')
	return strings.TrimSpace(answer), err
}

func mustAsk(t *testing.T, addr, line string) string {
	t.Helper()
	s, err := dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	answer, err := s.ask(line)
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return answer
}

func startOn(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	return start(t, append([]string{"--listen", "127.0.0.1:0", "--data-dir", dir}, args...)...)
}

// writer is a client that counts up the values of its own keys, and remembers what was
// answered.
type writer struct {
	known map[string]int // acknowledged
	tried map[string]int // the last that was sent
}

// run sends commands of several kinds until the connection breaks, several at a time.
func (w *writer) run(t *testing.T, addr, name string, r *rand.Rand) {
	s, err := dial(addr)
	if err != nil {
		return // the server is gone already
	}
	defer s.Close()
	for {
		var out bytes.Buffer
		var sent []map[string]int
		for range 1 + r.IntN(8) {
			pairs := map[string]int{}
			for range 1 + r.IntN(6) {
				key := fmt.Sprintf("%s-key-%d", name, r.IntN(50))
				w.tried[key]++
				pairs[key] = w.tried[key]
			}
			text, _ := json.Marshal(pairs)
			fmt.Fprintf(&out, "{\"SET\":%s}\n", text)
			sent = append(sent, pairs)
		}
		if _, err := s.Write(out.Bytes()); err != nil {
			return
		}
		for _, pairs := range sent {
			for range pairs {
				line, err := s.in.ReadBytes('\n')
				if err != nil {
					return
				}
				var answer struct {
					Rsp struct {
						St int    `json:"st"`
						K  string `json:"k"`
					} `json:"SET_RSP"`
				}
				if err := json.Unmarshal(line, &answer); err != nil || answer.Rsp.St != 1 && answer.Rsp.St != 2 {
					t.Errorf("answered %s, %v", line, err)
					return
				}
				w.known[answer.Rsp.K] = pairs[answer.Rsp.K]
			}
		}
	}
}

// TestCopy copies the directory of a server under load with two loops, and a second one of
// the same while it makes a snapshot. Every pair that was acknowledged before a copy began
// is in it, or one of the client's that came after it.
func TestCopy(t *testing.T) {
	seed := newSeed(t)
	r := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	p := startOn(t, dir, "--loops", "2")
	writers := make([]*writer, 4)
	var wg sync.WaitGroup
	for i := range writers {
		w := &writer{map[string]int{}, map[string]int{}}
		writers[i] = w
		wr := rand.New(rand.NewPCG(r.Uint64(), 0))
		wg.Go(func() { w.run(t, p.addr, fmt.Sprintf("writer-%d", i), wr) })
	}
	type backup struct {
		dir   string
		known map[string]int
	}
	var backups []backup
	for i := range 2 {
		// What is there before a copy begins is read as any client may read it.
		b := backup{filepath.Join(t.TempDir(), "backup"), numbers(t, p.addr, len(writers))}
		saved := make(chan string, 1)
		if i == 1 {
			go func() { saved <- mustAsk(t, p.addr, `{"SAVE":{}}`) }()
		} else {
			saved <- ""
		}
		if status, out, stderr := runToEnd(t, "copy", dir, b.dir); status != 0 {
			t.Errorf("copy: status %d, %s%s", status, out, stderr)
		}
		<-saved
		backups = append(backups, b)
	}
	p.kill()
	wg.Wait()
	for _, b := range backups {
		p := startOn(t, b.dir)
		for key, is := range numbers(t, p.addr, len(writers)) {
			w := writers[key[len("writer-")]-'0']
			if known := b.known[key]; is < known || is > w.tried[key] {
				t.Errorf("%s is %d, and was %d before the copy; %d was sent", key, is, known, w.tried[key])
			}
		}
	}
}

// numbers returns what is there of all writers' keys.
func numbers(t *testing.T, addr string, writers int) map[string]int {
	s, err := dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	all := map[string]int{}
	for w := range writers {
		for n := range 50 {
			key := fmt.Sprintf("writer-%d-key-%d", w, n)
			answer, err := s.ask(fmt.Sprintf(`{"GET":[%q]}`, key))
			if err != nil {
				t.Fatal(err)
			}
			all[key] = numberIn(t, answer, key)
		}
	}
	return all
}

// numberIn is the value of a key in the answer to its GET; 0: there is none.
func numberIn(t *testing.T, answer, key string) int {
	var got struct {
		Rsp map[string]any `json:"GET_RSP"`
	}
	if err := json.Unmarshal([]byte(answer), &got); err != nil {
		t.Fatalf("%s: %v", answer, err)
	}
	is, _ := got.Rsp[key].(float64)
	return int(is)
}

// TestRestart: a clean stop and a start, with what README says of them, and the copy of a
// directory that is being served as its backup.
func TestRestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	p := startOn(t, dir)
	mustAsk(t, p.addr, `{"SET":{"user1234_name":"bob"}}`)
	mustAsk(t, p.addr, `{"SET":{"user1234_gone":1}}`)
	mustAsk(t, p.addr, `{"RNM_KEY":[{"user1234_name":"user1234_nick"}]}`)
	mustAsk(t, p.addr, `{"RMV":["user1234_gone"]}`)

	status, _, stderr := runToEnd(t, "--listen", "127.0.0.1:0", "--data-dir", dir)
	if status != 1 || !strings.Contains(stderr, "in use") || !strings.Contains(stderr, fmt.Sprint(p.Process.Pid)) {
		t.Errorf("a second server: status %d, %s", status, stderr)
	}
	if status, _, stderr := runToEnd(t, "check", dir); status != 1 || !strings.Contains(stderr, "in use") {
		t.Errorf("check beside a server: status %d, %s", status, stderr)
	}
	backup := filepath.Join(t.TempDir(), "backup")
	if status, out, stderr := runToEnd(t, "copy", dir, backup); status != 0 || !strings.Contains(out, "5 changes,") {
		t.Errorf("copy beside a server: status %d, %s%s", status, out, stderr)
	}
	for _, to := range []string{backup, dir} {
		if status, _, stderr := runToEnd(t, "copy", dir, to); status != 1 || !strings.Contains(stderr, "there are files in it") {
			t.Errorf("copy to %s: status %d, %s", to, status, stderr)
		}
	}
	_ = p.Process.Signal(syscall.SIGTERM)
	if status := p.wait(t); status != 0 {
		t.Fatalf("status %d\n%s", status, p.stderr)
	}
	for _, d := range []string{dir, backup} {
		status, out, stderr := runToEnd(t, "check", d)
		if status != 0 || !strings.Contains(out, "keys      1,") {
			t.Errorf("check: status %d, %s%s", status, out, stderr)
		}
		p := startOn(t, d, "--fsync", "always", "--loops", "2")
		if got := mustAsk(t, p.addr, `{"GET":["user1234_nick"]}`); got != `{"GET_RSP":{"st":0,"user1234_nick":"bob"}}` {
			t.Errorf("it has %s", got)
		}
		if got := mustAsk(t, p.addr, `{"COUNT":{}}`); got != `{"COUNT_RSP":{"st":0,"cnt":1}}` {
			t.Errorf("it has %s", got)
		}
		mustAsk(t, p.addr, `{"CLEAR":{}}`)
		p.kill()
		p = startOn(t, d)
		if got := mustAsk(t, p.addr, `{"COUNT":{}}`); got != `{"COUNT_RSP":{"st":0,"cnt":0}}` {
			t.Errorf("after a CLEAR it has %s", got)
		}
		p.kill()
	}
}

// damage flips a bit of a file, where text is.
func damage(t *testing.T, file, text string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[bytes.Index(b, []byte(text))] ^= 1
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedDir: a server that finds damage says where and how much, and does not start;
// with --recover truncate it does.
func TestDamagedDir(t *testing.T) {
	dir := t.TempDir()
	p := startOn(t, dir)
	for i := range 20 {
		mustAsk(t, p.addr, fmt.Sprintf(`{"SET":{"number-%d":%d}}`, i, i))
	}
	p.kill()
	segments, _ := filepath.Glob(filepath.Join(dir, "segment-*"))
	damage(t, segments[0], "number-10")
	for _, args := range [][]string{{"check", dir}, {"--listen", "127.0.0.1:0", "--data-dir", dir}} {
		status, _, stderr := runToEnd(t, args...)
		if status != 1 || !strings.Contains(stderr, "damaged; 9 valid groups follow") || !strings.Contains(stderr, "--recover truncate") || !strings.Contains(stderr, filepath.Base(segments[0])) {
			t.Errorf("%s: status %d, %s", args[0], status, stderr)
		}
	}
	p = startOn(t, dir, "--recover", "truncate")
	if got := mustAsk(t, p.addr, `{"COUNT":{}}`); got != `{"COUNT_RSP":{"st":0,"cnt":10}}` {
		t.Errorf("truncated it has %s", got)
	}
}

// TestFullDisk runs a server on a file system that is full, and then is not: writes get
// status 15 and change nothing, reads go on, and writes come back by themselves.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=200m", "none", dir).CombinedOutput(); err != nil {
		t.Skipf("no file system can be mounted here: %v, %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() })
	p := startOn(t, filepath.Join(dir, "data"))
	filler := filepath.Join(dir, "filler")
	fill := func() {
		f, err := os.Create(filler)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for piece := 1 << 20; piece > 0; piece /= 2 {
			for {
				if _, err := f.Write(make([]byte, piece)); err != nil {
					break
				}
			}
		}
	}
	s, err := dial(p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	fill()
	value := strings.Repeat("v", 500_000)
	refused := 0
	for i := 0; i < 400 && refused == 0; i++ {
		answer, err := s.ask(fmt.Sprintf(`{"SET":{"number-%d":"%s"}}`, i%3, value))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(answer, `"st":15`) {
			refused++
		}
	}
	if refused == 0 {
		t.Fatal("writes are taken for ever")
	}
	if got, err := s.ask(`{"CONTAINS":["number-0"]}`); err != nil || got != `{"CONTAINS_RSP":{"st":4,"k":"number-0"}}` {
		t.Errorf("a read on a full disk: %s, %v", got, err)
	}
	if got, err := s.ask(`{"CLEAR":{}}`); err != nil || !strings.Contains(got, `"s":15`) {
		t.Errorf("CLEAR on a full disk: %s, %v", got, err)
	}
	// It is stopped, started, killed and started while the disk is full.
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		s.Close()
		_ = p.Process.Signal(signal)
		_ = p.Wait()
		if said := strings.Contains(p.stderr.String(), "no snapshot could be made; the journal has everything"); said != (signal == syscall.SIGTERM) {
			t.Errorf("%v: the log has %s", signal, p.stderr)
		}
		fill() // what the stop has given back
		p = startOn(t, filepath.Join(dir, "data"))
		if s, err = dial(p.addr); err != nil {
			t.Fatal(err)
		}
		if got, err := s.ask(`{"CONTAINS":["number-0"]}`); err != nil || got != `{"CONTAINS_RSP":{"st":4,"k":"number-0"}}` {
			t.Errorf("a read after a start on a full disk: %s, %v", got, err)
		}
		if got, err := s.ask(`{"SET":{"without-room":1}}`); err != nil || !strings.Contains(got, `"st":15`) {
			t.Errorf("SET after a start on a full disk: %s, %v", got, err)
		}
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		answer, err := s.ask(`{"SET":{"with-room":1}}`)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("with room: %s, %v", answer, err)
		}
		if answer == `{"SET_RSP":{"st":1,"k":"with-room"}}` {
			break
		}
	}
	p.kill()
	p = startOn(t, filepath.Join(dir, "data"))
	if got := mustAsk(t, p.addr, `{"COUNT":{}}`); got != `{"COUNT_RSP":{"st":0,"cnt":4}}` {
		t.Errorf("it has %s", got)
	}
}

// asNobody runs the server to its end as somebody who may not write everywhere: root may.
func asNobody(t *testing.T, args ...string) (status int, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	if os.Geteuid() == 0 {
		const nobody = 65534
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// TestForbiddenDir: a directory that the server may not write, or that is somebody else's, is
// an error at the start that names it, and nothing in it is changed.
func TestForbiddenDir(t *testing.T) {
	served := t.TempDir()
	for _, dir := range []string{filepath.Dir(binary), served, filepath.Dir(served)} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p := startOn(t, filepath.Join(served, "data"))
	mustAsk(t, p.addr, `{"SET":{"user1234_name":"bob"}}`)
	p.kill()
	chmod := func(mode os.FileMode, pattern string) {
		t.Helper()
		names, err := filepath.Glob(filepath.Join(served, pattern))
		for _, name := range names {
			err = errors.Join(err, os.Chmod(name, mode))
		}
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %v, %v", pattern, names, err)
		}
	}
	t.Cleanup(func() { chmod(0o755, "."); chmod(0o755, "data") })
	for _, c := range []struct {
		what        string
		parent, dir os.FileMode
		files       map[string]os.FileMode
		sub, at     string // the directory that is served, and what the error names
	}{
		{"a new directory in one that may not be written", 0o555, 0o755, nil, "new", "new"},
		{"a directory that may not be read", 0o755, 0, nil, "data", "data/LOCK"},
		{"a directory that may not be written", 0o755, 0o555, map[string]os.FileMode{"LOCK": 0o444}, "data", "data/LOCK"},
		{"files of somebody else", 0o755, 0o777, map[string]os.FileMode{"LOCK": 0, "segment-*": 0}, "data", "data/LOCK"},
		{"segments of somebody else", 0o755, 0o777, map[string]os.FileMode{"LOCK": 0o666, "segment-*": 0}, "data", "data/segment-"},
		{"segments that may not be written", 0o755, 0o777, map[string]os.FileMode{"LOCK": 0o666, "segment-*": 0o444}, "data", "data/segment-"},
	} {
		chmod(0o755, "data")
		for pattern, mode := range c.files {
			chmod(mode, filepath.Join("data", pattern))
		}
		chmod(c.dir, "data")
		chmod(c.parent, ".")
		status, stderr := asNobody(t, "--listen", "127.0.0.1:0", "--data-dir", filepath.Join(served, c.sub))
		if status != 1 || !strings.Contains(stderr, filepath.Join(served, c.at)) || !strings.Contains(stderr, "permission denied") {
			t.Errorf("%s: status %d, %s", c.what, status, stderr)
		}
	}
	for _, pattern := range []string{"LOCK", "segment-*"} {
		chmod(0o755, "data")
		chmod(0o644, filepath.Join("data", pattern))
	}
	p = startOn(t, filepath.Join(served, "data"))
	if got := mustAsk(t, p.addr, `{"GET":["user1234_name"]}`); got != `{"GET_RSP":{"st":0,"user1234_name":"bob"}}` {
		t.Errorf("afterwards it has %s", got)
	}
}

// TestOtherOptions: a restart with another --values, --min-key, --loops or --fsync changes
// nothing that is there; what this server would not take, it still gives.
func TestOtherOptions(t *testing.T) {
	dir := t.TempDir()
	open := []string{"--values", "any", "--min-key", "1"}
	values := map[string]string{
		"a": `"short"`, "b": `{"of":[1,null]}`, "object": `{"z":1,"a":{"b":[]}}`, "null_value": `null`,
		"string": `"with \u00fc and \""`, "number": `1.0`, "exponent": `-1e5`, "boolean": `true`,
	}
	first := startOn(t, dir, open...)
	for key, value := range values {
		mustAsk(t, first.addr, fmt.Sprintf(`{"SETEX":{"ttl":3600000,"pairs":{%q:%s}}}`, key, value))
	}
	for key, value := range values {
		if strings.HasPrefix(key, "n") || len(key) == 1 {
			mustAsk(t, first.addr, fmt.Sprintf(`{"SET":{%q:%s}}`, key, value)) // no deadline any more
		}
	}
	p := first
	for i, args := range [][]string{
		nil, // scalars, six characters
		{"--values", "any", "--min-key", "7", "--loops", "2"},
		{"--min-key", "1", "--fsync", "always"},
		{"--min-key", "1024", "--fsync", "no"},
		open,
	} {
		if i%2 == 0 {
			_ = p.Process.Kill()
		} else {
			_ = p.Process.Signal(syscall.SIGTERM)
		}
		_ = p.Wait()
		p = startOn(t, dir, args...)
		least := 6
		if n := slices.Index(args, "--min-key"); n >= 0 {
			_, _ = fmt.Sscan(args[n+1], &least)
		}
		if got, want := mustAsk(t, p.addr, `{"COUNT":{}}`), fmt.Sprintf(`{"COUNT_RSP":{"st":0,"cnt":%d}}`, len(values)); got != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
		for key, value := range values {
			want := fmt.Sprintf(`{"GET_RSP":{"st":0,%q:%s}}`, key, value)
			if len(key) < least {
				want = fmt.Sprintf(`{"GET_RSP":{"st":6,"k":%q}}`, key)
			}
			if got := mustAsk(t, p.addr, fmt.Sprintf(`{"GET":[%q]}`, key)); got != want {
				t.Errorf("%s: %s, want %s", args, got, want)
			}
			if len(key) < least {
				continue
			}
			ttl := fmt.Sprintf(`{"TTL_RSP":{"st":0,%q:3`, key)
			if strings.HasPrefix(key, "n") || len(key) == 1 {
				ttl = fmt.Sprintf(`{"TTL_RSP":{"st":0,%q:null`, key)
			}
			if got := mustAsk(t, p.addr, fmt.Sprintf(`{"TTL":[%q]}`, key)); !strings.HasPrefix(got, ttl) {
				t.Errorf("%s: %s, want %s…", args, got, ttl)
			}
		}
		if got := mustAsk(t, p.addr, `{"SET":{"not_here":{}}}`); (args == nil) != strings.Contains(got, `"st":7`) && i < 2 {
			t.Errorf("%s: an object: %s", args, got)
		}
		mustAsk(t, p.addr, `{"RMV":["not_here"]}`)
	}
}
