package netio_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"keyframe/engine/journal"
	"keyframe/netio"
)

// httpClient is Go's client of a server; its connections are kept.
type httpClient struct {
	t   testing.TB
	c   *http.Client
	url string
}

func newHTTPClient(t testing.TB, url string, config *tls.Config) *httpClient {
	transport := &http.Transport{TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	return &httpClient{t, &http.Client{Transport: transport, Timeout: patience}, url}
}

// try sends a request with headers, of which each is a name and a value.
func (c *httpClient) try(method, path string, body io.Reader, headers ...string) (status int, text string, h http.Header, err error) {
	r, err := http.NewRequest(method, c.url+path, body)
	if err != nil {
		return 0, "", nil, err
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.c.Do(r)
	if err != nil {
		return 0, "", nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), resp.Header, err
}

// do is try where nothing may go wrong, from any goroutine.
func (c *httpClient) do(method, path, body string, headers ...string) (status int, text string, h http.Header) {
	c.t.Helper()
	status, text, h, err := c.try(method, path, strings.NewReader(body), headers...)
	if err != nil {
		c.t.Errorf("%s %s: %v", method, path, err)
	}
	return status, text, h
}

// TestHTTPGoClient: Go's client, several at a time, over connections that are kept, plain and
// through TLS.
func TestHTTPGoClient(t *testing.T) {
	t.Run("plain", func(t *testing.T) {
		s := startServer(t, netio.Options{})
		manyRequests(t, newHTTPClient(t, "http://"+s.tcp, nil))
		c := dialLines(t, "tcp", s.tcp)
		converse(t, c, []exchange{{`{"GET":["client0_0"]}`, one(`{"GET_RSP":{"st":0,"client0_0":2}}`)}})
	})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			s := startTLS(t, netio.Options{})
			s.client.MaxVersion = version
			manyRequests(t, newHTTPClient(t, "https://"+s.tcp, s.client))
		})
	}
}

func manyRequests(t *testing.T, c *httpClient) {
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for j := range 20 {
				path, value := fmt.Sprintf("/kv/client%d_%d", i, j), fmt.Sprintf(`"%s"`, strings.Repeat("x", 1000*j))
				if status, _, _ := c.do("PUT", path, value); status != 201 {
					t.Errorf("PUT: %d", status)
				}
				status, text, h := c.do("GET", path, "")
				if status != 200 || text != value {
					t.Errorf("GET: %d, %d bytes, want %d", status, len(text), len(value))
				}
				if status, _, _ = c.do("PUT", path, "2", "If-Match", h.Get("ETag")); status != 204 {
					t.Errorf("PUT with the etag: %d", status)
				}
				if status, _, _ = c.do("PUT", path, "3", "If-Match", h.Get("ETag")); status != 412 {
					t.Errorf("PUT with an old etag: %d", status)
				}
			}
		})
	}
	wait.Wait()
	// A body whose length is not known is sent in chunks; the answers are longer than a turn.
	value := strings.Repeat("y", 300_000)
	lines := fmt.Sprintf("{\"SET\":{\"large_one\":%q}}\n", value) + strings.Repeat("{\"GET\":[\"large_one\"]}\n", 20)
	status, text, _, err := c.try("POST", "/", struct{ io.Reader }{strings.NewReader(lines)}, "Content-Type", "application/x-ndjson")
	if err != nil || status != 200 || strings.Count(text, "\n") != 21 || strings.Count(text, value) != 20 {
		t.Errorf("%d, %v, %d lines", status, err, strings.Count(text, "\n"))
	}
}

