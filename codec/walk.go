package codec

import "slices"

// This file is the part of a Check that walks what a step may end in: values, numbers,
// white space and strings, a piece at a time.

// walkValue walks the beginning of the value at i.
func (c *Check) walkValue(d *Decoder, b []byte, i int) (fault *Refusal) {
	if c.depth == 0 {
		c.value = i
	}
	if i >= len(b) {
		_, _, fault = d.value(b, i)
		return fault
	}
	switch t := b[i]; {
	case t == '"':
		c.beginString(i+1, roleValue)
		return nil
	case t == '{' || t == '[':
		if c.depth++; c.depth > d.opts.MaxDepth {
			return tooDeep(i, d.opts.MaxDepth)
		}
		c.objects[c.depth/64] &^= 1 << (c.depth % 64)
		if t == '{' {
			c.objects[c.depth/64] |= 1 << (c.depth % 64)
		}
		c.at, c.state = i+1, wantInside
		return nil
	case t == '-' || isDigit(t):
		if t == '-' {
			i++
		}
		if i >= len(b) || !isDigit(b[i]) || b[i] == '0' && i+1 < len(b) && isDigit(b[i+1]) {
			_, fault = scanNumber(b, c.at-1)
			return fault
		}
		c.at, c.state, c.digit = i+1, inDigits, digitsInteger
		return nil
	default: // a word, or nothing that begins a value
		end, _, fault := d.value(b, i)
		if fault != nil {
			return fault
		}
		return c.valueEnded(end)
	}
}

// walkDigits walks the digits of a number, and what stands between them.
func (c *Check) walkDigits(d *Decoder, b []byte, limit int) *Refusal {
	for {
		i := c.at
		// A zero that comes first is the only digit: walkValue has seen to it.
		for i < limit && isDigit(b[i]) {
			i++
		}
		if c.at = i; i >= limit && i < len(b) {
			return nil
		}
		switch {
		case i < len(b) && b[i] == '.' && c.digit == digitsInteger:
			c.digit = digitsFraction
		case i < len(b) && b[i]|0x20 == 'e' && c.digit != digitsExponent:
			c.digit = digitsExponent
			if i+1 < len(b) && (b[i+1] == '+' || b[i+1] == '-') {
				i++
			}
		default:
			if c.depth == 0 {
				c.leap(c.value, i)
			}
			return c.valueEnded(i)
		}
		if i++; i >= len(b) || !isDigit(b[i]) {
			return syntaxAt(b, i, "a digit")
		}
		c.at = i + 1
	}
}

// walkSpace walks white space up to limit and returns its end.
func (c *Check) walkSpace(b []byte, limit int) int {
	from, i := c.spaces, c.at
	if from < 0 {
		from = i
	}
	for i < limit && classes[b[i]]&classSpace != 0 {
		i++
	}
	if c.at = i; i >= limit && i < len(b) {
		c.spaces = from
		return i
	}
	c.spaces = -1
	c.spaced = c.leap(from, i) || c.spaced
	return i
}

// leap notes what need not be looked at again, if it is long, and if the decoder comes
// there at all. It reports whether it has.
func (c *Check) leap(from, end int) bool {
	if end-from < c.long || c.depth > 1 || c.depth == 1 && c.op.Shape() != ShapeRenames {
		return false
	}
	at, _ := slices.BinarySearchFunc(c.leaps, from, func(l leap, from int) int { return l.from - from })
	c.leaps = slices.Insert(c.leaps, at, leap{from, end})
	return true
}

func (c *Check) beginString(from int, role stringRole) {
	c.at, c.state, c.role = from, inString, role
	c.from, c.kind, c.lone, c.high = from, kindPlain, -1, -1
}

