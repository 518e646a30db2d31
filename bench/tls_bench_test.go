package bench

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyframe/engine"
	"keyframe/netio"
	"keyframe/netio/netiotest"
)

// This file measures what TLS costs besides records: connections that are new, what a client
// has of a storm of them, and memory. Servers and storms are this binary once more, since a
// process's CPU time and memory are what is measured, and a client's scheduler must not be its
// server's. `make bench-tls` has the server on one core and everything else on another.

// What the environment says to such a process.
const (
	roleEnv = "KEYFRAME_BENCH_ROLE" // serve keyframe, serve crypto/tls, storm, or walk
	certEnv = "KEYFRAME_BENCH_CERT"
	keyEnv  = "KEYFRAME_BENCH_KEY"
	addrEnv = "KEYFRAME_BENCH_ADDR" // that is stormed, or walked through
	manyEnv = "KEYFRAME_BENCH_MANY" // clients of a storm
)

func TestMain(m *testing.M) {
	role := os.Getenv(roleEnv)
	if role == "" {
		os.Exit(m.Run())
	}
	var err error
	switch role {
	case "serve keyframe":
		err = serveKeyframe()
	case "serve crypto/tls":
		err = serveCryptoTLS()
	case "storm":
		err = storm()
	case "walk":
		err = walkForEver()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serveKeyframe serves at an address over TLS and at one without, until its input ends. To each
// line of that it says how much memory it has, after a collection.
func serveKeyframe() error {
	store, err := engine.New(engine.Options{Merge: netio.Merge, Readable: netio.Readable})
	if err != nil {
		return err
	}
	srv, err := netio.New(store, netio.Options{
		Listen: []string{"tls://127.0.0.1:0", "127.0.0.1:0"}, TLSCert: os.Getenv(certEnv), TLSKey: os.Getenv(keyEnv),
		Loops: 1, Logger: slog.New(slog.DiscardHandler),
	})
	if err == nil {
		err = srv.Start()
	}
	if err != nil {
		return err
	}
	fmt.Println(srv.Addrs()[0], srv.Addrs()[1])
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		debug.FreeOSMemory()
		fmt.Println(resident())
	}
	return srv.Stop(context.Background())
}

// serveCryptoTLS is what Go programs do: a goroutine for each connection, which shakes hands
// when it reads first. Every line gets the same answer.
func serveCryptoTLS() error {
	pair, err := tls.LoadX509KeyPair(os.Getenv(certEnv), os.Getenv(keyEnv))
	if err != nil {
		return err
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		return err
	}
	go netiotest.AnswerLines(ln, func(c net.Conn, _ int, _ []byte) bool {
		_, err := io.WriteString(c, `{"COUNT_RSP":{"st":0,"cnt":0}}`+"\n")
		return err == nil
	})
	fmt.Println(ln.Addr(), "none")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// storm connects, asks and closes without end, until its input ends.
func storm() error {
	many, err := strconv.Atoi(os.Getenv(manyEnv))
	if err != nil {
		return err
	}
	var first sync.Once
	for range many {
		go func() {
			for {
				if err := connectOnce(os.Getenv(addrEnv), &tls.Config{InsecureSkipVerify: true}); err == nil { // a storm checks nothing
					first.Do(func() { fmt.Println("rises") })
				}
			}
		}()
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// connectOnce is a connection's whole life: it shakes hands, without resumption, and asks once.
func connectOnce(addr string, config *tls.Config) error {
	c, err := tls.Dial("tcp", addr, config)
	if err != nil {
		return err
	}
	defer c.Close()
	return askOnce(c)
}

func askOnce(c net.Conn) error {
	if _, err := io.WriteString(c, `{"COUNT":{}}`+"\n"); err != nil {
		return err
	}
	_, err := bufio.NewReader(c).ReadString('\n')
	return err
}

// process is another process, which ends with the benchmark.
type process struct {
	cmd  *exec.Cmd
	in   io.Writer
	out  *bufio.Reader
	said []string // the fields of its first line

	client *tls.Config // for clients of a server
}

// startProcess starts one, with prefix before its command, and waits for its first line.
func startProcess(b *testing.B, prefix []string, role string, environ ...string) *process {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	args := append(prefix, self)
	p := &process{cmd: exec.Command(args[0], args[1:]...)}
	p.cmd.Env = append(append(os.Environ(), roleEnv+"="+role), environ...)
	p.cmd.Stderr = os.Stderr
	in, err1 := p.cmd.StdinPipe()
	out, err2 := p.cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		b.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = p.cmd.Wait()
	})
	p.in, p.out = in, bufio.NewReader(out)
	p.said = strings.Fields(p.line(b))
	return p
}

func (p *process) line(b *testing.B) string {
	b.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(line)
}

var serverCPU = flag.String("server-cpu", "", "the CPU that servers which are processes of their own have (any)")

// startTLSServer starts a server of its own certificate; role says which.
func startTLSServer(b *testing.B, role string) *process {
	b.Helper()
	ca := netiotest.NewCA(b)
	cert, key := ca.Server("server")
	var pinned []string
	if *serverCPU != "" {
		pinned = []string{"taskset", "-c", *serverCPU}
	}
	p := startProcess(b, pinned, role, certEnv+"="+cert, keyEnv+"="+key)
	p.client = &tls.Config{RootCAs: ca.Pool, ServerName: "localhost"}
	return p
}

// cpu is the CPU time that it has had, 0 where that is not to be had.
func (p *process) cpu() time.Duration {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // of a hundredth of a second each, on Linux
}

// BenchmarkTLSConnect is 16 clients that connect, ask once and go.
func BenchmarkTLSConnect(b *testing.B) {
	for _, server := range []string{"keyframe", "crypto/tls"} {
		b.Run("server="+strings.ReplaceAll(server, "/", "-"), func(b *testing.B) {
			p := startTLSServer(b, "serve "+server)
			if err := connectOnce(p.said[0], p.client); err != nil {
				b.Fatal(err)
			}
			var left atomic.Int64
			left.Store(int64(b.N))
			before := p.cpu()
			b.ResetTimer()
			var clients sync.WaitGroup
			for range 16 {
				clients.Go(func() {
					for left.Add(-1) >= 0 {
						if err := connectOnce(p.said[0], p.client); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			clients.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "conns/s")
			b.ReportMetric(float64((p.cpu()-before).Microseconds())/float64(b.N), "server-CPU-µs/conn")
		})
	}
}

// BenchmarkBesideTLSStorm is the time of SETs of a client without TLS, a thousand a second, beside
// clients that connect over TLS without end. Those are nicer than it is, so that it waits for
// the server and not for them.
func BenchmarkBesideTLSStorm(b *testing.B) {
	for _, many := range []int{0, 16, 64} {
		b.Run(fmt.Sprintf("clients=%d", many), func(b *testing.B) {
			p := startTLSServer(b, "serve keyframe")
			c, err := net.Dial("tcp", p.said[1])
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			if many > 0 {
				startProcess(b, []string{"nice", "-n", "5"}, "storm", addrEnv+"="+p.said[0], manyEnv+"="+strconv.Itoa(many))
			}
			took := make([]time.Duration, b.N)
			r := bufio.NewReader(c)
			b.ResetTimer()
			next := time.Now()
			for i := range took {
				// If the answer before was so late that this is, too, it counts; a timer that was does not.
				if wait := time.Until(next); wait > 0 {
					time.Sleep(wait)
					next = time.Now()
				}
				if _, err := io.WriteString(c, `{"SET":{"neighbour":1}}`+"\n"); err != nil {
					b.Fatal(err)
				}
				if _, err := r.ReadString('\n'); err != nil {
					b.Fatal(err)
				}
				took[i] = time.Since(next)
				next = next.Add(time.Millisecond)
			}
			slices.Sort(took)
			for name, part := range map[string]int{"p50-µs": 50, "p99-µs": 99} {
				b.ReportMetric(float64(took[len(took)*part/100].Nanoseconds())/1000, name)
			}
		})
	}
}

// BenchmarkIdleConnections is the memory of connections that have asked once, a hundred for each
// iteration, by how much the server's process grows.
func BenchmarkIdleConnections(b *testing.B) {
	for _, secure := range []bool{false, true} {
		b.Run(fmt.Sprintf("tls=%t", secure), func(b *testing.B) {
			p := startTLSServer(b, "serve keyframe")
			connect := func(n int) {
				for range n {
					c, err := p.dial(secure)
					if err == nil {
						b.Cleanup(func() { _ = c.Close() })
						err = askOnce(c)
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			}
			connect(100) // what there is once
			before := p.memory(b)
			b.ResetTimer()
			connect(100 * b.N)
			b.StopTimer()
			b.ReportMetric(float64(p.memory(b)-before)/float64(100*b.N), "B/conn")
		})
	}
}

func (p *process) dial(secure bool) (net.Conn, error) {
	if secure {
		return tls.Dial("tcp", p.said[0], p.client)
	}
	return net.Dial("tcp", p.said[1])
}

// memory is a server's, after a collection.
func (p *process) memory(b *testing.B) int {
	b.Helper()
	if _, err := io.WriteString(p.in, "memory\n"); err != nil {
		b.Fatal(err)
	}
	n, err := strconv.Atoi(p.line(b))
	if err != nil {
		b.Fatal(err)
	}
	return n
}
