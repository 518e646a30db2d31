package netio

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"keyframe/engine"
	"keyframe/netio/frame"
)

// patience is how long a test waits for an event until it gives up; no test takes that long.
const patience = time.Minute

// harness drives one connection's turns without gnet: the test feeds the bytes,
// cut as it likes, and reads what the server wrote from a socket pair.
type harness struct {
	t      testing.TB
	srv    *Server
	store  *engine.Engine
	loop   *loop
	conn   *conn
	events chan func()
	socket int // the server's end; gnet would own it
	client *os.File
	output chan []byte // all that the client read, at the end
}

func quietLogger() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func newHarness(t testing.TB, opts Options) *harness {
	t.Helper()
	store, err := engine.New(engine.Options{Shards: 4, Merge: Merge, Readable: Readable})
	if err != nil {
		t.Fatal(err)
	}
	if opts.Logger == nil {
		opts.Logger = quietLogger()
	}
	srv, err := New(store, opts)
	if err != nil {
		t.Fatal(err)
	}
	// Where a turn ends must not depend on how busy the machine is.
	srv.shares.turnTime, srv.shares.readyTime = time.Hour, time.Hour
	h := &harness{t: t, srv: srv, store: store, events: make(chan func(), 1000), output: make(chan []byte, 1)}
	h.loop = srv.newLoop(nil)
	srv.byLoop[nil] = h.loop
	srv.inOrder = append(srv.inOrder, h.loop)
	h.conn, h.client = h.newConn()
	h.socket = int(h.conn.out.sock.(descriptor))
	return h
}

// newConn adds a connection to the loop; the test owns its two ends.
func (h *harness) newConn() (c *conn, client *os.File) {
	h.t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, fd := range fds { // macOS has no flags for this
		unix.CloseOnExec(fd)
		if err := unix.SetNonblock(fd, true); err != nil {
			h.t.Fatal(err)
		}
	}
	c = &conn{}
	h.loop.open(c, nil, descriptor(fds[0]))
	c.out.report = func(e outboxEvent) { h.events <- func() { h.loop.onOutbox(c, e) } }
	h.srv.counters.conns.Add(1)
	return c, os.NewFile(uintptr(fds[1]), "client")
}

// startReading lets the client read everything, to the end of the connection.
func (h *harness) startReading() {
	go func() {
		got, _ := io.ReadAll(h.client)
		h.output <- got
	}()
}

// startDiscarding lets the client read everything and keep nothing.
func (h *harness) startDiscarding() {
	go func() {
		_, _ = io.Copy(io.Discard, h.client)
		h.output <- nil
	}()
}

// feed gives the server one piece, as a read of the event loop would: the bytes
// are overwritten when the turn is over.
func (h *harness) feed(piece []byte) {
	lent := bytes.Clone(piece)
	h.loop.serve(h.conn, lent)
	for i := range lent {
		lent[i] = 0xCC
	}
	h.runReady()
}

// runReady does what the rerunner does.
func (h *harness) runReady() {
	for round := 0; len(h.loop.ready) > 0; round++ {
		if round == 1_000_000 {
			h.t.Fatal("a connection gets turn after turn")
		}
		select {
		case <-h.loop.rerun:
		default:
		}
		h.loop.runReady()
	}
}

// runEvents does what the writer's reports ask of the loop. With wait it waits for one.
func (h *harness) runEvents(wait bool) {
	h.t.Helper()
	for {
		select {
		case f := <-h.events:
			f()
			h.runReady()
			wait = false
		default:
			if !wait {
				return
			}
			select {
			case f := <-h.events:
				h.events <- f
			case <-time.After(patience):
				h.t.Fatal("the writer reports nothing")
			}
		}
	}
}

// finish ends the connection as a client does that shuts its side down, and
// returns all that the server sent.
func (h *harness) finish() []byte {
	h.shutSide()
	return h.awaitEnd()
}

// shutSide is what the loop sees when the client shuts its sending side down.
func (h *harness) shutSide() {
	h.loop.onClose(h.conn, io.EOF)
	_ = unix.Close(h.socket)
	h.runReady()
}

// awaitEnd waits for the connection's end and returns all that the server sent.
func (h *harness) awaitEnd() []byte {
	for h.conn.phase != phaseClosed {
		select {
		case f := <-h.events:
			f()
			h.runReady()
		case <-time.After(patience):
			h.t.Fatal("the connection does not end")
		}
	}
	var got []byte
	select {
	case got = <-h.output:
	case <-time.After(patience):
		h.t.Fatal("the client isn't shown the end")
	}
	close(h.srv.stopped)
	h.srv.background.Wait()
	_ = h.client.Close()
	_ = h.store.Close()
	return got
}

// roundTrip feeds a whole stream in pieces and returns what came back.
func roundTrip(t testing.TB, opts Options, pieces ...[]byte) []byte {
	t.Helper()
	h := newHarness(t, opts)
	h.startReading()
	for _, p := range pieces {
		h.feed(p)
	}
	return h.finish()
}

// serverMessages takes what a server sent apart: the payloads of the frames, with
// "close N" for a close frame. An upgrade's answer is skipped.
func serverMessages(t testing.TB, b []byte) (out []string) {
	t.Helper()
	if bytes.HasPrefix(b, []byte("HTTP/1.1 101")) {
		_, b, _ = bytes.Cut(b, []byte("\r\n\r\n"))
	}
	for len(b) > 0 {
		h, err := frame.ParseFromServer(b, len(b))
		if err != nil || !h.Fin {
			t.Fatalf("the server sent a frame that begins with %#x: %v", b[0], err)
		}
		end := h.Size + h.Length
		payload := b[h.Size:end]
		switch h.Opcode {
		case frame.Text:
			if !json.Valid(payload) {
				t.Fatalf("the server sent a message that is not JSON: %q", payload)
			}
			out = append(out, string(payload))
		case frame.Pong:
			out = append(out, "pong "+string(payload))
		case frame.Ping:
			out = append(out, "ping")
		case frame.Close:
			if h.Length == 0 {
				out = append(out, "close")
				break
			}
			out = append(out, "close "+closeText(payload))
		default:
			t.Fatalf("the server sent a frame that begins with %#x", b[0])
		}
		b = b[end:]
	}
	return out
}

func closeText(payload []byte) string {
	code, reason := frame.ParseClose(payload)
	return fmt.Sprintf("%d: %s", code, reason)
}

var testKey = [4]byte{0xA1, 0x02, 0xF3, 0x44}

// clientFrame builds a masked frame.
func clientFrame(fin bool, opcode frame.Opcode, payload []byte, key [4]byte) []byte {
	out := frame.AppendMaskedHeader(nil, opcode, len(payload), key)
	if !fin {
		out[0] &= 0x0F
	}
	head := len(out)
	out = append(out, payload...)
	frame.Mask(out[head:], key)
	return out
}

func textFrame(s string) []byte { return clientFrame(true, frame.Text, []byte(s), testKey) }
