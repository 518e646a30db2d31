package frame

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// Close codes of RFC 6455 section 7.4.1, those that a Keyframe server sends.
const (
	CloseNoCode        = 0 // a close frame without a code; not a number on the wire
	CloseGoingAway     = 1001
	CloseProtocolError = 1002
	CloseUnsupported   = 1003
	CloseInvalidText   = 1007
	ClosePolicy        = 1008
	CloseTooBig        = 1009
)

// A CloseError ends a connection: Code is the close code, Reason is for the peer's
// log.
type CloseError struct {
	Code   int
	Reason string
	Echo   bool // the peer has closed, with this code: nothing is wrong here
}

func (e *CloseError) Error() string { return fmt.Sprintf("close %d: %s", e.Code, e.Reason) }

var (
	errReservedBit       = protocolError("a reserved bit is set")
	errUnknownOpcode     = protocolError("unknown opcode")
	errFragmentedControl = protocolError("fragmented control frame")
	errControlTooLong    = protocolError("control frame longer than 125 bytes")
	errClientDoesNotMask = protocolError("client frame without a mask")
	errServerMasks       = protocolError("server frame with a mask")
	errLengthTopBit      = protocolError("the length's top bit is set")
	errLengthNotMinimal  = protocolError("the length is not in its shortest form")
	errNothingToContinue = protocolError("continuation of nothing")
	errMessageInMessage  = protocolError("a new message inside a fragmented one")
	errMessageTooBig     = &CloseError{Code: CloseTooBig, Reason: "the message is longer than the frame limit"}
	errLineTooLong       = &CloseError{Code: CloseTooBig, Reason: "the line is longer than the frame limit"}
)

func protocolError(reason string) *CloseError {
	return &CloseError{Code: CloseProtocolError, Reason: reason}
}

// AppendControl appends a server's control frame; payload is at most 125 bytes.
func AppendControl(dst []byte, opcode Opcode, payload []byte) []byte {
	return append(AppendHeader(dst, opcode, len(payload)), payload...)
}

// AppendClose appends a server's close frame with a code and a reason, which is cut
// to what a control frame holds. Reasons are ASCII.
func AppendClose(dst []byte, code int, reason string) []byte {
	reason = reason[:min(len(reason), maxControlPayload-2)]
	dst = AppendHeader(dst, Close, 2+len(reason))
	dst = binary.BigEndian.AppendUint16(dst, uint16(code))
	return append(dst, reason...)
}

// CloseReply is the close frame that answers the peer's, given its payload: the
// same code (section 5.5.1), or what is wrong with it.
func CloseReply(payload []byte) *CloseError {
	if len(payload) == 1 {
		return protocolError("close frame of one byte")
	}
	code, reason := ParseClose(payload)
	switch {
	case code == CloseNoCode && len(payload) == 0:
	case !mayReceiveCode(code):
		return protocolError("close code out of range")
	case !utf8.Valid(reason):
		return &CloseError{Code: CloseInvalidText, Reason: "close reason is not UTF-8"}
	}
	return &CloseError{Code: code, Echo: true}
}

// ParseClose takes a close frame's payload apart, whatever the code: CloseNoCode when
// there is none. The reason aliases the payload.
func ParseClose(payload []byte) (code int, reason []byte) {
	if len(payload) < 2 {
		return CloseNoCode, nil
	}
	return int(binary.BigEndian.Uint16(payload)), payload[2:]
}

// mayReceiveCode reports whether an endpoint may put a code into a close frame:
// sections 7.4.1 and 7.4.2 and the IANA registry (1012 to 1014 were added there).
func mayReceiveCode(code int) bool {
	return code >= 1000 && code <= 1003 || code >= 1007 && code <= 1014 || code >= 3000 && code <= 4999
}
