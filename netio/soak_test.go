package netio_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"keyframe/engine"
	"keyframe/engine/journal"
	"keyframe/netio"
	"keyframe/netio/netiotest"
)

var soakFlag = flag.Duration("soak", 0, "how long TestSoak runs; 0: as long as it takes to go once through everything")

// TestSoak puts good clients, whose every answer is checked, beside hostile ones,
// on a server with low limits. In the end memory, descriptors and goroutines are
// as they were.
func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	duration, idle := 3*time.Second, 2*time.Second
	if *soakFlag > duration {
		// A long run may share its machine, and be delayed for minutes.
		duration, idle = *soakFlag, soakPatience
	}
	ignore := goleak.IgnoreCurrent()
	ca := netiotest.NewCA(t)
	cert, key := ca.Server("server")
	dir := t.TempDir()
	fs, err := journal.Dir(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	// Small, so that segments and snapshots come and go.
	log, err := journal.Open(fs, journal.Options{SegmentBytes: 1 << 20, SnapshotBytes: 2 << 20})
	if err != nil {
		t.Fatal(err)
	}
	// What has a deadline makes room: the good clients set none.
	store := engine.Options{MaxBytes: 256 << 20, Evict: engine.EvictVolatile, RecordEffects: true}
	s := startServerOn(t, store, netio.Options{
		Journal:          log,
		TLSCert:          cert,
		TLSKey:           key,
		MaxFrameBytes:    1 << 20,
		MaxConns:         300,
		MaxOutputBytes:   1 << 20,
		IdleTimeout:      idle,
		HandshakeTimeout: time.Second,
	})
	if _, err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	soak := &soak{s: s, t: t, ca: ca, tickets: tls.NewLRUClientSessionCache(0), seed: newSeed(t)}
	network := startBadNetwork(t, s.tcp, soak.seed)
	sealedNetwork := startBadNetwork(t, s.tls, soak.seed)

	files := filesOutside(t, dir)

	var cancel context.CancelFunc
	soak.ctx, cancel = context.WithTimeout(context.Background(), duration)
	defer cancel()
	for i := range 3 {
		soak.run("good, lines", func(rng *rand.Rand) error { return soak.good("lines", i, rng) })
		soak.run("good, websocket", func(rng *rand.Rand) error { return soak.good("websocket", i, rng) })
		soak.run("good, Redis's protocol", func(rng *rand.Rand) error { return soak.goodRESP(i, rng) })
		soak.run("good, HTTP", func(rng *rand.Rand) error { return soak.goodHTTP(i, rng) })
	}
	for i := range 2 {
		life := 0
		soak.run("bad network", func(*rand.Rand) error { return soak.badNetwork(network, i, &life) })
	}
	sealedLife := 0
	soak.run("bad network, TLS", func(*rand.Rand) error { return soak.badNetwork(sealedNetwork, 2, &sealedLife) })
	soak.run("new certificates", soak.replaceCertificates)
	for name, hostile := range map[string]func(net.Conn, *rand.Rand){
		"garbage":       sendGarbage,
		"never reads":   neverRead,
		"half frames":   sendHalf,
		"flood":         flood,
		"broken frames": breakFrames,
		"endless line":  endlessLine,
		"false TLS":     falseTLS,
	} {
		soak.run(name, func(rng *rand.Rand) error {
			c, err := net.Dial("tcp", s.tcp)
			if secure := rng.IntN(2) == 0; err == nil && secure {
				_ = c.Close()
				if c, err = net.Dial("tcp", s.tls); err == nil && name != "false TLS" {
					c = tls.Client(c, soak.config(rng.IntN(3)))
				}
			}
			if err != nil {
				return err
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(patience))
			hostile(c, rng)
			return nil
		})
	}
	soak.run("storm", soak.storm)
	soak.run("sessions", soak.sessions)

	heaps := soak.report(duration)
	soak.clients.Wait()
	network.close()
	sealedNetwork.close()
	waitFor(t, "all connections to be forgotten", func() bool { return s.Stats().Conns == 0 })
	waitFor(t, "the descriptors to be closed", func() bool { return filesOutside(t, dir) <= files-2 }) // the networks' listeners are closed too
	st := s.Stats()
	kept := keptBy(t, s)
	if err := errors.Join(s.stop(), log.Close()); err != nil {
		t.Error(err)
	}
	soak.restart(fs, store, kept)
	goleak.VerifyNone(t, ignore)
	t.Logf("in the end: %d good answers, all right; %d connections, %d refused, %d slow consumers, errors %v, TLS %+v; %d keys left",
		soak.answers.Load(), st.ConnsTotal, st.ConnsRefused, st.SlowConsumers, st.Total.Errors, st.TLS, st.Keys)
	for _, what := range []struct {
		name string
		n    uint64
	}{
		{"good answers", uint64(soak.answers.Load())}, {"slow consumers", st.SlowConsumers}, {"refused connections", st.ConnsRefused},
		{"syntax errors", st.Total.Errors[netio.ErrorSyntax]}, {"protocol errors", st.Total.Errors[netio.ErrorProtocol]},
		{"frames over the limit", st.Total.Errors[netio.ErrorTooBig]}, {"cuts", uint64(network.cuts.Load())},
		{"cuts of TLS", uint64(sealedNetwork.cuts.Load())}, {"connections of TLS 1.2", st.TLS.Handshakes[0]}, {"connections of TLS 1.3", st.TLS.Handshakes[1]},
		{"sessions that ended", uint64(st.Store.Expired)}, {"snapshots", st.Journal.Snapshots},
		{"sessions that went on", st.TLS.Resumed}, {"false records", st.TLS.Failures[netio.TLSRecord]}, {"cut off without close_notify", st.TLS.Failures[netio.TLSTruncated]},
	} {
		if what.n == 0 && *soakFlag > 0 { // three seconds on a slow machine may not suffice
			t.Errorf("no %s: the test has not done what it should", what.name)
		}
	}
	// The first quarter warms up. From then on memory goes up and down, but doesn't grow.
	if n := len(heaps); n >= 8 {
		early, late := peak(heaps[n/4:n*5/8]), peak(heaps[n*5/8:])
		if late > early+early/4+(8<<20) {
			t.Errorf("the heap grew from %d to %d MiB", early>>20, late>>20)
		}
	}
}

