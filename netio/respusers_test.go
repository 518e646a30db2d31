package netio_test

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"keyframe/netio"
)

// respCommands are lines as commands of Redis's protocol.
func respCommands(lines ...string) (b []byte) {
	for _, line := range lines {
		words := strings.Fields(line)
		for i, w := range words {
			words[i] = strings.ReplaceAll(w, "~", " ")
		}
		b = append(b, respCommand(words...)...)
	}
	return b
}

// talk sends commands of Redis's protocol and reads to the end of the connection.
func talk(t *testing.T, addr string, in []byte) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(in); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(out), "\r\n", "|")
}

// TestRESPUsers: users over Redis's protocol: who somebody is, by each way to say it, and what
// he may do.
func TestRESPUsers(t *testing.T) {
	path := usersFile(t)
	log := new(logs)
	tokens := map[string]string{}
	for _, user := range []string{"bob", "carol", "root", "ro", "wo"} {
		tokens[user] = newToken(t, path, user)
	}
	s := startServer(t, netio.Options{Users: loadUsers(t, path), Logger: slog.New(slog.NewJSONHandler(log, nil))})
	password := strings.ReplaceAll(bobsPassword, " ", "~")
	const noAuth, noPerm, ok = "-NOAUTH Authentication required.|", "-NOPERM this user has no permissions to access one of the keys used as arguments|", "+OK|"
	hello := "|$6|server|$5|redis|"
	var many strings.Builder
	for i := range 1100 {
		fmt.Fprintf(&many, " bob:%d", i)
	}
	for _, c := range []struct {
		name     string
		commands []string
		replies  []string // "…" at the end: and more
	}{
		{"nobody", []string{"PING", "GET bob:name", "INFO", "HELLO", "AUTH wrong", "AUTH bob wrong", "QUIT"},
			[]string{noAuth, noAuth, noAuth, "-NOAUTH HELLO must be called…", "-WRONGPASS invalid username-password pair or user is disabled.|", "-WRONGPASS invalid username-password pair or user is disabled.|", ok}},
		{"a password", []string{"AUTH bob " + password, "SET bob:name v", "GET bob:name", "GET eve:name", "MGET bob:name eve:name", "MSET bob:a 1 eve:a 2", "EXISTS bob:a", "RENAME bob:name eve:name", "DBSIZE", "KEYS *", "FLUSHALL", "CLIENT LIST", "CONFIG GET *", "CLIENT ID", "DEL" + many.String(), "RESET", "GET bob:name", "QUIT"},
			[]string{ok, ok, "$1|v|", noPerm, noPerm, noPerm, ":0|", noPerm, "-NOPERM you may not list…", "-NOPERM you may not list…", "-NOPERM only an admin…", "-NOPERM only an admin…", "-NOPERM only an admin…", ":…", noPerm, "+RESET|", noAuth, ok}},
		{"HELLO with a password", []string{"HELLO 3 AUTH bob " + password + " SETNAME x", "GET bob:none", "CLIENT GETNAME", "QUIT"}, []string{"%7" + hello + "…", "_|", "$1|x|", ok}},
		{"HELLO with a wrong one", []string{"HELLO 3 AUTH bob wrong SETNAME x", "GET bob:none", "QUIT"}, []string{"-WRONGPASS…", noAuth, ok}},
		{"a token", []string{"AUTH " + tokens["carol"], "GET bob:name", "SET bob:name x", "SCAN 0 MATCH common:* COUNT 1000", "SCAN 0 MATCH bob:*", "SCAN 0", "QUIT"},
			[]string{ok, "$1|v|", noPerm, "*2|$1|0|*0|", "-NOPERM…", "-NOPERM…", ok}},
		{"a token of HELLO's default", []string{"HELLO 2 AUTH default " + tokens["root"], "CONFIG GET databases", "DEL" + many.String() + " bob:name", "DBSIZE", "FLUSHALL", "QUIT"}, []string{"*14" + hello + "…", "*2|$9|databases|$1|1|", ":1|", ":0|", ok, ok}},
		{"only reads", []string{"AUTH " + tokens["ro"], "SET abc 1", "GETDEL abc", "GETEX abc PERSIST", "GET abc", "QUIT"}, []string{ok, noPerm, noPerm, noPerm, "$-1|", ok}},
		{"only writes", []string{"AUTH " + tokens["wo"], "SET abc 1", "SET abc 2 GET", "GETEX abc PERSIST", "GETSET abc 1", "INCR abc", "DEL abc", "QUIT"}, []string{ok, ok, noPerm, noPerm, noPerm, noPerm, ":1|", ok}},
	} {
		got := talk(t, s.tcp, respCommands(c.commands...))
		rest := got
		for i, want := range c.replies {
			if prefix, cut := strings.CutSuffix(want, "…"); cut {
				if !strings.HasPrefix(rest, prefix) {
					t.Errorf("%s, %.40s: %.200q, want %q", c.name, c.commands[i], rest, want)
					break
				}
				next := -1 // where the next reply begins
				if i+1 < len(c.replies) {
					next = strings.Index(rest, "|"+strings.TrimSuffix(c.replies[i+1], "…"))
				}
				if next < 0 {
					t.Errorf("%s, %.40s: %.200q and nothing follows", c.name, c.commands[i], rest)
					break
				}
				rest = rest[next+1:]
				continue
			}
			if !strings.HasPrefix(rest, want) {
				t.Errorf("%s, %.40s: %.200q, want %q", c.name, c.commands[i], rest, want)
				break
			}
			rest = rest[len(want):]
		}
	}
	if got := talk(t, s.tcp, []byte("*2\r\n$4\r\nAUTH\r\n$10000\r\n"+strings.Repeat("x", 6000))); !strings.HasPrefix(got, "-NOAUTH who you are has not been said in the first 4 KiB|") {
		t.Errorf("nobody sends 6,000 bytes and reads %q", got)
	}
	requireNoSecrets(t, log)
}

// TestKilledWhileWaiting: nothing is left of a client that is killed while it has answers to
// read and waits for its password to be looked at.
func TestKilledWhileWaiting(t *testing.T) {
	path := usersFile(t)
	bob, root := newToken(t, path, "bob"), newToken(t, path, "root")
	s := startServer(t, netio.Options{Users: loadUsers(t, path)})
	c := dialRESP(t, s.tcp)
	send := func(lines ...string) {
		if _, err := c.Write(respCommands(lines...)); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.ask("AUTH", bob); got != "+OK" {
		t.Fatal(got)
	}
	id := strings.TrimPrefix(c.ask("CLIENT", "ID"), ":")
	if got := c.ask("SET", "bob:long", strings.Repeat("v", 60_000)); got != "+OK" {
		t.Fatal(got)
	}
	const n = 500 // 30 MB of answers: more than the system keeps of a connection
	send(slices.Repeat([]string{"GET bob:long"}, n)...)
	waitFor(t, "the answers", func() bool { return s.Stats().Total.BytesOut > n*60_000 })
	send("AUTH bob wrong")
	time.Sleep(5 * time.Millisecond) // for that to come; a hash takes longer
	if got := talk(t, s.tcp, respCommands("AUTH "+root, "CLIENT KILL ID "+id, "QUIT")); got != "+OK|:1|+OK|" {
		t.Errorf("%q", got)
	}
	if rest, err := io.Copy(io.Discard, c.r); err != nil || rest < n*60_000 {
		t.Errorf("%d bytes, %v", rest, err)
	}
	_ = c.Close()
	waitFor(t, "the connection to end", func() bool { return s.Stats().Conns == 0 })
}
