package journal

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the random tests; 0 draws one")

// newRand returns a source of the test's own, and prints its seed if the test fails.
func newRand(t testing.TB) *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("-seed %d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}

func key(r *rand.Rand, keys int) []byte { return fmt.Appendf(nil, "key%d", r.IntN(keys)) }

func randomChange(r *rand.Rand, keys int) Change {
	c := Change{Key: key(r, keys), Value: fmt.Appendf(nil, "%0*d", r.IntN(40), r.IntN(1000)), Form: uint8(r.IntN(4))}
	if r.IntN(3) == 0 {
		c.Deadline = 1 + r.Int64N(1<<44)
	}
	return c
}

// randomEffect does something to the store and appends its record.
func randomEffect(r *rand.Rand, s *store, dst *[]byte, keys int) {
	switch n := r.IntN(200); {
	case n < 130:
		s.set(dst, randomChange(r, keys))
	case n < 165:
		s.remove(dst, key(r, keys))
	case n < 195:
		s.rename(dst, key(r, keys), key(r, keys))
	case n < 197:
		s.clearSet(dst)
	default:
		s.clearSet(dst, randomChange(r, keys), randomChange(r, keys), randomChange(r, keys))
	}
}

// replayed is a store that an order fills.
func replayed(shards int) (*store, *order) {
	s := newStore(shards)
	return s, newOrder(func(_ int, c Change) { _ = s.Apply([]Change{c}) }, s.Clear)
}

// TestOrder: records in any order make the store that they came from, and every record that
// is left out is missed, unless nothing follows it.
func TestOrder(t *testing.T) {
	r := newRand(t)
	for range 400 {
		shards := 1 << r.IntN(4)
		from := newStore(shards)
		for i := range from.seqs { // across the wrap of what a record keeps of a sequence
			from.seqs[i] = uint64(r.IntN(3))<<32 - uint64(r.IntN(2)*r.IntN(40))
			from.seqs[i] = max(from.seqs[i], 0) & (1<<63 - 1)
		}
		start := slices.Clone(from.seqs)
		var records [][]byte
		for range 1 + r.IntN(300) {
			var rec []byte
			randomEffect(r, from, &rec, 1+r.IntN(60))
			if rec != nil {
				records = append(records, rec)
			}
		}
		apart := 1 << r.IntN(10) // how far records are out of order
		for i := range records {
			k := min(len(records)-1, i+r.IntN(apart))
			records[i], records[k] = records[k], records[i]
		}
		to, o := replayed(shards)
		feed := func(records [][]byte) error {
			if err := o.begin(shards); err != nil {
				return err
			}
			if err := o.group(appendStart(nil, start)); err != nil {
				return err
			}
			for _, rec := range records {
				if err := o.group(rec); err != nil {
					return err
				}
			}
			return o.end()
		}
		if err := feed(records); err != nil {
			t.Fatal(err)
		}
		if got, want := to.content(), from.content(); !maps.Equal(got, want) {
			t.Fatalf("%d records, %d apart: %d keys, want %d, or others", len(records), apart, len(got), len(want))
		}
		if !slices.Equal(nextOf(from.seqs), o.next) {
			t.Fatalf("the sequences go on with %d, want after %d", o.next, from.seqs)
		}
		if len(records) == 0 {
			continue
		}
		twice := records[r.IntN(len(records))]
		if err := o.group(twice); err == nil {
			t.Error("a record that came a second time is taken")
		}
		_, o = replayed(shards)
		i := r.IntN(len(records))
		left := slices.Delete(slices.Clone(records), i, i+1)
		follows := false // whether the one left out is followed in one of its shards
		for _, shard := range shardsOf(t, records[i], shards) {
			follows = follows || slices.ContainsFunc(left, func(rec []byte) bool {
				at, other := seqIn(t, records[i], shard, shards), seqIn(t, rec, shard, shards)
				return other != nil && int32(*other-*at) > 0
			})
		}
		if err := feed(left); (err != nil) != follows {
			t.Errorf("one of %d records is missing, followed %v: %v", len(records), follows, err)
		}
	}
}

func nextOf(seqs []uint64) []uint64 {
	next := slices.Clone(seqs)
	for i := range next {
		next[i]++
	}
	return next
}

// seqIn returns a record's first effect of a shard, nil if there is none.
func seqIn(t *testing.T, rec []byte, shard, shards int) *uint32 {
	r, _, ok := readRecord(rec)
	if !ok {
		t.Fatalf("a record of ours is none: %x", rec)
	}
	if r.seqs != nil {
		seq := uint32(sequences(r.seqs)[shard])
		return &seq
	}
	var found *uint32
	_ = r.eachPart(func(p *part) error {
		if p.shard == shard && found == nil {
			found = &p.seq
		}
		return nil
	})
	return found
}

func shardsOf(t *testing.T, rec []byte, shards int) (of []int) {
	for shard := range shards {
		if seqIn(t, rec, shard, shards) != nil {
			of = append(of, shard)
		}
	}
	return of
}

// TestOrderRefuses: what can't be a record, or not of this run, is an error.
func TestOrderRefuses(t *testing.T) {
	start := appendStart(nil, []uint64{0, 0})
	set := AppendSet(nil, 0, 1, []byte("k"), []byte("v"), 0, 0)
	for name, records := range map[string][][]byte{
		"before a start":              {set},
		"a start of other shards":     {appendStart(nil, []uint64{0})},
		"a second start":              {start, start},
		"a shard that isn't":          {start, AppendSet(nil, 2, 1, nil, nil, 0, 0)},
		"a clear of other shards":     {start, AppendClear(nil, []uint64{1})},
		"cut":                         {start, set[:len(set)-1]},
		"a rename without its half":   {start, AppendRename(nil, 0, 1, []byte("k"))},
		"a rename to what is gone":    {start, AppendGone(AppendRename(nil, 0, 1, []byte("k")), 1, 1, []byte("l"))},
		"a clear without its sets":    {start, append(AppendClearSet(nil, []uint64{1, 1}, 2), set...)},
		"two that wait for the same":  {start, AppendSet(nil, 0, 3, nil, nil, 0, 0), AppendSet(nil, 0, 3, nil, nil, 0, 0)},
		"sequences that are cut":      {start, append(appendHeader(nil, 0, 0, 0, 3, kindOther, otherClear), 1, 2, 3)},
		"a clear with a key":          {start, append(appendHeader(nil, 0, 0, 1, 0, kindOther, otherClear), 1)},
		"something gone with a value": {start, append(appendHeader(nil, 0, 1, 0, 1, kindGone, 0), 1)},
	} {
		_, o := replayed(2)
		err := o.begin(2)
		for _, rec := range records {
			if err == nil {
				err = o.group(rec)
			}
		}
		if err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
}

// TestRecordBytes pins the format of doc.go to the bit.
func TestRecordBytes(t *testing.T) {
	for _, tc := range []struct {
		name string
		got  []byte
		want string
	}{
		{"set", AppendSet(nil, 0x0102, 0x1122334455667788, []byte("key"), []byte("value"), 2, 0),
			"887766550201030058000000" + "6b6579" + "76616c7565"},
		{"with a deadline", AppendSet(nil, 1, 2, []byte("k"), nil, 0, 0x0102030405060708),
			"020000000100010001000000" + "0807060504030201" + "6b"},
		{"gone", AppendGone(nil, 1, 2, []byte("k")), "020000000100010002000000" + "6b"},
		{"rename", AppendSet(AppendRename(nil, 1, 2, []byte("k")), 3, 4, []byte("l"), []byte("v"), 1, 0),
			"020000000100010003000000" + "6b" + "040000000300010014000000" + "6c" + "76"},
		{"clear", AppendClear(nil, []uint64{1, 2}), "000000000000000007010000" + "0100000000000000" + "0200000000000000"},
		{"clear and set", AppendClearSet(nil, []uint64{1}, 5), "05000000000000008b000000" + "0100000000000000"},
		{"start", appendStart(nil, []uint64{1}), "00000000000000008f000000" + "0100000000000000"},
		{"key of a snapshot", appendSnapshotKey(nil, &Change{Key: []byte("k"), Value: []byte("vv"), Form: 3, Deadline: 1}),
			"0200001000700000" + "0100000000000000" + "6b" + "7676"},
	} {
		if got := fmt.Sprintf("%x", tc.got); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

// TestShortRecords: a record comes out the same on the road of short keys and values, which
// needs room, and on the other.
func TestShortRecords(t *testing.T) {
	text := []byte("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	room := make([]byte, 1, 1<<10)
	for key := range 40 {
		for value := range 40 {
			want := AppendSet(nil, 7, 1<<33|5, text[:key], text[10:10+value], 1, 0)
			got := AppendSet(room, 7, 1<<33|5, text[:key], text[10:10+value], 1, 0)[1:]
			if !bytes.Equal(got, want) {
				t.Fatalf("a key of %d bytes and a value of %d: %x, want %x", key, value, got, want)
			}
			clear(room[:cap(room)])
		}
	}
}
