package load

import "encoding/binary"

// template is a command of one kind with the keys left open: its text for key number 0, and
// where the digits of keys and values are. Filling it in is a copy and two stores of eight
// digits a key, whatever the protocol.
type template struct {
	text   []byte
	slots  []slot // in the order of the text: a key's, then its value's
	perKey int    // slots
}

// slot is where the digits of a number are.
type slot struct {
	end  int    // after the last digit
	wide bool   // there is room for ten digits, not for eight
	low  uint64 // what the last eight digits are XORed with: a WebSocket's mask, or 0
	high uint16 // the same for the two before
}

// templates are a worker's, by kind. There is none for a kind whose commands vary in length
// or hold shorter numbers: those are written key by key.
type templates [kinds]*template

func newTemplates(o *Options, p protocol) (t templates) {
	for kind, share := range o.Mix {
		if share > 0 {
			t[kind] = newTemplate(p, Kind(kind), o.Keys, o.Space)
		}
	}
	return t
}

// newTemplate finds the slots by comparing the texts of two numbers that differ in
// every digit.
func newTemplate(p protocol, kind Kind, keys, space int) *template {
	const zeroToNine = '0' ^ '9'
	numbers := make([]uint64, keys)
	zeros := p.appendCommand(nil, kind, numbers)
	for i := range numbers {
		numbers[i] = 9_999_999_999
	}
	nines := p.appendCommand(nil, kind, numbers)
	if len(zeros) != len(nines) {
		return nil
	}
	t := &template{text: zeros, perKey: 1}
	if kind == Set || kind == Add {
		t.perKey = 2
	}
	for at := 0; at < len(zeros); at++ {
		begin := at
		for at < len(zeros) && zeros[at]^nines[at] == zeroToNine {
			at++
		}
		switch n := at - begin; {
		case n == 0 && zeros[at] != nines[at]:
			return nil // something else depends on the number
		case n == 0:
		case n == 8 || n == 10 || n == 9 && space <= 1e8:
			s := slot{end: at, wide: n == 10}
			s.low = binary.LittleEndian.Uint64(zeros[at-8:]) ^ digits8(0)
			if s.wide {
				s.high = binary.LittleEndian.Uint16(zeros[at-10:]) ^ digits2(0)
			}
			t.slots = append(t.slots, s)
		default:
			return nil
		}
	}
	if len(t.slots) != keys*t.perKey {
		return nil
	}
	return t
}

// append appends the command for these keys.
func (t *template) append(dst []byte, keys []uint64) []byte {
	n := len(dst)
	dst = append(dst, t.text...)
	text, slots := dst[n:], t.slots
	for _, key := range keys {
		high := uint32(key / 1e8)
		low := digits8(uint32(key) - high*1e8)
		for i := range slots[:t.perKey] {
			s := &slots[i]
			binary.LittleEndian.PutUint64(text[s.end-8:], low^s.low)
			if high > 0 && s.wide {
				binary.LittleEndian.PutUint16(text[s.end-10:], digits2(high)^s.high)
			}
		}
		slots = slots[t.perKey:]
	}
	return dst
}

// digits8 are the decimal digits of n < 10⁸, the first in the lowest byte: pairs of
// numbers are split into quotient and remainder by 10⁴, 100 and 10, all at once, with
// multiplications by reciprocals (Warren, Hacker's Delight, 10-9).
func digits8(n uint32) uint64 {
	x := uint64(n/10_000) | uint64(n%10_000)<<32
	hundreds := x * 10_486 >> 20 & 0x7f_0000007f
	x = hundreds | (x-100*hundreds)<<16
	tens := x * 103 >> 10 & 0x0f_000f_000f_000f
	return (tens | (x-10*tens)<<8) + 0x30303030_30303030
}

// digits2 are those of n < 100.
func digits2(n uint32) uint16 { return uint16(n/10|n%10<<8) + 0x3030 }
