package engine_test

import (
	"bytes"
	"flag"
	"math/big"
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
	seed := uint64(time.Now().UnixNano())
	if *seedFlag != 0 {
		seed = *seedFlag
	}
	t.Logf("seed: repeat with -seed=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// oracle is what the Engine must behave like: one map, one operation at a time. It keeps
// what is dead until an operation meets it, so that dropDead finds it.
type oracle map[string]kept

// kept is what a key has.
type kept struct {
	value    string
	form     engine.Form
	deadline int64
}

func (k kept) isDead(now int64) bool { return k.deadline != 0 && k.deadline <= now }

// outcome is what an operation hands out.
type outcome struct {
	status engine.Status
	value  string // of those that read one
	form   engine.Form
	args   engine.Args
}

// apply executes op at a time.
func (o oracle) apply(op engine.Op, args engine.Args, now int64) outcome {
	key := string(op.Key)
	o.drop(key, now)
	old, ok := o[key]
	given := kept{string(op.Value), op.Form, args.Deadline}
	is := func(st engine.Status) outcome { return outcome{status: st, args: args} }
	stored := func(k kept) outcome {
		o[key] = k
		if ok {
			return is(engine.Updated)
		}
		return is(engine.Created)
	}
	switch op.Kind {
	case engine.Set:
		return stored(given)
	case engine.Swap:
		if ok && args.Readable && !testReadable([]byte(old.value), old.form) {
			return is(engine.Refused)
		}
		out := stored(given)
		out.value, out.form = old.value, old.form
		return out
	case engine.Add:
		if ok {
			return is(engine.Exists)
		}
		return stored(given)
	case engine.Incr:
		n := new(big.Int)
		if ok {
			_, isInt := n.SetString(old.value, 10)
			if !isInt || n.String() != old.value && old.value != "-0" || !n.IsInt64() || old.form != 0 && old.form != op.Form {
				return is(engine.NotInteger)
			}
			given.form = old.form
		}
		if n.Add(n, big.NewInt(args.Delta)); !n.IsInt64() {
			return is(engine.NotInteger)
		}
		out := stored(kept{n.String(), given.form, old.deadline})
		out.value, out.form = n.String(), given.form
		return out
	case engine.Merge:
		value, form, st := testMerge(nil, []byte(old.value), old.form, ok, &op)
		if st != engine.Updated {
			return is(st)
		}
		args.Delta = int64(len(value))
		return stored(kept{string(value), form, old.deadline})
	}
	if !ok {
		return is(engine.NotFound)
	}
	out := is(engine.Found)
	switch op.Kind {
	case engine.Get:
		out.value, out.form = old.value, old.form
	case engine.Contains:
	case engine.Deadline:
		out.args.Deadline = old.deadline
	case engine.Expire:
		old.deadline = args.Deadline
		return stored(old)
	case engine.Remove:
		delete(o, key)
		return is(engine.Removed)
	case engine.Take:
		if args.Readable && !testReadable([]byte(old.value), old.form) {
			return is(engine.Refused)
		}
		delete(o, key)
		out.status, out.value, out.form = engine.Removed, old.value, old.form
	case engine.CompareSet, engine.CompareRemove:
		if old.value != string(args.Expected) || old.form != args.ExpectedForm {
			return is(engine.Differs)
		}
		if op.Kind == engine.CompareSet {
			given.deadline = old.deadline
			return stored(given)
		}
		delete(o, key)
		return is(engine.Removed)
	case engine.Rename:
		if key != string(op.Value) {
			o.drop(string(op.Value), now)
			if _, taken := o[string(op.Value)]; taken {
				return is(engine.Exists)
			}
			delete(o, key)
			o[string(op.Value)] = old
		}
		return is(engine.Renamed)
	}
	return out
}

// drop forgets a key if it is dead.
func (o oracle) drop(key string, now int64) {
	if o[key].isDead(now) {
		delete(o, key)
	}
}

// testMerge appends, or makes capitals, or refuses, as the form of the operation says. For
// the first Value is what to append; the form of the value goes up with it.
func testMerge(dst, old []byte, form engine.Form, exists bool, op *engine.Op) ([]byte, engine.Form, engine.Status) {
	switch {
	case op.Form == 0:
		return append(append(dst, old...), op.Value...), (form + 1) % 4, engine.Updated
	case !exists:
		return nil, 0, engine.NotFound
	case op.Form == 1:
		return append(dst, bytes.ToUpper(old)...), form, engine.Updated
	}
	return nil, 0, engine.Refused
}

// testReadable takes half of the values, by their form and by their bytes.
func testReadable(value []byte, form engine.Form) bool {
	return form < 2 || form == 2 && len(value)%2 == 0
}

// applyBoth executes the batch on the engine and on the oracle, compares every outcome, and
// resets the batch. Values are compared after the whole batch has run, so that one that the
// scratch lost while growing is noticed.
func applyBoth(t testing.TB, e *engine.Engine, o oracle, b *engine.Batch) {
	t.Helper()
	want := make([]outcome, len(b.Ops))
	for i, op := range b.Ops {
		want[i] = o.apply(op, argsOf(b, i), b.Now)
	}
	for from := 0; ; {
		done := e.Apply(b)
		for i := from; i < b.Executed(); i++ {
			compare(t, b, i, want[i])
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

// compare checks what operation i of a batch has handed out.
func compare(t testing.TB, b *engine.Batch, i int, want outcome) {
	t.Helper()
	op := b.Ops[i]
	if op.Status != want.status {
		t.Fatalf("operation %d, kind %d, key %.40q at %d: status %d, want %d", i, op.Kind, op.Key, b.Now, op.Status, want.status)
	}
	if args := argsOf(b, i); args.Deadline != want.args.Deadline || args.Delta != want.args.Delta {
		t.Fatalf("operation %d, kind %d, key %.40q: %+v, want %+v", i, op.Kind, op.Key, args, want.args)
	}
	if reads(op) && (string(op.Value) != want.value || op.Form != want.form) {
		t.Fatalf("operation %d, kind %d of %.40q: read %d bytes %.40q of form %d, want %d bytes %.40q of form %d",
			i, op.Kind, op.Key, len(op.Value), op.Value, op.Form, len(want.value), want.value, want.form)
	}
}

// reads reports whether an operation that has been executed has read a value.
func reads(op engine.Op) bool {
	switch op.Kind {
	case engine.Get, engine.Take:
		return op.Status == engine.Found || op.Status == engine.Removed
	case engine.Swap:
		return op.Status == engine.Updated
	case engine.Incr:
		return op.Status == engine.Updated || op.Status == engine.Created
	}
	return false
}

// argsOf are the Args of operation i, if it has any.
func argsOf(b *engine.Batch, i int) engine.Args {
	if args := b.Args(i); args != nil {
		return *args
	}
	return engine.Args{}
}

// dropDead has both drop what is dead.
func dropDead(e *engine.Engine, o oracle, now int64) {
	b := engine.Batch{Now: now}
	for key := range o {
		b.Add(engine.Contains, []byte(key), nil)
		o.drop(key, now)
	}
	e.Apply(&b)
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
	seen := make(map[string]bool, len(o))
	e.Range(func(key, value []byte) bool {
		if seen[string(key)] {
			t.Errorf("Range visits %.40q twice", key)
		}
		seen[string(key)] = true
		if want, ok := o[string(key)]; !ok || want.value != string(value) {
			t.Errorf("Range sees %.40q with %.40q, want %.40q", key, value, want.value)
		}
		return true
	})
	if len(seen) != len(o) {
		t.Fatalf("Range sees %d keys, want %d", len(seen), len(o))
	}
}

func newEngine(t testing.TB, opts engine.Options) *engine.Engine {
	t.Helper()
	watch(t)
	if opts.Clock == nil {
		opts.Clock = func() int64 { return 0 } // the tests' time is not the system's
	}
	if opts.Merge == nil {
		opts.Merge = testMerge
	}
	if opts.Readable == nil {
		opts.Readable = testReadable
	}
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

// do executes one operation at a time of its own.
func do(e *engine.Engine, now int64, kind engine.Kind, key, value string, form engine.Form, args engine.Args) outcome {
	b := engine.Batch{Now: now}
	b.AddArgs(kind, []byte(key), []byte(value), form, args)
	e.Apply(&b)
	out := outcome{status: b.Ops[0].Status, args: *b.Args(0)}
	if reads(b.Ops[0]) {
		out.value, out.form = string(b.Ops[0].Value), b.Ops[0].Form
	}
	return out
}
