package engine

import "iter"

// Effect is what an operation has done to one key: the key has this value now, with this
// form and deadline, or is gone. A rename has two, of the old key and of the new one.
// What was done to a store is done again by the effects of each shard in the order of
// Seq; between shards there is no order, nor between the batches of different goroutines.
//
// That the time of a key is over is no effect: its deadline has said so.
type Effect struct {
	Op       int    // the operation's index in Ops
	Shard    int    // the shard of Key
	Seq      uint64 // counts the effects of this shard, from 1, without a gap
	Key      []byte
	Value    []byte // the value it has now; nil if Gone
	Form     Form
	Deadline int64 // 0: none
	Gone     bool
	Evicted  bool // it is gone to make room: Op is the operation that needed it
}

// Effects lists what the latest Apply has changed, in the order in which it did, if
// [Options.RecordEffects] is set. An operation that has changed nothing is not in it: it
// was refused, or found nothing to do. The slices are those of the operations and of the
// batch's scratch: valid until the next Apply or Reset.
func (b *Batch) Effects() iter.Seq[Effect] {
	return func(yield func(Effect) bool) {
		for i := range b.effects {
			if !yield(b.Effect(i)) {
				return
			}
		}
	}
}

// NumEffects is how many Effects there are.
func (b *Batch) NumEffects() int { return len(b.effects) }

// Effect is the effect i of Effects.
func (b *Batch) Effect(i int) Effect {
	short := &b.effects[i]
	var copied copiedValue
	at := int(short.op)
	if short.part >= effectCopied {
		copied = b.copied[at]
		at = copied.op
	}
	op := &b.Ops[at]
	e := Effect{Op: at, Shard: int(short.shard), Seq: short.seq, Key: op.Key}
	switch short.part {
	case effectStored:
		e.Value, e.Form = op.Value, op.Form
	case effectStoredUntil:
		e.Value, e.Form, e.Deadline = op.Value, op.Form, expiryOf(b.deadlineOf(op)).deadline()
	case effectGone:
		e.Gone = true
	case effectEvicted:
		e.Key, e.Gone, e.Evicted = copied.in(b), true, true
	default:
		e.Value, e.Form, e.Deadline = copied.in(b), copied.form, copied.deadline
		if short.part == effectMoved {
			e.Key = op.Value
		}
	}
	return e
}

// StoredEffect is Effect for what nearly all effects are: the key of an operation has its
// value and form, and no deadline. Others return false.
func (b *Batch) StoredEffect(i int) (op *Op, shard int, seq uint64, ok bool) {
	short := &b.effects[i]
	if short.part != effectStored {
		return nil, 0, 0, false
	}
	return &b.Ops[short.op], int(short.shard), short.seq, true
}

// effect is an Effect in short: 16 bytes, since one is written and read for each change.
type effect struct {
	seq   uint64
	op    uint32 // the operation's index or, from effectCopied on, that of a copiedValue
	shard uint16
	part  effectPart
}

// copiedValue is what an effect has that its operation has not, or not any more.
type copiedValue struct {
	op       int
	from, to int // where in the scratch it is
	deadline int64
	form     Form
}

func (c *copiedValue) in(b *Batch) []byte { return b.scratch[c.from:c.to:c.to] }

type effectPart uint8

const (
	effectStored      effectPart = iota // the key has the operation's value
	effectStoredUntil                   // and a deadline
	effectGone                          // the key is gone
	effectCopied                        // it has a value of the scratch
	effectMoved                         // a rename's new key has one
	effectEvicted                       // another key is gone, which the scratch has
)

// record notes an effect of the operation that is being executed on shard s, which must
// be locked: so the numbers of a shard are in the order of its changes.
func (b *Batch) record(s *shard, shard hash, part effectPart) {
	b.recordOf(s, shard, part, b.next-1)
}

func (b *Batch) recordOf(s *shard, shard hash, part effectPart, op int) {
	s.effects++
	b.effects = append(b.effects, effect{seq: s.effects, op: uint32(op), shard: uint16(shard), part: part})
}

// recordCopy notes an effect with what the caller has it refer to: bytes that were
// appended to the scratch from from on.
func (b *Batch) recordCopy(s *shard, shard hash, part effectPart, from int, form Form, deadline int64) {
	b.recordOf(s, shard, part, len(b.copied))
	b.copied = append(b.copied, copiedValue{b.next - 1, from, len(b.scratch), deadline, form})
}

// recordContent notes that a key of the shard has now what its record has.
func (b *Batch) recordContent(s *shard, shard hash, part effectPart, rec *record) {
	c, from := rec.content(), len(b.scratch)
	b.scratch = append(b.scratch, c.value...)
	b.recordCopy(s, shard, part, from, c.form, c.expiry.deadline())
}

// resetEffects forgets all effects.
func (b *Batch) resetEffects() { b.effects, b.copied = b.effects[:0], b.copied[:0] }

// noteEffects notes what an operation on one key has done to its shard.
func (e *Engine) noteEffects(b *Batch, s *shard, h hash, op *Op) {
	if e.evicts {
		e.noteEvicted(b, s, h>>e.shift)
	}
	if op.Status.changes() {
		b.recordChange(s, h>>e.shift, h, op)
	}
}

// recordChange notes what an operation on one key has changed. It copies a value that is
// not the operation's own, or not its own any more.
func (b *Batch) recordChange(s *shard, shard, h hash, op *Op) {
	switch {
	case op.Status == Removed:
		b.record(s, shard, effectGone)
	case op.Kind > Add:
		_, rec := s.table.find(h, op.Key)
		b.recordContent(s, shard, effectCopied, rec)
	case op.args != 0 && b.deadlineOf(op) != 0:
		b.record(s, shard, effectStoredUntil)
	default:
		b.record(s, shard, effectStored)
	}
}

// Sequences appends, for each shard, the number of the last effect that it has had, in the
// order of the shards: a copy of a shard that is begun now has to have the effects from the
// next one on. They are read one shard after the other.
func (e *Engine) Sequences(dst []uint64) []uint64 {
	for i := range e.shards {
		s := &e.shards[i]
		s.mu.Lock()
		dst = append(dst, s.effects)
		s.mu.Unlock()
	}
	return dst
}
