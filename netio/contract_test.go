package netio_test

import (
	"fmt"
	"strings"
	"testing"

	"keyframe/engine"
	"keyframe/netio"
)

// These tests go through PROTOCOL.md section by section, in its words, over
// both framings and both kinds of listener. Sections 1, 5 and 6 are in
// framing_test.go, consistency_test.go and limits_test.go.

// responses repeats one form of response for several keys.
func responses(format string, keys ...string) (out []string) {
	for _, k := range keys {
		out = append(out, fmt.Sprintf(format, k))
	}
	return out
}

func one(response string) []string { return []string{response} }

// TestContract0ThePage has the examples of the product page (section 3), verbatim.
func TestContract0ThePage(t *testing.T) {
	eachFraming(t, netio.Options{}, func(t *testing.T, c client) {
		converse(t, c, []exchange{
			{`{"SET":{"54321_username":"crusty","54321_dobyear":1982,"54321_active":true}}`,
				responses(`{"SET_RSP":{"st":1,"k":"%s"}}`, "54321_username", "54321_dobyear", "54321_active")},
			{`{"SET":{"54321_username":"crusty"}}`, one(`{"SET_RSP":{"st":2,"k":"54321_username"}}`)},
			{`{"SET":{"key1":"too short"}}`, one(`{"SET_RSP":{"st":6,"k":"key1"}}`)},
			{`{"SET":{"user1234_name":"bob","user1234_age":31}}`,
				responses(`{"SET_RSP":{"st":1,"k":"%s"}}`, "user1234_name", "user1234_age")},
		})
	})
}

func TestContract2Refusals(t *testing.T) {
	wrongType := func(names []string, bad []string) (out []exchange) {
		for _, name := range names {
			for _, arg := range bad {
				out = append(out, exchange{
					fmt.Sprintf(`{"%s":%s}`, name, arg),
					one(fmt.Sprintf(`{"%s_RSP":{"st":12,"m":"*`, name)),
				})
			}
		}
		return out
	}
	eachFraming(t, netio.Options{}, func(t *testing.T, c client) {
		notJSON := []exchange{}
		for _, text := range []string{
			`{`, `{"SET":{"abcdef":1}`, `{"SET":{"abcdef":1}}}`, `{"SET":{"abcdef":1}} x`, `nonsense`, `{'SET':{}}`,
			`{"SET":{"abcdef":01}}`, `{"SET":{"abcdef":1.}}`, `{"SET":{"abcdef":+1}}`, `{"SET":{"abcdef":NaN}}`,
			`{"SET":{"abcdef":.5}}`, `{"SET":{"abcdef":1e}}`, `{"SET":{"abcdef":0x1}}`, `{"SET":{"abcdef":-}}`,
			`{"SET":{"abcdef":"\x"}}`, `{"SET":{"abcdef":"\u12"}}`, "{\"SET\":{\"abcdef\":\"a\tb\"}}", "{\"SET\":{\"abcdef\":\"a\x01b\"}}",
			`{"SET":{"abcdef":1,}}`, `{"SET":{"abcdef" 1}}`, `{"SET":{abcdef:1}}`, `{"SET":{"abcdef":tru}}`,
			`{"SET":{"abcd\ud800":1}}`, `{"GET":["abcd\udc00x"]}`, `{"RNM_KEY":[{"abcdef":"\ud800abcdef"}]}`,
			"\ufeff{\"COUNT\":{}}", `{"COUNT":{}}{"COUNT":{}}`, `{"CLEAR":{},}`,
		} {
			notJSON = append(notJSON, exchange{text, one(`{"SERVER_ERROR":{"s":5,"m":"*`)})
		}
		t.Run("not valid JSON: s 5 with what and at which byte", func(t *testing.T) { converse(t, c, notJSON) })

		t.Run("top level is not an object with exactly one member: s 4", func(t *testing.T) {
			only := one(`{"SERVER_ERROR":{"s":4,"m":"Only one command permitted"}}`)
			converse(t, c, []exchange{
				{`{}`, one(`{"SERVER_ERROR":{"s":4,"m":"no command in the object"}}`)},
				{`[]`, only},
				{`[{"COUNT":{}}]`, only},
				{`1`, only},
				{`"SET"`, only},
				{`null`, only},
				{`true`, only},
				{`{"COUNT":{},"CLEAR":{}}`, only},
				{`{"SET":{"abcdef":1},"SET":{"abcdeg":1}}`, only},
				{`{"SET":{"abcdef":1},"NOPE":[[]]}`, only},
			})
		})
		t.Run("unknown command: s 3 with its name", func(t *testing.T) {
			converse(t, c, []exchange{
				{`{"NOPE":{}}`, one(`{"SERVER_ERROR":{"s":3,"m":"unknown command NOPE"}}`)},
				{`{"set":{"abcdef":1}}`, one(`{"SERVER_ERROR":{"s":3,"m":"unknown command set"}}`)},
				{`{"":1}`, one(`{"SERVER_ERROR":{"s":3,"m":"unknown command "}}`)},
				{`{"say \"hi\"":1}`, one(`{"SERVER_ERROR":{"s":3,"m":"unknown command say \"hi\""}}`)},
			})
		})
		t.Run("argument of the wrong type: st 12", func(t *testing.T) {
			converse(t, c, wrongType([]string{"SET", "SETQ", "ADD", "ADDQ", "COUNT", "CLEAR", "SERVER_INFO"}, []string{`[]`, `1`, `"x"`, `null`, `true`, `["abcdef"]`}))
			converse(t, c, wrongType([]string{"GET", "RMV", "CONTAINS", "RNM_KEY"}, []string{`{}`, `1`, `"abcdef"`, `null`, `{"abcdef":"ghijkl"}`}))
			converse(t, c, wrongType([]string{"COUNT", "CLEAR", "SERVER_INFO"}, []string{`{"a":1}`}))
		})
		t.Run("nothing of a refused command was executed", func(t *testing.T) {
			converse(t, c, []exchange{
				{`{"SET":{"ghijkl":1,"mnopqr":2,"broken}}`, one(`{"SERVER_ERROR":{"s":5,"m":"*`)},
				{`{"SET":{"ghijkl":1},"CLEAR":{}}`, one(`{"SERVER_ERROR":{"s":4,"m":"*`)},
				{`{"COUNT":{}}`, one(`{"COUNT_RSP":{"st":0,"cnt":0}}`)},
			})
		})
	})
}

