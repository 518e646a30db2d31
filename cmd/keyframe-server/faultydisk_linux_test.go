package main_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// This file is a disk that fails under the real server. A seccomp filter, for which nobody need
// be root, has the kernel ask the test what becomes of each write in place, each sync, and each
// write that is only begun.

// filterEnv has the test binary become the server, behind a filter whose listener it hands to
// the socket that is its descriptor 3.
const filterEnv = "TEST_BEHIND_FILTER"

func init() {
	if os.Getenv(filterEnv) != "" {
		err := becomeServer()
		_, _ = unix.Write(3, []byte(err.Error()))
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// becomeServer returns only if there can be no filter, or no server.
func becomeServer() error {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // the call's number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 6, K: unix.SYS_FSYNC},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 5, K: unix.SYS_PWRITE64},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 4, K: unix.SYS_PWRITEV2},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 3, K: unix.SYS_FDATASYNC},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 2, K: unix.SYS_IO_SETUP},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 1, K: unix.SYS_IO_SUBMIT},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread() // a filter is a thread's, and what that executes inherits it
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	listener, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return errno
	}
	if err := unix.Sendmsg(3, []byte{0}, unix.UnixRights(int(listener)), nil, 0); err != nil {
		return err
	}
	unix.CloseOnExec(3)
	return syscall.Exec(os.Args[1], os.Args[1:], os.Environ())
}

// diskCall is a write or a sync that the server asks for, or what begins a write.
type diskCall struct {
	dir     bool // the sync of a directory
	sync    bool // of a file
	durable bool // a write that ends when it is on disk
	file    string
	bytes   uint64 // 0 with durable
	begin   int32  // SYS_IO_SETUP or SYS_IO_SUBMIT, which are of no file; 0: it is none of them
}

// faultyDisk decides what becomes of the server's calls: 0 has the system do one. It may take
// its time.
type faultyDisk func(c diskCall) syscall.Errno

// What the kernel asks and is told: struct seccomp_notif and seccomp_notif_resp.
type notification struct {
	id         uint64
	pid, flags uint32
	nr         int32
	arch       uint32
	ip         uint64
	args       [6]uint64
}

const letContinue = 1 // SECCOMP_USER_NOTIF_FLAG_CONTINUE

type decision struct {
	id    uint64
	value int64
	error int32
	flags uint32
}

// behindFilter returns a command that becomes the server behind a filter, and what then waits
// for the filter's listener.
func behindFilter(t *testing.T, args ...string) (cmd *exec.Cmd, listener func() (fd int, err error)) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "socket"), os.NewFile(uintptr(pair[1]), "socket")
	t.Cleanup(func() { _, _ = ours.Close(), theirs.Close() })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(self, append([]string{binary}, args...)...)
	cmd.Env = append(os.Environ(), filterEnv+"=1")
	cmd.ExtraFiles = []*os.File{theirs}
	return cmd, func() (int, error) {
		text, rights := make([]byte, 200), make([]byte, unix.CmsgSpace(4))
		n, oob, _, _, err := unix.Recvmsg(pair[0], text, rights, unix.MSG_CMSG_CLOEXEC)
		for err == unix.EINTR {
			n, oob, _, _, err = unix.Recvmsg(pair[0], text, rights, unix.MSG_CMSG_CLOEXEC)
		}
		if err != nil {
			return 0, err
		}
		if oob == 0 {
			return 0, errors.New(string(text[:n]))
		}
		messages, err := unix.ParseSocketControlMessage(rights[:oob])
		if err != nil {
			return 0, err
		}
		fds, err := unix.ParseUnixRights(&messages[0])
		if err != nil {
			return 0, err
		}
		return fds[0], nil
	}
}

// needFilters skips where the kernel has no filters, or none that ask.
func needFilters(t *testing.T) {
	t.Helper()
	cmd, listener := behindFilter(t, "--version")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fd, err := listener()
	_ = cmd.Wait() // it has said what was wrong
	if err != nil {
		t.Skipf("the server's calls can't be filtered here: %v", err)
	}
	_ = unix.Close(fd)
}

