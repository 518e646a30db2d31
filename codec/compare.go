package codec

import (
	"bytes"
	"math/big"
)

// This file compares values: numbers as numbers, exactly, however they are written; strings
// by their text; true, false and null with themselves; arrays element by element and
// objects member by member, in any order. Only numbers and strings have an order, that of
// strings being the order of their UTF-8. No value of one type equals one of another.

// comparison is an operator of FIND, as the set of results that it accepts.
type comparison uint8

const (
	isLess comparison = 1 << iota
	isEqual
	isGreater
	isOther // neither: they have no order
)

var comparisons = map[string]comparison{
	"==": isEqual, "!=": isLess | isGreater | isOther,
	"<": isLess, "<=": isLess | isEqual, ">": isGreater, ">=": isGreater | isEqual,
}

// comparisonOf is what a comparison by order, -1, 0 or 1, has come to.
func comparisonOf(order int) comparison { return isLess << (order + 1) }

// operand is a value that others are compared with.
type operand struct {
	json   []byte // its JSON text
	text   []byte // of a string its text
	number number
}

func newOperand(json []byte) (o operand) {
	o.json = json
	switch {
	case json[0] == '"':
		o.text = appendText(nil, json[1:len(json)-1])
	case isNumber(json):
		o.number = parseNumber(json)
	}
	return o
}

// matches reports whether a stored value compares with o like that.
func (o *operand) matches(value []byte, form Form, want comparison, scratch *[]byte) bool {
	return o.order(value, form, scratch)&want != 0
}

// order compares a stored value with o.
func (o *operand) order(value []byte, form Form, scratch *[]byte) comparison {
	isString := form != FormJSON || value[0] == '"'
	if isString || o.json[0] == '"' {
		if !isString || o.json[0] != '"' {
			return isOther
		}
		if form == FormJSON {
			value = value[1 : len(value)-1]
			if hasBackslash(value) {
				*scratch = appendText((*scratch)[:0], value)
				value = *scratch
			}
		}
		return comparisonOf(bytes.Compare(value, o.text))
	}
	if isNumber(value) && isNumber(o.json) {
		return comparisonOf(parseNumber(value).compare(o.number))
	}
	if equal(value, o.json) {
		return isEqual
	}
	return isOther
}

// equal reports whether two JSON texts are the same value.
func equal(a, b []byte) bool {
	switch {
	case a[0] == '"' && b[0] == '"':
		return bytes.Equal(appendText(nil, a[1:len(a)-1]), appendText(nil, b[1:len(b)-1]))
	case isNumber(a) && isNumber(b):
		return parseNumber(a).compare(parseNumber(b)) == 0
	case a[0] != b[0]:
		return false
	case a[0] == '[':
		for i, j := 1, 1; ; {
			fromA, endA, nextA, okA := elementAt(a, i)
			fromB, endB, nextB, okB := elementAt(b, j)
			if !okA || !okB {
				return okA == okB
			}
			if !equal(a[fromA:endA], b[fromB:endB]) {
				return false
			}
			i, j = nextA, nextB
		}
	case a[0] == '{':
		// Of a name that is there twice, the first counts, as in a pointer.
		members, others := membersOf(a), membersOf(b)
		if len(members) != len(others) {
			return false
		}
		for name, value := range members {
			other, ok := others[name]
			if !ok || !equal(value, other) {
				return false
			}
		}
		return true
	}
	return a[0] == b[0] // true, false or null
}

func membersOf(b []byte) map[string][]byte {
	all := map[string][]byte{}
	for i := 1; ; {
		m, ok := memberAt(b, i)
		if !ok {
			return all
		}
		if name := string(appendText(nil, m.name)); all[name] == nil {
			all[name] = b[m.from:m.end]
		}
		i = m.next
	}
}

func isNumber(json []byte) bool { return isDigit(json[0]) || json[0] == '-' }

// number is a JSON number: ±0.d₁d₂d₃… × 10^exponent, where d₁ is not 0. Zero has no digits.
type number struct {
	negative bool
	whole    []byte // its digits before the point, without leading zeros
	fraction []byte // those after it; of 0.00… without these zeros
	exponent int64
	far      *big.Int // the exponent, if it may be too large for that
}

// maxExponentDigits is how many digits an exponent may have that surely is not too large.
const maxExponentDigits = 17

func parseNumber(text []byte) (n number) {
	if text[0] == '-' {
		n.negative, text = true, text[1:]
	}
	end := skipDigits(text, 0)
	n.whole = bytes.TrimLeft(text[:end], "0")
	rest := text[end:]
	n.exponent = int64(len(n.whole))
	if len(rest) > 0 && rest[0] == '.' {
		end = skipDigits(rest, 1)
		n.fraction, rest = rest[1:end], rest[end:]
		if len(n.whole) == 0 {
			zeros := len(n.fraction)
			n.fraction = bytes.TrimLeft(n.fraction, "0")
			n.exponent = int64(len(n.fraction) - zeros)
		}
		n.fraction = bytes.TrimRight(n.fraction, "0")
	}
	if len(n.fraction) == 0 {
		n.whole = bytes.TrimRight(n.whole, "0")
	}
	if len(n.whole)+len(n.fraction) == 0 {
		return number{}
	}
	if len(rest) > 0 {
		e := rest[1:]
		if e[0] == '+' {
			e = e[1:]
		}
		if len(e) <= maxExponentDigits {
			shift, _ := parseInt(e)
			n.exponent += shift
			return n
		}
		n.far, _ = new(big.Int).SetString(string(e), 10)
		n.far.Add(n.far, big.NewInt(n.exponent))
	}
	return n
}

// compare returns -1, 0 or 1, as n is less than, equal to or greater than o.
func (n number) compare(o number) int {
	switch n, o := n.sign(), o.sign(); {
	case n < o:
		return -1
	case n > o:
		return 1
	case n == 0:
		return 0
	}
	order := n.compareExponents(o)
	if order == 0 {
		order = n.compareDigits(o)
	}
	if n.negative {
		return -order
	}
	return order
}

func (n number) sign() int {
	switch {
	case len(n.whole)+len(n.fraction) == 0:
		return 0
	case n.negative:
		return -1
	}
	return 1
}

func (n number) compareExponents(o number) int {
	if n.far == nil && o.far == nil {
		switch {
		case n.exponent < o.exponent:
			return -1
		case n.exponent > o.exponent:
			return 1
		}
		return 0
	}
	far := func(n number) *big.Int {
		if n.far != nil {
			return n.far
		}
		return big.NewInt(n.exponent)
	}
	return far(n).Cmp(far(o))
}

// compareDigits compares the digits of two numbers of one exponent.
func (n number) compareDigits(o number) int {
	a, moreOfA := n.whole, n.fraction
	b, moreOfB := o.whole, o.fraction
	for {
		if len(a) == 0 {
			a, moreOfA = moreOfA, nil
		}
		if len(b) == 0 {
			b, moreOfB = moreOfB, nil
		}
		common := min(len(a), len(b))
		if common == 0 {
			return sign(len(a) - len(b))
		}
		if order := bytes.Compare(a[:common], b[:common]); order != 0 {
			return order
		}
		a, b = a[common:], b[common:]
	}
}

func sign(n int) int { return max(-1, min(1, n)) }
