package codec_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"keyframe/codec"
)

// The oracle decodes a command with encoding/json and nothing of the codec. It follows
// PROTOCOL.md sentence by sentence, and its speed doesn't matter.
//
// encoding/json is more lenient than PROTOCOL.md section 2 in two things, both intended by
// its authors: it accepts bytes that are not UTF-8, and it replaces unpaired surrogates by
// U+FFFD. The oracle checks both itself. A third difference is the depth: 10,000 there, an
// option's here.

// outcome is what a payload comes to.
type outcome struct {
	refusal int // 0, or s 5, s 4, s 3, or st 12
	op      string
	args    []element
	id      string
	ttl     int64
	query   string // the fields that are asked for, in the order of their names
}

type element struct {
	key, value string
	status     codec.Status
}

func (o outcome) String() string {
	return fmt.Sprintf("refusal %d, %s %q, id %s, ttl %d, query %s", o.refusal, o.op, o.args, o.id, o.ttl, o.query)
}

const (
	oraclePairs = iota + 1
	oracleKeys
	oracleRenames
	oracleNothing
	oracleTimed
	oracleTimes
	oracleNumbers
	oracleComparisons
	oracleExpected
	oracleAppends
	oracleUpdates
	oracleQuery
	oracleSearch
	oracleCredentials
)

var oracleCommands = map[string]int{
	"SET": oraclePairs, "SETQ": oraclePairs, "ADD": oraclePairs, "ADDQ": oraclePairs,
	"GET": oracleKeys, "RMV": oracleKeys, "CONTAINS": oracleKeys, "RNM_KEY": oracleRenames,
	"COUNT": oracleNothing, "CLEAR": oracleNothing, "SERVER_INFO": oracleNothing, "PING": oracleNothing, "SAVE": oracleNothing,
	"SETEX": oracleTimed, "SETEXQ": oracleTimed, "ADDEX": oracleTimed, "ADDEXQ": oracleTimed,
	"EXPIRE": oracleTimes, "EXPIREQ": oracleTimes, "TTL": oracleKeys, "INCR": oracleNumbers, "INCRQ": oracleNumbers,
	"CAS": oracleComparisons, "CAD": oracleExpected, "TAKE": oracleKeys, "SWAP": oraclePairs, "RMVQ": oracleKeys,
	"APPEND": oracleAppends, "APPENDQ": oracleAppends, "UPDATE": oracleUpdates, "UPDATEQ": oracleUpdates,
	"KEYS": oracleQuery, "FIND": oracleSearch, "CLEAR_SET": oraclePairs, "AUTH": oracleCredentials,
}

// member is a member of an object, as text; name is unescaped.
type member struct{ rawName, name, value string }

var errNotObject, errNotArray = errors.New("not an object"), errors.New("not an array")

func members(text string) (all []member, err error) {
	dec := json.NewDecoder(strings.NewReader(text))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errNotObject
	}
	for dec.More() {
		from := dec.InputOffset()
		t, err := dec.Token()
		if err != nil {
			return nil, err
		}
		raw := strings.TrimLeft(text[from:dec.InputOffset()], " \t\r\n,")
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		all = append(all, member{raw, t.(string), string(value)})
	}
	return all, nil
}

func elements(text string) (all []string, err error) {
	dec := json.NewDecoder(strings.NewReader(text))
	if t, err := dec.Token(); err != nil || t != json.Delim('[') {
		return nil, errNotArray
	}
	for dec.More() {
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		all = append(all, string(value))
	}
	return all, nil
}

// depth of nested arrays and objects of valid JSON.
func depth(text string) (deepest int) {
	dec := json.NewDecoder(strings.NewReader(text))
	for now := 0; ; {
		t, err := dec.Token()
		if err != nil {
			return deepest
		}
		switch t {
		case json.Delim('['), json.Delim('{'):
			now++
			deepest = max(deepest, now)
		case json.Delim(']'), json.Delim('}'):
			now--
		}
	}
}

var escapes = regexp.MustCompile(`\\u[dD][89abAB][[:xdigit:]]{2}\\u[dD][c-fC-F][[:xdigit:]]{2}|\\u[[:xdigit:]]{4}|\\.`)

