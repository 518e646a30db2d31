package codec

// This file checks values: scalars here, arrays and objects with sonic's help. When
// something is wrong with them, they are checked again without it, for the place of the
// fault.

// value checks the value at b[i] and returns the index after it. scalar is whether it is
// a string, a number or a boolean.
func (d *Decoder) value(b []byte, i int) (end int, scalar bool, err *Refusal) {
	if d.inPart {
		if end = d.leap(i); end >= 0 {
			return end, b[i] != '{' && b[i] != '[', nil
		}
	}
	if i >= len(b) {
		return 0, false, noValue(b, i)
	}
	switch c := b[i]; c {
	case '{', '[':
		end, err = d.scanNested(b, i)
		return end, false, err
	case 'n':
		end, err = scanWord(b, i, "null")
		return end, false, err
	default:
		end, err = d.scanScalar(b, i)
		return end, true, err
	}
}

// scanScalar checks the string, number or boolean at b[i].
func (d *Decoder) scanScalar(b []byte, i int) (end int, err *Refusal) {
	switch c := b[i]; {
	case c == '"':
		end, _, err = d.scanString(b, i+1)
		return end + 1, err
	case isDigit(c) || c == '-':
		return scanNumber(b, i)
	case c == 't':
		return scanWord(b, i, "true")
	case c == 'f':
		return scanWord(b, i, "false")
	}
	return 0, noValue(b, i)
}

// scanNested checks the object or array at b[i] and returns the index after it. Its end,
// its depth and its strings are checked here, its grammar by sonic.
func (d *Decoder) scanNested(b []byte, i int) (end int, err *Refusal) {
	depth := 0
	for j := i; j < len(b); j++ {
		switch b[j] {
		case '"':
			if j, _, err = d.scanString(b, j+1); err != nil {
				return d.validateSlow(b, i)
			}
		case '{', '[':
			if depth++; depth > d.opts.MaxDepth {
				return d.validateSlow(b, i)
			}
		case '}', ']':
			if depth--; depth == 0 {
				if validGrammar(b[i : j+1]) {
					return j + 1, nil
				}
				return d.validateSlow(b, i)
			}
		}
	}
	return d.validateSlow(b, i)
}

// validateSlow is scanNested without sonic. It stops at the first byte that no valid
// payload could have there, and has the last word: what sonic refuses and validateSlow
// does not is accepted. No such value is known; the fuzz tests compare the two.
func (d *Decoder) validateSlow(b []byte, i int) (end int, err *Refusal) {
	var objects [maxMaxDepth/64 + 1]uint64 // bit n: level n is an object, not an array
	for depth := 0; ; {
		// A value is due.
		i = skipSpace(b, i)
		switch {
		case i < len(b) && (b[i] == '{' || b[i] == '['):
			if depth++; depth > d.opts.MaxDepth {
				return 0, tooDeep(i, d.opts.MaxDepth)
			}
			closing := b[i] + 2 // ASCII: '{'+2 is '}', '['+2 is ']'
			objects[depth/64] &^= 1 << (depth % 64)
			if b[i] == '{' {
				objects[depth/64] |= 1 << (depth % 64)
			}
			if i = skipSpace(b, i+1); i < len(b) && b[i] == closing {
				break // an empty one; it is closed below
			}
			if closing == '}' {
				if i, err = d.memberName(b, i); err != nil {
					return 0, err
				}
			}
			continue
		case i < len(b) && b[i] == 'n':
			i, err = scanWord(b, i, "null")
		case i < len(b):
			i, err = d.scanScalar(b, i)
		default:
			err = noValue(b, i)
		}
		if err != nil {
			return 0, err
		}
		// A value has ended, or an empty array or object is about to.
		for depth > 0 {
			closing := byte(']')
			if objects[depth/64]>>(depth%64)&1 != 0 {
				closing = '}'
			}
			i = skipSpace(b, i)
			if i < len(b) && b[i] == closing {
				depth--
				i++
				continue
			}
			if i >= len(b) || b[i] != ',' {
				return 0, syntaxAt(b, i, "',' or '"+string(closing)+"'")
			}
			i++
			if closing == '}' {
				if i, err = d.memberName(b, skipSpace(b, i)); err != nil {
					return 0, err
				}
			}
			break
		}
		if depth == 0 {
			return i, nil
		}
	}
}

// memberName expects a name in quotes and a colon from b[i] on, and returns the
// index of what follows.
func (d *Decoder) memberName(b []byte, i int) (int, *Refusal) {
	if i >= len(b) || b[i] != '"' {
		return 0, syntaxAt(b, i, "a name in quotes")
	}
	end, _, err := d.scanString(b, i+1)
	if err != nil {
		return 0, err
	}
	return d.colon(b, end+1)
}

// colon expects a colon, with white space around it, from b[i] on, and returns
// the index of what follows.
func (d *Decoder) colon(b []byte, i int) (int, *Refusal) {
	i = d.space(b, i)
	if i >= len(b) || b[i] != ':' {
		return 0, syntaxAt(b, i, "':'")
	}
	return d.space(b, i+1), nil
}
