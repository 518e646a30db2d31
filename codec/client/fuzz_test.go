package client_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"keyframe/codec"
	"keyframe/codec/client"
)

// FuzzParse: what Parse accepts encoding/json accepts too and reads the same in it,
// and Status accepts nothing that Parse does not.
func FuzzParse(f *testing.F) {
	for _, answer := range responses(f) {
		f.Add(answer)
	}
	for _, answer := range wrong {
		f.Add([]byte(answer))
	}
	p := client.NewParser()
	f.Fuzz(func(t *testing.T, answer []byte) {
		if len(answer) > 4096 {
			return
		}
		var r client.Response
		err := p.Parse(answer, &r)
		for op := range codec.NumOpcodes {
			st, key, ok := client.Status(answer, codec.Opcode(op))
			if ok && (err != nil || r.Op != codec.Opcode(op) || r.Status != st || !bytes.Equal(r.Key, key)) {
				t.Fatalf("%q: Status says %d %q, Parse %+v %v", answer, st, key, r, err)
			}
		}
		if err != nil {
			return
		}
		var top map[string]map[string]json.RawMessage
		if err := json.Unmarshal(answer, &top); err != nil || len(top) != 1 || !utf8.Valid(answer) {
			t.Fatalf("%q is accepted: %v", answer, err)
		}
		for name, members := range top {
			if r.Op == 0 && name != "SERVER_ERROR" || r.Op != 0 && name != r.Op.String()+"_RSP" {
				t.Fatalf("%q: opcode %s", answer, r.Op)
			}
			var text string
			switch {
			case r.Op == 0, r.Op.Reply() == codec.ReplyMembers, r.Status == codec.StatusQueryRootInvalidType:
			case r.Op.Reply() == codec.ReplyCount:
				var n int64
				if json.Unmarshal(members["cnt"], &n) != nil || n != r.Count {
					t.Fatalf("%q: %d", answer, r.Count)
				}
			case r.Op.Shape() == codec.ShapeRenames && r.Status != codec.StatusTypeInvalid:
				if string(r.Key) != "st" && (json.Unmarshal(members[string(r.Key)], &text) != nil || text != string(r.Value)) {
					t.Fatalf("%q: %q", answer, r.Value)
				}
			case r.Op.Values().Has(r.Status):
				if string(r.Key) != "st" && !bytes.Equal(members[string(r.Key)], r.Value) {
					t.Fatalf("%q: %q", answer, r.Value)
				}
			default:
				if json.Unmarshal(members["k"], &text) != nil || text != string(r.Key) {
					t.Fatalf("%q: %q", answer, r.Key)
				}
			}
		}
	})
}

// FuzzCommand: any keys that are text come out of the server's decoder.
func FuzzCommand(f *testing.F) {
	for i, text := range texts {
		f.Add(uint8(i), []byte(text), []byte(texts[(i+1)%len(texts)]))
	}
	d := newDecoder(f, codec.Options{AnyValues: true})
	f.Fuzz(func(t *testing.T, opcode uint8, one, other []byte) {
		d.Reset()
		op := keyed[int(opcode)%len(keyed)]
		b := client.AppendOpen(nil, op)
		if op.Shape() == codec.ShapeTimedPairs {
			b = client.AppendTimedOpen(nil, op, 7)
		}
		value := codec.AppendString(nil, other)
		switch op.Shape() {
		case codec.ShapeKeys:
			b = client.AppendKey(b, one)
		case codec.ShapeRenames:
			b = client.AppendRename(b, one, other)
		case codec.ShapeComparisons:
			b = client.AppendComparison(b, one, value, value)
		default:
			b = client.AppendPair(b, one, value)
		}
		b = client.AppendClose(b, op)
		args, cmd, err := d.Decode(b, nil, 2)
		valid := utf8.Valid(one) && (utf8.Valid(other) || op.Shape() == codec.ShapeKeys)
		if valid != (err == nil) {
			t.Fatalf("%q: %v", b, err)
		}
		if err != nil {
			return
		}
		if cmd.Op != op || len(args) != 1 || !bytes.Equal(args[0].Key, one) {
			t.Fatalf("%q: %s %v", b, cmd.Op, args)
		}
		if op.Shape() == codec.ShapePairs {
			if args[0].Form == codec.FormString {
				args[0].Value = []byte(`"` + string(args[0].Value) + `"`)
			}
			if !bytes.Equal(args[0].Value, value) {
				t.Fatalf("%q: %q", b, args[0].Value)
			}
		} else if op.Shape() == codec.ShapeRenames && !bytes.Equal(args[0].Value, other) {
			t.Fatalf("%q: %q", b, args[0].Value)
		}
	})
}
