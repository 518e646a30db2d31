package codec

import (
	"math"
	"math/bits"
	"slices"
)

// Decoder turns payloads into commands. It owns the scratch that unescaped keys
// live in. It belongs to one goroutine.
type Decoder struct {
	opts    Options
	scratch []byte

	// Of the payload that is being decoded.
	limit   int  // of arguments, the caller's included
	next    int  // the offset of the first element beyond it, -1 if there is none
	checked bool // the payload is known to be right: go no further than limit
	utf8    uint8
	dirty   bool // it is known not to be UTF-8: strings are checked carefully
	spare   Arg  // takes the elements beyond it, which are only checked
	marks   marks
}

// NewDecoder returns a decoder, or an error that names every fault of opts.
func NewDecoder(opts Options) (*Decoder, error) {
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, err
	}
	return &Decoder{opts: opts, marks: marks{size: windowBytes}}, nil
}

// maxKeptScratch is how much scratch Reset keeps.
const maxKeptScratch = 1 << 20

// Reset forgets the scratch and the payload: keys of arguments decoded before are
// not valid after it.
func (d *Decoder) Reset() {
	d.spare = Arg{} // or it would keep a whole frame alive
	d.scratch = d.scratch[:0]
	if cap(d.scratch) > maxKeptScratch {
		d.scratch = nil
	}
}

// Decode checks a whole payload and appends the first max elements of its
// command to args. If there are more, cmd.More is set, and DecodeFrom has them.
//
// The payload is refused as a whole or not at all: with an error args comes back
// as it was. The errors are those of errors.go, the most general fault first:
// not JSON, then not one command, then no such command, then a wrong argument.
//
// The arguments alias the payload, which must not change while they are in use.
func (d *Decoder) Decode(payload []byte, args []Arg, max int) ([]Arg, Command, error) {
	d.begin(len(args), max, false)
	scratch := len(d.scratch)
	out, op, err := d.payload(payload, args)
	if err != nil {
		d.scratch = d.scratch[:scratch]
		clear(out[min(len(args), len(out)):]) // nobody will look at them: they must not keep the payload
		return args, Command{}, err
	}
	return out, d.command(op), nil
}

// DecodeFrom appends at most max further elements of a payload that Decode has
// accepted, beginning at cmd.Next. What follows those is not looked at; a payload
// that Decode has not accepted gives nonsense, but no harm.
func (d *Decoder) DecodeFrom(payload []byte, cmd Command, args []Arg, max int) ([]Arg, Command) {
	if cmd.Op == 0 || int(cmd.Op) >= NumOpcodes || cmd.Next < 0 || cmd.Next > len(payload) {
		return args, Command{Op: cmd.Op}
	}
	d.begin(len(args), max, true)
	out, _, err := d.elements(payload, cmd.Next, args, commands[cmd.Op].shape)
	if err != nil {
		return args, Command{Op: cmd.Op}
	}
	return out, d.command(cmd.Op)
}

func (d *Decoder) begin(args, max int, checked bool) {
	d.limit, d.next, d.checked = args+max, -1, checked
	d.marks.n, d.marks.unicode, d.dirty = 0, false, false
	d.utf8 = utf8Unknown
	if checked {
		d.utf8 = utf8Valid
	}
	if d.limit < args { // it has overflowed, or max is less than 0
		d.limit = args
		if max > 0 {
			d.limit = math.MaxInt
		}
	}
}

func (d *Decoder) command(op Opcode) Command {
	if d.next < 0 {
		return Command{Op: op}
	}
	return Command{Op: op, More: true, Next: d.next}
}

// The beginnings of the usual commands as they are usually written: eight bytes.
const (
	beginSet = '{' | '"'<<8 | 'S'<<16 | 'E'<<24 | 'T'<<32 | '"'<<40 | ':'<<48 | '{'<<56
	beginAdd = '{' | '"'<<8 | 'A'<<16 | 'D'<<24 | 'D'<<32 | '"'<<40 | ':'<<48 | '{'<<56
	beginGet = '{' | '"'<<8 | 'G'<<16 | 'E'<<24 | 'T'<<32 | '"'<<40 | ':'<<48 | '['<<56
	beginRmv = '{' | '"'<<8 | 'R'<<16 | 'M'<<24 | 'V'<<32 | '"'<<40 | ':'<<48 | '['<<56
)

