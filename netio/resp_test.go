package netio

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"keyframe/codec"
	"keyframe/codec/resp"
	"keyframe/engine"
)

// words is a command of Redis's protocol, as a client sends it. Words are cut at spaces; ~ is
// a space, and "" an empty word.
func wordsOf(line string) []byte {
	fields := strings.Fields(line)
	b := resp.AppendArray(nil, len(fields))
	for _, f := range fields {
		b = resp.AppendText(b, strings.ReplaceAll(strings.ReplaceAll(f, "~", " "), `""`, ""))
	}
	return b
}

// respSession are commands with their replies, \r\n left out as |. The store is empty before
// the first.
var respSession = []struct{ command, reply string }{
	{"PING", "+PONG|"}, {"ping hello", "$5|hello|"}, {"ECHO a~b", "$3|a b|"},
	{"SET k v", "+OK|"}, {"GET k", "$1|v|"}, {"get nope", "$-1|"},
	{"SET k w NX", "$-1|"}, {"SET k w XX", "+OK|"}, {"SET nope w XX", "$-1|"}, {"SET k x GET", "$1|w|"}, {"SET k y NX GET", "$1|x|"},
	{"SET new y GET", "$-1|"}, {"SET none y XX GET", "$-1|"},
	{"SET k v EX 100", "+OK|"}, {"TTL k", ":100|"}, {"SET k v2 KEEPTTL", "+OK|"}, {"TTL k", ":100|"}, {"GETSET k v3", "$2|v2|"}, {"TTL k", ":-1|"},
	{"SET k v PX 5000 EX 5", "-ERR syntax error|"}, {"SET k v EX 0", "-ERR invalid expire time in 'set' command|"}, {"SET k v EX x", "-ERR value is not an integer or out of range|"},
	{"SET k v EX", "-ERR syntax error|"}, {"SET k v NX XX", "-ERR syntax error|"}, {"SET k", "-ERR wrong number of arguments for 'set' command|"},
	{"SETNX k x", ":0|"}, {"SETNX k2 x", ":1|"}, {"SETEX k 10 v", "+OK|"}, {"PSETEX k 10000 v", "+OK|"}, {"PTTL k", ":10000|"}, {"SETEX k -1 v", "-ERR invalid expire time in 'setex' command|"},
	{"MSET a 1 b 2 c 3", "+OK|"}, {"MGET a nope b", "*3|$1|1|$-1|$1|2|"}, {"MSET a 1 b", "-ERR wrong number of arguments for 'mset' command|"},
	{"DEL a nope b", ":2|"}, {"UNLINK c", ":1|"}, {"EXISTS k k nope", ":2|"}, {"TOUCH k", ":1|"},
	{"INCR n", ":1|"}, {"INCRBY n 41", ":42|"}, {"DECR n", ":41|"}, {"DECRBY n 40", ":1|"}, {"GET n", "$1|1|"}, {"INCR k2", "-ERR value is not an integer or out of range|"}, {"INCRBY n 1.5", "-ERR value is not an integer or out of range|"},
	{"SET n 9223372036854775807", "+OK|"}, {"INCR n", "-ERR value is not an integer or out of range|"}, {"DECRBY n -9223372036854775808", "-ERR decrement would overflow|"},
	{"INCRBYFLOAT f 10.5", "$4|10.5|"}, {"INCRBYFLOAT f 0.1", "$4|10.6|"}, {"INCRBYFLOAT f -5.6e0", "$1|5|"}, {"INCRBYFLOAT f x", "-ERR value is not a valid float|"}, {"INCRBYFLOAT k2 1", "-ERR value is not a valid float|"},
	{"APPEND ap Hello", ":5|"}, {"APPEND ap ~World", ":11|"}, {"GET ap", "$11|Hello World|"}, {"STRLEN ap", ":11|"}, {"STRLEN nope", ":0|"},
	{"TYPE ap", "+string|"}, {"TYPE nope", "+none|"},
	{"EXPIRE ap 100", ":1|"}, {"EXPIRE nope 100", ":0|"}, {"EXPIRE ap 50 GT", ":0|"}, {"EXPIRE ap 50 LT", ":1|"}, {"EXPIRE ap 60 NX", ":0|"}, {"EXPIRE ap 60 XX", ":1|"}, {"TTL ap", ":60|"},
	{"EXPIRE ap 60 NX XX", "-ERR NX and XX, GT or LT options at the same time are not compatible|"}, {"EXPIRE ap 1 ZZ", "-ERR Unsupported option ZZ|"},
	{"PEXPIRE ap 7000", ":1|"}, {"PTTL ap", ":7000|"}, {"PEXPIREAT ap 1800000000123", ":1|"}, {"PEXPIRETIME ap", ":1800000000123|"}, {"EXPIRETIME ap", ":1800000000|"}, {"EXPIREAT ap 1800000001", ":1|"}, {"EXPIRETIME ap", ":1800000001|"},
	{"PERSIST ap", ":1|"}, {"PERSIST ap", ":0|"}, {"TTL ap", ":-1|"}, {"TTL nope", ":-2|"}, {"EXPIRE ap 9223372036854775807", "-ERR invalid expire time in 'expire' command|"},
	{"EXPIRE ap -1", ":1|"}, {"EXISTS ap", ":0|"},
	{"SET g v EX 100", "+OK|"}, {"GETEX g", "$1|v|"}, {"TTL g", ":100|"}, {"GETEX g PERSIST", "$1|v|"}, {"TTL g", ":-1|"}, {"GETEX g EX 10", "$1|v|"}, {"TTL g", ":10|"}, {"GETEX nope EX 10", "$-1|"}, {"GETEX g EX", "-ERR syntax error|"}, {"GETEX g PXAT 1", "$1|v|"}, {"GET g", "$-1|"},
	{"SET r 1", "+OK|"}, {"GETDEL r", "$1|1|"}, {"GETDEL r", "$-1|"},
	{"SET r 1 EX 100", "+OK|"}, {"RENAME r k", "+OK|"}, {"GET k", "$1|1|"}, {"TTL k", ":100|"}, {"RENAME r k", "-ERR no such key|"}, {"RENAMENX k k2", ":0|"}, {"RENAMENX k k3", ":1|"}, {"RENAMENX k k3", "-ERR no such key|"}, {"RENAME k3 k3", "+OK|"},
	{"OBJECT ENCODING n", "$3|int|"}, {"OBJECT ENCODING k2", "$6|embstr|"}, {"OBJECT ENCODING nope", "$-1|"}, {"MEMORY USAGE nope", "$-1|"}, {"OBJECT FREQ n", "-ERR unknown subcommand or wrong number of arguments for 'FREQ'. Try OBJECT HELP.|"},
	{`SET "" v`, "-ERR invalid key: a key has 1 characters at least and 65535 bytes at most|"}, {`MGET k ""`, "-ERR invalid key: a key has 1 characters at least and 65535 bytes at most|"},
	{`SET e ""`, "+OK|"}, {"GET e", "$0||"},
	{"SELECT 0", "+OK|"}, {"SELECT 1", "-ERR DB index is out of range|"}, {"WAIT 0 0", ":0|"},
	{"MULTI", "-ERR MULTI is not served: there are no transactions here|"}, {"EXEC", "-ERR EXEC without MULTI|"}, {"WATCH k", "-ERR WATCH is not served: there are no transactions here|"},
	{"MSETNX a 1", "-ERR MSETNX is not served: it could not be atomic here; use SET with NX, key by key|"}, {"SHUTDOWN", "-NOPERM SHUTDOWN is not served: whoever started the server ends it|"},
	{"LPUSH l 1", "-ERR unknown command 'LPUSH', with args beginning with: 'l' '1' |"}, {"GET", "-ERR wrong number of arguments for 'get' command|"},
	{"AUTH x", "-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?|"},
	{"SAVE", "-ERR the store is not on disk: the server has no --data-dir|"}, {"BGSAVE", "-ERR the store is not on disk: the server has no --data-dir|"},
	{"COMMAND COUNT", fmt.Sprintf(":%d|", len(resp.Commands()))}, {"COMMAND INFO nope", "*1|*-1|"}, {"COMMAND GETKEYS MSET a 1 b 2", "*2|$1|a|$1|b|"},
	{"CONFIG GET data*", "*2|$9|databases|$1|1|"}, {"CONFIG GET append*", "*4|$11|appendfsync|$8|everysec|$10|appendonly|$2|no|"}, {"CONFIG SET a b", "-ERR CONFIG SET is not served: options are given when the server starts|"},
	{"CLIENT ID", ":1|"}, {"CLIENT GETNAME", "$-1|"}, {"CLIENT SETNAME me", "+OK|"}, {"CLIENT GETNAME", "$2|me|"}, {"CLIENT SETNAME a~b", "-ERR Client names cannot contain spaces, newlines or special characters.|"}, {"CLIENT SETINFO lib-name x", "+OK|"}, {"CLIENT NO-EVICT on", "+OK|"}, {"CLIENT KILL 1.2.3.4:5", "-ERR No such client|"}, {"CLIENT KILL ID 77", ":0|"},
	{`JSON.SET j $ {"a":1}`, "+OK|"}, {"JSON.GET j", `$7|{"a":1}|`}, {"JSON.GET j $", `$9|[{"a":1}]|`}, {"GET j", `$7|{"a":1}|`}, {"JSON.TYPE j", "$6|object|"}, {"JSON.SET j $ 1 NX", "$-1|"}, {"JSON.SET j . 1 XX", "+OK|"}, {"JSON.TYPE j $", "$7|integer|"}, {"INCR j", ":2|"}, {"JSON.MGET j k2 nope $", `*3|$3|[2]|$5|["x"]|$-1|`}, {"JSON.GET j $.a", "-ERR only the whole value has a path here: $ or .|"}, {"JSON.SET j $ {", "-ERR not JSON: unexpected end at byte 1, want a name in quotes|"}, {"JSON.DEL j", ":1|"},
	{"HELLO 4", "-NOPROTO unsupported protocol version|"}, {"HELLO 3", "%7|$6|server|$5|redis|$7|version|$5|7.0.0|$5|proto|:3|$2|id|:1|$4|mode|$10|standalone|$4|role|$6|master|$7|modules|*0|"},
	{"GET nope", "_|"}, {"MGET nope k2", "*2|_|$1|x|"}, {"CONFIG GET databases", "%1|$9|databases|$1|1|"}, {"RESET", "+RESET|"}, {"GET nope", "$-1|"},
	{"FLUSHALL", "+OK|"}, {"DBSIZE", ":0|"}, {"RANDOMKEY", "$-1|"}, {"SET only v", "+OK|"}, {"RANDOMKEY", "$4|only|"}, {"KEYS *", "*1|$4|only|"}, {"KEYS o?l[x-z]", "*1|$4|only|"}, {"KEYS x*", "*0|"}, {"SCAN 0 COUNT 1000", "*2|$1|0|*1|$4|only|"}, {"SCAN 0 MATCH x* COUNT 1000", "*2|$1|0|*0|"}, {"SCAN 0 COUNT 1000 TYPE hash", "*2|$1|0|*0|"}, {"SCAN x", "-ERR invalid cursor|"}, {"SCAN 0 COUNT 0", "-ERR syntax error|"}, {"DBSIZE", ":1|"}, {"FLUSHDB ASYNC", "+OK|"},
	{"QUIT", "+OK|"},
}

