package netio_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
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
			stands := s.disk.standStill(stall.op, moves, nil)
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
			stands := s.disk.standStill(stall.op, moves, nil)
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
			asker.send(t, string(respCommands("INFO persistence", "LASTSAVE", "CONFIG GET appendfsync", "QUIT")))
			if got, err := io.ReadAll(asker.in); err != nil || !bytes.Contains(got, []byte("aof_enabled:1")) || !bytes.Contains(got, []byte("\r\n"+stall.mode.String()+"\r\n")) || !bytes.HasSuffix(got, []byte("\r\n+OK\r\n")) {
				t.Errorf("INFO: %s, %v", got, err)
			}
			goOn()
			writer.want(t, `{"SET_RSP":{"st":1,"k":"key"}}`)
		})
	}
}

// stopInTime is Stop, which must not wait for the disk.
func (s *diskServer) stopInTime(ctx context.Context, t *testing.T) error {
	t.Helper()
	stopped := make(chan error, 1)
	s.ends = true
	go func() { stopped <- s.Stop(ctx) }()
	select {
	case err := <-stopped:
		return err
	case <-time.After(patience):
		t.Fatal("it does not stop")
		return nil
	}
}

// wantGone waits until nothing of the server is left, and closes what it used.
func (s *diskServer) wantGone(t *testing.T) {
	t.Helper()
	select {
	case <-s.Gone():
	case <-time.After(patience):
		t.Fatal("something of it is left")
	}
	s.end()
}

// wantRunning wants an error to name the event loops that have not come back.
func wantRunning(t *testing.T, err error, loops ...int) {
	t.Helper()
	var running *netio.RunningError
	switch {
	case len(loops) == 0:
		if errors.As(err, &running) {
			t.Errorf("the stop ends with %v", err)
		}
	case !errors.As(err, &running) || !slices.Equal(running.Loops, loops):
		t.Errorf("the stop ends with %v, want one about the loops %v", err, loops)
	}
}

// TestStopWhileStalled: a write or a sync that stands still delays a stop no further than clients
// may, nor does a client that is to be accepted by the loop that stands in it. That loop is named
// and left, the others' connections end. When it comes back its client is answered if the write
// has succeeded, and not if it has failed; only then is nothing left of the server, and what was
// written is what the next one has.
func TestStopWhileStalled(t *testing.T) {
	for _, stall := range []struct {
		mode  journal.Mode
		op    string
		ends  error
		loops []int // that stand in it
	}{
		{journal.EverySec, "write", nil, []int{0}}, {journal.EverySec, "write", syscall.EIO, []int{0}}, {journal.No, "write", nil, []int{0}},
		{journal.Always, "write", nil, nil}, {journal.Always, "sync", nil, nil},
	} {
		t.Run(fmt.Sprintf("%s/%s/%v", stall.mode, stall.op, stall.ends), func(t *testing.T) {
			t.Parallel() // they wait
			dir := t.TempDir()
			s := startOnDisk(t, dir, stall.mode, 2, true, func(o *netio.Options) { o.StopTimeout = 10 * time.Millisecond })
			writer, other := dialDisk(t, s.addr), dialDisk(t, s.addr) // a loop each
			other.send(t, `{"SET":{"before":1}}`+"\n")
			other.want(t, `{"SET_RSP":{"st":1,"k":"before"}}`)
			moves := make(chan struct{})
			goOn := sync.OnceFunc(func() { close(moves) })
			t.Cleanup(goOn)
			stands := s.disk.standStill(stall.op, moves, stall.ends)
			writer.send(t, `{"SET":{"written":1}}`+"\n")
			<-stands
			late := dialDisk(t, s.addr) // comes to the writer's loop
			for deadline := time.Now().Add(patience); s.Stats().ConnsTotal < 3 || s.Stats().Keys < 2; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%+v", s.Stats())
				}
			}
			err := s.stopInTime(context.Background(), t)
			wantRunning(t, err, stall.loops...)
			if err == nil || !strings.Contains(err.Error(), "connections were cut off") {
				t.Errorf("the stop ends with %v, and the writer without an answer", err)
			}
			if line, err := other.in.ReadString('\n'); err != io.EOF {
				t.Errorf("the other loop's client has %q, %v", line, err)
			}
			if stall.loops != nil {
				select {
				case <-s.Gone():
					t.Error("nothing is left of it, while a loop stands in a write")
				default:
				}
			}
			goOn()
			if stall.loops != nil && stall.ends == nil {
				writer.want(t, `{"SET_RSP":{"st":1,"k":"written"}}`)
			}
			for _, c := range []*diskClient{writer, late} {
				if line, err := c.in.ReadString('\n'); err == nil {
					t.Errorf("a client is answered %s", line)
				}
			}
			s.wantGone(t)
			keys := 2
			if stall.ends != nil {
				keys = 1
			}
			if got := startOnDisk(t, dir, stall.mode, 1, true).Stats().Keys; got != keys {
				t.Errorf("the next one has %d keys, want %d", got, keys)
			}
		})
	}
}

