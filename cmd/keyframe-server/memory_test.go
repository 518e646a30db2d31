package main

import (
	"errors"
	"io"
	"math"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"keyframe/engine"
	"keyframe/netio"
)

// TestDivide: what the store and the buffers get of so much memory.
func TestDivide(t *testing.T) {
	const mib = 1 << 20
	least := netio.LeastBufferBytes(netio.DefaultMaxFrameBytes)
	for _, tt := range []struct {
		total          uint64
		args           string
		buffers, store int // in MiB
		fault          string
	}{
		{total: 300 * mib, args: "--max-memory auto", buffers: 75, store: 174},
		{total: 301*mib + 12345, args: "--max-memory auto", buffers: 75, store: 174},
		{total: 24 << 30, args: "--max-memory auto", buffers: 6 << 10, store: 16864},
		{total: 300 * mib, args: "", buffers: 75},
		{total: 300 * mib, args: "--max-memory auto --max-buffers 100MiB --max-buffers auto --max-memory 0 --max-memory auto", buffers: 75, store: 174},
		{total: 300 * mib, args: "--max-buffers 0", fault: "--max-buffers must be more than 0"},
		{total: 300 * mib, args: "--max-buffers lots", fault: "want a size such as 16MiB, or auto"},
		{total: 300 * mib, args: "--max-memory 100MiB", buffers: 75, store: 100},
		{total: 300 * mib, args: "--max-memory auto --max-buffers 100MiB", buffers: 100, store: 148},
		{total: 200 * mib, args: "--max-memory auto", buffers: least / mib, store: 90},
		{total: 200 * mib, args: "--max-memory auto --max-frame 1MiB", buffers: 50, store: 104},
		{total: 112 * mib, args: "--max-memory auto", fault: "--max-memory auto: of 112 MiB of memory, buffers and the process take 104 MiB: 8.0 MiB are left"},
		{total: 64 * mib, args: "", buffers: least / mib},
		{total: 0, args: ""},
		{total: 0, args: "--max-memory 100MiB --max-buffers 80MiB", buffers: 80, store: 100},
		{total: 0, args: "--max-memory auto", fault: "--max-memory auto: how much memory there is can't be found out here"},
		{total: 4 << 40, args: "--max-memory auto", buffers: 1 << 20, store: engine.MaxMaxBytes / mib},
		{total: math.MaxInt64, args: "--max-memory auto", buffers: 1 << 20, store: engine.MaxMaxBytes / mib},
	} {
		cfg, err := parseFlagsFor(tt.total, strings.Fields(tt.args), nil, io.Discard)
		if tt.fault != "" {
			if err == nil || !strings.Contains(err.Error(), tt.fault) {
				t.Errorf("%d MiB, %q: %v, want %q", tt.total/mib, tt.args, err, tt.fault)
			}
			continue
		}
		if err != nil {
			t.Errorf("%d MiB, %q: %v", tt.total/mib, tt.args, err)
		} else if b, s := cfg.server.MaxBufferBytes/mib, cfg.store.MaxBytes/mib; b != tt.buffers || s != tt.store {
			t.Errorf("%d MiB, %q: %d MiB of buffers and %d of store, want %d and %d", tt.total/mib, tt.args, b, s, tt.buffers, tt.store)
		} else if cfg.autoMemory && cfg.store.MaxBytes%(2*mib) != 0 {
			t.Errorf("%d MiB, %q: %d bytes of store are not whole chunks", tt.total/mib, tt.args, cfg.store.MaxBytes)
		}
	}
}

// TestLeastOf: what isn't known is no limit, and the least of what is counts.
func TestLeastOf(t *testing.T) {
	unknown := func() (uint64, error) { return 0, errors.New("no") }
	for _, tt := range []struct {
		sources []memlimit.Provider
		want    uint64
	}{
		{[]memlimit.Provider{unknown, unknown}, 0},
		{[]memlimit.Provider{unknown, memlimit.Limit(5)}, 5},
		{[]memlimit.Provider{memlimit.Limit(7), unknown, memlimit.Limit(0)}, 7},
		{[]memlimit.Provider{memlimit.Limit(7), memlimit.Limit(6)}, 6},
		{[]memlimit.Provider{memlimit.Limit(6), memlimit.Limit(7)}, 6},
	} {
		if got := leastOf(tt.sources...); got != tt.want {
			t.Errorf("%d, want %d", got, tt.want)
		}
	}
	if memory() == 0 {
		t.Error("this machine's memory is not found")
	}
}

// TestLimitHeap: the garbage collector gets a limit, unless its owner has said one, or the
// store would be limited with it.
func TestLimitHeap(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	cfg := &config{memory: 1 << 30}
	cfg.server.MaxBufferBytes = 100 << 20
	t.Setenv("GOMEMLIMIT", "2GiB")
	if cfg.limitHeap(); debug.SetMemoryLimit(-1) != before {
		t.Error("GOMEMLIMIT does not count")
	}
	t.Setenv("GOMEMLIMIT", "")
	cfg.limitHeap()
	want := before
	if engine.OffHeap {
		want = 100<<20 + int64(margin(1<<30))
	}
	if got := debug.SetMemoryLimit(-1); got != want {
		t.Errorf("the limit is %d, want %d", got, want)
	}
}
