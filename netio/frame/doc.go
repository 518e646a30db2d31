// Package frame is RFC 6455's framing, and that of JSON Lines, as functions over bytes: no
// sockets and no event loop, so that tests can cut a stream anywhere and fuzz it. The
// server, the client, the load generator and the I/O limit use it, each from its own end.
// Of lines there is NextLine; the rest of this is about WebSockets.
//
// # Terms
//
//   - A frame is a header and a payload. The header has 2 bytes, or 4 or 10 for a
//     longer payload, and the masking key's 4 when a client sends it.
//   - A message is the payload of a data frame (text or binary), or of several:
//     the first fragment and its continuations.
//   - A control frame (close, ping, pong) is one frame, and may stand between the
//     fragments of a message.
//   - To mask is to XOR with the key, repeated. Doing it twice undoes it.
//
// # The two directions
//
// A client masks every frame, a server none: section 5.1. So there is a parser for
// each direction, and each refuses what the other takes:
//
//	sent by     parsed by         header written by
//	a client    ParseFromClient   AppendMaskedHeader, and Mask for the payload
//	a server    ParseFromServer   AppendHeader, AppendControl, AppendClose
//
// Reader joins the fragments that a client sends. What a Keyframe server sends is
// never fragmented, so nothing here joins that.
//
// # Sections
//
//	5.1      who masks                        ParseFromClient, ParseFromServer
//	5.2      the header and its lengths       Header, AppendHeader
//	5.3      masking                          Mask, Open
//	5.4      fragments                        Reader
//	5.5      control frames                   AppendControl
//	5.5.1    the answer to a close frame      CloseReply
//	7.4      close codes                      Close…
//	8.1      UTF-8                            UTF8, CloseReply; see Limits
//
// # Errors
//
// ErrIncomplete means that the bytes are a valid beginning: come again with more.
// Nothing was taken. A *CloseError means that the stream can't go on, and says with
// which code and reason to close it. There are no other errors.
//
// # Limits
//
// A payload is at most as long as the caller says, and so are the fragments of a
// message together. A control frame's payload has at most 125 bytes (section 5.5).
// A length must be in its shortest form, and the reserved bits must be 0: no
// extension is ever negotiated.
//
// Whether a text message is UTF-8 Reader does not look at: a JSON decoder that accepts
// nothing else looks anyway, and only what it refuses needs a second look. UTF8 is for a
// message that has not come whole.
package frame
