package resp

import (
	"bytes"
	"errors"
)

const (
	// MaxWords is how many words a command has at most. It is Redis's own limit.
	MaxWords = 1 << 20

	// MaxInlineBytes is how long an inline command is at most, as in Redis.
	MaxInlineBytes = 64 << 10

	// MaxDirect is how many words a command has that is handed out as a whole: it is parsed
	// from its beginning each time that more of it has come, and those words take 4 µs.
	MaxDirect = 1024

	// scanWords is how many words of a long command one call of Next looks at: 50 µs.
	scanWords = 16 << 10
)

// ErrIncomplete: the end of the command has not come.
var ErrIncomplete = errors.New("resp: incomplete")

// ProtocolError is what a client has sent that is no command. Nothing that follows has a
// meaning, so the connection has to be closed. Redis has the same words.
type ProtocolError string

func (e ProtocolError) Error() string { return "Protocol error: " + string(e) }

// The faults.
const (
	ErrBigInline    ProtocolError = "too big inline request"
	ErrCount        ProtocolError = "invalid multibulk length"
	ErrLength       ProtocolError = "invalid bulk length"
	ErrUnbalanced   ProtocolError = "unbalanced quotes in request"
	ErrNoTerminator ProtocolError = "a bulk string is not followed by CRLF"
	errNoDollar     ProtocolError = "expected '$', got '"
)

// Unit is what Next has found.
type Unit uint8

// The units.
const (
	Words Unit = iota // a command, with its words
	Blank             // an empty array or line: nothing, but it was there
	Part              // a piece of a long command has been looked at: ask again
	Long              // a long command is there; Open and Take hand its words out
)

// Reader cuts commands out of the bytes of a connection. It keeps how far a long command
// has been looked at.
type Reader struct {
	// MaxBytes bounds a command, everything of it.
	MaxBytes int
	// IsKey reports whether a word may be a key. It is asked about the words of long commands.
	IsKey func(word []byte) bool

	// The long command that begins at src[begin:] of the latest call, if long is set:
	long  bool
	begin int
	words int     // that it has
	at    int     // where the next word's header begins
	left  int     // how many words are left
	none  [2]bool // of the words with even and with odd indexes, there are some that are no keys
}

// Next looks at what begins at src[at]. It appends the words of a command to dst, which alias
// src, and returns its size. Any error but ErrIncomplete is a ProtocolError.
func (r *Reader) Next(dst [][]byte, src []byte, at int) (words [][]byte, size int, unit Unit, err error) {
	if at >= len(src) {
		return dst, 0, 0, ErrIncomplete
	}
	if src[at] != '*' {
		return r.inline(dst, src, at)
	}
	if r.long && r.begin == at {
		size, unit, err = r.scanLong(src)
		return dst, size, unit, err
	}
	n, i, err := number(src, at+1, ErrCount)
	switch {
	case err != nil:
		return dst, 0, 0, err
	case n <= 0:
		return dst, i - at, Blank, nil
	case n > MaxWords || n > int64(r.MaxBytes):
		return dst, 0, 0, ErrCount
	case n > MaxDirect:
		*r = Reader{MaxBytes: r.MaxBytes, IsKey: r.IsKey, long: true, begin: at, at: i, left: int(n)}
		r.words = r.left
		size, unit, err = r.scanLong(src)
		return dst, size, unit, err
	}
	words = dst
	for range n {
		var word []byte
		if word, i, err = r.word(src, i, at); err != nil {
			return dst, 0, 0, err
		}
		words = append(words, word)
	}
	return words, i - at, Words, nil
}

// word reads the bulk string at src[i], of a command that begins at src[begin], and returns
// the index after it.
func (r *Reader) word(src []byte, i, begin int) (word []byte, after int, err error) {
	// The usual one: a length of one or two digits, and all of it is there.
	if i+5 <= len(src) && src[i] == '$' {
		n, from := int(src[i+1]-'0'), i+4
		if src[i+2] != '\r' {
			n, from = 10*n+int(src[i+2]-'0'), i+5
		}
		if end := from + n; n >= 0 && n < 100 && src[i+1]-'0' <= 9 && src[from-2] == '\r' && (from == i+4 || src[i+2]-'0' <= 9) &&
			end+2 <= len(src) && src[from-1] == '\n' && src[end] == '\r' && src[end+1] == '\n' && end+2-begin <= r.MaxBytes {
			return src[from:end:end], end + 2, nil
		}
	}
	return r.wordSlow(src, i, begin)
}