func respInput() (in []byte, want string) {
	for _, s := range respSession {
		in = append(in, wordsOf(s.command)...)
		want += s.reply
	}
	return in, want
}

// redisTime has the server's clock stand still, at a time before the deadlines in the session.
func redisTime(h *harness) {
	h.srv.now = func() time.Time { return time.UnixMilli(1_795_000_000_000) }
	h.loop.pipe.now = h.srv.now
}

func asLines(b []byte) string { return strings.ReplaceAll(string(b), "\r\n", "|") }

// compareReplies shows the first command whose reply is another.
func compareReplies(t *testing.T, got string) {
	t.Helper()
	for _, s := range respSession {
		if !strings.HasPrefix(got, s.reply) {
			t.Fatalf("%s: %.200q, want %q", s.command, got, s.reply)
		}
		got = got[len(s.reply):]
	}
	if got != "" {
		t.Fatalf("and then %q", got)
	}
}

// TestRESPSession: every command, whole and cut at every byte.
func TestRESPSession(t *testing.T) {
	in, _ := respInput()
	play := func(pieces ...[]byte) string {
		h := newHarness(t, Options{AnyValues: true})
		redisTime(h)
		h.startReading()
		for _, piece := range pieces {
			h.feed(piece)
		}
		return asLines(h.finish())
	}
	compareReplies(t, play(in))
	var single [][]byte
	for i := range in {
		single = append(single, in[i:i+1])
	}
	compareReplies(t, play(single...))
	for cut := 0; cut < len(in); cut += 1 + cut%61 {
		compareReplies(t, play(in[:cut], in[cut:]))
	}
	for _, s := range respSession { // and none is left out
		name := strings.ToLower(strings.Fields(s.command)[0])
		tried[name] = true
	}
	for _, c := range resp.Commands() {
		if !tried[c.Name] {
			t.Errorf("%s is in no session", c.Name)
		}
	}
}

