package resp_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"keyframe/codec/resp"
)

// command is an array of words.
func command(words ...string) []byte {
	b := fmt.Appendf(nil, "*%d\r\n", len(words))
	for _, w := range words {
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(w), w)
	}
	return b
}

const maxBytes = 1 << 20

// readAll reads what comes in pieces, as a server does, and returns the commands and the
// error that ends them.
func readAll(maxBytes int, pieces ...[]byte) (commands [][]string, err error) {
	r := resp.Reader{MaxBytes: maxBytes}
	var src []byte
	for _, piece := range pieces {
		src = append(src, piece...)
		used := 0
		for {
			words, size, unit, err := r.Next(nil, src, used)
			if err == resp.ErrIncomplete {
				break
			}
			if err != nil {
				return commands, err
			}
			switch unit {
			case resp.Part:
				continue
			case resp.Long:
				at, n := resp.Open(src, used)
				words, at = resp.Take(nil, src, at, n)
				if at != used+size {
					return commands, fmt.Errorf("a long command of %d bytes ends at %d", size, at-used)
				}
				fallthrough
			case resp.Words:
				texts := []string{}
				for _, w := range words {
					texts = append(texts, string(w))
				}
				commands = append(commands, texts)
			}
			used += size
		}
		r.Done(used)
		src = bytes.Clone(src[used:])
	}
	return commands, nil
}

func equal(a, b [][]string) bool {
	return slices.EqualFunc(a, b, func(a, b []string) bool { return slices.Equal(a, b) })
}

// TestCutEverywhere: commands are the same wherever their bytes are cut.
func TestCutEverywhere(t *testing.T) {
	many := []string{"del"}
	for i := range resp.MaxDirect + 5 {
		many = append(many, strings.Repeat("k", i%3))
	}
	want := [][]string{{"SET", "k", "v\r\n"}, {"GET", ""}, {"ping"}, {"set", "a b", "c\x01"}, many, {"mget", strings.Repeat("x", 120)}, {"last"}}
	b := slices.Concat(command(want[0]...), command(want[1]...), []byte("ping\r\n\r\n*0\r\n*-1\r\n"), []byte(`  set "a b" 'c`+"\x01"+"'\n"), command(many...), command(want[5]...), []byte("last\n"))
	for cut := range b {
		got, err := readAll(maxBytes, b[:cut], b[cut:])
		if err != nil || !equal(got, want) {
			t.Fatalf("cut at %d: %q, %v", cut, got, err)
		}
	}
	var single [][]byte
	for i := range b {
		single = append(single, b[i:i+1])
	}
	if got, err := readAll(maxBytes, single...); err != nil || !equal(got, want) {
		t.Fatalf("byte by byte: %q, %v", got, err)
	}
}

// TestRefused: what is no command, as soon as it can be known, in Redis's words.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		src  string
		want error // nil: not yet
	}{
		{"*", nil},
		{"*1", nil},
		{"*1\r", nil},
		{"*x", resp.ErrCount},
		{"*1x", resp.ErrCount},
		{"*1\rx", resp.ErrCount},
		{"*-\r\n", resp.ErrCount},
		{"*1048576\r\n", nil},
		{"*1048577\r\n", resp.ErrCount},
		{"*9223372036854775808\r\n", resp.ErrCount},
		{"*" + strings.Repeat("1", 40), resp.ErrCount},
		{"*1\r\n", nil},
		{"*1\r\nx", resp.ProtocolError("expected '$', got 'x'")},
		{"*1\r\n\x01", resp.ProtocolError("expected '$', got '?'")},
		{"*1\r\n$", nil},
		{"*1\r\n$-5\r\n", resp.ErrLength},
		{"*1\r\n$-1\r\n", resp.ErrLength},
		{"*1\r\n$9223372036854775807\r\n", resp.ErrLength},
		{"*1\r\n$1048577\r\n", resp.ErrLength},
		{"*1\r\n$1\r\nab", resp.ErrNoTerminator},
		{"*1\r\n$1\r\na\r", nil},
		{"*1\r\n$1\r\na\rx", resp.ErrNoTerminator},
		{"*1\r\n$100\r\n" + strings.Repeat("a", 100) + "xx", resp.ErrNoTerminator},
		{strings.Repeat("a", resp.MaxInlineBytes), nil},
		{strings.Repeat("a", resp.MaxInlineBytes+1), resp.ErrBigInline},
		{"get \"a\n", resp.ErrUnbalanced},
		{"get \"a\"b\n", resp.ErrUnbalanced},
		{"get 'a\n", resp.ErrUnbalanced},
	} {
		_, err := readAll(maxBytes, []byte(c.src))
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%.40q: %v, want %v", c.src, err, c.want)
		}
	}
}

