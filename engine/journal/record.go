package journal

import (
	"fmt"
	"runtime"
	"unsafe"
)

// This file is what stands in a group: records, each one effect, or several that happened
// at once. doc.go has their bytes.

// Kinds of records, and of the parts of one: two bits.
const (
	kindSet         = 0
	kindSetDeadline = 1
	kindGone        = 2
	kindOther       = 3 // the two bits of the form say which
)

// The other kinds.
const (
	otherRename   = 0 // the part that is gone; a part that is set follows
	otherClear    = 1 // the shards' sequences follow
	otherClearSet = 2 // those, and as many parts as the sequence says
	otherStart    = 3 // the shards' sequences before the first record of a run
)

const (
	recordHeaderBytes = 12
	// MaxValueBytes and MaxKeyBytes are what a record has room for.
	MaxValueBytes = 1<<28 - 1
	MaxKeyBytes   = 1<<16 - 1
)

// littleEndian is of the machines whose words have the order of the file's: there a header is
// two stores. Of PutUint64 the compiler makes seven, since it knows which bytes are 0.
const littleEndian = runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64"

// AppendSet appends the record that a key has a value: the effect seq of its shard. form
// is two bits that come back with it; deadline is in ms since 1970, 0: none.
func AppendSet(dst []byte, shard int, seq uint64, key, value []byte, form uint8, deadline int64) []byte {
	if at := len(dst); littleEndian && deadline == 0 && shard < maxShards && len(key) <= maxShort && len(value) <= maxShort && cap(dst)-at >= recordHeaderBytes+2*maxShort {
		// Without the checks of bounds, of which there would be twelve: half of what it takes.
		to := unsafe.Add(unsafe.Pointer(unsafe.SliceData(dst)), at)
		*(*uint64)(to) = headerOf(shard, seq, len(key))
		*(*uint32)(unsafe.Add(to, 8)) = sizesOf(len(value), kindSet, form)
		to = unsafe.Add(to, recordHeaderBytes)
		if len(key) > maxTiny {
			putShort(to, key)
		} else {
			putTiny(to, key)
		}
		to = unsafe.Add(to, len(key))
		if len(value) > maxTiny {
			putShort(to, value)
		} else {
			putTiny(to, value)
		}
		return dst[:at+recordHeaderBytes+len(key)+len(value)]
	}
	return appendSet(dst, shard, seq, key, value, form, deadline)
}

// appendSet is AppendSet of what is not short, or has a deadline, or finds no room.
//
//go:noinline
func appendSet(dst []byte, shard int, seq uint64, key, value []byte, form uint8, deadline int64) []byte {
	kind := uint32(kindSet)
	if deadline != 0 {
		kind = kindSetDeadline
	}
	dst = appendHeader(dst, shard, seq, len(key), len(value), kind, form)
	if deadline != 0 {
		dst = le.AppendUint64(dst, uint64(deadline))
	}
	return append(append(dst, key...), value...)
}

// AppendGone appends the record that a key is gone.
func AppendGone(dst []byte, shard int, seq uint64, key []byte) []byte {
	return append(appendHeader(dst, shard, seq, len(key), 0, kindGone, 0), key...)
}

// AppendRename appends the record that a key is gone and another has its value, at once.
// What AppendSet takes of the new key must follow.
func AppendRename(dst []byte, shard int, seq uint64, old []byte) []byte {
	return append(appendHeader(dst, shard, seq, len(old), 0, kindOther, otherRename), old...)
}

// AppendClear appends the record that all keys are gone: the effects seqs of the shards.
func AppendClear(dst []byte, seqs []uint64) []byte {
	return appendSeqs(dst, otherClear, 0, seqs)
}

// AppendClearSet appends the record that all keys are gone and others have values, at
// once. As many effects on these, as AppendSet and AppendGone append them, must follow.
func AppendClearSet(dst []byte, seqs []uint64, effects int) []byte {
	return appendSeqs(dst, otherClearSet, uint64(effects), seqs)
}

func appendStart(dst []byte, seqs []uint64) []byte {
	return appendSeqs(dst, otherStart, 0, seqs)
}

func appendSeqs(dst []byte, other uint8, n uint64, seqs []uint64) []byte {
	dst = appendHeader(dst, 0, n, 0, 8*len(seqs), kindOther, other)
	for _, seq := range seqs {
		dst = le.AppendUint64(dst, seq)
	}
	return dst
}

