//go:build !linux

package netio

import "time"

func threadClock() (thread int, cpu time.Duration) { return 0, 0 }
