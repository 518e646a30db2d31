package codec_test

import (
	"fmt"
	"testing"

	"keyframe/codec"
)

// The seeds are the tables of the other tests; the fuzzer's own finds are in testdata/fuzz.

func addPayloads(f *testing.F) {
	for _, c := range commands {
		f.Add([]byte(c))
	}
	for _, frame := range valueFrames {
		for _, all := range [][]string{badValues, goodValues} {
			for i := 0; i < len(all); i += 5 {
				f.Add([]byte(fmt.Sprintf(frame, all[i])))
			}
		}
	}
	for _, frame := range stringFrames {
		for _, bad := range badStrings {
			f.Add([]byte(fmt.Sprintf(frame, bad)))
		}
		for _, good := range goodStrings {
			f.Add([]byte(fmt.Sprintf(frame, good)))
		}
	}
}

// FuzzDecode holds the decoder against encoding/json (see oracle_test.go for the
// deliberate differences), and whole payloads against the same in steps.
func FuzzDecode(f *testing.F) {
	addPayloads(f)
	scalars := newDecoder(f, codec.Options{})
	any := newDecoder(f, codec.Options{AnyValues: true})
	small := codec.Options{AnyValues: true, MaxDepth: 3, MaxKeyBytes: 20}
	limited := newDecoder(f, small)
	narrow := newDecoder(f, codec.Options{})
	f.Fuzz(func(t *testing.T, payload []byte) {
		if len(payload) > 4096 {
			return // slow, and nothing new
		}
		requireAgreement(t, scalars, codec.Options{}, payload)
		requireAgreement(t, any, codec.Options{AnyValues: true}, payload)
		requireAgreement(t, limited, small, payload)
		codec.NarrowForTesting(narrow, 1+len(payload)%70)
		requireAgreement(t, narrow, codec.Options{}, payload)
		whole, err := decodeAll(t, any, payload)
		if err != nil {
			return
		}
		for max := 1; max < 4; max++ {
			if steps, err := decodeSteps(t, any, payload, max); err != nil || steps.String() != whole.String() {
				t.Fatalf("%q: %d at a time\n got %v %v\nwant %v", payload, max, steps, err, whole)
			}
		}
		args, cmd, _ := any.Decode(payload, nil, 1000)
		for i := range args {
			requireKeyReadsBack(t, &args[i])
			// A response is a JSON value, so it can be set.
			body := codec.AppendResponse(nil, cmd.Op, &args[i], args[i].Status)
			requireAgreement(t, any, codec.Options{AnyValues: true}, []byte(`{"SET":{"abcdef":`+string(body)+`}}`))
		}
	})
}

// FuzzCheck holds the check of long payloads in steps against Decode.
func FuzzCheck(f *testing.F) {
	for _, all := range [][]string{commands, faultyCommands} {
		for i, c := range all {
			f.Add([]byte(c), uint16(i), uint8(i), i%2 == 0)
		}
	}
	scalars := newDecoder(f, codec.Options{MaxKeyBytes: 20})
	any := newDecoder(f, codec.Options{AnyValues: true, MaxDepth: 3})
	f.Fuzz(func(t *testing.T, payload []byte, step uint16, max uint8, forget bool) {
		if len(payload) > 4096 {
			return
		}
		for _, d := range []*codec.Decoder{scalars, any} {
			codec.NarrowForTesting(d, 1+len(payload)%70)
			codec.LeapsForTesting(d, 1+int(max)%50)
			requireSameInSteps(t, d, payload, 1+int(step), 1+int(max)%7, forget)
		}
	})
}

// FuzzMerge: what APPEND and UPDATE make of values that have been accepted is accepted.
func FuzzMerge(f *testing.F) {
	for _, c := range [][2]string{{`{"a":[1]}`, `{"/\ud800":1,"/a/-":{}}`}, {`["x"]`, `[{"~":1}, 2]`}, {`"\ud83d"`, `"\ude00"`}, {`{"a":1}`, `{"b":1,"\u0061":2}`}} {
		f.Add(c[0], c[1])
	}
	d := newDecoder(f, codec.Options{AnyValues: true})
	f.Fuzz(func(t *testing.T, old, arg string) {
		for _, name := range []string{"APPEND", "UPDATE"} {
			payload := []byte(`{"SET":{"abcdef":` + old + `}}`)
			olds, _, err := d.Decode(payload, nil, 2)
			if err != nil || len(olds) != 1 || len(payload) > 4096 {
				return
			}
			args, _, err := d.Decode([]byte(`{"`+name+`":{"abcdef":`+arg+`}}`), nil, 2)
			if err != nil || len(args) != 1 || args[0].Status != codec.StatusOK {
				continue
			}
			form := args[0].Form
			if name == "UPDATE" {
				form = codec.FormUpdate
			}
			value, form, st := codec.Merge(nil, olds[0].Value, olds[0].Form, true, args[0].Value, form)
			if st != codec.StatusKeyUpdated {
				continue
			}
			payload = []byte(`{"SET":{"abcdef":` + textOf(value, form) + `}}`)
			news, _, err := d.Decode(payload, nil, 2)
			if err != nil || len(news) != 1 || news[0].Status != codec.StatusOK || news[0].Form != form {
				t.Fatalf("%s of %s with %s makes %q, form %d: %v", name, old, arg, value, form, err)
			}
		}
	})
}

// FuzzScan holds the fast paths against the slow ones.
func FuzzScan(f *testing.F) {
	addPayloads(f)
	d := newDecoder(f, codec.Options{AnyValues: true})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 512 {
			return // every place is tried, so the time is quadratic
		}
		requireTwins(t, b)
		requireStringPathsAgree(t, d, b)
		requireNestedPathsAgree(t, d, b)
	})
}

// FuzzDecodeFrom: any bytes, any place in them and any command do no harm.
func FuzzDecodeFrom(f *testing.F) {
	for _, c := range commands {
		f.Add([]byte(c), uint8(codec.OpSet), 8, 3)
	}
	d := newDecoder(f, codec.Options{})
	f.Fuzz(func(t *testing.T, payload []byte, op uint8, next, max int) {
		d.Reset()
		args, cmd := d.DecodeFrom(payload, codec.Command{Op: codec.Opcode(op), Next: next}, nil, min(max, 1000))
		if cmd.More && (cmd.Next < 0 || cmd.Next > len(payload)) {
			t.Fatalf("%q: it goes on at byte %d", payload, cmd.Next)
		}
		for _, a := range args {
			if a.Pos < 0 || a.Pos > len(payload) || !inside(a.Value, payload) && codec.Opcode(op) != codec.OpRename {
				t.Fatalf("%q: %v", payload, a)
			}
		}
	})
}
