package main_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// issued are the tokens that userCommand has made. They and the passwords of tests are in no log.
var issued sync.Map

func requireNoSecrets(t *testing.T, text string) {
	t.Helper()
	secrets := []string{"correct horse", "battery staple", "a secret of 24 characters", "secret of admins", "PRIVATE KEY", "$argon2id$v="}
	for token := range issued.Range {
		secrets = append(secrets, token.(string))
	}
	for _, secret := range secrets {
		if strings.Contains(text, secret) {
			t.Errorf("the secret %q is in\n%s", secret, text)
		}
	}
}

// userCommand runs keyframe-server user with an input, and wants it to succeed.
func userCommand(t *testing.T, stdin string, args ...string) (stdout string) {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"user"}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, &errs)
	}
	if args[0] == "token" {
		issued.Store(strings.TrimSpace(string(out)), true)
	} else {
		requireNoSecrets(t, string(out)+errs.String())
	}
	return string(out)
}

func TestUserCommand(t *testing.T) {
	dir := t.TempDir()
	users, password := filepath.Join(dir, "users.json"), filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("correct horse\nnot this\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	userCommand(t, "", "add", "--users", users, "--password-file", password, "--allow", "read,write", "--prefix", "bob:", "bob")
	userCommand(t, "battery staple\n", "add", "--users", users, "--allow", "admin,scan", "root")
	userCommand(t, "", "add", "--users", users, "--allow", "read", "--no-password", "robot")
	token := strings.TrimSpace(userCommand(t, "", "token", "--users", users, "--expires", "720h", "robot"))
	if len(token) != 43 {
		t.Errorf("token %q", token)
	}
	text, err := os.ReadFile(users)
	if err != nil || !json.Valid(text) {
		t.Fatalf("%s, %v", text, err)
	}
	for _, secret := range []string{token, "correct horse", "battery staple"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("the file has the secret %q", secret)
		}
	}
	if info, _ := os.Stat(users); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	list := userCommand(t, "", "list", "--users", users)
	for _, want := range []string{`bob`, `read ["bob:"], write ["bob:"]`, `scan [""], admin`, `no password`, "token ", "until "} {
		if !strings.Contains(list, want) {
			t.Errorf("the list lacks %q:\n%s", want, list)
		}
	}
	for _, tt := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{}, 2, `not ""`},
		{[]string{"make"}, 2, `not "make"`},
		{[]string{"add", "bob"}, 2, "--users is missing"},
		{[]string{"add", "--users", users}, 2, "takes 1 names, not 0"},
		{[]string{"list", "--users", users, "bob"}, 2, "takes 0 names, not 1"},
		{[]string{"add", "--users", users, "--no-such"}, 2, "unknown flag"},
		{[]string{"add", "--users", users, "--no-password", "eve"}, 1, "--allow is missing"},
		{[]string{"add", "--users", users, "--no-password", "--allow", "delete", "eve"}, 1, `not "delete"`},
		{[]string{"add", "--users", users, "--no-password", "--allow", "read", "bob"}, 1, "--replace"},
		{[]string{"add", "--users", users, "--allow", "read", "--password-file", users + "x", "eve"}, 1, "no such file"},
		{[]string{"add", "--users", users, "--allow", "read", "eve"}, 1, "a password has 8 to 1024 bytes"},
		{[]string{"token", "--users", users, "eve"}, 1, `there is no user "eve"`},
		{[]string{"token", "--users", users, "--expires", "2020-01-01", "bob"}, 1, "want a time to come"},
		{[]string{"remove", "--users", users, "eve"}, 1, `there is no user "eve"`},
		{[]string{"remove", "--users", users, "--token", "x", "robot"}, 1, `has no token "x"`},
		{[]string{"list", "--users", users + "x"}, 1, "no such file"},
		{[]string{"--help"}, 0, ""},
	} {
		status, _, stderr := runToEnd(t, append([]string{"user"}, tt.args...)...)
		if status != tt.status || !strings.Contains(stderr, tt.want) {
			t.Errorf("%v: %d, %s", tt.args, status, stderr)
		}
	}
	if after, _ := os.ReadFile(users); string(after) != string(text) {
		t.Error("a command that failed has changed the file")
	}
	if err := os.Chmod(password, 0o644); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := runToEnd(t, "user", "add", "--users", users, "--password-file", password, "--allow", "read", "eve"); status != 1 || !strings.Contains(stderr, "others may read it") {
		t.Errorf("%d, %s", status, stderr)
	}
	if err := os.Chmod(users, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"user", "list", "--users", users}, {"user", "remove", "--users", users, "bob"}, {"--listen", "127.0.0.1:0", "--users", users}} {
		if status, _, stderr := runToEnd(t, args...); status == 0 || !strings.Contains(stderr, "others may write it") {
			t.Errorf("%v: %d, %s", args, status, stderr)
		}
	}
	if err := os.Chmod(users, 0o600); err != nil {
		t.Fatal(err)
	}
	userCommand(t, "", "remove", "--users", users, "bob")
	if list := userCommand(t, "", "list", "--users", users); strings.Contains(list, "bob") {
		t.Errorf("bob is still there:\n%s", list)
	}
}

// lineConn is one client of a server.
type lineConn struct {
	net.Conn
	r *bufio.Reader
}

