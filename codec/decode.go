package codec

import "math"

// Decoder turns payloads into commands. It owns the scratch that unescaped keys
// live in, and must be used by one goroutine at a time.
type Decoder struct {
	marks   marks // in front: its bits begin at a word
	opts    Options
	scratch []byte

	// Of the payload that is being decoded.
	limit   int   // of arguments, the caller's included
	next    int   // the offset of the first element past the limit, -1 if there is none
	checked bool  // the payload is known to be right: stop at the limit
	utf8    uint8 // what is known of its UTF-8
	dirty   bool  // it is not UTF-8: strings go the slow way
	spare   Arg   // takes the elements past the limit, which are only checked

	// The least length of a key, in characters, and how many bytes more it may have.
	minKey, keyRange int

	has    extraSet // what of the following the payload has
	id     [2]int   // where its id begins and ends
	nameAt int      // where its command's name begins, if that is none of the usual
	top    *Refusal
	extra  Extra

	// Of a long payload; see check.go.
	from   int    // of a step: where it begins, what is before is UTF-8
	inPart bool   // a part is being decoded
	until  int    // of a part: past this, no further element is begun
	leaps  []leap // of a part: what need not be looked at

	longRun int // longRun, or less in tests
}

// NewDecoder returns a decoder, or an error that names every fault of opts.
func NewDecoder(opts Options) (*Decoder, error) {
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, err
	}
	return &Decoder{
		opts: opts, marks: marks{size: windowBytes}, longRun: longRun,
		minKey: opts.MinKeyChars, keyRange: opts.MaxKeyBytes - opts.MinKeyChars,
	}, nil
}

// maxKeptScratch is how much scratch Reset keeps.
const maxKeptScratch = 1 << 20

