package codec

import "unicode/utf8"

// This file finds places in values: JSON Pointers (RFC 6901) and the members and elements
// that they name. The texts of the values have been checked when they were stored. sonic's
// ast is not used: it writes an object that has been changed anew, and so loses the text of
// what was not touched.

// pointer is a JSON Pointer: its tokens, unescaped. Without a token it is the whole value.
type pointer [][]byte

// parsePointer parses the text of a string as a pointer.
func parsePointer(text []byte) (p pointer, ok bool) {
	if len(text) == 0 {
		return nil, true
	}
	if text[0] != '/' {
		return nil, false
	}
	token := []byte{}
	for i := 1; ; i++ {
		switch {
		case i == len(text):
			return append(p, token), true
		case text[i] == '/':
			p, token = append(p, token), []byte{}
		case text[i] != '~':
			token = append(token, text[i])
		case i+1 < len(text) && (text[i+1] == '0' || text[i+1] == '1'):
			i++
			token = append(token, "~/"[text[i]-'0'])
		default:
			return nil, false
		}
	}
}

// find returns where in text the value that p names begins and ends.
func (p pointer) find(text []byte) (from, end int, ok bool) {
	from, end = 0, len(text)
	for _, token := range p {
		at, to, _, found := child(text[from:end], token)
		if !found {
			return 0, 0, false
		}
		from, end = from+at, from+to
	}
	return from, end, true
}

// child returns where in an object or array its member or element begins and ends. If there
// is none, it returns where one may be inserted, and whether one that is named so may.
func child(text, token []byte) (from, end int, insertable, found bool) {
	switch text[0] {
	case '{':
		last := 1
		for i := 1; ; {
			m, ok := memberAt(text, i)
			if !ok {
				return last, last, true, false
			}
			if isText(m.name, token) {
				return m.from, m.end, true, true
			}
			i, last = m.next, m.end
		}
	case '[':
		index, isIndex := parseIndex(token)
		last := 1
		for i, n := 1, 0; ; n++ {
			from, end, next, ok := elementAt(text, i)
			if !ok {
				return last, last, string(token) == "-" || isIndex && index == n, false
			}
			if isIndex && index == n {
				return from, end, true, true
			}
			i, last = next, end
		}
	}
	return 0, 0, false, false
}

// parseIndex parses the index of an element as RFC 6901 has it: without leading zeros.
func parseIndex(token []byte) (int, bool) {
	if len(token) > 1 && token[0] == '0' || len(token) > 0 && token[0] == '-' {
		return 0, false
	}
	n, ok := parseInt(token)
	return int(n), ok
}

// member is a member of an object, as it is written.
type member struct {
	begin, from, end, next int // of the name with its quotes, of the value, of the next member
	name                   []byte
}

// memberAt returns the member at i of an object, after the brace or the member before. It
// reports false at the object's end.
func memberAt(b []byte, i int) (m member, ok bool) {
	if i = skipSpace(b, i); b[i] == '}' {
		return m, false
	}
	nameEnd := skipString(b, i)
	m.begin, m.name = i, b[i+1:nameEnd-1]
	m.from = skipSpace(b, skipSpace(b, nameEnd)+1)
	m.end = skipValue(b, m.from)
	if m.next = skipSpace(b, m.end); b[m.next] == ',' {
		m.next++
	}
	return m, true
}

// elementAt is memberAt for arrays.
func elementAt(b []byte, i int) (from, end, next int, ok bool) {
	if from = skipSpace(b, i); b[from] == ']' {
		return 0, 0, 0, false
	}
	end = skipValue(b, from)
	if next = skipSpace(b, end); b[next] == ',' {
		next++
	}
	return from, end, next, true
}

// isText reports whether the string whose inside is s has that text.
func isText(s, text []byte) bool {
	if !hasBackslash(s) {
		return string(s) == string(text)
	}
	return len(s) >= len(text) && string(appendText(nil, s)) == string(text)
}

// appendText appends the text of the string whose inside is s. Unlike unescape it takes
// unpaired surrogates: each becomes the three bytes that UTF-8 would have for it, so that
// different strings have different texts.
func appendText(dst, s []byte) []byte {
	for i := 0; i < len(s); {
		if s[i] != '\\' {
			end, _ := scan(s, i)
			dst = append(dst, s[i:end]...)
			i = end
			continue
		}
		if s[i+1] != 'u' {
			dst = append(dst, unescaped[s[i+1]])
			i += 2
			continue
		}
		r := rune(hex4(s[i+2:]))
		i += 6
		if r&^0x3FF == 0xD800 && i+6 <= len(s) && s[i] == '\\' && s[i+1] == 'u' && hex4(s[i+2:])&^0x3FF == 0xDC00 {
			r = (r-0xD800)<<10 | rune(hex4(s[i+2:])-0xDC00) + 0x10000
			i += 6
		}
		if r&^0x7FF == 0xD800 {
			dst = append(dst, 0xE0|byte(r>>12), 0x80|byte(r>>6)&0x3F, 0x80|byte(r)&0x3F)
			continue
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}
