package codec

import (
	"math/bits"
	"slices"
)

// This file decodes the elements of an argument into Args: pairs, keys, renames.

// elements decodes the elements of an argument from the one at i on, of which there is
// at least one. It returns the index after the argument.
func (d *Decoder) elements(b []byte, i int, args []Arg, s Shape) (_ []Arg, end int, err *Refusal) {
	switch s {
	case ShapePairs, ShapeTimedPairs:
		return d.pairs(b, i, args)
	case ShapeKeys:
		return d.keys(b, i, args)
	case ShapeRenames:
		return d.renames(b, i, args)
	case ShapeNothing, ShapeQuery, ShapeSearch, ShapeCredentials:
		return args, i, nil
	}
	from := len(args)
	args, end, err = d.pairs(b, i, args)
	whole := len(args)
	if err != nil && d.next < 0 {
		whole-- // the last one isn't, unless that is the spare one
	}
	for ; from < whole; from++ {
		d.judge(&args[from], s)
	}
	return args, end, err
}

// add adds an Arg to decode the element at i into. Past the limit that is the decoder's
// spare one, or nil if there is no need to go on.
func (d *Decoder) add(args []Arg, i int) ([]Arg, *Arg) {
	if len(args) < d.limit {
		if len(args) == cap(args) {
			args = slices.Grow(args, 1)
		}
		args = args[:len(args)+1]
		return args, &args[len(args)-1]
	}
	if d.next < 0 {
		d.next = i
		if d.checked {
			return args, nil
		}
	}
	return args, &d.spare
}

// pairs decodes the members of a SET.
//
// The common case of add and the steps from key to value to key are written out here,
// because a call costs a pair two of its nanoseconds.
func (d *Decoder) pairs(b []byte, i int, args []Arg) (_ []Arg, end int, err *Refusal) {
	n := len(b)
	for {
		var a *Arg
		if len(args) < cap(args) && len(args) < d.limit {
			args = args[:len(args)+1]
			a = &args[len(args)-1]
		} else if args, a = d.add(args, i); a == nil {
			return args, i, nil
		}
		a.Pos = i
		if i >= n || b[i] != '"' {
			return args, 0, syntaxAt(b, i, "a name in quotes")
		}

		if m := d.marks.from(i + 1); m != 0 { // d.stop
			end = i + 1 + bits.TrailingZeros64(m)
		} else {
			end = d.stopFar(b, i+1)
		}
		if uint(end) < uint(n) && b[end] == '"' && !d.dirty {
			a.Key = b[i+1 : end : end]
			a.Status, a.flags = StatusOK, 0
			if uint(end-i-1-d.minKey) > uint(d.keyRange) || d.marks.unicode && fewerChars(a.Key, d.minKey) {
				a.Status = StatusKeyLengthInvalid
			}
		} else if end, err = d.keySlow(b, a, i+1, end); err != nil {
			return args, 0, err
		}

		i = end + 1
		switch {
		case i+2 < n && b[i] == ':' && b[i+1] > ' ':
			i++
		case i+2 < n && b[i] == ':' && b[i+1] == ' ' && b[i+2] > ' ':
			i += 2
		default:
			if i, err = d.colon(b, i); err != nil {
				return args, 0, err
			}
		}

		if i < n && b[i] == '"' {
			if m := d.marks.from(i + 1); m != 0 { // d.stop
				end = i + 1 + bits.TrailingZeros64(m)
			} else {
				end = d.stopFar(b, i+1)
			}
			if uint(end) < uint(n) && b[end] == '"' && !d.dirty {
				a.Value, a.Form = b[i+1:end:end], FormString
			} else if end, err = d.stringSlow(b, a, i, end); err != nil {
				return args, 0, err
			}
			end++
		} else {
			var scalar bool
			if end, scalar, err = d.value(b, i); err != nil {
				return args, 0, err
			}
			if !scalar && !d.opts.AnyValues && a.Status == StatusOK {
				a.Status = StatusTypeInvalid
			}
			a.Value, a.Form = b[i:end:end], FormJSON
		}

		if end+1 < n {
			if b[end] == ',' {
				i = skipSpace(b, end+1)
				continue
			}
			if b[end] == '}' {
				return args, end + 1, nil
			}
		}
		end = skipSpace(b, end)
		if i, err = separator(b, end, '}'); i == 0 {
			return args, end + 1, err
		}
	}
}

// stringSlow decodes the value whose quote is at i into a, when the first byte that may stop
// it is at end. It returns the index of the closing quote.
func (d *Decoder) stringSlow(b []byte, a *Arg, i, end int) (_ int, err *Refusal) {
	end, kind, err := d.scanEscaped(b, i+1, end)
	switch {
	case err != nil:
	case kind&kindEscaped == 0:
		a.Value, a.Form = b[i+1:end:end], FormString
	default:
		a.Value, a.Form = b[i:end+1:end+1], FormJSON
	}
	return end, err
}

