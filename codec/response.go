package codec

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
)

// Every Append function here appends the JSON of one response to dst, without framing,
// and returns the longer slice. ResponseLen and ValueLen give the length of the commonest
// responses beforehand, so that a frame's header can be written first.

// A prefix is the fixed beginning of a response. All of its 32 bytes are copied, and then
// n of them kept: two moves of a register instead of a call.
type prefix struct {
	text [32]byte
	n    int
}

func makePrefix(format string, args ...any) (p prefix) {
	text := fmt.Appendf(nil, format, args...)
	if p.n = copy(p.text[:], text); p.n < len(text) {
		panic("BUG: codec: no prefix has room for " + string(text))
	}
	return p
}

// renameTail is the end of the answer to a rename: ","st":1}}
var renameTail = func() (tail [numStatuses]string) {
	for st := range tail {
		tail[st] = fmt.Sprintf(`","st":%d}}`, st)
	}
	return tail
}()

// appendPrefix appends head, and makes room for n more bytes after it.
func appendPrefix(dst []byte, head *prefix, n int) []byte {
	at := len(dst)
	if cap(dst)-at < len(head.text)+n {
		dst = slices.Grow(dst, len(head.text)+n)
	}
	*(*[32]byte)(dst[at : at+32]) = head.text
	return dst[:at+head.n]
}

// The middle of the answer to an element whose value is of the wrong type, and what stands
// before and after what it takes.
const (
	headTypeInvalid = `7,"k":"`
	midTypeInvalid  = `","m":"`
	tailTypeInvalid = `"}}`
)

// AppendResponse appends the answer for one element: its status and its key.
func AppendResponse(dst []byte, op Opcode, arg *Arg, st Status) []byte {
	head := &derived.status[op][st]
	if head.n == 0 {
		return appendRare(dst, op, arg, st)
	}
	dst = appendPrefix(dst, head, len(arg.Key)+3)
	if arg.flags != 0 {
		return append(appendEscaped(dst, arg.Key), `"}}`...)
	}
	return append(append(dst, arg.Key...), `"}}`...)
}

// unreadable says why a value of FormBytes, which no argument has, is not answered with.
const unreadable = "the old value is bytes that are not UTF-8; it stays"

func whyTypeInvalid(op Opcode, arg *Arg) string {
	if arg.Form == FormBytes {
		return unreadable
	}
	return mistyped[op.Shape()]
}

// appendRare is AppendResponse for an answer with more than a key: to a rename, which has
// both keys, and to an element whose value is of the wrong type: its own, or, with FormBytes,
// the old one that it can't be answered with.
func appendRare(dst []byte, op Opcode, arg *Arg, st Status) []byte {
	if op.Shape() != ShapeRenames {
		dst = append(append(dst, derived.texts[op].Response...), headTypeInvalid...)
		dst = appendKey(dst, arg.Key, arg.flags&keyNeedsEscape != 0)
		return append(append(append(dst, midTypeInvalid...), whyTypeInvalid(op, arg)...), tailTypeInvalid...)
	}
	dst = append(dst, derived.rename[op]...)
	dst = appendKey(dst, arg.Key, arg.flags&keyNeedsEscape != 0)
	dst = append(dst, `":"`...)
	dst = appendKey(dst, arg.Value, arg.flags&valueNeedsEscape != 0)
	return append(dst, renameTail[st]...)
}

// ResponseLen returns how many bytes AppendResponse will append.
func ResponseLen(op Opcode, arg *Arg, st Status) int {
	n := derived.status[op][st].n
	if n == 0 {
		return rareLen(op, arg, st)
	}
	return n + keyLen(arg.Key, arg.flags != 0) + len(`"}}`)
}

// rareLen returns how many bytes appendRare will append.
func rareLen(op Opcode, arg *Arg, st Status) int {
	n := keyLen(arg.Key, arg.flags&keyNeedsEscape != 0)
	if op.Shape() != ShapeRenames {
		return len(derived.texts[op].Response) + len(headTypeInvalid) + n + len(midTypeInvalid) + len(whyTypeInvalid(op, arg)) + len(tailTypeInvalid)
	}
	return len(derived.rename[op]) + n + len(`":"`) + keyLen(arg.Value, arg.flags&valueNeedsEscape != 0) + len(renameTail[st])
}

