package engine_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"keyframe/engine"
	"keyframe/engine/enginetest"
)

// TestHashIsWhatItSays: the hash, and the same by the library and by numbers of any
// length, for keys of every length up to several blocks of the digest.
func TestHashIsWhatItSays(t *testing.T) {
	r := newRand(t)
	for n := range 2000 {
		if n > 600 && n%64 > 2 && n%256 > 20 {
			continue
		}
		for range few(20) {
			key, seed := make([]byte, n), r.Uint64()
			for i := range key {
				if key[i] = byte(r.Uint32()); r.IntN(8) == 0 {
					key[i] = 0xFF
				}
			}
			if got, want := engine.SimulatedHash(seed)(key), engine.SlowHash(seed, key); got != want {
				t.Fatalf("%d bytes: %x, want %x", n, got, want)
			}
		}
	}
}

// TestHashReadsTheWholeKey: changing any bit of a key, or its length, changes its hash.
func TestHashReadsTheWholeKey(t *testing.T) {
	r := newRand(t)
	hash := engine.SimulatedHash(r.Uint64())
	seen := map[uint64]int{}
	for n := 0; n < 600; n += 600 / few(600) {
		key := make([]byte, n) // zeros: only the length tells them apart
		if other, ok := seen[hash(key)]; ok {
			t.Fatalf("%d and %d zeros have one hash", n, other)
		}
		seen[hash(key)] = n
		for i := range key {
			key[i] = byte(r.Uint32())
		}
		h := hash(key)
		for bit := range n * 8 {
			key[bit/8] ^= 1 << (bit % 8)
			if hash(key) == h {
				t.Fatalf("%d bytes: bit %d changes nothing", n, bit)
			}
			key[bit/8] ^= 1 << (bit % 8)
		}
	}
}

// TestHashesAreIndependent: over many draws of the secrets, the bits of the hashes of two
// keys agree as often as those of random numbers: of keys that collide under xxhash64, of keys
// that differ in what a product of words may lose, and of keys of different lengths.
func TestHashesAreIndependent(t *testing.T) {
	pad := func(n int, at ...int) []byte { // n bytes, the high bits of some set
		key := make([]byte, n)
		for _, i := range at {
			key[i] = 0x80
		}
		return key
	}
	k16, k64 := enginetest.Keys16(512), enginetest.Keys64(2)
	long := append(make([]byte, 400), k64[0]...)
	pairs := map[string][2][]byte{
		"64 bytes that collide": {k64[0], k64[1]},
		"top bits of 16":        {pad(16), pad(16, 7, 15)},
		"first word's top bit":  {pad(16), pad(16, 7)},
		"last word's top bit":   {pad(16), pad(16, 15)},
		"first word's low bit":  {pad(16), append([]byte{1}, pad(15)...)},
		"7 bytes":               {pad(7), pad(7, 6)},
		"3 bytes":               {pad(3), pad(3, 1)},
		"none and one zero":     {nil, pad(1)},
		"zeros":                 {pad(8), pad(9)},
		"17 and 33 zeros":       {pad(17), pad(33)},
		"20 bytes' top bits":    {pad(20), pad(20, 7, 15, 19)},
		"256 and 257 zeros":     {pad(256), pad(257)},
		"in a second block":     {append(make([]byte, 400), k64[1]...), long},
		"first of two blocks":   {pad(500), pad(500, 0)},
	}
	for i, k := range k16[1:] { // one of them collides with the first key
		if i%51 == 0 || i == 511 {
			pairs["16 bytes that collide, "+string(rune('a'+i/51))] = [2][]byte{k16[0], k}
		}
	}
	r := newRand(t)
	const draws = 20_000
	for name, pair := range pairs {
		var shard, group, directory, tag int
		for range draws {
			hash := engine.SimulatedHash(r.Uint64())
			s1, g1, d1, t1 := engine.HashBits(hash(pair[0]))
			s2, g2, d2, t2 := engine.HashBits(hash(pair[1]))
			for n, same := range map[*int]bool{&shard: s1 == s2, &group: g1 == g2, &directory: d1&0xFF == d2&0xFF, &tag: t1 == t2} {
				if same {
					*n++
				}
			}
		}
		for what, part := range map[string]struct {
			seen   int
			values float64
		}{"shards": {shard, 256}, "groups": {group, 128}, "directory bits": {directory, 256}, "tags": {tag, 128}} {
			want := draws / part.values
			if sigmas := math.Abs(float64(part.seen)-want) / math.Sqrt(want); sigmas > 6 {
				t.Errorf("%s: the %s of two keys agree %d times of %d, want %.0f", name, what, part.seen, draws, want)
			}
		}
	}
}

// structured are keys as an attacker might choose them against sums of products: in
// arithmetic progressions of several steps, in one word or both.
func structured(n int) map[string][][]byte {
	sets := map[string][][]byte{}
	for name, step := range map[string][2]uint64{
		"step 1": {0, 1}, "step 2⁵⁶": {0, 1 << 56}, "step 2⁴⁰": {0, 1 << 40}, "first word": {1, 0},
		"both": {1, 1}, "against each other": {1, math.MaxUint64}, "2³² of both": {1 << 32, 1 << 32},
	} {
		keys := make([][]byte, n)
		for i := range keys {
			keys[i] = word(word(nil, step[0]*uint64(i)), step[1]*uint64(i))
		}
		sets[name] = keys[:min(n, distinct(step))]
	}
	return sets
}

