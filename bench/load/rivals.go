package load

import (
	"bytes"
	"fmt"
	"net"
	"strconv"
	"time"
)

// redis is Redis's protocol, RESP2: SET, MSET, GET, MGET, DEL, EXISTS, INCR. A command of
// several keys is one command and has one answer, except that there is no INCR of several: it
// is as many, sent together.
type redis struct {
	record
	keys     int // in a command
	password string
}

func (r *redis) open(c net.Conn) error {
	if r.password == "" {
		return nil
	}
	if _, err := fmt.Fprintf(c, "*2\r\n$4\r\nAUTH\r\n$%d\r\n%s\r\n", len(r.password), r.password); err != nil {
		return err
	}
	answer := make([]byte, 128)
	n, err := c.Read(answer) // it comes in one piece
	if err == nil && string(answer[:n]) != "+OK\r\n" {
		err = fmt.Errorf("AUTH was answered with %s", excerpt(answer[:n]))
	}
	return err
}

func (*redis) answers(kind Kind, n int) int {
	if kind == Incr {
		return n
	}
	return 1
}

func (r *redis) appendCommand(dst []byte, kind Kind, keys []uint64) []byte {
	if kind == Incr {
		for _, key := range keys {
			dst = append(dst, "*2\r\n$4\r\nINCR\r\n"...)
			dst = append(r.appendKey(appendLength(dst, r.keySize), key), "\r\n"...)
		}
		return dst
	}
	name, parts := "", 1+len(keys)
	switch {
	case kind == Set && r.ttl > 0: // of one key
		name, parts = "SET", 5
	case kind == Set && len(keys) == 1:
		name, parts = "SET", 3
	case kind == Set:
		name, parts = "MSET", 1+2*len(keys)
	case kind == Get && len(keys) == 1:
		name = "GET"
	case kind == Get:
		name = "MGET"
	case kind == Remove:
		name = "DEL"
	case kind == Contains:
		name = "EXISTS"
	}
	dst = append(strconv.AppendInt(append(dst, '*'), int64(parts), 10), "\r\n"...)
	dst = append(append(appendLength(dst, len(name)), name...), "\r\n"...)
	for _, key := range keys {
		dst = append(r.appendKey(appendLength(dst, r.keySize), key), "\r\n"...)
		if kind == Set {
			dst = append(r.appendBulk(dst, key), "\r\n"...)
		}
	}
	if kind == Set && r.ttl > 0 {
		ms := strconv.FormatInt(r.ttl.Milliseconds(), 10)
		dst = append(append(appendLength(append(dst, "$2\r\nPX\r\n"...), len(ms)), ms...), "\r\n"...)
	}
	return dst
}

// appendBulk appends the value of a key with its length, as it stands in the command and in
// the answer.
func (r *redis) appendBulk(dst []byte, key uint64) []byte {
	size := r.valueSize
	if r.valueType == "bool" {
		size = len(r.appendValue(nil, key))
	}
	return r.appendValue(appendLength(dst, size), key)
}

func appendLength(dst []byte, n int) []byte {
	return append(strconv.AppendInt(append(dst, '$'), int64(n), 10), "\r\n"...)
}

func (r *redis) consume(buf []byte, kind Kind, want int) (n, used, misses int, err error) {
	const ok = "+OK\r\n"
	for ; n < want; n++ {
		b := buf[used:]
		if kind == Set && len(b) >= len(ok) && string(b[:len(ok)]) == ok {
			used += len(ok)
			continue
		}
		size, missing, err := reply(b, kind, r.keys)
		if err != nil {
			return n, used, misses, err
		}
		if size == 0 {
			break
		}
		used += size
		misses += missing
	}
	return n, used, misses, nil
}

