// Package bench measures Keyframe layer by layer. Nothing imports it.
//
// # Names
//
// BenchmarkSetOverwrite/impl=engine/batch=32/keys=1000000: what is measured,
// then key=value pairs for what varies. Records are 16-byte keys and 20-byte
// values unless a name says otherwise. Metrics: ns/key (the time divided by the
// keys, not by the batches), bytes/key (resident memory of the whole process
// divided by the keys), slowest-us (the slowest batch).
//
// # Running
//
//	go test ./bench -bench Engine -benchtime 1x             # smoke: does it run
//	go test ./bench -bench SetOverwrite -benchtime 2s -count 10 -cpu 1 -maxkeys 10000000
//
// Stores of more than -maxkeys keys (1 M unless told) are skipped. Measure one
// size at a time where memory counts, and keep both cores of a small machine free:
// what shares the caches shows in every figure. Rivals live in bench/rivals, a
// module of their own, so that the server doesn't depend on them.
package bench
