//go:build !amd64 || purego

package codec

const (
	canMark = false
	wide    = false
)

func markBytes(*[marksBytes]byte, []byte) uint64 { panic("BUG: codec: nothing marks here") }