// distinct is how many keys a progression has before it repeats itself, 1 << 30 at most.
func distinct(step [2]uint64) int {
	n := 1
	for ; n < 1<<30 && (step[0]*uint64(n) != 0 || step[1]*uint64(n) != 0); n *= 2 {
	}
	return n
}

func word(b []byte, w uint64) []byte {
	for range 8 {
		b = append(b, byte(w))
		w >>= 8
	}
	return b
}

// TestStructuredKeysSpread: keys that differ in a regular way fill groups as random hashes
// do. χ² of the numbers of keys in 2,048 groups, over several secrets.
func TestStructuredKeysSpread(t *testing.T) {
	r := newRand(t)
	const groups = 2048
	check := func(name string, keys [][]byte, secrets uint64) {
		t.Helper()
		hash := engine.SimulatedHash(secrets)
		var home, byShard [groups]float64
		for _, key := range keys {
			shard, group, directory, _ := engine.HashBits(hash(key))
			home[directory>>15<<7|group]++
			byShard[shard<<3|directory>>16]++
		}
		for what, count := range map[string]*[groups]float64{"groups": &home, "shards": &byShard} {
			chi2, mean := 0.0, float64(len(keys))/groups
			for _, n := range count {
				chi2 += (n - mean) * (n - mean) / mean
			}
			if sigmas := (chi2 - groups) / math.Sqrt(2*groups); sigmas > 7 {
				t.Errorf("%s, secrets %d: the keys fill the %s unevenly, by %.1f standard deviations", name, secrets, what, sigmas)
			}
		}
	}
	rounds := 20
	if isShort() {
		rounds = 4
	}
	for name, keys := range structured(1 << 14) {
		for range rounds {
			if len(keys) >= groups {
				check(name, keys, r.Uint64())
			}
		}
	}
	for range rounds {
		check("16 bytes that collide", enginetest.Keys16(1<<14), r.Uint64())
		check("64 bytes that collide", enginetest.Keys64(1<<14), r.Uint64())
	}
}

// collisions are the keys of an attacker, and as many ordinary ones of their length.
var collisions = map[string]func(n int) [][]byte{
	"16": enginetest.Keys16,
	"64": enginetest.Keys64,
}

func ordinaryKeys(r *rand.Rand, n, bytes int) [][]byte {
	keys := make([][]byte, n)
	for i := range keys {
		keys[i] = make([]byte, bytes)
		for j := range keys[i] {
			keys[i][j] = byte(r.Uint32())
		}
	}
	return keys
}

// floodWork is what lookups cost at worst while a store fills, and once half of the keys are
// gone, and how the keys lie in it.
type floodWork struct {
	groups   int // looked into, for a hundred keys
	farthest int // groups, for one key
	compared int // records, for a hundred keys
	segment  int // groups of the largest
	shard    int // keys of the one that has the most
	index    int // bytes
}

func measureFlood(t *testing.T, keys [][]byte) (w floodWork) {
	t.Helper()
	e := newEngine(t, engine.Options{Shards: 64})
	var b engine.Batch
	look := func(from, to int) {
		groups, compared := 0, 0
		for _, key := range keys[from:to] {
			g, c := e.Work(key)
			groups, compared, w.farthest = groups+g, compared+c, max(w.farthest, g)
		}
		w.groups = max(w.groups, groups*100/(to-from))
		w.compared = max(w.compared, compared*100/(to-from))
	}
	for i, key := range keys {
		b.Add(engine.Set, key, []byte("value"))
		if len(b.Ops) == 1000 || i == len(keys)-1 {
			e.Apply(&b)
			for _, op := range b.Ops {
				if op.Status != engine.Created {
					t.Fatalf("status %d of key %q", op.Status, op.Key)
				}
			}
			b.Reset()
		}
		if i%(len(keys)/4) == 0 && i > 0 {
			look(0, i)
		}
	}
	look(0, len(keys))
	w.segment, w.shard, w.index = e.LargestSegment(), e.LargestShard(), e.Stats().IndexBytes
	for _, key := range keys[:len(keys)/2] {
		b.Add(engine.Remove, key, nil)
	}
	e.Apply(&b)
	look(0, len(keys)/2) // misses
	look(len(keys)/2, len(keys))
	if want := len(keys) - len(keys)/2; e.Len() != want {
		t.Errorf("%d keys, want %d", e.Len(), want)
	}
	return w
}

// TestFlood: keys that collide under xxhash64 cost a lookup what random keys cost it, in
// groups and in records looked at, and the index is as large. With xxhash64 alone a lookup
// compared more than a hundred records of the 16-byte ones, and thousands of the others.
func TestFlood(t *testing.T) {
	n := 40_000
	if isShort() || engine.Invariants {
		n = 10_000
	}
	r := newRand(t)
	for name, make := range collisions {
		t.Run(name, func(t *testing.T) {
			keys := make(n)
			got, want := measureFlood(t, keys), measureFlood(t, ordinaryKeys(r, n, len(keys[0])))
			t.Logf("colliding %+v, ordinary %+v", got, want)
			if got.groups > 200 || got.farthest > 40 || got.compared > 101 || got.segment > 128 ||
				got.shard > want.shard+want.shard/4 || got.index > want.index+want.index/8 {
				t.Errorf("colliding %+v, ordinary %+v", got, want)
			}
		})
	}
}
