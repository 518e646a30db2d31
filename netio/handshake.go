package netio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/gobwas/ws"

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
// extension or subprotocol is ever negotiated.
func upgrade(b []byte) (answer []byte, size int, err error) {
	end := bytes.Index(b[:min(len(b), maxRequestBytes)], []byte("\r\n\r\n"))
	if end < 0 {
		if len(b) >= maxRequestBytes {
			err = fmt.Errorf("the upgrade request is longer than %d bytes", maxRequestBytes)
			return httpError(http.StatusBadRequest, err.Error()), len(b), err
		}
		return nil, 0, frame.ErrIncomplete
	}
	size = end + len("\r\n\r\n")
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
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\n%sContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s\n",
		status, http.StatusText(status), extra, len(reason)+1, reason)
}
