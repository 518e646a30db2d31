//go:build invariants

package netio

import "fmt"

// mangle overwrites frame bytes that are about to be given back, so that a slice
// of them that was kept too long fails at once.
func mangle(b []byte) {
	for i := range b {
		b[i] = 0xCC
	}
}

// checkReserved checks that what a connection has come to hold was counted before.
func checkReserved(c *conn, u usage) {
	if u.input > c.held.input || u.output > c.held.output {
		panic(fmt.Sprintf("BUG: netio: a connection holds %+v, and %+v are reserved", u, c.held))
	}
}
