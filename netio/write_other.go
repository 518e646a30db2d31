//go:build !linux

package netio

import "golang.org/x/sys/unix"

// writeNow is write(2).
func writeNow(fd int, p []byte) (int, error) { return unix.Write(fd, p) }
