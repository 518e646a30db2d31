package netio

import (
	"math/bits"
	"time"

	"keyframe/codec"
	"keyframe/netio/frame"
)

// Counters are what one event loop has done since the start. The loop counts in
// plain fields, and publishes a copy at the end of each turn, before the turn's
// responses leave: a client that has an answer finds its command counted.
type Counters struct {
	Frames   uint64 // lines and WebSocket frames, control frames and blank lines among them
	Queries  uint64 // commands, refused ones among them
	BytesIn  uint64 // framing included
	BytesOut uint64 // framing included; what a slow client has not read yet among them

	// Commands are the accepted ones, by codec.Opcode.
	Commands [codec.NumOpcodes]uint64
	// Errors counts what went wrong, by ErrorKind.
	Errors [NumErrorKinds]uint64

	Squeezed uint64 // times that a connection was squeezed; see budget.go
	CutOff   uint64 // connections that were cut off for that, or for what is spent

	// BatchSizes counts the batches of up to 1, 2, 4 … operations: the calls
	// of the engine; BatchOps are their operations.
	BatchSizes [NumBatchSizes]uint64
	BatchOps   uint64
	// ApplyTime is the time spent in the engine's Apply, estimated from a sample; see
	// pipeline.apply. COUNT and CLEAR are other calls of the engine; their time is not in
	// it, and they are no batches.
	ApplyTime time.Duration
}

// NumBatchSizes is the length of Counters.BatchSizes: a batch has less than twice
// batchOps operations.
const NumBatchSizes = 12

var _ = [1]struct{}{}[2*batchOps-1<<(NumBatchSizes-1)] // does not compile otherwise

// ErrorKind says what went wrong.
type ErrorKind uint8

// The kinds of errors. The first ones are answers to a command, or to an element
// of one; the others end the connection.
const (
	ErrorSyntax         ErrorKind = iota // not JSON
	ErrorNotOneCommand                   // JSON, but not an object with one member
	ErrorUnknownCommand                  // no command has this name
	ErrorArgumentType                    // the command's argument is of the wrong type
	ErrorKeyLength                       // a key is too short or too long
	ErrorValueType                       // a value, key or rename is of the wrong type
	ErrorOutOfMemory                     // the store is full
	ErrorValueDiffers                    // a value is not the expected one
	ErrorNotAnInteger                    // a value is no whole number of 64 bits, or would not be
	ErrorDenied                          // the client may not do this
	ErrorUnavailable                     // the store can't take writes at the moment

	ErrorUpgrade          // a WebSocket upgrade was refused
	ErrorProtocol         // WebSocket close 1002
	ErrorUnsupported      // WebSocket close 1003
	ErrorInvalidText      // WebSocket close 1007
	ErrorTooBig           // a frame over the limit
	ErrorHandshakeTimeout // a client began to speak and did not go on
	ErrorIdleTimeout      // a client was silent, or did not answer a ping
	ErrorUnauthenticated  // a client did not say who it is in time
	ErrorRevoked          // a connection's user or token is removed, or its time is over

	// NumErrorKinds is the length of an array that is indexed by ErrorKind.
	NumErrorKinds = int(ErrorRevoked) + 1
)

var errorKindNames = [NumErrorKinds]string{
	ErrorSyntax:           "syntax",
	ErrorNotOneCommand:    "not_one_command",
	ErrorUnknownCommand:   "unknown_command",
	ErrorArgumentType:     "argument_type",
	ErrorKeyLength:        "key_length",
	ErrorValueType:        "value_type",
	ErrorOutOfMemory:      "out_of_memory",
	ErrorValueDiffers:     "value_differs",
	ErrorNotAnInteger:     "not_an_integer",
	ErrorDenied:           "denied",
	ErrorUnavailable:      "unavailable",
	ErrorUpgrade:          "upgrade",
	ErrorProtocol:         "protocol",
	ErrorUnsupported:      "unsupported",
	ErrorInvalidText:      "invalid_text",
	ErrorTooBig:           "too_big",
	ErrorHandshakeTimeout: "handshake_timeout",
	ErrorIdleTimeout:      "idle_timeout",
	ErrorUnauthenticated:  "unauthenticated",
	ErrorRevoked:          "revoked",
}

// String returns the kind's name in the metrics and in SERVER_INFO.
func (k ErrorKind) String() string {
	if int(k) < NumErrorKinds {
		return errorKindNames[k]
	}
	return "unknown"
}

// refusalKind is the kind of a refused command.
func refusalKind(code codec.RefusalCode) ErrorKind {
	switch code {
	case codec.RefusedTop:
		return ErrorNotOneCommand
	case codec.RefusedName:
		return ErrorUnknownCommand
	case codec.RefusedArgument:
		return ErrorArgumentType
	case codec.RefusedDenied:
		return ErrorDenied
	default:
		return ErrorSyntax
	}
}

// elementKind is the kind of an element that was not executed.
func elementKind(st codec.Status) ErrorKind {
	switch st {
	case codec.StatusKeyLengthInvalid:
		return ErrorKeyLength
	case codec.StatusTypeInvalid:
		return ErrorValueType
	case codec.StatusValueDiffers:
		return ErrorValueDiffers
	case codec.StatusNotAnInteger:
		return ErrorNotAnInteger
	case codec.StatusDenied:
		return ErrorDenied
	case codec.StatusUnavailable:
		return ErrorUnavailable
	}
	return ErrorOutOfMemory
}

// countEnd counts the end of a connection, if its reason is an error that the server has
// found: a client's close frame may name one of its own.
func (n *Counters) countEnd(why error) {
	if _, ok := why.(*upgradeError); ok {
		n.Errors[ErrorUpgrade]++
		return
	}
	err := closeErrorOf(why)
	if err == nil || err.Echo {
		return
	}
	switch err.Code {
	case frame.CloseProtocolError:
		n.Errors[ErrorProtocol]++
	case frame.CloseUnsupported:
		n.Errors[ErrorUnsupported]++
	case frame.CloseInvalidText:
		n.Errors[ErrorInvalidText]++
	case frame.CloseTooBig:
		n.Errors[ErrorTooBig]++
	}
}

func (n *Counters) countBatch(ops int) {
	n.BatchSizes[bits.Len(uint(max(ops, 1)-1))]++
	n.BatchOps += uint64(ops)
}

// add adds what another loop has counted.
func (n *Counters) add(o *Counters) {
	n.Frames += o.Frames
	n.Queries += o.Queries
	n.BytesIn += o.BytesIn
	n.BytesOut += o.BytesOut
	n.BatchOps += o.BatchOps
	n.Squeezed += o.Squeezed
	n.CutOff += o.CutOff
	n.ApplyTime += o.ApplyTime
	for i := range n.Commands {
		n.Commands[i] += o.Commands[i]
	}
	for i := range n.Errors {
		n.Errors[i] += o.Errors[i]
	}
	for i := range n.BatchSizes {
		n.BatchSizes[i] += o.BatchSizes[i]
	}
}
