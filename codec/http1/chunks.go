package http1

import "bytes"

// This file is chunked bodies: RFC 9112 section 7.1.

// MaxChunkLine bounds the line with a chunk's size, its extensions and CR LF included.
const MaxChunkLine = 256

var (
	errChunkLine = bad("a chunk's first line is longer than 256 bytes")
	errChunkSize = bad("a chunk's size is not a number in hexadecimal digits")
	errChunkEnd  = bad("a chunk does not end with its size")
	errTrailer   = bad("fields after the last chunk")
)

// Chunks is a chunked body, of which Next has seen the beginning. The zero value is a new one.
type Chunks struct {
	left  int64 // of the chunk's data
	state chunkState
}

type chunkState uint8

const (
	atSize  chunkState = iota // a chunk's first line comes
	inData                    // left bytes of it come
	atEnd                     // the CR LF after them comes
	atFinal                   // so does the empty line after the last chunk
)

// Next looks at what comes next of the body, which b begins with: how many bytes it takes up,
// and those of them that are data. done: the body has ended with it. ErrIncomplete: there is
// nothing that could be taken yet.
func (c *Chunks) Next(b []byte) (data []byte, size int, done bool, err error) {
	switch c.state {
	case atSize:
		line := b[:min(len(b), MaxChunkLine)]
		end := bytes.IndexByte(line, '\n')
		switch {
		case end < 0 && len(line) == MaxChunkLine:
			return nil, 0, false, errChunkLine
		case end < 0:
			return nil, 0, false, ErrIncomplete
		case end == 0 || line[end-1] != '\r':
			return nil, 0, false, errBareLF
		}
		if c.left, err = chunkSize(line[:end-1]); err != nil {
			return nil, 0, false, err
		}
		c.state = inData
		if c.left == 0 {
			c.state = atFinal
		}
		return nil, end + 1, false, nil
	case inData:
		n := int(min(c.left, int64(len(b))))
		if n == 0 {
			return nil, 0, false, ErrIncomplete
		}
		if c.left -= int64(n); c.left == 0 {
			c.state = atEnd
		}
		return b[:n], n, false, nil
	}
	wrong := errChunkEnd
	if c.state == atFinal {
		wrong = errTrailer
	}
	switch {
	case len(b) > 0 && b[0] != '\r' || len(b) > 1 && b[1] != '\n':
		return nil, 0, false, wrong
	case len(b) < 2:
		return nil, 0, false, ErrIncomplete
	}
	done = c.state == atFinal
	c.state = atSize
	return nil, 2, done, nil
}

// maxSizeDigits is how many digits a size may have: 2⁶⁰ bytes.
const maxSizeDigits = 15

// chunkSize reads a chunk's first line, without its CR LF. Extensions mean nothing here.
func chunkSize(line []byte) (n int64, err error) {
	digits := 0
	for digits < len(line) {
		d, ok := hexDigit(line[digits])
		if !ok {
			break
		}
		if digits++; digits > maxSizeDigits {
			return 0, errChunkSize
		}
		n = n<<4 | int64(d)
	}
	switch {
	case digits == 0 || digits < len(line) && line[digits] != ';':
		return 0, errChunkSize
	case !consistsOf(line, inLine):
		return 0, errControl
	}
	return n, nil
}

func hexDigit(c byte) (d byte, ok bool) {
	switch {
	case isDigit(c):
		return c - '0', true
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}
