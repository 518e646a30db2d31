package bench

import (
	"bufio"
	"flag"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"keyframe/netio"
	"keyframe/netio/netiotest"
)

// BenchmarkServerBesideFlood is the time of single SETs on one connection, beside
// others that send, without end, what takes a server long: on one event loop
// a connection must not wait for more than the others' turns. `make bench-floods` runs it
// with the server on one core and the clients on another.
//
// commands/s and MB/s are what the flood has had served meanwhile: a server that is fair
// because it does nothing would show there.
func BenchmarkServerBesideFlood(b *testing.B) {
	b.Run("flood=none/floods=0", func(b *testing.B) { benchmarkBesideFlood(b, nil, 0) })
	for i := range floodKinds {
		for _, floods := range []int{1, 4, 16} {
			b.Run(fmt.Sprintf("flood=%s/floods=%d", floodKinds[i].name, floods), func(b *testing.B) {
				benchmarkBesideFlood(b, &floodKinds[i], floods)
			})
		}
	}
}

func benchmarkBesideFlood(b *testing.B, kind *floodKind, floods int) {
	addr := *serverAddr
	if addr == "" {
		addr = startServer(b)
	}
	if floods > 0 {
		startFlood(b, addr, kind, floods)
	}
	c, err := dial(addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	n := neighbour{b: b, c: c, r: bufio.NewReader(c)}
	command := append(appendSet(nil, []pair{{"single:000000000", "value"}}), '\n')
	for range 5 { // the flood rises
		n.ask(command, `{"SET_RSP":{"st":`)
	}
	var took []time.Duration
	commands, bytes := n.served()
	began := time.Now()
	for b.Loop() {
		start := time.Now()
		n.ask(command, `{"SET_RSP":{"st":`)
		took = append(took, time.Since(start))
	}
	seconds := time.Since(began).Seconds()
	commandsAfter, bytesAfter := n.served()
	reportTimes(b, took, "")
	b.ReportMetric((commandsAfter-commands)/seconds, "commands/s")
	b.ReportMetric((bytesAfter-bytes)/seconds/1e6, "MB/s")
}

// neighbour is the client that has done nothing.
type neighbour struct {
	b *testing.B
	c net.Conn
	r *bufio.Reader
}

func (n *neighbour) ask(command []byte, want string) string {
	if _, err := n.c.Write(command); err != nil {
		n.b.Fatal(err)
	}
	answer, err := n.r.ReadString('\n')
	if err != nil || !strings.HasPrefix(answer, want) {
		n.b.Fatalf("%.200q, %v", answer, err)
	}
	return answer
}

var servedMembers = [...]*regexp.Regexp{regexp.MustCompile(`"qryCnt":(\d+)`), regexp.MustCompile(`"bytes(?:In|Out)":(\d+)`)}

// served returns the commands and the bytes, both ways, that the server has had.
func (n *neighbour) served() (commands, bytes float64) {
	answer := n.ask([]byte("{\"SERVER_INFO\":{}}\n"), `{"SERVER_INFO_RSP":{"st":0`)
	for i, sum := range []*float64{&commands, &bytes} {
		for _, found := range servedMembers[i].FindAllStringSubmatch(answer, -1) {
			number, err := strconv.ParseFloat(found[1], 64)
			if err != nil {
				n.b.Fatal(err)
			}
			*sum += number
		}
	}
	return commands, bytes
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
