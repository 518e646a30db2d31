package netio

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"keyframe/codec"
	"keyframe/codec/http1"
	"keyframe/engine"
)

// This file is what the requests of HTTP mean: PROTOCOL.md section 10.

// httpRequest is a request that is being admitted.
type httpRequest struct {
	http1.Head
	asked
	at      int    // where it begins in the bytes being served
	body    []byte // what follows its head, as far as it has come
	resumed bool   // an earlier turn has counted it
}

func (r *httpRequest) is(methods ...string) bool {
	for _, method := range methods {
		if string(r.Method) == method {
			return true
		}
	}
	return false
}

// maxPutBytes is the longest value that PUT stores: it is checked in one go, in 7 ms if it is
// nothing but brackets. POST has the way for longer ones.
const maxPutBytes = 1 << 20

const keyPath = "/kv/"

// mayAsk returns the status and the reason with which a request is refused, whatever it asks
// for; nil if it isn't.
func (f *httpFraming) mayAsk(r *httpRequest) (status int, why error) {
	if (r.Chunked || r.Length > 0) && !r.is(http.MethodPost, http.MethodPut) {
		return http.StatusBadRequest, errNoBody
	}
	if err := f.opts.checkOrigin(r.Origin, r.Host); err != nil {
		return http.StatusForbidden, err
	}
	if len(r.Origin) == 0 {
		if f.knownBy == f.opts && bytes.Equal(f.known, r.Host) {
			return 0, nil
		}
		if err := f.opts.checkHost(r.Host); err != nil {
			return http.StatusForbidden, err
		}
		f.known, f.knownBy = append(f.known[:0], r.Host...), f.opts
		return 0, nil
	}
	r.asked.origin = string(r.Origin)
	return 0, nil
}

var errNoBody = errors.New("a request with this method has no body")

// route serves a request by its path and method. Its head has size bytes.
func (p *pipeline) route(f *httpFraming, r *httpRequest, size int) (int, outcome) {
	key, isKey := bytes.CutPrefix(r.Path, []byte(keyPath))
	var allowed string
	switch {
	case string(r.Path) == "/":
		allowed = "GET, HEAD, POST, OPTIONS"
		switch {
		case r.is(http.MethodGet, http.MethodHead):
			return p.replyWith(f, r, size, response{status: http.StatusOK, kind: plainText, body: []byte(plainHTTP)})
		case r.is(http.MethodPost):
			if got, ok := p.identify(f, r); !ok {
				return 0, got
			}
			return p.post(f, r, size)
		}
	case isKey && len(key) == 0:
		allowed = "GET, HEAD, OPTIONS"
		if r.is(http.MethodGet, http.MethodHead) {
			if got, ok := p.identify(f, r); !ok {
				return 0, got
			}
			return p.listKeys(f, r, size)
		}
	case isKey:
		allowed = "GET, HEAD, PUT, DELETE, OPTIONS"
		if r.is(http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete) {
			if got, ok := p.identify(f, r); !ok {
				return 0, got
			}
			return p.aboutKey(f, r, key, size)
		}
	case string(r.Path) == "*":
		allowed = "GET, HEAD, POST, PUT, DELETE, OPTIONS"
	default:
		return p.reply(f, r, size, http.StatusNotFound, "there is nothing here but / and "+keyPath+"<key>")
	}
	if r.is(http.MethodOptions) {
		return p.replyWith(f, r, size, response{status: http.StatusNoContent, allow: allowed})
	}
	return p.replyWith(f, r, size, response{status: http.StatusMethodNotAllowed, kind: plainText, allow: allowed, body: []byte("the methods here are " + allowed + "\n")})
}

// post begins the body of a POST.
func (p *pipeline) post(f *httpFraming, r *httpRequest, size int) (int, outcome) {
	body := &httpBody{asked: r.asked, whole: isJSON(r.ContentType), lines: lineFraming{maxBytes: f.opts.MaxFrameBytes}}
	if body.whole {
		body.maxBytes = f.opts.MaxFrameBytes
	}
	return p.beginBody(f, r, body, size)
}

