package codec_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"keyframe/codec"
)

// kept is a JSON text as a store keeps it.
func kept(text string) ([]byte, codec.Form) {
	if text[0] == '"' && !strings.Contains(text, `\`) {
		return []byte(text[1 : len(text)-1]), codec.FormString
	}
	return []byte(text), codec.FormJSON
}

// merge is Merge of JSON texts; old is "" if there is no such key. It returns the new text,
// or the status that says why there is none.
func merge(t *testing.T, old, arg string, update bool) string {
	t.Helper()
	value, form := kept(arg)
	if update {
		value, form = []byte(arg), codec.FormUpdate
	}
	var was []byte
	var wasForm codec.Form
	if old != "" {
		was, wasForm = kept(old)
	}
	before := string(was)
	got, gotForm, st := codec.Merge([]byte("before"), was, wasForm, old != "", value, form)
	if string(was) != before || !strings.HasPrefix(string(got), "before") {
		t.Errorf("%s and %s: the old value is %s now, the result %s", old, arg, was, got)
	}
	if st != codec.StatusKeySet && st != codec.StatusKeyUpdated {
		return fmt.Sprint(st)
	}
	if (st == codec.StatusKeySet) != (old == "") {
		t.Errorf("%s and %s: status %d", old, arg, st)
	}
	text := textOf(got[len("before"):], gotForm)
	if !json.Valid([]byte(text)) || !utf8.ValidString(text) {
		t.Fatalf("%s and %s make %s", old, arg, text)
	}
	return text
}

func TestAppend(t *testing.T) {
	for _, c := range [][3]string{
		{``, `"new"`, `"new"`}, {``, `"\n"`, `"\n"`}, {``, `[1]`, `[1]`},
		{`"one"`, `"two"`, `"onetwo"`}, {`"one"`, `""`, `"one"`}, {`""`, `""`, `""`}, {`"one"`, `"\n"`, `"one\n"`}, {`"\n"`, `"two"`, `"\ntwo"`}, {`"\""`, `"\\"`, `"\"\\"`},
		{`"\ud83d"`, `"\ude00"`, `"\ud83d\ude00"`}, {`"é"`, `"😀"`, `"é😀"`},
		{`[]`, `[]`, `[]`}, {`[ ]`, `[1]`, `[1 ]`}, {`[1]`, `[ ]`, `[1]`}, {`[1, 2 ]`, `[ 3,[]]`, `[1, 2, 3,[] ]`},
		{`{}`, `{"a":1}`, `{"a":1}`}, {`{ }`, `{ "a" : 1 }`, `{"a" : 1 }`}, {`{"a":1}`, `{"a":2}`, `{"a":1}`}, {`{"a":1 , "c":[]}`, `{"b":2,"\u0061":3,"c":4,"b":5}`, `{"a":1 , "c":[],"b":2}`},
		{`{"\ud800":1}`, `{"\ud801":2}`, `{"\ud800":1,"\ud801":2}`},
		{`1`, `"x"`, `7`}, {`"x"`, `[1]`, `7`}, {`[1]`, `"x"`, `7`}, {`{}`, `[]`, `7`}, {`null`, `"x"`, `7`}, {`true`, `[1]`, `7`},
	} {
		if got := merge(t, c[0], c[1], false); got != c[2] {
			t.Errorf("%s and %s make %s, want %s", c[0], c[1], got, c[2])
		}
	}
	// Bytes that a client of another protocol has stored.
	for _, c := range []struct {
		old, arg, want string
		st             codec.Status
	}{
		{"a\"\xff", `"b"`, "", codec.StatusTypeInvalid}, {"a\"é", `"b"`, "a\"éb", codec.StatusKeyUpdated}, {"a\n", `"\u0062\""`, "a\nb\"", codec.StatusKeyUpdated}, {"a\n", `"\ud800"`, "", codec.StatusTypeInvalid}, {"a", `"\ud83d\ude00"`, "a😀", codec.StatusKeyUpdated}, {"", `[1]`, "", codec.StatusTypeInvalid},
	} {
		value, form := kept(c.arg)
		got, gotForm, st := codec.Merge(nil, []byte(c.old), codec.FormBytes, true, value, form)
		if st != c.st || st == codec.StatusKeyUpdated && (string(got) != c.want || gotForm != codec.FormBytes) {
			t.Errorf("%q and %s make %q, form %d, status %d", c.old, c.arg, got, gotForm, st)
		}
	}
}

// rfc6901 is the document of RFC 6901 section 5, and what its pointers name there.
const rfc6901 = `{"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, "k\"l": 6, " ": 7, "m~n": 8}`

var rfc6901Places = map[string]string{
	"": rfc6901, "/foo": `["bar", "baz"]`, "/foo/0": `"bar"`, "/": "0", "/a~1b": "1", "/c%d": "2", "/e^f": "3", "/g|h": "4", `/i\j`: "5", `/k"l`: "6", "/ ": "7", "/m~0n": "8",
}

func TestPointersOfRFC6901(t *testing.T) {
	for pointer, want := range rfc6901Places {
		name := string(codec.AppendString(nil, []byte(pointer)))
		at := strings.LastIndex(rfc6901, want)
		changed := rfc6901[:at] + `{"new":1}` + rfc6901[at+len(want):]
		if pointer != "" && strings.Count(rfc6901, want) != 1 && want != "1" {
			t.Fatalf("%s is there twice", want)
		}
		if want == "1" {
			changed = strings.Replace(rfc6901, `"a/b": 1`, `"a/b": {"new":1}`, 1)
		}
		if got := merge(t, rfc6901, `{`+name+`:{"new":1}}`, true); got != changed {
			t.Errorf("%s set to {\"new\":1}: %s\nwant %s", pointer, got, changed)
		}
	}
}

func TestUpdate(t *testing.T) {
	for _, c := range [][3]string{
		{``, `{}`, `3`}, {``, `{"":1}`, `3`},
		{`1`, `{}`, `1`}, {`1`, `{"":2}`, `2`}, {`1`, `{"":"x"}`, `"x"`}, {`"x"`, `{"":{"a":1},"/a":2}`, `{"a":2}`}, {`"x"`, `{}`, `"x"`}, {`"x"`, `{"/a":1}`, `7`}, {`1`, `{"/0":1}`, `7`},
		// RFC 6902's appendix A, of arrays and objects.
		{`{ "foo": "bar"}`, `{"/baz":"qux"}`, `{ "foo": "bar","baz":"qux"}`},
		{`{ "foo": [ "bar", "baz" ] }`, `{"/foo/1":"qux"}`, `{ "foo": [ "bar", "qux" ] }`},
		{`{ "foo": [ "bar", "baz" ] }`, `{"/foo/2":"qux"}`, `{ "foo": [ "bar", "baz","qux" ] }`},
		{`{ "foo": ["bar"] }`, `{ "/foo/-": ["abc", "def"] }`, `{ "foo": ["bar",["abc", "def"]] }`},
		{`{ "foo": ["bar"] }`, `{ "/foo/-": 1, "/foo/-": 2, "/foo/1":3 }`, `{ "foo": ["bar",3,2] }`},
		{`{ "foo": "bar" }`, `{"/child":{ "grandchild": { } }, "/child/grandchild/x":1}`, `{ "foo": "bar","child":{ "grandchild": {"x":1 } } }`},
		{`{ "foo": "bar" }`, `{ "/baz/bat": "qux" }`, `7`},
		{`{ "/": 9, "~1": 10 }`, `{"/~01": 11, "/~1": 12}`, `{ "/": 12, "~1": 11 }`},
		{`[]`, `{"/0":1}`, `[1]`}, {`[ ]`, `{"/-":1}`, `[1 ]`}, {`[1]`, `{"/1":2}`, `[1,2]`}, {`[1]`, `{"/2":2}`, `7`}, {`[1]`, `{"/01":2}`, `7`}, {`[1]`, `{"/-1":2}`, `7`}, {`[1]`, `{"/":2}`, `7`}, {`[1]`, `{"/-/0":2}`, `7`}, {`[1]`, `{"/1e0":2}`, `7`}, {`[1]`, `{"/99999999999999999999":2}`, `7`},
		{`{"a":1,"a":2}`, `{"/a":3}`, `{"a":3,"a":2}`}, {`{"\u0061":1}`, `{"/a":2}`, `{"\u0061":2}`}, {`{}`, `{"/a\"b\n":2}`, `{"a\"b\n":2}`}, {`{"-":1}`, `{"/-":2}`, `{"-":2}`},
		{`{"a":[{"b":1}, 2.0 ],"c":"\u0041"}`, `{"/a/0/b":[],"/a/0/b/0":"x"}`, `{"a":[{"b":["x"]}, 2.0 ],"c":"\u0041"}`},
		{`{"a":1}`, `{"/a":2,"/b/c":3}`, `7`},
		// Half a surrogate pair stays an escape.
		{`{"a":1}`, `{"/\ud800":1}`, `{"a":1,"\ud800":1}`}, {`{}`, `{"/é\udfff\ud800\n":1}`, `{"é\udfff\ud800\n":1}`}, {`{"\uD800":1}`, `{"/\ud800":2}`, `{"\uD800":2}`}, {`{}`, `{"/\ud83d\ude00":1,"/\ud7ff\ue000":2}`, "{\"😀\":1,\"\ud7ff\ue000\":2}"},
	} {
		if got := merge(t, c[0], c[1], true); got != c[2] {
			t.Errorf("%s and %s make %s, want %s", c[0], c[1], got, c[2])
		}
	}
}

// TestUpdateOfBytes: what a client of another protocol has stored has places if it has a JSON
// text. Bytes that have none can be replaced as a whole.
func TestUpdateOfBytes(t *testing.T) {
	for _, c := range [][3]string{
		{"a\"\n", `{}`, `"a\"\n"`}, {"a\"\n", `{"":"b"}`, `"b"`}, {"a\"\n", `{"/a":1}`, `7`}, {`{"a":1}`, `{"/a":2}`, `7`},
		{"\xff\xfe", `{}`, `7`}, {"\xff\xfe", `{ }`, `7`}, {"\xff\xfe", `{"/a":1}`, `7`}, {"\xff\xfe", `{"/a":1,"":2}`, `7`}, {"\xed\xa0\x80", `{}`, `7`}, {"\"\xc3", `{}`, `7`},
		{"\xff\xfe", `{"":1}`, `1`}, {"\xff\xfe", `{ "" : {}, "/a":[], "/a/-":"b"}`, `{"a":["b"]}`}, {"\xff\xfe", `{"":"a\n"}`, `"a\n"`}, {"\xff\xfe", `{"":1,"/a":2}`, `7`},
	} {
		got, form, st := codec.Merge(nil, []byte(c[0]), codec.FormBytes, true, []byte(c[1]), codec.FormUpdate)
		text := fmt.Sprint(st)
		if st == codec.StatusKeyUpdated {
			text = textOf(got, form)
		}
		if text != c[2] {
			t.Errorf("%q and %s make %q, want %s", c[0], c[1], text, c[2])
		}
	}
}

func TestUpdateHasLimits(t *testing.T) {
	deep := strings.Repeat("[", 127) + strings.Repeat("]", 127)
	pointer := strings.Repeat("/0", 127)
	if got := merge(t, "["+deep[:126]+"1"+deep[128:]+"]", `{"`+pointer+`":{}}`, true); got == "7" {
		t.Error("a result of depth 128 is refused")
	}
	if got := merge(t, "["+deep[:126]+"1"+deep[128:]+"]", `{"`+pointer+`":[[]]}`, true); got != "7" {
		t.Errorf("a result of depth 129 is %.300s", got)
	}
	old := `["` + strings.Repeat("x", 1<<20) + `"]`
	places := strings.Repeat(`"/0":1,`, 31)
	if got := merge(t, old, `{`+places+`"/0":2}`, true); got != "[2]" {
		t.Errorf("an UPDATE of a mebibyte: %.100s", got)
	}
	places = strings.Repeat(`"/0":`+old[1:len(old)-1]+`,`, 32)
	if got := merge(t, old, `{`+places+`"/0":2}`, true); got != "7" {
		t.Errorf("an UPDATE that costs too much: %.100s", got)
	}
}

// TestMergeRandom: random values and updates against decoded ones.
func TestMergeRandom(t *testing.T) {
	rnd := newRand(t)
	n := 30_000
	if sample() {
		n = 3000
	}
	for range n {
		old, arg := randomJSON(rnd, 3), randomJSON(rnd, 3)
		got := merge(t, old, arg, false)
		want, ok := appended(parsed(t, old), parsed(t, arg))
		if ok != (got != "7") || ok && !reflect.DeepEqual(parsed(t, got), want) {
			t.Fatalf("%s and %s make %s, want %v %v", old, arg, got, want, ok)
		}
		pointer := randomPointer(rnd)
		got = merge(t, old, `{"`+pointer+`":`+arg+`}`, true)
		want, ok = updated(parsed(t, old), strings.Split(pointer, "/")[1:], parsed(t, arg))
		if ok != (got != "7") || ok && !reflect.DeepEqual(parsed(t, got), want) {
			t.Fatalf("%s with %s at %q is %s, want %v %v", old, arg, pointer, got, want, ok)
		}
	}
}

func parsed(t *testing.T, text string) (v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatal(text, err)
	}
	return v
}

