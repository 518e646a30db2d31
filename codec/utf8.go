package codec

import "math/bits"

// UTF-8 in strings. While a string is scanned, sequences follows its characters
// eight bytes at a time. It knows the characters of two and three bytes, but for
// the first byte of a few, and when it is in doubt the string is checked as a whole
// when its end is known: by sonic when it is long, by validShortUTF8 when not,
// since sonic's check takes 15 ns to call.

// sequences checks that the bytes of w that are not ASCII are whole characters. due
// has the highest bit set of each byte of w that has to be a continuation byte
// because of what came before; nextDue is the same for the next word. With doubt 0
// all is well; else w is wrong, or has something that sequences doesn't know.
func sequences(w, due uint64) (doubt, nextDue uint64) {
	lead := w & (w << 1) & highBits // 11......
	lead3 := lead & (w << 2)        // 111.....
	// Continuation bytes, 10......, are where they are due and nowhere else.
	doubt = w&^(w<<1)&highBits ^ (lead<<8 | lead3<<16 | due)
	doubt |= lead3 & (w << 3) // four bytes, or no UTF-8
	// C0 and C1 are overlong: nothing in 00111110. x + 0x7E has the highest bit
	// set unless x is 0.
	doubt |= lead &^ (w&(0x3E*lowBits) + 0x7E*lowBits)
	// Behind E0 and ED not all continuation bytes are allowed.
	nibble := w & (0x0F * lowBits)
	doubt |= lead3 &^ ((nibble + 0x7F*lowBits) & ((nibble ^ 0x0D*lowBits) + 0x7F*lowBits))
	return doubt, lead>>56 | lead3>>48
}

const (
	utf8Accept = 6 * iota
	utf8Reject
	utf8One     // one continuation byte is due
	utf8Two     // two
	utf8Three   // three
	utf8AfterE0 // two, the first of them not below 0xA0: it would be overlong
	utf8AfterED // two, the first of them not above 0x9F: it would be a surrogate
	utf8AfterF0 // three, the first of them not below 0x90: it would be overlong
	utf8AfterF4 // three, the first of them not above 0x8F: it would be past U+10FFFF
	utf8States
)

var utf8Table = func() (table [256]uint64) {
	for c := range table {
		for state := 0; state < utf8States; state += 6 {
			next := utf8Reject
			continuation := c >= 0x80 && c <= 0xBF
			switch {
			case state == utf8Accept:
				switch {
				case c < 0x80:
					next = utf8Accept
				case c >= 0xC2 && c <= 0xDF:
					next = utf8One
				case c == 0xE0:
					next = utf8AfterE0
				case c == 0xED:
					next = utf8AfterED
				case c >= 0xE1 && c <= 0xEF:
					next = utf8Two
				case c == 0xF0:
					next = utf8AfterF0
				case c >= 0xF1 && c <= 0xF3:
					next = utf8Three
				case c == 0xF4:
					next = utf8AfterF4
				}
			case !continuation:
			case state == utf8One:
				next = utf8Accept
			case state == utf8Two, state == utf8AfterE0 && c >= 0xA0, state == utf8AfterED && c <= 0x9F:
				next = utf8One
			case state == utf8Three, state == utf8AfterF0 && c >= 0x90, state == utf8AfterF4 && c <= 0x8F:
				next = utf8Two
			}
			table[c] |= uint64(next) << state
		}
	}
	return table
}()

// validShortUTF8 is utf8.Valid. It is a state machine whose whole transition for a byte is one shift: the table
// has a word for each byte, which holds the next state for each state, in the six
// bits that begin at the number of the state. (Per Vognsen's shift-based DFA; the
// states are those of RFC 3629 section 4.)
func validShortUTF8(b []byte) bool {
	state := uint64(utf8Accept)
	for _, c := range b {
		state = utf8Table[c] >> (state & 63)
	}
	return state&63 == utf8Accept
}

// fewerChars tells whether UTF-8 text has fewer than n characters, for a small n.
func fewerChars(b []byte, n int) bool {
	if len(b) >= 4*n {
		return false
	}
	chars := len(b)
	for ; len(b) >= 8; b = b[8:] {
		w := uncheckedLoad64(b, 0)
		chars -= bits.OnesCount64(w &^ (w << 1) & highBits) // continuation bytes
	}
	for _, c := range b {
		if int8(c) < -0x40 { // 0x80 to 0xBF
			chars--
		}
	}
	return chars < n
}
