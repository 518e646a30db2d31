package codec_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"keyframe/codec"
)

func decodeOne(t testing.TB, payload string) (codec.Opcode, *codec.Arg) {
	t.Helper()
	args, cmd, err := newDecoder(t, codec.Options{AnyValues: true}).Decode([]byte(payload), nil, 1)
	if err != nil || len(args) != 1 {
		t.Fatalf("%s: %v %v", payload, args, err)
	}
	return cmd.Op, &args[0]
}

func TestContractResponses(t *testing.T) {
	for _, c := range []struct {
		sentence, payload string
		status            codec.Status
		want              string
	}{
		{"set", `{"SET":{"54321_username":"crusty"}}`, codec.StatusKeySet, `{"SET_RSP":{"st":1,"k":"54321_username"}}`},
		{"updated", `{"SET":{"54321_username":"crusty"}}`, codec.StatusKeyUpdated, `{"SET_RSP":{"st":2,"k":"54321_username"}}`},
		{"too short, with the key", `{"SETQ":{"key1":"crusty"}}`, codec.StatusKeyLengthInvalid, `{"SETQ_RSP":{"st":6,"k":"key1"}}`},
		{"exists", `{"ADD":{"abcdef":1}}`, codec.StatusKeyExists, `{"ADD_RSP":{"st":4,"k":"abcdef"}}`},
		{"ADDQ", `{"ADDQ":{"abcdef":1}}`, codec.StatusTypeInvalid, `{"ADDQ_RSP":{"st":7,"k":"abcdef","m":"null, objects and arrays are values only with --values any"}}`},
		{"GET of what is not there", `{"GET":["abcdef"]}`, codec.StatusKeyNotExist, `{"GET_RSP":{"st":3,"k":"abcdef"}}`},
		{"GET of no string", `{"GET":[12]}`, codec.StatusTypeInvalid, `{"GET_RSP":{"st":7,"k":""}}`},
		{"RMV", `{"RMV":["abcdef"]}`, codec.StatusKeyRemoved, `{"RMV_RSP":{"st":5,"k":"abcdef"}}`},
		{"CONTAINS", `{"CONTAINS":["abcdef"]}`, codec.StatusKeyExists, `{"CONTAINS_RSP":{"st":4,"k":"abcdef"}}`},
		{"RNM_KEY", `{"RNM_KEY":[{"abcdef":"bcdefg"}]}`, codec.StatusKeySet, `{"RNM_KEY_RSP":{"abcdef":"bcdefg","st":1}}`},
		{"RNM_KEY fails", `{"RNM_KEY":[{"abcdef":"bcdefg"}]}`, codec.StatusKeyNotExist, `{"RNM_KEY_RSP":{"abcdef":"bcdefg","st":3}}`},
		{"RNM_KEY, too short", `{"RNM_KEY":[{"abcdef":"b"}]}`, codec.StatusKeyLengthInvalid, `{"RNM_KEY_RSP":{"abcdef":"b","st":6}}`},
		{"RNM_KEY of something else", `{"RNM_KEY":[{"abcdef":1}]}`, codec.StatusTypeInvalid, `{"RNM_KEY_RSP":{"st":7,"k":""}}`},
		{"the key is text that reads back as the key", `{"SET":{"\u0022\u005c\n\u0000\/é":1}}`, codec.StatusKeySet, `{"SET_RSP":{"st":1,"k":"\"\\\n\u0000/é"}}`},
		{"a key that was called st", `{"RNM_KEY":[{"\u0073t\t\r":"\u0001"}]}`, codec.StatusKeyLengthInvalid, `{"RNM_KEY_RSP":{"st\t\r":"\u0001","st":6}}`},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			op, arg := decodeOne(t, c.payload)
			if got := string(codec.AppendResponse([]byte("x"), op, arg, c.status)); got != "x"+c.want {
				t.Errorf("got %s, want %s", got[1:], c.want)
			}
			if n := codec.ResponseLen(op, arg, c.status); n != len(c.want) {
				t.Errorf("%s: length %d, want %d", c.want, n, len(c.want))
			}
		})
	}
	op, arg := decodeOne(t, `{"GET":["abc\u0064ef\u0022"]}`)
	for _, value := range []string{`"crusty"`, `1.0`, `true`, `{"a":[1]}`, `"\u0041"`} {
		want := `{"GET_RSP":{"st":0,"abcdef\"":` + value + `}}`
		if got := string(codec.AppendValue(nil, op, arg, []byte(value))); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := string(codec.AppendCount(nil, codec.OpCount, 12)); got != `{"COUNT_RSP":{"st":0,"cnt":12}}` {
		t.Error(got)
	}
	if got := string(codec.AppendCount(nil, codec.OpClear, 0)); got != `{"CLEAR_RSP":{"st":0,"cnt":0}}` {
		t.Error(got)
	}
	info := struct {
		Keys    int    `json:"keyCnt"`
		Queries uint64 `json:"qryCnt"`
		Version string `json:"version"`
	}{3, 1 << 63, "0.1 \"<&>\"\n"}
	want := `{"SERVER_INFO_RSP":{"st":0,"keyCnt":3,"qryCnt":9223372036854775808,"version":"0.1 \"<&>\"\n"}}`
	if got := string(codec.AppendMembers(nil, codec.OpServerInfo, info)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := string(codec.AppendMembers(nil, codec.OpServerInfo, struct{}{})); got != `{"SERVER_INFO_RSP":{"st":0}}` {
		t.Errorf("got %s", got)
	}
}

func TestOpcodesAndTheirNames(t *testing.T) {
	d := newDecoder(t, codec.Options{})
	for op := range codec.Opcodes() {
		for _, argument := range []string{"{}", "[]"} {
			_, cmd, err := d.Decode([]byte(`{"`+op.String()+`":`+argument+`}`), nil, 1)
			if err == nil && cmd.Op != op || err != nil && refusedOp(err) != op.String() {
				t.Errorf("%s: %v, %v", op, cmd.Op, err)
			}
		}
		if op.Reply() != codec.ReplyElements {
			continue // they have no elements to answer
		}
		for st := codec.StatusOK; st <= codec.StatusOutOfMemory; st++ {
			got := codec.AppendResponse(nil, op, &codec.Arg{Key: []byte("abcdef"), Value: []byte("bcdefg")}, st)
			if !json.Valid(got) || !strings.HasPrefix(string(got), `{"`+op.String()+`_RSP":{"`) || !strings.Contains(string(got), fmt.Sprintf(`"st":%d`, st)) {
				t.Errorf("%s, status %d: %s", op, st, got)
			}
		}
	}
	for _, none := range []codec.Opcode{0, codec.Opcode(codec.NumOpcodes), 255} {
		if none.String() != "unknown" {
			t.Errorf("opcode %d is %s", none, none)
		}
	}
}

// requireKeyReadsBack fails when the key of a response is not arg's.
func requireKeyReadsBack(t testing.TB, arg *codec.Arg) {
	t.Helper()
	var set struct {
		R struct{ K string } `json:"SET_RSP"`
	}
	body := codec.AppendResponse(nil, codec.OpSet, arg, codec.StatusKeySet)
	if err := json.Unmarshal(body, &set); err != nil || set.R.K != string(arg.Key) || !utf8.Valid(body) {
		t.Fatalf("%q: %q reads back as %q, %v", arg.Key, body, set.R.K, err)
	}
	var get struct {
		R map[string]any `json:"GET_RSP"`
	}
	for _, op := range []codec.Opcode{codec.OpGet, codec.OpRename} {
		for _, st := range []codec.Status{codec.StatusKeyNotExist, codec.StatusTypeInvalid, codec.StatusOutOfMemory} {
			body = codec.AppendResponse(nil, op, arg, st)
			if n := codec.ResponseLen(op, arg, st); n != len(body) {
				t.Fatalf("%q: length %d, said to be %d", body, len(body), n)
			}
		}
	}
	found := *arg
	found.Status, found.Form = codec.StatusOK, codec.FormJSON
	body = codec.AppendValue(nil, codec.OpGet, &found, []byte(`"the value"`))
	if n := codec.ValueLen(codec.OpGet, &found, []byte(`"the value"`)); n != len(body) {
		t.Fatalf("%q: length %d, said to be %d", body, len(body), n)
	}
	if err := json.Unmarshal(body, &get); err != nil || get.R[string(arg.Key)] != "the value" && string(arg.Key) != "st" {
		t.Fatalf("%q: %q, %v", arg.Key, body, err)
	}
}

func TestResponseKeysReadBack(t *testing.T) {
	for c := range 0x120 {
		for _, n := range []int{0, 3, 7, 8, 20} {
			pad := strings.Repeat("k", n)
			raw := pad + fmt.Sprintf(`\u%04x`, c) + pad
			_, arg := decodeOne(t, `{"SET":{"`+raw+`":1}}`)
			requireKeyReadsBack(t, arg)
			if c >= 0x20 && c != '"' && c != '\\' {
				_, arg = decodeOne(t, `{"SET":{"`+pad+string(rune(c))+pad+`":1}}`)
				requireKeyReadsBack(t, arg)
			}
		}
	}
	for _, s := range goodStrings {
		_, arg := decodeOne(t, `{"SET":{"`+s+`":1}}`)
		requireKeyReadsBack(t, arg)
	}
}

func TestErrorResponsesAreJSON(t *testing.T) {
	refused := error(&codec.Refusal{Code: codec.RefusedTop, Text: "Only one command permitted"})
	for _, err := range []error{
		&codec.Refusal{Code: codec.RefusedSyntax, Offset: 3, Text: "quote \" backslash \\ control \x01\n and bytes \xff\xc3"},
		&codec.Refusal{Code: codec.RefusedName, Text: `N\u00d6PE`},
		&codec.Refusal{Code: codec.RefusedArgument, Op: codec.OpGet, Text: "takes \"quotes\"\n"},
		refused,
		errors.New("any other \xff"),
		fmt.Errorf("wrapped: %w", refused),
	} {
		if body := codec.AppendError(nil, codec.RefusalOf(err)); !json.Valid(body) || !utf8.Valid(body) {
			t.Errorf("%v: %q", err, body)
		}
	}
	if got := string(codec.AppendError(nil, codec.RefusalOf(errors.New("any other")))); got != `{"SERVER_ERROR":{"s":5,"m":"any other"}}` {
		t.Error(got)
	}
	if got := string(codec.AppendServerError(nil, 5, "a \"b\" \xff")); got != "{\"SERVER_ERROR\":{\"s\":5,\"m\":\"a \\\"b\\\" \ufffd\"}}" {
		t.Errorf("%q", got)
	}
	if got := string(codec.AppendError(nil, codec.RefusalOf(fmt.Errorf("wrapped: %w", refused)))); got != `{"SERVER_ERROR":{"s":4,"m":"Only one command permitted"}}` {
		t.Error(got)
	}
}
