package netio_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyframe/engine/journal"
	"keyframe/netio"
)

// stalled are the clients that go on while a disk stands still.
type stalled struct {
	clients sync.WaitGroup
	stop    atomic.Bool // no more SETs; each asks for a last answer
	reads   chan struct{}
	bytes   [2]atomic.Int64 // sent as SET and as SETQ
}

// flood sends SETs, or SETQs, until s.stop, and reads nothing before s.reads is closed. Then it
// wants all answers.
func (s *stalled) flood(t *testing.T, c *diskClient, quiet int) {
	command := [...]string{"SET", "SETQ"}[quiet]
	value := strings.Repeat("v", 1000)
	sent := 0
	read := make(chan error, 1)
	answers := 0
	go func() {
		<-s.reads
		for {
			line, err := c.in.ReadString('\n')
			if err != nil || strings.HasPrefix(line, `{"PING_RSP"`) {
				read <- err
				return
			}
			if st := `{"SET_RSP":{"st":`; !strings.HasPrefix(line, st+"1,") && !strings.HasPrefix(line, st+"2,") {
				read <- fmt.Errorf("answered %s", line)
				return
			}
			answers++
		}
	}()
	var out bytes.Buffer
	for last := false; !last; {
		out.Reset()
		for range 32 {
			fmt.Fprintf(&out, "{%q:{\"%p-%d\":\"%s\"}}\n", command, c, sent%50, value)
			sent++
		}
		if last = s.stop.Load(); last {
			out.WriteString("{\"PING\":{}}\n")
		}
		if _, err := c.Write(out.Bytes()); err != nil {
			t.Errorf("a client that sends %s: %v", command, err)
			return
		}
		s.bytes[quiet].Add(int64(out.Len()))
	}
	want := sent * (1 - quiet)
	if err := <-read; err != nil || answers != want {
		t.Errorf("a client that sent %s %d times has %d answers, want %d: %v", command, sent, answers, want, err)
	}
}

// TestStalledDisk: while a sync takes its time, or a write with Always, clients go on with SETs and
// SETQs. With Always they wait: what is held for them stays within its bounds, what is gathered for
// the disk too. The others read what it has. When it moves, everybody gets all answers.
func TestStalledDisk(t *testing.T) {
	const limit, logged, clients = 13 << 20, 8 << 20, 8 // of which all but one may hold what they send
	for _, stall := range []struct {
		mode   journal.Mode
		op     string
		rounds int // of reads, once the clients have sent enough
	}{{journal.Always, "sync", 300}, {journal.Always, "write", 300}, {journal.EverySec, "sync", 10}} {
		t.Run(fmt.Sprintf("%s/%s", stall.mode, stall.op), func(t *testing.T) {
			s := startOnDisk(t, t.TempDir(), stall.mode, 2, true, func(o *netio.Options) {
				o.MaxFrameBytes, o.MaxBufferBytes, o.MaxConns = 3<<20, limit, 100
			})
			probes := []*diskClient{dialDisk(t, s.addr), dialDisk(t, s.addr)} // a loop each
			probes[0].send(t, `{"SET":{"untouched":1}}`+"\n")
			probes[0].want(t, `{"SET_RSP":{"st":1,"k":"untouched"}}`)
			moves := make(chan struct{})
			flood := &stalled{reads: moves}
			if stall.mode != journal.Always { // they are answered
				flood.reads = make(chan struct{})
				close(flood.reads)
			}
			goOn := sync.OnceFunc(func() {
				flood.stop.Store(true)
				close(moves)
			})
			t.Cleanup(goOn)
			stands := s.disk.standStill(stall.op, moves)
			before := s.log.Stats().Position
			for i := range clients {
				c := dialDisk(t, s.addr)
				flood.clients.Go(func() { flood.flood(t, c, i%2) })
			}
			<-stands
			deadline := time.Now().Add(patience)
			for rounds := 0; rounds < stall.rounds; {
				const most = clients / 2 << 20 // that they may have pending
				if flood.bytes[0].Load() >= most && flood.bytes[1].Load() >= most {
					rounds++
				}
				for _, p := range probes {
					p.send(t, `{"GET":["untouched"]}`+"\n")
					p.want(t, `{"GET_RSP":{"st":0,"untouched":1}}`)
				}
				st := s.Stats()
				if stall.mode == journal.Always && st.Total.Squeezed == 0 {
					rounds = 0
				}
				if held := st.InputBytes + st.OutputBytes; held > limit {
					t.Fatalf("%d bytes of input and %d of output are held", st.InputBytes, st.OutputBytes)
				}
				if n := st.Journal.Position - before; stall.mode == journal.Always && n > logged {
					t.Fatalf("%d bytes are written that nobody has synced", n)
				}
				if time.Now().After(deadline) {
					t.Fatalf("%d and %d bytes are sent: %+v", flood.bytes[0].Load(), flood.bytes[1].Load(), st)
				}
			}
			goOn()
			flood.clients.Wait()
			if st := s.Stats(); st.Total.CutOff != 0 || st.SlowConsumers != 0 || st.Journal.Errors != 0 {
				t.Errorf("%d connections are cut off, %d slow consumers, %d errors of the journal", st.Total.CutOff, st.SlowConsumers, st.Journal.Errors)
			}
			probes[0].send(t, `{"COUNT":{}}`+"\n")
			probes[0].want(t, fmt.Sprintf(`{"COUNT_RSP":{"st":0,"cnt":%d}}`, 1+clients*50))
		})
	}
}

