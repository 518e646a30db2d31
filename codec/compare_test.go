package codec_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"keyframe/codec"
)

// TestValuesAreEqual: random values against decoded ones, with the same operand twice.
func TestValuesAreEqual(t *testing.T) {
	rnd := newRand(t)
	equals := 0
	for range 30_000 {
		a, b := randomJSON(rnd, 3), randomJSON(rnd, 2)
		switch rnd.IntN(4) {
		case 0:
			a = randomJSON(rnd, 2)
		case 1: // the same, written otherwise
			var v any
			if err := json.Unmarshal([]byte(a), &v); err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			b = string(text)
		}
		if a[0] == '"' || b[0] == '"' {
			a, b = "["+a+"]", "["+b+"]"
		}
		var x, y any
		if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
			t.Fatal(a, b)
		}
		want := reflect.DeepEqual(x, y)
		if want {
			equals++
		}
		if first, second := codec.EqualForTesting([]byte(a), []byte(b)); first != want || second != want {
			t.Fatalf("%s and %s: %t and then %t, want %t", a, b, first, second, want)
		}
	}
	if equals < 5000 {
		t.Errorf("only %d of them are equal", equals)
	}
	for _, c := range []struct {
		a, b string
		want bool
	}{
		// Of a name that is there twice, the first counts.
		{`{"a":1,"a":2}`, `{"a":1}`, true}, {`{"a":1}`, `{"a":1,"\u0061":2}`, true}, {`{"a":2,"a":1}`, `{"a":1}`, false}, {`{"a":1,"a":2}`, `{"a":1,"b":2}`, false},
		{`{"a":{"b":[1,{}]},"c":1}`, `{ "c" : 1.0, "a": { "b" : [ 1e0 , { } ] } }`, true}, {`{}`, `{"a":1}`, false}, {`[]`, `[1]`, false}, {`[1]`, `[]`, false}, {`{"\ud800":1}`, `{"\ud801":1}`, false},
		{`true`, `true`, true}, {`null`, `false`, false}, {`1`, `true`, false},
	} {
		if first, second := codec.EqualForTesting([]byte(c.a), []byte(c.b)); first != c.want || second != c.want {
			t.Errorf("%s and %s: %t and then %t", c.a, c.b, first, second)
		}
	}
}

// TestComparingTakesNoMemory: what a stored value has in it is not copied.
func TestComparingTakesNoMemory(t *testing.T) {
	value := "{"
	for i := range 2000 {
		value += fmt.Sprintf(`"name%d":[%d,"x\n"],`, i, i)
	}
	for _, operand := range []string{value + `"last":1}`, value + `"last":2}`, `{"name0":[0,"x\n"],"name1":7}`, `{}`} {
		if n := codec.AllocsOfEqualForTesting([]byte(value+`"last":1}`), []byte(operand)); n != 0 {
			t.Errorf("compared with %.40s: %v allocations", operand, n)
		}
	}
}

// TestHugeExponents: exponents of any length, next to each other and far apart, against
// math/big, which can't have numbers of them.
func TestHugeExponents(t *testing.T) {
	rnd := newRand(t)
	exponent := func() *big.Int {
		e := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64([...]int{0, 1, 15, 16, 17, 18, 19, 20, 30}[rnd.IntN(9)])), nil)
		if e.Mul(e, big.NewInt(int64(1+rnd.IntN(2)))); rnd.IntN(2) == 0 {
			e.Neg(e)
		}
		return e.Add(e, big.NewInt(int64(rnd.IntN(7)-3)))
	}
	// write writes 10^e, with the point shifted.
	write := func(e *big.Int) string {
		zeros := rnd.IntN(5)
		sign, lead := "", strings.Repeat("0", rnd.IntN(25)*rnd.IntN(2))
		if rnd.IntN(2) == 0 {
			e = new(big.Int).Sub(e, big.NewInt(int64(zeros)))
			lead, sign = lead+new(big.Int).Abs(e).String(), [...]string{"-", "", "+"}[e.Sign()+1]
			return "1" + strings.Repeat("0", zeros) + "e" + sign + lead
		}
		e = new(big.Int).Add(e, big.NewInt(int64(zeros+1)))
		lead, sign = lead+new(big.Int).Abs(e).String(), [...]string{"-", "", "+"}[e.Sign()+1]
		return "0." + strings.Repeat("0", zeros) + "1E" + sign + lead
	}
	for range 50_000 {
		a := exponent()
		b := exponent()
		if rnd.IntN(2) == 0 {
			b.Add(a, big.NewInt(int64(rnd.IntN(9)-4)))
		}
		x, y := write(a), write(b)
		if got, want := codec.CompareNumbersForTesting([]byte(x), []byte(y)), a.Cmp(b); got != want {
			t.Fatalf("%s and %s: %d, want %d", x, y, got, want)
		}
	}
	// However long: it takes no memory, of which the decimal made binary took some.
	long := strings.Repeat("7", 100_000)
	for _, c := range []struct {
		a, b string
		want int
	}{{"1e" + long, "1e" + long, 0}, {"10e" + long, "1e" + long, 1}, {"1e-" + long, "10e-" + long, -1}, {"1e" + long, "1e-" + long, 1}, {"-1e" + long, "-1e" + long[1:], -1}} {
		got := 9
		n := testing.AllocsPerRun(2, func() { got = codec.CompareNumbersForTesting([]byte(c.a), []byte(c.b)) })
		if got != c.want || n > 2 { // two for the test's own conversions
			t.Errorf("%.10s… and %.10s…: %d, want %d; %v allocations", c.a, c.b, got, c.want, n)
		}
	}
}

// TestNumbersCompareExactly: against math/big.
func TestNumbersCompareExactly(t *testing.T) {
	rnd := newRand(t)
	digits := func() string {
		s := ""
		for range rnd.IntN(4) {
			s += [...]string{"0", "00", "1", "9", "10", "12345678901234567890"}[rnd.IntN(6)]
		}
		return s
	}
	number := func() string {
		s := [...]string{"", "-"}[rnd.IntN(2)]
		if whole := strings.TrimLeft(digits(), "0"); whole == "" {
			s += "0"
		} else {
			s += whole
		}
		if rnd.IntN(2) == 0 {
			s += "." + [...]string{"0", "5", "00", "10"}[rnd.IntN(4)] + digits()
		}
		if rnd.IntN(2) == 0 {
			s += [...]string{"e", "E+", "e-", "e-0"}[rnd.IntN(4)] + fmt.Sprint(rnd.IntN(30))
		}
		return s
	}
	for range 20_000 {
		a, b := number(), number()
		x, _ := new(big.Rat).SetString(a)
		y, _ := new(big.Rat).SetString(b)
		if got, want := codec.CompareNumbersForTesting([]byte(a), []byte(b)), x.Cmp(y); got != want {
			t.Fatalf("%s and %s: %d, want %d", a, b, got, want)
		}
	}
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"1e99999999999999999999", "1e99999999999999999998", 1}, {"10e99999999999999999998", "1e99999999999999999999", 0}, {"-1e99999999999999999999", "1", -1},
		{"0e99999999999999999999", "-0", 0}, {"1e-99999999999999999999", "0", 1}, {"1e-99999999999999999999", "1e-100000000000000000000", 1}, {"1e17", "100000000000000000", 0},
	} {
		if got := codec.CompareNumbersForTesting([]byte(c.a), []byte(c.b)); got != c.want {
			t.Errorf("%s and %s: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