// soakPatience is how long a good client waits for its answers.
const soakPatience = 5 * time.Minute

func peak(values []uint64) (max uint64) {
	for _, v := range values {
		if v > max {
			max = v
		}
	}
	return max
}

type soak struct {
	t       *testing.T
	s       *testServer
	ctx     context.Context
	ca      *netiotest.CA
	tickets tls.ClientSessionCache
	seed    uint64
	clients sync.WaitGroup
	answers atomic.Int64
}

// run repeats what one client does until the time is up, or it fails.
func (k *soak) run(name string, client func(*rand.Rand) error) {
	k.seed++
	rng := rand.New(rand.NewPCG(k.seed, 0))
	k.clients.Go(func() {
		for k.ctx.Err() == nil {
			if err := client(rng); err != nil {
				k.t.Errorf("%s: %v", name, err)
				return
			}
		}
	})
}

// report logs the state now and then, until the time is up, and returns the sizes
// of the heap.
func (k *soak) report(duration time.Duration) (heaps []uint64) {
	start := time.Now()
	tick := time.NewTicker(max(duration/20, time.Second))
	defer tick.Stop()
	for {
		select {
		case <-k.ctx.Done():
			return heaps
		case <-tick.C:
		}
		var mem runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&mem)
		heaps = append(heaps, mem.HeapAlloc)
		st := k.s.Stats()
		k.t.Logf("%4.0fs: %d commands, %d good answers, %d connections (%d now), %d slow consumers, heap %.1f MiB, store %.1f MiB, resident %.0f MiB, %d descriptors, %d goroutines",
			time.Since(start).Seconds(), st.Total.Queries, k.answers.Load(), st.ConnsTotal, st.Conns, st.SlowConsumers,
			float64(mem.HeapAlloc)/(1<<20), float64(st.Store.ReservedBytes)/(1<<20), residentMiB(), openFiles(k.t), runtime.NumGoroutine())
	}
}

