package codec_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/coder/websocket"

	"keyframe/codec"
	"keyframe/codec/client"
	"keyframe/netio"
	"keyframe/netio/netiotest"
)

// TestANewRowIsServed: a row is all that a whole server needs to know of a new command. Two
// rows are added, one quiet and one that answers with values. Package client writes their
// commands, over both framings, and parses the answers. The test is here because only this
// package's tests can add a row.
func TestANewRowIsServed(t *testing.T) {
	type element struct {
		st    codec.Status
		key   string
		value string
	}
	for _, row := range []struct {
		name    string
		like    codec.Opcode
		quiet   bool
		answers []codec.Status
		want    []element // for a key that exists, one that doesn't, and one that is too short
		left    int64     // how many keys are left
	}{
		{"NEW_RMV", codec.OpRemove, true, []codec.Status{codec.StatusKeyNotExist},
			[]element{{st: codec.StatusKeyNotExist, key: "nobody"}, {st: codec.StatusKeyLengthInvalid, key: "short"}}, 0},
		{"NEW_GET", codec.OpGet, false, nil,
			[]element{{codec.StatusOK, "abcdef", `"bob"`}, {st: codec.StatusKeyNotExist, key: "nobody"}, {st: codec.StatusKeyLengthInvalid, key: "short"}}, 1},
	} {
		for name, dial := range map[string]func(*testing.T, string) (send func([]byte), recv func() []byte){
			"lines": dialLines, "websocket": dialWebSocket,
		} {
			t.Run(row.name+"/"+name, func(t *testing.T) {
				op := codec.AddRowForTesting(t, row.name, row.like, row.quiet, row.answers...)
				srv, _ := netiotest.Start(t, netio.Options{})
				send, recv := dial(t, srv.Addrs()[0].String())

				b := client.AppendOpen(nil, codec.OpSet)
				b = client.AppendPair(b, []byte("abcdef"), codec.AppendString(nil, []byte("bob")))
				send(client.AppendClose(b, codec.OpSet))
				b = client.AppendOpen(nil, op)
				for _, key := range []string{"abcdef", "nobody", "short"} {
					b = client.AppendKey(b, []byte(key))
				}
				send(client.AppendClose(b, op))
				send([]byte(`{"` + row.name + `":{}}`)) // the wrong argument
				send([]byte(`{"COUNT":{}}`))

				p := client.NewParser()
				var r client.Response
				next := func() *client.Response {
					t.Helper()
					answer := recv()
					if err := p.Parse(answer, &r); err != nil {
						t.Fatalf("%s: %v", answer, err)
					}
					return &r
				}
				if r := next(); r.Op != codec.OpSet || r.Status != codec.StatusKeySet {
					t.Fatalf("SET: %+v", r)
				}
				for _, want := range row.want {
					if r := next(); r.Op != op || (element{r.Status, string(r.Key), string(r.Value)}) != want {
						t.Fatalf("got %+v of %q %q, want %+v", r, r.Key, r.Value, want)
					}
				}
				if r := next(); r.Op != op || r.Status != codec.StatusQueryRootInvalidType {
					t.Fatalf("an object for an array: %+v", r)
				}
				if r := next(); r.Op != codec.OpCount || r.Count != row.left {
					t.Fatalf("COUNT: %+v, want %d", r, row.left)
				}

				send([]byte(`{"SERVER_INFO":{}}`))
				if info, want := recv(), fmt.Appendf(nil, `"%s":1`, row.name); !bytes.Contains(info, want) {
					t.Errorf("no %s among the commands: %s", want, info)
				}
				if st := srv.Stats(); st.Total.Commands[op] != 1 {
					t.Errorf("%d commands of it are counted, want 1", st.Total.Commands[op])
				}
			})
		}
	}
}

// patience bounds every wait for a server.
const patience = 20 * time.Second

func dialLines(t *testing.T, addr string) (send func([]byte), recv func() []byte) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	r := bufio.NewReader(c)
	send = func(b []byte) {
		if _, err := c.Write(append(slices.Clone(b), '\n')); err != nil {
			t.Fatal(err)
		}
	}
	recv = func() []byte {
		line, err := r.ReadBytes('\n')
		if err != nil {
			t.Fatalf("after %q: %v", line, err)
		}
		return line[:len(line)-1]
	}
	return send, recv
}

func dialWebSocket(t *testing.T, addr string) (send func([]byte), recv func() []byte) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	c, _, err := websocket.Dial(ctx, "ws://"+addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	send = func(b []byte) {
		if err := c.Write(ctx, websocket.MessageText, b); err != nil {
			t.Fatal(err)
		}
	}
	recv = func() []byte {
		_, b, err := c.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	return send, recv
}