// loneSurrogate reports whether the text of a string has a surrogate without its
// other half.
func loneSurrogate(text string) bool {
	for _, e := range escapes.FindAllString(text, -1) {
		if len(e) == 6 && strings.ContainsRune("dD", rune(e[2])) && strings.ContainsRune("89abcdefABCDEF", rune(e[3])) {
			return true
		}
	}
	return false
}

func oracle(payload []byte, opts codec.Options) outcome {
	if opts.MaxKeyBytes == 0 {
		opts.MaxKeyBytes = 65535
	}
	if opts.MaxDepth == 0 {
		opts.MaxDepth = 128
	}
	invalid := outcome{refusal: 5}
	if !json.Valid(payload) || !utf8.Valid(payload) {
		return invalid
	}
	tooDeep := func(text string) bool { return depth(text) > opts.MaxDepth }

	all, err := members(string(payload))
	if err != nil {
		if tooDeep(string(payload)) {
			return invalid
		}
		return outcome{refusal: 4}
	}
	id, commands, badIDs := "", 0, 0
	var command member
	for _, m := range all {
		switch {
		case m.name == "#" && (tooDeep(m.value)):
			return outcome{refusal: 5, id: id}
		case m.name == "#" && id == "" && oracleID(m.value):
			id = m.value
		case m.name == "#":
			badIDs++
		default:
			if commands++; commands == 1 {
				// It is decoded before others are known to follow.
				if command = m; oracleArgument(m.name, m.value, opts).refusal == 5 {
					return outcome{refusal: 5, id: id}
				}
			} else if tooDeep(m.value) {
				return outcome{refusal: 5, id: id}
			}
		}
	}
	if commands != 1 || badIDs > 0 {
		return outcome{refusal: 4, id: id}
	}
	if loneSurrogate(command.rawName) {
		command.name = ""
	}
	out := oracleArgument(command.name, command.value, opts)
	out.id = id
	return out
}

// oracleID reports whether a value may be an id.
func oracleID(text string) bool {
	switch {
	case text[0] == '"':
		return len(text) <= 66
	case strings.ContainsRune("-0123456789", rune(text[0])):
		return len(text) <= 64
	}
	return false
}

// oracleInt is the number that text is, written in digits; low and high are what it may be.
func oracleInt(text string, low, high int64) (n int64, ok bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && n >= low && n <= high
}

