package client_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keyframe/codec"
	"keyframe/engine"
	"keyframe/netio"
	"keyframe/netio/client"
	"keyframe/netio/netiotest"
)

// want fails the test unless err is, or wraps, target.
func want(t *testing.T, what string, err, target error) {
	t.Helper()
	if target == nil && err != nil || !errors.Is(err, target) {
		t.Errorf("%s: %v, want %v", what, err, target)
	}
}

func wantValue(t *testing.T, what string, got []byte, err error, text string) {
	t.Helper()
	if err != nil || string(got) != text {
		t.Errorf("%s: %q, %v, want %q", what, got, err, text)
	}
}

func TestCommands(t *testing.T) {
	c := start(t, netio.Options{AnyValues: true}, client.Options{})
	ctx := t.Context()
	text := func(s string) []byte { return []byte(s) }
	get := func(key, value string) {
		t.Helper()
		got, err := c.Get(ctx, key)
		wantValue(t, "Get "+key, got, err, value)
	}

	want(t, "Ping", c.Ping(ctx), nil)
	want(t, "Set", c.Set(ctx, "first_", text("1.0")), nil)
	want(t, "Set", c.Set(ctx, "first_", text("\n\t{\"a\" :\n[1,\r\n2]} ")), nil)
	get("first_", "{\"a\" : [1,\r 2]}")
	want(t, "Add", c.Add(ctx, "first_", text("1")), client.ErrExists)
	want(t, "Add", c.Add(ctx, "second", client.String("zwei\n\"2\"")), nil)
	get("second", `"zwei\n\"2\""`)
	_, err := c.Get(ctx, "nobody")
	want(t, "Get", err, client.ErrNotExist)
	dst, err := c.AppendGet(ctx, text("value: "), "second")
	wantValue(t, "AppendGet", dst, err, `value: "zwei\n\"2\""`)
	dst, err = c.AppendGet(ctx, text("value: "), "nobody")
	if want(t, "AppendGet", err, client.ErrNotExist); string(dst) != "value: " {
		t.Errorf("AppendGet: %q", dst)
	}

	old, err := c.Swap(ctx, "second", text("2"))
	wantValue(t, "Swap", old, err, `"zwei\n\"2\""`)
	if old, err = c.Swap(ctx, "third_", text("3")); err != nil || old != nil {
		t.Errorf("Swap of a new key: %q, %v", old, err)
	}
	old, err = c.Take(ctx, "third_")
	wantValue(t, "Take", old, err, "3")
	_, err = c.Take(ctx, "third_")
	want(t, "Take", err, client.ErrNotExist)

	want(t, "CAS", c.CAS(ctx, "second", text("2.0"), text("3")), client.ErrDiffers)
	want(t, "CAS", c.CAS(ctx, "second", text(" 2 "), text("[3,\n4]")), nil)
	want(t, "CAS", c.CAS(ctx, "nobody", text("2"), text("3")), client.ErrNotExist)
	get("second", "[3, 4]")
	want(t, "CAS", c.CAS(ctx, "second", text("[3,\n4]"), text("[3,\n4]")), nil)
	want(t, "RemoveIf", c.RemoveIf(ctx, "second", text("3")), client.ErrDiffers)
	want(t, "RemoveIf", c.RemoveIf(ctx, "second", text("[3, 4]")), nil)
	want(t, "RemoveIf", c.RemoveIf(ctx, "second", text("[3, 4]")), client.ErrNotExist)

	for i, by := range []int64{5, -7, 0} {
		if sum, err := c.Incr(ctx, "counter", by); err != nil || sum != []int64{5, -2, -2}[i] {
			t.Errorf("Incr: %d, %v", sum, err)
		}
	}
	_, err = c.Incr(ctx, "first_", 1)
	want(t, "Incr", err, client.ErrNotInteger)

	want(t, "Append", c.Append(ctx, "list__", text("[1]")), nil)
	want(t, "Append", c.Append(ctx, "list__", text("[2]")), nil)
	get("list__", "[1,2]")
	want(t, "Append", c.Append(ctx, "list__", text("1")), client.ErrType)
	want(t, "Update", c.Update(ctx, "list__", text(`{"/0":"x","/-":3}`)), nil)
	get("list__", `["x",2,3]`)
	want(t, "Update", c.Update(ctx, "nobody", text(`{}`)), client.ErrNotExist)

	want(t, "Rename", c.Rename(ctx, "list__", "listed"), nil)
	want(t, "Rename", c.Rename(ctx, "list__", "listed"), client.ErrNotExist)
	want(t, "Rename", c.Rename(ctx, "first_", "listed"), client.ErrExists)
	want(t, "Rename", c.Rename(ctx, "listed", "short"), client.ErrKeyLength)
	for key, is := range map[string]bool{"listed": true, "list__": false} {
		if got, err := c.Contains(ctx, key); err != nil || got != is {
			t.Errorf("Contains %s: %v, %v", key, got, err)
		}
	}
	_, err = c.Contains(ctx, "short")
	want(t, "Contains", err, client.ErrKeyLength)
	want(t, "Remove", c.Remove(ctx, "listed"), nil)
	want(t, "Remove", c.Remove(ctx, "listed"), client.ErrNotExist)

	ttl := func(key string, low, high time.Duration) {
		t.Helper()
		if got, err := c.TTL(ctx, key); err != nil || got < low || got > high {
			t.Errorf("TTL %s: %v, %v", key, got, err)
		}
	}
	want(t, "SetEx", c.SetEx(ctx, "fleeting", text("1"), time.Hour), nil)
	ttl("fleeting", 1, time.Hour)
	want(t, "AddEx", c.AddEx(ctx, "fleeting", text("1"), time.Hour), client.ErrExists)
	want(t, "AddEx", c.AddEx(ctx, "lock:a", text("1"), time.Hour+1), nil)
	ttl("lock:a", 1, time.Hour+time.Millisecond)
	want(t, "Persist", c.Persist(ctx, "fleeting"), nil)
	ttl("fleeting", client.NoDeadline, client.NoDeadline)
	want(t, "Expire", c.Expire(ctx, "fleeting", time.Minute), nil)
	ttl("fleeting", 1, time.Minute)
	want(t, "Expire", c.Expire(ctx, "nobody", time.Minute), client.ErrNotExist)
	want(t, "Expire", c.Expire(ctx, "fleeting", -time.Minute), client.ErrType)
	_, err = c.TTL(ctx, "nobody")
	want(t, "TTL", err, client.ErrNotExist)

	var info struct {
		Keys int64 `json:"keyCnt"`
	}
	doc, err := c.Info(ctx)
	if err == nil {
		err = json.Unmarshal(doc, &info)
	}
	if n, cerr := c.Count(ctx); err != nil || cerr != nil || n != 4 || info.Keys != n {
		t.Errorf("Count: %d, %v; Info: %s, %v", n, cerr, doc, err)
	}
	if n, err := c.Clear(ctx); n != 4 || err != nil {
		t.Errorf("Clear: %d, %v", n, err)
	}
}

