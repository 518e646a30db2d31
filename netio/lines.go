package netio

import (
	"bytes"

	"keyframe/netio/frame"
)

// nextLine finds the first line of b. scanned is how many bytes of b an earlier
// call has searched in vain, so that a long line that arrives in pieces is not
// searched again from its start each time.
//
// It returns the line without its newline, and the size of what it takes up.
// frame.ErrIncomplete: there is no newline yet. A *frame.CloseError: the line is
// longer than maxBytes, whether or not its end has come.
//
// A carriage return before the newline is left in place: it is JSON white space.
func nextLine(b []byte, scanned, maxBytes int) (line []byte, size int, err error) {
	end := bytes.IndexByte(b[scanned:], '\n')
	if end < 0 {
		if len(b) > maxBytes {
			return nil, 0, errLineTooLong
		}
		return nil, 0, frame.ErrIncomplete
	}
	end += scanned
	if end > maxBytes {
		return nil, 0, errLineTooLong
	}
	return b[:end], end + 1, nil
}

var errLineTooLong = &frame.CloseError{Code: frame.CloseTooBig, Reason: "the line is longer than the frame limit"}

// isBlank tells whether a line holds nothing but white space.
func isBlank(line []byte) bool {
	for _, c := range line {
		switch c {
		case ' ', '\t', '\r':
		default:
			return false
		}
	}
	return true
}
