package load

import (
	"math/rand/v2"

	"keyframe/bench"
)

// scriptBytes bounds the texts of all connections together that send the same
// commands again and again (Options.Repeat).
const scriptBytes = 64 << 20

// script is what one connection sends: command after command, the keys of each drawn when
// it is written. Two scripts of the same options and index are the same, so drawing it
// again tells afterwards what was sent.
type script struct {
	o         *Options
	p         protocol
	templates templates
	index     uint64 // of the connection

	kinds []Kind // of the commands, in a circle
	only  bool   // all are of kinds[0]
	draw  func() uint64
	keys  []uint64 // of the latest command

	text []byte // of Options.Repeat: commands that are sent in a circle
	ends []int  // of each
}

func newScript(o *Options, p protocol, t templates, index int) *script {
	seed := o.Seed*1_000_003 + uint64(index)
	s := &script{o: o, p: p, templates: t, index: uint64(index), keys: make([]uint64, o.Keys), only: true}
	if o.Dist != "seq" {
		s.draw = bench.Sequence(o.Dist, o.Space, seed)
	}
	kinds := mixer(o.Mix, seed)
	n := 1 << 10
	if o.Repeat {
		n = o.repeated() // so that kinds and texts begin again together
	}
	for range n {
		s.kinds = append(s.kinds, kinds())
		s.only = s.only && s.kinds[len(s.kinds)-1] == s.kinds[0]
	}
	if o.Repeat {
		for k := range uint64(n) {
			s.text = s.append(s.text, k)
			s.ends = append(s.ends, len(s.text))
		}
	}
	return s
}

// commandBytes is about how long a command is.
func (o *Options) commandBytes() int { return o.Keys * (o.KeySize + o.ValueSize + 30) }

// repeated is how many commands a connection repeats.
func (o *Options) repeated() int {
	return min(max(scriptBytes/o.Conns/o.commandBytes(), 8), max(4*o.Space/(o.Conns*o.Keys), 8))
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

// next are the keys of command k, valid until the next call. It is to be called once
// for each command, in order.
func (s *script) next(k uint64) []uint64 {
	if s.draw != nil {
		for i := range s.keys {
			s.keys[i] = s.draw()
		}
		return s.keys
	}
	// The connections go through the key space together.
	space := uint64(s.o.Space)
	at := (k*uint64(s.o.Conns) + s.index) * uint64(s.o.Keys) % space
	for i := range s.keys {
		s.keys[i] = at
		if at++; at == space {
			at = 0
		}
	}
	return s.keys
}

func (s *script) append(dst []byte, k uint64) []byte {
	kind, keys := s.kind(k), s.next(k)
	if t := s.templates[kind]; t != nil {
		return t.append(dst, keys)
	}
	return s.p.appendCommand(dst, kind, keys)
}

// commands returns the text of up to n commands from command k on, which is the
// one after those of the call before, and how many they are. It may be written into scratch.
func (s *script) commands(k uint64, n int, scratch []byte) ([]byte, int) {
	if s.text == nil {
		const enough = 64 << 10
		scratch = scratch[:0]
		m := 0
		for ; m < n && len(scratch) < enough; m++ {
			scratch = s.append(scratch, k+uint64(m))
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
