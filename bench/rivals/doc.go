// Package rivals runs the engine's workload on other in-process maps and caches of the Go
// world, and the codec's on other parsers of JSON (codec_bench_test.go); rivals/clients
// compares clients. It is a module of
// its own so that a build of the server doesn't download them.
//
// Some of the stores are caches: freecache, bigcache and otter evict when they are
// full, and freecache and bigcache may also lose a key to another with the same
// hash. They are given room enough here. All are asked to overwrite 20-byte
// values under 16-byte keys, one key at a time, which is all they offer; the
// engine does so in batches of 1 and 32. Each implementation runs in a process
// of its own if memory is to be compared:
//
//	go test -bench 'Overwrite/impl=xsync' -benchtime 1x -maxkeys 10000000
//
// Metrics:
//
//	ns/key
//	bytes/key   resident memory of the process, without the keys that the benchmark holds
//	gc-us       a forced garbage collection
package rivals