func (r *Reader) wordSlow(src []byte, i, begin int) (word []byte, after int, err error) {
	if i >= len(src) {
		return nil, 0, r.incomplete(i, begin)
	}
	if src[i] != '$' {
		return nil, 0, errNoDollar + ProtocolError(printable(src[i])) + "'"
	}
	n, from, err := number(src, i+1, ErrLength)
	switch {
	case err == ErrIncomplete:
		return nil, 0, r.incomplete(i, begin)
	case err != nil:
		return nil, 0, err
	case n < 0 || n > int64(r.MaxBytes) || from-begin+int(n)+2 > r.MaxBytes:
		return nil, 0, ErrLength
	}
	end := from + int(n)
	switch {
	case len(src) < end+2:
		if len(src) == end+1 && src[end] != '\r' {
			return nil, 0, ErrNoTerminator
		}
		return nil, 0, ErrIncomplete
	case src[end] != '\r' || src[end+1] != '\n':
		return nil, 0, ErrNoTerminator
	}
	return src[from:end:end], end + 2, nil
}

// incomplete is the error for a command whose next word has not come: it may be too long
// already.
func (r *Reader) incomplete(i, begin int) error {
	if i-begin > r.MaxBytes {
		return ErrLength
	}
	return ErrIncomplete
}

// printable is how a byte is shown in an error.
func printable(c byte) string {
	if c < ' ' || c > '~' {
		return "?"
	}
	return string(c)
}

// number reads digits up to a CRLF, after a minus or not, and returns the index after it.
func number(src []byte, i int, wrong ProtocolError) (n int64, after int, err error) {
	const most = len("-1234567890123") // more than any number that is served
	begin, negative := i, false
	if i < len(src) && src[i] == '-' {
		negative = true
		i++
	}
	first := i
	for ; i < len(src) && src[i]-'0' <= 9; i++ {
		if i-begin >= most {
			return 0, 0, wrong
		}
		n = 10*n + int64(src[i]-'0')
	}
	switch {
	case i == len(src), i+1 == len(src) && src[i] == '\r' && i > first:
		return 0, 0, ErrIncomplete
	case src[i] != '\r' || i == first || src[i+1] != '\n':
		return 0, 0, wrong
	}
	if negative {
		n = -n
	}
	return n, i + 2, nil
}

// scanLong goes on to look for the end of the long command.
func (r *Reader) scanLong(src []byte) (size int, unit Unit, err error) {
	for range min(r.left, scanWords) {
		word, after, err := r.word(src, r.at, r.begin)
		if err != nil {
			return 0, 0, err
		}
		if index := r.words - r.left; index > 0 && r.IsKey != nil && !r.none[index&1] && !r.IsKey(word) {
			r.none[index&1] = true
		}
		r.at = after
		r.left--
	}
	if r.left > 0 {
		return 0, Part, nil
	}
	return r.at - r.begin, Long, nil
}

// KeysAreRight reports whether the words of the long command that has been found may be keys:
// each of those after its name, or each second one from the first on.
func (r *Reader) KeysAreRight(step int) bool { return !r.none[1] && (step == 2 || !r.none[0]) }

// Done says how many bytes of src are used up: the next src begins there.
func (r *Reader) Done(used int) {
	if r.begin < used {
		r.long = false
	}
	r.begin -= used
	r.at -= used
}

// Open returns where the first word of a command begins, which has been found whole at
// src[at], and how many words it has.
func Open(src []byte, at int) (first, words int) {
	n, first, err := number(src, at+1, ErrCount)
	if err != nil || src[at] != '*' {
		panic("BUG: resp: no command is there")
	}
	return first, int(n)
}

// Take appends up to most words of a command that has been found whole, from the one at
// src[at] on, and returns the index after them.
func Take(dst [][]byte, src []byte, at, most int) (words [][]byte, after int) {
	whole := Reader{MaxBytes: len(src)}
	for range most {
		word, next, err := whole.word(src, at, at)
		if err != nil {
			panic("BUG: resp: a command is not what it was: " + err.Error())
		}
		dst, at = append(dst, word), next
	}
	return dst, at
}

// inline reads a line of words.
func (r *Reader) inline(dst [][]byte, src []byte, at int) (words [][]byte, size int, unit Unit, err error) {
	limit := min(MaxInlineBytes, r.MaxBytes)
	end := bytes.IndexByte(src[at:min(len(src), at+limit+1)], '\n')
	if end < 0 {
		if len(src)-at > limit {
			return dst, 0, 0, ErrBigInline
		}
		return dst, 0, 0, ErrIncomplete
	}
	line := bytes.TrimSuffix(src[at:at+end], []byte("\r"))
	if words, err = splitLine(dst, line); err != nil {
		return dst, 0, 0, err
	}
	if len(words) == len(dst) {
		return words, end + 1, Blank, nil
	}
	return words, end + 1, Words, nil
}
