package codec_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"keyframe/codec"
)

// badStrings are insides of strings that are not JSON. sonic alone accepts most of them.
var badStrings = map[string]string{
	"raw newline":              "\n",
	"raw tab":                  "\t",
	"raw NUL":                  "\x00",
	"raw 0x1F":                 "\x1f",
	"escape x":                 `\x41`,
	"escape of a quote's twin": `\'`,
	"escape zero":              `\0`,
	"escape U":                 `\U0041`,
	"escape a":                 `\a`,
	"escape v":                 `\v`,
	"escape of a newline":      "\\\n",
	"escape of non-ASCII":      `\é`,
	"u and two digits":         `\u12`,
	"u and three digits":       `\u123`,
	"u and a bad digit":        `\u123g`,
	"u and a sign":             `\u+123`,
	"u and a space":            `\u 123`,
	"second half bad":          `\ud83d\u12`,
	"lone continuation":        "\x80",
	"lone lead":                "\xc3",
	"lead and ASCII":           "\xc3a",
	"overlong slash":           "\xc0\xaf",
	"overlong NUL":             "\xc0\x80",
	"overlong in three":        "\xe0\x80\xaf",
	"overlong in four":         "\xf0\x80\x80\xaf",
	"surrogate in UTF-8":       "\xed\xa0\x80",
	"low surrogate in UTF-8":   "\xed\xbf\xbf",
	"CESU pair":                "\xed\xa0\xbd\xed\xb8\x80",
	"above U+10FFFF":           "\xf4\x90\x80\x80",
	"five bytes":               "\xf8\x88\x80\x80\x80",
	"0xFE":                     "\xfe",
	"0xFF":                     "\xff",
	"truncated three":          "\xe2\x82",
	"truncated four":           "\xf0\x9f\x98",
	"Latin-1":                  "caf\xe9 au lait",
}

var goodStrings = []string{
	"", "a", "\x7f", `\u0000`, `\u001F`, `\"`, `\\`, `\\\"`, `\/`, `\b\f\n\r\t`, "é", "€", "😀",
	"\u0080", "\u07ff", "\u0800", "\uffff", "\ufffd", "\ufeff", "\U00010000", "\U0010ffff", "\ud7ff", "\ue000",
	`\ud83d\ude00`, `\uD83D\uDE00`, `\uDBFF\uDFFF`, `\uFFFF`, `\uABCD\uabcd`, "<>&\u2028\u2029",
}

// badValues are refused wherever a value stands.
var badValues = []string{
	"", "+1", "01", "-01", "00", "1.", ".5", "-", "--1", "1e", "1e+", "1E-", "1.e1", "0x10", "1_000", "1,", "1 2", "1a", "- 1", "1e1.5",
	"NaN", "nan", "Infinity", "-Infinity", "inf", "True", "TRUE", "tru", "truee", "true1", "fals", "nul", "nulll", "None", "undefined",
	"'a'", "a", "\"a", "a\"", "\"a\"\"b\"", "\"a\" \"b\"", "/*c*/1", "1//c", "\xef\xbb\xbf1", "\v1", "\f1", "1\x00", "\u00a01", "1\u2028", "\x00", "\xff",
	"[", "]", "{", "}", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1,,2]", "[1}", "{]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{,\"a\":1}", "{\"a\" 1}",
	"{a:1}", "{1:1}", "{\"a\":1 \"b\":2}", "{\"a\"::1}", "{\"a\":1:2}", "[\"a\":1]", "[[]", "[]]", "{{}}", "{\"a\":1}}", "[1]x", "[01]", "[+1]", "[1.]",
	"[tru]", "[nul]", "[NaN]", "[-]", "[1e]", "[.1]", "[truefalse]", "[\"a\"\"b\"]", "[1\v]", "[\x00]", "[1,\n]", "[\"a\",true,]", "[-a]", "[1-2]", "[--1]",
	"[0x1]", "[1e1e1]", "[1.1.1]", "[ ,]", "[:]", "{:}", "{\"a\":,}", "[\xff]", "[\u00a0]", "[1]\x00", "[\"\\\"]", "{\"a\":1,\"b\"}", "{\"a\":01}", "{\"a\":-}",
}

