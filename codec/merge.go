package codec

import (
	"fmt"
	"slices"
)

// This file is what APPEND and UPDATE make of a value. Both are pure functions, which a
// store may call as often as it likes.

const (
	// maxMerged is how long a value may become. One that is longer than that already, since
	// a server takes longer commands, may stay as long as it is.
	maxMerged = 16 << 20

	// maxUpdateWork bounds what one UPDATE of a key may cost: its places, times the bytes
	// of the value, which for each are gone through and moved once. As 32 places of a string
	// of 1 MiB it takes 6 ms, as two of one of 16 MiB some 25; past four million elements of
	// an array a place is 31 ms, and there may be four. Whether anybody needs more is not
	// known.
	maxUpdateWork = 32 << 20
)

// Merge makes the new value of a key from the old one, if it exists, and the argument of an
// APPEND or, with FormUpdate, an UPDATE; FormTail and FormFloat are Redis's. It appends the value to dst. The status is
// StatusKeySet or StatusKeyUpdated, or it says why there is no new value: StatusKeyNotExist
// or StatusTypeInvalid.
func Merge(dst, old []byte, oldForm Form, exists bool, arg []byte, argForm Form) (value []byte, form Form, st Status) {
	switch {
	case argForm == FormTail:
		return tail(dst, old, oldForm, exists, arg)
	case argForm == FormFloat:
		return plus(dst, old, oldForm, exists, arg)
	case argForm == FormUpdate && !exists:
		return dst, 0, StatusKeyNotExist
	case !exists:
		return append(dst, arg...), argForm, StatusKeySet
	}
	from := len(dst)
	if argForm == FormUpdate {
		dst, form, st = update(dst, old, oldForm, arg)
	} else {
		dst, form, st = appended(dst, old, oldForm, arg, argForm)
	}
	if n := len(dst) - from; n > maxMerged && n > max(len(old), len(arg)) {
		return dst[:from], 0, StatusTypeInvalid
	}
	return dst, form, st
}

// appended appends old with arg after it.
func appended(dst, old []byte, oldForm Form, arg []byte, argForm Form) (value []byte, form Form, st Status) {
	oldKind, argKind := kindOf(old, oldForm), kindOf(arg, argForm)
	switch {
	case oldKind != argKind:
		return dst, 0, StatusTypeInvalid
	case !IsText(old, oldForm):
		return dst, 0, StatusTypeInvalid // it is no string of JSON's
	case oldForm == FormBytes && argForm == FormJSON && loneSurrogate(arg, 1, len(arg)-1) >= 0:
		return dst, 0, StatusTypeInvalid // as bytes, it has no text
	case oldKind == '"':
		dst, form = appendStrings(dst, old, oldForm, arg, argForm)
	case oldKind == '[':
		dst = appendJoined(dst, old, arg[1:len(arg)-1])
	case oldKind == '{':
		dst = appendMembers(dst, old, arg)
	default:
		return dst, 0, StatusTypeInvalid
	}
	return dst, form, StatusKeyUpdated
}

// kindOf is the byte that the JSON text of a value begins with.
func kindOf(value []byte, form Form) byte {
	if form == FormJSON {
		return value[0]
	}
	return '"'
}

// appendStrings appends old and arg as one string.
func appendStrings(dst, old []byte, oldForm Form, arg []byte, argForm Form) ([]byte, Form) {
	switch {
	case oldForm == FormBytes:
		dst = append(dst, old...)
		if argForm == FormJSON {
			return appendText(dst, arg[1:len(arg)-1]), FormBytes
		}
		return append(dst, arg...), FormBytes
	case oldForm == FormString && argForm == FormString:
		return append(append(dst, old...), arg...), FormString
	}
	dst = append(dst, '"')
	dst = append(dst, inside(old, oldForm)...)
	dst = append(dst, inside(arg, argForm)...)
	return append(dst, '"'), FormJSON
}

// inside is what stands between the quotes of a string.
func inside(value []byte, form Form) []byte {
	if form == FormString {
		return value
	}
	return value[1 : len(value)-1]
}

// appendJoined appends the array or object old with more before its end.
func appendJoined(dst, old, more []byte) []byte {
	if skipSpace(more, 0) == len(more) {
		return append(dst, old...)
	}
	last := len(old) - 1
	content := trimSpace(old[:last])
	dst = append(dst, content...)
	if len(content) > 1 {
		dst = append(dst, ',')
	}
	dst = append(dst, more...)
	return append(dst, old[len(content):]...)
}

