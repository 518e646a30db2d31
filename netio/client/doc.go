// Package client is the Go client of Keyframe: one connection that many goroutines share.
// It speaks JSON Lines, imports nothing of the server, and has codec/client's commands and
// answers and netio/frame's lines.
//
//	c, err := client.Dial(ctx, "127.0.0.1:1987", client.Options{})
//	err = c.Set(ctx, "user1234_name", client.String("bob"))
//	text, err := c.Get(ctx, "user1234_name") // "bob", with its quotes: values are JSON text
//
// # Terms
//
//   - A call is a command, or a batch of them, on its way: from a method's beginning to its
//     return, or until its answer has come if the method gave up.
//   - Pending is the text of the calls that wait for the next write, together.
//   - An outage is the time without a connection.
//
// # The way of a call
//
//	caller             append the text to pending, the call to a queue; wait
//	writer goroutine   take all that is pending, one write
//	reader goroutine   one read; give each line to the first call that waits, and wake it
//	caller             copy the value, release the call
//
// Commands have no ids: answers come in the order of the commands (PROTOCOL.md section 1),
// so the queue says whose each is. Its name, and its key, are compared all the same. When one
// answer is not what was asked for, none after it can be trusted: the connection is given up.
// How many answers a command gets is known: one a key. Quiet commands get one only for what
// fails, so a PING ends theirs.
//
// The writer lets other goroutines run before it takes what is pending: those that have just
// been answered have more to ask. A call, its buffers and the channel that it waits on are used
// again, so a call allocates only what it returns.
//
// # Giving up
//
// A call whose context ends returns at once. If it was sent, or is about to be, it keeps its
// place in the queue, and its answer is thrown away when it comes. If there is no connection, or
// it still waits for room, it is taken out and never sent.
//
// # Limits
//
// Keys in flight, bytes pending, the length of a command and that of an answer are bounded by
// Options. Calls past the first two wait, in order. A command that is too long is not sent: a
// server ends the connection for it, and with it everybody's calls. Keys and values are checked
// before they are sent: text that is not JSON could be another command.
//
// # Lost connections
//
// When a connection is lost, or silent for too long, what was sent may have run. Its calls fail
// with a ConnError that says so, unless Options.Retry allows to send them again. What was not
// sent is kept, and goes first over the next connection; the client tries to have one, waiting
// longer each time, with a random part. After Options.Outage calls fail at once until there is
// one again. The first connection is Dial's, which tries once.
//
// # Errors
//
//	*StatusError   of a key: ErrNotExist, ErrExists, ErrOutOfMemory and so on
//	*ServerError   of a whole command that the server refuses
//	*ConnError     no answer; MayHaveRun says whether the command may have run
//	ErrKey, ErrValue, ErrTooLong   nothing was sent
//	*OptionError   of Dial
package client
