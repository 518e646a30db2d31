package load

import (
	"fmt"
	"net"

	"keyframe/bench"
)

// protocol is how commands are written and answers told apart. One belongs to one
// worker: it may have scratch.
type protocol interface {
	// open does what a connection begins with.
	open(c net.Conn) error

	// appendCommand appends one command.
	appendCommand(dst []byte, kind Kind, keys []uint64) []byte

	// answers is how many answers a command of n keys gets.
	answers(kind Kind, n int) int

	// consume takes up to want answers to commands of one kind off the head of
	// buf and returns how many were whole, their bytes, and how many of them
	// told of a key that was not there (or was, for ADD). An answer that is
	// none to such a command is an error.
	consume(buf []byte, kind Kind, want int) (n, used, misses int, err error)

	// compare reads the answers to a GET of these keys and tells which were
	// found. It returns 0 bytes when they are not there yet, and an error for a
	// value that is not the one that belongs to its key.
	compare(buf []byte, keys []uint64, found []bool) (used int, err error)
}

func newProtocol(o Options) protocol {
	r := record{keySize: o.KeySize, valueSize: o.ValueSize, valueType: o.ValueType}
	switch o.Protocol {
	case "resp":
		return &redis{r, o.Keys}
	case "memcached":
		return &memcached{r, o.Keys}
	default:
		return newKeyframe(r, o.Protocol == "websocket")
	}
}

// record writes keys and values. A key's value is always the same, so that what
// is read back can be compared however often and by whomever it was written.
type record struct {
	keySize, valueSize int
	valueType          string
}

func (r *record) appendKey(dst []byte, i uint64) []byte {
	n := len(dst)
	dst = grow(dst, r.keySize)
	bench.Key(dst[n:], int(i))
	return dst
}

// appendValue appends the value of key i without quotes.
func (r *record) appendValue(dst []byte, i uint64) []byte {
	if r.valueType == "bool" {
		if i%2 == 0 {
			return append(dst, "true"...)
		}
		return append(dst, "false"...)
	}
	const distinct = 12 // digits that make values differ
	n := len(dst)
	dst = grow(dst, r.valueSize)
	v := dst[n:]
	for k := range v {
		v[k] = 'v'
		if r.valueType == "number" {
			v[k] = '1'
		}
	}
	for at := len(v) - 1; at >= max(len(v)-distinct, 0); at-- {
		v[at] = byte('0' + i%10)
		i /= 10
	}
	if r.valueType == "number" && v[0] == '0' && len(v) > 1 {
		v[0] = '1' // a JSON number has no leading zero
	}
	return dst
}

func grow(dst []byte, n int) []byte {
	for cap(dst)-len(dst) < n {
		dst = append(dst[:cap(dst)], 0)[:len(dst)]
	}
	return dst[:len(dst)+n]
}

// excerpt is the head of what a server sent, for a message.
func excerpt(b []byte) string {
	const most = 120
	if len(b) > most {
		return fmt.Sprintf("%q and more", b[:most])
	}
	return fmt.Sprintf("%q", b)
}
