package codec_test

import (
	"fmt"
	"strings"
	"testing"

	"keyframe/codec"
)

// PROTOCOL.md sections 2 to 4, sentence by sentence. A row's name is the sentence.

// describe says what a payload comes to, in a form that is easy to write down:
// "SET abcdef=1 xyz=2!6" is a SET of two pairs, the second with status 6.
func describe(t *testing.T, opts codec.Options, payload string) string {
	t.Helper()
	d := newDecoder(t, opts)
	got, err := decodeAll(t, d, []byte(payload))
	if err != nil {
		return string(codec.AppendError(nil, codec.RefusalOf(err)))
	}
	s := got.op
	for _, a := range got.args {
		s += " " + a.key
		if a.value != "" {
			s += "=" + a.value
		}
		if a.status != 0 {
			s += fmt.Sprintf("!%d", a.status)
		}
	}
	return s
}

func TestContractCommands(t *testing.T) {
	long := strings.Repeat("k", 65535)
	for _, c := range []struct{ sentence, payload, want string }{
		{"the page's example", `{"SET":{"54321_username":"crusty","54321_dobyear":1982,"54321_active":true}}`,
			`SET 54321_username="crusty" 54321_dobyear=1982 54321_active=true`},
		{"the page's key that is too short", `{"SET":{"key1":"value"}}`, `SET key1="value"!6`},
		{"a key has at least 6 characters: 6", `{"SET":{"abcdef":1}}`, `SET abcdef=1`},
		{"a key has at least 6 characters: 5", `{"SET":{"abcde":1}}`, `SET abcde=1!6`},
		{"the empty key", `{"SET":{"":1}}`, `SET =1!6`},
		{"characters are code points: 6 in 24 bytes", `{"SET":{"😀😀😀😀😀😀":1}}`, `SET 😀😀😀😀😀😀=1`},
		{"characters are code points: 5 in 20 bytes", `{"SET":{"😀😀😀😀😀":1}}`, `SET 😀😀😀😀😀=1!6`},
		{"characters are code points: 3 in 6 bytes", `{"SET":{"äöü":1}}`, `SET äöü=1!6`},
		{"characters are counted after unescaping: 6", `{"SET":{"\u0061\u0062\u0063\u0064\u0065\u0066":1}}`, `SET abcdef=1`},
		{"characters are counted after unescaping: 1", `{"SET":{"\u0061":1}}`, `SET a=1!6`},
		{"characters are counted after unescaping: a pair is one", `{"SET":{"abcde\uD83D\uDE00":1}}`, `SET abcde😀=1`},
		{"characters are counted after unescaping: a pair is one, of five", `{"SET":{"abcd\uD83D\uDE00":1}}`, `SET abcd😀=1!6`},
		{"a key has at most 65,535 bytes", `{"SET":{"` + long + `":1}}`, `SET ` + long + `=1`},
		{"a key has at most 65,535 bytes: one more", `{"SET":{"` + long + `k":1}}`, `SET ` + long + `k=1!6`},
		{"a key has at most 65,535 bytes after unescaping", `{"SET":{"` + long[1:] + `\u006b":1}}`, `SET ` + long + `=1`},
		{"escaped and plain are the same key", `{"SET":{"\u0061bcdef":1,"abcdef":2}}`, `SET abcdef=1 abcdef=2`},
		{"all the escapes", `{"GET":["\"\\\/\b\f\n\r\tab\u00e4"]}`, "GET \"\\/\b\f\n\r\tabä"},
		{"an unpaired surrogate in a key", `{"SET":{"abcdef\ud800":1}}`, `{"SERVER_ERROR":{"s":5,"m":"not JSON: unpaired surrogate in a key at byte 15"}}`},
		{"values keep their text: numbers", `{"SET":{"abcdef":1.0,"bcdefg":1e400,"cdefgh":12345678901234567890123,"defghi":-0}}`,
			`SET abcdef=1.0 bcdefg=1e400 cdefgh=12345678901234567890123 defghi=-0`},
		{"values keep their text: escapes", `{"SET":{"abcdef":"\u0041\/\ud800\n"}}`, `SET abcdef="\u0041\/\ud800\n"`},
		{"values: a boolean", `{"SET":{"abcdef":true,"bcdefg":false}}`, `SET abcdef=true bcdefg=false`},
		{"values: null is not one", `{"SET":{"abcdef":null}}`, `SET abcdef=null!7`},
		{"values: an object is not one", `{"SET":{"abcdef":{"a":[1]}}}`, `SET abcdef={"a":[1]}!7`},
		{"values: an array is not one", `{"SET":{"abcdef":[]}}`, `SET abcdef=[]!7`},
		{"a pair that fails does not stop the others", `{"SET":{"a":1,"abcdef":null,"bcdefg":2}}`, `SET a=1!6 abcdef=null!7 bcdefg=2`},
		{"a key twice is two pairs, in order", `{"SET":{"abcdef":1,"abcdef":2,"abcdef":1}}`, `SET abcdef=1 abcdef=2 abcdef=1`},
		{"no pairs", `{"SET":{}}`, `SET`},
		{"no pairs, but space", " { \"SET\" : {\r\n\t} } ", `SET`},
		{"white space everywhere", " \t\r\n{ \"SET\" : { \"abcdef\" : \"x\" , \"bcdefg\" :\n1\r\n, \"cdefgh\":\ttrue\t} } \n", `SET abcdef="x" bcdefg=1 cdefgh=true`},
		{"a newline after the line's end is white space", "{\"SET\":{\"abcdef\":1}}\r", `SET abcdef=1`},

		{"SETQ", `{"SETQ":{"abcdef":1,"x":2}}`, `SETQ abcdef=1 x=2!6`},
		{"ADD", `{"ADD":{"abcdef":1,"x":2}}`, `ADD abcdef=1 x=2!6`},
		{"ADDQ", `{"ADDQ":{"abcdef":1,"x":null}}`, `ADDQ abcdef=1 x=null!6`},
		{"GET", `{"GET":["abcdef","bcdefg","x"]}`, `GET abcdef bcdefg x!6`},
		{"GET with space", "{\"GET\" :[ \"abcdef\" ,\n\"bcdefg\" ] }", `GET abcdef bcdefg`},
		{"GET of nothing", `{"GET":[]}`, `GET`},
		{"an element that is not a string; the others proceed", `{"GET":[1,"abcdef",null,{"a":1},[],true,"bcdefg"]}`,
			`GET !7 abcdef !7 !7 !7 !7 bcdefg`},
		{"RMV", `{"RMV":["abcdef",1]}`, `RMV abcdef !7`},
		{"CONTAINS", `{"CONTAINS":["abcdef",1]}`, `CONTAINS abcdef !7`},
		{"RNM_KEY", `{"RNM_KEY":[{"abcdef":"bcdefg"},{ "cdefgh" : "defghi" }]}`, `RNM_KEY abcdef=bcdefg cdefgh=defghi`},
		{"RNM_KEY: both names' lengths", `{"RNM_KEY":[{"a":"bcdefg"},{"abcdef":"b"}]}`, `RNM_KEY a=bcdefg!6 abcdef=b!6`},
		{"RNM_KEY: not a one-member object with a string", `{"RNM_KEY":["abcdef",{},{"abcdef":1},{"abcdef":"bcdefg","x":1},[],{"abcdef":"cdefgh"}]}`,
			`RNM_KEY !7 !7 !7 !7 !7 abcdef=cdefgh`},
		{"RNM_KEY: names unescaped", `{"RNM_KEY":[{"\u0061bcdef":"\u0062cdefg"}]}`, `RNM_KEY abcdef=bcdefg`},
		{"RNM_KEY: surrogate in the new name", `{"RNM_KEY":[{"abcdef":"abcdef\udfff"}]}`, `{"SERVER_ERROR":{"s":5,"m":"not JSON: unpaired surrogate in a key at byte 29"}}`},
		{"COUNT", `{"COUNT":{}}`, `COUNT`},
		{"CLEAR", `{"CLEAR":{}}`, `CLEAR`},
		{"SERVER_INFO", `{"SERVER_INFO":{ } }`, `SERVER_INFO`},
		{"the command's name unescaped", `{"\u0053ET":{"abcdef":1}}`, `SET abcdef=1`},

		{"not valid JSON", `{"SET":{"abcdef":1}`, `{"SERVER_ERROR":{"s":5,"m":"not JSON: unexpected end at byte 19, want ',' or '}'"}}`},
		{"not valid JSON: nothing of it is executed", `{"SET":{"abcdef":1},}`, `{"SERVER_ERROR":{"s":5,"m":"not JSON: unexpected '}' at byte 20, want a name in quotes"}}`},
		{"not valid JSON: a leading zero", `{"SET":{"abcdef":01}}`, `{"SERVER_ERROR":{"s":5,"m":"not JSON: a digit after a leading zero at byte 18"}}`},
		{"not valid JSON: a raw newline", "{\"SET\":{\"abcdef\":\"\n\"}}", `{"SERVER_ERROR":{"s":5,"m":"not JSON: raw control character in a string at byte 18"}}`},
		{"not valid JSON: an escape", `{"SET":{"abcdef":"\x41"}}`, `{"SERVER_ERROR":{"s":5,"m":"not JSON: illegal escape in a string at byte 19"}}`},
		{"not UTF-8", "{\"SET\":{\"abcdef\":\"\xff\"}}", `{"SERVER_ERROR":{"s":5,"m":"not JSON: invalid UTF-8 in a string at byte 18"}}`},
		{"not a word", `not json`, `{"SERVER_ERROR":{"s":5,"m":"not JSON: 'n' at byte 0 begins no value"}}`},
		{"not a word: a capital", `{"SET":{"abcdef":True}}`, `{"SERVER_ERROR":{"s":5,"m":"not JSON: 'T' at byte 17 begins no value"}}`},
		{"not a word: its third letter", `{"SET":{"abcdef":trap}}`, `{"SERVER_ERROR":{"s":5,"m":"not JSON: 't' at byte 17 begins no value"}}`},
		{"not a word: too short", `{"SET":{"abcdef":nul}}`, `{"SERVER_ERROR":{"s":5,"m":"not JSON: 'n' at byte 17 begins no value"}}`},
		{"not a word: it has no end", `{"SET":{"abcdef":nul`, `{"SERVER_ERROR":{"s":5,"m":"not JSON: unexpected end at byte 20, want null"}}`},
		{"no value: a quote of another kind", `{"SET":{"abcdef":'x'}}`, `{"SERVER_ERROR":{"s":5,"m":"not JSON: ''' at byte 17 begins no value"}}`},
		{"no value: a byte order mark", "\ufeff{}", `{"SERVER_ERROR":{"s":5,"m":"not JSON: byte 0xEF at byte 0 begins no value"}}`},
		{"no name: a string comes first", `{"SET":{"abcdef":1 "b"}}`, `{"SERVER_ERROR":{"s":5,"m":"not JSON: unexpected '\"' at byte 19, want ',' or '}'"}}`},
		{"nested too deep", `{"SET":` + strings.Repeat("[", 129) + strings.Repeat("]", 129) + `}`, `{"SERVER_ERROR":{"s":5,"m":"nesting deeper than 128 at byte 135"}}`},
		{"empty", ``, `{"SERVER_ERROR":{"s":5,"m":"not JSON: unexpected end at byte 0, want a command"}}`},
		{"blank", " \n", `{"SERVER_ERROR":{"s":5,"m":"not JSON: unexpected end at byte 2, want a command"}}`},
		{"top level: an empty object", `{}`, `{"SERVER_ERROR":{"s":4,"m":"no command in the object"}}`},
		{"top level: two members", `{"SET":{"abcdef":1},"GET":["abcdef"]}`, `{"SERVER_ERROR":{"s":4,"m":"Only one command permitted"}}`},
		{"top level: a member twice", `{"CLEAR":{},"CLEAR":{}}`, `{"SERVER_ERROR":{"s":4,"m":"Only one command permitted"}}`},
		{"top level: an array", `[]`, `{"SERVER_ERROR":{"s":4,"m":"Only one command permitted"}}`},
		{"top level: a scalar", `"SET"`, `{"SERVER_ERROR":{"s":4,"m":"Only one command permitted"}}`},
		{"top level: syntax goes first", `{"SET":{"abcdef":1},"x":}`, `{"SERVER_ERROR":{"s":5,"m":"not JSON: '}' at byte 24 begins no value"}}`},
		{"top level: two members go before a name", `{"NOPE":1,"x":1}`, `{"SERVER_ERROR":{"s":4,"m":"Only one command permitted"}}`},
		{"unknown name", `{"NOPE":{}}`, `{"SERVER_ERROR":{"s":3,"m":"unknown command NOPE"}}`},
		{"unknown name: names are upper case", `{"set":{}}`, `{"SERVER_ERROR":{"s":3,"m":"unknown command set"}}`},
		{"unknown name: empty", `{"":{}}`, `{"SERVER_ERROR":{"s":3,"m":"unknown command "}}`},
		{"unknown name: as it was written", `{"\ud800\"é\n":{}}`, `{"SERVER_ERROR":{"s":3,"m":"unknown command \ud800\"é\n"}}`},
		{"unknown name: 64 bytes of it", `{"` + strings.Repeat("N", 64) + `":1}`, `{"SERVER_ERROR":{"s":3,"m":"unknown command ` + strings.Repeat("N", 64) + `"}}`},
		{"unknown name: and no more", `{"` + strings.Repeat("N", 1<<20) + `":1}`, `{"SERVER_ERROR":{"s":3,"m":"unknown command ` + strings.Repeat("N", 64) + `…"}}`},
		{"unknown name: cut between characters", `{"` + strings.Repeat("é", 31) + `N😀NN":1}`, `{"SERVER_ERROR":{"s":3,"m":"unknown command ` + strings.Repeat("é", 31) + `N…"}}`},
		{"unknown name: cut between escapes", `{"` + strings.Repeat(`\n`, 30) + `\u0041NN":1}`, `{"SERVER_ERROR":{"s":3,"m":"unknown command ` + strings.Repeat(`\n`, 30) + `…"}}`},
		{"unknown name: not between the halves of a pair", `{"` + strings.Repeat("N", 56) + `\ud83d\ude00":1}`, `{"SERVER_ERROR":{"s":3,"m":"unknown command ` + strings.Repeat("N", 56) + `…"}}`},
		{"unknown name goes before the type", `{"NOPE":[1]}`, `{"SERVER_ERROR":{"s":3,"m":"unknown command NOPE"}}`},
		{"wrong type: SET", `{"SET":[]}`, `{"SET_RSP":{"st":12,"m":"SET takes an object of keys and values"}}`},
		{"wrong type: SETQ", `{"SETQ":1}`, `{"SETQ_RSP":{"st":12,"m":"SETQ takes an object of keys and values"}}`},
		{"wrong type: GET", `{"GET":{"abcdef":1}}`, `{"GET_RSP":{"st":12,"m":"GET takes an array of keys"}}`},
		{"wrong type: RMV", `{"RMV":"abcdef"}`, `{"RMV_RSP":{"st":12,"m":"RMV takes an array of keys"}}`},
		{"wrong type: CONTAINS", `{"CONTAINS":null}`, `{"CONTAINS_RSP":{"st":12,"m":"CONTAINS takes an array of keys"}}`},
		{"wrong type: RNM_KEY", `{"RNM_KEY":{"abcdef":"bcdefg"}}`,
			`{"RNM_KEY_RSP":{"st":12,"m":"RNM_KEY takes an array of objects {\"old key\":\"new key\"}"}}`},
		{"wrong type: COUNT", `{"COUNT":[]}`, `{"COUNT_RSP":{"st":12,"m":"COUNT takes an empty object"}}`},
		{"wrong type: CLEAR with members does not clear", `{"CLEAR":{"abcdef":1}}`, `{"CLEAR_RSP":{"st":12,"m":"CLEAR takes an empty object"}}`},
		{"wrong type: SERVER_INFO", `{"SERVER_INFO":true}`, `{"SERVER_INFO_RSP":{"st":12,"m":"SERVER_INFO takes an empty object"}}`},
		{"wrong type: syntax goes first", `{"SET":[1,]}`, `{"SERVER_ERROR":{"s":5,"m":"not JSON: ']' at byte 10 begins no value"}}`},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			if got := describe(t, codec.Options{}, c.payload); got != c.want {
				t.Errorf("%.200s\n got %.300s\nwant %.300s", c.payload, got, c.want)
			}
			requireAgreement(t, newDecoder(t, codec.Options{}), codec.Options{}, []byte(c.payload))
		})
	}
}