func appended(old, arg any) (any, bool) {
	switch old := old.(type) {
	case string:
		s, ok := arg.(string)
		return old + s, ok
	case []any:
		more, ok := arg.([]any)
		return append(old[:len(old):len(old)], more...), ok
	case map[string]any:
		more, ok := arg.(map[string]any)
		for name, v := range more {
			if _, there := old[name]; !there {
				old[name] = v
			}
		}
		return old, ok
	}
	return nil, false
}

func updated(old any, tokens []string, arg any) (any, bool) {
	if len(tokens) == 0 {
		return arg, true
	}
	token := strings.NewReplacer("~1", "/", "~0", "~").Replace(tokens[0])
	switch old := old.(type) {
	case map[string]any:
		child, ok := old[token]
		if !ok && len(tokens) > 1 {
			return nil, false
		}
		var done bool
		old[token], done = updated(child, tokens[1:], arg)
		return old, done
	case []any:
		i, ok := oracleInt(token, 0, int64(len(old)))
		if token == "-" {
			i, ok = int64(len(old)), true
		}
		if !ok || len(token) > 1 && token[0] == '0' || int(i) == len(old) && len(tokens) > 1 {
			return nil, false
		}
		if int(i) == len(old) {
			return append(old[:i:i], arg), true
		}
		var done bool
		old[i], done = updated(old[i], tokens[1:], arg)
		return old, done
	}
	return nil, false
}

