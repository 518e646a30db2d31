package engine_test

import (
	"bytes"
	"strconv"
	"testing"

	"keyframe/engine"
)

// FuzzApply reads a program from the input: a byte for the shards and the hash, then three
// for each operation: its kind, form, and whether it has a deadline; which key; and a length,
// which is the deadline, too. Kinds of no operation end a batch, clear, and let time pass.
func FuzzApply(f *testing.F) {
	f.Add([]byte{0, 1, 1, 9, 1, 1, 200, 3, 1, 0, 0, 4, 1, 0})
	f.Add([]byte{0x13, 1, 1, 3, 6, 1, 2, 3, 2, 0, 0, 6, 2, 1, 7, 0, 0, 3, 1, 0})
	f.Add(bytes.Repeat([]byte{1, 5, 99, 4, 5, 0, 6, 5, 6}, 20))
	f.Add([]byte{0, 0x81, 9, 20, 16, 9, 12, 3, 9, 0, 9, 9, 1, 0x87, 9, 30, 10, 9, 1, 14, 9, 3, 13, 9, 9, 8, 9, 0})
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
		b := engine.Batch{Now: 1000}
		for program = program[1:]; len(program) >= 3; program = program[3:] {
			kind, which, size := engine.Kind(program[0]%17), program[1], int(program[2])
			form := engine.Form(program[0] >> 5 % 4)
			key := bytes.Repeat([]byte{which % 16}, int(which/8))
			args := engine.Args{Delta: int64(size) - 100, Expected: strconv.AppendInt(nil, int64(size)-100, 10), ExpectedForm: form, Readable: which%2 == 1}
			if program[0] > 127 {
				args.Deadline = b.Now + int64(size) - 20
			}
			switch kind {
			case 0:
				b.ReadLimit = size
				applyBoth(t, e, o, &b)
			case engine.Set, engine.Add, engine.Swap, engine.Merge, engine.CompareSet:
				if size > 200 {
					size = (size - 200) * 700
				}
				b.AddArgs(kind, key, bytes.Repeat([]byte{program[2] ^ which}, size), form, args)
			case engine.Rename:
				b.Add(kind, key, bytes.Repeat([]byte{program[2] % 16}, size/8))
			case engine.Merge + 1:
				applyBoth(t, e, o, &b)
				if which == 0 {
					e.Clear()
					clear(o)
				}
			case engine.Merge + 2:
				applyBoth(t, e, o, &b)
				b.Now += int64(size)
			default:
				b.AddArgs(kind, key, nil, form, args)
			}
		}
		applyBoth(t, e, o, &b)
		dropDead(e, o, b.Now)
		checkSame(t, e, o)
	})
}
