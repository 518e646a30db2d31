// Package http1 takes requests of HTTP/1.0 and 1.1 apart: pure functions over bytes.
//
// What stands before a server may be another reader of the same bytes. If the two take them
// for different requests, one client's bytes become a part of another's request. So whatever
// two readers could read in two ways is refused, even where RFC 9112 lets a server be lenient:
//
//   - an LF without a CR, a CR without an LF, any other control character;
//   - a header that goes on in another line, white space before a colon;
//   - two of the headers that have one value; a length and chunks at once;
//   - a length or a size of a chunk with anything in it but digits;
//   - an encoding other than chunked, fields after the last chunk;
//   - a target that names another host than the Host header.
//
// HeadEnd finds a head's end, however it arrives, and looks at no byte twice. ParseHead reads
// it in one pass, without allocating: what it returns aliases the bytes, except a list of
// WebSocket's subprotocols that came in several headers. Chunks is a chunked body, piece by piece.
package http1
