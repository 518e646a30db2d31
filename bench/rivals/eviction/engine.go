package eviction

import (
	"encoding/binary"

	"keyframe/engine"
)

// store is the engine at its ceiling: a request is a Get, and a Set if that finds nothing.
type store struct {
	e       *engine.Engine
	b       engine.Batch
	value   []byte
	refused int
}

// storeRecordBytes is the room of a store's record: a header of 4 bytes, a key of 16 and a
// value of 1004.
const storeRecordBytes = 1024

func newStore(ceiling int) (*store, error) {
	e, err := engine.New(engine.Options{MaxBytes: ceiling, Evict: engine.EvictAll})
	if err != nil {
		return nil, err
	}
	return &store{e: e, value: make([]byte, storeRecordBytes-20)}, nil
}

func (s *store) Request(key uint32) bool {
	var text [16]byte
	binary.LittleEndian.PutUint32(text[:], key)
	s.b.Reset()
	s.b.Add(engine.Get, text[:], nil)
	s.e.Apply(&s.b)
	if s.b.Ops[0].Status == engine.Found {
		return true
	}
	s.b.Reset()
	s.b.Add(engine.Set, text[:], s.value)
	s.e.Apply(&s.b)
	if s.b.Ops[0].Status == engine.OutOfMemory {
		s.refused++
	}
	return false
}