// TestKeys: keys that have to be quoted, and long ones, come back as themselves.
func TestKeys(t *testing.T) {
	c := start(t, netio.Options{}, client.Options{})
	for _, key := range []string{`"quoted"`, `back\slash`, "tab\tand\nline", "ключ-1", "🔑🔑🔑🔑🔑🔑", "\x00\x00\x00\x00\x00\x00", strings.Repeat("k", 65_535), strings.Repeat("\n", 65_535)} {
		want(t, "Set", c.Set(t.Context(), key, client.String(key)), nil)
		got, err := client.GetJSON[string](t.Context(), c, key)
		if err != nil || got != key {
			t.Errorf("%.40q: %.40q, %v", key, got, err)
		}
		want(t, "Remove", c.Remove(t.Context(), key), nil)
	}
	for _, key := range []string{"", "short", strings.Repeat("k", 65_536), strings.Repeat("\n", 1<<20)} {
		want(t, fmt.Sprintf("Set %.10q", key), c.Set(t.Context(), key, []byte("1")), client.ErrKeyLength)
	}
	for _, key := range []string{"key:\xff", "\xed\xa0\x80:key"} {
		_, err := c.Get(t.Context(), key)
		want(t, "Get", err, client.ErrKey)
		want(t, "Set", c.Set(t.Context(), key, []byte("1")), client.ErrKey)
		want(t, "Rename", c.Rename(t.Context(), "abcdef", key), client.ErrKey)
		want(t, "CAS", c.CAS(t.Context(), key, nil, []byte("1")), client.ErrKey)
	}
}

