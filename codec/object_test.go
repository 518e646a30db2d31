package codec_test

import (
	"testing"

	"keyframe/codec"
)

// TestObject: members keep their order, and each value has the text that it has in a
// struct.
func TestObject(t *testing.T) {
	object := codec.Object{
		{Name: "z", Value: 1 << 40},
		{Name: "negative", Value: -1},
		{Name: "other", Value: int64(-2)},
		{Name: `a"b`, Value: uint64(1 << 63)},
		{Name: "text", Value: "0.1 \"<&>\"\n"},
		{Name: "seconds", Value: 1e-7},
		{Name: "sizes", Value: []uint64{3, 2, 1}},
		{Name: "inner", Value: codec.Object{{Name: "y", Value: 1}, {Name: "b", Value: true}}},
		{Name: "within", Value: struct{ O codec.Object }{codec.Object{{Name: "x", Value: "<"}}}},
		{Name: "empty", Value: codec.Object{}},
	}
	want := `{"SERVER_INFO_RSP":{"st":0,"z":1099511627776,"negative":-1,"other":-2,"a\"b":9223372036854775808,"text":"0.1 \"<&>\"\n","seconds":1e-7,"sizes":[3,2,1],"inner":{"y":1,"b":true},"within":{"O":{"x":"<"}},"empty":{}}}`
	if got := string(codec.AppendMembers(nil, codec.OpServerInfo, object)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := string(codec.AppendMembers(nil, codec.OpServerInfo, codec.Object(nil))); got != `{"SERVER_INFO_RSP":{"st":0}}` {
		t.Errorf("nothing gives %s", got)
	}
}
