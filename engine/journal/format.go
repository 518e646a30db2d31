package journal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
)

// This file is the frame around records: the headers of segments, groups and snapshots.
// doc.go has their bytes. All numbers are little-endian.

// version is the format that is written. An older one is read; a newer one isn't known. Segments
// whose groups may be anywhere, and snapshots, are as they were in version 1, and say so.
const (
	version         = 2
	versionUnfilled = 1
	versionSnapshot = 1
)

const (
	segmentMagic  = "KFSEGMNT"
	snapshotMagic = "KFSNAPSH"

	segmentHeaderBytes = 80
	groupHeaderBytes   = 32
	mostGroupBytes     = 1<<32 - 1 // what its header has room for

	maxShards = 1 << 16
	maxBlock  = 1 << 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

var le = binary.LittleEndian

// segmentHeader is the beginning of a segment's file.
type segmentHeader struct {
	shards   int
	number   uint64 // as in its name: a recycled file has another one until it is begun
	previous uint64 // the segment that it goes on from; 0: it is the first of all
	run      uint64 // counts the starts of servers on this directory
	begin    uint64 // the log position of its first group
	synced   uint64 // the log was on disk up to there when it was begun
	boot     uint64 // FS.BootID
	created  int64  // ms since 1970
	block    int    // groups begin at multiples of it; 0: anywhere
}

// fill returns where in the file the group begins that follows one that ends at a place, or the
// header.
func (h *segmentHeader) fill(at int64) int64 {
	if h.block == 0 {
		return at
	}
	return (at + int64(h.block) - 1) &^ (int64(h.block) - 1)
}

// next returns the position of the group that follows what ends at a position.
func (h *segmentHeader) next(position uint64) uint64 {
	at := int64(position-h.begin) + segmentHeaderBytes
	return position + uint64(h.fill(at)-at)
}

func (h *segmentHeader) append(dst []byte) []byte {
	from := len(dst)
	dst = append(dst, segmentMagic...)
	v := uint32(versionUnfilled)
	if h.block > 0 {
		v = version
	}
	dst = le.AppendUint32(dst, v)
	dst = le.AppendUint32(dst, uint32(h.shards))
	for _, n := range [...]uint64{h.number, h.previous, h.run, h.begin, h.synced, h.boot, uint64(h.created)} {
		dst = le.AppendUint64(dst, n)
	}
	dst = le.AppendUint32(dst, uint32(h.block))
	return le.AppendUint32(dst, sum(dst[from:]))
}

// readSegmentHeader returns the header of a segment's file, and false if it isn't one.
func readSegmentHeader(b []byte) (h segmentHeader, ok bool, err error) {
	if len(b) < segmentHeaderBytes || string(b[:8]) != segmentMagic {
		return h, false, nil
	}
	v := le.Uint32(b[8:])
	if le.Uint32(b[76:]) != sum(b[:76]) {
		return h, false, nil
	} else if v != versionUnfilled && v != version {
		return h, false, &VersionError{Version: int(v)}
	}
	valid := true
	if v == version {
		h.block = int(le.Uint32(b[72:]))
		valid = h.block > 0 && h.block <= maxBlock && h.block&(h.block-1) == 0
	}
	h.shards = int(le.Uint32(b[12:]))
	h.number, h.previous, h.run = le.Uint64(b[16:]), le.Uint64(b[24:]), le.Uint64(b[32:])
	h.begin, h.synced, h.boot = le.Uint64(b[40:]), le.Uint64(b[48:]), le.Uint64(b[56:])
	h.created = int64(le.Uint64(b[64:]))
	return h, h.shards > 0 && h.shards <= maxShards && valid, nil
}

// VersionError is returned for a file of a format that a later version writes.
type VersionError struct {
	Name    string
	Version int
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("journal: %s has format %d, of a later version of the server than this one", e.Name, e.Version)
}

// sealGroup fills in the header at the beginning of a group.
func sealGroup(b []byte, segment, position, synced uint64) {
	le.PutUint32(b[4:], uint32(len(b)))
	le.PutUint64(b[8:], segment)
	le.PutUint64(b[16:], position)
	le.PutUint64(b[24:], synced)
	le.PutUint32(b, sum(b[4:]))
}

// group is a group as it stands in a segment.
type group struct {
	bytes  int    // header included
	synced uint64 // the log was on disk up to there when it was written
	body   []byte
}

// readGroup returns the group at the beginning of b, if that is one of a segment and at a
// position of the log.
func readGroup(b []byte, segment, position uint64) (g group, ok bool) {
	if len(b) < groupHeaderBytes || le.Uint64(b[8:]) != segment || le.Uint64(b[16:]) != position {
		return g, false
	}
	n := int(le.Uint32(b[4:]))
	if n <= groupHeaderBytes || n > len(b) || sum(b[4:n]) != le.Uint32(b) {
		return g, false
	}
	return group{n, le.Uint64(b[24:]), b[groupHeaderBytes:n:n]}, true
}

// nextGroup looks for a group of a segment anywhere past the first bytes of b: not at the
// place where one was expected, but at that which its position gives it.
func nextGroup(b []byte, at int, h *segmentHeader) (_ group, found int, ok bool) {
	for ; ; at++ {
		if at = nextNumber(b, at, h.number); at < 0 {
			return group{}, 0, false
		}
		if g, ok := readGroup(b[at:], h.number, h.begin+uint64(at-segmentHeaderBytes)); ok {
			return g, at, true
		}
	}
}

// nextNumber returns the next place from at on where a group's header may be, by the number
// of its segment, or -1. A byte a time would take 40 ms for the zeros of a segment, at the
// end of each recovery.
func nextNumber(b []byte, at int, number uint64) int {
	const before = 8 // bytes of the header
	if at+groupHeaderBytes >= len(b) {
		return -1
	}
	end := len(b) - groupHeaderBytes - 1 + before + 8
	i := bytes.Index(b[at+before:end], le.AppendUint64(nil, number))
	if i < 0 {
		return -1
	}
	return at + i
}

// Names of files.
const (
	segmentPrefix  = "segment-"
	snapshotPrefix = "snapshot-"
	nameDigits     = 16
	maxNumber      = 1e16 - 1
	temporary      = ".tmp"
)

func segmentName(n uint64) string  { return fmt.Sprintf("%s%0*d", segmentPrefix, nameDigits, n) }
func snapshotName(n uint64) string { return fmt.Sprintf("%s%0*d", snapshotPrefix, nameDigits, n) }

// numberOf returns the number in a name of ours.
func numberOf(name, prefix string) (n uint64, ok bool) {
	digits, ok := strings.CutPrefix(name, prefix)
	if !ok || len(digits) != nameDigits {
		return 0, false
	}
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + uint64(c-'0')
	}
	return n, n > 0
}
