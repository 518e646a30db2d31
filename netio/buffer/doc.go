// Package buffer keeps the bytes of connections that wait: input of which the end has not
// come, and output that a client has not read. What is kept is what came, and little more,
// since thousands of clients may have the server keep as much as it lets them.
//
//   - Growing is input: it gathers at one end, in one piece, and is used up from the other.
//     A command has to be in one piece to be decoded. Short input is a slice of Go's heap,
//     long input a mapping of its own: that grows by moving pages instead of bytes, and
//     takes no more memory than has been written to it. A slice of 16 MiB that grows by
//     append has been copied five times, 14 MiB of it at once, and leaves what it grew out
//     of to the garbage collector.
//   - Queue is output: it is put in at one end and taken in chunks at the other. The chunks
//     come from a pool, and go back to it as they are sent. It keeps a few MiB of them.
//
// Both say how much memory they hold, slack included, and how much more they are going to:
// there is a budget for it. Nothing here is for concurrent use,
// except the pool.
package buffer
