package netio_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"keyframe/codec"
	"keyframe/netio"
	"keyframe/netio/access"
)

// bobsPassword, what is sent for it, and the tokens that newToken has made are in no log.
const bobsPassword, wrongPassword = "correct horse", "wrong password"

var issued sync.Map

// secretIn returns a secret that is in a text, or nothing.
func secretIn(text string) string {
	for _, secret := range []string{bobsPassword, wrongPassword, "PRIVATE KEY", "$argon2id$v="} {
		if strings.Contains(text, secret) {
			return secret
		}
	}
	for basic := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune(" \"\\:=,\n", r) }) {
		if plain, err := base64.StdEncoding.DecodeString(basic); err == nil && bytes.Contains(plain, []byte(bobsPassword)) {
			return basic
		}
	}
	for token := range issued.Range {
		if strings.Contains(text, token.(string)) {
			return token.(string)
		}
	}
	return ""
}

// searchedLog is where the servers of tests log to: each line is searched for secrets.
type searchedLog struct{ t testing.TB }

func (l searchedLog) Write(line []byte) (int, error) {
	if secret := secretIn(string(line)); secret != "" {
		l.t.Errorf("%q is in the log: %s", secret, line)
	}
	return len(line), nil
}

// usersFile writes the users of the tests: bob has a prefix for reading and writing, carol one
// for reading and scanning, root is an admin of all, ro reads all.
func usersFile(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "users.json")
	changeUsers(t, path, func(f *access.File) error {
		all := []string{""}
		err := errors.Join(
			f.Add("bob", []byte(bobsPassword), access.Rights{Read: []string{"bob:"}, Write: []string{"bob:"}}, false),
			f.Add("carol", nil, access.Rights{Read: []string{"bob:", "common:"}, Scan: []string{"common:"}}, false),
			f.Add("root", nil, access.Rights{Read: all, Write: all, Scan: all, Admin: true}, false),
			f.Add("ro", nil, access.Rights{Read: all}, false),
			f.Add("wo", nil, access.Rights{Write: all}, false),
		)
		return err
	})
	return path
}

func changeUsers(t *testing.T, path string, change func(*access.File) error) {
	t.Helper()
	if err := access.Change(path, true, change); err != nil {
		t.Fatal(err)
	}
}

func newToken(t *testing.T, path, user string) (token string) {
	t.Helper()
	changeUsers(t, path, func(f *access.File) (err error) {
		_, token, err = f.AddToken(user, time.Time{})
		return err
	})
	issued.Store(token, user)
	return token
}

// startAsBob starts a server with TLS and one user, bob, of the keys that begin with prefix.
func startAsBob(t *testing.T, prefix string) (s *tlsServer, token string) {
	t.Helper()
	path, own := filepath.Join(t.TempDir(), "users.json"), []string{prefix}
	changeUsers(t, path, func(f *access.File) error {
		return f.Add("bob", []byte(bobsPassword), access.Rights{Read: own, Write: own, Scan: own}, false)
	})
	token = newToken(t, path, "bob")
	return startTLS(t, netio.Options{Users: loadUsers(t, path)}), token
}

func loadUsers(t *testing.T, path string) *access.Users {
	t.Helper()
	us, err := access.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return us
}

