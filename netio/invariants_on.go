//go:build invariants

package netio

// mangle overwrites frame bytes that are about to be given back, so that a slice
// of them that was kept too long fails at once.
func mangle(b []byte) {
	for i := range b {
		b[i] = 0xCC
	}
}