// TestRefusalsAreData: what is wrong with a command, where, and whose argument it was.
func TestRefusalsAreData(t *testing.T) {
	for _, c := range []struct {
		payload string
		want    codec.Refusal
	}{
		{`{"SET":{"abcdef":01}}`, codec.Refusal{Code: codec.RefusedSyntax, Offset: 18}},
		{`{"SET":{}} x`, codec.Refusal{Code: codec.RefusedSyntax, Offset: 11}},
		{` []`, codec.Refusal{Code: codec.RefusedTop, Offset: 1}},
		{` { }`, codec.Refusal{Code: codec.RefusedTop, Offset: 3}},
		{`{"SET":{} ,"x":1,"y":2}`, codec.Refusal{Code: codec.RefusedTop, Offset: 10}},
		{`{ "NOPE":{}}`, codec.Refusal{Code: codec.RefusedName, Offset: 2}},
		{`{"SET": []}`, codec.Refusal{Code: codec.RefusedArgument, Offset: 8, Op: codec.OpSet}},
		{`{"COUNT":{"abcdef":1}}`, codec.Refusal{Code: codec.RefusedArgument, Offset: 9, Op: codec.OpCount}},
	} {
		_, _, err := newDecoder(t, codec.Options{}).Decode([]byte(c.payload), nil, 1)
		if err == nil {
			t.Fatalf("%s is accepted", c.payload)
		}
		got := *codec.RefusalOf(err)
		got.Text = ""
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", c.payload, got, c.want)
		}
	}
}

