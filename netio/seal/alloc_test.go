//go:build !race

package seal_test

import (
	"bytes"
	"testing"
)

// TestAllocs: records are opened and sealed without allocations of ours. crypto/tls has one in
// Read, and one more.
func TestAllocs(t *testing.T) {
	eachVersion(t, func(t *testing.T, p *pair) {
		plain := bytes.Repeat([]byte("x"), 100)
		var opened, sealed, answer []byte
		round := func() {
			sealed, _ = p.client.Seal(sealed[:0], plain)
			opened, answer, _ = p.server.Open(opened[:0], sealed, answer[:0])
		}
		round()
		if n := testing.AllocsPerRun(100, round); n > 2 {
			t.Errorf("%v allocations", n)
		}
		if !bytes.Equal(opened, plain) {
			t.Errorf("opened %q", opened)
		}
	})
}