// startOnFaulty is startOn, on a disk that may fail.
func startOnFaulty(t *testing.T, disk faultyDisk, dir string, args ...string) *process {
	t.Helper()
	cmd, listener := behindFilter(t, append([]string{"--listen", "127.0.0.1:0", "--data-dir", dir}, args...)...)
	go func() {
		if fd, err := listener(); err == nil { // or the command ends
			disk.serve(fd)
			_ = unix.Close(fd)
		}
	}()
	return startCommand(t, cmd)
}

// serve decides about calls, several at once, until the last process behind the filter has
// ended.
func (d faultyDisk) serve(listener int) {
	for {
		var n notification
		poll := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, -1); err == unix.EINTR {
			continue
		}
		if poll[0].Revents&unix.POLLIN == 0 {
			return
		}
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&n))); errno != 0 {
			continue // a signal has taken the call back
		}
		go func() {
			var c diskCall
			if n.nr == unix.SYS_IO_SETUP || n.nr == unix.SYS_IO_SUBMIT {
				c.begin = n.nr
			} else {
				name, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", n.pid, n.args[0]))
				c = diskCall{dir: n.nr == unix.SYS_FSYNC, sync: n.nr == unix.SYS_FDATASYNC, durable: n.nr == unix.SYS_PWRITEV2, file: filepath.Base(name), bytes: n.args[2]}
				if c.durable {
					c.bytes = 0 // they are in a vector of the process
				}
			}
			is := decision{id: n.id, flags: letContinue}
			if errno := d(c); errno != 0 {
				is.error, is.flags = -int32(errno), 0
			}
			_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&is))) // the process may be gone
		}()
	}
}

// fault is a disk that ends a server: what fails, and under which mode; plain says that it knows
// no writes that end when they are on disk.
type fault struct {
	mode  string
	syncs bool
	plain bool
}

var faults = []fault{{mode: "always"}, {"always", true, true}, {"always", false, true}, {mode: "everysec", syncs: true}, {mode: "everysec"}, {mode: "no"}}

// isGroup reports whether a call writes what was gathered; more than that at once is the next
// segment, which is filled.
func (c diskCall) isGroup() bool {
	return strings.HasPrefix(c.file, "segment-") && !c.sync && c.bytes < 1<<20
}

func (f fault) String() string { return fmt.Sprintf("%s/syncs=%t/plain=%t", f.mode, f.syncs, f.plain) }

// refuses reports whether the disk doesn't know such a call.
func (f fault) refuses(c diskCall) bool { return f.plain && c.durable }

// TestDiskFails: under load, with two loops, all writes or all syncs begin to fail. The server
// exits with status 3, and what the next one finds is what was acknowledged, and perhaps some of
// what was sent since.
func TestDiskFails(t *testing.T) {
	needFilters(t)
	r := rand.New(rand.NewPCG(newSeed(t), 0))
	dir := t.TempDir()
	clients := newModelled(4)
	for _, fault := range faults {
		after := int64(r.IntN(200)) // calls
		if fault.syncs && fault.mode == "everysec" {
			after = int64(r.IntN(2))
		}
		var armed atomic.Bool
		var calls atomic.Int64
		p := startOnFaulty(t, func(c diskCall) syscall.Errno {
			if fault.refuses(c) {
				return unix.EOPNOTSUPP
			}
			if armed.Load() && !c.dir && c.sync == fault.syncs && calls.Add(1) > after {
				return unix.EIO
			}
			return 0
		}, dir, "--values", "any", "--loops", "2", "--fsync", fault.mode)
		for _, c := range clients {
			c.check(t, p.addr)
			c.mayRefuse = true
		}
		armed.Store(true)
		var wg sync.WaitGroup
		for _, c := range clients {
			cr := rand.New(rand.NewPCG(r.Uint64(), 0))
			wg.Go(func() { c.run(t, p.addr, cr) })
		}
		if status := p.wait(t); status != 3 || strings.Count(p.stderr.String(), "the journal has failed: nothing more is acknowledged") != 1 {
			t.Errorf("%s: exit status %d\n%s", fault, status, p.stderr)
		}
		wg.Wait()
		if t.Failed() {
			return
		}
	}
	p := startOn(t, dir, "--values", "any")
	for _, c := range clients {
		c.check(t, p.addr)
		if len(c.state) == 0 {
			t.Errorf("nothing of %s was answered", c.name)
		}
	}
}

