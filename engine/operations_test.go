package engine_test

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"keyframe/engine"
)

// TestDeadlines: a key is there until one millisecond before its deadline, for every
// operation, and not from its deadline on.
func TestDeadlines(t *testing.T) {
	const deadline = 1_800_000_000_000
	expected := engine.Args{Expected: []byte("7"), Deadline: deadline + 5, Delta: 1}
	for _, tc := range []struct {
		kind         engine.Kind
		alive, after engine.Status
	}{
		{engine.Set, engine.Updated, engine.Created},
		{engine.Add, engine.Exists, engine.Created},
		{engine.Get, engine.Found, engine.NotFound},
		{engine.Remove, engine.Removed, engine.NotFound},
		{engine.Contains, engine.Found, engine.NotFound},
		{engine.Rename, engine.Renamed, engine.NotFound},
		{engine.Expire, engine.Updated, engine.NotFound},
		{engine.Deadline, engine.Found, engine.NotFound},
		{engine.Incr, engine.Updated, engine.Created},
		{engine.CompareSet, engine.Updated, engine.NotFound},
		{engine.CompareRemove, engine.Removed, engine.NotFound},
		{engine.Take, engine.Removed, engine.NotFound},
		{engine.Swap, engine.Updated, engine.Created},
		{engine.Merge, engine.Updated, engine.Created},
	} {
		for now, want := range map[int64]engine.Status{0: tc.alive, deadline - 1: tc.alive, deadline: tc.after, deadline + 1: tc.after} {
			for _, size := range []int{1, engine.MaxSmall, 3 * engine.ChunkBytes} {
				if size > 1 && (tc.kind == engine.Incr || tc.kind == engine.CompareSet || tc.kind == engine.CompareRemove) {
					continue
				}
				e := newEngine(t, engine.Options{Shards: 2, Simulation: &engine.Simulation{Seed: 1}})
				value := strings.Repeat("7", size)
				do(e, 0, engine.Set, "key", value, 0, engine.Args{Deadline: deadline})
				if got := do(e, now, tc.kind, "key", "8", 0, expected).status; got != want {
					t.Errorf("kind %d on %d bytes, %d ms after the deadline: status %d, want %d", tc.kind, size, now-deadline, got, want)
				}
				if want == engine.NotFound && e.Len() != 0 {
					t.Errorf("kind %d, %d ms after the deadline: %d keys", tc.kind, now-deadline, e.Len())
				}
			}
		}
	}
}

// TestRenameToTheDead: a name whose time is over is free.
func TestRenameToTheDead(t *testing.T) {
	e := newEngine(t, engine.Options{Shards: 8})
	for i := range 100 {
		to := fmt.Sprint("to", i)
		do(e, 0, engine.Set, to, "old", 0, engine.Args{Deadline: 10})
		do(e, 0, engine.Set, "from", "new", 2, engine.Args{Deadline: 20})
		if got := do(e, 9, engine.Rename, "from", to, 0, engine.Args{}).status; got != engine.Exists {
			t.Fatalf("before the deadline: status %d", got)
		}
		if got := do(e, 10, engine.Rename, "from", to, 0, engine.Args{}).status; got != engine.Renamed {
			t.Fatalf("at the deadline: status %d", got)
		}
		if got := do(e, 10, engine.Get, to, "", 0, engine.Args{}); got.value != "new" || got.form != 2 {
			t.Fatalf("read %+v", got)
		}
		if got := do(e, 10, engine.Deadline, to, "", 0, engine.Args{}); got.args.Deadline != 20 {
			t.Fatalf("the deadline is %+v", got)
		}
	}
}