// isJSON reports whether a Content-Type is that of one JSON text, which may have newlines.
func isJSON(contentType []byte) bool {
	mediaType, _, _ := bytes.Cut(contentType, []byte(";"))
	return bytes.EqualFold(bytes.TrimSpace(mediaType), []byte("application/json"))
}

// beginBody has what follows served as the body.
func (p *pipeline) beginBody(f *httpFraming, r *httpRequest, body *httpBody, size int) (int, outcome) {
	if most := body.maxBytes; most > 0 && r.Length > int64(most) {
		return p.reply(f, r, size, http.StatusRequestEntityTooLarge, tooLong(most))
	}
	if !p.flush(r.at, codec.Command{}) {
		return 0, outcomeStopped
	}
	if r.Continue && (r.Chunked || int64(len(r.body)) < r.Length) {
		p.out = append(p.out, goOnSending...)
	}
	body.left, body.isChunked, body.mark = r.Length, r.Chunked, len(p.out)
	f.body = body
	return size, outcomeDone
}

// listKeys answers what KEYS answers.
func (p *pipeline) listKeys(f *httpFraming, r *httpRequest, size int) (int, outcome) {
	q := &codec.Query{Limit: codec.DefaultLimit}
	for query := r.Query; len(query) > 0; {
		var name, value []byte
		var ok bool
		name, value, query, ok = http1.CutParameter(query)
		switch {
		case !ok:
		case string(name) == "prefix" && q.Prefix == nil:
			q.Prefix = value
			ok = codec.ValidUTF8(value)
		case string(name) == "limit":
			n, err := strconv.ParseUint(string(value), 10, 32)
			q.Limit = int(n)
			ok = err == nil && n >= 1 && n <= codec.MaxLimit
		case string(name) == "cursor" && q.Cursor == nil:
			q.Cursor = value
			_, ok = p.parseCursor(value)
		default:
			ok = false
		}
		if !ok {
			return p.reply(f, r, size, http.StatusBadRequest, fmt.Sprintf("the query has prefix, limit, from 1 to %d, and the cursor of an earlier page", codec.MaxLimit))
		}
	}
	if !p.flush(r.at, codec.Command{}) {
		return 0, outcomeStopped
	}
	f.asked = append(f.asked, r.asked)
	if !p.answerStoreCommand(nil, r.at, r.at+size, codec.Command{Op: codec.OpKeys, Extra: &codec.Extra{Query: q}}) {
		return 0, outcomeStopped
	}
	p.endAfter(&r.asked)
	return size, outcomeDone
}

// aboutKey serves a request about a key.
func (p *pipeline) aboutKey(f *httpFraming, r *httpRequest, escaped []byte, size int) (int, outcome) {
	key, ok := http1.Unescape(escaped, false)
	if !ok {
		return p.reply(f, r, size, http.StatusBadRequest, "a % in the key without two hexadecimal digits after it")
	}
	if r.is(http.MethodPut) {
		return p.put(f, r, key, size)
	}
	if len(r.Query) > 0 {
		return p.reply(f, r, size, http.StatusBadRequest, "a query where none belongs")
	}
	next := r.at + size
	switch {
	case r.is(http.MethodDelete):
		if len(r.IfNoneMatch) > 0 {
			return p.reply(f, r, size, http.StatusBadRequest, "DELETE has If-Match only")
		}
		if r.IfMatch == nil {
			p.ask(f, &r.asked, codec.Command{Op: codec.OpRemove}, codec.Arg{Key: key}, r)
			break
		}
		if !isTags(r.IfMatch) {
			return p.reply(f, r, size, http.StatusBadRequest, errIfMatch)
		}
		if !p.flush(r.at, codec.Command{}) {
			return 0, outcomeStopped
		}
		p.askIf(f, &r.asked, codec.OpCompareRemove, codec.Arg{Key: key}, r.IfMatch, r.at)
	default:
		r.asked.noneMatch = bytes.Clone(r.IfNoneMatch)
		p.ask(f, &r.asked, codec.Command{Op: codec.OpGet}, codec.Arg{Key: key}, r)
	}
	if !p.enough(f, &r.asked, next) {
		return 0, outcomeStopped
	}
	return size, outcomeDone
}

