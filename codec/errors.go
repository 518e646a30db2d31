package codec

import (
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// A Refusal says why a command is not accepted, and where. AppendError makes it a
// response. codec/client has it too, for responses that are not JSON.
type Refusal struct {
	Code   RefusalCode
	Offset int    // of the byte at fault, from 0; of a word, name or argument at fault, the first byte
	Op     Opcode // for RefusedArgument: whose argument it is
	Text   string // what is wrong, and where; for RefusedName the name as it was written, or its beginning
	ID     string // the text of the command's id, as far as it could be read
}

// RefusalCode is the kind of a refusal: its number on the wire (PROTOCOL.md section 2).
type RefusalCode uint8

// The codes, the most general fault first.
const (
	RefusedSyntax   RefusalCode = 5  // it is not JSON, or not within the limits
	RefusedTop      RefusalCode = 4  // JSON, but not an object with exactly one member
	RefusedName     RefusalCode = 3  // no command has this name
	RefusedArgument RefusalCode = 12 // the argument is not what the command takes
	RefusedDenied   RefusalCode = 13 // the client must say who it is before; the codec itself refuses nothing so
)

// The texts of RefusedTop, which PROTOCOL.md section 2 gives.
const (
	oneCommand = "Only one command permitted"
	noCommand  = "no command in the object"
	oneID      = `"#" is one string or number of at most 64 bytes`
)

// unknownCommand stands before the name of RefusedName.
const unknownCommand = "unknown command "

func (r *Refusal) Error() string {
	switch r.Code {
	case RefusedName:
		return unknownCommand + r.Text
	case RefusedArgument:
		return r.Op.String() + " " + r.Text
	}
	return r.Text
}

// RefusalOf returns the Refusal that err is or wraps, as every error of Decode does. Of
// any other error it makes one without an Offset, which is then -1.
func RefusalOf(err error) *Refusal {
	var r *Refusal
	if errors.As(err, &r) {
		return r
	}
	return &Refusal{Code: RefusedSyntax, Offset: -1, Text: err.Error()}
}

// notJSON begins the text of every RefusedSyntax, except that of JSON which is nested too
// deep.
const notJSON = "not JSON: "

// noValue makes a refusal about the byte at i, where a value should begin, or about the
// end of b.
func noValue(b []byte, i int) *Refusal {
	if i >= len(b) {
		return syntaxAt(b, i, "a value")
	}
	text := appendPlace(appendByte([]byte(notJSON), b[i]), i)
	return &Refusal{Code: RefusedSyntax, Offset: i, Text: string(append(text, " begins no value"...))}
}

// syntaxAt makes a refusal about the byte at i, or about the end of b. Nothing here is
// formatted by fmt: a client may send faults as fast as commands.
func syntaxAt(b []byte, i int, want string) *Refusal {
	text := append([]byte(notJSON), "unexpected "...)
	if i < len(b) {
		text = appendByte(text, b[i])
	} else {
		i = len(b)
		text = append(text, "end"...)
	}
	text = append(appendPlace(text, i), ", want "...)
	return &Refusal{Code: RefusedSyntax, Offset: i, Text: string(append(text, want...))}
}

// syntax makes a refusal about the byte at offset.
func syntax(offset int, what string) *Refusal {
	text := appendPlace(append([]byte(notJSON), what...), offset)
	return &Refusal{Code: RefusedSyntax, Offset: offset, Text: string(text)}
}

// tooDeep makes the refusal of a value whose bracket at offset is one too many.
func tooDeep(offset, limit int) *Refusal {
	return &Refusal{Code: RefusedSyntax, Offset: offset, Text: fmt.Sprintf("nesting deeper than %d at byte %d", limit, offset)}
}

// loneInKey makes the refusal of a key with half a surrogate pair at offset.
func loneInKey(offset int) *Refusal { return syntax(offset, "unpaired surrogate in a key") }

func appendPlace(dst []byte, offset int) []byte {
	return strconv.AppendInt(append(dst, " at byte "...), int64(offset), 10)
}

// appendByte names a byte: as a character if it is one that people can see.
func appendByte(dst []byte, c byte) []byte {
	if c >= 0x20 && c < 0x7F {
		return append(dst, '\'', c, '\'')
	}
	const digits = "0123456789ABCDEF"
	return append(dst, 'b', 'y', 't', 'e', ' ', '0', 'x', digits[c>>4], digits[c&15])
}

// maxShownName is how many bytes of an unknown name a refusal repeats: enough to know a
// mistyped one by, and nothing that a message of megabytes could be had with.
const maxShownName = 64

// shownName is a name for a refusal: the inside of a JSON string that has been accepted,
// or its beginning, cut between two characters, with an ellipsis.
func shownName(name []byte) string {
	if len(name) <= maxShownName {
		return string(name)
	}
	for end := 0; ; {
		n := 1
		switch {
		case name[end] >= utf8.RuneSelf:
			_, n = utf8.DecodeRune(name[end:])
		case name[end] == '\\' && name[end+1] == 'u':
			n = 6
			// What follows may be the other half of a surrogate pair.
			if hex4(name[end+2:])&^0x3FF == 0xD800 && end+12 <= len(name) && name[end+6] == '\\' && name[end+7] == 'u' {
				n = 12
			}
		case name[end] == '\\':
			n = 2
		}
		if end+n > maxShownName {
			return string(name[:end]) + "…"
		}
		end += n
	}
}
