package engine

import "time"

// Kind says what an operation does.
type Kind uint8

// The kinds of operations. Those after Contains that say nothing else leave the deadline
// of a key as it is.
const (
	Set      Kind = iota + 1 // store Value under Key, whether or not Key exists; its deadline is Args.Deadline
	Add                      // the same, unless Key exists
	Get                      // read the value of Key into Value
	Remove                   // remove Key
	Contains                 // report whether Key exists
	Rename                   // move the value of Key, and its deadline, to the key in Value; with Args.Replace over what is there

	Expire        // give Key the deadline Args.Deadline, if Args.If lets it; 0 takes it away
	Deadline      // read the deadline of Key into Args.Deadline
	Incr          // add Args.Delta to the integer under Key, and read the sum into Value
	CompareSet    // store Value under Key if its value is Args.Expected
	CompareRemove // remove Key if its value is Args.Expected
	Take          // read the value of Key into Value, and remove Key
	Swap          // as Set, if Args.If lets it, and read the value that was there into Value
	Merge         // store what Options.Merge makes of the value of Key
)

// Status is the outcome of an operation.
type Status uint8

// The outcomes, with the kinds of operations that can have them.
const (
	Pending  Status = iota // not executed yet
	Created                // Set, Add, Incr, Swap, Merge: the key did not exist; it does now
	Updated                // Set, Expire, Incr, CompareSet, Swap, Merge: the key existed; it is changed
	Found                  // Get, Contains, Deadline: the key exists
	Exists                 // Add, Swap: the key existed; Rename: the new key existed; nothing changed
	NotFound               // all but Set, Add, Incr: the key does not exist
	Removed                // Remove, CompareRemove, Take: the key existed; it does not now
	Renamed                // Rename: the value is under the new key now

	// OutOfMemory: it would have taken more memory than Options.MaxBytes allows, or than
	// the system has; nothing changed. Set, Add, Rename, Expire, Incr, CompareSet, Swap, Merge.
	OutOfMemory

	NotInteger // Incr: the value is no integer, or the sum would be none of 64 bits; nothing changed
	Differs    // CompareSet, CompareRemove: the value is another one; Expire: Args.If forbids it; nothing changed
	Refused    // Merge: Options.Merge has refused; Take, Swap: the value isn't Args.Readable; nothing changed
)

// changes reports whether an operation with this outcome has changed something. Of a
// Rename more is to be asked: it may have been to the same key.
func (s Status) changes() bool {
	return 1<<s&(1<<Created|1<<Updated|1<<Removed) != 0
}

// Form says how the bytes of a value are to be read: a number that the engine keeps with
// the value and hands out, and that CompareSet and CompareRemove compare with it. It means
// nothing to the engine, except to Incr: it counts in values of form 0, as those that it
// makes are, and of the form that the operation has.
type Form uint8

// maxForm is the largest Form: a record has two bits for it.
const maxForm = 3

// Op is one operation of a batch.
type Op struct {
	// Key is read during Apply and not kept.
	Key []byte
	// Value is an argument, read during Apply and not kept: of Set, Add, CompareSet and
	// Swap (the value), of Rename (the new key), and of Merge. If a Get or Take found its
	// key, a Swap found a value, an Incr counted, or Args.Read asks for it, Apply sets it to
	// the value read: bytes of the batch's scratch, valid until the next Apply or Reset of
	// the batch.
	Value []byte
	// Kind is what to do.
	Kind Kind
	// Status is Pending until Apply has executed the operation.
	Status Status
	// Form is that of Value, 0 to 3.
	Form Form

	args uint32 // 1 + the index of its Args in the batch; 0: it has none
}

