//go:build !race

package client_test

import (
	"testing"

	"keyframe/codec"
	"keyframe/codec/client"
)

func TestAllocations(t *testing.T) {
	p := client.NewParser()
	out := make([]byte, 0, 1<<16)
	answers := responses(t)
	var r client.Response
	for _, answer := range answers { // lets the scratch grow
		if err := p.Parse(answer, &r); err != nil {
			t.Fatal(err)
		}
	}
	key, value := []byte("a \"key\" with\tescapes"), []byte(`"value"`)
	if n := testing.AllocsPerRun(100, func() {
		for _, answer := range answers {
			if p.Parse(answer, &r) != nil {
				t.Fatal("wrong")
			}
			client.Status(answer, codec.OpSet)
		}
		for op := codec.OpSet; int(op) < codec.NumOpcodes; op++ {
			out = client.AppendOpen(out[:0], op)
			out = client.AppendPair(out, key, value)
			out = client.AppendKey(out, key)
			out = client.AppendRename(out, key, key)
			out = client.AppendClose(out, op)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
