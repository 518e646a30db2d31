package resp_test

import (
	"bytes"
	"strconv"
	"strings"

	"keyframe/codec/resp"
)

// slowNext is what Reader.Next is held against: the same in the obvious way, for all that has
// come of one command. incomplete: more could make it one. bad: nothing could.
func slowNext(b []byte, maxBytes int) (words []string, size int, incomplete, bad bool) {
	if len(b) == 0 {
		return nil, 0, true, false
	}
	if b[0] != '*' {
		return slowInline(b, maxBytes)
	}
	count, rest, state := slowHeader(b[1:], false)
	if state != "" || count > resp.MaxWords || count > maxBytes {
		return nil, 0, state == "incomplete", state != "incomplete"
	}
	words = []string{}
	for range max(0, count) {
		used := len(b) - len(rest)
		if len(rest) == 0 {
			return nil, 0, used <= maxBytes, used > maxBytes
		}
		if rest[0] != '$' {
			return nil, 0, false, true
		}
		n, after, state := slowHeader(rest[1:], true)
		if state == "incomplete" {
			return nil, 0, used <= maxBytes, used > maxBytes
		}
		if state != "" || len(b)-len(after)+n+2 > maxBytes {
			return nil, 0, false, true
		}
		switch {
		case len(after) < n+1, len(after) == n+1 && after[n] == '\r':
			return nil, 0, true, false
		case !bytes.HasPrefix(after[n:], []byte("\r\n")):
			return nil, 0, false, true
		}
		words = append(words, string(after[:n]))
		rest = after[n+2:]
	}
	return words, len(b) - len(rest), false, false
}

// slowHeader reads a number and its CRLF.
func slowHeader(b []byte, positive bool) (n int, rest []byte, state string) {
	digits := 0
	if digits < len(b) && b[0] == '-' {
		digits++
	}
	for digits < len(b) && b[digits] >= '0' && b[digits] <= '9' {
		digits++
	}
	text := string(b[:digits])
	switch {
	case digits >= 15:
		return 0, nil, "bad"
	case digits == len(b), digits+1 == len(b) && b[digits] == '\r' && text != "" && text != "-":
		return 0, nil, "incomplete"
	case text == "" || text == "-" || !bytes.HasPrefix(b[digits:], []byte("\r\n")):
		return 0, nil, "bad"
	}
	n, err := strconv.Atoi(text)
	if err != nil || positive && n < 0 {
		return 0, nil, "bad"
	}
	return n, b[digits+2:], ""
}

// slowInline knows no quotes: lines with quotes are none of its business.
func slowInline(b []byte, maxBytes int) (words []string, size int, incomplete, bad bool) {
	limit := min(maxBytes, resp.MaxInlineBytes)
	end := bytes.IndexByte(b, '\n')
	if end < 0 || end > limit {
		return nil, 0, len(b) <= limit, len(b) > limit
	}
	line := strings.TrimSuffix(string(b[:end]), "\r")
	return strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r >= '\t' && r <= '\r' }), end + 1, false, false
}

// slowMatch is Match by trying everything.
func slowMatch(pattern, text string) bool {
	if pattern == "" {
		return text == ""
	}
	if pattern[0] == '*' {
		return slowMatch(pattern[1:], text) || text != "" && slowMatch(pattern, text[1:])
	}
	if text == "" {
		return false
	}
	rest, ok := pattern[1:], false
	switch pattern[0] {
	case '?':
		ok = true
	case '\\':
		if rest != "" {
			pattern, rest = rest, rest[1:]
		}
		ok = pattern[0] == text[0]
	case '[':
		not := strings.HasPrefix(rest, "^")
		rest = strings.TrimPrefix(rest, "^")
		for rest != "" && rest[0] != ']' {
			switch {
			case rest[0] == '\\' && len(rest) > 1:
				ok = ok || rest[1] == text[0]
				rest = rest[2:]
			case len(rest) > 2 && rest[1] == '-':
				ok = ok || min(rest[0], rest[2]) <= text[0] && text[0] <= max(rest[0], rest[2])
				rest = rest[3:]
			default:
				ok = ok || rest[0] == text[0]
				rest = rest[1:]
			}
		}
		rest = strings.TrimPrefix(rest, "]")
		ok = ok != not
	default:
		ok = pattern[0] == text[0]
	}
	return ok && slowMatch(rest, text[1:])
}