// keys decodes the elements of a GET, like pairs.
func (d *Decoder) keys(b []byte, i int, args []Arg) (_ []Arg, end int, err *Refusal) {
	n := len(b)
	for {
		var a *Arg
		if len(args) < cap(args) && len(args) < d.limit {
			args = args[:len(args)+1]
			a = &args[len(args)-1]
		} else if args, a = d.add(args, i); a == nil {
			return args, i, nil
		}
		a.Pos, a.Value = i, nil
		if i < n && b[i] == '"' {
			if m := d.marks.from(i + 1); m != 0 { // d.stop
				end = i + 1 + bits.TrailingZeros64(m)
			} else {
				end = d.stopFar(b, i+1)
			}
			if uint(end) < uint(n) && b[end] == '"' && !d.dirty {
				a.Key = b[i+1 : end : end]
				a.Status, a.flags, a.Form = StatusOK, 0, FormJSON
				if uint(end-i-1-d.minKey) > uint(d.keyRange) || d.marks.unicode && fewerChars(a.Key, d.minKey) {
					a.Status = StatusKeyLengthInvalid
				}
			} else if end, err = d.keySlow(b, a, i+1, end); err != nil {
				return args, 0, err
			} else {
				a.Form = FormJSON
			}
			end++
		} else {
			a.Key, a.Status, a.flags, a.Form = nil, StatusTypeInvalid, 0, FormJSON
			if end, _, err = d.value(b, i); err != nil {
				return args, 0, err
			}
		}
		if end+1 < n {
			if b[end] == ',' {
				i = skipSpace(b, end+1)
				continue
			}
			if b[end] == ']' {
				return args, end + 1, nil
			}
		}
		end = skipSpace(b, end)
		if i, err = separator(b, end, ']'); i == 0 {
			return args, end + 1, err
		}
	}
}

// renames decodes the elements of a RNM_KEY.
func (d *Decoder) renames(b []byte, i int, args []Arg) (_ []Arg, end int, err *Refusal) {
	for {
		var a *Arg
		if args, a = d.add(args, i); a == nil {
			return args, i, nil
		}
		*a = Arg{Pos: i}
		if end, err = d.renameOrNone(b, a, i); err != nil {
			return args, 0, err
		}
		end = skipSpace(b, end)
		if i, err = separator(b, end, ']'); i == 0 {
			return args, end + 1, err
		}
	}
}

// renameOrNone decodes the element at i, which is no rename if it is anything but the
// object that one is.
func (d *Decoder) renameOrNone(b []byte, a *Arg, i int) (end int, err *Refusal) {
	end, err = d.rename(b, a, i)
	if end == 0 && err == nil {
		*a = Arg{Pos: i, Status: StatusTypeInvalid}
		end, _, err = d.value(b, i)
	}
	return end, err
}

// rename decodes the object {"old":"new"} at b[i] into a. It returns 0 for anything
// else, be it another value or not JSON.
func (d *Decoder) rename(b []byte, a *Arg, i int) (end int, err *Refusal) {
	if i >= len(b) || b[i] != '{' {
		return 0, nil
	}
	from := d.space(b, i+1) + 1
	if from > len(b) || b[from-1] != '"' {
		return 0, nil
	}
	fromEnd, _, err := d.scanString(b, from)
	if err != nil {
		return 0, nil
	}
	to, err := d.colon(b, fromEnd+1)
	if err != nil || to >= len(b) || b[to] != '"' {
		return 0, nil
	}
	to++
	toEnd, _, err := d.scanString(b, to)
	if err != nil {
		return 0, nil
	}
	end = d.space(b, toEnd+1)
	if end >= len(b) || b[end] != '}' {
		return 0, nil
	}
	// It is a rename, and both names are keys.
	var renamed Arg
	if _, err = d.keySlow(b, a, from, d.stop(b, from)); err != nil {
		return 0, err
	}
	if _, err = d.keySlow(b, &renamed, to, d.stop(b, to)); err != nil {
		return 0, err
	}
	a.Value = renamed.Key
	if renamed.flags != 0 {
		a.flags |= valueNeedsEscape
	}
	if a.Status == StatusOK {
		a.Status = renamed.Status
	}
	return end + 1, nil
}

// separator expects a comma at b[i] and returns the index of what follows, past white
// space. It returns 0 if the closing byte is there instead, or an error.
func separator(b []byte, i int, closing byte) (next int, err *Refusal) {
	if i < len(b) && b[i] == ',' {
		return skipSpace(b, i+1), nil
	}
	if i >= len(b) || b[i] != closing {
		return 0, syntaxAt(b, i, "',' or '"+string(closing)+"'")
	}
	return 0, nil
}

// keySlow decodes the key whose first byte, after its quote, is at start into a, when the
// first byte that may stop it is at i. It returns the index of the closing quote.
func (d *Decoder) keySlow(b []byte, a *Arg, start, i int) (end int, err *Refusal) {
	end, kind, err := d.scanEscaped(b, start, i)
	if err != nil {
		return 0, err
	}
	key := b[start:end:end]
	a.flags = 0
	if kind&kindEscaped != 0 {
		if kind&kindSurrogate != 0 {
			if lone := loneSurrogate(b, start, end); lone >= 0 {
				return 0, loneInKey(lone)
			}
		}
		switch {
		case d.next >= 0: // the element does not fit: its key is not used
		case tooLongForKey(len(key), d.opts.MaxKeyBytes): // its text stands for it
		default:
			a.flags = keyNeedsEscape
			key = d.unescaped(key)
		}
	}
	a.Key, a.Status = key, StatusOK
	if len(key) > d.opts.MaxKeyBytes || len(key) < d.minKey || kind&kindUnicode|kind&kindEscaped != 0 && fewerChars(key, d.minKey) {
		a.Status = StatusKeyLengthInvalid
	}
	return end, nil
}

// unescaped returns the text of the string whose inside is s, in the scratch.
func (d *Decoder) unescaped(s []byte) []byte {
	n := len(d.scratch)
	d.scratch = unescape(d.scratch, s)
	return slices.Clip(d.scratch[n:])
}

// tooLongForKey reports whether a string whose text has n bytes is longer than a key may
// be, however it is written: an escape of six bytes stands for one at least. Such a string
// is answered with its text, and nothing of its length is unescaped and escaped again.
func tooLongForKey(n, maxKeyBytes int) bool { return n/len(`\u0061`) > maxKeyBytes }
