package codec_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"keyframe/codec"
	"keyframe/codec/client"
)

// TestTableIsWhole: each row says what its kind of command must say.
func TestTableIsWhole(t *testing.T) {
	names := map[string]bool{}
	for op := range codec.Opcodes() {
		name := op.String()
		if names[name] || name == "unknown" {
			t.Errorf("opcode %d: %q is not a name of its own", op, name)
		}
		names[name] = true
		if op.Effect() == 0 || op.Shape() == 0 {
			t.Errorf("%s: it has no effect or no shape", name)
		}
		if keyed := op.Reply() == codec.ReplyElements || op.Reply() == codec.ReplyCountElements; keyed != (op.Answers() != 0) ||
			keyed == (op.Shape() == codec.ShapeNothing || op.Shape() == codec.ShapeCredentials || op.Reply() == codec.ReplyPage) {
			t.Errorf("%s: its reply, its answers and its shape don't go together", name)
		}
		// What a class is for: whoever has only others neither learns of a value nor changes one.
		tells := op.Values() != 0 || op.Answers().Has(codec.StatusValueDiffers) || op.Effect() == codec.EffectContains || op.Effect() == codec.EffectRename || op.Shape() == codec.ShapeSearch
		for class, needed := range map[codec.Class]bool{
			codec.ClassRead:  tells,
			codec.ClassWrite: op.Effect().Writes() && op.Effect() != codec.EffectClear,
			codec.ClassScan:  op.Reply() == codec.ReplyPage || op == codec.OpCount,
			codec.ClassAdmin: (op.Shape() == codec.ShapeNothing || op.Reply() == codec.ReplyCountElements) && op != codec.OpPing && op != codec.OpCount,
		} {
			if has := op.Class()&class != 0; has != needed {
				t.Errorf("%s: its classes are %b, class %b: %v", name, op.Class(), class, needed)
			}
		}
		if op.Answers()&op.Values() != 0 {
			t.Errorf("%s: answers %b, values %b", name, op.Answers(), op.Values())
		}
	}
	if len(names) != len(oracleCommands) {
		t.Errorf("%d commands, the oracle has %d", len(names), len(oracleCommands))
	}
}

// TestNamesAreFoundAsInTheTable: Lookup, and the fast names before it, find each name of
// the table and no other.
func TestNamesAreFoundAsInTheTable(t *testing.T) {
	fast := 0
	for op := range codec.Opcodes() {
		name := op.String()
		if got := codec.Lookup([]byte(name)); got != op {
			t.Errorf("Lookup(%s) = %s", name, got)
		}
		quoted := []byte(`"` + name + `":  `)
		if got, shape := codec.UsualForTesting(quoted); got != 0 {
			fast++
			if got != op || shape != op.Shape() {
				t.Errorf("usual(%s) = %s of shape %d, want shape %d", name, got, shape, op.Shape())
			}
		}
		if n := codec.ChainForTesting(name); n > 2 {
			t.Errorf("%s is in a chain of %d names: try other factors in hashName", name, n)
		}
		// No name with a letter changed, missing or added.
		for i := range len(name) + 1 {
			others := []string{name[:i] + "X" + name[i:]}
			if i < len(name) {
				others = append(others, name[:i]+name[i+1:], name[:i]+strings.ToLower(name[i:i+1])+name[i+1:], name[:i]+"\x00"+name[i+1:])
			}
			for _, other := range others {
				if got := codec.Lookup([]byte(other)); got != 0 && got.String() != other {
					t.Errorf("Lookup(%q) = %s", other, got)
				}
				padded := []byte(`"` + other + `":       `)
				if got, _ := codec.UsualForTesting(padded); got != 0 && got.String() != other {
					t.Errorf("usual(%q) = %s", other, got)
				}
			}
		}
	}
	if fast != 5 {
		t.Errorf("%d names are found the fast way, want 5", fast)
	}
	if got := codec.Lookup(nil); got != 0 {
		t.Errorf("the empty name is %s", got)
	}
}

// TestNamesOfOneChain: of two names with one hash neither hides the other.
func TestNamesOfOneChain(t *testing.T) {
	name := ""
	for i := 0; i < 10_000 && codec.ChainForTesting(name) == 0; i++ {
		name = fmt.Sprintf("NAME%d", i)
	}
	op := codec.AddRowForTesting(t, name, codec.OpGet, false)
	if n := codec.ChainForTesting(name); n < 2 {
		t.Fatalf("%s is in a chain of %d", name, n)
	}
	if got := codec.Lookup([]byte(name)); got != op {
		t.Errorf("Lookup(%s) = %s", name, got)
	}
	for op := range codec.Opcodes() {
		if got := codec.Lookup([]byte(op.String())); got != op {
			t.Errorf("Lookup(%s) = %s", op, got)
		}
	}
}

