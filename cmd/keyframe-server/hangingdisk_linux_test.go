package main_test

import (
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// This file is a disk that stands still under the real server: calls that never come back.

// hanging is what of a disk stands still, for good, once it is armed; plain is as in fault.
type hanging struct {
	mode  string
	what  func(c diskCall) bool
	plain bool

	armed  atomic.Bool
	stands chan struct{} // closed when a call does
	once   sync.Once
	end    chan struct{} // of the test
}

func newHanging(t *testing.T, mode string, what func(c diskCall) bool, plain bool) *hanging {
	h := &hanging{mode: mode, what: what, plain: plain, stands: make(chan struct{}), end: make(chan struct{})}
	t.Cleanup(func() { close(h.end) }) // after that of the server, which is killed
	return h
}

// hangs reports whether a call is one of those, and returns only at the end of the test then.
func (h *hanging) hangs(c diskCall) bool {
	if !h.armed.Load() || !h.what(c) {
		return false
	}
	h.once.Do(func() { close(h.stands) })
	<-h.end
	return true
}

func (h *hanging) call(c diskCall) syscall.Errno {
	if h.plain && c.durable {
		return unix.EOPNOTSUPP
	}
	h.hangs(c)
	return 0
}

// ask sends a line whose answer is waited for later.
func (p *process) ask(t *testing.T, line string) *session {
	t.Helper()
	s, err := dial(p.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if _, err := io.WriteString(s, line+"\n"); err != nil {
		t.Fatal(err)
	}
	return s
}

// wantUnanswered wants the server to have ended with status 3 and said so, no answer to have left,
// and the next server to have the key that was acknowledged.
func wantUnanswered(t *testing.T, p *process, dir, said string, waiting ...*session) {
	t.Helper()
	if status := p.wait(t); status != 3 || !strings.Contains(p.stderr.String(), "keyframe-server: "+said) {
		t.Errorf("exit status %d\n%s", status, p.stderr)
	}
	for i, s := range waiting {
		if answer, err := io.ReadAll(s); len(answer) > 0 || os.IsTimeout(err) {
			t.Errorf("connection %d was answered %q, %v", i, answer, err)
		}
	}
	if got := mustAsk(t, startOn(t, dir).addr, `{"GET":["safe_key"]}`); got != `{"GET_RSP":{"st":0,"safe_key":1}}` {
		t.Errorf("the next one has %s", got)
	}
}

func isSync(c diskCall) bool { return c.sync && strings.HasPrefix(c.file, "segment-") }
func isDir(c diskCall) bool  { return c.dir }

// TestStopsOnHangingDisk: a server whose disk stands still ends when it is told to, with status 3:
// when it stands in a write, in the loop or beside it, in a sync, or when that of the last
// snapshot is the first. A second signal ends it at once, as ever.
func TestStopsOnHangingDisk(t *testing.T) {
	needFilters(t)
	var ends []func()
	for _, tt := range []struct {
		name, mode  string
		what        func(diskCall) bool
		plain, last bool // last: nothing waits for the disk before the stop
		twice       bool
	}{
		{name: "everysec/write/twice", mode: "everysec", what: diskCall.isGroup, twice: true},
		{name: "everysec/write", mode: "everysec", what: diskCall.isGroup},
		{name: "everysec/directory", mode: "everysec", what: isDir, last: true},
		{name: "no/write", mode: "no", what: diskCall.isGroup},
		{name: "always/write", mode: "always", what: diskCall.isGroup},
		{name: "always/plain/write", mode: "always", what: diskCall.isGroup, plain: true},
		{name: "always/plain/sync", mode: "always", what: isSync, plain: true},
	} {
		disk, dir := newHanging(t, tt.mode, tt.what, tt.plain), t.TempDir()
		p := startOnFaulty(t, disk.call, dir, "--loops", "2", "--fsync", tt.mode)
		if got := mustAsk(t, p.addr, `{"SET":{"safe_key":1}}`); got != `{"SET_RSP":{"st":1,"k":"safe_key"}}` {
			t.Fatal(got)
		}
		disk.armed.Store(true)
		var waiting []*session
		if !tt.last {
			waiting = append(waiting, p.ask(t, `{"SET":{"lost_key":1}}`))
			<-disk.stands
		}
		if err := p.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, func() {
			t.Log(tt.name)
			if !tt.twice {
				wantUnanswered(t, p, dir, "the disk stands still", waiting...)
				return
			}
			p.waitForLog(t, "msg=stopping", 1)
			if err := p.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			p.wait(t)
			if is := p.ProcessState.Sys().(syscall.WaitStatus); !is.Signaled() || is.Signal() != syscall.SIGTERM {
				t.Errorf("it ended with %v", p.ProcessState)
			}
		})
	}
	for _, end := range ends { // they wait at the same time
		end()
	}
}

// TestFailsOnHangingDisk: a write or a sync fails while another call stands still, and the server
// exits with status 3 all the same.
func TestFailsOnHangingDisk(t *testing.T) {
	needFilters(t)
	run := func(t *testing.T, h *hanging, fails func(c diskCall) bool, begin func(p *process) []*session) {
		dir := t.TempDir()
		p := startOnFaulty(t, func(c diskCall) syscall.Errno {
			if !h.hangs(c) && fails(c) {
				return unix.EIO
			}
			return 0
		}, dir, "--loops", "2", "--fsync", h.mode)
		if got := mustAsk(t, p.addr, `{"SET":{"safe_key":1}}`); got != `{"SET_RSP":{"st":1,"k":"safe_key"}}` {
			t.Fatal(got)
		}
		wantUnanswered(t, p, dir, "the journal has failed", begin(p)...)
	}
	t.Run("a write beside another", func(t *testing.T) {
		var writes atomic.Int32
		h := newHanging(t, "always", func(c diskCall) bool { return c.durable && writes.Add(1) == 1 }, false)
		run(t, h, func(c diskCall) bool { return h.armed.Load() && c.durable }, func(p *process) []*session {
			h.armed.Store(true)
			first := p.ask(t, `{"SET":{"lost_key":1}}`)
			<-h.stands
			return []*session{first, p.ask(t, `{"SET":{"lost_key":2}}`)}
		})
	})
	t.Run("a sync beside a write", func(t *testing.T) {
		h := newHanging(t, "everysec", diskCall.isGroup, false)
		syncs, once := make(chan struct{}), sync.Once{}
		var fails atomic.Bool
		run(t, h, func(c diskCall) bool {
			if !fails.Load() || !isSync(c) {
				return false
			}
			once.Do(func() { close(syncs) })
			select {
			case <-h.stands:
			case <-h.end:
			}
			return true
		}, func(p *process) []*session {
			fails.Store(true)
			mustAsk(t, p.addr, `{"SET":{"other_key":1}}`) // for a sync
			<-syncs
			h.armed.Store(true)
			return []*session{p.ask(t, `{"SET":{"lost_key":1}}`)}
		})
	})
	t.Run("a write while the directory stands still", func(t *testing.T) {
		h := newHanging(t, "everysec", isDir, false)
		var fails atomic.Bool
		run(t, h, func(c diskCall) bool { return fails.Load() && c.isGroup() }, func(p *process) []*session {
			h.armed.Store(true)
			save := p.ask(t, `{"SAVE":{}}`)
			<-h.stands
			fails.Store(true)
			return []*session{save, p.ask(t, `{"SET":{"lost_key":1}}`)}
		})
	})
}
