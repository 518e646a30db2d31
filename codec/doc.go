// Package codec turns payloads into commands and statuses into responses. It
// knows JSON and nothing else: it takes and gives byte slices and does no I/O.
// PROTOCOL.md is the contract that it serves.
//
// # Terms
//
//   - A payload is the JSON text of one command, without its framing.
//   - A command is a JSON object with one member: the command's name and its
//     argument. An element is a part of the argument that is executed and
//     answered on its own: a pair of SET, a key of GET, a rename of RNM_KEY.
//   - An Arg is an element after decoding.
//   - A refusal is the answer to a payload that is not a command.
//
// # Grammar
//
//	payload  = ws "{" ws name ws ":" ws argument ws "}" ws            and "#" ":" id, before or after
//	pairs    = "{" [ key ":" value *( "," key ":" value ) ] "}"       SET SETQ ADD ADDQ
//	keys     = "[" [ key *( "," key ) ] "]"                           GET RMV CONTAINS
//	renames  = "[" [ rename *( "," rename ) ] "]"                     RNM_KEY
//	rename   = "{" key ":" key "}"
//	nothing  = "{" "}"                                                COUNT CLEAR SERVER_INFO PING
//	timed    = "{" "ttl" ":" ms "," "pairs" ":" pairs "}"             SETEX ADDEX, in any order
//	query    = "{" options "}"                                        KEYS FIND
//
// with white space wherever JSON allows it. A key is a string; a value is a
// string, a number or a boolean, and with Options.AnyValues any JSON value.
//
// The members of EXPIRE, INCR, CAS, CAD, APPEND and UPDATE are decoded as pairs, and their
// values are judged afterwards (judge.go).
//
// table.go has a row for each command: its name, which of these it takes, its answers
// and what it does to the store. All else about commands is made from the rows.
//
// # How strict
//
// A payload is accepted or refused as a whole. Of several faults the most general one
// is answered: s 5 before s 4 before s 3 before st 12. All offsets are in bytes from the
// payload's beginning, counted from 0.
//
//	empty or blank payload, byte order mark                    s 5
//	two documents, anything but white space after the command  s 5
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
// a key that was written with escapes lives in the Decoder's scratch. Until the Arg has
// been executed and answered, the payload must not change and Decoder.Reset must not be
// called. A value is the text that was written, quotes and escapes included, so that it
// is read back byte for byte.
//
// Responses are appended to the caller's buffer and alias nothing.
//
// # The paths
//
// A payload is decoded in one pass, and its elements go straight into the caller's slice
// of Args. Where the processor has AVX2, another pass goes ahead, a window of 4 KiB at a
// time, and marks where strings may stop: at quotes, backslashes and control characters
// (mark.go). The decoder leaps from mark to mark. Elsewhere, and with the build tag
// purego, it goes eight bytes at a time (scan.go). The fast path covers strings without
// escapes, numbers, booleans, and white space as people and printers write it.
// Everything else takes one step aside and comes back:
//
//	an escape in a string     scanEscaped goes on after it
//	bytes past ASCII          sonic checks the UTF-8 of the whole payload, once;
//	                          after that they matter only to the length of keys
//	a value that is nested    its end, depth and strings here, its grammar by sonic
//	anything that is wrong    the same again, the slow way, for the place of the fault
//
// The slow paths don't trust the fast ones and have the last word: where they find no
// fault there was none. A fault is named by the offset of the first byte that no valid
// payload could have there, as in encoding/json, and that of a word such as nul by its
// first letter.
//
// # sonic
//
// github.com/bytedance/sonic 1.15.5 does what it does well and is strict enough for: the
// grammar of nested values, UTF-8, unescaping, encoding SERVER_INFO. sonic.Valid,
// decoder.Skip and GetByPath look only for a string's closing quote: raw control
// characters, illegal escapes and bytes that are not UTF-8 pass. Its unquoting makes
// U+FFFD of an unpaired surrogate, so that two keys would become one. So strings and
// surrogates are checked here. sonic's JIT decoder is not used at all. Only json.go and
// unquote_sonic.go see sonic.
//
// Short strings are unescaped here too. What each takes, in nanoseconds on a Xeon of
// 2.6 GHz:
//
//	                              bytes   here   sonic
//	an escape every 12 bytes         24      9      16
//	                                 72     23      25
//	                                132     56      47
//	an escape every 5 bytes          20     12      20
//	                                 65     57      56
//	nothing but \u00e9               18     16      15
//	                                 42     38      27
//
// # The other end
//
// Package codec/client appends commands and parses responses, for clients of a server.
// It shares the strings and values of the grammar through shared.go, and the table.
package codec