func connect(t *testing.T, addr string) *lineConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return &lineConn{c, bufio.NewReader(c)}
}

// ask sends a command and returns the answer, or what the end of the connection is.
func (c *lineConn) ask(command string) string {
	_, _ = io.WriteString(c, command+"\n")
	line, err := c.r.ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return strings.TrimSuffix(line, "\n")
}

// TestReload: SIGHUP takes over what is right, and nothing if anything is wrong.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	users, config, adminToken := filepath.Join(dir, "users.json"), filepath.Join(dir, "keyframe.toml"), filepath.Join(dir, "token")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(adminToken, "the first secret of admins")
	write(config, `max-conns = 3`)
	userCommand(t, "", "add", "--users", users, "--no-password", "--allow", "read,write,scan,admin", "root")
	userCommand(t, "", "add", "--users", users, "--no-password", "--allow", "read", "--prefix", "bob:", "bob")
	root := strings.TrimSpace(userCommand(t, "", "token", "--users", users, "root"))
	bob := strings.TrimSpace(userCommand(t, "", "token", "--users", users, "bob"))
	p := start(t, "--listen", "127.0.0.1:0", "--users", users, "--config", config, "--admin", "0", "--admin-token-file", adminToken, "--log-format", "json")
	hangUps := 0
	hangUp := func(want string) {
		t.Helper()
		hangUps++
		if err := p.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		p.waitForLog(t, "SIGHUP: ", hangUps)
		lines := strings.Split(strings.TrimSpace(p.stderr.String()), "\n")
		for i := len(lines) - 1; i >= 0; i-- {
			if strings.Contains(lines[i], "SIGHUP: ") {
				if !strings.Contains(lines[i], want) {
					t.Errorf("%s\nlacks %s", lines[i], want)
				}
				return
			}
		}
	}
	auth := func(c *lineConn, token, want string) {
		t.Helper()
		if got := c.ask(`{"AUTH":{"token":"` + token + `"}}`); !strings.HasPrefix(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	admin, user := connect(t, p.addr), connect(t, p.addr)
	auth(admin, root, `{"AUTH_RSP":{"st":0}}`)
	auth(user, bob, `{"AUTH_RSP":{"st":0}}`)
	hangUp("nothing has changed")

	// A fault of any of it changes nothing.
	before, err := os.ReadFile(users)
	if err != nil {
		t.Fatal(err)
	}
	write(config, "max-conns = 2\nmin-key = 1\nno-such = 1")
	hangUp(`no such option`)
	write(config, `max-conns = 2`)
	write(users, `{"users":[{"name":"bob","allow":{"all":true}}]}`)
	hangUp(`unknown field`)
	if got := user.ask(`{"GET":["bob:name"]}`); got != `{"GET_RSP":{"st":3,"k":"bob:name"}}` {
		t.Errorf("after faults: %s", got)
	}
	third := connect(t, p.addr)
	auth(third, root, `{"AUTH_RSP":{"st":0}}`)
	_ = third.Close()

	// What is right is taken over: two connections now, and bob has gone.
	write(users, string(before))
	userCommand(t, "", "remove", "--users", users, "bob")
	write(config, "max-conns = 1\nlog-level = \"error\"\nmin-key = 1\nloops = 1")
	write(adminToken, "the second secret of admins")
	hangUp(`"changed":"max-conns, log-level, users' file, admin token","restart":"min-key, loops"`)
	got := user.ask(`{"PING":{}}`)
	// The connections end after the line in the log.
	for until := time.Now().Add(10 * time.Second); got == `{"PING_RSP":{"st":0}}` && time.Now().Before(until); {
		got = user.ask(`{"PING":{}}`)
	}
	if !strings.HasPrefix(got, `{"SERVER_ERROR":{"s":13,`) {
		t.Errorf("a removed user gets %s", got)
	}
	if got := user.ask(`{"PING":{}}`); strings.HasPrefix(got, "{") {
		t.Errorf("a removed user is still answered: %s", got)
	}
	if got := connect(t, p.addr).ask(`{"PING":{}}`); !strings.Contains(got, "too many connections") {
		t.Errorf("one too many: %s", got)
	}
	if got := admin.ask(`{"COUNT":{}}`); got != `{"COUNT_RSP":{"st":0,"cnt":0}}` {
		t.Errorf("who stays gets %s", got)
	}
}

// TestUsersCountAsAuthentication: a server with users may listen to other machines, and says
// where secrets could be read on their way.
func TestUsersCountAsAuthentication(t *testing.T) {
	users := filepath.Join(t.TempDir(), "users.json")
	userCommand(t, "", "add", "--users", users, "--no-password", "--allow", "read", "bob")
	p := start(t, "--listen", "0.0.0.0:0", "--users", users)
	p.waitForLog(t, "passwords and tokens can be read on their way here", 1)
	if status, _, stderr := runToEnd(t, "--listen", "0.0.0.0:0"); status != 2 || !strings.Contains(stderr, "or --users") {
		t.Errorf("%d, %s", status, stderr)
	}
	if status, _, stderr := runToEnd(t, "config", "check", "--users", users+"x"); status != 2 || !strings.Contains(stderr, "--users: ") {
		t.Errorf("%d, %s", status, stderr)
	}
}
