//go:build !race && !invariants

package client_test

import (
	"testing"

	"keyframe/netio"
	"keyframe/netio/client"
)

// TestAllocations: a call allocates what it returns, and nothing else. The server is in the
// same process, and allocates nothing for these commands either.
func TestAllocations(t *testing.T) {
	c := start(t, netio.Options{}, client.Options{})
	key, value := "a key of more than thirty-two bytes, as they may be", client.String("value")
	ctx := t.Context()
	dst := make([]byte, 0, 100)
	b := client.Batch{}
	batch := func() error {
		b.Reset()
		for range 10 {
			b.Set(key, value)
			b.Get(key)
		}
		return c.Do(ctx, &b)
	}
	for _, tt := range []struct {
		name string
		most float64
		call func() error
	}{
		{"Set", 0, func() error { return c.Set(ctx, key, value) }},
		{"Set in a context without an end", 0, func() error { return c.Set(background, key, value) }},
		{"Get", 1, func() error { _, err := c.Get(ctx, key); return err }},
		{"AppendGet", 0, func() error { _, err := c.AppendGet(ctx, dst, key); return err }},
		{"Contains", 0, func() error { _, err := c.Contains(ctx, key); return err }},
		{"Do", 0, batch},
	} {
		for range 100 { // buffers grow
			if err := tt.call(); err != nil {
				t.Fatal(err)
			}
		}
		// AllocsPerRun runs on one processor, so calls and the loops that serve them share a
		// pool. An integer part, so that a collection that empties the pool shows nowhere.
		if n := testing.AllocsPerRun(500, func() { _ = tt.call() }); n > tt.most {
			t.Errorf("%s: %v allocations, want %v at most", tt.name, n, tt.most)
		}
	}
}
