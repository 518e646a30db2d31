package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"keyframe/codec"
	wire "keyframe/codec/client"
)

// call is a command, or a batch of them, on its way to the server and back.
//
// It belongs to the caller until enter, to the client from then on, and to the caller again
// when ready has delivered. A caller that gives up leaves it to the client: state decides
// which of the two was first. Calls are used again, with their buffers and their channel.
type call struct {
	ready chan struct{} // holds one token: the answer, or err, is there
	state atomic.Uint32

	text    []byte // what is sent: lines
	op      codec.Opcode
	key     string // which key the answer must have
	keyed   bool   // the answer has a key
	weight  int    // how many answers it gets, in Options.MaxInFlight
	longest int    // of its lines
	writes  bool   // it may change the store
	many    *many  // of a batch; nil: one command with one answer
	retries int    // how often it has been sent in vain

	// The answer.
	status  codec.Status
	value   []byte
	cursor  []byte
	more    bool // there is a cursor
	count   int64
	message string
	err     error // a *ServerError or a *ConnError: there is no other answer
}

// The states of a call.
const (
	waiting uint32 = iota
	delivered
	abandoned
)

// keptBytes is how much room for text or a value a call keeps for the next one: enough for
// all but rare ones. Not yet measured.
const keptBytes = 64 << 10

var (
	calls   = sync.Pool{New: func() any { return &call{ready: make(chan struct{}, 1)} }}
	parsers = sync.Pool{New: func() any { return wire.NewParser() }}
)

// newCall returns a call for a command without text.
func newCall(op codec.Opcode) *call {
	k := calls.Get().(*call)
	k.op, k.weight, k.writes = op, 1, op.Effect().Writes()
	return k
}

// release gives a call back, whose token was taken or never given.
func (k *call) release() {
	text, value, cursor := k.text[:0], k.value[:0], k.cursor[:0]
	if cap(text) > keptBytes {
		text = nil
	}
	if cap(value) > keptBytes {
		value = nil
	}
	k.state.Store(waiting)
	k.text, k.value, k.cursor = text, value, cursor
	k.key, k.keyed, k.longest, k.many, k.retries = "", false, 0, nil, 0
	k.more, k.message, k.err = false, "", nil
	calls.Put(k)
}

// open begins the text of a command.
func (k *call) open() { k.text = wire.AppendOpen(k.text, k.op) }

// close ends it.
func (k *call) close() {
	k.text = append(wire.AppendClose(k.text, k.op), '\n')
	k.longest = len(k.text) - 1
}

// newKeyCall returns the call of a command that takes keys, for one.
func newKeyCall(op codec.Opcode, key string) (*call, error) {
	if !utf8.ValidString(key) {
		return nil, keyError(key)
	}
	k := newCall(op)
	k.open()
	k.text = wire.AppendKey(k.text, bytesOf(key))
	k.close()
	k.key, k.keyed = key, true
	return k, nil
}

// newPairCall returns the call of a command that takes pairs, or keys with something else,
// for one of them.
func newPairCall(op codec.Opcode, key string, value []byte) (*call, error) {
	k := newCall(op)
	k.open()
	return k.pair(key, value)
}

// pair gives an opened call its only pair and closes it.
func (k *call) pair(key string, value []byte) (_ *call, err error) {
	if k.text, err = appendPair(k.text, key, value); err != nil {
		k.release()
		return nil, err
	}
	k.close()
	k.key, k.keyed = key, true
	return k, nil
}

// appendPair appends a checked pair.
func appendPair(dst []byte, key string, value []byte) ([]byte, error) {
	if !utf8.ValidString(key) {
		return dst, keyError(key)
	}
	value, err := checked(value)
	if err != nil {
		return dst, fmt.Errorf("%w (key %q)", err, key)
	}
	dst = wire.AppendPair(dst, bytesOf(key), value)
	joinLines(dst, len(value)+len(","))
	return dst, nil
}

// appendComparison appends a checked element of a CAS.
func appendComparison(dst []byte, key string, expected, value []byte) ([]byte, error) {
	if !utf8.ValidString(key) {
		return dst, keyError(key)
	}
	expected, err := checked(expected)
	if err == nil {
		value, err = checked(value)
	}
	if err != nil {
		return dst, fmt.Errorf("%w (key %q)", err, key)
	}
	dst = wire.AppendComparison(dst, bytesOf(key), expected, value)
	joinLines(dst, len(expected)+len(value)+len(",],"))
	return dst, nil
}

func keyError(key string) error { return fmt.Errorf("%w: %.40q", ErrKey, key) }

