package engine_test

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"keyframe/engine"
)

func TestCases(t *testing.T) {
	type step struct {
		kind       engine.Kind
		key, value string
		status     engine.Status
		read       string
	}
	for name, steps := range map[string][]step{
		"set, read, replace": {
			{engine.Get, "k", "", engine.NotFound, ""},
			{engine.Set, "k", "one", engine.Created, ""},
			{engine.Get, "k", "", engine.Found, "one"},
			{engine.Set, "k", "a longer one", engine.Updated, ""},
			{engine.Get, "k", "", engine.Found, "a longer one"},
			{engine.Set, "k", "s", engine.Updated, ""},
			{engine.Get, "k", "", engine.Found, "s"},
			{engine.Set, "k", "", engine.Updated, ""},
			{engine.Get, "k", "", engine.Found, ""},
		},
		"add does not replace": {
			{engine.Add, "k", "one", engine.Created, ""},
			{engine.Add, "k", "two", engine.Exists, ""},
			{engine.Get, "k", "", engine.Found, "one"},
		},
		"remove and contains": {
			{engine.Remove, "k", "", engine.NotFound, ""},
			{engine.Set, "k", "v", engine.Created, ""},
			{engine.Contains, "k", "", engine.Found, ""},
			{engine.Remove, "k", "", engine.Removed, ""},
			{engine.Contains, "k", "", engine.NotFound, ""},
			{engine.Remove, "k", "", engine.NotFound, ""},
			{engine.Set, "k", "w", engine.Created, ""},
			{engine.Get, "k", "", engine.Found, "w"},
		},
		"rename": {
			{engine.Rename, "a", "b", engine.NotFound, ""},
			{engine.Rename, "a", "a", engine.NotFound, ""},
			{engine.Set, "a", "v", engine.Created, ""},
			{engine.Rename, "a", "a", engine.Renamed, ""},
			{engine.Rename, "a", "b", engine.Renamed, ""},
			{engine.Get, "a", "", engine.NotFound, ""},
			{engine.Get, "b", "", engine.Found, "v"},
			{engine.Set, "a", "w", engine.Created, ""},
			{engine.Rename, "a", "b", engine.Exists, ""},
			{engine.Get, "a", "", engine.Found, "w"},
			{engine.Get, "b", "", engine.Found, "v"},
		},
		"empty keys and values, any bytes": {
			{engine.Set, "", "", engine.Created, ""},
			{engine.Get, "", "", engine.Found, ""},
			{engine.Set, "", "\x00", engine.Updated, ""},
			{engine.Get, "", "", engine.Found, "\x00"},
			{engine.Set, "\x00", "zero", engine.Created, ""},
			{engine.Get, "", "", engine.Found, "\x00"},
			{engine.Get, "\x00", "", engine.Found, "zero"},
			{engine.Rename, "", "\xff\xff", engine.Renamed, ""},
			{engine.Get, "\xff\xff", "", engine.Found, "\x00"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			// Each step alone, and all in one batch.
			single, together := newEngine(t, engine.Options{}), newEngine(t, engine.Options{Shards: 1})
			var b engine.Batch
			for i, s := range steps {
				if status, read := one(single, s.kind, s.key, s.value); status != s.status || read != s.read {
					t.Errorf("step %d alone: %d %q, want %d %q", i, status, read, s.status, s.read)
				}
				b.Add(s.kind, []byte(s.key), []byte(s.value))
			}
			if !together.Apply(&b) {
				t.Fatal("Apply stopped without a ReadLimit")
			}
			for i, s := range steps {
				op := b.Ops[i]
				if op.Status != s.status || s.kind == engine.Get && string(op.Value) != s.read {
					t.Errorf("step %d in a batch: %d %q, want %d %q", i, op.Status, op.Value, s.status, s.read)
				}
			}
		})
	}
}

