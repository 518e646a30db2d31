package resp

import "strconv"

// This file appends replies. Those that RESP3 has anew take the version, 2 or 3.

const crlf = "\r\n"

// AppendSimple appends a simple string, which must have no CR or LF.
func AppendSimple(dst []byte, text string) []byte {
	return append(append(append(dst, '+'), text...), crlf...)
}

// AppendError appends an error. Its first word is its kind; what is no printable character
// becomes a space.
func AppendError(dst []byte, text string) []byte {
	dst = append(dst, '-')
	for i := range len(text) {
		if c := text[i]; c >= ' ' && c != 0x7F {
			dst = append(dst, c)
		} else {
			dst = append(dst, ' ')
		}
	}
	return append(dst, crlf...)
}

// AppendInt appends an integer.
func AppendInt(dst []byte, n int64) []byte {
	if uint64(n) <= 9 {
		return append(dst, ':', byte('0'+n), '\r', '\n')
	}
	return append(strconv.AppendInt(append(dst, ':'), n, 10), crlf...)
}

// AppendBulk appends bytes.
func AppendBulk(dst, b []byte) []byte {
	return append(append(AppendBulkLen(dst, len(b)), b...), crlf...)
}

// AppendText is AppendBulk of a string.
func AppendText(dst []byte, s string) []byte {
	return append(append(AppendBulkLen(dst, len(s)), s...), crlf...)
}

// AppendBulkLen begins a bulk string of n bytes, which have to follow, and CRLF.
func AppendBulkLen(dst []byte, n int) []byte { return appendHead(dst, '$', n) }

// AppendArray begins an array of n replies, which have to follow.
func AppendArray(dst []byte, n int) []byte { return appendHead(dst, '*', n) }

// AppendMap begins a map of n pairs of replies, which have to follow.
func AppendMap(dst []byte, n, version int) []byte {
	if version < 3 {
		return appendHead(dst, '*', 2*n)
	}
	return appendHead(dst, '%', n)
}

// AppendNull appends the reply for what is not there.
func AppendNull(dst []byte, version int) []byte {
	if version < 3 {
		return append(dst, "$-1\r\n"...)
	}
	return append(dst, "_\r\n"...)
}

// AppendVerbatim appends text for people.
func AppendVerbatim(dst []byte, text string, version int) []byte {
	if version < 3 {
		return AppendText(dst, text)
	}
	dst = appendHead(dst, '=', len("txt:")+len(text))
	return append(append(append(dst, "txt:"...), text...), crlf...)
}

func appendHead(dst []byte, kind byte, n int) []byte {
	if n < 10 {
		return append(dst, kind, byte('0'+n), '\r', '\n')
	}
	if n < 100 {
		return append(dst, kind, byte('0'+n/10), byte('0'+n%10), '\r', '\n')
	}
	return append(strconv.AppendInt(append(dst, kind), int64(n), 10), crlf...)
}
