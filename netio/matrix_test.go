package netio_test

import (
	"fmt"
	"strings"
	"testing"

	"keyframe/codec"
	"keyframe/netio"
)

// crossing is a value that Redis's protocol has stored, as JSON's commands have it.
type crossing struct {
	name, raw string
	json      string // its text; "" if it has none
	compares  bool   // it is kept as a JSON string is that has no escapes
}

var crossings = []crossing{
	{"plain", "abc", `"abc"`, true}, {"not ASCII", "é😀", `"é😀"`, true}, {"an integer", "42", `"42"`, true}, {"empty", "", `""`, true},
	{"an object", `{"a":1}`, `"{\"a\":1}"`, false}, {"null", "null", `"null"`, true}, {"quotes", `say "hi"`, `"say \"hi\""`, false}, {"escapes", "a\\b\n\t\x01\u2028", `"a\\b\n\t\u0001` + "\u2028\"", false},
	{"not UTF-8", "\xff\xfe", "", false}, {"half a surrogate pair", "\xed\xa0\x80", "", false}, {"cut off", "é\xc3", "", false},
}

// outcome is what a command on a crossing's key must come to. In answers %j is its JSON text and
// %r in content its bytes.
type outcome struct {
	answers []string
	content string // of the key in Redis's protocol; gone: there is none
	key     string // another than the crossing's
}

const (
	crossed = "value_" // their key
	gone    = "(gone)"
	same    = "%r"
)

