package journal_test

import (
	"testing"

	"keyframe/engine/journal"
)

// BenchmarkAppendSet is what a SET's record takes, of a key of 16 bytes and a value of 20.
func BenchmarkAppendSet(b *testing.B) {
	key, value := []byte("key-123456789012"), []byte("value-12345678901234")
	dst := make([]byte, 0, 1<<16)
	for i := 0; b.Loop(); i++ {
		if len(dst) > 1<<15 {
			dst = dst[:0]
		}
		dst = journal.AppendSet(dst, 3, uint64(i), key, value, 0, 0)
	}
}
