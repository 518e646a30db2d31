package engine

import "math/bits"

// A record is one key and its value, in one piece. Short ones begin
//
//	31        18 17  16    15    14     8 7         0
//	value bytes   form   expires   class   key bytes   then the key, then the value
//
// and long ones, with a key of 255 bytes or more or of class largeClass, begin
//
//	31        18 17  16    15    14     8 7         0  63..32 of the word   the next word
//	-             form   expires   class   255         key bytes            value bytes
//
// A record that expires has 8 bytes more, right after its value: its expiry. The class
// says how much room the record has, so that a value may shrink and grow in place.
const (
	shortHeader  = 4
	longHeader   = 16
	longKey      = 255
	largeClass   = 127
	maxSmall     = 16 << 10 // largest record that shares pages with others
	largePrefix  = 32       // of a large record: list links and length of its run
	smallClasses = 105

	classShift  = 8
	expiresBit  = 1 << 15
	formShift   = 16
	valueShift  = 18
	expiryBytes = 8
)

// The value of a short record must fit its bits, and a class its own: what doesn't fit
// doesn't compile.
var (
	_ [1<<(32-valueShift) - (maxSmall - shortHeader) - 1]struct{}
	_ [largeClass - smallClasses]struct{}
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

// recordBytes returns the length of a record, and of its header. rest is what comes
// after the key: the value, and the expiry of a record that has one.
func recordBytes(key, rest int) (n, header int) {
	n = shortHeader + key + rest
	if key < longKey && n <= maxSmall {
		return n, shortHeader
	}
	return longHeader + key + rest, longHeader
}

// record is what a reference to a record points to: its first 4 bytes. What lies after
// them only the methods here know.
type record struct{ head header }

// header is the first 4 bytes of a record.
type header uint32

func (h header) isShort() bool { return h&0xFF != longKey }
func (h header) class() int    { return int(h >> classShift & 0x7F) }
func (h header) expires() bool { return h&expiresBit != 0 }
func (h header) form() Form    { return Form(h >> formShift & maxForm) }

// keyBytes and valueBytes are the lengths in a short record's header.
func (h header) keyBytes() int   { return int(h & 0xFF) }
func (h header) valueBytes() int { return int(h >> valueShift) }

// isPlain reports whether a short record has a value of this length and form, and does
// not expire: one comparison of all that its header says of the value.
func (h header) isPlain(value int, form Form) bool {
	return uint64(h>>15) == uint64(value)<<(valueShift-15)|uint64(form)<<(formShift-15)
}

// isTimed is isPlain of a value that does expire.
func (h header) isTimed(value int, form Form) bool {
	return uint64(h>>15) == uint64(value)<<(valueShift-15)|uint64(form)<<(formShift-15)|1
}

// expiry is what follows the value of a record that expires: its deadline, above 16 bits
// that are the calendar's. 0 is none.
type expiry uint64

const (
	deadlineShift = 16
	maxDeadline   = 1<<(64-deadlineShift) - 1 // milliseconds since 1970: until the year 10889
)

// expiryOf is the expiry of a deadline, which is cut to what an expiry holds: what is too
// early is over all the same.
func expiryOf(deadline int64) expiry {
	if deadline == 0 {
		return 0
	}
	return expiry(min(max(deadline, 1), maxDeadline)) << deadlineShift
}

func (x expiry) deadline() int64 { return int64(x >> deadlineShift) }

// bytes is how much of a record an expiry takes.
func (x expiry) bytes() int {
	if x == 0 {
		return 0
	}
	return expiryBytes
}

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

// plainValue is where the value of a short record is that has this length and form and
// does not expire; ok is false for any other.
func (r *record) plainValue(value int, form Form) (at ptr, ok bool) {
	h := r.head
	return add(ptr(r), shortHeader+uint64(h&0xFF)), h.isShort() && h.isPlain(value, form)
}

// timedValue is plainValue of a record that does expire; its expiry is right after the value.
func (r *record) timedValue(value int, form Form) (at ptr, ok bool) {
	h := r.head
	return add(ptr(r), shortHeader+uint64(h&0xFF)), h.isShort() && h.isTimed(value, form)
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

// expiry returns that of a record that expires; 0 of one that doesn't.
func (r *record) expiry() expiry {
	if !r.head.expires() {
		return 0
	}
	return expiry(*word(r.expiryAt()))
}

// setExpiry changes that of a record that expires.
func (r *record) setExpiry(x expiry) { *word(r.expiryAt()) = uint64(x) }

func (r *record) expiryAt() ptr {
	k, v, header := r.parts()
	return add(ptr(r), header+uint64(k)+uint64(v))
}

// isDead reports whether a record's time is over.
func (r *record) isDead(now int64) bool { return r.head.expires() && r.expiry().deadline() <= now }

// bytes is how long a record is.
func (r *record) bytes() int {
	key, value, _ := r.parts()
	n, _ := recordBytes(key, value+r.expiry().bytes())
	return n
}

// fitted is the class that a record should have which has room for so many bytes: its own,
// if it leaves no more of that unused than values that are overwritten may.
func (r *record) fitted(room int) int {
	n := r.bytes()
	if n > maxSmall || r.class() != largeClass && (n >= room-room/8 || n > room-8) {
		return r.class()
	}
	return classOf(n)
}

// content is what a record has beside its key.
type content struct {
	value  []byte
	form   Form
	expiry expiry
}

// bytes is how much of a record a content takes.
func (c *content) bytes() int { return len(c.value) + c.expiry.bytes() }

// content aliases the record.
func (r *record) content() content { return content{r.value(), r.head.form(), r.expiry()} }

// write fills a record; its room has been checked.
func (r *record) write(class int, key []byte, c *content) {
	_, start := recordBytes(len(key), c.bytes())
	if start == shortHeader {
		r.head = makeHeader(class, len(key), c) | header(len(c.value))<<valueShift
	} else {
		*word(ptr(r)) = uint64(makeHeader(class, longKey, c)) | uint64(len(key))<<32
		*word(add(ptr(r), 8)) = uint64(len(c.value))
	}
	copyTo(add(ptr(r), uint64(start)), key)
	value := add(ptr(r), uint64(start+len(key)))
	copyTo(value, c.value)
	if c.expiry != 0 {
		*word(add(value, uint64(len(c.value)))) = uint64(c.expiry)
	}
}

// makeHeader is a header without the length of a value.
func makeHeader(class, key int, c *content) header {
	h := header(key) | header(class)<<classShift | header(c.form)<<formShift
	if c.expiry != 0 {
		h |= expiresBit
	}
	return h
}