// checked returns value without the white space around it, or an error that wraps ErrValue if
// it is not one JSON text. What would end a string, or the command, may not be sent.
func checked(value []byte) ([]byte, error) {
	value = value[codec.SkipSpace(value, 0):]
	for n := len(value) - 1; n >= 0 && codec.SkipSpace(value[n:], 0) == 1; n-- {
		value = value[:n]
	}
	if n := len(value) - 1; n > 0 && value[0] == '"' && value[n] == '"' && codec.IsPlain(value[1:n]) {
		return value, nil
	}
	p := parsers.Get().(*wire.Parser)
	err := p.Check(value)
	parsers.Put(p)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrValue, err)
	}
	return value, nil
}

// joinLines replaces the line feeds in the last n bytes of text, which is checked JSON: they
// are white space there, and would end the line.
func joinLines(text []byte, n int) {
	for tail := text[len(text)-n:]; ; {
		at := bytes.IndexByte(tail, '\n')
		if at < 0 {
			return
		}
		tail[at] = ' '
		tail = tail[at+1:]
	}
}

// take takes one answer, and reports whether it was the last one. An error means that it is
// none of this call's: no answer after it can be trusted.
func (k *call) take(p *wire.Parser, r *wire.Response, line []byte) (done bool, err error) {
	if k.many == nil && k.keyed {
		if st, value, ok := p.Value(line, k.op, bytesOf(k.key)); ok {
			k.status, k.value = st, append(k.value[:0], value...)
			return true, nil
		}
		if st, key, ok := wire.Status(line, k.op); ok && string(key) == k.key {
			k.status = st
			return true, nil
		}
	}
	if err := p.Parse(line, r); err != nil {
		return false, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	if r.Op == 0 && r.Status == sIdle {
		return false, errGoodbye
	}
	if k.many != nil {
		return k.many.take(r)
	}
	if k.err = refusal(r); k.err != nil && (r.Op == 0 || r.Op == k.op) {
		return true, nil
	}
	if r.Op != k.op || k.keyed && !answersKey(r, k.key) {
		return false, mismatch(r, k.op, k.key)
	}
	k.status, k.count, k.more = r.Status, r.Count, r.Cursor != nil
	k.value = append(k.value[:0], r.Value...)
	k.cursor = append(k.cursor[:0], r.Cursor...)
	if len(r.Message) > 0 {
		k.message = string(r.Message)
	}
	return true, nil
}

// sIdle is the number of the SERVER_ERROR that says goodbye to a client that was idle, which
// it is no longer when it has just sent a command. It answers nothing.
const sIdle = 6

var errGoodbye = errors.New("keyframe: the server says goodbye")

// answersKey reports whether a response is about this key. A server may shorten a key that
// it refuses for its length.
func answersKey(r *wire.Response, key string) bool {
	return r.Status == codec.StatusKeyLengthInvalid || string(r.Key) == key
}

func mismatch(r *wire.Response, op codec.Opcode, key string) error {
	return fmt.Errorf("%w: %s of %.40q, status %d, where one to %s of %.40q belongs", ErrProtocol, r.Op, r.Key, r.Status, op, key)
}

// rewind makes a call ready to be sent once more.
func (k *call) rewind() {
	k.retries++
	if k.many != nil {
		k.many.rewind()
	}
}

// result is the error of a status that is not a success.
func (k *call) result() error {
	switch k.status {
	case codec.StatusOK, codec.StatusKeySet, codec.StatusKeyUpdated, codec.StatusKeyRemoved:
		return nil
	}
	if k.message == "" {
		return statusError(k.status, nil)
	}
	return statusError(k.status, []byte(k.message))
}

// call sends k and waits for its answer. If there is an error, be it a status that is not a
// success, k is released; otherwise the caller reads its answer and releases it.
func (c *Client) call(ctx context.Context, k *call) error {
	err := c.exchange(ctx, k)
	if err == nil {
		if err = k.result(); err != nil {
			k.release()
		}
	}
	return err
}

// exchange is call without a look at the status.
func (c *Client) exchange(ctx context.Context, k *call) error {
	if err := ctx.Err(); err != nil {
		k.release()
		return &ConnError{Err: err}
	}
	if k.longest > c.opts.MaxFrameBytes {
		k.release()
		return ErrTooLong
	}
	if err := c.enter(k); err != nil {
		k.release()
		return &ConnError{Err: err}
	}
	if done := ctx.Done(); done == nil {
		<-k.ready
	} else {
		select {
		case <-k.ready:
		case <-done:
			if mayHaveRun, gone := c.abandon(k); gone {
				return &ConnError{mayHaveRun, ctx.Err()}
			}
			<-k.ready // the answer was first
		}
	}
	err := k.err
	if err != nil {
		k.release()
	}
	return err
}
