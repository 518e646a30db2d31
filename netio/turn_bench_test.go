package netio

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"keyframe/netio/access"
	"keyframe/netio/frame"
)

// BenchmarkTurn is a turn without its read and write: cutting, decoding,
// executing and answering commands of SET, per key.
func BenchmarkTurn(b *testing.B) { benchmarkTurns(b, Options{}) }

// BenchmarkTurnOfUser is the same of a user with one prefix, as it is compared with each key.
func BenchmarkTurnOfUser(b *testing.B) {
	users, err := access.Parse([]byte(`{"users":[{"name":"bob","allow":{"write":["key:"]}}]}`))
	if err != nil {
		b.Fatal(err)
	}
	benchmarkTurns(b, Options{Users: users})
}

func benchmarkTurns(b *testing.B, opts Options) {
	for _, name := range []string{"lines", "websocket"} {
		for _, shape := range []struct{ keys, depth int }{{1, 1}, {1, 64}, {10, 16}, {100, 4}} {
			b.Run(fmt.Sprintf("framing=%s/keys=%d/depth=%d", name, shape.keys, shape.depth), func(b *testing.B) {
				h := newHarness(b, opts)
				h.conn.framing = map[string]framing{"lines": &lineFraming{maxBytes: 1 << 20}, "websocket": newWSFraming(&h.srv.opts)}[name]
				if opts.Users != nil {
					h.conn.identity.login = opts.Users.ByCertificate("bob")
				}
				rng := rand.New(rand.NewPCG(1, 1))
				var turns, lent [][]byte
				for range 100 {
					var in []byte
					for range shape.depth {
						set := []byte(`{"SET":{`)
						for k := range shape.keys {
							if k > 0 {
								set = append(set, ',')
							}
							set = fmt.Appendf(set, `"key:%012d":"value:%014d"`, rng.IntN(10_000), rng.IntN(1000))
						}
						set = append(set, "}}"...)
						if name == "lines" {
							in = append(append(in, set...), '\n')
						} else {
							in = append(in, clientFrame(true, frame.Text, set, testKey)...)
						}
					}
					turns, lent = append(turns, in), append(lent, bytes.Clone(in))
				}
				perTurn := shape.keys * shape.depth
				done := 0
				for i := 0; b.Loop(); i++ {
					in := lent[i%100]
					if name == "websocket" {
						copy(in, turns[i%100]) // the turn before unmasked it in place
					}
					used, more := h.loop.turn(h.conn, in)
					if used != len(in) || more {
						b.Fatal("the turn is not over")
					}
					h.loop.pipe.out = h.loop.pipe.out[:0]
					done += perTurn
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(done), "ns/key")
			})
		}
	}
}

// BenchmarkTurnHTTP is a turn of requests about keys.
func BenchmarkTurnHTTP(b *testing.B) {
	const get = "GET /kv/key:%012d HTTP/1.1\r\nHost: 127.0.0.1:1987\r\n\r\n"
	const put = "PUT /kv/key:%012d HTTP/1.1\r\nHost: 127.0.0.1:1987\r\nContent-Length: 22\r\n\r\n\"value:00000000000001\""
	for _, method := range []string{"get", "put"} {
		for _, depth := range []int{1, 16} {
			b.Run(fmt.Sprintf("method=%s/depth=%d", method, depth), func(b *testing.B) {
				h := newHarness(b, Options{})
				rng := rand.New(rand.NewPCG(1, 1))
				turn := func(in []byte) {
					used, more := h.loop.turn(h.conn, in)
					if used != len(in) || more {
						b.Fatal("the turn is not over")
					}
					h.loop.pipe.out = h.loop.pipe.out[:0]
				}
				for k := range 10_000 {
					turn(fmt.Appendf(nil, put, k))
				}
				var turns [][]byte
				for range 100 {
					var in []byte
					for range depth {
						in = fmt.Appendf(in, map[string]string{"get": get, "put": put}[method], rng.IntN(10_000))
					}
					turns = append(turns, in)
				}
				done := 0
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					turn(turns[i%100])
					done += depth
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(done), "ns/request")
			})
		}
	}
}