var goodValues = []string{
	"0", "-0", "1", "-1", "10", "1.0", "1.50", "1e1", "1E+1", "1e-1", "0e0", "0.0e-0", "1e400", "-1e-400", "123456789012345678901234567890.5",
	"true", "false", "null", `""`, `"a"`, "[]", "{}", "[ ]", "{ }", "[1]", "[1,2]", `{"a":1}`, `{"a":1,"a":2}`, `{"":""}`, "[[],{}]", "[\n1\t,\r2 ]", `{ "a" : [ { } ] }`,
	`["]","}","[","{",",",":","\"","\\"]`, "[0,-0,1.5e3,true,false,null]", "[\"\u2028\"]", `["\ud800"]`, `{"\udfff":1}`,
}

// valueFrames put a value everywhere one can stand.
var valueFrames = []string{
	`%s`, `{"SET":{"abcdef":%s}}`, `{"SET":{"abcdef": %s }}`, `{"SET":{"abcdef":%s,"bcdefg":1}}`, `{"SET":{"bcdefg":1,"abcdef":%s}}`, `{"SET":{"abcdef":[%s]}}`, `{"SET":{"abcdef":{"x":%s}}}`,
	`{"SET":%s}`, `{"GET":[%s]}`, `{"GET":["abcdef",%s]}`, `{"GET":[%s,"abcdef"]}`, `{"RNM_KEY":[%s]}`, `{"RNM_KEY":[{"abcdef":%s}]}`, `{"RNM_KEY":[{"abcdef":"bcdefg"},%s]}`,
	`{"CLEAR":%s}`, `{"NOPE":%s}`, `{"SET":{},"x":%s}`, `{"x":%s,"SET":{}}`, `[%s]`, `[1,%s]`,
}

var stringFrames = []string{
	`"%s"`, `{"%s":1}`, `{"%s":{}}`, `{"SET":{"%s":1}}`, `{"SET":{"abcdef%s":1}}`, `{"SET":{"%s_bcdef":"x"}}`, `{"SET":{"abcdef":"%s"}}`, `{"SET":{"abcdef":"%s","bcdefg":"x"}}`, `{"SET":{"abcdef":["%s"]}}`,
	`{"SET":{"abcdef":{"%s":1}}}`, `{"GET":["%s"]}`, `{"GET":["abcdef","%s","bcdefg"]}`, `{"RNM_KEY":[{"%s":"abcdef"}]}`, `{"RNM_KEY":[{"abcdef":"%s"}]}`, `{"RNM_KEY":[{"abcdef":["%s"]}]}`,
	`{"CLEAR":{"%s":1}}`, `{"NOPE":"%s"}`, `{"CLEAR":{},"%s":1}`, `{"x":1,"y":"%s"}`,
}

func eachOptions(t *testing.T, do func(t *testing.T, opts codec.Options, d *codec.Decoder)) {
	for _, anyValues := range []bool{false, true} {
		t.Run(fmt.Sprintf("AnyValues=%t", anyValues), func(t *testing.T) {
			opts := codec.Options{AnyValues: anyValues}
			do(t, opts, newDecoder(t, opts))
		})
	}
}

func requireSyntaxError(t *testing.T, d *codec.Decoder, opts codec.Options, payload string) {
	t.Helper()
	requireAgreement(t, d, opts, []byte(payload))
	if got, _ := decodeAll(t, d, []byte(payload)); got.refusal != 5 {
		t.Errorf("%.200q: refusal %d, want 5", payload, got.refusal)
	}
}

func TestBadStrings(t *testing.T) {
	eachOptions(t, func(t *testing.T, opts codec.Options, d *codec.Decoder) {
		for name, bad := range badStrings {
			t.Run(name, func(t *testing.T) {
				for _, frame := range stringFrames {
					requireSyntaxError(t, d, opts, fmt.Sprintf(frame, bad))
				}
			})
		}
	})
}

