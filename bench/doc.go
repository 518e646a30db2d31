// Package bench measures Keyframe layer by layer. Nothing of the server imports it.
//
// # What is where
//
//   - The Go suites, in this package's tests: the engine, the codec, and SET, GET,
//     ADD, RMV and mixes through every layer under the same names.
//   - load is the load generator, cmd/keyframe-benchmark its command line.
//   - iolimit is a server of canned answers: what no server on the event loop passes.
//   - figures measures what BENCHMARKS.md shows, into raw files under results;
//     report writes the document's tables and plots from them. Each is a module of its
//     own: plots and statistics bring fonts, LaTeX and PDF.
//   - rivals runs the engine's workload on other maps and caches, in a module of its
//     own, so that the server doesn't depend on them; rivals/eviction compares what
//     policies of eviction keep, and rivals/clients the Go client with rueidis.
//
// # Names
//
// BenchmarkSetOverwrite/impl=engine/batch=32/keys=1000000: what is measured,
// then key=value pairs for what varies. Records are 16-byte keys and 20-byte
// values unless a name says otherwise. In the engine's own benchmarks keys is the
// number in the store; in the suite, BenchmarkSet/layer=engine/…/store=1000000/keys=10,
// store is, and keys is the number in a command.
//
// Metrics:
//
//	ns/key, keys/s            by keys, not by batches
//	bytes/key                 resident memory of the whole process; in the suite the store's own
//	slowest-us                the slowest batch
//	p50-ns, p99-ns, p999-ns   of the time of a batch, or of a command through the sockets
//
// # Running
//
//	make bench                                              # the suite, 3 minutes
//	go test ./bench -bench . -benchtime 1x                  # smoke: does it run
//	go test ./bench -bench SetOverwrite -benchtime 2s -count 10 -cpu 1 -maxkeys 10000000
//	go test ./bench -bench 'Set$' -grid full -maxkeys 50000000 -timeout 0
//
// Stores of more than -maxkeys keys (1 M unless told) are skipped. Measure one
// size at a time where memory counts, and keep both cores of a small machine free:
// what shares the caches shows in every figure.
package bench
