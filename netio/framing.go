package netio

import (
	"errors"
	"fmt"
)

// framing is how commands and responses are cut out of a connection's bytes.
// The first bytes of the connection choose it.
type framing uint8

const (
	framingUnknown   framing = iota // not enough bytes yet
	framingLines                    // JSON Lines
	framingHandshake                // an HTTP request that will become a WebSocket
	framingWebSocket                // RFC 6455
)

// errIncomplete means: a valid beginning, wait for more bytes.
var errIncomplete = errors.New("netio: incomplete frame")

// httpMethod is how a WebSocket's upgrade request begins. No JSON text begins
// with a G, so four bytes tell the two apart.
const httpMethod = "GET "

// chooseFraming tells the framing by the first bytes of a connection, or
// framingUnknown when they could still become either.
func chooseFraming(first []byte) framing {
	n := min(len(first), len(httpMethod))
	switch {
	case string(first[:n]) != httpMethod[:n]:
		return framingLines
	case n == len(httpMethod):
		return framingHandshake
	default:
		return framingUnknown
	}
}

// A closeError ends a connection: code is the WebSocket close code, reason is
// for the client's log.
type closeError struct {
	code   int
	reason string
	echo   bool // the client has closed, with this code: nothing is wrong here
}

func (e *closeError) Error() string { return fmt.Sprintf("close %d: %s", e.code, e.reason) }

// Close codes of RFC 6455 section 7.4.1 that the server sends.
const (
	closeNoCode        = 0 // a close frame without a code
	closeGoingAway     = 1001
	closeProtocolError = 1002
	closeUnsupported   = 1003
	closeInvalidText   = 1007
	closePolicy        = 1008
	closeTooBig        = 1009
)
