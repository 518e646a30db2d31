// Package resp is Redis's protocol, RESP2 and RESP3, as a server speaks it: it takes
// commands apart and appends replies. It takes and gives byte slices and does no I/O.
// PROTOCOL.md section 9 is the contract that it serves.
//
// # Terms
//
//   - A word is the name of a command or one of its arguments: bytes.
//   - A command is an array of bulk strings (*2 $3 GET $1 k), or an inline command: a line
//     of words, with quotes where they have spaces, as people type it.
//   - A long command has more than MaxDirect words. Its end is found step by step, and its
//     words are handed out part by part.
//
// # What is bounded
//
// A command has at most MaxWords words and Reader.MaxBytes bytes, an inline one
// MaxInlineBytes. A length that does not fit is refused as soon as it is read: no memory is
// taken for what has not come. A Reader looks at a byte of a long command once, however it
// is cut; at one of another at most as often as it comes in pieces, and it leaps over the
// words themselves.
//
// # Who owns the bytes
//
// The words of an array alias the bytes that they came in. Those of an inline command do so,
// too, unless they have quotes. Replies are appended to the caller's buffer.
package resp
