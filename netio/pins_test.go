//go:build !race && (amd64 || arm64)

package netio

import (
	"testing"
	"unsafe"

	"keyframe/codec"
)

// TestLayouts pins the sizes of what there is many of: each client, also an idle one, has a
// conn, and each command of a batch a queued.
func TestLayouts(t *testing.T) {
	for _, tt := range []struct {
		name      string
		got, most uintptr
	}{
		{"queued", unsafe.Sizeof(queued{}), 16},
		{"conn", unsafe.Sizeof(conn{}), 416},
		{"lineFraming", unsafe.Sizeof(lineFraming{}), 32},
		{"wsFraming", unsafe.Sizeof(wsFraming{}), 80},
		{"Counters", unsafe.Sizeof(Counters{}), 64 + 8*(uintptr(codec.NumOpcodes)+uintptr(NumErrorKinds)+NumBatchSizes)},
	} {
		if tt.got > tt.most {
			t.Errorf("%s has %d bytes, %d at most until now", tt.name, tt.got, tt.most)
		} else {
			t.Logf("%s: %d bytes", tt.name, tt.got)
		}
	}
}
