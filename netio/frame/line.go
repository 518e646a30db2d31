package frame

import "bytes"

// NextLine finds the first line of b: JSON Lines' frame. scanned is how many bytes of b an
// earlier call has searched in vain: a long line that arrives in pieces is not searched
// again from its start each time.
//
// It returns the line without its newline, and the size of what it takes up.
// ErrIncomplete: there is no newline yet. A *CloseError: the line is longer than maxBytes,
// whether or not its end has come.
//
// A carriage return before the newline is left in place: it is JSON white space.
func NextLine(b []byte, scanned, maxBytes int) (line []byte, size int, err error) {
	end := bytes.IndexByte(b[scanned:], '\n')
	if end < 0 {
		if len(b) > maxBytes {
			return nil, 0, errLineTooLong
		}
		return nil, 0, ErrIncomplete
	}
	end += scanned
	if end > maxBytes {
		return nil, 0, errLineTooLong
	}
	return b[:end], end + 1, nil
}
