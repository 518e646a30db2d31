package codec

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// This file scans what JSON is made of: strings, numbers, words, white space.
// Nothing here knows commands.
//
// Strings have three paths. The fast one goes to the first byte that may stop a string,
// which mark.go has marked or scan finds. If that is the closing quote, and the payload
// is ASCII so far or known to be UTF-8, the string is good. The second, scanEscaped, goes
// on after escapes. The third, validateStringSlow, goes byte by byte. It has the last
// word and finds the exact place of a fault.

const (
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
)

// stops marks, by the highest bit of the byte, where w has a quote, a backslash or
// a control character. Only the lowest mark can be trusted, because a subtraction that
// underflows borrows from the byte above. The parentheses matter: in Go, minus and |
// bind equally.
//
//	x - 0x01 underflows for x == 0, so x^'\\' - 0x01 does for a backslash;
//	x^0x02 swaps 0x20 and 0x22 and keeps control characters among themselves,
//	so x^0x02 - 0x21 underflows for control characters and the quote;
//	bytes past ASCII have their highest bit set anyway, and are left out.
func stops(w uint64) uint64 {
	return (((w ^ 0x02*lowBits) - 0x21*lowBits) | ((w ^ '\\'*lowBits) - lowBits)) &^ w & highBits
}

// scan returns the index of the first byte of b, from i on, that is a quote, a
// backslash or a control character, or len(b) if there is none. i must not be past
// len(b). If seen has none of highBits, the bytes on the way were ASCII.
func scan(b []byte, i int) (end int, seen uint64) {
	for ; i+8 <= len(b); i += 8 {
		w := uncheckedLoad64(b, i)
		seen |= w
		if m := stops(w); m != 0 {
			return i + bits.TrailingZeros64(m)>>3, seen
		}
	}
	if w, ok := load64(b, i); ok {
		return i + bits.TrailingZeros64(stops(w))>>3, seen | w
	}
	return scanBytes(b, i)
}

// scanBytes is scan byte by byte. It is the twin that tests hold scan against, and does
// texts of less than eight bytes.
func scanBytes(b []byte, i int) (end int, seen uint64) {
	for i < len(b) && b[i] >= 0x20 && b[i] != '"' && b[i] != '\\' {
		seen |= uint64(b[i])
		i++
	}
	return i, seen
}

// load64 returns the eight bytes of b from i on, the first one lowest. Bytes past the
// end are zeros, which stops marks, so a scan ends at len(b). It reports false for texts
// of less than eight bytes.
func load64(b []byte, i int) (w uint64, ok bool) {
	if i+8 <= len(b) {
		return uncheckedLoad64(b, i), true
	}
	if len(b) < 8 {
		return 0, false
	}
	return uncheckedLoad64(b, len(b)-8) >> (uint(i+8-len(b)) * 8), true
}

// stringKind is what a string is written with.
type stringKind uint8

const (
	kindPlain     stringKind = 0
	kindUnicode   stringKind = 1 << iota // bytes past ASCII, perhaps
	kindEscaped                          // escapes
	kindSurrogate                        // escapes of surrogates, \uD800 to \uDFFF
)

// scanString checks the string whose first byte, after its quote, is at i, and returns
// the index of its closing quote.
func (d *Decoder) scanString(b []byte, i int) (end int, kind stringKind, err *Refusal) {
	end = d.stop(b, i)
	if end < len(b) && b[end] == '"' && !d.marks.unicode {
		return end, kindPlain, nil
	}
	return d.scanEscaped(b, i, end)
}

// scanEscaped is scanString for a string that begins at start, when the first byte that
// may stop it is at i.
func (d *Decoder) scanEscaped(b []byte, start, i int) (end int, kind stringKind, err *Refusal) {
	for i < len(b) && !d.dirty {
		switch c := b[i]; {
		case c == '"':
			if d.marks.unicode {
				kind |= kindUnicode
			}
			return i, kind, nil
		case c != '\\' || i+1 == len(b):
			return d.validateStringSlow(b, start)
		case classes[b[i+1]]&classEscape != 0:
			kind |= kindEscaped
			i += 2
		default:
			n := 0
			if n, kind = unicodeEscape(b, i, kind); n == 0 {
				return d.validateStringSlow(b, start)
			}
			i += n
		}
		if m := d.marks.from(i); m != 0 { // d.stop
			i += bits.TrailingZeros64(m)
		} else {
			i = d.stopFar(b, i)
		}
	}
	return d.validateStringSlow(b, start)
}

