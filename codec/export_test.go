package codec

import (
	"testing"
	"unsafe"
)

// For tests of the scanning twins.
var (
	ScanForTesting         = scan
	ScanBytesForTesting    = scanBytes
	FewerCharsForTesting   = fewerChars
	UnescapeForTesting     = unescape
	UnquoteShortForTesting = unquoteShort
	UnquoteLongForTesting  = unquoteLong
	LoneSurrogateTesting   = loneSurrogate
	ValidGrammarForTesting = validGrammar
)

const HighBitsForTesting = highBits

// StringsForTesting checks the string whose first byte is at i the usual way and the
// slow one.
func StringsForTesting(d *Decoder, b []byte, i int) (end, slowEnd int, escaped, slowEscaped bool, err, slowErr *Refusal) {
	d.begin(0, 0, false)
	end, kind, err := d.scanString(b, i)
	slowEnd, slowKind, slowErr := d.validateStringSlow(b, i)
	return end, slowEnd, kind&^kindUnicode != 0, slowKind&^kindUnicode != 0, err, slowErr
}

// NestedForTesting checks the object or array at b[i] the usual way, with sonic, and the
// slow one, without.
func NestedForTesting(d *Decoder, b []byte, i int) (end, slowEnd int, err, slowErr *Refusal) {
	d.begin(0, 0, false)
	end, err = d.scanNested(b, i)
	slowEnd, slowErr = d.validateSlow(b, i)
	return end, slowEnd, err, slowErr
}

func ScratchForTesting(d *Decoder) int { return cap(d.scratch) }

// MarksForTesting returns the marks of b, which is no longer than a window, and whether
// bytes past ASCII were seen. It fills the marks with garbage first, which must not show.
func MarksForTesting(b []byte) (marks []byte, high bool) {
	var m [marksBytes]byte
	for i := range m {
		m[i] = 0xA5
	}
	high = markBytes(&m, b) != 0
	return m[:(len(b)+7)/8+8], high // the part that may be loaded
}

var WideForTesting = wide

const WindowForTesting = windowBytes

// NarrowForTesting makes d mark windows of n bytes, so that short payloads have many.
func NarrowForTesting(d *Decoder, n int) { d.marks.size = n }

// LeapsForTesting makes checks with d note what is n bytes long or longer.
func LeapsForTesting(d *Decoder, n int) { d.longRun = n }

// StopsForTesting returns what stop finds from each of the places on, in that order.
func StopsForTesting(d *Decoder, b []byte, places []int) (stops []int) {
	d.begin(0, 0, false)
	for _, i := range places {
		stops = append(stops, d.stop(b, i))
	}
	return stops
}

// AddRowForTesting adds a command like another one to the table until the test ends. If
// it is quiet, answers are its statuses besides those of every keyed command.
func AddRowForTesting(t testing.TB, name string, like Opcode, quiet bool, answers ...Status) Opcode {
	before := derived
	r := table[like]
	r.name, r.quiet = name, quiet
	if quiet {
		r.answers = invalid
		for _, st := range answers {
			r.answers |= 1 << st
		}
	}
	table[opSpare] = r
	derived.add(opSpare)
	t.Cleanup(func() { table[opSpare], derived = row{}, before })
	return opSpare
}

// MarksAt is where in a decoder its marks begin.
const MarksAt = unsafe.Offsetof(Decoder{}.marks) + unsafe.Offsetof(marks{}.bits)

// KeptForTesting says what of a payload's a decoder refers to beside its arguments.
func KeptForTesting(d *Decoder) string {
	switch e := &d.extra; {
	case d.spare.Key != nil || d.spare.Value != nil:
		return "an argument past the limit"
	case e.ID != nil:
		return "an id"
	case e.Query != nil:
		return "a question"
	case e.Credentials != nil:
		return "credentials"
	case e.State != nil:
		return "the caller's state"
	}
	return ""
}

// UsualForTesting is usual for the first bytes of b, which has eight or more.
func UsualForTesting(b []byte) (Opcode, Shape) {
	if len(b) < 8 {
		return 0, 0
	}
	op, s, n := usual(uncheckedLoad64(b, 0))
	if op != 0 && n != len(`"":`)+len(op.String()) {
		panic("the usual name has another length")
	}
	return op, s
}

// ChainForTesting returns how many names are in the chain of this one.
func ChainForTesting(name string) (n int) {
	for op := derived.first[hashName([]byte(name))]; op != 0; op = derived.next[op] {
		n++
	}
	return n
}

// CompareNumbersForTesting compares two JSON numbers.
func CompareNumbersForTesting(a, b []byte) int { return parseNumber(a).compare(parseNumber(b)) }

// FindForTesting returns where in text the value begins that a JSON Pointer names.
func FindForTesting(text, path []byte) (from int, ok bool) {
	p, ok := parsePointer(nil, path)
	if !ok {
		return 0, false
	}
	return p.find(text)
}

// EqualForTesting compares a value with an operand of FIND, twice.
func EqualForTesting(value, operand []byte) (first, second bool) {
	o := newOperand(operand)
	return o.order(value, FormJSON) == isEqual, o.order(value, FormJSON) == isEqual
}

// AllocsOfEqualForTesting returns the allocations of a comparison, after the first one.
func AllocsOfEqualForTesting(value, operand []byte) float64 {
	o := newOperand(operand)
	return testing.AllocsPerRun(10, func() { o.order(value, FormJSON) })
}
