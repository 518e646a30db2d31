package client

import (
	"context"
	"fmt"
	"time"
	"unicode/utf8"

	"keyframe/codec"
	wire "keyframe/codec/client"
)

// Batch is many keys for one call of Do: the text of their commands, and after Do what became
// of each, in the order in which they were added. It uses its memory again. The zero value is
// an empty batch. Not for concurrent use, and not to be copied.
//
// It is no transaction: each key is one atomic operation, and others may come between.
// Neighbours of one kind go into one command, so a batch that is sorted by kind is cheaper.
type Batch struct {
	// Quiet has the server answer only for what fails, where a command can do that: all but
	// gets, takes, swaps, comparisons and renames. For bulk loads. It is about what is added
	// from now on. Of a key that is twice in a batch it may be told of the other one that it
	// failed, and of what succeeds it is not told whether the key was new.
	Quiet bool

	m *many
}

// many is a batch's inside. While a call is on its way it belongs to the call, so a batch
// whose call was abandoned is empty.
type many struct {
	text     []byte
	parts    []part
	elements []element
	arena    []byte // the values that were found
	openAt   int    // where the command that is open begins in text; -1: none is
	longest  int    // of the commands
	err      error  // of the first element that can't be sent
	writes   bool
	done     bool // it has been answered: what is added next begins a new batch

	// Where the answers are.
	part, answered int   // a part, and how many of its elements are done
	refused        error // of a quiet command, which can't be told from its neighbours
}

// part is a command: elements from:from+n, or none for the PING that ends the answers of
// quiet commands.
type part struct {
	op      codec.Opcode
	ttl     int64
	from, n int
}

type element struct {
	key     string
	at, end int // of its value in arena; at < 0: none
	status  codec.Status
	err     error
}

// partBytes is how long a command may be for one more element to go into it. Commands of a
// mebibyte cost no more than longer ones, and hold no neighbour up. Not yet measured.
const partBytes = 1 << 20

// Set adds what Client.Set does; the methods below likewise.
func (b *Batch) Set(key string, value []byte) { b.pair(codec.OpSet, key, value, 0) }

// SetEx adds a Set with a time to live.
func (b *Batch) SetEx(key string, value []byte, ttl time.Duration) {
	b.pair(codec.OpSetEx, key, value, millis(ttl))
}

// Add adds a Set of a key that does not exist.
func (b *Batch) Add(key string, value []byte) { b.pair(codec.OpAdd, key, value, 0) }

// AddEx adds an Add with a time to live.
func (b *Batch) AddEx(key string, value []byte, ttl time.Duration) {
	b.pair(codec.OpAddEx, key, value, millis(ttl))
}

// Swap adds a Set whose result is the value that was there, nil if there was none.
func (b *Batch) Swap(key string, value []byte) { b.pair(codec.OpSwap, key, value, 0) }

// Append adds a value to the end of one.
func (b *Batch) Append(key string, value []byte) { b.pair(codec.OpAppend, key, value, 0) }

// Update sets places of a value; places is a JSON object of JSON Pointers and values.
func (b *Batch) Update(key string, places []byte) { b.pair(codec.OpUpdate, key, places, 0) }

// RemoveIf adds the removal of a key that has the expected value.
func (b *Batch) RemoveIf(key string, expected []byte) {
	b.pair(codec.OpCompareRemove, key, expected, 0)
}

// Incr adds an addition. The result is the new value.
func (b *Batch) Incr(key string, by int64) {
	var room [20]byte
	b.pair(codec.OpIncr, key, appendInt(room[:0], by), 0)
}

// Expire gives a key a time to live.
func (b *Batch) Expire(key string, ttl time.Duration) {
	var room [20]byte
	b.pair(codec.OpExpire, key, appendInt(room[:0], millis(ttl)), 0)
}

// Persist takes a key's time to live away.
func (b *Batch) Persist(key string) { b.pair(codec.OpExpire, key, null, 0) }

// Get adds a read. The result is the value.
func (b *Batch) Get(key string) { b.key(codec.OpGet, key) }

// Take adds a read and removal. The result is the value.
func (b *Batch) Take(key string) { b.key(codec.OpTake, key) }

// TTL adds a read of the time to live. The result is milliseconds, or null for a key without.
func (b *Batch) TTL(key string) { b.key(codec.OpTTL, key) }

// Contains asks whether a key exists: the result's error is nil or ErrNotExist.
func (b *Batch) Contains(key string) { b.key(codec.OpContains, key) }

