package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"keyframe/netio"
	"keyframe/netio/client"
	"keyframe/netio/netiotest"
)

// startProxy is a server with an empty store after a proxy, and a client for each.
func startProxy(t *testing.T) (p *proxy, direct *client.Client) {
	t.Helper()
	srv, _ := netiotest.Start(t, netio.Options{AnyValues: true})
	addr := srv.Addrs()[0].String()
	return newProxy(t, addr), dial(t, addr, client.Options{})
}

// TestCutAnywhere ends the connection after each number of bytes in each direction, with an end
// of stream or a reset. A call is answered as it should be or says that it may have run, and a
// counter has at least what was answered and at most what may have run besides.
func TestCutAnywhere(t *testing.T) {
	const calls = 6
	p, direct := startProxy(t)
	var toServer, toClient int // guarded by the proxy's mu, as is reset
	var reset bool
	p.do(func() {
		p.plan = func(n int) (int, int, bool) {
			if n == 0 {
				return toServer, toClient, reset
			}
			return -1, -1, false // the connection after the one that is cut
		}
	})
	round := func(up, down int, with bool) (lost int) {
		t.Helper()
		p.do(func() { p.accepted, toServer, toClient, reset = 0, up, down, with })
		c, err := client.Dial(t.Context(), p.addr(), quick(client.Options{}))
		if err != nil {
			return -1 // cut in the greeting
		}
		defer c.Close()
		if _, err := direct.Clear(t.Context()); err != nil {
			t.Fatal(err)
		}
		errs, sums := [calls]error{}, [calls]int64{}
		var all sync.WaitGroup
		for i := range calls {
			all.Go(func() { sums[i], errs[i] = c.Incr(t.Context(), fmt.Sprintf("counter:%d", i%2), 1) })
		}
		all.Wait()
		for key := range 2 {
			var answered, unknown int64
			for i := key; i < calls; i += 2 {
				var conn *client.ConnError
				switch {
				case errs[i] == nil && sums[i] >= 1 && sums[i] <= calls/2:
					answered++
				case errors.As(errs[i], &conn) && conn.MayHaveRun:
					unknown++
				default:
					t.Fatalf("%d, %v", sums[i], errs[i])
				}
			}
			n, err := c.Incr(t.Context(), fmt.Sprintf("counter:%d", key), 0) // over whatever connection there is
			var conn *client.ConnError
			if errors.As(err, &conn) {
				n, err = c.Incr(t.Context(), fmt.Sprintf("counter:%d", key), 0)
			}
			if err != nil || n < answered || n > answered+unknown {
				t.Fatalf("the counter is %d, %v; %d were answered, %d may have run", n, err, answered, unknown)
			}
			lost += int(unknown)
		}
		return lost
	}
	if n := round(-1, -1, false); n != 0 {
		t.Fatalf("%d calls are lost without a cut", n)
	}
	some := 0
	for _, reset := range []bool{false, true} {
		for at := range len(`{"PING":{}}`) + calls*len(`{"INCR":{"counter:0":1}}`) + calls + 1 {
			some += max(round(at, -1, reset), 0)
		}
		for at := range len(`{"PING_RSP":{"st":0}}`) + calls*len(`{"INCR_RSP":{"st":2,"counter:0":1}}`) + calls + 1 {
			some += max(round(-1, at, reset), 0)
		}
	}
	if some == 0 {
		t.Error("no call was lost")
	}
}

// hold has the proxy hold answers back, calls fn in a goroutine, and returns when what fn sends
// has come to the proxy.
func hold(p *proxy, fn func() error) <-chan error {
	before := 0
	p.do(func() { p.held, before = true, p.come })
	done := make(chan error, 1)
	go func() { done <- fn() }()
	p.wait(func() bool { return p.come > before })
	return done
}

func release(p *proxy) { p.do(func() { p.held, p.silent = false, false }) }