func TestContract3SET(t *testing.T) {
	long := strings.Repeat("k", 65_535)
	eachFraming(t, netio.Options{}, func(t *testing.T, c client) {
		t.Run("a key has at least 6 characters after unescaping", func(t *testing.T) {
			converse(t, c, []exchange{
				{`{"SET":{"abcdef":1}}`, one(`{"SET_RSP":{"st":1,"k":"abcdef"}}`)},
				{`{"SET":{"abcde":1}}`, one(`{"SET_RSP":{"st":6,"k":"abcde"}}`)},
				{`{"SET":{"":1}}`, one(`{"SET_RSP":{"st":6,"k":""}}`)},
				{`{"SET":{"ééééé":1}}`, one(`{"SET_RSP":{"st":6,"k":"ééééé"}}`)}, // 5 characters, 10 bytes
				{`{"SET":{"éééééé":1}}`, one(`{"SET_RSP":{"st":1,"k":"éééééé"}}`)},
				{`{"SET":{"😀😀😀😀😀":1}}`, one(`{"SET_RSP":{"st":6,"k":"😀😀😀😀😀"}}`)},
				{`{"SET":{"😀😀😀😀😀😀":1}}`, one(`{"SET_RSP":{"st":1,"k":"😀😀😀😀😀😀"}}`)},
				{`{"SET":{"\u0061\u0062\u0063\u0064\u0065":1}}`, one(`{"SET_RSP":{"st":6,"k":"abcde"}}`)},
			})
		})
		t.Run("and at most 65,535 bytes of UTF-8", func(t *testing.T) {
			converse(t, c, []exchange{
				{`{"SET":{"` + long + `":1}}`, one(`{"SET_RSP":{"st":1,"k":"` + long + `"}}`)},
				{`{"SET":{"` + long + `k":1}}`, one(`{"SET_RSP":{"st":6,"k":"` + long + `k"}}`)},
				{`{"GET":["` + long + `k"]}`, one(`{"GET_RSP":{"st":6,"k":"` + long + `k"}}`)},
			})
		})
		t.Run("an escaped key and the same key unescaped are one key", func(t *testing.T) {
			converse(t, c, []exchange{
				{`{"SET":{"\u0061bcdef":2}}`, one(`{"SET_RSP":{"st":2,"k":"abcdef"}}`)},
				{`{"GET":["abcd\u0065f"]}`, one(`{"GET_RSP":{"st":0,"abcdef":2}}`)},
				{`{"SET":{"\ud83d\ude00\ud83d\ude00\ud83d\ude00😀😀😀":3}}`, one(`{"SET_RSP":{"st":2,"k":"😀😀😀😀😀😀"}}`)},
			})
		})
		t.Run("a value keeps the text it was written with", func(t *testing.T) {
			for _, v := range []string{
				`1.0`, `1e400`, `12345678901234567890123`, `-0`, `0`, `-1.5E+10`, `true`, `false`, `""`, `"plain"`,
				`"\u0041\/\b\f\n\r\t\"\\"`, `"\ud800"`, `"\uDFFFx"`, `"é😀"`, `"` + strings.Repeat("x", 70_000) + `"`,
			} {
				converse(t, c, []exchange{
					{`{"SET":{"value_key":` + v + `}}`, one(`{"SET_RSP":{"st":*`)},
					{`{"GET":["value_key"]}`, one(`{"GET_RSP":{"st":0,"value_key":` + v + `}}`)},
				})
			}
		})
		t.Run("null, objects and arrays are not values", func(t *testing.T) {
			deep := strings.Repeat("[", 128) + strings.Repeat("]", 128)
			converse(t, c, []exchange{
				{`{"SET":{"typed_a":null,"typed_b":{"x":[1]},"typed_c":[],"typed_d":` + deep + `}}`,
					responses(`{"SET_RSP":{"st":7,"k":"%s","m":"null, objects and arrays are values only with --values any"}}`, "typed_a", "typed_b", "typed_c", "typed_d")},
				{`{"GET":["typed_a"]}`, one(`{"GET_RSP":{"st":3,"k":"typed_a"}}`)},
			})
		})
		t.Run("a pair that fails does not stop the others", func(t *testing.T) {
			converse(t, c, []exchange{{`{"SET":{"good_1":1,"bad":1,"good_2":null,"good_3":3}}`, []string{
				`{"SET_RSP":{"st":1,"k":"good_1"}}`, `{"SET_RSP":{"st":6,"k":"bad"}}`,
				`{"SET_RSP":{"st":7,"k":"good_2","m":"null, objects and arrays are values only with --values any"}}`, `{"SET_RSP":{"st":1,"k":"good_3"}}`,
			}}})
		})
		t.Run("a key twice is two pairs, in order", func(t *testing.T) {
			converse(t, c, []exchange{
				{`{"SET":{"twice_":1,"twice_":2}}`, []string{`{"SET_RSP":{"st":1,"k":"twice_"}}`, `{"SET_RSP":{"st":2,"k":"twice_"}}`}},
				{`{"GET":["twice_"]}`, one(`{"GET_RSP":{"st":0,"twice_":2}}`)},
			})
		})
		t.Run("no pairs, no response", func(t *testing.T) {
			converse(t, c, []exchange{{`{"SET":{}}`, nil}, {` { "SET" : { } } `, nil}})
		})
		t.Run("white space is free", func(t *testing.T) {
			converse(t, c, []exchange{{" {\t\"SET\" : { \"spaced\" : \t1 , \"spaced2\":2\t} } ", []string{
				`{"SET_RSP":{"st":1,"k":"spaced"}}`, `{"SET_RSP":{"st":1,"k":"spaced2"}}`,
			}}})
		})
	})
}