// ValueLen returns how many bytes AppendValue will append.
func ValueLen(op Opcode, arg *Arg, value []byte) int {
	n := derived.value[op][arg.Status].n + keyLen(arg.Key, arg.flags&keyNeedsEscape != 0) + len(`":`) + len(value) + len("}}")
	if arg.Form != FormJSON {
		n += len(`""`)
		if arg.Form == FormBytes {
			n += escapedLen(value) - len(value)
		}
	}
	return n
}

// AppendValue appends the answer with a value, which IsText must report to be text. Its form
// is arg.Form, and the answer's status arg.Status, one of op.Values: with two arguments more
// a framing's method would not have them all in registers, which takes 3 ns.
func AppendValue(dst []byte, op Opcode, arg *Arg, value []byte) []byte {
	dst = appendPrefix(dst, &derived.value[op][arg.Status], len(arg.Key)+len(value)+6)
	dst = appendKey(dst, arg.Key, arg.flags&keyNeedsEscape != 0)
	if arg.Form == FormString {
		dst = append(append(dst, `":"`...), value...)
		return append(dst, `"}}`...)
	}
	dst = append(dst, `":`...)
	return append(appendValue(dst, value, arg.Form), "}}"...)
}

// appendValue appends a value as JSON text.
func appendValue(dst, value []byte, form Form) []byte {
	switch form {
	case FormJSON:
		return append(dst, value...)
	case FormString:
		return append(append(append(dst, '"'), value...), '"')
	}
	return append(appendEscaped(append(dst, '"'), value), '"')
}

// AppendJSON appends a value, which IsText must report to be text, as JSON.
func AppendJSON(dst, value []byte, form Form) []byte { return appendValue(dst, value, form) }

// IsText reports whether a value has a JSON text: bytes that are not UTF-8 have none.
func IsText(value []byte, form Form) bool { return form != FormBytes || ValidUTF8(value) }

// AppendID puts the id into the answer that begins at dst[from:], as its first member.
func AppendID(dst []byte, from int, id []byte) []byte {
	at := from + bytes.IndexByte(dst[from:], ':') + len(":{") // no command's name has a colon
	n := len(idHead) + len(id) + len(",")
	dst = slices.Grow(dst, n)
	dst = dst[:len(dst)+n]
	copy(dst[at+n:], dst[at:])
	at += copy(dst[at:], idHead)
	at += copy(dst[at:], id)
	dst[at] = ','
	return dst
}

const idHead = `"#":`

// AppendDone appends the answer to a command with an id that would have none otherwise. It
// has no id yet.
func AppendDone(dst []byte, op Opcode) []byte {
	dst = append(dst, `{"`...)
	dst = append(dst, op.String()...)
	return append(dst, `_RSP":{"st":0}}`...)
}

// AppendPageOpen begins the answer of a command with ReplyPage, with the keys or with the
// pairs of keys and values.
func AppendPageOpen(dst []byte, op Opcode, values bool) []byte {
	dst = append(dst, `{"`...)
	dst = append(dst, op.String()...)
	if values {
		return append(dst, `_RSP":{"st":0,"pairs":{`...)
	}
	return append(dst, `_RSP":{"st":0,"keys":[`...)
}

// AppendPageKey appends a key to a page.
func AppendPageKey(dst, key []byte) []byte {
	if last := dst[len(dst)-1]; last != '{' && last != '[' {
		dst = append(dst, ',')
	}
	return AppendString(dst, key)
}

// AppendPagePair appends a key and its value, which IsText must report to be text.
func AppendPagePair(dst, key, value []byte, form Form) []byte {
	return appendValue(append(AppendPageKey(dst, key), ':'), value, form)
}

// AppendPageClose ends a page. cursor is nil in the last one.
func AppendPageClose(dst []byte, values bool, cursor []byte) []byte {
	if values {
		dst = append(dst, '}')
	} else {
		dst = append(dst, ']')
	}
	if cursor != nil {
		dst = AppendString(append(dst, `,"cursor":`...), cursor)
	}
	return append(dst, "}}"...)
}

