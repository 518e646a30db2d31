package netio

import (
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// This file is what the simulation's model knows of JSON: what APPEND and UPDATE make of a
// value, and what FIND finds in it. It takes texts without white space, whose members have
// names without escapes and no two of them the same.

// jsonParts are the members or elements of an object or array, as they are written.
func jsonParts(text string) (parts []string) {
	depth, from, quoted := 0, 1, false
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == ',' && depth == 0, i == len(text)-1 && i > from:
			parts = append(parts, text[from:i])
			from = i + 1
		case c == '}' || c == ']':
			depth--
		}
	}
	return parts
}

func joinJSON(like string, parts []string) string {
	return like[:1] + strings.Join(parts, ",") + like[len(like)-1:]
}

// nameOf is the name of a member, and valueOf its value.
func nameOf(member string) string { return member[1 : 1+strings.IndexByte(member[1:], '"')] }

func valueOf(member string) string { return member[len(nameOf(member))+3:] }

func isObject(text string) bool { return text[0] == '{' }
func isArray(text string) bool  { return text[0] == '[' }

// appendedJSON is what APPEND makes of old.
func appendedJSON(old, arg string) (text string, ok bool) {
	switch {
	case old[0] == '"' && arg[0] == '"':
		return old[:len(old)-1] + arg[1:], true
	case isArray(old) && isArray(arg):
		return joinJSON(old, append(jsonParts(old), jsonParts(arg)...)), true
	case isObject(old) && isObject(arg):
		parts := jsonParts(old)
		for _, member := range jsonParts(arg) {
			if partAt(old, parts, nameOf(member)) < 0 {
				parts = append(parts, member)
			}
		}
		return joinJSON(old, parts), true
	}
	return "", false
}

// partAt is the index of what a token names, -1 if it is not there.
func partAt(text string, parts []string, token string) int {
	if isObject(text) {
		return slices.IndexFunc(parts, func(member string) bool { return nameOf(member) == token })
	}
	if n, err := strconv.Atoi(token); err == nil && strconv.Itoa(n) == token && n >= 0 && n < len(parts) {
		return n
	}
	return -1
}

// placesOf are the tokens of a JSON Pointer.
func placesOf(pointer string) []string {
	tokens := strings.Split(pointer, "/")[1:]
	for i, token := range tokens {
		tokens[i] = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
	}
	return tokens
}

// jsonAt is what text has at a place.
func jsonAt(text string, tokens []string) (value string, ok bool) {
	if len(tokens) == 0 {
		return text, true
	}
	if !isObject(text) && !isArray(text) {
		return "", false
	}
	parts := jsonParts(text)
	at := partAt(text, parts, tokens[0])
	if at < 0 {
		return "", false
	}
	if value = parts[at]; isObject(text) {
		value = valueOf(value)
	}
	return jsonAt(value, tokens[1:])
}

// setJSON is text with value at a place.
func setJSON(text string, tokens []string, value string) (_ string, ok bool) {
	if len(tokens) == 0 {
		return value, true
	}
	if !isObject(text) && !isArray(text) {
		return "", false
	}
	parts, token := jsonParts(text), tokens[0]
	name := ""
	if isObject(text) {
		name = `"` + token + `":`
	}
	at := partAt(text, parts, token)
	isNext := isObject(text) || token == "-" || token == strconv.Itoa(len(parts))
	switch {
	case at >= 0:
		value, ok = setJSON(strings.TrimPrefix(parts[at], name), tokens[1:], value)
		parts[at] = name + value
	case isNext && len(tokens) == 1:
		parts, ok = append(parts, name+value), true
	}
	return joinJSON(text, parts), ok
}

// updatedJSON is what UPDATE makes of old.
func updatedJSON(old, arg string) (text string, ok bool) {
	text = old
	for _, place := range jsonParts(arg) {
		if text, ok = setJSON(text, placesOf(nameOf(place)), valueOf(place)); !ok {
			return old, false
		}
	}
	return text, true
}

// orderOf compares two values as FIND does. ok is false if they have no order and differ.
func orderOf(a, b string) (order int, ok bool) {
	isNumber := func(text string) bool { return text[0] == '-' || text[0] >= '0' && text[0] <= '9' }
	switch {
	case isNumber(a) && isNumber(b):
		x, _ := new(big.Rat).SetString(a)
		y, _ := new(big.Rat).SetString(b)
		return x.Cmp(y), true
	case a[0] == '"' && b[0] == '"':
		var x, y string
		if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
			panic("no strings: " + a + b)
		}
		return strings.Compare(x, y), true
	case isObject(a) && isObject(b), isArray(a) && isArray(b):
		return 0, sameParts(a, b)
	}
	return 0, a == b // true, false and null
}

func sameParts(a, b string) bool {
	parts, others := jsonParts(a), jsonParts(b)
	for i, part := range parts {
		token := strconv.Itoa(i)
		if isObject(a) {
			token, part = nameOf(part), valueOf(part)
		}
		other, ok := jsonAt(b, []string{token})
		if !ok {
			return false
		}
		if order, ok := orderOf(part, other); !ok || order != 0 {
			return false
		}
	}
	return len(parts) == len(others)
}

// simCondition is what a FIND looks for.
type simCondition struct{ path, operator, operand string }

