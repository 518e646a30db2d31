package netio_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"keyframe/netio"
)

// PROTOCOL.md section 5, and section 4's promise about RNM_KEY, through sockets.

// TestContract5OwnWritesInOrder: a connection sees its own writes at once.
func TestContract5OwnWritesInOrder(t *testing.T) {
	s := startServer(t, netio.Options{})
	var wg sync.WaitGroup
	for n := range 4 {
		c := dialLines(t, "tcp", s.tcp)
		wg.Go(func() {
			for i := range 500 {
				c.send(fmt.Sprintf(`{"SET":{"own_%06d":%d}}`, n, i))
				c.send(fmt.Sprintf(`{"GET":["own_%06d"]}`, n))
				c.recv()
				if got, want := c.recv(), fmt.Sprintf(`{"GET_RSP":{"st":0,"own_%06d":%d}}`, n, i); got != want {
					t.Errorf("got %s, want %s", got, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestContract5AddIsAtomic: of many connections that add the same keys, exactly
// one wins each.
func TestContract5AddIsAtomic(t *testing.T) {
	s := startServer(t, netio.Options{})
	const clients, keys = 6, 300
	wins := make(chan string, clients*keys)
	var wg sync.WaitGroup
	for range clients {
		c := dialLines(t, "tcp", s.tcp)
		wg.Go(func() {
			for i := range keys {
				c.send(fmt.Sprintf(`{"ADD":{"contended_%d":1}}`, i))
			}
			for range keys {
				if got := c.recv(); strings.Contains(got, `"st":1`) {
					wins <- got
				}
			}
		})
	}
	wg.Wait()
	close(wins)
	won := map[string]bool{}
	for w := range wins {
		if won[w] {
			t.Fatalf("won twice: %s", w)
		}
		won[w] = true
	}
	if len(won) != keys {
		t.Fatalf("%d keys won, want %d", len(won), keys)
	}
}

// TestContract4RenameIsAtomic: of many connections that rename the same key at once,
// exactly one succeeds, and the value is under its name and no other. Commands look at one
// key at a time, so they can't show that no reader sees both names or neither; the engine's
// stress test does.
func TestContract4RenameIsAtomic(t *testing.T) {
	s := startServer(t, netio.Options{})
	const clients, rounds = 4, 200
	conns := make([]*lineClient, clients)
	for i := range conns {
		conns[i] = dialLines(t, "tcp", s.tcp)
	}
	for round := range rounds {
		conns[0].send(fmt.Sprintf(`{"SET":{"renamed_%d":"value"}}`, round))
		conns[0].recv()
		winners := make([]bool, clients)
		var wg sync.WaitGroup
		for i, c := range conns {
			wg.Go(func() {
				c.send(fmt.Sprintf(`{"RNM_KEY":[{"renamed_%d":"winner_%d_%d"}]}`, round, round, i))
				winners[i] = strings.Contains(c.recv(), `"st":1`)
			})
		}
		wg.Wait()
		won := 0
		for i, c := range conns {
			c.send(fmt.Sprintf(`{"GET":["winner_%d_%d","renamed_%d"]}`, round, i, round))
			found, old := c.recv(), c.recv()
			if winners[i] != strings.Contains(found, `"value"`) || !strings.Contains(old, `"st":3`) {
				t.Fatalf("round %d, client %d won %v: %s %s", round, i, winners[i], found, old)
			}
			if winners[i] {
				won++
			}
		}
		if won != 1 {
			t.Fatalf("round %d: %d renames succeeded", round, won)
		}
	}
	conns[0].send(`{"COUNT":{}}`)
	if got := conns[0].recv(); got != fmt.Sprintf(`{"COUNT_RSP":{"st":0,"cnt":%d}}`, rounds) {
		t.Fatal(got)
	}
}
