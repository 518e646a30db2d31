package codec

import "slices"

// This file decodes a part of a long command that a Check has gone through.

// DecodePart is DecodeFrom for a payload that c has accepted. It takes at most max further
// elements, and no more when it has come about n bytes on, but one at least. What is long
// it leaps over.
func (d *Decoder) DecodePart(c *Check, payload []byte, cmd Command, args []Arg, max, n int) ([]Arg, Command) {
	last := Command{Op: cmd.Op, Extra: cmd.Extra}
	if cmd.Op == 0 || int(cmd.Op) >= NumOpcodes || cmd.Next < 0 || cmd.Next > len(payload) {
		return args, last
	}
	d.begin(len(args), max, true)
	d.inPart, d.leaps, d.until = true, c.leaps, len(payload)
	if n < len(payload)-cmd.Next {
		d.until = cmd.Next + atLeast(1, n)
	}
	decode := d.elements
	if c.spaced {
		decode = d.elementsApart
	}
	out, _, err := decode(payload, cmd.Next, args, cmd.Op.Shape())
	d.inPart, d.leaps = false, nil
	if err != nil {
		return args, last
	}
	last.More, last.Next = d.next >= 0, atLeast(0, d.next)
	return out, last
}

// elementsApart is elements for a payload with long white space, which pairs and keys don't
// leap over. It takes each token on its own.
func (d *Decoder) elementsApart(b []byte, i int, args []Arg, s Shape) (_ []Arg, end int, err *Refusal) {
	for {
		var a *Arg
		if args, a = d.add(args, i); a == nil {
			return args, i, nil
		}
		*a = Arg{Pos: i}
		if i >= d.until {
			d.limit = 0
		}
		switch {
		case s.isMembers():
			if end, err = d.pair(b, a, i); err == nil && s != ShapePairs && s != ShapeTimedPairs {
				d.judge(a, s)
			}
		case s == ShapeKeys:
			end, err = d.key(b, a, i)
		default:
			end, err = d.renameOrNone(b, a, i)
		}
		if err != nil {
			return args, 0, err
		}
		if i = d.space(b, end); i >= len(b) || b[i] != ',' {
			_, err = separator(b, i, s.closing())
			return args, i + 1, err
		}
		i = d.space(b, i+1)
	}
}

// pair decodes the member of a SET at i.
func (d *Decoder) pair(b []byte, a *Arg, i int) (end int, err *Refusal) {
	if i >= len(b) || b[i] != '"' {
		return 0, syntaxAt(b, i, "a name in quotes")
	}
	if end, err = d.keySlow(b, a, i+1, d.stop(b, i+1)); err != nil {
		return 0, err
	}
	if i, err = d.colon(b, end+1); err != nil {
		return 0, err
	}
	if i < len(b) && b[i] == '"' {
		end, err = d.stringSlow(b, a, i, d.stop(b, i+1))
		return end + 1, err
	}
	end, scalar, err := d.value(b, i)
	if err != nil {
		return 0, err
	}
	if !scalar && !d.opts.AnyValues && a.Status == StatusOK {
		a.Status = StatusTypeInvalid
	}
	a.Value, a.Form = b[i:end:end], FormJSON
	return end, nil
}

// key decodes the element of a GET at i.
func (d *Decoder) key(b []byte, a *Arg, i int) (end int, err *Refusal) {
	if i < len(b) && b[i] == '"' {
		end, err = d.keySlow(b, a, i+1, d.stop(b, i+1))
		return end + 1, err
	}
	a.Status = StatusTypeInvalid
	end, _, err = d.value(b, i)
	return end, err
}

// leap returns the end of the leap that i is in, -1 if it is in none. It also ends the
// part, after the element that i is in, if it is long enough.
func (d *Decoder) leap(i int) int {
	if i >= d.until {
		d.limit = 0
	}
	at, found := slices.BinarySearchFunc(d.leaps, i, func(l leap, i int) int { return l.from - i })
	if !found {
		at--
	}
	if at >= 0 && i < d.leaps[at].end {
		return d.leaps[at].end
	}
	return -1
}