const (
	errIfMatch = `If-Match takes etags, such as "0123456789abcdef"`
	errPut     = "PUT takes a ttl in milliseconds, and If-None-Match: * or If-Match with etags; If-Match and a ttl don't go together"
)

func isTags(list []byte) bool {
	for ok := true; len(list) > 0; {
		if _, _, list, ok = http1.CutTag(list); !ok {
			return false
		}
	}
	return true
}

// putRequest is what a PUT asks for, besides the value.
type putRequest struct {
	key   []byte
	ttl   int64  // in milliseconds; 0: none
	add   bool   // if there is no such key
	match []byte // if its value has one of these etags; nil: whatever it has
}

// put serves a PUT, or waits for its body.
func (p *pipeline) put(f *httpFraming, r *httpRequest, key []byte, size int) (int, outcome) {
	put := putRequest{key: key, match: r.IfMatch, add: string(r.IfNoneMatch) == "*"}
	ok := put.add || r.IfNoneMatch == nil
	for query := r.Query; len(query) > 0 && ok; {
		var name, value []byte
		name, value, query, ok = http1.CutParameter(query)
		ok = ok && string(name) == "ttl" && put.ttl == 0
		if ok {
			put.ttl, ok = parseTTL(value)
		}
	}
	if !ok || put.match != nil && (put.add || put.ttl != 0 || !isTags(put.match)) {
		return p.reply(f, r, size, http.StatusBadRequest, errPut)
	}
	most := min(maxPutBytes, f.opts.MaxFrameBytes)
	if r.Chunked {
		later := &putRequest{bytes.Clone(key), put.ttl, put.add, bytes.Clone(put.match)}
		return p.beginBody(f, r, &httpBody{asked: r.asked, put: later, maxBytes: most}, size)
	}
	if r.Length > int64(most) {
		return p.reply(f, r, size, http.StatusRequestEntityTooLarge, tooLong(most))
	}
	if int64(len(r.body)) < r.Length {
		if r.Continue {
			if !p.flush(r.at, codec.Command{}) {
				return 0, outcomeStopped
			}
			p.out = append(p.out, goOnSending...)
		}
		f.need = size + int(r.Length)
		return 0, outcomeMore
	}
	if put.match != nil && !p.flush(r.at, codec.Command{}) {
		return 0, outcomeStopped
	}
	size += int(r.Length)
	p.cost.bytes(int(r.Length))
	p.store1(f, &r.asked, &put, r.body[:r.Length], r.at, r.resumed)
	if !p.enough(f, &r.asked, r.at+size) {
		return 0, outcomeStopped
	}
	return size, outcomeDone
}

// parseTTL reads milliseconds as the wire has them.
func parseTTL(text []byte) (ms int64, ok bool) {
	const most = 10_000_000_000_000
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	ms, err := strconv.ParseInt(string(text), 10, 64)
	return ms, err == nil && ms >= 1 && ms <= most
}

// store1 takes the command that a PUT is into the batch.
func (p *pipeline) store1(f *httpFraming, a *asked, put *putRequest, text []byte, at int, resumed bool) {
	arg := codec.Arg{Key: put.key}
	value, form, err := p.dec.Value(text)
	if err != nil {
		arg.Status = codec.StatusTypeInvalid
		a.why = err.Error()
	}
	arg.Value, arg.Form = value, form
	if put.match != nil {
		p.askIf(f, a, codec.OpCompareSet, arg, put.match, at)
		return
	}
	cmd := codec.Command{Op: codec.OpSet}
	switch {
	case put.ttl != 0:
		if cmd.Op = codec.OpSetEx; put.add {
			cmd.Op = codec.OpAddEx
		}
		cmd.Extra = &codec.Extra{TTL: put.ttl}
	case put.add:
		cmd.Op = codec.OpAdd
	}
	p.ask(f, a, cmd, arg, &httpRequest{at: at, resumed: resumed})
}

// ask takes a command of one element into the batch.
func (p *pipeline) ask(f *httpFraming, a *asked, cmd codec.Command, arg codec.Arg, r *httpRequest) {
	p.judgeKey(&arg, a)
	f.asked = append(f.asked, *a)
	before := len(p.args)
	p.args = append(p.args, arg)
	p.enqueue(cmd, r.at, before, r.resumed)
}

