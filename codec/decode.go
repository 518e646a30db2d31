package codec

import "slices"

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
	w := walk{d: d, b: payload, args: args, room: max}
	scratch := len(d.scratch)
	cmd, err := w.payload()
	if err != nil {
		d.scratch = d.scratch[:scratch]
		return args, Command{}, err
	}
	return w.args, cmd, nil
}

// DecodeFrom appends at most max further elements of a payload that Decode has
// accepted, beginning at cmd.Next. What follows those is not looked at; a payload
// that Decode has not accepted gives nonsense, but no harm.
func (d *Decoder) DecodeFrom(payload []byte, cmd Command, args []Arg, max int) ([]Arg, Command) {
	cmd.More = false
	if cmd.Op == 0 || int(cmd.Op) >= NumOpcodes || cmd.Next < 0 || cmd.Next > len(payload) {
		return args, cmd
	}
	w := walk{d: d, b: payload, args: args, room: max, checked: true}
	_, err := w.elements(cmd.Next, commands[cmd.Op].shape)
	if err != nil || !w.more {
		return w.args, cmd
	}
	cmd.More, cmd.Next = true, w.next
	return w.args, cmd
}

// walk is one pass over a payload.
type walk struct {
	d       *Decoder
	b       []byte
	args    []Arg
	room    int  // for so many more arguments
	checked bool // the payload is known to be right: stop when there is no room
	more    bool // there is an element that did not fit
	next    int  // its offset

	spare Arg // takes the elements that don't fit, which are only checked
}

// The beginnings of the usual commands as they are usually written: eight bytes.
const (
	beginSet = '{' | '"'<<8 | 'S'<<16 | 'E'<<24 | 'T'<<32 | '"'<<40 | ':'<<48 | '{'<<56
	beginAdd = '{' | '"'<<8 | 'A'<<16 | 'D'<<24 | 'D'<<32 | '"'<<40 | ':'<<48 | '{'<<56
	beginGet = '{' | '"'<<8 | 'G'<<16 | 'E'<<24 | 'T'<<32 | '"'<<40 | ':'<<48 | '['<<56
	beginRmv = '{' | '"'<<8 | 'R'<<16 | 'M'<<24 | 'V'<<32 | '"'<<40 | ':'<<48 | '['<<56
)

// payload decodes all of it.
func (w *walk) payload() (cmd Command, err error) {
	b := w.b
	if len(b) >= 8 {
		switch uncheckedLoad64(b, 0) {
		case beginSet:
			cmd.Op = OpSet
		case beginAdd:
			cmd.Op = OpAdd
		case beginGet:
			cmd.Op = OpGet
		case beginRmv:
			cmd.Op = OpRemove
		}
	}
	i := 7
	if cmd.Op == 0 {
		if i, cmd.Op, err = w.name(); err != nil {
			return cmd, err
		}
	}
	// What is wrong with the command, if the text around it turns out right.
	var refusal error
	var fault *SyntaxError
	s := commands[cmd.Op].shape
	switch {
	case cmd.Op == 0:
		refusal = w.unknown()
		i, _, fault = w.d.value(b, i)
	case i >= len(b) || b[i] != s.opening():
		refusal = &ArgumentTypeError{cmd.Op, takes[s]}
		i, _, fault = w.d.value(b, i)
	default:
		first := skipSpace(b, i+1)
		switch {
		case first < len(b) && b[first] == s.closing():
			i = first + 1
		case s == shapeEmpty:
			refusal = &ArgumentTypeError{cmd.Op, takes[s]}
			i, _, fault = w.d.value(b, i)
		default:
			i, fault = w.elements(first, s)
			cmd.More, cmd.Next = w.more, w.next
		}
	}
	if fault != nil {
		return cmd, fault
	}
	if i+1 == len(b) && b[i] == '}' {
		return cmd, refusal
	}
	if i = skipSpace(b, i); i < len(b) && b[i] == ',' {
		return cmd, w.d.refuseMembers(b, i)
	}
	if i >= len(b) || b[i] != '}' {
		return cmd, syntaxAt(b, i, "',' or '}'")
	}
	return cmd, atEnd(b, i+1, refusal)
}

