package codec

import "math"

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
// as it was. The error is a *Refusal, about the most general fault: not JSON, then not
// one command, then no such command, then a wrong argument.
//
// The arguments alias the payload, which must not change while they are in use.
func (d *Decoder) Decode(payload []byte, args []Arg, max int) ([]Arg, Command, error) {
	d.begin(len(args), max, false)
	scratch := len(d.scratch)
	out, op, refusal := d.payload(payload, args)
	if refusal != nil {
		d.scratch = d.scratch[:scratch]
		clear(out[min(len(args), len(out)):]) // nobody will look at them: they must not keep the payload
		return args, Command{}, refusal
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
	out, _, err := d.elements(payload, cmd.Next, args, cmd.Op.Shape())
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

// The usual names as they are usually written, with their quotes and the colon: a word
// of six bytes.
const (
	nameSet = '"' | 'S'<<8 | 'E'<<16 | 'T'<<24 | '"'<<32 | ':'<<40
	nameAdd = '"' | 'A'<<8 | 'D'<<16 | 'D'<<24 | '"'<<32 | ':'<<40
	nameGet = '"' | 'G'<<8 | 'E'<<16 | 'T'<<24 | '"'<<32 | ':'<<40
	nameRmv = '"' | 'R'<<8 | 'M'<<16 | 'V'<<24 | '"'<<32 | ':'<<40

	nameBytes = 6
)

// usual returns the opcode of the usual name that is in the lowest bytes of w, 0 if it
// is another: to find a name's end and to look it up takes nine nanoseconds more.
func usual(w uint64) Opcode {
	switch w & (1<<(8*nameBytes) - 1) {
	case nameSet:
		return OpSet
	case nameAdd:
		return OpAdd
	case nameGet:
		return OpGet
	case nameRmv:
		return OpRemove
	}
	return 0
}

// payload decodes all of it.
func (d *Decoder) payload(b []byte, args []Arg) (_ []Arg, op Opcode, err *Refusal) {
	i := 0
	if len(b) >= 2+nameBytes && b[0] == '{' {
		if i = skipSpace(b, 1); i+8 <= len(b) {
			op = usual(uncheckedLoad64(b, i))
		}
	}
	if op != 0 {
		i = skipSpace(b, i+nameBytes)
	} else if i, op, err = d.name(b); err != nil {
		return args, op, err
	}
	// What is wrong with the command, if the text around it turns out right.
	var refusal, fault *Refusal
	s := op.Shape()
	switch {
	case op == 0:
		refusal = d.unknown(b)
		i, _, fault = d.value(b, i)
	case i >= len(b) || b[i] != s.opening():
		refusal = &Refusal{RefusedArgument, i, op, takes[s]}
		i, _, fault = d.value(b, i)
	default:
		first := skipSpace(b, i+1)
		switch {
		case first < len(b) && b[first] == s.closing():
			i = first + 1
		case s == ShapeNothing:
			refusal = &Refusal{RefusedArgument, i, op, takes[s]}
			i, _, fault = d.value(b, i)
		case s == ShapePairs: // a call less than by way of elements
			args, i, fault = d.pairs(b, first, args)
		case s == ShapeKeys:
			args, i, fault = d.keys(b, first, args)
		default:
			args, i, fault = d.elements(b, first, args, s)
		}
	}
	if fault != nil {
		return args, op, fault
	}
	i = skipSpace(b, i)
	if i+1 == len(b) && b[i] == '}' {
		return args, op, refusal
	}
	if i < len(b) && b[i] == ',' {
		return args, op, d.refuseMembers(b, i)
	}
	if i >= len(b) || b[i] != '}' {
		return args, op, syntaxAt(b, i, "',' or '}'")
	}
	return args, op, atEnd(b, i+1, refusal)
}

// name decodes the beginning of any payload: the brace, the command's name, the colon.
// It returns the index of the argument.
func (d *Decoder) name(b []byte) (argument int, op Opcode, _ *Refusal) {
	i := skipSpace(b, 0)
	if i >= len(b) || b[i] != '{' {
		return 0, 0, d.refuseTop(b, i)
	}
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == '}' {
		return 0, 0, atEnd(b, i+1, refusedTop(i))
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
		op = Lookup(name)
	} else if how&textSurrogate == 0 {
		scratch := unescape(d.scratch, name)
		op = Lookup(scratch[len(d.scratch):])
	}
	i, err = colon(b, end+1)
	if err != nil {
		return 0, 0, err
	}
	return i, op, nil
}

// unknown makes the error about a name that is no command's, which name has
// accepted.
func (d *Decoder) unknown(b []byte) *Refusal {
	quote := skipSpace(b, skipSpace(b, 0)+1)
	end, _, _ := d.scanString(b, quote+1)
	return &Refusal{RefusedName, quote, 0, string(b[quote+1 : end])}
}

func refusedTop(offset int) *Refusal {
	return &Refusal{Code: RefusedTop, Offset: offset, Text: oneCommand}
}

// atEnd requires that nothing but white space follows, and returns refusal if
// that is so.
func atEnd(b []byte, i int, refusal *Refusal) *Refusal {
	if i = skipSpace(b, i); i < len(b) {
		return syntaxAt(b, i, "nothing after the command")
	}
	return refusal
}

// refuseTop says what is wrong with a payload that is not an object.
func (d *Decoder) refuseTop(b []byte, i int) *Refusal {
	if i >= len(b) {
		return syntaxAt(b, i, "a command")
	}
	end, _, err := d.value(b, i)
	if err != nil {
		return err
	}
	return atEnd(b, end, refusedTop(i))
}

// refuseMembers says what is wrong with a payload that has a second member,
// after the comma.
func (d *Decoder) refuseMembers(b []byte, comma int) *Refusal {
	i := comma
	for {
		var err *Refusal
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
	return atEnd(b, i+1, refusedTop(comma))
}