// payload decodes all of it.
func (d *Decoder) payload(b []byte, args []Arg) (_ []Arg, op Opcode, err error) {
	if len(b) >= 8 {
		switch uncheckedLoad64(b, 0) {
		case beginSet:
			op = OpSet
		case beginAdd:
			op = OpAdd
		case beginGet:
			op = OpGet
		case beginRmv:
			op = OpRemove
		}
	}
	i := 7
	if op == 0 {
		if i, op, err = d.name(b); err != nil {
			return args, op, err
		}
	}
	// What is wrong with the command, if the text around it turns out right.
	var refusal error
	var fault *SyntaxError
	s := commands[op].shape
	switch {
	case op == 0:
		refusal = d.unknown(b)
		i, _, fault = d.value(b, i)
	case i >= len(b) || b[i] != s.opening():
		refusal = &ArgumentTypeError{op, takes[s]}
		i, _, fault = d.value(b, i)
	default:
		first := skipSpace(b, i+1)
		switch {
		case first < len(b) && b[first] == s.closing():
			i = first + 1
		case s == shapeEmpty:
			refusal = &ArgumentTypeError{op, takes[s]}
			i, _, fault = d.value(b, i)
		default:
			args, i, fault = d.elements(b, first, args, s)
		}
	}
	if fault != nil {
		return args, op, fault
	}
	if i+1 == len(b) && b[i] == '}' {
		return args, op, refusal
	}
	if i = skipSpace(b, i); i < len(b) && b[i] == ',' {
		return args, op, d.refuseMembers(b, i)
	}
	if i >= len(b) || b[i] != '}' {
		return args, op, syntaxAt(b, i, "',' or '}'")
	}
	return args, op, atEnd(b, i+1, refusal)
}

// name decodes a payload's beginning: the brace, the command's name, the colon.
// It returns the index of the argument.
func (d *Decoder) name(b []byte) (argument int, op Opcode, _ error) {
	i := skipSpace(b, 0)
	if i >= len(b) || b[i] != '{' {
		return 0, 0, d.refuseTop(b, i)
	}
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == '}' {
		return 0, 0, atEnd(b, i+1, ErrNotOneCommand)
	}
	if i >= len(b) || b[i] != '"' {
		return 0, 0, syntaxAt(b, i, "a command's name in quotes")
	}
	end, how, err := d.scanString(b, i+1)
	if err != nil {
		return 0, 0, err
	}
	name := b[i+1 : end]
	// A name with an unpaired surrogate is no command's.
	if how&textEscaped == 0 {
		op = lookup(name)
	} else if how&textSurrogate == 0 {
		scratch := unescape(d.scratch, name)
		op = lookup(scratch[len(d.scratch):])
	}
	i, err = colon(b, end+1)
	if err != nil {
		return 0, 0, err
	}
	return i, op, nil
}

// unknown makes the error about a name that is no command's, which name has
// accepted.
func (d *Decoder) unknown(b []byte) error {
	start := skipSpace(b, skipSpace(b, 0)+1) + 1
	end, _, _ := d.scanString(b, start)
	return &UnknownCommandError{string(b[start:end])}
}

// elements decodes the elements of an argument, of which there is at least one,
// from the one at i on. It returns the index behind the argument.
func (d *Decoder) elements(b []byte, i int, args []Arg, s shape) (_ []Arg, end int, err *SyntaxError) {
	switch s {
	case shapePairs:
		return d.pairs(b, i, args)
	case shapeKeys:
		return d.keys(b, i, args)
	case shapeRenames:
		return d.renames(b, i, args)
	}
	return args, i, nil
}

