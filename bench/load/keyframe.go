package load

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"

	"github.com/gobwas/ws"

	"keyframe/codec"
	"keyframe/codec/client"
	"keyframe/netio/frame"
)

// keyframe is Keyframe's own protocol over one of its framings.
type keyframe struct {
	record
	ws      bool
	newline int // bytes after an answer's JSON
	shapes  [kinds]shape
	header  int // bytes of the header of a short frame

	parser     *client.Parser
	key, value []byte // scratch
}

// shape is what answers to a kind of command look like. Keys and values have one
// length, so an answer's status gives its length: checking head, length and end
// costs a few loads an answer, whatever it holds.
type shape struct {
	op         codec.Opcode
	head       []byte   // up to the status
	length     [10]int  // of a whole answer by status; 0: not an answer to this
	miss       [10]bool // statuses of a key that is not there or, for ADD, is
	signatures [10]signature
}

func newKeyframe(r record, websocket bool) *keyframe {
	k := &keyframe{record: r, ws: websocket, newline: 1, parser: client.NewParser()}
	if websocket {
		k.newline, k.header = 0, 2
	}
	value := r.valueSize
	if r.valueType == "string" {
		value += len(`""`)
	}
	ops := [kinds]codec.Opcode{codec.OpSet, codec.OpAdd, codec.OpGet, codec.OpRemove, codec.OpContains, codec.OpIncr}
	if r.ttl > 0 {
		ops[Set], ops[Add] = codec.OpSetEx, codec.OpAddEx
	}
	for kind, op := range ops {
		s := shape{op: op, head: fmt.Appendf(nil, `{"%s_RSP":{"st":`, op)}
		keyed := len(s.head) + len(`1,"k":"`) + r.keySize + len(`"}}`)
		answer := func(status, length int, miss bool) {
			s.length[status], s.miss[status], s.signatures[status] = length, miss, k.newSignature(s.head, length)
		}
		switch Kind(kind) {
		case Set:
			answer(1, keyed, false)
			answer(2, keyed, false)
		case Add:
			answer(1, keyed, false)
			answer(4, keyed, true)
		case Get:
			answer(0, len(s.head)+len(`0,"`)+r.keySize+len(`":`)+value+len(`}}`), false)
			answer(3, keyed, true)
		case Remove:
			answer(5, keyed, false)
			answer(3, keyed, true)
		case Contains:
			answer(4, keyed, false)
			answer(3, keyed, true)
		case Incr:
			// A counter that was filled keeps its length; others are parsed.
			counted := len(s.head) + len(`2,"`) + r.keySize + len(`":`) + len(`}}`)
			answer(1, counted+1, false)
			answer(2, counted+value, false)
		}
		k.shapes[kind] = s
	}
	return k
}

func (k *keyframe) open(c net.Conn) error {
	if !k.ws {
		return nil
	}
	r, _, err := ws.Dialer{}.Upgrade(readWriter{c}, &url.URL{Scheme: "ws", Host: "keyframe", Path: "/"})
	if err != nil {
		return fmt.Errorf("the WebSocket handshake was refused: %w", err)
	}
	if r != nil && r.Buffered() > 0 {
		return errors.New("the server sent something before it was asked")
	}
	return nil
}

// readWriter hides what else a connection can do from the handshake.
type readWriter struct{ io.ReadWriter }

func (k *keyframe) answers(_ Kind, n int) int { return n }

func (k *keyframe) appendCommand(dst []byte, kind Kind, keys []uint64) []byte {
	if !k.ws {
		return append(k.appendJSON(dst, kind, keys), '\n')
	}
	// The header's length depends on the payload's, so the payload is written
	// after the longest header and moved up.
	start := len(dst)
	dst = k.appendJSON(grow(dst, frame.MaxHeaderBytes), kind, keys)
	payload := dst[start+frame.MaxHeaderBytes:]
	key := [4]byte{0x37, 0xfa, 0x21, byte(len(payload))}
	frame.Mask(payload, key)
	dst = frame.AppendMaskedHeader(dst[:start], frame.Text, len(payload), key)
	return append(dst, payload...) // they overlap, which append allows
}

func (k *keyframe) appendJSON(dst []byte, kind Kind, keys []uint64) []byte {
	op, stores := k.shapes[kind].op, kind == Set || kind == Add
	if stores && k.ttl > 0 {
		dst = client.AppendTimedOpen(dst, op, k.ttl.Milliseconds())
	} else {
		dst = client.AppendOpen(dst, op)
	}
	for _, i := range keys {
		k.key = k.appendKey(k.key[:0], i)
		if stores {
			k.value = k.appendJSONValue(k.value[:0], i)
			dst = client.AppendPair(dst, k.key, k.value)
		} else if kind == Incr {
			dst = client.AppendPair(dst, k.key, one)
		} else {
			dst = client.AppendKey(dst, k.key)
		}
	}
	return client.AppendClose(dst, op)
}

// one is what an INCR adds.
var one = []byte("1")

func (k *keyframe) appendJSONValue(dst []byte, key uint64) []byte {
	if k.valueType != "string" {
		return k.appendValue(dst, key)
	}
	return append(k.appendValue(append(dst, '"'), key), '"')
}

