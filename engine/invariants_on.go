//go:build invariants

package engine

// invariants turns on checks that cost too much otherwise.
const invariants = true

// mangle overwrites freed bytes, so that a use of them is noticed.
func mangle(b []byte) {
	for i := range b {
		b[i] = 0xDD
	}
}