// TestWhatKeepsADeadline says which operations keep a key's deadline, and which end it.
func TestWhatKeepsADeadline(t *testing.T) {
	e := newEngine(t, engine.Options{})
	for kind, want := range map[engine.Kind]int64{
		engine.Set: 0, engine.Swap: 0, engine.Incr: 10, engine.CompareSet: 10, engine.Merge: 10, engine.Get: 10, engine.Expire: 0,
	} {
		do(e, 0, engine.Set, "key", "7", 0, engine.Args{Deadline: 10})
		args := engine.Args{Expected: []byte("7"), Delta: 1000}
		do(e, 0, kind, "key", "another length", 0, args)
		if got := do(e, 0, engine.Deadline, "key", "", 0, engine.Args{Deadline: 5}).args.Deadline; got != want {
			t.Errorf("after kind %d the deadline is %d, want %d", kind, got, want)
		}
	}
}

// TestDeadlinesAreCut: what a record can't hold is cut to what it can.
func TestDeadlinesAreCut(t *testing.T) {
	e := newEngine(t, engine.Options{})
	for given, want := range map[int64]int64{
		1: 1, 1<<48 - 1: 1<<48 - 1, 1 << 48: 1<<48 - 1, math.MaxInt64: 1<<48 - 1, -1: 1, math.MinInt64: 1,
	} {
		do(e, 0, engine.Set, "key", "7", 0, engine.Args{Deadline: given})
		if got := do(e, 0, engine.Deadline, "key", "", 0, engine.Args{}).args.Deadline; got != want {
			t.Errorf("given %d the deadline is %d, want %d", given, got, want)
		}
	}
}

// TestIncr is both sides of the limits, and every text that is no integer.
func TestIncr(t *testing.T) {
	const none = "none"
	e := newEngine(t, engine.Options{})
	for _, tc := range []struct {
		value string
		delta int64
		want  string // none: NotInteger
	}{
		{"0", 1, "1"},
		{"-0", 0, "0"},
		{"9", 1, "10"},
		{"10", -1, "9"},
		{"-1", 1, "0"},
		{"9223372036854775806", 1, "9223372036854775807"},
		{"9223372036854775807", 0, "9223372036854775807"},
		{"9223372036854775807", 1, none},
		{"1", math.MaxInt64, none},
		{"-1", math.MaxInt64, "9223372036854775806"},
		{"-9223372036854775807", -1, "-9223372036854775808"},
		{"-9223372036854775808", 0, "-9223372036854775808"},
		{"-9223372036854775808", -1, none},
		{"-1", math.MinInt64, none},
		{"0", math.MinInt64, "-9223372036854775808"},
		{"-9223372036854775808", math.MaxInt64, "-1"},
		{"9223372036854775808", 0, none},
		{"9223372036854775808", -1, none},
		{"-9223372036854775809", 0, none},
		{"9999999999999999999", 0, none},
		{"18446744073709551616", 0, none}, // 2^64
		{"00000000000000000001", 0, none},
		{"01", 0, none}, {"-01", 0, none}, {"00", 0, none}, {"-", 0, none}, {"", 0, none}, {"+1", 0, none}, {" 1", 0, none},
		{"1 ", 0, none}, {"1.0", 0, none}, {"1e3", 0, none}, {"/", 0, none}, {":", 0, none}, {"--1", 0, none}, {"1\x00", 0, none},
	} {
		one(e, engine.Set, "key", tc.value)
		got := do(e, 0, engine.Incr, "key", "", 0, engine.Args{Delta: tc.delta})
		now := do(e, 0, engine.Get, "key", "", 0, engine.Args{}).value
		if tc.want == none && (got.status != engine.NotInteger || now != tc.value) {
			t.Errorf("%q and %d: status %d, %q", tc.value, tc.delta, got.status, now)
		}
		if tc.want != none && (got.status != engine.Updated || got.value != tc.want || now != tc.want) {
			t.Errorf("%q and %d: status %d, %q, want %q", tc.value, tc.delta, got.status, got.value, tc.want)
		}
	}
	for _, delta := range []int64{math.MaxInt64, math.MinInt64, 0} {
		one(e, engine.Remove, "key", "")
		if got := do(e, 0, engine.Incr, "key", "", 0, engine.Args{Delta: delta}); got.status != engine.Created || got.value != fmt.Sprint(delta) {
			t.Errorf("of a new key, %d: %+v", delta, got)
		}
	}
}