func appendHeader(dst []byte, shard int, seq uint64, key, value int, kind uint32, form uint8) []byte {
	if key > MaxKeyBytes || value > MaxValueBytes || shard >= maxShards {
		panic(fmt.Sprintf("BUG: journal: a record of shard %d with a key of %d bytes, a value of %d", shard, key, value))
	}
	dst = append(dst, make([]byte, recordHeaderBytes)...)
	putHeader(dst[len(dst)-recordHeaderBytes:], shard, seq, key, value, kind, form)
	return dst
}

func putHeader(dst []byte, shard int, seq uint64, key, value int, kind uint32, form uint8) {
	le.PutUint64(dst, headerOf(shard, seq, key))
	le.PutUint32(dst[8:], sizesOf(value, kind, form))
}

// headerOf and sizesOf are the two words of a header.
func headerOf(shard int, seq uint64, key int) uint64 {
	return uint64(uint32(seq)) | uint64(shard)<<32 | uint64(key)<<48
}

func sizesOf(value int, kind uint32, form uint8) uint32 {
	return uint32(value)<<4 | uint32(form&3)<<2 | kind
}

// Keys and values of up to maxShort bytes, which most have, are copied without memmove.
const (
	maxShort = 32
	maxTiny  = 7
)

// putShort copies b, which has more than maxTiny bytes, to where there is room for it: in two
// steps, which overlap.
func putShort(to unsafe.Pointer, b []byte) {
	from, n := unsafe.Pointer(unsafe.SliceData(b)), len(b)
	if n >= 16 {
		*(*[16]byte)(to) = *(*[16]byte)(from)
		*(*[16]byte)(unsafe.Add(to, n-16)) = *(*[16]byte)(unsafe.Add(from, n-16))
		return
	}
	*(*[8]byte)(to) = *(*[8]byte)(from)
	*(*[8]byte)(unsafe.Add(to, n-8)) = *(*[8]byte)(unsafe.Add(from, n-8))
}

// putTiny copies what is shorter. It is called apart: with it in putShort that would not be
// inlined, and a record take half as long again.
func putTiny(to unsafe.Pointer, b []byte) {
	for i := range b {
		*(*byte)(unsafe.Add(to, i)) = b[i]
	}
}

// part is one effect, as read from a record.
type part struct {
	seq      uint32 // its lower half
	shard    int
	kind     uint8
	form     uint8 // of kindOther: which
	key      []byte
	value    []byte // of some other kinds: the sequences
	deadline int64
}

// change is what the part comes to.
func (p *part) change() Change {
	return Change{Key: p.key, Value: p.value, Form: p.form, Gone: p.kind >= kindGone, Deadline: p.deadline}
}

// readPart reads a part at the beginning of b and returns how long it is.
func readPart(b []byte) (p part, n int, ok bool) {
	if len(b) < recordHeaderBytes {
		return p, 0, false
	}
	head, tail := le.Uint64(b), le.Uint32(b[8:])
	p.seq, p.shard = uint32(head), int(head>>32&0xFFFF)
	p.kind, p.form = uint8(tail&3), uint8(tail>>2&3)
	key, value := int(head>>48), int(tail>>4)
	n = recordHeaderBytes
	if p.kind == kindSetDeadline {
		if len(b) < n+8 {
			return p, 0, false
		}
		p.deadline = int64(le.Uint64(b[n:]))
		n += 8
	}
	if len(b)-n < key+value {
		return p, 0, false
	}
	p.key, p.value = b[n:n+key:n+key], b[n+key:n+key+value:n+key+value]
	return p, n + key + value, true
}

// record is one record: the parts that happened at once.
type record struct {
	first part
	more  []byte // the parts that follow, one after the other
	seqs  []byte // of a clear or a start
}

// readRecord reads the record at the beginning of b and returns how long it is.
func readRecord(b []byte) (r record, n int, ok bool) {
	r.first, n, ok = readPart(b)
	if !ok || r.first.kind != kindOther {
		return r, n, ok && (r.first.kind != kindGone || len(r.first.value) == 0)
	}
	follow, last := 0, uint8(kindSetDeadline) // how many parts, of kinds up to which
	switch r.first.form {
	case otherRename:
		follow = 1
	case otherClearSet:
		follow, last = int(r.first.seq), kindGone
		fallthrough
	default:
		if r.seqs = r.first.value; len(r.seqs)%8 != 0 || len(r.first.key) != 0 {
			return r, 0, false
		}
	}
	from := n
	for range follow {
		p, size, ok := readPart(b[n:])
		if !ok || p.kind > last || p.kind == kindGone && len(p.value) > 0 {
			return r, 0, false
		}
		n += size
	}
	r.more = b[from:n]
	return r, n, true
}

// Change is what a key has come to: it has a value, or is gone.
type Change struct {
	Key, Value []byte
	Form       uint8
	Gone       bool
	Deadline   int64 // ms since 1970; 0: none
}
