// Package client is the other end of the wire: it appends the commands that codec
// decodes, and parses the responses that codec appends. It has codec's opcodes,
// statuses and strings, does no I/O and knows no framing: the caller puts a frame or a
// line around a command and takes it off a response.
//
// # Commands
//
// A command is opened, given its elements and closed:
//
//	b = client.AppendOpen(b[:0], codec.OpSet)
//	b = client.AppendPair(b, key, value)       // SET SETQ ADD ADDQ
//	b = client.AppendClose(b, codec.OpSet)
//
// AppendKey is for GET, RMV and CONTAINS, AppendRename for RNM_KEY; COUNT, CLEAR and
// SERVER_INFO have no elements. Each element ends with a comma, which AppendClose
// overwrites. So there is nothing to keep between the calls, and there may be any number
// of elements, or none.
//
// Keys are text and are quoted here. A value is JSON text already, since that is what
// the server keeps; codec.AppendString and package strconv make it. It is not checked,
// so text from elsewhere must be given to Parser.Check first. Text that is not UTF-8 has
// no form in JSON: the server refuses the command.
//
// # Responses
//
// Status and Parser.Value are for the commonest responses, and cost one look at each byte.
// Where they report false, the answer may still be a good one, and Parser.Parse takes any. Parse
// accepts white space and members in any order, as other servers of the same contract
// write them, and nothing that PROTOCOL.md has no place for.
package client
