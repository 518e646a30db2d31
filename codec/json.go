package codec

import (
	"encoding/json"
	"errors"
	"unicode/utf8"

	"github.com/bytedance/sonic"
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

// ValidUTF8 tells whether b is valid UTF-8. (sonic's own check is not exported
// on every platform; the standard library's runs eight ASCII bytes at a time.)
func ValidUTF8(b []byte) bool { return utf8.Valid(b) }

// checkGrammar checks a nested value whose strings have been checked: sonic.Valid
// looks for a string's end only, and lets pass raw control characters, illegal
// escapes and bytes that are not UTF-8. at is the value's offset in the payload.
func checkGrammar(b []byte, at int) *SyntaxError {
	if sonic.Valid(b) {
		return nil
	}
	// sonic does not say where; encoding/json does. This is the way of an
	// error, where time does not matter.
	var syntax *json.SyntaxError
	if err := json.Unmarshal(b, new(json.RawMessage)); errors.As(err, &syntax) {
		offset := min(max(int(syntax.Offset)-1, 0), len(b))
		return &SyntaxError{at + offset, syntax.Error()}
	}
	return &SyntaxError{at, "not a value"}
}

// marshal encodes one of our own structs.
func marshal(v any) []byte {
	b, err := sonic.Marshal(v)
	if err != nil {
		panic("BUG: codec: " + err.Error())
	}
	return b
}