// Remove adds a removal.
func (b *Batch) Remove(key string) { b.key(codec.OpRemove, key) }

// CAS adds a compare-and-set; expected nil means that the key must not exist.
func (b *Batch) CAS(key string, expected, value []byte) {
	if expected == nil {
		expected = null
	}
	if m := b.begin(codec.OpCompareSet, 0); m != nil {
		text, err := appendComparison(m.text, key, expected, value)
		m.add(text, key, err)
	}
}

// Rename gives a key's value another key, which must not exist.
func (b *Batch) Rename(key, to string) {
	m := b.begin(codec.OpRename, 0)
	if m == nil {
		return
	}
	if !utf8.ValidString(key) || !utf8.ValidString(to) {
		m.add(m.text, key, keyError(key+to))
		return
	}
	m.add(wire.AppendRename(m.text, bytesOf(key), bytesOf(to)), key, nil)
}

// Len returns how many keys were added.
func (b *Batch) Len() int {
	if b.m == nil {
		return 0
	}
	return len(b.m.elements)
}

// Reset makes the batch empty.
func (b *Batch) Reset() {
	if b.m != nil {
		b.m.reset()
	}
}

// Key returns the key that was added as the i-th.
func (b *Batch) Key(i int) string { return b.m.elements[i].key }

// Err returns what went wrong with it, nil if it was done: a status error, or the
// *ServerError that its command was refused with.
func (b *Batch) Err(i int) error { return b.m.elements[i].err }

// Status returns the status that it was answered with; StatusOK if it was sent quietly and
// not answered.
func (b *Batch) Status(i int) codec.Status { return b.m.elements[i].status }

// Value returns the value that it found, nil if there is none. It is valid until the batch is
// used again.
func (b *Batch) Value(i int) []byte {
	e := &b.m.elements[i]
	if e.at < 0 {
		return nil
	}
	return b.m.arena[e.at:e.end:e.end]
}

func (b *Batch) pair(op codec.Opcode, key string, value []byte, ttl int64) {
	if m := b.begin(op, ttl); m != nil {
		text, err := appendPair(m.text, key, value)
		m.add(text, key, err)
	}
}

func (b *Batch) key(op codec.Opcode, key string) {
	m := b.begin(op, 0)
	if m == nil {
		return
	}
	if !utf8.ValidString(key) {
		m.add(m.text, key, keyError(key))
		return
	}
	m.add(wire.AppendKey(m.text, bytesOf(key)), key, nil)
}

// quiet has the quiet form of each opcode, 0 if there is none.
var quiet = func() (forms [codec.NumOpcodes]codec.Opcode) {
	for op := range codec.Opcodes() {
		if q := codec.Lookup([]byte(op.String() + "Q")); q.Quiet() {
			forms[op] = q
		}
	}
	return forms
}()

// begin has a command open for an element, or returns nil if the batch has a fault already.
func (b *Batch) begin(op codec.Opcode, ttl int64) *many {
	if b.m == nil {
		b.m = &many{openAt: -1}
	}
	m := b.m
	if m.done {
		m.reset()
	}
	if m.err != nil {
		return nil
	}
	if b.Quiet && quiet[op] != 0 {
		op = quiet[op]
	}
	if m.openAt >= 0 {
		if last := &m.parts[len(m.parts)-1]; last.op == op && last.ttl == ttl && len(m.text)-m.openAt < partBytes {
			return m
		}
		m.close()
	}
	m.fence(op)
	m.openAt = len(m.text)
	m.parts = append(m.parts, part{op: op, ttl: ttl, from: len(m.elements)})
	m.writes = m.writes || op.Effect().Writes()
	if op.Shape() == codec.ShapeTimedPairs {
		m.text = wire.AppendTimedOpen(m.text, op, ttl)
	} else {
		m.text = wire.AppendOpen(m.text, op)
	}
	return m
}

// add takes the text with one more element, or its fault.
func (m *many) add(text []byte, key string, err error) {
	if err != nil {
		m.err = fmt.Errorf("%w (number %d of the batch)", err, len(m.elements))
		return
	}
	m.text = text
	m.elements = append(m.elements, element{key: key, at: -1})
	m.parts[len(m.parts)-1].n++
}

// close ends the command that is open.
func (m *many) close() {
	if m.openAt < 0 {
		return
	}
	m.text = append(wire.AppendClose(m.text, m.parts[len(m.parts)-1].op), '\n')
	m.longest = max(m.longest, len(m.text)-m.openAt-1)
	m.openAt = -1
}

