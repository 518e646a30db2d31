package client_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"keyframe/codec"
	"keyframe/codec/client"
)

// texts are keys of every kind that has to be quoted, or must not be.
var texts = func() (all []string) {
	all = []string{"abcdef", "key:000000000001", "ключ-1", "日本語日本語", "🔑🔑🔑🔑🔑🔑", `"quoted"`, `back\slash`, "st-st-st", "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD", strings.Repeat("long ", 5000)}
	for c := range 0x100 {
		all = append(all, fmt.Sprintf("before%cbehind", c), fmt.Sprintf("%cbehind", c), fmt.Sprintf("a long one before it%c", c))
	}
	return all
}()

// values are JSON texts.
var values = []string{`""`, `"text"`, `"\u0041\n\"\\"`, `0`, `-0`, `1.0`, `1e400`, `12345678901234567890123`, `true`, `false`, `"ä\ud800"`}

func newDecoder(t testing.TB, opts codec.Options) *codec.Decoder {
	t.Helper()
	d, err := codec.NewDecoder(opts)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// command is a command with n elements, made of texts and values from index at on.
func command(op codec.Opcode, at, n int) (b []byte, keys, other []string) {
	if b = client.AppendOpen(nil, op); op.Shape() == codec.ShapeTimedPairs {
		b = client.AppendTimedOpen(nil, op, 1000)
	}
	if op.Shape() == codec.ShapeSearch {
		b = client.AppendQuery(b, &client.Query{Compare: "==", With: []byte("1")})
	}
	if op.Shape() == codec.ShapeCredentials {
		return append(b, `"token":"x"}}`...), nil, nil
	}
	for i := at; i < at+n; i++ {
		key, value := texts[i%len(texts)], values[i%len(values)]
		switch op.Shape() {
		case codec.ShapePairs, codec.ShapeTimedPairs, codec.ShapeExpected:
			b = client.AppendPair(b, []byte(key), []byte(value))
		case codec.ShapeTimes:
			value = []string{"null", "1", "10000000000000"}[i%3]
			b = client.AppendPair(b, []byte(key), []byte(value))
		case codec.ShapeNumbers:
			value = []string{"-1", "0", "9223372036854775807", "-9223372036854775808"}[i%4]
			b = client.AppendPair(b, []byte(key), []byte(value))
		case codec.ShapeAppends:
			value = []string{`"x"`, `""`, `"\u0041"`}[i%3]
			b = client.AppendPair(b, []byte(key), []byte(value))
		case codec.ShapeUpdates:
			value = []string{`{}`, `{"/a":1}`, `{"":[],"/~1/-":{"a":null}}`}[i%3]
			b = client.AppendPair(b, []byte(key), []byte(value))
		case codec.ShapeComparisons:
			b = client.AppendComparison(b, []byte(key), []byte(value), []byte(value))
			value = "[" + value + "," + value + "]"
		case codec.ShapeKeys:
			value = ""
			b = client.AppendKey(b, []byte(key))
		case codec.ShapeRenames:
			value = texts[(i+7)%len(texts)]
			b = client.AppendRename(b, []byte(key), []byte(value))
		default:
			continue
		}
		keys, other = append(keys, key), append(other, value)
	}
	return client.AppendClose(b, op), keys, other
}

// TestCommandsAreWhatTheServerDecodes: each command, without elements, with one and with
// many, comes out of the server's decoder as it went in.
func TestCommandsAreWhatTheServerDecodes(t *testing.T) {
	d := newDecoder(t, codec.Options{AnyValues: true})
	for op := range codec.Opcodes() {
		for at := range texts {
			for _, n := range []int{0, 1, 2, 5} {
				b, keys, other := command(op, at, n)
				args, cmd, err := d.Decode(b, nil, 100)
				if err != nil || cmd.Op != op || cmd.More || len(args) != len(keys) || !json.Valid(b) {
					t.Fatalf("%s: %v, %d arguments, %v", b, cmd, len(args), err)
				}
				for i, a := range args {
					if a.Form == codec.FormString {
						a.Value = []byte(`"` + string(a.Value) + `"`)
					}
					if string(a.Key) != keys[i] || string(a.Value) != other[i] || a.Status != codec.StatusOK {
						t.Fatalf("%s: argument %d is %q %q, status %d", b, i, a.Key, a.Value, a.Status)
					}
				}
			}
		}
	}
	if b, _, _ := command(codec.OpSet, 0, 1); string(b) != `{"SET":{"abcdef":""}}` {
		t.Errorf("%s", b)
	}
	if b, _, _ := command(codec.OpClear, 0, 1); string(b) != `{"CLEAR":{}}` {
		t.Errorf("%s", b)
	}
}

// keyed are the commands with an answer for each element.
var keyed = func() (ops []codec.Opcode) {
	for op := range codec.Opcodes() {
		if op.Answers() != 0 {
			ops = append(ops, op)
		}
	}
	return ops
}()

// TestResponsesAreWhatTheServerAppends: for every opcode, status and kind of key, parsing
// gives back what the server has appended.
func TestResponsesAreWhatTheServerAppends(t *testing.T) {
	d := newDecoder(t, codec.Options{AnyValues: true})
	p := client.NewParser()
	var r client.Response
	for _, op := range keyed {
		for at := range texts {
			b, keys, other := command(op, at, 1)
			args, _, err := d.Decode(b, nil, 1)
			if err != nil {
				t.Fatal(err)
			}
			for st := codec.Status(0); st < 15; st++ {
				if st == codec.StatusQueryRootInvalidType {
					continue // never with a key
				}
				arg := args[0]
				want := client.Response{Op: op, Status: st, Key: []byte(keys[0])}
				if op.Shape() == codec.ShapeRenames {
					want.Value = []byte(other[0])
					if st == codec.StatusTypeInvalid {
						arg.Key, want.Key, want.Value = nil, nil, nil
					}
				}
				answer := codec.AppendResponse(nil, op, &arg, st)
				if _, message, ok := strings.Cut(string(answer), `,"m":"`); ok {
					if want.Message = []byte(strings.TrimSuffix(message, `"}}`)); st != codec.StatusTypeInvalid {
						t.Fatalf("%s: a message", answer)
					}
				}
				err := p.Parse(answer, &r)
				if op.Values().Has(st) {
					// To a GET, {"st":0,"k":"abcdef"} is the value of a key k.
					continue
				}
				possible := op.Answers().Has(st) || st == codec.StatusDenied
				if possible != (err == nil) || !possible && !errors.Is(err, client.ErrResponse) {
					t.Fatalf("%s: %v", answer, err)
				}
				if possible {
					requireResponse(t, answer, r, want)
				}
				gotSt, key, ok := client.Status(answer, op)
				plain := op.Shape() != codec.ShapeRenames && possible && st < 10 && isPlain(keys[0]) && want.Message == nil
				if ok != plain || ok && (gotSt != st || string(key) != keys[0]) {
					t.Fatalf("%s: Status says %d %q %v", answer, gotSt, key, ok)
				}
			}
			for st := codec.Status(0); st < 15; st++ {
				if !op.Values().Has(st) {
					continue
				}
				args[0].Status, args[0].Form = st, codec.FormJSON
				for _, v := range values {
					answer := codec.AppendValue(nil, op, &args[0], []byte(v))
					if err := p.Parse(answer, &r); err != nil {
						t.Fatalf("%s: %v", answer, err)
					}
					requireResponse(t, answer, r, client.Response{Op: op, Status: st, Key: []byte(keys[0]), Value: []byte(v)})
					gotSt, got, ok := p.Value(answer, op, []byte(keys[0]))
					if ok != (isPlain(keys[0]) && st < 10) || ok && (gotSt != st || string(got) != v) {
						t.Fatalf("%s: Value says %d %q %v", answer, gotSt, got, ok)
					}
					if _, _, ok := p.Value(answer, op, []byte(keys[0]+"x")); ok {
						t.Fatalf("%s: Value takes it for another key's", answer)
					}
				}
			}
		}
	}
}

func isPlain(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func requireResponse(t testing.TB, answer []byte, got, want client.Response) {
	t.Helper()
	if got.Op != want.Op || got.Status != want.Status || string(got.Key) != string(want.Key) || string(got.Value) != string(want.Value) ||
		got.Count != want.Count || string(got.Message) != string(want.Message) {
		t.Fatalf("%s\n got %+v\nwant %+v", answer, got, want)
	}
}

func TestOtherResponses(t *testing.T) {
	p := client.NewParser()
	d := newDecoder(t, codec.Options{})
	refusal := func(payload string) []byte {
		_, _, err := d.Decode([]byte(payload), nil, 1)
		if err == nil {
			t.Fatalf("%s is a command", payload)
		}
		return codec.AppendError(nil, codec.RefusalOf(err))
	}
	info := struct {
		Keys    int    `json:"keyCnt"`
		Version string `json:"version"`
	}{3, "ü\n"}
	for _, c := range []struct {
		answer []byte
		want   client.Response
	}{
		{codec.AppendCount(nil, codec.OpCount, 12), client.Response{Op: codec.OpCount, Count: 12}},
		{codec.AppendCount(nil, codec.OpClear, 0), client.Response{Op: codec.OpClear}},
		{codec.AppendFailure(nil, codec.OpSave, codec.StatusUnavailable, "no \"disk\""), client.Response{Op: codec.OpSave, Status: 15, Value: []byte(`{"st":15,"m":"no \"disk\""}`)}},
		{codec.AppendFailure(nil, codec.OpAuth, codec.StatusDenied, "no \"users\""), client.Response{Op: codec.OpAuth, Status: 13, Message: []byte(`no "users"`)}},
		{codec.AppendFailure(nil, codec.OpServerInfo, codec.StatusDenied, "no"), client.Response{Op: codec.OpServerInfo, Status: 13, Message: []byte("no")}},
		{codec.AppendFailure(nil, codec.OpCount, codec.StatusDenied, "no"), client.Response{Op: codec.OpCount, Status: 13, Message: []byte("no")}},
		{[]byte(`{"SET_RSP":{"st":15,"k":"abcdef"}}`), client.Response{Op: codec.OpSet, Status: 15, Key: []byte("abcdef")}},
		{codec.AppendMembers(nil, codec.OpServerInfo, info), client.Response{Op: codec.OpServerInfo, Value: []byte(`{"st":0,"keyCnt":3,"version":"ü\n"}`)}},
		{refusal(`[]`), client.Response{Status: 4, Message: []byte("Only one command permitted")}},
		{refusal(`{"a\"\ud83d\ude00":1}`), client.Response{Status: 3, Message: []byte("unknown command a\"😀")}},
		{refusal(`{"\ud83d\n":1}`), client.Response{Status: 3, Message: []byte(`unknown command \ud83d\n`)}},
		{refusal(`{"SET":[]}`), client.Response{Op: codec.OpSet, Status: 12, Message: []byte("SET takes an object of keys and values")}},
		{refusal(`{"RNM_KEY":{}}`), client.Response{Op: codec.OpRename, Status: 12, Message: []byte(`RNM_KEY takes an array of objects {"old key":"new key"}`)}},
		{refusal(`{"COUNT":1}`), client.Response{Op: codec.OpCount, Status: 12, Message: []byte("COUNT takes an empty object")}},
		{codec.AppendServerError(nil, 5, "bad \xff\" at byte 3"), client.Response{Status: 5, Message: []byte("bad \uFFFD\" at byte 3")}},
		// As other servers may write them.
		{[]byte(" { \"SET_RSP\" : { \"k\" : \"abc\\u0064ef\" , \"st\" : 1 } }\r\n"), client.Response{Op: codec.OpSet, Status: 1, Key: []byte("abcdef")}},
		{[]byte(`{"GET_RSP":{"abcdef":{"a":[null]},"st":0}}`), client.Response{Op: codec.OpGet, Key: []byte("abcdef"), Value: []byte(`{"a":[null]}`)}},
		{[]byte(`{"RNM_KEY_RSP":{"st":"bcdefg","st":6}}`), client.Response{Op: codec.OpRename, Status: 6, Key: []byte("st"), Value: []byte("bcdefg")}},
	} {
		var r client.Response
		if err := p.Parse(c.answer, &r); err != nil {
			t.Errorf("%s: %v", c.answer, err)
			continue
		}
		requireResponse(t, c.answer, r, c.want)
	}
}

// wrong are no responses of PROTOCOL.md.
var wrong = []string{
	`{}`, `{"SET_RSP":{}}`, `{"SET_RSP":{"st":1}}`, `{"SET_RSP":{"k":"abcdef"}}`, `{"SET_RSP":{"st":"1","k":"abcdef"}}`,
	`{"SET_RSP":{"st":1,"k":1}}`, `{"SET_RSP":{"st":1,"key":"abcdef"}}`, `{"SET_RSP":{"st":1,"k":"abcdef","x":1}}`,
	`{"SET_RSP":{"st":1,"k":"a","k":"b"}}`, `{"SET_RSP":{"st":1,"st":1,"k":"b"}}`, `{"SET_RSP":{"st":5,"k":"abcdef"}}`,
	`{"SET_RSP":{"st":1.0,"k":"abcdef"}}`, `{"SET_RSP":{"st":257,"k":"abcdef"}}`, `{"SET_RSP":{"st":-1,"k":"abcdef"}}`,
	`{"SET_RSP":{"st":1,"k":"abcdef"}} x`, `{"SET_RSP":{"st":1,"k":"abcdef"},"ADD_RSP":1}`, `{"SET_RSP":[]}`, `[]`, ``, `null`,
	`{"SET":{"st":1,"k":"abcdef"}}`, `{"_RSP":{"st":1,"k":"abcdef"}}`, `{"set_RSP":{"st":1,"k":"abcdef"}}`, `{"unknown_RSP":{"st":1,"k":"abcdef"}}`,
	"{\"SET_RSP\":{\"st\":1,\"k\":\"abcde\x1f\"}}", "{\"SET_RSP\":{\"st\":1,\"k\":\"abcde\xff\"}}", `{"SET_RSP":{"st":1,"k":"abc\ud800"}}`,
	`{"SET_RSP":{"st":1,"k":"abc\x41"}}`, `{"SET_RSP":{"st":1,"k":"abc"def"}}`, `{"SET_RSP":{"st":1,"k":"abcdef}}`,
	`{"SET_RSP":{"st":12}}`, `{"SET_RSP":{"st":12,"k":"abcdef"}}`, `{"GET_RSP":{"st":0}}`, `{"GET_RSP":{"st":3,"abcdef":1}}`,
	`{"GET_RSP":{"st":0,"abcdef":01}}`, `{"GET_RSP":{"st":0,"abcdef":1,"bcdefg":2}}`,
	"{\"GET_RSP\":{\"st\":0,\"abcdef\":\"\xc0\x80\"}}", "{\"GET_RSP\":{\"st\":0,\"abcdef\":[\"\xff\"]}}",
	"{\"GET_RSP\":{\"st\":0,\"abc\xff\xfe\":1}}", "{\"GET_RSP\":{\"st\":0,\"abc\xff\xfe\":\"a\"}}", "{\"RNM_KEY_RSP\":{\"abc\xff\xfe\":\"bcdefg\",\"st\":1}}",
	"{\"RNM_KEY_RSP\":{\"abcdef\":\"bcdefg\xc3\",\"st\":1}}", "{\"SERVER_ERROR\":{\"s\":5,\"m\":\"\xff\"}}", "{\"SET_RSP\":{\"st\":1,\"\xffk\":\"abcdef\"}}", "{\"SERVER_INFO_RSP\":{\"st\":0,\"a\":\"\xff\"}}",
	"{\"SERVER_INFO_RSP\":{\"st\":0,\"\xff\":1}}", "{\"SET_RSP\xff\":{\"st\":1,\"k\":\"abcdef\"}}",
	`{"RNM_KEY_RSP":{"st":1}}`, `{"RNM_KEY_RSP":{"abcdef":1,"st":1}}`, `{"RNM_KEY_RSP":{"abcdef":"bcdefg"}}`, `{"RNM_KEY_RSP":{"st":7,"k":1}}`,
	`{"COUNT_RSP":{"st":0,"cnt":-1}}`, `{"COUNT_RSP":{"st":0,"cnt":1.5}}`, `{"COUNT_RSP":{"st":0,"cnt":"1"}}`, `{"COUNT_RSP":{"st":0}}`,
	`{"COUNT_RSP":{"st":0,"cnt":99999999999999999999}}`, `{"COUNT_RSP":{"st":1,"cnt":1}}`, `{"COUNT_RSP":{"st":0,"k":1}}`,
	`{"SERVER_INFO_RSP":{}}`, `{"SERVER_INFO_RSP":{"keyCnt":1}}`, `{"SERVER_INFO_RSP":{"st":1}}`,
	`{"SERVER_ERROR":{"st":5,"m":"x"}}`, `{"SERVER_ERROR":{"s":5}}`, `{"SERVER_ERROR":{"s":5,"m":1}}`, `{"SERVER_ERROR":{"s":"5","m":"x"}}`,
}

func TestWrongResponses(t *testing.T) {
	p := client.NewParser()
	var r client.Response
	for _, answer := range wrong {
		var syntax *codec.Refusal
		if err := p.Parse([]byte(answer), &r); err == nil || errors.As(err, &syntax) == errors.Is(err, client.ErrResponse) {
			t.Errorf("%s: %v, %+v", answer, err, r)
		}
		for op := range codec.NumOpcodes + 1 {
			if _, _, ok := client.Status([]byte(answer), codec.Opcode(op)); ok {
				t.Errorf("%s: Status takes it", answer)
			}
			for _, key := range []string{"abcdef", "abc\xff\xfe", "", `abcdef":1,"b`} {
				if _, _, ok := p.Value([]byte(answer), codec.Opcode(op), []byte(key)); ok {
					t.Errorf("%s: Value takes it", answer)
				}
			}
		}
	}
}

// TestCutResponses: a response that is cut short, or that lacks its first bytes, is never
// another response.
func TestCutResponses(t *testing.T) {
	p := client.NewParser()
	var r client.Response
	for _, answer := range responses(t) {
		for i := range answer {
			if err := p.Parse(answer[:i], &r); err == nil {
				t.Errorf("%s: cut at %d", answer, i)
			}
			if i > 0 && p.Parse(answer[i:], &r) == nil {
				t.Errorf("%s: from %d on", answer, i)
			}
			if _, _, ok := client.Status(answer[:i], codec.OpSet); ok {
				t.Errorf("%s: cut at %d, Status", answer, i)
			}
			if _, _, ok := p.Value(answer[:i], codec.OpGet, []byte(texts[0])); ok {
				t.Errorf("%s: cut at %d, Value", answer, i)
			}
		}
	}
}

// responses has one of each form.
func responses(t testing.TB) (all [][]byte) {
	d := newDecoder(t, codec.Options{AnyValues: true})
	for _, op := range keyed {
		for _, at := range []int{0, 3, 7} {
			b, _, _ := command(op, at, 1)
			args, _, err := d.Decode(b, nil, 1)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, codec.AppendResponse(nil, op, &args[0], codec.StatusKeyLengthInvalid))
			for st := codec.Status(0); st < 15; st++ {
				if op.Values().Has(st) {
					args[0].Status, args[0].Form = st, codec.FormJSON
					all = append(all, codec.AppendValue(nil, op, &args[0], []byte(`"a value"`)))
				}
			}
		}
		all = append(all, codec.AppendError(nil, &codec.Refusal{Code: codec.RefusedArgument, Op: op, Text: "takes \"something\" else"}))
	}
	return append(all, codec.AppendCount(nil, codec.OpCount, 7), codec.AppendMembers(nil, codec.OpServerInfo, struct{ A int }{1}), codec.AppendServerError(nil, 4, "x"))
}

func TestCheck(t *testing.T) {
	p := client.NewParser()
	for _, v := range append(values, `null`, `[{"a":[]}]`) {
		if err := p.Check([]byte(v)); err != nil {
			t.Errorf("%s: %v", v, err)
		}
	}
	for _, v := range []string{``, ` 1`, `1 `, `1},"x":{`, `01`, `"`, `"a"b"`, "\"\xff\"", "[\"\xff\"]", `1,"x":2`} {
		var syntax *codec.Refusal
		if err := p.Check([]byte(v)); !errors.As(err, &syntax) {
			t.Errorf("%s: %v", v, err)
		}
	}
}