// reply reads one whole reply to a command of n keys; size is 0 when it is not all
// there.
func reply(b []byte, kind Kind, keys int) (size, missing int, err error) {
	if len(b) > 0 && bytes.IndexByte([]byte("+-:$*"), b[0]) < 0 {
		return 0, 0, fmt.Errorf("%s was answered with %s, which is not Redis's protocol", kind, excerpt(b))
	}
	line, size := crlf(b)
	if size == 0 {
		return 0, 0, nil
	}
	n, isNumber := replyNumber(line)
	switch {
	case !isNumber:
	case kind == Get && keys == 1 && line[0] == '$' && n == -1:
		return size, 1, nil
	case kind == Get && keys == 1 && line[0] == '$' && n >= 0 && n <= maxCommand:
		if len(b) < size+n+2 {
			return 0, 0, nil
		}
		if b[size+n] != '\r' || b[size+n+1] != '\n' {
			return 0, 0, fmt.Errorf("a value of %d bytes without an end", n)
		}
		return size + n + 2, 0, nil
	case kind == Get && keys > 1 && line[0] == '*' && n == keys:
		for range n {
			s, m, err := reply(b[size:], kind, 1)
			if s == 0 || err != nil {
				return 0, 0, err
			}
			size += s
			missing += m
		}
		return size, missing, nil
	case kind == Incr && line[0] == ':':
		return size, 0, nil
	case (kind == Remove || kind == Contains) && line[0] == ':' && n >= 0 && n <= keys:
		return size, keys - n, nil
	}
	return 0, 0, fmt.Errorf("%s was answered with %s", kind, excerpt(line))
}

// replyNumber is what follows the first byte of a reply's line.
func replyNumber(line []byte) (n int, ok bool) {
	if len(line) > 1 && len(line) < 10 && line[1] != '-' { // the usual one, without a call
		for _, c := range line[1:] {
			if c < '0' || c > '9' {
				return 0, false
			}
			n = 10*n + int(c-'0')
		}
		return n, true
	}
	n, err := strconv.Atoi(string(line[min(1, len(line)):]))
	return n, err == nil
}

func (r *redis) check(buf []byte, kind Kind, keys []uint64, accepts []accept) (used, misses int, err error) {
	if kind != Get {
		n, used, misses, err := r.consume(buf, kind, r.answers(kind, len(keys)))
		if err != nil || n < r.answers(kind, len(keys)) {
			return 0, 0, err
		}
		return used, misses, nil
	}
	if len(keys) > 1 {
		line, size := crlf(buf)
		if size == 0 {
			return 0, 0, nil
		}
		if string(line) != fmt.Sprintf("*%d", len(keys)) {
			return 0, 0, fmt.Errorf("MGET of %d keys was answered with %s", len(keys), excerpt(line))
		}
		used = size
	}
	for i, key := range keys {
		size, missing, err := reply(buf[used:], Get, 1)
		if size == 0 || err != nil {
			return 0, 0, err
		}
		_, head := crlf(buf[used:])
		var value []byte
		if missing == 0 {
			value = buf[used+head : used+size-len("\r\n")]
		}
		if err := r.compare(key, value, missing > 0, acceptFor(accepts, i)); err != nil {
			return 0, 0, err
		}
		used += size
		misses += missing
	}
	return used, misses, nil
}

// crlf returns the line at the head of b and its size with its end; 0 when it is
// not whole.
func crlf(b []byte) (line []byte, size int) {
	for from := 0; ; {
		end := bytes.IndexByte(b[from:], '\r')
		if end < 0 || from+end+1 == len(b) {
			return nil, 0
		}
		if from += end; b[from+1] == '\n' {
			return b[:from], from + 2
		}
		from++
	}
}

// memcached is memcached's text protocol. It has no SET of several keys: a command
// of n keys is n of its commands, sent together. A get may ask for several.
type memcached struct {
	record
	keys int // in a command
}

func (*memcached) open(net.Conn) error { return nil }

func (*memcached) answers(kind Kind, n int) int {
	if kind == Get {
		return 1
	}
	return n
}

func (m *memcached) appendCommand(dst []byte, kind Kind, keys []uint64) []byte {
	if kind == Get {
		dst = append(dst, "get"...)
		for _, key := range keys {
			dst = m.appendKey(append(dst, ' '), key)
		}
		return append(dst, "\r\n"...)
	}
	for _, key := range keys {
		switch kind {
		case Remove:
			dst = append(m.appendKey(append(dst, "delete "...), key), "\r\n"...)
		case Add:
			dst = m.appendItem(append(dst, "add "...), key)
		default:
			dst = m.appendItem(append(dst, "set "...), key)
		}
	}
	return dst
}

