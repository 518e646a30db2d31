//go:build !race && !invariants

package netio

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFrameAllocatesNothing: from the bytes of a read to the write of the
// responses, in three framings, with every keyed command.
func TestFrameAllocatesNothing(t *testing.T) {
	var pairs, keys, renames bytes.Buffer
	for i := range 100 {
		comma := ","
		if i == 0 {
			comma = ""
		}
		fmt.Fprintf(&pairs, `%s"alloc_%04d":"value %014d"`, comma, i, i)
		fmt.Fprintf(&keys, `%s"alloc_%04d"`, comma, i)
		fmt.Fprintf(&renames, `%s{"alloc_%04d":"alloc_%04d"}`, comma, i, i)
	}
	commands := []string{
		`{"SET":{` + pairs.String() + `}}`, `{"SETQ":{` + pairs.String() + `}}`, `{"ADD":{` + pairs.String() + `}}`,
		`{"GET":[` + keys.String() + `]}`, `{"CONTAINS":[` + keys.String() + `]}`, `{"RNM_KEY":[` + renames.String() + `]}`,
		`{"SET":{"alloc_key\u0020\"1\"":"escaped","key1":1}}`, `{"COUNT":{}}`, `{"RMV":["alloc_none"]}`,
	}
	lines, frames := []byte{}, []byte{}
	for _, c := range commands {
		lines = append(append(lines, c...), '\n')
		frames = append(frames, textFrame(c)...)
	}
	requests := slices.Concat(requestOf("PUT /kv/alloc_http", `"value"`), requestOf("GET /kv/alloc_http", ""),
		requestOf("PUT /kv/alloc_http~If-None-Match: *", "1"), requestOf("GET /kv/alloc_none", ""), requestOf("DELETE /kv/alloc_none", ""))
	for _, tt := range []struct {
		name     string
		first    string
		bytes    []byte
		commands int
	}{
		{"lines", "", lines, len(commands)},
		{"websocket", upgradeRequest, frames, len(commands)},
		{"HTTP", "", requests, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, Options{})
			read := make([]byte, 1<<20)
			fd := int(h.client.Fd())
			turn := func(in []byte) {
				h.loop.serve(h.conn, in)
				if _, err := unix.Read(fd, read); err != nil {
					t.Fatal(err)
				}
			}
			if tt.first != "" {
				turn([]byte(tt.first))
			}
			in := bytes.Clone(tt.bytes)
			for range 3 {
				turn(in) // buffers grow to their size, keys come to exist
				copy(in, tt.bytes)
			}
			before := h.loop.count.Queries
			const runs = 100
			allocs := testing.AllocsPerRun(runs, func() {
				copy(in, tt.bytes)
				turn(in)
			})
			if allocs != 0 {
				t.Errorf("%v allocations for %d commands", allocs, tt.commands)
			}
			if n := h.loop.count.Queries - before; n != uint64((runs+1)*tt.commands) {
				t.Fatalf("%d commands were executed: the test measures something else", n)
			}
			h.startDiscarding()
			h.finish()
		})
	}
}