// oracleArgument decodes the argument of a command.
func oracleArgument(name, text string, opts codec.Options) outcome {
	out := outcome{op: name}
	invalid := outcome{refusal: 5}
	wrong := outcome{refusal: 12, op: name}
	if depth(text) > opts.MaxDepth+2 {
		return invalid
	}
	status := func(keys ...string) codec.Status {
		for _, k := range keys {
			if utf8.RuneCountInString(k) < 6 || len(k) > opts.MaxKeyBytes {
				return codec.StatusKeyLengthInvalid
			}
		}
		return codec.StatusOK
	}
	// An argument of the wrong type is a value like any other.
	refused := func(o outcome) outcome {
		if depth(text) > opts.MaxDepth {
			return invalid
		}
		return o
	}
	shape := oracleCommands[name]
	pairs := text
	switch shape {
	case oracleUpdates:
		if !opts.AnyValues {
			return refused(wrong)
		}
	case oracleTimed:
		all, err := members(text)
		if err != nil {
			return refused(wrong)
		}
		pairs = ""
		for _, m := range all {
			n, ok := oracleInt(m.value, 1, 1e13)
			switch {
			case m.name == "ttl" && ok && out.ttl == 0 && !loneSurrogate(m.rawName):
				out.ttl = n
			case m.name == "pairs" && m.value[0] == '{' && pairs == "":
				pairs = m.value
				// They are decoded before what follows them is known.
				if oracleArgument("SET", pairs, opts).refusal == 5 {
					return invalid
				}
			default:
				return refused(wrong)
			}
		}
		if out.ttl == 0 || pairs == "" {
			return refused(wrong)
		}
	}
	switch shape {
	case oraclePairs, oracleTimed, oracleTimes, oracleNumbers, oracleComparisons, oracleExpected, oracleAppends, oracleUpdates:
		all, err := members(pairs)
		if err != nil {
			return refused(wrong)
		}
		for _, m := range all {
			if loneSurrogate(m.rawName) || depth(m.value) > opts.MaxDepth {
				return invalid
			}
			e := element{asAnswered(m.rawName, m.name, opts), m.value, status(m.name)}
			if e.status == codec.StatusOK && !oracleIsFor(shape, &e, opts) {
				e.status = codec.StatusTypeInvalid
			}
			out.args = append(out.args, e)
		}
	case oracleKeys:
		all, err := elements(text)
		if err != nil {
			return refused(wrong)
		}
		for _, v := range all {
			if depth(v) > opts.MaxDepth {
				return invalid
			}
			if v[0] != '"' {
				out.args = append(out.args, element{status: codec.StatusTypeInvalid})
				continue
			}
			var key string
			if json.Unmarshal([]byte(v), &key) != nil || loneSurrogate(v) {
				return invalid
			}
			out.args = append(out.args, element{key: asAnswered(v, key, opts), status: status(key)})
		}
	case oracleRenames:
		all, err := elements(text)
		if err != nil {
			return refused(wrong)
		}
		for _, v := range all {
			if depth(v) > opts.MaxDepth {
				return invalid
			}
			pair, err := members(v)
			var to string
			if err != nil || len(pair) != 1 || pair[0].value[0] != '"' || json.Unmarshal([]byte(pair[0].value), &to) != nil {
				out.args = append(out.args, element{status: codec.StatusTypeInvalid})
				continue
			}
			if loneSurrogate(pair[0].rawName) || loneSurrogate(pair[0].value) {
				return invalid
			}
			out.args = append(out.args, element{asAnswered(pair[0].rawName, pair[0].name, opts), asAnswered(pair[0].value, to, opts), status(pair[0].name, to)})
		}
	case oracleQuery, oracleSearch:
		return refusedOr(out, oracleAsk(text, shape == oracleSearch, opts), refused, wrong)
	case oracleCredentials:
		return refusedOr(out, oracleCredentialsOf(text), refused, wrong)
	case oracleNothing:
		if all, err := members(text); err != nil || len(all) > 0 {
			return refused(wrong)
		}
	default:
		return refused(outcome{refusal: 3})
	}
	return out
}

func refusedOr(out outcome, query string, refused func(outcome) outcome, wrong outcome) outcome {
	if query == "" {
		return refused(wrong)
	}
	out.query = query
	return refused(out)
}

// oracleCredentialsOf is what an AUTH brings, "" if that is not what it takes.
func oracleCredentialsOf(text string) string {
	all, err := members(text)
	if err != nil || len(text) > 4096 {
		return ""
	}
	got := map[string]string{}
	for _, m := range all {
		var s string
		if _, twice := got[m.name]; twice || m.value[0] != '"' || loneSurrogate(m.value) || json.Unmarshal([]byte(m.value), &s) != nil {
			return ""
		}
		got[m.name] = s
	}
	user, isUser := got["user"]
	password, isPassword := got["password"]
	token, isToken := got["token"]
	switch {
	case len(got) == 2 && isUser && isPassword:
		return fmt.Sprintf("user %q, password %q", user, password)
	case len(got) == 1 && isToken:
		return fmt.Sprintf("token %q", token)
	}
	return ""
}

// oracleIsFor reports whether an element's value is of its shape's kind. Of a comparison it
// makes the two values.
func oracleIsFor(shape int, e *element, opts codec.Options) bool {
	scalar := !strings.ContainsRune("n[{", rune(e.value[0]))
	switch shape {
	case oracleTimes:
		_, ok := oracleInt(e.value, 1, 1e13)
		return ok || e.value == "null"
	case oracleNumbers:
		_, ok := oracleInt(e.value, math.MinInt64, math.MaxInt64)
		return ok
	case oracleComparisons:
		two, err := elements(e.value)
		if err != nil || len(two) != 2 || strings.ContainsRune("n[{", rune(two[1][0])) && !opts.AnyValues {
			return false
		}
		e.value = two[0] + " then " + two[1]
		return true
	case oracleExpected:
		return true
	case oracleAppends:
		return e.value[0] == '"' || opts.AnyValues && (e.value[0] == '[' || e.value[0] == '{')
	case oracleUpdates:
		all, err := members(e.value)
		for _, m := range all {
			if !pointers.MatchString(m.name) {
				return false
			}
		}
		return err == nil
	}
	return scalar || opts.AnyValues
}

