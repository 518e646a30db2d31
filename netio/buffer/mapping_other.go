//go:build !linux

package buffer

const (
	pageSize = 4096
	mapsLong = false
)

// mapping does not exist where there is no mremap: long input is on the heap, too.
type mapping struct{ written int }

func newMapping(int) *mapping { return nil }

func (m *mapping) bytes() []byte           { panic("BUG: buffer: there is no mapping") }
func (m *mapping) grow(int) ([]byte, bool) { panic("BUG: buffer: there is no mapping") }
func (m *mapping) trim(int) []byte         { panic("BUG: buffer: there is no mapping") }
func (m *mapping) end()                    { panic("BUG: buffer: there is no mapping") }
