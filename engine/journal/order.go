package journal

import (
	"errors"
	"fmt"
)

// maxWaiting bounds the bytes of records that wait for their turn. A group holds all that
// came before its records, so no more than a group of them can wait in a log of ours.
const maxWaiting int64 = mostGroupBytes

// order puts records into the order of their shards, and hands on what they come to. A
// record that is ahead of its turn waits, however far. It belongs to one goroutine, and
// keeps what it is given until its turn.
type order struct {
	shards  int                // of the run
	next    []uint64           // the sequence that each shard goes on with; nil: no start yet
	waiting map[turnOf]waiting // by the turn that they wait for
	bytes   int64              // in waiting
	moved   []int              // shards that have gone on, and may have been waited for

	change func(shard int, c Change)
	clear  func()
}

type turnOf struct {
	shard int
	seq   uint64
}

type waiting struct {
	r     record
	bytes int
}

func newOrder(change func(shard int, c Change), clear func()) *order {
	return &order{waiting: make(map[turnOf]waiting), change: change, clear: clear}
}

// begin is the beginning of a run, which numbers its effects anew.
func (o *order) begin(shards int) error {
	err := o.end()
	o.shards, o.next = shards, nil
	return err
}

// start sets the sequences that the shards have had.
func (o *order) start(had []uint64) error {
	if len(had) != o.shards || o.next != nil {
		return fmt.Errorf("a start of %d shards in a run of %d", len(had), o.shards)
	}
	for _, seq := range had {
		o.next = append(o.next, seq+1)
	}
	return nil
}

// end reports an error if a record is still waiting: what it waits for is missing.
func (o *order) end() error {
	for at := range o.waiting {
		return o.missing(at)
	}
	return nil
}

func (o *order) missing(at turnOf) error {
	return fmt.Errorf("effect %d of shard %d is missing: %d records of %d bytes wait for such", o.next[at.shard], at.shard, len(o.waiting), o.bytes)
}

// group takes the records of a group.
func (o *order) group(body []byte) error {
	for len(body) > 0 {
		r, n, ok := readRecord(body)
		if !ok {
			return errors.New("a record that is none")
		}
		if err := o.take(r, n); err != nil {
			return err
		}
		if err := o.settle(); err != nil {
			return err
		}
		body = body[n:]
	}
	return nil
}

// take hands on a record, or has it wait.
func (o *order) take(r record, bytes int) error {
	p := &r.first
	if p.kind != kindOther && p.shard < len(o.next) && uint32(o.next[p.shard]) == p.seq {
		o.next[p.shard]++ // the most frequent: one effect whose turn it is
		o.change(p.shard, p.change())
		if len(o.waiting) > 0 {
			o.moved = append(o.moved, p.shard)
		}
		return nil
	}
	if p.kind == kindOther && p.form == otherStart {
		return o.start(sequences(r.seqs))
	}
	other := r // on the heap, where the most frequent need not be
	at, isNow, err := o.turn(&other)
	if err != nil {
		return err
	}
	if isNow {
		o.apply(&other)
		return nil
	}
	if _, taken := o.waiting[at]; taken {
		return fmt.Errorf("two records follow effect %d of shard %d", at.seq-1, at.shard)
	}
	o.waiting[at] = waiting{r, bytes}
	if o.bytes += int64(bytes); o.bytes > maxWaiting {
		return o.missing(at)
	}
	return nil
}

// settle takes the records whose turn may have come. Each is looked at once more, since it
// may be about other shards too.
func (o *order) settle() error {
	for len(o.moved) > 0 {
		shard := o.moved[len(o.moved)-1]
		o.moved = o.moved[:len(o.moved)-1]
		at := turnOf{shard, o.next[shard]}
		if w, ok := o.waiting[at]; ok {
			delete(o.waiting, at)
			o.bytes -= int64(w.bytes)
			if err := o.take(w.r, w.bytes); err != nil {
				return err
			}
		}
	}
	return nil
}

// turn returns whether it is the record's turn in each of its shards, or the first turn
// that it has to wait for.
func (o *order) turn(r *record) (at turnOf, isNow bool, err error) {
	before := make(map[int]uint64) // effects of this record, by shard
	check := func(shard int, seq uint64) {
		switch want := o.next[shard] + before[shard]; {
		case seq < want:
			err = fmt.Errorf("effect %d of shard %d comes a second time", seq, shard)
		case seq > want && at.seq == 0:
			at = turnOf{shard, seq - before[shard]}
		}
		before[shard]++
	}
	if r.seqs != nil {
		seqs := sequences(r.seqs)
		if len(seqs) != len(o.next) {
			return at, false, fmt.Errorf("a clear of %d shards in a log of %d", len(seqs), len(o.next))
		}
		for shard, seq := range seqs {
			check(shard, seq)
		}
	}
	err = errors.Join(err, r.eachPart(func(p *part) error {
		if p.shard >= len(o.next) {
			return fmt.Errorf("an effect of shard %d in a log of %d", p.shard, len(o.next))
		}
		next := o.next[p.shard]
		check(p.shard, next+uint64(int64(int32(p.seq-uint32(next)))))
		return nil
	}))
	return at, at.seq == 0, err
}

// eachPart calls f with each part that is about one key.
func (r *record) eachPart(f func(*part) error) error {
	if r.seqs == nil {
		if err := f(&r.first); err != nil {
			return err
		}
	}
	for more := r.more; len(more) > 0; {
		p, n, _ := readPart(more) // readRecord has read it before
		if err := f(&p); err != nil {
			return err
		}
		more = more[n:]
	}
	return nil
}

// apply hands on what a record comes to.
func (o *order) apply(r *record) {
	if r.seqs != nil {
		o.clear()
		for shard := range o.next {
			o.next[shard]++
			o.moved = append(o.moved, shard)
		}
	}
	_ = r.eachPart(func(p *part) error {
		o.next[p.shard]++
		o.moved = append(o.moved, p.shard)
		o.change(p.shard, p.change())
		return nil
	})
}

func sequences(b []byte) []uint64 {
	seqs := make([]uint64, len(b)/8)
	for i := range seqs {
		seqs[i] = le.Uint64(b[8*i:])
	}
	return seqs
}