// logs are what a server has logged.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// withUsers runs a test for both framings, on a server with the users, and looks for secrets
// in its log.
func withUsers(t *testing.T, run func(t *testing.T, s *testServer, path string, log *logs, connect func(t *testing.T) client)) {
	for _, framing := range []string{"JSON Lines", "WebSocket"} {
		t.Run(framing, func(t *testing.T) {
			t.Parallel() // TestNobody waits for five seconds in each
			path := usersFile(t)
			log := new(logs)
			s := startServer(t, netio.Options{Users: loadUsers(t, path), Logger: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
			connect := func(t *testing.T) client {
				if framing == "WebSocket" {
					return dialWebSocket(t, "tcp", s.tcp)
				}
				return dialLines(t, "tcp", s.tcp)
			}
			run(t, s, path, log, connect)
			requireNoSecrets(t, log)
		})
	}
}

func requireNoSecrets(t *testing.T, log *logs) {
	t.Helper()
	text := log.String()
	if secret := secretIn(text); secret != "" {
		t.Errorf("%q is in the log:\n%s", secret, text)
	}
}

func login(t *testing.T, c client, token string) {
	t.Helper()
	c.send(`{"AUTH":{"token":"` + token + `"}}`)
	if got := c.recv(); got != `{"AUTH_RSP":{"st":0}}` {
		t.Fatal(got)
	}
}

// TestRights is a table: user, command, key.
func TestRights(t *testing.T) {
	withUsers(t, func(t *testing.T, s *testServer, path string, log *logs, connect func(*testing.T) client) {
		tokens := map[string]string{}
		for _, user := range []string{"bob", "carol", "root", "ro", "wo"} {
			tokens[user] = newToken(t, path, user)
		}
		s.SetUsers(loadUsers(t, path))
		admin := connect(t)
		login(t, admin, tokens["root"])
		keys := []string{"bob:name", "bob:long-name-of-a-key", "bobby:123", "common:1", "eve:name1", "bob:"}
		may := map[string]map[codec.Class]func(key string) bool{}
		has := func(prefixes ...string) func(string) bool {
			return func(key string) bool {
				return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(key, p) })
			}
		}
		r, w := codec.ClassRead, codec.ClassWrite
		may["bob"] = map[codec.Class]func(string) bool{r: has("bob:"), w: has("bob:"), r | w: has("bob:")}
		may["carol"] = map[codec.Class]func(string) bool{r: has("bob:", "common:"), w: has(), r | w: has()}
		may["root"] = map[codec.Class]func(string) bool{r: has(""), w: has(""), r | w: has("")}
		may["ro"] = map[codec.Class]func(string) bool{r: has(""), w: has(), r | w: has()}
		may["wo"] = map[codec.Class]func(string) bool{r: has(), w: has(""), r | w: has()}
		arguments := map[codec.Shape]string{
			codec.ShapePairs: `{%q:1}`, codec.ShapeKeys: `[%q]`, codec.ShapeRenames: `[{%q:"bob:other1"}]`, codec.ShapeTimes: `{%q:60000}`, codec.ShapeNumbers: `{%q:1}`,
			codec.ShapeComparisons: `{%q:[1,2]}`, codec.ShapeExpected: `{%q:1}`, codec.ShapeAppends: `{%q:"x"}`, codec.ShapeTimedPairs: `{"ttl":60000,"pairs":{%q:1}}`,
		}
		for user, rights := range may {
			c := connect(t)
			login(t, c, tokens[user])
			for op := range codec.Opcodes() {
				argument, ok := arguments[op.Shape()]
				if op.Reply() != codec.ReplyElements || !ok {
					continue
				}
				for _, key := range keys {
					command := fmt.Sprintf(`{%q:`+argument+`,"#":1}`, op.String(), key)
					c.send(command)
					got := c.recv()
					for op.Quiet() && !strings.Contains(got, `"st":0`) && !strings.Contains(got, `"k":`) {
						t.Fatalf("%s: %s: %s", user, command, got)
					}
					want := rights[op.Class()&(r|w)](key)
					if op.Shape() == codec.ShapeRenames {
						want = want && rights[r|w]("bob:other1")
					}
					denied := strings.Contains(got, `"st":13`)
					if short := len(key) < 6; !short && denied == want || short && denied {
						t.Errorf("%s: %s: %s", user, command, got)
					}
				}
			}
			for command, allowed := range map[string]string{
				`{"PING":{}}`: "bob carol root ro wo", `{"COUNT":{}}`: "root", `{"SERVER_INFO":{}}`: "root", `{"SAVE":{}}`: "root",
				`{"KEYS":{}}`: "root", `{"KEYS":{"prefix":"common:"}}`: "root carol", `{"KEYS":{"prefix":"common:x"}}`: "root carol", `{"KEYS":{"prefix":"common"}}`: "root",
				`{"KEYS":{"prefix":"bob:"}}`: "root", `{"KEYS":{"prefix":"common:","values":true}}`: "root carol", `{"FIND":{"==":1}}`: "root", `{"FIND":{"==":1,"prefix":"common:"}}`: "root carol",
				`{"FIND":{"==":1,"prefix":"bob:"}}`: "root", `{"CLEAR":{}}`: "root", `{"CLEAR_SET":{}}`: "root",
			} {
				c.send(command)
				got := c.recv()
				if want := slices.Contains(strings.Fields(allowed), user); strings.Contains(got, `"st":13,"m":`) == want {
					t.Errorf("%s: %s: %s", user, command, got)
				}
			}
		}
		c := connect(t)
		login(t, c, tokens["bob"])
		admin.send(`{"CLEAR":{}}`)
		if got := admin.recv(); !strings.HasPrefix(got, `{"CLEAR_RSP":{"st":0,`) {
			t.Error(got)
		}
		// What is not allowed is not done, and the others proceed.
		c.send(`{"SET":{"bob:name":1,"eve:name1":2,"bob:":3,"bob:name":4}}`)
		for _, want := range []string{`{"SET_RSP":{"st":1,"k":"bob:name"}}`, `{"SET_RSP":{"st":13,"k":"eve:name1"}}`, `{"SET_RSP":{"st":6,"k":"bob:"}}`, `{"SET_RSP":{"st":2,"k":"bob:name"}}`} {
			if got := c.recv(); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		c.send(`{"RNM_KEY":[{"bob:name":"eve:name1"}]}`)
		if got := c.recv(); got != `{"RNM_KEY_RSP":{"bob:name":"eve:name1","st":13}}` {
			t.Error(got)
		}
		admin.send(`{"KEYS":{}}`)
		if got := admin.recv(); got != `{"KEYS_RSP":{"st":0,"keys":["bob:name"]}}` {
			t.Error(got)
		}
		admin.send(`{"CLEAR_SET":{"bob:name":1}}`)
		for _, want := range []string{`{"CLEAR_SET_RSP":{"st":0,"cnt":1}}`, `{"CLEAR_SET_RSP":{"st":1,"k":"bob:name"}}`} {
			if got := admin.recv(); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		for _, want := range []string{`"user":"root","command":"CLEAR"`, `"msg":"refused"`, `"reason":"keys outside of the user's prefixes","command":"`, `"msg":"admin command"`} {
			waitForText(t, log, want)
		}
	})
}

func waitForText(t *testing.T, log fmt.Stringer, want string) {
	t.Helper()
	for deadline := time.Now().Add(patience); !strings.Contains(log.String(), want); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the log lacks %q:\n%s", want, log)
		}
	}
}

