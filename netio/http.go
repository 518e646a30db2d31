package netio

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"net/http"

	"keyframe/codec"
	"keyframe/codec/http1"
	"keyframe/netio/access"
	"keyframe/netio/buffer"
	"keyframe/netio/frame"
)

// This file is HTTP as a framing, and the road of its requests into a batch. A request about
// one key is one command with one element, and its response is what the framing makes of that
// element's answer: so it goes through the batch as lines do, and what looks at commands and
// keys sees it. What it is answered with is noted until then, in order. The body of a POST is
// lines; their answers are the response's body, which is sent in chunks if it is not whole
// when a turn ends. What the requests mean is in httprequests.go.

// httpFraming is HTTP, for one connection, until a request makes it a WebSocket.
type httpFraming struct {
	noMessages
	opts *Options

	// known is the last host that checkHost has let pass, by the options in knownBy.
	known   []byte
	knownBy *Options

	read bool // a whole head has been: this is no handshake any more

	// src[from:looked] is known to hold no end of a head. If need is not 0, the request there
	// is known to have so many bytes.
	from, looked, need int

	last bool // the connection ends when what waits has been answered

	// On a server with users each request says whose it is. shown is the hash of what the one
	// before has shown, and login what that was good for; base is the login by a certificate.
	shown       [sha256.Size]byte
	login, base *access.Login
	proving     bool  // login is not known yet
	unproved    asked // the request for which it is looked up

	asked []asked   // the requests that wait in the batch, the first of them first
	taken int       // how many of them have been answered
	body  *httpBody // of the request that is under way; nil: none
	date  []byte    // the turn's
}

// asked is how a request is to be answered.
type asked struct {
	old       bool   // it is one of HTTP/1.0
	close     bool   // it is the connection's last
	head      bool   // without a body
	origin    string // of the page that may see it; "": none
	noneMatch []byte // the etags that the client has; nil: none
	why       string // the key or the value is wrong; "": no better words are known
}

// httpBody is a request whose body is served as it comes.
type httpBody struct {
	asked
	put   *putRequest // it is a value; nil: it is commands
	whole bool        // it is one command, not lines
	// maxBytes bounds the whole of it; 0: it is lines, each of which has a bound.
	maxBytes int

	left      int64 // what of it has not been served; of a chunked one it is not known
	isChunked bool
	chunks    http1.Chunks
	ended     bool           // the last chunk has been
	fault     error          // or what comes is no chunk
	text      buffer.Growing // of a chunked one: what has not been served

	lines  lineFraming
	served bool // a command of it has been admitted
	begun  bool // the head of the response has been sent, or is in the output
	mark   int  // where the turn's answers begin in the output
}

func newHTTPFraming(opts *Options) framing { return &httpFraming{opts: opts} }

func (f *httpFraming) next([]byte, int) ([]byte, int, unitKind, error) {
	panic("BUG: netio: a request of HTTP is no payload")
}

func (f *httpFraming) joined() ([]byte, bool) { return nil, f.body != nil && f.body.text.Len() > 0 }

func (f *httpFraming) release() {
	if f.body != nil {
		f.body.text.Release()
	}
}

func (f *httpFraming) held() int {
	if f.body == nil {
		return 0
	}
	return f.body.text.Held()
}

func (f *httpFraming) done(used int) {
	if used > f.from {
		f.from, f.looked, f.need = 0, 0, 0
		return
	}
	f.from, f.looked = f.from-used, f.looked-used
}

func (f *httpFraming) notUTF8() error                       { return nil }
func (f *httpFraming) settled() bool                        { return f.read }
func (f *httpFraming) appendPing(dst []byte) ([]byte, bool) { return dst, false }

// httpEnd ends a connection whose bytes are no request, with a response that says so.
type httpEnd struct {
	frame.CloseError
	answer []byte
}

// errLastRequest ends a connection whose client has asked for that, or speaks HTTP/1.0.
var errLastRequest = errors.New("the last request")

// appendEnd sends the response that an end has. Other ends are without a word: it would be
// taken for the response to the next request.
func (f *httpFraming) appendEnd(dst []byte, why error) []byte {
	switch end := why.(type) {
	case *httpEnd:
		return append(dst, end.answer...)
	case *upgradeError:
		return append(dst, end.answer...)
	}
	return dst
}

// outcome is how far a request has come.
type outcome uint8

const (
	outcomeDone    outcome = iota
	outcomeMore            // its end has not come
	outcomeStopped         // the turn is over
)

