package codec

import (
	"bytes"
	"cmp"
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

	objects map[int]*object // those in the text, by where they begin, when they are needed
	round   uint64          // of comparisons with an object
	scratch []byte
}

// object is one in an operand. Of a name that is there twice, the first counts, as in a
// pointer.
type object struct {
	members map[string]*operandMember
	end     int
}

type operandMember struct {
	from int    // of the value
	seen uint64 // the round in which the other object had it
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
func (o *operand) matches(value []byte, form Form, want comparison) bool {
	return o.order(value, form)&want != 0
}

// order compares a stored value with o.
func (o *operand) order(value []byte, form Form) comparison {
	isString := form != FormJSON || value[0] == '"'
	if isString || o.json[0] == '"' {
		if !isString || o.json[0] != '"' {
			return isOther
		}
		if form == FormJSON {
			value = textOf(value[1:len(value)-1], &o.scratch)
		}
		return comparisonOf(bytes.Compare(value, o.text))
	}
	if isNumber(value) && isNumber(o.json) {
		return comparisonOf(parseNumber(value).compare(o.number))
	}
	if value[0] != o.json[0] {
		return isOther
	}
	if o.objects == nil {
		o.objects = map[int]*object{}
		o.findObjects(0)
	}
	if _, _, same := o.equal(value, 0, 0); same {
		return isEqual
	}
	return isOther
}

// findObjects fills o.objects with those in the value at i, and returns the index after it.
func (o *operand) findObjects(i int) (end int) {
	switch b := o.json; b[i] {
	case '[':
		for i++; ; {
			if i = skipSpace(b, i); b[i] == ']' {
				return i + 1
			}
			i = skipComma(b, o.findObjects(i))
		}
	case '{':
		found := &object{members: map[string]*operandMember{}}
		o.objects[i] = found
		for i++; ; {
			m, ok := nameAt(b, i)
			if !ok {
				found.end = skipSpace(b, i) + 1
				return found.end
			}
			i = skipComma(b, o.findObjects(m.from))
			if name := textOf(m.name, &o.scratch); found.members[string(name)] == nil {
				found.members[string(name)] = &operandMember{from: m.from}
			}
		}
	}
	return skipValue(o.json, i)
}

// equal reports whether the value at i of a text is the one at j of the operand, and returns
// the indices after them. It goes through both once, up to the first difference, and takes no
// memory for the text.
func (o *operand) equal(b []byte, i, j int) (afterB, afterO int, same bool) {
	switch c := o.json; {
	case b[i] == '"' && c[j] == '"':
		afterB, afterO = skipString(b, i), skipString(c, j)
		return afterB, afterO, isText(b[i+1:afterB-1], textOf(c[j+1:afterO-1], &o.scratch))
	case isNumber(b[i:]) && isNumber(c[j:]):
		afterB, afterO = skipValue(b, i), skipValue(c, j)
		return afterB, afterO, parseNumber(b[i:afterB]).compare(parseNumber(c[j:afterO])) == 0
	case b[i] != c[j]:
		return 0, 0, false
	case b[i] == '[':
		for i, j = i+1, j+1; ; i, j = skipComma(b, i), skipComma(c, j) {
			i, j = skipSpace(b, i), skipSpace(c, j)
			if b[i] == ']' || c[j] == ']' {
				return i + 1, j + 1, b[i] == c[j]
			}
			if i, j, same = o.equal(b, i, j); !same {
				return 0, 0, false
			}
		}
	case b[i] == '{':
		return o.equalObject(b, i, o.objects[j])
	}
	return skipValue(b, i), skipValue(o.json, j), true // true, false or null
}

// equalObject is equal for the object at i and one of the operand.
func (o *operand) equalObject(b []byte, i int, other *object) (afterB, afterO int, same bool) {
	o.round++
	round, seen := o.round, 0
	for i++; ; i = skipComma(b, i) {
		m, ok := nameAt(b, i)
		if !ok {
			return skipSpace(b, i) + 1, other.end, seen == len(other.members)
		}
		switch member := other.members[string(textOf(m.name, &o.scratch))]; {
		case member == nil:
			return 0, 0, false
		case member.seen == round:
			i = skipValue(b, m.from)
		default:
			member.seen = round
			seen++
			if i, _, same = o.equal(b, m.from, member.from); !same {
				return 0, 0, false
			}
		}
	}
}

func isNumber(json []byte) bool { return isDigit(json[0]) || json[0] == '-' }

// number is a JSON number: ±0.d₁d₂d₃… × 10^exponent, where d₁ is not 0. Zero has no digits.
type number struct {
	negative bool
	whole    []byte // its digits before the point, without leading zeros
	fraction []byte // those after it; of 0.00… without these zeros
	exponent int64

	// The digits of what is to be added to the exponent, if that may be too large for it,
	// without leading zeros, and whether it is to be taken away.
	far         []byte
	farNegative bool
}

const (
	// maxExponentDigits is how many digits an exponent may have that surely is not too large.
	maxExponentDigits = 17

	// maxNearExponent is more than two numbers' exponents can differ by without their far
	// digits: twice 10^17, and the lengths of their texts. Ten times that fits into 64 bits.
	maxNearExponent = 1 << 59
)

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
		e, negative := rest[1:], false
		if e[0] == '+' || e[0] == '-' {
			e, negative = e[1:], e[0] == '-'
		}
		if e = bytes.TrimLeft(e, "0"); len(e) > maxExponentDigits {
			n.far, n.farNegative = e, negative
			return n
		}
		shift, _ := parseInt(e) // 0 of no digits
		if negative {
			shift = -shift
		}
		n.exponent += shift
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

// compareExponents subtracts the far digits, from the first one on, and compares what comes
// out with the difference of the rest. As soon as that can't make up for it any more, the
// digits that follow can't either: the next difference is ten times as large, less 18.
func (n number) compareExponents(o number) int {
	difference := int64(0)
	for i := max(len(n.far), len(o.far)); i > 0; i-- {
		difference = 10*difference + n.farDigit(i) - o.farDigit(i)
		if difference > maxNearExponent || difference < -maxNearExponent {
			break
		}
	}
	return cmp.Compare(difference, o.exponent-n.exponent)
}

// farDigit is the far digit of that place, 1 being the last, with its sign.
func (n number) farDigit(place int) int64 {
	switch {
	case place > len(n.far):
		return 0
	case n.farNegative:
		return -int64(n.far[len(n.far)-place] - '0')
	}
	return int64(n.far[len(n.far)-place] - '0')
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