// AppendCount appends the answer of a command with ReplyCount.
func AppendCount(dst []byte, op Opcode, n int) []byte {
	dst = append(dst, `{"`...)
	dst = append(dst, op.String()...)
	dst = append(dst, `_RSP":{"st":0,"cnt":`...)
	dst = strconv.AppendInt(dst, int64(n), 10)
	return append(dst, "}}"...)
}

// AppendMembers appends the answer of a command with ReplyMembers: after the status, the
// members of info, which must be a struct or an Object that encodes to a JSON object.
func AppendMembers(dst []byte, op Opcode, info any) []byte {
	dst = append(dst, `{"`...)
	dst = append(dst, op.String()...)
	dst = append(dst, `_RSP":{"st":0`...)
	at := len(dst)
	dst = appendJSON(dst, info)
	if dst[at+1] == '}' {
		return append(dst[:at], "}}"...)
	}
	dst[at] = ',' // its opening brace
	return append(dst, '}')
}

// AppendError appends the refusal of a command that Decode has not accepted.
func AppendError(dst []byte, r *Refusal) []byte {
	from := len(dst)
	dst = appendRefusal(dst, r)
	if r.ID != "" {
		dst = AppendID(dst, from, []byte(r.ID))
	}
	return dst
}

func appendRefusal(dst []byte, r *Refusal) []byte {
	switch r.Code {
	case RefusedName:
		dst = append(dst, `{"SERVER_ERROR":{"s":3,"m":"`+unknownCommand...)
		dst = append(dst, r.Text...) // JSON text already
		return append(dst, `"}}`...)
	case RefusedArgument:
		dst = append(dst, `{"`...)
		dst = append(dst, r.Op.String()...)
		dst = append(dst, `_RSP":{"st":12,"m":"`...)
		dst = appendEscaped(dst, []byte(r.Error()))
		return append(dst, `"}}`...)
	default:
		return AppendServerError(dst, int(r.Code), r.Error())
	}
}

// AppendFailure appends the answer of a command without elements that is not executed, and
// why: its status is StatusUnavailable or StatusDenied.
func AppendFailure(dst []byte, op Opcode, st Status, msg string) []byte {
	dst = append(dst, `{"`...)
	dst = append(dst, op.String()...)
	dst = append(dst, `_RSP":{"st":`...)
	dst = strconv.AppendInt(dst, int64(st), 10)
	dst = append(dst, `,"m":"`...)
	dst = appendEscaped(dst, bytes.ToValidUTF8([]byte(msg), []byte("\uFFFD")))
	return append(dst, `"}}`...)
}

// AppendServerError appends an error that is no known command's.
func AppendServerError(dst []byte, s int, msg string) []byte {
	dst = append(dst, `{"SERVER_ERROR":{"s":`...)
	dst = strconv.AppendInt(dst, int64(s), 10)
	dst = append(dst, `,"m":"`...)
	dst = appendEscaped(dst, bytes.ToValidUTF8([]byte(msg), []byte("\uFFFD")))
	return append(dst, `"}}`...)
}

// appendKey appends a key as the inside of a JSON string. A key that came without escapes
// needs none.
func appendKey(dst, key []byte, escape bool) []byte {
	if !escape {
		return append(dst, key...)
	}
	return appendEscaped(dst, key)
}

// keyLen returns how many bytes appendKey will append.
func keyLen(key []byte, escape bool) int {
	if !escape {
		return len(key)
	}
	return escapedLen(key)
}

// escapedLen returns how many bytes appendEscaped will append.
func escapedLen(s []byte) (n int) {
	for i := 0; ; i++ {
		end, _ := scan(s, i)
		n += end - i
		if i = end; i >= len(s) {
			return n
		}
		switch s[i] {
		case '"', '\\', '\n', '\r', '\t':
			n += len(`\n`)
		default:
			n += len(`\u0000`)
		}
	}
}

// appendEscaped appends UTF-8 text as the inside of a JSON string.
func appendEscaped(dst, s []byte) []byte {
	for i := 0; i < len(s); {
		end, _ := scan(s, i)
		dst = append(dst, s[i:end]...)
		if i = end; i >= len(s) {
			break
		}
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		default:
			const hex = "0123456789abcdef"
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
	}
	return dst
}
