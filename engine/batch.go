package engine

import "iter"

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

// changes reports whether an operation with this outcome has changed something. Of a
// Rename more is to be asked: it may have been to the same key.
func (s Status) changes() bool {
	return 1<<s&(1<<Created|1<<Updated|1<<Removed) != 0
}

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
	effects []effect
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

// Own copies the keys and values that the operations refer to, so that the batch may
// outlive the caller's memory.
func (b *Batch) Own() {
	n := 0
	for i := range b.Ops {
		n += len(b.Ops[i].Key) + len(b.Ops[i].Value)
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
}

// Effect is what an operation has done to one key: the key has a value now, or is gone.
// A rename has two, of the old key and of the new one. What was done to a store is done
// again by the effects of each shard in the order of Seq; between shards there is no
// order, nor between the batches of different goroutines.
type Effect struct {
	Op    int    // the operation's index in Ops
	Shard int    // the shard of Key
	Seq   uint64 // counts the effects of this shard, from 1, without a gap
	Key   []byte
	Value []byte // the value it has now; nil if Gone
	Gone  bool
}

// Effects lists what the latest Apply has changed, in the order in which it did, if
// [Options.RecordEffects] is set. An operation that has changed nothing is not in it: it
// was refused, or found nothing to do. The slices are those of the operations and of the
// batch's scratch: valid until the next Apply or Reset.
func (b *Batch) Effects() iter.Seq[Effect] {
	return func(yield func(Effect) bool) {
		for i := range b.effects {
			if !yield(b.effectAt(i)) {
				return
			}
		}
	}
}

// effect is an Effect in short.
type effect struct {
	seq   uint64
	op    uint32
	shard uint16
	part  effectPart
	from  int // of a rename's value: where it begins in the scratch, and ends
	to    int
}

type effectPart uint8

const (
	effectWhole effectPart = iota // all that an operation has done
	effectOld                     // a rename's old key is gone
	effectNew                     // its new key has the value
)

func (b *Batch) effectAt(i int) Effect {
	short := &b.effects[i]
	op := &b.Ops[short.op]
	e := Effect{Op: int(short.op), Shard: int(short.shard), Seq: short.seq, Key: op.Key}
	switch {
	case short.part == effectNew:
		e.Key, e.Value = op.Value, b.scratch[short.from:short.to:short.to]
	case short.part == effectOld || op.Kind == Remove:
		e.Gone = true
	default:
		e.Value = op.Value
	}
	return e
}

// record notes an effect of the operation that is being executed on shard s, which must
// be locked: so the numbers of a shard are in the order of its changes.
func (b *Batch) record(s *shard, shard hash, part effectPart) *effect {
	s.effects++
	b.effects = append(b.effects, effect{seq: s.effects, op: uint32(b.next - 1), shard: uint16(shard), part: part})
	return &b.effects[len(b.effects)-1]
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
	b.next = 0
	b.effects = b.effects[:0]
	b.scratch = b.scratch[:0]
	if cap(b.scratch) > maxKeptScratch {
		b.scratch = nil
	}
}
