package netio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/gobwas/ws"

	"keyframe/codec"
	"keyframe/netio/frame"
)

// maxRequestBytes bounds an upgrade request, request line and headers. Browsers
// with large cookies stay below it.
const maxRequestBytes = 16 << 10

// upgrade answers the WebSocket upgrade request at the start of b: it returns
// the bytes of the answer and how many bytes the request took up.
// frame.ErrIncomplete: the request has not ended. Any other error: the request was
// refused; the answer says why, and the connection is to be closed.
//
// gobwas/ws reads the request and computes the answer: any path is accepted, no
// extension is ever negotiated.
func upgrade(b []byte) (answer []byte, size int, err error) {
	end := bytes.Index(b[:min(len(b), maxRequestBytes)], []byte("\r\n\r\n"))
	if end < 0 {
		if len(b) >= maxRequestBytes {
			err = fmt.Errorf("the upgrade request is longer than %d KiB", maxRequestBytes>>10)
			return httpError(http.StatusBadRequest, err.Error()), len(b), err
		}
		return nil, 0, frame.ErrIncomplete
	}
	size = end + len("\r\n\r\n")
	if isPlainHTTP(b[:end]) {
		return httpError(http.StatusUpgradeRequired, plainHTTP), size, errPlainHTTP
	}
	var out bytes.Buffer
	if _, err = (ws.Upgrader{}).Upgrade(readWriter{bytes.NewReader(b[:size]), &out}); err != nil {
		// The library has its own answers, some with other numbers. PROTOCOL.md
		// section 1 has 426 for a wrong version and 400 for the rest.
		status := http.StatusBadRequest
		var rejected *ws.ConnectionRejectedError
		if errors.As(err, &rejected) && rejected.StatusCode() == http.StatusUpgradeRequired {
			status = http.StatusUpgradeRequired
		}
		return httpError(status, err.Error()), size, err
	}
	return out.Bytes(), size, nil
}

var errPlainHTTP = errors.New("a plain HTTP request, without an Upgrade header")

// plainHTTP is the page for a browser, or curl, that has been pointed at the port.
const plainHTTP = `This is Keyframe, a JSON key-value server. This port speaks WebSocket and JSON Lines, not plain HTTP.

From this page's console:

  ws = new WebSocket("ws://" + location.host)
  ws.onmessage = e => console.log(e.data)
  ws.onopen = () => ws.send('{"SET":{"user1234_name":"bob"}}')

From a shell:

  printf '{"GET":["user1234_name"]}\n' | nc -N HOST PORT`

// isPlainHTTP reports whether a request is one of HTTP that does not ask for an upgrade.
func isPlainHTTP(request []byte) bool {
	first, headers, _ := bytes.Cut(request, []byte("\r\n"))
	if !bytes.Contains(first, []byte(" HTTP/1.")) {
		return false
	}
	for line := range bytes.SplitSeq(headers, []byte("\r\n")) {
		if name, _, ok := bytes.Cut(line, []byte(":")); ok && bytes.EqualFold(bytes.TrimSpace(name), []byte("Upgrade")) {
			return false
		}
	}
	return true
}

// handshake is the framing of a connection that begins as HTTP: one request, which makes
// it a WebSocket or is refused.
type handshake struct {
	noMessages
	opts *Options
}

// upgradeError is why an upgrade was refused, and what the client is told.
type upgradeError struct {
	err    error
	answer []byte
}

func (e *upgradeError) Error() string { return e.err.Error() }

// next leaves everything to take.
func (f *handshake) next([]byte, int) (_ []byte, _ int, kind unitKind, err error) {
	return nil, 0, unitOther, nil
}

func (f *handshake) take(src []byte, at int) (u unit, err error) {
	answer, size, err := upgrade(src[at:])
	switch {
	case err == frame.ErrIncomplete:
		return u, err
	case err != nil:
		return u, &upgradeError{err, answer}
	}
	return unit{size, answer, newWSFraming(f.opts)}, nil
}

func (f *handshake) done(int)       {}
func (f *handshake) notUTF8() error { return nil }

// There are no commands, and so no answers.
func (f *handshake) appendStatus(dst []byte, _ codec.Opcode, _ *codec.Arg, _ codec.Status) []byte {
	return dst
}
func (f *handshake) appendValue(dst []byte, _ codec.Opcode, _ *codec.Arg, _ []byte) []byte {
	return dst
}
func (f *handshake) appendText(dst, _ []byte) []byte { return dst }

func (f *handshake) appendEnd(dst []byte, why error) []byte {
	if refused, ok := why.(*upgradeError); ok {
		dst = append(dst, refused.answer...)
	}
	return dst
}

func (f *handshake) appendPing(dst []byte) ([]byte, bool) { return dst, false }

func (f *handshake) settled() bool { return false }

type readWriter struct {
	io.Reader
	io.Writer
}

// httpError is a whole HTTP response that refuses a request.
func httpError(status int, reason string) []byte {
	extra := ""
	if status == http.StatusUpgradeRequired {
		extra = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
	}
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\n%sContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s\n",
		status, http.StatusText(status), extra, len(reason)+1, reason)
}
