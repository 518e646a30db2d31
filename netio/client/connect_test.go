package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyframe/netio"
	"keyframe/netio/access"
	"keyframe/netio/client"
	"keyframe/netio/netiotest"
)

func TestOptions(t *testing.T) {
	for field, o := range map[string]client.Options{
		"Token":           {Token: "x", User: "y"},
		"Password":        {Password: "x"},
		"ConnectTimeout":  {ConnectTimeout: -1},
		"MinBackoff":      {MinBackoff: -1},
		"MaxBackoff":      {MinBackoff: time.Minute},
		"Silence":         {Silence: -1},
		"Retry":           {Retry: 3},
		"MaxRetries":      {MaxRetries: -1},
		"MaxInFlight":     {MaxInFlight: -1},
		"MaxPendingBytes": {MaxPendingBytes: 1 << 40},
		"MaxFrameBytes":   {MaxFrameBytes: 1},
		"MaxAnswerBytes":  {MaxAnswerBytes: 1},
	} {
		_, err := client.Dial(t.Context(), "127.0.0.1:1", o)
		var fault *client.OptionError
		if !errors.As(err, &fault) || fault.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	for _, addr := range []string{"", "host", ":1987", "host:0", "host:99999", "unix://relative", "ws://host:1"} {
		var fault *client.OptionError
		if _, err := client.Dial(t.Context(), addr, client.Options{}); !errors.As(err, &fault) || fault.Field != "address" {
			t.Errorf("%q: %v", addr, err)
		}
	}
}

// TestGreeting: what a client says first, and what becomes of the answers to it.
func TestGreeting(t *testing.T) {
	for _, tt := range []struct {
		opts         client.Options
		says, answer string
		is           error
	}{
		{client.Options{}, `{"PING":{}}`, `{"PING_RSP":{"st":0}}`, nil},
		{client.Options{User: "bob \"\n", Password: "p\\"}, `{"AUTH":{"user":"bob \"\n","password":"p\\"}}`, `{"AUTH_RSP":{"st":0}}`, nil},
		{client.Options{Token: "t\""}, `{"AUTH":{"token":"t\""}}`, `{"AUTH_RSP":{"st":0}}`, nil},
		{client.Options{Token: "t"}, `{"AUTH":{"token":"t"}}`, `{"AUTH_RSP":{"st":13,"m":"wrong"}}`, client.ErrDenied},
		{client.Options{Token: "t"}, `{"AUTH":{"token":"t"}}`, `{"PING_RSP":{"st":0}}`, client.ErrProtocol},
		{client.Options{}, `{"PING":{}}`, `{"SERVER_ERROR":{"s":15,"m":"LOADING: 3 %"}}`, client.ErrUnavailable},
		{client.Options{}, `{"PING":{}}`, `{"SERVER_ERROR":{"s":13,"m":"no"}}`, client.ErrDenied},
		{client.Options{}, `{"PING":{}}`, `HTTP/1.1 400 Bad Request`, client.ErrProtocol},
		{client.Options{}, `{"PING":{}}`, "{\"PING_RSP\":{\"st\":0}}\n{}", client.ErrProtocol},
		{client.Options{}, `{"PING":{}}`, strings.Repeat("x", 1<<17), client.ErrProtocol},
		{client.Options{}, `{"PING":{}}`, "", io.EOF},
	} {
		said := make(chan string, 1)
		addr := netiotest.Lines(t, func(c net.Conn, _ int, line []byte) bool {
			said <- strings.TrimSuffix(string(line), "\n")
			if tt.answer != "" {
				_, _ = io.WriteString(c, tt.answer+"\n")
			}
			return tt.is == nil
		})
		c, err := client.Dial(t.Context(), addr, tt.opts)
		if err == nil {
			_ = c.Close()
		}
		want(t, tt.answer[:min(len(tt.answer), 40)], err, tt.is)
		if got := <-said; got != tt.says {
			t.Errorf("it said %s, want %s", got, tt.says)
		}
	}
}

// TestDialEnds: with its context, at its own time, and when nobody listens.
func TestDialEnds(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	addr := ln.Addr().String() // nobody accepts, and nobody answers
	var lost *client.ConnError
	_, err = client.Dial(t.Context(), addr, client.Options{ConnectTimeout: time.Millisecond})
	if want(t, "Dial", err, context.DeadlineExceeded); !errors.As(err, &lost) || lost.MayHaveRun {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = client.Dial(ctx, addr, client.Options{})
	want(t, "Dial", err, context.Canceled)
	_ = ln.Close()
	var op *net.OpError
	if _, err = client.Dial(t.Context(), addr, client.Options{}); !errors.As(err, &op) || !errors.As(err, &lost) {
		t.Errorf("%v", err)
	}
}

// TestUsers: the client says who it is, at each connect; what its user may not do is denied, and
// the connection goes on.
func TestUsers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.json")
	var token string
	err := access.Change(path, true, func(f *access.File) (err error) {
		err = f.Add("bob", []byte("correct horse"), access.Rights{Read: []string{"bob:"}, Write: []string{"bob:"}}, false)
		if err == nil {
			_, token, err = f.AddToken("bob", time.Time{})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	users, err := access.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	srv, _ := netiotest.Start(t, netio.Options{Users: users})
	addr := srv.Addrs()[0].String()
	for _, o := range []client.Options{{User: "bob", Password: "correct horse"}, {Token: token}} {
		p := newProxy(t, addr)
		c := dial(t, p.addr(), quick(o))
		want(t, "Set", c.Set(t.Context(), "bob:key", []byte("1")), nil)
		p.do(func() { p.refuses = true }) // or the client is back before anyone has seen it down
		p.cut(true)
		client.WaitDown(c)
		p.do(func() { p.refuses = false })
		got, err := c.Get(t.Context(), "bob:key")
		wantValue(t, "Get over the next connection", got, err, "1")
		want(t, "Set", c.Set(t.Context(), "eve:key", []byte("1")), client.ErrDenied)
		_, err = c.Get(t.Context(), "eve:key")
		want(t, "Get", err, client.ErrDenied)
		_, err = c.Count(t.Context())
		want(t, "Count", err, client.ErrDenied)
		_, err = c.Info(t.Context())
		want(t, "Info", err, client.ErrDenied)
		for _, err := range c.Scan(t.Context(), client.Query{}) {
			want(t, "Scan", err, client.ErrDenied)
		}
		b := client.Batch{Quiet: true}
		b.Set("bob:key", []byte("2"))
		b.Set("eve:key", []byte("2"))
		b.Set("bob:two", []byte("2"))
		if err := c.Do(t.Context(), &b); err != nil || b.Err(0) != nil || !errors.Is(b.Err(1), client.ErrDenied) || b.Err(2) != nil {
			t.Errorf("%v, %v, %v, %v", err, b.Err(0), b.Err(1), b.Err(2))
		}
	}
	_, err = client.Dial(t.Context(), addr, client.Options{User: "bob", Password: "wrong"})
	want(t, "Dial", err, client.ErrDenied)
	nobody := dial(t, addr, client.Options{})
	_, err = nobody.Get(t.Context(), "bob:key")
	want(t, "Get by nobody", err, client.ErrDenied)
}
