package codec_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"keyframe/codec"
)

// inside reports whether part lies within whole.
func inside(part, whole []byte) bool {
	if len(part) == 0 {
		return true
	}
	p, w := uintptr(unsafe.Pointer(unsafe.SliceData(part))), uintptr(unsafe.Pointer(unsafe.SliceData(whole)))
	return p >= w && p+uintptr(len(part)) <= w+uintptr(len(whole))
}

func TestArgumentsAliasThePayload(t *testing.T) {
	d := newDecoder(t, codec.Options{AnyValues: true})
	payload := []byte(`{"SET":{"abcdef":"x","ключик":[1],"\u0061bcdef":2}}`)
	args, _, err := d.Decode(payload, nil, 10)
	if err != nil || len(args) != 3 {
		t.Fatal(args, err)
	}
	for i, a := range args {
		if inside(a.Key, payload) != (i < 2) || !inside(a.Value, payload) {
			t.Errorf("argument %d: the key aliases the payload: %t, the value: %t", i, inside(a.Key, payload), inside(a.Value, payload))
		}
		if cap(a.Key) != len(a.Key) || cap(a.Value) != len(a.Value) {
			t.Errorf("argument %d: appending to it would write into the payload", i)
		}
	}
}

func TestUnescapedKeysStayUntilReset(t *testing.T) {
	d := newDecoder(t, codec.Options{})
	var all []codec.Arg
	for i := range 5000 { // the scratch has to grow on the way
		var err error
		if all, _, err = d.Decode(fmt.Appendf(nil, `{"GET":["\u006bey%06d"]}`, i), all, 1); err != nil {
			t.Fatal(err)
		}
	}
	for i, a := range all {
		if want := fmt.Sprintf("key%06d", i); string(a.Key) != want {
			t.Fatalf("key %d is %s", i, a.Key)
		}
	}
}

