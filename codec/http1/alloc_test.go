//go:build !race

package http1

import "testing"

// TestAllocations: a head is read where it is.
func TestAllocations(t *testing.T) {
	b := []byte("PUT http://x/kv/a%20b?c HTTP/1.1\r\nHost: x\r\nConnection: a, Upgrade\r\nSec-WebSocket-Protocol: a, b\r\nContent-Length: 5\r\nIf-Match: \"a\"\r\n\r\n")
	if n := testing.AllocsPerRun(100, func() {
		end, _, err := HeadEnd(b, 0)
		if err != nil || end != len(b) {
			t.Fatal(end, err)
		}
		if _, err := ParseHead(b[:end]); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
