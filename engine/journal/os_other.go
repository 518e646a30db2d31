//go:build !linux

package journal

import (
	"errors"
	"time"
)

func (f *osFile) Sync() error { return f.File.Sync() }

func (f *osFile) StartSync(from, to int64) error { return nil }

func (f *osFile) allocate(size int64) error { return errors.ErrUnsupported }

func (osDir) BootID() uint64 { return 0 }

func lowPriority() {}

func sleepThread(d time.Duration) { time.Sleep(d) }
