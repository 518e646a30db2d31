package engine

// Kind says what an operation does.
type Kind uint8

// The kinds of operations.
const (
	Set      Kind = iota + 1 // store Value under Key, whether or not Key exists
	Add                      // store Value under Key unless Key exists
	Get                      // read the value of Key into Value
	Remove                   // remove Key
	Contains                 // report whether Key exists
	Rename                   // move the value of Key to the key in Value
)

// Status is the outcome of an operation.
type Status uint8

// The outcomes, with the kinds of operations that can have them.
const (
	Pending  Status = iota // not executed yet
	Created                // Set, Add: the key did not exist; it does now
	Updated                // Set: the key existed; its value is replaced
	Found                  // Get, Contains: the key exists
	Exists                 // Add: the key existed; Rename: the new key existed; nothing changed
	NotFound               // Get, Remove, Contains, Rename: the key does not exist
	Removed                // Remove: the key existed; it does not now
	Renamed                // Rename: the value is under the new key now

	// OutOfMemory: Set, Add, Rename: it would have taken more memory than
	// Options.MaxBytes allows, or than the system has; nothing changed.
	OutOfMemory
)

// Op is one operation of a batch.
type Op struct {
	// Key is read during Apply and not kept.
	Key []byte
	// Value is an argument of Set and Add (the value) and of Rename (the
	// new key), read during Apply and not kept. For a Get that found its
	// key, Apply sets it to the value read: bytes of the batch's scratch,
	// valid until the next Apply or Reset of the batch.
	Value []byte
	// Kind is what to do.
	Kind Kind
	// Status is Pending until Apply has executed the operation.
	Status Status
}

// Batch is a list of operations for Apply. The zero value is an empty batch.
// A batch belongs to one goroutine at a time; Apply keeps no reference to it.
// Reuse it through Reset: its memory is kept, so that a batch in steady use
// allocates nothing.
type Batch struct {
	// Ops are the operations, in the order in which they execute.
	Ops []Op
	// ReadLimit bounds the bytes of values that one Apply reads: it stops
	// before a Get's successor once they add up to ReadLimit or more. So an
	// Apply reads less than ReadLimit plus one value. 0 means no bound.
	ReadLimit int

	next    int    // the first operation not executed yet
	scratch []byte // the values read by the latest Apply
}

// Add appends an operation.
func (b *Batch) Add(kind Kind, key, value []byte) {
	n := len(b.Ops)
	if n == cap(b.Ops) {
		b.Ops = append(b.Ops, Op{Key: key, Value: value, Kind: kind})
		return
	}
	// Field by field: append would build the Op aside and copy it.
	b.Ops = b.Ops[:n+1]
	op := &b.Ops[n]
	op.Key, op.Value, op.Kind, op.Status = key, value, kind, Pending
}

// Executed returns how many operations, from the first on, have been executed.
func (b *Batch) Executed() int { return b.next }

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
	b.next = 0
	b.scratch = b.scratch[:0]
	if cap(b.scratch) > maxKeptScratch {
		b.scratch = nil
	}
}
