package netio

import (
	"keyframe/codec"
	"keyframe/netio/frame"
)

// skipBlank returns the index of the first byte of a line, from i on, that is no white
// space.
func skipBlank(line []byte, i int) int {
	for i < len(line) && (line[i] == ' ' || line[i] == '\t' || line[i] == '\r') {
		i++
	}
	return i
}

// lineFraming is JSON Lines.
type lineFraming struct {
	noMessages
	maxBytes int
	// src[from:to] is known to hold no newline, and its first blank bytes nothing but
	// white space, so that a long line is not searched again from its start each time.
	from, to, blank int
}

func (f *lineFraming) next(src []byte, at int) (_ []byte, _ int, kind unitKind, err error) {
	searched, blank := 0, 0
	if at == f.from {
		searched, blank = f.to-at, f.blank
	}
	line, size, err := frame.NextLine(src[at:], searched, f.maxBytes)
	f.from, f.to = at, at+len(line)
	if err != nil {
		f.to, f.blank = len(src), skipBlank(src[at:], blank)
		return nil, 0, 0, err
	}
	if f.blank = skipBlank(line, blank); f.blank == len(line) {
		kind = unitBlank
	}
	return line, size, kind, nil
}

func (f *lineFraming) done(used int) {
	if used != f.from {
		f.to, f.blank = used, 0
	}
	f.from, f.to = 0, f.to-used
}

func (f *lineFraming) notUTF8() error { return nil }

func (f *lineFraming) appendStatus(dst []byte, op codec.Opcode, arg *codec.Arg, st codec.Status) []byte {
	return append(codec.AppendResponse(dst, op, arg, st), '\n')
}

func (f *lineFraming) appendValue(dst []byte, op codec.Opcode, arg *codec.Arg, value []byte) []byte {
	return append(codec.AppendValue(dst, op, arg, value), '\n')
}

func (f *lineFraming) appendText(dst, text []byte) []byte {
	return append(append(dst, text...), '\n')
}

// appendEnd says that a line is too long or that there is no memory for it, or what a toldEnd
// says. Every other end is without a word.
func (f *lineFraming) appendEnd(dst []byte, why error) []byte {
	switch err := closeErrorOf(why); {
	case err == nil:
	case err.Code == frame.CloseTooBig || err == errBuffersFull:
		dst = f.appendText(dst, codec.AppendServerError(nil, 5, err.Reason))
	default:
		if told, ok := why.(*toldEnd); ok {
			dst = f.appendText(dst, codec.AppendServerError(nil, told.s, told.Reason))
		}
	}
	return dst
}

func (f *lineFraming) appendPing(dst []byte) ([]byte, bool) { return dst, false }

func (f *lineFraming) settled() bool { return true }
