package http1

import (
	"bytes"
	"errors"
	"slices"
)

// MaxHeadBytes bounds a request's head, its lines and the empty one. Browsers with large
// cookies stay below it.
const MaxHeadBytes = 16 << 10

// ErrIncomplete: the end has not come.
var ErrIncomplete = errors.New("http1: incomplete")

// Error is why a request is refused. The connection is to be closed: where the next request
// begins is not known.
type Error struct {
	Status int // of the response
	Reason string
}

func (e *Error) Error() string { return e.Reason }

func bad(reason string) *Error { return &Error{400, reason} }

var (
	errBareLF      = bad("a line ends without a CR")
	errTooLong     = bad("the request's head is longer than 16 KiB")
	errRequestLine = bad("the first line is not a method, a target and an HTTP version with one space between them")
	errVersion     = &Error{505, "the version is neither HTTP/1.0 nor HTTP/1.1"}
	errControl     = bad("a control character in the request")
	errFolded      = bad("a header that goes on in another line")
	errHeaderName  = bad("a header without a name, or with white space or another character in it that no name has")
	errNoHost      = bad("there is no Host header")
	errHost        = bad("the Host header is no host")
	errTarget      = bad("the target is no path, nor the URL of one")
	errOtherHost   = bad("the target and the Host header name different hosts")
	errLength      = bad("Content-Length is not a number in digits")
	errEncoding    = bad("Transfer-Encoding is something else than chunked")
	errTwoLengths  = bad("Content-Length and Transfer-Encoding in one request")
	errOldChunks   = bad("Transfer-Encoding in a request of HTTP/1.0")
	errExpect      = &Error{417, "Expect is something else than 100-continue"}
)

// Head is a request's head. What it refers to is the text that it was parsed from.
type Head struct {
	Method []byte
	Path   []byte // of the target, as it is written: from the first slash to the question mark; or *
	Query  []byte // what follows that
	Minor  int    // of the version: 0 or 1

	Host          []byte
	Origin        []byte
	Authorization []byte
	ContentType   []byte
	IfMatch       []byte
	IfNoneMatch   []byte
	Upgrade       []byte
	Length        int64 // of the body, if it isn't chunked
	Chunked       bool
	Continue      bool // the client waits for a 100 before it sends the body
	Close         bool // it wants no further request answered, or does not say that it does in HTTP/1.0
	HopUpgrade    bool // Connection names Upgrade

	WebSocketKey, WebSocketVersion []byte
	WebSocketProtocols             []byte // a list, whether it came in one header or in several
}

// HeadEnd returns the length of the head at the start of b, the empty line included. Of b the
// first scanned bytes have been looked at by an earlier call, in vain; it returns how many
// have now. An LF without a CR is found before all else: a client that ends its lines so would
// wait for an answer.
func HeadEnd(b []byte, scanned int) (end, looked int, err error) {
	head := b[:min(len(b), MaxHeadBytes)]
	for at := scanned; ; {
		i := bytes.IndexByte(head[at:], '\n')
		if i < 0 {
			break
		}
		at += i
		if at == 0 || head[at-1] != '\r' {
			return 0, 0, errBareLF
		}
		if at++; at >= 4 && head[at-3] == '\n' && head[at-4] == '\r' {
			return at, at, nil
		}
	}
	if len(b) >= MaxHeadBytes {
		return 0, 0, errTooLong
	}
	return 0, len(head), ErrIncomplete
}

// The headers that are read. Those before numOnce have one value: of two, a proxy on the way
// may have gone by the other. RFC 9110 section 5.3.
type header uint8

const (
	headerHost header = iota
	headerUpgrade
	headerKey
	headerVersion
	headerLength
	headerOrigin
	headerEncoding
	headerAuthorization
	headerContentType
	headerIfMatch
	headerIfNoneMatch
	headerExpect
	numOnce
	headerConnection
	headerProtocols
	headerOther
)

var headerNames = [...]string{
	headerHost: "Host", headerUpgrade: "Upgrade", headerKey: "Sec-WebSocket-Key", headerVersion: "Sec-WebSocket-Version",
	headerLength: "Content-Length", headerOrigin: "Origin", headerEncoding: "Transfer-Encoding", headerAuthorization: "Authorization",
	headerContentType: "Content-Type", headerIfMatch: "If-Match", headerIfNoneMatch: "If-None-Match", headerExpect: "Expect",
	headerConnection: "Connection", headerProtocols: "Sec-WebSocket-Protocol",
}

