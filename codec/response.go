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

const numStatuses = int(StatusOutOfMemory) + 1

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

// The middle and the tail of the answer to a pair whose value may not be stored: what to do
// about it. Only a server without the option ever refuses a value's type.
const (
	headTypeInvalid = `7,"k":"`
	valueTypes      = `","m":"null, objects and arrays are values only with --values any"}}`
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

// appendRare is AppendResponse for an answer with more than a key: to a rename, which has
// both keys, and to a pair whose value may not be stored.
func appendRare(dst []byte, op Opcode, arg *Arg, st Status) []byte {
	if op.Shape() == ShapePairs {
		dst = append(append(dst, derived.texts[op].Response...), headTypeInvalid...)
		return append(appendKey(dst, arg.Key, arg.flags&keyNeedsEscape != 0), valueTypes...)
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
	if op.Shape() == ShapePairs {
		return len(derived.texts[op].Response) + len(headTypeInvalid) + n + len(valueTypes)
	}
	return len(derived.rename[op]) + n + len(`":"`) + keyLen(arg.Value, arg.flags&valueNeedsEscape != 0) + len(renameTail[st])
}

// ValueLen returns how many bytes AppendValue will append.
func ValueLen(op Opcode, arg *Arg, value []byte) int {
	return derived.value[op].n + keyLen(arg.Key, arg.flags&keyNeedsEscape != 0) + len(`":`) + len(value) + len("}}")
}

// AppendValue appends the answer with a value, of a command that has one.
func AppendValue(dst []byte, op Opcode, arg *Arg, value []byte) []byte {
	dst = appendPrefix(dst, &derived.value[op], len(arg.Key)+len(value)+4)
	dst = appendKey(dst, arg.Key, arg.flags&keyNeedsEscape != 0)
	dst = append(dst, `":`...)
	dst = append(dst, value...)
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
