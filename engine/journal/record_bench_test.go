package journal_test

import (
	"fmt"
	"testing"

	"keyframe/engine/journal"
)

// BenchmarkAppendSet is what a SET's record takes, of a key of 16 bytes and a value of 20 or of 2.
func BenchmarkAppendSet(b *testing.B) {
	key := []byte("key-123456789012")
	for _, value := range []string{"value-12345678901234", "31"} {
		b.Run(fmt.Sprint(len(value)), func(b *testing.B) {
			value := []byte(value)
			dst := make([]byte, 0, 1<<16)
			for i := 0; b.Loop(); i++ {
				if len(dst) > 1<<15 {
					dst = dst[:0]
				}
				dst = journal.AppendSet(dst, 3, uint64(i), key, value, 0, 0)
			}
		})
	}
}
