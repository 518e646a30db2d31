package redisclients

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"

	"keyframe/netio"
	"keyframe/netio/access"
	"keyframe/netio/netiotest"
)

// start serves an empty store until the test ends.
func start(t *testing.T) (addr string) {
	t.Helper()
	s, _ := netiotest.Start(t, netio.Options{})
	return s.Addrs()[0].String()
}

const password = "correct horse"

// startSecured serves TLS and a user bob, who may use the keys that begin with own:.
func startSecured(t *testing.T) (addr string, config *tls.Config, caFile string) {
	t.Helper()
	path, own := filepath.Join(t.TempDir(), "users.json"), []string{"own:"}
	err := access.Change(path, true, func(f *access.File) error {
		return f.Add("bob", []byte(password), access.Rights{Read: own, Write: own, Scan: own}, false)
	})
	if err != nil {
		t.Fatal(err)
	}
	users, err := access.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	ca := netiotest.NewCA(t)
	cert, key := ca.Server("server")
	s, _ := netiotest.Start(t, netio.Options{Listen: []string{"tls://127.0.0.1:0"}, TLSCert: cert, TLSKey: key, Users: users})
	return s.Addrs()[0].String(), &tls.Config{RootCAs: ca.Pool, ServerName: "localhost"}, ca.File
}

func context30(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// TestGoRedis: go-redis, in both versions of the protocol.
func TestGoRedis(t *testing.T) {
	for _, version := range []int{2, 3} {
		ctx := context30(t)
		c := goredis.NewClient(&goredis.Options{Addr: start(t), Protocol: version, ClientName: "go"})
		defer c.Close()
		check := func(what string, got any, err error, want any) {
			t.Helper()
			if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("RESP%d, %s: %v, %v, want %v", version, what, got, err, want)
			}
		}
		set, err := c.Set(ctx, "a", "1", time.Minute).Result()
		check("SET", set, err, "OK")
		get, err := c.Get(ctx, "a").Result()
		check("GET", get, err, "1")
		if _, err = c.Get(ctx, "none").Result(); err != goredis.Nil {
			t.Errorf("RESP%d: a missing key: %v", version, err)
		}
		n, err := c.IncrBy(ctx, "a", 41).Result()
		check("INCRBY", n, err, 42)
		ttl, err := c.TTL(ctx, "a").Result()
		check("TTL", ttl, err, time.Minute)
		is, err := c.SetNX(ctx, "a", "x", time.Minute).Result()
		check("SETNX", is, err, false)
		is, err = c.ExpireGT(ctx, "a", time.Second).Result()
		check("EXPIRE GT", is, err, false)
		f, err := c.IncrByFloat(ctx, "f", 1.5).Result()
		check("INCRBYFLOAT", f, err, 1.5)
		mset, err := c.MSet(ctx, "b", "2", "c", "\xff\x00").Result()
		check("MSET", mset, err, "OK")
		values, err := c.MGet(ctx, "b", "none", "c").Result()
		check("MGET", values, err, []any{"2", nil, "\xff\x00"})
		pipe := c.Pipeline()
		for i := range 1000 {
			pipe.Set(ctx, fmt.Sprintf("p%d", i), i, 0)
		}
		last := pipe.Get(ctx, "p999")
		_, err = pipe.Exec(ctx)
		check("a pipeline", last.Val(), err, "999")
		seen := 0
		for it := c.Scan(ctx, 0, "p*", 100).Iterator(); it.Next(ctx); {
			seen++
		}
		check("SCAN", seen, nil, 1000)
		size, err := c.DBSize(ctx).Result()
		check("DBSIZE", size, err, 1004)
		config, err := c.ConfigGet(ctx, "databases").Result()
		check("CONFIG GET", config, err, "map[databases:1]")
		commands, err := c.Command(ctx).Result()
		if err != nil || commands["mget"] == nil {
			t.Errorf("RESP%d, COMMAND: %v", version, err)
		}
		if _, err = c.TxPipelined(ctx, func(p goredis.Pipeliner) error { p.Set(ctx, "x", 1, 0); return nil }); err == nil {
			t.Errorf("RESP%d: MULTI succeeds", version)
		}
		if err = c.FlushAll(ctx).Err(); err != nil {
			t.Error(err)
		}
	}
}

// TestSecured: clients through TLS and as a user, who has some keys and no others.
func TestSecured(t *testing.T) {
	addr, config, caFile := startSecured(t)
	for _, version := range []int{2, 3} {
		t.Run(fmt.Sprintf("go-redis, RESP%d", version), func(t *testing.T) {
			ctx := context30(t)
			c := goredis.NewClient(&goredis.Options{Addr: addr, Protocol: version, TLSConfig: config, Username: "bob", Password: password})
			defer c.Close()
			if err := c.Set(ctx, "own:a", "1", 0).Err(); err != nil {
				t.Error(err)
			}
			if n, err := c.Incr(ctx, "own:a").Result(); err != nil || n != 2 {
				t.Errorf("INCR: %d, %v", n, err)
			}
			if err := c.Get(ctx, "others").Err(); err == nil || !strings.HasPrefix(err.Error(), "NOPERM") {
				t.Errorf("another key: %v", err)
			}
			wrong := goredis.NewClient(&goredis.Options{Addr: addr, Protocol: version, TLSConfig: config, Username: "bob", Password: "wrong"})
			defer wrong.Close()
			if err := wrong.Get(ctx, "own:a").Err(); err == nil || !strings.Contains(err.Error(), "WRONGPASS") {
				t.Errorf("a wrong password: %v", err)
			}
		})
	}
	t.Run("rueidis", func(t *testing.T) {
		ctx := context30(t)
		c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{addr}, DisableCache: true, TLSConfig: config, Username: "bob", Password: password})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Do(ctx, c.B().Set().Key("own:r").Value("v").Build()).Error(); err != nil {
			t.Error(err)
		}
		if err := c.Do(ctx, c.B().Get().Key("others").Build()).Error(); err == nil || !strings.HasPrefix(err.Error(), "NOPERM") {
			t.Errorf("another key: %v", err)
		}
	})
	t.Run("redis-cli", func(t *testing.T) {
		at := append(hostPort(t, addr), "--tls", "--cacert", caFile, "--sni", "localhost", "--no-auth-warning", "--user", "bob", "--pass", password)
		for _, c := range []struct{ args, want string }{
			{"set own:c v", "OK"}, {"get own:c", "v"}, {"--scan --pattern own:c*", "own:c"},
			{"get others", "NOPERM this user has no permissions to access one of the keys used as arguments"},
		} {
			out, err := exec.Command(tool(t, "redis-cli"), append(at, strings.Fields(c.args)...)...).CombinedOutput()
			if got := strings.TrimSpace(string(out)); err != nil || got != c.want {
				t.Errorf("%s: %q, %v, want %q", c.args, got, err, c.want)
			}
		}
	})
}

