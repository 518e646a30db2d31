//go:build goexperiment.jsonv2

package rivals

import (
	"bytes"
	"encoding/json/jsontext"
	"testing"
)

// jsontext checks everything. That no name comes twice is switched off, because PROTOCOL.md
// allows it.
func init() {
	parsers = append(parsers, parser{"jsontext", func(*testing.B) func([]byte) int {
		var in bytes.Reader
		d := jsontext.NewDecoder(&in, jsontext.AllowDuplicateNames(true))
		return func(payload []byte) int {
			in.Reset(payload)
			d.Reset(&in, jsontext.AllowDuplicateNames(true))
			for range 3 { // {"SET":{
				if _, err := d.ReadToken(); err != nil {
					return -1
				}
			}
			for n := 0; ; n++ {
				if d.PeekKind() == '}' {
					return n
				}
				for range 2 {
					if _, err := d.ReadValue(); err != nil {
						return -1
					}
				}
			}
		}
	}})
}
