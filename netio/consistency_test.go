package netio_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"keyframe/netio"
)

// Section 5 of the wire contract, and RNM_KEY's promise, through sockets.

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

// TestContract4RenameIsAtomic: while a key goes back and forth between two names,
// adding under either... would see both or neither; RNM_KEY must find exactly one.
func TestContract4RenameIsAtomic(t *testing.T) {
	s := startServer(t, netio.Options{})
	const rounds = 2000
	mover := dialLines(t, "tcp", s.tcp)
	mover.send(`{"SET":{"name_here":1}}`)
	mover.recv()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range rounds {
			if i%2 == 0 {
				mover.send(`{"RNM_KEY":[{"name_here":"name_there"}]}`)
			} else {
				mover.send(`{"RNM_KEY":[{"name_there":"name_here"}]}`)
			}
		}
	}()
	go func() {
		for range rounds {
			if _, err := mover.r.ReadString('\n'); err != nil {
				return
			}
		}
	}()
	// A rename of a missing key onto itself fails and changes nothing, so a
	// reader that asks for here, there, here in one command must see the key
	// at least once unless it moved twice in between; that both are seen in
	// the order there, here, there is equally possible. What can never be is
	// COUNT above 1.
	watcher := dialLines(t, "tcp", s.tcp)
	for {
		watcher.send(`{"COUNT":{}}`)
		if got := watcher.recv(); strings.Contains(got, `"cnt":2`) {
			t.Fatal(got)
		}
		select {
		case <-done:
			return
		default:
		}
	}
}
