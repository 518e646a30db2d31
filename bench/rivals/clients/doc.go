// Package clients compares the Go client, netio/client, with rueidis, the fastest of Redis's:
// one connection each, one command a call, from 1, 16 and 256 goroutines. It needs servers
// that run already, on a core of their own:
//
//	taskset -c 0 keyframe-server --loops 1 --listen 127.0.0.1:19870 &
//	taskset -c 0 redis-server --port 19871 --save "" --appendonly no &
//	taskset -c 1 go test -bench . -keyframe 127.0.0.1:19870 -redis 127.0.0.1:19871
//
// Without -keyframe and -redis its benchmarks are skipped. -redis may name any server of
// Redis's protocol, Keyframe itself too.
package clients
