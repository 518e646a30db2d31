package netio

import (
	"errors"
	"flag"
	"io"
	"net"
	"testing"

	"keyframe/codec"
)

// An echo server over the framing code of this package, for a conformance suite
// that is not ours. It is not shipped. To point the Autobahn test suite at it:
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
	r := wsReader{maxMessage: 32 << 20}
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
			answer, size, err := upgrade(in)
			if errors.Is(err, errIncomplete) {
				continue
			}
			_, _ = nc.Write(answer)
			if err != nil {
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

// echo answers the whole messages in b. An error: the connection has ended, with
// what is in out.
func echo(r *wsReader, b []byte) (out, rest []byte, err error) {
	for {
		m, size, err := r.next(b)
		if errors.Is(err, errIncomplete) {
			return out, b, nil
		}
		if err == nil {
			b = b[size:]
			switch m.opcode {
			case opText:
				if !codec.ValidUTF8(m.payload) {
					err = &closeError{code: closeInvalidText, reason: "not UTF-8"}
					break
				}
				out = append(appendHeader(out, opText, len(m.payload)), m.payload...)
			case opBinary:
				out = append(appendHeader(out, opBinary, len(m.payload)), m.payload...)
			case opPing:
				out = appendControl(out, opPong, m.payload)
			case opClose:
				err = closeReply(m.payload)
			}
		}
		var why *closeError
		if errors.As(err, &why) {
			if why.code == closeNoCode {
				return appendControl(out, opClose, nil), nil, err
			}
			return appendClose(out, why.code, why.reason), nil, err
		}
	}
}