// TestHTTPJournal: what a response tells of is there after a restart, with the same etag; while
// a disk fails nothing is told, and then that writes are refused.
func TestHTTPJournal(t *testing.T) {
	dir := t.TempDir()
	s := startOnDisk(t, dir, journal.Always, 2, true)
	c := newHTTPClient(t, "http://"+s.addr, nil)
	want := func(status int, text string, method, path, body string, headers ...string) (etag string) {
		t.Helper()
		got, answer, h := c.do(method, path, body, headers...)
		if got != status || strings.TrimSpace(answer) != text {
			t.Errorf("%s %s: %d %s, want %d %s", method, path, got, answer, status, text)
		}
		return h.Get("ETag")
	}
	want(201, "", "PUT", "/kv/abcdef", "1")
	etag := want(200, "1", "GET", "/kv/abcdef", "")
	want(204, "", "PUT", "/kv/abcdef", `"two"`, "If-Match", etag)
	etag = want(200, `"two"`, "GET", "/kv/abcdef", "")
	want(201, "", "PUT", "/kv/bcdefg?ttl=3600000", "3")
	want(204, "", "DELETE", "/kv/bcdefg", "")
	want(200, `{"SET_RSP":{"st":1,"k":"cdefgh"}}`+"\n"+`{"COUNT_RSP":{"st":0,"cnt":2}}`, "POST", "/", `{"SET":{"cdefgh":4}}`+"\n"+`{"COUNT":{}}`)
	if _, text, _ := c.do("POST", "/", `{"SAVE":{}}`); !strings.HasPrefix(text, `{"SAVE_RSP":{"st":0,"keys":2,`) {
		t.Errorf("SAVE: %s", text)
	}
	c.c.CloseIdleConnections() // a stop waits for them
	s.end()

	s = startOnDisk(t, dir, journal.Always, 1, true)
	c = newHTTPClient(t, "http://"+s.addr, nil)
	want(304, "", "GET", "/kv/abcdef", "", "If-None-Match", etag)
	want(404, "there is no such key", "GET", "/kv/bcdefg", "")
	want(200, "4", "GET", "/kv/cdefgh", "")
	s.disk.set(func(op string) error {
		if op == "sync" {
			return syscall.EIO
		}
		return nil
	})
	if status, text, _, err := c.try("PUT", "/kv/defghi", strings.NewReader("5")); err == nil {
		t.Errorf("while the disk fails: %d %s", status, text)
	}
	<-s.log.Failed()
	want(503, "the store can't take writes at the moment", "PUT", "/kv/defghi", "5")
	want(200, "4", "GET", "/kv/cdefgh", "")
}

// TestHTTPCurl: curl, over TCP and a unix socket.
func TestHTTPCurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is missing")
	}
	s := startServer(t, netio.Options{})
	run := func(want string, args ...string) {
		t.Helper()
		out, err := exec.Command(curl, append([]string{"-sS", "--max-time", "20"}, args...)...).CombinedOutput()
		if err != nil || string(out) != want {
			t.Errorf("curl %q: %q, %v; want %q", args, out, err, want)
		}
	}
	url := "http://" + s.tcp
	run("201", "-o", "/dev/null", "-w", "%{http_code}", "-X", "PUT", "-d", `"bob"`, url+"/kv/user1234_name")
	run(`"bob"`, url+"/kv/user1234_name")
	run(`"bob"`, "--http1.0", url+"/kv/user1234_name")
	run(`"bob"`, "--unix-socket", s.unix, url+"/kv/user1234_name")
	run(`"bob"`+`"bob"`, url+"/kv/user1234_name", url+"/kv/user1234_name")
	run("{\"GET_RSP\":{\"st\":0,\"user1234_name\":\"bob\"}}\n", "-d", `{"GET":["user1234_name"]}`, url)
	run("404", "-o", "/dev/null", "-I", "-w", "%{http_code}", url+"/kv/nobody")
}

// TestHTTPNode: Node's fetch.
func TestHTTPNode(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("Node is missing")
	}
	s := startServer(t, netio.Options{})
	const script = `
const url = process.argv[1]
const show = async (path, options) => { const r = await fetch(url + path, options); console.log(r.status, await r.text()); return r }
await show("/kv/from_node", { method: "PUT", body: '"é"' })
const r = await show("/kv/from_node")
await show("/kv/from_node", { method: "PUT", body: "2", headers: { "If-Match": r.headers.get("etag") } })
await show("/", { method: "POST", body: '{"GET":["from_node"]}\n{"COUNT":{}}' })
await show("/kv/from_node", { method: "DELETE" })
await show("/kv/from_node")
`
	out, err := exec.Command(node, "--input-type=module", "-e", script, "http://"+s.tcp).CombinedOutput()
	const want = "201 \n200 \"é\"\n204 \n200 {\"GET_RSP\":{\"st\":0,\"from_node\":2}}\n{\"COUNT_RSP\":{\"st\":0,\"cnt\":1}}\n\n204 \n404 there is no such key\n\n"
	if err != nil || string(out) != want {
		t.Errorf("%v: %q, want %q", err, out, want)
	}
}
