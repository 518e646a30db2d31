//go:build (amd64 || arm64) && !go1.28

package codec

import "github.com/bytedance/sonic/unquote"

// shortEscaped is the length below which a call of sonic does not pay; doc.go has the
// measurement.
const shortEscaped = 32

// unquoteLong writes the text of the string whose inside is s to room, which has space
// for len(s) bytes, and returns its length. Its twin for platforms where sonic has no such
// function is in unquote_portable.go.
func unquoteLong(room, s []byte) int {
	room = room[:0]
	if err := unquote.IntoBytes(stringView(s), &room); err != 0 {
		panic("BUG: codec: sonic can't unquote " + string(s))
	}
	return len(room)
}
