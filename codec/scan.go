package codec

import (
	"math/bits"
	"unicode/utf8"
)

// This file scans what JSON is made of: strings, numbers, words, white space.
// Nothing here knows commands.
//
// Strings have a fast path and a careful one. The fast path, scanPlain, goes over
// printable ASCII eight bytes at a time and stops at anything else. Most strings
// are over there. The careful path, carefulString, goes on with escapes and other
// characters. Neither says what is wrong with a string: when one is, faultyString
// looks at it once more, byte by byte, for the exact place.

const (
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
)

// special marks, by the highest bit of the byte, where w has a quote, a backslash,
// a control character or a byte that is not ASCII. Only the lowest mark is to be
// trusted: a subtraction that underflows borrows from the byte above. (In Go, minus
// and | bind equally: the parentheses matter.)
//
//	x - 0x01 underflows for x == 0, so x^'\\' - 0x01 does for a backslash;
//	x^0x02 swaps 0x20 and 0x22 and keeps control characters among themselves,
//	so x^0x02 - 0x21 underflows for control characters and the quote at once.
func special(w uint64) uint64 {
	return (((w ^ 0x02*lowBits) - 0x21*lowBits) | ((w ^ '\\'*lowBits) - lowBits) | w) & highBits
}

// stops is special without the bytes that are not ASCII.
func stops(w uint64) uint64 {
	return (((w ^ 0x02*lowBits) - 0x21*lowBits) | ((w ^ '\\'*lowBits) - lowBits)) &^ w & highBits
}

// scanPlain returns the index of the first byte of b, from i on, that is not
// plain: a quote, a backslash, a control character, a byte that is not ASCII; or
// len(b). i must not be beyond len(b).
func scanPlain(b []byte, i int) int {
	for ; i+8 <= len(b); i += 8 {
		if m := special(uncheckedLoad64(b, i)); m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
	}
	if w, ok := load64(b, i); ok {
		return i + bits.TrailingZeros64(special(w))>>3
	}
	return scanPlainBytes(b, i)
}

// load64 returns the eight bytes of b from i on, the first one lowest. Bytes beyond
// the end are zeros, which both special and stops mark: a scan ends at len(b). It
// can't for texts of less than eight bytes.
func load64(b []byte, i int) (w uint64, ok bool) {
	if i+8 <= len(b) {
		return uncheckedLoad64(b, i), true
	}
	if len(b) < 8 {
		return 0, false
	}
	return uncheckedLoad64(b, len(b)-8) >> (uint(i+8-len(b)) * 8), true
}

// scanPlainBytes is scanPlain byte by byte: its twin, and its part for texts of
// less than eight bytes.
func scanPlainBytes(b []byte, i int) int {
	for i < len(b) && b[i] >= 0x20 && b[i] != '"' && b[i] != '\\' && b[i] < utf8.RuneSelf {
		i++
	}
	return i
}

// text is how a string was written.
type text uint8

const (
	textPlain     text = 0
	textUnicode   text = 1 << iota // it holds bytes that are not ASCII
	textEscaped                    // it holds escapes
	textSurrogate                  // some of them are \uD800 to \uDFFF
)

// scanString checks the string whose first byte, after its quote, is at i. It
// returns the index of its closing quote.
func scanString(b []byte, i int) (end int, how text, err *SyntaxError) {
	end = scanPlain(b, i)
	if end < len(b) && b[end] == '"' {
		return end, textPlain, nil
	}
	return carefulString(b, i, end)
}

// carefulString is scanString where the bytes from start to i are known to be
// plain, and b[i] is not, or the end.
func carefulString(b []byte, start, i int) (end int, how text, err *SyntaxError) {
	var doubt, due uint64 // see sequences
	for {
		w, ok := load64(b, i)
		if !ok {
			return carefulStringBytes(b, start, i, how)
		}
		m := stops(w)
		n := 64
		if m != 0 {
			n = bits.TrailingZeros64(m) &^ 7
			w &= 1<<n - 1 // the bytes before the stop
		}
		if w&highBits|due != 0 {
			how |= textUnicode
			var d uint64
			d, due = sequences(w, due)
			doubt |= d
		}
		i += n >> 3
		if m == 0 {
			continue
		}
		if i < len(b) && b[i] == '"' {
			if doubt != 0 && !validUTF8(b[start:i]) {
				break
			}
			return i, how, nil
		}
		n, how = escape(b, i, how)
		if n == 0 {
			break
		}
		i += n
	}
	return 0, 0, faultyString(b, start)
}

// carefulStringBytes goes on with carefulString at the end of a text of less than
// eight bytes.
func carefulStringBytes(b []byte, start, i int, how text) (end int, _ text, err *SyntaxError) {
	for i < len(b) && b[i] != '"' {
		n := 1
		switch {
		case b[i] >= utf8.RuneSelf:
			how |= textUnicode
		case b[i] < 0x20 || b[i] == '\\':
			n, how = escape(b, i, how)
		}
		if n == 0 {
			return 0, 0, faultyString(b, start)
		}
		i += n
	}
	if i >= len(b) || how&textUnicode != 0 && !validUTF8(b[start:i]) {
		return 0, 0, faultyString(b, start)
	}
	return i, how, nil
}

