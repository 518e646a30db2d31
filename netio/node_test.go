package netio_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"keyframe/netio"
)

// TestNodeClient drives the server with npm's ws, pings and fragments included.
// `make node-deps` installs it; CI does.
func TestNodeClient(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("Node is missing: install it, then run make node-deps")
	}
	if _, err := os.Stat("testdata/node/node_modules/ws"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("CI runs without npm's ws: make node-deps")
		}
		t.Skip("npm's ws is missing: run make node-deps")
	}
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
