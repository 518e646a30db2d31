// Package engine is Keyframe's store: a map from key bytes to value bytes, cut
// into shards, changed and read by batches of operations, in memory that the
// garbage collector doesn't look at.
//
// # Terms
//
//   - An operation is one Op: what is done to one key, of one of the kinds from Set to
//     Merge. It carries its arguments in and its Status (and a value read) out.
//   - A batch is a list of operations that arrived together. [Engine.Apply]
//     executes a batch in order; it is the only hot entry point.
//   - A shard is a lock and what it guards: a table and the records in it. The
//     number of shards is a power of two, fixed when the Engine is made; by default it
//     goes by the CPUs and by the ceiling.
//   - A table is a directory and segments; a segment is groups; a group is a
//     control word and seven slots; a slot refers to a record. An entry of the
//     directory names a segment; neighbours that name the same one are its span.
//   - A hash gives a key its shard, its position, which its slot keeps, and its
//     tag, which the control word keeps.
//   - A record is a key and its value, in one piece, and the deadline of those that have
//     one. A reference is its place: a count of 8-byte words in the Engine's memory.
//     Reference 0 is none.
//   - A form is a number that comes with a value and is kept with it, from 0 to 3. A key is
//     dead when its deadline is not after the batch's Now, and alive before.
//   - A chunk is 2 MiB of that memory, a huge page; a page is 4 KiB; a run is
//     neighbouring pages; a block is a run that small records are cut from.
//   - A stride is the eight operations that go through a stage of Apply together.
//   - A piece is an eighth, a quarter or half of a page, for a small directory or segment.
//   - The pool hands out runs and pieces; the maintainer is the goroutine that does what
//     no Apply should wait for, and the sweeper the one that drops what is dead.
//
// # The way of a key
//
//	key ─ xxhash64 under a seed, and secret factors ─► h
//
//	h:  63   …   48 │ 47  36 │ 35        15 │ 14     8 │ 7 │ 6   0
//	    shard       │   -    │ directory    │ group    │ - │ tag
//	                         └─ position: kept in the slot ─┘
//
//	shard ──► directory[bits × size / 2¹⁹] ──► segment ──► group ──► slot ──► record
//
//	directory entry   segment's reference ‹‹ 8 │ log₂ of its groups
//	group, 64 bytes   [ tag tag tag tag tag tag tag passed ][ slot ] × 7
//	slot, 8 bytes     position (26 bits) │ state:2 │ reference (36 bits)
//	record            value bytes:14 │ form:2 │ expires:1 │ class:7 │ key bytes:8 │ key … │ value … │ expiry, or none
//
// The hash depends on random bytes of each Engine, because clients choose the keys and must
// not be able to choose which of them share a shard or a group. It is xxhash64 with a sum
// of products added before the last mixing; both the seed and the factors are secret. The seed
// alone would not do: with it, 100,000 keys that agree in all 64 bits are made in a moment,
// once for all stores, and inserting them takes hundreds of times as long.
//
// What is promised: no keys that were chosen without asking the store cost more than
// random ones do, on average over the secrets, in time or in index. That two of them share
// a position is at most four times as likely as for random numbers, which is proven, see
// secrets; how evenly many of them spread is measured. They spread over the shards as well,
// so there is no lock that a flood can aim at. What is not promised: a client that can time
// single lookups, and asks for long enough, may find keys that lie near each other.
//
// A lookup compares all seven tags of a group at once, in a 64-bit word without
// branches, then the slot's 26 bits, then the whole key: this is a store, a
// collision must never mix up keys. A key whose group is full goes to the next
// group of its segment; the byte "passed" counts such keys, and a lookup goes on
// only past groups where it isn't zero. Removing counts down, so there are no
// tombstones. A tag is 0x80 and seven bits of hash; 0 is an empty slot.
//
// # Batches
//
// A store spends its time on one cache miss after the other. So Apply takes a batch
// through a window of four strides of eight operations, a stage for each: hash the
// keys and ask for the cache lines of their locks; look into the directories and ask
// for the groups; look into the groups, and into those that a key may have gone on to, and
// ask for the records that the tags there point to; execute, in order, one lock acquisition
// each. The misses of three strides are under way while a fourth is executed.
//
// The stages before execution take no lock and trust nothing that they read: the range
// of memory is mapped as a whole from the start, so any reference leads to an address
// that may be read, and execution looks again. They are left out until the store has
// once been above 2 MiB, for batches under 4, and without off-heap memory.
//
// On amd64 a shard's lock is taken with an atomic instruction and given back with a
// plain store, which costs 7 ns when no one else wants it, where sync.Mutex costs 12; see
// lock. Each operation takes a lock of its own: neighbours seldom share one of hundreds
// of shards, and sorting them would break the order that Apply promises.
//
// # Growth
//
// No operation waits for more than three segments to be gone through, or a directory. A
// segment doubles from 8 to 128 groups, which are 8 KiB and 896 slots, and then splits in two:
// half of the slots go to a new one. What the slots keep suffices for that: growing reads no record. A
// segment grows when a key must go more than four groups from its own and, by the number of
// the shard's keys, 26/32 of its slots are in use: its own keys are counted only for those
// that must go further. When one entry of the directory is all that a segment has, the
// directory doubles. It is the larger, the fewer shards there are: with 49,152 entries, of a shard
// of 10 M keys, that takes .4 ms. It doesn't become smaller when keys go.
//
// All segments of a shard grow at the same pace, so they split at nearly the same
// time, and right after that half of the slots are empty. In a store of 2 M keys or more two
// neighbours become three instead, and these four, see grow.go. (Those that were merged when
// many keys had gone mostly have unequal shares, and split: after nine tenths have gone and
// come again the index has 15.4 bytes a key, and 16.0 without pairs.) And directories begin with
// 8 to 15 entries, differently for each shard. So at any time some shards have just grown
// and others are about to: between 8 M and 16 M keys 69 % of all slots are in use, and 57 %
// where segments split. Going through three of them takes some 13 µs if they aren't cached,
// and splitting one took 7.
//
// Hashes that share all position bits can't be split. If splitting doesn't
// separate the keys, segments double instead, up to a chunk (229 000 slots);
// what doesn't fit there is refused with OutOfMemory. Directories are bounded to
// eight times their segments, so such keys can't fill memory with them.
//
// # Space
//
// Small records, up to 16 KiB, have size classes: multiples of 8 to 512 bytes, then
// eight classes for each doubling. A value overwrites the old one in place if
// it fits and leaves no more than an eighth unused. Freed records go on a list
// for their class. Blocks are as long as records of one size fill them.
//
// When more than a sixth of a shard's blocks is free, the maintainer copies its records
// into new blocks, a segment at a time, merges segments that became sparse, and gives
// the old blocks back as a whole. While that goes on, new records go to new blocks, and
// what is freed is abandoned with the old ones. The pool takes the lowest chunk with
// room; if an eighth of the pages are left free between others, a second round moves
// records, index and calendars down. Chunks that are wholly free go back to the system,
// except a few. A store whose maintainer wasn't called for 50 ms, or 250 where keys expire, is
// at rest, and gathered more closely: from a sixteenth of garbage and a thirty-second of
// scattered pages on, and from half of that on if it is more than a sixteenth of the room
// below the ceiling. A shard without keys gives back all its blocks and its index then, and
// a page whose pieces are all free goes back, too.
//
// What is promised: whatever was done before, a store at rest has room for seven eighths as
// many values, of any size, as a fresh one of the same content; or for all of them but one;
// or all of its room but a sixteenth of the ceiling. A run of pages is found only where
// so many are free side by side, so large values have room if the maintainer has gathered
// what is free, which takes one rest. The sixteenth is for stores that are nearly full:
// each shard rounds its blocks up to pages, and a ceiling gives a shard 16 pages at least, so
// that a quarter of a page a shard is a sixty-fourth of all; and what compaction leaves free
// in blocks is as much again.
//
// A value that becomes shorter when there is no room for another record keeps its own: what
// it doesn't need of that goes back at once if it is whole pages, otherwise the shard is
// compacted for it as for garbage. What a Clear leaves is given back by the maintainer, and
// by an operation that finds no memory before that: none is refused for what is cleared.
//
// An operation that is refused calls the maintainer, if it is the first since the latest
// rest, and a store that refuses needn't be left alone to be gathered as if it were at rest.
// That takes a tenth of the time at most.
//
// Larger records have a run of pages of their own, above 2 MiB whole chunks, and
// follow the same rule about overwriting in place. Runs that share a chunk with
// others are moved down in the second round.
//
// While the store grows the maintainer makes up to 16 chunks ready ahead: no Apply
// should wait while the system finds and clears 2 MiB. If the maintainer can't keep up,
// the hot path faults the chunk in itself.
//
// [Options.MaxBytes] bounds the chunks, except one that is on its way back to the
// system at the moment. A chunk that is being made ready may be taken when there is no
// other. An operation that needs more gets the status OutOfMemory and changes nothing,
// and so it does if the system refuses. A value that becomes shorter is always taken.
//
// Below the ceiling there is a reserve, room for the copy of a shard, that only
// compactions may have, for records and for index. So a store at its ceiling can still
// turn what was freed in one size into space for others. While one runs, its shard's new
// records and what its index grows by get no pages that the copies to come may need. They get nothing at all when hardly more is left than
// that: a third and two blocks more than the records. Stores of fewer than 8 shards have
// less of a reserve, and may be refused new sizes. A compaction that there is no memory
// for waits for more garbage in its shard, or for memory from elsewhere.
//
// A store that is filled from disk may exceed its ceiling until it is loaded, see
// [Engine.MakeRoom]: it comes in a second to what it had, with more garbage than it had.
//
// For 16-byte keys and 20-byte values: 40 bytes of record, 48 with a deadline, 13.0 to 13.4 of
// index (12.7 in a store that is made to size), half a byte of blocks not used yet, and 2 of the
// process: 55.6 to 55.7 bytes a key at 10 M keys in the server.
//
// # Consistency
//
// Every operation is atomic and linearizable on its key: it happens at one
// moment between the start and the return of the Apply that executes it. A
// batch is not a transaction; other goroutines may run between its operations.
// A rename holds the locks of both its shards, lower index first, so no one sees
// both names or neither. Clear holds every lock, in the same order, so that no
// rename can carry a key from a shard not yet cleared into one already cleared.
// It only detaches what the shards have; the maintainer gives it back, or Clear
// itself when two of them are waiting already. Until then it counts to the ceiling.
// Len and Stats read one shard after another: under concurrent writes they are
// a count of keys that existed at slightly different moments.
//
// The integers of Incr are kept as text. To read one of 5 digits and to write its successor
// takes 35 ns, 50 of 10 digits and 65 of 19, where an integer in binary would take 4; of an Incr
// of one of 1 M keys, 102 ns, that is a third. But every Get would have to write the text then, and Set,
// CompareSet and a journal to know of the form; and text of up to 7 digits is the shorter one.
//
// A Merge, whose new value the caller makes, has the old one copied, lets [Options.Merge]
// work on the copy without the lock, and stores what that has made if the value is the same
// still; or it starts again. A Take or Swap may ask that it can tell what was there: then
// [Options.Readable] judges the value under the lock, before anything is changed.
// [Engine.ClearSet] holds every lock until its batch is stored.
//
// # Scans
//
// A scan goes through a shard in the order of positions, which are a key's own: they stay
// what they are when segments split and merge, directories double and records move. So how
// far it has come is a number, [Cursor], that needs no snapshot and nothing kept between the
// calls, and what exists throughout is seen exactly once. A step copies up to 256 keys of one
// segment under the lock. To find those of the next positions it sorts slots, not records,
// by counting; keys that share a position are not told apart, and come together.
//
// # Deadlines
//
// A dead key exists for no operation. The first that meets one drops its record and goes on
// as if it had not been there: so a Set answers Created. That costs the others one test of a
// bit; a record with a deadline has 8 bytes more, at its end, where they move neither key
// nor value. Time comes with each batch, so that a turn of the caller is one moment.
//
// What no operation meets, the sweeper drops: a goroutine like the maintainer, which goes by
// [Options.Clock], five times a second, in steps of 32 records. It doesn't look for what is
// dead: each shard has a calendar, 8 bytes for each of its records that expire, and a step
// costs what it finds. See calendar. A step holds the lock for 5 µs, 8 to 12 at p99, and
// longer mostly where an interrupt or another thread takes its processor away.
//
// # Eviction
//
// With [Options.Evict] an insert that finds no room evicts keys of its own shard, at most 64
// of them, and uses their room: of its own size, or cut from a larger one. A large value
// may have large ones of other shards evicted, too.
//
// [EvictVolatile] takes of five keys with a deadline that it meets the one whose is next.
// [EvictAll] is S3-FIFO without its queues, see state in evict.go: two bits in the slot, and
// a filter of fixed length a shard, a thirty-second of the ceiling in all, which has the
// order of the newcomers and fingerprints of keys that were evicted. It has no lists, and a
// key that is asked for costs a write to its slot three times at most. bench/rivals/eviction
// compares what it keeps with other policies. Each eviction asks for the cache lines that its
// shard's next one will need, and the stages before execution for what the ghost knows of keys
// whose tag they don't find.
//
// A segment that finds no memory to grow becomes nearly full, and keys come to lie far from their
// own groups. So the slot of an evicted newcomer takes a key back that has gone past its group,
// see evictSlot. Where a shard is so large that there is no room to compact it, as one of 4 MiB at
// a ceiling of 16, its index may find none for long: then keys make room in the groups near
// theirs, and neither is the hand moved nor the ghost's length adapted.
//
// What is freed in one size doesn't make room for a larger one at once. For that another
// thirty-second of the ceiling is kept, the loan, of which such an insert takes what it
// needs. What it has not evicted as much for is its shard's debt, paid by the inserts that
// follow. While half of the loan is out, shards are compacted for a thirty-second of garbage
// already. An insert that finds its shard in the middle of a compaction, and no room, ends
// that: what was moved up to then serves on at its new place, and where it was is free.
//
// Where records share pages, what is evicted makes room for other sizes only when its shard has
// been compacted. So an operation that would be refused waits for the maintainer if its shard is
// to be compacted or just is; where that gets no processor, a third of them found no room. One
// that needs a run of pages has large values of other shards evicted first, four times as
// much as it needs at most, since what goes need not lie side by side. If neither helps, and it
// needs more than a page, up to 16 shards evict as much as it needs, at most 256 keys each, are
// compacted, and are waited for; and that once more. All of it takes a millisecond an Apply, and a
// round. Of 200 values of 200 kB that came to a store of 16 MiB full of values of 20 bytes, 186
// were refused without that, with it 14 to 25; of 20 kB 69 and 7 to 15. No operation has its own
// key evicted.
//
// What can still be refused: a value that is many times as long as those there are, while such
// values come faster than shards are compacted, above all if many come in one Apply, of which the
// millisecond is soon over: of the 200 above, in batches of 10, 150. One above 2 MiB, which takes
// whole chunks; one of more than a quarter of the ceiling; and what [Engine.ClearSet] stores in
// records up to 16 KiB: it holds all locks, so no shard is compacted, and if its values are more
// than there is room for, and of many sizes, a seventh of them found none.
//
// # Effects
//
// With [Options.RecordEffects] a batch notes what it changes, for whoever keeps a copy
// of the store: a journal, another server. Whatever the operation was, its effect is that a
// key has this value with this form and deadline, or is gone. That a key dies is none. Every shard counts its changes under its lock,
// without a gap. So the order in which they are handed on does not matter: what was done
// to each shard, in the order of its numbers, makes the same store. One number for the
// whole store would be a cache line that all CPUs write. A store without the option pays
// for one comparison an operation.
//
// # Simulation
//
// With [Options.Simulation] nothing runs by itself, the secrets of the hash are drawn from
// its seed, and a store is a function of the calls that are made: [Engine.Maintain] is a
// round of the sweeper's work and of the maintainer's, and what others do between its steps
// is called from there. So a test of what happens in the middle of a compaction is repeated
// exactly.
//
// # Ownership of bytes
//
// Bytes in, bytes out; the engine knows nothing of JSON, frames or sockets. It
// keeps no slice that it was handed: what it stores it copies. It hands out no
// slice of its own memory: values read are copied into the batch. A batch refers to the
// caller's memory until [Batch.Own] copies what it needs.
//
// # Limits
//
// Keys (up to 4 GiB) and values are any bytes, empty ones included; limits on their
// lengths are the caller's. An Engine names 512 GiB of memory and 2¹⁹ directory
// entries per shard. A large value is copied under its shard's lock: 1 MiB in
// 20 µs. A batch may hold any number of operations, and the bytes that one
// Apply reads and otherwise works on are bounded by [Batch.ReadLimit].
//
// # Tried and lost
//
// On a Xeon (Sapphire Rapids or later, 2 virtual CPUs), overwrites in batches of 32,
// ns a key at 10 k, 1 M and 10 M keys; each line was measured in one run with what
// is there now:
//
//   - Two strides of 16, all stages of one before the next: 27, 70, 111, not 27, 49, 85.
//   - One stride of 32: 27, 63, 99. Strides of 4: 28, 58, 95; of 16: 28, 55, 89.
//   - sync.Mutex instead of the lock that is there: 26.7, 51, 85, not 23.7, 42, 82.
//   - No lock at all, which would be wrong: 21.5, 40, 77. So much is left to gain.
//   - The stages for stores that fit the caches: 28 at 10 k keys, not 23.5.
//   - Other numbers of shards than 256 for each of two CPUs. Two goroutines, million keys
//     a second with 64, 256, 512 and 1024 for each: 10 k keys 27, 49, 51, 53; 1 M 32, 34,
//     32, 41; 10 M 18.9, 20.2, 21.1, 20.5. One goroutine at 10 M: 12.4, 11.8, 11.4, 10.5.
//     Memory at 10 M, bytes a key: 58.9, 59.9, 62.3 with 1024 in all.
//   - Segments that split, however large the store: 16.1 bytes of index a key at 10 M, not 13.0,
//     and 163 ns an insert into a store that grows to that, not 170 to 176; of 1 M keys 118 both.
//     Segments of up to 8 pages that grow by a page at a time: 11.9, but a key is moved five
//     times while a store doubles: 169 ns an insert of 1 M keys, not 118.
//   - Pairs in stores below 2 M keys, too: 126 to 129 ns an insert of 1 M keys in 64 shards.
//   - Segments of large stores crowded from 28/32 on: 12.8 bytes of index; overwrites at 10 M
//     keys 80.9 ns, where 26/32 gave 77.1. From 28/32 on in all: 126 ns an insert of 1 M keys.
//   - The other line of a group's pair before the next group: 138 ns an insert, where the next
//     group first gave 127.
//   - Slots left beyond their own group when others leave that: 138 ns an insert, not 129, and
//     reads 6 % slower.
//   - Blocks of 2 pages for short records: .14 bytes a key less, 1 ns an insert more.
//   - 4 chunks ready ahead instead of 16, where the host of a virtual machine has to find
//     their memory: 4.5 ms each, 0.2 if it was in use before. Filling 10 M keys, of
//     600,000 batches of 32 there took over 1.5 ms: 38 with 4, 4 with 16.
//   - The hash's keyed sum in functions that are called: 1.12 times the time of an overwrite
//     at 10 k keys without a sum, now 1.01. The sum with the carries that make two hashes
//     exactly independent: a hash of 16 bytes 7.2 ns, not 6.5, and 5.0 without a sum.
//
// On an EPYC (Zen 4):
//
//   - Hints by loading a byte of each address instead of prefetch instructions:
//     1 M keys: 112 ns a key instead of 106.
//   - Not asking for the locks' lines: two goroutines 1.5 times one, not 1.9.
//   - The library's seeded Digest for short keys: three times the time of the same
//     hash written out.
//
// Deadlines, by what they would cost (reckoned, not measured): the earliest deadline of a
// segment, or a bit in the slot, has every record read that has a deadline, once a second,
// if they end evenly: 10 M cache misses a second for 10 M keys. A wheel of lists through the
// records takes two references more of each, and two more misses to take one out. A heap of
// reminders for each shard would do, for 14 misses at 20,000 keys where a band has none.
//
// Not tried: a lock in the group's own cache line, which would spare two goroutines
// the line of the shard's, but needs epochs before index memory may be used again.
// Not tried either: slots of 7 bytes, 8 to a group, which would spare another 1.6 bytes of index
// a key, but leave 18 bits for the position, and a group no byte for what has passed.
// Not yet measured: segments of other sizes.
package engine
