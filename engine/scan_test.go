package engine_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"keyframe/engine"
)

// scanAll scans in calls that ask for limit keys, does between in between, and returns what
// was seen.
func scanAll(t *testing.T, e *engine.Engine, prefix string, limit int, now int64, between func()) map[string]kept {
	t.Helper()
	seen := make(map[string]kept)
	for cursor, done := engine.Cursor(0), false; !done; {
		n, before := 0, cursor
		cursor, done = e.Scan(cursor, []byte(prefix), limit, now, func(key, value []byte, form engine.Form, deadline int64) bool {
			if _, twice := seen[string(key)]; twice {
				t.Errorf("%.40q is seen twice", key)
			}
			if !strings.HasPrefix(string(key), prefix) {
				t.Errorf("%.40q doesn't begin with %q", key, prefix)
			}
			seen[string(key)] = kept{string(value), form, deadline}
			n++
			return true
		})
		if n > limit {
			t.Errorf("%d keys, asked for %d", n, limit)
		}
		if !done && (cursor <= before || !e.HasCursor(cursor) || cursor>>engine.CursorBits != 0) {
			t.Fatalf("from %x the scan goes on at %x", before, cursor)
		}
		between()
	}
	return seen
}

// TestScan: every key that begins so and lives, with what it has, in pages of every size.
func TestScan(t *testing.T) {
	for _, shards := range []int{1, 16} {
		e := newEngine(t, engine.Options{Shards: shards})
		o := oracle{}
		b := engine.Batch{Now: 1}
		for i := range 500 {
			key := fmt.Append(nil, []string{"user", "usér", "\xff\xff", "", "\x00"}[i%5], i)
			args := engine.Args{Deadline: int64(i % 4 * 10)}
			b.AddArgs(engine.Set, key, bytes.Repeat([]byte{byte(i)}, i%300), engine.Form(i%4), args)
		}
		b.AddForm(engine.Set, []byte("user large"), make([]byte, engine.MaxSmall), 1)
		b.AddForm(engine.Set, []byte("user huge"), make([]byte, 100_000), 2)
		b.AddArgs(engine.Set, []byte("user large and dead"), make([]byte, engine.MaxSmall), 1, engine.Args{Deadline: 10})
		b.Add(engine.Set, nil, []byte("of the empty key"))
		applyBoth(t, e, o, &b)
		for _, prefix := range []string{"", "user", "user1", "usér", "us", "\xff", "\x00", "user495", "none", "user large", strings.Repeat("long", 100)} {
			for _, now := range []int64{0, 9, 10} {
				for _, limit := range []int{3, 100, math.MaxInt} {
					seen := scanAll(t, e, prefix, limit, now, func() {})
					want := 0
					for key, k := range o {
						if strings.HasPrefix(key, prefix) && (now == 0 || !k.isDead(now)) {
							if want++; seen[key] != k {
								t.Errorf("prefix %q, %d at a time, at %d: key %.20q has %.20q, want %.20q", prefix, limit, now, key, fmt.Sprint(seen[key]), fmt.Sprint(k))
							}
						}
					}
					if len(seen) != want {
						t.Errorf("prefix %q, %d at a time, at %d: %d keys, want %d", prefix, limit, now, len(seen), want)
					}
				}
			}
		}
		keys := 0
		for cursor, done := engine.Cursor(0), false; !done; {
			cursor, done = e.ScanKeys(cursor, []byte("user"), 100, 10, func(key []byte) bool {
				if k, ok := o[string(key)]; !ok || k.isDead(10) {
					t.Errorf("ScanKeys sees %.40q", key)
				}
				keys++
				return true
			})
		}
		if want := len(scanAll(t, e, "user", 100, 10, func() {})); keys != want {
			t.Errorf("ScanKeys sees %d keys, want %d", keys, want)
		}
	}
}

