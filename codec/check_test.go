package codec_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"keyframe/codec"
)

// newRand returns random numbers from -seed, which a failing test prints.
func newRand(t testing.TB) *rand.Rand {
	t.Helper()
	t.Logf("seed %d (-seed)", *seedFlag)
	return rand.New(rand.NewPCG(uint64(*seedFlag), 2))
}

// checkInSteps decodes a payload as a loop does with a long one: checked in steps of n
// bytes or less, between which the payload moves and the decoder serves others, and then
// decoded at most max elements and n bytes at a time. With forget, the first elements are
// lost half way.
func checkInSteps(t testing.TB, d *codec.Decoder, payload []byte, n, max int, forget bool) (all []string, cmd codec.Command, err error) {
	t.Helper()
	var c codec.Check
	d.Reset()
	var args []codec.Arg
	other := []byte(`{"SET":{"\u006fthers":"1\n","others":"é"}}`)
	steps := 0
	for done := false; !done; steps++ {
		before := c.At()
		args, cmd, done, err = d.CheckStep(&c, payload, n, args, max)
		if !done && c.At() > before+n+16 {
			t.Fatalf("%.200q: a step of %d bytes went from %d to %d", payload, n, before, c.At())
		}
		if steps > 3*len(payload)+10 {
			t.Fatalf("%.200q: no end with steps of %d bytes", payload, n)
		}
		if forget && !done && steps%2 == 1 {
			args = args[:0]
			c.Forget(0)
			d.Reset()
			if got, _, err := d.Decode(other, nil, 10); err != nil || len(got) != 2 {
				t.Fatal(got, err)
			}
			if steps < 100 {
				payload = bytes.Clone(payload)
			}
		}
	}
	if err != nil {
		if len(args) != 0 || cmd != (codec.Command{}) {
			t.Fatalf("%.200q: refused with %d arguments and %v", payload, len(args), cmd)
		}
		return nil, cmd, err
	}
	all = appendExtra(appendArgs(nil, cmd.Op, args), cmd.Extra)
	for cmd.More {
		d.Reset()
		before := cmd.Next
		args, cmd = d.DecodePart(&c, payload, cmd, args[:0], max, n)
		if len(args) == 0 || cmd.More && cmd.Next <= before {
			t.Fatalf("%.200q: nothing comes from byte %d on: %v", payload, before, cmd)
		}
		all = appendArgs(all, cmd.Op, args)
	}
	return all, cmd, nil
}

// appendArgs describes what a server sees of args.
func appendArgs(dst []string, op codec.Opcode, args []codec.Arg) []string {
	for i := range args {
		a := &args[i]
		dst = append(dst, fmt.Sprintf("%d: %q %s %d %s", a.Pos, a.Key, valueText(op, a), a.Status, codec.AppendResponse(nil, op, a, codec.StatusTypeInvalid)))
	}
	return dst
}

// appendExtra describes what else a command has.
func appendExtra(dst []string, x *codec.Extra) []string {
	if x == nil {
		return dst
	}
	text := fmt.Sprintf("extra: id %s, ttl %d", x.ID, x.TTL)
	if q := x.Query; q != nil {
		text += asked(string(q.Prefix), fmt.Sprint(q.Limit), string(q.Cursor), q.Values)
	}
	if x.Credentials != nil {
		text += credentialsText(x.Credentials)
	}
	return append(dst, text)
}

// sortExtra puts it first, wherever it came.
func sortExtra(all []string) []string {
	slices.SortStableFunc(all, func(a, b string) int {
		return strings.Compare(fmt.Sprint(!strings.HasPrefix(a, "extra")), fmt.Sprint(!strings.HasPrefix(b, "extra")))
	})
	return all
}

// requireSameInSteps holds the check in steps against Decode: the same elements, or the
// same refusal.
func requireSameInSteps(t testing.TB, d *codec.Decoder, payload []byte, n, max int, forget bool) {
	t.Helper()
	d.Reset()
	args, cmd, err := d.Decode(payload, nil, 1<<30)
	want := appendArgs(nil, cmd.Op, args)
	if err == nil {
		want = sortExtra(appendExtra(want, cmd.Extra))
	}
	got, after, stepErr := checkInSteps(t, d, payload, n, max, forget)
	var refused, stepRefused *codec.Refusal
	errors.As(err, &refused)
	errors.As(stepErr, &stepRefused)
	switch {
	case (refused == nil) != (stepRefused == nil) || refused != nil && *refused != *stepRefused:
		t.Fatalf("%.300q: in steps of %d\n got %#v\nwant %#v", payload, n, stepRefused, refused)
	case after.Op != cmd.Op || !slices.Equal(sortExtra(got), want):
		t.Fatalf("%.300q: in steps of %d, %d at a time\n got %v %.2000q\nwant %v %.2000q", payload, n, max, after, got, cmd, want)
	}
}

