//go:build !race

package client_test

import (
	"runtime"
	"strings"
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
		for op := range codec.Opcodes() {
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

// TestScratchIsUsedAgain: each response unescapes its key where the one before it did. A
// scratch that grows doubles now and then, which no average shows.
func TestScratchIsUsedAgain(t *testing.T) {
	p := client.NewParser()
	answer := []byte(`{"SET_RSP":{"st":1,"k":"` + strings.Repeat(`long\n`, 2000) + `"}}`)
	var r client.Response
	var before, after runtime.MemStats
	for n := range 1000 {
		if n == 10 {
			runtime.ReadMemStats(&before)
		}
		if err := p.Parse(answer, &r); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("%d bytes were allocated for 990 responses with a key of 10,000", got)
	}
}
