package client

import (
	"errors"
	"fmt"

	"keyframe/codec"
	wire "keyframe/codec/client"
)

// A StatusError is what the server has answered for a key instead of doing what was asked:
// a status of PROTOCOL.md section 2. errors.Is compares the status alone, so that
// errors.Is(err, client.ErrType) holds whatever the message is.
type StatusError struct {
	Status  codec.Status
	Message string // what the server says besides; often ""
}

// The status errors.
var (
	ErrNotExist    = &StatusError{Status: codec.StatusKeyNotExist}      // there is no such key
	ErrExists      = &StatusError{Status: codec.StatusKeyExists}        // Add, Rename, CAS: the key is there already
	ErrKeyLength   = &StatusError{Status: codec.StatusKeyLengthInvalid} // the key is too short (--min-key) or too long
	ErrType        = &StatusError{Status: codec.StatusTypeInvalid}      // not a value that the server stores, or not of a type that goes with what is there
	ErrDiffers     = &StatusError{Status: codec.StatusValueDiffers}     // CAS, RemoveIf: another value is there
	ErrNotInteger  = &StatusError{Status: codec.StatusNotAnInteger}     // Incr: what is there is no whole number of 64 bits, or the sum would be none
	ErrDenied      = &StatusError{Status: codec.StatusDenied}           // the user may not do this
	ErrOutOfMemory = &StatusError{Status: codec.StatusOutOfMemory}      // the store has no room; the key is as it was
	ErrUnavailable = &StatusError{Status: codec.StatusUnavailable}      // the server is loading or can't take writes; nothing was changed
)

var statusTexts = map[codec.Status]string{
	codec.StatusKeyNotExist:      "the key does not exist",
	codec.StatusKeyExists:        "the key exists",
	codec.StatusKeyLengthInvalid: "the key is too short or too long",
	codec.StatusTypeInvalid:      "the value is of a type that can't be used here",
	codec.StatusValueDiffers:     "the key has another value",
	codec.StatusNotAnInteger:     "the value is no whole number of 64 bits, or would be none",
	codec.StatusDenied:           "denied",
	codec.StatusOutOfMemory:      "the store is out of memory",
	codec.StatusUnavailable:      "the server can't do this at the moment",
}

func (e *StatusError) Error() string {
	text, ok := statusTexts[e.Status]
	if !ok {
		text = fmt.Sprintf("status %d", e.Status)
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	return "keyframe: " + text
}

// Is reports whether target is a StatusError of the same status.
func (e *StatusError) Is(target error) bool {
	t, ok := target.(*StatusError)
	return ok && t.Status == e.Status
}

// A ServerError is the refusal of a whole command: nothing of it was executed. The client
// makes no command that a server of PROTOCOL.md refuses, except where the server's options
// or its version don't have it, a cursor is too old, or the user may not send it.
type ServerError struct {
	Code    int // "s" of a SERVER_ERROR, or 12: the argument is not what the command takes
	Message string
}

func (e *ServerError) Error() string {
	return fmt.Sprintf("keyframe: the server refuses the command (%d): %s", e.Code, e.Message)
}

// Is reports whether target is ErrDenied or ErrUnavailable, and the refusal is for that.
func (e *ServerError) Is(target error) bool {
	t, ok := target.(*StatusError)
	return ok && int(t.Status) == e.Code && (t.Status == codec.StatusDenied || t.Status == codec.StatusUnavailable)
}

// A ConnError is a call that has no answer: the connection was lost or could not be had, or
// the call's context ended first. Unwrap has the reason: what net or crypto/tls says,
// context.Canceled, ErrClosed and so on.
type ConnError struct {
	// MayHaveRun says what is not known: the command was sent, or part of it, so the server
	// may have executed it, or may yet. Without it nothing was sent, and nothing will be.
	MayHaveRun bool
	Err        error
}

func (e *ConnError) Error() string {
	if e.MayHaveRun {
		return "keyframe: no answer to a command that may have run: " + e.Err.Error()
	}
	return "keyframe: the command was not sent: " + e.Err.Error()
}

func (e *ConnError) Unwrap() error { return e.Err }

// Errors of calls, and reasons of ConnErrors.
var (
	// ErrClosed is the reason when the client was closed.
	ErrClosed = errors.New("keyframe: the client is closed")
	// ErrSilent is the reason when the server owed an answer for Options.Silence.
	ErrSilent = errors.New("keyframe: the server has fallen silent")
	// ErrProtocol is the reason when the server sent what is no answer to what it was asked.
	ErrProtocol = errors.New("keyframe: not an answer to what was asked")

	// ErrKey: a key is not UTF-8, so JSON has no text for it. Nothing was sent.
	ErrKey = errors.New("keyframe: the key is not UTF-8")
	// ErrValue: a value is not one JSON text. Nothing was sent.
	ErrValue = errors.New("keyframe: the value is not JSON")
	// ErrTooLong: the command would be longer than Options.MaxFrameBytes. Nothing was sent,
	// since a server ends the connection for it, and with it everybody else's calls.
	ErrTooLong = errors.New("keyframe: the command is too long")
)

// statusError returns the error of a status that is not a success, without an allocation
// unless there is a message.
func statusError(st codec.Status, message []byte) error {
	if len(message) == 0 {
		for _, e := range [...]*StatusError{ErrNotExist, ErrExists, ErrKeyLength, ErrType, ErrDiffers, ErrNotInteger, ErrDenied, ErrOutOfMemory, ErrUnavailable} {
			if e.Status == st {
				return e
			}
		}
	}
	return &StatusError{Status: st, Message: string(message)}
}

// refusal returns the error of a response that refuses a whole command, nil if r is none.
func refusal(r *wire.Response) error {
	if r.Op == 0 || r.Status == codec.StatusQueryRootInvalidType {
		return &ServerError{int(r.Status), string(r.Message)}
	}
	return nil
}
