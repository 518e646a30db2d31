//go:build !race

package codec_test

import (
	"strings"
	"testing"

	"keyframe/codec"
)

func TestAllocations(t *testing.T) {
	d := newDecoder(t, codec.Options{AnyValues: true})
	args := make([]codec.Arg, 0, 64)
	out := make([]byte, 0, 1<<16)
	for _, payload := range append(commands, `{"GET":["\u0061`+strings.Repeat(`\u00e4`, 10_000)+`"]}`) {
		text := []byte(payload)
		allocs := testing.AllocsPerRun(100, func() {
			d.Reset()
			got, cmd, err := d.Decode(text, args[:0], 2)
			if err != nil {
				t.Fatal(err)
			}
			for cmd.More {
				got, cmd = d.DecodeFrom(text, cmd, got, 2)
			}
			out = out[:0]
			for i := range got {
				out = codec.AppendResponse(out, cmd.Op, &got[i], codec.StatusKeySet)
				out = codec.AppendValue(out, codec.OpGet, &got[i], got[i].Value)
			}
			out = codec.AppendCount(out, codec.OpCount, len(got))
		})
		if allocs != 0 {
			t.Errorf("%.80s: %v allocations", payload, allocs)
		}
	}
}