// name decodes a payload's beginning: the brace, the command's name, the colon.
// It returns the index of the argument.
func (w *walk) name() (argument int, op Opcode, _ error) {
	b := w.b
	i := skipSpace(b, 0)
	if i >= len(b) || b[i] != '{' {
		return 0, 0, w.d.refuseTop(b, i)
	}
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == '}' {
		return 0, 0, atEnd(b, i+1, ErrNotOneCommand)
	}
	if i >= len(b) || b[i] != '"' {
		return 0, 0, syntaxAt(b, i, "a command's name in quotes")
	}
	end, how, err := scanString(b, i+1)
	if err != nil {
		return 0, 0, err
	}
	name := b[i+1 : end]
	// A name with an unpaired surrogate is no command's.
	if how&textEscaped == 0 {
		op = lookup(name)
	} else if how&textSurrogate == 0 {
		scratch := unescape(w.d.scratch, name)
		op = lookup(scratch[len(w.d.scratch):])
	}
	i, err = colon(b, end+1)
	if err != nil {
		return 0, 0, err
	}
	return i, op, nil
}

// unknown makes the error about a name that is no command's, which name has
// accepted.
func (w *walk) unknown() error {
	start := skipSpace(w.b, skipSpace(w.b, 0)+1) + 1
	end, _, _ := scanString(w.b, start)
	return &UnknownCommandError{string(w.b[start:end])}
}

// elements decodes the elements of an argument, of which there is at least one,
// from the one at i on. It returns the index behind the argument.
func (w *walk) elements(i int, s shape) (end int, err *SyntaxError) {
	switch s {
	case shapePairs:
		return w.pairs(i)
	case shapeKeys:
		return w.keys(i)
	case shapeRenames:
		return w.renames(i)
	}
	return i, nil
}

// add returns the argument to decode the element at i into: a new one, or w.spare
// if there is no room. nil means that there is no need to.
func (w *walk) add(i int) *Arg {
	if w.room > 0 {
		w.room--
		if len(w.args) == cap(w.args) {
			w.args = slices.Grow(w.args, 1)
		}
		w.args = w.args[:len(w.args)+1]
		return &w.args[len(w.args)-1]
	}
	if !w.more {
		w.more, w.next = true, i
		if w.checked {
			return nil
		}
	}
	return &w.spare
}

// drop takes back the argument that add has returned last: there was a fault.
func (w *walk) drop(a *Arg) {
	if a != &w.spare {
		w.args = w.args[:len(w.args)-1]
	}
}

// pairs decodes the members of a SET.
func (w *walk) pairs(i int) (end int, err *SyntaxError) {
	b := w.b
	for {
		a := w.add(i)
		if a == nil {
			return i, nil
		}
		a.Pos = i
		if i >= len(b) || b[i] != '"' {
			w.drop(a)
			return 0, syntaxAt(b, i, "a name in quotes")
		}
		end = scanPlain(b, i+1)
		if end < len(b) && b[end] == '"' {
			a.Key = b[i+1 : end : end]
			a.Status, a.flags = w.plainStatus(end-i-1), 0
		} else if end, err = w.carefulKey(a, i+1, end); err != nil {
			w.drop(a)
			return 0, err
		}
		i = end + 1
		if i+1 < len(b) && b[i] == ':' && b[i+1] > ' ' {
			i++
		} else if i, err = colon(b, i); err != nil {
			w.drop(a)
			return 0, err
		}
		if i < len(b) && b[i] == '"' {
			end = scanPlain(b, i+1)
			if end >= len(b) || b[end] != '"' {
				end, _, err = carefulString(b, i+1, end)
			}
			end++
		} else {
			var scalar bool
			end, scalar, err = w.d.value(b, i)
			if !scalar && !w.d.opts.AnyValues && a.Status == StatusOK {
				a.Status = StatusTypeInvalid
			}
		}
		if err != nil {
			w.drop(a)
			return 0, err
		}
		a.Value = b[i:end:end]
		if i, err = separator(b, end, '}'); i == 0 {
			return skipSpace(b, end) + 1, err
		}
	}
}