func TestContract3ValuesAny(t *testing.T) {
	nested := func(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }
	eachFraming(t, netio.Options{AnyValues: true}, func(t *testing.T, c client) {
		for _, v := range []string{`null`, `{}`, `[]`, `{"a":[1,{"b":null}],"a":2}`, `[ 1 , "x" ]`, nested(128)} {
			converse(t, c, []exchange{
				{`{"SET":{"value_key":` + v + `}}`, one(`{"SET_RSP":{"st":*`)},
				{`{"GET":["value_key"]}`, one(`{"GET_RSP":{"st":0,"value_key":` + v + `}}`)},
			})
		}
		converse(t, c, []exchange{
			{`{"SET":{"value_key":` + nested(129) + `}}`, one(`{"SERVER_ERROR":{"s":5,"m":"*`)},
			{`{"SET":{"value_key":[1,]}}`, one(`{"SERVER_ERROR":{"s":5,"m":"*`)},
			{`{"SET":{"value_key":{"a":"\x"}}}`, one(`{"SERVER_ERROR":{"s":5,"m":"*`)},
			{`{"GET":["value_key"]}`, one(`{"GET_RSP":{"st":0,"value_key":` + nested(128) + `}}`)},
			{`{"CAS":{"value_key":[` + nested(128) + `,1]}}`, one(`{"SERVER_ERROR":{"s":5,"m":"nesting deeper than 128*`)},
			{`{"CAS":{"value_key":[1,` + nested(128) + `]}}`, one(`{"SERVER_ERROR":{"s":5,"m":"nesting deeper than 128*`)},
			{`{"CAS":{"value_key":[` + nested(127) + `,1]}}`, one(`{"CAS_RSP":{"st":8,"k":"value_key"}}`)},
			{`{"CAD":{"value_key":` + nested(128) + `}}`, one(`{"CAD_RSP":{"st":5,"k":"value_key"}}`)},
		})
	})
}

