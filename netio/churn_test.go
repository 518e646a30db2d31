package netio_test

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"keyframe/netio"
)

// Clients that come and go, that are killed, and whose network is bad.

// TestChurn: 20,000 connections are opened, used and closed in every way, and
// leave nothing behind.
func TestChurn(t *testing.T) {
	s := startServer(t, netio.Options{})
	const conns, workers = 20_000, 8
	churn := func(from, to int) {
		for i := from; i < to; i++ {
			network, addr := "tcp", s.tcp
			if i%2 == 0 {
				network, addr = "unix", s.unix
			}
			c, err := net.Dial(network, addr)
			if err != nil {
				t.Error(err)
				return
			}
			var answer [64]byte
			switch i % 5 {
			case 0, 1: // served, then closed
				_, _ = fmt.Fprintf(c, "{\"GET\":[\"churned\"]}\n")
				if n, err := c.Read(answer[:]); err != nil || string(answer[:n]) != `{"GET_RSP":{"st":3,"k":"churned"}}`+"\n" {
					t.Errorf("got %q, %v", answer[:n], err)
				}
			case 2: // closed in the middle of a command
				_, _ = io.WriteString(c, `{"GET":["chur`)
			case 3: // closed without a command, or with a reset
				if tcp, ok := c.(*net.TCPConn); ok {
					_ = tcp.SetLinger(0)
				}
			case 4: // closed with the answers unread
				_, _ = io.WriteString(c, strings.Repeat("{\"COUNT\":{}}\n", 10))
			}
			_ = c.Close()
		}
	}
	gone := func() bool { st := s.Stats(); return st.Conns == 0 }
	churn(0, 200) // so that what is allocated once and kept is there
	waitFor(t, "the first connections to be forgotten", gone)
	ignore := goleak.IgnoreCurrent()
	files := openFiles(t)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)

	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() { churn(w*conns/workers, (w+1)*conns/workers) })
	}
	wg.Wait()
	waitFor(t, "all connections to be forgotten", gone)
	waitFor(t, "the descriptors to be closed", func() bool { return openFiles(t) <= files })
	goleak.VerifyNone(t, ignore)
	runtime.GC()
	runtime.ReadMemStats(&after)
	// 100 bytes left of each closed connection would show.
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 2<<20 {
		t.Fatalf("the heap grew by %d bytes", grown)
	}
	if st := s.Stats(); st.ConnsTotal != conns+200 || st.AcceptErrors != 0 {
		t.Fatalf("%d connections accepted, %d errors", st.ConnsTotal, st.AcceptErrors)
	}
}

// killedClient is where the process of TestKilledClients finds the server.
const killedClient = "KEYFRAME_TEST_KILLED_CLIENT"

// TestKilledClients: processes with many connections are killed (SIGKILL) while they send.
// Commands that arrived whole are executed, others are not, and nothing is left.
func TestKilledClients(t *testing.T) {
	if addr := os.Getenv(killedClient); addr != "" {
		beKilled(addr)
	}
	s := startServer(t, netio.Options{})
	const processes = 3
	for i := range processes {
		p := exec.Command(os.Args[0], "-test.run", "^TestKilledClients$")
		p.Env = append(os.Environ(), killedClient+"="+s.tcp)
		out, err := p.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "sending\n" {
			t.Fatalf("process %d says %q, %v", i, line, err)
		}
		if err := p.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = p.Wait() // it was killed
	}
	waitFor(t, "the killed to be forgotten", func() bool { return s.Stats().Conns == 0 })
	c := dialLines(t, "tcp", s.tcp)
	for i := range killedConns {
		c.send(fmt.Sprintf(`{"CONTAINS":["whole_%02d","other_%02d","half_%02d"]}`, i, i, i))
		for _, want := range []string{
			fmt.Sprintf(`{"CONTAINS_RSP":{"st":4,"k":"whole_%02d"}}`, i),
			fmt.Sprintf(`{"CONTAINS_RSP":{"st":4,"k":"other_%02d"}}`, i),
			fmt.Sprintf(`{"CONTAINS_RSP":{"st":3,"k":"half_%02d"}}`, i),
		} {
			if got := c.recv(); got != want {
				t.Fatalf("got %s, want %s", got, want)
			}
		}
	}
}

const killedConns = 50

// beKilled is the other process: it never returns.
func beKilled(addr string) {
	for i := range killedConns {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		_, _ = fmt.Fprintf(c, "{\"SET\":{\"whole_%02d\":1}}\n", i)
		_, _ = c.Read(make([]byte, 100))
		_, _ = fmt.Fprintf(c, "{\"SET\":{\"other_%02d\":1}}\n", i)
		if i%2 == 0 {
			_, _ = c.Read(make([]byte, 100)) // without it the kernel resets the connection
		}
		_, _ = fmt.Fprintf(c, "{\"SET\":{\"half_%02d\":1", i)
		if i == killedConns-1 {
			fmt.Println("sending")
			for {
				_, _ = fmt.Fprintf(c, ",\"half_%02d\":1", i)
			}
		}
	}
}