// TestMaxBytes: a command may have so many bytes, and not one more.
func TestMaxBytes(t *testing.T) {
	b := command("set", "key", strings.Repeat("v", 1000))
	long := command(slices.Repeat([]string{"x"}, 2000)...)
	for _, b := range [][]byte{b, long} {
		if got, err := readAll(len(b), b); err != nil || len(got) != 1 {
			t.Errorf("%d bytes of %d: %v", len(b), len(b), err)
		}
		if _, err := readAll(len(b)-1, b); err != resp.ErrLength {
			t.Errorf("%d bytes of %d: %v", len(b), len(b)-1, err)
		}
	}
}

// TestLongIsLookedAtOnce: the words of a long command that comes in pieces are not looked at
// from its beginning each time, and its keys are judged.
func TestLongIsLookedAtOnce(t *testing.T) {
	looked := 0
	r := resp.Reader{MaxBytes: 16 << 20, IsKey: func(word []byte) bool { looked++; return len(word) > 0 }}
	words := slices.Repeat([]string{"key"}, 50_000)
	src := command(words...)
	parts := 0
	for n := 0; ; n = min(n+10_000, len(src)) {
		_, size, unit, err := r.Next(nil, src[:n], 0)
		if err == nil && unit == resp.Long {
			if size != len(src) {
				t.Fatalf("%d bytes of %d", size, len(src))
			}
			break
		}
		if err == nil {
			parts++
		}
	}
	if looked != len(words)-1 {
		t.Errorf("%d words were looked at, of %d", looked, len(words)-1)
	}
	if !r.KeysAreRight(1) || !r.KeysAreRight(2) {
		t.Error("its keys are not right")
	}
	whole := resp.Reader{MaxBytes: 16 << 20}
	for _, unit, err := []byte(nil), resp.Part, error(nil); unit == resp.Part; parts++ {
		if _, _, unit, err = whole.Next(nil, src, 0); err != nil {
			t.Fatal(err)
		}
	}
	if parts < 3 {
		t.Errorf("50,000 words are looked at in %d parts", parts)
	}
	for at, wants := range map[int][2]bool{1999: {false, false}, 1998: {false, true}} {
		words := slices.Repeat([]string{"key"}, 2001)
		words[at] = ""
		src := command(words...)
		r := resp.Reader{MaxBytes: 16 << 20, IsKey: func(word []byte) bool { return len(word) > 0 }}
		if _, _, unit, err := r.Next(nil, src, 0); unit != resp.Long || err != nil {
			t.Fatal(unit, err)
		}
		if got := [2]bool{r.KeysAreRight(1), r.KeysAreRight(2)}; got != wants {
			t.Errorf("an empty word at %d: %v, want %v", at, got, wants)
		}
	}
}

// check compares Next with the slow parser for the first command of b.
func check(t *testing.T, b []byte, maxBytes int) {
	t.Helper()
	words, size, incomplete, bad := slowNext(b, maxBytes)
	if bytes.ContainsAny(b, `"'`) && b[0] != '*' {
		return
	}
	r := resp.Reader{MaxBytes: maxBytes}
	got, n, unit, err := r.Next(nil, b, 0)
	for err == nil && unit == resp.Part {
		got, n, unit, err = r.Next(nil, b, 0)
	}
	if err == nil && unit == resp.Long {
		at, count := resp.Open(b, 0)
		got, _ = resp.Take(nil, b, at, count)
	}
	switch {
	case incomplete != (err == resp.ErrIncomplete), bad != (err != nil && err != resp.ErrIncomplete):
		t.Fatalf("%q: %v; slow: incomplete %t, bad %t", b, err, incomplete, bad)
	case err == nil && (n != size || (unit == resp.Blank) != (len(words) == 0)):
		t.Fatalf("%q: %d bytes, unit %d; slow: %d, %d words", b, n, unit, size, len(words))
	}
	if err != nil {
		return
	}
	if !slices.EqualFunc(got, words, func(a []byte, b string) bool { return string(a) == b }) {
		t.Fatalf("%q: %q; slow: %q", b, got, words)
	}
}

// TestAgainstTheSlowParser: random commands with a fault now and then.
func TestAgainstTheSlowParser(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 50_000 {
		var words []string
		for range r.IntN(6) {
			words = append(words, strings.Repeat("ab", r.IntN(70)))
		}
		b := command(words...)
		if r.IntN(3) == 0 {
			b = []byte(strings.Join(words, "  ") + "\r\n")
		}
		for range r.IntN(3) {
			if i := r.IntN(len(b)); r.IntN(2) == 0 {
				b[i] = "*$\r\n-0159a "[r.IntN(11)]
			} else {
				b = slices.Delete(b, i, i+1)
			}
			if len(b) == 0 {
				b = []byte("x")
			}
		}
		check(t, b[:r.IntN(len(b))+1], 1+r.IntN(400))
		check(t, b, 1<<20)
	}
}