// TestCheckAtEveryCut: every length of a step, of commands, and of what is none.
func TestCheckAtEveryCut(t *testing.T) {
	eachOptions(t, func(t *testing.T, opts codec.Options, d *codec.Decoder) {
		payloads := slices.Clone(commands)
		for _, bad := range badValues {
			payloads = append(payloads, `{"SET":{"abcdef":1,"bcdefg":`+bad+`,"cdefgh":2}}`)
		}
		for _, s := range badStrings {
			payloads = append(payloads, `{"GET":["abcdef","é`+s+`"]}`, `{"SET":{"abcdef":[{"`+s+`":1}]}}`)
		}
		payloads = append(payloads, faultyCommands...)
		for _, long := range []int{4096, 1} {
			codec.LeapsForTesting(d, long)
			for _, p := range payloads {
				for n := 1; n <= len(p)+1; n++ {
					requireSameInSteps(t, d, []byte(p), n, 1+n%3, n%2 == 0)
				}
			}
		}
	})
}

// faultyCommands are refused for each of the reasons that there are, and others that come
// close to it.
var faultyCommands = []string{
	`{"#":17}`, `{"#":17,}`, `{"#":17 "SET":{}}`, `{"#":17,"#":18,"SET":{}}`, `{"#":17,"SET":{},"#":18}`, `{"SET":{},"#":17,"#":18}`, `{"#":[1],"SET":{}}`, `{"#":null,"NOPE":{}}`, `{"SET":{},"#":true}`,
	`{"#":17,"GET":{}}`, `{"#":17,"NOPE":1}`, `{"#":17,"GET":[}`, `{"GET":[],"#":"x","RMV":[]}`, `{"GET":[],"RMV":[],"#":"x"}`, `{"#":"x","GET":[],"RMV":[],}`, `{"GET":[],"#":"\ud800"}`, `{"#":{"a":[[[[]]]]},"GET":[]}`,
	`{"#":"` + strings.Repeat("i", 64) + `","COUNT":{}}`, `{"#":"` + strings.Repeat("i", 65) + `","COUNT":{}}`, `{"COUNT":{},"#":` + strings.Repeat("1", 64) + `}`, `{"COUNT":{},"#":` + strings.Repeat("1", 65) + `}`, `{"#":-,"COUNT":{}}`,
	`{"SETEX":{}}`, `{"SETEX":{"ttl":1}}`, `{"SETEX":{"pairs":{}}}`, `{"SETEX":{"ttl":0,"pairs":{"abcdef":1}}}`, `{"SETEX":{"pairs":{"abcdef":1},"ttl":1.5}}`, `{"SETEX":{"pairs":{"abcdef":1},"ttl":"1"}}`, `{"SETEX":{"pairs":{"abcdef":1},"ttl":1x}}`,
	`{"SETEX":{"ttl":10000000000001,"pairs":{"abcdef":1}}}`, `{"SETEX":{"ttl":100000000000000,"pairs":{}}}`, `{"SETEX":{"ttl":18446744073709551617,"pairs":{}}}`, `{"SETEX":{"ttl":,"pairs":{}}}`, `{"SETEX":{"ttl":1,"pairs":{"abcdef":1},"ttl":2}}`, `{"SETEX":{"ttl":1,"pairs":}}`,
	`{"SETEX":{"ttl":1,"ttl":2,"pairs":{}}}`, `{"SETEX":{"ttl":1,"pairs":{},"pairs":{"abcdef":1}}}`, `{"SETEX":{"ttl":1,"pairs":[]}}`, `{"SETEX":{"ttl":1,"pairs":{"abcdef":1},"x":{"\ud800":[]}}}`, `{"SETEX":{"x":1,"pairs":{"abc\ud800":1}}}`, `{"SETEX":{"pairs":{"abc\ud800":1}}}`,
	`{"SETEX":{"pairs":{"abcdef":[[[[1]]]]},"ttl":1}}`, `{"SETEX":{"pairs":{"abcdef":[[1]]}}}`, `{"SETEX":{"ttl":1,"pairs":{"abcdef":1,}}}`, `{"SETEX":{"ttl":1 "pairs":{}}}`, `{"SETEX":{"ttl":1,}}`, `{"SETEX":{,}}`, `{"SETEX":{"ttl"}}`, `{"SETEX":{"ttl":01,"pairs":{}}}`, `{"SETEX":{"ttl":1,"pairs":{}}`, `{"SETEX":[]}`,
	`{"UPDATE":{"abcdef":{"/a":1,"":[]},"bcdefg":{"a":1},"cdefgh":{"/~2":1},"defghi":[]}}`, `{"UPDATE":[]}`, `{"UPDATE":{"abcdef":{"/a":[[[]]]}}}`, `{"UPDATE":{"abcdef":{"/a":01}}}`,
	``, ` `, `x`, `[]`, ` [1,{"a":[]}] `, `[] x`, `[}`, `{}`, `{ } x`, `{`, `{"`, `{x`, `{"SET"`, `{"SET" x`, `{"SET":`, `{"SET":}`,
	`{"SET":[]}`, `{"SET":[}`, `{"SET":"x"} `, `{"GET":{}}`, `{"COUNT":[]}`, `{"COUNT":{"a":[1,{}]}}`, `{"COUNT": {   "a":01}}`, `{"COUNT":{ } } x`,
	`{"NOPE":[1,2]}`, `{"NOPE":[1,2}`, `{"\ud83d\ude00":1}`, `{"\u0053ET":{"abcdef":1}}`, `{"NOPE":1,"a":2}`, `{"SET":{},"a":{"b":[1]} , "c":2}`, `{"SET":{},}`, `{"SET":{},"a":1`, `{"SET":{},"a":1]`,
	`{"SET":{"abcdef":1}`, `{"SET":{"abcdef":1}]`, `{"SET":{"abcdef":1,}}`, `{"SET":{"abcdef" 1}}`, `{"SET":{"abcdef":1 2}}`, `{"SET":{1:1}}`, `{"SET":{,}}`,
	`{"GET":["abcdef",]}`, `{"GET":["abcdef" 1]}`, `{"GET":["abcdef"}`, `{"GET":[-]}`, `{"GET":[-0.1e+5,1e,2]}`, `{"GET":[1.]}`, `{"GET":[00]}`, `{"GET":[0,-0]}`, `{"GET":[tru]}`,
	`{"GET":["\ud800abcdef"]}`, `{"GET":["abc\ud83d\ude00def","\udc00\ud800abcdef"]}`, `{"GET":["\ud800\ud800\udc00abc"]}`, `{"GET":["\ud800\n\udc00abc"]}`,
	`{"RNM_KEY":[{"\ud800bcdef":"bcdefg"}]}`, `{"RNM_KEY":[{"abcdef":"\udc00bcdefg"} , 1]}`, `{"RNM_KEY":[{"\ud800bcdef":"\udc00bcdefg"}]}`, `{"RNM_KEY":[{"\ud800bcdef":1}]}`, `{"RNM_KEY":[{"\ud800bcdef":"b","c":"d"}]}`,
	`{"RNM_KEY":[{"\ud800bcdef":"b"]}`, `{"RNM_KEY":[{},{"abcdef":{"b":"c"}},["a","b"],{"abcdef":["b"]},{"abcdef":"bcdefg"}]}`, `{"RNM_KEY":[["\ud800"],{"abcdef":{"\ud800":"\ud800"}}]}`,
	"{\"SET\":{\"abcdef\":\"\xff\"}}", "{\"SET\":{\"abcdef\xe2\x82\":1}}", "{\"SET\":{\"abcdef\":1\x80}}", "{\"SET\":{\"abcdef\":1}}\xe2\x82\xac", "\xef\xbb\xbf{}", "{\"GET\":[\"\xf0\x9f\x98\x80\x80abcdef\"]}", "{\"GET\":[\"ключ:01\",\"\u20ac\U0001F600\"]}",
	`{"SET":{"abcdef":[[[[]]]]}}`, `{"SET":{"abcdef":[[[]]]}}`, `{"SET":{"abcdef":{"a":{"b":{"c":1}}}}}`, `{"SET":{"abcdef":[{"a":1,}]}}`, `{"SET":{"abcdef":[1,]}}`, `{"SET":{"abcdef":{"a" 1}}}`, `{"SET":{"abcdef":{1:1}}}`, `{"SET":{"abcdef":[1 2]}}`, `{"SET":{"abcdef":{"a":1]}}`,
}