// TestStopAfterFailureWhileStalled: a sync fails while a loop stands in a write. The stop that
// follows, as the process must end, waits for nothing; and when the write has succeeded after all
// nobody is told.
func TestStopAfterFailureWhileStalled(t *testing.T) {
	s := startOnDisk(t, t.TempDir(), journal.EverySec, 2, true)
	writer, other := dialDisk(t, s.addr), dialDisk(t, s.addr) // a loop each
	moves, syncs, stands := make(chan struct{}), make(chan struct{}), make(chan struct{})
	goOn := sync.OnceFunc(func() { close(moves) })
	t.Cleanup(goOn)
	syncing, standing := sync.OnceFunc(func() { close(syncs) }), sync.OnceFunc(func() { close(stands) })
	s.disk.set(func(op string) error {
		if op == "sync" {
			syncing()
			<-stands
			return syscall.EIO
		}
		return nil
	})
	other.send(t, `{"SET":{"before":1}}`+"\n")
	other.want(t, `{"SET_RSP":{"st":1,"k":"before"}}`)
	<-syncs
	s.disk.set(func(op string) error {
		if op == "write" {
			standing()
			<-moves
		}
		return nil
	})
	writer.send(t, `{"SET":{"written":1}}`+"\n")
	<-s.log.Failed()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	wantRunning(t, s.stopInTime(ctx, t), 0)
	goOn()
	if line, err := writer.in.ReadString('\n'); err == nil {
		t.Errorf("the writer is answered %s", line)
	}
	s.wantGone(t)
}

// TestStopWhileSaving: a stop does not wait for a snapshot that a client has asked for, and that
// can't get on; the end of the journal does.
func TestStopWhileSaving(t *testing.T) {
	s := startOnDisk(t, t.TempDir(), journal.EverySec, 1, true, func(o *netio.Options) { o.StopTimeout = 10 * time.Millisecond })
	c := dialDisk(t, s.addr)
	moves := make(chan struct{})
	goOn := sync.OnceFunc(func() { close(moves) })
	t.Cleanup(goOn)
	stands := s.disk.standStill("create", moves, nil)
	c.send(t, `{"SAVE":{}}`+"\n")
	<-stands
	wantRunning(t, s.stopInTime(context.Background(), t))
	closed := make(chan error, 1)
	go func() { closed <- s.log.Close() }()
	select {
	case err := <-closed:
		t.Errorf("the journal is closed, %v, while a snapshot is made", err)
	case <-time.After(10 * time.Millisecond):
	}
	goOn()
	if err := <-closed; err != nil {
		t.Error(err)
	}
	s.wantGone(t)
	if got := s.logs.String(); strings.Contains(got, "snapshot") {
		t.Errorf("the log has %s", got)
	}
}
