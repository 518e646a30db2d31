package rivals

import (
	"fmt"
	"testing"

	"github.com/minio/simdjson-go"
	"github.com/valyala/fastjson"

	"keyframe/bench"
	"keyframe/codec"
)

// BenchmarkDecode has other parsers read the payloads of bench's BenchmarkDecode. No two of
// them do the same work:
//
//	keyframe   checks everything, keys and values as slices of the payload
//	simdjson   simdjson-go: a tape of the whole, strings not copied, UTF-8 not checked;
//	           its keys and values are then visited
//	fastjson   fastjson: a tree of the whole, its text copied; its pairs are visited, which
//	           unescapes them. UTF-8, control characters and escapes are not checked
//
// encoding/json/v2's jsontext is in jsonv2_bench_test.go, which needs
// GOEXPERIMENT=jsonv2.
func BenchmarkDecode(b *testing.B) {
	for _, form := range bench.PayloadForms {
		for _, keys := range []int{1, 10, 100} {
			payload := bench.SetPayload(form, keys)
			for _, p := range parsers {
				b.Run(fmt.Sprintf("form=%s/keys=%d/impl=%s", form, keys, p.name), func(b *testing.B) {
					parse := p.make(b)
					b.ReportAllocs()
					b.SetBytes(int64(len(payload)))
					for b.Loop() {
						if n := parse(payload); n != keys {
							b.Fatal("pairs: ", n)
						}
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*keys), "ns/key")
				})
			}
		}
	}
}

// parser makes a function that returns how many pairs a SET has, or -1.
type parser struct {
	name string
	make func(b *testing.B) func(payload []byte) int
}

var parsers = []parser{
	{"keyframe", func(b *testing.B) func([]byte) int {
		d, err := codec.NewDecoder(codec.Options{})
		if err != nil {
			b.Fatal(err)
		}
		args := make([]codec.Arg, 0, 128)
		return func(payload []byte) int {
			d.Reset()
			args, _, err = d.Decode(payload, args[:0], 128)
			if err != nil {
				return -1
			}
			return len(args)
		}
	}},
	{"simdjson", func(b *testing.B) func([]byte) int {
		if !simdjson.SupportedCPU() {
			b.Skip("simdjson-go needs AVX2 and CLMUL")
		}
		var tape *simdjson.ParsedJson
		var top, set simdjson.Object
		var command, element simdjson.Iter
		return func(payload []byte) int {
			var err error
			if tape, err = simdjson.Parse(payload, tape, simdjson.WithCopyStrings(false)); err != nil {
				return -1
			}
			root := tape.Iter()
			root.Advance()
			if _, _, err = root.Root(&command); err != nil {
				return -1
			}
			if _, err = command.Object(&top); err != nil {
				return -1
			}
			if _, _, err = top.NextElementBytes(&element); err != nil {
				return -1
			}
			if _, err = element.Object(&set); err != nil {
				return -1
			}
			for n := 0; ; n++ {
				_, kind, err := set.NextElementBytes(&element)
				if err != nil {
					return -1
				}
				if kind == simdjson.TypeNone {
					return n
				}
				if kind == simdjson.TypeString {
					_, err = element.StringBytes()
				} else {
					_, err = element.Int()
				}
				if err != nil {
					return -1
				}
			}
		}
	}},
	{"fastjson", func(*testing.B) func([]byte) int {
		var p fastjson.Parser
		return func(payload []byte) int {
			v, err := p.ParseBytes(payload)
			if err != nil {
				return -1
			}
			n := 0
			v.GetObject("SET").Visit(func(_ []byte, v *fastjson.Value) {
				if v.Type() == fastjson.TypeString {
					if _, err = v.StringBytes(); err != nil {
						return
					}
				}
				n++
			})
			return n
		}
	}},
}
