package netio

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"keyframe/codec/http1"
	"keyframe/netio/access"
)

// upgrade answers a request for a WebSocket: it returns the bytes of the answer and, with
// Options.Users, who the client says that it is, which must be right before the answer is sent.
// Any path is accepted, and no extension is ever negotiated. RFC 6455 section 4.2.
func upgrade(opts *Options, r *http1.Head) (answer []byte, proof *access.Proof, refused *upgradeError) {
	if status, err := checkUpgrade(opts, r); err != nil {
		return nil, nil, refuseUpgrade(status, err)
	}
	if opts.Users != nil {
		var err error
		if proof, err = proofOf(r.Authorization, r.WebSocketProtocols); err != nil {
			return nil, nil, refuseUpgrade(http.StatusBadRequest, err)
		}
	}
	answer = append(answer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	sum := sha1.Sum(append(bytes.Clone(r.WebSocketKey), acceptGUID...))
	answer = append(base64.StdEncoding.AppendEncode(answer, sum[:]), "\r\n"...)
	for asked := range bytes.SplitSeq(r.WebSocketProtocols, []byte(",")) {
		if string(bytes.Trim(asked, " \t")) == subprotocol {
			answer = append(answer, "Sec-WebSocket-Protocol: "+subprotocol+"\r\n"...)
			break
		}
	}
	return append(answer, "\r\n"...), proof, nil
}

// acceptGUID is what RFC 6455 section 1.3 has appended to a key.
const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// subprotocol is the one that a client may ask for. Asked for others only, the server
// upgrades without one, as RFC 6455 section 4.2.2 has it.
const subprotocol = "keyframe"

// checkUpgrade returns why a request for a WebSocket is refused, and with which status.
// PROTOCOL.md section 1 has 426 for a wrong version, 403 for a page, and 400 for the rest.
func checkUpgrade(opts *Options, r *http1.Head) (status int, err error) {
	key, keyErr := base64.StdEncoding.DecodeString(string(r.WebSocketKey))
	switch {
	case r.Chunked || r.Length > 0:
		err = errRequestsBody
	case keyErr != nil || len(key) != 16:
		err = errKey
	case r.Minor == 0:
		err = errOldUpgrade
	case !r.HopUpgrade:
		err = errConnection
	case r.WebSocketVersion == nil:
		err = errNoVersion
	case string(r.WebSocketVersion) != "13":
		return http.StatusUpgradeRequired, errVersion
	default:
		return http.StatusForbidden, opts.checkOrigin(r.Origin, r.Host)
	}
	return http.StatusBadRequest, err
}

var (
	errRequestsBody = errors.New("an upgrade request has no body")
	errKey          = errors.New("Sec-WebSocket-Key is not 16 bytes in base64")
	errOldUpgrade   = errors.New("an upgrade in a request of HTTP/1.0")
	errConnection   = errors.New("the Connection header does not name Upgrade")
	errNoVersion    = errors.New("there is no Sec-WebSocket-Version header")
	errVersion      = errors.New("Sec-WebSocket-Version is not 13")
)

// upgradeError is why an upgrade was refused, and what the client is told.
type upgradeError struct {
	err    error
	answer []byte
}

func (e *upgradeError) Error() string { return e.err.Error() }

func refuseUpgrade(status int, err error) *upgradeError {
	return &upgradeError{err, httpError(status, err.Error())}
}

// bearerProtocol begins the subprotocol that stands for Authorization: Bearer, which a page
// can't send.
const bearerProtocol = "bearer."

var (
	errAuthorization = errors.New("the Authorization header is neither Bearer with a token nor Basic with a name and a password")
	errTwoProofs     = errors.New("more than one says who you are")
)

// proofOf is who the client says that it is, by an Authorization header or by one of the
// subprotocols that it asks for; nil if it says nothing.
func proofOf(authorization, protocols []byte) (proof *access.Proof, err error) {
	if authorization != nil {
		scheme, text, _ := strings.Cut(string(authorization), " ")
		text = strings.TrimLeft(text, " ")
		switch strings.ToLower(scheme) {
		case "bearer":
			proof = &access.Proof{Token: []byte(text)}
		case "basic":
			both, err := base64.StdEncoding.DecodeString(text)
			name, password, ok := bytes.Cut(both, []byte(":"))
			if err != nil || !ok {
				return nil, errAuthorization
			}
			proof = &access.Proof{Name: string(name), Password: password}
		default:
			return nil, errAuthorization
		}
	}
	for asked := range bytes.SplitSeq(protocols, []byte(",")) {
		token, ok := bytes.CutPrefix(bytes.Trim(asked, " \t"), []byte(bearerProtocol))
		switch {
		case !ok:
		case proof != nil:
			return nil, errTwoProofs
		default:
			proof = &access.Proof{Token: bytes.Clone(token)}
		}
	}
	return proof, nil
}

// plainHTTP is the page for a browser, or curl, that has been pointed at the port.
const plainHTTP = `This is Keyframe, a JSON key-value server. This port speaks HTTP, WebSocket, Redis's protocol and JSON Lines.

From this page's console:

  ws = new WebSocket("ws://" + location.host)
  ws.onmessage = e => console.log(e.data)
  ws.onopen = () => ws.send('{"SET":{"user1234_name":"bob"}}')

From a shell:

  curl -X PUT -d '"bob"' http://HOST:PORT/kv/user1234_name
  curl http://HOST:PORT/kv/user1234_name
  printf '{"GET":["user1234_name"]}\n' | nc -N HOST PORT
`

// challenge is what a 401 says of how a client says who it is.
const challenge = "WWW-Authenticate: Bearer realm=\"keyframe\"\r\nWWW-Authenticate: Basic realm=\"keyframe\"\r\n"

// httpError is a whole HTTP response that refuses a request.
func httpError(status int, reason string) []byte {
	extra := ""
	switch status {
	case http.StatusUnauthorized:
		extra = challenge
	case http.StatusUpgradeRequired:
		extra = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
	}
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\n%sContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s\n",
		status, http.StatusText(status), extra, len(reason)+1, reason)
}