func FuzzNext(f *testing.F) {
	f.Add([]byte("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"), 100)
	f.Add([]byte("*-1\r\n"), 100)
	f.Add([]byte("*1\r\n$-5\r\n"), 100)
	f.Add([]byte("*1\r\n$9223372036854775808\r\n"), 100)
	f.Add([]byte("ping\r\n"), 100)
	f.Add(command(slices.Repeat([]string{""}, 1100)...), 1<<20)
	f.Fuzz(func(t *testing.T, b []byte, maxBytes int) {
		if len(b) == 0 || maxBytes < 1 || maxBytes > 256<<20 {
			return
		}
		check(t, b, maxBytes)
		whole, err := readAll(maxBytes, b)
		half, halfErr := readAll(maxBytes, b[:len(b)/2], b[len(b)/2:])
		if !equal(whole, half) || (err == nil) != (halfErr == nil) {
			t.Fatalf("%q: cut in the middle it is %q, %v, not %q, %v", b, half, halfErr, whole, err)
		}
	})
}

func TestInline(t *testing.T) {
	for line, want := range map[string][]string{
		`a  b`:             {"a", "b"},
		`"a b" c`:          {"a b", "c"},
		`"\x41\n\t\"\\\q"`: {"A\n\t\"\\q"},
		`'a\'b"\n'`:        {`a'b"\n`},
		`ab"c d"`:          {"abc d"},
		`""`:               {""},
		"\ta\v":            {"a"},
	} {
		got, err := readAll(maxBytes, []byte(line+"\r\n"))
		if err != nil || len(got) != 1 || !slices.Equal(got[0], want) {
			t.Errorf("%s: %q, %v", line, got, err)
		}
	}
}

func TestMatch(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	random := func(letters string) string {
		b := make([]byte, r.IntN(8))
		for i := range b {
			b[i] = letters[r.IntN(len(letters))]
		}
		return string(b)
	}
	matched := 0
	for range 300_000 {
		pattern, text := random(`ab*?[]^-\c`), random("abc-]^")
		want := slowMatch(pattern, text)
		if got := resp.Match([]byte(pattern), []byte(text)); got != want {
			t.Fatalf("%q matches %q: %t, want %t", pattern, text, got, want)
		}
		if want {
			matched++
			if !strings.HasPrefix(text, string(resp.Prefix([]byte(pattern)))) {
				t.Fatalf("%q matches %q, which doesn't begin with its prefix", pattern, text)
			}
		}
	}
	if matched < 1000 {
		t.Errorf("only %d matched", matched)
	}
}

// TestBegins: what chooses the protocol.
func TestBegins(t *testing.T) {
	for first, want := range map[string]string{
		"*": "yes", "*1\r\n": "yes", "ping\r\n": "yes", "PING\n": "yes", "set a b\r\n": "yes", "JSON.SET ": "yes",
		"": "?", "p": "?", "pin": "?", "incrbyfloa": "?", "ping": "?", "incrbyfloat": "?",
		"{": "no", "\n": "no", " ": "no", "x": "no", "pingx": "no", "ping{": "no", "incrbyfloats": "no", "[": "no", "\x00": "no", "null\n": "no",
	} {
		yes, undecided := resp.Begins([]byte(first))
		got := map[bool]string{true: "yes", false: "no"}[yes]
		if undecided {
			got = "?"
		}
		if got != want {
			t.Errorf("%q: %s, want %s", first, got, want)
		}
	}
}

// TestTable: every row is whole, is found, and is the one of its ID.
func TestTable(t *testing.T) {
	for i, c := range resp.Commands() {
		if c.Name == "" || int(c.ID) != i+1 || resp.Lookup([]byte(strings.ToUpper(c.Name))).ID != c.ID || c.Summary == "" || c.Group == "" {
			t.Errorf("row %d: %+v", i+1, c)
		}
		if c.First > 0 && (c.Step == 0 || c.Op == 0 && c.Flags&resp.Refused == 0) {
			t.Errorf("%s has keys, and no step or no command of the contract that it is like", c.Name)
		}
		if !c.Takes(max(c.Arity, -c.Arity)) || c.Takes(max(c.Arity, -c.Arity)-1) {
			t.Errorf("%s takes %d words or not", c.Name, c.Arity)
		}
	}
	if resp.Lookup([]byte("nope")) != nil || resp.Lookup(nil) != nil {
		t.Error("found what there isn't")
	}
}

func TestReplies(t *testing.T) {
	for _, n := range []int{0, 9, 10, 99, 100, 1 << 30} {
		if got, want := string(resp.AppendBulkLen(nil, n)), "$"+strconv.Itoa(n)+"\r\n"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if got, want := string(resp.AppendInt(nil, int64(-n))), ":"+strconv.Itoa(-n)+"\r\n"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := string(resp.AppendError(nil, "ERR a\r\nb\x00")); got != "-ERR a  b \r\n" {
		t.Errorf("%q", got)
	}
}