// TestNobody: whoever has not said who it is gets nothing but PING and AUTH, and no time.
func TestNobody(t *testing.T) {
	withUsers(t, func(t *testing.T, s *testServer, path string, log *logs, connect func(*testing.T) client) {
		c := connect(t)
		for _, tt := range [][2]string{
			{`{"PING":{}}`, `{"PING_RSP":{"st":0}}`},
			{`{"GET":["bob:name"],"#":7}`, `{"SERVER_ERROR":{"#":7,"s":13,"m":"say who you are before: AUTH"}}`},
			{`{"COUNT":{}}`, `{"SERVER_ERROR":{"s":13,"m":"say who you are before: AUTH"}}`},
			{`{"SETQ":{"bob:name":1}}`, `{"SERVER_ERROR":{"s":13,"m":"say who you are before: AUTH"}}`},
			{`{"GET":[]}`, `{"SERVER_ERROR":{"s":13,"m":"say who you are before: AUTH"}}`},
			{`{"NOPE":1}`, `{"SERVER_ERROR":{"s":3,"m":"unknown command NOPE"}}`},
			{`{"AUTH":{"user":"bob","password":"wrong password"},"#":1}`, `{"AUTH_RSP":{"#":1,"st":13,"m":"wrong user, password or token"}}`},
			{`{"AUTH":{"user":"nobody","password":"correct horse"}}`, `{"AUTH_RSP":{"st":13,"m":"wrong user, password or token"}}`},
			{`{"AUTH":{"token":"secret-token"}}`, `{"AUTH_RSP":{"st":13,"m":"wrong user, password or token"}}`},
		} {
			c.send(tt[0])
			if got := c.recv(); got != tt[1] {
				t.Errorf("%s: %s, want %s", tt[0], got, tt[1])
			}
		}
		// What follows an AUTH waits for it.
		c.send(`{"AUTH":{"user":"bob","password":"correct horse"},"#":"a"}`)
		c.send(`{"SET":{"bob:name":1}}`)
		c.send(`{"AUTH":{"token":"secret-token"}}`)
		c.send(`{"GET":["bob:name"]}`)
		for _, want := range []string{`{"AUTH_RSP":{"#":"a","st":0}}`, `{"SET_RSP":{"st":1,"k":"bob:name"}}`, `{"AUTH_RSP":{"st":13,"m":"wrong user, password or token"}}`, `{"GET_RSP":{"st":0,"bob:name":1}}`} {
			if got := c.recv(); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		if strings.Contains(log.String(), "secret-token") || strings.Contains(log.String(), `"nobody"`) {
			t.Errorf("a token, or what may be a password, is in the log:\n%s", log)
		}
		waitForText(t, log, `"user":"bob","reason":"wrong user, password or token","command":"AUTH"`)
		waitForText(t, log, `"user":"(no such user)"`)

		// 4 KiB in all, and no more in one piece.
		many := connect(t)
		for range 4096/len(`{"PING":{}}`) + 1 {
			many.send(`{"PING":{}}`)
		}
		long := connect(t)
		long.send(`{"AUTH":{"token":"` + strings.Repeat("x", 5000) + `"}}`)
		silent := connect(t)
		for name, c := range map[string]client{"many": many, "long": long, "silent": silent} {
			if got := lastWords(t, c); !strings.Contains(got, "who you are has not been said in") {
				t.Errorf("%s: %s", name, got)
			}
		}
		if st := s.Stats(); st.Total.Errors[netio.ErrorUnauthenticated] != 3 {
			t.Errorf("%d ended unknown", st.Total.Errors[netio.ErrorUnauthenticated])
		}
	})
}

// lastWords reads to the end of a connection and returns what the server said there: its last
// line, or the reason of its close.
func lastWords(t *testing.T, c client) (last string) {
	t.Helper()
	for {
		text, err := receive(c)
		if err == nil {
			last = text
			continue
		}
		var closed websocket.CloseError
		if errors.As(err, &closed) {
			if closed.Code != websocket.StatusPolicyViolation {
				t.Errorf("closed with %d", closed.Code)
			}
			return closed.Reason
		}
		if err != io.EOF {
			t.Error(err)
		}
		if !strings.HasPrefix(last, `{"SERVER_ERROR":{"s":13,`) {
			t.Errorf("the last line is %s", last)
		}
		return last
	}
}

// receive is recv, with the error that a connection's end is.
func receive(c client) (string, error) {
	switch c := c.(type) {
	case *lineClient:
		line, err := c.r.ReadString('\n')
		return strings.TrimSuffix(line, "\n"), err
	case *wsClient:
		_, text, err := c.Read(c.ctx)
		return string(text), err
	}
	panic("no such client")
}

// TestRemovedUsers: who is removed, or whose proof is, is cut off, others are not.
func TestRemovedUsers(t *testing.T) {
	withUsers(t, func(t *testing.T, s *testServer, path string, log *logs, connect func(*testing.T) client) {
		token := newToken(t, path, "carol")
		stays := newToken(t, path, "root")
		s.SetUsers(loadUsers(t, path))
		byPassword, byToken, other := connect(t), connect(t), connect(t)
		byPassword.send(`{"AUTH":{"user":"bob","password":"correct horse"}}`)
		if got := byPassword.recv(); got != `{"AUTH_RSP":{"st":0}}` {
			t.Fatal(got)
		}
		login(t, byToken, token)
		login(t, other, stays)
		changeUsers(t, path, func(f *access.File) error { return errors.Join(f.Remove("bob"), f.Remove("carol")) })
		s.SetUsers(loadUsers(t, path))
		for name, c := range map[string]client{"password": byPassword, "token": byToken} {
			if got := lastWords(t, c); !strings.Contains(got, errRevokedText) {
				t.Errorf("%s: %s", name, got)
			}
		}
		other.send(`{"COUNT":{}}`)
		if got := other.recv(); got != `{"COUNT_RSP":{"st":0,"cnt":0}}` {
			t.Error(got)
		}
		changeUsers(t, path, func(f *access.File) error { return f.Add("root", nil, access.Rights{}, true) })
		s.SetUsers(loadUsers(t, path))
		// His rights are others, as soon as his loop has heard of it.
		got := ""
		for deadline := time.Now().Add(patience); !strings.HasPrefix(got, `{"COUNT_RSP":{"st":13,`) && time.Now().Before(deadline); {
			other.send(`{"COUNT":{}}`)
			got = other.recv()
		}
		if !strings.HasPrefix(got, `{"COUNT_RSP":{"st":13,`) {
			t.Errorf("with other rights: %s", got)
		}
		if st := s.Stats(); st.Total.Errors[netio.ErrorRevoked] != 2 {
			t.Errorf("%d were cut off", st.Total.Errors[netio.ErrorRevoked])
		}
	})
}

const errRevokedText = "your user, password or token is not valid any more"

// TestTokenThatEnds: a connection ends with the time of its token.
func TestTokenThatEnds(t *testing.T) {
	path := usersFile(t)
	var token string
	changeUsers(t, path, func(f *access.File) (err error) {
		_, token, err = f.AddToken("bob", time.Now().Add(3*time.Second)) // in whole seconds
		return err
	})
	s := startServer(t, netio.Options{Users: loadUsers(t, path)})
	c := dialLines(t, "tcp", s.tcp)
	login(t, c, token)
	if got := lastWords(t, c); !strings.Contains(got, errRevokedText) {
		t.Error(got)
	}
}

// TestUpgradeWithProof: a WebSocket says who it is in its request.
func TestUpgradeWithProof(t *testing.T) {
	path := usersFile(t)
	token := newToken(t, path, "bob")
	log := new(logs)
	s := startServer(t, netio.Options{Users: loadUsers(t, path), Logger: slog.New(slog.NewTextHandler(log, nil))})
	basic := func(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }
	for _, tt := range []struct {
		name, authorization string
		subprotocols        []string
		status              int
		user                bool
	}{
		{"nothing", "", nil, 101, false},
		{"bearer", "Bearer " + token, nil, 101, true},
		{"small letters", "bearer  " + token, nil, 101, true},
		{"a wrong token", "Bearer " + token + "x", nil, 401, false},
		{"basic", basic("bob:correct horse"), nil, 101, true},
		{"a wrong password", basic("bob:wrong horse:"), nil, 401, false},
		{"a wrong name", basic("nobody:correct horse"), nil, 401, false},
		{"no colon", basic("bob"), nil, 400, false},
		{"no base64", "Basic ???", nil, 400, false},
		{"digest", `Digest username="bob"`, nil, 400, false},
		{"a subprotocol", "", []string{"keyframe", "bearer." + token}, 101, true},
		{"a wrong subprotocol", "", []string{"keyframe", "bearer.x"}, 401, false},
		{"both", "Bearer " + token, []string{"keyframe", "bearer." + token}, 400, false},
		{"two", "", []string{"bearer." + token, "bearer." + token}, 400, false},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		opts := &websocket.DialOptions{Subprotocols: tt.subprotocols, HTTPHeader: http.Header{}}
		if tt.authorization != "" {
			opts.HTTPHeader.Set("Authorization", tt.authorization)
		}
		c, resp, err := websocket.Dial(ctx, "ws://"+s.tcp, opts)
		if resp == nil || resp.StatusCode != tt.status || (err == nil) != (tt.status == 101) {
			t.Fatalf("%s: %v, %v", tt.name, resp, err)
		}
		if resp.StatusCode == 401 && len(resp.Header.Values("WWW-Authenticate")) != 2 {
			t.Errorf("%s: %v", tt.name, resp.Header)
		}
		if err == nil {
			if want := map[bool]string{true: "keyframe"}[tt.subprotocols != nil]; c.Subprotocol() != want {
				t.Errorf("%s: subprotocol %q", tt.name, c.Subprotocol())
			}
			if err := c.Write(ctx, websocket.MessageText, []byte(`{"GET":["bob:name"]}`)); err != nil {
				t.Fatal(err)
			}
			_, got, err := c.Read(ctx)
			if want := map[bool]string{true: `{"GET_RSP":{"st":3,`, false: `{"SERVER_ERROR":{"s":13,`}[tt.user]; err != nil || !strings.HasPrefix(string(got), want) {
				t.Errorf("%s: %s, %v", tt.name, got, err)
			}
			_ = c.CloseNow()
		}
		cancel()
	}
	if strings.Contains(log.String(), token) || strings.Contains(log.String(), "horse") {
		t.Errorf("a secret is in the log:\n%s", log)
	}
}

// TestInputWhileAuthWaits: what follows an AUTH is not taken in before that is answered, however
// much it is.
func TestInputWhileAuthWaits(t *testing.T) {
	path := usersFile(t)
	s := startServer(t, netio.Options{Users: loadUsers(t, path)})
	c := dialLines(t, "tcp", s.tcp)
	for range 2 { // the second waits for longer than the rest takes to come
		c.sendRaw(`{"AUTH":{"user":"bob","password":"wrong password"}}` + "\n")
	}
	c.recv()
	go func() { _, _ = io.WriteString(c, strings.Repeat("\n", 8<<20)) }()
	answered := make(chan string, 1)
	go func() {
		line, _ := c.r.ReadString('\n')
		answered <- line
	}()
	most := 0
	for {
		select {
		case line := <-answered:
			if !strings.HasPrefix(line, `{"AUTH_RSP":{"st":13`) || most > 512<<10 {
				t.Errorf("%d bytes were held; %s", most, line)
			}
			return
		case <-time.After(time.Millisecond):
			most = max(most, s.Stats().InputBytes)
		}
	}
}

// TestMoreThanAPersonCanType: whoever floods AUTH is told so, and others are served.
func TestMoreThanAPersonCanType(t *testing.T) {
	path := usersFile(t)
	s := startServer(t, netio.Options{Users: loadUsers(t, path)})
	var conns []net.Conn
	for range 40 {
		c, err := net.Dial("tcp", s.tcp)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if _, err := io.WriteString(c, `{"AUTH":{"user":"bob","password":"wrong password"}}`+"\n"); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	busy := 0
	buf := make([]byte, 1000)
	for _, c := range conns[20:] {
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if n, err := c.Read(buf); err != nil {
			t.Fatal(err)
		} else if strings.Contains(string(buf[:n]), "too many attempts at once") {
			busy++
			if busy == 10 {
				break
			}
		}
	}
	if busy < 10 {
		t.Errorf("%d were told that there are too many", busy)
	}
	c := dialLines(t, "tcp", s.tcp)
	c.send(`{"PING":{}}`)
	if got := c.recv(); got != `{"PING_RSP":{"st":0}}` {
		t.Error(got)
	}
}
