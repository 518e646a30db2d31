package load

import (
	"math/rand/v2"

	"keyframe/bench"
)

// scriptBytes bounds the scripts of all connections together: enough different
// keys to miss every cache, and little enough to be built in a second.
const scriptBytes = 64 << 20

// script is what one connection sends: commands written before the run and sent
// in a circle, or, for a sequential run over the key space, written as they go.
type script struct {
	p     protocol
	keys  int
	text  []byte
	ends  []int    // of each command in text
	kinds []Kind   // of each command
	ids   []uint32 // keys of them, one command after the other
	only  bool     // all commands are of kinds[0]

	// A sequential script has no text: command k of connection index begins
	// at key (k × conns + index) × keys.
	conns, index, space uint64
	batch               []uint64
}

func newScript(o Options, p protocol, index int) *script {
	s := &script{p: p, keys: o.Keys, conns: uint64(o.Conns), index: uint64(index), space: uint64(o.Space), batch: make([]uint64, o.Keys)}
	seed := o.Seed*1_000_003 + uint64(index)
	kinds := mixer(o.Mix, seed)
	count := 1 << 10
	if o.Dist != "seq" {
		each := o.Keys * (o.KeySize + o.ValueSize + 10)
		count = min(max(scriptBytes/o.Conns/each, 8), max(4*o.Space/(o.Conns*o.Keys), 8))
	}
	next := bench.Sequence(o.Dist, o.Space, seed)
	for range count {
		kind := kinds()
		s.kinds = append(s.kinds, kind)
		if o.Dist == "seq" {
			continue
		}
		for i := range s.batch {
			s.batch[i] = next()
			s.ids = append(s.ids, uint32(s.batch[i]))
		}
		s.text = p.appendCommand(s.text, kind, s.batch)
		s.ends = append(s.ends, len(s.text))
	}
	s.only = true
	for _, k := range s.kinds {
		s.only = s.only && k == s.kinds[0]
	}
	return s
}

// mixer returns a function that yields kinds in the shares of the mix, in random
// order.
func mixer(m Mix, seed uint64) func() Kind {
	r := rand.New(rand.NewPCG(seed, 3))
	return func() Kind {
		at := r.IntN(100)
		for k, share := range m {
			if at -= share; at < 0 {
				return Kind(k)
			}
		}
		panic("BUG: a mix of less than 100")
	}
}

// kind is that of command k.
func (s *script) kind(k uint64) Kind { return s.kinds[k%uint64(len(s.kinds))] }

// commands returns the text of up to n commands from command k on, and how many
// they are. It may be written into scratch.
func (s *script) commands(k uint64, n int, scratch []byte) ([]byte, int) {
	if s.ends == nil {
		const enough = 64 << 10
		scratch = scratch[:0]
		m := 0
		for ; m < n && len(scratch) < enough; m++ {
			scratch = s.p.appendCommand(scratch, s.kind(k), s.keysOf(k))
			k++
		}
		return scratch, m
	}
	first := int(k % uint64(len(s.ends)))
	last := min(first+n, len(s.ends)) - 1
	start := 0
	if first > 0 {
		start = s.ends[first-1]
	}
	return s.text[start:s.ends[last]], last - first + 1
}

// keysOf returns the keys of command k, valid until the next call.
func (s *script) keysOf(k uint64) []uint64 {
	if s.ends == nil {
		at := (k*s.conns + s.index) * uint64(s.keys) % s.space
		for i := range s.batch {
			s.batch[i] = at
			if at++; at == s.space {
				at = 0
			}
		}
		return s.batch
	}
	at := int(k%uint64(len(s.ends))) * s.keys
	for i := range s.batch {
		s.batch[i] = uint64(s.ids[at+i])
	}
	return s.batch
}

// period is how many commands are different.
func (s *script) period() uint64 {
	if s.ends == nil {
		return max((s.space+uint64(s.keys)-1)/uint64(s.keys)/s.conns+1, uint64(len(s.kinds)))
	}
	return uint64(len(s.ends))
}