// TestAskedWhileStalled: while a write or a sync stands still, the server says how it is: by its
// methods, which /metrics and /readyz are made of, and to clients of every loop that does not
// itself write.
func TestAskedWhileStalled(t *testing.T) {
	for _, stall := range []struct {
		mode journal.Mode
		op   string
	}{{journal.EverySec, "write"}, {journal.No, "write"}, {journal.Always, "write"}, {journal.Always, "sync"}} {
		t.Run(fmt.Sprintf("%s/%s", stall.mode, stall.op), func(t *testing.T) {
			s := startOnDisk(t, t.TempDir(), stall.mode, 2, true, func(o *netio.Options) { o.MinKeyChars = 1 })
			writer, asker := dialDisk(t, s.addr), dialDisk(t, s.addr) // a loop each
			moves := make(chan struct{})
			goOn := sync.OnceFunc(func() { close(moves) })
			t.Cleanup(goOn)
			stands := s.disk.standStill(stall.op, moves)
			writer.send(t, `{"SET":{"key":1}}`+"\n")
			<-stands
			for deadline := time.Now().Add(patience); s.Stats().Keys != 1; time.Sleep(time.Millisecond) { // it may be another sync
				if time.Now().After(deadline) {
					t.Fatalf("%+v", s.Stats())
				}
			}
			if err := s.Ready(); err != nil {
				t.Error(err)
			}
			for range 3 {
				asker.send(t, `{"PING":{}}`+"\n"+`{"SERVER_INFO":{}}`+"\n")
				asker.want(t, `{"PING_RSP":{"st":0}}`)
				if got, err := asker.in.ReadString('\n'); err != nil || !strings.HasPrefix(got, `{"SERVER_INFO_RSP":{"st":0,"keyCnt":1,`) {
					t.Fatalf("SERVER_INFO: %s, %v", got, err)
				}
			}
			_ = asker.Close() // the next connection comes to its loop
			for deadline := time.Now().Add(patience); s.Stats().Conns > 1; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("the connection stays")
				}
			}
			asker = dialDisk(t, s.addr)
			asker.send(t, string(respCommands("INFO persistence", "LASTSAVE", "QUIT")))
			if got, err := io.ReadAll(asker.in); err != nil || !bytes.Contains(got, []byte("aof_enabled:1")) || !bytes.HasSuffix(got, []byte("\r\n+OK\r\n")) {
				t.Errorf("INFO: %s, %v", got, err)
			}
			goOn()
			writer.want(t, `{"SET_RSP":{"st":1,"k":"key"}}`)
		})
	}
}