// TestIncrForms: it counts in values of its own form, and of form 0.
func TestIncrForms(t *testing.T) {
	e := newEngine(t, engine.Options{})
	for has := range engine.Form(4) {
		for form := range engine.Form(4) {
			do(e, 0, engine.Set, "key", "5", has, engine.Args{})
			got := do(e, 0, engine.Incr, "key", "", form, engine.Args{Delta: 1})
			if counts := has == 0 || has == form; counts && (got.value != "6" || got.form != has) || !counts && got.status != engine.NotInteger {
				t.Errorf("form %d on one of form %d: %+v", form, has, got)
			}
		}
	}
}

// TestFormsAreKept, through everything that writes a record anew.
func TestFormsAreKept(t *testing.T) {
	e := newEngine(t, engine.Options{Shards: 1, Simulation: &engine.Simulation{Seed: 1}})
	sizes := []int{0, 1, 20, 36, engine.MaxSmall - 20, engine.MaxSmall, engine.ChunkBytes, 0}
	for i, n := range sizes {
		for form := range engine.Form(4) {
			for _, deadline := range []int64{0, 50} {
				key := fmt.Sprint("key", form, deadline)
				if i == 0 {
					key = strings.Repeat(key, 100) // a long one
				}
				do(e, 1, engine.Set, key, strings.Repeat("v", n), form, engine.Args{Deadline: deadline})
				e.Compact()
				got := do(e, 1, engine.Get, key, "", 0, engine.Args{})
				at := do(e, 1, engine.Deadline, key, "", 0, engine.Args{}).args.Deadline
				if got.form != form || len(got.value) != n || at != deadline {
					t.Errorf("%d bytes of form %d until %d are %d of form %d until %d", n, form, deadline, len(got.value), got.form, at)
				}
			}
		}
	}
}

// TestRecordsWithDeadlines: 8 bytes more, and none without; the value of 20 bytes of a key
// of 16 takes 40.
func TestRecordsWithDeadlines(t *testing.T) {
	for _, tc := range []struct {
		value    int
		deadline int64
		live     int
	}{{20, 0, 40}, {20, 9, 48}, {21, 0, 48}, {21, 9, 56}, {12, 0, 32}, {12, 9, 40}} {
		e := newEngine(t, engine.Options{})
		key := "a key of 16 byte"
		do(e, 0, engine.Set, key, strings.Repeat("v", tc.value), 1, engine.Args{Deadline: tc.deadline})
		if got := e.Stats().LiveBytes; got != tc.live {
			t.Errorf("%d bytes until %d take %d, want %d", tc.value, tc.deadline, got, tc.live)
		}
		do(e, 0, engine.Expire, key, "", 0, engine.Args{Deadline: 9})
		do(e, 0, engine.Expire, key, "", 0, engine.Args{})
		do(e, 0, engine.Expire, key, "", 0, engine.Args{Deadline: tc.deadline})
		if got := e.Stats().LiveBytes; got != tc.live {
			t.Errorf("%d bytes until %d and changed to and fro take %d, want %d", tc.value, tc.deadline, got, tc.live)
		}
		if got := do(e, 0, engine.Get, key, "", 0, engine.Args{}); got.value != strings.Repeat("v", tc.value) || got.form != 1 {
			t.Errorf("read %+v", got)
		}
	}
}

// TestExpireAcrossHeaders gives and takes deadlines where the 8 bytes make a short record a
// long one, in the room of either.
func TestExpireAcrossHeaders(t *testing.T) {
	var full bool
	e := newEngine(t, engine.Options{Shards: 1, Simulation: &engine.Simulation{Seed: 1, Refuse: func() bool { return full }}})
	for n := engine.MaxSmall - 40; n < engine.MaxSmall+10; n++ {
		for _, first := range []int{n, engine.MaxSmall + 1000} { // in place of a larger one, too
			o := oracle{}
			b := engine.Batch{Now: 1}
			value := bytes.Repeat([]byte{byte(n)}, first)
			for i := range value {
				value[i] = byte(i * 7)
			}
			b.AddForm(engine.Set, []byte("key"), value, 3)
			b.AddForm(engine.Set, []byte("key"), value[:n], 2)
			for _, deadline := range []int64{7, 0, 9} {
				b.AddArgs(engine.Expire, []byte("key"), nil, 0, engine.Args{Deadline: deadline})
				b.Add(engine.Get, []byte("key"), nil)
				b.AddArgs(engine.Deadline, []byte("key"), nil, 0, engine.Args{})
			}
			b.Add(engine.Remove, []byte("key"), nil)
			applyBoth(t, e, o, &b)
		}
	}
}