// headersByLen are the headers by the length of their names.
var headersByLen = func() (by [len("Sec-WebSocket-Protocol") + 1][]header) {
	for h, name := range headerNames {
		if name != "" {
			by[len(name)] = append(by[len(name)], header(h))
		}
	}
	return by
}()

func lookup(name []byte) header {
	if len(name) < len(headersByLen) {
		for _, h := range headersByLen[len(name)] {
			if equalFold(name, headerNames[h]) {
				return h
			}
		}
	}
	return headerOther
}

// equalFold reports whether b is the text of letters and hyphens s, in any case.
func equalFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		if c != s[i] && (c|0x20 != s[i]|0x20 || c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return true
}

// What a byte may be a part of.
const (
	inName   = 1 << iota // of a method or a header's name
	inLine               // of a line: no control character
	inTarget             // of a target
	inHost               // of a host and a port
)

var classes = func() (table [256]uint8) {
	for i := range table {
		c := byte(i)
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9'
		if letter || bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), c) >= 0 {
			table[i] |= inName
		}
		if c >= ' ' && c != 0x7F || c == '\t' {
			table[i] |= inLine
		}
		if c > ' ' && c != 0x7F {
			table[i] |= inTarget
			if bytes.IndexByte([]byte(`/\?#@,`), c) < 0 {
				table[i] |= inHost
			}
		}
	}
	return table
}()

func consistsOf(b []byte, class uint8) bool {
	for _, c := range b {
		if classes[c]&class == 0 {
			return false
		}
	}
	return true
}

// ParseHead reads a head of which HeadEnd has found the end: text is all of it.
func ParseHead(text []byte) (h Head, err error) {
	line, rest := cutLine(text)
	if err := h.requestLine(line); err != nil {
		return h, err
	}
	var seen [numOnce]bool
	var keepAlive bool
	for {
		if line, rest = cutLine(rest); len(line) == 0 {
			break
		}
		colon := bytes.IndexByte(line, ':')
		if colon <= 0 || !consistsOf(line[:colon], inName) || !consistsOf(line[colon+1:], inLine) {
			return h, headerFault(line)
		}
		kind, value := lookup(line[:colon]), trim(line[colon+1:])
		if kind < numOnce {
			if seen[kind] {
				return h, bad("two " + headerNames[kind] + " headers")
			}
			seen[kind] = true
		}
		switch kind {
		case headerConnection:
			h.connection(value, &keepAlive)
		case headerProtocols:
			h.protocols(value)
		default:
			if err := h.header(kind, value); err != nil {
				return h, err
			}
		}
	}
	switch {
	case h.Minor == 1 && !seen[headerHost]:
		return h, errNoHost
	case h.Chunked && seen[headerLength]:
		return h, errTwoLengths
	case h.Chunked && h.Minor == 0:
		return h, errOldChunks
	case h.Minor == 0:
		h.Continue = false
		h.Close = h.Close || !keepAlive
	}
	return h, h.target()
}

// cutLine returns the first line of text, without the CR LF that each has.
func cutLine(text []byte) (line, rest []byte) {
	end := bytes.IndexByte(text, '\n')
	return text[:end-1], text[end+1:]
}

// headerFault is what is wrong with a line that is no header.
func headerFault(line []byte) error {
	switch {
	case !consistsOf(line, inLine):
		return errControl
	case line[0] == ' ' || line[0] == '\t':
		return errFolded
	}
	return errHeaderName
}

// requestLine reads the first line. The target is in Path until it is looked at.
func (h *Head) requestLine(line []byte) error {
	method, target, major, minor, ok := cutRequestLine(line)
	switch {
	case !ok || !consistsOf(method, inName) || !consistsOf(target, inTarget):
		if !consistsOf(line, inLine) {
			return errControl
		}
		return errRequestLine
	case major != '1' || minor > '1':
		return errVersion
	}
	h.Method, h.Path, h.Minor = method, target, int(minor-'0')
	return nil
}

// IsRequestLine reports whether a line, without its end, has the form of a request's first: a
// method, a target and any version of HTTP, whatever they are made of.
func IsRequestLine(line []byte) bool {
	_, target, _, _, ok := cutRequestLine(line)
	return ok && bytes.IndexByte(target, ' ') < 0 && bytes.IndexByte(line, '\t') < 0
}

// cutRequestLine cuts at the first space and at the last one, whatever is between.