// matrix are the commands, with what they come to for a value with a text and for one without.
// Where both are the same the second is left out.
var matrix = []struct {
	command    string
	text, none outcome
}{
	{command: `{"GET":["value_"]}`, text: outcome{one(`{"GET_RSP":{"st":0,"value_":%j}}`), same, ""}, none: outcome{one(`{"GET_RSP":{"st":7,"k":"value_"}}`), same, ""}},
	{command: `{"CONTAINS":["value_"]}`, text: outcome{one(`{"CONTAINS_RSP":{"st":4,"k":"value_"}}`), same, ""}},
	{command: `{"TTL":["value_"]}`, text: outcome{one(`{"TTL_RSP":{"st":0,"value_":null}}`), same, ""}},
	{command: `{"KEYS":{}}`, text: outcome{one(`{"KEYS_RSP":{"st":0,"keys":["value_"]}}`), same, ""}},
	{command: `{"KEYS":{"values":true}}`, text: outcome{one(`{"KEYS_RSP":{"st":0,"pairs":{"value_":%j}}}`), same, ""}, none: outcome{one(`{"KEYS_RSP":{"st":0,"pairs":{"value_":null}}}`), same, ""}},
	{command: `{"FIND":{"==":%j,"values":true}}`, text: outcome{one(`{"FIND_RSP":{"st":0,"pairs":{"value_":%j}}}`), same, ""}, none: outcome{one(`{"FIND_RSP":{"st":0,"pairs":{}}}`), same, ""}},
	{command: `{"FIND":{"!=":"other","values":true}}`, text: outcome{one(`{"FIND_RSP":{"st":0,"pairs":{"value_":%j}}}`), same, ""}, none: outcome{one(`{"FIND_RSP":{"st":0,"pairs":{"value_":null}}}`), same, ""}},
	{command: `{"FIND":{"==":42}}`, text: outcome{one(`{"FIND_RSP":{"st":0,"keys":[]}}`), same, ""}},
	{command: `{"FIND":{"==":null}}`, text: outcome{one(`{"FIND_RSP":{"st":0,"keys":[]}}`), same, ""}},
	{command: `{"FIND":{"path":"/a","==":1}}`, text: outcome{one(`{"FIND_RSP":{"st":0,"keys":[]}}`), same, ""}},

	{command: `{"SET":{"value_":1.0}}`, text: outcome{one(`{"SET_RSP":{"st":2,"k":"value_"}}`), "1.0", ""}},
	{command: `{"SETQ":{"value_":"x"}}`, text: outcome{nil, "x", ""}},
	{command: `{"ADD":{"value_":1}}`, text: outcome{one(`{"ADD_RSP":{"st":4,"k":"value_"}}`), same, ""}},
	{command: `{"ADDQ":{"value_":1}}`, text: outcome{one(`{"ADDQ_RSP":{"st":4,"k":"value_"}}`), same, ""}},
	{command: `{"SETEX":{"ttl":60000,"pairs":{"value_":"\n"}}}`, text: outcome{one(`{"SETEX_RSP":{"st":2,"k":"value_"}}`), "\n", ""}},
	{command: `{"SETEXQ":{"ttl":60000,"pairs":{"value_":[]}}}`, text: outcome{nil, "[]", ""}},
	{command: `{"ADDEX":{"ttl":60000,"pairs":{"value_":1}}}`, text: outcome{one(`{"ADDEX_RSP":{"st":4,"k":"value_"}}`), same, ""}},
	{command: `{"ADDEXQ":{"ttl":60000,"pairs":{"value_":1}}}`, text: outcome{one(`{"ADDEXQ_RSP":{"st":4,"k":"value_"}}`), same, ""}},
	{command: `{"EXPIRE":{"value_":60000}}`, text: outcome{one(`{"EXPIRE_RSP":{"st":2,"k":"value_"}}`), same, ""}},
	{command: `{"EXPIREQ":{"value_":60000}}`, text: outcome{nil, same, ""}},

	{command: `{"RMV":["value_"]}`, text: outcome{one(`{"RMV_RSP":{"st":5,"k":"value_"}}`), gone, ""}},
	{command: `{"RMVQ":["value_"]}`, text: outcome{nil, gone, ""}},
	{command: `{"RNM_KEY":[{"value_":"other_"}]}`, text: outcome{one(`{"RNM_KEY_RSP":{"value_":"other_","st":1}}`), same, "other_"}},
	{command: `{"TAKE":["value_"]}`, text: outcome{one(`{"TAKE_RSP":{"st":5,"value_":%j}}`), gone, ""}, none: outcome{one(`{"TAKE_RSP":{"st":7,"k":"value_"}}`), same, ""}},
	{command: `{"SWAP":{"value_":7}}`, text: outcome{one(`{"SWAP_RSP":{"st":2,"value_":%j}}`), "7", ""}, none: outcome{one(`{"SWAP_RSP":{"st":7,"k":"value_","m":"the old value is bytes that are not UTF-8; it stays"}}`), same, ""}},
	{command: `{"CLEAR_SET":{"value_":7}}`, text: outcome{[]string{`{"CLEAR_SET_RSP":{"st":0,"cnt":1}}`, `{"CLEAR_SET_RSP":{"st":1,"k":"value_"}}`}, "7", ""}},

	{command: `{"INCR":{"value_":1}}`, text: outcome{one(`{"INCR_RSP":{"st":9,"k":"value_"}}`), same, ""}},
	{command: `{"INCRQ":{"value_":1}}`, text: outcome{one(`{"INCRQ_RSP":{"st":9,"k":"value_"}}`), same, ""}},
	{command: `{"CAS":{"value_":[42,1]}}`, text: outcome{one(`{"CAS_RSP":{"st":8,"k":"value_"}}`), same, ""}},
	{command: `{"CAD":{"value_":null}}`, text: outcome{one(`{"CAD_RSP":{"st":8,"k":"value_"}}`), same, ""}},
	{command: `{"APPEND":{"value_":"x"}}`, text: outcome{one(`{"APPEND_RSP":{"st":2,"k":"value_"}}`), "%rx", ""}, none: outcome{one(`{"APPEND_RSP":{"st":7,"k":"value_",*`), same, ""}},
	{command: `{"APPENDQ":{"value_":"\"\n"}}`, text: outcome{nil, "%r\"\n", ""}, none: outcome{one(`{"APPENDQ_RSP":{"st":7,"k":"value_",*`), same, ""}},
	{command: `{"APPEND":{"value_":[1]}}`, text: outcome{one(`{"APPEND_RSP":{"st":7,"k":"value_",*`), same, ""}},
	{command: `{"UPDATE":{"value_":{}}}`, text: outcome{one(`{"UPDATE_RSP":{"st":2,"k":"value_"}}`), same, ""}, none: outcome{one(`{"UPDATE_RSP":{"st":7,"k":"value_",*`), same, ""}},
	{command: `{"UPDATEQ":{"value_":{}}}`, text: outcome{nil, same, ""}, none: outcome{one(`{"UPDATEQ_RSP":{"st":7,"k":"value_",*`), same, ""}},
	{command: `{"UPDATE":{"value_":{"/a":2}}}`, text: outcome{one(`{"UPDATE_RSP":{"st":7,"k":"value_",*`), same, ""}},
	{command: `{"UPDATE":{"value_":{"":{"a":1},"/a":"b"}}}`, text: outcome{one(`{"UPDATE_RSP":{"st":2,"k":"value_"}}`), `{"a":"b"}`, ""}},
}

