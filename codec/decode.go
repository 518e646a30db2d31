package codec

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// Defaults and rules of the wire contract.
const (
	DefaultMaxKeyBytes = 65_535
	DefaultMaxDepth    = 128
	minKeyChars        = 6
)

// Options configure a Decoder. The zero value means the defaults.
type Options struct {
	AnyValues   bool // null, objects and arrays are values too
	MaxKeyBytes int  // of a key, unescaped
	MaxDepth    int  // of nested arrays and objects
}

func (o Options) withDefaults() Options {
	if o.MaxKeyBytes == 0 {
		o.MaxKeyBytes = DefaultMaxKeyBytes
	}
	if o.MaxDepth == 0 {
		o.MaxDepth = DefaultMaxDepth
	}
	return o
}

// validate reports all faults of o in one error.
func (o Options) validate() error {
	var faults []error
	if o.MaxKeyBytes < minKeyChars {
		faults = append(faults, fmt.Errorf("codec: MaxKeyBytes is %d, want %d or more", o.MaxKeyBytes, minKeyChars))
	}
	// sonic's own recursion ends at 4,096.
	if o.MaxDepth < 1 || o.MaxDepth > 4000 {
		faults = append(faults, fmt.Errorf("codec: MaxDepth is %d, want 1 to 4000", o.MaxDepth))
	}
	return errors.Join(faults...)
}

// Decoder turns payloads into commands. It owns the scratch that unescaped keys
// live in. It belongs to one goroutine.
type Decoder struct {
	opts    Options
	scratch []byte
}

// NewDecoder returns a decoder, or an error that names every fault of opts.
func NewDecoder(opts Options) (*Decoder, error) {
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, err
	}
	return &Decoder{opts: opts}, nil
}

// maxKeptScratch is how much scratch Reset keeps.
const maxKeptScratch = 1 << 20

// Reset forgets the scratch: keys of arguments decoded before are not valid
// after it.
func (d *Decoder) Reset() {
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
	before, scratch := len(args), len(d.scratch)
	out, cmd, err := d.decode(payload, args, max)
	if err != nil {
		d.scratch = d.scratch[:scratch]
		return out[:before], Command{}, err
	}
	return out, cmd, nil
}

func (d *Decoder) decode(b []byte, args []Arg, max int) ([]Arg, Command, error) {
	i := skipSpace(b, 0)
	if i >= len(b) || b[i] != '{' {
		return args, Command{}, d.refuseTop(b, i)
	}
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == '}' {
		return args, Command{}, atEnd(b, i+1, ErrNotOneCommand)
	}
	if i >= len(b) || b[i] != '"' {
		return args, Command{}, syntaxAt(b, i, "a command's name in quotes")
	}
	name := i + 1
	nameEnd, how, serr := scanString(b, name)
	if serr != nil {
		return args, Command{}, serr
	}
	i, serr = colon(b, nameEnd+1)
	if serr != nil {
		return args, Command{}, serr
	}
	cmd := Command{Op: d.lookup(b, name, nameEnd, how)}

	// What is wrong with the command, if the text around it turns out right.
	var refusal error
	s := commands[cmd.Op].shape
	switch empty := emptyEnd(b, i, s); {
	case empty > 0:
		i = empty
	case cmd.Op != 0 && s != shapeEmpty && i < len(b) && b[i] == s.opening():
		w := walk{d: d, b: b, args: args, max: len(args) + max}
		i, serr = w.run(skipSpace(b, i+1), s)
		args, cmd.More, cmd.Next = w.args, w.more, w.next
	default:
		refusal = &ArgumentTypeError{cmd.Op, takes[s]}
		if cmd.Op == 0 {
			refusal = &UnknownCommandError{string(b[name:nameEnd])}
		}
		i, _, serr = d.value(b, i)
	}
	if serr != nil {
		return args, Command{}, serr
	}
	i = skipSpace(b, i)
	if i < len(b) && b[i] == ',' {
		return args, Command{}, d.refuseMembers(b, i)
	}
	if i >= len(b) || b[i] != '}' {
		return args, Command{}, syntaxAt(b, i, "',' or '}'")
	}
	if err := atEnd(b, i+1, refusal); err != nil {
		return args, Command{}, err
	}
	return args, cmd, nil
}