// TestRetry: what may have run is sent once more only if that is wanted, and runs twice then.
func TestRetry(t *testing.T) {
	for _, tt := range []struct {
		retry        client.Retry
		write, read  bool // they are repeated
		count, batch int  // times that Incr has run
	}{
		{client.RetryNothing, false, false, 1, 1}, {client.RetryReads, false, true, 1, 1}, {client.RetryAll, true, true, 2, 2},
	} {
		p, direct := startProxy(t)
		c := dial(t, p.addr(), quick(client.Options{Retry: tt.retry}))
		ctx := t.Context()
		want(t, "Set", direct.Set(ctx, "abcdef", []byte("1")), nil)
		check := func(what string, repeated bool, fn func() error) {
			t.Helper()
			done := hold(p, fn)
			sent := 0
			p.wait(func() bool { // the server's answer has come, so it has run
				for l := range p.open {
					sent = l.down
				}
				return sent > len(`{"PING_RSP":{"st":0}}`+"\n")
			})
			p.cut(true)
			release(p)
			var lost *client.ConnError
			if err := <-done; repeated && err != nil || !repeated && (!errors.As(err, &lost) || !lost.MayHaveRun) {
				t.Errorf("retry %d, %s: %v", tt.retry, what, err)
			}
			want(t, "Ping", c.Ping(ctx), nil)
			p.wait(func() bool { return len(p.open) == 1 })
			p.do(func() {
				for l := range p.open {
					l.down = 0
				}
			})
		}
		check("Get", tt.read, func() error { _, err := c.Get(ctx, "abcdef"); return err })
		check("Incr", tt.write, func() error { _, err := c.Incr(ctx, "counter", 1); return err })
		if n, err := direct.Incr(ctx, "counter", 0); err != nil || n != int64(tt.count) {
			t.Errorf("retry %d: the counter is %d, %v", tt.retry, n, err)
		}
		var b client.Batch
		b.Get("abcdef")
		b.Get("bcdefg")
		check("a batch of reads", tt.read, func() error { return c.Do(ctx, &b) })
		if tt.read && (b.Len() != 2 || string(b.Value(0)) != "1" || b.Err(1) == nil) {
			t.Errorf("retry %d: %d, %s, %v", tt.retry, b.Len(), b.Value(0), b.Err(1))
		}
		b.Reset()
		b.Get("abcdef")
		b.Incr("abcdef", 1)
		b.Get("abcdef")
		check("a batch that writes", tt.write, func() error { return c.Do(ctx, &b) })
		if n, err := direct.Incr(ctx, "abcdef", 0); err != nil || n != 1+int64(tt.batch) {
			t.Errorf("retry %d: it is %d, %v", tt.retry, n, err)
		}
	}
}

// TestRetriesEnd: a command that the server always ends the connection for is not sent for ever.
func TestRetriesEnd(t *testing.T) {
	asked := 0
	c := dial(t, scripted(t, func(int, string) (string, bool) { asked++; return "", true }), quick(client.Options{Retry: client.RetryAll, MaxRetries: 5}))
	_, err := c.Get(t.Context(), "abcdef")
	var lost *client.ConnError
	if !errors.As(err, &lost) || !lost.MayHaveRun || asked != 6 || !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v, after it was sent %d times", err, asked)
	}
}

