package netio

import (
	"bytes"
	"net/http"

	"keyframe/codec"
	"keyframe/codec/http1"
	"keyframe/netio/access"
	"keyframe/netio/frame"
)

// framing is how commands and answers are cut out of a connection's bytes. It belongs to
// one connection and keeps what it has to remember between turns. It knows neither
// sockets nor gnet. A new one is a file, and a row of framings.
type framing interface {
	// next looks at the unit that begins at src[at]: what it is, how many bytes it takes
	// up, and a command's payload. It may note what it has seen of a unit that is not whole,
	// and changes nothing else but a mask, since a turn that ends in the middle of a batch
	// looks at units once more. frame.ErrIncomplete: its end has not come. Any
	// other error ends the connection. What it returns fits the registers.
	next(src []byte, at int) (payload []byte, size int, kind unitKind, err error)
	// take takes in the unit at src[at], of which next has said that it is unitOther.
	// What comes before it has been executed and answered.
	take(src []byte, at int) (unit, error)
	// joined is a message that has been put together from several units and has not been
	// served, if there is one. release forgets it.
	joined() (payload []byte, ok bool)
	release()
	// held is how much memory there is of messages that are being put together, and growth
	// how much more there is going to be when the unit at src[at] is taken.
	held() int
	growth(src []byte, at int) int
	// done says how much of src the turn has used: the next one's begins there.
	done(used int)

	// notUTF8 is the reason to end the connection for a command that is not UTF-8, nil if
	// it is refused like any other fault. What the codec refuses is looked at; next returns
	// the same error for a command of which enough has come.
	notUTF8() error

	// What is sent. appendEnd says to the client why the connection ends, if the framing
	// has a way to. appendPing has ok false if it has no pings.
	appendStatus(dst []byte, op codec.Opcode, arg *codec.Arg, st codec.Status) []byte
	appendValue(dst []byte, op codec.Opcode, arg *codec.Arg, value []byte) []byte
	appendText(dst, text []byte) []byte
	appendEnd(dst []byte, why error) []byte
	appendPing(dst []byte) (_ []byte, ok bool)

	// settled reports whether commands may come; else it is still a handshake.
	settled() bool
}

// unitKind is what next has found.
type unitKind uint8

const (
	unitCommand unitKind = iota // a whole command, which may wait in a batch with others
	unitBlank                   // nothing, but it was there
	unitOther                   // what only take can say
)

// unit is what take has found: a part of a message, or what is no command.
type unit struct {
	size    int           // what it takes up
	answer  []byte        // what is sent for it
	proof   *access.Proof // who the client says that it is; only if that is right there is the answer
	becomes framing       // what the connection goes on with, after a handshake; or nil
}

// framings are those that the first bytes of a connection choose from, in this order.
var framings = []framingRow{
	{
		name:   "HTTP and WebSocket",
		match:  looksLikeHTTP,
		make:   newHTTPFraming,
		users:  true,
		asked:  func(b []byte) bool { return bytes.Contains(b, []byte("\r\n\r\n")) || len(b) >= http1.MaxHeadBytes },
		refuse: func(_ codec.Status, reason string) []byte { return httpError(http.StatusServiceUnavailable, reason) },
	},
	{
		name:   "RESP",
		match:  looksLikeRESP,
		make:   newRESPFraming,
		asked:  func([]byte) bool { return true },
		users:  true,
		refuse: refuseRESP,
	},
	{
		name:   "JSON Lines",
		match:  func([]byte) match { return matches },
		make:   func(opts *Options) framing { return &lineFraming{maxBytes: opts.MaxFrameBytes} },
		users:  true,
		asked:  func([]byte) bool { return true },
		refuse: refusalLine,
	},
}

// framingRow is how a framing is chosen and made, and how a client of it is turned away.
type framingRow struct {
	name  string
	match func(first []byte) match // reports whether its connections begin so
	make  func(opts *Options) framing
	// users: it asks the pipeline whether a user may do what its commands are about. One that
	// does not is not served by a server with users.
	users  bool
	asked  func(b []byte) bool // reports whether the client has said enough to be answered
	refuse func(code codec.Status, reason string) []byte
}

// Framings are the names of the framings that a server serves.
func Framings() (names []string) {
	for i := range framings {
		names = append(names, framings[i].name)
	}
	return names
}

// match is whether the first bytes of a connection are those of a framing.
type match uint8

const (
	differs   match = iota
	undecided       // more of them would say
	matches
)

// looksLikeHTTP matches a request line, whatever the method: a page can have a browser post
// a form anywhere, and its body must not be taken for lines. No JSON text begins so. What
// begins as a GET is HTTP, however it goes on.
func looksLikeHTTP(first []byte) match {
	word := 0
	for word < len(first) && 'A' <= first[word] && first[word] <= 'Z' {
		word++
	}
	switch {
	case word == len(first) && word < maxMethodBytes:
		return undecided
	case word == 0 || word == len(first) || first[word] != ' ':
		return differs
	case string(first[:word]) == "GET":
		return matches
	}
	end := bytes.IndexByte(first, '\n')
	switch {
	case end < 0 && len(first) < http1.MaxHeadBytes:
		return undecided
	case end < 0 || http1.IsRequestLine(bytes.TrimSuffix(first[:end], []byte("\r"))):
		return matches
	}
	return differs
}

// maxMethodBytes is longer than any method's name.
const maxMethodBytes = 32

// chooseFraming returns the row for a connection with these first bytes, nil when they
// could still become several.
func chooseFraming(first []byte) *framingRow {
	if len(first) == 0 {
		return nil
	}
	for i := range framings {
		switch framings[i].match(first) {
		case matches:
			return &framings[i]
		case undecided:
			return nil
		}
	}
	return nil
}

func refusalLine(code codec.Status, reason string) []byte {
	return append(codec.AppendServerError(nil, int(code), reason), '\n')
}

// noMessages is what framings share whose commands are never in pieces.
type noMessages struct{}

func (noMessages) take([]byte, int) (unit, error) { panic("BUG: netio: take of a whole unit") }
func (noMessages) joined() ([]byte, bool)         { return nil, false }
func (noMessages) release()                       {}
func (noMessages) held() int                      { return 0 }
func (noMessages) growth([]byte, int) int         { return 0 }

// closeErrorOf returns err if it has a close code, else nil.
func closeErrorOf(err error) *frame.CloseError {
	switch why := err.(type) {
	case *frame.CloseError:
		return why
	case *toldEnd:
		return &why.CloseError
	case *httpEnd:
		return &why.CloseError
	}
	return nil
}
