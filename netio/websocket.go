package netio

import (
	"keyframe/codec"
	"keyframe/netio/frame"
)

// wsFraming is WebSocket, from the upgrade on.
type wsFraming struct {
	reader frame.Reader
	whole  bool // the reader has a message that has not been served

	// Of the frame at src[at:], a long one that has not come whole, the first opened bytes
	// of the payload are unmasked.
	at, opened int
}

// longFrame is the length from which a payload is unmasked as it comes. Of a frame of
// 16 MiB that would take 2 ms in one go.
const longFrame = 4 << 10

func newWSFraming(opts *Options) *wsFraming {
	return &wsFraming{reader: frame.Reader{MaxMessage: opts.MaxFrameBytes}}
}

// next has plain text messages, which gather in a batch. Whatever else comes must not be
// taken before the batch is through, since taking it changes the reader.
func (f *wsFraming) next(src []byte, at int) (payload []byte, size int, kind unitKind, err error) {
	h, err := frame.ParseFromClient(src[at:], f.reader.MaxMessage)
	switch {
	case err != nil:
		return nil, 0, 0, err
	case h.Fin && h.Opcode == frame.Text && !f.reader.Joining():
		if h.Length > longFrame {
			f.open(src, at, h)
		}
		if size = h.Size + h.Length; len(src)-at < size {
			return nil, 0, 0, frame.ErrIncomplete
		}
		return frame.Open(src[at:], h), size, unitCommand, nil
	case h.Opcode == frame.Binary:
		return nil, 0, 0, errBinary
	}
	if h.Length > longFrame {
		f.open(src, at, h)
	}
	return nil, 0, unitOther, nil
}

// open unmasks what has come of a long frame.
func (f *wsFraming) open(src []byte, at int, h frame.Header) {
	opened := 0
	if at == f.at {
		opened = f.opened
	}
	if opened = frame.OpenMore(src[at:], h, opened); opened < h.Length {
		f.at, f.opened = at, opened // the only one: nothing comes after it
	}
}

var errBinary = &frame.CloseError{Code: frame.CloseUnsupported, Reason: "commands are text messages"}

func (f *wsFraming) take(src []byte, at int) (u unit, err error) {
	h, err := frame.ParseFromClient(src[at:], f.reader.MaxMessage)
	if err != nil {
		return u, err
	}
	m, size, err := f.reader.Take(src[at:], h)
	if err != nil {
		return u, err
	}
	u.size = size
	switch {
	case m.Joined:
		f.whole = true
	case m.Opcode == frame.Ping:
		u.answer = frame.AppendControl(nil, frame.Pong, m.Payload)
	case m.Opcode == frame.Close:
		return u, frame.CloseReply(m.Payload)
	}
	return u, nil
}

func (f *wsFraming) joined() ([]byte, bool) { return f.reader.Fragments(), f.whole }

// release also forgets a message that has only begun: the connection has ended then.
func (f *wsFraming) release() {
	mangle(f.reader.Fragments())
	f.reader.Release()
	f.whole = false
}

func (f *wsFraming) done(used int) {
	if f.at -= used; f.at < 0 {
		f.at, f.opened = 0, 0
	}
}

// notUTF8: RFC 6455 section 8.1 wants the connection failed.
func (f *wsFraming) notUTF8() error { return errNotUTF8 }

var errNotUTF8 = &frame.CloseError{Code: frame.CloseInvalidText, Reason: "the message is not UTF-8"}

func (f *wsFraming) appendStatus(dst []byte, op codec.Opcode, arg *codec.Arg, st codec.Status) []byte {
	dst = frame.AppendHeader(dst, frame.Text, codec.ResponseLen(op, arg, st))
	return codec.AppendResponse(dst, op, arg, st)
}

func (f *wsFraming) appendValue(dst []byte, op codec.Opcode, arg *codec.Arg, value []byte) []byte {
	dst = frame.AppendHeader(dst, frame.Text, codec.ValueLen(op, arg, value))
	return codec.AppendValue(dst, op, arg, value)
}

func (f *wsFraming) appendText(dst, text []byte) []byte {
	return append(frame.AppendHeader(dst, frame.Text, len(text)), text...)
}

func (f *wsFraming) appendEnd(dst []byte, why error) []byte {
	err := closeErrorOf(why)
	switch {
	case err == nil:
		return dst
	case err.Code == frame.CloseNoCode:
		return frame.AppendControl(dst, frame.Close, nil)
	}
	return frame.AppendClose(dst, err.Code, err.Reason)
}

func (f *wsFraming) appendPing(dst []byte) ([]byte, bool) {
	return frame.AppendControl(dst, frame.Ping, nil), true
}

func (f *wsFraming) settled() bool { return true }