// TestScanStops: a function that returns false is called no more, and the next call goes on
// with the key after that.
func TestScanStops(t *testing.T) {
	r := newRand(t)
	e := newEngine(t, engine.Options{Shards: 4})
	setAll(t, e, "key", 5000, []byte("v"))
	seen := make(map[string]bool)
	for cursor, done := engine.Cursor(0), false; !done; {
		left := r.IntN(300)
		cursor, done = e.Scan(cursor, nil, math.MaxInt, 0, func(key, _ []byte, _ engine.Form, _ int64) bool {
			if seen[string(key)] {
				t.Errorf("%q is seen twice", key)
			}
			seen[string(key)] = true
			if left < 0 {
				t.Error("called after it had returned false")
			}
			left--
			return left >= 0
		})
	}
	if len(seen) != 5000 {
		t.Errorf("%d keys", len(seen))
	}
}

// churned is a store in which 2000 keys stay throughout, while others come and go, the index
// grows and shrinks, values change and records move.
type churned struct {
	*swept
	stays  map[string]bool
	next   int // of the keys that come
	rounds int
}

func newChurned(t *testing.T, shards int) *churned {
	c := &churned{swept: newSwept(t, engine.Options{Shards: shards}), stays: make(map[string]bool)}
	for i := range 2000 {
		c.stays[fmt.Sprint("stays", i)] = true
		one(c.Engine, engine.Set, fmt.Sprint("stays", i), "v")
	}
	return c
}

func (c *churned) churn(r *rand.Rand) {
	c.rounds++
	b := engine.Batch{Now: c.now}
	for range r.IntN(3000) {
		if grows := c.rounds/20%2 == 0; grows || r.IntN(3) == 0 {
			b.AddArgs(engine.Set, fmt.Append(nil, "comes", c.next), make([]byte, r.IntN(100)), 0, engine.Args{Deadline: c.now + r.Int64N(5000)})
			c.next++
		} else {
			b.Add(engine.Remove, fmt.Append(nil, "comes", r.IntN(c.next+1)), nil)
		}
	}
	for range 100 {
		b.Add(engine.Set, fmt.Append(nil, "stays", r.IntN(2000)), make([]byte, r.IntN(100)))
	}
	c.Apply(&b)
	c.now += 100
	if r.IntN(3) == 0 {
		c.Maintain(r.IntN(2) == 0)
	}
	if r.IntN(3) == 0 {
		c.Compact()
	}
}

// TestScanBesideChanges: what is there throughout is seen exactly once.
func TestScanBesideChanges(t *testing.T) {
	oneWriter(t)
	r := newRand(t)
	for _, shards := range []int{1, 8} {
		for _, limit := range []int{3, 50, 1000} {
			c, calls := newChurned(t, shards), 0
			for range 3 {
				seen := scanAll(t, c.Engine, "stays", limit, c.now, func() {
					if calls++; calls%max(1, 200/limit) == 0 {
						c.churn(r)
					}
				})
				if len(seen) != len(c.stays) {
					t.Errorf("%d shards, %d at a time: %d keys, want %d", shards, limit, len(seen), len(c.stays))
				}
			}
			if c.next < 5000 {
				t.Errorf("only %d keys have come", c.next)
			}
		}
	}
}

// TestScanAfterClear: a cursor from before it is good for what comes after it.
func TestScanAfterClear(t *testing.T) {
	e := newEngine(t, engine.Options{Shards: 4})
	setAll(t, e, "old", 10_000, nil)
	cursor, done := e.Scan(0, nil, 3000, 0, func(_, _ []byte, _ engine.Form, _ int64) bool { return true })
	if done {
		t.Fatal("done at 3000 of 10,000")
	}
	e.Clear()
	setAll(t, e, "new", 10, nil)
	for !done {
		cursor, done = e.Scan(cursor, nil, 3000, 0, func(key, _ []byte, _ engine.Form, _ int64) bool {
			if !strings.HasPrefix(string(key), "new") {
				t.Errorf("%q", key)
			}
			return true
		})
	}
}

