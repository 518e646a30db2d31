package codec

import (
	"github.com/bytedance/sonic"
	"github.com/bytedance/sonic/utf8"
)

// This file and unquote_sonic.go are the package's only use of sonic.

// Backend names what does the work of sonic's functions on this platform: sonic itself,
// or encoding/json where sonic has no implementation for the processor or the version
// of Go.
func Backend() string {
	if sonic.APIKind == sonic.UseSonicJSON {
		return "sonic"
	}
	return "encoding/json"
}

// ValidUTF8 reports whether b is valid UTF-8.
func ValidUTF8(b []byte) bool { return utf8.Validate(b) }

// validGrammar reports whether b is a JSON value, provided that its strings are right.
// sonic.Valid looks only for a string's end: raw control characters, illegal escapes and
// bytes that are not UTF-8 pass.
func validGrammar(b []byte) bool { return sonic.Valid(b) }

// marshal encodes one of our own structs.
func marshal(v any) []byte {
	b, err := sonic.Marshal(v)
	if err != nil {
		panic("BUG: codec: " + err.Error())
	}
	return b
}
