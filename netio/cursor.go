package netio

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"keyframe/engine"
)

// This file is cursors as clients have them. Above a Cursor's own bits there is a check, a sum
// with a key of the server's, since nothing else about a Cursor could be wrong: positions are
// hashes, so a number that is none of this server's would have a page begin somewhere, or say
// that it is the last.
//
// A few bits do: they are for mistakes, and nobody gains by a cursor that he makes up.

// cursorKey is what a server draws when it is made.
type cursorKey uint64

const (
	// JSON's cursors are texts, in a base in which one has 13 bytes.
	cursorBase  = 36
	textCheck   = 64 - engine.CursorBits // bits of a check
	maxTextSize = 13

	// Redis's are decimal numbers; in JavaScript those of 53 bits are exact.
	numberCheck = 53 - engine.CursorBits
)

// seal returns a cursor with a check of so many bits above it.
func (k cursorKey) seal(c engine.Cursor, bits int) uint64 {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], uint64(k))
	binary.LittleEndian.PutUint64(b[8:], uint64(c))
	return uint64(c) | xxhash.Sum64(b[:])>>(64-bits)<<engine.CursorBits
}

// open returns the cursor that was sealed.
func (k cursorKey) open(sealed uint64, bits int) (c engine.Cursor, ok bool) {
	c = engine.Cursor(sealed & (1<<engine.CursorBits - 1))
	return c, c != 0 && k.seal(c, bits) == sealed
}

// appendCursor appends a cursor's text.
func (p *pipeline) appendCursor(dst []byte, c engine.Cursor) []byte {
	return strconv.AppendUint(dst, p.cursorKey.seal(c, textCheck), cursorBase)
}

// parseCursor returns the cursor whose text it is, as appendCursor has written it: no capital
// letters, no zeros before it.
func (p *pipeline) parseCursor(text []byte) (c engine.Cursor, ok bool) {
	if len(text) > maxTextSize {
		return 0, false
	}
	sealed, err := strconv.ParseUint(string(text), cursorBase, 64)
	if err != nil {
		return 0, false
	}
	c, ok = p.cursorKey.open(sealed, textCheck)
	var again [maxTextSize]byte
	return c, ok && p.store.HasCursor(c) && bytes.Equal(p.appendCursor(again[:0], c), text)
}

// cursorNumber is a cursor of SCAN's.
func (p *pipeline) cursorNumber(c engine.Cursor) uint64 { return p.cursorKey.seal(c, numberCheck) }

// cursorOf returns the cursor that a number is. 0 is the beginning.
func (p *pipeline) cursorOf(number uint64) (c engine.Cursor, ok bool) {
	if number == 0 {
		return 0, true
	}
	c, ok = p.cursorKey.open(number, numberCheck)
	return c, ok && p.store.HasCursor(c)
}