func TestContract4Family(t *testing.T) {
	eachFraming(t, netio.Options{}, func(t *testing.T, c client) {
		t.Run("SETQ answers only pairs that fail", func(t *testing.T) {
			converse(t, c, []exchange{
				{`{"SETQ":{"quiet_1":1,"bad":1,"quiet_2":null,"quiet_1":2}}`, []string{
					`{"SETQ_RSP":{"st":6,"k":"bad"}}`, `{"SETQ_RSP":{"st":7,"k":"quiet_2","m":"null, objects and arrays are values only with --values any"}}`,
				}},
				{`{"GET":["quiet_1"]}`, one(`{"GET_RSP":{"st":0,"quiet_1":2}}`)},
			})
		})
		t.Run("ADD never overwrites", func(t *testing.T) {
			converse(t, c, []exchange{
				{`{"ADD":{"added_1":1,"added_1":2,"bad":1,"added_2":[]}}`, []string{
					`{"ADD_RSP":{"st":1,"k":"added_1"}}`, `{"ADD_RSP":{"st":4,"k":"added_1"}}`,
					`{"ADD_RSP":{"st":6,"k":"bad"}}`, `{"ADD_RSP":{"st":7,"k":"added_2","m":"null, objects and arrays are values only with --values any"}}`,
				}},
				{`{"GET":["added_1"]}`, one(`{"GET_RSP":{"st":0,"added_1":1}}`)},
			})
		})
		t.Run("ADDQ answers only pairs that fail", func(t *testing.T) {
			converse(t, c, []exchange{{`{"ADDQ":{"addedq":1,"addedq":2,"bad":1,"addedr":{}}}`, []string{
				`{"ADDQ_RSP":{"st":4,"k":"addedq"}}`, `{"ADDQ_RSP":{"st":6,"k":"bad"}}`, `{"ADDQ_RSP":{"st":7,"k":"addedr","m":"null, objects and arrays are values only with --values any"}}`,
			}}})
		})
		t.Run("GET", func(t *testing.T) {
			converse(t, c, []exchange{
				{`{"GET":["added_1","no_such_key","bad",7,null,["x"],{"y":1},"added_1"]}`, []string{
					`{"GET_RSP":{"st":0,"added_1":1}}`, `{"GET_RSP":{"st":3,"k":"no_such_key"}}`, `{"GET_RSP":{"st":6,"k":"bad"}}`,
					`{"GET_RSP":{"st":7,"k":""}}`, `{"GET_RSP":{"st":7,"k":""}}`, `{"GET_RSP":{"st":7,"k":""}}`, `{"GET_RSP":{"st":7,"k":""}}`,
					`{"GET_RSP":{"st":0,"added_1":1}}`,
				}},
				{`{"GET":[]}`, nil},
			})
		})
		t.Run("CONTAINS", func(t *testing.T) {
			converse(t, c, []exchange{{`{"CONTAINS":["added_1","no_such_key","bad",7]}`, []string{
				`{"CONTAINS_RSP":{"st":4,"k":"added_1"}}`, `{"CONTAINS_RSP":{"st":3,"k":"no_such_key"}}`,
				`{"CONTAINS_RSP":{"st":6,"k":"bad"}}`, `{"CONTAINS_RSP":{"st":7,"k":""}}`,
			}}})
		})
		t.Run("RMV", func(t *testing.T) {
			converse(t, c, []exchange{{`{"RMV":["added_1","added_1","bad",true]}`, []string{
				`{"RMV_RSP":{"st":5,"k":"added_1"}}`, `{"RMV_RSP":{"st":3,"k":"added_1"}}`,
				`{"RMV_RSP":{"st":6,"k":"bad"}}`, `{"RMV_RSP":{"st":7,"k":""}}`,
			}}})
		})
		t.Run("RNM_KEY", func(t *testing.T) {
			converse(t, c, []exchange{
				{`{"SET":{"rename_1":"v","rename_2":2}}`, responses(`{"SET_RSP":{"st":1,"k":"%s"}}`, "rename_1", "rename_2")},
				{`{"RNM_KEY":[{"rename_1":"rename_3"},{"rename_1":"rename_4"},{"rename_3":"rename_2"},{"rename_3":"rename_3"},{"nobody_":"nobody_"},{"bad":"rename_5"},{"rename_3":"bad"},7,{},{"rename_3":"rename_6","x":"y"},{"rename_3":8}]}`, []string{
					`{"RNM_KEY_RSP":{"rename_1":"rename_3","st":1}}`,
					`{"RNM_KEY_RSP":{"rename_1":"rename_4","st":3}}`,
					`{"RNM_KEY_RSP":{"rename_3":"rename_2","st":4}}`,
					`{"RNM_KEY_RSP":{"rename_3":"rename_3","st":1}}`,
					`{"RNM_KEY_RSP":{"nobody_":"nobody_","st":3}}`,
					`{"RNM_KEY_RSP":{"bad":"rename_5","st":6}}`,
					`{"RNM_KEY_RSP":{"rename_3":"bad","st":6}}`,
					`{"RNM_KEY_RSP":{"st":7,"k":""}}`,
					`{"RNM_KEY_RSP":{"st":7,"k":""}}`,
					`{"RNM_KEY_RSP":{"st":7,"k":""}}`,
					`{"RNM_KEY_RSP":{"st":7,"k":""}}`,
				}},
				{`{"GET":["rename_3","rename_1"]}`, []string{`{"GET_RSP":{"st":0,"rename_3":"v"}}`, `{"GET_RSP":{"st":3,"k":"rename_1"}}`}},
			})
		})
		t.Run("the key in a response reads back as the same key", func(t *testing.T) {
			converse(t, c, []exchange{
				{`{"SET":{"q\"b\\s\/\n\u0001é":1}}`, one(`{"SET_RSP":{"st":1,"k":"q\"b\\s/\n\u0001é"}}`)},
				{`{"GET":["q\"b\\s/\n\u0001\u00e9"]}`, one(`{"GET_RSP":{"st":0,"q\"b\\s/\n\u0001é":1}}`)},
				{`{"RNM_KEY":[{"q\"b\\s\/\n\u0001é":"to\"\u0000\u007f&<>"}]}`, one(`{"RNM_KEY_RSP":{"q\"b\\s/\n\u0001é":"*`)},
			})
		})
		t.Run("COUNT and CLEAR", func(t *testing.T) {
			converse(t, c, []exchange{
				{`{"CLEAR":{}}`, one(`{"CLEAR_RSP":{"st":0,"cnt":*`)},
				{`{"COUNT":{}}`, one(`{"COUNT_RSP":{"st":0,"cnt":0}}`)},
				{`{"SETQ":{"count_1":1,"count_2":2}}`, nil},
				{`{"COUNT":{ }}`, one(`{"COUNT_RSP":{"st":0,"cnt":2}}`)},
				{`{"CLEAR":{}}`, one(`{"CLEAR_RSP":{"st":0,"cnt":2}}`)},
				{`{"CLEAR":{}}`, one(`{"CLEAR_RSP":{"st":0,"cnt":0}}`)},
			})
		})
	})
}