// TestAbandon: a call whose context ends leaves its place, and the answers that come later
// find their calls.
func TestAbandon(t *testing.T) {
	p, direct := startProxy(t)
	c := dial(t, p.addr(), quick(client.Options{}))
	for i := range 9 {
		want(t, "Set", direct.Set(t.Context(), fmt.Sprintf("number:%d", i), fmt.Append(nil, i)), nil)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var given, kept [9]<-chan error
	for i := range given {
		given[i] = hold(p, func() error {
			if i%3 == 0 {
				var b client.Batch
				b.Get(fmt.Sprintf("number:%d", i))
				b.Get("nobody")
				err := c.Do(ctx, &b)
				if b.Len() != 0 {
					t.Errorf("an abandoned batch has %d", b.Len())
				}
				return err
			}
			_, err := c.Get(ctx, fmt.Sprintf("number:%d", i))
			return err
		})
		kept[i] = hold(p, func() error {
			got, err := c.Get(t.Context(), fmt.Sprintf("number:%d", i))
			if err == nil && string(got) != fmt.Sprint(i) {
				err = fmt.Errorf("it is %s", got)
			}
			return err
		})
	}
	cancel()
	for i := range given {
		err := <-given[i]
		var lost *client.ConnError
		if want(t, "an abandoned call", err, context.Canceled); !errors.As(err, &lost) || !lost.MayHaveRun {
			t.Errorf("%v", err)
		}
	}
	release(p)
	for i := range kept {
		want(t, "a call that waits", <-kept[i], nil)
	}
	// A context that has ended before: nothing is sent.
	var lost *client.ConnError
	if err := c.Set(ctx, "abcdef", []byte("1")); !errors.As(err, &lost) || lost.MayHaveRun || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if n, err := direct.Count(t.Context()); n != 9 || err != nil {
		t.Errorf("%d keys, %v", n, err)
	}
}

// TestBackPressure: calls past a limit wait, are admitted in order, and can give up without a
// trace.
func TestBackPressure(t *testing.T) {
	for _, o := range []client.Options{{MaxInFlight: 2}, {MaxPendingBytes: 1, MaxInFlight: 2}} {
		p, direct := startProxy(t)
		c := dial(t, p.addr(), quick(o))
		first := hold(p, func() error { return c.Set(t.Context(), "first_", []byte("1")) })
		second := hold(p, func() error { return c.Append(t.Context(), "second", client.String("a")) })
		ctx, cancel := context.WithCancel(t.Context())
		blocked, cancelled := make(chan error, 8), make(chan error, 1)
		client.WaitBlocked(c, 0)
		for i := range 8 {
			go func() { blocked <- c.Append(t.Context(), "second", client.String("b")) }()
			client.WaitBlocked(c, i+1)
		}
		go func() { cancelled <- c.Set(ctx, "third_", []byte("1")) }()
		client.WaitBlocked(c, 9)
		var b client.Batch
		for range 5 { // more than ever has room
			b.Append("second", client.String("c"))
		}
		big := make(chan error, 1)
		go func() { big <- c.Do(t.Context(), &b) }()
		client.WaitBlocked(c, 10)
		cancel()
		err := <-cancelled
		var lost *client.ConnError
		if want(t, "a blocked call", err, context.Canceled); !errors.As(err, &lost) || lost.MayHaveRun {
			t.Errorf("%v", err)
		}
		release(p)
		for _, done := range []<-chan error{first, second, big, blocked, blocked, blocked, blocked, blocked, blocked, blocked, blocked} {
			want(t, "a call", <-done, nil)
		}
		if got, err := client.GetJSON[string](t.Context(), direct, "second"); got != "abbbbbbbbccccc" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		if _, err := direct.Get(t.Context(), "third_"); !errors.Is(err, client.ErrNotExist) {
			t.Errorf("what was given up before it was sent has run: %v", err)
		}
		want(t, "weight", client.Weight(c), nil)
	}
}

// TestRoom: a call that would have room waits for those before it that have none; and when the
// socket takes what gathered, what waited for that goes on, without an answer to anything.
func TestRoom(t *testing.T) {
	p, direct := startProxy(t)
	grow := func(c *client.Client, text string) <-chan error {
		done := make(chan error, 1)
		go func() { done <- c.Append(t.Context(), "growing", client.String(text)) }()
		return done
	}
	c := dial(t, p.addr(), quick(client.Options{MaxInFlight: 4}))
	first := hold(p, func() error { return c.Append(t.Context(), "growing", client.String("a")) })
	var b client.Batch
	for range 3 {
		b.Append("growing", client.String("b"))
	}
	batch := make(chan error, 1)
	go func() { batch <- c.Do(t.Context(), &b) }() // three keys and the command
	client.WaitBlocked(c, 1)
	last := grow(c, "c")
	client.WaitBlocked(c, 2)
	release(p)
	for _, done := range []<-chan error{first, batch, last} {
		want(t, "a call", <-done, nil)
	}

	c = dial(t, p.addr(), quick(client.Options{MaxPendingBytes: 1}))
	long := strings.Repeat("d", 8<<20)
	p.do(func() { p.held, p.silent = true, true })
	calls := []<-chan error{grow(c, long)}
	p.wait(func() bool { return p.come > 1<<10 })
	calls = append(calls, grow(c, "e")) // alone in what gathers while the socket is full
	client.WaitUnsent(c, 1)
	calls = append(calls, grow(c, "f"))
	client.WaitBlocked(c, 1)
	p.do(func() { p.silent = false })
	client.WaitBlocked(c, 0)
	release(p)
	for _, done := range calls {
		want(t, "a call", <-done, nil)
	}
	if got, err := client.GetJSON[string](t.Context(), direct, "growing"); got != "abbbc"+long+"ef" || err != nil {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestSilenceOfTheIdle: a server that owes nothing may say nothing.
func TestSilenceOfTheIdle(t *testing.T) {
	p, _ := startProxy(t)
	dial(t, p.addr(), quick(client.Options{Silence: time.Millisecond}))
	time.Sleep(20 * time.Millisecond) // no event says that nothing happens
	p.do(func() {
		if p.accepted != 1 {
			t.Errorf("%d connections", p.accepted)
		}
	})
}

// TestSilence: a peer that says nothing more is given up, and calls go on over the next
// connection.
func TestSilence(t *testing.T) {
	p, _ := startProxy(t)
	c := dial(t, p.addr(), quick(client.Options{Silence: 40 * time.Millisecond}))
	done := hold(p, func() error { return c.Set(t.Context(), "abcdef", []byte("1")) })
	err := <-done
	var lost *client.ConnError
	if want(t, "a call", err, client.ErrSilent); !errors.As(err, &lost) || !lost.MayHaveRun {
		t.Errorf("%v", err)
	}
	release(p)
	want(t, "Ping", c.Ping(t.Context()), nil)
}

// TestOutage: while there is no server calls wait; after Options.Outage they don't; when it is
// back they are served. What has given up meanwhile is never sent.
func TestOutage(t *testing.T) {
	down := func(t *testing.T, o client.Options) (*proxy, *client.Client, *client.Client) {
		p, direct := startProxy(t)
		c := dial(t, p.addr(), quick(o))
		p.do(func() { p.refuses = true })
		p.cut(true)
		client.WaitDown(c)
		return p, direct, c
	}
	var lost *client.ConnError
	t.Run("back in time", func(t *testing.T) {
		p, direct, c := down(t, client.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		done, gone := make(chan error, 1), make(chan error, 1)
		go func() { gone <- c.Set(ctx, "given up", []byte("1")) }()
		client.WaitUnsent(c, 1)
		go func() { done <- c.Set(t.Context(), "waiting", []byte("1")) }()
		client.WaitUnsent(c, 2)
		cancel()
		if err := <-gone; !errors.As(err, &lost) || lost.MayHaveRun || !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		p.do(func() { p.refuses = false })
		want(t, "Set", <-done, nil)
		if n, err := direct.Count(t.Context()); n != 1 || err != nil {
			t.Errorf("%d keys, %v", n, err)
		}
		want(t, "weight", client.Weight(c), nil)
	})
	t.Run("what may have run", func(t *testing.T) {
		p, _ := startProxy(t)
		c := dial(t, p.addr(), quick(client.Options{Retry: client.RetryAll}))
		ctx, cancel := context.WithCancel(t.Context())
		gone := hold(p, func() error { return c.Set(ctx, "given up", []byte("1")) })
		done := hold(p, func() error { return c.Set(t.Context(), "waiting", []byte("1")) })
		p.do(func() { p.refuses = true })
		p.cut(true)
		client.WaitUnsent(c, 2)
		cancel()
		if err := <-gone; !errors.As(err, &lost) || !lost.MayHaveRun || !errors.Is(err, context.Canceled) {
			t.Errorf("given up before it was sent again: %v", err)
		}
		want(t, "Close", c.Close(), nil)
		if err := <-done; !errors.As(err, &lost) || !lost.MayHaveRun || !errors.Is(err, client.ErrClosed) {
			t.Errorf("not sent again: %v", err)
		}
		release(p)
	})
	t.Run("too late", func(t *testing.T) {
		p, direct, c := down(t, client.Options{Outage: time.Millisecond})
		for range 2 { // one that waits, perhaps, and one that doesn't
			if err := c.Set(t.Context(), "abcdef", []byte("1")); !errors.As(err, &lost) || lost.MayHaveRun {
				t.Errorf("%v", err)
			}
		}
		p.do(func() { p.refuses = false })
		for errors.As(c.Ping(t.Context()), &lost) {
		}
		want(t, "Set", c.Set(t.Context(), "bcdefg", []byte("1")), nil)
		if n, err := direct.Count(t.Context()); n != 1 || err != nil {
			t.Errorf("%d keys, %v", n, err)
		}
	})
	t.Run("no patience", func(t *testing.T) {
		_, _, c := down(t, client.Options{Outage: -1})
		client.WaitRefused(c)
		if err := c.Set(t.Context(), "abcdef", []byte("1")); !errors.As(err, &lost) || lost.MayHaveRun {
			t.Errorf("%v", err)
		}
	})
}

// TestGoodbye: the server's last words are the reason, not the answer.
func TestGoodbye(t *testing.T) {
	idle := `{"SERVER_ERROR":{"s":6,"m":"idle for 5m0s"}}` + "\n"
	c := dial(t, scripted(t, func(int, string) (string, bool) { return idle, true }), quick(client.Options{}))
	var lost *client.ConnError
	var words *client.ServerError
	if err := c.Set(t.Context(), "abcdef", []byte("1")); !errors.As(err, &lost) || !errors.As(err, &words) || words.Message != "idle for 5m0s" {
		t.Errorf("%v", err)
	}
}

// TestClose: calls end, later ones are refused, and no goroutine is left, wherever the client is.
func TestClose(t *testing.T) {
	p, direct := startProxy(t)
	want(t, "Ping", direct.Ping(t.Context()), nil) // its goroutines are there
	ignore := goleak.IgnoreCurrent()
	var lost *client.ConnError
	t.Run("idle", func(t *testing.T) {
		c := dial(t, p.addr(), client.Options{})
		want(t, "Close", c.Close(), nil)
		want(t, "Close", c.Close(), nil)
		if err := c.Ping(t.Context()); !errors.As(err, &lost) || lost.MayHaveRun || !errors.Is(err, client.ErrClosed) {
			t.Errorf("%v", err)
		}
	})
	t.Run("waiting", func(t *testing.T) {
		c := dial(t, p.addr(), client.Options{MaxInFlight: 1})
		sent := hold(p, func() error { return c.Set(t.Context(), "abcdef", []byte("1")) })
		blocked := make(chan error, 1)
		go func() { blocked <- c.Ping(t.Context()) }()
		client.WaitBlocked(c, 1)
		want(t, "Close", c.Close(), nil)
		if err := <-sent; !errors.As(err, &lost) || !lost.MayHaveRun || !errors.Is(err, client.ErrClosed) {
			t.Errorf("%v", err)
		}
		if err := <-blocked; !errors.As(err, &lost) || lost.MayHaveRun || !errors.Is(err, client.ErrClosed) {
			t.Errorf("%v", err)
		}
		release(p)
	})
	t.Run("writing", func(t *testing.T) {
		c := dial(t, p.addr(), client.Options{MaxPendingBytes: 1 << 30, MaxFrameBytes: 1 << 30})
		p.do(func() { p.silent = true })
		done := make(chan error, 1)
		go func() { done <- c.Set(t.Context(), "abcdef", client.String(strings.Repeat("x", 16<<20))) }()
		p.wait(func() bool { return p.come > 1<<10 })
		want(t, "Close", c.Close(), nil)
		want(t, "Set", <-done, client.ErrClosed)
		release(p)
	})
	t.Run("without a server", func(t *testing.T) {
		c := dial(t, p.addr(), quick(client.Options{}))
		p.do(func() { p.refuses = true })
		p.cut(true)
		client.WaitDown(c)
		done := make(chan error, 1)
		go func() { done <- c.Ping(t.Context()) }()
		client.WaitUnsent(c, 1)
		want(t, "Close", c.Close(), nil)
		if err := <-done; !errors.As(err, &lost) || lost.MayHaveRun || !errors.Is(err, client.ErrClosed) {
			t.Errorf("%v", err)
		}
		p.do(func() { p.refuses = false })
	})
	p.wait(func() bool { return len(p.open) == 0 })
	goleak.VerifyNone(t, ignore)
}