// TestSizes stores values and keys on both sides of the powers of two.
func TestSizes(t *testing.T) {
	e, o := newEngine(t, engine.Options{}), oracle{}
	var b engine.Batch
	for bit := range 21 {
		for _, n := range []int{1<<bit - 1, 1 << bit, 1<<bit + 1} {
			fill := bytes.Repeat([]byte{byte(bit + 'a')}, n)
			b.Add(engine.Set, fmt.Appendf(nil, "%d", n), fill)
			b.Add(engine.Set, fill, fmt.Appendf(nil, "%d", n))
			b.Add(engine.Get, fmt.Appendf(nil, "%d", n), nil)
			b.Add(engine.Get, fill, nil)
		}
	}
	applyBoth(t, e, o, &b)
	checkSame(t, e, o)
}

// TestNothingHandedInIsKept overwrites every byte that Apply was given.
func TestNothingHandedInIsKept(t *testing.T) {
	e := newEngine(t, engine.Options{})
	buf := []byte("key1value1key2value2key3")
	one(e, engine.Set, "key1", "")
	var b engine.Batch
	b.Add(engine.Set, buf[0:4], buf[4:10])
	b.Add(engine.Add, buf[10:14], buf[14:20])
	b.Add(engine.Rename, buf[10:14], buf[20:24])
	b.Add(engine.Get, buf[0:4], nil)
	e.Apply(&b)
	read := b.Ops[3].Value
	for i := range buf {
		buf[i] = 0xCC
	}
	if string(read) != "value1" {
		t.Errorf("a value read aliases the key: %q", read)
	}
	for i := range read {
		read[i] = 0xCC // scratch, not the store's own memory
	}
	for key, want := range map[string]string{"key1": "value1", "key3": "value2"} {
		if status, got := one(e, engine.Get, key, ""); status != engine.Found || got != want {
			t.Errorf("Get %q: %d %q, want %q", key, status, got, want)
		}
	}
	if e.Len() != 2 {
		t.Errorf("Len is %d, want 2", e.Len())
	}
}

// TestReadLimit reads through batches that Apply takes one operation after the other, and
// through its window.
func TestReadLimit(t *testing.T) {
	t.Run("plain", func(t *testing.T) { testReadLimit(t, newEngine(t, engine.Options{})) })
	t.Run("hinted", func(t *testing.T) {
		e := newEngine(t, engine.Options{})
		e.ForceHints()
		testReadLimit(t, e)
	})
}

func testReadLimit(t *testing.T, e *engine.Engine) {
	const values, size = 50, 1000
	var b engine.Batch
	for i := range values {
		b.Add(engine.Set, fmt.Appendf(nil, "key%d", i), bytes.Repeat([]byte{byte(i)}, size))
	}
	e.Apply(&b)
	for _, limit := range []int{0, 1, size - 1, size, size + 1, 7 * size, values * size, values*size + 1} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			b := engine.Batch{ReadLimit: limit}
			for i := range values {
				b.Add(engine.Get, fmt.Appendf(nil, "key%d", i), nil)
				b.Add(engine.Contains, fmt.Appendf(nil, "key%d", i), nil)
			}
			for from := 0; ; {
				done := e.Apply(&b)
				read := 0
				for i := from; i < b.Executed(); i++ {
					op := b.Ops[i]
					if op.Status != engine.Found {
						t.Fatalf("operation %d: status %d", i, op.Status)
					}
					if op.Kind == engine.Get {
						read += len(op.Value)
						if cap(op.Value) != len(op.Value) {
							t.Fatal("appending to a value would overwrite the next one")
						}
						// All values of this Apply, the scratch having grown since.
						if !bytes.Equal(op.Value, bytes.Repeat([]byte{byte(i / 2)}, size)) {
							t.Fatalf("operation %d read %.20x", i, op.Value)
						}
					}
				}
				for _, op := range b.Ops[b.Executed():] {
					if op.Status != engine.Pending {
						t.Fatalf("an operation that was not executed has status %d", op.Status)
					}
				}
				if limit > 0 && read >= limit+size {
					t.Fatalf("one Apply read %d bytes, limit %d", read, limit)
				}
				if done != (b.Executed() == len(b.Ops)) || b.Executed() == from {
					t.Fatalf("Apply says %v at %d of %d, from %d", done, b.Executed(), len(b.Ops), from)
				}
				if done {
					break
				}
				if read < limit {
					t.Fatalf("Apply stopped after %d bytes, limit %d", read, limit)
				}
				from = b.Executed()
			}
			if !e.Apply(&b) {
				t.Error("an executed batch is not done")
			}
		})
	}
}

