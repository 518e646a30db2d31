package netio

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// This file is RFC 6455's framing as functions over bytes: no sockets, no event
// loop, so that tests can cut a stream anywhere and fuzz it.

// Opcodes of RFC 6455 section 5.2.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

const (
	bitFin     = 0x80
	bitsRSV    = 0x70
	bitsOpcode = 0x0F
	bitMask    = 0x80
	bitControl = 0x08

	len16 = 126 // the length is in the next 2 bytes
	len64 = 127 // the length is in the next 8 bytes

	maxControlPayload = 125 // section 5.5
	maxHeaderBytes    = 14
)

// wsHeader is a frame's header, decoded.
type wsHeader struct {
	fin    bool
	opcode byte
	length int // of the payload
	size   int // of the header; the payload begins there, the masking key 4 bytes before
}

// parseHeader decodes the header at the start of b. It refuses a frame as soon
// as the bytes that condemn it are there: an attacker need not be waited for.
func parseHeader(b []byte, maxPayload int) (h wsHeader, err error) {
	if len(b) == 0 {
		return h, errIncomplete
	}
	h.fin = b[0]&bitFin != 0
	h.opcode = b[0] & bitsOpcode
	if b[0]&bitsRSV != 0 {
		return h, &closeError{code: closeProtocolError, reason: "a reserved bit is set"}
	}
	switch h.opcode {
	case opContinuation, opText, opBinary, opClose, opPing, opPong:
	default:
		return h, &closeError{code: closeProtocolError, reason: "unknown opcode"}
	}
	control := h.opcode&bitControl != 0
	if control && !h.fin {
		return h, &closeError{code: closeProtocolError, reason: "fragmented control frame"}
	}
	if len(b) < 2 {
		return h, errIncomplete
	}
	if b[1]&bitMask == 0 {
		return h, &closeError{code: closeProtocolError, reason: "client frame without a mask"}
	}
	length := uint64(b[1] &^ bitMask)
	if control && length > maxControlPayload {
		return h, &closeError{code: closeProtocolError, reason: "control frame longer than 125 bytes"}
	}
	h.size = 2 + 4
	switch length {
	case len16:
		if len(b) < 4 {
			return h, errIncomplete
		}
		length = uint64(binary.BigEndian.Uint16(b[2:]))
		h.size += 2
		if length < len16 {
			return h, errLengthNotMinimal
		}
	case len64:
		if len(b) < 10 {
			return h, errIncomplete
		}
		length = binary.BigEndian.Uint64(b[2:])
		h.size += 8
		if length>>63 != 0 {
			return h, &closeError{code: closeProtocolError, reason: "the length's top bit is set"}
		}
		if length <= 0xFFFF {
			return h, errLengthNotMinimal
		}
	}
	if length > uint64(maxPayload) {
		return h, errMessageTooBig
	}
	h.length = int(length)
	if len(b) < h.size {
		return h, errIncomplete
	}
	return h, nil
}

var (
	errLengthNotMinimal = &closeError{code: closeProtocolError, reason: "the length is not in its shortest form"}
	errMessageTooBig    = &closeError{code: closeTooBig, reason: "the message is longer than the frame limit"}
)

// openPayload unmasks the payload of the frame at the start of b in place, and
// returns it. b must hold the whole frame. It also zeroes the masking key, so
// that the same bytes, parsed once more, give the same payload.
func openPayload(b []byte, h wsHeader) []byte {
	payload := b[h.size : h.size+h.length : h.size+h.length]
	key := binary.LittleEndian.Uint32(b[h.size-4:])
	if key != 0 {
		unmask(payload, key)
		binary.LittleEndian.PutUint32(b[h.size-4:], 0)
	}
	return payload
}

// unmask XORs b with the key, repeated: RFC 6455 section 5.3. The key's first
// byte is its lowest.
func unmask(b []byte, key uint32) {
	wide := uint64(key)<<32 | uint64(key)
	if len(b) < 8 {
		for i := range b {
			b[i] ^= byte(key)
			key = bits.RotateLeft32(key, -8)
		}
		return
	}
	// The last eight bytes overlap those before them. They are read before
	// anything is written, so that each byte is masked once.
	tail := b[len(b)-8:]
	last := binary.LittleEndian.Uint64(tail) ^ bits.RotateLeft64(wide, -8*(len(b)&3))
	for len(b) >= 32 {
		_ = b[31]
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^wide)
		binary.LittleEndian.PutUint64(b[8:], binary.LittleEndian.Uint64(b[8:])^wide)
		binary.LittleEndian.PutUint64(b[16:], binary.LittleEndian.Uint64(b[16:])^wide)
		binary.LittleEndian.PutUint64(b[24:], binary.LittleEndian.Uint64(b[24:])^wide)
		b = b[32:]
	}
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^wide)
		b = b[8:]
	}
	binary.LittleEndian.PutUint64(tail, last)
}

