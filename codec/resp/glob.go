package resp

import "bytes"

// Match reports whether a text matches a pattern of Redis's: * ? [a-z] [^a] and \ before any
// of them. It goes back to the latest star only, so it takes at most the product of the two
// lengths.
func Match(pattern, text []byte) bool {
	p, t := 0, 0
	star, from := -1, 0
	for t < len(text) {
		if p < len(pattern) {
			if pattern[p] == '*' {
				star, from = p, t
				p++
				continue
			}
			if after, ok := matchOne(pattern, p, text[t]); ok {
				p, t = after, t+1
				continue
			}
		}
		if star < 0 {
			return false
		}
		from++
		p, t = star+1, from
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// matchOne matches a byte with what stands at pattern[p], no star, and returns the index
// after that.
func matchOne(pattern []byte, p int, c byte) (after int, ok bool) {
	switch pattern[p] {
	case '?':
		return p + 1, true
	case '[':
		return matchClass(pattern, p+1, c)
	case '\\':
		if p+1 < len(pattern) {
			p++
		}
	}
	return p + 1, pattern[p] == c
}

// matchClass matches a byte with the class whose inside begins at pattern[p]. One that has no
// end goes to the end of the pattern, as in Redis.
func matchClass(pattern []byte, p int, c byte) (after int, ok bool) {
	not := p < len(pattern) && pattern[p] == '^'
	if not {
		p++
	}
	for p < len(pattern) && pattern[p] != ']' {
		low := pattern[p]
		switch {
		case low == '\\' && p+1 < len(pattern):
			p++
			ok = ok || pattern[p] == c
		case p+2 < len(pattern) && pattern[p+1] == '-':
			high := pattern[p+2]
			p += 2
			ok = ok || min(low, high) <= c && c <= max(low, high)
		default:
			ok = ok || low == c
		}
		p++
	}
	if p < len(pattern) {
		p++
	}
	return p, ok != not
}

// Prefix is what every text begins with that matches a pattern. It aliases the pattern.
func Prefix(pattern []byte) []byte {
	if end := bytes.IndexAny(pattern, `*?[\`); end >= 0 {
		return pattern[:end:end]
	}
	return pattern
}