func TestBatchReset(t *testing.T) {
	e := newEngine(t, engine.Options{})
	var b engine.Batch
	if !e.Apply(&b) || b.Executed() != 0 {
		t.Error("an empty batch is not done")
	}
	b.Add(engine.Set, []byte("k"), []byte("v"))
	e.Apply(&b)
	b.Reset()
	if len(b.Ops) != 0 || b.Executed() != 0 {
		t.Errorf("after Reset: %d operations, %d executed", len(b.Ops), b.Executed())
	}
	if full := b.Ops[:1]; full[0].Key != nil || full[0].Value != nil {
		t.Error("Reset keeps the caller's bytes alive")
	}
	b.Add(engine.Get, []byte("k"), nil)
	if e.Apply(&b); b.Ops[0].Status != engine.Found {
		t.Errorf("a reused batch: status %d", b.Ops[0].Status)
	}
	for _, size := range []int{1 << 10, 4 << 20} { // what a huge value took isn't kept
		one(e, engine.Set, "k", string(make([]byte, size)))
		b.Reset()
		b.Add(engine.Get, []byte("k"), nil)
		e.Apply(&b)
		b.Reset()
		if kept := b.Kept(); (kept >= size) != (size <= 1<<20) {
			t.Errorf("%d bytes are kept after a value of %d", kept, size)
		}
	}
}

func TestClearAndRange(t *testing.T) {
	e, o := newEngine(t, engine.Options{InitialCapacity: 10}), oracle{}
	checkSame(t, e, o)
	var b engine.Batch
	for i := range 1000 {
		b.Add(engine.Set, fmt.Appendf(nil, "key%d", i), fmt.Appendf(nil, "value%d", i))
	}
	applyBoth(t, e, o, &b)
	checkSame(t, e, o)
	calls := 0
	e.Range(func(_, _ []byte) bool { calls++; return calls < 3 })
	if calls != 3 {
		t.Errorf("Range called fn %d times after it returned false at 3", calls)
	}
	// fn may change the engine that it is called from.
	e.Range(func(key, _ []byte) bool { one(e, engine.Remove, string(key), ""); return true })
	if e.Len() != 0 {
		t.Errorf("%d keys after removing each", e.Len())
	}
	one(e, engine.Set, "k", "v")
	if n := e.Clear(); n != 1 {
		t.Errorf("Clear says %d, want 1", n)
	}
	if n := e.Clear(); n != 0 {
		t.Errorf("the second Clear says %d", n)
	}
	checkSame(t, e, oracle{})
	one(e, engine.Set, "k", "v")
	checkSame(t, e, oracle{"k": {value: "v"}})
}

func TestClose(t *testing.T) {
	e := newEngine(t, engine.Options{})
	one(e, engine.Set, "k", "v")
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if err := e.Close(); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("the second Close: %v", err)
	}
}