func randomPointer(rnd *rand.Rand) (p string) {
	for range rnd.IntN(4) {
		p += "/" + [...]string{"a", "b", "~0", "~1", "", "0", "1", "2", "-", "00"}[rnd.IntN(10)]
	}
	return p
}

// randomJSON is a random value, whose objects have each name once.
func randomJSON(rnd *rand.Rand, depth int) string {
	space := func() string { return [...]string{"", "", " ", "\n"}[rnd.IntN(4)] }
	switch n := rnd.IntN(8); {
	case n < 2 || depth == 0:
		return [...]string{`""`, `"x"`, `"\n"`, `"é"`, `"\u0041\""`, `0`, `1.50`, `true`, `null`, `-1e3`}[rnd.IntN(10)]
	case n < 5:
		s := "[" + space()
		for i := range rnd.IntN(4) {
			if i > 0 {
				s += "," + space()
			}
			s += randomJSON(rnd, depth-1) + space()
		}
		return s + "]"
	}
	s := "{" + space()
	names := []string{`"a"`, `"b"`, `"~"`, `"\/"`, `""`, `"0"`, `"\u0031"`, `"-"`}
	rnd.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for i, name := range names[:rnd.IntN(4)] {
		if i > 0 {
			s += "," + space()
		}
		s += name + space() + ":" + space() + randomJSON(rnd, depth-1) + space()
	}
	return s + "}"
}

