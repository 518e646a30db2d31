package codec

import (
	"unicode/utf8"
)

// This file checks long payloads a step at a time, so that a loop which serves others too
// is never in one for long. What a Check says of a payload is what Decode says of it,
// wherever it stops: the same command and elements, or the same refusal.
//
// Elements that are short next to a step go the ordinary way, through pairs, keys and
// renames, which are given what the step may look at and no more. The element in which
// that ends, and all else, is walked token by token, and a walk may stop in the middle of
// a string, a number, white space or a value at any depth. A walk knows nothing of the
// commands' elements but where they end; it has the last word on what is wrong.

// Check is how far the check of one payload has come. The zero value is a check that
// begins. Between two steps the payload may have moved, but must not have changed.
type Check struct {
	at    int // all before it is right
	state checkState
	op    Opcode
	first int // the first element, -1: there is none
	next  int // the first element that is not in the caller's args, -1: there is none
	base  int // how many args the caller had

	utf8     int      // of a refused payload: what is before is UTF-8
	refusal  *Refusal // the answer, if the text turns out to be right
	name     [2]int   // the command's name, as it is written
	argument int      // where it begins
	argEnd   int      // and ends, if it has been walked as a value
	comma    int      // the last one between two members of the command
	isID     bool     // what is walked is an id
	id       [2]int   // the id, if there is one
	ttl      [2]int   // the life of timed pairs
	paired   bool     // there are those pairs
	extra    Extra
	spaces   int // where the white space begins that the last step has ended in

	// The string that is being walked.
	role  stringRole
	from  int // its first byte
	kind  stringKind
	lone  int // its first unpaired surrogate, -1: there is none
	high  int // an escape that may be the first half of a pair, -1: there is none
	digit digits

	// The value that is being walked.
	root    checkState // what comes after it
	value   int        // where it begins
	end     int        // where the last one ended that was in none
	depth   int
	objects [maxMaxDepth/64 + 1]uint64 // bit n: level n is an object, not an array
	after   checkState                 // the colon that is due

	// Of an element of RNM_KEY: how many of the names of {"old":"new"} there are so far, or
	// noRename, and the unpaired surrogates of the two.
	renamed int
	lones   [2]int

	// Long values, white space and names that can't be keys, which need not be looked at
	// again: in the order of their beginnings.
	leaps  []leap
	long   int  // the length from which one is noted
	spaced bool // there is white space among them
}

// leap is a part of a checked payload that the decoder may skip: of a string the inside.
type leap struct{ from, end int }

// longRun is the length from which a leap is noted. Less is looked at again in no time.
const longRun = 4096

// checkState is what comes next, after white space if not for the two that begin with in.
type checkState uint8

const (
	wantCommand  checkState = iota // the opening brace
	wantName                       // the command's name
	wantColon                      // and then after
	wantArgument                   // the argument
	wantFirst                      // its first element, or its end
	wantElement                    // an element
	wantNext                       // a comma or the argument's end
	wantEnd                        // the closing brace
	wantMember                     // a member that is one too many
	wantMembers                    // a comma or the closing brace after it
	wantNothing                    // the end of the payload

	wantNameNext // a comma, after an id that comes first
	wantNextName // the name after it

	wantTimedName // the name of a member of timed pairs
	wantTTL       // their life
	wantPairs     // the pairs
	wantTimedNext // a comma, or the end of the argument
	wantNotTimed  // nothing: a member has a name that belongs to none

	wantValue      // a value at any depth, and then root
	wantInside     // the first of an array or an object, or its end
	wantInsideName // a name in an object
	wantInsideNext // a comma, or the end of an array or an object

	inString // of a role
	inDigits // of a number

	checked
)

// stringRole is what a string is.
type stringRole uint8

const (
	roleName       stringRole = iota // the command's name
	roleKey                          // a key
	roleMember                       // the name of a member after the command
	roleTimed                        // the name of a member of timed pairs
	roleInsideName                   // a name in an object
	roleValue                        // a value
)

// digits is which digits of a number they are.
type digits uint8

const (
	digitsInteger digits = iota
	digitsFraction
	digitsExponent
)

