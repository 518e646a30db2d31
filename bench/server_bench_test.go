package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2"

	"keyframe/engine"
	"keyframe/netio"
)

// The whole server, through sockets. Without flags server and clients share this
// process and its cores, which shows a change but not a capacity. To measure one,
// start a server of its own on one core and the benchmark on another:
//
//	taskset -c 0 bin/keyframe-server --loops 1 &
//	taskset -c 1 go test ./bench -run '^$' -bench Server -addr 127.0.0.1:1987
//
// (with -resp for one that speaks Redis's protocol), and for the I/O limit, which
// bounds every server on this event loop, start
//
//	taskset -c 0 go test ./bench -run TestServeIOLimit -iolimit 127.0.0.1:1988 -timeout 0 &
var (
	serverAddr  = flag.String("addr", "", "measure the server at this address, not one in this process")
	ioLimitAddr = flag.String("iolimit", "", "serve canned answers at this address until killed")
	storeKeys   = flag.Int("store-keys", 100_000, "keys in the store")
	resp        = flag.Bool("resp", false, "the server at -addr speaks Redis's protocol: SET, or MSET of several keys")
)

const serverConns = 32

// BenchmarkServerSet is SET through the whole server: keys per command × commands
// in flight on each of 32 connections.
func BenchmarkServerSet(b *testing.B) {
	framings := []string{"lines", "websocket"}
	if *resp {
		framings = []string{"resp"}
	}
	for _, framing := range framings {
		for _, shape := range []struct{ keys, depth int }{{1, 1}, {1, 16}, {1, 64}, {10, 16}, {100, 4}} {
			b.Run(fmt.Sprintf("framing=%s/keys=%d/depth=%d", framing, shape.keys, shape.depth), func(b *testing.B) {
				addr := *serverAddr
				if addr == "" {
					addr = startServer(b)
				}
				benchmarkSet(b, addr, framing, shape.keys, shape.depth)
			})
		}
	}
}

func startServer(b *testing.B) (addr string) {
	b.Helper()
	store, err := engine.New(engine.Options{})
	if err != nil {
		b.Fatal(err)
	}
	srv, err := netio.New(store, netio.Options{
		Listen: []string{"127.0.0.1:0"}, Loops: 1, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := srv.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = srv.Stop(context.Background())
		_ = store.Close()
	})
	return srv.Addrs()[0].String()
}