// sonic checks the first and last bytes of a long string differently from the middle. So
// every fault is put at every place of one.
func TestBadStringsAtEveryPlace(t *testing.T) {
	opts := codec.Options{}
	d := newDecoder(t, opts)
	for name, bad := range badStrings {
		t.Run(name, func(t *testing.T) {
			for _, filler := range []string{"z", "é", `\n`} {
				for before := range 100 {
					if sample() && before%13 != 0 {
						continue
					}
					text := strings.Repeat(filler, before) + bad + strings.Repeat(filler, 100-before)
					requireSyntaxError(t, d, opts, `{"SET":{"abcdef":"`+text+`"}}`)
					requireSyntaxError(t, d, opts, `{"SET":{"`+text+`":1}}`)
				}
			}
		})
	}
}

// TestSonicsGapsDontReachTheWire: what sonic.Valid lets pass is refused, wherever it stands
// in a long string, in keys, values and nested values.
func TestSonicsGapsDontReachTheWire(t *testing.T) {
	for _, size := range []int{200, 9000} {
		places := []int{0, 1, 31, size / 2, size - 32, size - 1}
		if size > 4096 {
			places = append(places, 4095-60, 4095-1, 4095, 4096, 4097)
		}
		for _, gap := range []string{"\n", "\x00", "\x1f", `\x41`, `\u12G4`, "\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80"} {
			for _, at := range places {
				text := `"` + strings.Repeat("z", at) + gap + strings.Repeat("z", size-at) + `"`
				if codec.Backend() == "sonic" && !codec.ValidGrammarForTesting([]byte(text)) {
					t.Errorf("sonic.Valid refuses %q at %d: look at json.go again", gap, at)
				}
				for _, frame := range []string{`{"SET":{"abcdef":%s}}`, `{"SET":{%s:1}}`, `{"GET":[%s]}`, `{"SET":{"abcdef":[{"a":%s}]}}`} {
					opts := codec.Options{AnyValues: true}
					requireSyntaxError(t, newDecoder(t, opts), opts, fmt.Sprintf(frame, text))
				}
			}
		}
	}
}

func TestGoodStrings(t *testing.T) {
	eachOptions(t, func(t *testing.T, opts codec.Options, d *codec.Decoder) {
		for _, frame := range stringFrames {
			for _, one := range goodStrings {
				for i, two := range goodStrings {
					if sample() && i%5 != 0 {
						continue
					}
					requireAgreement(t, d, opts, []byte(fmt.Sprintf(frame, one+two)))
				}
				for n := range 40 {
					requireAgreement(t, d, opts, []byte(fmt.Sprintf(frame, strings.Repeat("x", n)+one+"tail")))
				}
				payload := fmt.Sprintf(frame, one)
				if got, err := decodeAll(t, d, []byte(payload)); got.refusal == 5 {
					t.Errorf("%s: %v", payload, err)
				}
			}
		}
	})
}

func TestSurrogates(t *testing.T) {
	halves := []string{`\ud800`, `\uD83D`, `\udbff`, `\udc00`, `\uDE00`, `\udfff`, `\u0041`, `\n`, "a", `\\`, `\\ud83d`, `\ud7ff`, `\ue000`, "😀"}
	eachOptions(t, func(t *testing.T, opts codec.Options, d *codec.Decoder) {
		for _, frame := range stringFrames {
			for i, a := range halves {
				if sample() && i%3 != 0 {
					continue
				}
				for _, b := range halves {
					for _, c := range halves {
						requireAgreement(t, d, opts, []byte(fmt.Sprintf(frame, a+b+c)))
					}
				}
			}
		}
	})
}

func TestBadValues(t *testing.T) {
	eachOptions(t, func(t *testing.T, opts codec.Options, d *codec.Decoder) {
		for _, frame := range valueFrames {
			for _, bad := range badValues {
				payload := fmt.Sprintf(frame, bad)
				requireAgreement(t, d, opts, []byte(payload))
				// Some faults are valid in some places: GET:[] and GET:[1,2].
				if got, _ := decodeAll(t, d, []byte(payload)); got.refusal != 5 && !strings.Contains(frame, "[") && bad != "" {
					t.Errorf("%q: refusal %d, want 5", payload, got.refusal)
				}
			}
		}
	})
}

