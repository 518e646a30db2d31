package codec

import (
	"bytes"
	"unicode/utf8"
)

// This file finds places in values: JSON Pointers (RFC 6901) and the members and elements
// that they name. The texts of the values have been checked when they were stored. sonic's
// ast is not used: it writes an object that has been changed anew, and so loses the text of
// what was not touched.

// maxTokens is how many tokens a pointer may have: no place is deeper in what is stored.
const maxTokens = DefaultMaxDepth

// pointer is a JSON Pointer: its tokens, unescaped. Without a token it is the whole value.
type pointer [][]byte

// isPointer reports whether the text of a string is a pointer.
func isPointer(text []byte) bool {
	if len(text) > 0 && text[0] != '/' || bytes.Count(text, []byte("/")) > maxTokens {
		return false
	}
	for {
		i := bytes.IndexByte(text, '~')
		if i < 0 {
			return true
		}
		if i+1 == len(text) || text[i+1] != '0' && text[i+1] != '1' {
			return false
		}
		text = text[i+2:]
	}
}

// parsePointer appends the tokens of a pointer's text to p. They refer to the text.
func parsePointer(p pointer, text []byte) (_ pointer, ok bool) {
	if !isPointer(text) {
		return p, false
	}
	for len(text) > 0 {
		token := text[1:]
		if end := bytes.IndexByte(token, '/'); end >= 0 {
			token = token[:end]
		}
		text = text[1+len(token):]
		if bytes.IndexByte(token, '~') >= 0 {
			token = bytes.ReplaceAll(token, []byte("~1"), []byte("/"))
			token = bytes.ReplaceAll(token, []byte("~0"), []byte("~"))
		}
		p = append(p, token)
	}
	return p, true
}

// find returns where in text the value that p names begins. It goes through the text once
// and no further than that: the ends of the values around it are not looked for.
func (p pointer) find(text []byte) (from int, ok bool) {
	for _, token := range p {
		if from, _, ok = child(text, from, token); !ok {
			return 0, false
		}
	}
	return from, true
}

// child returns where the member or element of the object or array at i begins. If there is
// none, it returns where one may be inserted, and whether one that is named so may.
func child(text []byte, i int, token []byte) (at int, insertable, found bool) {
	switch text[i] {
	case '{':
		at = i + 1
		for next := at; ; {
			m, ok := nameAt(text, next)
			if !ok {
				return at, true, false
			}
			if isText(m.name, token) {
				return m.from, true, true
			}
			at = skipValue(text, m.from)
			next = skipComma(text, at)
		}
	case '[':
		index, isIndex := parseIndex(token)
		at = i + 1
		for next, n := at, 0; ; n++ {
			next = skipSpace(text, next)
			if text[next] == ']' {
				return at, string(token) == "-" || isIndex && index == n, false
			}
			if isIndex && index == n {
				return next, true, true
			}
			at = skipValue(text, next)
			next = skipComma(text, at)
		}
	}
	return 0, false, false
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
	if m, ok = nameAt(b, i); ok {
		m.end = skipValue(b, m.from)
		m.next = skipComma(b, m.end)
	}
	return m, ok
}

// nameAt is memberAt that does not look for the value's end.
func nameAt(b []byte, i int) (m member, ok bool) {
	if i = skipSpace(b, i); b[i] == '}' {
		return m, false
	}
	nameEnd := skipString(b, i)
	m.begin, m.name = i, b[i+1:nameEnd-1]
	m.from = skipSpace(b, skipSpace(b, nameEnd)+1)
	return m, true
}

// skipComma returns the index after the comma that follows a member or an element, or of
// what closes its object or array.
func skipComma(b []byte, i int) int {
	if i = skipSpace(b, i); b[i] == ',' {
		i++
	}
	return i
}

// isText reports whether the string whose inside is s has that text.
func isText(s, text []byte) bool {
	if !hasBackslash(s) {
		return string(s) == string(text)
	}
	var room [64]byte
	return len(s) >= len(text) && string(appendText(room[:0], s)) == string(text)
}

// textOf returns the text of the string whose inside is s: s itself, or what it writes into
// scratch.
func textOf(s []byte, scratch *[]byte) []byte {
	if !hasBackslash(s) {
		return s
	}
	*scratch = appendText((*scratch)[:0], s)
	return *scratch
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