// requestUnits is units for HTTP.
func (p *pipeline) requestUnits(f *httpFraming, src []byte) (used int, more bool) {
	f.date, f.opts = p.httpDate(), p.service.opts // they may have changed
	if f.body != nil {
		f.body.mark = len(p.out)
	}
	if f.last {
		p.endWith(errLastRequest)
		return len(src), false
	}
	resumed := f.body == nil && p.resume.More
	if resumed {
		p.resume = codec.Command{} // nothing of the request has been executed
	}
	for p.end == nil && p.framing == framing(f) {
		if p.cost.isOver(len(p.out)) {
			more = used < len(src) || f.body != nil
			break
		}
		var size int
		var got outcome
		inBody := f.body != nil
		if inBody {
			size, got = p.serveBody(f, src[used:])
		} else {
			p.cost.spent += costRequest
			size, got = p.admitRequest(f, src, used, resumed)
			resumed = false
		}
		used += size
		if got == outcomeStopped {
			if !inBody {
				used = p.resumeAt
			}
			return p.stopRequests(f, used), true
		}
		if got == outcomeMore {
			break
		}
	}
	if p.framing != framing(f) { // it is a WebSocket now
		return used, used < len(src)
	}
	if !p.flush(used, codec.Command{}) {
		return p.stopRequests(f, p.resumeAt), true
	}
	if p.end != nil {
		if f.body != nil && p.end != error(errBuffersFull) {
			p.finishBody(f)
		}
		p.sealBody(f)
		return len(src), false
	}
	p.sealBody(f)
	return used, more
}

// costRequest is what it costs to read a request: not yet measured.
const costRequest = 300

// stopRequests ends a turn in the middle. What has not been executed is asked once more.
func (p *pipeline) stopRequests(f *httpFraming, used int) int {
	if p.waits == nil {
		f.asked, f.taken = f.asked[:0], 0
	}
	p.sealBody(f)
	return used
}

// admitRequest serves the request at src[at], or begins to. A turn that was over in the middle
// of its batch has counted it: resumed.
func (p *pipeline) admitRequest(f *httpFraming, src []byte, at int, resumed bool) (size int, got outcome) {
	b := src[at:]
	if at != f.from {
		f.from, f.looked, f.need = at, at, 0
	}
	if len(b) < f.need {
		return 0, outcomeMore
	}
	end, looked, err := http1.HeadEnd(b, f.looked-at)
	if err == http1.ErrIncomplete {
		f.looked = at + looked
		return 0, outcomeMore
	}
	r := httpRequest{at: at, resumed: resumed}
	if err == nil {
		r.Head, err = http1.ParseHead(b[:end])
	}
	if err != nil {
		return p.refuseRequest(f, at, err.(*http1.Error))
	}
	if !f.read && p.identity != nil {
		f.base = p.identity.login
	}
	f.read = true
	f.looked = at
	r.body = b[end:]
	r.asked = asked{old: r.Minor == 0, close: r.Close, head: string(r.Method) == http.MethodHead}
	p.cost.bytes(end)
	if r.Upgrade != nil && string(r.Method) == http.MethodGet && asksForWebSocket(r.Upgrade) {
		return p.upgradeRequest(f, &r, end)
	}
	if status, err := f.mayAsk(&r); err != nil {
		size, got := p.reply(f, &r, end, status, err.Error())
		if got == outcomeDone { // else it is looked at once more
			p.notePage(err)
		}
		return size, got
	}
	return p.route(f, &r, end)
}

// notePage has the operator told of a web page that was refused, if that is what err is about.
func (p *pipeline) notePage(err error) {
	switch err.(type) {
	case *originError, *hostError:
		p.refusedPage(err)
	}
}

// upgradeRequest serves the request of a WebSocket.
func (p *pipeline) upgradeRequest(f *httpFraming, r *httpRequest, size int) (int, outcome) {
	if !p.flush(r.at, codec.Command{}) {
		return 0, outcomeStopped
	}
	answer, proof, refused := upgrade(f.opts, &r.Head)
	if refused != nil {
		p.notePage(refused.err)
		p.endWith(refused)
		return 0, outcomeDone
	}
	u := unit{size: size, answer: answer, proof: proof, becomes: newWSFraming(f.opts)}
	switch {
	case proof != nil && p.users != nil:
		if p.prove(u, r.at+size) {
			return 0, outcomeStopped
		}
		return size, outcomeDone
	case p.identity != nil && p.identity.login != nil: // whose requests came before says nothing about this one
		p.become(f.certified(p))
		p.identity.until = p.now().Add(unknownTime)
	}
	p.out = append(p.out, answer...)
	p.framing = u.becomes
	return size, outcomeDone
}