func TestGoodValues(t *testing.T) {
	eachOptions(t, func(t *testing.T, opts codec.Options, d *codec.Decoder) {
		for _, frame := range valueFrames {
			for _, good := range goodValues {
				payload := fmt.Sprintf(frame, good)
				requireAgreement(t, d, opts, []byte(payload))
				if got, err := decodeAll(t, d, []byte(payload)); got.refusal == 5 && !strings.Contains(payload, `\ud`) {
					t.Errorf("%s: %v", payload, err)
				}
			}
		}
	})
}

func TestBadDocuments(t *testing.T) {
	opts := codec.Options{}
	d := newDecoder(t, opts)
	for _, payload := range []string{
		"", " ", "\n", "\xef\xbb\xbf{}", "\xef\xbb\xbf" + `{"COUNT":{}}`, "\xfe\xff", "{", "}", "{}}", `{"`, `{"SET`, `{"SET"`, `{"SET":`, `{"SET":{`, `{SET:{}}`, `{'SET':{}}`,
		`{"COUNT":{}}{"COUNT":{}}`, `{"COUNT":{}} {"COUNT":{}}`, "{\"COUNT\":{}}\n{\"COUNT\":{}}", `{"COUNT":{}}x`, `{"COUNT":{}},`, `{"COUNT":{}}]`, "{\"COUNT\":{}}\x00", `{"COUNT":{},}`, `{,"COUNT":{}}`,
		`{"COUNT" {}}`, `{"COUNT"::{}}`, `{"COUNT",{}}`, `{"COUNT":{}:1}`, `{"COUNT":{},"x"}`, `{"COUNT":{},x:1}`, `{"COUNT":{}]`, `["COUNT":{}}`, `{"SET":{"abcdef":1]}`, `{"GET":["abcdef"}}`,
		`{"SET":{"SET":{"a"`, `{"SET":{"SET":..}, garbage`, `COUNT`, `{"COUNT":{}}//`, `{/**/"COUNT":{}}`, `{"GET":["abcdef",]}`, `{"GET":[,"abcdef"]}`, `{"GET":["abcdef" "bcdefg"]}`,
		`{"RNM_KEY":[{"abcdef":"bcdefg",}]}`, `{"RNM_KEY":[{"abcdef":"bcdefg"]}`, `{"RNM_KEY":[{"abcdef" "bcdefg"}]}`, `{"RNM_KEY":[{"abcdef":"bcdefg"},]}`,
		`{"SET":{"abcdef":1 "bcdefg":2}}`, `{"SET":{"abcdef":1,,"bcdefg":2}}`, `{"SET":{,}}`, `{"SET":{"abcdef"}}`, `{"SET":{"abcdef":}}`, `{"SET":{abcdef:1}}`, `{"SET":{1:1}}`,
	} {
		requireSyntaxError(t, d, opts, payload)
	}
}