// TestFailedDiskAnswersNothing: a write or a sync takes its time, and then fails. What waits for
// it, a write and a read of what it wrote, is never answered; what comes later is refused, if
// anything. /readyz is 503 from then on, and the server exits with status 3; it doesn't wait for a
// snapshot that is under way.
func TestFailedDiskAnswersNothing(t *testing.T) {
	needFilters(t)
	for _, fault := range faults {
		if fault.syncs && fault.mode == "everysec" {
			continue // nobody waits for those
		}
		t.Run(fault.String(), func(t *testing.T) {
			var armed atomic.Bool
			var current atomic.Value // the segment that has the last group
			saving, stalled := make(chan bool, 100), make(chan bool, 100)
			fail, goOn := make(chan bool), make(chan bool)
			defer close(goOn)
			disk := func(c diskCall) syscall.Errno {
				if fault.refuses(c) {
					return unix.EOPNOTSUPP
				}
				isGroup := c.isGroup()
				if isGroup {
					current.Store(c.file)
				}
				switch {
				case strings.Contains(c.file, "snapshot"):
					saving <- true
					<-goOn
				case armed.Load() && (isGroup && !fault.syncs || c.sync && fault.syncs && c.file == current.Load()):
					stalled <- true
					<-fail
					return unix.EIO
				}
				return 0
			}
			dir, admin := t.TempDir(), freePort(t)
			p := startOnFaulty(t, disk, dir, "--loops", "2", "--fsync", fault.mode, "--admin", admin)
			if got := mustAsk(t, p.addr, `{"SET":{"safe_key":1,"other_key":1}}`); got != `{"SET_RSP":{"st":1,"k":"safe_key"}}` {
				t.Fatal(got)
			}
			p.ask(t, `{"SAVE":{}}`)
			<-saving
			armed.Store(true)
			waiting := []*session{p.ask(t, `{"SET":{"safe_key":2}}`)}
			<-stalled
			for _, line := range []string{`{"GET":["safe_key"]}`, `{"SET":{"new_key":1}}`, `{"RMV":["other_key"]}`} {
				waiting = append(waiting, p.ask(t, line))
			}
			const refused = `_RSP":{"st":15,"k":"` // what had not been done when the disk failed
			url := "http://127.0.0.1:" + admin + "/readyz"
			if status, body := get(t, url); status != 200 {
				t.Errorf("while the disk takes its time /readyz is %d, %s", status, body)
			}
			close(fail)
			for i, s := range waiting {
				answer, err := io.ReadAll(s)
				if nothing := len(answer) == 0 || i > 1 && strings.Contains(string(answer), refused); !nothing || errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("connection %d was answered %s, %v", i, answer, err)
				}
			}
			if resp, err := http.Get(url); err == nil { // or it has ended
				if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 503 || len(body) > 0 && !strings.Contains(string(body), "journal: can't") {
					t.Errorf("/readyz is %d, %s", resp.StatusCode, body)
				}
				_ = resp.Body.Close()
			}
			if status := p.wait(t); status != 3 {
				t.Errorf("exit status %d\n%s", status, p.stderr)
			}
			p = startOn(t, dir)
			if got := mustAsk(t, p.addr, `{"GET":["safe_key"]}`); !strings.HasPrefix(got, `{"GET_RSP":{"st":0,"safe_key":`) {
				t.Errorf("the next one has %s", got)
			}
		})
	}
}

// TestSnapshotFails: a snapshot that can't be written is told to who asked for it, and is not
// the server's end.
func TestSnapshotFails(t *testing.T) {
	needFilters(t)
	for _, syncs := range []bool{false, true} {
		var armed atomic.Bool
		armed.Store(true)
		dir := t.TempDir()
		p := startOnFaulty(t, func(c diskCall) syscall.Errno {
			if armed.Load() && c.sync == syncs && strings.Contains(c.file, "snapshot") {
				return unix.EIO
			}
			return 0
		}, dir)
		mustAsk(t, p.addr, `{"SET":{"safe_key":1}}`)
		if got := mustAsk(t, p.addr, `{"SAVE":{}}`); !strings.HasPrefix(got, `{"SAVE_RSP":{"st":15,`) {
			t.Errorf("SAVE on a disk that fails: %s", got)
		}
		armed.Store(false)
		if got := mustAsk(t, p.addr, `{"SAVE":{}}`); !strings.HasPrefix(got, `{"SAVE_RSP":{"st":0,"keys":1,`) {
			t.Errorf("SAVE on a disk that has come back: %s", got)
		}
	}
}

