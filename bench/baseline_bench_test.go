package bench

import (
	"sync"
	"testing"
)

// What Go itself offers, on the workload of BenchmarkSetOverwrite: overwriting
// a value of the same length in place, where the type allows it.

func benchBaseline(b *testing.B, name string, make func(keys Keys) func(key, value []byte) bool) {
	b.Run("impl="+name+"/batch=1", func(b *testing.B) {
		sizes(b, func(b *testing.B, n int) {
			dropFilled()
			keys := NewKeys(n)
			set := make(keys)
			sample := keys.Gather(Uniform(n, sampleOf(n), 1))
			value := Value(append([]byte(nil), "01234567890123456789"...), 9)
			at, mask := 0, sample.Len()-1
			b.ReportAllocs()
			for b.Loop() {
				if !set(sample.At(at&mask), value) {
					b.Fatal("a key is missing")
				}
				at++
			}
			perKey(b, 1)
		})
	})
}

func BenchmarkBaselineOverwrite(b *testing.B) {
	benchBaseline(b, "map-unlocked", func(keys Keys) func(key, value []byte) bool {
		m := make(map[string][]byte)
		for i := range keys.Len() {
			m[string(keys.At(i))] = make([]byte, ValueBytes)
		}
		return func(key, value []byte) bool {
			old, ok := m[string(key)]
			copy(old, value)
			return ok
		}
	})
	benchBaseline(b, "map-rwmutex-sharded", func(keys Keys) func(key, value []byte) bool {
		var shards [128]struct {
			sync.RWMutex
			m map[string][]byte
			_ [32]byte
		}
		// FNV-1a, as such maps mostly do.
		index := func(key []byte) uint32 {
			h := uint32(2166136261)
			for _, c := range key {
				h = (h ^ uint32(c)) * 16777619
			}
			return h % 128
		}
		for i := range shards {
			shards[i].m = make(map[string][]byte)
		}
		for i := range keys.Len() {
			shards[index(keys.At(i))].m[string(keys.At(i))] = make([]byte, ValueBytes)
		}
		return func(key, value []byte) bool {
			s := &shards[index(key)]
			s.Lock()
			old, ok := s.m[string(key)]
			copy(old, value)
			s.Unlock()
			return ok
		}
	})
	benchBaseline(b, "sync.Map", func(keys Keys) func(key, value []byte) bool {
		var m sync.Map
		for i := range keys.Len() {
			m.Store(string(keys.At(i)), make([]byte, ValueBytes))
		}
		return func(key, value []byte) bool {
			_, ok := m.Swap(string(key), append([]byte(nil), value...))
			return ok
		}
	})
}