// TestCheckRandomCommands: random commands, in random steps.
func TestCheckRandomCommands(t *testing.T) {
	rnd := newRand(t)
	n := 20_000
	if sample() {
		n = 2_000
	}
	eachOptions(t, func(t *testing.T, opts codec.Options, d *codec.Decoder) {
		for range n {
			payload := randomCommand(rnd)
			if rnd.IntN(3) == 0 {
				payload[rnd.IntN(len(payload))] = mutations[rnd.IntN(len(mutations))]
			}
			codec.NarrowForTesting(d, 1+rnd.IntN(100))
			codec.LeapsForTesting(d, 1+rnd.IntN(40))
			requireSameInSteps(t, d, payload, 1+rnd.IntN(1<<rnd.IntN(9)), 1+rnd.IntN(5), rnd.IntN(2) == 0)
		}
	})
}

// TestCheckLong: payloads whose parts are each longer than a step, in every place.
func TestCheckLong(t *testing.T) {
	rnd := newRand(t)
	const n = 10_000
	spaces, digits := strings.Repeat(" \t", n/2), strings.Repeat("7", n)
	escapes, letters := strings.Repeat(`\u0061`, n/6), strings.Repeat("ключ", n/4)
	nested := strings.Repeat("[", 100) + strings.Repeat(`{"a":[]},`, n/9) + "1" + strings.Repeat("]", 100)
	many := strings.Repeat(`"abc\u0064ef":"value",`, n/22)
	keys := strings.Repeat(`"abcdef",`, n/9)
	payloads := []string{
		spaces, spaces + `[]`, spaces + `{}`, spaces + "{" + spaces + `"` + escapes + `"` + spaces + ":" + spaces + nested + spaces + "}" + spaces,
		`{"COUNT":` + spaces + `{` + spaces + `}}`, `{"COUNT":` + spaces + `{` + spaces + `"a":1}}`,
		`{"SET":{` + many + `"` + letters + `":"` + escapes + `",` + many + `"number":-` + digits + `.` + digits + `e+` + digits + `}}`,
		`{"SET":{` + many + spaces + `"abcdef"` + spaces + ":" + spaces + nested + spaces + "," + spaces + `"bcdefg":1` + spaces + `}` + spaces + `}`,
		`{"SET":{"abcdef":` + nested + `,` + many + `"bcdefg":` + nested + `}}`,
		`{"GET":[` + keys + `"` + letters + `","` + escapes + `",` + nested + "," + keys + digits + spaces + `,"abcdef"]}`,
		`{"GET":["` + strings.Repeat(escapes, 50) + `","` + strings.Repeat("k", 500_000) + `","` + strings.Repeat(letters, 5) + `"]}`,
		`{"RNM_KEY":[{"abcdef":"bcdefg"},{` + spaces + `"` + letters + `"` + spaces + ":" + spaces + `"` + escapes + `"` + spaces + "}," + nested + `,{"abcdef":` + nested + `},{"` + escapes + `":"` + strings.Repeat("k", 500_000) + `"}]}`,
		`{"SETEX":{` + spaces + `"ttl"` + spaces + `:` + spaces + `1000` + spaces + `,` + spaces + `"pairs":{` + many + `"` + letters + `":"` + escapes + `"},"ttl":1}}`, `{"ADDEX":{"pairs":{` + many + `"a":1},"ttl":1000},"#":"x"}`,
		`{"ADDEX":{"pairs":{` + many + `"a":1},"ttl":` + digits + `},"#":17}`, `{"#":"` + letters + `","COUNT":{}}`, `{"#":` + spaces + `1` + spaces + `,` + spaces + `"CAS":{"abcdef":[` + nested + `,` + spaces + `"` + escapes + `"],` + strings.TrimSuffix(strings.ReplaceAll(many, `"value"`, `[null , 2]`), ",") + `}}`,
		`{"NOPE":{` + many + `"a":1},"b":` + nested + `}`, `{"` + letters + `":1}`, `[` + keys + nested + `]`,
	}
	times := 3
	if sample() {
		times = 1
	}
	for _, opts := range []codec.Options{{}, {AnyValues: true, MaxKeyBytes: 1000}} {
		d := newDecoder(t, opts)
		for _, p := range payloads {
			for _, tail := range []string{"", "}", "x"} {
				for range times {
					requireSameInSteps(t, d, []byte(p+tail), len(p)/5000+rnd.IntN(1<<(4+rnd.IntN(12))), 1+rnd.IntN(1000), rnd.IntN(2) == 0)
				}
			}
			if cut := []byte(p[:len(p)-1-rnd.IntN(len(p)-1)]); len(cut) > 0 {
				requireSameInSteps(t, d, cut, 1+rnd.IntN(5000), 10, false)
			}
			broken := []byte(p)
			broken[rnd.IntN(len(broken))] = mutations[rnd.IntN(len(mutations))]
			requireSameInSteps(t, d, broken, 1+rnd.IntN(5000), 10, true)
		}
	}
}