// outcomeOf is what a command of the matrix comes to for a value.
func (v *crossing) outcomeOf(i int) (command string, want outcome) {
	if command, want = matrix[i].command, matrix[i].text; v.json == "" && matrix[i].none.content != "" {
		want = matrix[i].none
	}
	text := v.json
	if text == "" {
		text = `"` + strings.ToValidUTF8(v.raw, "\uFFFD") + `"` // the nearest that there is
	}
	return strings.ReplaceAll(command, "%j", text), v.filled(want)
}

// filled has the value in an outcome.
func (v *crossing) filled(o outcome) outcome {
	answers := make([]string, len(o.answers))
	for i, a := range o.answers {
		answers[i] = strings.ReplaceAll(a, "%j", v.json)
	}
	o.answers, o.content = answers, strings.ReplaceAll(o.content, "%r", v.raw)
	return o
}

// comparisons are a CAS and a CAD with the value's own text, which is equal only if it is kept
// as such.
func (v *crossing) comparisons() map[string]outcome {
	if v.json == "" {
		return nil
	}
	cas, cad := outcome{one(`{"CAS_RSP":{"st":8,"k":"value_"}}`), v.raw, ""}, outcome{one(`{"CAD_RSP":{"st":8,"k":"value_"}}`), v.raw, ""}
	if v.compares {
		cas, cad = outcome{one(`{"CAS_RSP":{"st":2,"k":"value_"}}`), "new", ""}, outcome{one(`{"CAD_RSP":{"st":5,"k":"value_"}}`), gone, ""}
	}
	return map[string]outcome{`{"CAS":{"value_":[` + v.json + `,"new"]}}`: cas, `{"CAD":{"value_":` + v.json + `}}`: cad}
}

// TestMatrix: each command of JSON's on each kind of value that Redis's protocol stores answers
// what PROTOCOL.md says, and leaves in the store what that means, as both protocols see it.
func TestMatrix(t *testing.T) {
	s := startServer(t, netio.Options{AnyValues: true})
	r := dialRESP(t, s.tcp)
	tried := map[string]bool{}
	try := func(t *testing.T, c client, v *crossing, command string, want outcome) {
		t.Helper()
		if got := r.ask("FLUSHALL"); got != "+OK" {
			t.Fatal(got)
		}
		if got := r.ask("SET", crossed, v.raw); got != "+OK" {
			t.Fatal(got)
		}
		converse(t, c, []exchange{{command, want.answers}})
		key, keys := crossed, 1
		if want.key != "" {
			key = want.key
		}
		if want.content == gone {
			keys = 0
			want.content = "-1"
		}
		if got := r.ask("GET", key); got != "$"+want.content {
			t.Errorf("%s: %q is left, want %q", command, got, "$"+want.content)
		}
		if got := r.ask("DBSIZE"); got != fmt.Sprint(":", keys) {
			t.Errorf("%s: %s keys are left, want %d", command, got, keys)
		}
		if want.content == v.raw && keys == 1 { // as it was, for JSON too
			seen := v.filled(outcome{answers: one(`{"GET_RSP":{"st":0,"` + key + `":%j}}`)})
			if v.json == "" {
				seen.answers = one(`{"GET_RSP":{"st":7,"k":"` + key + `"}}`)
			}
			converse(t, c, []exchange{{`{"GET":["` + key + `"]}`, seen.answers}})
		}
		tried[command[2:strings.Index(command, `":`)]] = true
	}
	for name, c := range map[string]client{"lines": dialLines(t, "tcp", s.tcp), "websocket": dialWebSocket(t, "unix", s.unix)} {
		for _, v := range crossings {
			t.Run(name+"/"+v.name, func(t *testing.T) {
				for i := range matrix {
					command, want := v.outcomeOf(i)
					try(t, c, &v, command, want)
				}
				for command, want := range v.comparisons() {
					try(t, c, &v, command, want)
				}
			})
		}
	}
	for op := range codec.Opcodes() {
		if class := op.Class(); class&(codec.ClassRead|codec.ClassWrite) != 0 && !tried[op.String()] {
			t.Errorf("%s is not in the matrix", op)
		}
	}
}