// DecodeFrom appends at most max further elements of a payload that Decode has
// accepted, beginning at cmd.Next. The payload is not checked again; another one
// gives nonsense, but no harm.
func (d *Decoder) DecodeFrom(payload []byte, cmd Command, args []Arg, max int) ([]Arg, Command) {
	cmd.More = false
	if int(cmd.Op) >= NumOpcodes || cmd.Next < 0 || cmd.Next > len(payload) {
		return args, cmd
	}
	w := walk{d: d, b: payload, args: args, max: len(args) + max, trusted: true}
	w.run(cmd.Next, commands[cmd.Op].shape)
	cmd.More, cmd.Next = w.more, w.next
	return w.args, cmd
}

// opening is the byte that an argument of the shape begins with.
func (s shape) opening() byte {
	if s == shapeKeys || s == shapeRenames {
		return '['
	}
	return '{'
}

// closing is the byte that it ends with.
func (s shape) closing() byte { return s.opening() + ('}' - '{') } // ASCII: as far as from '[' to ']'

// emptyEnd returns the index behind an argument of shape s at b[i] that has no
// elements, and 0 when it has some or is something else.
func emptyEnd(b []byte, i int, s shape) int {
	if s == 0 || i >= len(b) || b[i] != s.opening() {
		return 0
	}
	if i = skipSpace(b, i+1); i < len(b) && b[i] == s.closing() {
		return i + 1
	}
	return 0
}

// walk goes through the elements of an argument.
type walk struct {
	d       *Decoder
	b       []byte
	args    []Arg
	max     int  // of len(args)
	trusted bool // the payload has been checked: stop when args is full
	more    bool // there is an element that did not fit
	next    int  // its offset
}

// run walks from the element at i to the end of the argument, and returns the
// index behind that. Elements that don't fit are checked all the same.
func (w *walk) run(i int, s shape) (end int, err *SyntaxError) {
	b := w.b
	closing := s.closing()
	for {
		full := len(w.args) >= w.max
		if full && !w.more {
			w.more, w.next = true, i
			if w.trusted {
				return i, nil
			}
		}
		switch s {
		case shapePairs:
			i, err = w.pair(i, full)
		case shapeKeys:
			i, err = w.key(i, full)
		default:
			i, err = w.rename(i, full)
		}
		if err != nil {
			return 0, err
		}
		i = skipSpace(b, i)
		if i < len(b) && b[i] == ',' {
			i = skipSpace(b, i+1)
			continue
		}
		if i >= len(b) || b[i] != closing {
			return 0, syntaxAt(b, i, "',' or '"+string(closing)+"'")
		}
		return i + 1, nil
	}
}

// add appends an element, or drops it when the arguments are full.
func (w *walk) add(full bool, a Arg) {
	if !full {
		w.args = append(w.args, a)
	}
}

// pair decodes the member of a SET that begins at b[i].
func (w *walk) pair(i int, full bool) (end int, err *SyntaxError) {
	b := w.b
	if i >= len(b) || b[i] != '"' {
		return 0, syntaxAt(b, i, "a key in quotes")
	}
	a := Arg{Pos: i}
	keyEnd, how, err := scanString(b, i+1)
	if err != nil {
		return 0, err
	}
	if how == textPlain {
		a.Key = b[i+1 : keyEnd : keyEnd]
		a.Status = w.d.plainKeyStatus(a.Key)
	} else if a.Key, a.Status, a.flags, err = w.d.carefulKey(b, i+1, keyEnd, how, full); err != nil {
		return 0, err
	}
	i, err = colon(b, keyEnd+1)
	if err != nil {
		return 0, err
	}
	var scalar bool
	if i < len(b) && b[i] == '"' {
		scalar = true
		end, _, err = scanString(b, i+1)
		end++
	} else {
		end, scalar, err = w.d.value(b, i)
	}
	if err != nil {
		return 0, err
	}
	if a.Status == StatusOK && !scalar && !w.d.opts.AnyValues {
		a.Status = StatusTypeInvalid
	}
	a.Value = b[i:end:end]
	w.add(full, a)
	return end, nil
}

