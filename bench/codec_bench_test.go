package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bytedance/sonic"
	"github.com/bytedance/sonic/ast"

	"keyframe/codec"
	"keyframe/codec/client"
)

// What it costs to decode a SET, beside what others can do with the same bytes. No two of
// them do the same work:
//
//	keyframe  checks everything, keys and values as slices of the payload
//	preorder  sonic's ast.Preorder: visits everything, unescapes, copies nothing else
//	          of it; lets bad strings pass
//	valid     sonic.Valid: structure only; lets bad strings pass
//	unmarshal sonic into map[string]sonic.NoCopyRawMessage: no order, no duplicates
//	stdlib    encoding/json into map[string]json.RawMessage: the same, copied
//	stdvalid  encoding/json.Valid: checks everything but UTF-8, gives nothing
//
// ns/key is the figure to compare. Compare within one run only.

type countingVisitor struct{ strings int }

func (v *countingVisitor) OnNull() error                        { return nil }
func (v *countingVisitor) OnBool(bool) error                    { return nil }
func (v *countingVisitor) OnString(string) error                { v.strings++; return nil }
func (v *countingVisitor) OnInt64(int64, json.Number) error     { return nil }
func (v *countingVisitor) OnFloat64(float64, json.Number) error { return nil }
func (v *countingVisitor) OnObjectBegin(int) error              { return nil }
func (v *countingVisitor) OnObjectKey(string) error             { v.strings++; return nil }
func (v *countingVisitor) OnObjectEnd() error                   { return nil }
func (v *countingVisitor) OnArrayBegin(int) error               { return nil }
func (v *countingVisitor) OnArrayEnd() error                    { return nil }

func BenchmarkDecode(b *testing.B) {
	for _, form := range PayloadForms {
		for _, keys := range []int{1, 10, 100} {
			payload := SetPayload(form, keys)
			if !json.Valid(payload) {
				b.Fatalf("not a payload: %s", payload)
			}
			for _, impl := range []struct {
				name string
				do   func(b *testing.B)
			}{
				{"keyframe", func(b *testing.B) { benchmarkDecode(b, payload, keys) }},
				{"preorder", func(b *testing.B) {
					text := string(payload)
					var v countingVisitor
					for b.Loop() {
						if err := ast.Preorder(text, &v, nil); err != nil {
							b.Fatal(err)
						}
					}
				}},
				{"valid", func(b *testing.B) {
					for b.Loop() {
						if !sonic.Valid(payload) {
							b.Fatal("not valid")
						}
					}
				}},
				{"unmarshal", func(b *testing.B) {
					for b.Loop() {
						var v struct {
							SET map[string]sonic.NoCopyRawMessage
						}
						if err := sonic.Unmarshal(payload, &v); err != nil || len(v.SET) != keys {
							b.Fatal(err, len(v.SET))
						}
					}
				}},
				{"stdlib", func(b *testing.B) {
					for b.Loop() {
						var v struct{ SET map[string]json.RawMessage }
						if err := json.Unmarshal(payload, &v); err != nil || len(v.SET) != keys {
							b.Fatal(err, len(v.SET))
						}
					}
				}},
				{"stdvalid", func(b *testing.B) {
					for b.Loop() {
						if !json.Valid(payload) {
							b.Fatal("not valid")
						}
					}
				}},
			} {
				b.Run(fmt.Sprintf("form=%s/keys=%d/impl=%s", form, keys, impl.name), func(b *testing.B) {
					b.ReportAllocs()
					b.SetBytes(int64(len(payload)))
					impl.do(b)
					perKey(b, keys)
				})
			}
		}
	}
}

func benchmarkDecode(b *testing.B, payload []byte, keys int) {
	d, err := codec.NewDecoder(codec.Options{})
	if err != nil {
		b.Fatal(err)
	}
	args := make([]codec.Arg, 0, 4096)
	for b.Loop() {
		d.Reset()
		args, _, err = d.Decode(payload, args[:0], 4096)
		if err != nil || len(args) != keys {
			b.Fatal(err, len(args))
		}
	}
}

func BenchmarkDecodeGet(b *testing.B) {
	for _, keys := range []int{1, 10, 100} {
		var elements []string
		for i := range keys {
			elements = append(elements, fmt.Sprintf(`"key:%012d"`, i))
		}
		payload := []byte(`{"GET":[` + strings.Join(elements, ",") + `]}`)
		b.Run(fmt.Sprintf("keys=%d/impl=keyframe", keys), func(b *testing.B) {
			b.ReportAllocs()
			benchmarkDecode(b, payload, keys)
			perKey(b, keys)
		})
	}
}