// TestValuesAreChecked: nothing is sent that would be two values, another command or none.
func TestValuesAreChecked(t *testing.T) {
	c := start(t, netio.Options{AnyValues: true}, client.Options{})
	for _, value := range []string{"", " ", "1 2", "01", `"`, `"\x"`, "\"\n\"", "\"\xff\"", `1},"CLEAR":{}`, "1}}\n{\"CLEAR\":{", "[", strings.Repeat("[", 129) + strings.Repeat("]", 129)} {
		for what, err := range map[string]error{
			"Set":      c.Set(t.Context(), "abcdef", []byte(value)),
			"SetEx":    c.SetEx(t.Context(), "abcdef", []byte(value), time.Hour),
			"CAS":      c.CAS(t.Context(), "abcdef", []byte(value), []byte("1")),
			"CAS new":  c.CAS(t.Context(), "abcdef", []byte("1"), []byte(value)),
			"RemoveIf": c.RemoveIf(t.Context(), "abcdef", []byte(value)),
		} {
			want(t, fmt.Sprintf("%s %.20q", what, value), err, client.ErrValue)
		}
	}
	for _, err := range c.Scan(t.Context(), client.Query{Compare: "==", With: []byte("}")}) {
		want(t, "Scan", err, client.ErrValue)
	}
	want(t, "SetJSON", client.SetJSON(t.Context(), c, "abcdef", make(chan int)), client.ErrValue)
	if n, err := c.Count(t.Context()); n != 0 || err != nil {
		t.Errorf("%d keys, %v", n, err)
	}
}

