package engine

import "math/bits"

// A record is one key and its value, in one piece. Short ones begin
//
//	31        16 15     8 7         0
//	value bytes   class    key bytes   then the key, then the value
//
// and long ones, with a key of 255 bytes or more or of class largeClass, begin
//
//	31        16 15     8 7         0  63..32 of the word   the next word
//	-             class    255         key bytes            value bytes
//
// The class says how much room the record has, so that a value may shrink and
// grow in place.
const (
	shortHeader  = 4
	longHeader   = 16
	longKey      = 255
	largeClass   = 255
	maxSmall     = 16 << 10 // largest record that shares pages with others
	largePrefix  = 32       // of a large record: list links and length of its run
	smallClasses = 105
)

// classOf returns the size class of n bytes, 1 to maxSmall: multiples of 8 up
// to 512 bytes, then eight classes to each doubling, which waste a sixteenth on
// average.
func classOf(n int) int {
	if n <= 512 {
		return (n + 7) >> 3
	}
	b := bits.Len(uint(n-1)) - 1
	return 65 + (b-9)*8 + (n-1-1<<b)>>(b-3)
}

// classBytes is the inverse: the room in a record of the class.
func classBytes(class int) int {
	if class <= 64 {
		return class << 3
	}
	b := 9 + (class-65)>>3
	return 1<<b + ((class-65)&7+1)<<(b-3)
}

// recordBytes returns the length of a record, and of its header.
func recordBytes(key, value int) (n, header int) {
	n = shortHeader + key + value
	if key < longKey && n <= maxSmall {
		return n, shortHeader
	}
	return longHeader + key + value, longHeader
}

// recordClass is the class in a record's header.
func recordClass(rec ptr) int { return int(*half(rec) >> 8 & 0xFF) }

// recordParts returns the lengths in a record's header.
func recordParts(rec ptr) (key, value int, header uint64) {
	h := *half(rec)
	if k := h & 0xFF; k != longKey {
		return int(k), int(h >> 16), shortHeader
	}
	return int(*half(add(rec, 4))), int(*word(add(rec, 8))), longHeader
}

// recordKey and recordValue alias the record.
func recordKey(rec ptr) []byte {
	k, _, header := recordParts(rec)
	return bytesAt(add(rec, header), k)
}

func recordValue(rec ptr) []byte {
	k, v, header := recordParts(rec)
	return bytesAt(add(rec, header+uint64(k)), v)
}

// hasKey compares a record's whole key.
func hasKey(rec ptr, key []byte) bool {
	k := *half(rec) & 0xFF
	if k != longKey {
		return int(k) == len(key) && equalKey(add(rec, shortHeader), key)
	}
	return int(*half(add(rec, 4))) == len(key) && equalKey(add(rec, longHeader), key)
}

// writeRecord fills a record; its room has been checked.
func writeRecord(rec ptr, class int, key, value []byte) {
	_, header := recordBytes(len(key), len(value))
	if header == shortHeader {
		*half(rec) = uint32(len(key)) | uint32(class)<<8 | uint32(len(value))<<16
	} else {
		*word(rec) = longKey | uint64(class)<<8 | uint64(len(key))<<32
		*word(add(rec, 8)) = uint64(len(value))
	}
	copyTo(add(rec, uint64(header)), key)
	copyTo(add(rec, uint64(header+len(key))), value)
}
