// Package client is the other end of the wire: it appends the commands that codec
// decodes, and parses the responses that codec appends. It has codec's opcodes,
// statuses and strings, does no I/O and knows no framing: a frame or a line around
// a command is the caller's, and so is taking it off a response.
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
// SERVER_INFO have no elements. Each element leaves a comma behind it, which
// AppendClose overwrites: so nothing has to be kept between the calls, and there may
// be any number of them, none too.
//
// Keys are text and are quoted here. A value is JSON text already, since what the
// server keeps is the text: codec.AppendString and package strconv make it. It is not
// looked at, so it must not come from somebody else unless Parser.Check has accepted
// it. Text that is not UTF-8 can't be said in JSON: the server refuses the command.
//
// # Responses
//
// Status is for the responses that there are most of, and takes as long as to look
// at each byte once; where it says no, the answer may still be a good one, and
// Parser.Parse takes any. Parse accepts white space and members in any order, as
// other servers of the same contract write them, and nothing that the contract has
// no place for.
package client