// add adds an argument, to decode the element at i into. Beyond the limit that is
// the decoder's spare one, or nil if there is no need to go on.
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
// The common case of add and the steps from key to value to key are spelled out here
// and not called: a call costs a pair two of its nanoseconds.
func (d *Decoder) pairs(b []byte, i int, args []Arg) (_ []Arg, end int, err *SyntaxError) {
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
			if uint(end-i-1-minKeyChars) > uint(d.opts.MaxKeyBytes-minKeyChars) || d.marks.unicode && fewerChars(a.Key, minKeyChars) {
				a.Status = StatusKeyLengthInvalid
			}
		} else if end, err = d.escapedKey(b, a, i+1, end); err != nil {
			return args, 0, err
		}

		i = end + 1
		switch {
		case i+2 < n && b[i] == ':' && b[i+1] > ' ':
			i++
		case i+2 < n && b[i] == ':' && b[i+1] == ' ' && b[i+2] > ' ':
			i += 2
		default:
			if i, err = colon(b, i); err != nil {
				return args, 0, err
			}
		}

		if i < n && b[i] == '"' {
			if m := d.marks.from(i + 1); m != 0 { // d.stop
				end = i + 1 + bits.TrailingZeros64(m)
			} else {
				end = d.stopFar(b, i+1)
			}
			if uint(end) >= uint(n) || b[end] != '"' || d.dirty {
				if end, _, err = d.escaped(b, i+1, end); err != nil {
					return args, 0, err
				}
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
		}
		a.Value = b[i:end:end]

		if end+1 < n {
			if b[end] == ',' {
				if i = end + 1; b[i] <= ' ' {
					i = skipSpace(b, i)
				}
				continue
			}
			if b[end] == '}' {
				return args, end + 1, nil
			}
		}
		if i, err = separator(b, end, '}'); i == 0 {
			return args, skipSpace(b, end) + 1, err
		}
	}
}

// keys decodes the elements of a GET, like pairs.
func (d *Decoder) keys(b []byte, i int, args []Arg) (_ []Arg, end int, err *SyntaxError) {
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
				a.Status, a.flags = StatusOK, 0
				if uint(end-i-1-minKeyChars) > uint(d.opts.MaxKeyBytes-minKeyChars) || d.marks.unicode && fewerChars(a.Key, minKeyChars) {
					a.Status = StatusKeyLengthInvalid
				}
			} else if end, err = d.escapedKey(b, a, i+1, end); err != nil {
				return args, 0, err
			}
			end++
		} else {
			a.Key, a.Status, a.flags = nil, StatusTypeInvalid, 0
			if end, _, err = d.value(b, i); err != nil {
				return args, 0, err
			}
		}
		if end+1 < n {
			if b[end] == ',' {
				if i = end + 1; b[i] <= ' ' {
					i = skipSpace(b, i)
				}
				continue
			}
			if b[end] == ']' {
				return args, end + 1, nil
			}
		}
		if i, err = separator(b, end, ']'); i == 0 {
			return args, skipSpace(b, end) + 1, err
		}
	}
}

// renames decodes the elements of a RNM_KEY.
func (d *Decoder) renames(b []byte, i int, args []Arg) (_ []Arg, end int, err *SyntaxError) {
	for {
		var a *Arg
		if args, a = d.add(args, i); a == nil {
			return args, i, nil
		}
		*a = Arg{Pos: i}
		end, err = d.rename(b, a, i)
		if end == 0 && err == nil {
			*a = Arg{Pos: i, Status: StatusTypeInvalid}
			end, _, err = d.value(b, i)
		}
		if err != nil {
			return args, 0, err
		}
		if i, err = separator(b, end, ']'); i == 0 {
			return args, skipSpace(b, end) + 1, err
		}
	}
}

