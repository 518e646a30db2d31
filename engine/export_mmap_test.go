//go:build linux && (amd64 || arm64) && !race

package engine

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Resident is how many bytes of e's memory the system has found pages for.
func (e *Engine) Resident() (bytes int, err error) {
	p := &e.pool
	p.mu.Lock()
	chunks := len(p.chunks)
	p.mu.Unlock()
	vec := make([]byte, chunkBytes/unix.Getpagesize())
	for c := range chunks {
		_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(p.mem.at(ref(c*chunkBytes/8))), chunkBytes, uintptr(unsafe.Pointer(&vec[0])))
		if errno != 0 {
			return 0, fmt.Errorf("mincore: %w", errno)
		}
		for _, in := range vec {
			bytes += int(in&1) * unix.Getpagesize()
		}
	}
	return bytes, nil
}
