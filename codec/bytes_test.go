package codec_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"keyframe/codec"
)

// TestFormOf: bytes that a JSON string has between its quotes as they are have FormString.
func TestFormOf(t *testing.T) {
	texts := []string{"", "a", "plain text of some length", "é", "𝄞", "\x7f", "a\"", "back\\slash", "\n", "\x00", "\xff", "\xc3", "\xed\xa0\x80", strings.Repeat("x", 100) + "\x1f"}
	for b := range 256 {
		texts = append(texts, "0123456"+string([]byte{byte(b)})+"789")
	}
	for _, text := range texts {
		want := codec.FormBytes
		var got string
		if utf8.ValidString(text) && json.Unmarshal([]byte(`"`+text+`"`), &got) == nil && got == text {
			want = codec.FormString
		}
		if form := codec.FormOf([]byte(text)); form != want {
			t.Errorf("%q has the form %d, want %d", text, form, want)
		}
	}
}

func TestAppendBytes(t *testing.T) {
	for _, c := range []struct {
		value string
		form  codec.Form
		want  string
	}{
		{"abc", codec.FormString, "abc"}, {"a\"b", codec.FormBytes, "a\"b"}, {"12", codec.FormJSON, "12"}, {`{"a":1}`, codec.FormJSON, `{"a":1}`},
		{`"a\"\\\/\b\f\n\r\t\u00e9\ud834\udd1e"`, codec.FormJSON, "a\"\\/\b\f\n\r\té𝄞"}, {`"\ud834x"`, codec.FormJSON, "\xed\xa0\xb4x"},
	} {
		got := string(codec.AppendBytes([]byte("x"), []byte(c.value), c.form))
		if got != "x"+c.want {
			t.Errorf("%s: %q, want %q", c.value, got, c.want)
		}
		if is := codec.IsBytes([]byte(c.value), c.form); is != (c.value == c.want) {
			t.Errorf("%s: IsBytes is %t", c.value, is)
		}
	}
}

func TestMergeTail(t *testing.T) {
	for _, c := range []struct {
		old  string
		form codec.Form
		tail string
		want string
		is   codec.Form
	}{
		{"abc", codec.FormString, "def", "abcdef", codec.FormString},
		{"abc", codec.FormString, "\"", "abc\"", codec.FormBytes},
		{"\xc3", codec.FormBytes, "\xa9", "é", codec.FormString},
		{"\n", codec.FormBytes, "x", "\nx", codec.FormBytes},
		{"42", codec.FormJSON, "0", "420", codec.FormString},
		{`"a\nb"`, codec.FormJSON, "c", "a\nbc", codec.FormBytes},
		{`{"a":1}`, codec.FormJSON, "c", `{"a":1}c`, codec.FormBytes},
	} {
		got, form, st := codec.Merge([]byte("x"), []byte(c.old), c.form, true, []byte(c.tail), codec.FormTail)
		if string(got) != "x"+c.want || form != c.is || st != codec.StatusKeyUpdated {
			t.Errorf("%q and %q: %q, %d, %d", c.old, c.tail, got, form, st)
		}
	}
	if got, form, st := codec.Merge(nil, nil, 0, false, []byte("new"), codec.FormTail); string(got) != "new" || form != codec.FormString || st != codec.StatusKeySet {
		t.Errorf("a new key: %q, %d, %d", got, form, st)
	}
	most := bytes.Repeat([]byte("x"), 16<<20)
	if _, _, st := codec.Merge(nil, most, codec.FormString, true, nil, codec.FormTail); st != codec.StatusKeyUpdated {
		t.Errorf("16 MiB: %d", st)
	}
	if _, _, st := codec.Merge(nil, most, codec.FormString, true, []byte("x"), codec.FormTail); st != codec.StatusTypeInvalid {
		t.Errorf("16 MiB and a byte: %d", st)
	}
}

// TestMergeFloat: sums as Redis writes them.
func TestMergeFloat(t *testing.T) {
	for _, c := range []struct {
		old  string
		form codec.Form
		plus string
		want string // "": it is none
	}{
		{"10.5", codec.FormString, "0.1", "10.6"}, {"0.1", codec.FormString, "0.2", "0.3"}, {"5.0e3", codec.FormString, "2.0e2", "5200"}, {"1", codec.FormString, "-1", "0"},
		{"3", codec.FormJSON, "1e-17", "3.00000000000000001"}, {`"\u0031"`, codec.FormJSON, "1", "2"}, {"0", codec.FormString, "-0", "0"}, {"-1.5", codec.FormString, ".25", "-1.25"},
		{"true", codec.FormJSON, "1", ""}, {"", codec.FormString, "1", ""}, {"1", codec.FormString, "", ""}, {"1", codec.FormString, "inf", ""}, {"1", codec.FormString, "nan", ""},
		{"1", codec.FormString, "0x10", ""}, {"1", codec.FormString, "1_0", ""}, {"1", codec.FormString, "1e309", ""}, {"1e308", codec.FormString, "1e308", ""}, {"1", codec.FormString, "1e-999999999", ""},
		{strings.Repeat("1", 65), codec.FormString, "1", ""}, {"1", codec.FormString, " 1", ""},
	} {
		got, form, st := codec.Merge(nil, []byte(c.old), c.form, true, []byte(c.plus), codec.FormFloat)
		if c.want == "" {
			if st != codec.StatusNotAnInteger {
				t.Errorf("%s + %s: %q, %d", c.old, c.plus, got, st)
			}
			continue
		}
		if string(got) != c.want || form != codec.FormString || st != codec.StatusKeyUpdated {
			t.Errorf("%s + %s: %q, %d, %d, want %s", c.old, c.plus, got, form, st, c.want)
		}
	}
	if got, _, st := codec.Merge(nil, nil, 0, false, []byte("1.50"), codec.FormFloat); string(got) != "1.5" || st != codec.StatusKeySet {
		t.Errorf("a new key: %q, %d", got, st)
	}
}

func TestValue(t *testing.T) {
	scalars, err := codec.NewDecoder(codec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	all, err := codec.NewDecoder(codec.Options{AnyValues: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text, value  string
		form         codec.Form
		scalar, isOK bool
	}{
		{`1`, `1`, codec.FormJSON, true, true}, {` "a" `, `a`, codec.FormString, true, true}, {`"a\n"`, `"a\n"`, codec.FormJSON, true, true}, {`[1, 2]`, `[1, 2]`, codec.FormJSON, false, true}, {"null", "null", codec.FormJSON, false, true},
		{text: ``}, {text: `1 2`}, {text: `{`}, {text: "\"\xff\""}, {text: `nul`}, {text: "  "},
	} {
		value, form, err := all.Value([]byte(c.text))
		if (err == nil) != c.isOK || err == nil && (string(value) != c.value || form != c.form) {
			t.Errorf("%s: %q, %d, %v", c.text, value, form, err)
		}
		if _, _, err := scalars.Value([]byte(c.text)); (err == nil) != (c.isOK && c.scalar) {
			t.Errorf("%s as a scalar: %v", c.text, err)
		}
	}
}
