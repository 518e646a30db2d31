package codec

import (
	"bytes"
	"errors"
	"math"
	"math/big"
	"strconv"
	"unicode/utf8"
)

// This file is how a client of Redis's protocol sees values: a JSON string is its bytes, any
// other value its JSON text. What such a client stores is a string, of whatever bytes.

// The forms of Merge's arguments that come from such a client. They are never a value's.
const (
	FormTail  Form = FormUpdate + 1 + iota // bytes to be appended to what the client sees
	FormFloat                              // a number in decimal, to be added to what it sees
)

// FormOf is the form of a string of these bytes.
func FormOf(b []byte) Form {
	if end, seen := scan(b, 0); end == len(b) && (seen&highBits == 0 || ValidUTF8(b)) {
		return FormString
	}
	return FormBytes
}

// AppendBytes appends what a client of Redis's protocol sees of a value.
func AppendBytes(dst, value []byte, form Form) []byte {
	if form != FormJSON || len(value) == 0 || value[0] != '"' {
		return append(dst, value...)
	}
	return appendText(dst, value[1:len(value)-1])
}

// IsBytes reports whether a value is kept as AppendBytes would append it.
func IsBytes(value []byte, form Form) bool {
	return form != FormJSON || len(value) == 0 || value[0] != '"'
}

// Value checks the JSON text of one value, with white space around it or not, and returns it
// as it is kept; it aliases b.
func (d *Decoder) Value(b []byte) (value []byte, form Form, err error) {
	from := skipSpace(b, 0)
	end, err := d.ScanValue(b, from)
	if err != nil {
		return nil, 0, err
	}
	if after := skipSpace(b, end); after < len(b) {
		return nil, 0, syntaxAt(b, after, "nothing after the value")
	}
	if c := b[from]; (c == '{' || c == '[' || c == 'n') && !d.opts.AnyValues {
		return nil, 0, errors.New(mistyped[ShapePairs])
	}
	value, form = valueOf(b[from:end:end])
	return value, form, nil
}

// HasChars reports whether a text has at least n characters; a byte that is no UTF-8 is one.
func HasChars(text []byte, n int) bool {
	return len(text) >= n && (len(text) >= n*utf8.UTFMax || utf8.RuneCount(text) >= n)
}

// IsKey reports whether a key that is stored is one for JSON's commands, which a client of
// Redis's protocol need not have kept to: UTF-8, with at least n characters.
func IsKey(key []byte, n int) bool {
	if end, seen := scan(key, 0); end == len(key) && seen&highBits == 0 {
		return len(key) >= n // it is ASCII
	}
	return ValidUTF8(key) && !fewerChars(key, n)
}

// MaxFloatText is how long a number may be that is added, or added to.
const MaxFloatText = 64

// tail makes the value of FormTail.
func tail(dst, old []byte, oldForm Form, exists bool, arg []byte) ([]byte, Form, Status) {
	st := StatusKeySet
	from := len(dst)
	if exists {
		dst, st = AppendBytes(dst, old, oldForm), StatusKeyUpdated
	}
	dst = append(dst, arg...)
	if n := len(dst) - from; n > maxMerged && n > max(len(old), len(arg)) {
		return dst[:from], 0, StatusTypeInvalid
	}
	return dst, FormOf(dst[from:]), st
}

// plus makes the value of FormFloat: Redis counts in long doubles of 64 bits of mantissa, and
// writes 17 digits after the point at most.
func plus(dst, old []byte, oldForm Form, exists bool, arg []byte) ([]byte, Form, Status) {
	sum, ok := parseFloat(arg)
	st := StatusKeySet
	if exists {
		if !IsBytes(old, oldForm) { // a number's text may be escaped, but only that long
			if len(old) > len(`\u0000`)*MaxFloatText {
				return dst, 0, StatusNotAnInteger
			}
			old = AppendBytes(nil, old, oldForm)
		}
		number, isNumber := parseFloat(old)
		if ok = ok && isNumber; ok {
			sum.Add(sum, number)
		}
		st = StatusKeyUpdated
	}
	if !ok {
		return dst, 0, StatusNotAnInteger
	}
	if f, _ := sum.Float64(); math.IsInf(f, 0) {
		return dst, 0, StatusNotAnInteger
	}
	from := len(dst)
	dst = sum.Append(dst, 'f', 17)
	dst = bytes.TrimRight(dst, "0")
	dst = bytes.TrimSuffix(dst, []byte("."))
	if string(dst[from:]) == "-0" {
		dst = append(dst[:from], '0')
	}
	return dst, FormString, st
}

// longDouble is the mantissa of one, in bits.
const longDouble = 64

// parseFloat returns a finite number. Its text is looked at before big.Float has it, which
// would take long for an exponent of nine digits.
func parseFloat(text []byte) (*big.Float, bool) {
	if len(text) == 0 || len(text) > MaxFloatText {
		return nil, false
	}
	for i, c := range text {
		switch {
		case isDigit(c), c == '.', c == '-', c == '+':
		case (c == 'e' || c == 'E') && len(text)-i <= len("e-9999"):
		default:
			return nil, false
		}
	}
	s := string(text)
	if _, err := strconv.ParseFloat(s, 64); err != nil {
		return nil, false
	}
	f, _, err := big.ParseFloat(s, 10, longDouble, big.ToNearestEven)
	return f, err == nil
}
