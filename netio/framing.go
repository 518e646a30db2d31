package netio

// framing is how commands and responses are cut out of a connection's bytes.
// The first bytes of the connection choose it.
type framing uint8

const (
	framingUnknown   framing = iota // not enough bytes yet
	framingLines                    // JSON Lines
	framingHandshake                // an HTTP request that will become a WebSocket
	framingWebSocket                // RFC 6455
)

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
