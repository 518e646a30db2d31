package netio

import (
	"bytes"
	"net/http"
	"strconv"

	"keyframe/codec"
)

// This file is how the answers of commands become responses.

// response is one, but for what asked says.
type response struct {
	status int
	kind   contentKind
	etag   etag
	tagged bool   // it has the etag
	allow  string // the methods that there are
	body   []byte
	length int // of the body, where that comes after the head
}

// unknownLength: the body ends with a last chunk, or with the connection.
const unknownLength = -1

type contentKind uint8

const (
	noContent contentKind = iota
	plainText
	jsonText
	jsonLines
)

var contentTypes = [...]string{
	plainText: "Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n",
	jsonText:  "Content-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n",
	jsonLines: "Content-Type: application/x-ndjson\r\nX-Content-Type-Options: nosniff\r\n",
}

// goOnSending is what a client that expects it waits for before it sends a body.
const goOnSending = "HTTP/1.1 100 Continue\r\n\r\n"

// statusLines are the first lines of responses, by their status.
var statusLines = func() (lines [600]string) {
	for status := range lines {
		if text := http.StatusText(status); text != "" {
			lines[status] = "HTTP/1.1 " + strconv.Itoa(status) + " " + text + "\r\n"
		}
	}
	return lines
}()

// appendHead appends the head of a response whose body has res.length bytes.
func (f *httpFraming) appendHead(dst []byte, a *asked, res response) []byte {
	dst = append(dst, statusLines[res.status]...)
	dst = append(dst, f.date...)
	dst = append(dst, contentTypes[res.kind]...)
	if res.tagged {
		dst = append(dst, `ETag: "`...)
		dst = append(res.etag.append(dst), "\"\r\n"...)
	}
	switch {
	case res.length >= 0 && res.status != http.StatusNoContent && res.status != http.StatusNotModified:
		dst = append(strconv.AppendInt(append(dst, "Content-Length: "...), int64(res.length), 10), "\r\n"...)
	case res.length == unknownLength && !a.old:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	if res.allow != "" {
		dst = append(append(append(dst, "Allow: "...), res.allow...), "\r\n"...)
	}
	if res.status == http.StatusUnauthorized {
		dst = append(dst, challenge...)
	}
	if a.origin != "" {
		dst = f.appendCORS(dst, a, res.allow)
	} else if len(f.opts.AllowOrigins) > 0 {
		dst = append(dst, "Vary: Origin\r\n"...)
	}
	if a.close {
		dst = append(dst, "Connection: close\r\n"...)
	} else if a.old {
		dst = append(dst, "Connection: keep-alive\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// appendCORS appends what a browser asks before it lets a page have the response and, for
// OPTIONS, before it sends a request that no form could.
func (f *httpFraming) appendCORS(dst []byte, a *asked, methods string) []byte {
	dst = append(append(append(dst, "Access-Control-Allow-Origin: "...), a.origin...), "\r\nVary: Origin\r\nAccess-Control-Expose-Headers: ETag\r\n"...)
	if methods != "" {
		dst = append(append(append(dst, "Access-Control-Allow-Methods: "...), methods...), "\r\n"...)
		dst = append(dst, "Access-Control-Allow-Headers: Authorization, Content-Type, If-Match, If-None-Match\r\nAccess-Control-Max-Age: 600\r\n"...)
	}
	return dst
}

// appendResponse appends a whole response.
func (f *httpFraming) appendResponse(dst []byte, a *asked, res response) []byte {
	res.length = len(res.body)
	dst = f.appendHead(dst, a, res)
	if a.head {
		return dst
	}
	return append(dst, res.body...)
}

// maxKeptAsked is for how many requests a connection keeps memory: 2 KiB.
const maxKeptAsked = 32

// take1 is the request whose command is answered next.
func (f *httpFraming) take1() (a asked) {
	a = f.asked[f.taken]
	f.asked[f.taken] = asked{} // what it refers to
	if f.taken++; f.taken < len(f.asked) {
		return a
	}
	if f.asked, f.taken = f.asked[:0], 0; cap(f.asked) > maxKeptAsked {
		f.asked = nil
	}
	return a
}

func (f *httpFraming) appendStatus(dst []byte, op codec.Opcode, arg *codec.Arg, st codec.Status) []byte {
	if f.body != nil {
		return append(codec.AppendResponse(dst, op, arg, st), '\n')
	}
	a := f.take1()
	status := statusOf(op, st)
	res := response{status: status}
	if status >= http.StatusBadRequest {
		if a.why == "" {
			a.why = reasons[st]
		}
		res.kind, res.body = plainText, []byte(a.why+"\n")
	}
	return f.appendResponse(dst, &a, res)
}

func (f *httpFraming) appendValue(dst []byte, op codec.Opcode, arg *codec.Arg, value []byte) []byte {
	if f.body != nil {
		return append(codec.AppendValue(dst, op, arg, value), '\n')
	}
	a := f.take1()
	res := response{status: http.StatusOK, kind: jsonText, etag: etagOf(value, arg.Form), tagged: true}
	if a.noneMatch != nil && hasTag(a.noneMatch, res.etag, true) {
		res.status, res.kind = http.StatusNotModified, noContent
		return f.appendHead(dst, &a, res)
	}
	switch arg.Form {
	case codec.FormJSON:
		res.length = len(value)
	case codec.FormString:
		res.length = len(value) + len(`""`)
	default: // it may have to be escaped
		value = codec.AppendJSON(nil, value, arg.Form)
		res.length = len(value)
		arg.Form = codec.FormJSON
	}
	dst = f.appendHead(dst, &a, res)
	if a.head {
		return dst
	}
	return codec.AppendJSON(dst, value, arg.Form)
}

// appendText appends an answer of a body's, or what KEYS answers.
func (f *httpFraming) appendText(dst, text []byte) []byte {
	if f.body != nil {
		return append(append(dst, text...), '\n')
	}
	a := f.take1()
	res := response{status: http.StatusOK, kind: jsonText, length: len(text) + 1}
	if bytes.HasPrefix(text, deniedKeys) {
		res.status = http.StatusForbidden
	}
	dst = f.appendHead(dst, &a, res)
	if a.head {
		return dst
	}
	return append(append(dst, text...), '\n')
}

// deniedKeys begins what KEYS answers to a user who may not list those keys.
var deniedKeys = []byte(`{"KEYS_RSP":{"st":13,`)

// statusOf is HTTP's number for what came of a command.
func statusOf(op codec.Opcode, st codec.Status) int {
	switch st {
	case codec.StatusKeySet:
		return http.StatusCreated
	case codec.StatusKeyUpdated, codec.StatusKeyRemoved:
		return http.StatusNoContent
	case codec.StatusKeyNotExist:
		if op == codec.OpGet || op == codec.OpRemove {
			return http.StatusNotFound
		}
		return http.StatusPreconditionFailed
	case codec.StatusKeyExists, codec.StatusValueDiffers:
		return http.StatusPreconditionFailed
	case codec.StatusTypeInvalid:
		if op == codec.OpGet {
			return http.StatusNotAcceptable
		}
		return http.StatusBadRequest
	case codec.StatusKeyLengthInvalid:
		return http.StatusBadRequest
	case codec.StatusDenied:
		return http.StatusForbidden
	case codec.StatusOutOfMemory:
		return http.StatusInsufficientStorage
	case codec.StatusUnavailable:
		return http.StatusServiceUnavailable
	}
	panic("BUG: netio: no status of HTTP for " + strconv.Itoa(int(st)))
}

// reasons are what a response says that has no better words.
var reasons = [...]string{
	codec.StatusKeyNotExist:  "there is no such key",
	codec.StatusKeyExists:    "the key exists",
	codec.StatusValueDiffers: "the value is another one",
	codec.StatusTypeInvalid:  "the value is bytes that are not UTF-8, and so not JSON",
	codec.StatusDenied:       "you may not do this with this key",
	codec.StatusOutOfMemory:  "the store is full",
	codec.StatusUnavailable:  "the store can't take writes at the moment",
}

// kindOfStatus is what a response without a command is counted as.
func kindOfStatus(status int) ErrorKind {
	switch status {
	case http.StatusForbidden, http.StatusUnauthorized:
		return ErrorDenied
	case http.StatusRequestEntityTooLarge:
		return ErrorTooBig
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return ErrorUnknownCommand
	}
	return ErrorArgumentType
}

// httpDate is the Date header of a turn's responses, made once a second.
func (p *pipeline) httpDate() []byte {
	now := p.now()
	if second := now.Unix(); second != p.dated || p.date == nil {
		p.dated = second
		p.date = now.UTC().AppendFormat(append(p.date[:0], "Date: "...), http.TimeFormat)
		p.date = append(p.date, "\r\n"...)
	}
	return p.date
}
