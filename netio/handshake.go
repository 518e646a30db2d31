package netio

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"

	"github.com/gobwas/ws"

	"keyframe/codec"
	"keyframe/netio/access"
	"keyframe/netio/frame"
)

// maxRequestBytes bounds an upgrade request, request line and headers. Browsers
// with large cookies stay below it.
const maxRequestBytes = 16 << 10

// upgrade answers the WebSocket upgrade request at the start of b: it returns
// the bytes of the answer, how many bytes the request took up and, with Options.Users, who the
// client says that it is, which must be right before the answer is sent.
// frame.ErrIncomplete: the request has not ended. Any other error: the request was
// refused; the answer says why, and the connection is to be closed.
//
// gobwas/ws reads the request and computes the answer: any path is accepted, no
// extension is ever negotiated. checkRequest has seen to what the library is lenient about.
func upgrade(opts *Options, b []byte) (answer []byte, size int, proof *access.Proof, err error) {
	head := b[:min(len(b), maxRequestBytes)]
	end := bytes.Index(head, []byte("\r\n\r\n"))
	if end >= 0 {
		head = b[:end]
	}
	// A client that ends its lines with a bare LF would wait for an answer in vain. It comes
	// before all other faults: the rest of the request may not have come.
	if hasBareLF(head) {
		return httpError(http.StatusBadRequest, errBareLF.Error()), len(b), nil, errBareLF
	}
	if end < 0 {
		if len(b) >= maxRequestBytes {
			err = fmt.Errorf("the upgrade request is longer than %d KiB", maxRequestBytes>>10)
			return httpError(http.StatusBadRequest, err.Error()), len(b), nil, err
		}
		return nil, 0, nil, frame.ErrIncomplete
	}
	size = end + len("\r\n\r\n")
	if !bytes.HasPrefix(b, []byte("GET ")) {
		return httpError(http.StatusMethodNotAllowed, plainHTTP), size, nil, errMethod
	}
	req, err := checkRequest(b[:end])
	if err != nil {
		return httpError(http.StatusBadRequest, err.Error()), size, nil, err
	}
	if !req.asksUpgrade {
		return httpError(http.StatusUpgradeRequired, plainHTTP), size, nil, errPlainHTTP
	}
	if err := opts.checkOrigin(req.origin, req.host); err != nil {
		return httpError(http.StatusForbidden, err.Error()), size, nil, err
	}
	if opts.Users != nil {
		if proof, err = req.proof(); err != nil {
			return httpError(http.StatusBadRequest, err.Error()), size, nil, err
		}
	}
	var out bytes.Buffer
	if _, err = upgrader.Upgrade(readWriter{bytes.NewReader(joinConnection(b[:size])), &out}); err != nil {
		// The library has its own answers, some with other numbers. PROTOCOL.md
		// section 1 has 426 for a wrong version and 400 for the rest.
		status := http.StatusBadRequest
		var rejected *ws.ConnectionRejectedError
		if errors.As(err, &rejected) && rejected.StatusCode() == http.StatusUpgradeRequired {
			status = http.StatusUpgradeRequired
		}
		return httpError(status, err.Error()), size, nil, err
	}
	return out.Bytes(), size, proof, nil
}

// hasBareLF reports whether there is an LF without a CR before it.
func hasBareLF(b []byte) bool {
	for at := 0; ; at++ {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			return false
		}
		if at += i; at == 0 || b[at-1] != '\r' {
			return true
		}
	}
}

// subprotocol is the one that a client may ask for. Asked for others only, the server
// upgrades without one, as RFC 6455 section 4.2.2 has it.
const subprotocol = "keyframe"

var upgrader = ws.Upgrader{Protocol: func(asked []byte) bool { return string(asked) == subprotocol }}

var (
	errPlainHTTP = errors.New("a plain HTTP request, without an Upgrade header")
	errMethod    = errors.New("an HTTP request with another method than GET")
)

// plainHTTP is the page for a browser, or curl, that has been pointed at the port.
const plainHTTP = `This is Keyframe, a JSON key-value server. This port speaks WebSocket and JSON Lines, not plain HTTP.

From this page's console:

  ws = new WebSocket("ws://" + location.host)
  ws.onmessage = e => console.log(e.data)
  ws.onopen = () => ws.send('{"SET":{"user1234_name":"bob"}}')

From a shell:

  printf '{"GET":["user1234_name"]}\n' | nc -N HOST PORT`

