package netio_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"keyframe/netio"
	"keyframe/netio/access"
	"keyframe/netio/frame"
	"keyframe/netio/netiotest"
)

// TestHTTPUsers: each request on a connection is whose it says, and no one's if it says nothing;
// rights hold for each key.
func TestHTTPUsers(t *testing.T) {
	const page = "https://app.example"
	path := usersFile(t)
	root, carol, ro := newToken(t, path, "root"), newToken(t, path, "carol"), newToken(t, path, "ro")
	s := startServer(t, netio.Options{Users: loadUsers(t, path), AllowOrigins: []string{page}})
	basic := func(password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte("bob:"+password))
	}
	c := dialLines(t, "tcp", s.tcp)
	ask := func(who, method, path, body string, headers ...string) (status int, text string) {
		t.Helper()
		request := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n", method, path, len(body))
		for _, h := range headers {
			request += h + "\r\n"
		}
		if who != "" {
			request += "Authorization: " + who + "\r\n"
		}
		c.sendRaw(request + "\r\n" + body)
		resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("%s %s by %.10s: %v", method, path, who, err)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode == http.StatusUnauthorized {
			if !resp.Close || len(resp.Header.Values("WWW-Authenticate")) == 0 {
				t.Errorf("401 with %v", resp.Header)
			}
			if shown := resp.Header.Get("Access-Control-Allow-Origin"); slices.Contains(headers, "Origin: "+page) != (shown == page) {
				t.Errorf("a page is told of a 401: %q", shown)
			}
			c = dialLines(t, "tcp", s.tcp)
		}
		return resp.StatusCode, strings.TrimSpace(string(b))
	}
	for i, step := range []struct {
		who, method, path, body string
		header                  string
		status                  int
	}{
		{"", "GET", "/", "", "", 200},
		{"", "OPTIONS", "/kv/bob:key", "", "", 204},
		{basic(bobsPassword), "PUT", "/kv/bob:key", "1", "", 201},
		{basic(bobsPassword), "PUT", "/kv/bob:key", "2", "", 204}, // not hashed once more
		{basic(bobsPassword), "PUT", "/kv/common:key", "1", "", 403},
		{basic(bobsPassword), "PUT", "/kv/common:key", "1", `If-Match: "x"`, 403}, // and not what is there
		{basic(bobsPassword), "GET", "/kv/?prefix=bob:", "", "", 403},
		{"Bearer " + carol, "GET", "/kv/bob:key", "", "", 200},
		{"Bearer " + carol, "PUT", "/kv/bob:key", "3", "", 403},
		{"Bearer " + carol, "DELETE", "/kv/bob:key", "", "", 403},
		{"Bearer " + carol, "GET", "/kv/?prefix=common:", "", "", 200},
		{"Bearer " + ro, "GET", "/kv/bob:key", "", "", 200},
		{"", "GET", "/kv/bob:key", "", "", 401}, // whoever was before
		{"Bearer " + root, "GET", "/kv/?prefix=", "", "", 200},
		{"Bearer nonsense", "GET", "/kv/bob:key", "", "", 401},
		{"Bearer nonsense", "GET", "/kv/bob:key", "", "Origin: " + page, 401},
		{"", "GET", "/kv/bob:key", "", "Origin: " + page, 401},
		{basic("wrong"), "GET", "/kv/bob:key", "", "", 401},
		{"", "POST", "/", `{"GET":["bob:key"]}`, "", 401},
		{"", "PUT", "/kv/bob:key", "4", "", 401},
		{"Bearer " + root, "DELETE", "/kv/bob:key", "", `If-Match: "x"`, 412},
	} {
		var headers []string
		if step.header != "" {
			headers = append(headers, step.header)
		}
		if status, text := ask(step.who, step.method, step.path, step.body, headers...); status != step.status {
			t.Errorf("%d: %s %s by %.10s: %d %s, want %d", i, step.method, step.path, step.who, status, text, step.status)
		}
	}
	// In a body the answers say it, key by key; AUTH in it holds for its rest, and no further.
	if _, text := ask("Bearer "+carol, "POST", "/", "{\"GET\":[\"bob:key\",\"root:key\"]}\n{\"CLEAR\":{}}\n{\"AUTH\":{\"token\":\""+root+"\"}}\n{\"SET\":{\"root:key\":1}}"); text !=
		`{"GET_RSP":{"st":0,"bob:key":2}}`+"\n"+`{"GET_RSP":{"st":13,"k":"root:key"}}`+"\n"+`{"CLEAR_RSP":{"st":13,"m":"only an admin may do this"}}`+"\n"+`{"AUTH_RSP":{"st":0}}`+"\n"+`{"SET_RSP":{"st":1,"k":"root:key"}}` {
		t.Error(text)
	}
	if status, _ := ask("Bearer "+carol, "GET", "/kv/root:key", ""); status != 403 {
		t.Errorf("after an AUTH in the body: %d", status)
	}
	// A WebSocket is nobody's, whoever the requests before it were of.
	for _, first := range []string{
		"GET /kv/root:key HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + root + "\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + carol + "\r\nContent-Length: " + strconv.Itoa(len(root)+21) + "\r\n\r\n{\"AUTH\":{\"token\":\"" + root + "\"}}",
	} {
		ws := dialLines(t, "tcp", s.tcp)
		ws.sendRaw(first + "GET / HTTP/1.1\r\n" + goodHeaders + "\r\n" + string(maskedText(`{"GET":["root:key"]}`)))
		for _, want := range []int{200, 101} {
			resp, err := http.ReadResponse(ws.r, nil)
			if err != nil || resp.StatusCode != want {
				t.Fatalf("%v, %v; want %d", resp, err, want)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
		}
		answer := make([]byte, 2+len(`{"SERVER_ERROR":{"s":13,`))
		if _, err := io.ReadFull(ws.r, answer); err != nil || string(answer[2:]) != `{"SERVER_ERROR":{"s":13,` {
			t.Errorf("a WebSocket after another's request: %q, %v", answer, err)
		}
	}
	// Requests of several users in one write are each whose they say.
	var all string
	for _, who := range []string{"Bearer " + ro, basic(bobsPassword), "Bearer " + carol} {
		all += "GET /kv/root:key HTTP/1.1\r\nHost: x\r\nAuthorization: " + who + "\r\n\r\n"
	}
	c.sendRaw(all)
	for i, want := range []int{200, 403, 403} {
		resp, err := http.ReadResponse(c.r, nil)
		if err != nil || resp.StatusCode != want {
			t.Fatalf("%d: %v, %v; want %d", i, resp, err, want)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
	}
}

// TestHTTPCertificates: over TLS a request that says nothing of its own is whose certificate the
// connection has shown, whatever the one before said; and what it says counts more.
func TestHTTPCertificates(t *testing.T) {
	path := usersFile(t)
	carol := newToken(t, path, "carol")
	ca := netiotest.NewCA(t)
	opts := netio.Options{Users: loadUsers(t, path)}
	opts.TLSCert, opts.TLSKey = ca.Server("server")
	mayHaveClients(ca, &opts)
	s := startTLS(t, opts)
	s.client.RootCAs = ca.Pool
	nobody := newHTTPClient(t, "https://"+s.tcp, s.client)
	config := s.client.Clone()
	show(config, ca.Client("bob"))
	bob := newHTTPClient(t, "https://"+s.tcp, config)
	for i, step := range []struct {
		c            *httpClient
		method, path string
		headers      []string
		status       int
	}{
		{nobody, "GET", "/kv/bob:key", nil, 401},
		{nobody, "GET", "/", nil, 200},
		{bob, "PUT", "/kv/bob:key", nil, 201},
		{bob, "PUT", "/kv/carol:key", nil, 403},
		{bob, "GET", "/kv/bob:key", []string{"Authorization", "Bearer " + carol}, 200},
		{bob, "PUT", "/kv/bob:key", []string{"Authorization", "Bearer " + carol}, 403},
		{bob, "PUT", "/kv/bob:key", nil, 204},
		{nobody, "GET", "/kv/bob:key", []string{"Authorization", "Bearer " + carol}, 200},
		{nobody, "GET", "/kv/bob:key", nil, 401},
	} {
		body := ""
		if step.method == "PUT" {
			body = "1"
		}
		if status, text, _ := step.c.do(step.method, step.path, body, step.headers...); status != step.status {
			t.Errorf("%d: %s %s: %d %s, want %d", i, step.method, step.path, status, text, step.status)
		}
	}
	// A WebSocket is the certificate's user's, whoever an AUTH in a body before it was of.
	ws := s.lines(t, config)
	login := `{"AUTH":{"token":"` + carol + `"}}`
	ws.sendRaw("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + strconv.Itoa(len(login)) + "\r\n\r\n" + login +
		"GET / HTTP/1.1\r\n" + goodHeaders + "\r\n" + string(maskedText(`{"GET":["common:key"]}`)))
	for _, want := range []int{200, 101} {
		resp, err := http.ReadResponse(ws.r, nil)
		if err != nil || resp.StatusCode != want {
			t.Fatalf("%v, %v; want %d", resp, err, want)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
	}
	answer := make([]byte, 2+len(`{"GET_RSP":{"st":13,`))
	if _, err := io.ReadFull(ws.r, answer); err != nil || string(answer[2:]) != `{"GET_RSP":{"st":13,` {
		t.Errorf("a WebSocket after another's AUTH: %q, %v", answer, err)
	}
	// A certificate's user who is removed while the connection is another's is nobody on it.
	if status, _, _ := bob.do("GET", "/kv/bob:key", "", "Authorization", "Bearer "+carol); status != 200 {
		t.Fatalf("%d", status)
	}
	changeUsers(t, path, func(f *access.File) error { return f.Remove("bob") })
	s.SetUsers(loadUsers(t, path))
	if status, _, _ := bob.do("GET", "/kv/bob:key", ""); status != 401 {
		t.Errorf("a removed user by his certificate: %d", status)
	}
}

// maskedText is a WebSocket's message as a client sends it.
func maskedText(s string) []byte {
	key := [4]byte{1, 2, 3, 4}
	b := append(frame.AppendMaskedHeader(nil, frame.Text, len(s), key), s...)
	frame.Mask(b[len(b)-len(s):], key)
	return b
}
