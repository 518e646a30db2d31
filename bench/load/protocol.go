package load

import (
	"fmt"
	"net"
	"time"

	"keyframe/bench"
)

// protocol is how commands are written and answers told apart. One belongs to one
// worker: it may have scratch.
type protocol interface {
	// open does what has to be done at the start of a connection.
	open(c net.Conn) error

	// appendCommand appends one command.
	appendCommand(dst []byte, kind Kind, keys []uint64) []byte

	// answers is how many answers a command of n keys gets.
	answers(kind Kind, n int) int

	// consume takes up to want answers to commands of one kind off the head of
	// buf and returns how many were whole, their bytes, and how many of them
	// were misses: the key was not there or, for ADD, was. An answer of another
	// kind is an error.
	consume(buf []byte, kind Kind, want int) (n, used, misses int, err error)

	// check reads all answers to one command of these keys, as consume does, and compares
	// every key and value in them. It returns 0 bytes when they are not all there, and an
	// error for a key that was not asked for or an outcome of a GET that is wrong: accepts
	// has the right ones for each key, or once for all.
	check(buf []byte, kind Kind, keys []uint64, accepts []accept) (used, misses int, err error)
}

// accept is which outcomes of a GET are right.
type accept uint8

const (
	fillValue accept = 1 << iota // the value that the filling gives to the key
	runValue                     // the one that the run gives to it
	anyValue
	noValue // the key is not there
)

// acceptFor returns what is right for key i. A single accept stands for all keys.
func acceptFor(accepts []accept, i int) accept {
	if len(accepts) == 1 {
		return accepts[0]
	}
	return accepts[i]
}

func newProtocol(o Options) protocol {
	r := record{keySize: o.KeySize, valueSize: o.ValueSize, valueType: o.ValueType, ttl: o.TTL, filling: o.isFilling}
	switch o.Protocol {
	case "resp":
		return &redis{r, o.Keys, o.Password}
	case "memcached":
		return &memcached{r, o.Keys}
	default:
		return newKeyframe(r, o.Protocol == "websocket")
	}
}

// record writes keys and values. A key has two values, one from the filling and one from
// the run, so that a key can be checked however often and over whichever connection it was
// written, and a lost write shows.
type record struct {
	keySize, valueSize int
	valueType          string
	ttl                time.Duration // of what is stored; 0: for ever
	filling            bool

	want []byte // scratch
}

func (r *record) appendKey(dst []byte, i uint64) []byte {
	n := len(dst)
	dst = grow(dst, r.keySize)
	bench.Key(dst[n:], int(i))
	return dst
}

// appendValue appends the value of key i without quotes.
func (r *record) appendValue(dst []byte, i uint64) []byte { return r.appendOf(dst, i, r.filling) }

// appendOf appends the value that key i gets from the filling, or from the run. They are the
// same when there is no room for more than the digits.
func (r *record) appendOf(dst []byte, i uint64, filling bool) []byte {
	if r.valueType == "bool" {
		if (i%2 == 0) != filling {
			return append(dst, "true"...)
		}
		return append(dst, "false"...)
	}
	const distinct = 12 // digits that make values differ
	n := len(dst)
	dst = grow(dst, r.valueSize)
	v := dst[n:]
	pad := byte('v')
	switch {
	case r.valueType == "number" && filling:
		pad = '2'
	case r.valueType == "number":
		pad = '1'
	case filling:
		pad = 'f'
	}
	for k := range v[:max(len(v)-distinct, 0)] {
		v[k] = pad
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

// compare is the error for a key or value that a GET must not have, or nil. missing
// means that the key is not there.
func (r *record) compare(key uint64, value []byte, missing bool, a accept) error {
	if missing {
		if a&noValue == 0 {
			return fmt.Errorf("key %s was set and is not there", r.appendKey(nil, key))
		}
		return nil
	}
	for _, filling := range []bool{false, true} {
		if a&valueOf(filling) == 0 {
			continue
		}
		if r.want = r.appendOf(r.want[:0], key, filling); string(value) == string(r.want) {
			return nil
		}
	}
	switch {
	case a&anyValue != 0:
		return nil
	case a&^noValue == 0:
		return fmt.Errorf("read back %s for key %s, which was removed", excerpt(value), r.appendKey(nil, key))
	}
	return fmt.Errorf("read back %s for key %s, want %s", excerpt(value), r.appendKey(nil, key), excerpt(r.appendOf(nil, key, a&runValue == 0)))
}

func valueOf(filling bool) accept {
	if filling {
		return fillValue
	}
	return runValue
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
