package netio

import (
	"bytes"
	"fmt"
	"testing"

	"keyframe/codec"
	"keyframe/engine"
)

// BenchmarkAnswer is what one response costs with its framing. In a WebSocket those of
// up to 125 bytes have a header of two bytes, longer ones of four or ten.
func BenchmarkAnswer(b *testing.B) {
	for name, framing := range map[string]framing{"lines": &lineFraming{}, "websocket": &wsFraming{}} {
		for _, keyBytes := range []int{16, 200} {
			for _, valueBytes := range []int{0, 20, 1024} {
				payload := `{"GET":["` + string(bytes.Repeat([]byte("k"), keyBytes)) + `"]}`
				args, cmd, err := newTestDecoder(b).Decode([]byte(payload), nil, 1)
				if err != nil {
					b.Fatal(err)
				}
				op := engine.Op{Status: engine.Found, Value: bytes.Repeat([]byte("1"), valueBytes)}
				if valueBytes == 0 { // of a SET
					cmd.Op, op.Status = codec.OpSet, engine.Updated
				}
				b.Run(fmt.Sprintf("framing=%s/key=%d/value=%d", name, keyBytes, valueBytes), func(b *testing.B) {
					b.ReportAllocs()
					out := make([]byte, 0, 64<<10)
					for b.Loop() {
						if len(out) > 60<<10 {
							out = out[:0]
						}
						if op.Status == engine.Found {
							out = framing.appendValue(out, cmd.Op, &args[0], op.Value)
						} else {
							out = framing.appendStatus(out, cmd.Op, &args[0], statuses[op.Status])
						}
					}
				})
			}
		}
	}
}

func newTestDecoder(t testing.TB) *codec.Decoder {
	t.Helper()
	d, err := codec.NewDecoder(codec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}
