package netio_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"keyframe/engine"
	"keyframe/engine/journal"
	"keyframe/netio"
)

// disk is a directory whose syncs and writes a test can hold back, or have fail.
type disk struct {
	journal.FS
	mu     sync.Mutex
	before func(op string) error
}

func (d *disk) do(op string) error {
	d.mu.Lock()
	before := d.before
	d.mu.Unlock()
	if before != nil {
		return before(op)
	}
	return nil
}

func (d *disk) set(before func(op string) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.before = before
}

// standStill has operations of a kind wait until moves is closed, and come to ends then. What it
// returns tells when the first of them does.
func (d *disk) standStill(kind string, moves <-chan struct{}, ends error) (stands <-chan struct{}) {
	first := make(chan struct{}, 1)
	d.set(func(op string) error {
		if op != kind {
			return nil
		}
		select {
		case first <- struct{}{}:
		default:
		}
		<-moves
		return ends
	})
	return first
}

func (d *disk) wrap(f journal.File, err error) (journal.File, error) {
	if err != nil {
		return nil, err
	}
	return &diskFile{f, d}, nil
}

func (d *disk) Create(name string) (journal.File, error) {
	if err := d.do("create"); err != nil {
		return nil, err
	}
	return d.wrap(d.FS.Create(name))
}

func (d *disk) Reuse(name string) (journal.File, error) { return d.wrap(d.FS.Reuse(name)) }

type diskFile struct {
	journal.File
	d *disk
}

func (f *diskFile) WriteAt(p []byte, at int64) (int, error) {
	if err := f.d.do("write"); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, at)
}

func (f *diskFile) Sync() error {
	if err := f.d.do("sync"); err != nil {
		return err
	}
	return f.File.Sync()
}

// diskServer is a server with a journal.
type diskServer struct {
	*netio.Server
	log   *journal.Journal
	store *engine.Engine
	disk  *disk
	logs  logs // of the server, not of its journal
	addr  string
	once  sync.Once
	ends  bool // Stop has been called
}