func TestContractAnyValues(t *testing.T) {
	for _, c := range []struct{ sentence, payload, want string }{
		{"null", `{"SET":{"abcdef":null}}`, `SET abcdef=null`},
		{"an object keeps its text", `{"SET":{"abcdef": {"a" : [1, 2.0]} ,"bcdefg":1}}`, `SET abcdef={"a" : [1, 2.0]} bcdefg=1`},
		{"an array keeps its text", `{"SET":{"abcdef":[ "\ud800" ,{}]}}`, `SET abcdef=[ "\ud800" ,{}]`},
		{"names within values are no keys", `{"SET":{"abcdef":{"\ud800":1}}}`, `SET abcdef={"\ud800":1}`},
		{"keys of GET are strings all the same", `{"GET":[["abcdef"]]}`, `GET !7`},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			opts := codec.Options{AnyValues: true}
			if got := describe(t, opts, c.payload); got != c.want {
				t.Errorf("%s\n got %s\nwant %s", c.payload, got, c.want)
			}
			requireAgreement(t, newDecoder(t, opts), opts, []byte(c.payload))
		})
	}
}

func TestContractDepth(t *testing.T) {
	for _, anyValues := range []bool{false, true} {
		opts := codec.Options{AnyValues: anyValues}
		for _, c := range []struct {
			before, after string
			limit         int
		}{
			{`{"SET":{"abcdef":`, `}}`, 128},
			{`{"GET":[`, `]}`, 128},
			{`{"RNM_KEY":[`, `]}`, 128},
			{`{"CLEAR":`, `}`, 128},
			{`{"NOPE":`, `}`, 128},
			{`{"SET":{},"x":`, `}`, 128},
			{``, ``, 128},
		} {
			for _, kind := range [][2]string{{"[", "]"}, {`{"a":`, "}"}, {`{"a":[`, "]}"}} {
				for depth := c.limit - 2; depth <= c.limit+2; depth++ {
					n := depth / (len(kind[1]))
					payload := c.before + strings.Repeat(kind[0], n) + "1" + strings.Repeat(kind[1], n) + c.after
					if c.before == "" && kind[0] != "[" {
						continue // that would be a command's name
					}
					d := newDecoder(t, opts)
					got, err := decodeAll(t, d, []byte(payload))
					if refused := got.refusal == 5; refused != (n*len(kind[1]) > c.limit) {
						t.Errorf("%s…%s: depth %d of %s: refusal %d, %v", c.before, c.after, n*len(kind[1]), kind[0], got.refusal, err)
					}
				}
			}
		}
		d := newDecoder(t, opts)
		for _, payload := range []string{
			strings.Repeat("[", 16<<20),
			strings.Repeat(`{"a":`, 3<<20),
			`{"SET":{"abcdef":` + strings.Repeat("[", 16<<20),
			`{"SET":` + strings.Repeat("[", 16<<20),
			`{"RNM_KEY":` + strings.Repeat(`[{"abcdef":`, 1<<20),
		} {
			if got, err := decodeAll(t, d, []byte(payload)); got.refusal != 5 {
				t.Errorf("%.20s…: refusal %d, %v", payload, got.refusal, err)
			}
		}
	}
}