// TestPlacesAreFoundInOnePass: the text may end where the place begins, so nothing has looked
// for the ends of the values around it.
func TestPlacesAreFoundInOnePass(t *testing.T) {
	text, path := []byte{}, []byte{}
	for i := range 60 {
		text = append(text, `{"a":[], "b":[{"b":1}, `...)
		path = append(path, "/b/1"...)
		if from, ok := codec.FindForTesting(append(text, '7'), path); !ok || from != len(text) {
			t.Fatalf("%d levels: %d %t", i, from, ok)
		}
	}
}

func TestPointersHaveAMostTokens(t *testing.T) {
	d := newDecoder(t, codec.Options{AnyValues: true})
	for _, c := range []struct {
		tokens int
		want   codec.Status
	}{{128, codec.StatusOK}, {129, codec.StatusTypeInvalid}, {1 << 20, codec.StatusTypeInvalid}} {
		path := strings.Repeat("/", c.tokens)
		args, _, err := d.Decode([]byte(`{"UPDATE":{"nobody":{"`+path+`":1}}}`), nil, 2)
		if err != nil || len(args) != 1 || args[0].Status != c.want {
			t.Errorf("UPDATE of %d tokens: %.100v %v", c.tokens, args, err)
		}
	}
	for tokens, want := range map[int]bool{128: true, 129: false} {
		if _, _, err := d.Decode([]byte(`{"FIND":{"path":"`+strings.Repeat("/a", tokens)+`","==":1}}`), nil, 2); (err == nil) != want {
			t.Errorf("FIND with %d tokens: %v", tokens, err)
		}
	}
}