// TestContract4ServerInfo: qryCnt counts every command received, refused ones and
// this one included, over all connections.
func TestContract4ServerInfo(t *testing.T) {
	s := startServer(t, netio.Options{Version: "9.8.7"})
	for i, c := range []client{dialLines(t, "tcp", s.tcp), dialWebSocket(t, "unix", s.unix)} {
		c.send(`{"SETQ":{"info_key_1":1,"info_key_2":2}}`)
		c.send(`not a command`)
		c.send(`{"NOPE":{}}`)
		c.recv()
		c.recv()
		c.send(`{"SERVER_INFO":{}}`)
		want := fmt.Sprintf(`{"SERVER_INFO_RSP":{"st":0,"keyCnt":2,"qryCnt":%d,"version":"9.8.7",`, 4*(i+1))
		if got := c.recv(); !strings.HasPrefix(got, want) {
			t.Fatalf("got %s\nwant %s…", got, want)
		}
	}
}

// TestContract4FenceAfterQuietCommands: an answered command is a fence for the
// quiet ones before it.
func TestContract4FenceAfterQuietCommands(t *testing.T) {
	eachFraming(t, netio.Options{}, func(t *testing.T, c client) {
		for i := range 100 {
			c.send(fmt.Sprintf(`{"SETQ":{"fenced_%d":1}}`, i))
		}
		c.send(`{"COUNT":{}}`)
		if got := c.recv(); got != `{"COUNT_RSP":{"st":0,"cnt":100}}` {
			t.Fatal(got)
		}
	})
}

