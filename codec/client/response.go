package client

import (
	"errors"
	"fmt"
	"strconv"

	"keyframe/codec"
)

// Response is what a server has answered: for one element, for a command as a whole,
// or to text that is no command.
type Response struct {
	// ID is the text of the command's id, as it was written; nil if it had none.
	ID []byte
	// Op is the command that is answered, 0 for a SERVER_ERROR.
	Op codec.Opcode
	// Status is the element's status, or that of the command. With Op 0 it is the
	// number of the error ("s").
	Status codec.Status
	// Key is the key, the old one of a rename, unescaped.
	Key []byte
	// Value is the text of the value that was found (GET, TAKE), was there (SWAP), is there
	// now (INCR) or of the milliseconds that are left (TTL); the new key, unescaped
	// (RNM_KEY); the text of the object with all members (SERVER_INFO, PING); or that of the
	// keys of a page, for Keys and Pairs (KEYS, FIND).
	Value []byte
	// Count is how many keys there are (COUNT) or were (CLEAR, CLEAR_SET).
	Count int64
	// Cursor is where the next page begins, unescaped; nil after the last.
	Cursor []byte
	// Done is set by the answer to a command with an id that has no other.
	Done bool
	// Message is what is wrong, unescaped: in a SERVER_ERROR, an answer with the status
	// QueryRootInvalidType, one with TypeInvalid whose value was of the wrong type, and one
	// with Denied that is about no key.
	Message []byte
}

// ErrResponse is the fault of JSON that is no response of PROTOCOL.md.
var ErrResponse = errors.New("client: not a response")

// A Parser parses responses. It owns the scratch that unescaped keys live in, and must
// be used by one goroutine at a time.
type Parser struct{ dec *codec.Decoder }

// NewParser returns a Parser.
func NewParser() *Parser {
	dec, err := codec.NewDecoder(codec.Options{AnyValues: true})
	if err != nil {
		panic("BUG: client: the codec's defaults: " + err.Error())
	}
	return &Parser{dec}
}

// Check returns the fault of a value's text, nil if there is none.
func (p *Parser) Check(value []byte) error {
	end, err := p.dec.ScanValue(value, 0)
	if err == nil && end != len(value) {
		err = notJSON(end, "more than one value")
	}
	return err
}

const (
	keyHead    = `,"k":"`
	statusTail = `"}}`
)

// Status parses a response of the form {"SET_RSP":{"st":1,"k":"<key>"}} to op, if its key
// is plain (codec.IsPlain) and its status, of one digit, is one of op.Answers. The key
// aliases b. For any other response, good or bad, ok is false.
func Status(b []byte, op codec.Opcode) (st codec.Status, key []byte, ok bool) {
	if int(op) >= codec.NumOpcodes || op.Answers() == 0 || op.Shape() == codec.ShapeRenames {
		return 0, nil, false
	}
	head := op.Texts().Response
	at, end := len(head)+1+len(keyHead), len(b)-len(statusTail)
	if end < at || string(b[:len(head)]) != head || string(b[len(head)+1:at]) != keyHead || string(b[end:]) != statusTail {
		return 0, nil, false
	}
	st = codec.Status(b[len(head)] - '0')
	if key = b[at:end:end]; st > 9 || !op.Answers().Has(st) || !codec.IsPlain(key) {
		return 0, nil, false
	}
	return st, key, true
}

// Value parses a response of the form {"GET_RSP":{"st":0,"<key>":<value>}} to op, if its key
// is the given one, and plain, and its status, of one digit, is one of op.Values. The value
// aliases b, and is checked. For any other response, good or bad, ok is false.
func (p *Parser) Value(b []byte, op codec.Opcode, key []byte) (st codec.Status, value []byte, ok bool) {
	if int(op) >= codec.NumOpcodes || op.Values() == 0 {
		return 0, nil, false
	}
	head := op.Texts().Response
	at := len(head) + 1 + len(valueHead) + len(key) + len(valueColon)
	if at >= len(b) || string(b[:len(head)]) != head || string(b[len(head)+1:len(head)+1+len(valueHead)]) != valueHead ||
		string(b[at-len(valueColon):at]) != valueColon {
		return 0, nil, false
	}
	found := b[at-len(valueColon)-len(key) : at-len(valueColon)]
	if st = codec.Status(b[len(head)] - '0'); st > 9 || !op.Values().Has(st) || string(found) != string(key) || !codec.IsPlain(key) {
		return 0, nil, false
	}
	end, err := p.dec.ScanValue(b, at)
	if err != nil || string(b[end:]) != valueTail {
		return 0, nil, false
	}
	return st, b[at:end:end], true
}

const (
	valueHead  = `,"`
	valueColon = `":`
	valueTail  = "}}"
)

