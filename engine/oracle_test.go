package engine_test

import (
	"bytes"
	"flag"
	"maps"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"keyframe/engine"
)

// seedFlag repeats a run: every test that draws random numbers prints its seed.
var seedFlag = flag.Uint64("seed", 0, "seed of the random tests; 0 draws one")

func newRand(t testing.TB) *rand.Rand {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed: repeat with -seed=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// oracle is what the Engine must behave like: one map, one operation at a time.
type oracle map[string]string

// apply executes op and returns its status and the value that a Get reads.
func (o oracle) apply(op engine.Op) (engine.Status, string) {
	old, ok := o[string(op.Key)]
	switch op.Kind {
	case engine.Set:
		o[string(op.Key)] = string(op.Value)
		if ok {
			return engine.Updated, ""
		}
		return engine.Created, ""
	case engine.Add:
		if ok {
			return engine.Exists, ""
		}
		o[string(op.Key)] = string(op.Value)
		return engine.Created, ""
	case engine.Get:
		if ok {
			return engine.Found, old
		}
	case engine.Contains:
		if ok {
			return engine.Found, ""
		}
	case engine.Remove:
		if ok {
			delete(o, string(op.Key))
			return engine.Removed, ""
		}
	case engine.Rename:
		if !ok {
			return engine.NotFound, ""
		}
		if !bytes.Equal(op.Key, op.Value) {
			if _, taken := o[string(op.Value)]; taken {
				return engine.Exists, ""
			}
			delete(o, string(op.Key))
			o[string(op.Value)] = old
		}
		return engine.Renamed, ""
	}
	return engine.NotFound, ""
}

// applyBoth executes the batch on the engine and on the oracle, compares every outcome, and
// resets the batch. Values are compared after the whole batch has run, so that one that the
// scratch lost while growing is noticed.
func applyBoth(t testing.TB, e *engine.Engine, o oracle, b *engine.Batch) {
	t.Helper()
	type outcome struct {
		status engine.Status
		value  string
	}
	want := make([]outcome, len(b.Ops))
	for i, op := range b.Ops {
		want[i].status, want[i].value = o.apply(op)
	}
	for from := 0; ; {
		done := e.Apply(b)
		for i := from; i < b.Executed(); i++ {
			op := b.Ops[i]
			if op.Status != want[i].status {
				t.Fatalf("operation %d, kind %d, key %.40q: status %d, want %d", i, op.Kind, op.Key, op.Status, want[i].status)
			}
			if op.Kind == engine.Get && string(op.Value) != want[i].value {
				t.Fatalf("operation %d: Get %.40q read %d bytes %.40q, want %d bytes %.40q",
					i, op.Key, len(op.Value), op.Value, len(want[i].value), want[i].value)
			}
		}
		from = b.Executed()
		if done {
			break
		}
		if b.ReadLimit == 0 {
			t.Fatalf("Apply stopped at %d of %d operations without a ReadLimit", from, len(b.Ops))
		}
	}
	if b.Executed() != len(b.Ops) {
		t.Fatalf("executed %d of %d operations", b.Executed(), len(b.Ops))
	}
	b.Reset()
}

// checkSame compares the whole content.
func checkSame(t testing.TB, e *engine.Engine, o oracle) {
	t.Helper()
	if err := e.CheckInvariants(); err != nil {
		t.Fatal(err)
	}
	if e.Len() != len(o) || e.Stats().Keys != len(o) {
		t.Fatalf("Len is %d, Stats().Keys %d, want %d", e.Len(), e.Stats().Keys, len(o))
	}
	seen := make(map[string]string, len(o))
	e.Range(func(key, value []byte) bool {
		if _, twice := seen[string(key)]; twice {
			t.Errorf("Range visits %.40q twice", key)
		}
		seen[string(key)] = string(value)
		return true
	})
	if !maps.Equal(seen, o) {
		t.Fatalf("Range sees %d keys that aren't the %d expected", len(seen), len(o))
	}
}

func newEngine(t testing.TB, opts engine.Options) *engine.Engine {
	t.Helper()
	watch(t)
	e, err := engine.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if e.Closed() || panicking() {
			return
		}
		if !t.Failed() { // the test's own message says more than this check would
			if err := e.CheckInvariants(); err != nil {
				t.Error(err)
			}
		}
		_ = e.Close()
	})
	return e
}

// panicking reports whether the goroutine unwinds from a panic. Its cleanups must not touch
// the store then: a shard may be locked, and waiting for it would hide the message.
func panicking() bool {
	pc := make([]uintptr, 100)
	frames := runtime.CallersFrames(pc[:runtime.Callers(1, pc)])
	for {
		f, more := frames.Next()
		if f.Function == "runtime.gopanic" {
			return true
		}
		if !more {
			return false
		}
	}
}

// one executes a single operation in a batch of its own.
func one(e *engine.Engine, kind engine.Kind, key, value string) (engine.Status, string) {
	var b engine.Batch
	b.Add(kind, []byte(key), []byte(value))
	e.Apply(&b)
	if kind == engine.Get {
		return b.Ops[0].Status, string(b.Ops[0].Value)
	}
	return b.Ops[0].Status, ""
}
