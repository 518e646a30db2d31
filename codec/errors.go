package codec

import (
	"errors"
	"fmt"
)

// A Refusal says why a command is not accepted, and where. AppendError makes it a
// response. codec/client has it too, for responses that are not JSON.
type Refusal struct {
	Code   RefusalCode
	Offset int    // of the byte at fault, from 0; of a name or argument at fault, the first byte
	Op     Opcode // for RefusedArgument: whose argument it is
	Text   string // what is wrong; for RefusedName the name, as it was written
}

// RefusalCode is the kind of a refusal: its number on the wire (PROTOCOL.md section 2).
type RefusalCode uint8

// The codes, the most general fault first.
const (
	RefusedSyntax   RefusalCode = 5  // it is not JSON, or not within the limits
	RefusedTop      RefusalCode = 4  // JSON, but not an object with exactly one member
	RefusedName     RefusalCode = 3  // no command has this name
	RefusedArgument RefusalCode = 12 // the argument is not what the command takes
)

// oneCommand is the text of RefusedTop, which PROTOCOL.md section 2 gives.
const oneCommand = "Only one command permitted"

func (r *Refusal) Error() string {
	switch {
	case r.Code == RefusedName:
		return "unknown command " + r.Text
	case r.Code == RefusedArgument:
		return r.Op.String() + " " + r.Text
	case r.Code == RefusedSyntax && r.Offset >= 0:
		return fmt.Sprintf("%s at byte %d", r.Text, r.Offset)
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

// syntaxAt makes a refusal about the byte at i, or about the end of b.
func syntaxAt(b []byte, i int, want string) *Refusal {
	if i >= len(b) {
		return syntax(len(b), "unexpected end, want "+want)
	}
	if c := b[i]; c >= 0x20 && c < 0x7F && c != '"' {
		return syntax(i, fmt.Sprintf("unexpected '%c', want %s", c, want))
	}
	return syntax(i, fmt.Sprintf("unexpected byte 0x%02X, want %s", b[i], want))
}

func syntax(offset int, text string) *Refusal {
	return &Refusal{Code: RefusedSyntax, Offset: offset, Text: text}
}
