package codec

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// This file scans strings. Plain text, which nearly all of it is, goes eight
// bytes at a time; everything else byte by byte.

const (
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
)

// special returns a word whose highest bit of a byte is set where w's byte is a
// quote, a backslash, a control character or not ASCII. Only the lowest set bit
// is to be trusted: the subtractions may borrow from the bytes above it.
//
//	x - 0x01 underflows for x == 0; so does x - 0x20 for x < 0x20
func special(w uint64) uint64 {
	quote := (w ^ '"'*lowBits) - lowBits
	backslash := (w ^ '\\'*lowBits) - lowBits
	control := w - 0x20*lowBits
	return (quote | backslash | control | w) & highBits
}

// scanPlain returns the index of the first byte of b, from i on, that is not
// plain: a quote, a backslash, a control character, a byte that is not ASCII.
func scanPlain(b []byte, i int) int {
	for ; i+8 <= len(b); i += 8 {
		if m := special(binary.LittleEndian.Uint64(b[i:])); m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			break
		}
	}
	return i
}

// text is how a string was written.
type text uint8

const (
	textPlain   text = 0
	textUnicode text = 1 // it holds bytes that are not ASCII
	textEscaped text = 2 // it holds escapes
)

// scanString checks the string whose first byte, after its quote, is at i. It
// returns the index of its closing quote.
func scanString(b []byte, i int) (end int, how text, err *SyntaxError) {
	end = scanPlain(b, i)
	if end < len(b) && b[end] == '"' {
		return end, textPlain, nil
	}
	return scanStringSlow(b, end)
}

// scanStringSlow goes on at the first byte that is not plain.
func scanStringSlow(b []byte, i int) (end int, how text, err *SyntaxError) {
	for {
		i = scanPlain(b, i)
		if i >= len(b) {
			return 0, 0, &SyntaxError{len(b), "unexpected end in a string"}
		}
		switch c := b[i]; {
		case c == '"':
			return i, how, nil
		case c == '\\':
			n, err := checkEscape(b, i)
			if err != nil {
				return 0, 0, err
			}
			how |= textEscaped
			i += n
		case c < 0x20:
			return 0, 0, &SyntaxError{i, "raw control character in a string"}
		default:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n == 1 {
				return 0, 0, &SyntaxError{i, "invalid UTF-8 in a string"}
			}
			how |= textUnicode
			i += n
		}
	}
}

// checkEscape returns the length of the escape at b[i], a backslash.
func checkEscape(b []byte, i int) (n int, err *SyntaxError) {
	if i+1 >= len(b) {
		return 0, &SyntaxError{len(b), "unexpected end in a string"}
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, nil
	case 'u':
		for j := i + 2; j < i+6; j++ {
			if j >= len(b) {
				return 0, &SyntaxError{len(b), "unexpected end in a string"}
			}
			if hexValue(b[j]) < 0 {
				return 0, &SyntaxError{j, `\u needs four hexadecimal digits`}
			}
		}
		return 6, nil
	}
	return 0, &SyntaxError{i, "illegal escape in a string"}
}

func hexValue(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// unescape appends what the string in b[i:end] says to dst. scanString must have
// accepted it with textEscaped. It fails for a surrogate without its other half:
// that is no character, and a name must be made of characters.
//
// sonic's unquote would replace such a surrogate by U+FFFD, and two different
// keys would become one; so this is ours.
func unescape(dst, b []byte, i, end int) ([]byte, *SyntaxError) {
	for i < end {
		if c := b[i]; c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		switch c := b[i+1]; c {
		case 'u':
			r, n := unescapeRune(b, i, end)
			if n == 0 {
				return dst, &SyntaxError{i, "unpaired surrogate in a key"}
			}
			dst = utf8.AppendRune(dst, r)
			i += n
			continue
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		default:
			dst = append(dst, c)
		}
		i += 2
	}
	return dst, nil
}

// unescapeRune decodes the \u escape at b[i], and the one behind it when the two
// are a surrogate pair. n is the length of what it took; 0 for an unpaired one.
func unescapeRune(b []byte, i, end int) (r rune, n int) {
	r = hex4(b[i+2:])
	if r < 0xD800 || r > 0xDFFF {
		return r, 6
	}
	if r >= 0xDC00 || i+12 > end || b[i+6] != '\\' || b[i+7] != 'u' {
		return 0, 0
	}
	low := hex4(b[i+8:])
	if low < 0xDC00 || low > 0xDFFF {
		return 0, 0
	}
	return (r-0xD800)<<10 | (low - 0xDC00) + 0x10000, 12
}

func hex4(b []byte) (r rune) {
	for _, c := range b[:4] {
		r = r<<4 | rune(hexValue(c))
	}
	return r
}

// scanNumber checks the number at b[i] and returns the index behind it.
func scanNumber(b []byte, i int) (end int, err *SyntaxError) {
	if i < len(b) && b[i] == '-' {
		i++
	}
	switch {
	case i < len(b) && b[i] == '0':
		i++
		if i < len(b) && isDigit(b[i]) {
			return 0, &SyntaxError{i, "a number with a leading zero"}
		}
	case i < len(b) && isDigit(b[i]):
		i = skipDigits(b, i)
	default:
		return 0, syntaxAt(b, i, "a digit")
	}
	if i < len(b) && b[i] == '.' {
		i++
		if i >= len(b) || !isDigit(b[i]) {
			return 0, syntaxAt(b, i, "a digit")
		}
		i = skipDigits(b, i)
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if i >= len(b) || !isDigit(b[i]) {
			return 0, syntaxAt(b, i, "a digit")
		}
		i = skipDigits(b, i)
	}
	return i, nil
}

func skipDigits(b []byte, i int) int {
	for i < len(b) && isDigit(b[i]) {
		i++
	}
	return i
}

func isDigit(c byte) bool { return c-'0' <= 9 }

// skipSpace returns the index of the first byte from i on that is not white
// space: space, tab, line feed, carriage return.
func skipSpace(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}
