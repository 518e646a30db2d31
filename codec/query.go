package codec

import "bytes"

// This file is what KEYS and FIND ask for.

// Query is what a command with ShapeQuery or ShapeSearch asks for. What it refers to lives
// as long as the payload. One goroutine at a time may use it.
type Query struct {
	Prefix []byte // of the keys, unescaped
	Limit  int    // of the keys in a page
	Cursor []byte // what the page before had; nil: this is the first
	Values bool   // the values are wanted too

	compare comparison // 0: every value matches
	path    pointer
	operand operand
}

// The numbers of keys in a page.
const (
	DefaultLimit = 1000
	MaxLimit     = 100_000
)

// maxQueryBytes is the longest argument of a question, whose text is looked at in one go.
const maxQueryBytes = 128 << 10

// ask decodes the argument at i of a command that has no elements, which is an object and
// ends where b does.
func (d *Decoder) ask(b []byte, i int, op Opcode) *Refusal {
	if op.Shape() == ShapeCredentials {
		return d.credentials(b, i, op)
	}
	return d.query(b, i, op)
}

// query decodes the argument at i, which is an object and ends where b does.
func (d *Decoder) query(b []byte, i int, op Opcode) *Refusal {
	wrong := d.refuseArgument(i, op)
	if len(b)-i > maxQueryBytes {
		wrong.Text += ", of 128 KiB at most"
		return wrong
	}
	search := op.Shape() == ShapeSearch
	q := &Query{Limit: DefaultLimit}
	var has [5]bool
	for at := i + 1; ; {
		m, ok := memberAt(b, at)
		if !ok {
			break
		}
		at = m.next
		name, value := string(appendText(nil, m.name)), b[m.from:m.end]
		member := 4
		switch {
		case name == "prefix":
			member = 0
			q.Prefix, ok = stringOf(value)
		case name == "limit":
			member = 1
			var n int64
			n, ok = parseInt(value)
			q.Limit, ok = int(n), ok && n >= 1 && n <= MaxLimit
		case name == "cursor":
			member = 2
			q.Cursor, ok = stringOf(value)
		case name == "values":
			member = 3
			q.Values, ok = value[0] == 't', value[0] == 't' || value[0] == 'f'
		case name == "path" && search && q.path == nil:
			var text []byte
			if text, ok = stringOf(value); ok {
				q.path, ok = parsePointer(nil, text)
			}
			if ok && len(q.path) > 0 && !d.opts.AnyValues {
				wrong.Text = "needs --values any for a path"
				return wrong
			}
			if q.path == nil {
				q.path = pointer{}
			}
			member = -1
		case search && comparisons[name] != 0:
			q.compare, q.operand = comparisons[name], newOperand(value)
		default:
			return wrong
		}
		if !ok || member >= 0 && has[member] {
			return wrong
		}
		if member >= 0 {
			has[member] = true
		}
	}
	if search && q.compare == 0 {
		return wrong
	}
	d.has |= hasQuery
	d.extra.Query, d.extra.Credentials = q, nil
	return nil
}

// stringOf returns the text of a string that has no unpaired surrogate.
func stringOf(value []byte) ([]byte, bool) {
	if value[0] != '"' || loneSurrogate(value, 1, len(value)-1) >= 0 {
		return nil, false
	}
	if s := value[1 : len(value)-1]; hasBackslash(s) {
		return appendText(nil, s), true
	}
	return value[1 : len(value)-1 : len(value)-1], true
}

// Clone returns a copy that outlives the payload.
func (q *Query) Clone() *Query {
	c := *q
	c.Prefix, c.Cursor = bytes.Clone(q.Prefix), bytes.Clone(q.Cursor)
	c.path = make(pointer, len(q.path))
	for i, token := range q.path {
		c.path[i] = bytes.Clone(token)
	}
	if q.compare != 0 {
		c.operand = newOperand(bytes.Clone(q.operand.json))
	}
	return &c
}

// Matches reports whether a stored value is one that the query looks for.
func (q *Query) Matches(value []byte, form Form) bool {
	switch {
	case q.compare == 0:
		return true
	case len(q.path) == 0:
	case form != FormJSON || value[0] != '{' && value[0] != '[':
		return false
	default:
		from, ok := q.path.find(value)
		if !ok {
			return false
		}
		value = value[from:skipValue(value, from)]
	}
	return q.operand.matches(value, form, q.compare)
}
