package client_test

import (
	"context"
	"flag"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"keyframe/netio"
	"keyframe/netio/client"
	"keyframe/netio/netiotest"
)

var seed = flag.Uint64("seed", 0, "seed of the random tests; 0: one of their own, which they print")

func random(t *testing.T) *rand.Rand {
	t.Helper()
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("-seed=%d", s)
	return rand.New(rand.NewPCG(s, 0))
}

// quick has a client try again at once.
func quick(o client.Options) client.Options {
	o.MinBackoff, o.MaxBackoff = time.Microsecond, time.Millisecond
	if o.Outage == 0 {
		o.Outage = time.Minute
	}
	return o
}

func dial(t testing.TB, addr string, o client.Options) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), addr, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// start serves an empty store and connects to it.
func start(t testing.TB, server netio.Options, o client.Options) *client.Client {
	t.Helper()
	srv, _ := netiotest.Start(t, server)
	return dial(t, srv.Addrs()[0].String(), o)
}

// proxy stands between a client and a server, and does to connections what networks do.
type proxy struct {
	t      testing.TB
	ln     net.Listener
	server string

	mu       sync.Mutex
	changed  *sync.Cond
	accepted int
	come     int // bytes that have come from clients, over all connections that were
	open     map[*link]bool
	refuses  bool // connections are closed as they come
	held     bool // nothing is passed on to the client
	silent   bool // and nothing to the server
	plan     func(n int) (toServer, toClient int, reset bool)
}

// link is a connection through the proxy.
type link struct {
	client, server   *net.TCPConn
	toServer, toward int // bytes that may still be passed on; negative: any number
	down             int // bytes that have come from the server
	reset            bool
}

func newProxy(t testing.TB, server string) *proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, ln: ln, server: server, open: map[*link]bool{}}
	p.changed = sync.NewCond(&p.mu)
	t.Cleanup(func() {
		_ = ln.Close()
		p.do(func() { p.held, p.silent = false, false })
		p.cut(false)
	})
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			p.accept(c.(*net.TCPConn))
		}
	}()
	return p
}

func (p *proxy) addr() string { return p.ln.Addr().String() }

// do changes what the proxy does.
func (p *proxy) do(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.changed.Broadcast()
}

// wait waits until something is so. cond is called with mu held.
func (p *proxy) wait(cond func() bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !cond() {
		p.changed.Wait()
	}
}

func (p *proxy) accept(c *net.TCPConn) {
	p.mu.Lock()
	refuses := p.refuses
	l := &link{client: c, toServer: -1, toward: -1}
	if p.plan != nil && !refuses {
		l.toServer, l.toward, l.reset = p.plan(p.accepted)
	}
	if !refuses {
		p.accepted++
	}
	p.changed.Broadcast()
	p.mu.Unlock()
	s, err := net.Dial("tcp", p.server)
	if err != nil || refuses {
		_ = c.SetLinger(0)
		_ = c.Close()
		if s != nil {
			_ = s.Close()
		}
		return
	}
	l.server = s.(*net.TCPConn)
	p.do(func() { p.open[l] = true })
	go p.pass(l, l.server, l.client, &l.toServer, &p.come, &p.silent)
	go p.pass(l, l.client, l.server, &l.toward, &l.down, &p.held)
}

// pass passes bytes on until one end closes or the limit is reached.
func (p *proxy) pass(l *link, to, from *net.TCPConn, limit, count *int, wait *bool) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		*count += n
		p.changed.Broadcast()
		for *wait && p.open[l] {
			p.changed.Wait()
		}
		end := err != nil || *limit >= 0 && n >= *limit
		if *limit >= 0 {
			n = min(n, *limit)
			*limit -= n
		}
		p.mu.Unlock()
		if _, werr := to.Write(buf[:n]); werr != nil || end {
			p.close(l, l.reset)
			return
		}
	}
}

func (p *proxy) close(l *link, reset bool) {
	if reset {
		_ = l.client.SetLinger(0)
	}
	_ = l.client.Close()
	_ = l.server.Close()
	p.do(func() { delete(p.open, l) })
}

// cut ends all connections.
func (p *proxy) cut(reset bool) {
	p.mu.Lock()
	var all []*link
	for l := range p.open {
		all = append(all, l)
	}
	p.mu.Unlock()
	for _, l := range all {
		p.close(l, reset)
	}
}

// scripted is a server that answers each command, except the PING of a greeting, as told: with
// text of any kind, and then, if last, with the end.
func scripted(t testing.TB, answer func(n int, line string) (text string, last bool)) string {
	t.Helper()
	return netiotest.Lines(t, func(c net.Conn, n int, line []byte) bool {
		if n == 0 && string(line) == `{"PING":{}}`+"\n" {
			_, err := io.WriteString(c, `{"PING_RSP":{"st":0}}`+"\n")
			return err == nil
		}
		text, last := answer(n, string(line))
		_, err := io.WriteString(c, text)
		return err == nil && !last
	})
}

var background = context.Background()

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(m.Run())
}