// tried are the commands that other tests have.
var tried = map[string]bool{"info": true, "command": true, "lastsave": true, "discard": true, "unwatch": true}

// TestRESPCommitted: the same session with batches that are applied later, and answers that
// are held.
func TestRESPCommitted(t *testing.T) {
	r := newRand(t)
	in, _ := respInput()
	for i := range 40 {
		h := newHarness(t, Options{AnyValues: true})
		redisTime(h)
		c := h.commitWith(i%3 != 0, i%2 == 0)
		h.startReading()
		other, client := h.newConn()
		for rest := in; len(rest) > 0; {
			n := min(len(rest), 1+r.IntN(2000))
			h.feed(rest[:n])
			rest = rest[n:]
			for range r.IntN(4) {
				c.step(r)
				h.runEvents(false)
			}
			h.loop.serve(other, wordsOf("ECHO another")) // which uses the same scratch
			if c.holding {
				continue // its answers, too
			}
			if got := asLines(readSome(t, client)); got != "$7|another|" {
				t.Fatalf("the other connection reads %q", got)
			}
		}
		for len(c.submitted) > 0 || c.holding && c.applied > c.loop.released {
			c.step(r)
			h.runEvents(false)
		}
		got := asLines(h.finish())
		if !strings.HasPrefix(got, "+PONG|") {
			t.Fatalf("%q", got)
		}
		compareReplies(t, got)
	}
}