// pointers are those of RFC 6901, section 3.
var pointers = regexp.MustCompile(`(?s)^(/([^~/]|~[01])*)*$`)

// oracleAsk is what a question asks for, "" if it is none.
func oracleAsk(text string, search bool, opts codec.Options) string {
	all, err := members(text)
	if err != nil || len(text) > 128<<10 {
		return ""
	}
	fields := map[string]string{"limit": "1000"}
	seen := map[string]bool{}
	for _, m := range all {
		name, value := m.name, m.value
		isComparison := slices.Contains([]string{"==", "!=", "<", "<=", ">", ">="}, name)
		if isComparison {
			name = "compare"
		}
		isText := value[0] == '"' && !loneSurrogate(value)
		var s string
		_ = json.Unmarshal([]byte(value), &s)
		_, isLimit := oracleInt(value, 1, 100_000)
		ok := false
		switch name {
		case "prefix", "cursor":
			ok, value = isText, s
		case "limit":
			ok = isLimit
		case "values":
			ok = value == "true" || value == "false"
		case "path":
			ok, value = search && isText && pointers.MatchString(s) && (s == "" || opts.AnyValues), s
		case "compare":
			ok, value = search, m.name+value
		}
		if !ok || seen[name] {
			return ""
		}
		seen[name], fields[name] = true, value
	}
	if search && !seen["compare"] {
		return ""
	}
	return asked(fields["prefix"], fields["limit"], fields["cursor"], fields["values"] == "true")
}

func asked(prefix, limit, cursor string, values bool) string {
	return fmt.Sprintf("prefix %q, limit %s, cursor %q, values %t", prefix, limit, cursor, values)
}

// asAnswered is a key as an Arg has it. Of one that is too long however it is written, the
// text is answered as it is.
func asAnswered(text, key string, opts codec.Options) string {
	if inside := strings.Trim(text, " \t\r\n"); len(inside)-2 >= 6*(opts.MaxKeyBytes+1) {
		return inside[1 : len(inside)-1]
	}
	return key
}

// decodeAll decodes a payload with the codec, all elements at once.
func decodeAll(t testing.TB, d *codec.Decoder, payload []byte) (outcome, error) {
	t.Helper()
	return decodeSteps(t, d, payload, 1<<30)
}

// decodeSteps decodes a payload with the codec, at most max elements at a time.
func decodeSteps(t testing.TB, d *codec.Decoder, payload []byte, max int) (outcome, error) {
	t.Helper()
	d.Reset()
	args, cmd, err := d.Decode(payload, nil, max)
	if err != nil {
		if len(args) != 0 || cmd.More {
			t.Errorf("%.200q: refused, and yet there are %d arguments", payload, len(args))
		}
		return outcome{refusal: refusal(t, err), op: refusedOp(err), id: codec.RefusalOf(err).ID}, err
	}
	for step := len(args); cmd.More; {
		if step != max {
			t.Fatalf("%.200q: more to come after %d arguments, want %d", payload, step, max)
		}
		before := len(args)
		args, cmd = d.DecodeFrom(payload, cmd, args, max)
		if step = len(args) - before; step == 0 {
			t.Fatalf("%.200q: more to come, but nothing came at byte %d", payload, cmd.Next)
		}
	}
	out := outcome{op: cmd.Op.String()}
	for i := range args {
		out.args = append(out.args, element{string(args[i].Key), valueText(cmd.Op, &args[i]), args[i].Status})
	}
	if x := cmd.Extra; x != nil {
		out.id, out.ttl = string(x.ID), x.TTL
		if q := x.Query; q != nil {
			out.query = asked(string(q.Prefix), strconv.Itoa(q.Limit), string(q.Cursor), q.Values)
		}
		if x.Credentials != nil {
			out.query = credentialsText(x.Credentials)
		}
	}
	return out, nil
}

func credentialsText(c *codec.Credentials) string {
	if c.Token != nil {
		return fmt.Sprintf("token %q", c.Token)
	}
	return fmt.Sprintf("user %q, password %q", c.User, c.Password)
}

