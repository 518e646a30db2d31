//go:build (amd64 || arm64) && !go1.28

package codec

import "github.com/bytedance/sonic/unquote"

// shortEscaped is the length below which a call of sonic does not pay. Measured, a Xeon
// of 2.6 GHz, ns here and there: an escape every 12 bytes, 24 bytes 9 and 16, 72 bytes
// 23 and 25, 132 bytes 56 and 47; every 5 bytes, 20 bytes 12 and 20, 65 bytes 57 and
// 56; nothing but \u00e9, 18 bytes 16 and 15, 42 bytes 38 and 27.
const shortEscaped = 32

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