// TestOutOfMemory: a SET that would pass the store's ceiling gets status 14, also when it
// is quiet. Nothing is lost, and values that fit in place are still replaced.
func TestOutOfMemory(t *testing.T) {
	s := startServerOn(t, engine.Options{MaxBytes: 4 << 20}, netio.Options{})
	c := dialLines(t, "tcp", s.tcp)
	value := `"` + strings.Repeat("v", 10_000) + `"`
	stored := 0
	for ; stored < 1000; stored++ {
		c.send(fmt.Sprintf(`{"SET":{"memory_%04d":%s}}`, stored, value))
		if got := c.recv(); got == fmt.Sprintf(`{"SET_RSP":{"st":14,"k":"memory_%04d"}}`, stored) {
			break
		} else if !strings.Contains(got, `"st":1`) {
			t.Fatal(got)
		}
	}
	if stored < 100 || stored == 1000 {
		t.Fatalf("%d values of 10 kB in 4 MiB", stored)
	}
	for _, command := range []string{"SETQ", "ADD"} {
		for refused := false; !refused; { // another shard may have room for one more
			key := fmt.Sprintf("more_%04d", stored)
			c.send(fmt.Sprintf(`{"%s":{"%s":%s}}`, command, key, value))
			c.send(`{"COUNT":{}}`)
			got := c.recv()
			if refused = got == fmt.Sprintf(`{"%s_RSP":{"st":14,"k":"%s"}}`, command, key); !refused {
				stored++
			}
			if got == fmt.Sprintf(`{"ADD_RSP":{"st":1,"k":"%s"}}`, key) || refused {
				got = c.recv()
			}
			if got != fmt.Sprintf(`{"COUNT_RSP":{"st":0,"cnt":%d}}`, stored) || stored == 1000 {
				t.Fatalf("%s, %d are stored: %s", command, stored, got)
			}
		}
	}
	converse(t, c, []exchange{
		{`{"SET":{"memory_0000":` + strings.Replace(value, "v", "w", 1) + `}}`, one(`{"SET_RSP":{"st":2,"k":"memory_0000"}}`)},
		{`{"COUNT":{}}`, one(fmt.Sprintf(`{"COUNT_RSP":{"st":0,"cnt":%d}}`, stored))},
		{`{"CLEAR":{}}`, one(fmt.Sprintf(`{"CLEAR_RSP":{"st":0,"cnt":%d}}`, stored))},
	})
	waitFor(t, "the memory to be given back", func() bool {
		c.send(`{"SET":{"after_clear":` + value + `}}`)
		return strings.Contains(c.recv(), `"st":1`)
	})
}