// commands are valid, one of each kind and shape.
var commands = []string{
	`{"SET":{"54321_username":"crusty","54321_dobyear":1982,"54321_active":true}}`,
	`{"SET":{"abcdef":-12.5e+3,"abc":false,"käyttäjä":"π ≈ 3","\u0061bcdefg\n":"\ud83d\ude00\"\\"}}`,
	" {\n  \"SET\" : {\r\n\t\"abcdef\" : \"x\" ,\n \"bcdefg\": [1, {\"a\": null}, \"\\u0041\"]\n} }\n",
	`{"SETQ":{"abcdefgh12345678":"a value of some length, forty bytes here","x":1}}`,
	`{"ADD":{"abcdef":{}}}`,
	`{"ADDQ":{}}`,
	`{"GET":["abcdef","\u00e4bcdefg",12,"short","ключ-один"]}`,
	`{"RMV":["abcdef"]}`,
	`{"CONTAINS":["abcdef", [[]]]}`,
	`{"RNM_KEY":[{"abcdef":"bcdefg"},{"\u0061bcdef":"x"},{"a":1},7]}`,
	`{"COUNT":{}}`,
	`{"CLEAR":{}}`,
	`{"SERVER_INFO":{}}`,
	`{"#":17,"SET":{"abcdef":1,"x":"y"}}`,
	`{"GET":["abcdef"] , "\u0023" : "an \"id\"" }`,
	`{"SETEX":{"ttl":1000,"pairs":{"abcdef":"x","\u0061bcdef":2}}}`,
	`{"ADDEX": { "p\u0061irs" : { "abcdef" : [] } , "ttl" : 10000000000000 } ,"#":-1.5e3}`,
	`{"SETEXQ":{"pairs":{},"ttl":1}}`,
	`{"SETEX":{"ttl":10000000000000,"pairs":{} }}`,
	`{"EXPIRE":{"abcdef":1,"abcdef":null,"abcdef":"1","bcdefg":10000000000001}}`,
	`{"INCRQ":{"abcdef":-9223372036854775808,"abcdef":9223372036854775808,"x":1,"bcdefg":1.0}}`,
	`{"CAS":{"abcdef":[null,"x"],"abcdef":["a\n" , [1]],"abcdef":[1],"abcdef":[[1,"]"],2 ],"abcdef":[1,2,3],"x":[1,2]}}`,
	`{"CAD":{"abcdef":null,"abcdef":"x"}}`,
	`{"APPEND":{"abcdef":"x","abcdef":"\u0041","abcdef":1,"abcdef":[2],"abcdef":{}}}`,
	`{"CLEAR_SET":{"abcdef":1}}`,
	`{"PING":{}}`,
}

func TestEveryTruncationIsRefused(t *testing.T) {
	eachOptions(t, func(t *testing.T, opts codec.Options, d *codec.Decoder) {
		for _, c := range commands {
			c = strings.TrimRight(c, "\n")
			requireAgreement(t, d, opts, []byte(c))
			if got, err := decodeAll(t, d, []byte(c)); err != nil {
				t.Errorf("%s: %v %v", c, got, err)
			}
			for n := range len(c) {
				requireSyntaxError(t, d, opts, c[:n])
			}
		}
	})
}

func TestEveryByteMutation(t *testing.T) {
	eachOptions(t, func(t *testing.T, opts codec.Options, d *codec.Decoder) {
		for _, c := range commands {
			payload := []byte(c)
			for i := range payload {
				for b := range 256 {
					if sample() && b%16 != 2 {
						continue
					}
					payload[i] = byte(b)
					requireAgreement(t, d, opts, payload)
				}
				payload[i] = c[i]
			}
		}
	})
}

func TestEveryByteRemovedOrDoubled(t *testing.T) {
	eachOptions(t, func(t *testing.T, opts codec.Options, d *codec.Decoder) {
		for _, c := range commands {
			for i := range c {
				requireAgreement(t, d, opts, []byte(c[:i]+c[i+1:]))
				requireAgreement(t, d, opts, []byte(c[:i]+c[i:i+1]+c[i:]))
			}
		}
	})
}