// rename decodes the object {"old":"new"} at b[i] into a. It returns 0 for
// anything else, be it a value of another kind or no JSON.
func (d *Decoder) rename(b []byte, a *Arg, i int) (end int, err *SyntaxError) {
	if i >= len(b) || b[i] != '{' {
		return 0, nil
	}
	from := skipSpace(b, i+1) + 1
	if from > len(b) || b[from-1] != '"' {
		return 0, nil
	}
	fromEnd, _, err := d.scanString(b, from)
	if err != nil {
		return 0, nil
	}
	to, err := colon(b, fromEnd+1)
	if err != nil || to >= len(b) || b[to] != '"' {
		return 0, nil
	}
	to++
	toEnd, _, err := d.scanString(b, to)
	if err != nil {
		return 0, nil
	}
	end = skipSpace(b, toEnd+1)
	if end >= len(b) || b[end] != '}' {
		return 0, nil
	}
	// It is a rename, and both names are keys.
	var renamed Arg
	if _, err = d.escapedKey(b, a, from, d.stop(b, from)); err != nil {
		return 0, err
	}
	if _, err = d.escapedKey(b, &renamed, to, d.stop(b, to)); err != nil {
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

// separator expects a comma, and returns the index of what follows it and white
// space; or 0, if there is the closing byte instead, or an error.
func separator(b []byte, i int, closing byte) (next int, err *SyntaxError) {
	if i+1 < len(b) && b[i] == ',' && b[i+1] > ' ' {
		return i + 1, nil
	}
	i = skipSpace(b, i)
	if i < len(b) && b[i] == ',' {
		return skipSpace(b, i+1), nil
	}
	if i >= len(b) || b[i] != closing {
		return 0, syntaxAt(b, i, "',' or '"+string(closing)+"'")
	}
	return 0, nil
}

// escapedKey decodes the key whose first byte, after its quote, is at start into a;
// scanning has stopped at i. It returns the index of the closing quote.
func (d *Decoder) escapedKey(b []byte, a *Arg, start, i int) (end int, err *SyntaxError) {
	end, how, err := d.escaped(b, start, i)
	if err != nil {
		return 0, err
	}
	key := b[start:end:end]
	a.flags = 0
	if how&textEscaped != 0 {
		if how&textSurrogate != 0 {
			if lone := loneSurrogate(b, start, end); lone >= 0 {
				return 0, &SyntaxError{lone, "unpaired surrogate in a key"}
			}
		}
		a.flags = keyNeedsEscape
		n := len(d.scratch)
		d.scratch = unescape(d.scratch, key)
		key = slices.Clip(d.scratch[n:])
		if d.next >= 0 { // the element does not fit, so nobody will look at the key
			d.scratch = d.scratch[:n]
		}
	}
	a.Key, a.Status = key, StatusOK
	if len(key) > d.opts.MaxKeyBytes || len(key) < minKeyChars || how&textUnicode|how&textEscaped != 0 && fewerChars(key, minKeyChars) {
		a.Status = StatusKeyLengthInvalid
	}
	return end, nil
}

// atEnd requires that nothing but white space follows, and returns refusal if
// that is so.
func atEnd(b []byte, i int, refusal error) error {
	if i = skipSpace(b, i); i < len(b) {
		return syntaxAt(b, i, "nothing after the command")
	}
	return refusal
}

// refuseTop says what is wrong with a payload that is not an object.
func (d *Decoder) refuseTop(b []byte, i int) error {
	if i >= len(b) {
		return syntaxAt(b, i, "a command")
	}
	end, _, err := d.value(b, i)
	if err != nil {
		return err
	}
	return atEnd(b, end, ErrNotOneCommand)
}

// refuseMembers says what is wrong with a payload that has a second member,
// after the comma at b[i].
func (d *Decoder) refuseMembers(b []byte, i int) error {
	for {
		var err *SyntaxError
		if i, err = d.memberName(b, skipSpace(b, i+1)); err != nil {
			return err
		}
		var end int
		if end, _, err = d.value(b, i); err != nil {
			return err
		}
		i = skipSpace(b, end)
		if i >= len(b) || b[i] != ',' && b[i] != '}' {
			return syntaxAt(b, i, "',' or '}'")
		}
		if b[i] == '}' {
			break
		}
	}
	return atEnd(b, i+1, ErrNotOneCommand)
}
