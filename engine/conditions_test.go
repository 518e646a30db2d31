package engine_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"keyframe/engine"
)

// conditional is the model of one key: what Swap, Expire and Rename do under conditions.
type conditional struct {
	value    string
	deadline int64
	exists   bool
}

// TestConditions plays random Swaps, Expires, and Renames over what is there, against a plain map, in
// stores that evict and that do not, and that note effects.
func TestConditions(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for round := range 4 {
		r := rand.New(rand.NewPCG(seed, uint64(round)))
		opts := engine.Options{Shards: 2, RecordEffects: round%2 == 0, Clock: func() int64 { return 1 }} // the sweeper's, which finds nothing dead
		if round > 1 {
			opts.MaxBytes, opts.Evict = 64<<20, engine.EvictAll
		}
		e, err := engine.New(opts)
		if err != nil {
			t.Fatal(err)
		}
		model := map[string]*conditional{}
		var b engine.Batch
		for step := range few(20_000) {
			now := int64(1_000_000 + step)
			key, other := fmt.Sprintf("key%d", r.IntN(6)), fmt.Sprintf("key%d", r.IntN(6))
			m := model[key]
			if m == nil || m.deadline != 0 && m.deadline <= now {
				m = &conditional{}
				model[key] = m
			}
			deadline := int64(0)
			if r.IntN(2) == 0 {
				deadline = now + int64(r.IntN(20)) - 2
			}
			value := fmt.Sprint(step, string(make([]byte, r.IntN(40))))
			b.Reset()
			b.Now = now
			before := *m
			var want engine.Status
			wantValue, reads := "", false
			switch r.IntN(3) {
			case 0:
				args := engine.Args{Deadline: deadline, If: []engine.Condition{engine.Always, engine.IfExists, engine.IfMissing}[r.IntN(3)], Keep: r.IntN(2) == 0}
				b.AddArgs(engine.Swap, []byte(key), []byte(value), 1, args)
				switch {
				case !m.exists && args.If == engine.IfExists:
					want = engine.NotFound
				case m.exists && args.If == engine.IfMissing:
					want, wantValue, reads = engine.Exists, before.value, true
				case m.exists:
					want, wantValue, reads = engine.Updated, before.value, true
					if m.value = value; !args.Keep {
						m.deadline = deadline
					}
				default:
					want = engine.Created
					*m = conditional{value, deadline, true}
				}
			case 1:
				args := engine.Args{Deadline: deadline, If: []engine.Condition{engine.Always, engine.IfNone, engine.IfAny, engine.IfLater, engine.IfEarlier}[r.IntN(5)], Read: r.IntN(2) == 0}
				b.AddArgs(engine.Expire, []byte(key), nil, 0, args)
				const never = 1 << 50
				later := func(a int64) int64 {
					if a == 0 {
						return never
					}
					return a
				}
				may := true
				switch args.If {
				case engine.IfNone:
					may = m.deadline == 0
				case engine.IfAny:
					may = m.deadline != 0
				case engine.IfLater:
					may = later(deadline) > later(m.deadline)
				case engine.IfEarlier:
					may = later(deadline) < later(m.deadline)
				}
				switch {
				case !m.exists:
					want = engine.NotFound
				case !may:
					want = engine.Differs
				default:
					want, m.deadline = engine.Updated, deadline
					wantValue, reads = before.value, args.Read
				}
			default:
				o := model[other]
				if o == nil || o.deadline != 0 && o.deadline <= now {
					o = &conditional{}
					model[other] = o
				}
				b.AddArgs(engine.Rename, []byte(key), []byte(other), 0, engine.Args{Replace: true})
				if want = engine.NotFound; m.exists {
					want = engine.Renamed
					if key != other {
						*o, *m = *m, conditional{}
					}
				}
			}
			e.Apply(&b)
			op := b.Ops[0]
			if op.Status != want || reads && string(op.Value) != wantValue {
				t.Fatalf("round %d, step %d: %+v: status %d, %q; want %d, %q", round, step, b.Args(0), op.Status, op.Value, want, wantValue)
			}
			b.Reset()
			b.Now = now
			for i := range 6 {
				b.Add(engine.Get, fmt.Appendf(nil, "key%d", i), nil)
				b.AddArgs(engine.Deadline, fmt.Appendf(nil, "key%d", i), nil, 0, engine.Args{})
			}
			e.Apply(&b)
			for i := range 6 {
				m := model[fmt.Sprintf("key%d", i)]
				get, d := b.Ops[2*i], b.Args(2*i+1).Deadline
				exists := m != nil && m.exists && (m.deadline == 0 || m.deadline > now)
				if exists != (get.Status == engine.Found) || exists && (string(get.Value) != m.value || d != m.deadline) {
					t.Fatalf("round %d, step %d: key%d is %q until %d (status %d), want %+v", round, step, i, get.Value, d, get.Status, m)
				}
			}
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestUnreadable: who asks for a readable value, and can't have it, changes nothing; who
// doesn't ask has it, and the others of the batch are done.
func TestUnreadable(t *testing.T) {
	for _, value := range []string{"odd", strings.Repeat("x", engine.MaxSmall+1), strings.Repeat("x", 1+2*engine.ChunkBytes)} {
		e := newEngine(t, engine.Options{Readable: func(got []byte, form engine.Form) bool {
			if form == 2 && string(got) != value {
				t.Errorf("asked of %d bytes, %.20q, want %d", len(got), got, len(value))
			}
			return form != 2
		}})
		key := []byte("key")
		do(e, 5, engine.Set, "key", value, 2, engine.Args{Deadline: 10})
		b := engine.Batch{Now: 5}
		b.Add(engine.Take, []byte("none"), nil)
		b.Add(engine.Take, key, nil)
		b.AddForm(engine.Swap, key, []byte("new"), 1)
		b.AddForm(engine.Swap, []byte("none"), []byte("new"), 1)
		b.AddForm(engine.Swap, []byte("none"), []byte("newer"), 1)
		b.ShareArgs(0, engine.Args{Readable: true})
		b.AddArgs(engine.Swap, key, []byte("new"), 1, engine.Args{Readable: true, If: engine.IfMissing})
		b.AddArgs(engine.Swap, key, []byte("new"), 1, engine.Args{Readable: true, If: engine.IfExists, Keep: true})
		b.Add(engine.Get, key, nil)
		b.AddArgs(engine.Deadline, key, nil, 0, engine.Args{})
		b.AddArgs(engine.Swap, key, []byte("last"), 1, engine.Args{Deadline: 10})
		b.AddArgs(engine.Take, key, nil, 0, engine.Args{Readable: true})
		e.Apply(&b)
		for i, want := range []struct {
			status engine.Status
			value  string
		}{
			{engine.NotFound, ""}, {engine.Refused, ""}, {engine.Refused, "new"}, {engine.Created, "new"}, {engine.Updated, "new"}, {engine.Refused, "new"}, {engine.Refused, "new"},
			{engine.Found, value}, {engine.Found, ""}, {engine.Updated, value}, {engine.Removed, "last"},
		} {
			if op := b.Ops[i]; op.Status != want.status || string(op.Value) != want.value {
				t.Errorf("%d bytes: operation %d has status %d and %d bytes, %.20q, want %d and %.20q", len(value), i, op.Status, len(op.Value), op.Value, want.status, want.value)
			}
		}
		if at := b.Args(8).Deadline; at != 10 {
			t.Errorf("the deadline is %d", at)
		}
	}
}
