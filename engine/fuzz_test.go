package engine_test

import (
	"bytes"
	"testing"

	"keyframe/engine"
)

// FuzzApply reads a program from the input: a byte for the shards and the hash,
// then two bytes and a length for each operation. A kind of 0 ends a batch.
func FuzzApply(f *testing.F) {
	f.Add([]byte{0, 1, 1, 9, 1, 1, 200, 3, 1, 0, 0, 4, 1, 0})
	f.Add([]byte{0x13, 1, 1, 3, 6, 1, 2, 3, 2, 0, 0, 6, 2, 1, 7, 0, 0, 3, 1, 0})
	f.Add(bytes.Repeat([]byte{1, 5, 99, 4, 5, 0, 6, 5, 6}, 20))
	f.Fuzz(func(t *testing.T, program []byte) {
		if len(program) == 0 {
			return
		}
		opts := engine.Options{Shards: 1 << (program[0] % 4)}
		switch program[0] >> 4 {
		case 1:
			opts = opts.WithHash(hashes["constant"])
		case 2:
			opts = opts.WithHash(hashes["two-value"])
		}
		e, o := newEngine(t, opts), oracle{}
		var b engine.Batch
		for program = program[1:]; len(program) >= 3; program = program[3:] {
			kind, which, size := program[0]%8, program[1], int(program[2])
			key := bytes.Repeat([]byte{which % 16}, int(which/8))
			switch kind := engine.Kind(kind); kind {
			case 0:
				b.ReadLimit = size
				applyBoth(t, e, o, &b)
			case engine.Set, engine.Add:
				if size > 200 {
					size = (size - 200) * 700
				}
				b.Add(kind, key, bytes.Repeat([]byte{program[2] ^ which}, size))
			case engine.Rename:
				b.Add(kind, key, bytes.Repeat([]byte{program[2] % 16}, size/8))
			case 7:
				applyBoth(t, e, o, &b)
				if which == 0 {
					e.Clear()
					clear(o)
				}
			default:
				b.Add(kind, key, nil)
			}
		}
		applyBoth(t, e, o, &b)
		checkSame(t, e, o)
	})
}
