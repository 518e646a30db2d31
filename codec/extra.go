package codec

import "bytes"

// This file decodes what only some commands have: an id, a ttl beside their pairs, a
// question instead of elements.

// Extra is what only some commands have.
type Extra struct {
	// ID is the text of the command's id, nil if it has none. Each answer to the command
	// is to have it; see AppendID.
	ID []byte
	// TTL is the life of timed pairs, in milliseconds.
	TTL int64
	// Query is what a command with ShapeQuery or ShapeSearch asks for.
	Query *Query
	// Credentials are what a command with ShapeCredentials brings.
	Credentials *Credentials
	// Answered is for the caller to remember whether the command has been answered:
	// with an id, one that would not be is to be acknowledged.
	Answered bool
	// State is the caller's, too: how far a command has come that takes its time.
	State any
}

// Clone returns a copy that outlives the payload, nil of nil. It has no Query and no
// Credentials.
func (e *Extra) Clone() *Extra {
	if e == nil {
		return nil
	}
	return &Extra{ID: bytes.Clone(e.ID), TTL: e.TTL, Answered: e.Answered}
}

// extraSet says which of a payload's extras there are.
type extraSet uint8

const (
	hasID extraSet = 1 << iota
	hasTTL
	hasQuery // or credentials
	hasFault // its object has members that it may not have
)

// maxIDText is how many bytes of text an id may have: the inside of a string.
const maxIDText = 64

// isIDName reports whether a member's name, as it is written, is that of an id.
func isIDName(name []byte) bool { return string(name) == "#" || string(name) == `\u0023` }

// isID reports whether a value may be an id.
func isID(text []byte) bool {
	if text[0] == '"' {
		return len(text)-len(`""`) <= maxIDText
	}
	return (isDigit(text[0]) || text[0] == '-') && len(text) <= maxIDText
}

// takeID decodes the id at i, and returns the index after it.
func (d *Decoder) takeID(b []byte, i int) (end int, err *Refusal) {
	if end, _, err = d.value(b, i); err != nil {
		return 0, err
	}
	if d.has&hasID != 0 || !isID(b[i:end]) {
		d.refuseTopLevel(refusedTop(i, oneID))
		return end, nil
	}
	d.has |= hasID
	d.id = [2]int{i, end}
	return end, nil
}

// refuseTopLevel notes what is wrong with the members of the command's object, if it is the
// first fault there.
func (d *Decoder) refuseTopLevel(r *Refusal) {
	if d.has&hasFault == 0 {
		d.has |= hasFault
		d.top = r
	}
}

// settle makes the extra of a payload that has one. It returns refusal, or what goes before
// that, with the id.
func (d *Decoder) settle(b []byte, refusal *Refusal) *Refusal {
	if d.has&hasFault != 0 && (refusal == nil || refusal.Code != RefusedSyntax) {
		refusal = d.top
	}
	d.top = nil
	if d.has&hasQuery == 0 {
		d.extra.Query, d.extra.Credentials = nil, nil
	}
	if d.has&hasTTL == 0 {
		d.extra.TTL = 0
	}
	d.extra.ID, d.extra.Answered = nil, false
	if d.has&hasID == 0 {
		return refusal
	}
	d.extra.ID = b[d.id[0]:d.id[1]:d.id[1]]
	if refusal != nil {
		refusal.ID = string(d.extra.ID)
	}
	return refusal
}

// serves reports whether commands with the shape are served with these options.
func (d *Decoder) serves(s Shape) bool { return s != ShapeUpdates || d.opts.AnyValues }

// refuseArgument makes the refusal of the argument at i.
func (d *Decoder) refuseArgument(i int, op Opcode) *Refusal {
	text := takes[op.Shape()]
	if !d.serves(op.Shape()) {
		text = "needs --values any"
	}
	return &Refusal{Code: RefusedArgument, Offset: i, Op: op, Text: text}
}

// whole decodes the argument at i, whose first byte is right, of a shape that is more than
// elements.
func (d *Decoder) whole(b []byte, i int, args []Arg, op Opcode) (_ []Arg, end int, refusal, fault *Refusal) {
	s := op.Shape()
	switch {
	case s == ShapeTimedPairs:
		var isTimed bool
		if args, end, isTimed, fault = d.timed(b, i, args); isTimed || fault != nil {
			return args, end, nil, fault
		}
	case s.isQuery():
		if end, _, fault = d.value(b, i); fault == nil {
			refusal = d.ask(b[:end], i, op)
		}
		return args, end, refusal, fault
	case d.serves(s):
		first := skipSpace(b, i+1)
		if first < len(b) && b[first] == s.closing() {
			return args, first + 1, nil, nil
		}
		args, end, fault = d.elements(b, first, args, s)
		return args, end, nil, fault
	}
	end, _, fault = d.value(b, i)
	return args, end, d.refuseArgument(i, op), fault
}