// checkWhole checks a payload that is right, in steps of n bytes, without decoding any of it.
func checkWhole(t *testing.T, d *codec.Decoder, payload []byte, n int) (*codec.Check, codec.Command) {
	t.Helper()
	var c codec.Check
	for {
		args, cmd, done, err := d.CheckStep(&c, payload, n, nil, 0)
		if err != nil || len(args) != 0 {
			t.Fatalf("%.100q: %v, %v", payload, args, err)
		}
		if done {
			return &c, cmd
		}
	}
}

func TestDecodePartLeaps(t *testing.T) {
	// A value, white space and a name that is too long, each of a mebibyte. A part that
	// did not leap would mark or walk them all, and count its steps.
	d := newDecoder(t, codec.Options{})
	nested := strings.Repeat("[],", 1<<18)
	payload := []byte(`{"SET":{"abcdef":[` + nested + `[]],` + strings.Repeat(" ", 1<<20) + `"bcdefg":"` + strings.Repeat(`\n`, 1<<19) + `","` + strings.Repeat(`\u0061`, 1<<18) + `":1,"cdefgh":2}}`)
	c, cmd := checkWhole(t, d, payload, 10_000)
	var args []codec.Arg
	// What lies in the leaps is overwritten: it must not be looked at any more.
	for _, part := range []string{nested, strings.Repeat(" ", 1<<20), strings.Repeat(`\n`, 1<<19), strings.Repeat(`\u0061`, 1<<18)} {
		at := bytes.Index(payload, []byte(part))
		for i := at + 5000; i < at+len(part)-1; i++ {
			payload[i] = 0
		}
	}
	var statuses []codec.Status
	for cmd.More {
		if args, cmd = d.DecodePart(c, payload, cmd, args[:0], 10, 1000); len(args) == 0 {
			t.Fatal("no further elements")
		}
		for i := range args {
			statuses = append(statuses, args[i].Status)
		}
	}
	if want := []codec.Status{codec.StatusTypeInvalid, 0, codec.StatusKeyLengthInvalid, 0}; !slices.Equal(statuses, want) {
		t.Errorf("got %v, want %v", statuses, want)
	}
}