// key decodes the element of a GET that begins at b[i].
func (w *walk) key(i int, full bool) (end int, err *SyntaxError) {
	b := w.b
	a := Arg{Pos: i}
	if i >= len(b) || b[i] != '"' {
		end, _, err = w.d.value(b, i)
		a.Status = StatusTypeInvalid
		w.add(full, a)
		return end, err
	}
	keyEnd, how, err := scanString(b, i+1)
	if err != nil {
		return 0, err
	}
	if how == textPlain {
		a.Key = b[i+1 : keyEnd : keyEnd]
		a.Status = w.d.plainKeyStatus(a.Key)
	} else if a.Key, a.Status, a.flags, err = w.d.carefulKey(b, i+1, keyEnd, how, full); err != nil {
		return 0, err
	}
	w.add(full, a)
	return keyEnd + 1, nil
}

// rename decodes the element of a RNM_KEY that begins at b[i].
func (w *walk) rename(i int, full bool) (end int, err *SyntaxError) {
	b := w.b
	oldStart, oldEnd, oldHow, newStart, newEnd, newHow := 0, 0, textPlain, 0, 0, textPlain
	ok := false
	// The one form that is a rename; anything else is a value of another type,
	// or no JSON, and is looked at from its start once more.
	if i < len(b) && b[i] == '{' {
		if oldStart = skipSpace(b, i+1) + 1; oldStart <= len(b) && b[oldStart-1] == '"' {
			if oldEnd, oldHow, err = scanString(b, oldStart); err == nil {
				if newStart, err = colon(b, oldEnd+1); err == nil && newStart < len(b) && b[newStart] == '"' {
					newStart++
					if newEnd, newHow, err = scanString(b, newStart); err == nil {
						end = skipSpace(b, newEnd+1)
						ok = end < len(b) && b[end] == '}'
					}
				}
			}
		}
	}
	a := Arg{Pos: i}
	if !ok {
		end, _, err = w.d.value(b, i)
		a.Status = StatusTypeInvalid
		w.add(full, a)
		return end, err
	}
	var newStatus Status
	var newFlags argFlags
	if a.Key, a.Status, a.flags, err = w.d.carefulKey(b, oldStart, oldEnd, oldHow, full); err != nil {
		return 0, err
	}
	if a.Value, newStatus, newFlags, err = w.d.carefulKey(b, newStart, newEnd, newHow, full); err != nil {
		return 0, err
	}
	if newFlags != 0 {
		a.flags |= valueNeedsEscape
	}
	if a.Status == StatusOK {
		a.Status = newStatus
	}
	w.add(full, a)
	return end + 1, nil
}

// plainKeyStatus judges the length of a key of printable ASCII.
func (d *Decoder) plainKeyStatus(key []byte) Status {
	if len(key) < minKeyChars || len(key) > d.opts.MaxKeyBytes {
		return StatusKeyLengthInvalid
	}
	return StatusOK
}

// carefulKey makes a key of the string b[i:end], which scanString has accepted.
// With discard the key is only checked, and no scratch is used up.
func (d *Decoder) carefulKey(b []byte, i, end int, how text, discard bool) (key []byte, st Status, flags argFlags, err *SyntaxError) {
	key = b[i:end:end]
	if how&textEscaped != 0 {
		flags = keyNeedsEscape
		start := len(d.scratch)
		grown, err := unescape(d.scratch, b, i, end)
		if err != nil {
			return nil, 0, 0, err
		}
		// Earlier keys stay valid when the scratch has moved: they hold on
		// to where it was.
		d.scratch = grown
		key = grown[start:len(grown):len(grown)]
		if discard {
			d.scratch = grown[:start]
		}
	}
	if len(key) > d.opts.MaxKeyBytes || len(key) < minKeyChars || how != textPlain && utf8.RuneCount(key) < minKeyChars {
		st = StatusKeyLengthInvalid
	}
	return key, st, flags, nil
}