func residentMiB() float64 {
	b, err := os.ReadFile("/proc/self/statm")
	var size, resident float64
	if _, serr := fmt.Sscan(string(b), &size, &resident); err != nil || serr != nil {
		return 0
	}
	return resident * float64(os.Getpagesize()) / (1 << 20)
}

// good is a client with keys of its own and a model of them. Each of its connections serves
// some rounds. When the server is full it tries again.
func (k *soak) good(framing string, number int, rng *rand.Rand) error {
	before := k.turnedAway()
	full := func(err error) error {
		if k.turnedAway() > before {
			return nil
		}
		return err
	}
	send, recv, closeConn, err := k.connect(framing, number)
	if err != nil {
		return err
	}
	defer closeConn()
	prefix := fmt.Sprintf("good_%s_%d_", framing, number)
	model := make(map[string]string)
	// This removes what an earlier connection has left, and shows whether the server has
	// accepted this one.
	if err := send([]string{`{"RMV":["` + prefix + strings.Join(keyNumbers(), `","`+prefix) + `"]}`}); err != nil {
		return full(err)
	}
	for range keyNumbers() {
		switch got, err := recv(); {
		case err != nil:
			return full(err)
		case !strings.HasPrefix(got, `{"RMV_RSP":{"st":`):
			return full(fmt.Errorf("got %.200q", got))
		}
	}
	for range 1 + rng.IntN(100) {
		if k.ctx.Err() != nil {
			return nil
		}
		var commands, want []string
		for range 1 + rng.IntN(40) {
			c, answers := randomCommand(prefix, model, rng)
			commands, want = append(commands, c), append(want, answers...)
		}
		if err := send(commands); err != nil {
			return err
		}
		for i, w := range want {
			got, err := recv()
			if err != nil || got != w {
				return fmt.Errorf("answer %d: got %.200q, %v, want %.200q", i, got, err, w)
			}
			k.answers.Add(1)
		}
	}
	return nil
}

// turnedAway counts the clients that the server has refused before they began. Good ones
// that were too slow while the machine stood still are among them.
func (k *soak) turnedAway() uint64 {
	st := k.s.Stats()
	return st.ConnsRefused + st.Total.Errors[netio.ErrorHandshakeTimeout] + st.TLS.Failures[netio.TLSTimeout] + st.TLS.Failures[netio.TLSBusy]
}

func (k *soak) connect(framing string, number int) (send func([]string) error, recv func() (string, error), closeConn func(), err error) {
	if framing == "lines" {
		c, err := k.dial(number)
		if err != nil {
			return nil, nil, nil, err
		}
		r := bufio.NewReader(c)
		return func(commands []string) error {
				_, err := io.WriteString(c, strings.Join(commands, "\n")+"\n")
				return err
			}, func() (string, error) {
				line, err := r.ReadString('\n')
				return strings.TrimSuffix(line, "\n"), err
			}, func() { _ = c.Close() }, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), soakPatience)
	before := k.turnedAway()
	transport := k.transport(number)
	options := &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}}
	c, _, err := websocket.Dial(ctx, k.url(number), options)
	for err != nil && k.turnedAway() > before { // with 503 or, during a storm, with an error line
		before = k.turnedAway()
		c, _, err = websocket.Dial(ctx, k.url(number), options)
	}
	if err != nil {
		cancel()
		return nil, nil, nil, err
	}
	return func(commands []string) error {
			for _, command := range commands {
				if err := c.Write(ctx, websocket.MessageText, []byte(command)); err != nil {
					return err
				}
			}
			return nil
		}, func() (string, error) {
			_, message, err := c.Read(ctx)
			return string(message), err
		}, func() {
			_ = c.Close(websocket.StatusNormalClosure, "")
			cancel()
			transport.CloseIdleConnections()
		}, nil
}