// TestRESPLong: commands with more words than one batch has operations, and answers longer
// than a turn's, are what they would be in one go, wherever their turns end.
func TestRESPLong(t *testing.T) {
	const keys = 5000
	value := strings.Repeat("v", 300)
	mset, mget, del := []byte("*"+fmt.Sprint(1+2*keys)+"\r\n$4\r\nMSET\r\n"), []byte("*"+fmt.Sprint(2+keys)+"\r\n$4\r\nMGET\r\n"), []byte("*"+fmt.Sprint(1+keys)+"\r\n$3\r\nDEL\r\n")
	want := fmt.Appendf(nil, "+OK\r\n*%d\r\n", keys+1)
	for i := range keys {
		key := fmt.Sprintf("key%d", i)
		mset = resp.AppendText(resp.AppendText(mset, key), value)
		mget = resp.AppendText(mget, key)
		del = resp.AppendText(del, key)
		want = resp.AppendText(want, value)
	}
	mget = resp.AppendText(mget, "nope")
	short := wordsOf("MGET key1 nope key2 key3 key4 key5")
	want = append(want, "$-1\r\n"...)
	for range 2 {
		want = append(want, "*6\r\n"...)
		for i := range 6 {
			if i == 1 {
				want = append(want, "$-1\r\n"...)
				continue
			}
			want = resp.AppendText(want, value)
		}
	}
	want = fmt.Appendf(want, ":%d\r\n:0\r\n-ERR wrong number of arguments for 'mset' command\r\n-ERR invalid key: a key has 1 characters at least and 65535 bytes at most\r\n:0\r\n", keys)
	odd := append([]byte("*"+fmt.Sprint(2*keys)+"\r\n"), mset[bytes.Index(mset, []byte("$4")):]...)
	odd = odd[:len(odd)-len(resp.AppendText(nil, value))]
	bad := bytes.Replace(mset, []byte("$7\r\nkey4000"), []byte("$0\r\n"), 1)
	in := slices.Concat(mset, mget, short, short, del, del, odd, bad, wordsOf("DBSIZE"))
	r := newRand(t)
	for i := range 16 {
		h := newHarness(t, Options{})
		if i > 0 {
			h.srv.shares.turnOutputBytes = 1 + r.IntN(5000)
			h.srv.shares.batchOps = 1 + r.IntN(1000)
			h.srv.shares.turnCost = 1 + r.IntN(100_000)
			h.loop.pipe.shares = h.srv.shares
		}
		var c *testCommitter
		if i > 8 {
			c = h.commitWith(true, i%2 == 0)
		}
		h.startReading()
		step := func() {
			for c != nil && (len(c.submitted) > 0 || c.holding && c.applied > c.loop.released) {
				c.step(r)
				h.runEvents(false)
			}
		}
		for rest := in; len(rest) > 0; {
			n := min(len(rest), 1+r.IntN(1_000_000))
			h.feed(rest[:n])
			rest = rest[n:]
			step()
			h.runEvents(false)
		}
		step()
		if got := h.finish(); !bytes.Equal(got, want) {
			at := 0
			for at < min(len(got), len(want)) && got[at] == want[at] {
				at++
			}
			t.Fatalf("round %d: %d bytes, want %d; the first that differs is %d: %.100q, want %.100q", i, len(got), len(want), at, got[max(0, at-20):], want[max(0, at-20):])
		}
	}
}

