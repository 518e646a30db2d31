package codec

import (
	"github.com/bytedance/sonic"
	"github.com/bytedance/sonic/unquote"
	"github.com/bytedance/sonic/utf8"
)

// This file is the package's only use of sonic.

// Backend names what is behind sonic's functions on this platform: sonic itself,
// or encoding/json where sonic has no implementation for the processor or the
// version of Go.
func Backend() string {
	if sonic.APIKind == sonic.UseSonicJSON {
		return "sonic"
	}
	return "encoding/json"
}

// ValidUTF8 tells whether b is valid UTF-8.
func ValidUTF8(b []byte) bool { return utf8.Validate(b) }

// validGrammar tells whether b is a JSON value, provided that its strings are
// right: sonic.Valid looks for a string's end only, and lets pass raw control
// characters, illegal escapes and bytes that are not UTF-8.
func validGrammar(b []byte) bool { return sonic.Valid(b) }

// unescape appends what the string with the inside s says to dst. s must be right
// and without unpaired surrogates: sonic would make U+FFFD of one, and two
// different keys would be one.
func unescape(dst, s []byte) []byte {
	// sonic writes at most len(s) bytes to where it is told to, and wants that
	// much room. Earlier keys hold on to where the scratch was before it grew.
	if cap(dst)-len(dst) < len(s) {
		dst = append(make([]byte, 0, 2*cap(dst)+len(s)), dst...)
	}
	room := dst[len(dst):]
	if err := unquote.IntoBytes(stringView(s), &room); err != 0 {
		panic("BUG: codec: sonic can't unquote " + string(s))
	}
	return dst[:len(dst)+len(room)]
}

// marshal encodes one of our own structs.
func marshal(v any) []byte {
	b, err := sonic.Marshal(v)
	if err != nil {
		panic("BUG: codec: " + err.Error())
	}
	return b
}
