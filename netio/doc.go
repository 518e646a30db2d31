// Package netio is the way of a frame: from a socket to the codec and the engine,
// and of the responses back. It is the only package of the server that sees gnet; the I/O
// limit that benchmarks compare it with, bench/iolimit, has loops of its own.
//
// # Terms
//
//   - A framing is how commands are cut out of a connection's bytes, and how answers
//     are put around: JSON Lines, HTTP, WebSocket or RESP. The first bytes of a connection choose
//     it, from one table (framing.go). It is an interface of functions over bytes.
//   - The pipeline is the road of commands through a loop: decoded, executed, answered.
//     It knows neither gnet nor connections.
//   - An event loop is a goroutine of gnet's that waits for all its connections
//     at once. Each connection belongs to one loop for life.
//   - A turn is what a loop does for one connection at a time: take what has
//     arrived, execute it, send the responses with one write.
//   - A batch is the commands that one call of the engine executes.
//
// # The way of a frame
//
//	accept (Go's listeners) ── (TLS: a handshake) ── EnrollContext ──► an event loop
//
//	socket ─► gnet's read buffer ─► loop.serve ─► pipeline.run ─► framing.next
//	                                                                  │ payload
//	              codec.Decode ◄──────────────────────────────────────┘ admit
//	                   │ arguments that alias the payload
//	              store.Apply                                           flush
//	                   │ statuses, values read
//	              framing.append… ─► pipeline.out ─► outbox.send ─► one write(2)
//	                                                     └─► writer goroutine, when the client is slow
//
// All complete commands that have arrived go through together, whether they are
// a hundred pipelined commands or one of a hundred keys. The bytes are lent: they
// are the loop's read buffer, which the next connection's bytes overwrite. What a
// turn can't use up, half a frame or what is over its share, is copied to
// conn.pending and served from there.
//
// Bytes of a TLS connection are opened before serve and sealed before the outbox, on the
// loop; tls.go has the rest. Others pay a comparison on each side for it.
//
// # Redis's protocol
//
// Its commands are words and not JSON, and an answer belongs to a command: an array begins
// with its length, a count comes after the last key. So they have a road of their own from
// the bytes to the batch, and back: wordUnits instead of units, a queue of replies instead of
// elements (resp.go, respreplies.go). What lies between is the same for all: batches, shares,
// committers, Apply. A command of several keys that has to stop in the middle keeps how far
// it has come, and what it has counted, in longWords.
//
// # HTTP
//
// A request about a key is a command with one element, made by hand instead of decoded, and
// its response is what httpFraming makes of that element's answer. So requests gather in a
// batch as lines do, and what looks at commands and keys, such as users' rights, sees them.
// What each is to be answered with waits in httpFraming.asked, in their order. The body of a
// POST goes through admit, line by line; a chunked one is joined before that. A response whose
// body is not whole when a turn ends is begun, and sent in chunks. The upgrade of a WebSocket
// is one of the requests.
//
// # Turns and shares
//
// A turn ends after turnOps operations or turnOutputBytes of output, in the
// middle of a command if need be: the connection remembers the element to go on
// with (conn.resume), and gets its next turn after the loop has looked at the
// other sockets. A command is checked as a whole before its first element is
// executed, however many turns it takes.
//
// # Ordering
//
// Responses leave in the order of the commands, and within a command in the
// order of its keys. Commands about the whole store (COUNT, CLEAR, SERVER_INFO)
// end the batch before them. So do control frames and fragments of a WebSocket:
// after a turn that ends in the middle of a batch the next one goes back to the command
// that it ended in, and only plain messages and lines may be looked at twice.
//
// # Committing
//
// Between a batch, the store and the client a committer may stand: a journal that has
// answers wait until they are safe, or a log that decides the order before anything is
// applied (commit.go). A connection gets no turns while it waits, so nothing of its own
// overtakes it.
//
// A server with a journal has one (journal.go). A batch is applied at once, and its effects
// are noted; at the end of the loop's wake-up, when it has looked at all sockets that were
// ready, one write has all that any loop has noted, and the answers leave. Whoever has seen
// what is not written yet, by a read on any loop, waits for the same write. What only says how
// the server is (SERVER_INFO, INFO) waits for none. Where it is the
// disk that is waited for, a read waits only if its key may have an effect that is not on it
// (unsynced.go). Clients that are not answered, as after SETQ, wait when a loop has gathered too
// much for the disk (mostGathered).
//
// # Users
//
// A server with users (package access) keeps for each connection who it is: conn.identity,
// nil on a server without. A turn lends it to the pipeline, and where commands of any framing
// come by it is asked: nobody's commands are refused before they are in the batch, a user's
// keys get StatusDenied there, and commands about the whole store are refused where they are
// answered. A framing whose commands take another road must ask as well, and says so in its
// row. A password is hashed by a goroutine, and the connection waits as for a committer.
//
// # Back pressure
//
// What a socket does not take is queued in the connection's outbox. At
// MaxOutputBytes unread the connection gets no more turns until the client has
// read half of it. Commands that arrive meanwhile wait in conn.pending; at
// parkBytes of them gnet is made to stop reading the socket (see park), and TCP
// makes the client wait. So a client may pipeline without limit and ask for any
// number of answers, and gets them as fast as it reads. One that takes nothing
// for writePatience then is closed as a slow consumer, with code 1008; so is one that
// has more than half of MaxOutputBytes unread for OutputTimeout. Closing at the
// limit at once would end clients that asked for much and read as fast as they can.
//
// A connection holds at most MaxOutputBytes and a turn's output unread,
// parkBytes and a frame of input, and a message that is being joined from
// fragments. Package buffer keeps them, with little slack. All connections together hold
// no more than MaxBufferBytes at any time, which budget.go shares out; the kernel's buffers of
// their sockets are not counted, nor is a loop's scratch.
//
// # Why our own listeners and outbox
//
// The event loops are a gnet.Client's: loops without listeners, to which accepted
// sockets are enrolled. gnet's server ends as a whole when accept runs out of
// descriptors, removes whatever stands at a unix socket's path, and can't stop
// accepting while its connections finish. gnet's outbound buffer
// doesn't report when it drains, and is dropped when the client half-closes; see outbox.
//
// # What things cost
//
// A SET that is sent alone takes 3.8 µs, of which a turn without its read and
// write is 0.1 (BenchmarkTurn). What the kernel does is done once a turn: 64 SETs
// in one turn take 0.2 µs each on a million keys, of which the kernel has two
// fifths, the engine a third, and the codec and this package an eighth each. An
// idle connection costs 0.9 KB of heap, gnet's part in it, and no stack: its
// scratch is the loop's.
//
// # Idle connections
//
// A connection may say nothing for as long as it likes: pools keep connections for
// when they need them. What bounds their number is MaxConns. The kernel's keep-alive finds
// clients that are gone; a proxy answers it in their place, so WebSockets are pinged. The
// time of a handshake runs from its first byte: a client that has begun to speak means to
// go on. When there are no descriptors left, accept waits, and so do the clients in the
// kernel's queue.
//
// # Counters
//
// A loop counts what it does in plain fields (Counters), and publishes a copy
// before a turn's responses leave: a client that has an answer finds its command counted.
// Server.Stats adds the copies up. Whatever an operator wants to see comes from
// there. Metrics is the list of it: a number that is added there is in SERVER_INFO and
// in /metrics.
//
// # The end of a connection
//
// The last bytes (a close frame, an error) are sent, the writing side is shut
// down, and what the client still sends is thrown away until it closes too or
// lingerTimeout is over: closing with input unread would reset the connection and
// could destroy those last bytes on their way.
//
// # The end of a server
//
// Stop waits for clients no longer than StopTimeout, and for an event loop that stands in a write
// of the journal no longer than that and a moment: the disk may stand still, and a call of the
// system's can't be taken back. Such a loop is left, with its connections, the journal and the
// store; what it writes after all it may answer, and then it ends. Until then (Server.Gone) nothing
// may be closed that it uses. Stop says so with a RunningError; a process that gets one exits and
// closes neither.
//
// # Concurrency
//
// A conn and a loop belong to the loop's goroutine: no locks and no atomics,
// except in the outbox, which it shares with its writer, and the published counters. Other
// goroutines reach a loop through loop.execute only. Nothing that runs on a loop
// may block.
//
// # Tried and lost
//
// gnet's other settings, with one loop on a core of its own. On a Xeon, medians in ns a key
// for 1 key alone / 1 key 64 deep / 10 keys 16 deep / 100 keys 4 deep:
//
//	as they are                          3,850 / 204 / 135 / 116
//	edge-triggered: another read(2)      4,110 /   – /   – /   –
//	LockOSThread                         3,920 / 203 / 134 / 115
//	ReadBufferCap 16 KiB, not 64             – / 201 / 135 / 166
//	ReadBufferCap 256 KiB                    – / 204 / 139 / 117
//
// A loop bound to a thread gains nothing, and a program with other goroutines loses.
//
// A loop for each CPU. Two CPUs shared with the client, nothing pinned, 32 connections,
// a SET at a time; thousands of keys a second, and p99 in µs, medians of seven:
//
//	Redis 7                              109,   560
//	2 loops                               94, 1,610
//	1 loop                               113,   580
//	1 loop, GOMAXPROCS=1                 116,   500
//	2 loops, GOMAXPROCS=4                117, 4,100
//
// Two loops go to sleep 0.28 times a key, one 0.02 times: each finds half of the
// connections ready when it wakes, and then waits for the CPU that the client has.
//
// # Limits
//
// The package runs where gnet has epoll or kqueue: Linux, macOS, the BSDs.
package netio