// TestRESPTurnsAreBounded: what a client can send in one go takes no longer turns than other
// commands do.
func TestRESPTurnsAreBounded(t *testing.T) {
	for name, in := range map[string][]byte{
		"a million empty arrays": bytes.Repeat([]byte("*0\r\n"), 1<<20),
		"negative arrays":        bytes.Repeat([]byte("*-1\r\n"), 1<<18),
		"blank lines":            bytes.Repeat([]byte("\r\n"), 1<<20),
		"pings":                  bytes.Repeat([]byte("*1\r\n$4\r\nPING\r\n"), 1<<16),
		"no commands":            bytes.Repeat([]byte("*1\r\n$4\r\nNOPE\r\n"), 1<<16),
		"command":                bytes.Repeat([]byte("*1\r\n$7\r\nCOMMAND\r\n"), 200),
		"keys":                   slices.Concat(bytes.Repeat(wordsOf("SET key"+strings.Repeat("x", 60)+" v"), 10), bytes.Repeat(wordsOf("KEYS *a*a*a*a*a"), 2000)),
		"all keys":               wordsOf("KEYS *x"),
		"a million words":        append([]byte("*1000000\r\n$3\r\nDEL\r\n"), bytes.Repeat([]byte("$1\r\nk\r\n"), 999_999)...),
	} {
		h := newHarness(t, Options{MaxBufferBytes: 1 << 30})
		h.startDiscarding()
		if name == "all keys" {
			var b engine.Batch
			for i := range 100_000 {
				b.Add(engine.Set, fmt.Appendf(nil, "key%d", i), nil)
			}
			h.store.Apply(&b)
		}
		most := 0
		h.loop.serve(h.conn, in)
		for turns := 0; ; turns++ {
			most = max(most, h.loop.pipe.cost.spent)
			if len(h.loop.ready) == 0 {
				if turns < 2 && name != "negative arrays" {
					t.Errorf("%s: %d turns", name, turns)
				}
				break
			}
			<-h.loop.rerun
			h.loop.runReady()
			h.runEvents(false)
		}
		if most > 2*turnCost+len(in)>>byteShift {
			t.Errorf("%s: a turn has cost %d", name, most)
		}
		h.finish()
	}
}