// The names of responses.
const (
	serverError = "SERVER_ERROR"
	suffix      = "_RSP"
)

func opOf(name []byte) codec.Opcode {
	n := len(name) - len(suffix)
	if n <= 0 || string(name[n:]) != suffix {
		return 0
	}
	return codec.Lookup(name[:n])
}

// Parse parses any response into r. The error is a *codec.Refusal for what is not JSON,
// and ErrResponse, wrapped, for JSON that is not a response; r is then of no use.
//
// What r refers to is valid until b changes or Parse is called again.
func (p *Parser) Parse(b []byte, r *Response) error {
	*r = Response{}
	p.dec.Reset()
	i, err := expect(b, 0, '{')
	if err != nil {
		return err
	}
	name, i, err := p.name(b, i)
	if err != nil {
		return err
	}
	if r.Op = opOf(name); r.Op == 0 && string(name) != serverError {
		return fmt.Errorf("%w: it is called %.40q", ErrResponse, name)
	}
	var m members
	end, err := p.members(b, i, r.Op, &m)
	if err != nil {
		return err
	}
	if m.status == nil {
		return fmt.Errorf("%w: there is no status", ErrResponse)
	}
	if r.Op.Reply() == codec.ReplyMembers {
		m.value = b[i:end:end]
	}
	if end, err = expect(b, end, '}'); err != nil {
		return err
	}
	if end != len(b) {
		return notJSON(end, "more than one response")
	}
	return p.fill(r, &m)
}

// members are those of a response's object: its status and another one, and after that
// what is to be said about it.
type members struct {
	id      []byte // JSON text of the command's id
	status  []byte // JSON text
	name    []byte // the other one's name, unescaped; nil if there is none
	value   []byte // its JSON text
	message []byte // JSON text of the string m; nil if there is none
	cursor  []byte // JSON text of the string cursor; nil if there is none
	words   []byte // of a ReplyMembers, JSON text of its string m; nil if there is none
}

// members parses the object at b[i] and returns the index of what follows it.
func (p *Parser) members(b []byte, i int, op codec.Opcode, m *members) (end int, err error) {
	statusName := "st"
	if op == 0 {
		statusName = "s"
	}
	i, err = expect(b, i, '{')
	for err == nil {
		var name []byte
		if name, i, err = p.name(b, i); err != nil {
			break
		}
		if end, err = p.dec.ScanValue(b, i); err != nil {
			break
		}
		switch value := b[i:end:end]; {
		// Of a rename, a key may be called st too.
		case m.status == nil && string(name) == statusName && value[0] != '"':
			m.status = value
		case m.status == nil && m.id == nil && m.name == nil && string(name) == "#":
			m.id = value // it is the first, before the status; a key # comes later
		case op.Reply() == codec.ReplyMembers:
			if string(name) == "m" && value[0] == '"' {
				m.words = value
			}
		case m.name == nil:
			m.name, m.value = name, value
		case m.message == nil && (op.Reply() == codec.ReplyElements || op.Reply() == codec.ReplyCountElements) && string(name) == "m" && value[0] == '"':
			m.message = value
		case m.cursor == nil && op.Reply() == codec.ReplyPage && string(name) == "cursor" && value[0] == '"':
			m.cursor = value
		default:
			return 0, fmt.Errorf("%w: it has a member %.40q too many", ErrResponse, name)
		}
		if end = codec.SkipSpace(b, end); end < len(b) && b[end] == '}' {
			return codec.SkipSpace(b, end+1), nil
		}
		i, err = expect(b, end, ',')
	}
	return 0, err
}