// CheckStep checks about n further bytes of a payload. When it is done it returns what
// Decode returns, of whose first elements it has decoded at most max on the way. Until
// then the caller goes on with the args that it has returned, or drops those that the
// payload has added and calls Forget.
func (d *Decoder) CheckStep(c *Check, payload []byte, n int, args []Arg, max int) (_ []Arg, cmd Command, done bool, err error) {
	if c.at == 0 && c.state == wantCommand {
		c.begin(d, len(args))
	}
	limit := len(payload)
	if n < limit-c.at {
		limit = c.at + atLeast(1, n)
	}
	args, fault := c.step(d, payload, limit, args, max)
	switch {
	case fault != nil:
		c.state, c.refusal = checked, fault
	case c.state != checked:
		return args, Command{}, false, nil
	default:
		if fault = c.refusal; fault == nil && c.op.Shape().isQuery() {
			fault = d.ask(payload[:c.argEnd], c.argument, c.op)
		}
	}
	if fault == nil {
		return args, Command{Op: c.op, More: c.next >= 0, Next: atLeast(0, c.next), Extra: c.takeExtra(d, payload)}, true, nil
	}
	if fault.Code == RefusedName {
		fault.Text = shownName(payload[c.name[0]:c.name[1]])
	}
	fault.ID = string(payload[c.id[0]:c.id[1]])
	base := min(c.base, len(args))
	clear(args[base:])
	return args[:base], Command{}, true, fault
}

// takeExtra returns what else the payload has, which c has accepted.
func (c *Check) takeExtra(d *Decoder, payload []byte) *Extra {
	c.extra = Extra{}
	if c.op.Shape().isQuery() {
		c.extra.Query, c.extra.Credentials = d.extra.Query, d.extra.Credentials
	}
	c.extra.ID = payload[c.id[0]:c.id[1]:c.id[1]]
	c.extra.TTL, _ = parseMillis(payload[c.ttl[0]:c.ttl[1]])
	if len(c.extra.ID) == 0 {
		if c.extra.ID = nil; c.extra.TTL == 0 && c.extra.Query == nil && c.extra.Credentials == nil {
			return nil
		}
	}
	return &c.extra
}

// UTF8Step looks at about n further bytes of a payload that has been refused. It reports
// whether they, and all before them, are UTF-8, and whether there are no more to look at.
func (c *Check) UTF8Step(payload []byte, n int) (valid, done bool) {
	limit := len(payload)
	if n < limit-c.utf8 {
		limit = runeEnd(payload, c.utf8+max(1, n))
	}
	if !ValidUTF8(payload[c.utf8:limit]) {
		return false, true
	}
	c.utf8 = limit
	return true, limit == len(payload)
}

// At returns how many bytes have been checked.
func (c *Check) At() int { return c.at }

// Forget says that the caller has dropped the args: those of the payload's first elements
// will be wanted again.
func (c *Check) Forget(args int) { c.base, c.next = args, c.first }

func (c *Check) begin(d *Decoder, args int) {
	*c = Check{first: -1, next: -1, base: args, spaces: -1, leaps: c.leaps[:0], long: d.longRun}
}

// step walks, and has the elements decoded, up to limit or a little further.
func (c *Check) step(d *Decoder, b []byte, limit int, args []Arg, max int) (_ []Arg, fault *Refusal) {
	walk := false // the elements of this step
	for c.state != checked && fault == nil {
		switch c.state {
		case inString:
			if fault = c.walkString(d, b, limit); c.state == inString {
				return args, fault
			}
			continue
		case inDigits:
			if fault = c.walkDigits(d, b, limit); c.state == inDigits {
				return args, fault
			}
			continue
		}
		i := c.at
		if i < len(b) && b[i] <= ' ' || c.spaces >= 0 {
			if i = c.walkSpace(b, limit); i >= limit && i < len(b) {
				return args, nil
			}
		}
		if c.state == wantElement && !walk {
			args, walk = c.elements(d, b, i, limit, args, max), true
			continue
		}
		if c.mustGoBack(b, i) {
			// The argument is walked as a value, from the next step on.
			c.refuseArgument(d, c.argument)
			return args, nil
		}
		fault = c.token(d, b, i)
		if c.at >= limit && limit < len(b) {
			return args, fault
		}
	}
	return args, fault
}

