package engine

import "errors"

// ErrClosed is returned by Close when the Engine has been closed before.
var ErrClosed = errors.New("engine: closed already")

// ErrNoMemory is returned by New when it can't have even its first chunk.
var ErrNoMemory = errors.New("engine: no memory")
