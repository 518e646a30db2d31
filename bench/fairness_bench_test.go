package bench

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"keyframe/netio"
	"keyframe/netio/netiotest"
)

// BenchmarkServerBesideFlood is the time of single SETs on one connection, beside
// others that pipeline SETs of 1,000 keys and read the answers: on one event loop
// a connection must not wait for more than the others' turns.
func BenchmarkServerBesideFlood(b *testing.B) {
	for _, floods := range []int{0, 1, 4} {
		b.Run(fmt.Sprintf("floods=%d", floods), func(b *testing.B) {
			addr := *serverAddr
			if addr == "" {
				addr = startServer(b)
			}
			for i := range floods {
				flood(b, addr, i)
			}
			c, err := dial(addr)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			r := bufio.NewReader(c)
			command := append(appendSet(nil, []pair{{"single:000000000", "value"}}), '\n')
			took := make([]time.Duration, 0, b.N)
			for range b.N {
				start := time.Now()
				if _, err := c.Write(command); err != nil {
					b.Fatal(err)
				}
				if _, err := r.ReadSlice('\n'); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			at := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1))].Nanoseconds()) }
			b.ReportMetric(at(0.5), "p50-ns")
			b.ReportMetric(at(0.99), "p99-ns")
			b.ReportMetric(at(0.999), "p999-ns")
			b.ReportMetric(at(1), "max-ns")
		})
	}
}

// flood keeps a connection full of SETs of 1,000 keys until the benchmark ends.
func flood(b *testing.B, addr string, number int) {
	b.Helper()
	c, err := dial(addr)
	if err != nil {
		b.Fatal(err)
	}
	var commands []byte
	for i := range 20 {
		pairs := make([]pair, 1000)
		for k := range pairs {
			pairs[k] = pair{fmt.Sprintf("key:%012d", (number*20+i)*1000+k), fmt.Sprintf("value:%014d", k)}
		}
		commands = append(appendSet(commands, pairs), '\n')
	}
	ended := make(chan struct{}, 2)
	b.Cleanup(func() {
		_ = c.Close()
		<-ended
		<-ended
	})
	go func() {
		defer func() { ended <- struct{}{} }()
		for {
			if _, err := c.Write(commands); err != nil {
				return
			}
		}
	}()
	go func() {
		defer func() { ended <- struct{}{} }()
		_, _ = io.Copy(io.Discard, c)
	}()
}

// serverAddr is of a server to measure instead of one in this process.
var serverAddr = flag.String("addr", "", "measure the server at this address, not one in this process")

func startServer(b *testing.B) (addr string) {
	b.Helper()
	srv, _ := netiotest.Start(b, netio.Options{})
	return srv.Addrs()[0].String()
}

// dial connects to host:port or unix:///path.
func dial(addr string) (net.Conn, error) {
	if path, ok := strings.CutPrefix(addr, "unix://"); ok {
		return net.Dial("unix", path)
	}
	return net.Dial("tcp", addr)
}

type pair struct{ key, value string }

// appendSet appends a SET without its framing.
func appendSet(dst []byte, pairs []pair) []byte {
	dst = append(dst, `{"SET":{`...)
	for i, p := range pairs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = fmt.Appendf(dst, `"%s":"%s"`, p.key, p.value)
	}
	return append(dst, `}}`...)
}