// badNetwork relays connections to addr, as a bad network would: it cuts what is sent into
// other pieces, delays them, and now and then resets a connection.
type badNetwork struct {
	net.Listener
	addr string
	seed atomic.Uint64
	cuts atomic.Int64
	wg   sync.WaitGroup
}

func startBadNetwork(t testing.TB, addr string, seed uint64) *badNetwork {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &badNetwork{Listener: ln, addr: addr}
	p.seed.Store(seed)
	p.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.relay(c) })
		}
	})
	return p
}

// close ends the relays; their clients have gone.
func (p *badNetwork) close() {
	_ = p.Close()
	p.wg.Wait()
}

func (p *badNetwork) relay(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.addr)
	if err != nil {
		return
	}
	defer server.Close()
	seed := p.seed.Add(1)
	var both sync.WaitGroup
	for i, way := range [][2]net.Conn{{client, server}, {server, client}} {
		both.Go(func() {
			p.pump(way[1], way[0], rand.New(rand.NewPCG(seed, uint64(i))))
			// When one direction ends, both end.
			_ = client.Close()
			_ = server.Close()
		})
	}
	both.Wait()
}

func (p *badNetwork) pump(dst, src net.Conn, rng *rand.Rand) {
	buf := make([]byte, 32<<10)
	life := rng.IntN(2 << 20) // bytes until it is reset
	for {
		n, err := src.Read(buf[:1+rng.IntN(len(buf))])
		for rest := buf[:n]; len(rest) > 0; {
			piece := min(1+rng.IntN(1<<rng.IntN(14)), len(rest))
			if life -= piece; life < 0 {
				p.cuts.Add(1)
				if tcp, ok := dst.(*net.TCPConn); ok && rng.IntN(2) == 0 {
					_ = tcp.SetLinger(0) // with a reset
				}
				return
			}
			if rng.IntN(8) == 0 {
				time.Sleep(time.Duration(rng.IntN(1000)) * time.Microsecond)
			}
			if _, err := dst.Write(rest[:piece]); err != nil {
				return
			}
			rest = rest[piece:]
		}
		if err != nil {
			return
		}
	}
}

// newSeed prints its seed, so that a failure can be repeated with -seed.
func newSeed(t testing.TB) uint64 {
	t.Helper()
	seed := flag.Lookup("seed").Value.(flag.Getter).Get().(uint64)
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	return seed
}

// TestBadNetwork: through a bad network every answer that arrives is right and in its
// place, and what was answered is in the store.
func TestBadNetwork(t *testing.T) {
	s := startServer(t, netio.Options{})
	seed := newSeed(t)
	network := startBadNetwork(t, s.tcp, seed)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for life := range 8 {
				c, err := net.Dial("tcp", network.Addr().String())
				if err == nil {
					err = throughBadNetwork(c, fmt.Sprintf("net_%d_%d", w, life), 3000, patience)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	network.close()
	if network.cuts.Load() == 0 {
		t.Fatal("nothing was cut off: the test needs longer conversations")
	}
	waitFor(t, "all connections to be forgotten", func() bool { return s.Stats().Conns == 0 })
	if st := s.Stats(); st.SlowConsumers != 0 {
		t.Fatalf("%d slow consumers", st.SlowConsumers)
	}
}

// throughBadNetwork pipelines commands of different lengths and checks the answers until
// the connection is reset, or none comes for so long. It closes the connection.
func throughBadNetwork(c net.Conn, prefix string, commands int, patience time.Duration) error {
	defer c.Close()
	value := func(i int) string { return strings.Repeat("v", i*i%977) }
	go func() {
		w := bufio.NewWriterSize(c, 8<<10)
		for i := range commands {
			_, _ = fmt.Fprintf(w, "{\"SET\":{\"%s_%05d\":\"%s\"}}\n{\"GET\":[\"%s_%05d\"]}\n", prefix, i, value(i), prefix, i/2)
		}
		_ = w.Flush()
	}()
	r := bufio.NewReader(c)
	for i := range commands {
		// Patience is for one answer: on a busy machine many of them take longer.
		_ = c.SetDeadline(time.Now().Add(patience))
		for _, want := range []string{
			fmt.Sprintf("{\"SET_RSP\":{\"st\":1,\"k\":\"%s_%05d\"}}\n", prefix, i),
			fmt.Sprintf("{\"GET_RSP\":{\"st\":0,\"%s_%05d\":\"%s\"}}\n", prefix, i/2, value(i/2)),
		} {
			got, err := r.ReadString('\n')
			switch {
			case err == nil && got == want:
			case err != nil && strings.HasPrefix(want, got):
				if errors.Is(err, os.ErrDeadlineExceeded) {
					return fmt.Errorf("%s: no answer to command %d", prefix, i)
				}
				if strings.Contains(err.Error(), "tls: ") { // a cut changes no bytes
					return err
				}
				return nil // it was reset
			default:
				return fmt.Errorf("%s, command %d: got %.100q, want %.100q", prefix, i, got, want)
			}
		}
	}
	return nil
}