// asksForWebSocket reports whether an Upgrade header names it. Others are for nobody here,
// and are passed over: RFC 9110 section 7.8.
func asksForWebSocket(protocols []byte) bool {
	for protocol := range bytes.SplitSeq(protocols, []byte(",")) {
		if bytes.EqualFold(bytes.Trim(protocol, " \t"), []byte("websocket")) {
			return true
		}
	}
	return false
}

// refuseRequest ends the connection: where the next request begins is not known.
func (p *pipeline) refuseRequest(f *httpFraming, at int, err *http1.Error) (size int, got outcome) {
	if !p.flush(at, codec.Command{}) {
		return 0, outcomeStopped
	}
	p.count.Frames++
	p.endWith(&httpEnd{frame.CloseError{Code: frame.CloseProtocolError, Reason: err.Reason}, httpError(err.Status, err.Reason)})
	return 0, outcomeDone
}

// reply answers a request without a command, after those before it. A body that has not come
// is not waited for: the connection ends.
func (p *pipeline) reply(f *httpFraming, r *httpRequest, size, status int, text string) (int, outcome) {
	return p.replyWith(f, r, size, response{status: status, kind: plainText, body: []byte(text + "\n")})
}

func (p *pipeline) replyWith(f *httpFraming, r *httpRequest, size int, res response) (int, outcome) {
	if !p.flush(r.at, codec.Command{}) {
		return 0, outcomeStopped
	}
	if r.Chunked || r.Length > 0 {
		r.asked.close = true
	}
	p.count.Frames++
	if status := res.status; status >= http.StatusBadRequest {
		p.count.Errors[kindOfStatus(status)]++
	}
	p.out = f.appendResponse(p.out, &r.asked, res)
	p.endAfter(&r.asked)
	return size, outcomeDone
}

// endAfter ends the connection if the request that has been answered was its last.
func (p *pipeline) endAfter(a *asked) {
	if a.close {
		p.endWith(errLastRequest)
	}
}

// enough executes what has gathered, if it is enough or the connection ends with it.
func (p *pipeline) enough(f *httpFraming, a *asked, next int) bool {
	if !a.close && len(p.args) < p.shares.batchOps {
		return true
	}
	if !p.flush(next, codec.Command{}) {
		if p.waits != nil && a.close {
			f.last = true
		}
		return false
	}
	p.endAfter(a)
	return true
}

// certified is the login by the connection's certificate, nil if it has shown none.
func (f *httpFraming) certified(p *pipeline) *access.Login {
	if f.base == nil {
		return nil
	}
	return p.users.gate.Users().Renew(f.base, p.now())
}

// identify finds out whose request it is, on a server with users, and has the connection be
// that user's until the next one. It reports false if the request is not to be served now: it
// is refused, or its proof takes its time, and then it is served once more.
func (p *pipeline) identify(f *httpFraming, r *httpRequest) (got outcome, ok bool) {
	if p.identity == nil {
		return outcomeDone, true
	}
	proof, err := proofOf(r.Authorization, nil)
	if err != nil {
		_, got = p.refuseRequest(f, r.at, &http1.Error{Status: http.StatusBadRequest, Reason: err.Error()})
		return got, false
	}
	if proof == nil {
		if p.become(f.certified(p)); p.user == nil {
			if !p.flush(r.at, codec.Command{}) {
				return outcomeStopped, false
			}
			p.refuseUser(f, &r.asked, http.StatusUnauthorized, "say who you are: Authorization: Bearer or Basic")
			return outcomeDone, false
		}
		f.login = nil
		return outcomeDone, true
	}
	shown := sha256.Sum256(r.Authorization)
	if f.proving {
		f.proving, f.login = false, p.identity.login
	}
	if shown == f.shown && f.login != nil && f.login == p.identity.login {
		return outcomeDone, true
	}
	if !p.flush(r.at, codec.Command{}) {
		return outcomeStopped, false
	}
	f.shown, f.login, f.unproved = shown, nil, r.asked
	if p.prove(unit{proof: proof, becomes: f}, r.at) {
		f.proving = true
		return outcomeStopped, false
	}
	if p.end != nil {
		return outcomeDone, false
	}
	f.login = p.identity.login
	return outcomeDone, true
}

// refuseUser ends the connection of a client that is not who it says.
func (p *pipeline) refuseUser(f *httpFraming, a *asked, status int, why string) {
	a.close = true
	p.count.Frames++
	p.count.Errors[ErrorDenied]++
	f.date = p.httpDate()
	p.out = f.appendResponse(p.out, a, response{status: status, kind: plainText, body: []byte(why + "\n")})
	p.endWith(errLastRequest)
}
