package netio

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"keyframe/codec"
	"keyframe/engine"
	"keyframe/netio/frame"
)

// A new framing is one file and one row. This file is one: the framing, its row, and a
// test that a server serves it beside the others.

// sizedRow chooses sizedFraming: a size below 16 MiB begins with a zero byte, which
// neither a JSON text nor an HTTP request does.
var sizedRow = framingRow{
	name:   "Sized",
	match:  func(first []byte) match { return map[bool]match{true: matches}[first[0] == 0] },
	make:   func(opts *Options) framing { return &sizedFraming{maxBytes: opts.MaxFrameBytes} },
	asked:  func(b []byte) bool { return len(b) >= sizeBytes },
	refuse: func(_ codec.Status, reason string) []byte { return appendSized(nil, []byte(reason)) },
}

// sizedFraming has commands and answers after their size, in four bytes. A size of 0 from
// the client ends the connection, and the server says why it closes in a last unit.
type sizedFraming struct {
	noMessages
	maxBytes int
}

const sizeBytes = 4

var (
	goodbye    = appendSized(nil, nil)
	errGoodbye = errors.New("goodbye")
)

func appendSized(dst, payload []byte) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(payload))), payload...)
}

func (f *sizedFraming) next(src []byte, at int) ([]byte, int, unitKind, error) {
	b := src[at:]
	if len(b) < sizeBytes {
		return nil, 0, 0, frame.ErrIncomplete
	}
	size := sizeBytes + int(binary.BigEndian.Uint32(b))
	switch {
	case size == sizeBytes:
		return nil, 0, unitOther, nil
	case size-sizeBytes > f.maxBytes:
		return nil, 0, 0, &frame.CloseError{Code: frame.CloseTooBig, Reason: "too long"}
	case len(b) < size:
		return nil, 0, 0, frame.ErrIncomplete
	}
	return b[sizeBytes:size], size, unitCommand, nil
}

func (f *sizedFraming) take([]byte, int) (u unit, err error) { return u, errGoodbye }
func (f *sizedFraming) done(int)                             {}
func (f *sizedFraming) notUTF8() error                       { return nil }

func (f *sizedFraming) appendStatus(dst []byte, op codec.Opcode, arg *codec.Arg, st codec.Status) []byte {
	return appendSized(dst, codec.AppendResponse(nil, op, arg, st))
}

func (f *sizedFraming) appendValue(dst []byte, op codec.Opcode, arg *codec.Arg, value []byte) []byte {
	return appendSized(dst, codec.AppendValue(nil, op, arg, value))
}

func (f *sizedFraming) appendText(dst, text []byte) []byte { return appendSized(dst, text) }

func (f *sizedFraming) appendEnd(dst []byte, why error) []byte {
	return appendSized(dst, []byte(why.Error()))
}

func (f *sizedFraming) appendPing(dst []byte) ([]byte, bool) { return dst, false }
func (f *sizedFraming) settled() bool                        { return true }

// sizedSession is the session's commands, each after its size.
func sizedSession() (b []byte) {
	for _, s := range session {
		b = appendSized(b, []byte(s.command))
	}
	return b
}

// sizedUnits takes apart what a server sent, to the last byte.
func sizedUnits(t *testing.T, b []byte) (units []string) {
	t.Helper()
	for len(b) > 0 {
		if len(b) < sizeBytes || len(b)-sizeBytes < int(binary.BigEndian.Uint32(b)) {
			t.Fatalf("the server sent a part of a unit: %q", b)
		}
		end := sizeBytes + int(binary.BigEndian.Uint32(b))
		units = append(units, string(b[sizeBytes:end]))
		b = b[end:]
	}
	return units
}

// addSizedRow puts the row before the others until the test ends.
func addSizedRow(t *testing.T) {
	before := framings
	t.Cleanup(func() { framings = before })
	framings = slices.Concat([]framingRow{sizedRow}, before)
}

// dialler starts a server on a free port, which stops at the end of the test, and returns a
// function that connects to it.
func dialler(t *testing.T, opts Options) func() *net.TCPConn {
	t.Helper()
	store, err := engine.New(engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	opts.Listen, opts.Loops, opts.Logger = []string{"127.0.0.1:0"}, 1, quietLogger()
	srv, err := New(store, opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return func() *net.TCPConn {
		c, err := net.Dial("tcp", srv.Addrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(patience))
		return c.(*net.TCPConn)
	}
}

func write(t *testing.T, c net.Conn, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}

// readAll returns what comes until the server has closed.
func readAll(t *testing.T, c net.Conn) []byte {
	t.Helper()
	got, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("after %q: %v", got, err)
	}
	return got
}

func wantUnits(t *testing.T, got []byte, want ...string) {
	t.Helper()
	if units := sizedUnits(t, got); !slices.Equal(units, want) {
		t.Fatalf("got  %q\nwant %q", units, want)
	}
}

// TestANewFramingIsARow: with a row of its own a framing is served through sockets beside
// the others: its commands, its answers and each way in which a connection ends.
func TestANewFramingIsARow(t *testing.T) {
	addSizedRow(t)
	if got, want := Framings(), []string{"Sized", "HTTP and WebSocket", "RESP", "JSON Lines"}; !slices.Equal(got, want) {
		t.Errorf("the framings are %q, want %q", got, want)
	}
	dial := dialler(t, Options{MaxFrameBytes: 4096})
	t.Run("a session", func(t *testing.T) {
		c := dial()
		write(t, c, append(sizedSession(), goodbye...))
		wantUnits(t, readAll(t, c), append(sessionWant(), "goodbye")...)
	})
	t.Run("a unit that is too long", func(t *testing.T) {
		c := dial()
		write(t, c, appendSized(appendSized(nil, []byte(`{"COUNT":{}}`)), make([]byte, 4097)))
		wantUnits(t, readAll(t, c), `{"COUNT_RSP":{"st":0,"cnt":0}}`, "close 1009: too long")
	})
	t.Run("lines beside it", func(t *testing.T) {
		c := dial()
		write(t, c, lineSession())
		_ = c.CloseWrite()
		checkLines(t, readAll(t, c))
	})
	t.Run("a WebSocket beside it", func(t *testing.T) {
		c := dial()
		write(t, c, webSocketSession(false))
		_ = c.CloseWrite()
		if got, want := fmt.Sprint(serverMessages(t, readAll(t, c))), fmt.Sprint(sessionWant()); got != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	})
}

// TestANewFramingIsRefusedInItsWords: a connection too many is told so in the framing
// that its first bytes choose.
func TestANewFramingIsRefusedInItsWords(t *testing.T) {
	addSizedRow(t)
	dial := dialler(t, Options{MaxConns: 1})
	command := appendSized(nil, []byte(`{"COUNT":{}}`))
	first := dial()
	write(t, first, command)
	answer := make([]byte, sizeBytes+len(`{"COUNT_RSP":{"st":0,"cnt":0}}`))
	if _, err := io.ReadFull(first, answer); err != nil {
		t.Fatal(err)
	}
	second := dial()
	write(t, second, command)
	_ = second.CloseWrite()
	wantUnits(t, readAll(t, second), tooManyConns)
}

// TestANewFramingInPieces: it is chosen, and its units are found, wherever the stream is
// cut.
func TestANewFramingInPieces(t *testing.T) {
	addSizedRow(t)
	stream := append(sizedSession(), goodbye...)
	want := append(sessionWant(), "goodbye")
	for cut := range len(stream) + 1 {
		wantUnits(t, roundTrip(t, Options{}, stream[:cut], stream[cut:]), want...)
	}
}
