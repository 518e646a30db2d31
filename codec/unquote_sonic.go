//go:build (amd64 || arm64) && !go1.28

package codec

import "github.com/bytedance/sonic/unquote"

// shortEscaped is the length below which a call of sonic does not pay. Measured: 11
// bytes 11 ns here and 19 there, 18 bytes 25 and 24, 65 bytes 64 and 35.
const shortEscaped = 16

// unquoteLong writes what the string with the inside s says to room, which has space
// for len(s) bytes, and returns how many it has written. Its twin for platforms
// where sonic has no such function is in unquote_portable.go.
func unquoteLong(room, s []byte) int {
	room = room[:0]
	if err := unquote.IntoBytes(stringView(s), &room); err != 0 {
		panic("BUG: codec: sonic can't unquote " + string(s))
	}
	return len(room)
}