// elements decodes the elements from i on that end before limit.
func (c *Check) elements(d *Decoder, b []byte, i, limit int, args []Arg, max int) []Arg {
	limit = runeEnd(b, limit)
	max = c.base + max - len(args)
	if c.next >= 0 || max < 0 {
		max = 0 // there is one that they don't have
	}
	d.begin(len(args), max, false)
	d.from = i
	args, end, fault := d.elements(b[:limit:limit], i, args, c.op.Shape())
	d.from = 0
	if fault == nil {
		c.at, c.state = end, c.afterElements()
		if c.next < 0 {
			c.next = d.next
		}
		return args
	}
	// The last of them is to be walked.
	if d.next >= 0 {
		c.at = d.spare.Pos
		if c.next < 0 && d.next < c.at { // else the walk finds where it begins: there may be white space
			c.next = d.next
		}
		return args
	}
	last := len(args) - 1
	c.at = args[last].Pos
	clear(args[last:])
	return args[:last]
}

// runeEnd returns the first index from i on that is not in the middle of a character.
func runeEnd(b []byte, i int) int {
	for n := 0; n < utf8.UTFMax-1 && i < len(b) && !utf8.RuneStart(b[i]); n++ {
		i++
	}
	return i
}

// token walks the token at i, which is past the white space, or begins with it.
func (c *Check) token(d *Decoder, b []byte, i int) *Refusal {
	var t byte
	if i < len(b) {
		t = b[i]
	}
	c.at = i + 1
	switch c.state {
	case wantValue:
		return c.walkValue(d, b, i)
	case wantInside:
		switch object := c.inObject(); {
		case i < len(b) && t == c.closing():
			return c.closed(i + 1)
		case object:
			c.at, c.state = i, wantInsideName
		default:
			c.at, c.state = i, wantValue
		}
	case wantInsideName:
		if t != '"' {
			return syntaxAt(b, i, "a name in quotes")
		}
		c.beginString(i+1, roleInsideName)
	case wantInsideNext:
		switch closing := c.closing(); {
		case i < len(b) && t == closing:
			return c.closed(i + 1)
		case t != ',':
			return syntaxAt(b, i, "',' or '"+string(closing)+"'")
		case closing == '}':
			c.state = wantInsideName
		default:
			c.state = wantValue
		}
	case wantElement:
		if c.next < 0 {
			c.next = i
		}
		switch shape := c.op.Shape(); {
		case shape != ShapeRenames && t == '"':
			c.beginString(i+1, roleKey)
		case shape.isMembers():
			return syntaxAt(b, i, "a name in quotes")
		default:
			c.renamed, c.lones = 0, [2]int{-1, -1}
			c.at, c.state, c.root = i, wantValue, wantNext
		}
	case wantNext:
		_, fault := separator(b, i, c.op.Shape().closing())
		if c.state = wantElement; t != ',' {
			c.state = c.afterElements()
		}
		return fault
	case wantColon:
		if t != ':' {
			return syntaxAt(b, i, "':'")
		}
		c.state = c.after
	default:
		return c.commandToken(d, b, i, t)
	}
	return nil
}