// escape returns the length of the escape at b[i], and what a string with it is.
// It is 0 when there is none.
func escape(b []byte, i int, how text) (int, text) {
	if i+1 >= len(b) || b[i] != '\\' {
		return 0, how
	}
	if classes[b[i+1]]&classEscape != 0 {
		return 2, how | textEscaped
	}
	if b[i+1] != 'u' || i+6 > len(b) {
		return 0, how
	}
	r := hex4(b[i+2:])
	if r < 0 {
		return 0, how
	}
	if r >= 0xD800 && r <= 0xDFFF {
		how |= textSurrogate
	}
	return 6, how | textEscaped
}

// faultyString says what is wrong with the string whose first byte is at i, and
// where: at the first byte that no valid string could have there.
func faultyString(b []byte, i int) *SyntaxError {
	for i < len(b) {
		switch c := b[i]; {
		case c < 0x20:
			return &SyntaxError{i, "raw control character in a string"}
		case c >= utf8.RuneSelf:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n == 1 {
				return &SyntaxError{i, "invalid UTF-8 in a string"}
			}
			i += n
		case c == '\\':
			if i++; i >= len(b) {
				break
			}
			if b[i] != 'u' {
				if classes[b[i]]&classEscape == 0 {
					return &SyntaxError{i, "illegal escape in a string"}
				}
				i++
				break
			}
			i++
			for end := i + 4; i < end && i < len(b); i++ {
				if hexValues[b[i]] < 0 {
					return &SyntaxError{i, `\u needs four hexadecimal digits`}
				}
			}
		case c == '"':
			panic("BUG: codec: nothing is wrong with the string " + string(b[:i]))
		default:
			i++
		}
	}
	return &SyntaxError{len(b), "unexpected end in a string"}
}

// classes of bytes, for the tests that are not worth a chain of comparisons.
const (
	classEscape = 1 << iota // may follow a backslash, but for u
	classSpace              // white space
	classDigit
)

var classes = [256]uint8{
	'"': classEscape, '\\': classEscape, '/': classEscape, 'b': classEscape,
	'f': classEscape, 'n': classEscape, 'r': classEscape, 't': classEscape,
	' ': classSpace, '\t': classSpace, '\r': classSpace, '\n': classSpace,
	'0': classDigit, '1': classDigit, '2': classDigit, '3': classDigit, '4': classDigit,
	'5': classDigit, '6': classDigit, '7': classDigit, '8': classDigit, '9': classDigit,
}

// hexValues are the values of hexadecimal digits, -1 for other bytes.
var hexValues = func() (v [256]int8) {
	for c := range v {
		v[c] = -1
	}
	for i, c := range "0123456789abcdef" {
		v[c] = int8(i)
	}
	for i, c := range "ABCDEF" {
		v[c] = int8(10 + i)
	}
	return v
}()

// hex4 returns the value of four hexadecimal digits; less than 0 if they aren't.
func hex4(b []byte) int {
	_ = b[3]
	return int(hexValues[b[0]])<<12 | int(hexValues[b[1]])<<8 | int(hexValues[b[2]])<<4 | int(hexValues[b[3]])
}

// loneSurrogate returns the index of the first surrogate in the string b[i:end]
// that has not got its other half, -1 if there is none. carefulString must have
// accepted the string.
func loneSurrogate(b []byte, i, end int) int {
	for i < end {
		if b[i] != '\\' {
			i++
			continue
		}
		if b[i+1] != 'u' {
			i += 2
			continue
		}
		switch r := hex4(b[i+2:]); {
		case r < 0xD800 || r > 0xDFFF:
			i += 6
		case r < 0xDC00 && i+12 <= end && b[i+6] == '\\' && b[i+7] == 'u' && hex4(b[i+8:])&^0x3FF == 0xDC00:
			i += 12
		default:
			return i
		}
	}
	return -1
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
			return 0, &SyntaxError{i, "a digit after a leading zero"}
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

// scanWord expects true, false or null at b[i] and returns the index behind it.
func scanWord(b []byte, i int, word string) (end int, err *SyntaxError) {
	if end = i + len(word); end <= len(b) && string(b[i:end]) == word {
		return end, nil
	}
	for j := range len(word) {
		if i+j >= len(b) || b[i+j] != word[j] {
			return 0, syntaxAt(b, i+j, word)
		}
	}
	panic("BUG: codec: nothing is wrong with " + word)
}

// skipSpace returns the index of the first byte from i on that is not white
// space. It is small enough to be inlined.
func skipSpace(b []byte, i int) int {
	for i < len(b) && classes[b[i]]&classSpace != 0 {
		i++
	}
	return i
}