// once are the headers that decide what a request means and have one value: of two, a proxy
// on the way may have gone by the other. RFC 6455 section 4.1, RFC 9110 section 5.3.
var once = [...]string{"Host", "Upgrade", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Content-Length", "Origin", "Authorization"}

var (
	errBareLF       = errors.New("a line ends without a CR")
	errRequestLine  = errors.New("the first line is not a method, a target and an HTTP version with one space between them")
	errControl      = errors.New("a control character in the request")
	errFolded       = errors.New("a header that goes on in another line")
	errHeaderName   = errors.New("a header without a name, or with white space or another character in it that no name has")
	errKey          = errors.New("Sec-WebSocket-Key is not 16 bytes in base64")
	errRequestsBody = errors.New("an upgrade request has no body")
)

// request is what matters of one.
type request struct {
	asksUpgrade   bool
	host, origin  []byte
	authorization []byte
	subprotocols  []byte // all that are asked for, each after a comma
}

// bearerProtocol begins the subprotocol that stands for Authorization: Bearer, which a page
// can't send.
const bearerProtocol = "bearer."

var (
	errAuthorization = errors.New("the Authorization header is neither Bearer with a token nor Basic with a name and a password")
	errTwoProofs     = errors.New("more than one says who you are")
)

// proof is who the client says that it is, nil if it says nothing.
func (r *request) proof() (proof *access.Proof, err error) {
	if r.authorization != nil {
		scheme, text, _ := strings.Cut(string(r.authorization), " ")
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
	for asked := range bytes.SplitSeq(r.subprotocols, []byte(",")) {
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

// checkRequest checks the lines of a request, without the empty one at its end. It refuses whatever two readers could take for two different
// requests, since what stands before a server may be another reader: RFC 9112, sections 2.2,
// 3, 5 and 11.2.
func checkRequest(text []byte) (req request, err error) {
	var seen [len(once)]bool
	first := true
	for line := range bytes.SplitSeq(text, []byte("\r\n")) {
		if bytes.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7F }) {
			return req, errControl
		}
		if first {
			if !requestLine.Match(line) {
				return req, errRequestLine
			}
			first = false
			continue
		}
		if len(line) > 0 && (line[0] == ' ' || line[0] == '\t') {
			return req, errFolded
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if !headerName.Match(name) || len(name) == len(line) {
			return req, errHeaderName
		}
		value = bytes.Trim(value, " \t")
		for i, header := range once {
			if !strings.EqualFold(string(name), header) {
				continue
			}
			if seen[i] {
				return req, fmt.Errorf("two %s headers", header)
			}
			seen[i] = true
		}
		switch http.CanonicalHeaderKey(string(name)) {
		case "Upgrade":
			req.asksUpgrade = true
		case "Host":
			req.host = value
		case "Origin":
			req.origin = value
		case "Authorization":
			req.authorization = value
		case "Sec-Websocket-Protocol":
			req.subprotocols = append(append(req.subprotocols, ','), value...)
		case "Sec-Websocket-Key":
			if key, err := base64.StdEncoding.DecodeString(string(value)); err != nil || len(key) != 16 {
				return req, errKey
			}
		case "Transfer-Encoding":
			return req, errRequestsBody
		case "Content-Length":
			if string(value) != "0" {
				return req, errRequestsBody
			}
		}
	}
	return req, nil
}

// joinConnection returns a request whose Connection headers are one, as RFC 9110 section 5.3
// has it for any list in several headers: the library wants each to have the word Upgrade.
func joinConnection(request []byte) []byte {
	var options [][]byte
	joined := make([]byte, 0, len(request))
	for line := range bytes.SplitSeq(bytes.TrimSuffix(request, []byte("\r\n\r\n")), []byte("\r\n")) {
		if name, value, _ := bytes.Cut(line, []byte(":")); strings.EqualFold(string(name), "Connection") {
			options = append(options, bytes.Trim(value, " \t"))
			continue
		}
		joined = append(append(joined, line...), "\r\n"...)
	}
	if len(options) < 2 {
		return request
	}
	joined = append(append(joined, "Connection: "...), bytes.Join(options, []byte(", "))...)
	return append(joined, "\r\n\r\n"...)
}

var (
	requestLine = regexp.MustCompile(`^[^ \t]+ [^ \t]+ HTTP/[0-9]\.[0-9]$`)
	headerName  = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
)

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
	answer, size, proof, err := upgrade(f.opts, src[at:])
	switch {
	case err == frame.ErrIncomplete:
		return u, err
	case err != nil:
		return u, &upgradeError{err, answer}
	}
	return unit{size: size, answer: answer, proof: proof, becomes: newWSFraming(f.opts)}, nil
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
	switch status {
	case http.StatusMethodNotAllowed:
		extra = "Allow: GET\r\n"
	case http.StatusUnauthorized:
		extra = "WWW-Authenticate: Bearer realm=\"keyframe\"\r\nWWW-Authenticate: Basic realm=\"keyframe\"\r\n"
	case http.StatusUpgradeRequired:
		extra = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
	}
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\n%sContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s\n",
		status, http.StatusText(status), extra, len(reason)+1, reason)
}