// Args are what only some operations carry.
type Args struct {
	// Deadline is when the key ceases to exist, in milliseconds since 1970; 0: never. An
	// argument of Set, Add, Swap and Expire; of Deadline the result. One that is over
	// already is taken: then the key doesn't exist at once.
	Deadline int64
	// Delta is what an Incr adds. Of a Merge that has stored a value it is set to the
	// number of bytes of that, or of the value that is there if it is the same.
	Delta int64
	// Expected is what CompareSet and CompareRemove compare the value with, and
	// ExpectedForm its form. It is read during Apply and not kept.
	Expected     []byte
	ExpectedForm Form

	If      Condition // when a Swap or an Expire is done
	Keep    bool      // of Swap: the deadline stays as it is, unless the key is new
	Read    bool      // of Expire and Merge: read the value, of Merge the new one, into Value
	Replace bool      // of Rename: the new key may exist

	// Readable has a Take or a Swap refused if there is a value that Options.Readable says
	// is not: whoever couldn't be told what it was must not lose it.
	Readable bool
}

// Condition is when an operation is to be done. A Swap that is not done has the status Exists
// or NotFound, an Expire Differs.
type Condition uint8

// The conditions. A key without a deadline has a later one than any other.
const (
	Always    Condition = iota
	IfMissing           // Swap: the key doesn't exist
	IfExists            // Swap: it exists
	IfNone              // Expire: it has no deadline
	IfAny               // Expire: it has one
	IfLater             // Expire: the new deadline is later
	IfEarlier           // Expire: the new deadline is earlier
)

// allows reports whether a deadline may take the place of another, as the conditions of
// Expire have it.
func (c Condition) allows(old, new int64) bool {
	switch c {
	case IfNone:
		return old == 0
	case IfAny:
		return old != 0
	case IfLater:
		return old != 0 && (new == 0 || new > old)
	case IfEarlier:
		return new != 0 && (old == 0 || new < old)
	}
	return true
}

// Batch is a list of operations for Apply. The zero value is an empty batch.
// A batch belongs to one goroutine at a time; Apply keeps no reference to it.
// Reuse it through Reset: its memory is kept, so that a batch in steady use
// allocates nothing.
type Batch struct {
	// Ops are the operations, in the order in which they execute.
	Ops []Op
	// ReadLimit bounds the bytes of values that one Apply reads into the batch, and those
	// that it works on besides, see Work: it stops before the next operation once they add
	// up to ReadLimit or more. So an Apply reads less than ReadLimit plus one value. 0 means
	// no bound.
	ReadLimit int
	// Now is the time for which the operations are executed, in milliseconds since 1970:
	// a key whose deadline is Now or earlier doesn't exist. At 0 no deadline is over; that
	// will do for operations without one while Engine.Expires reports false.
	Now int64

	next     int    // the first operation not executed yet
	scratch  []byte // the values read by the latest Apply
	stopAt   int    // the length of scratch at which it stops: ReadLimit without work
	work     int    // what it has worked on besides
	args     []Args
	effects  []effect
	copied   []copiedValue // of some of them
	retrying bool          // an operation is being executed again, see retryFull
	holdsAll bool          // with the locks of all shards held
	awaited  time.Duration // what its operations have waited for the maintainer
	old      []byte        // a Merge's copy of the value that it is made from
	merged   []byte        // and what Options.Merge appends to

	mergedForm Form
}

// Add appends an operation. Its form is 0, and so are its Args.
func (b *Batch) Add(kind Kind, key, value []byte) { b.AddForm(kind, key, value, 0) }

// AddForm appends an operation whose value has a form.
func (b *Batch) AddForm(kind Kind, key, value []byte, form Form) {
	n := len(b.Ops)
	if n == cap(b.Ops) {
		b.Ops = append(b.Ops, Op{Key: key, Value: value, Kind: kind, Form: form})
		return
	}
	// Field by field: append would build the Op aside and copy it.
	b.Ops = b.Ops[:n+1]
	op := &b.Ops[n]
	op.Key, op.Value, op.Kind, op.Status, op.Form, op.args = key, value, kind, Pending, form, 0
}

