package resp

// This file is inline commands: words with spaces between them, and quotes as in Redis.

// splitLine appends the words of a line. A word in double quotes may have escapes: \n \r \t
// \b \a \xFF, and any other byte for itself; one in single quotes only \'. What follows a
// closing quote must be a space.
func splitLine(dst [][]byte, line []byte) ([][]byte, error) {
	for i := 0; ; {
		for i < len(line) && isSpace(line[i]) {
			i++
		}
		if i == len(line) {
			return dst, nil
		}
		from := i
		for i < len(line) && !isSpace(line[i]) && line[i] != '"' && line[i] != '\'' {
			i++
		}
		if i == len(line) || isSpace(line[i]) {
			dst = append(dst, line[from:i:i])
			continue
		}
		word, after, ok := quotedWord(line, from)
		if !ok {
			return dst, ErrUnbalanced
		}
		dst, i = append(dst, word), after
	}
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// quotedWord reads the word at line[i], which has quotes somewhere.
func quotedWord(line []byte, i int) (word []byte, after int, ok bool) {
	word = make([]byte, 0, len(line)-i)
	quote := byte(0)
	for ; i < len(line); i++ {
		c := line[i]
		switch {
		case quote == 0 && isSpace(c):
			return word, i, true
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote != 0 && c == quote:
			if i+1 < len(line) && !isSpace(line[i+1]) {
				return nil, 0, false
			}
			return word, i + 1, true
		case quote == '\'' && c == '\\' && i+1 < len(line) && line[i+1] == '\'':
			word = append(word, '\'')
			i++
		case quote == '"' && c == '\\' && i+3 < len(line) && line[i+1] == 'x' && isHex(line[i+2]) && isHex(line[i+3]):
			word = append(word, hex(line[i+2])<<4|hex(line[i+3]))
			i += 3
		case quote == '"' && c == '\\' && i+1 < len(line):
			i++
			word = append(word, escaped(line[i]))
		default:
			word = append(word, c)
		}
	}
	return word, i, quote == 0
}

func escaped(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	case 'a':
		return '\a'
	}
	return c
}

func isHex(c byte) bool { return c-'0' <= 9 || c|0x20 >= 'a' && c|0x20 <= 'f' }

func hex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