// The usual names are recognized by the eight bytes from their quote on, and an indent is skipped
// by the eight after its line's end. So every kind of white space, and of bytes that are none, is put at every place of a command, which is
// then cut at every byte, and at two places around its name.
func TestSpaceAroundTheName(t *testing.T) {
	kinds := []string{"", " ", "\t", "\r", "\n", "\r\n    ", "\n  ", "\n         ", "\n\t", "\v", "\x00", "!", "\u00a0"}
	pairs, keys := []string{"{", `"abcdef"`, ":", "1", "}", "}"}, []string{"[", `"abcdef"`, "]", "}"}
	opts := codec.Options{}
	d := newDecoder(t, opts)
	check := func(payload string) {
		t.Helper()
		requireAgreement(t, d, opts, []byte(payload))
		if sample() {
			return
		}
		for n := range strings.LastIndexByte(payload, '}') + 1 {
			requireSyntaxError(t, d, opts, payload[:n])
		}
	}
	for name, argument := range map[string][]string{
		`"SET"`: pairs, `"ADD"`: pairs, `"GET"`: keys, `"RMV"`: keys, `"SETQ"`: pairs, `"COUNT"`: {"{", "}", "}"},
		`"SE"`: pairs, `"set"`: pairs, `"S\u0045T"`: pairs, `"SET `: pairs, `"GET"}`: keys, `"ADD",`: keys,
	} {
		for _, argument := range [][]string{argument, {"{", "}", "}"}, {"[", "]", "}"}, {"1", "}"}} {
			tokens := append([]string{"{", name, ":"}, argument...)
			for _, kind := range kinds {
				check(kind + strings.Join(tokens, kind) + kind)
				for place := range len(tokens) + 1 {
					one := strings.Join(tokens[:place], "") + kind
					check(one + strings.Join(tokens[place:], ""))
					for second := place + 1; second < 5 && second < len(tokens); second++ {
						for _, other := range kinds[1:] {
							two := one + strings.Join(tokens[place:second], "") + other + strings.Join(tokens[second:], "")
							requireAgreement(t, d, opts, []byte(two))
						}
					}
				}
			}
		}
	}
}

// The fast path reads eight bytes at a time: every length of key and value, at
// every alignment, with and without something after it.
func TestEveryLength(t *testing.T) {
	opts := codec.Options{}
	d, narrow := newDecoder(t, opts), newDecoder(t, opts)
	for key := range 40 {
		for value := range 40 {
			if sample() && value%8 != key%8 {
				continue
			}
			for _, frame := range []string{`{"SET":{"%s":"%s"}}`, `{"SET":{"%s":"%s","abcdef":1}}`, `{"SET": {"%s": "%s"} }   `, `{"GET":["%s","%s"]}`, `{"RNM_KEY":[{"%s":"%s"}]}`} {
				payload := fmt.Sprintf(frame, strings.Repeat("k", key), strings.Repeat("v", value))
				requireAgreement(t, d, opts, []byte(payload))
				codec.NarrowForTesting(narrow, 1+(key+value)%30)
				requireAgreement(t, narrow, opts, []byte(payload))
			}
		}
	}
}

