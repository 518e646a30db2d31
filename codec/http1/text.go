package http1

import "bytes"

// This file is text in targets and headers: percent-encoding, queries, etags.

// Unescape returns a text without its percent-encoding. Without any it is the text itself,
// otherwise a new one. Where plus is set, + is a space. ok is false for a % that no two
// hexadecimal digits follow.
func Unescape(text []byte, plus bool) (_ []byte, ok bool) {
	if bytes.IndexByte(text, '%') < 0 && !(plus && bytes.IndexByte(text, '+') >= 0) {
		return text, true
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '+' && plus:
			c = ' '
		case c == '%':
			if len(text)-i < 3 {
				return nil, false
			}
			high, ok1 := hexDigit(text[i+1])
			low, ok2 := hexDigit(text[i+2])
			if !ok1 || !ok2 {
				return nil, false
			}
			c = high<<4 | low
			i += 2
		}
		out = append(out, c)
	}
	return out, true
}

// CutParameter returns the first parameter of a query, without its percent-encoding, and what
// follows it.
func CutParameter(query []byte) (name, value, rest []byte, ok bool) {
	pair, rest, _ := bytes.Cut(query, []byte("&"))
	name, value, _ = bytes.Cut(pair, []byte("="))
	name, ok1 := Unescape(name, true)
	value, ok2 := Unescape(value, true)
	return name, value, rest, ok1 && ok2
}

// CutTag returns the first etag of a list, without its quotes, and what follows it. ok is
// false for a list that is none. * is no etag.
func CutTag(list []byte) (tag []byte, weak bool, rest []byte, ok bool) {
	if weak = bytes.HasPrefix(list, []byte("W/")); weak {
		list = list[2:]
	}
	if len(list) == 0 || list[0] != '"' {
		return nil, false, nil, false
	}
	end := bytes.IndexByte(list[1:], '"')
	if end < 0 {
		return nil, false, nil, false
	}
	tag, rest = list[1:1+end], trim(list[end+2:])
	if len(rest) > 0 {
		if rest[0] != ',' {
			return nil, false, nil, false
		}
		if rest = trim(rest[1:]); len(rest) == 0 {
			return nil, false, nil, false
		}
	}
	return tag, weak, rest, true
}
