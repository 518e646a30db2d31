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
			if !yield(b.effectAt(i)) {
				return
			}
		}
	}
}

// effect is an Effect in short.
type effect struct {
	seq      uint64
	deadline int64
	from, to int // of a value that is not the operation's: where in the scratch it is
	op       uint32
	shard    uint16
	form     Form
	part     effectPart
}

type effectPart uint8

const (
	effectStored  effectPart = iota // the key has the operation's value
	effectCopied                    // it has a value of the scratch
	effectMoved                     // a rename's new key has one
	effectGone                      // the key is gone
	effectEvicted                   // another key is, which the scratch has
)

func (b *Batch) effectAt(i int) Effect {
	short := &b.effects[i]
	op := &b.Ops[short.op]
	e := Effect{Op: int(short.op), Shard: int(short.shard), Seq: short.seq, Key: op.Key, Form: short.form, Deadline: short.deadline}
	switch short.part {
	case effectStored:
		e.Value = op.Value
	case effectCopied, effectMoved:
		e.Value = b.scratch[short.from:short.to:short.to]
		if short.part == effectMoved {
			e.Key = op.Value
		}
	case effectGone:
		e.Gone = true
	case effectEvicted:
		e.Key, e.Gone, e.Evicted = b.scratch[short.from:short.to:short.to], true, true
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

// recordCopy notes that a key of the shard has now what its record has.
func (b *Batch) recordCopy(s *shard, shard hash, part effectPart, rec *record) {
	e := b.record(s, shard, part)
	c := rec.content()
	e.form, e.deadline, e.from = c.form, c.expiry.deadline(), len(b.scratch)
	b.scratch = append(b.scratch, c.value...)
	e.to = len(b.scratch)
}

// noteEffects notes what an operation on one key has done to its shard.
func (e *Engine) noteEffects(b *Batch, s *shard, h hash, op *Op) {
	e.noteEvicted(b, s, h>>e.shift)
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
	case op.Kind <= Add:
		e := b.record(s, shard, effectStored)
		e.form, e.deadline = op.Form, expiryOf(b.deadlineOf(op)).deadline()
	default:
		_, rec := s.table.find(h, op.Key)
		b.recordCopy(s, shard, effectCopied, rec)
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