const goodKeys = 50

func keyNumbers() (out []string) {
	for i := range goodKeys {
		out = append(out, fmt.Sprintf("%02d", i))
	}
	return out
}

// randomCommand is a command about the model's keys, and its answers.
func randomCommand(prefix string, model map[string]string, rng *rand.Rand) (command string, answers []string) {
	key := func() string { return fmt.Sprintf("%s%02d", prefix, rng.IntN(goodKeys)) }
	status := func(name string, st int, key string) {
		answers = append(answers, fmt.Sprintf(`{"%s_RSP":{"st":%d,"k":"%s"}}`, name, st, key))
	}
	name := []string{"SET", "SET", "ADD", "GET", "GET", "RMV", "CONTAINS", "RNM_KEY"}[rng.IntN(8)]
	var elements []string
	for range 1 + rng.IntN(20) {
		key := key()
		old, exists := model[key]
		switch name {
		case "SET", "ADD":
			value := `"` + strings.Repeat("v", rng.IntN(1<<rng.IntN(12))) + `"`
			elements = append(elements, `"`+key+`":`+value)
			switch {
			case name == "ADD" && exists:
				status(name, 4, key)
				continue
			case exists:
				status(name, 2, key)
			default:
				status(name, 1, key)
			}
			model[key] = value
		case "RNM_KEY":
			to := fmt.Sprintf("%s%02d", prefix, rng.IntN(goodKeys))
			elements = append(elements, fmt.Sprintf(`{"%s":"%s"}`, key, to))
			st := 1
			switch _, taken := model[to]; {
			case !exists:
				st = 3
			case to == key:
			case taken:
				st = 4
			default:
				delete(model, key)
				model[to] = old
			}
			answers = append(answers, fmt.Sprintf(`{"RNM_KEY_RSP":{"%s":"%s","st":%d}}`, key, to, st))
		default:
			elements = append(elements, `"`+key+`"`)
			switch {
			case name == "GET" && exists:
				answers = append(answers, fmt.Sprintf(`{"GET_RSP":{"st":0,"%s":%s}}`, key, old))
			case !exists:
				status(name, 3, key)
			case name == "RMV":
				status(name, 5, key)
				delete(model, key)
			default:
				status(name, 4, key)
			}
		}
	}
	inside := strings.Join(elements, ",")
	if name == "SET" || name == "ADD" {
		return `{"` + name + `":{` + inside + `}}`, answers
	}
	return `{"` + name + `":[` + inside + `]}`, answers
}

// badNetwork is a client of a bad network; it cleans up over a good one. The server may
// still be executing what had arrived when a connection was reset, so each connection has
// keys of its own, and they are removed once more after the next.
func (k *soak) badNetwork(network *badNetwork, number int, life *int) error {
	const commands = 500
	*life++
	prefix := func(life int) string { return fmt.Sprintf("soak_%d_%d", number, life) }
	before := k.turnedAway()
	c, err := net.Dial("tcp", network.Addr().String())
	if err == nil && network.addr == k.s.tls {
		c = tls.Client(c, k.config(number))
	}
	if err == nil {
		err = throughBadNetwork(c, prefix(*life), commands, soakPatience)
	}
	if err != nil && k.turnedAway() == before {
		return err
	}
	var rmv strings.Builder
	rmv.WriteString(`{"RMV":["nothing"`)
	for i := range commands {
		fmt.Fprintf(&rmv, `,"%s_%05d","%s_%05d"`, prefix(*life-1), i, prefix(*life), i)
	}
	rmv.WriteString("]}")
	for {
		send, recv, closeConn, err := k.connect("lines", 0)
		if err != nil {
			return err
		}
		err = send([]string{rmv.String()})
		answers := 0
		for ; err == nil && answers < 1+2*commands; answers++ {
			var got string
			if got, err = recv(); err == nil && !strings.HasPrefix(got, `{"RMV_RSP"`) {
				err = fmt.Errorf("got %.200q", got)
			}
		}
		closeConn()
		if err == nil {
			return nil
		}
		if k.turnedAway() == before {
			return err
		}
	}
}

