package frame

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// Opcode is what a frame is: RFC 6455 section 5.2.
type Opcode byte

// The opcodes of section 5.2. The other ones are reserved.
const (
	Continuation Opcode = 0x0
	Text         Opcode = 0x1
	Binary       Opcode = 0x2
	Close        Opcode = 0x8
	Ping         Opcode = 0x9
	Pong         Opcode = 0xA
)

// IsControl reports whether frames of this opcode are control frames.
func (o Opcode) IsControl() bool { return o&bitControl != 0 }

const (
	// MaxHeaderBytes is the length of the longest header: of a masked frame with
	// more than 65,535 bytes of payload.
	MaxHeaderBytes = 2 + 8 + keyBytes

	bitFin     = 0x80
	bitsRSV    = 0x70
	bitsOpcode = 0x0F
	bitMask    = 0x80
	bitControl = 0x08

	len16 = 126 // the length is in the next 2 bytes
	len64 = 127 // the length is in the next 8 bytes

	keyBytes          = 4   // of a masking key
	maxControlPayload = 125 // section 5.5
)

// ErrIncomplete means: a valid beginning, wait for more bytes.
var ErrIncomplete = errors.New("frame: incomplete")

// Header is a frame's header, decoded.
type Header struct {
	Fin    bool // the frame ends its message
	Opcode Opcode
	Length int // of the payload
	Size   int // of the header; the payload begins there, a masking key 4 bytes before
}

// ParseFromClient decodes the header at the start of b, which a client has sent. It
// refuses a frame as soon as the bytes that condemn it are there: an attacker need
// not be waited for. The payload need not be there.
func ParseFromClient(b []byte, maxPayload int) (Header, error) {
	return parse(b, maxPayload, bitMask)
}

// ParseFromServer is ParseFromClient for what a server has sent.
func ParseFromServer(b []byte, maxPayload int) (Header, error) {
	return parse(b, maxPayload, 0)
}

// parse decodes a header. mask is the mask bit that it must have.
func parse(b []byte, maxPayload int, mask byte) (h Header, err error) {
	if len(b) == 0 {
		return h, ErrIncomplete
	}
	h.Fin = b[0]&bitFin != 0
	h.Opcode = Opcode(b[0] & bitsOpcode)
	if b[0]&bitsRSV != 0 {
		return h, errReservedBit
	}
	switch h.Opcode {
	case Continuation, Text, Binary, Close, Ping, Pong:
	default:
		return h, errUnknownOpcode
	}
	control := h.Opcode.IsControl()
	if control && !h.Fin {
		return h, errFragmentedControl
	}
	if len(b) < 2 {
		return h, ErrIncomplete
	}
	if b[1]&bitMask != mask {
		if mask == 0 {
			return h, errServerMasks
		}
		return h, errClientDoesNotMask
	}
	length := uint64(b[1] &^ bitMask)
	if control && length > maxControlPayload {
		return h, errControlTooLong
	}
	h.Size = 2 + keyBytes*int(mask/bitMask)
	switch length {
	case len16:
		if len(b) < 4 {
			return h, ErrIncomplete
		}
		length = uint64(binary.BigEndian.Uint16(b[2:]))
		h.Size += 2
		if length < len16 {
			return h, errLengthNotMinimal
		}
	case len64:
		if len(b) < 10 {
			return h, ErrIncomplete
		}
		length = binary.BigEndian.Uint64(b[2:])
		h.Size += 8
		if length>>63 != 0 {
			return h, errLengthTopBit
		}
		if length <= 0xFFFF {
			return h, errLengthNotMinimal
		}
	}
	if length > uint64(maxPayload) {
		return h, errMessageTooBig
	}
	h.Length = int(length)
	if len(b) < h.Size {
		return h, ErrIncomplete
	}
	return h, nil
}

// AppendHeader appends the header of an unfragmented, unmasked frame.
func AppendHeader(dst []byte, opcode Opcode, length int) []byte {
	switch {
	case length < len16:
		return append(dst, bitFin|byte(opcode), byte(length))
	case length <= 0xFFFF:
		return binary.BigEndian.AppendUint16(append(dst, bitFin|byte(opcode), len16), uint16(length))
	default:
		return binary.BigEndian.AppendUint64(append(dst, bitFin|byte(opcode), len64), uint64(length))
	}
}

// AppendMaskedHeader appends the header of an unfragmented frame that is masked with
// this key. The payload that follows is the caller's to mask.
func AppendMaskedHeader(dst []byte, opcode Opcode, length int, key [4]byte) []byte {
	at := len(dst) + 1
	dst = AppendHeader(dst, opcode, length)
	dst[at] |= bitMask
	return append(dst, key[:]...)
}

// Open unmasks the payload of the client's frame at the start of b in place, and
// returns it. b must hold the whole frame. It also zeroes the masking key, so
// that the same bytes, parsed once more, give the same payload.
func Open(b []byte, h Header) []byte {
	payload := b[h.Size : h.Size+h.Length : h.Size+h.Length]
	key := binary.LittleEndian.Uint32(b[h.Size-keyBytes:])
	if key != 0 {
		mask(payload, key)
		binary.LittleEndian.PutUint32(b[h.Size-keyBytes:], 0)
	}
	return payload
}

// OpenMore is Open for a frame that comes in pieces: b is what has come, and the first
// opened bytes of its payload are unmasked. It returns how many are then. When that is all
// of them, the frame is as Open leaves it.
func OpenMore(b []byte, h Header, opened int) int {
	payload := b[h.Size:min(len(b), h.Size+h.Length)]
	if key := binary.LittleEndian.Uint32(b[h.Size-keyBytes:]); key != 0 && opened < len(payload) {
		mask(payload[opened:], bits.RotateLeft32(key, -8*(opened&3)))
	}
	if len(payload) == h.Length {
		binary.LittleEndian.PutUint32(b[h.Size-keyBytes:], 0)
	}
	return len(payload)
}

// Mask XORs b with the key, repeated: it masks a payload, or unmasks it.
func Mask(b []byte, key [4]byte) { mask(b, binary.LittleEndian.Uint32(key[:])) }

// mask is Mask with the key as a number, whose lowest byte is the key's first.
func mask(b []byte, key uint32) {
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
