package netio

import (
	"keyframe/codec"
	"keyframe/netio/frame"
)

// wsFraming is WebSocket, from the upgrade on.
type wsFraming struct {
	reader     frame.Reader
	whole      bool       // the reader has a message that has not been served
	strictText bool       // binary messages are refused
	text       frame.UTF8 // what has been looked at of the message that is under way

	// The first opened bytes of the payload of the frame at src[at:], which had not come
	// whole, are unmasked and looked at. A frame of 16 MiB would take 2 ms in one go, and a
	// message that can't become UTF-8 is refused before the rest of it comes.
	at, opened int
}

func newWSFraming(opts *Options) *wsFraming {
	return &wsFraming{reader: frame.Reader{MaxMessage: opts.MaxFrameBytes}, strictText: opts.StrictText}
}

// next has plain messages, which gather in a batch. Whatever else comes must not be taken
// before the batch is through, since taking it changes the reader.
func (f *wsFraming) next(src []byte, at int) (payload []byte, size int, kind unitKind, err error) {
	h, err := frame.ParseFromClient(src[at:], f.reader.MaxMessage)
	switch {
	case err != nil:
		return nil, 0, 0, err
	case h.Fin && (h.Opcode == frame.Text || h.Opcode == frame.Binary && !f.strictText) && !f.reader.Joining():
		if size = h.Size + h.Length; len(src)-at < size {
			if err := f.open(src, at, h); err != nil {
				return nil, 0, 0, err
			}
			return nil, 0, 0, frame.ErrIncomplete
		}
		if f.opened > 0 {
			f.openRest(src, at, h)
		}
		return frame.Open(src[at:], h), size, unitCommand, nil
	case h.Opcode == frame.Binary && f.strictText:
		return nil, 0, 0, errBinary
	case h.Opcode.IsControl():
		return nil, 0, unitOther, nil
	}
	if err := f.reader.Check(h); err != nil {
		return nil, 0, 0, err
	}
	return nil, 0, unitOther, f.open(src, at, h)
}

// open unmasks what has come of a fragment, or of a frame that has not come whole, and looks
// whether it is UTF-8.
func (f *wsFraming) open(src []byte, at int, h frame.Header) error {
	if at != f.at {
		f.at, f.opened = at, 0 // the only one: what has come ends in it
	}
	from := f.opened
	f.opened = frame.OpenMore(src[at:], h, from)
	if !f.text.Check(src[at+h.Size+from : at+h.Size+f.opened]) {
		return errNotUTF8
	}
	return nil
}

// openRest unmasks the rest of a frame that has come whole. Whether a command is UTF-8 its
// decoder finds out.
func (f *wsFraming) openRest(src []byte, at int, h frame.Header) {
	if at == f.at {
		frame.OpenMore(src[at:], h, f.opened)
		f.taken()
		f.text = frame.UTF8{}
	}
}

// taken forgets the frame that has been looked at: the next one is another.
func (f *wsFraming) taken() { f.at, f.opened = 0, 0 }

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
	if !h.Opcode.IsControl() {
		f.taken()
	}
	switch {
	case m.Joined:
		f.whole = true
		f.text = frame.UTF8{}
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

func (f *wsFraming) held() int { return f.reader.Held() }

func (f *wsFraming) growth(src []byte, at int) int {
	h, err := frame.ParseFromClient(src[at:], f.reader.MaxMessage)
	if err != nil || len(src)-at < h.Size+h.Length {
		return 0
	}
	return f.reader.Growth(h)
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
