package engine

import (
	"bytes"
	"sync"
	"sync/atomic"
)

// shard is a lock and the records that it guards.
//
// mu guards records; functions whose names end in Locked need it held. keys is
// written under mu and read by anyone. A value, once in records, is owned by the
// shard: nothing outside refers to it, so it may be overwritten in place.
type shard struct {
	mu      sync.Mutex
	records map[string][]byte
	keys    atomic.Int64

	// The locks of neighbouring shards would share a cache line otherwise,
	// and goroutines on different shards would take it from each other.
	_ [64 - 24]byte
}

// record is a copy of one key and its value.
type record struct{ key, value []byte }

func (s *shard) init(capacity int) { s.records = make(map[string][]byte, capacity) }

func (s *shard) setLocked(key, value []byte) Status {
	if old, ok := s.records[string(key)]; ok {
		// Storing into the map makes a string of the key, even if it is there.
		if len(value) == len(old) {
			copy(old, value)
			return Updated
		}
		if len(value) <= cap(old) {
			copy(old[:len(value)], value)
			s.records[string(key)] = old[:len(value)]
		} else {
			s.records[string(key)] = bytes.Clone(value)
		}
		return Updated
	}
	s.records[string(key)] = append(make([]byte, 0, len(value)), value...)
	s.keys.Add(1)
	return Created
}

func (s *shard) addLocked(key, value []byte) Status {
	if _, ok := s.records[string(key)]; ok {
		return Exists
	}
	return s.setLocked(key, value)
}

// getLocked appends the value of key to dst.
func (s *shard) getLocked(dst, key []byte) ([]byte, Status) {
	value, ok := s.records[string(key)]
	if !ok {
		return dst, NotFound
	}
	return append(dst, value...), Found
}

func (s *shard) containsLocked(key []byte) Status {
	if _, ok := s.records[string(key)]; !ok {
		return NotFound
	}
	return Found
}

func (s *shard) removeLocked(key []byte) Status {
	if _, ok := s.records[string(key)]; !ok {
		return NotFound
	}
	delete(s.records, string(key))
	s.keys.Add(-1)
	return Removed
}

// renameLocked moves a value from one shard to another, or within one; both
// must be locked. Renaming a key to itself succeeds when it exists.
func renameLocked(src, dst *shard, from, to []byte) Status {
	value, ok := src.records[string(from)]
	if !ok {
		return NotFound
	}
	if bytes.Equal(from, to) {
		return Renamed
	}
	if _, ok := dst.records[string(to)]; ok {
		return Exists
	}
	delete(src.records, string(from))
	src.keys.Add(-1)
	dst.records[string(to)] = value
	dst.keys.Add(1)
	return Renamed
}

// clearLocked forgets all records and returns how many there were.
func (s *shard) clearLocked() int {
	n := len(s.records)
	s.init(0)
	s.keys.Store(0)
	return n
}

// snapshot copies all records.
func (s *shard) snapshot() []record {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]record, 0, len(s.records))
	for k, v := range s.records {
		out = append(out, record{key: []byte(k), value: bytes.Clone(v)})
	}
	return out
}