// TestMergeTakesNoMemoryForOldMembers: an APPEND to an object allocates for what it adds.
func TestMergeTakesNoMemoryForOldMembers(t *testing.T) {
	old := "{"
	for i := range 5000 {
		old += fmt.Sprintf(`"name\u002d%d":%d,`, i, i)
	}
	old += `"last":1}`
	dst := make([]byte, 0, 2*len(old))
	for _, arg := range []string{`{}`, `{"last":2}`, `{"new":1,"name-4999":2,"new":3}`} {
		n := testing.AllocsPerRun(5, func() {
			codec.Merge(dst, []byte(old), codec.FormJSON, true, []byte(arg), codec.FormJSON)
		})
		if n > 20 {
			t.Errorf("an APPEND of %s makes %v allocations", arg, n)
		}
	}
}

func TestMergedValuesHaveALimit(t *testing.T) {
	if sample() {
		t.Skip("values of 16 MiB")
	}
	const limit = 16 << 20
	text := func(n int) string { return `"` + strings.Repeat("x", n) + `"` }
	list := func(n int) string { return `[` + text(n-4) + `]` }
	for _, c := range []struct {
		old, arg string
		update   bool
		want     int // length of the text; 1 is "7"
	}{
		{text(limit - 9), text(9), false, limit + 2}, {text(limit - 9), text(10), false, 1},
		{list(limit / 2), list(limit/2 + 1), false, limit}, {list(limit / 2), list(limit/2 + 2), false, 1},
		{`{"a":` + text(limit/2) + `}`, `{"b":` + text(limit/2) + `}`, false, 1},
		{`[1]`, `{"/0":` + text(limit-4) + `}`, true, limit}, {list(limit - 1), `{"/-":1}`, true, 1},
		// One that is longer already.
		{list(limit + 9), `{"/0":7}`, true, 3}, {list(limit + 9), `{"/-":7}`, true, 1}, {text(limit + 9), text(0), false, limit + 11}, {text(limit + 9), text(1), false, 1}, {``, text(limit + 9), false, limit + 11},
	} {
		if got := merge(t, c.old, c.arg, c.update); len(got) != c.want {
			t.Errorf("%.20s of %d and %.20s of %d make %d bytes, want %d", c.old, len(c.old), c.arg, len(c.arg), len(got), c.want)
		}
	}
}