func cutRequestLine(line []byte) (method, target []byte, major, minor byte, ok bool) {
	space, last := bytes.IndexByte(line, ' '), bytes.LastIndexByte(line, ' ')
	if space <= 0 || last <= space+1 {
		return nil, nil, 0, 0, false
	}
	method, target = line[:space], line[space+1:last]
	version, ok := bytes.CutPrefix(line[last+1:], []byte("HTTP/"))
	if !ok || len(version) != 3 || version[1] != '.' || !isDigit(version[0]) || !isDigit(version[2]) {
		return nil, nil, 0, 0, false
	}
	return method, target, version[0], version[2], true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// trim returns a value without the white space around it.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for n := len(b); n > 0 && (b[n-1] == ' ' || b[n-1] == '\t'); n-- {
		b = b[:n-1]
	}
	return b
}

// header takes in a header that has one value.
func (h *Head) header(kind header, value []byte) error {
	switch kind {
	case headerHost:
		if !consistsOf(value, inHost) {
			return errHost
		}
		h.Host = value
	case headerUpgrade:
		h.Upgrade = value
	case headerKey:
		h.WebSocketKey = value
	case headerVersion:
		h.WebSocketVersion = value
	case headerLength:
		n, ok := parseLength(value)
		if !ok {
			return errLength
		}
		h.Length = n
	case headerOrigin:
		h.Origin = value
	case headerEncoding:
		if !equalFold(value, "chunked") {
			return errEncoding
		}
		h.Chunked = true
	case headerAuthorization:
		h.Authorization = value
	case headerContentType:
		h.ContentType = value
	case headerIfMatch:
		h.IfMatch = value
	case headerIfNoneMatch:
		h.IfNoneMatch = value
	case headerExpect:
		if !bytes.EqualFold(value, []byte("100-continue")) {
			return errExpect
		}
		h.Continue = true
	}
	return nil
}

// parseLength returns a number of digits, 18 at most.
func parseLength(text []byte) (n int64, ok bool) {
	if len(text) == 0 || len(text) > 18 {
		return 0, false
	}
	for _, c := range text {
		if !isDigit(c) {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return n, true
}

// connection takes in the options of a Connection header, of which there may be several.
func (h *Head) connection(value []byte, keepAlive *bool) {
	for len(value) > 0 {
		option, rest, _ := bytes.Cut(value, []byte(","))
		switch option = trim(option); {
		case equalFold(option, "close"):
			h.Close = true
		case equalFold(option, "keep-alive"):
			*keepAlive = true
		case equalFold(option, "upgrade"):
			h.HopUpgrade = true
		}
		value = rest
	}
}

// protocols takes in a list of WebSocket's subprotocols, of which there may be several.
func (h *Head) protocols(list []byte) {
	if h.WebSocketProtocols != nil {
		list = slices.Concat(h.WebSocketProtocols, []byte(","), list)
	}
	h.WebSocketProtocols = list
}

// target takes the target apart: RFC 9112 section 3.2.
func (h *Head) target() error {
	target := h.Path
	if target[0] == '/' {
		return h.origin(target)
	}
	if authority, path, ok := absolute(target); ok {
		if h.Minor == 1 && !bytes.EqualFold(authority, h.Host) || len(authority) == 0 || bytes.IndexByte(authority, '@') >= 0 {
			return errOtherHost
		}
		if h.Host == nil {
			h.Host = authority
		} else if !bytes.EqualFold(authority, h.Host) {
			return errOtherHost
		}
		if target = path; len(target) == 0 || target[0] != '/' {
			if len(target) > 0 && target[0] != '?' {
				return errTarget
			}
			h.Path, h.Query = slash, target[min(1, len(target)):]
			return noFragment(h.Query)
		}
	}
	if target[0] != '/' && !(string(target) == "*" && string(h.Method) == "OPTIONS") {
		return errTarget
	}
	return h.origin(target)
}

// origin takes a path and a query apart.
func (h *Head) origin(target []byte) error {
	h.Path, h.Query, _ = bytes.Cut(target, []byte("?"))
	return noFragment(target)
}

var slash = []byte("/")

func noFragment(target []byte) error {
	if bytes.IndexByte(target, '#') >= 0 {
		return errTarget
	}
	return nil
}

// absolute takes the URL of a path apart.
func absolute(target []byte) (authority, rest []byte, ok bool) {
	for _, scheme := range [...]string{"http://", "https://"} {
		if n := len(scheme); len(target) >= n && bytes.EqualFold(target[:n], []byte(scheme)) {
			rest = target[n:]
			end := bytes.IndexAny(rest, "/?#")
			if end < 0 {
				end = len(rest)
			}
			return rest[:end], rest[end:], true
		}
	}
	return nil, nil, false
}
