package netio_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"keyframe/netio"
)

// This file has a browser: what it does with a page is what all the rules about origins are
// about. Chromium is driven by its DevTools protocol, so that scripts run in pages of the
// server's own origin, too, which has none with a script in it.

// rebound is a name that resolves to this machine, as the owner of a page can have it.
const rebound = "rebound.example"

// browser is a Chromium without a window, with one page. The pipes that drive it are its life: it
// ends when they close, also those of a test that was killed.
type browser struct {
	t       *testing.T
	in      *os.File      // messages to it, each with a NUL at its end
	out     *bufio.Reader // and from it
	session string        // of the page
	ids     int
}

func startBrowser(t *testing.T) *browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"} {
		if path, _ = exec.LookPath(name); path != "" {
			break
		}
	}
	if path == "" {
		t.Skip("chromium is missing: install it (Debian's chromium-headless-shell will do)")
	}
	cmd := exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-breakpad", "--user-data-dir="+t.TempDir(),
		"--ignore-certificate-errors", "--host-resolver-rules=MAP "+rebound+" 127.0.0.1", "--remote-debugging-pipe", "about:blank")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	pipe := func() (r, w *os.File) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		return r, w
	}
	itsIn, in := pipe()
	out, itsOut := pipe()
	errs, itsErrs := pipe()
	cmd.ExtraFiles, cmd.Stderr = []*os.File{itsIn, itsOut}, itsErrs
	err := cmd.Start()
	for _, f := range []*os.File{itsIn, itsOut, itsErrs} {
		_ = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	said := make(chan []byte, 1) // all that its processes have said, when the last of them has ended
	go func() {
		text, _ := io.ReadAll(errs)
		said <- text
	}()
	overdue := time.AfterFunc(2*patience, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	t.Cleanup(func() {
		_ = in.Close()
		_ = out.Close()
		text := <-said
		if !overdue.Stop() {
			t.Error("the browser took too long, or did not end")
		}
		_ = cmd.Wait()
		_ = errs.Close()
		if t.Failed() {
			t.Logf("the browser has said:\n%s", text)
		}
	})
	b := &browser{t: t, in: in, out: bufio.NewReader(out)}
	var targets struct {
		TargetInfos []struct{ TargetID, Type string }
	}
	b.call("Target.getTargets", nil, &targets)
	for _, target := range targets.TargetInfos {
		if target.Type == "page" {
			var page struct{ SessionID string }
			b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &page)
			b.session = page.SessionID
		}
	}
	if b.session == "" {
		t.Fatalf("it has no page: %v", targets)
	}
	b.call("Page.enable", nil, nil)
	b.call("Page.setLifecycleEventsEnabled", map[string]any{"enabled": true}, nil)
	return b
}

// devToolsMessage is an answer to a call, or an event.
type devToolsMessage struct {
	ID            int
	Result, Error json.RawMessage
	Params        struct{ LoaderID, Name string } // of a page's life
}

// receive reads messages until one that is wanted.
func (b *browser) receive(wanted func(m *devToolsMessage) bool) (result json.RawMessage) {
	b.t.Helper()
	for {
		text, err := b.out.ReadBytes(0)
		if err != nil {
			b.t.Fatal(err)
		}
		var m devToolsMessage
		if err := json.Unmarshal(text[:len(text)-1], &m); err != nil || m.Error != nil {
			b.t.Fatalf("%s, %v", text, err)
		}
		if wanted(&m) {
			return m.Result
		}
	}
}

// call calls a method, of the page's when there is one, and unpacks what it returns, unless that
// is not wanted.
func (b *browser) call(method string, params, result any) {
	b.t.Helper()
	b.ids++
	message := map[string]any{"id": b.ids, "method": method, "params": params}
	if b.session != "" {
		message["sessionId"] = b.session
	}
	text, err := json.Marshal(message)
	if err == nil {
		_, err = b.in.Write(append(text, 0))
	}
	if err != nil {
		b.t.Fatal(err)
	}
	answer := b.receive(func(m *devToolsMessage) bool { return m.ID == b.ids })
	if result != nil {
		if err := json.Unmarshal(answer, result); err != nil {
			b.t.Fatalf("%s: %s, %v", method, answer, err)
		}
	}
}

// open goes to a page.
func (b *browser) open(url string) {
	b.t.Helper()
	var page struct{ LoaderID string }
	b.call("Page.navigate", map[string]any{"url": url}, &page)
	b.receive(func(m *devToolsMessage) bool { return m.Params.LoaderID == page.LoaderID && m.Params.Name == "load" })
}

// run runs a script in the page, and returns the text that its promise comes to.
func (b *browser) run(script string) string {
	b.t.Helper()
	var got struct {
		Result           struct{ Value string }
		ExceptionDetails json.RawMessage
	}
	b.call("Runtime.evaluate", map[string]any{"expression": script, "awaitPromise": true, "returnByValue": true}, &got)
	if got.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", script, got.ExceptionDetails)
	}
	return got.Result.Value
}

// wants runs a script in the page, and checks what it comes to: want, or with "…" at its end what
// begins so.
func (b *browser) wants(script, want string) {
	b.t.Helper()
	got := b.run(script)
	if prefix, more := strings.CutSuffix(want, "…"); got != want && !(more && strings.HasPrefix(got, prefix)) {
		b.t.Errorf("%s\nis %q, want %q", script, got, want)
	}
}

// What scripts come to.