// value checks the value at b[i] and returns the index behind it. scalar tells
// whether it is a string, a number or a boolean.
func (d *Decoder) value(b []byte, i int) (end int, scalar bool, err *SyntaxError) {
	if i >= len(b) {
		return 0, false, syntaxAt(b, i, "a value")
	}
	switch c := b[i]; {
	case c == '"':
		end, _, err = scanString(b, i+1)
		return end + 1, true, err
	case c == '-' || isDigit(c):
		end, err = scanNumber(b, i)
		return end, true, err
	case c == 't':
		end, err = literal(b, i, "true")
		return end, true, err
	case c == 'f':
		end, err = literal(b, i, "false")
		return end, true, err
	case c == 'n':
		end, err = literal(b, i, "null")
		return end, false, err
	case c == '{' || c == '[':
		end, err = d.nested(b, i)
		return end, false, err
	}
	return 0, false, syntaxAt(b, i, "a value")
}

func literal(b []byte, i int, word string) (end int, err *SyntaxError) {
	end = i + len(word)
	if end > len(b) || string(b[i:end]) != word {
		return 0, &SyntaxError{i, "not a value (" + word + " is one)"}
	}
	return end, nil
}

// nested checks the object or array at b[i]. The strings and the depth are
// checked here; sonic checks the grammar between them.
func (d *Decoder) nested(b []byte, i int) (end int, err *SyntaxError) {
	depth := 0
	for j := i; j < len(b); j++ {
		switch b[j] {
		case '"':
			if j, _, err = scanString(b, j+1); err != nil {
				return 0, err
			}
		case '{', '[':
			if depth++; depth > d.opts.MaxDepth {
				return 0, &SyntaxError{j, fmt.Sprintf("nesting deeper than %d", d.opts.MaxDepth)}
			}
		case '}', ']':
			if depth--; depth == 0 {
				return j + 1, checkGrammar(b[i:j+1], i)
			}
		}
	}
	// No end. If what is there is wrong before its end, that is the fault.
	if err := checkGrammar(b[i:], i); err != nil {
		return 0, err
	}
	return 0, &SyntaxError{len(b), "unexpected end"}
}

// colon expects a colon, with white space around it, from b[i] on, and returns
// the index of what follows.
func colon(b []byte, i int) (int, *SyntaxError) {
	i = skipSpace(b, i)
	if i >= len(b) || b[i] != ':' {
		return 0, syntaxAt(b, i, "':'")
	}
	return skipSpace(b, i+1), nil
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
		return &SyntaxError{len(b), "unexpected end, want a command"}
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
		i = skipSpace(b, i+1)
		if i >= len(b) || b[i] != '"' {
			return syntaxAt(b, i, "a name in quotes")
		}
		end, _, err := scanString(b, i+1)
		if err != nil {
			return err
		}
		if i, err = colon(b, end+1); err != nil {
			return err
		}
		if i, _, err = d.value(b, i); err != nil {
			return err
		}
		i = skipSpace(b, i)
		if i < len(b) && b[i] == ',' {
			continue
		}
		if i >= len(b) || b[i] != '}' {
			return syntaxAt(b, i, "',' or '}'")
		}
		return atEnd(b, i+1, ErrNotOneCommand)
	}
}

// lookup finds the opcode of the name in b[i:end]. A name with an unpaired
// surrogate is no command's.
func (d *Decoder) lookup(b []byte, i, end int, how text) Opcode {
	if how&textEscaped == 0 {
		return lookup(b[i:end])
	}
	start := len(d.scratch)
	name, err := unescape(d.scratch, b, i, end)
	if err != nil {
		return 0
	}
	return lookup(name[start:])
}