// TestMergeTriesAgain: a value that changes while the new one is made is not lost, whatever
// changes of it.
func TestMergeTriesAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(e *engine.Engine)
		want   string
		form   engine.Form
	}{
		"value":    {func(e *engine.Engine) { one(e, engine.Set, "key", "b") }, "b+", 1},
		"form":     {func(e *engine.Engine) { do(e, 0, engine.Set, "key", "a", 1, engine.Args{}) }, "a+", 2},
		"removed":  {func(e *engine.Engine) { one(e, engine.Remove, "key", "") }, "+", 1},
		"deadline": {func(e *engine.Engine) { do(e, 0, engine.Set, "key", "c", 3, engine.Args{Deadline: 50}) }, "c+", 0},
	} {
		var e *engine.Engine
		calls := 0
		e = newEngine(t, engine.Options{Merge: func(dst, old []byte, form engine.Form, exists bool, op *engine.Op) ([]byte, engine.Form, engine.Status) {
			if calls++; calls == 1 {
				tt.change(e)
			}
			return testMerge(dst, old, form, exists, op)
		}})
		one(e, engine.Set, "key", "a")
		got := do(e, 0, engine.Merge, "key", "+", 0, engine.Args{})
		if want := int64(len(tt.want)); (got.status == engine.Created) != (name == "removed") || got.args.Delta != want || calls != 2 {
			t.Errorf("%s: %+v after %d calls", name, got, calls)
		}
		if got := do(e, 0, engine.Get, "key", "", 0, engine.Args{}); got.value != tt.want || got.form != tt.form {
			t.Errorf("%s: the value is %+v", name, got)
		}
		got = do(e, 0, engine.Deadline, "key", "", 0, engine.Args{})
		if want := name == "deadline"; (got.args.Deadline == 50) != want {
			t.Errorf("%s: the deadline is %+v", name, got)
		}
	}
}

// TestMergeBesideAWriter: a Merge ends though another changes the key whenever it can, and
// takes what that has left.
func TestMergeBesideAWriter(t *testing.T) {
	var e *engine.Engine
	calls, changes := 0, 0
	merge := func(dst, old []byte, form engine.Form, exists bool, op *engine.Op) ([]byte, engine.Form, engine.Status) {
		if calls++; calls <= 10 && !e.IsLocked("key") {
			changes++
			one(e, engine.Set, "key", fmt.Sprint(changes))
		}
		return testMerge(dst, old, form, exists, op)
	}
	// Simulated, so that nobody else takes the lock.
	e = newEngine(t, engine.Options{Merge: merge, RecordEffects: true, Simulation: &engine.Simulation{Seed: 1}})
	one(e, engine.Set, "key", "0")
	if got := do(e, 0, engine.Merge, "key", "+", 0, engine.Args{}); got.status != engine.Updated || got.args.Delta != 2 || calls != 3 {
		t.Errorf("%+v after %d calls", got, calls)
	}
	if e.IsLocked("key") {
		t.Fatal("the lock is kept")
	}
	if _, got := one(e, engine.Get, "key", ""); got != "2+" {
		t.Errorf("the value is %q", got)
	}

	calls = 0
	one(e, engine.Remove, "key", "")
	if got := do(e, 0, engine.Merge, "key", "x", 3, engine.Args{}); got.status != engine.NotFound || calls != 1 {
		t.Errorf("%+v after %d calls", got, calls)
	}
	calls = 0
	if got := do(e, 0, engine.Merge, "key", "x", 0, engine.Args{}); got.status != engine.Updated || calls != 3 {
		t.Errorf("%+v after %d calls", got, calls)
	}
}