func (k *keyframe) consume(buf []byte, kind Kind, want int) (n, used, misses int, err error) {
	s := &k.shapes[kind]
	status := k.header + len(s.head) // where the status is
	for n < want {
		b := buf[used:]
		if len(b) > status && b[status]-'0' < 10 {
			st := b[status] - '0'
			if m := s.signatures[st].prefix(b, status, '0'+st, want-n); m > 0 {
				n += m
				used += m * s.signatures[st].size
				if s.miss[st] {
					misses += m
				}
				continue
			}
		}
		size, miss, answer, err := k.consumeSlow(b, s)
		if err != nil {
			return n, used, misses, err
		}
		if size == 0 {
			break
		}
		used += size
		if answer {
			n++
		}
		if miss {
			misses++
		}
	}
	return n, used, misses, nil
}

// signature is what can be checked of an answer with four loads: its first 16 bytes
// with the framing's header, its status and its last bytes, at a distance that the
// status gives.
type signature struct {
	size       int // with the framing; 0: an answer that has to be parsed
	head, next uint64
	last, mask uint32
}

func (k *keyframe) newSignature(head []byte, length int) signature {
	if k.ws && length >= 126 {
		return signature{} // its header is longer
	}
	s := signature{size: k.header + length + k.newline, last: '}'<<16 | '}'<<24, mask: 0xffff0000}
	first := head
	if k.ws {
		first = append(frame.AppendHeader(nil, frame.Text, length), head...)
	} else {
		s.last, s.mask = '}'<<8|'}'<<16|'\n'<<24, 0xffffff00
	}
	s.head, s.next = binary.LittleEndian.Uint64(first), binary.LittleEndian.Uint64(first[8:])
	return s
}

// prefix counts the answers of this signature that b begins with, up to most.
func (s *signature) prefix(b []byte, at int, status byte, most int) (n int) {
	if s.size == 0 {
		return 0
	}
	for ; n < most && len(b) >= s.size; n++ {
		a := b[:s.size]
		if binary.LittleEndian.Uint64(a) != s.head || binary.LittleEndian.Uint64(a[8:]) != s.next ||
			a[at] != status || binary.LittleEndian.Uint32(a[len(a)-4:])&s.mask != s.last {
			break
		}
		b = b[s.size:]
	}
	return n
}

// consumeSlow takes one frame of any length. A control frame that needs no reply is not an
// answer.
func (k *keyframe) consumeSlow(b []byte, s *shape) (size int, miss, answer bool, err error) {
	payload, control, size, err := k.cut(b)
	if size == 0 || err != nil {
		return 0, false, false, err
	}
	if control {
		return size, false, false, nil // a ping: a client under load has no need to answer
	}
	r, err := k.parse(payload, s)
	if err != nil {
		return 0, false, false, err
	}
	return size, s.miss[r.Status], true, nil
}

// parse reads an answer to commands of this shape.
func (k *keyframe) parse(payload []byte, s *shape) (r client.Response, err error) {
	if err := k.parser.Parse(payload, &r); err != nil || r.Op != s.op || int(r.Status) >= len(s.length) || s.length[r.Status] == 0 {
		return r, fmt.Errorf("%s was answered with %s", s.op, excerpt(payload))
	}
	return r, nil
}

// cut returns the payload of the frame at the head of b, whether that is a control
// frame, and the frame's size: 0 when there is no whole one yet.
func (k *keyframe) cut(b []byte) (payload []byte, control bool, size int, err error) {
	if !k.ws {
		line, size, err := frame.NextLine(b, 0, maxCommand)
		if err == frame.ErrIncomplete {
			return nil, false, 0, nil
		}
		return line, false, size, err
	}
	h, err := frame.ParseFromServer(b, maxCommand)
	switch {
	case err == frame.ErrIncomplete:
		return nil, false, 0, nil
	case err != nil:
		return nil, false, 0, fmt.Errorf("not a frame that a server sends (%w): %s", err, excerpt(b))
	}
	control = h.Opcode.IsControl()
	if !h.Fin || h.Opcode != frame.Text && !control {
		return nil, false, 0, fmt.Errorf("not a whole text message: %s", excerpt(b))
	}
	size = h.Size + h.Length
	if len(b) < size {
		return nil, false, 0, nil
	}
	payload = b[h.Size:size]
	if h.Opcode == frame.Close {
		code, reason := frame.ParseClose(payload)
		return nil, false, 0, fmt.Errorf("the server closed the WebSocket with code %d %s", code, reason)
	}
	return payload, control, size, nil
}

func (k *keyframe) check(buf []byte, kind Kind, keys []uint64, accepts []accept) (used, misses int, err error) {
	s := &k.shapes[kind]
	for i, key := range keys {
		var payload []byte
		for {
			var control bool
			var size int
			if payload, control, size, err = k.cut(buf[used:]); size == 0 || err != nil {
				return 0, 0, err
			}
			used += size
			if !control {
				break
			}
		}
		r, err := k.parse(payload, s)
		if err != nil {
			return 0, 0, err
		}
		if k.key = k.appendKey(k.key[:0], key); !bytes.Equal(r.Key, k.key) {
			return 0, 0, fmt.Errorf("%s of key %s was answered with %s", s.op, k.key, excerpt(payload))
		}
		if s.miss[r.Status] {
			misses++
		}
		if kind != Get {
			continue
		}
		value := r.Value
		if k.valueType == "string" && len(value) >= 2 && value[0] == '"' {
			value = value[1 : len(value)-1] // ours have nothing to unescape
		}
		if err := k.compare(key, value, r.Status == codec.StatusKeyNotExist, acceptFor(accepts, i)); err != nil {
			return 0, 0, err
		}
	}
	return used, misses, nil
}
