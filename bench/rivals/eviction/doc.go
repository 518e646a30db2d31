// Package eviction compares policies of eviction by their hit ratios: the engine's own, as
// a model and as the engine itself, beside LRU, SIEVE, S3-FIFO, otter's W-TinyLFU and
// Belady's optimum. A request for a key that isn't there stores it.
//
//	TRACES=/folder go test ./eviction -run '^$' -bench HitRatio -benchtime 1x
//
// The traces are public ones that cache libraries test with; the folder may hold any of
// them, by the name of its format, packed or not:
//
//	oltp.arc.gz, p3.arc.gz      lines of a first block, a number of blocks, and two more
//	gli.lirs.gz, loop.lirs.gz   a key a line
//	corda.u64be.gz              keys of 8 bytes, the highest first
//	scarab.u64be.xz
//
// With corda and loop there is a mixed one, corda, loop five times, corda, which adaptive
// policies are judged by. Draws of a zipf distribution need no folder.
//
// Two traces are of a thousand keys, less than a store has shards. They are played by
// many clients in step, each with keys of its own, and the cache is as many times as
// large; LRU's hit ratio is the same then. See [Trace.Clients].
//
// # Tried and lost
//
// Mean hit ratios over the nine traces and four sizes, where what is there now has 50.8,
// otter 49.6, S3-FIFO 49.6, LRU 44.1 and SIEVE 36.4:
//
//   - A clock hand over 2-bit counters without newcomers and ghosts: 46.6; with counters
//     set to their highest by a touch, which is nearly LRU: 44.7.
//   - TinyLFU: a sketch of 2 bytes a key decides between the oldest of 16 newcomers and
//     the least frequent of four at the hand: 48.2.
//   - Choosing between two or three policies by set duelling among shards: 47.7 to 50.3.
//     The leaders of the worse policy cost more than the better one gains.
//   - Newcomers of 5, 15, 20 per cent: 50.75, 50.6, 50.3. A ghost of 50, 150, 200 per
//     cent of the keys: 48.8, 50.55, 50.1. Fingerprints of 8 bits: 50.5; of 16: 50.2,
//     since a loop profits from the few that are taken for another key.
package eviction
