package codec

// This file judges the values of members that are no pairs: times, numbers, comparisons and
// so on. They have been decoded as pairs.

// judge sets a's status by the kind of its value, unless its key is at fault.
func (d *Decoder) judge(a *Arg, s Shape) {
	if a.Status == StatusKeyLengthInvalid {
		return
	}
	a.Status = StatusTypeInvalid
	if d.isFor(a, s) {
		a.Status = StatusOK
	}
}

// isFor reports whether a's value is of the kind that the shape has.
func (d *Decoder) isFor(a *Arg, s Shape) bool {
	text := a.Value
	switch s {
	case ShapeExpected:
		return true
	case ShapeAppends:
		return a.Form == FormString || text[0] == '"' || (text[0] == '[' || text[0] == '{') && d.opts.AnyValues
	}
	if a.Form == FormString {
		return false
	}
	switch s {
	case ShapeTimes:
		_, ok := parseMillis(text)
		return ok || text[0] == 'n'
	case ShapeNumbers:
		_, ok := parseInt(text)
		return ok
	case ShapeComparisons:
		return d.isComparison(a)
	case ShapeUpdates:
		return isUpdate(text)
	}
	return false
}

// isComparison reports whether a's value is [expected,new], and new may be stored. It notes
// where new begins.
func (d *Decoder) isComparison(a *Arg) bool {
	text := a.Value
	i := skipSpace(text, 1)
	if text[0] != '[' || text[i] == ']' {
		return false
	}
	if i = skipSpace(text, skipValue(text, i)); text[i] != ',' {
		return false
	}
	second := skipSpace(text, i+1)
	if i = skipSpace(text, skipValue(text, second)); text[i] != ']' || uint64(second) > 1<<32-1 {
		return false
	}
	a.second = uint32(second)
	c := text[second]
	return d.opts.AnyValues || c != 'n' && c != '[' && c != '{'
}

// Comparison returns the values of a comparison, the expected and the new one, and their
// forms.
func (a *Arg) Comparison() (expected []byte, expectedForm Form, value []byte, valueForm Form) {
	comma := int(a.second) - 1
	for a.Value[comma] != ',' { // there is white space, perhaps
		comma--
	}
	from := skipSpace(a.Value, 1)
	expected, expectedForm = valueOf(trimSpace(a.Value[from:comma]))
	value, valueForm = valueOf(trimSpace(a.Value[a.second : len(a.Value)-1]))
	return expected, expectedForm, value, valueForm
}

// Int returns the number of an element with ShapeNumbers or ShapeTimes. Of null it is 0,
// which no time is.
func (a *Arg) Int() int64 {
	n, _ := parseInt(a.Value)
	return n
}

// valueOf returns a value, whose text is right, as it is kept.
func valueOf(text []byte) ([]byte, Form) {
	if text[0] != '"' {
		return text, FormJSON
	}
	if inside := text[1 : len(text)-1]; !hasBackslash(inside) {
		return inside, FormString
	}
	return text, FormJSON
}

func hasBackslash(inside []byte) bool {
	end, _ := scan(inside, 0)
	return end < len(inside)
}

// trimSpace returns a without the white space at its end.
func trimSpace(s []byte) []byte {
	for len(s) > 0 && classes[s[len(s)-1]]&classSpace != 0 {
		s = s[:len(s)-1]
	}
	return s
}

// skipValue returns the index after the value at i of a text that is right.
func skipValue(b []byte, i int) int {
	depth := 0
	for {
		switch c := b[i]; c {
		case '"':
			i = skipString(b, i)
		case '{', '[':
			depth++
			i++
			continue
		case '}', ']':
			depth--
			i++
		case ',', ':', ' ', '\t', '\n', '\r':
			i++
			continue
		default:
			for i++; i < len(b) && isWordByte(b[i]); i++ {
			}
		}
		if depth == 0 {
			return i
		}
	}
}

// isWordByte reports whether numbers, true, false and null may have the byte.
func isWordByte(c byte) bool {
	return isDigit(c) || c >= 'a' && c <= 'z' || c == '.' || c == '-' || c == '+' || c == 'E'
}

// skipString returns the index after the string at i of a text that is right.
func skipString(b []byte, i int) int {
	for i++; ; i += 2 {
		if i, _ = scan(b, i); b[i] == '"' {
			return i + 1
		}
	}
}
