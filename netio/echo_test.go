package netio

import (
	"errors"
	"flag"
	"io"
	"net"
	"testing"

	"keyframe/codec"
	"keyframe/codec/http1"
	"keyframe/netio/frame"
)

// An echo server over package frame, for an external conformance suite. It is not shipped.
// To point the Autobahn test suite at it:
//
//	go test ./netio -run TestEchoServer -echo 127.0.0.1:9001 -timeout 0
//	wstest -m fuzzingclient -s fuzzingclient.json   # "url": "ws://127.0.0.1:9001"
//
// permessage-deflate cases (12.*, 13.*) are not negotiated and so not run.
var echoAddr = flag.String("echo", "", "serve WebSocket echo at this address until killed")

func TestEchoServer(t *testing.T) {
	if *echoAddr == "" {
		t.Skip("serves only with -echo address; see the comment")
	}
	ln, err := net.Listen("tcp", *echoAddr)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("echoing at %s", ln.Addr())
	for {
		nc, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		go serveEcho(nc)
	}
}

// serveEcho sends every message of one connection back.
func serveEcho(nc net.Conn) {
	defer nc.Close() // an echo keeps nothing
	r := frame.Reader{MaxMessage: 32 << 20}
	var in []byte
	upgraded := false
	buf := make([]byte, 64<<10)
	for {
		n, err := nc.Read(buf)
		in = append(in, buf[:n]...)
		if err != nil {
			return
		}
		var out []byte
		if !upgraded {
			size, _, err := http1.HeadEnd(in, 0)
			if errors.Is(err, http1.ErrIncomplete) {
				continue
			}
			if err != nil {
				return
			}
			answer, ok := upgradeAnswer(in[:size])
			if _, _ = nc.Write(answer); !ok {
				return
			}
			upgraded, in = true, in[size:]
		}
		out, in, err = echo(&r, in)
		if _, werr := nc.Write(out); werr != nil {
			return
		}
		if err != nil {
			// The client closes the connection when it has read the close
			// frame; closing first with input unread would reset it.
			if half, ok := nc.(*net.TCPConn); ok {
				_ = half.CloseWrite()
			}
			_, _ = io.Copy(io.Discard, nc)
			return
		}
	}
}

// echo answers the whole messages in b. An error means that the connection has ended, with
// what is in out.
func echo(r *frame.Reader, b []byte) (out, rest []byte, err error) {
	for {
		m, size, err := r.Next(b)
		if errors.Is(err, frame.ErrIncomplete) {
			return out, b, nil
		}
		if err == nil {
			b = b[size:]
			switch m.Opcode {
			case frame.Text:
				if !codec.ValidUTF8(m.Payload) {
					err = &frame.CloseError{Code: frame.CloseInvalidText, Reason: "not UTF-8"}
					break
				}
				out = append(frame.AppendHeader(out, frame.Text, len(m.Payload)), m.Payload...)
			case frame.Binary:
				out = append(frame.AppendHeader(out, frame.Binary, len(m.Payload)), m.Payload...)
			case frame.Ping:
				out = frame.AppendControl(out, frame.Pong, m.Payload)
			case frame.Close:
				err = frame.CloseReply(m.Payload)
			}
		}
		var why *frame.CloseError
		if errors.As(err, &why) {
			if why.Code == frame.CloseNoCode {
				return frame.AppendControl(out, frame.Close, nil), nil, err
			}
			return frame.AppendClose(out, why.Code, why.Reason), nil, err
		}
	}
}
