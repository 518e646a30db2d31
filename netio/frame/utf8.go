package frame

import "unicode/utf8"

// UTF8 checks a text that comes in pieces, cut anywhere: RFC 6455 section 8.1, which wants
// a connection failed for a text that is not UTF-8, and the earlier the better. The zero
// value is ready for the beginning of a text.
type UTF8 struct {
	begun  [utf8.UTFMax]byte // a character that has begun and not ended
	length uint8             // of it; utf8.UTFMax after a fault
}

// Check reports whether the text may still become UTF-8 with the next piece. It sees a fault
// at the first byte with which no character can go on. After a fault the answer is false.
func (u *UTF8) Check(piece []byte) bool {
	for u.length > 0 && len(piece) > 0 {
		if u.length == utf8.UTFMax {
			return false
		}
		u.begun[u.length] = piece[0]
		u.length++
		piece = piece[1:]
		if utf8.FullRune(u.begun[:u.length]) {
			if !utf8.Valid(u.begun[:u.length]) {
				u.length = utf8.UTFMax
				return false
			}
			u.length = 0
		}
	}
	whole := len(piece) - cutOff(piece)
	if !utf8.Valid(piece[:whole]) {
		u.length = utf8.UTFMax
		return false
	}
	if len(piece) > whole {
		u.length = uint8(copy(u.begun[:], piece[whole:]))
	}
	return u.length < utf8.UTFMax
}

// cutOff is how many bytes at the end of a piece are a character that goes on.
func cutOff(piece []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(piece); n++ {
		if tail := piece[len(piece)-n:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}
