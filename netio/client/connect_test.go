package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

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
