package engine

import "errors"

// ErrClosed is returned by Close when the Engine has been closed before.
var ErrClosed = errors.New("engine: closed already")