func (c *simCondition) matches(text string) bool {
	value, ok := jsonAt(text, placesOf(c.path))
	if !ok {
		return false
	}
	order, ok := orderOf(value, c.operand)
	switch c.operator {
	case "==":
		return ok && order == 0
	case "!=":
		return !ok || order != 0
	case "<":
		return ok && order < 0
	case "<=":
		return ok && order <= 0
	case ">":
		return ok && order > 0
	}
	return ok && order >= 0
}

// What clients store, set and ask for in a server that takes any values. Objects have no
// order, so a comparison with < of one finds nothing, as one of equal ones with <= would.
var (
	simObjects  = []string{`{}`, `{"a":1}`, `{"a":1.0,"b":[1,"é\n1",{"c":null}]}`, `{"b":{"a/b":true,"m~n":-1e2},"a":"x"}`, `{"c":[[],{}]}`}
	simArrays   = []string{`[]`, `[1]`, `["x",null,[2,{"a":1}]]`, `[{"b":[1,"é\n1",{"c":null}],"a":1}]`}
	simScalars  = []string{`null`, `true`, `1`, `1.0`, `10e-1`, `-100`, `"x"`, `"é\u000a1"`, `""`}
	simPointers = []string{"", "/a", "/b", "/c", "/b/0", "/b/-", "/b/2/c", "/b/a~1b", "/b/m~0n", "/0", "/1", "/2", "/-", "/00", "/0/b", "/0/b/3", "/c/1/new", "/new/new"}
	simOperator = []string{"==", "!=", "<", "<=", ">", ">="}
)

func pickText(r *rand.Rand, lists ...[]string) string {
	list := lists[r.IntN(len(lists))]
	return list[r.IntN(len(list))]
}

// randomUpdate is the argument of an UPDATE.
func randomUpdate(r *rand.Rand) string {
	var places []string
	for range r.IntN(4) {
		places = append(places, fmt.Sprintf(`"%s":%s`, pickText(r, simPointers), pickText(r, simObjects, simArrays, simScalars)))
	}
	return "{" + strings.Join(places, ",") + "}"
}

// TestModelOfJSON: the model does with the examples of RFC 6901 and of APPEND, UPDATE and FIND
// what it must.
func TestModelOfJSON(t *testing.T) {
	const text = `{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"m~n":8,"k\"l":{"x":[]}}`
	for pointer, want := range map[string]string{"": text, "/foo": `["bar","baz"]`, "/foo/0": `"bar"`, "/foo/2": "", "/foo/00": "", "/": "0", "/a~1b": "1", "/c%d": "2", "/m~0n": "8", "/foo/bar": "", "/no": ""} {
		if got, ok := jsonAt(text, placesOf(pointer)); got != want || ok != (want != "") {
			t.Errorf("%q is %q, %v, want %q", pointer, got, ok, want)
		}
	}
	for _, tt := range [][3]string{
		{`[1]`, `[2,[3]]`, `[1,2,[3]]`}, {`[]`, `[{}]`, `[{}]`}, {`[1]`, `[]`, `[1]`}, {`{"a":1}`, `{"a":2,"b":[1,2]}`, `{"a":1,"b":[1,2]}`}, {`"a"`, `"\n"`, `"a\n"`}, {`1`, `2`, ""}, {`[]`, `{}`, ""},
	} {
		if got, ok := appendedJSON(tt[0], tt[1]); ok != (tt[2] != "") || got != tt[2] {
			t.Errorf("APPEND of %s to %s is %s, want %s", tt[1], tt[0], got, tt[2])
		}
	}
	for _, tt := range [][3]string{
		{`{"a":[1,{"b":2}]}`, `{"/a/-":3,"/a/1/b":[],"/a/3":4,"/c":5}`, `{"a":[1,{"b":[]},3,4],"c":5}`}, {`{}`, `{"/a/b":1}`, ""}, {`1`, `{"/a":1}`, ""}, {`1`, `{"":{},"/a":1}`, `{"a":1}`}, {`[]`, `{"/1":1}`, ""}, {`[]`, `{}`, `[]`},
	} {
		if got, ok := updatedJSON(tt[0], tt[1]); ok != (tt[2] != "") || ok && got != tt[2] {
			t.Errorf("UPDATE of %s by %s is %s, want %s", tt[0], tt[1], got, tt[2])
		}
	}
	for _, tt := range []struct {
		text, path, operator, operand string
		want                          bool
	}{
		{`1.0`, "", "==", "1", true}, {`{"a":10e-1}`, "/a", "<=", "1", true}, {`"a"`, "", "<", `"b"`, true}, {`"a"`, "", "<", `1`, false}, {`"a"`, "", "!=", `1`, true}, {`[]`, "/a", "!=", `1`, false},
		{`{"a":1,"b":[2]}`, "", "==", `{"b":[2.0],"a":1}`, true}, {`{"a":1}`, "", "==", `{"a":1,"b":2}`, false}, {`[1,2]`, "", "!=", `[1]`, true}, {`[]`, "", ">", `[]`, false}, {`[]`, "", "<=", `[]`, true}, {`null`, "", "==", `null`, true},
	} {
		if c := (simCondition{tt.path, tt.operator, tt.operand}); c.matches(tt.text) != tt.want {
			t.Errorf("%s at %q %s %s is not %v", tt.text, tt.path, tt.operator, tt.operand, tt.want)
		}
	}
}