// TestMergeOfNothing: a Merge that makes of a value what it is stores nothing.
func TestMergeOfNothing(t *testing.T) {
	e := newEngine(t, engine.Options{RecordEffects: true})
	var b engine.Batch
	do(e, 0, engine.Set, "key", "UPPER", 2, engine.Args{Deadline: 9})
	for _, tt := range []struct {
		form    engine.Form
		value   string
		effects int
	}{{1, "", 0}, {0, "", 1}, {0, "x", 1}, {1, "", 1}, {1, "", 0}} { // form 0 changes the value's
		b.AddArgs(engine.Merge, []byte("key"), []byte(tt.value), tt.form, engine.Args{})
		e.Apply(&b)
		_, now := one(e, engine.Get, "key", "")
		if n := len(slices.Collect(b.Effects())); n != tt.effects || b.Ops[0].Status != engine.Updated || int(b.Args(0).Delta) != len(now) {
			t.Errorf("form %d, %q: status %d, %d effects, Delta %d of %q", tt.form, tt.value, b.Ops[0].Status, n, b.Args(0).Delta, now)
		}
		b.Reset()
	}
}

// TestWorkLimit: operations that hand out nothing and take as long as a value is have the
// batch stop at its limit as reads do.
func TestWorkLimit(t *testing.T) {
	oneWriter(t)
	opts := engine.Options{Readable: func(value []byte, _ engine.Form) bool { return false }}
	t.Run("plain", func(t *testing.T) { testWorkLimit(t, newEngine(t, opts)) })
	t.Run("hinted", func(t *testing.T) {
		e := newEngine(t, opts)
		e.ForceHints()
		testWorkLimit(t, e)
	})
}

func testWorkLimit(t *testing.T, e *engine.Engine) {
	const size, ops, limit = 1 << 20, 50, 8 << 20
	value := bytes.Repeat([]byte("V"), size)
	another := append(value[:size-1:size-1], 'W')
	names := [][]byte{[]byte("key"), []byte("other")}
	for name, tt := range map[string]struct {
		add  func(b *engine.Batch, i int)
		each int // operations that an Apply executes
	}{
		"Expire": {func(b *engine.Batch, i int) {
			b.AddArgs(engine.Expire, names[0], nil, 0, engine.Args{Deadline: int64(5 * (1 - i%2))})
		}, 4}, // read and written
		"Rename":        {func(b *engine.Batch, i int) { b.Add(engine.Rename, names[i%2], names[1-i%2]) }, 8},
		"Merge":         {func(b *engine.Batch, _ int) { b.AddForm(engine.Merge, names[0], []byte("+"), 0) }, 2}, // five times over
		"Merge to same": {func(b *engine.Batch, _ int) { b.AddForm(engine.Merge, names[0], nil, 1) }, 3},
		"Merge refused": {func(b *engine.Batch, _ int) { b.AddForm(engine.Merge, names[0], nil, 2) }, 4},
		"CompareSet": {func(b *engine.Batch, _ int) {
			b.AddArgs(engine.CompareSet, names[0], value, 0, engine.Args{Expected: value})
		}, 8},
		"CompareRemove": {func(b *engine.Batch, _ int) {
			b.AddArgs(engine.CompareRemove, names[0], nil, 0, engine.Args{Expected: another})
		}, 8},
		"Swap":     {func(b *engine.Batch, _ int) { b.Add(engine.Swap, names[0], value) }, 8},
		"Unread":   {func(b *engine.Batch, _ int) { b.AddArgs(engine.Take, names[0], nil, 0, engine.Args{Readable: true}) }, 8},
		"Deadline": {func(b *engine.Batch, _ int) { b.AddArgs(engine.Deadline, names[0], nil, 0, engine.Args{}) }, ops},
	} {
		for _, limit := range []int{0, limit} {
			e.Clear()
			do(e, 0, engine.Set, "key", string(value), 0, engine.Args{})
			b := engine.Batch{ReadLimit: limit}
			for i := range ops {
				tt.add(&b, i)
			}
			want, each := 0, tt.each
			if limit == 0 {
				each = ops
			}
			for done := false; !done; {
				done = e.Apply(&b)
				if want = min(want+each, ops); b.Executed() != want || done != (want == ops) {
					t.Errorf("%s, limit %d: %d of %d operations are executed, want %d", name, limit, b.Executed(), ops, want)
					break
				}
				if work := b.Work(); limit > 0 && work >= limit+5*(size+ops) {
					t.Errorf("%s: %d bytes of work", name, work)
				}
			}
			for i := range b.Ops {
				if st := b.Ops[i].Status; st == engine.Pending || st == engine.NotFound {
					t.Fatalf("%s: operation %d has status %d", name, i, st)
				}
			}
			b.Reset()
			b.Add(engine.Get, names[0], nil)
			if e.Apply(&b); b.Work() != 0 {
				t.Errorf("%s: a Get leaves %d bytes of work", name, b.Work())
			}
		}
	}
}