// TestANewRowIsACommand: a command is its row. A row is added, like RMV but quiet, and the
// command goes the whole way: the client writes it, the codec decodes and answers it, and
// the client parses the answer.
func TestANewRowIsACommand(t *testing.T) {
	const payload = `{"NEW_RMV":["abcdef","x",1]}`
	if got := describe(t, codec.Options{}, payload); got != `{"SERVER_ERROR":{"s":3,"m":"unknown command NEW_RMV"}}` {
		t.Fatal(got)
	}
	op := codec.AddRowForTesting(t, "NEW_RMV", codec.OpRemove, true, codec.StatusKeyNotExist)
	if !slices.Contains(slices.Collect(codec.Opcodes()), op) || !op.Quiet() || op.Effect() != codec.EffectRemove {
		t.Errorf("%s: effect %d", op, op.Effect())
	}
	b := client.AppendOpen(nil, op)
	b = client.AppendKey(b, []byte("abcdef"))
	b = client.AppendKey(b, []byte("x"))
	b = client.AppendClose(b, op)
	if string(b) != `{"NEW_RMV":["abcdef","x"]}` {
		t.Errorf("%s", b)
	}
	if got := describe(t, codec.Options{}, payload); got != "NEW_RMV abcdef x!6 !7" {
		t.Error(got)
	}
	if got := describe(t, codec.Options{}, `{"NEW_RMV":{}}`); got != `{"NEW_RMV_RSP":{"st":12,"m":"NEW_RMV takes an array of keys"}}` {
		t.Error(got)
	}
	if got := describe(t, codec.Options{}, `{"RMV":["abcdef"]}`); got != "RMV abcdef" {
		t.Error(got)
	}
	args, cmd, err := newDecoder(t, codec.Options{}).Decode(b, nil, 10)
	if err != nil || cmd.Op != op || len(args) != 2 {
		t.Fatal(args, cmd, err)
	}
	p := client.NewParser()
	var r client.Response
	for st := codec.StatusOK; st <= codec.StatusOutOfMemory; st++ {
		answer := codec.AppendResponse(nil, op, &args[0], st)
		if want := fmt.Sprintf(`{"NEW_RMV_RSP":{"st":%d,"k":"abcdef"}}`, st); string(answer) != want || codec.ResponseLen(op, &args[0], st) != len(want) {
			t.Fatalf("%s, want %s", answer, want)
		}
		want := st == codec.StatusDenied || st == codec.StatusKeyNotExist || st == codec.StatusKeyLengthInvalid || st == codec.StatusTypeInvalid
		if err := p.Parse(answer, &r); (err == nil) != want || want && (r.Op != op || r.Status != st || string(r.Key) != "abcdef") {
			t.Errorf("%s: %+v, %v", answer, r, err)
		}
		if got, key, ok := client.Status(answer, op); ok != (want && st < 10) || ok && (got != st || string(key) != "abcdef") {
			t.Errorf("%s: %d %q %v", answer, got, key, ok)
		}
	}
}

// TestANewRowOfEachShape: rows like GET, RNM_KEY, COUNT and SERVER_INFO answer under their
// own names.
func TestANewRowOfEachShape(t *testing.T) {
	p := client.NewParser()
	for _, c := range []struct {
		like    codec.Opcode
		payload string
		answer  func(op codec.Opcode, args []codec.Arg) []byte
		want    string
	}{
		{codec.OpAdd, `{"NEW_NAME":{"abcdef":1}}`, func(op codec.Opcode, args []codec.Arg) []byte {
			return codec.AppendResponse(nil, op, &args[0], codec.StatusKeyExists)
		}, `{"NEW_NAME_RSP":{"st":4,"k":"abcdef"}}`},
		{codec.OpGet, `{"NEW_NAME":["abcdef"]}`, func(op codec.Opcode, args []codec.Arg) []byte {
			return codec.AppendValue(nil, op, &args[0], []byte("1.0"))
		}, `{"NEW_NAME_RSP":{"st":0,"abcdef":1.0}}`},
		{codec.OpRename, `{"NEW_NAME":[{"abcdef":"bcdefg"}]}`, func(op codec.Opcode, args []codec.Arg) []byte {
			return codec.AppendResponse(nil, op, &args[0], codec.StatusKeySet)
		}, `{"NEW_NAME_RSP":{"abcdef":"bcdefg","st":1}}`},
		{codec.OpCount, `{"NEW_NAME":{}}`, func(op codec.Opcode, _ []codec.Arg) []byte {
			return codec.AppendCount(nil, op, 7)
		}, `{"NEW_NAME_RSP":{"st":0,"cnt":7}}`},
		{codec.OpServerInfo, `{"NEW_NAME":{}}`, func(op codec.Opcode, _ []codec.Arg) []byte {
			return codec.AppendMembers(nil, op, struct {
				A int `json:"a"`
			}{1})
		}, `{"NEW_NAME_RSP":{"st":0,"a":1}}`},
	} {
		t.Run(c.like.String(), func(t *testing.T) {
			op := codec.AddRowForTesting(t, "NEW_NAME", c.like, false)
			args, cmd, err := newDecoder(t, codec.Options{}).Decode([]byte(c.payload), nil, 10)
			if err != nil || cmd.Op != op {
				t.Fatal(cmd, err)
			}
			got := c.answer(op, args)
			var r client.Response
			if err := p.Parse(got, &r); err != nil || r.Op != op || string(got) != c.want || !json.Valid(got) {
				t.Errorf("%s: %+v, %v; want %s", got, r, err, c.want)
			}
		})
	}
}