// TestScanCursors: any number is a cursor, if not a sensible one; a scan from one of no shard
// is at its end.
func TestScanCursors(t *testing.T) {
	r := newRand(t)
	e := newEngine(t, engine.Options{Shards: 4})
	setAll(t, e, "key", 1000, nil)
	for i := range 1000 {
		cursor := engine.Cursor(r.Uint64() >> r.IntN(64))
		if i == 0 {
			cursor = math.MaxUint64
		}
		if has := cursor < 4<<26; e.HasCursor(cursor) != has {
			t.Errorf("it has %x: %t", cursor, !has)
		}
		if !e.HasCursor(cursor) {
			if cursor, done := e.Scan(cursor, nil, 100, 0, func(_, _ []byte, _ engine.Form, _ int64) bool { return false }); cursor != 0 || !done {
				t.Errorf("from no shard: %x, %v", cursor, done)
			}
			continue
		}
		for done := false; !done; {
			cursor, done = e.Scan(cursor, nil, 100, 0, func(_, _ []byte, _ engine.Form, _ int64) bool { return true })
		}
		if cursor != 0 {
			t.Fatalf("at the end the cursor is %x", cursor)
		}
	}
	cursor, done := e.Scan(0, nil, 0, 0, func(_, _ []byte, _ engine.Form, _ int64) bool { t.Error("called"); return true })
	if cursor != 0 || done {
		t.Errorf("for no keys: %x, %v", cursor, done)
	}
}

// TestScanIsBounded: a call looks at a bounded number of records, whatever it finds, and a
// step copies a bounded number of keys and bytes under its lock.
func TestScanIsBounded(t *testing.T) {
	const keys = 50_000
	e := newEngine(t, engine.Options{Shards: 2})
	setAll(t, e, "key", keys, nil)
	for _, prefix := range []string{"none", ""} {
		calls := 0
		for cursor, done := engine.Cursor(0), false; !done; calls++ {
			cursor, done = e.Scan(cursor, []byte(prefix), math.MaxInt, 0, func(_, _ []byte, _ engine.Form, _ int64) bool { return true })
		}
		if least, most := keys/(engine.MaxVisits+2*engine.ScanStepKeys), 2*keys/engine.MaxVisits; calls < least || calls > most {
			t.Errorf("prefix %q: %d calls, want %d to %d", prefix, calls, least, most)
		}
	}
	if n, _ := e.ScanStep(10); n > 10 || n == 0 {
		t.Errorf("a step for 10 keys copies %d", n)
	}
	e = newEngine(t, engine.Options{Shards: 4096})
	calls := 0
	for cursor, done := engine.Cursor(0), false; !done; calls++ {
		cursor, done = e.Scan(cursor, nil, math.MaxInt, 0, func(_, _ []byte, _ engine.Form, _ int64) bool { return true })
	}
	if calls < 4 {
		t.Errorf("4096 empty shards in %d calls", calls)
	}
	e = newEngine(t, engine.Options{Shards: 1})
	setAll(t, e, "key", 200, make([]byte, 10_000))
	if n, copied := e.ScanStep(engine.ScanStepKeys); copied < engine.ScanBytes || copied > engine.ScanBytes+10_010 {
		t.Errorf("a step copies %d keys, %d bytes", n, copied)
	}
}

// TestScanCollisions: keys that share a position come together.
func TestScanCollisions(t *testing.T) {
	for name, hash := range hashes {
		e := newEngine(t, engine.Options{Shards: 4}.WithHash(hash))
		setAll(t, e, "key", 500, nil)
		seen := make(map[string]bool)
		for cursor, done := engine.Cursor(0), false; !done; {
			cursor, done = e.Scan(cursor, nil, 10, 0, func(key, _ []byte, _ engine.Form, _ int64) bool {
				seen[string(key)] = true
				return false
			})
		}
		if len(seen) != 500 {
			t.Errorf("%s: %d keys", name, len(seen))
		}
	}
}

// TestScanStress scans beside goroutines that change what the scans don't look for.
func TestScanStress(t *testing.T) {
	e := newEngine(t, engine.Options{Shards: 4})
	setAll(t, e, "stays", 1000, []byte("v"))
	var round atomic.Int64
	writers := newCrew(t)
	for g := range 2 {
		writers.each(func(i int) {
			var b engine.Batch
			for j := range 100 {
				kind := []engine.Kind{engine.Set, engine.Remove}[i/100%2]
				b.Add(kind, fmt.Append(nil, g, " ", i%100*100+j), []byte("v"))
			}
			e.Apply(&b)
			round.Add(1)
		})
	}
	for n := int64(rounds(2000)); round.Load() < n; {
		if seen := scanAll(t, e, "stays", 37, 0, func() {}); len(seen) != 1000 {
			t.Fatalf("%d keys", len(seen))
		}
	}
}