// TestClearSet: what it stores is all there is, at any moment: readers who look for the
// markers of two rounds never see both, or neither.
func TestClearSet(t *testing.T) {
	e := newEngine(t, engine.Options{Shards: 16, RecordEffects: true})
	var b engine.Batch
	for i := range 100 {
		b.Add(engine.Set, fmt.Append(nil, "key", i), []byte("v"))
	}
	if n, seqs := e.ClearSet(&b, nil); n != 0 || len(seqs) != 16 || b.Executed() != 100 {
		t.Errorf("%d removed, %d numbers", n, len(seqs))
	}
	for i := range b.Ops {
		if b.Ops[i].Status != engine.Created {
			t.Errorf("operation %d: status %d", i, b.Ops[i].Status)
		}
	}
	b.Reset()
	b.AddArgs(engine.Set, []byte("key1"), []byte("x"), 1, engine.Args{Deadline: 10})
	b.Add(engine.Set, []byte("key1"), []byte("y"))
	if n, _ := e.ClearSet(&b, nil); n != 100 || b.Ops[0].Status != engine.Created || b.Ops[1].Status != engine.Updated {
		t.Errorf("%d removed, statuses %d and %d", n, b.Ops[0].Status, b.Ops[1].Status)
	}
	checkSame(t, e, oracle{"key1": {value: "y"}})
	b.Reset()
	b.Add(engine.Add, []byte("key"), nil)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("ClearSet of an Add doesn't panic")
			}
		}()
		e.ClearSet(&b, nil)
	}()
	one(e, engine.Get, "key", "") // no lock is left
}

// TestClearSetIsAtomic has readers ask for two keys of which exactly one is there.
func TestClearSetIsAtomic(t *testing.T) {
	e := newEngine(t, engine.Options{Shards: 64})
	one(e, engine.Set, "round 0", "")
	readers := newCrew(t)
	var mu sync.Mutex
	current := 0
	for range 2 {
		readers.each(func(int) {
			mu.Lock()
			round := current
			mu.Unlock()
			// The later name first: if it is not there yet the one before it is, unless
			// another round has come.
			var b engine.Batch
			b.Add(engine.Get, fmt.Append(nil, "round ", round+1), nil)
			b.Add(engine.Get, fmt.Append(nil, "round ", round), nil)
			b.Add(engine.Get, fmt.Append(nil, "round ", round+1), nil)
			e.Apply(&b)
			mu.Lock()
			same := current == round
			mu.Unlock()
			if same && b.Ops[0].Status == engine.Found && b.Ops[1].Status == engine.Found {
				t.Error("a reader saw two rounds")
			}
			if same && b.Ops[1].Status != engine.Found && b.Ops[2].Status != engine.Found {
				t.Error("a reader saw no round")
			}
		})
	}
	for round := range rounds(3000) {
		var b engine.Batch
		b.Add(engine.Set, fmt.Append(nil, "round ", round+1), nil)
		if n, _ := e.ClearSet(&b, nil); n != 1 {
			t.Fatalf("%d keys removed", n)
		}
		mu.Lock()
		current = round + 1
		mu.Unlock()
	}
}