// What is known of the payload's UTF-8.
const (
	utf8Unknown = iota
	utf8Valid
	utf8Invalid
)

// validUTF8 reports whether the whole payload is UTF-8. The first call has sonic look at
// all of it, which costs 15 ns and a nanosecond for a dozen bytes: less than a look at
// each string.
//
// What is not UTF-8 is an error wherever it stands, but the first error has to be found.
// So in such a payload every string goes the slow way.
func (d *Decoder) validUTF8(b []byte) bool {
	if d.utf8 == utf8Unknown {
		d.utf8 = utf8Invalid
		if ValidUTF8(b[d.from:]) {
			d.utf8 = utf8Valid
		}
	}
	return d.utf8 == utf8Valid
}

// validateStringSlow checks the string whose first byte is at i, and stops at the first
// byte that no valid string could have there.
func (d *Decoder) validateStringSlow(b []byte, i int) (end int, kind stringKind, err *Refusal) {
	for i < len(b) {
		switch c := b[i]; {
		case c == '"':
			return i, kind, nil
		case c < 0x20:
			return 0, 0, syntax(i, "raw control character in a string")
		case c >= utf8.RuneSelf:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n == 1 {
				return 0, 0, syntax(i, "invalid UTF-8 in a string")
			}
			kind |= kindUnicode
			i += n
		case c != '\\':
			i++
		case i+1 == len(b):
			i++
		case classes[b[i+1]]&classEscape != 0:
			kind |= kindEscaped
			i += 2
		case b[i+1] != 'u':
			return 0, 0, syntax(i+1, "illegal escape in a string")
		default:
			n := 0
			if n, kind = unicodeEscape(b, i, kind); n == 0 {
				for i += 2; i < len(b) && hexValues[b[i]] >= 0; i++ {
				}
				if i < len(b) {
					return 0, 0, syntax(i, `\u needs four hexadecimal digits`)
				}
			}
			i += n
		}
	}
	return 0, 0, syntax(len(b), "unexpected end in a string")
}

// unicodeEscape returns the length of the escape \uXXXX at b[i], 0 if there is none, and
// the kind of a string that has it.
func unicodeEscape(b []byte, i int, kind stringKind) (int, stringKind) {
	if i+6 > len(b) || b[i] != '\\' || b[i+1] != 'u' {
		return 0, kind
	}
	r := hex4(b[i+2:])
	if r < 0 {
		return 0, kind
	}
	if r >= 0xD800 && r <= 0xDFFF {
		kind |= kindSurrogate
	}
	return 6, kind | kindEscaped
}