// walkString walks a string up to limit or a little further.
func (c *Check) walkString(d *Decoder, b []byte, limit int) *Refusal {
	limit = runeEnd(b, limit)
	for i := c.at; i < limit; {
		end, seen := scan(b[:limit:limit], i)
		if seen&highBits != 0 && !ValidUTF8(b[i:end]) {
			if _, _, fault := d.validateStringSlow(b, i); fault != nil {
				return fault
			}
		}
		i = end
		if i == limit {
			c.at = i
			break
		}
		if b[i] == '"' {
			c.at = i + 1
			return c.stringEnded(d, b, i)
		}
		n := 2
		if b[i] != '\\' || i+1 == len(b) || classes[b[i+1]]&classEscape == 0 {
			if n, c.kind = unicodeEscape(b, i, c.kind); n == 0 {
				_, _, fault := d.validateStringSlow(b, i)
				return fault
			}
			c.surrogate(i, hex4(b[i+2:]))
		}
		c.kind |= kindEscaped
		i += n
		c.at = i
	}
	if c.at >= len(b) {
		_, _, fault := d.validateStringSlow(b, len(b))
		return fault
	}
	return nil
}

// surrogate takes note of the escape of r at i.
func (c *Check) surrogate(i, r int) {
	paired := c.high >= 0 && c.high+6 == i && r&^0x3FF == 0xDC00
	if c.high >= 0 && !paired && c.lone < 0 {
		c.lone = c.high
	}
	c.high = -1
	switch {
	case r&^0x3FF == 0xD800:
		c.high = i
	case r&^0x3FF == 0xDC00 && !paired && c.lone < 0:
		c.lone = i
	}
}

// stringEnded goes on after the string whose closing quote is at end.
func (c *Check) stringEnded(d *Decoder, b []byte, end int) *Refusal {
	if c.high >= 0 && c.lone < 0 {
		c.lone = c.high
	}
	switch c.role {
	case roleName:
		if c.state = wantColon; isIDName(b[c.from:end]) {
			c.after, c.root, c.isID = wantValue, wantNameNext, true
			break
		}
		c.name = [2]int{c.from, end}
		c.op = d.lookup(b[c.from:end], c.kind)
		c.state, c.after = wantColon, wantArgument
	case roleKey:
		if c.lone >= 0 {
			return loneInKey(c.lone)
		}
		c.leapName(d, end)
		if c.state = wantNext; c.op.Shape().isMembers() {
			c.state, c.after, c.root = wantColon, wantValue, wantNext
		}
	case roleMember:
		c.state, c.after, c.root = wantColon, wantValue, wantMembers
		if c.isID = isIDName(b[c.from:end]); !c.isID {
			c.refuse(refusedTop(c.comma, oneCommand))
		}
	case roleTimed:
		c.state, c.after = wantColon, d.timedMember(b[c.from:end], c.kind, c.ttl[0] != 0, c.paired)
	case roleInsideName:
		if c.depth == 1 {
			c.leapName(d, end)
			if c.renamed != 0 {
				c.renamed = noRename // a second name
			} else {
				c.renamed, c.lones[0] = 1, c.lone
			}
		}
		c.state, c.after = wantColon, wantValue
	case roleValue:
		if c.depth == 0 {
			c.leap(c.from, end)
		}
		if c.depth == 1 && c.renamed == 1 {
			c.leapName(d, end)
			c.lones[1], c.renamed = c.lone, 2
		}
		return c.valueEnded(end + 1)
	}
	return nil
}

// leapName notes a name that is too long for a key, however it is written.
func (c *Check) leapName(d *Decoder, end int) {
	if tooLongForKey(end-c.from, d.opts.MaxKeyBytes) {
		c.leap(c.from, end)
	}
}

// noRename is what Check.renamed is for an element that is none.
const noRename = 9

// valueEnded goes on after a value.
func (c *Check) valueEnded(end int) *Refusal {
	c.at = end
	if c.depth > 0 {
		c.state = wantInsideNext
		return nil
	}
	c.state, c.end = c.root, end
	if c.root == wantEnd {
		c.argEnd = end
	}
	return nil
}

// closed goes on after an array or an object.
func (c *Check) closed(end int) *Refusal {
	c.depth--
	if c.depth == 0 {
		c.leap(c.value, end)
		if c.op.Shape() == ShapeRenames && c.root == wantNext && c.renamed == 2 {
			for _, lone := range c.lones {
				if lone >= 0 {
					return loneInKey(lone)
				}
			}
		}
	}
	return c.valueEnded(end)
}

// inObject reports whether the innermost level is an object.
func (c *Check) inObject() bool { return c.objects[c.depth/64]>>(c.depth%64)&1 != 0 }

// closing is the byte that ends the innermost level.
func (c *Check) closing() byte {
	if c.inObject() {
		return '}'
	}
	return ']'
}