// TestClearSetAtTheCeiling: what is removed makes room for what is stored.
func TestClearSetAtTheCeiling(t *testing.T) {
	e := newEngine(t, engine.Options{Shards: 4, MaxBytes: 8 * engine.ChunkBytes})
	o := oracle{}
	for round := range 5 {
		var b engine.Batch
		clear(o)
		for i := range 6 * engine.ChunkBytes / 1100 {
			key := fmt.Append(nil, round, " ", i)
			b.Add(engine.Set, key, make([]byte, 1000))
			o[string(key)] = kept{value: string(make([]byte, 1000))}
		}
		release := e.HoldMaintainer()
		_, _ = e.ClearSet(&b, nil)
		release()
		for i := range b.Ops {
			if b.Ops[i].Status != engine.Created {
				t.Fatalf("round %d, operation %d: status %d", round, i, b.Ops[i].Status)
			}
		}
	}
	checkSame(t, e, o)
}

// TestUnknownKinds: a bug of the caller is said so, and leaves no lock.
func TestUnknownKinds(t *testing.T) {
	e := newEngine(t, engine.Options{})
	for _, kind := range []engine.Kind{0, engine.Merge + 1, 255} {
		func() {
			defer func() {
				if r := recover(); !strings.HasPrefix(fmt.Sprint(r), "BUG: engine: ") {
					t.Errorf("kind %d: %v", kind, r)
				}
			}()
			one(e, kind, "key", "")
		}()
		one(e, engine.Get, "key", "")
	}
}

// TestOperationsInParallel counts with every operation that reads and writes at once: not one
// change is lost.
func TestOperationsInParallel(t *testing.T) {
	const workers = 4
	e := newEngine(t, engine.Options{})
	each := rounds(20_000)
	var wg sync.WaitGroup
	var taken [workers]int
	for g := range workers {
		wg.Go(func() {
			var b engine.Batch
			for i := range each {
				b.AddArgs(engine.Incr, []byte("incr"), nil, 0, engine.Args{Delta: 1})
				b.Add(engine.Merge, []byte("merge"), []byte("x"))
				b.Add(engine.Take, []byte("take"), nil)
				b.Add(engine.Add, []byte("take"), []byte("x"))
				e.Apply(&b)
				if b.Ops[2].Status == engine.Removed {
					taken[g]--
				}
				if b.Ops[3].Status == engine.Created {
					taken[g]++
				}
				b.Reset()
				for i%10 == 0 { // a counter with compare and set
					old := do(e, 0, engine.Get, "cas", "", 0, engine.Args{})
					if old.status == engine.NotFound {
						one(e, engine.Add, "cas", "0")
						continue
					}
					var n int
					_, _ = fmt.Sscan(old.value, &n)
					if do(e, 0, engine.CompareSet, "cas", fmt.Sprint(n+1), 0, engine.Args{Expected: []byte(old.value)}).status == engine.Updated {
						break
					}
				}
				if i%1000 == 0 {
					one(e, engine.Set, "merge", "") // or it gets long
				}
			}
		})
	}
	wg.Wait()
	want := oracle{"incr": {value: fmt.Sprint(workers * each)}, "cas": {value: fmt.Sprint(workers * ((each + 9) / 10))}}
	sum := 0
	for _, n := range taken {
		sum += n
	}
	if sum == 1 {
		want["take"] = kept{value: "x"}
	} else if sum != 0 {
		t.Errorf("%d more were added than taken", sum)
	}
	_, merged := one(e, engine.Get, "merge", "")
	want["merge"] = kept{value: merged}
	if strings.Trim(merged, "x") != "" {
		t.Errorf("merged %.20q", merged)
	}
	checkSame(t, e, want)
}
