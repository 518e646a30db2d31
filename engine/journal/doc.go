// Package journal keeps what a store has acknowledged: a log of its effects in a directory,
// snapshots that make the log short, and the recovery of both. Bytes in, bytes out; it knows
// nothing of the store but its keys, values and the order in which its shards change.
//
// # Terms
//
//   - An effect is what one change comes to: a key has this value, form and deadline now, or
//     is gone. Each shard of the store numbers its effects from 1, without a gap: the
//     sequence. Doing the effects of each shard in order makes the store again.
//   - A record is one effect, or several that happened at once: a rename, a clear.
//   - A group is the records that are written with one write, under one sum.
//   - A segment is a file of groups. The log is the segments, one after the other; a log
//     position counts the bytes of groups since the first.
//   - A run is the life of one server on the directory. It numbers effects anew, since its
//     store has other shards, and begins with a segment of its own.
//   - A snapshot is a file of all keys, from which a recovery needs only the segments that
//     were begun with it.
//   - A lane is how one goroutine, an event loop, notes its effects.
//
// # The way of an effect
//
//	Lane.Begin ─► the store applies a batch ─► its effects are appended ─► Lane.End
//	   the lane's lock is held                    to the lane's records
//	Journal.Position ─► the group that answers made now have to wait for
//	Lane.Done ─► all lanes' records become one group: all lanes' locks, for a few swaps
//	               everysec, no: written by the loop itself, and answers leave
//	               always: written and synced by goroutines, two groups at once where that
//	                 can be done, while the next one gathers
//
// A group is taken while no batch is being applied, from all lanes at once. So it is
// closed: of every effect in it, all effects before it in its shard are in it or in a group
// before it. No answer leaves before the group is written (with always: synced) that holds
// everything that its batch, or a read, can have seen. So whatever is lost after some position,
// what is left is a state that the store was in, as far as anybody was told.
//
// One lock is held from the choice of a group's place to the end of its write. To reserve a
// place and write later would leave holes: a memory-mapped log of that kind lost 40
// acknowledged keys at a kill -9. Only where several groups are written and synced at once (see
// DurableFS) does each have its place first. There a group counts as written when it, and all
// before it, are on disk: a hole is behind everything that anybody was told of.
//
// # Records
//
// Numbers are little-endian. A part of a record is about one key, and begins with 12 bytes:
//
//	 0  4  sequence, the lower half: the upper one follows from the order
//	 4  2  shard
//	 6  2  bytes of the key
//	 8  4  bits 0-1 kind, bits 2-3 form, bits 4-31 bytes of the value
//
//	kind 0  set: key, value
//	kind 1  set with a deadline: 8 bytes, ms since 1970; key, value
//	kind 2  gone: key; form and bytes of the value are 0
//	kind 3  more than one part, by the bits of the form:
//	     0  rename: the old key, of sequence and shard; then the new key as a part of kind 0 or 1
//	     1  clear: no key; the value is the sequence of the clear in each shard, 8 bytes each
//	     2  clear and set: as clear; then as many parts of kind 0 to 2 as the sequence says
//	     3  start: as clear, with the sequences that the shards have had. The first record
//	        of a run, and nowhere else
//
// The header has a fixed size because it is written 5 million times a second: 5.0 ns a
// record, and 10.8 with varints.
//
// # Groups
//
//	 0  4  CRC-32C of what follows
//	 4  4  bytes of the group, with these 32
//	 8  8  number of the segment
//	16  8  log position of the group
//	24  8  synced: the log was on disk up to this position when the group was made
//	32     records
//
// The sum covers number and position, so that no group of a recycled segment is ever taken
// for one of the log. Where groups are written several at once, each is filled up to whole
// blocks, since two must not write one block; what it is filled up with counts for the position.
//
// # Segments
//
// segment-<16 digits> holds a header and groups; what follows the last group is of no
// meaning.
//
//	 0  8  "KFSEGMNT"
//	 8  4  version of the format: 1, or 2 if groups are filled up
//	12  4  shards
//	16  8  number
//	24  8  number of the segment before in the log; 0: none
//	32  8  run
//	40  8  log position of the first group; if groups are filled up, that of the end of this
//	       header, which is filled up too
//	48  8  synced, as in a group
//	56  8  start of the machine in which it was begun; 0: not known
//	64  8  when, in ms since 1970
//	72  4  bytes of a block, a power of two; 0: groups are not filled up
//	76  4  CRC-32C of these 76 bytes
//
// The next segment is made ready ahead: of its full size, with zeros where each write is
// synced, since a sync of what was only allocated takes 320 µs and not 129. A file whose
// header isn't that of its name, and that has no groups, is such a spare. When none can be made, writes are refused
// before this segment is full; see Refuses. While one is being made, this one grows, and writes are
// refused when it has 64 times its usual size, since a recovery has a segment in memory at once. A
// segment that has been left is synced, in every mode, and closed. While 256 wait for that, as when
// a sync stands still and writes go on, none is made ready either: so many files are open at most,
// and so much, 8 GiB of the usual segments and the current one, can a power cut take with everysec.
//
// # Snapshots
//
// snapshot-<16 digits>, by the number of the segment that was begun with it:
//
//	 0  8  "KFSNAPSH"
//	 8  4  version of the format: 1
//	12  4  shards
//	16  8  run
//	24  8  number of the segment
//	32  8  log position where that begins
//	40  8  when, in ms since 1970
//	48  8  0
//	56     the sequence that each shard had there, 8 bytes each; CRC-32C of all this
//
// and then blocks:
//
//	 0  4  CRC-32C of what follows
//	 4  4  bytes of the body: less than 64 KiB without its last key
//	 8  4  0 keys, 1 end
//	12  4  number of the block, from 0
//	16     body
//
// A key in a body is 8 bytes (bits 0-27 bytes of the value, 28-43 bytes of the key, 44-45
// form, 46 whether there is a deadline), the deadline's 8 if there is one, the key, the
// value. The end has the number of keys, the bytes of keys and values, and the position that
// the log must reach: the snapshot is taken from a store that goes on, and has effects up
// to there. It counts when it has its name, and it gets that when it, and the log up to
// that position, are on disk.
//
// The keys are read beside the store's other work, in turns that those who do it take (see
// Source.Beside), and written a MiB at a time, past the system's cache where that can be done.
// Such a write is only begun, and the next MiB gathered meanwhile. For what has to be waited for,
// and at the end that is a few syncs and the removal of an old file, there is a second processor
// of Go's scheduler; see Options.AddProcessors.
//
// Blocks are not compressed. s2, the fastest that was tried, makes a third of 44 MB of a million
// keys of 16 bytes with values of 20 that are made of counts, at 734 MB/s: 60 ns a key, where all
// else of a snapshot takes 71, and the loops have to find that time.
//
// Two snapshots are kept, and the segments from the older one on. So one that is damaged
// has one to stand in, and a copy of the directory that takes no longer than the time
// between two has a whole one.
//
// A snapshot that finds no room has what waits to be used again removed, and then what stands in for
// the newest one; and it is due as soon as there is no room for the log. Else a log that has filled
// the disk alone, between two snapshots, would leave none for the snapshot that makes it short.
//
// # Copies
//
// Copy takes the snapshots and then the newest segments first: the log then ends in the
// first segment that was copied, wherever the server has gone on to. The other way round it
// could have a later one, and only a part of the one before.
//
// That segment is being written. Whoever reads it in pieces may read one where the log ends,
// and the next one after the server has gone on: a hole, with valid groups past it. A
// recovery must take that for damage where one group is written after the other, since a server
// never leaves one there. So Copy takes of each segment the groups that are valid from the first
// one on. If more of them follow, and say that there should be some before them, it reads again:
// they are there now, or are damaged. Damage is copied as it is. A hole at a segment's end with a
// segment after it, of which nothing says that it was on disk, has Copy begin again.
//
// A copy that ends early is none to a recovery: a segment that it needs is missing, or there
// are only files without their names.
//
// # Recovery
//
// The newest snapshot that is whole, then the log, each applied by as many goroutines as there
// are CPUs: of the log each has some of the shards. A record that is ahead of its turn waits,
// however far ahead; as much as a group can hold may wait. Since groups are closed, what waits at the end of
// a run is damage.
//
// A place without a valid group is the end of the log if no group follows it. If something
// follows, it is a torn tail or damage. It is damage if what follows says that the place was
// on disk before (synced), or if the machine has not been started since: without a power
// cut nothing is written out of order. Where several groups are written at once one is, by a
// kill or a fault: there only what follows can say that the place was on disk, and if the last
// groups of the log, as many as were under way together, are damaged they are taken for a torn
// tail, as the last one is in any case. It is also damage if a snapshot needs what is
// missing, unless a run that was begun since has judged that already; or if a later run has
// begun after it. Otherwise the power was cut, and has taken
// some of what was not synced: the log is cut there, and what follows goes with it. A torn
// tail is cut and reported. Damage is an error that names the place and says how much
// follows; Options.Truncate cuts there all the same.
//
// The header of a segment is a place like the others: it is not synced before the groups
// past it, so that power may take it and leave them. Their positions say where the segment
// begins. Only the first segment of a run is synced before its second group.
//
// A cut changes nothing: the segment of the next run says where the log goes on from. It also
// says that what is before it is on disk. So that is synced, and what nothing has said that of
// is first written once more, in its place: it may have been read from the system's cache, and
// have been dropped by a sync that failed, of which the next sync knows nothing.
//
// # Failure
//
// A short write, or no room: the log's end stays where it was, the group is kept and tried
// again, and writes are refused meanwhile. They are, too, while there is no room for a run to
// begin. Any other fault of a write, and any of a sync, is the end of the journal: it is never
// tried again, since the system may have dropped what it could not write. See Failed.
package journal