// valueText is the text of an element's value, or of those of a comparison. It panics if a
// string is not kept in the form that it is to be.
func valueText(op codec.Opcode, a *codec.Arg) string {
	if op.Shape() == codec.ShapeComparisons && a.Status == codec.StatusOK {
		expected, expectedForm, value, valueForm := a.Comparison()
		return textOf(expected, expectedForm) + " then " + textOf(value, valueForm)
	}
	if op.Shape() == codec.ShapeKeys || op.Shape() == codec.ShapeRenames {
		return string(a.Value)
	}
	return textOf(a.Value, a.Form)
}

func textOf(value []byte, form codec.Form) string {
	plain := form == codec.FormJSON && len(value) > 0 && value[0] == '"' && !bytes.Contains(value, []byte(`\`))
	if plain || form > codec.FormString {
		panic(fmt.Sprintf("form %d of %q", form, value))
	}
	if form == codec.FormString {
		return `"` + string(value) + `"`
	}
	return string(value)
}

func refusal(t testing.TB, err error) int {
	t.Helper()
	var r *codec.Refusal
	if !errors.As(err, &r) {
		t.Fatalf("an error of no known type: %v", err)
	}
	return int(r.Code)
}

func refusedOp(err error) string {
	if r := codec.RefusalOf(err); r.Code == codec.RefusedArgument {
		return r.Op.String()
	}
	return ""
}

// wordOf is the place of the first letter of the word whose letter at fault encoding/json
// objects to: to the codec, the word as a whole begins no value.
func wordOf(payload []byte, fault int, text string) int {
	for _, word := range []string{"true", "false", "null"} {
		if _, expected, ok := strings.Cut(text, "in literal "+word+" (expecting '"); ok {
			before := strings.IndexByte(word, expected[0])
			if expected[0] == 'l' && payload[fault-1] == 'l' {
				before++ // the second of null's
			}
			return fault - before
		}
	}
	return fault
}

// firstFault is the offset of the first byte that encoding/json or the UTF-8
// check objects to, -1 if there is none.
func firstFault(payload []byte) int {
	fault := -1
	var raw json.RawMessage
	var syntax *json.SyntaxError
	if err := json.Unmarshal(payload, &raw); errors.As(err, &syntax) {
		// Offset counts from 1, except at the end, where encoding/json tries a space first.
		fault = int(syntax.Offset)
		atEnd := strings.HasPrefix(syntax.Error(), "unexpected end") ||
			strings.HasPrefix(syntax.Error(), "invalid character ' '") && fault == len(payload) && payload[fault-1] != ' '
		if !atEnd {
			fault = wordOf(payload, fault-1, syntax.Error())
		}
	} else if err != nil && !errors.Is(err, io.EOF) {
		return -1
	}
	for i := 0; i < len(payload) && (fault < 0 || i < fault); {
		r, n := utf8.DecodeRune(payload[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return fault
}

// requireAgreement fails when codec and oracle differ about a payload, or the
// response to it is no JSON.
func requireAgreement(t testing.TB, d *codec.Decoder, opts codec.Options, payload []byte) {
	t.Helper()
	kept := bytes.Clone(payload)
	got, err := decodeAll(t, d, payload)
	want := oracle(payload, opts)
	if want.refusal == 5 { // it depends on where the fault is
		got.id, want.id = "", ""
	}
	if got.String() != want.String() {
		t.Fatalf("%.300q:\n got %.600v (%v)\nwant %.600v", payload, got, err, want)
	}
	if !bytes.Equal(kept, payload) {
		t.Fatalf("%.300q: decoding has changed the payload", kept)
	}
	if err == nil {
		return
	}
	r := codec.RefusalOf(err)
	if r.Offset < 0 || r.Offset > len(payload) {
		t.Fatalf("%.300q: %v: the fault is at byte %d", payload, err, r.Offset)
	}
	if r.Code == codec.RefusedSyntax {
		ours := strings.Contains(r.Text, "surrogate") || strings.Contains(r.Text, "deeper")
		if fault := firstFault(payload); !ours && r.Offset != fault {
			t.Fatalf("%.300q: %v, want the fault at byte %d", payload, err, fault)
		}
	}
	if body := codec.AppendError(nil, r); !json.Valid(body) || !utf8.Valid(body) {
		t.Fatalf("%.300q: the refusal is no JSON: %q", payload, body)
	}
}