func overWebSocket(url, protocols, command string) string {
	return fmt.Sprintf(`new Promise(done => {
		const ws = new WebSocket(%q, %s)
		ws.onopen = () => ws.send(%q)
		ws.onmessage = e => { done(e.data); ws.close() }
		ws.onclose = e => done("closed " + e.code)
	})`, url, protocols, command)
}

func fetched(url, init string) string {
	return fmt.Sprintf(`fetch(%q, %s).then(async r => r.type + " " + r.status + " " + await r.text(), e => e.name)`, url, init)
}

// formPosted is a form whose text is a command: what a browser sends for any page.
func formPosted(url, command string) string {
	return fmt.Sprintf(`new Promise(done => {
		const frame = document.createElement("iframe"), form = document.createElement("form"), field = document.createElement("input")
		frame.name = form.target = "answer"
		form.method = "POST"; form.enctype = "text/plain"; form.action = %q
		field.name = %q; field.value = "\n"
		form.append(field)
		document.body.append(frame, form)
		frame.onload = () => done("posted")
		form.submit()
	})`, url, command)
}

// TestBrowser: pages of the server's own origin use it, those of others don't, nor do those whose
// name was made to resolve to it.
func TestBrowser(t *testing.T) {
	b := startBrowser(t)
	s := startServer(t, netio.Options{})
	_, port, err := net.SplitHostPort(s.tcp)
	if err != nil {
		t.Fatal(err)
	}
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<body>a page</body>")
	}))
	defer foreign.Close()
	const stored, get = `{"SET_RSP":{"st":1,"k":"a-page"}}`, `{"GET":["a-page"]}`
	post := `{method: "POST", body: '{"SET":{"stolen":1}}\n'}`
	postBlind := `{method: "POST", mode: "no-cors", body: '{"SET":{"stolen":1}}\n'}`
	for _, tt := range []struct{ page, script, want string }{
		{"http://" + s.tcp, overWebSocket("ws://"+s.tcp, "[]", `{"SET":{"a-page":1}}`), stored},
		{"", overWebSocket("ws://"+s.tcp, `["keyframe"]`, get), `{"GET_RSP":{"st":0,"a-page":1}}`},
		{"", fetched("/kv/a-page", "{}"), "basic 200 1"},
		{"", fetched("/", `{method: "POST", body: '{"GET":["a-page"]}'}`), "basic 200 " + `{"GET_RSP":{"st":0,"a-page":1}}` + "\n"},
		{"http://localhost:" + port, overWebSocket("ws://localhost:"+port, "[]", get), `{"GET_RSP":{"st":0,"a-page":1}}`},
		{"", overWebSocket("ws://"+s.tcp, "[]", get), "closed 1006"}, // another name is another origin

		{foreign.URL, overWebSocket("ws://"+s.tcp, "[]", `{"SET":{"stolen":1}}`), "closed 1006"},
		{"", fetched("http://"+s.tcp+"/kv/a-page", "{}"), "TypeError"},
		{"", fetched("http://"+s.tcp, post), "TypeError"},
		{"", fetched("http://"+s.tcp, postBlind), "opaque 0 "},
		{"", fetched("http://"+s.tcp+"/kv/stolen", `{method: "PUT", body: "1"}`), "TypeError"},
		{"", formPosted("http://"+s.tcp, `{"SET":{"stolen":1}}`), "posted"},

		{"http://" + rebound + ":" + port, overWebSocket("ws://"+rebound+":"+port, "[]", `{"SET":{"stolen":1}}`), "closed 1006"},
		{"", fetched("/kv/a-page", "{}"), "basic 403 …"},
		{"", fetched("/", post), "basic 403 …"},
		{"", `Promise.resolve(document.body.textContent)`, "this server is not known as…"},
	} {
		if tt.page != "" {
			b.open(tt.page)
		}
		b.wants(tt.script, tt.want)
	}
	if n := s.Stats().Keys; n != 1 {
		t.Errorf("%d keys: another page has stored one", n)
	}
}

// TestBrowserAllowed: pages that --allow-origin names use a server with TLS and users, by a token in
// the subprotocol or in a header.
func TestBrowserAllowed(t *testing.T) {
	b := startBrowser(t)
	foreign := httptest.NewServer(http.NotFoundHandler())
	defer foreign.Close()
	path := usersFile(t)
	token := newToken(t, path, "bob")
	s := startTLS(t, netio.Options{Users: loadUsers(t, path), AllowOrigins: []string{foreign.URL}})
	wss, https := "wss://"+s.tcp, "https://"+s.tcp
	b.open(foreign.URL)
	for _, tt := range []struct{ script, want string }{
		{overWebSocket(wss, fmt.Sprintf(`["keyframe", "bearer.%s"]`, token), `{"SET":{"bob:page":1}}`), `{"SET_RSP":{"st":1,"k":"bob:page"}}`},
		{overWebSocket(wss, fmt.Sprintf(`["keyframe", "bearer.%s"]`, token), `{"SET":{"eve:page":1}}`), `{"SET_RSP":{"st":13,"k":"eve:page"}}`},
		{overWebSocket(wss, `["keyframe", "bearer.x"]`, `{"SET":{"bob:page":1}}`), "closed 1006"},
		{overWebSocket(wss, `[]`, `{"GET":["bob:page"]}`), `{"SERVER_ERROR":{"s":13,"m":"say who you are before: AUTH"}}`},
		{fetched(https+"/kv/bob:page", fmt.Sprintf(`{headers: {Authorization: "Bearer %s"}}`, token)), "cors 200 1"},
		{fetched(https+"/kv/bob:page", `{}`), "cors 401 …"},
	} {
		b.wants(tt.script, tt.want)
	}
}