// TestDecodePartEndsByBytes: elements of a kilobyte, of which a part of 10 kB holds ten
// or so.
func TestDecodePartEndsByBytes(t *testing.T) {
	for name, element := range map[string]string{
		"SET": `"abcdef":"` + strings.Repeat("v", 1000) + `",`, "ADD": `"abcdef":` + strings.Repeat("1", 1000) + `,`,
		"GET": `"` + strings.Repeat("k", 1000) + `",`, "RMV": strings.Repeat("1", 1000) + `,`, "CONTAINS": `[` + strings.Repeat(" ", 1000) + `],`,
		"RNM_KEY": `{"abcdef":"` + strings.Repeat("k", 1000) + `"},`,
	} {
		opening, closing := "[", "]}"
		if strings.HasSuffix(name, "T") && name != "GET" || name == "ADD" {
			opening, closing = "{", "}}"
		}
		payload := []byte(`{"` + name + `":` + opening + strings.TrimSuffix(strings.Repeat(element, 1000), ",") + closing)
		d := newDecoder(t, codec.Options{})
		c, cmd := checkWhole(t, d, payload, 10_000)
		var args []codec.Arg
		for n := 0; cmd.More; n++ {
			if args, cmd = d.DecodePart(c, payload, cmd, args[:0], 1<<30, 10_000); len(args) > 20 {
				t.Fatalf("%s: a part of 10 kB has %d elements of 1 kB", name, len(args))
			}
		}
	}
}

// mutations are bytes that make a difference where they are put.
const mutations = "\"\\{}[]:,01e- x\n\xc3\xa9\x80"

// TestCheckEveryByteMutation: what any byte of a command may become.
func TestCheckEveryByteMutation(t *testing.T) {
	eachOptions(t, func(t *testing.T, opts codec.Options, d *codec.Decoder) {
		for i, c := range commands {
			payload := []byte(c)
			for at := range payload {
				for j := range len(mutations) {
					payload[at] = mutations[j]
					requireSameInSteps(t, d, payload, 1+(i+at+j)%20, 1+j%3, j%2 == 0)
				}
				payload[at] = c[at]
			}
		}
	})
}