// commandToken is token for what comes once in a payload.
func (c *Check) commandToken(d *Decoder, b []byte, i int, t byte) *Refusal {
	switch c.state {
	case wantCommand:
		switch {
		case i >= len(b):
			return syntaxAt(b, i, "a command")
		case t != '{':
			c.refusal = refusedTop(i, oneCommand)
			c.at, c.state, c.root = i, wantValue, wantNothing
		default:
			c.state = wantName
		}
	case wantName:
		switch t {
		case '"':
			c.beginString(i+1, roleName)
		case '}':
			c.refusal, c.state = refusedTop(i, noCommand), wantNothing
		default:
			return syntaxAt(b, i, "a command's name in quotes")
		}
	case wantArgument:
		switch {
		case c.op == 0:
			c.refuse(&Refusal{Code: RefusedName, Offset: c.name[0] - 1})
			c.at, c.state, c.root = i, wantValue, wantEnd
		case i >= len(b) || t != c.op.Shape().opening() || !d.serves(c.op.Shape()):
			c.refuseArgument(d, i)
		case c.op.Shape().isQuery():
			c.argument, c.at, c.state, c.root = i, i, wantValue, wantEnd
		case c.op.Shape() == ShapeTimedPairs:
			c.argument, c.state = i, wantTimedName
		default:
			c.argument, c.state = i, wantFirst
		}
	case wantFirst:
		if t == c.op.Shape().closing() {
			c.state = c.afterElements()
			break
		}
		c.at, c.state, c.first = i, wantElement, i
	case wantEnd, wantMembers:
		c.takeID(b)
		switch t {
		case '}':
			c.state = wantNothing
		case ',':
			c.comma, c.state = i, wantMember
		default:
			return syntaxAt(b, i, "',' or '}'")
		}
	case wantNameNext:
		c.takeID(b)
		switch t {
		case '}':
			c.refuse(refusedTop(i, noCommand))
			c.state = wantNothing
		case ',':
			c.state = wantNextName
		default:
			return syntaxAt(b, i, "',' or '}'")
		}
	case wantNextName:
		if t != '"' {
			return syntaxAt(b, i, "a command's name in quotes")
		}
		c.beginString(i+1, roleName)
	case wantTimedName:
		c.beginString(i+1, roleTimed)
	case wantTTL:
		c.at, c.state, c.root, c.ttl[0] = i, wantValue, wantTimedNext, i
	case wantPairs:
		c.state, c.paired = wantFirst, true
	case wantTimedNext:
		if c.state = wantTimedName; t == '}' {
			c.state = wantEnd
		}
	case wantMember:
		if t != '"' {
			return syntaxAt(b, i, "a name in quotes")
		}
		c.beginString(i+1, roleMember)
	case wantNothing:
		if i < len(b) {
			return syntaxAt(b, i, "nothing after the command")
		}
		c.at, c.state = i, checked
	default:
		panic("BUG: codec: a check in no state")
	}
	return nil
}

// mustGoBack reports whether the argument turns out to be none of its shape, at i in the
// middle of it.
func (c *Check) mustGoBack(b []byte, i int) bool {
	var t byte
	if i < len(b) {
		t = b[i]
	}
	switch c.state {
	case wantFirst:
		return c.op.Shape() == ShapeNothing && t != '}'
	case wantTimedName:
		return t != '"'
	case wantTTL:
		return !isDigit(t)
	case wantPairs:
		return t != '{'
	case wantTimedNext:
		if c.ttl[1] == 0 && c.ttl[0] != 0 { // its end has just come
			c.ttl[1] = c.end
			if _, ok := parseMillis(b[c.ttl[0]:c.end]); !ok {
				return true
			}
		}
		return t != ',' && (t != '}' || c.ttl[1] == 0 || !c.paired)
	case wantNotTimed:
		return true
	}
	return false
}

// takeID takes in the id that has been walked, if it was one.
func (c *Check) takeID(b []byte) {
	if !c.isID {
		return
	}
	if c.isID = false; c.id[1] != 0 || !isID(b[c.value:c.end]) {
		c.refuse(refusedTop(c.value, oneID))
		return
	}
	c.id = [2]int{c.value, c.end}
}

// afterElements is what comes after the last element.
func (c *Check) afterElements() checkState {
	if c.op.Shape() == ShapeTimedPairs {
		return wantTimedNext
	}
	return wantEnd
}

// refuse notes what is wrong with the command, unless what is known is more general.
func (c *Check) refuse(r *Refusal) {
	if c.refusal == nil || c.refusal.Code != RefusedTop {
		c.refusal = r
	}
}

// refuseArgument refuses the argument at i, if it turns out to be a value.
func (c *Check) refuseArgument(d *Decoder, i int) {
	c.refuse(d.refuseArgument(i, c.op))
	c.at, c.state, c.root = i, wantValue, wantEnd
	c.ttl, c.paired = [2]int{}, false
}

// atLeast is the built-in max, where a parameter has its name.
func atLeast(low, n int) int { return max(low, n) }