// Random commands made of pieces that matter, each decoded whole and in steps.
func TestRandomCommands(t *testing.T) {
	seed := uint64(*seedFlag)
	t.Logf("seed %d (-seed)", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	n := 20_000
	if sample() {
		n = 2_000
	}
	eachOptions(t, func(t *testing.T, opts codec.Options, d *codec.Decoder) {
		for range n {
			payload := randomCommand(rnd)
			requireAgreement(t, d, opts, payload)
			whole, err := decodeAll(t, d, payload)
			if err != nil {
				continue
			}
			for _, max := range []int{1, 2, 3, 7} {
				steps, err := decodeSteps(t, d, payload, max)
				if err != nil || steps.String() != whole.String() {
					t.Fatalf("%s: %d at a time\n got %v %v\nwant %v", payload, max, steps, err, whole)
				}
			}
		}
	})
}

func randomCommand(rnd *rand.Rand) []byte {
	space := func() string { return [...]string{"", "", "", "", " ", "\n  ", "\t", "\r\n"}[rnd.IntN(8)] }
	str := func() string {
		s := `"`
		for range rnd.IntN(4) {
			switch rnd.IntN(5) {
			case 0:
				s += goodStrings[rnd.IntN(len(goodStrings))]
			case 1:
				if rnd.IntN(50) == 0 {
					for _, bad := range badStrings {
						s += bad
						break
					}
				}
			default:
				s += strings.Repeat(string(rune('a'+rnd.IntN(26))), rnd.IntN(20))
			}
		}
		return s + `"`
	}
	var value func(depth int) string
	value = func(depth int) string {
		switch n := rnd.IntN(20); {
		case n < 12:
			return str()
		case n < 18 || depth > 3:
			if rnd.IntN(200) == 0 {
				return badValues[rnd.IntN(len(badValues))]
			}
			return goodValues[rnd.IntN(len(goodValues))]
		case n == 18:
			return "[" + space() + value(depth+1) + space() + "," + value(depth+1) + "]"
		default:
			return "{" + str() + space() + ":" + space() + value(depth+1) + space() + "}"
		}
	}
	list := func(open, shut string, one func() string) string {
		s := open + space()
		for i := range rnd.IntN(6) {
			if i > 0 {
				s += "," + space()
			}
			s += one() + space()
		}
		return s + shut
	}
	millis := func() string {
		return [...]string{"1", "1000", "10000000000000", "10000000000001", "0", "-1", "1.0", "01", "null", `"1"`, "9223372036854775807", "-9223372036854775808", "9223372036854775808"}[rnd.IntN(13)]
	}
	name := [...]string{"SETEX", "ADDEXQ", "EXPIRE", "INCR", "CAS", "CAD", "APPEND", "UPDATE", "SWAP", "TAKE", "CLEAR_SET", "PING", "SET", "SET", "SET", "SETQ", "ADD", "ADDQ", "GET", "GET", "RMV", "CONTAINS", "RNM_KEY", "RNM_KEY", "COUNT", "CLEAR", "SERVER_INFO", "S\\u0045T", "NOPE", ""}[rnd.IntN(30)]
	shape := name
	if rnd.IntN(30) == 0 {
		shape = ""
	}
	var argument string
	switch shape {
	case "SET", "SETQ", "ADD", "ADDQ", "S\\u0045T":
		argument = list("{", "}", func() string { return str() + space() + ":" + space() + value(0) })
	case "SETEX", "ADDEXQ":
		var parts []string
		for range 1 + rnd.IntN(3) {
			parts = append(parts, [...]string{`"ttl"`, `"tt\u006c"`, `"pairs"`, str()}[min(3, rnd.IntN(13)/4)]+space()+":"+space()+millis())
		}
		parts = append(parts, `"pairs":`+space()+list("{", "}", func() string { return str() + space() + ":" + space() + value(0) }))
		rnd.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		argument = "{" + space() + strings.Join(parts[rnd.IntN(len(parts)):], space()+","+space()) + space() + "}"
	case "EXPIRE", "INCR":
		argument = list("{", "}", func() string { return str() + space() + ":" + space() + millis() })
	case "CAS":
		argument = list("{", "}", func() string {
			return str() + ":" + list("[", "]", func() string { return value(2) })
		})
	case "UPDATE":
		argument = list("{", "}", func() string {
			return str() + ":" + list("{", "}", func() string {
				return [...]string{`""`, `"/a"`, `"/~0/~1"`, `"/~2"`, `"a"`, `"\/0"`}[rnd.IntN(6)] + ":" + value(2)
			})
		})
	case "CAD", "APPEND", "SWAP", "CLEAR_SET":
		argument = list("{", "}", func() string { return str() + space() + ":" + space() + value(0) })
	case "GET", "RMV", "CONTAINS", "TAKE":
		argument = list("[", "]", func() string {
			if rnd.IntN(10) == 0 {
				return value(0)
			}
			return str()
		})
	case "RNM_KEY":
		argument = list("[", "]", func() string {
			if rnd.IntN(10) == 0 {
				return value(0)
			}
			return "{" + space() + str() + space() + ":" + space() + str() + space() + "}"
		})
	case "COUNT", "CLEAR", "SERVER_INFO", "PING":
		argument = "{" + space() + "}"
	default:
		argument = value(0)
	}
	id := func() string {
		if rnd.IntN(8) > 0 {
			return ""
		}
		return [...]string{`"#"`, `"\u0023"`}[rnd.IntN(2)] + space() + ":" + space() + value(1)
	}
	before, after := id(), id()
	if before != "" {
		before += space() + "," + space()
	}
	if after != "" {
		after = "," + space() + after + space()
	}
	s := space() + "{" + space() + before + `"` + name + `"` + space() + ":" + space() + argument + space() + after
	if rnd.IntN(40) == 0 {
		s += "," + space() + str() + ":" + value(0)
	}
	return []byte(s + "}" + space())
}