// AddArgs appends an operation that carries more.
func (b *Batch) AddArgs(kind Kind, key, value []byte, form Form, args Args) {
	b.AddForm(kind, key, value, form)
	b.args = append(b.args, args)
	b.Ops[len(b.Ops)-1].args = uint32(len(b.args))
}

// ShareArgs has the operations from one on, which have no Args, carry the same ones. They are
// Sets, Adds, Takes and Swaps: those only read them.
func (b *Batch) ShareArgs(from int, args Args) {
	if from == len(b.Ops) {
		return
	}
	b.args = append(b.args, args)
	for i := range b.Ops[from:] {
		b.Ops[from+i].args = uint32(len(b.args))
	}
}

// Args returns what operation i carries, nil if it was added without. It is valid until
// the next operation is added.
func (b *Batch) Args(i int) *Args { return b.argsOf(&b.Ops[i]) }

func (b *Batch) argsOf(op *Op) *Args {
	if op.args == 0 {
		return nil
	}
	return &b.args[op.args-1]
}

// deadlineOf is the deadline that an operation gives its key.
func (b *Batch) deadlineOf(op *Op) int64 {
	if op.args == 0 {
		return 0
	}
	return b.args[op.args-1].Deadline
}

// contentOf makes c what an operation stores. Field by field: one that is returned is built
// aside, and the copy, in larger pieces, waits for its stores.
func (b *Batch) contentOf(op *Op, c *content) {
	c.value, c.form, c.expiry = op.Value, op.Form, expiryOf(b.deadlineOf(op))
}

// Executed returns how many operations, from the first on, have been executed.
func (b *Batch) Executed() int { return b.next }

// Work returns how many bytes of values the latest Apply has worked on besides those that it
// read into the batch: each byte as often as it was copied or compared. A Rename, an Expire
// that moves its record, a CompareSet or CompareRemove, and a Merge take as long as the
// value that is there is, though they carry little and may hand out nothing.
func (b *Batch) Work() int { return b.work }

// addWork is for the operations that are not everyday ones: the others only look at stopAt.
func (b *Batch) addWork(n int) {
	b.work += n
	b.stopAt -= n
}

// Own copies the keys and values that the operations refer to, so that the batch may
// outlive the caller's memory.
func (b *Batch) Own() {
	n := 0
	for i := range b.Ops {
		n += len(b.Ops[i].Key) + len(b.Ops[i].Value)
	}
	for i := range b.args {
		n += len(b.args[i].Expected)
	}
	buf := make([]byte, 0, n)
	own := func(p []byte) []byte {
		if p == nil {
			return nil
		}
		from := len(buf)
		buf = append(buf, p...)
		return buf[from:len(buf):len(buf)]
	}
	for i := range b.Ops {
		op := &b.Ops[i]
		op.Key = own(op.Key)
		if op.Kind != Get { // a Get's is the batch's own already
			op.Value = own(op.Value)
		}
	}
	for i := range b.args {
		b.args[i].Expected = own(b.args[i].Expected)
	}
}

// maxKeptScratch is the scratch that Reset keeps for the next use; what one
// huge value needed is given back.
const maxKeptScratch = 1 << 20

// Reset empties the batch for its next use.
func (b *Batch) Reset() {
	for i := range b.Ops {
		// Drop the references to the caller's bytes. clear() costs more for few.
		b.Ops[i].Key, b.Ops[i].Value = nil, nil
	}
	b.Ops = b.Ops[:0]
	if len(b.args) > 0 {
		clear(b.args)
		b.args = b.args[:0]
	}
	b.next = 0
	b.resetEffects()
	b.scratch = b.scratch[:0]
	if cap(b.scratch) > maxKeptScratch {
		b.scratch = nil
	}
	if cap(b.old)+cap(b.merged) > maxKeptScratch {
		b.old, b.merged = nil, nil
	}
}