// judgeKey gives a key that is none its status.
func (p *pipeline) judgeKey(arg *codec.Arg, a *asked) {
	switch {
	case !codec.ValidUTF8(arg.Key):
		arg.Status = codec.StatusKeyLengthInvalid // it is no key
		a.why = "the key is not UTF-8"
	case !codec.HasChars(arg.Key, p.minKey) || len(arg.Key) > codec.DefaultMaxKeyBytes:
		arg.Status = codec.StatusKeyLengthInvalid
		a.why = fmt.Sprintf("a key has %d characters at least and %d bytes at most", p.minKey, codec.DefaultMaxKeyBytes)
	}
}

// askIf is ask for a comparison with an etag, which is a hash: the value is read, and if it
// has that etag it is what CompareSet or CompareRemove expects. So nothing comes between. The
// batch is empty.
func (p *pipeline) askIf(f *httpFraming, a *asked, op codec.Opcode, arg codec.Arg, tags []byte, at int) {
	p.judgeKey(&arg, a)
	f.asked = append(f.asked, *a)
	p.args = append(p.args, arg)
	before := len(p.args) - 1
	args := p.args[before:]
	p.mayChange(op, args)
	if args[0].Status == codec.StatusOK {
		value, form, st := p.readNow(arg.Key)
		switch {
		case st == engine.NotFound:
			args[0].Status = codec.StatusKeyNotExist
		case !hasTag(tags, etagOf(value, codec.Form(form)), false):
			args[0].Status = codec.StatusValueDiffers
		default:
			kind := engine.CompareSet
			if op == codec.OpCompareRemove {
				kind = engine.CompareRemove
			}
			p.batch.AddArgs(kind, arg.Key, arg.Value, engine.Form(arg.Form), engine.Args{Expected: value, ExpectedForm: form})
		}
	}
	p.cost.spent += 2 * costElement
	p.queueUp(op, at, 1, false)
}

// mayChange gives elements that may not be executed the status for that.
func (p *pipeline) mayChange(op codec.Opcode, args []codec.Arg) {
	if p.identity != nil {
		p.deny(op, args)
	}
	if p.refusing != codec.StatusOK && op.Effect().Writes() {
		for i := range args {
			if args[i].Status == codec.StatusOK {
				args[i].Status = p.refusing
			}
		}
	}
}

// readNow reads a value before the batch is executed.
func (p *pipeline) readNow(key []byte) (value []byte, form engine.Form, st engine.Status) {
	b := engine.Batch{Now: p.time(), ReadLimit: math.MaxInt}
	b.Add(engine.Get, key, nil)
	if p.commit == nil {
		p.store.Apply(&b)
	} else if !p.commit.apply(&b) {
		// What a log has not brought yet is not seen: then the comparison, in its turn in the
		// log, is with another value, and fails.
		p.store.Apply(&b)
		p.commit.seesAll()
	}
	p.cost.bytes(len(b.Ops[0].Value))
	return b.Ops[0].Value, b.Ops[0].Form, b.Ops[0].Status
}

// etag is a hash of a value as it is kept.
type etag uint64

func etagOf(value []byte, form codec.Form) etag {
	h := xxhash.Sum64(value)
	if form != codec.FormJSON { // "1" is not 1
		h ^= 0x9E3779B97F4A7C15
	}
	return etag(h)
}

// append appends it without its quotes.
func (e etag) append(dst []byte) []byte {
	const digits = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, digits[e>>shift&15])
	}
	return dst
}

// hasTag reports whether an etag is in a list. * is any. A weak one is as good only where it is
// the client's copy that is compared.
func hasTag(list []byte, e etag, weakly bool) bool {
	if string(list) == "*" {
		return true
	}
	var text [16]byte
	want := e.append(text[:0])
	for ok := true; len(list) > 0; {
		var tag []byte
		var weak bool
		if tag, weak, list, ok = http1.CutTag(list); !ok {
			return false
		}
		if bytes.Equal(tag, want) && (weakly || !weak) {
			return true
		}
	}
	return false
}