// storm opens more connections than the server takes.
func (k *soak) storm(rng *rand.Rand) error {
	var conns []net.Conn
	before := k.s.Stats().ConnsRefused
	for range 350 {
		if c, err := net.Dial("tcp", k.s.tcp); err == nil {
			conns = append(conns, c)
		}
	}
	for deadline := time.Now().Add(time.Second); k.s.Stats().ConnsRefused == before && time.Now().Before(deadline); {
		runtime.Gosched() // until the server has refused a connection
	}
	for _, c := range conns {
		_ = c.Close()
	}
	select {
	case <-k.ctx.Done():
	case <-time.After(time.Duration(1+rng.IntN(2000)) * time.Millisecond): // its pace
	}
	return nil
}

func sendGarbage(c net.Conn, rng *rand.Rand) {
	const alphabet = "{}[]\":,\\SET\n\x00\xff 019"
	garbage := make([]byte, rng.IntN(64<<10))
	for i := range garbage {
		garbage[i] = alphabet[rng.IntN(len(alphabet))]
	}
	_, _ = c.Write(garbage)
	closeWrite(c)
	_, _ = io.Copy(io.Discard, c)
}

// neverRead asks for much, takes nothing, and waits until it is closed.
func neverRead(c net.Conn, rng *rand.Rand) {
	_, _ = fmt.Fprintf(c, "{\"SET\":{\"never_read\":\"%s\"}}\n", strings.Repeat("v", 60_000))
	gets := []byte(strings.Repeat("{\"GET\":[\"never_read\"]}\n", 1000))
	for {
		if _, err := c.Write(gets); err != nil {
			return
		}
	}
}

func sendHalf(c net.Conn, rng *rand.Rand) {
	beginnings := []string{"", "GE", "GET / HTTP/1.1\r\nHost: x\r\n", `{"SET":{"half`, "GET / HTTP/1.1\r\n" + goodHeaders + "\r\n\x81\xFE\xFF"}
	_, _ = io.WriteString(c, beginnings[rng.IntN(len(beginnings))])
	switch rng.IntN(3) {
	case 0:
		_, _ = io.Copy(io.Discard, c) // until the server has had enough
	case 1:
		abort(c)
	}
}

// flood pipelines long commands without reading before the end.
func flood(c net.Conn, rng *rand.Rand) {
	var set strings.Builder
	set.WriteString(`{"SET":{"flooding":0`)
	for i := range 1000 {
		fmt.Fprintf(&set, `,"flood_%04d":%d`, i, rng.IntN(1000))
	}
	set.WriteString("}}\n")
	go func() {
		for range 50 {
			if _, err := io.WriteString(c, set.String()); err != nil {
				return
			}
		}
		closeWrite(c)
	}()
	_, _ = io.Copy(io.Discard, c)
}

// breakFrames upgrades and then sends frames with random headers.
func breakFrames(c net.Conn, rng *rand.Rand) {
	out := []byte("GET / HTTP/1.1\r\n" + goodHeaders + "\r\n")
	for range rng.IntN(20) {
		out = append(out, 0x81, 0x8D, 0, 0, 0, 0)
		out = append(out, `{"GET":["ab"]}`[:13]...)
	}
	for range 14 {
		out = append(out, byte(rng.IntN(256)))
	}
	_, _ = c.Write(out)
	closeWrite(c)
	_, _ = io.Copy(io.Discard, c)
}

func endlessLine(c net.Conn, rng *rand.Rand) {
	piece := []byte(strings.Repeat("x", 1+rng.IntN(64<<10)))
	for {
		if _, err := c.Write(piece); err != nil {
			return
		}
	}
}