// appendMembers appends the object old with those members of arg that it hasn't. It takes
// memory for the names of arg, and none for those of old, which may be many more.
func appendMembers(dst, old, arg []byte) []byte {
	var scratch []byte
	missing := map[string]int{} // the first member of each name, by where it begins
	for i := 1; ; {
		m, ok := memberAt(arg, i)
		if !ok {
			break
		}
		name := textOf(m.name, &scratch)
		if _, twice := missing[string(name)]; !twice {
			missing[string(name)] = m.begin
		}
		i = m.next
	}
	for i := 1; len(missing) > 0; {
		m, ok := memberAt(old, i)
		if !ok {
			break
		}
		name := textOf(m.name, &scratch)
		if _, ok = missing[string(name)]; ok {
			delete(missing, string(name))
		}
		i = m.next
	}
	var more []byte
	for i := 1; len(missing) > 0; {
		m, ok := memberAt(arg, i)
		if !ok {
			break
		}
		if begin, ok := missing[string(textOf(m.name, &scratch))]; ok && begin == m.begin {
			if len(more) > 0 {
				more = append(more, ',')
			}
			more = append(more, arg[m.begin:m.end]...)
		}
		i = m.next
	}
	return appendJoined(dst, old, more)
}

// isUpdate reports whether a value is the argument of an UPDATE: an object whose names are
// pointers.
func isUpdate(text []byte) bool {
	if text[0] != '{' {
		return false
	}
	var scratch []byte
	for i := 1; ; {
		m, ok := memberAt(text, i)
		if !ok {
			return true
		}
		if !isPointer(textOf(m.name, &scratch)) {
			return false
		}
		i = m.next
	}
}

// update appends old with the places set that arg names, or none of them.
func update(dst, old []byte, oldForm Form, arg []byte) (_ []byte, form Form, st Status) {
	var text, scratch []byte
	switch {
	case oldForm == FormJSON:
		text = slices.Clone(old)
	case !IsText(old, oldForm) && !replaces(arg):
		return dst, 0, StatusTypeInvalid // it has no text, so it would be made one that is none
	default:
		text = appendValue(nil, old, oldForm)
	}
	var p pointer
	work := 0
	for i := 1; ; {
		m, ok := memberAt(arg, i)
		if !ok {
			break
		}
		i = m.next
		if work += len(text); work > maxUpdateWork {
			return dst, 0, StatusTypeInvalid
		}
		if p, ok = parsePointer(p[:0], textOf(m.name, &scratch)); ok {
			text, ok = p.set(text, arg[m.from:m.end])
		}
		if !ok {
			return dst, 0, StatusTypeInvalid
		}
	}
	value, form := valueOf(text)
	return append(dst, value...), form, StatusKeyUpdated
}

// replaces reports whether the first place of an UPDATE's argument is the value itself.
func replaces(arg []byte) bool {
	m, ok := memberAt(arg, 1)
	return ok && len(m.name) == 0
}

// set sets the place in text that p names to value. All of its parents must be there, and
// the result must not be nested deeper than what may be stored.
func (p pointer) set(text, value []byte) ([]byte, bool) {
	if len(p) == 0 {
		return append(text[:0], value...), true
	}
	if len(p)+nesting(value) > DefaultMaxDepth {
		return text, false
	}
	parent, token := p[:len(p)-1], p[len(p)-1]
	from, ok := parent.find(text)
	if !ok {
		return text, false
	}
	at, insertable, found := child(text, from, token)
	switch {
	case found:
		return slices.Replace(text, at, skipValue(text, at), value...), true
	case !insertable:
		return text, false
	}
	more := make([]byte, 0, len(token)+len(value)+8)
	if at > from+1 {
		more = append(more, ',')
	}
	if text[from] == '{' {
		more = append(appendName(append(more, '"'), token), `":`...)
	}
	return slices.Insert(text, at, append(more, value...)...), true
}

// appendName appends the text that appendText has made of a name as the inside of a string.
// Its unpaired surrogates, which UTF-8 hasn't, become escapes again.
func appendName(dst, text []byte) []byte {
	from := 0
	for i := 0; i+2 < len(text); i++ {
		if text[i] == 0xED && text[i+1] >= 0xA0 {
			dst = appendEscaped(dst, text[from:i])
			dst = fmt.Appendf(dst, `\u%04x`, 0xD000|int(text[i+1]&0x3F)<<6|int(text[i+2]&0x3F))
			from = i + 3
		}
	}
	return appendEscaped(dst, text[from:])
}

// nesting is how deep the arrays and objects of a value are nested.
func nesting(b []byte) (deepest int) {
	depth := 0
	for i := 0; i < len(b); {
		switch b[i] {
		case '"':
			i = skipString(b, i)
			continue
		case '{', '[':
			depth++
			deepest = max(deepest, depth)
		case '}', ']':
			depth--
		}
		i++
	}
	return deepest
}