// TestRueidis: rueidis, which writes the calls of many goroutines at once. It wants its own
// cache off, since the server tracks no keys for it.
func TestRueidis(t *testing.T) {
	ctx := context30(t)
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{start(t)}, DisableCache: true, ClientName: "rue"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var all sync.WaitGroup
	for g := range 32 {
		all.Go(func() {
			for i := range 100 {
				key := fmt.Sprintf("key:%d:%d", g, i)
				if err := c.Do(ctx, c.B().Set().Key(key).Value(key).ExSeconds(100).Build()).Error(); err != nil {
					t.Error(err)
					return
				}
				if got, err := c.Do(ctx, c.B().Get().Key(key).Build()).ToString(); err != nil || got != key {
					t.Errorf("%s: %q, %v", key, got, err)
					return
				}
			}
		})
	}
	all.Wait()
	for _, answer := range c.DoMulti(ctx, c.B().Incr().Key("n").Build(), c.B().Incr().Key("n").Build(), c.B().Expire().Key("n").Seconds(9).Build()) {
		if answer.Error() != nil {
			t.Error(answer.Error())
		}
	}
	if n, err := c.Do(ctx, c.B().Get().Key("n").Build()).AsInt64(); err != nil || n != 2 {
		t.Errorf("INCR: %d, %v", n, err)
	}
	if page, err := c.Do(ctx, c.B().Scan().Cursor(0).Match("key:1:*").Count(10000).Build()).AsScanEntry(); err != nil || len(page.Elements) != 100 {
		t.Errorf("SCAN: %d keys, %v", len(page.Elements), err)
	}
}

// tool returns a program's path, or skips the test.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("CI runs without %s", name)
		}
		t.Skipf("%s is missing: Debian's redis-tools has it", name)
	}
	return path
}

func hostPort(t *testing.T, addr string) []string {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return []string{"-h", host, "-p", port}
}

// TestRedisCLI: a session of redis-cli, and its inline commands through a pipe.
func TestRedisCLI(t *testing.T) {
	cli, at := tool(t, "redis-cli"), hostPort(t, start(t))
	for _, c := range []struct{ args, want string }{
		{"set k v", "OK"}, {"get k", "v"}, {"-3 get none", ""}, {"incr n", "1"}, {"expire n 100", "1"}, {"ttl n", "100"}, {"mset a 1 b 2", "OK"}, {"mget a none b", "1\n\n2"},
		{"-3 config get databases", "databases 1"}, {"--scan --pattern a*", "a"}, {"type k", "string"}, {"lpush l x", "ERR unknown command 'lpush', with args beginning with: 'l' 'x'"},
		{"client getname", ""}, {"dbsize", "4"}, {"flushall", "OK"},
	} {
		out, err := exec.Command(cli, append(at, strings.Fields(c.args)...)...).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != c.want {
			t.Errorf("%s: %q, %v, want %q", c.args, got, err, c.want)
		}
	}
	cmd := exec.Command(cli, append(at, "--pipe")...)
	var input strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&input, "SET key:%d v%d\r\n", i, i)
	}
	cmd.Stdin = strings.NewReader(input.String())
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "errors: 0, replies: 10000") {
		t.Errorf("--pipe: %v, %s", err, out)
	}
	if out, err := exec.Command(cli, append(at, "--bigkeys")...).CombinedOutput(); err != nil || !strings.Contains(string(out), "10000 strings") {
		t.Errorf("--bigkeys: %v, %s", err, out)
	}
}

// TestRedisBenchmark: its tests run, alone and deep, without an error. What it took less than a
// millisecond for it calls inf.
func TestRedisBenchmark(t *testing.T) {
	benchmark, at := tool(t, "redis-benchmark"), hostPort(t, start(t))
	for _, depth := range []int{1, 64} {
		out, err := exec.Command(benchmark, append(at, "-t", "ping,set,get,incr,mset", "-n", "2000", "-c", "10", "-r", "1000", "-P", strconv.Itoa(depth), "--csv")...).CombinedOutput()
		rows := regexp.MustCompile(`(?m)^"(PING_INLINE|PING_MBULK|SET|GET|INCR|MSET \(10 keys\))","([0-9.]+|inf)",`).FindAllString(string(out), -1)
		if err != nil || len(rows) != 6 {
			t.Errorf("%d deep: %v, %s", depth, err, out)
		}
	}
}