func TestRefusedPayloadsLeaveNoScratch(t *testing.T) {
	d := newDecoder(t, codec.Options{})
	big := []byte(`{"GET":["\u0061` + strings.Repeat("b", 60_000) + `",]}`)
	good := []byte(`{"GET":["\u0061bcdef"]}`)
	first, _, err := d.Decode(good, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	for range 10_000 {
		if args, _, err := d.Decode(big, first, 1); err == nil || len(args) != 1 {
			t.Fatal(args, err)
		}
	}
	second, _, err := d.Decode(good, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	if string(first[0].Key) != "abcdef" || string(second[0].Key) != "abcdef" {
		t.Errorf("keys %s and %s", first[0].Key, second[0].Key)
	}
	if size := codec.ScratchForTesting(d); size > 200_000 {
		t.Errorf("refused payloads have used up %d bytes of scratch", size)
	}
}

func TestElementsThatDontFitUseNoScratch(t *testing.T) {
	d := newDecoder(t, codec.Options{})
	payload := []byte(`{"RNM_KEY":[` + strings.Repeat(`{"\u0061bcdefgh":"\u0062cdefghi"},`, 100_000) + `{"abcdef":"bcdefg"}]}`)
	if args, cmd, err := d.Decode(payload, nil, 1); err != nil || len(args) != 1 || !cmd.More {
		t.Fatal(args, cmd, err)
	}
	if size := codec.ScratchForTesting(d); size > 1000 {
		t.Errorf("two keys use up %d bytes of scratch", size)
	}
}

// Arguments are decoded over what the slice held before.
func TestArgumentsAreWrittenWhole(t *testing.T) {
	d := newDecoder(t, codec.Options{})
	for _, first := range commands {
		for _, second := range commands {
			reused := make([]codec.Arg, 10)
			if _, _, err := d.Decode([]byte(first), reused[:0], 10); err != nil {
				t.Fatal(first, err)
			}
			got, cmd, err := d.Decode([]byte(second), reused[:0], 10)
			want, _, wantErr := d.Decode([]byte(second), nil, 10)
			if err != nil || wantErr != nil || !slices.Equal(appendArgs(nil, cmd.Op, got), appendArgs(nil, cmd.Op, want)) {
				t.Fatalf("%s after %s\n got %v %v\nwant %v %v", second, first, got, err, want, wantErr)
			}
			for i := range got {
				if (got[i].Value == nil) != (want[i].Value == nil) {
					t.Fatalf("%s after %s: value %q, want %q", second, first, got[i].Value, want[i].Value)
				}
			}
		}
	}
}

func TestErrorKeepsArguments(t *testing.T) {
	d := newDecoder(t, codec.Options{})
	before := []codec.Arg{{Key: []byte("kept")}}
	for _, payload := range []string{``, `{}`, `{"NOPE":1}`, `{"SET":[]}`, `{"SET":{"abcdef":1,"bcdefg":}}`, `{"SET":{"abcdef":1},"x":1}`} {
		args, cmd, err := d.Decode([]byte(payload), before, 10)
		if err == nil || len(args) != 1 || string(args[0].Key) != "kept" || cmd != (codec.Command{}) {
			t.Errorf("%s: %v %v %v", payload, args, cmd, err)
		}
	}
}

func TestDecodeInSteps(t *testing.T) {
	eachOptions(t, func(t *testing.T, opts codec.Options, d *codec.Decoder) {
		for _, c := range commands {
			whole, err := decodeAll(t, d, []byte(c))
			if err != nil {
				t.Fatal(c, err)
			}
			for max := 1; max <= 6; max++ {
				if steps, err := decodeSteps(t, d, []byte(c), max); err != nil || steps.String() != whole.String() {
					t.Errorf("%s: %d at a time\n got %v %v\nwant %v", c, max, steps, err, whole)
				}
			}
		}
	})
}

func TestDecodeFromAnyPosition(t *testing.T) {
	d := newDecoder(t, codec.Options{AnyValues: true})
	for _, c := range commands {
		all, cmd, err := d.Decode([]byte(c), nil, 1000)
		if err != nil {
			t.Fatal(c, err)
		}
		for i, a := range all {
			cmd.Next = a.Pos
			rest, after := d.DecodeFrom([]byte(c), cmd, nil, 1000)
			if after.More || len(rest) != len(all)-i {
				t.Fatalf("%s from byte %d: %d arguments, %v", c, a.Pos, len(rest), after)
			}
			for j, r := range rest {
				w := all[i+j]
				if !bytes.Equal(r.Key, w.Key) || !bytes.Equal(r.Value, w.Value) || r.Status != w.Status || r.Pos != w.Pos {
					t.Errorf("%s from byte %d: argument %d is %v, want %v", c, a.Pos, j, r, w)
				}
			}
		}
	}
}

func TestDecodeOfNothingWanted(t *testing.T) {
	d := newDecoder(t, codec.Options{})
	payload := []byte(`{"SET":{"abcdef":1,"\u0062cdefg":2}}`)
	for _, max := range []int{0, -1} {
		args, cmd, err := d.Decode(payload, nil, max)
		if err != nil || len(args) != 0 || !cmd.More || cmd.Next != 8 {
			t.Fatal(args, cmd, err)
		}
		if args, cmd = d.DecodeFrom(payload, cmd, nil, max); len(args) != 0 || !cmd.More || cmd.Next != 8 {
			t.Fatal(args, cmd)
		}
	}
	if args, cmd, err := d.Decode(payload, make([]codec.Arg, 3), 1<<63-1); err != nil || len(args) != 5 || cmd.More {
		t.Fatal(args, cmd, err)
	}
}

// The part that does not fit is checked just as strictly.
func TestRestIsChecked(t *testing.T) {
	d := newDecoder(t, codec.Options{})
	for _, rest := range []string{`"bcdefg":01`, `"bcdefg":"\x"`, `"\ud800cdefg":1`, "\"bcdefg\":\"\xff\"", `"bcdefg"`, `"bcdefg":[[}]`} {
		payload := []byte(`{"SET":{"abcdef":1,` + rest + `}}`)
		for max := range 3 {
			if args, cmd, err := d.Decode(payload, nil, max); err == nil || len(args) != 0 || cmd.More {
				t.Errorf("%s: %v %v", payload, cmd, err)
			}
		}
	}
}

func TestDecodeFromIsSafeOnAnything(t *testing.T) {
	d := newDecoder(t, codec.Options{})
	for _, c := range append(commands, "", "{", `"`, `"\`, `"\u`, "[[[", "\xff\"\xff") {
		for op := range 256 {
			for next := -1; next <= len(c)+1; next++ {
				for _, max := range []int{-1, 0, 1, 100} {
					d.DecodeFrom([]byte(c), codec.Command{Op: codec.Opcode(op), More: true, Next: next}, nil, max)
				}
			}
		}
		if len(c) > 60 && sample() {
			break
		}
	}
}

func TestBigKeysAndMillionPairs(t *testing.T) {
	d := newDecoder(t, codec.Options{})
	var b bytes.Buffer
	b.WriteString(`{"SET":{`)
	pairs := 1_000_000
	if raceDetector {
		pairs = 100_000
	}
	for i := range pairs {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"k%06d":%d`, i, i)
	}
	b.WriteString(`}}`)
	payload := b.Bytes()
	args, cmd, err := d.Decode(payload, nil, 1000)
	n := 0
	for ; err == nil; args, cmd = d.DecodeFrom(payload, cmd, args[:0], 1000) {
		for _, a := range args {
			if string(a.Key) != fmt.Sprintf("k%06d", n) || string(a.Value) != fmt.Sprint(n) || a.Status != 0 {
				t.Fatalf("pair %d: %s = %s, %d", n, a.Key, a.Value, a.Status)
			}
			n++
		}
		if !cmd.More {
			break
		}
	}
	if err != nil || n != pairs {
		t.Fatalf("%d pairs, %v", n, err)
	}

	for _, letter := range []string{"k", "ä", `\u0041`, "😀"} {
		for _, size := range []int{65534, 65535, 65536, 200_000, 6 * 65535, 6 * 65536, 1 << 20} {
			if raceDetector && size > 65536 {
				continue
			}
			key := strings.Repeat(letter, size/len(letter))
			requireAgreement(t, d, codec.Options{}, []byte(`{"SET":{"`+key+`":1,"abcdef":2}}`))
			requireAgreement(t, d, codec.Options{}, []byte(`{"GET":["`+key+`x"]}`))
		}
	}
}

func TestOptions(t *testing.T) {
	for _, opts := range []codec.Options{{MaxKeyBytes: 5}, {MaxKeyBytes: -1}, {MaxDepth: -1}, {MaxDepth: 4001}} {
		if d, err := codec.NewDecoder(opts); err == nil || d != nil {
			t.Errorf("%+v is accepted", opts)
		}
	}
	_, err := codec.NewDecoder(codec.Options{MaxKeyBytes: 1, MaxDepth: 5000})
	if err == nil || !strings.Contains(err.Error(), "MaxKeyBytes") || !strings.Contains(err.Error(), "MaxDepth") {
		t.Errorf("not all faults are told: %v", err)
	}
	var fault interface {
		Option() (field string, value any, want string)
	}
	_, err = codec.NewDecoder(codec.Options{MaxDepth: 5000})
	if !errors.As(err, &fault) {
		t.Fatalf("%v is no OptionError", err)
	}
	if field, value, want := fault.Option(); field != "MaxDepth" || value != 5000 || want != "1 to 4000" {
		t.Errorf("%s %v %s", field, value, want)
	}
	if want := "codec: MaxDepth is 5000, want 1 to 4000"; err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	small := codec.Options{MaxKeyBytes: 8, MaxDepth: 2, AnyValues: true}
	d := newDecoder(t, small)
	for _, payload := range []string{
		`{"SET":{"12345678":1}}`, `{"SET":{"123456789":1}}`, `{"SET":{"ääää":1}}`, `{"SET":{"äääää":1}}`, `{"SET":{"\u00e4\u00e4\u00e4\u00e4":1}}`,
		`{"SET":{"abcdef":[[1]]}}`, `{"SET":{"abcdef":[[[1]]]}}`, `{"RNM_KEY":[{"abcdef":"123456789"}]}`,
	} {
		requireAgreement(t, d, small, []byte(payload))
	}
	deep := codec.Options{MaxDepth: 4000, AnyValues: true}
	d = newDecoder(t, deep)
	for _, n := range []int{3999, 4000, 4001} {
		requireAgreement(t, d, deep, []byte(`{"SET":{"abcdef":`+strings.Repeat("[", n)+strings.Repeat("]", n)+`}}`))
	}
}

func TestResetGivesBigScratchBack(t *testing.T) {
	d := newDecoder(t, codec.Options{MaxKeyBytes: 64 << 20})
	payload := []byte(`{"GET":["\u0061` + strings.Repeat("b", 8<<20) + `"]}`)
	args, _, err := d.Decode(payload, nil, 1)
	if err != nil || len(args[0].Key) != 8<<20+1 {
		t.Fatal(err)
	}
	d.Reset()
	if kept := codec.ScratchForTesting(d); kept > 1<<20 {
		t.Errorf("Reset keeps %d bytes", kept)
	}
}

// TestResetLetsGo: after Reset nothing keeps the payload of a command alive that had more than
// elements, or more of them than were asked for.
func TestResetLetsGo(t *testing.T) {
	d := newDecoder(t, codec.Options{})
	for payload, want := range map[string]string{
		`{"GET":["abcdef","bcdefg"]}`:                       "an argument past the limit",
		`{"GET":["abcdef","bcdefg"],"#":1}`:                 "an argument past the limit",
		`{"SET":{"abcdef":"v"},"#":"id"}`:                   "an id",
		`{"KEYS":{"prefix":"abc"}}`:                         "a question",
		`{"AUTH":{"user":"someone","password":"a secret"}}`: "credentials",
		`{"SETEX":{"ttl":1,"pairs":{"abcdef":1}}}`:          "the caller's state",
	} {
		_, cmd, err := d.Decode([]byte(payload), nil, 1)
		if err != nil {
			t.Fatalf("%s: %v", payload, err)
		}
		if want == "the caller's state" {
			cmd.Extra.State = d
		}
		if kept := codec.KeptForTesting(d); kept != want {
			t.Errorf("%s: the decoder keeps %q, want %q", payload, kept, want)
		}
		d.Reset()
		if kept := codec.KeptForTesting(d); kept != "" {
			t.Errorf("%s: Reset keeps %s", payload, kept)
		}
	}
}
