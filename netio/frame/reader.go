package frame

import "keyframe/netio/buffer"

// Message is what Reader found: a message (Text, Binary) or a control frame.
type Message struct {
	Opcode  Opcode // 0: none yet, the frame was a fragment
	Payload []byte // unmasked
	Joined  bool   // Payload is the reader's memory, until Release or the next fragment
}

// Reader joins a client's frames into messages. It holds the fragments of an
// unfinished message; everything else stays with the caller. The zero value with a
// MaxMessage is ready. Not for concurrent use.
type Reader struct {
	MaxMessage int // the longest payload, of one frame or joined

	opcode    Opcode         // of the message being joined; 0 when there is none
	fragments buffer.Growing // its payload so far, or the payload of the one before
}

// Joining reports whether a message has begun and not ended: the next data frame
// must be its continuation.
func (r *Reader) Joining() bool { return r.opcode != 0 }

// Fragments is what has been joined so far, and after Next has returned a joined
// message that message. It is the reader's memory.
func (r *Reader) Fragments() []byte { return r.fragments.Bytes() }

// Held is how much memory that takes.
func (r *Reader) Held() int { return r.fragments.Held() }

// Growth is how much more memory it takes, at most, to take a frame that has come whole.
func (r *Reader) Growth(h Header) int {
	switch {
	case h.Opcode.IsControl() || h.Fin && h.Opcode != Continuation:
		return 0
	case h.Opcode != Continuation: // what was there is released
		return new(buffer.Growing).Growth(h.Length)
	}
	return r.fragments.Growth(h.Length)
}

// Next takes the first frame of b, unmasking it in place. size is how much of b
// it takes up. With a nil error and an opcode of 0 the frame was a fragment,
// taken in; the message goes on. ErrIncomplete: b does not hold a whole frame;
// nothing was taken. A *CloseError: the stream can't go on.
func (r *Reader) Next(b []byte) (m Message, size int, err error) {
	h, err := ParseFromClient(b, r.MaxMessage)
	if err != nil {
		return m, 0, err
	}
	return r.Take(b, h)
}

// Check reports what is wrong with a frame where the message being joined stands, as soon
// as its header has come.
func (r *Reader) Check(h Header) error {
	switch {
	case h.Opcode.IsControl():
	case h.Opcode == Continuation && r.opcode == 0:
		return errNothingToContinue
	case h.Opcode != Continuation && r.opcode != 0:
		return errMessageInMessage
	case r.opcode != 0 && r.fragments.Len()+h.Length > r.MaxMessage:
		return errMessageTooBig
	}
	return nil
}

// Take is Next for a caller that has parsed the header.
func (r *Reader) Take(b []byte, h Header) (m Message, size int, err error) {
	if err := r.Check(h); err != nil {
		return m, 0, err
	}
	control := h.Opcode.IsControl()
	size = h.Size + h.Length
	if len(b) < size {
		return m, 0, ErrIncomplete
	}
	payload := Open(b, h)
	if control || h.Fin && h.Opcode != Continuation {
		return Message{Opcode: h.Opcode, Payload: payload}, size, nil
	}
	if h.Opcode != Continuation {
		r.opcode = h.Opcode
		r.fragments.Release()
	}
	r.fragments.Append(payload)
	if !h.Fin {
		return m, size, nil
	}
	m = Message{Opcode: r.opcode, Payload: r.fragments.Bytes(), Joined: true}
	r.opcode = 0
	return m, size, nil
}

// Release gives back the memory of a joined message. Fragmented messages are rare
// enough that none is kept for the next one.
func (r *Reader) Release() { r.fragments.Release() }
