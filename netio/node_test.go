package netio_test

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"keyframe/netio"
)

// node returns Node's path, or skips the test: `make node-deps` installs npm's ws; CI does.
func node(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		t.Skip("Node is missing: install it, then run make node-deps")
	}
	if _, err := os.Stat("testdata/node/node_modules/ws"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("CI runs without npm's ws: make node-deps")
		}
		t.Skip("npm's ws is missing: run make node-deps")
	}
	return path
}

// TestNodeClient drives the server with npm's ws, pings and fragments included.
func TestNodeClient(t *testing.T) {
	node := node(t)
	type step struct {
		Send string   `json:"send"`
		Want []string `json:"want"`
	}
	steps := []step{
		{`{"SET":{"user1234_name":"bob","user1234_age":31}}`, []string{`{"SET_RSP":{"st":1,"k":"user1234_name"}}`, `{"SET_RSP":{"st":1,"k":"user1234_age"}}`}},
		{`{"GET":["user1234_name"]}`, []string{`{"GET_RSP":{"st":0,"user1234_name":"bob"}}`}},
		{`{"SET":{"éééééé":"😀","key1":1}}`, []string{`{"SET_RSP":{"st":1,"k":"éééééé"}}`, `{"SET_RSP":{"st":6,"k":"key1"}}`}},
		{`{"GET":["éééééé"]}`, []string{`{"GET_RSP":{"st":0,"éééééé":"😀"}}`}},
		{`{"SET":{}}`, []string{}},
		{`{"RNM_KEY":[{"éééééé":"renamed"}]}`, []string{`{"RNM_KEY_RSP":{"éééééé":"renamed","st":1}}`}},
		{`[]`, []string{`{"SERVER_ERROR":{"s":4,"m":"Only one command permitted"}}`}},
		{`{"ADD":{"renamed":2}}`, []string{`{"ADD_RSP":{"st":4,"k":"renamed"}}`}},
		{`{"CONTAINS":["renamed"]}`, []string{`{"CONTAINS_RSP":{"st":4,"k":"renamed"}}`}},
		{`{"RMV":["renamed"]}`, []string{`{"RMV_RSP":{"st":5,"k":"renamed"}}`}},
		{`{"COUNT":{}}`, []string{`{"COUNT_RSP":{"st":0,"cnt":2}}`}},
		{`{"CLEAR":{}}`, []string{`{"CLEAR_RSP":{"st":0,"cnt":2}}`}},
	}
	text, err := json.Marshal(steps)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "steps.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, netio.Options{})
	for _, url := range []string{"ws://" + s.tcp + "/", "ws+unix:" + s.unix} {
		out, err := exec.Command(node, "testdata/node/client.mjs", url, file).CombinedOutput()
		t.Logf("%s: %s", url, out)
		if err != nil {
			t.Fatalf("%s: %v", url, err)
		}
	}
}

// TestNodeUpgrades has npm's ws ask for subprotocols, name the origin of a page, and send
// bytes instead of text: PROTOCOL.md section 1.
func TestNodeUpgrades(t *testing.T) {
	node := node(t)
	type attempt struct {
		Protocols []string `json:"protocols,omitempty"`
		Origin    string   `json:"origin,omitempty"`
		Send      string   `json:"send"`
		Binary    bool     `json:"binary"`
		Fragments bool     `json:"fragments"`
	}
	type outcome struct {
		Opened   bool
		Protocol string
		Status   int
		Answer   string
		Binary   bool
		Code     int
		Error    string
	}
	const count, counted = `{"COUNT":{}}`, `{"COUNT_RSP":{"st":0,"cnt":0}}`
	served := outcome{Opened: true, Answer: counted, Code: 1000}
	agreed := served
	agreed.Protocol = "keyframe"
	type row struct {
		name string
		attempt
		want outcome
	}
	try := func(opts netio.Options, rows func(url string) []row) {
		s := startServer(t, opts)
		all := rows(s.tcp)
		var attempts []attempt
		for _, r := range all {
			attempts = append(attempts, r.attempt)
		}
		text, err := json.Marshal(attempts)
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(node, "testdata/node/upgrades.mjs", "ws://"+s.tcp+"/", string(text)).Output()
		if err != nil {
			var failed *exec.ExitError
			if errors.As(err, &failed) {
				out = failed.Stderr
			}
			t.Fatalf("%v: %s", err, out)
		}
		var got []outcome
		if err := json.Unmarshal(out, &got); err != nil || len(got) != len(all) {
			t.Fatalf("%v: %s", err, out)
		}
		for i, r := range all {
			if got[i] != r.want {
				t.Errorf("%s: got %+v, want %+v", r.name, got[i], r.want)
			}
		}
	}
	try(netio.Options{AllowOrigins: []string{"https://allowed.example"}}, func(addr string) []row {
		return []row{
			{"no subprotocol", attempt{Send: count}, served},
			{"keyframe", attempt{Protocols: []string{"keyframe"}, Send: count}, agreed},
			{"keyframe and another", attempt{Protocols: []string{"keyframe", "x"}, Send: count}, agreed},
			{"another and keyframe", attempt{Protocols: []string{"x", "keyframe"}, Send: count}, agreed},
			// The server upgrades; it is the client that wants one of those it asked for.
			{"another only", attempt{Protocols: []string{"x"}, Send: count}, outcome{Error: "Server sent no subprotocol", Code: 1006}},
			{"bytes", attempt{Send: count, Binary: true}, served},
			{"bytes in fragments", attempt{Send: count, Binary: true, Fragments: true}, served},
			{"a foreign page", attempt{Origin: "https://example.com", Send: count}, outcome{Status: 403}},
			{"a page without an origin", attempt{Origin: "null", Send: count}, outcome{Status: 403}},
			{"the server's own page", attempt{Origin: "http://" + addr, Send: count}, served},
			{"an allowed page", attempt{Origin: "https://allowed.example", Send: count}, served},
		}
	})
	try(netio.Options{StrictText: true}, func(string) []row {
		refused := outcome{Opened: true, Code: 1003}
		return []row{
			{"strict: text", attempt{Send: count}, served},
			{"strict: text in fragments", attempt{Send: count, Fragments: true}, served},
			{"strict: bytes", attempt{Send: count, Binary: true}, refused},
			{"strict: bytes in fragments", attempt{Send: count, Binary: true, Fragments: true}, refused},
		}
	})
}

// TestNodeRedisClients drives the server with ioredis and node-redis.
func TestNodeRedisClients(t *testing.T) {
	node := node(t)
	if _, err := os.Stat("testdata/node/node_modules/ioredis"); err != nil {
		t.Skip("ioredis is missing: run make node-deps")
	}
	drive := func(t *testing.T, s *testServer, args ...string) {
		_, port, err := net.SplitHostPort(s.tcp)
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(node, append([]string{"testdata/node/redis.mjs", port}, args...)...).CombinedOutput()
		if err != nil || string(out) != "ok\n" {
			t.Fatalf("%v: %s", err, out)
		}
	}
	t.Run("plain", func(t *testing.T) { drive(t, startServer(t, netio.Options{})) })
	t.Run("TLS and users", func(t *testing.T) {
		s, _ := startAsBob(t, "own:")
		drive(t, s.testServer, s.ca.File, bobsPassword)
	})
}