// Classes of bytes: one load instead of a chain of comparisons.
const (
	classEscape = 1 << iota // may follow a backslash, except u
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

// hex4 returns the value of the first four bytes of b as hexadecimal digits. It is less
// than 0 if they aren't.
func hex4(b []byte) int {
	_ = b[3]
	return int(hexValues[b[0]])<<12 | int(hexValues[b[1]])<<8 | int(hexValues[b[2]])<<4 | int(hexValues[b[3]])
}

// loneSurrogate returns the index of the first surrogate in the string b[i:end] without
// its other half, -1 if there is none. scanString must have accepted the string.
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

// unescape appends the text of the string whose inside is s to dst. scanString must have
// accepted s, and there must be no unpaired surrogate in it: sonic would make U+FFFD of
// one, and two different keys would become the same.
func unescape(dst, s []byte) []byte {
	// The text is never longer than its JSON. When the scratch grows, keys from before
	// keep the old one.
	if cap(dst)-len(dst) < len(s) {
		dst = append(make([]byte, 0, 2*cap(dst)+len(s)), dst...)
	}
	room := dst[len(dst) : len(dst)+len(s)]
	if len(s) < shortEscaped {
		return dst[:len(dst)+unquoteShort(room, s)]
	}
	return dst[:len(dst)+unquoteLong(room, s)]
}

// unquoteShort is unquoteLong without sonic. It is also the twin that tests hold it
// against.
func unquoteShort(room, s []byte) (n int) {
	for i := 0; i < len(s); {
		// What stands for itself, eight bytes at a time. n is never more than i, so
		// room has space for them.
		if i+8 <= len(s) {
			w := uncheckedLoad64(s, i)
			binary.LittleEndian.PutUint64(room[n:], w)
			w ^= '\\' * lowBits
			m := (w - lowBits) &^ w & highBits
			if m == 0 {
				n += 8
				i += 8
				continue
			}
			n += bits.TrailingZeros64(m) >> 3
			i += bits.TrailingZeros64(m) >> 3
		}
		c := s[i]
		if c != '\\' {
			room[n] = c
			n++
			i++
			continue
		}
		if c = s[i+1]; c != 'u' {
			room[n] = unescaped[c]
			n++
			i += 2
			continue
		}
		r := hex4(s[i+2:])
		i += 6
		if r >= 0xD800 && r <= 0xDFFF {
			r = (r-0xD800)<<10 | (hex4(s[i+2:]) - 0xDC00) + 0x10000
			i += 6
		}
		n += utf8.EncodeRune(room[n:], rune(r))
	}
	return n
}

// unescaped is what a byte stands for after a backslash.
var unescaped = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// scanNumber checks the number at b[i] and returns the index after it.
func scanNumber(b []byte, i int) (end int, err *Refusal) {
	if i < len(b) && b[i] == '-' {
		i++
	}
	switch {
	case i < len(b) && b[i] == '0':
		i++
		if i < len(b) && isDigit(b[i]) {
			return 0, syntax(i, "a digit after a leading zero")
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

// scanWord expects word, which is true, false or null, at b[i] and returns the index
// after it. Of another word the first letter is at fault: "not" is no null with a wrong
// letter.
func scanWord(b []byte, i int, word string) (end int, err *Refusal) {
	if end = i + len(word); end <= len(b) && string(b[i:end]) == word {
		return end, nil
	}
	for j := range len(word) {
		if i+j >= len(b) {
			return 0, syntaxAt(b, i+j, word)
		}
		if b[i+j] != word[j] {
			return 0, noValue(b, i)
		}
	}
	panic("BUG: codec: nothing is wrong with " + word)
}

// skipSpace returns the index of the first byte from i on that is not white space. Where
// there is none, it costs one comparison. It and skipRun are small enough to be inlined.
func skipSpace(b []byte, i int) int {
	if i < len(b) && b[i] <= ' ' {
		return skipRun(b, i)
	}
	return i
}

// space is skipSpace that leaps.
func (d *Decoder) space(b []byte, i int) int {
	if i < len(b) && b[i] <= ' ' {
		return d.spaceRun(b, i)
	}
	return i
}

// nearSpace is how much white space is skipped before the leaps are asked: more than
// people and printers write.
const nearSpace = 256

func (d *Decoder) spaceRun(b []byte, i int) int {
	for end := min(i+nearSpace, len(b)); i < end; i++ {
		if classes[b[i]]&classSpace == 0 {
			return i
		}
	}
	if d.inPart {
		if end := d.leap(i); end >= 0 {
			return end
		}
	}
	return skipRun(b, i)
}

// skipRun is skipSpace where there may be some. A loop over eight bytes at a time is a
// tenth slower for pretty-printed pairs, which have one to five between two values.
func skipRun(b []byte, i int) int {
	for i < len(b) && classes[b[i]]&classSpace != 0 {
		i++
	}
	return i
}

// skipIndent is skipRun where there may be a line's end and an indent, of which it skips eight
// spaces at once. A command that begins with two such is decoded five nanoseconds sooner; between
// pairs it makes them a tenth slower.
func skipIndent(b []byte, i int) int {
	if i+9 <= len(b) && b[i] == '\n' {
		i += 1 + bits.TrailingZeros64(uncheckedLoad64(b, i+1)^' '*lowBits)/8
	}
	return skipRun(b, i)
}

// fewerChars reports whether UTF-8 text has fewer than n characters, for a small n.
func fewerChars(b []byte, n int) bool {
	if len(b) >= 4*n {
		return false
	}
	chars := 0
	for ; len(b) >= 8; b = b[8:] {
		// Continuation bytes are 10xxxxxx. The multiplication adds their marks up in
		// the highest byte.
		continuation := uncheckedLoad64(b, 0)
		continuation &^= continuation << 1
		chars += 8 - int((continuation&highBits>>7)*lowBits>>56)
		if chars+(len(b)-8)/4 >= n { // the next three bytes may belong to these
			return false
		}
	}
	for _, c := range b {
		if int8(c) >= -0x40 {
			chars++
		}
	}
	return chars < n
}