// Reset gives up the scratch and the payload. Keys of arguments decoded before are not
// valid after it.
func (d *Decoder) Reset() {
	// They may alias a whole frame. Mostly there is nothing in them, and to look costs less than
	// to write them, by three nanoseconds.
	if d.spare.Key != nil || d.spare.Value != nil {
		d.spare = Arg{}
	}
	if e := &d.extra; e.ID != nil || e.Query != nil || e.Credentials != nil || e.State != nil {
		*e = Extra{}
	}
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
// The arguments alias the payload, which must not change while they are in use. So does
// cmd.Extra, which is valid until the next call of Decode, too.
func (d *Decoder) Decode(payload []byte, args []Arg, max int) ([]Arg, Command, error) {
	d.begin(len(args), max, false)
	scratch := len(d.scratch)
	out, op, refusal := d.payload(payload, args)
	if refusal == nil && d.has == 0 {
		return out, d.command(op), nil
	}
	if d.has != 0 {
		refusal = d.settle(payload, refusal)
	}
	if refusal != nil {
		d.scratch = d.scratch[:scratch]
		clear(out[min(len(args), len(out)):]) // they must not keep the payload alive
		return args, Command{}, refusal
	}
	cmd := d.command(op)
	if d.has != 0 {
		cmd.Extra = &d.extra
	}
	return out, cmd, nil
}

// DecodeFrom appends at most max further elements of a payload that Decode has
// accepted, beginning at cmd.Next. What follows them is not checked again. A payload
// that Decode has not accepted gives nonsense, but does no harm.
func (d *Decoder) DecodeFrom(payload []byte, cmd Command, args []Arg, max int) ([]Arg, Command) {
	last := Command{Op: cmd.Op, Extra: cmd.Extra}
	if cmd.Op == 0 || int(cmd.Op) >= NumOpcodes || cmd.Next < 0 || cmd.Next > len(payload) {
		return args, last
	}
	d.begin(len(args), max, true)
	out, _, err := d.elements(payload, cmd.Next, args, cmd.Op.Shape())
	if err != nil {
		return args, last
	}
	last.More, last.Next = d.next >= 0, atLeast(0, d.next)
	return out, last
}

func (d *Decoder) begin(args, max int, checked bool) {
	d.limit, d.next, d.checked = args+max, -1, checked
	d.marks.n, d.marks.unicode, d.dirty = 0, false, false
	d.utf8, d.has = utf8Unknown, 0
	if checked {
		d.utf8 = utf8Valid
	}
	if d.limit < args { // max is less than 0, or the sum has overflowed
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

// The usual names as they are usually written, with quotes and colon: six bytes, or eight. A
// test holds them against the table.
const (
	nameSet = '"' | 'S'<<8 | 'E'<<16 | 'T'<<24 | '"'<<32 | ':'<<40
	nameAdd = '"' | 'A'<<8 | 'D'<<16 | 'D'<<24 | '"'<<32 | ':'<<40
	nameGet = '"' | 'G'<<8 | 'E'<<16 | 'T'<<24 | '"'<<32 | ':'<<40
	nameRmv = '"' | 'R'<<8 | 'M'<<16 | 'V'<<24 | '"'<<32 | ':'<<40

	nameBytes = 6

	nameSetEx      = '"' | 'S'<<8 | 'E'<<16 | 'T'<<24 | 'E'<<32 | 'X'<<40 | '"'<<48 | ':'<<56
	nameSetExBytes = 8
)

// usual returns the opcode and the shape of the usual name in the lowest bytes of w, and how
// many they are; 0 if it is another. To find a name's end and to look it up takes nine
// nanoseconds longer.
func usual(w uint64) (Opcode, Shape, int) {
	switch w & (1<<(8*nameBytes) - 1) {
	case nameSet:
		return OpSet, ShapePairs, nameBytes
	case nameAdd:
		return OpAdd, ShapePairs, nameBytes
	case nameGet:
		return OpGet, ShapeKeys, nameBytes
	case nameRmv:
		return OpRemove, ShapeKeys, nameBytes
	}
	if w == nameSetEx {
		return OpSetEx, ShapeTimedPairs, nameSetExBytes
	}
	return 0, 0, 0
}

// What follows the name where nothing is written that could be left out: the brace or bracket,
// and the quote of the first key. A SET or a GET is told by both together, the eight bytes after
// its own brace: to go from one to the next takes six nanoseconds longer.
const (
	firstPair = '{'<<48 | '"'<<56
	firstKey  = '['<<48 | '"'<<56

	firstAt = len(`{"SET":{`)
)

// payload decodes all of it.
func (d *Decoder) payload(b []byte, args []Arg) (_ []Arg, op Opcode, err *Refusal) {
	// refusal is what is wrong with the command, if its text turns out to be right.
	var refusal, fault *Refusal
	i, w := firstAt, uint64(0)
	if len(b) > firstAt && b[0] == '{' {
		w = uncheckedLoad64(b, 1)
		if b[1] <= ' ' || b[firstAt-1] <= ' ' {
			w, i = spaced(b)
		}
	}
	switch w {
	case nameSet | firstPair:
		op = OpSet
		args, i, fault = d.pairs(b, i, args)
	case nameGet | firstKey:
		op = OpGet
		args, i, fault = d.keys(b, i, args)
	default:
		args, i, op, refusal, fault = d.argument(b, args)
	}
	if fault != nil {
		return args, op, fault
	}
	i = skipSpace(b, i)
	if i+1 == len(b) && b[i] == '}' {
		return args, op, refusal
	}
	if i < len(b) && b[i] == ',' {
		return args, op, d.members(b, i, refusal)
	}
	if i >= len(b) || b[i] != '}' {
		return args, op, syntaxAt(b, i, "',' or '}'")
	}
	return args, op, atEnd(b, i+1, refusal)
}

// spaced returns what those eight bytes would be without the white space among them, and where
// the last of them is; 0 if the payload ends before. Through argument it takes ten nanoseconds
// longer.
//
// Precondition: len(b) > firstAt.
func spaced(b []byte) (w uint64, first int) {
	i := 1
	if b[i] <= ' ' {
		i = skipIndent(b, i)
	}
	if i+8 > len(b) {
		return 0, 0
	}
	w = uncheckedLoad64(b, i) & (1<<(8*nameBytes) - 1)
	if i = skipSpace(b, i+nameBytes); i+1 >= len(b) {
		return 0, 0
	}
	w |= uint64(b[i]) << 48
	if i++; b[i] <= ' ' {
		if i = skipIndent(b, i); i >= len(b) {
			return 0, 0
		}
	}
	return w | uint64(b[i])<<56, i
}

// argument decodes the name of a command and its argument, and returns the index after it.
func (d *Decoder) argument(b []byte, args []Arg) (_ []Arg, end int, op Opcode, refusal, fault *Refusal) {
	i, s, n := 0, Shape(0), 0
	if len(b) >= 2+nameBytes && b[0] == '{' {
		if i = skipSpace(b, 1); i+8 <= len(b) {
			op, s, n = usual(uncheckedLoad64(b, i))
		}
	}
	if op != 0 {
		i = skipSpace(b, i+n)
	} else if i, op, fault = d.name(b); fault != nil {
		return args, 0, op, nil, fault
	} else {
		s = op.Shape()
	}
	switch {
	case op == 0:
		refusal = d.unknown(b)
		i, _, fault = d.value(b, i)
	case i >= len(b) || b[i] != s.opening():
		refusal = d.refuseArgument(i, op)
		i, _, fault = d.value(b, i)
	case s >= ShapeUpdates:
		args, i, refusal, fault = d.whole(b, i, args, op)
	default:
		first := skipSpace(b, i+1)
		switch {
		case first < len(b) && b[first] == s.closing():
			i = first + 1
		case s == ShapePairs: // one call less than through elements
			args, i, fault = d.pairs(b, first, args)
		case s == ShapeKeys:
			args, i, fault = d.keys(b, first, args)
		case s == ShapeNothing:
			refusal = d.refuseArgument(i, op)
			i, _, fault = d.value(b, i)
		default:
			args, i, fault = d.elements(b, first, args, s)
		}
	}
	return args, i, op, refusal, fault
}

// name decodes the beginning of any payload: the brace, an id if there is one, the
// command's name and the colon. It returns the index of the argument.
func (d *Decoder) name(b []byte) (argument int, op Opcode, _ *Refusal) {
	i := skipSpace(b, 0)
	if i >= len(b) || b[i] != '{' {
		return 0, 0, d.refuseTop(b, i)
	}
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == '}' {
		return 0, 0, atEnd(b, i+1, refusedTop(i, noCommand))
	}
	for {
		if i >= len(b) || b[i] != '"' {
			return 0, 0, syntaxAt(b, i, "a command's name in quotes")
		}
		d.nameAt = i
		end, kind, err := d.scanString(b, i+1)
		if err != nil {
			return 0, 0, err
		}
		name := b[i+1 : end]
		if i, err = d.colon(b, end+1); err != nil {
			return 0, 0, err
		}
		if !isIDName(name) {
			return i, d.lookup(name, kind), nil
		}
		if i, err = d.takeID(b, i); err != nil {
			return 0, 0, err
		}
		if i = skipSpace(b, i); i < len(b) && b[i] == '}' {
			return 0, 0, atEnd(b, i+1, refusedTop(i, noCommand))
		}
		if i >= len(b) || b[i] != ',' {
			return 0, 0, syntaxAt(b, i, "',' or '}'")
		}
		i = skipSpace(b, i+1)
	}
}

// maxNameText is more than any name of the contract takes up, however it is written.
const maxNameText = 1 << 10

// lookup returns the opcode of a command's name as it is written.
func (d *Decoder) lookup(name []byte, kind stringKind) Opcode {
	return Lookup(d.shortText(name, kind))
}

// unknown makes the refusal of a name that is no command's. The text up to the argument
// has been accepted.
func (d *Decoder) unknown(b []byte) *Refusal {
	end, _, _ := d.scanString(b, d.nameAt+1)
	return &Refusal{Code: RefusedName, Offset: d.nameAt, Text: shownName(b[d.nameAt+1 : end])}
}

func refusedTop(offset int, text string) *Refusal {
	return &Refusal{Code: RefusedTop, Offset: offset, Text: text}
}

// atEnd returns refusal if nothing but white space follows.
func atEnd(b []byte, i int, refusal *Refusal) *Refusal {
	if i = skipSpace(b, i); i < len(b) {
		return syntaxAt(b, i, "nothing after the command")
	}
	return refusal
}

// refuseTop makes the refusal of a payload that is not an object.
func (d *Decoder) refuseTop(b []byte, i int) *Refusal {
	if i >= len(b) {
		return syntaxAt(b, i, "a command")
	}
	end, _, err := d.value(b, i)
	if err != nil {
		return err
	}
	return atEnd(b, end, refusedTop(i, oneCommand))
}

// members decodes what follows the command, from the comma on: an id, or members that are
// too many. It returns what is wrong with them, or else refusal.
func (d *Decoder) members(b []byte, comma int, refusal *Refusal) *Refusal {
	for {
		i := skipSpace(b, comma+1)
		if i >= len(b) || b[i] != '"' {
			return syntaxAt(b, i, "a name in quotes")
		}
		end, _, err := d.scanString(b, i+1)
		if err != nil {
			return err
		}
		id := isIDName(b[i+1 : end])
		if i, err = d.colon(b, end+1); err != nil {
			return err
		}
		if id {
			i, err = d.takeID(b, i)
		} else {
			d.refuseTopLevel(refusedTop(comma, oneCommand))
			i, _, err = d.value(b, i)
		}
		if err != nil {
			return err
		}
		i = skipSpace(b, i)
		if i >= len(b) || b[i] != ',' && b[i] != '}' {
			return syntaxAt(b, i, "',' or '}'")
		}
		if comma = i; b[i] == '}' {
			break
		}
	}
	return atEnd(b, comma+1, refusal)
}