// timed decodes the object at i, of a ttl and pairs. It reports false as soon as it turns
// out to be something else, be it another value or not JSON.
func (d *Decoder) timed(b []byte, i int, args []Arg) (_ []Arg, end int, isTimed bool, err *Refusal) {
	ttl, open := usualTTL(b, i)
	paired := open > 0
	if paired {
		if args, end, err = d.innerPairs(b, open, args); err != nil {
			return args, 0, false, err
		}
	}
	for {
		if end > 0 {
			if i = skipSpace(b, end); i < len(b) && b[i] == '}' && ttl != 0 && paired {
				d.has |= hasTTL
				d.extra.TTL = ttl
				return args, i + 1, true, nil
			}
			if i >= len(b) || b[i] != ',' {
				return args, 0, false, nil
			}
		}
		if i = skipSpace(b, i+1); i >= len(b) || b[i] != '"' {
			return args, 0, false, nil
		}
		nameEnd, kind, err := d.scanString(b, i+1)
		if err != nil {
			return args, 0, false, err
		}
		name := b[i+1 : nameEnd]
		if i, err = d.colon(b, nameEnd+1); err != nil {
			return args, 0, false, err
		}
		switch d.timedMember(name, kind, ttl != 0, paired) {
		case wantTTL:
			if i >= len(b) || !isDigit(b[i]) {
				return args, 0, false, nil
			}
			if end, err = scanNumber(b, i); err != nil {
				return args, 0, false, err
			}
			var ok bool
			if ttl, ok = parseMillis(b[i:end]); !ok {
				// Unlike a walk, it has not looked at what follows. It makes no difference.
				return args, 0, false, nil
			}
		case wantPairs:
			if paired = true; i >= len(b) || b[i] != '{' {
				return args, 0, false, nil
			}
			if args, end, err = d.innerPairs(b, i, args); err != nil {
				return args, 0, false, err
			}
		default:
			return args, 0, false, nil
		}
	}
}

// innerPairs decodes the object at i, which timed pairs have.
func (d *Decoder) innerPairs(b []byte, i int, args []Arg) (_ []Arg, end int, err *Refusal) {
	if end = skipSpace(b, i+1); end < len(b) && b[end] == '}' {
		return args, end + 1, nil
	}
	return d.pairs(b, end, args)
}

// Timed pairs as they are usually written begin so, with digits in between.
const (
	usualTimed = `{"ttl":`
	usualPairs = `,"pairs":{`
)

// usualTTL returns the ttl that the object at i begins with, and where the pairs after it
// are: 0 if it is written another way. To go from member to member takes a hundred
// nanoseconds longer.
func usualTTL(b []byte, i int) (ttl int64, pairs int) {
	if b = b[i:]; len(b) < len(usualTimed) || string(b[:len(usualTimed)]) != usualTimed {
		return 0, 0
	}
	at := len(usualTimed)
	for ; at < len(b) && isDigit(b[at]) && ttl <= maxMillis; at++ {
		ttl = 10*ttl + int64(b[at]-'0')
	}
	if ttl == 0 || ttl > maxMillis || b[len(usualTimed)] == '0' || len(b)-at < len(usualPairs) || string(b[at:at+len(usualPairs)]) != usualPairs {
		return 0, 0
	}
	return ttl, i + at + len(usualPairs) - 1
}

// timedMember is what must follow the name of a member of timed pairs, as it is written.
func (d *Decoder) timedMember(name []byte, kind stringKind, hasTTL, hasPairs bool) checkState {
	switch name = d.shortText(name, kind); {
	case string(name) == "ttl" && !hasTTL:
		return wantTTL
	case string(name) == "pairs" && !hasPairs:
		return wantPairs
	}
	return wantNotTimed
}

// shortText is the text of a string whose inside is s, if that is no longer than any name
// of the contract may be written; otherwise it is nil.
func (d *Decoder) shortText(s []byte, kind stringKind) []byte {
	switch {
	case kind&kindEscaped == 0:
		return s
	case kind&kindSurrogate != 0 || len(s) > maxNameText:
		return nil // no name of the contract has an unpaired surrogate
	}
	return unescape(d.scratch, s)[len(d.scratch):]
}

// maxMillis is the most milliseconds that a time may have: three centuries.
const maxMillis = 10_000_000_000_000

// parseMillis returns the number of milliseconds that a value's text is.
func parseMillis(text []byte) (ms int64, ok bool) {
	ms, ok = parseInt(text)
	return ms, ok && ms >= 1 && ms <= maxMillis
}

// parseInt returns the number that text is: digits, perhaps after a minus. It reports
// false for anything else, and for what 64 bits don't hold.
func parseInt(text []byte) (n int64, ok bool) {
	digits := text
	negative := len(text) > 0 && text[0] == '-'
	if negative {
		digits = text[1:]
	}
	if len(digits) == 0 || len(digits) > 19 {
		return 0, false
	}
	var u uint64
	for _, c := range digits {
		if !isDigit(c) {
			return 0, false
		}
		u = 10*u + uint64(c-'0') // 19 digits fit
	}
	switch {
	case negative && u <= 1<<63:
		return -int64(u), true
	case negative || u > 1<<63-1:
		return 0, false
	}
	return int64(u), true
}
