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

// record is what a reference to a record points to: its first 4 bytes. What lies after
// them only the methods here know.
type record struct{ head header }

// header is the first 4 bytes of a record.
type header uint32

func (h header) isShort() bool { return h&0xFF != longKey }
func (h header) class() int    { return int(h >> 8 & 0xFF) }

// keyBytes and valueBytes are the lengths in a short record's header.
func (h header) keyBytes() int   { return int(h & 0xFF) }
func (h header) valueBytes() int { return int(h >> 16) }

// class is the size class that a record has its room of.
func (r *record) class() int { return r.head.class() }

// shortKey is where the key of a short record is.
func (r *record) shortKey() ptr { return add(ptr(r), shortHeader) }

// shortValue is where the value of a short record is, and how long; ok is false for a
// long record, of which the rest means nothing.
func (r *record) shortValue() (at ptr, n int, ok bool) {
	h := r.head
	return add(ptr(r), shortHeader+uint64(h&0xFF)), h.valueBytes(), h.isShort()
}

// parts returns the lengths in a record's header, and that of the header.
func (r *record) parts() (key, value int, header uint64) {
	if h := r.head; h.isShort() {
		return h.keyBytes(), h.valueBytes(), shortHeader
	}
	return int(*half(add(ptr(r), 4))), int(*word(add(ptr(r), 8))), longHeader
}

// key and value alias the record.
func (r *record) key() []byte {
	k, _, header := r.parts()
	return bytesAt(add(ptr(r), header), k)
}

func (r *record) value() []byte {
	k, v, header := r.parts()
	return bytesAt(add(ptr(r), header+uint64(k)), v)
}

// hasKey compares a record's whole key.
func (r *record) hasKey(key []byte) bool {
	k, _, header := r.parts()
	return k == len(key) && equalKey(add(ptr(r), header), key)
}

// write fills a record; its room has been checked.
func (r *record) write(class int, key, value []byte) {
	_, header := recordBytes(len(key), len(value))
	if header == shortHeader {
		r.head = shortHead(class, len(key), len(value))
	} else {
		*word(ptr(r)) = longKey | uint64(class)<<8 | uint64(len(key))<<32
		*word(add(ptr(r), 8)) = uint64(len(value))
	}
	copyTo(add(ptr(r), uint64(header)), key)
	copyTo(add(ptr(r), uint64(header+len(key))), value)
}

func shortHead(class, key, value int) header {
	return header(key) | header(class)<<8 | header(value)<<16
}