// benchmarkSet counts one iteration for each key that was answered.
func benchmarkSet(b *testing.B, addr, framing string, keys, depth int) {
	pipelines := make([]*pipeline, serverConns)
	for i := range pipelines {
		pipelines[i] = newPipeline(b, addr, framing, keys, depth, uint64(i))
	}
	rounds := b.N/(serverConns*keys*depth) + 1
	b.ResetTimer()
	start := time.Now()
	var wg sync.WaitGroup
	for _, p := range pipelines {
		wg.Go(func() {
			for i := range rounds {
				if err := p.round(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	b.StopTimer()
	done := float64(rounds) * float64(serverConns*keys*depth)
	b.ReportMetric(done/took.Seconds(), "keys/s")
	b.ReportMetric(float64(took.Nanoseconds())/done, "ns/key")
}

// pipeline is one connection that sends depth commands at once and waits for all
// their answers.
type pipeline struct {
	conn    net.Conn
	r       *bufio.Reader
	ws      bool
	writes  [][]byte // prebuilt, used in turn
	answers int      // to a write
}

func newPipeline(b *testing.B, addr, framing string, keys, depth int, seed uint64) *pipeline {
	b.Helper()
	c, err := dial(addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	p := &pipeline{conn: c, r: bufio.NewReaderSize(c, 256<<10), ws: framing == "websocket", answers: keys * depth}
	if framing == "resp" {
		p.answers = depth // one +OK for a command
	}
	if p.ws {
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"); err != nil {
			b.Fatal(err)
		}
		resp, err := http.ReadResponse(p.r, nil)
		if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
			b.Fatal(resp, err)
		}
	}
	// Enough different writes that all connections together touch most keys.
	const bytesInAll = 64 << 20
	perWrite := keys * depth * 50
	n := min(max(bytesInAll/serverConns/perWrite, 4), max(*storeKeys/(serverConns*keys*depth), 4))
	state := seed*0x9E3779B97F4A7C15 + 1
	for range n {
		var w []byte
		for range depth {
			pairs := make([]pair, keys)
			for k := range pairs {
				state = state*6364136223846793005 + 1442695040888963407
				pairs[k] = pair{fmt.Sprintf("key:%012d", (state>>20)%uint64(*storeKeys)), fmt.Sprintf("value:%014d", state>>40)}
			}
			switch framing {
			case "websocket":
				w = appendClientFrame(w, appendSet(nil, pairs))
			case "lines":
				w = append(appendSet(w, pairs), '\n')
			default:
				w = appendMSET(w, pairs)
			}
		}
		p.writes = append(p.writes, w)
	}
	return p
}

// dial connects to host:port or unix:///path.
func dial(addr string) (net.Conn, error) {
	if path, ok := strings.CutPrefix(addr, "unix://"); ok {
		return net.Dial("unix", path)
	}
	return net.Dial("tcp", addr)
}

func (p *pipeline) round(i int) error {
	if _, err := p.conn.Write(p.writes[i%len(p.writes)]); err != nil {
		return err
	}
	for left := p.answers; left > 0; {
		if p.r.Buffered() == 0 {
			if _, err := p.r.Peek(1); err != nil {
				return err
			}
		}
		buf, _ := p.r.Peek(p.r.Buffered())
		n, used := p.count(buf)
		if used == 0 { // a frame in pieces
			if _, err := p.r.Peek(len(buf) + 1); err != nil {
				return err
			}
			continue
		}
		_, _ = p.r.Discard(used)
		left -= n
	}
	return nil
}

// count counts the whole answers in buf.
func (p *pipeline) count(buf []byte) (n, used int) {
	if !p.ws {
		n = bytes.Count(buf, []byte{'\n'})
		return n, len(buf)
	}
	for used+2 <= len(buf) {
		size := 2 + int(buf[used+1])
		if buf[used+1] == 126 {
			if used+4 > len(buf) {
				break
			}
			size = 4 + int(binary.BigEndian.Uint16(buf[used+2:]))
		}
		if used+size > len(buf) {
			break
		}
		used += size
		n++
	}
	return n, used
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

// appendMSET appends the same in Redis's protocol: SET for one pair.
func appendMSET(dst []byte, pairs []pair) []byte {
	name := "MSET"
	if len(pairs) == 1 {
		name = "SET"
	}
	dst = fmt.Appendf(dst, "*%d\r\n$%d\r\n%s\r\n", 1+2*len(pairs), len(name), name)
	for _, p := range pairs {
		dst = fmt.Appendf(dst, "$%d\r\n%s\r\n$%d\r\n%s\r\n", len(p.key), p.key, len(p.value), p.value)
	}
	return dst
}

func appendClientFrame(dst, payload []byte) []byte {
	dst = append(dst, 0x81)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, 0x80|byte(n))
	case n < 65536:
		dst = binary.BigEndian.AppendUint16(append(dst, 0x80|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0x80|127), uint64(n))
	}
	key := [4]byte{0x12, 0x34, 0x56, 0x78}
	dst = append(dst, key[:]...)
	for i, c := range payload {
		dst = append(dst, c^key[i&3])
	}
	return dst
}

// TestServeIOLimit serves canned answers: the same event loop and framing, one
// write for each wake-up, nothing decoded and nothing stored. What it reaches no
// server on this loop can pass.
func TestServeIOLimit(t *testing.T) {
	if *ioLimitAddr == "" {
		t.Skip("serves only with -iolimit address")
	}
	if err := gnet.Run(&ioLimit{}, "tcp://"+*ioLimitAddr, gnet.WithNumEventLoop(1)); err != nil {
		t.Fatal(err)
	}
}

type ioLimit struct {
	gnet.BuiltinEventEngine
	out []byte
}

const cannedAnswer = `{"SET_RSP":{"st":1,"k":"key:000000000000"}}`

// OnTraffic answers each line, or frame, with one answer for each pair that fits
// into its length.
func (s *ioLimit) OnTraffic(c gnet.Conn) gnet.Action {
	in, _ := c.Peek(-1)
	used := 0
	s.out = s.out[:0]
	if bytes.HasPrefix(in, []byte("GET ")) {
		s.out = append(s.out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"...)
		c.SetContext(true)
		used = len(in)
	}
	ws := c.Context() != nil
	for used < len(in) {
		payload, size, length := in[used:], 0, 0
		if ws {
			head, n := 6, 0
			if len(payload) >= 2 {
				n = int(payload[1] &^ 0x80)
			}
			if n == 126 && len(payload) >= 4 {
				head, n = 8, int(binary.BigEndian.Uint16(payload[2:]))
			}
			size, length = head+n, n
			if len(payload) < head || len(payload) < size {
				break
			}
		} else {
			end := bytes.IndexByte(payload, '\n')
			if end < 0 {
				break
			}
			size, length = end+1, end
		}
		// A pair of a 16-byte key and a 20-byte value takes up 41 bytes and
		// its comma, the command around them 10.
		for range max((length-10+1)/42, 1) {
			if ws {
				s.out = append(s.out, 0x81, byte(len(cannedAnswer)))
				s.out = append(s.out, cannedAnswer...)
			} else {
				s.out = append(s.out, cannedAnswer+"\n"...)
			}
		}
		used += size
	}
	_, _ = c.Write(s.out)
	_, _ = c.Discard(used)
	return gnet.None
}