// startOnDisk starts a server on a directory, and has it load if load is set.
func startOnDisk(t *testing.T, dir string, mode journal.Mode, loops int, load bool, change ...func(*netio.Options)) *diskServer {
	t.Helper()
	fs, err := journal.Dir(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	s := &diskServer{disk: &disk{FS: fs}}
	if s.log, err = journal.Open(s.disk, journal.Options{Mode: mode, SegmentBytes: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	if s.store, err = engine.New(engine.Options{Shards: 16, RecordEffects: true}); err != nil {
		t.Fatal(err)
	}
	opts := netio.Options{Listen: []string{"127.0.0.1:0"}, Loops: loops, Journal: s.log, Logger: slog.New(slog.NewTextHandler(&s.logs, nil))}
	for _, c := range change {
		c(&opts)
	}
	if s.Server, err = netio.New(s.store, opts); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.end)
	s.addr = s.Addrs()[0].String()
	if load {
		if _, err := s.Load(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *diskServer) end() {
	s.once.Do(func() {
		s.disk.set(nil)
		if !s.ends {
			_ = s.Stop(context.Background())
		}
		<-s.Gone()
		_ = s.log.Close()
		_ = s.store.Close()
	})
}

// diskClient is a client that speaks lines.
type diskClient struct {
	net.Conn
	in *bufio.Reader
}

func dialDisk(t *testing.T, addr string) *diskClient {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = nc.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { _ = nc.Close() })
	return &diskClient{nc, bufio.NewReader(nc)}
}

func (c *diskClient) send(t *testing.T, lines string) {
	t.Helper()
	if _, err := io.WriteString(c, lines); err != nil {
		t.Fatal(err)
	}
}

func (c *diskClient) want(t *testing.T, lines ...string) {
	t.Helper()
	for _, want := range lines {
		if got, err := c.in.ReadString('\n'); err != nil || got != want+"\n" {
			t.Fatalf("answered %q, %v, want %s", got, err, want)
		}
	}
}

// TestJournalSession: every command, on two loops in every mode, is answered as without a
// journal, and the next server has what came of it.
func TestJournalSession(t *testing.T) {
	for _, mode := range []journal.Mode{journal.EverySec, journal.Always, journal.No} {
		dir := t.TempDir()
		s := startOnDisk(t, dir, mode, 2, true)
		a, b := dialDisk(t, s.addr), dialDisk(t, s.addr)
		a.send(t, `{"SET":{"abcdef":1,"bcdefg":"two","short":3}}`+"\n"+`{"ADD":{"abcdef":2,"cdefgh":3}}`+"\n"+`{"SETQ":{"defghi":4}}`+"\n"+`{"GET":["abcdef"]}`+"\n")
		a.want(t, `{"SET_RSP":{"st":1,"k":"abcdef"}}`, `{"SET_RSP":{"st":1,"k":"bcdefg"}}`, `{"SET_RSP":{"st":6,"k":"short"}}`,
			`{"ADD_RSP":{"st":4,"k":"abcdef"}}`, `{"ADD_RSP":{"st":1,"k":"cdefgh"}}`, `{"GET_RSP":{"st":0,"abcdef":1}}`)
		b.send(t, `{"RNM_KEY":[{"abcdef":"abcdeg"}]}`+"\n"+`{"RMV":["bcdefg","bcdefg"]}`+"\n"+`{"COUNT":{}}`+"\n")
		b.want(t, `{"RNM_KEY_RSP":{"abcdef":"abcdeg","st":1}}`, `{"RMV_RSP":{"st":5,"k":"bcdefg"}}`, `{"RMV_RSP":{"st":3,"k":"bcdefg"}}`, `{"COUNT_RSP":{"st":0,"cnt":3}}`)
		a.send(t, `{"SAVE":{}}`+"\n"+`{"CLEAR":{}}`+"\n"+`{"SET":{"abcdeg":5}}`+"\n")
		if got, err := a.in.ReadString('\n'); err != nil || !strings.HasPrefix(got, `{"SAVE_RSP":{"st":0,"keys":3,"bytes":`) {
			t.Errorf("%s: SAVE: %s, %v", mode, got, err)
		}
		a.want(t, `{"CLEAR_RSP":{"st":0,"cnt":3}}`, `{"SET_RSP":{"st":1,"k":"abcdeg"}}`)
		st := s.Stats()
		if st.Journal == nil || st.Journal.Groups < 3 || st.Journal.Snapshots != 1 || st.Journal.Errors != 0 {
			t.Errorf("%s: %+v", mode, st.Journal)
		}
		_, _ = a.Close(), b.Close() // a stop waits for them
		s.end()

		s = startOnDisk(t, dir, mode, 1, true)
		c := dialDisk(t, s.addr)
		c.send(t, `{"GET":["abcdeg","cdefgh"]}`+"\n"+`{"COUNT":{}}`+"\n")
		c.want(t, `{"GET_RSP":{"st":0,"abcdeg":5}}`, `{"GET_RSP":{"st":3,"k":"cdefgh"}}`, `{"COUNT_RSP":{"st":0,"cnt":1}}`)
	}
}

// TestJournalHolds: while the disk stands still nobody is told of what is not on it, not by
// a read either, however many connections wait; when it moves, each has its answers, in
// order.
func TestJournalHolds(t *testing.T) {
	conns := 1000
	if testing.Short() {
		conns = 100
	}
	s := startOnDisk(t, t.TempDir(), journal.Always, 2, true)
	moves := make(chan struct{})
	var stands atomic.Int32
	s.disk.set(func(op string) error {
		if op == "sync" {
			stands.Add(1)
			<-moves
		}
		return nil
	})
	clients := make([]*diskClient, conns)
	for i := range clients {
		clients[i] = dialDisk(t, s.addr)
		clients[i].send(t, fmt.Sprintf(`{"SET":{"number-%d":%d}}`+"\n"+`{"GET":["number-%d"]}`+"\n", i, i, i))
	}
	reader := dialDisk(t, s.addr)
	for deadline := time.Now().Add(patience); s.store.Len() < conns || stands.Load() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d keys are set", s.store.Len())
		}
	}
	reader.send(t, `{"GET":["number-0"]}`+"\n")
	if out := s.Stats().Total.BytesOut; out != 0 {
		t.Errorf("%d bytes have left", out)
	}
	close(moves)
	for i, c := range clients {
		c.want(t, fmt.Sprintf(`{"SET_RSP":{"st":1,"k":"number-%d"}}`, i), fmt.Sprintf(`{"GET_RSP":{"st":0,"number-%d":%d}}`, i, i))
	}
	reader.want(t, `{"GET_RSP":{"st":0,"number-0":0}}`)
}

// TestJournalReads: while the disk stands still, reads of keys that it has are answered at
// once, on both loops. Whatever would tell of a change that it has not waits.
func TestJournalReads(t *testing.T) {
	s := startOnDisk(t, t.TempDir(), journal.Always, 2, true)
	writer := dialDisk(t, s.addr)
	writer.send(t, `{"SET":{"untouched":1,"changed":1,"removed":1,"renamed":1}}`+"\n")
	for _, key := range []string{"untouched", "changed", "removed", "renamed"} {
		writer.want(t, `{"SET_RSP":{"st":1,"k":"`+key+`"}}`)
	}
	probes := []*diskClient{dialDisk(t, s.addr), dialDisk(t, s.addr)} // a loop each
	moves := make(chan struct{})
	goOn := sync.OnceFunc(func() { close(moves) })
	t.Cleanup(goOn)
	stands := s.disk.standStill("sync", moves, nil)
	before := s.Stats().Total
	writer.send(t, `{"SET":{"changed":2}}`+"\n"+`{"RMV":["removed"]}`+"\n"+`{"RNM_KEY":[{"renamed":"new_name"}]}`+"\n"+`{"PING":{}}`+"\n")
	<-stands
	queries := uint64(4)
	var waiting []*diskClient
	answers := []string{`{"GET_RSP":{"st":0,"changed":2}}`, `{"GET_RSP":{"st":3,"k":"removed"}}`, `{"CONTAINS_RSP":{"st":3,"k":"renamed"}}`, `{"TTL_RSP":{"st":0,"new_name":null}}`, `{"COUNT_RSP":{"st":0,"cnt":3}}`}
	for _, read := range []string{`{"GET":["changed"]}`, `{"GET":["removed"]}`, `{"CONTAINS":["renamed"]}`, `{"TTL":["new_name"]}`, `{"COUNT":{}}`, `{"KEYS":{}}`} {
		c := dialDisk(t, s.addr)
		c.send(t, read+"\n")
		waiting = append(waiting, c)
		queries++
	}
	bytes := uint64(0)
	for deadline := time.Now().Add(patience); ; {
		for _, p := range probes {
			const answer = `{"GET_RSP":{"st":0,"untouched":1}}`
			p.send(t, `{"GET":["untouched"]}`+"\n")
			p.want(t, answer)
			bytes += uint64(len(answer) + 1)
			queries++
		}
		if s.Stats().Total.Queries-before.Queries == queries { // they have all been looked at
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("not all commands are executed")
		}
	}
	if out := s.Stats().Total.BytesOut - before.BytesOut; out != bytes {
		t.Errorf("%d bytes have left, want the %d of the answers that wait for nothing", out, bytes)
	}
	goOn()
	writer.want(t, `{"SET_RSP":{"st":2,"k":"changed"}}`, `{"RMV_RSP":{"st":5,"k":"removed"}}`, `{"RNM_KEY_RSP":{"renamed":"new_name","st":1}}`, `{"PING_RSP":{"st":0}}`)
	for i, answer := range answers {
		waiting[i].want(t, answer)
	}
}

// TestJournalReadsAcrossLoops: what one loop has set and not written is not shown by another.
func TestJournalReadsAcrossLoops(t *testing.T) {
	s := startOnDisk(t, t.TempDir(), journal.EverySec, 2, true)
	a, b := dialDisk(t, s.addr), dialDisk(t, s.addr) // a loop each
	for i := range 300 {
		a.send(t, fmt.Sprintf(`{"SET":{"number":%d}}`+"\n", i+1_000_000))
		b.send(t, `{"GET":["number"]}`+"\n")
		read, err := b.in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(read, fmt.Sprint(i+1_000_000)) && s.log.Kept() < s.log.Position()-1 {
			t.Fatal("it is read, and not written")
		}
		if _, err := a.in.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
}

// TestJournalFails: when a write or a sync fails, what waits is closed without an answer,
// nothing is applied any more, and the server says that it isn't ready.
func TestJournalFails(t *testing.T) {
	for _, fault := range []string{"write", "sync"} {
		s := startOnDisk(t, t.TempDir(), journal.Always, 1, true)
		a := dialDisk(t, s.addr)
		a.send(t, `{"SET":{"before":1}}`+"\n")
		a.want(t, `{"SET_RSP":{"st":1,"k":"before"}}`)
		s.disk.set(func(op string) error {
			if op == fault {
				return syscall.EIO
			}
			return nil
		})
		a.send(t, `{"SET":{"lost_key":1}}`+"\n")
		if got, err := a.in.ReadString('\n'); err == nil {
			t.Errorf("%s: answered %s", fault, got)
		}
		<-s.log.Failed()
		if err := s.Ready(); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: ready: %v", fault, err)
		}
		b := dialDisk(t, s.addr)
		b.send(t, `{"SET":{"after_key":1}}`+"\n")
		got, err := b.in.ReadString('\n')
		if err == nil && !strings.Contains(got, `"st":15`) {
			t.Errorf("%s: then %s", fault, got)
		}
		if s.store.Len() != 2 {
			t.Errorf("%s: %d keys", fault, s.store.Len())
		}
	}
}

// TestSnapshotsInInfo: INFO says that a snapshot is being made, and what came of the last one,
// whoever asked for it; one that fails is logged, since BGSAVE waits for no answer.
func TestSnapshotsInInfo(t *testing.T) {
	s := startOnDisk(t, t.TempDir(), journal.EverySec, 1, true)
	want := func(running int, status string) {
		t.Helper()
		text := fmt.Sprintf("|rdb_bgsave_in_progress:%d|rdb_last_bgsave_status:%s|", running, status)
		for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			got := talk(t, s.addr, respCommands("INFO persistence", "QUIT"))
			if strings.Contains(got, text) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("INFO: %s, want %s", got, text)
			}
		}
	}
	want(0, "ok")
	moves := make(chan struct{})
	goOn := sync.OnceFunc(func() { close(moves) })
	defer goOn()
	s.disk.set(func(op string) error {
		if op != "create" {
			return nil
		}
		<-moves
		return syscall.EACCES
	})
	if got := talk(t, s.addr, respCommands("BGSAVE", "QUIT")); !strings.HasPrefix(got, "+Background saving started|") {
		t.Fatal(got)
	}
	want(1, "ok")
	goOn()
	want(0, "err")
	s.disk.set(nil)
	c := dialDisk(t, s.addr)
	c.send(t, `{"SAVE":{}}`+"\n")
	if got, err := c.in.ReadString('\n'); err != nil || !strings.HasPrefix(got, `{"SAVE_RSP":{"st":0,`) {
		t.Fatalf("%s, %v", got, err)
	}
	want(0, "ok")
	if got := s.logs.String(); strings.Count(got, "a snapshot that was asked for has failed") != 1 || !strings.Contains(got, syscall.EACCES.Error()) {
		t.Errorf("the log has %s", got)
	}
}

