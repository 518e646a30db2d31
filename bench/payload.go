package bench

import (
	"fmt"
	"strings"
)

// PayloadForms are how the pairs of a SET may look: as most clients write them, as a
// pretty-printer does, with a number, with bytes past ASCII, with escapes, and with a
// value of 1 KiB.
var PayloadForms = []string{"plain", "spaced", "number", "unicode", "escaped", "kib"}

// members make pair number i of each form.
var members = map[string]func(i int) string{
	"plain":   func(i int) string { return fmt.Sprintf(`"key:%012d":"value-%014d"`, i, i) },
	"spaced":  func(i int) string { return fmt.Sprintf(`"key:%012d": "value-%014d"`, i, i) },
	"number":  func(i int) string { return fmt.Sprintf(`"key:%012d":%d`, i, 10_000_019*(i+1)) },
	"kib":     func(i int) string { return fmt.Sprintf(`"key:%012d":"%01024d"`, i, i) },
	"unicode": func(i int) string { return fmt.Sprintf(`"ключ:%07d":"значение-%03d"`, i, i) },
	"escaped": func(i int) string { return fmt.Sprintf(`"key\t%08d\u00e9":"a \"value\"\n%05d"`, i, i) },
}

// SetPayload returns a SET of keys pairs in one of PayloadForms.
func SetPayload(form string, keys int) []byte {
	open, between, shut := `{"SET":{`, ",", "}}"
	if form == "spaced" {
		open, between, shut = "{\n  \"SET\": {\n    ", ",\n    ", "\n  }\n}"
	}
	pairs := make([]string, keys)
	for i := range pairs {
		pairs[i] = members[form](i)
	}
	return []byte(open + strings.Join(pairs, between) + shut)
}