// TestRESPFaults: the last answer to what is no command, and the end.
func TestRESPFaults(t *testing.T) {
	for in, want := range map[string]string{
		"PING\r\n*1\r\n$-5\r\n":                        "+PONG|-ERR Protocol error: invalid bulk length|",
		"*1\r\n$4\r\nPING\r\n*9223372036854775808\r\n": "+PONG|-ERR Protocol error: invalid multibulk length|",
		"*1\r\nx":                            "-ERR Protocol error: expected '$', got 'x'|",
		"*2\r\n$3\r\nGET\r\n$16777217\r\n":   "-ERR Protocol error: invalid bulk length|",
		"ping\r\nget \"a\r\n":                "+PONG|-ERR Protocol error: unbalanced quotes in request|",
		"ping\r\n{\"GET\":[\"abcdef\"]}\r\n": "+PONG|-ERR Protocol error: unbalanced quotes in request|",
		"ping\r\n[]\r\n*0\r\n\r\nx y\n":      "+PONG|-ERR unknown command '[]', with args beginning with: |-ERR unknown command 'x', with args beginning with: 'y' |",
	} {
		h := newHarness(t, Options{})
		h.startReading()
		h.feed([]byte(in))
		if got := asLines(h.finish()); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// TestRESPAndJSON is what each sees of the other's values.
func TestRESPAndJSON(t *testing.T) {
	for _, c := range []struct{ set, get, resp string }{
		// JSON sets, JSON reads, RESP reads.
		{`"abc"`, `"abc"`, "$3|abc|"},
		{`"a\"b\u00e9\n"`, `"a\"b\u00e9\n"`, "$6|a\"b\u00e9\n|"},
		{`""`, `""`, "$0||"},
		{`42`, `42`, "$2|42|"},
		{`-1.50e3`, `-1.50e3`, "$7|-1.50e3|"},
		{`true`, `true`, "$4|true|"},
		{`null`, `null`, "$4|null|"},
		{`{"a":[1, 2]}`, `{"a":[1, 2]}`, "$12|{\"a\":[1, 2]}|"},
		{`"\ud83d\ude00"`, `"\ud83d\ude00"`, "$4|\U0001F600|"},
		{`"\ud800"`, `"\ud800"`, "$3|\xED\xA0\x80|"},
	} {
		h := newHarness(t, Options{AnyValues: true, MinKeyChars: 1})
		other, client := h.newConn()
		h.startReading()
		h.feed([]byte(`{"SET":{"k":` + c.set + "}}\n{\"GET\":[\"k\"]}\n"))
		h.loop.serve(other, wordsOf("GET k"))
		if got := asLines(readSome(t, client)); got != c.resp {
			t.Errorf("RESP reads %s as %q, want %q", c.set, got, c.resp)
		}
		if got, want := string(h.finish()), `{"SET_RSP":{"st":1,"k":"k"}}`+"\n"+`{"GET_RSP":{"st":0,"k":`+c.get+"}}\n"; got != want {
			t.Errorf("%s: %s", c.set, got)
		}
	}
	for _, c := range []struct{ set, json, cas string }{
		// RESP sets, JSON reads, and what it compares with.
		{"abc", `"st":0,"k":"abc"`, "2"},
		{"42", `"st":0,"k":"42"`, "2"},
		{"", `"st":0,"k":""`, "2"},
		{"a\"b", `"st":0,"k":"a\"b"`, "8"},
		{"é", `"st":0,"k":"é"`, "2"},
		{"\n\x00", `"st":0,"k":"\n\u0000"`, "8"},
		{"\xFF", `"st":7,"k":"k"`, "8"},
	} {
		h := newHarness(t, Options{AnyValues: true, MinKeyChars: 1})
		other, client := h.newConn()
		h.startReading()
		h.loop.serve(other, append(append([]byte("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n"), resp.AppendText(nil, c.set)...), wordsOf("GET k")...))
		if got, want := string(readSome(t, client)), "+OK\r\n"+string(resp.AppendText(nil, c.set)); got != want {
			t.Errorf("RESP reads back %q, want %q", got, want)
		}
		h.feed([]byte("{\"GET\":[\"k\"]}\n{\"CAS\":{\"k\":[" + jsonOf(c.set) + ",1]}}\n"))
		got := string(h.finish())
		if !strings.Contains(got, c.json) || !strings.Contains(got, `{"CAS_RSP":{"st":`+c.cas) {
			t.Errorf("JSON reads %q as %s, want %s and a CAS of %s", c.set, got, c.json, c.cas)
		}
	}
}

// jsonOf is a text as JSON; what is not UTF-8 is left out.
func jsonOf(text string) string {
	return string(codec.AppendString(nil, []byte(strings.ToValidUTF8(text, ""))))
}

func readSome(t *testing.T, client *os.File) []byte {
	t.Helper()
	buf := make([]byte, 4096)
	if err := client.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	n, err := client.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

// TestRESPIsChosen: which first bytes are whose. What is HTTP is HTTP.
func TestRESPIsChosen(t *testing.T) {
	for first, want := range map[string]string{
		"*1\r\n": "RESP", "ping\r\n": "RESP", "SET a b\r\n": "RESP", "get a\r\n": "RESP", "quit\n": "RESP",
		"GET a\r\n": "HTTP and WebSocket", "GET / HTTP/1.1\r\n": "HTTP and WebSocket", "SET a HTTP/1.1\r\n": "HTTP and WebSocket",
		"{": "JSON Lines", " ": "JSON Lines", "x": "JSON Lines", "null": "JSON Lines", "pingx": "JSON Lines", "\x00": "JSON Lines",
		"p": "", "PING": "",
	} {
		got := ""
		if row := chooseFraming([]byte(first)); row != nil {
			got = row.name
		}
		if got != want {
			t.Errorf("%q: %q, want %q", first, got, want)
		}
	}
}

// TestRESPInfo: INFO's sections have what tools read.
func TestRESPInfo(t *testing.T) {
	h := newHarness(t, Options{})
	h.startReading()
	h.feed(slices.Concat(wordsOf("SET a b EX 100"), wordsOf("INFO"), wordsOf("INFO keyspace"), wordsOf("COMMAND DOCS set"), wordsOf("COMMAND"), wordsOf("LASTSAVE")))
	got := string(h.finish())
	for _, want := range []string{"redis_version:", "keyframe_version:", "connected_clients:1\r\n", "used_memory:", "maxmemory:0\r\n", "loading:0\r\n", "total_commands_processed:", "role:master\r\n", "db0:keys=1,expires=1,avg_ttl=0\r\n", "$5\r\nNX|XX\r\n", "summary"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
	if n := strings.Count(got, "# Keyspace"); n != 2 {
		t.Errorf("%d sections Keyspace", n)
	}
}

// TestRESPClients: a connection sees the others, and ends them.
func TestRESPClients(t *testing.T) {
	h := newHarness(t, Options{})
	other, client := h.newConn()
	h.loop.el = &testLoop{h: h}
	h.startReading()
	h.loop.serve(other, wordsOf("CLIENT SETNAME victim"))
	readSome(t, client)
	h.feed(slices.Concat(wordsOf("CLIENT LIST"), wordsOf("CLIENT KILL ID 1"), wordsOf("CLIENT KILL TYPE normal")))
	h.runEvents(false)
	if n, err := client.Read(make([]byte, 10)); n != 0 || err != io.EOF {
		t.Errorf("the victim reads %d bytes, %v", n, err)
	}
	h.loop.drop(other)
	h.feed(wordsOf("CLIENT LIST"))
	got := string(h.finish())
	if !strings.Contains(got, "name=victim") || !strings.Contains(got, "\n:1\r\n:1\r\n") || strings.Count(got, "name=victim") != 1 {
		t.Errorf("%q", got)
	}
}