// TestLoading: a client that comes while the store is loaded is told so, in its framing.
func TestLoading(t *testing.T) {
	s := startOnDisk(t, t.TempDir(), journal.EverySec, 1, false)
	if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "LOADING") {
		t.Errorf("ready: %v", err)
	}
	c := dialDisk(t, s.addr)
	c.send(t, `{"GET":["abcdef"]}`+"\n")
	got, err := io.ReadAll(c.in)
	if err != nil || !strings.HasPrefix(string(got), `{"SERVER_ERROR":{"s":15,"m":"LOADING: `) {
		t.Errorf("answered %s, %v", got, err)
	}
	c = dialDisk(t, s.addr)
	c.send(t, "GET / HTTP/1.1\r\n\r\n")
	if got, err := io.ReadAll(c.in); err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 503 ") {
		t.Errorf("answered %s, %v", got, err)
	}
	c = dialDisk(t, s.addr)
	c.send(t, "PING\r\n")
	if got, err := io.ReadAll(c.in); err != nil || !strings.HasPrefix(string(got), "-LOADING the server reads ") {
		t.Errorf("answered %s, %v", got, err)
	}
	if st := s.Stats(); st.Journal != nil || st.ConnsRefused != 0 {
		t.Errorf("%+v", st)
	}
	if _, err := s.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(); err != nil {
		t.Error(err)
	}
	c = dialDisk(t, s.addr)
	c.send(t, `{"COUNT":{}}`+"\n")
	c.want(t, `{"COUNT_RSP":{"st":0,"cnt":0}}`)
}

