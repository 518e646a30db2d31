// Package iolimit serves canned answers: the event loop and the framings of a Keyframe
// server with one write for each wake-up, nothing decoded and nothing stored. No server on
// this event loop can be faster than it, so every figure of the whole server is given as a
// part of its figure.
//
// It trusts its client: what is not a SET in the sizes it was told gets a wrong
// number of answers. It is for measuring on loopback only.
package iolimit

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/gobwas/ws"
	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/logging"

	"keyframe/netio/frame"
)

// maxCommand bounds a WebSocket message. No client asks for one that is longer.
const maxCommand = 64 << 20

// Options say what the commands look like and how they are served.
type Options struct {
	Addr               string // host:port, or unix:///path
	Loops              int    // event loops
	KeySize, ValueSize int    // of the pairs in a SET; values are strings
	Ready              func() // called when it listens
}

// Serve answers until ctx is done.
func Serve(ctx context.Context, o Options) error {
	s := &server{ready: o.Ready, booted: make(chan gnet.Engine, 1)}
	// "key":"value", and a comma.
	s.pair = o.KeySize + o.ValueSize + len(`"":"",`)
	answer := []byte(`{"SET_RSP":{"st":1,"k":"`)
	answer = append(answer, bytes.Repeat([]byte{'0'}, o.KeySize)...)
	answer = append(answer, `"}}`...)
	s.line = append(bytes.Clone(answer), '\n')
	s.frame = append(frame.AppendHeader(nil, frame.Text, len(answer)), answer...)

	addr := o.Addr
	if !strings.Contains(addr, "://") {
		addr = "tcp://" + addr
	}
	done := make(chan error, 1)
	go func() {
		done <- gnet.Run(s, addr, gnet.WithNumEventLoop(max(o.Loops, 1)), gnet.WithLogLevel(logging.ErrorLevel))
	}()
	select {
	case err := <-done:
		return fmt.Errorf("%s: %w", o.Addr, err)
	case engine := <-s.booted:
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
			return engine.Stop(context.Background())
		}
	}
}

type server struct {
	gnet.BuiltinEventEngine
	pair        int
	line, frame []byte
	ready       func()
	booted      chan gnet.Engine
}

// conn is the context of a connection.
type conn struct {
	ws  bool
	out []byte
}

func (s *server) OnBoot(engine gnet.Engine) gnet.Action {
	s.booted <- engine
	if s.ready != nil {
		s.ready()
	}
	return gnet.None
}

func (s *server) OnOpen(c gnet.Conn) ([]byte, gnet.Action) {
	c.SetContext(&conn{})
	return nil, gnet.None
}

// OnTraffic answers each line, or frame, with one answer for each pair that fits
// into its length.
func (s *server) OnTraffic(gc gnet.Conn) gnet.Action {
	c := gc.Context().(*conn)
	in, _ := gc.Peek(-1)
	used := 0
	c.out = c.out[:0]
	if !c.ws && bytes.HasPrefix(in, []byte("GET ")) {
		if !bytes.Contains(in, []byte("\r\n\r\n")) {
			return gnet.None
		}
		c.ws = true
		upgrader := ws.Upgrader{}
		if _, err := upgrader.Upgrade(handshake{bytes.NewReader(in), &c.out}); err != nil {
			return gnet.Close
		}
		used = len(in)
	}
	for used < len(in) {
		size, length, err := s.next(in[used:], c.ws)
		if err != nil {
			return gnet.Close
		}
		if size == 0 {
			break
		}
		answer := s.line
		if c.ws {
			answer = s.frame
		}
		for range max((length-len(`{"SET":{}}`)+1)/s.pair, 1) {
			c.out = append(c.out, answer...)
		}
		used += size
	}
	if used > 0 { // gnet takes 0 for everything
		_, _ = gc.Write(c.out)
		_, _ = gc.Discard(used)
	}
	return gnet.None
}

// next returns the size of the first command with its framing, 0 when it is not whole, and
// its length without. An error means that no client sends this.
func (s *server) next(in []byte, websocket bool) (size, length int, err error) {
	if !websocket {
		end := bytes.IndexByte(in, '\n')
		return end + 1, end, nil
	}
	h, err := frame.ParseFromClient(in, maxCommand)
	if err == frame.ErrIncomplete || err == nil && len(in) < h.Size+h.Length {
		return 0, 0, nil
	}
	return h.Size + h.Length, h.Length, err
}

// handshake is a request that has been read and a buffer for its answer.
type handshake struct {
	*bytes.Reader
	out *[]byte
}

func (h handshake) Write(p []byte) (int, error) {
	*h.out = append(*h.out, p...)
	return len(p), nil
}