// TestStatusErrors: each status error comes from a real server, except denied, which needs
// one with users.
func TestStatusErrors(t *testing.T) {
	store, err := engine.New(engine.Options{Merge: netio.Merge, Readable: netio.Readable, MaxBytes: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	srv, err := netio.New(store, netio.Options{Listen: []string{"127.0.0.1:0"}, Loops: 1})
	if err == nil {
		err = srv.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Stop(background)
	c := dial(t, srv.Addrs()[0].String(), client.Options{})
	ctx := t.Context()

	long := client.String(strings.Repeat("x", 100_000))
	for i := 0; err == nil; i++ {
		err = c.Set(ctx, fmt.Sprintf("filling:%d", i), long)
	}
	want(t, "Set", err, client.ErrOutOfMemory)
	_, err = c.Save(ctx)
	want(t, "Save", err, client.ErrUnavailable)
	var status *client.StatusError
	if !errors.As(err, &status) || !strings.Contains(status.Message, "disk") {
		t.Errorf("Save: %v", err)
	}
	want(t, "Set", c.Set(ctx, "abcdef", []byte("null")), client.ErrType)
	if err := c.Set(ctx, "abcdef", []byte("null")); !errors.As(err, &status) || !strings.Contains(status.Message, "--values any") || !strings.Contains(err.Error(), status.Message) {
		t.Errorf("Set: %v", err)
	}
	want(t, "CAS", c.CAS(ctx, "abcdef", nil, []byte("1")), nil)
	want(t, "CAS", c.CAS(ctx, "abcdef", nil, []byte("1")), client.ErrExists)
	var refused *client.ServerError
	if err := c.Update(ctx, "abcdef", []byte("{}")); !errors.As(err, &refused) || refused.Code != 12 || refused.Message != "UPDATE needs --values any" {
		t.Errorf("Update: %v", err)
	}
	for _, err := range c.Scan(ctx, client.Query{PageKeys: 1_000_000}) {
		if !errors.As(err, &refused) || refused.Code != 12 {
			t.Errorf("Scan: %v", err)
		}
	}
	// Different statuses are different errors, in words too.
	seen := map[string]bool{}
	for _, e := range []error{client.ErrNotExist, client.ErrExists, client.ErrKeyLength, client.ErrType, client.ErrDiffers, client.ErrNotInteger, client.ErrDenied, client.ErrOutOfMemory, client.ErrUnavailable} {
		if seen[e.Error()] || errors.Is(e, status) != (e == client.ErrType) || strings.Contains(e.Error(), "status") {
			t.Errorf("%v", e)
		}
		seen[e.Error()] = true
	}
}

// TestServerErrors: what servers of other versions, or with users, answer.
func TestServerErrors(t *testing.T) {
	for _, tt := range []struct {
		answer string
		code   int
		is     error
	}{
		{`{"SERVER_ERROR":{"s":3,"m":"unknown command GET"}}`, 3, nil},
		{`{"SERVER_ERROR":{"s":13,"m":"say who you are"}}`, 13, client.ErrDenied},
		{`{"SERVER_ERROR":{"s":15,"m":"LOADING: 3 %"}}`, 15, client.ErrUnavailable},
		{`{"GET_RSP":{"st":12,"m":"GET takes nothing"}}`, 12, nil},
	} {
		c := dial(t, scripted(t, func(int, string) (string, bool) { return tt.answer + "\n", false }), client.Options{})
		_, err := c.Get(t.Context(), "abcdef")
		var refused *client.ServerError
		if !errors.As(err, &refused) || refused.Code != tt.code || tt.is != nil && !errors.Is(err, tt.is) || tt.is == nil && (errors.Is(err, client.ErrDenied) || errors.Is(err, client.ErrUnavailable)) {
			t.Errorf("%s: %v", tt.answer, err)
		}
		var b client.Batch
		b.Get("abcdef")
		b.Get("bcdefg")
		if err := c.Do(t.Context(), &b); err != nil || !errors.As(b.Err(0), &refused) || !errors.As(b.Err(1), &refused) {
			t.Errorf("%s: %v, %v", tt.answer, err, b.Err(0))
		}
	}
}

// TestWrongAnswers: after an answer that is none to what was asked, no other one is believed.
func TestWrongAnswers(t *testing.T) {
	for _, answer := range []string{
		`{"GET_RSP":{"st":0,"another":1}}`, `{"GET_RSP":{"st":3,"k":"another"}}`, `{"SET_RSP":{"st":1,"k":"abcdef"}}`, `{"COUNT_RSP":{"st":0,"cnt":1}}`,
		`{"SET_RSP":{"st":12,"m":"x"}}`, `{"GET_RSP":{"st":0,"abcdef":}}`, `{"GET_RSP":{"st":0,"abcdef":1,"a":2}}`, `garbage`, ``, strings.Repeat("x", 3000),
	} {
		asked := 0
		c := dial(t, scripted(t, func(int, string) (string, bool) {
			if asked++; asked == 1 {
				return answer + "\n", false
			}
			return `{"GET_RSP":{"st":3,"k":"abcdef"}}` + "\n", false
		}), quick(client.Options{MaxAnswerBytes: 2048}))
		_, err := c.Get(t.Context(), "abcdef")
		var lost *client.ConnError
		if !errors.As(err, &lost) || !lost.MayHaveRun || !errors.Is(err, client.ErrProtocol) {
			t.Errorf("%.40s: %v", answer, err)
		}
		_, err = c.Get(t.Context(), "abcdef") // over the next connection
		want(t, "Get", err, client.ErrNotExist)
	}
}

func TestBatch(t *testing.T) {
	c := start(t, netio.Options{AnyValues: true}, client.Options{})
	ctx := t.Context()
	var b client.Batch
	want(t, "an empty Do", c.Do(ctx, &b), nil)
	for round := range 2 { // the second one uses the memory of the first
		b.Set("first_", []byte("1"))
		b.Set("second", []byte("[2,\n2]"))
		b.Set("short", []byte("3"))
		b.SetEx("fleeting", []byte("4"), time.Hour)
		b.AddEx("fleeting", []byte("5"), time.Minute)
		b.TTL("first_")
		b.Expire("first_", time.Hour)
		b.Persist("fleeting")
		b.TTL("fleeting")
		b.Add("first_", []byte("6"))
		b.Swap("first_", []byte("7"))
		b.Swap("third_", []byte("8"))
		b.CAS("third_", []byte("8"), []byte("9"))
		b.RemoveIf("third_", []byte("8"))
		b.Incr("first_", 3)
		b.Append("second", []byte("[3]"))
		b.Update("second", []byte(`{"/0":4}`))
		b.Get("second")
		b.Get("nobody")
		b.Contains("second")
		b.Contains("nobody")
		b.Rename("second", "fourth")
		b.Take("fourth")
		b.Remove("fourth")
		b.Remove("first_")
		b.Remove("third_")
		b.Remove("fleeting")
		if err := c.Do(ctx, &b); err != nil {
			t.Fatal(err)
		}
		for i, w := range []struct {
			key    string
			status codec.Status
			value  string
			err    error
		}{
			{"first_", 1, "", nil}, {"second", 1, "", nil}, {"short", 6, "", client.ErrKeyLength}, {"fleeting", 1, "", nil},
			{"fleeting", 4, "", client.ErrExists}, {"first_", 0, "null", nil}, {"first_", 2, "", nil}, {"fleeting", 2, "", nil},
			{"fleeting", 0, "null", nil}, {"first_", 4, "", client.ErrExists}, {"first_", 2, "1", nil}, {"third_", 1, "", nil},
			{"third_", 2, "", nil}, {"third_", 8, "", client.ErrDiffers}, {"first_", 2, "10", nil}, {"second", 2, "", nil},
			{"second", 2, "", nil}, {"second", 0, "[4, 2,3]", nil}, {"nobody", 3, "", client.ErrNotExist}, {"second", 4, "", nil},
			{"nobody", 3, "", client.ErrNotExist}, {"second", 1, "", nil}, {"fourth", 5, "[4, 2,3]", nil},
			{"fourth", 3, "", client.ErrNotExist}, {"first_", 5, "", nil}, {"third_", 5, "", nil}, {"fleeting", 5, "", nil},
		} {
			if b.Key(i) != w.key || b.Status(i) != w.status || string(b.Value(i)) != w.value || w.err == nil && b.Err(i) != nil || !errors.Is(b.Err(i), w.err) {
				t.Errorf("round %d, number %d: %s, status %d, %s, %v; want %v", round, i, b.Key(i), b.Status(i), b.Value(i), b.Err(i), w)
			}
		}
	}
	n := b.Len()
	if want(t, "Do once more", c.Do(ctx, &b), nil); b.Len() != n || b.Status(0) != codec.StatusKeySet {
		t.Errorf("sent once more: %d elements, status %d", b.Len(), b.Status(0))
	}
	b.Reset()
	if b.Len() != 0 {
		t.Errorf("%d after Reset", b.Len())
	}
	b.Set("abcdef", []byte("1"))
	b.Set("abcdef", []byte("}"))
	b.Set("abcdef", []byte("2"))
	want(t, "Do", c.Do(ctx, &b), client.ErrValue)
	b.Reset()
	b.Get("\xff")
	want(t, "Do", c.Do(ctx, &b), client.ErrKey)
	_, err := c.Get(ctx, "abcdef")
	want(t, "Get", err, client.ErrNotExist)
}

// TestQuietBatch: only failures are answered, and each finds its key.
func TestQuietBatch(t *testing.T) {
	c := start(t, netio.Options{}, client.Options{})
	ctx := t.Context()
	b := client.Batch{Quiet: true}
	const n = 10_000
	for i := range n {
		key := fmt.Sprintf("key:%06d", i)
		switch {
		case i%1000 == 7:
			b.Set("x", []byte("1"))
		case i%1000 == 8:
			b.Set(key, []byte("null"))
		case i%100 == 9:
			b.Remove("nobody")
		case i%100 == 10:
			b.Get(key)
		case i%1000 == 12:
			b.Add("key:000000", []byte("1"))
		default:
			b.Set(key, []byte("1"))
		}
	}
	for range 2 {
		want(t, "Do", c.Do(ctx, &b), nil)
		for i := range n {
			var err error
			switch {
			case i%1000 == 7:
				err = client.ErrKeyLength
			case i%1000 == 8:
				err = client.ErrType
			case i%100 == 9, i%100 == 10:
				err = client.ErrNotExist
			case i%1000 == 12:
				err = client.ErrExists
			}
			if err == nil && b.Err(i) != nil || !errors.Is(b.Err(i), err) {
				t.Fatalf("number %d: %v, want %v", i, b.Err(i), err)
			}
		}
	}
	if got, err := c.Count(ctx); err != nil || got != n-10-10-100-100-10 {
		t.Errorf("%d keys, %v", got, err)
	}
	// A refusal can't be told from a neighbour's, and is the batch's.
	old := dial(t, scripted(t, func(_ int, line string) (string, bool) {
		if strings.HasPrefix(line, `{"PING`) {
			return `{"PING_RSP":{"st":0}}` + "\n", false
		}
		return `{"SERVER_ERROR":{"s":3,"m":"unknown command SETQ"}}` + "\n", false
	}), client.Options{})
	b.Reset()
	b.Set("abcdef", []byte("1"))
	var refused *client.ServerError
	if err := old.Do(ctx, &b); !errors.As(err, &refused) || refused.Code != 3 {
		t.Error(err)
	}
}

// TestLongCommands: a command that the server would end the connection for is not sent, one
// of exactly that length is; a batch goes into several.
func TestLongCommands(t *testing.T) {
	const limit = 4096
	c := start(t, netio.Options{MaxFrameBytes: limit}, client.Options{MaxFrameBytes: limit})
	room := limit - len(`{"SET":{"abcdef":""}}`)
	want(t, "Set", c.Set(t.Context(), "abcdef", client.String(strings.Repeat("x", room))), nil)
	want(t, "Set", c.Set(t.Context(), "abcdef", client.String(strings.Repeat("x", room+1))), client.ErrTooLong)
	var b client.Batch
	b.Set("abcdef", client.String(strings.Repeat("x", room+1)))
	want(t, "Do", c.Do(t.Context(), &b), client.ErrTooLong)

	c = start(t, netio.Options{}, client.Options{})
	b.Reset()
	const n = 100_000
	for i := range n {
		b.Set(fmt.Sprintf("%060d", i), client.String("some value"))
	}
	want(t, "Do", c.Do(t.Context(), &b), nil)
	if got, err := c.Count(t.Context()); got != n || err != nil {
		t.Errorf("%d keys, %v", got, err)
	}
	value := client.String(strings.Repeat("x", 4<<20))
	want(t, "Set", c.Set(t.Context(), "long__", value), nil)
	got, err := c.Get(t.Context(), "long__")
	if err != nil || string(got) != string(value) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestScan(t *testing.T) {
	c := start(t, netio.Options{AnyValues: true}, client.Options{})
	ctx := t.Context()
	var b client.Batch
	wanted := map[string]string{}
	for i := range 2500 {
		key := fmt.Sprintf("user:%d \"\n", i)
		wanted[key] = fmt.Sprintf(`{"n":%d}`, i)
		b.Set(key, []byte(wanted[key]))
		b.Set(fmt.Sprintf("other:%d", i), []byte("1"))
	}
	want(t, "Do", c.Do(ctx, &b), nil)
	got := map[string]string{}
	for p, err := range c.Scan(ctx, client.Query{Prefix: "user:", Values: true, PageKeys: 100}) {
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := got[p.Key]; twice {
			t.Fatalf("%q is seen twice", p.Key)
		}
		got[p.Key] = string(p.Value)
	}
	if fmt.Sprint(got) != fmt.Sprint(wanted) {
		t.Errorf("%d pairs, want %d", len(got), len(wanted))
	}
	all := 0
	for p, err := range c.Scan(ctx, client.Query{}) {
		if all++; err != nil || p.Value != nil {
			t.Fatal(p, err)
		}
	}
	if all != 5000 {
		t.Errorf("%d keys", all)
	}
	var found []string
	for p, err := range c.Scan(ctx, client.Query{Prefix: "user:", Compare: "<", Path: "/n", With: []byte("\n3 ")}) {
		if found = append(found, p.Key); err != nil {
			t.Fatal(err)
		}
	}
	if slices.Sort(found); fmt.Sprintf("%q", found) != `["user:0 \"\n" "user:1 \"\n" "user:2 \"\n"]` {
		t.Errorf("found %q", found)
	}
	for p, err := range c.Scan(ctx, client.Query{Compare: "==", With: []byte("{\"n\":\n3}")}) {
		if p.Key != "user:3 \"\n" || err != nil {
			t.Error(p, err)
		}
	}
	// A list within a list: neither loses its place to the other.
	outer := map[string]bool{}
	for p, err := range c.Scan(ctx, client.Query{Prefix: "other:", PageKeys: 100}) {
		if outer[p.Key] || err != nil {
			t.Fatal(p, err)
		}
		outer[p.Key] = true
		for _, err := range c.Scan(ctx, client.Query{PageKeys: 1}) {
			want(t, "Scan", err, nil)
			break
		}
	}
	if len(outer) != 2500 {
		t.Errorf("%d keys, beside other lists", len(outer))
	}
	n := 0
	for range c.Scan(ctx, client.Query{PageKeys: 10}) {
		if n++; n == 5 {
			break
		}
	}
	if n != 5 {
		t.Errorf("stopped at %d", n)
	}
	for _, err := range c.Scan(ctx, client.Query{Prefix: "\xff"}) {
		want(t, "Scan", err, client.ErrKey)
	}
	done, cancel := context.WithCancel(ctx)
	defer cancel()
	n = 0
	for _, err := range c.Scan(done, client.Query{PageKeys: 10}) {
		cancel()
		if n++; err != nil {
			want(t, "Scan", err, context.Canceled)
		}
	}
	if n < 2 || n > 11 {
		t.Errorf("%d, with the error of a context that ended in the first page", n)
	}
}

func TestJSON(t *testing.T) {
	c := start(t, netio.Options{AnyValues: true}, client.Options{})
	ctx := t.Context()
	type user struct {
		Name string         `json:"name"`
		Tags map[string]int `json:"tags"`
	}
	bob := user{"bob <&> \u2028\n", map[string]int{"z": 1, "a": 2, "m": 3}}
	want(t, "SetJSON", client.SetJSON(ctx, c, "user:1", bob), nil)
	got, err := client.GetJSON[user](ctx, c, "user:1")
	if err != nil || fmt.Sprint(got) != fmt.Sprint(bob) {
		t.Errorf("%v, %v", got, err)
	}
	text, err := client.JSON(bob)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "RemoveIf", c.RemoveIf(ctx, "user:1", text), nil) // the same text each time
	want(t, "SetJSONEx", client.SetJSONEx(ctx, c, "user:2", []int{1}, time.Hour), nil)
	if _, err := client.GetJSON[user](ctx, c, "user:2"); err == nil || !strings.Contains(err.Error(), "user:2") {
		t.Errorf("%v", err)
	}
	want(t, "SetJSONEx", client.SetJSONEx(ctx, c, "user:2", func() {}, time.Hour), client.ErrValue)
	_, err = client.GetJSON[int](ctx, c, "user:3")
	want(t, "GetJSON", err, client.ErrNotExist)
}

func TestUnixSocket(t *testing.T) {
	path := "unix://" + filepath.Join(t.TempDir(), "s")
	netiotest.Start(t, netio.Options{Listen: []string{path}})
	c := dial(t, path, client.Options{})
	want(t, "Set", c.Set(t.Context(), "abcdef", []byte("1")), nil)
}

// TestTLS: the server's certificate is checked, and calls go through.
func TestTLS(t *testing.T) {
	srv, _ := netiotest.Start(t, netio.Options{})
	web := httptest.NewUnstartedServer(nil) // for its certificate
	web.StartTLS()
	defer web.Close()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: web.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s, err := net.Dial("tcp", srv.Addrs()[0].String())
			if err != nil {
				_ = c.Close()
				return
			}
			go func() { _, _ = io.Copy(s, c); _ = s.Close() }()
			go func() { _, _ = io.Copy(c, s); _ = c.Close() }()
		}
	}()
	pool := x509.NewCertPool()
	pool.AddCert(web.Certificate())
	c := dial(t, ln.Addr().String(), client.Options{TLS: &tls.Config{RootCAs: pool}})
	value := client.String(strings.Repeat("x", 100_000))
	want(t, "Set", c.Set(t.Context(), "abcdef", value), nil)
	got, err := c.Get(t.Context(), "abcdef")
	if err != nil || string(got) != string(value) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	var lost *client.ConnError
	var unknown *tls.CertificateVerificationError
	if _, err := client.Dial(t.Context(), ln.Addr().String(), client.Options{TLS: &tls.Config{}}); !errors.As(err, &lost) || lost.MayHaveRun || !errors.As(err, &unknown) {
		t.Errorf("a server that nobody vouches for: %v", err)
	}
}
