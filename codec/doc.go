// Package codec turns payloads into commands and statuses into responses. It
// knows JSON and nothing else: it takes and gives byte slices and does no I/O.
//
// # Terms
//
//   - A payload is the JSON text of one command, without its framing.
//   - A command is a JSON object with one member: the command's name and its
//     argument. An element is a part of the argument that is executed and
//     answered on its own: a pair of SET, a key of GET, a rename of RNM_KEY.
//   - An Arg is an element after decoding.
//
// # Grammar
//
//	payload  = ws "{" ws name ws ":" ws argument ws "}" ws
//	pairs    = "{" [ key ":" value *( "," key ":" value ) ] "}"       SET SETQ ADD ADDQ
//	keys     = "[" [ key *( "," key ) ] "]"                           GET RMV CONTAINS
//	renames  = "[" [ rename *( "," rename ) ] "]"                     RNM_KEY
//	rename   = "{" key ":" key "}"
//	nothing  = "{" "}"                                                COUNT CLEAR SERVER_INFO
//
// with white space wherever JSON allows it. A key is a string; a value is a
// string, a number or a boolean, and with Options.AnyValues any JSON value.
//
// # How strict
//
// A payload is accepted or refused as a whole, and the most general fault is the
// one that is answered: s 5 before s 4 before s 3 before st 12. All offsets are
// in bytes from the payload's beginning, counted from 0.
//
//	empty or blank payload, byte order mark                    s 5
//	two documents, anything but white space behind the command s 5
//	raw control character in a string                          s 5
//	escape other than \" \\ \/ \b \f \n \r \t \uXXXX           s 5
//	overlong, surrogate, truncated or too large UTF-8          s 5
//	+1 01 1. .5 1e NaN Infinity True nul                       s 5
//	trailing comma, missing comma or colon, bare or 'x' names  s 5
//	arrays and objects nested deeper than Options.MaxDepth     s 5
//	\uD800 without its other half, in a key                    s 5
//	\uD800 without its other half, in a value or unused text   accepted, text kept
//	-0 1.0 1e400 12345678901234567890123                       accepted, text kept
//	DEL (0x7F), U+0000 as an escape, noncharacters             accepted
//	top level not an object, or not with exactly one member    s 4 (a name twice is two members)
//	name that is no command (after unescaping it)              s 3
//	argument of the wrong type, members where none belong      st 12
//	key of less than 6 code points, or too many bytes          st 6, that element only
//	value, key or rename of the wrong type                     st 7, that element only
//
// The depth is that of a value on its own: the command's two levels don't count.
//
// # Who owns the bytes
//
// Nothing is copied on the way in. Keys and values of an Arg alias the payload;
// a key that was written with escapes lives in the Decoder's scratch. Both must
// be left alone until the Arg has been executed and answered: the payload by
// whoever owns the buffer, the scratch by not calling Decoder.Reset. A value is
// the text that was written, quotes and escapes included, so that it is read back
// byte for byte.
//
// Responses are appended to the caller's buffer and alias nothing.
//
// # The paths
//
// A payload is decoded in one pass, from the first byte to the last, and its elements
// go straight into the caller's slice of Args. Where the processor has AVX2 the pass
// is preceded, a window of 4 KiB at a time, by one that marks where strings may stop:
// at quotes, backslashes and control characters (mark.go). The decoder leaps from mark
// to mark. Elsewhere, and with the build tag purego, it goes eight bytes at a time
// (scan.go). The fast path covers strings without escapes, numbers, booleans, and white
// space as people and printers write it. Everything else goes one step aside, and
// comes back:
//
//	an escape in a string     escaped goes on behind it
//	bytes past ASCII          sonic checks the UTF-8 of the whole payload, once;
//	                          from then on they don't matter but for the length of keys
//	a value that is nested    its end, depth and strings here, its grammar by sonic
//	anything that is wrong    the same once more, carefully, for the place of the fault
//
// The careful paths don't trust the fast ones and have the last word: where
// they find no fault there was none. A fault is named by the offset of the first
// byte that no valid payload could have there, as encoding/json does it.
//
// # sonic
//
// github.com/bytedance/sonic 1.15.5 does what it is good at and nothing it is not
// strict enough for: the grammar of nested values, UTF-8, unescaping, encoding
// SERVER_INFO. sonic.Valid, decoder.Skip and GetByPath look for a string's closing
// quote only: raw control characters, illegal escapes and bytes that are not UTF-8
// pass. And its unquoting makes U+FFFD of an unpaired surrogate, so that two keys
// would be one. So strings and surrogates are checked here. sonic's JIT decoder is
// not used at all. Only json.go and unquote_sonic.go see sonic.
//
// # The other end
//
// Package codec/client appends commands and parses responses, for whoever talks to a
// server. It shares the strings and values of the grammar through shared.go.
package codec
