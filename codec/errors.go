package codec

import (
	"errors"
	"fmt"
)

// Refusals: why Decode does not accept a command. AppendError makes each of them
// a response.

// ErrNotOneCommand: valid JSON, but not an object with exactly one member.
//
//lint:ignore ST1005 the contract gives these words
var ErrNotOneCommand = errors.New("Only one command permitted")

// A SyntaxError says what is not JSON, or not within the limits, and where.
type SyntaxError struct {
	Offset int // in bytes, from 0
	Msg    string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.Msg, e.Offset) }

// An UnknownCommandError names a command that does not exist.
type UnknownCommandError struct {
	Name string // JSON text as it was written, without its quotes
}

func (e *UnknownCommandError) Error() string { return "unknown command " + e.Name }

// An ArgumentTypeError says what a command takes instead of what it was given.
type ArgumentTypeError struct {
	Op  Opcode
	Msg string
}

func (e *ArgumentTypeError) Error() string { return e.Op.String() + " " + e.Msg }

// syntaxAt makes a SyntaxError about the byte at i, or about the end of b.
func syntaxAt(b []byte, i int, want string) *SyntaxError {
	if i >= len(b) {
		return &SyntaxError{len(b), "unexpected end, want " + want}
	}
	if c := b[i]; c >= 0x20 && c < 0x7F && c != '"' {
		return &SyntaxError{i, fmt.Sprintf("unexpected '%c', want %s", c, want)}
	}
	return &SyntaxError{i, fmt.Sprintf("unexpected byte 0x%02X, want %s", b[i], want)}
}
