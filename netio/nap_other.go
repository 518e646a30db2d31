//go:build !linux

package netio

import "time"

func nap(d time.Duration) { time.Sleep(d) }