// fill makes a response of the members: the status decides what the other one must be.
func (p *Parser) fill(r *Response, m *members) (err error) {
	st, err := strconv.ParseUint(string(m.status), 10, 8)
	if err != nil {
		return fmt.Errorf("%w: its status is %.40q", ErrResponse, m.status)
	}
	r.Status, r.ID = codec.Status(st), m.id
	if m.id != nil && r.Op.Shape() == codec.ShapeRenames && m.name == nil && m.message == nil && m.id[0] == '"' && r.Status != codec.StatusOK {
		m.name, m.value, r.ID = []byte("#"), m.id, nil // it was the old key
	}
	if m.message != nil {
		if r.Status != codec.StatusTypeInvalid {
			return fmt.Errorf("%w: %s with status %d and a message", ErrResponse, r.Op, st)
		}
		if r.Message, _, err = p.dec.ScanString(m.message, 0); err != nil {
			return err
		}
	}
	switch {
	case r.Op == 0, r.Status == codec.StatusQueryRootInvalidType:
		if r.Message, err = p.text(m, "m"); r.Message == nil && m.is("m") {
			// An unknown name comes back as it was written. If it has half a
			// surrogate pair, it can't be unescaped.
			r.Message, err = m.value[1:len(m.value)-1], nil
		}
	case r.Status == codec.StatusDenied && r.Op.Reply() == codec.ReplyMembers && m.words != nil:
		r.Message, _, err = p.dec.ScanString(m.words, 0)
	case r.Status == codec.StatusDenied && r.Op.Reply() != codec.ReplyElements && m.is("m"):
		r.Message, err = p.text(m, "m")
	case r.Op.Reply() == codec.ReplyMembers && (r.Status == codec.StatusOK || r.Status == codec.StatusUnavailable):
		r.Value = m.value
	case (r.Op.Reply() == codec.ReplyCount || r.Op.Reply() == codec.ReplyCountElements) && r.Status == codec.StatusOK && string(m.name) == "cnt":
		if r.Count, err = strconv.ParseInt(string(m.value), 10, 64); err != nil || r.Count < 0 {
			return fmt.Errorf("%w: its count is %.40q", ErrResponse, m.value)
		}
	case r.Op.Reply() == codec.ReplyPage && r.Status == codec.StatusOK && (string(m.name) == "keys" && m.value[0] == '[' || string(m.name) == "pairs" && m.value[0] == '{'):
		if r.Value = m.value; m.cursor != nil {
			r.Cursor, _, err = p.dec.ScanString(m.cursor, 0)
		}
	case r.ID != nil && r.Status == codec.StatusOK && m.name == nil && r.Op.Answers() != 0:
		r.Done = true
	case r.Op.Values().Has(r.Status) && m.name != nil:
		r.Key, r.Value = m.name, m.value
	case !r.Op.Answers().Has(r.Status) && (r.Status != codec.StatusUnavailable || !r.Op.Effect().Writes()) && (r.Status != codec.StatusDenied || r.Op.Answers() == 0):
		return fmt.Errorf("%w: %s with status %d and %.40q", ErrResponse, r.Op, st, m.name)
	case r.Op.Shape() == codec.ShapeRenames && r.Status != codec.StatusTypeInvalid:
		r.Key = m.name
		r.Value, err = p.text(m, "")
	default:
		r.Key, err = p.text(m, "k")
	}
	return err
}

// Keys calls yield with each key of a page, and with the text of its value if the page has
// values; nil otherwise. The key is valid until yield returns. It reports an error for text
// that is no page's, and stops when yield returns false.
func (p *Parser) Keys(r *Response, yield func(key, value []byte) bool) error {
	b := r.Value
	if len(b) == 0 || b[0] != '[' && b[0] != '{' {
		return fmt.Errorf("%w: it is no page", ErrResponse)
	}
	pairs := b[0] == '{'
	for i := codec.SkipSpace(b, 1); i < len(b) && b[i] != b[0]+2; {
		p.dec.Reset()
		key, end, err := p.dec.ScanString(b, i)
		if err != nil {
			return err
		}
		var value []byte
		if pairs {
			if i, err = expect(b, end, ':'); err != nil {
				return err
			}
			if end, err = p.dec.ScanValue(b, i); err != nil {
				return err
			}
			value = b[i:end:end]
		}
		if !yield(key, value) {
			return nil
		}
		if i = codec.SkipSpace(b, end); i < len(b) && b[i] == ',' {
			i = codec.SkipSpace(b, i+1)
		}
	}
	return nil
}

// is reports whether the other member is a string and has that name, or any if name
// is "".
func (m *members) is(name string) bool {
	return m.name != nil && (name == "" || string(m.name) == name) && m.value[0] == '"'
}

// text returns the text of the other member, which must be a string.
func (p *Parser) text(m *members, name string) ([]byte, error) {
	if !m.is(name) {
		return nil, fmt.Errorf("%w: %.40q where a string %q belongs", ErrResponse, m.name, name)
	}
	s, _, err := p.dec.ScanString(m.value, 0)
	return s, err
}

// name expects a name in quotes and a colon at b[i], and returns the name and the
// index of what follows.
func (p *Parser) name(b []byte, i int) ([]byte, int, error) {
	s, i, err := p.dec.ScanString(b, i)
	if err == nil {
		i, err = expect(b, i, ':')
	}
	return s, i, err
}

// expect expects the byte want at b[i], with white space around it, and returns the index
// of what follows.
func expect(b []byte, i int, want byte) (int, error) {
	i = codec.SkipSpace(b, i)
	if i >= len(b) || b[i] != want {
		return 0, notJSON(i, "expected '"+string(want)+"'")
	}
	return codec.SkipSpace(b, i+1), nil
}

func notJSON(offset int, text string) error {
	return &codec.Refusal{Code: codec.RefusedSyntax, Offset: offset, Text: fmt.Sprintf("not JSON: %s at byte %d", text, offset)}
}
