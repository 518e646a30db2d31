package client

import "keyframe/codec"

// AppendOpen appends the beginning of a command.
func AppendOpen(dst []byte, op codec.Opcode) []byte { return append(dst, op.Texts().Open...) }

// AppendPair appends a pair of a command that takes pairs. value is JSON text.
func AppendPair(dst, key, value []byte) []byte {
	dst = codec.AppendString(dst, key)
	dst = append(dst, ':')
	dst = append(dst, value...)
	return append(dst, ',')
}

// AppendKey appends a key of a command that takes keys.
func AppendKey(dst, key []byte) []byte { return append(codec.AppendString(dst, key), ',') }

// AppendRename appends a rename of a command that takes renames.
func AppendRename(dst, from, to []byte) []byte {
	dst = codec.AppendString(append(dst, '{'), from)
	dst = codec.AppendString(append(dst, ':'), to)
	return append(dst, "},"...)
}

// AppendClose appends the end of the command that AppendOpen with the same op began.
func AppendClose(dst []byte, op codec.Opcode) []byte {
	if n := len(dst) - 1; n >= 0 && dst[n] == ',' {
		dst = dst[:n]
	}
	return append(dst, op.Texts().Close...)
}
