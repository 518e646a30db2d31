package eviction

import "math/bits"

// model is the engine's policy on keys that are all of one size: shards with a fixed
// share of the capacity, and in each a table where a key's place is its hash's. engine's
// evict.go says how it works; here it is in its shortest form.
type model struct {
	shards []modelShard
	shift  uint
	slots  []int32 // of a key: its slot in its shard; -1: it isn't there
}

// The states of a slot, as in the engine.
const (
	newcomer  = 0
	mainFirst = 1
	mainLast  = 3
)

const (
	newcomersPart  = 10 // newcomers are one in so many of the keys
	ghostWays      = 5
	ghostPrintBits = 12
	groupSlots     = 7
	leastShardKeys = 100 // a store of fewer keys a shard isn't worth its shards
	mostShards     = 512 // what two CPUs have
)

type modelShard struct {
	keys      []uint32 // by slot, plus 1; 0: empty
	states    []uint8
	size, cap int
	hand      int

	newcomers []uint32 // keys in the order of their arrival
	ghost     []uint64 // each of five fingerprints, the newest lowest
}

func newModel(capacity, keys int) Policy {
	n := 1
	for n < mostShards && capacity/(2*n) >= leastShardKeys {
		n *= 2
	}
	m := &model{shards: make([]modelShard, n), slots: make([]int32, keys), shift: uint(64 - bits.TrailingZeros(uint(n)))}
	for i := range m.shards {
		s := &m.shards[i]
		s.cap = capacity*(i+1)/n - capacity*i/n
		slots := (s.cap*4/3/groupSlots + 1) * groupSlots
		s.keys, s.states = make([]uint32, slots), make([]uint8, slots)
		s.ghost = make([]uint64, max(s.cap/ghostWays, 1))
	}
	for i := range m.slots {
		m.slots[i] = -1
	}
	return m
}

func (m *model) Request(key uint32) bool {
	h := mix(uint64(key))
	s := &m.shards[0]
	if len(m.shards) > 1 {
		s = &m.shards[h>>m.shift]
	}
	if at := m.slots[key]; at >= 0 {
		s.states[at] = min(s.states[at]+1, mainLast)
		return true
	}
	state := uint8(newcomer)
	if s.size < s.cap || s.takeGhost(key) {
		state = mainFirst
	}
	if s.size == s.cap {
		m.evict(s)
	}
	at := s.emptySlot(key)
	s.keys[at], s.states[at] = key+1, state
	m.slots[key] = int32(at)
	s.size++
	if state == newcomer {
		s.newcomers = append(s.newcomers, key)
	}
	return false
}

// emptySlot is the first one from the key's own group on.
func (s *modelShard) emptySlot(key uint32) int {
	group, _ := bits.Mul64(mix(^uint64(key)), uint64(len(s.keys)/groupSlots))
	at := int(group) * groupSlots
	for s.keys[at] != 0 {
		at = (at + 1) % len(s.keys)
	}
	return at
}

// evict drops the oldest newcomer that wasn't asked for again, if there are enough of
// them; or else the first key that the hand meets in the lowest of its states.
func (m *model) evict(s *modelShard) {
	for len(s.newcomers) > s.cap/newcomersPart {
		key := s.newcomers[0]
		s.newcomers = s.newcomers[1:]
		if at := m.slots[key]; at >= 0 && s.states[at] == newcomer {
			m.drop(s, int(at))
			return
		}
	}
	for {
		at := s.hand
		s.hand = (at + 1) % len(s.keys)
		switch {
		case s.keys[at] == 0 || s.states[at] == newcomer:
		case s.states[at] == mainFirst:
			m.drop(s, at)
			return
		default:
			s.states[at]--
		}
	}
}

func (m *model) drop(s *modelShard, at int) {
	key := s.keys[at] - 1
	s.keys[at] = 0
	s.size--
	m.slots[key] = -1
	bucket, print := s.printOf(key)
	*bucket = *bucket<<ghostPrintBits | print
}

// takeGhost reports whether the ghost remembers a key, and has it forget it.
func (s *modelShard) takeGhost(key uint32) bool {
	bucket, print := s.printOf(key)
	for i := uint(0); i < ghostWays*ghostPrintBits; i += ghostPrintBits {
		if *bucket>>i&(1<<ghostPrintBits-1) == print {
			younger := *bucket & (1<<i - 1)
			older := *bucket >> (i + ghostPrintBits) << i
			*bucket = older | younger
			return true
		}
	}
	return false
}

// printOf returns the bucket of a key and its fingerprint, which isn't 0.
func (s *modelShard) printOf(key uint32) (*uint64, uint64) {
	bucket, low := bits.Mul64(mix(uint64(key)+1<<40), uint64(len(s.ghost)))
	return &s.ghost[bucket], max(low>>(64-ghostPrintBits), 1)
}

// mix is MurmurHash3's finalizer.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
