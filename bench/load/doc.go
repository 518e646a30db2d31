// Package load is a load generator: it drives a server over many connections from
// few threads and reports how many keys a second it got through and how long the
// answers took. cmd/keyframe-benchmark is its command line.
//
// # Terms
//
//   - A command is what the server is sent as one: a SET of Options.Keys pairs. Where a
//     protocol has none of several keys, such as Redis's INCR, it is as many, sent together.
//   - A script is a connection's commands, in order. Their keys are drawn as they are
//     sent, and their digits put into a template of the command. The same script can
//     be gone through again, to know what was sent.
//   - A round is Options.Depth commands sent at once (closed loop).
//
// # Closed loop and open loop
//
// In a closed loop each connection sends a round, waits for all its answers and
// sends the next: the server sets the pace, so this measures capacity. A command's
// latency runs from the write of its round. A server that stops for a second delays
// one round a connection, and the commands that users would have sent meanwhile are
// never sent: percentiles of a closed loop omit them.
//
// With Options.Rate the loop is open: command i is planned at start + i/rate, on
// connection i mod Conns, whatever the server does, and its latency runs from that
// planned time. At most Depth commands are in flight on a connection; the others
// wait, and their waiting counts. Successive commands of the schedule are measured.
// One that is not answered in the end makes the run fail. It is in the percentiles with
// the time it had waited, or they would hide the overload; it is in no rate or count,
// because the server did nothing for it.
//
// # What is checked
//
// Of every answer its kind, its status, its length and its end. With Options.Compare
// also its key and, of a GET, its value: a key has one value from the filling and
// another from the run. Options.Verify reads back afterwards, over another connection:
// a key that was set must have the run's value, one that was only removed must be
// gone. Both know the keys by going through the scripts again. What INCR counts has more than
// two values, so a mix that has it can be neither compared nor verified.
//
// Keys that were looked up are counted as hits and misses. Looking for what is not there
// is cheaper work, so GETs and CONTAINS that miss fail a run with
// Options.Verify, unless it has Options.AllowMisses and no Fill, or its own RMVs may have
// taken the keys.
//
// # Why an event loop of our own
//
// A generator has to be cheaper than the server that it drives. On one core, with
// 32 connections against the I/O limit on another (package iolimit; 2-core Xeon
// virtual machine, keys a second in millions, medians of three):
//
//	keys a command × in flight          1×1   1×16   1×64   10×16   100×4
//	goroutines, line ends are counted   0.26   3.8   12.5    29      54
//	this one, Options.Repeat            0.27   3.9   12.3    28      54
//	this one, keys are drawn                         11.0    22.6    36
//
// The goroutines, one a connection over net.Conn, looked at nothing but line ends and
// took no latencies. Here every answer's head, status, length and end are compared,
// and its latency goes into a histogram. The server is busy for 93 % of the time then,
// and Keyframe, which does more, for all of it. Three things
// brought it there. Events as edges instead of levels are 10 %. A spare processor of Go's
// beside the workers', without which the runtime's monitor wakes every 20 µs, is another
// 10 %. Answers compared as words are a third with a hundred keys a command. Drawing a key and writing it is 9 ns; a
// server that decodes and stores takes 100 and more, and is as fast with either client.
// The I/O limit doesn't look at keys, so its commands are repeated.
//
// # Concurrency
//
// A worker and its connections belong to one goroutine, locked to its thread. What it has
// counted since the latest interval is guarded by worker.mu. The worker holds that while it
// works on what one wait returned; the reporter takes it once per interval.
package load