// keys decodes the elements of a GET.
func (w *walk) keys(i int) (end int, err *SyntaxError) {
	b := w.b
	for {
		a := w.add(i)
		if a == nil {
			return i, nil
		}
		a.Pos, a.Value = i, nil
		if i < len(b) && b[i] == '"' {
			end = scanPlain(b, i+1)
			if end < len(b) && b[end] == '"' {
				a.Key = b[i+1 : end : end]
				a.Status, a.flags = w.plainStatus(end-i-1), 0
			} else {
				end, err = w.carefulKey(a, i+1, end)
			}
			end++
		} else {
			a.Key, a.Status, a.flags = nil, StatusTypeInvalid, 0
			end, _, err = w.d.value(b, i)
		}
		if err != nil {
			w.drop(a)
			return 0, err
		}
		if i, err = separator(b, end, ']'); i == 0 {
			return skipSpace(b, end) + 1, err
		}
	}
}

// renames decodes the elements of a RNM_KEY.
func (w *walk) renames(i int) (end int, err *SyntaxError) {
	b := w.b
	for {
		a := w.add(i)
		if a == nil {
			return i, nil
		}
		*a = Arg{Pos: i}
		end, err = w.rename(a, i)
		if end == 0 && err == nil {
			*a = Arg{Pos: i, Status: StatusTypeInvalid}
			end, _, err = w.d.value(b, i)
		}
		if err != nil {
			w.drop(a)
			return 0, err
		}
		if i, err = separator(b, end, ']'); i == 0 {
			return skipSpace(b, end) + 1, err
		}
	}
}

// rename decodes the object {"old":"new"} at b[i] into a. It returns 0 for
// anything else, be it a value of another kind or no JSON.
func (w *walk) rename(a *Arg, i int) (end int, err *SyntaxError) {
	b := w.b
	if i >= len(b) || b[i] != '{' {
		return 0, nil
	}
	from := skipSpace(b, i+1) + 1
	if from > len(b) || b[from-1] != '"' {
		return 0, nil
	}
	fromEnd, _, err := scanString(b, from)
	if err != nil {
		return 0, nil
	}
	to, err := colon(b, fromEnd+1)
	if err != nil || to >= len(b) || b[to] != '"' {
		return 0, nil
	}
	to++
	toEnd, _, err := scanString(b, to)
	if err != nil {
		return 0, nil
	}
	end = skipSpace(b, toEnd+1)
	if end >= len(b) || b[end] != '}' {
		return 0, nil
	}
	// It is a rename, and both names are keys.
	var renamed Arg
	if _, err = w.carefulKey(a, from, from); err != nil {
		return 0, err
	}
	if _, err = w.carefulKey(&renamed, to, to); err != nil {
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

// plainStatus judges a key of n printable ASCII characters.
func (w *walk) plainStatus(n int) Status {
	if n < minKeyChars || n > w.d.opts.MaxKeyBytes {
		return StatusKeyLengthInvalid
	}
	return StatusOK
}

// carefulKey decodes the key whose first byte, after its quote, is at start into
// a; the bytes from there to i are known to be plain. It returns the index of the
// closing quote.
func (w *walk) carefulKey(a *Arg, start, i int) (end int, err *SyntaxError) {
	end, how, err := carefulString(w.b, start, i)
	if err != nil {
		return 0, err
	}
	key := w.b[start:end:end]
	a.flags = 0
	if how&textEscaped != 0 {
		if how&textSurrogate != 0 {
			if lone := loneSurrogate(w.b, start, end); lone >= 0 {
				return 0, &SyntaxError{lone, "unpaired surrogate in a key"}
			}
		}
		a.flags = keyNeedsEscape
		n := len(w.d.scratch)
		w.d.scratch = unescape(w.d.scratch, key)
		key = slices.Clip(w.d.scratch[n:])
		if w.more { // the element does not fit, so nobody will look at the key
			w.d.scratch = w.d.scratch[:n]
		}
	}
	a.Key, a.Status = key, StatusOK
	if len(key) > w.d.opts.MaxKeyBytes || len(key) < minKeyChars || how&textUnicode|how&textEscaped != 0 && fewerChars(key, minKeyChars) {
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
		if i, err = memberName(b, skipSpace(b, i+1)); err != nil {
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