// TestNoBegunWrites: where the system lets no write be begun, or no more of them, a snapshot is
// written as other files are: SAVE works, and what it has made is whole.
func TestNoBegunWrites(t *testing.T) {
	needFilters(t)
	const keys = 3000 // of 1 KB: some writes
	key := func(i int) string { return fmt.Sprintf("large-key-%d", i) }
	value := func(i int) string { return strings.Repeat(fmt.Sprint(i%10), 1000) }
	for _, c := range []struct {
		call  int32
		fault syscall.Errno
		after int64 // calls
	}{
		{unix.SYS_IO_SETUP, unix.ENOSYS, 0}, {unix.SYS_IO_SETUP, unix.EAGAIN, 0},
		{unix.SYS_IO_SUBMIT, unix.ENOSYS, 0}, {unix.SYS_IO_SUBMIT, unix.EAGAIN, 0}, {unix.SYS_IO_SUBMIT, unix.EAGAIN, 1},
	} {
		name := fmt.Sprintf("call %d, %v after %d", c.call, c.fault, c.after)
		var calls, written atomic.Int64
		dir := t.TempDir()
		p := startOnFaulty(t, func(d diskCall) syscall.Errno {
			if strings.HasPrefix(d.file, "snapshot-") && !d.sync {
				written.Add(int64(d.bytes))
			}
			if d.begin == c.call && calls.Add(1) > c.after {
				return c.fault
			}
			return 0
		}, dir, "--values", "any")
		askAll(t, p.addr, keys, func(i int) (line, answer string) {
			return fmt.Sprintf(`{"SET":{%q:%q}}`, key(i), value(i)), fmt.Sprintf(`{"SET_RSP":{"st":1,"k":%q}}`, key(i))
		})
		for range 2 {
			if got := mustAsk(t, p.addr, `{"SAVE":{}}`); !strings.HasPrefix(got, fmt.Sprintf(`{"SAVE_RSP":{"st":0,"keys":%d,`, keys)) {
				t.Errorf("%s: %s", name, got)
			}
		}
		if calls.Load() == 0 {
			t.Skip("nothing tries to begin a write here: no O_DIRECT in this file system")
		}
		if least := int64(2*keys*1000 - c.after<<21); written.Load() < least {
			t.Errorf("%s: %d bytes are written, want %d", name, written.Load(), least)
		}
		p.kill()
		if status, out, stderr := runToEnd(t, "check", dir); status != 0 || strings.Contains(out, "damaged") || !strings.Contains(out, fmt.Sprintf(": %d keys, of ", keys)) {
			t.Errorf("%s: check: %d, %s%s", name, status, out, stderr)
		}
		p = startOn(t, dir, "--values", "any")
		askAll(t, p.addr, keys, func(i int) (line, answer string) {
			return fmt.Sprintf(`{"GET":[%q]}`, key(i)), fmt.Sprintf(`{"GET_RSP":{"st":0,%q:%q}}`, key(i), value(i))
		})
	}
}

// askAll sends n lines, many at a time, and wants their answers.
func askAll(t *testing.T, addr string, n int, exchange func(i int) (line, answer string)) {
	t.Helper()
	s, err := dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for from := 0; from < n; from += 100 {
		var out, want strings.Builder
		for i := from; i < min(from+100, n); i++ {
			line, answer := exchange(i)
			out.WriteString(line + "\n")
			want.WriteString(answer + "\n")
		}
		go func() { _, _ = io.WriteString(s, out.String()) }() // if it fails there is no answer
		got := make([]byte, want.Len())
		if _, err := io.ReadFull(s.in, got); err != nil || string(got) != want.String() {
			t.Fatalf("from %d on: %.200s, %v", from, got, err)
		}
	}
}