// BenchmarkDecodeNested is decoding with --values any: sonic.Valid checks the structure,
// and the strings are checked once more.
func BenchmarkDecodeNested(b *testing.B) {
	payload := []byte(`{"SET":{"key:000000000001":{"name":"some string value","tags":["a","b",{"x":[1,2.5e3,true,null]}],"n":12345}}}`)
	b.ReportAllocs()
	b.SetBytes(int64(len(payload)))
	benchmarkDecode(b, payload, 1)
}

func BenchmarkRespond(b *testing.B) {
	d, err := codec.NewDecoder(codec.Options{})
	if err != nil {
		b.Fatal(err)
	}
	for _, form := range []string{"plain", "unicode", "escaped"} {
		args, _, err := d.Decode(SetPayload(form, 1), nil, 1)
		if err != nil {
			b.Fatal(err)
		}
		arg := &args[0]
		value := bytes.Clone(arg.Value)
		out := make([]byte, 0, 1<<16)
		b.Run("form="+form+"/kind=status", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if len(out) > 1<<15 {
					out = out[:0]
				}
				out = codec.AppendResponse(out, codec.OpSet, arg, codec.StatusKeySet)
			}
		})
		b.Run("form="+form+"/kind=value", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if len(out) > 1<<15 {
					out = out[:0]
				}
				out = codec.AppendValue(out, codec.OpGet, arg, value)
			}
		})
	}
}

// BenchmarkClient is what a client pays for a pair: writing it and reading the answer, with
// Status and with Parse.
func BenchmarkClient(b *testing.B) {
	key, value := []byte("key:000000000001"), []byte(`"value-00000000000001"`)
	answer := []byte(`{"SET_RSP":{"st":1,"k":"key:000000000001"}}`)
	b.Run("do=append", func(b *testing.B) {
		b.ReportAllocs()
		out := client.AppendOpen(make([]byte, 0, 1<<16), codec.OpSet)
		for b.Loop() {
			if out = client.AppendPair(out, key, value); len(out) > 1<<15 {
				out = client.AppendOpen(out[:0], codec.OpSet)
			}
		}
	})
	b.Run("do=status", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, ok := client.Status(answer, codec.OpSet); !ok {
				b.Fatal("not a response")
			}
		}
	})
	b.Run("do=parse", func(b *testing.B) {
		b.ReportAllocs()
		p := client.NewParser()
		var r client.Response
		for b.Loop() {
			if err := p.Parse(answer, &r); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkCheckStep is what checking a payload of 16 MiB takes, a step of 16 KiB at a
// time, as a loop does it: per kilobyte, and the slowest step. Whole is Decode in one go.
func BenchmarkCheckStep(b *testing.B) {
	for _, form := range []struct{ name, head, element, tail string }{
		{"pairs", `{"SET":{"first":1`, `,"key:000000000001":"value-00000000000001"`, `}}`},
		{"unicode", `{"SET":{"first":1`, `,"ключ:0000001":"значение-001"`, `}}`},
		{"nested", `{"SET":{"first:":[[]`, `,[]`, `]}}`},
		{"escaped-keys", `{"GET":["first"`, `,"` + escapedKey + `"`, `]}`},
		{"escaped-value", `{"SET":{"first:":"`, `\n`, `"}}`},
		{"long-value", `{"SET":{"first:":"`, `v`, `"}}`},
		{"digits", `{"SET":{"first:":1`, `1`, `}}`},
		{"spaces", `{"SET":`, ` `, `{}}`},
		{"renames", `{"RNM_KEY":[1`, `,{"key:000000000001":"key:000000000002"}`, `]}`},
		{"wrong", `{"NOPE":{"first":1`, `,"key:000000000001":"value-00000000000001"`, `}}`},
	} {
		payload := []byte(form.head)
		for len(payload)+len(form.element)+len(form.tail) <= maxFrame {
			payload = append(payload, form.element...)
		}
		payload = append(payload, form.tail...)
		d, err := codec.NewDecoder(codec.Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.Run("form="+form.name+"/whole", func(b *testing.B) {
			for b.Loop() {
				d.Reset()
				_, _, _ = d.Decode(payload, nil, 0)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(payload)>>10), "ns/KiB")
		})
		b.Run("form="+form.name+"/steps", func(b *testing.B) {
			var slowest time.Duration
			for b.Loop() {
				d.Reset()
				var c codec.Check
				for done := false; !done; {
					start := time.Now()
					_, _, done, _ = d.CheckStep(&c, payload, 16<<10, nil, 0)
					slowest = max(slowest, time.Since(start))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(payload)>>10), "ns/KiB")
			b.ReportMetric(float64(slowest.Microseconds()), "slowest-us")
		})
	}
}
