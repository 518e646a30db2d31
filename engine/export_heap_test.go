//go:build !linux || !(amd64 || arm64) || race

package engine

// Resident is how many bytes of e's chunks the garbage collector has to keep.
func (e *Engine) Resident() (bytes int, err error) {
	for i := range e.pool.mem.table {
		if e.pool.mem.table[i].Load() != nil {
			bytes += chunkBytes
		}
	}
	return bytes, nil
}
