package main_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startWithAdmin starts a server with an admin listener, and returns its URL.
func startWithAdmin(t *testing.T, flag string, args ...string) (p *process, admin string) {
	t.Helper()
	port := freePort(t)
	return start(t, append([]string{"--listen", "127.0.0.1:0", flag, port}, args...)...), "http://127.0.0.1:" + port
}

func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() // it has no connections
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	return getAs(t, url, "", "")
}

// getAs is get with this Host, unless it is empty, and this Sec-Fetch-Site, with which
// browsers say where a request comes from.
func getAs(t *testing.T, url, host, site string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if host != "" {
		req.Host = host
	}
	if site != "" {
		req.Header.Set("Sec-Fetch-Site", site)
	}
	resp, err := (&http.Client{Timeout: patience}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() // it is only read
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// metric returns the value of one line of the metrics.
func metric(t *testing.T, metrics, name string) float64 {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (.*)$`).FindStringSubmatch(metrics)
	if m == nil {
		t.Fatalf("no metric %s in\n%s", name, metrics)
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAdmin(t *testing.T) {
	p, admin := startWithAdmin(t, "--admin", "--loops", "2")
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	command := `{"SET":{"metered_1":1,"key1":2}}` + "\n{\n"
	if _, err := io.WriteString(c, command); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	var got int
	for buf := make([]byte, 1000); strings.Count(string(buf[:got]), "\n") < 3; {
		n, err := c.Read(buf[got:])
		if err != nil {
			t.Fatal(err)
		}
		got += n
	}
	_, metrics := get(t, admin+"/metrics")
	for name, want := range map[string]float64{
		`keyframe_connections{loop="0"}`:              1,
		`keyframe_connections{loop="1"}`:              0, // it has had no connection
		`keyframe_apply_seconds_total{loop="1"}`:      0,
		`keyframe_connections_accepted_total`:         1,
		`keyframe_connections_refused_total`:          0,
		`keyframe_slow_consumers_total`:               0,
		`keyframe_frames_total{loop="0"}`:             2,
		`keyframe_queries_total`:                      2,
		`keyframe_commands_total{command="SET"}`:      1,
		`keyframe_commands_total{command="GET"}`:      0,
		`keyframe_errors_total{kind="key_length"}`:    1,
		`keyframe_errors_total{kind="syntax"}`:        1,
		`keyframe_errors_total{kind="out_of_memory"}`: 0,
		`keyframe_received_bytes_total`:               float64(len(command)),
		`keyframe_sent_bytes_total`:                   float64(got),
		`keyframe_batch_operations_count`:             1,
		`keyframe_batch_operations_bucket{le="1"}`:    1,
		`keyframe_batch_operations_bucket{le="2048"}`: 1,
		`keyframe_keys`:                               1,
	} {
		if v := metric(t, metrics, name); v != want {
			t.Errorf("%s is %v, want %v", name, v, want)
		}
	}
	for _, name := range []string{"process_open_fds", "go_goroutines", "keyframe_store_reserved_bytes"} {
		if metric(t, metrics, name) <= 0 {
			t.Errorf("%s is not more than 0", name)
		}
	}
	for _, path := range []string{"/livez", "/readyz"} {
		if status, body := get(t, admin+path); status != http.StatusOK || body != "ok\n" {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if _, body := get(t, admin+"/debug/pprof/goroutine?debug=1"); !strings.Contains(body, "goroutine profile") {
		t.Errorf("no profile: %.200s", body)
	}
	// The handler itself waits for the second to pass.
	_, zipped := get(t, admin+"/debug/pprof/block?seconds=1")
	if r, err := gzip.NewReader(strings.NewReader(zipped)); err != nil {
		t.Error(err)
	} else if profile, err := io.ReadAll(r); err != nil || !strings.Contains(string(profile), "serveDeltaProfile") {
		t.Errorf("nothing of a second's waiting in a profile of %d bytes, %v", len(profile), err)
	}
	if status, _ := get(t, admin+"/"); status != http.StatusNotFound {
		t.Errorf("/: %d", status)
	}
}

// TestAdminWhileStopping: a server that waits for its clients is alive, but not ready.
func TestAdminWhileStopping(t *testing.T) {
	p, admin := startWithAdmin(t, "--pprof") // its old name
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// Unread answers keep the server from ending at once.
	_, _ = fmt.Fprintf(c, "{\"SET\":{\"stopping\":\"%s\"}}\n%s", strings.Repeat("v", 1<<20), strings.Repeat("{\"GET\":[\"stopping\"]}\n", 30))
	for deadline := time.Now().Add(patience); ; {
		if _, metrics := get(t, admin+"/metrics"); metric(t, metrics, `keyframe_commands_total{command="GET"}`) == 30 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the commands are not executed")
		}
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for {
		status, _ := get(t, admin+"/readyz")
		if status == http.StatusServiceUnavailable {
			break
		}
	}
	if status, body := get(t, admin+"/livez"); status != http.StatusOK {
		t.Errorf("/livez: %d %s", status, body)
	}
	_ = c.Close()
	if status := p.wait(t); status != 0 {
		t.Fatal(status)
	}
}

// TestAdminBeyondLoopback: other machines may see the metrics, by whatever name they know
// this machine, but no profiles.
func TestAdminBeyondLoopback(t *testing.T) {
	port := freePort(t)
	start(t, "--listen", "127.0.0.1:0", "--insecure", "--admin", "0.0.0.0:"+port)
	admin := "http://127.0.0.1:" + port
	for _, host := range []string{"", "db1.example:9100", "192.0.2.1:9100"} {
		for path, want := range map[string]int{"/metrics": 200, "/livez": 200, "/readyz": 200, "/debug/pprof/heap": 404, "/debug/pprof/": 404} {
			for _, site := range []string{"", "cross-site"} { // cross-site: a link on another page
				if status, body := getAs(t, admin+path, host, site); status != want {
					t.Errorf("%s for %q from %q: %d %.100s, want %d", path, host, site, status, body, want)
				}
			}
		}
	}
}

// TestAdminIsNotForWebPages: at a loopback address, what a browser sends for a page of
// another site is refused, and so is what it sends for a site whose name resolves to
// 127.0.0.1. What people and scrapers send is served.
func TestAdminIsNotForWebPages(t *testing.T) {
	_, loopback := startWithAdmin(t, "--admin")
	for _, tt := range []struct {
		host, site string
		status     int
		want       string
	}{
		{"127.0.0.1:6060", "", 200, ""},
		{"127.0.0.1", "", 200, ""},
		{"127.8.7.6:6060", "", 200, ""},
		{"[::1]:6060", "", 200, ""},
		{"[::1]", "", 200, ""},
		{"localhost:7070", "", 200, ""}, // a tunnel's other end
		{"LOCALHOST", "", 200, ""},
		{"localhost:6060", "none", 200, ""},                               // typed
		{"localhost:6060", "same-origin", 200, ""},                        // a link on the index of profiles
		{"localhost:6060", "same-site", 403, "Sec-Fetch-Site: same-site"}, // a page of localhost:3000
		{"127.0.0.1:6060", "cross-site", 403, "Sec-Fetch-Site: cross-site"},
		{"127.0.0.1:6060", "nonsense", 403, "Sec-Fetch-Site"},
		{"rebound.example:6060", "", 403, `"rebound.example"`},
		{"rebound.example:6060", "same-origin", 403, `"rebound.example"`},
		{"127.0.0.1.rebound.example", "", 403, "want localhost"},
		{"localhost.rebound.example", "", 403, "want localhost"},
		{"192.0.2.1:6060", "", 403, "want localhost"},
		{"0.0.0.0:6060", "", 403, "want localhost"},
	} {
		for _, path := range []string{"/metrics", "/readyz", "/livez", "/debug/pprof/cmdline"} {
			status, body := getAs(t, loopback+path, tt.host, tt.site)
			if status != tt.status || !strings.Contains(body, tt.want) {
				t.Errorf("%s for %s from %q: %d %.100s, want %d with %s", path, tt.host, tt.site, status, body, tt.status, tt.want)
			}
		}
	}
}

// maxIdleBytes is what an idle connection may cost.
const maxIdleBytes = 4 << 10

// TestIdleConnectionsAreCheap opens 10,000 connections, uses each once, and asks
// the server's runtime what they take.
func TestIdleConnectionsAreCheap(t *testing.T) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	conns := 10_000
	if most := int(limit.Cur) - 200; most < conns {
		t.Logf("with %d connections: this process may not open more files", most)
		conns = most
	}
	p, admin := startWithAdmin(t, "--admin", "--loops", "2")
	usage := func() (heapAndStacks, resident float64) {
		get(t, admin+"/debug/pprof/heap?gc=1") // collect garbage first
		get(t, admin+"/debug/pprof/heap?gc=1")
		_, m := get(t, admin+"/metrics")
		return metric(t, m, "go_memstats_heap_alloc_bytes") + metric(t, m, "go_memstats_stack_inuse_bytes"), metric(t, m, "process_resident_memory_bytes")
	}
	warm := func() net.Conn {
		c, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(patience))
		// The command arrives in two pieces.
		if _, err := io.WriteString(c, `{"SET":{"idle_`); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "conn\":1}}\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		return c
	}
	for range 10 {
		warm()
	}
	before, residentBefore := usage()
	for range conns - 10 {
		warm()
	}
	after, residentAfter := usage()
	n := float64(conns - 10)
	t.Logf("an idle connection of %d costs %.0f bytes of heap and stacks, %.0f bytes resident", conns, (after-before)/n, (residentAfter-residentBefore)/n)
	if cost := (after - before) / n; cost > maxIdleBytes {
		t.Errorf("an idle connection costs %.0f bytes, at most %d are wanted", cost, maxIdleBytes)
	}
}

// TestAdminToken: with a token nothing is answered without it, at a loopback address either.
func TestAdminToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	const secret = "a secret of 24 characters"
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, url := startWithAdmin(t, "--admin", "--admin-token-file", path)
	for authorization, want := range map[string]int{
		"":                          401,
		"Bearer ":                   401,
		"Bearer " + secret + "x":    401,
		"Bearer " + secret[1:]:      401,
		"Basic " + secret:           401,
		"Bearer " + path:            401,
		"Bearer " + secret:          200,
		"Bearer " + secret + "\x00": 0, // net/http refuses to send it
	} {
		req, err := http.NewRequest(http.MethodGet, url+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		if authorization != "" {
			req.Header.Set("Authorization", authorization)
		}
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			if want != 0 {
				t.Error(err)
			}
			continue
		}
		_ = answer.Body.Close()
		if answer.StatusCode != want || (want == 401) != (answer.Header.Get("WWW-Authenticate") != "") || answer.Close != (want == 401) {
			t.Errorf("Authorization: %s: %d, want %d", authorization, answer.StatusCode, want)
		}
	}
}
