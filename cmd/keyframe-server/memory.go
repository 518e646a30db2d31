package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/dustin/go-humanize"

	"keyframe/engine"
	"keyframe/netio"
)

// This file divides the machine's memory: what its owner has not said is found out.

// memory is how much there is for this process: what its control group may have, version 1
// or 2, or what the machine has if that is less or there is no limit. 0: it is not known.
func memory() uint64 {
	return leastOf(memlimit.FromCgroup, memlimit.FromSystem)
}

func leastOf(sources ...memlimit.Provider) uint64 {
	least := uint64(math.MaxUint64)
	for _, source := range sources {
		if n, err := source(); err == nil && n > 0 {
			least = min(least, n)
		}
	}
	if least == math.MaxUint64 {
		return 0
	}
	return least
}

// margin is what a process takes beside its store and its buffers: 30 MB with the first
// connection, and with many the garbage that Go's runtime leaves. Some of the kernel's
// memory, the sockets' among it, counts for a control group, too.
func margin(total uint64) uint64 { return 32<<20 + total/16 }

const (
	chunkBytes = 2 << 20  // the engine counts its memory in these
	leastStore = 16 << 20 // less holds a few thousand keys
)

// divide sets the sizes that are to follow from the memory there is.
func (c *config) divide() error {
	total := c.memory
	if c.autoBuffers && total > 0 { // else netio has a default
		c.server.MaxBufferBytes = max(int(min(total/4, 1<<40)), netio.LeastBufferBytes(c.server.MaxFrameBytes))
	}
	if !c.autoMemory {
		return nil
	}
	if total == 0 {
		return errors.New("--max-memory auto: how much memory there is can't be found out here")
	}
	taken := uint64(c.server.MaxBufferBytes) + margin(total)
	if total < taken+leastStore {
		return fmt.Errorf("--max-memory auto: of %s of memory, buffers and the process take %s: %s are left, too little for a store",
			humanize.IBytes(total), humanize.IBytes(taken), humanize.IBytes(max(total, taken)-taken))
	}
	c.store.MaxBytes = int(min(total-taken, engine.MaxMaxBytes)) &^ (chunkBytes - 1)
	return nil
}

// limitHeap has Go's garbage collector keep to what the buffers may take and some more,
// unless GOMEMLIMIT says otherwise. Without a limit it lets the heap become twice what is
// in use. A store on that heap would be limited with it.
func (c *config) limitHeap() {
	if os.Getenv("GOMEMLIMIT") == "" && c.server.MaxBufferBytes > 0 && engine.OffHeap {
		debug.SetMemoryLimit(int64(c.server.MaxBufferBytes) + int64(margin(c.memory)))
	}
}