// TestLoadFails: a store that is too small for what is on disk, and a stop meanwhile.
func TestLoadFails(t *testing.T) {
	dir := t.TempDir()
	s := startOnDisk(t, dir, journal.EverySec, 1, true)
	c := dialDisk(t, s.addr)
	value := strings.Repeat("v", 100_000)
	for i := range 60 {
		c.send(t, fmt.Sprintf(`{"SET":{"number-%d":"%s"}}`+"\n", i, value))
		c.want(t, fmt.Sprintf(`{"SET_RSP":{"st":1,"k":"number-%d"}}`, i))
	}
	_ = c.Close()
	s.end()
	fs, _ := journal.Dir(dir, true)
	open := func() *journal.Journal {
		j, err := journal.Open(fs, journal.Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = j.Close() })
		return j
	}
	e, err := engine.New(engine.Options{Shards: 4, MaxBytes: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	j := open()
	if _, err := netio.Recover(context.Background(), j, e); err == nil || !strings.Contains(err.Error(), "--max-memory") {
		t.Errorf("into a small store: %v", err)
	}
	_ = j.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := netio.Recover(ctx, open(), e); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
}

// TestSaveWithout: a server without a disk says so.
func TestSaveWithout(t *testing.T) {
	c := dialDisk(t, startServer(t, netio.Options{}).tcp)
	c.send(t, `{"SAVE":{}}`+"\n"+`{"SAVE":{"a":1}}`+"\n")
	c.want(t, `{"SAVE_RSP":{"st":15,"m":"the server keeps nothing on disk: it was started without --data-dir"}}`, `{"SAVE_RSP":{"st":12,"m":"SAVE takes an empty object"}}`)
}

// TestJournalEffects: everything that the engine can do to a key, forms and deadlines too,
// is there again.
func TestJournalEffects(t *testing.T) {
	dir := t.TempDir()
	s := startOnDisk(t, dir, journal.No, 1, true)
	var b engine.Batch
	soon := time.Now().Add(time.Hour).UnixMilli()
	b.AddArgs(engine.Set, []byte("expires"), []byte("1"), 0, engine.Args{Deadline: soon})
	b.AddForm(engine.Set, []byte("form"), []byte("x"), 2)
	b.AddArgs(engine.Incr, []byte("expires"), nil, 0, engine.Args{Delta: 41})
	b.AddArgs(engine.Expire, []byte("form"), nil, 0, engine.Args{Deadline: soon + 1})
	b.Add(engine.Rename, []byte("form"), []byte("moved"))
	b.Add(engine.Set, []byte("taken"), []byte("x"))
	b.Add(engine.Take, []byte("taken"), nil)
	b.Add(engine.Set, []byte("swapped"), []byte("x"))
	b.AddForm(engine.Swap, []byte("swapped"), []byte("y"), 3)
	netio.ApplyLogged(s.log, s.store, &b)
	content := func(e *engine.Engine) (all []string) {
		e.Each(func(key, value []byte, form engine.Form, deadline int64) bool {
			all = append(all, fmt.Sprintf("%s %s %d %d", key, value, form, deadline))
			return true
		})
		slices.Sort(all)
		return all
	}
	want := []string{fmt.Sprintf("expires 42 0 %d", soon), fmt.Sprintf("moved x 2 %d", soon+1), "swapped y 3 0"}
	if got := content(s.store); !slices.Equal(got, want) {
		t.Fatalf("%q, want %q", got, want)
	}
	s.end()
	if got := content(startOnDisk(t, dir, journal.No, 1, true).store); !slices.Equal(got, want) {
		t.Errorf("recovered %q, want %q", got, want)
	}
}
