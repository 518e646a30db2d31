package clients

import (
	"context"
	"flag"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"keyframe/bench"
	"keyframe/netio/client"
)

var (
	keyframeAddr = flag.String("keyframe", "", "address of a Keyframe server")
	redisAddr    = flag.String("redis", "", "address of a server of Redis's protocol")
)

const keyCount = 100_000

var text = fmt.Sprintf("%0*d", bench.ValueBytes, 1) // the value of each key

// rival is one connection to a server.
type rival struct {
	set, get func(ctx context.Context, key string) error
	close    func()
}

func dialKeyframe(tb testing.TB, addr string) rival {
	c, err := client.Dial(context.Background(), addr, client.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	value := client.String(text)
	return rival{
		set: func(ctx context.Context, key string) error { return c.Set(ctx, key, value) },
		get: func(ctx context.Context, key string) error {
			got, err := c.Get(ctx, key)
			if err == nil && len(got) != len(value) {
				err = fmt.Errorf("%s is %s", key, got)
			}
			return err
		},
		close: func() { _ = c.Close() },
	}
}

func dialRueidis(tb testing.TB, addr string) rival { return rueidisWith(tb, addr, 0) }

// dialGathering has rueidis wait for 20 µs after a write, which its documentation suggests where
// there is much to send.
func dialGathering(tb testing.TB, addr string) rival {
	return rueidisWith(tb, addr, 20*time.Microsecond)
}

func rueidisWith(tb testing.TB, addr string, delay time.Duration) rival {
	c, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{addr}, DisableCache: true, PipelineMultiplex: -1, MaxFlushDelay: delay, // one connection
	})
	if err != nil {
		tb.Fatal(err)
	}
	return rival{
		set: func(ctx context.Context, key string) error {
			return c.Do(ctx, c.B().Set().Key(key).Value(text).Build()).Error()
		},
		get: func(ctx context.Context, key string) error {
			got, err := c.Do(ctx, c.B().Get().Key(key).Build()).ToString()
			if err == nil && len(got) != len(text) {
				err = fmt.Errorf("%s is %s", key, got)
			}
			return err
		},
		close: c.Close,
	}
}

func BenchmarkClient(b *testing.B) {
	keys := make([]string, keyCount)
	for i := range keys {
		key := make([]byte, bench.KeyBytes)
		bench.Key(key, i)
		keys[i] = string(key)
	}
	for _, impl := range []struct {
		name, addr string
		dial       func(testing.TB, string) rival
	}{{"keyframe", *keyframeAddr, dialKeyframe}, {"rueidis", *redisAddr, dialRueidis}, {"rueidis-20us", *redisAddr, dialGathering}} {
		for _, goroutines := range []int{1, 16, 256} {
			for _, op := range []string{"SET", "GET"} {
				b.Run(fmt.Sprintf("op=%s/impl=%s/goroutines=%d", op, impl.name, goroutines), func(b *testing.B) {
					if impl.addr == "" {
						b.Skip("no address is given: see doc.go")
					}
					c := impl.dial(b, impl.addr)
					defer c.close()
					do := c.get
					if op == "SET" {
						do = c.set
					}
					run(b, c.set, keys, goroutines, len(keys))
					b.ReportAllocs()
					b.ResetTimer()
					run(b, do, keys, goroutines, b.N)
					b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
				})
			}
		}
	}
}

// run makes n calls from goroutines.
func run(b *testing.B, do func(context.Context, string) error, keys []string, goroutines, n int) {
	var next atomic.Int64
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			ctx := context.Background()
			for at := g * 7919; next.Add(1) <= int64(n); at += 104_729 {
				if err := do(ctx, keys[at%len(keys)]); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}