func TestOptions(t *testing.T) {
	for _, shards := range []int{0, 1, 2, 64, 1 << 16} {
		e := newEngine(t, engine.Options{Shards: shards})
		if got := e.Stats().Shards; got != shards && shards != 0 || got&(got-1) != 0 {
			t.Errorf("Shards %d: made %d", shards, got)
		}
	}
	for _, shards := range []int{-1, 3, 1<<16 + 1, 1 << 17} {
		if _, err := engine.New(engine.Options{Shards: shards}); err == nil || !strings.Contains(err.Error(), "Shards") {
			t.Errorf("Shards %d: %v", shards, err)
		}
	}
	_, err := engine.New(engine.Options{Shards: 3, InitialCapacity: -1})
	if err == nil || !strings.Contains(err.Error(), "Shards") || !strings.Contains(err.Error(), "InitialCapacity") {
		t.Errorf("two faults reported as %v", err)
	}
}

// TestOptionErrors: each fault names its field, what it holds and what it may hold,
// and none hides another.
func TestOptionErrors(t *testing.T) {
	const small, most = engine.ChunkBytes / 2, engine.ChunkBytes / 16
	fault := func(field string, value any, want string) engine.OptionError {
		return engine.OptionError{Field: field, Value: value, Want: want}
	}
	for _, tt := range []struct {
		opts engine.Options
		want []engine.OptionError
	}{
		{engine.Options{Shards: 3, InitialCapacity: -1, MaxBytes: small}, []engine.OptionError{
			fault("Shards", 3, "a power of two from 1 to 65536"),
			fault("InitialCapacity", -1, "0 or more"),
			fault("MaxBytes", small, fmt.Sprintf("0, or %d to %d", engine.ChunkBytes, engine.MaxReserve)),
		}},
		{engine.Options{MaxBytes: engine.MaxReserve + 1}, []engine.OptionError{
			fault("MaxBytes", engine.MaxReserve+1, fmt.Sprintf("0, or %d to %d", engine.ChunkBytes, engine.MaxReserve)),
		}},
		{engine.Options{MaxBytes: engine.MaxReserve}, nil},
		{engine.Options{MaxBytes: engine.ChunkBytes, InitialCapacity: most + 1}, []engine.OptionError{
			fault("InitialCapacity", most+1, fmt.Sprintf("at most %d, what MaxBytes of %d has room for", most, engine.ChunkBytes)),
		}},
		{engine.Options{MaxBytes: engine.ChunkBytes, InitialCapacity: most}, nil},
	} {
		err := engine.CheckOptions(tt.opts)
		var faults []error
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			faults = joined.Unwrap()
		}
		if len(faults) != len(tt.want) {
			t.Errorf("%v, want %d faults", err, len(tt.want))
			continue
		}
		for i, err := range faults {
			var got *engine.OptionError
			if !errors.As(err, &got) || *got != tt.want[i] {
				t.Errorf("got %v, want %v", err, &tt.want[i])
			}
		}
	}
	if e := fault("Shards", 3, "a power of two"); e.Error() != "engine: Shards is 3, want a power of two" {
		t.Errorf("it says %q", &e)
	}
}

// TestSeeds: clients who know the hash function must not know the positions.
func TestSeeds(t *testing.T) {
	a, b := newEngine(t, engine.Options{}), newEngine(t, engine.Options{})
	if a.HashOf("key") == b.HashOf("key") {
		t.Error("two engines share a seed")
	}
}

// TestNewStartsLast: no goroutine of an Engine runs until all of it has been set up. New
// asks the system for memory at many places.
func TestNewStartsLast(t *testing.T) {
	before, asked := runtime.NumGoroutine(), 0
	watch := func() bool {
		stack := make([]byte, 64<<10)
		if stack = stack[:runtime.Stack(stack, false)]; bytes.Contains(stack, []byte("engine.New(")) {
			asked++
			if n := runtime.NumGoroutine(); n > before {
				t.Errorf("%d goroutines in New, %d before it", n, before)
			}
		}
		return false
	}
	newEngine(t, engine.Options{Shards: 64, InitialCapacity: 1 << 20}.WithFailing(watch))
	if asked < 5 {
		t.Errorf("New has asked for memory %d times", asked)
	}
}