// fence puts a PING after quiet commands, unless another one follows: all answers before the
// PING's are theirs. Without it, a refusal could be theirs or that of what follows.
func (m *many) fence(next codec.Opcode) {
	if n := len(m.parts); n == 0 || !m.parts[n-1].op.Quiet() || next.Quiet() {
		return
	}
	m.parts = append(m.parts, part{op: codec.OpPing, from: len(m.elements)})
	m.text = append(wire.AppendClose(wire.AppendOpen(m.text, codec.OpPing), codec.OpPing), '\n')
}

func (m *many) reset() {
	clear(m.elements) // the keys
	*m = many{text: m.text[:0], parts: m.parts[:0], elements: m.elements[:0], arena: m.arena[:0], openAt: -1}
}

// rewind forgets what has been answered.
func (m *many) rewind() {
	m.part, m.answered, m.refused, m.arena = 0, 0, nil, m.arena[:0]
	for i := range m.elements {
		m.elements[i] = element{key: m.elements[i].key, at: -1}
	}
}

// take takes one answer, as call.take does.
func (m *many) take(r *wire.Response) (done bool, err error) {
	p := &m.parts[m.part]
	refused := refusal(r)
	switch {
	case p.op.Quiet() && r.Op == codec.OpPing && refused == nil:
		for m.parts[m.part].op != codec.OpPing {
			m.part++
		}
		m.part, m.answered = m.part+1, 0
	case p.op.Quiet() && refused != nil:
		if m.refused == nil {
			m.refused = refused
		}
	case p.op.Quiet():
		return false, m.takeFailure(r)
	case refused != nil && (r.Op == 0 || r.Op == p.op):
		for i := m.answered; i < p.n; i++ {
			m.elements[p.from+i].err = refused
		}
		m.part, m.answered = m.part+1, 0
	default:
		e := &m.elements[p.from+m.answered]
		if r.Op != p.op || !answersKey(r, e.key) {
			return false, mismatch(r, p.op, e.key)
		}
		m.settle(e, r)
		if m.answered++; m.answered == p.n {
			m.part, m.answered = m.part+1, 0
		}
	}
	return m.part == len(m.parts), nil
}

// takeFailure finds the element of a quiet command that an answer is about: it comes after
// those that were found before it.
func (m *many) takeFailure(r *wire.Response) error {
	for part, i := m.part, m.answered; m.parts[part].op.Quiet(); part, i = part+1, 0 {
		p := &m.parts[part]
		if p.op != r.Op {
			continue
		}
		for ; i < p.n; i++ {
			if e := &m.elements[p.from+i]; e.key == string(r.Key) {
				m.settle(e, r)
				m.part, m.answered = part, i+1
				return nil
			}
		}
	}
	return mismatch(r, m.parts[m.part].op, "a key that fails")
}

// settle notes what became of an element.
func (m *many) settle(e *element, r *wire.Response) {
	e.status = r.Status
	switch st := r.Status; {
	case r.Op.Values().Has(st):
		e.at = len(m.arena)
		m.arena = append(m.arena, r.Value...)
		e.end = len(m.arena)
	case st == codec.StatusKeyExists && r.Op == codec.OpContains:
	case st == codec.StatusOK || st == codec.StatusKeySet || st == codec.StatusKeyUpdated || st == codec.StatusKeyRemoved:
	default:
		e.err = statusError(st, r.Message)
	}
}

// Do sends a batch and waits for all its answers. The error is nil if they have come, whatever
// they are: see Batch.Err. Otherwise it is a *ConnError; a *ServerError, if a quiet command was
// refused; or, and then nothing was sent, ErrTooLong or the fault of the first key or value
// that can't be sent. After a *ConnError the batch is empty.
func (c *Client) Do(ctx context.Context, b *Batch) error {
	m := b.m
	if m == nil || len(m.elements) == 0 && m.err == nil {
		return nil
	}
	if m.err != nil {
		return m.err
	}
	m.close()
	m.fence(0)
	if m.done {
		m.rewind()
	}
	k := newCall(m.parts[0].op)
	k.text, m.text = m.text, k.text
	k.many, k.longest, k.weight, k.writes = m, m.longest, len(m.elements)+len(m.parts), m.writes
	k.status = codec.StatusOK
	b.m = nil
	if err := c.exchange(ctx, k); err != nil {
		return err
	}
	m.text, k.text = k.text, m.text
	m.done = true
	b.m = m
	err := m.refused
	k.release()
	return err
}
