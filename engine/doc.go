// Package engine is Keyframe's store: a map from key bytes to value bytes, cut
// into shards, changed and read by batches of operations.
//
// # Terms
//
//   - An operation is one Op: set, add, get, remove, contains or rename of one
//     key. It carries its arguments in and its Status (and a value read) out.
//   - A batch is a list of operations that arrived together. [Engine.Apply]
//     executes a batch in order; it is the only hot entry point.
//   - A shard is a lock and the keys that it guards. The number of shards is a
//     power of two, fixed when the Engine is made.
//
// # The way of a key
//
//	key ── seeded xxhash64 ──► h ── top bits ──► shard ── lock ──► records
//
// The hash is seeded with random bytes for each Engine, because clients choose
// the keys and must not be able to choose which of them share a shard. The seed
// goes in through the xxhash digest: mixing a seed into an unseeded sum would
// leave the published 64-bit collisions of xxhash colliding for every seed.
//
// # Consistency
//
// Every operation is atomic and linearizable on its key: it happens at one
// moment between the start and the return of the Apply that executes it. A
// batch is not a transaction; other goroutines may run between its operations.
// A rename holds the locks of both its shards, lower index first, so nobody sees
// both names or neither. Clear holds every lock, in the same order, so that no
// rename can carry a key from a shard not yet cleared into one already cleared.
// Len and Stats read one shard after another: under concurrent writes they are
// a count of keys that existed at slightly different moments.
//
// # Ownership of bytes
//
// Bytes in, bytes out; the engine knows nothing of JSON, frames or sockets. It
// keeps no slice that it was handed: what it stores it copies. It hands out no
// slice of its own memory: values read are copied into the batch.
//
// # Limits
//
// Keys and values are any bytes, empty ones included, up to the memory of the
// process; limits on their lengths are the caller's. A batch may hold any number
// of operations, and the bytes that one Apply reads are bounded by
// [Batch.ReadLimit].
package engine
