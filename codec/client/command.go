package client

import (
	"strconv"

	"keyframe/codec"
)

// AppendOpen appends the beginning of a command.
func AppendOpen(dst []byte, op codec.Opcode) []byte { return append(dst, op.Texts().Open...) }

// AppendTimedOpen appends the beginning of a command with ShapeTimedPairs, whose pairs live
// for ttl milliseconds.
func AppendTimedOpen(dst []byte, op codec.Opcode, ttl int64) []byte {
	dst = strconv.AppendInt(append(dst, op.Texts().Open...), ttl, 10)
	return append(dst, `,"pairs":{`...)
}

// AppendPair appends a pair of a command that takes pairs, or an element of one that takes
// keys with something else: a number for INCR, milliseconds or null for EXPIRE, and so on.
// value is JSON text.
func AppendPair(dst, key, value []byte) []byte {
	dst = codec.AppendString(dst, key)
	dst = append(dst, ':')
	dst = append(dst, value...)
	return append(dst, ',')
}

// AppendComparison appends an element of a command with ShapeComparisons. The values are
// JSON text.
func AppendComparison(dst, key, expected, value []byte) []byte {
	dst = append(append(codec.AppendString(dst, key), ":["...), expected...)
	dst = append(append(dst, ','), value...)
	return append(dst, "],"...)
}

// AppendKey appends a key of a command that takes keys.
func AppendKey(dst, key []byte) []byte { return append(codec.AppendString(dst, key), ',') }

// AppendRename appends a rename of a command that takes renames.
func AppendRename(dst, from, to []byte) []byte {
	dst = codec.AppendString(append(dst, '{'), from)
	dst = codec.AppendString(append(dst, ':'), to)
	return append(dst, "},"...)
}

// Query is what KEYS and FIND ask for. What is zero is left out.
type Query struct {
	Prefix []byte
	Limit  int
	Cursor []byte // of the page before
	Values bool

	// Of FIND: where to look, how to compare, and the JSON text to compare with.
	Path    []byte
	Compare string
	With    []byte
}

// AppendQuery appends what a command with ShapeQuery or ShapeSearch asks for, between
// AppendOpen and AppendClose.
func AppendQuery(dst []byte, q *Query) []byte {
	name := func(name string) { dst = append(codec.AppendString(dst, []byte(name)), ':') }
	if q.Path != nil {
		name("path")
		dst = append(codec.AppendString(dst, q.Path), ',')
	}
	if q.Compare != "" {
		name(q.Compare)
		dst = append(append(dst, q.With...), ',')
	}
	if q.Prefix != nil {
		name("prefix")
		dst = append(codec.AppendString(dst, q.Prefix), ',')
	}
	if q.Limit != 0 {
		name("limit")
		dst = append(strconv.AppendInt(dst, int64(q.Limit), 10), ',')
	}
	if q.Cursor != nil {
		name("cursor")
		dst = append(codec.AppendString(dst, q.Cursor), ',')
	}
	if q.Values {
		name("values")
		dst = append(dst, "true,"...)
	}
	return dst
}

// AppendClose appends the end of the command that AppendOpen with the same op began.
func AppendClose(dst []byte, op codec.Opcode) []byte {
	if n := len(dst) - 1; n >= 0 && dst[n] == ',' {
		dst = dst[:n]
	}
	return append(dst, op.Texts().Close...)
}

// AppendCloseID is AppendClose for a command with an id: the JSON text of a number or a
// string of at most 64 bytes.
func AppendCloseID(dst []byte, op codec.Opcode, id []byte) []byte {
	dst = AppendClose(dst, op)
	dst = append(dst[:len(dst)-1], `,"#":`...)
	return append(append(dst, id...), '}')
}
