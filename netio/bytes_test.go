package netio_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
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

// TestKeysForJSON: KEYS, FIND and HTTP list the keys that JSON's commands reach, and each of
// those can be read; Redis's protocol lists all.
func TestKeysForJSON(t *testing.T) {
	for minKey, reached := range map[int][]string{
		0: {"sixsix", "éééééé", "a😀😀😀😀😀", "seven77", "\"quote"}, // 6, and 1 for Redis's
		1: {"s", "é", "fives", "ééééé", "😀😀😀😀😀", "sixsix", "éééééé", "a😀😀😀😀😀", "seven77", "\"quote"},
		6: {"sixsix", "éééééé", "a😀😀😀😀😀", "seven77", "\"quote"},
	} {
		s := startServer(t, netio.Options{AnyValues: true, MinKeyChars: minKey})
		all := []string{"s", "é", "fives", "ééééé", "😀😀😀😀😀", "sixsix", "éééééé", "a😀😀😀😀😀", "seven77", "\"quote", "seven7\xff", "\xff\xfe\xfd\xfc\xfb\xfa\xf9"}
		if minKey > 1 {
			all = all[5:]
		}
		r := dialRESP(t, s.tcp)
		for _, key := range all {
			if got := r.ask("SET", key, "v"); got != "+OK" {
				t.Fatalf("%q: %s", key, got)
			}
		}
		if got := r.ask("KEYS", "*"); !strings.HasPrefix(got, fmt.Sprintf("*%d ", len(all))) {
			t.Errorf("KEYS of Redis's: %q", got)
		}
		for _, ask := range []struct{ name, command string }{
			{"KEYS", `{"KEYS":{}}`}, {"KEYS", `{"KEYS":{"values":true}}`}, {"FIND", `{"FIND":{"==":"v","values":true}}`}, {"KEYS", "GET /kv/"},
		} {
			c := dialLines(t, "tcp", s.tcp)
			if http := strings.HasPrefix(ask.command, "GET"); http {
				c.sendRaw(ask.command + " HTTP/1.0\r\n\r\n")
				for c.recv() != "\r" {
				}
			} else {
				c.send(ask.command)
			}
			text := c.recv()
			var answer map[string]struct {
				Keys  []string
				Pairs map[string]string
			}
			if err := json.Unmarshal([]byte(text), &answer); err != nil {
				t.Fatalf("%s: %s %v", ask.command, text, err)
			}
			page := answer[ask.name+"_RSP"]
			got := append(page.Keys, slices.Collect(maps.Keys(page.Pairs))...)
			slices.Sort(got)
			if want := slices.Sorted(slices.Values(reached)); !slices.Equal(got, want) {
				t.Errorf("--min-key %d, %s: %q, want %q", minKey, ask.command, got, want)
			}
		}
		c := dialLines(t, "tcp", s.tcp)
		converse(t, c, []exchange{{`{"COUNT":{}}`, one(fmt.Sprintf(`{"COUNT_RSP":{"st":0,"cnt":%d}}`, len(all)))}})
		for _, key := range reached {
			name, _ := json.Marshal(key)
			converse(t, c, []exchange{{fmt.Sprintf(`{"GET":[%s]}`, name), one(fmt.Sprintf(`{"GET_RSP":{"st":0,%s:"v"}}`, name))}})
		}
	}
}

// TestTakeAndSwapOfBytes: what JSON can't be answered with is not taken away, and Redis's
// protocol takes it.
func TestTakeAndSwapOfBytes(t *testing.T) {
	s := startServer(t, netio.Options{})
	r := dialRESP(t, s.tcp)
	for name, c := range map[string]client{"lines": dialLines(t, "tcp", s.tcp), "websocket": dialWebSocket(t, "unix", s.unix)} {
		t.Run(name, func(t *testing.T) {
			raw := strings.Repeat("long ", 10_000) + "\xff"
			if got := r.ask("MSET", "bin_01", "\xff\xfe", "bin_02", raw, "text_1", "a\"\n"); got != "+OK" {
				t.Fatal(got)
			}
			const why = `"m":"the old value is bytes that are not UTF-8; it stays"}}`
			converse(t, c, []exchange{
				{`{"TAKE":["bin_01","text_1","bin_02","bin_01"]}`, []string{
					`{"TAKE_RSP":{"st":7,"k":"bin_01"}}`, `{"TAKE_RSP":{"st":5,"text_1":"a\"\n"}}`, `{"TAKE_RSP":{"st":7,"k":"bin_02"}}`, `{"TAKE_RSP":{"st":7,"k":"bin_01"}}`,
				}},
				{`{"#":1,"TAKE":["bin_01"]}`, one(`{"TAKE_RSP":{"#":1,"st":7,"k":"bin_01"}}`)},
				{`{"CONTAINS":["bin_01","bin_02","text_1"]}`, []string{`{"CONTAINS_RSP":{"st":4,"k":"bin_01"}}`, `{"CONTAINS_RSP":{"st":4,"k":"bin_02"}}`, `{"CONTAINS_RSP":{"st":3,"k":"text_1"}}`}},
				{`{"SWAP":{"bin_01":1,"text_1":2,"bin_02":null}}`, []string{
					`{"SWAP_RSP":{"st":7,"k":"bin_01",` + why, `{"SWAP_RSP":{"st":1,"k":"text_1"}}`,
					`{"SWAP_RSP":{"st":7,"k":"bin_02","m":"null, objects and arrays are values only with --values any"}}`,
				}},
				{`{"SWAP":{"bin_02":{}, "text_1":3},"#":"x"}`, []string{
					`{"SWAP_RSP":{"#":"x","st":7,"k":"bin_02","m":"null, objects and arrays are values only with --values any"}}`, `{"SWAP_RSP":{"#":"x","st":2,"text_1":2}}`,
				}},
				{`{"SWAP":{"bin_02":4},"#":"x"}`, one(`{"SWAP_RSP":{"#":"x","st":7,"k":"bin_02",` + why)},
			})
			for _, ask := range []struct{ command, reply string }{
				{"GET bin_01", "$\xff\xfe"}, {"GETSET bin_01 \xfe", "$\xff\xfe"}, {"GETDEL bin_01", "$\xfe"}, {"EXISTS bin_01", ":0"}, {"GETDEL bin_02", "$" + raw},
			} {
				if got := r.ask(strings.Fields(ask.command)...); got != ask.reply {
					t.Errorf("%s: %.100q, want %.100q", ask.command, got, ask.reply)
				}
			}
			converse(t, c, []exchange{{`{"CLEAR":{}}`, one(`{"CLEAR_RSP":{"st":0,"cnt":1}}`)}})
		})
	}
}