// wsMessage is what wsReader found: a message (opText, opBinary) or a control
// frame. payload is unmasked.
type wsMessage struct {
	opcode    byte
	payload   []byte
	assembled bool // payload is the reader's memory, until release or the next fragment
}

// wsReader joins frames into messages. It holds the fragments of an unfinished
// message; everything else stays with the caller. Not for concurrent use.
type wsReader struct {
	maxMessage int
	opcode     byte   // of the message being assembled; 0 when there is none
	fragments  []byte // its payload so far, or the payload of the one before
}

// next takes the first frame of b, unmasking it in place. size is how much of b
// it takes up. With a nil error and an opcode of 0 the frame was a fragment,
// taken in; the message goes on. errIncomplete: b does not hold a whole frame;
// nothing was taken. A *closeError: the stream can't go on.
func (r *wsReader) next(b []byte) (m wsMessage, size int, err error) {
	h, err := parseHeader(b, r.maxMessage)
	if err != nil {
		return m, 0, err
	}
	return r.take(b, h)
}

// take is next for a caller that has parsed the header.
func (r *wsReader) take(b []byte, h wsHeader) (m wsMessage, size int, err error) {
	control := h.opcode&bitControl != 0
	switch {
	case control:
	case h.opcode == opContinuation && r.opcode == 0:
		return m, 0, &closeError{code: closeProtocolError, reason: "continuation of nothing"}
	case h.opcode != opContinuation && r.opcode != 0:
		return m, 0, &closeError{code: closeProtocolError, reason: "a new message inside a fragmented one"}
	case r.opcode != 0 && len(r.fragments)+h.length > r.maxMessage:
		return m, 0, errMessageTooBig
	}
	size = h.size + h.length
	if len(b) < size {
		return m, 0, errIncomplete
	}
	payload := openPayload(b, h)
	if control || h.fin && h.opcode != opContinuation {
		return wsMessage{opcode: h.opcode, payload: payload}, size, nil
	}
	if h.opcode != opContinuation {
		r.opcode, r.fragments = h.opcode, r.fragments[:0]
	}
	r.fragments = append(r.fragments, payload...)
	if !h.fin {
		return m, size, nil
	}
	m = wsMessage{opcode: r.opcode, payload: r.fragments, assembled: true}
	r.opcode = 0
	return m, size, nil
}

// release forgets an assembled message. Fragmented messages are rare enough
// that no memory is kept for the next one.
func (r *wsReader) release() {
	mangle(r.fragments)
	r.fragments = nil
}

// appendHeader appends the header of an unfragmented, unmasked frame.
func appendHeader(dst []byte, opcode byte, length int) []byte {
	switch {
	case length < len16:
		return append(dst, bitFin|opcode, byte(length))
	case length <= 0xFFFF:
		return binary.BigEndian.AppendUint16(append(dst, bitFin|opcode, len16), uint16(length))
	default:
		return binary.BigEndian.AppendUint64(append(dst, bitFin|opcode, len64), uint64(length))
	}
}

// appendControl appends a control frame; payload is at most 125 bytes.
func appendControl(dst []byte, opcode byte, payload []byte) []byte {
	return append(appendHeader(dst, opcode, len(payload)), payload...)
}

// appendClose appends a close frame with a code and a reason, which is cut to
// what a control frame holds. Reasons are ASCII.
func appendClose(dst []byte, code int, reason string) []byte {
	reason = reason[:min(len(reason), maxControlPayload-2)]
	dst = appendHeader(dst, opClose, 2+len(reason))
	dst = binary.BigEndian.AppendUint16(dst, uint16(code))
	return append(dst, reason...)
}

// closeReply is the close frame that answers a client's, given its payload: the
// same code (section 5.5.1), or what is wrong with it.
func closeReply(payload []byte) *closeError {
	if len(payload) == 0 {
		return &closeError{code: closeNoCode, echo: true}
	}
	if len(payload) == 1 {
		return &closeError{code: closeProtocolError, reason: "close frame of one byte"}
	}
	code := int(binary.BigEndian.Uint16(payload))
	if !mayReceiveCode(code) {
		return &closeError{code: closeProtocolError, reason: "close code out of range"}
	}
	if !utf8.Valid(payload[2:]) {
		return &closeError{code: closeInvalidText, reason: "close reason is not UTF-8"}
	}
	return &closeError{code: code, echo: true}
}

// mayReceiveCode: the codes that an endpoint may put in a close frame, sections
// 7.4.1 and 7.4.2 and the IANA registry (1012 to 1014 were added there).
func mayReceiveCode(code int) bool {
	return code >= 1000 && code <= 1003 || code >= 1007 && code <= 1014 || code >= 3000 && code <= 4999
}
