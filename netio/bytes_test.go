package netio_test

import (
	"bufio"
	"net"
	"testing"
	"time"

	"keyframe/netio"
)

// These tests are about values that one protocol has stored and another reads or changes:
// PROTOCOL.md section 9.

// respClient speaks Redis's protocol.
type respClient struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func dialRESP(t testing.TB, addr string) *respClient {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return &respClient{t, c, bufio.NewReader(c)}
}

// ask sends a command and returns its reply, as readReply has it.
func (c *respClient) ask(words ...string) string {
	c.t.Helper()
	if _, err := c.Write([]byte(respCommand(words...))); err != nil {
		c.t.Fatal(err)
	}
	reply, err := readReply(c.r)
	if err != nil {
		c.t.Fatalf("%q: %v", words, err)
	}
	return reply
}

// TestUpdateOfBytes: an UPDATE doesn't make a JSON text of bytes that have none, which every
// command after it would send as they are.
func TestUpdateOfBytes(t *testing.T) {
	s := startServer(t, netio.Options{AnyValues: true})
	r := dialRESP(t, s.tcp)
	const raw, refused = "\xff\xfe", `{"UPDATE_RSP":{"st":7,"k":"bin_01","m":"places in an object or array are set, by JSON Pointers whose parents exist*`
	if got := r.ask("SET", "bin_01", raw); got != "+OK" {
		t.Fatal(got)
	}
	c := dialLines(t, "tcp", s.tcp)
	converse(t, c, []exchange{
		{`{"UPDATE":{"bin_01":{}}}`, one(refused)}, {`{"UPDATE":{"bin_01":{"/a":1}}}`, one(refused)}, {`{"UPDATE":{"bin_01":{"/a":1,"":2}}}`, one(refused)},
		{`{"GET":["bin_01"]}`, one(`{"GET_RSP":{"st":7,"k":"bin_01"}}`)},
		{`{"KEYS":{"values":true}}`, one(`{"KEYS_RSP":{"st":0,"pairs":{"bin_01":null}}}`)},
		{`{"FIND":{"!=":"x","values":true}}`, one(`{"FIND_RSP":{"st":0,"pairs":{"bin_01":null}}}`)},
	})
	if got := r.ask("JSON.GET", "bin_01"); got != "-WRONGTYPE the value is bytes that are not UTF-8, and so not JSON" {
		t.Fatalf("JSON.GET: %q", got)
	}
	if got := r.ask("GET", "bin_01"); got != "$"+raw {
		t.Fatalf("GET of Redis's: %q", got)
	}
	converse(t, c, []exchange{
		{`{"UPDATE":{"bin_01":{"":["a"],"/-":"b"}}}`, one(`{"UPDATE_RSP":{"st":2,"k":"bin_01"}}`)},
		{`{"GET":["bin_01"]}`, one(`{"GET_RSP":{"st":0,"bin_01":["a","b"]}}`)},
	})
}
