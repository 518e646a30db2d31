//go:build !linux

package journal

import "errors"

func (f *osFile) Sync() error { return f.File.Sync() }

func (f *osFile) StartSync(from, to int64) error { return nil }

func (f *osFile) warm(size int64) {}

func (f *osFile) allocate(size int64) error { return errors.ErrUnsupported }

func bootID() uint64 { return 0 }