// appendItem appends what follows "set": key, flags, seconds to live, length, value.
func (m *memcached) appendItem(dst []byte, key uint64) []byte {
	value := m.appendValue(nil, key)
	dst = append(m.appendKey(dst, key), " 0 "...)
	dst = append(strconv.AppendInt(dst, int64(m.ttl/time.Second), 10), ' ')
	dst = append(strconv.AppendInt(dst, int64(len(value)), 10), "\r\n"...)
	return append(append(dst, value...), "\r\n"...)
}

func (m *memcached) consume(buf []byte, kind Kind, want int) (n, used, misses int, err error) {
	for ; n < want; n++ {
		b := buf[used:]
		if len(b) > 0 && (b[0] < 'A' || b[0] > 'Z') {
			return n, used, misses, fmt.Errorf("%s was answered with %s, which is not memcached's protocol", kind, excerpt(b))
		}
		if kind == Get {
			size, hits, err := m.values(b, func(string, []byte) error { return nil })
			if err != nil || size == 0 {
				return n, used, misses, err
			}
			if hits > m.keys {
				return n, used, misses, fmt.Errorf("get of %d keys was answered with %d values", m.keys, hits)
			}
			used += size
			misses += m.keys - hits
			continue
		}
		line, size := crlf(b)
		if size == 0 {
			break
		}
		switch text := string(line); {
		case text == "STORED" && kind != Remove, text == "DELETED" && kind == Remove:
		case text == "NOT_STORED" && kind == Add, text == "NOT_FOUND" && kind == Remove:
			misses++
		default:
			return n, used, misses, fmt.Errorf("%s was answered with %s", kind, excerpt(line))
		}
		used += size
	}
	return n, used, misses, nil
}

// values reads the answer to one get and calls f for each value in it.
func (m *memcached) values(b []byte, f func(key string, value []byte) error) (size, n int, err error) {
	for at := 0; ; n++ {
		line, head := crlf(b[at:])
		if head == 0 {
			return 0, 0, nil
		}
		if string(line) == "END" {
			return at + head, n, nil
		}
		fields := bytes.Fields(line)
		length := -1
		if len(fields) == 4 && string(fields[0]) == "VALUE" {
			length, _ = strconv.Atoi(string(fields[3]))
		}
		if length < 0 || length > maxCommand {
			return 0, 0, fmt.Errorf("get was answered with %s", excerpt(line))
		}
		at += head
		if len(b) < at+length+2 {
			return 0, 0, nil
		}
		if err := f(string(fields[1]), b[at:at+length]); err != nil {
			return 0, 0, err
		}
		at += length + 2
	}
}

func (m *memcached) check(buf []byte, kind Kind, keys []uint64, accepts []accept) (used, misses int, err error) {
	if kind != Get {
		n, used, misses, err := m.consume(buf, kind, len(keys))
		if err != nil || n < len(keys) {
			return 0, 0, err
		}
		return used, misses, nil
	}
	// The values come in the order of the keys, without those that are not there.
	var got []item
	used, _, err = m.values(buf, func(key string, value []byte) error {
		got = append(got, item{key, value})
		return nil
	})
	if err != nil || used == 0 {
		return 0, 0, err
	}
	for i, key := range keys {
		m.want = m.appendKey(m.want[:0], key)
		var value []byte
		missing := len(got) == 0 || got[0].key != string(m.want)
		if missing {
			misses++
		} else {
			value, got = got[0].value, got[1:]
		}
		if err := m.compare(key, value, missing, acceptFor(accepts, i)); err != nil {
			return 0, 0, err
		}
	}
	if len(got) > 0 {
		return 0, 0, fmt.Errorf("get was answered with the key %s, which was not asked for there", excerpt([]byte(got[0].key)))
	}
	return used, misses, nil
}

// item is a key with its value.
type item struct {
	key   string
	value []byte
}
