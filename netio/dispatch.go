package netio

import (
	"time"

	"keyframe/codec"
	"keyframe/engine"
)

// This file is the middle of a frame's way: payloads are decoded into the loop's
// batch, the engine applies it, and the responses are appended to the loop's
// output, in order.

const (
	// batchOps is how many arguments are decoded before the engine is called.
	// Not yet measured; a batch's memory stays within a second-level cache.
	batchOps = 1024

	// A turn ends after turnOps operations or turnOutputBytes of responses,
	// so that one connection can't keep its loop from the others. Not yet
	// measured.
	turnOps         = 8192
	turnOutputBytes = 1 << 20

	// A command about the whole store visits every shard; it counts as so
	// many operations.
	wholeStoreOps = 64

	// A payload of more than bigPayload bytes is not decoded before the batch
	// in front of it is through: a batch that stops half way would have it
	// decoded again in each of its turns.
	bigPayload = 64 << 10
)

// queued is a command that waits in the batch.
type queued struct {
	cmd     codec.Command
	err     error // why it is refused; then it has no arguments
	args    int   // how many of the loop's arguments, following those of the command before
	at      int   // where its frame begins in the bytes being served
	resumed bool  // an earlier batch held its first part
}

// kinds are the engine's operations behind the keyed commands.
var kinds = [codec.NumOpcodes]engine.Kind{
	codec.OpSet:      engine.Set,
	codec.OpSetQ:     engine.Set,
	codec.OpAdd:      engine.Add,
	codec.OpAddQ:     engine.Add,
	codec.OpGet:      engine.Get,
	codec.OpRemove:   engine.Remove,
	codec.OpContains: engine.Contains,
	codec.OpRename:   engine.Rename,
}

// quiet are the commands that answer only for what failed.
var quiet = [codec.NumOpcodes]bool{codec.OpSetQ: true, codec.OpAddQ: true}

// statuses are the wire's numbers for the engine's outcomes. CONTAINS says of a
// key that exists what ADD says, so Found is KeyExists; a GET that found its
// key has a response of its own.
var statuses = [...]codec.Status{
	engine.Created:     codec.StatusKeySet,
	engine.Updated:     codec.StatusKeyUpdated,
	engine.Found:       codec.StatusKeyExists,
	engine.Exists:      codec.StatusKeyExists,
	engine.NotFound:    codec.StatusKeyNotExist,
	engine.Removed:     codec.StatusKeyRemoved,
	engine.Renamed:     codec.StatusKeySet,
	engine.OutOfMemory: codec.StatusOutOfMemory,
}

// spent tells whether the turn has done its share.
func (l *loop) spent() bool { return l.ops >= turnOps || len(l.out) >= turnOutputBytes }

// take decodes one payload, whose frame begins at offset at of the bytes being
// served, into the batch. It returns false when the turn is over before the
// command is; l.stop is then the frame to go on with and c.resume where in it.
func (l *loop) take(c *conn, payload []byte, at int) bool {
	if len(payload) > bigPayload && !l.flush(c) {
		return false
	}
	q := queued{at: at}
	before := len(l.args)
	if c.resume.More {
		q.resumed = true
		l.args, q.cmd = l.dec.DecodeFrom(payload, c.resume, l.args, batchOps)
		c.resume = codec.Command{}
	} else {
		l.args, q.cmd, q.err = l.dec.Decode(payload, l.args, batchOps)
	}
	if q.err != nil && c.framing == framingWebSocket && !codec.ValidUTF8(payload) {
		// What is not UTF-8 is never accepted by the decoder, so only
		// refused payloads need this look. RFC 6455 section 8.1 wants the
		// connection failed.
		if !l.flush(c) {
			return false
		}
		l.queries++
		l.close(c, &closeError{closeInvalidText, "the message is not UTF-8"})
		return true
	}
	if q.err == nil && kinds[q.cmd.Op] == 0 {
		if !l.flush(c) { // a COUNT sees what was set before it
			return false
		}
		l.answerWhole(c, q.cmd.Op)
		return true
	}
	for {
		q.args = len(l.args) - before
		l.ops += 1 + q.args
		l.queue = append(l.queue, q)
		if !q.cmd.More {
			break
		}
		if !l.flush(c) {
			return false
		}
		if l.spent() {
			c.resume, l.stop = q.cmd, at
			return false
		}
		before = 0 // flush has emptied the batch
		q.resumed = true
		l.args, q.cmd = l.dec.DecodeFrom(payload, q.cmd, l.args, batchOps)
	}
	if len(l.args) >= batchOps {
		return l.flush(c)
	}
	return true
}

// flush executes the batch and appends its responses. It returns false when the
// values read have used up the turn's output: l.stop and c.resume then name the
// first element that was not executed.
func (l *loop) flush(c *conn) bool {
	if len(l.queue) == 0 {
		return true
	}
	l.fillBatch()
	l.batch.ReadLimit = max(1, turnOutputBytes-len(l.out))
	l.srv.engine.Apply(&l.batch)
	done := l.answerBatch(c)
	l.batch.Reset()
	// What they refer to may be as large as a frame, and gone otherwise.
	clear(l.queue)
	clear(l.args)
	l.queue, l.args = l.queue[:0], l.args[:0]
	l.dec.Reset()
	return done
}

// fillBatch hands the arguments that the codec has not refused to the engine.
func (l *loop) fillBatch() {
	args := l.args
	for i := range l.queue {
		q := &l.queue[i]
		kind := kinds[q.cmd.Op]
		for j := range args[:q.args] {
			if arg := &args[j]; arg.Status == codec.StatusOK {
				l.batch.Add(kind, arg.Key, arg.Value)
			}
		}
		args = args[q.args:]
	}
}

// answerBatch appends the responses of the batch, in order, and returns false at
// the first operation that the engine has not executed.
func (l *loop) answerBatch(c *conn) bool {
	args := l.args
	ops := l.batch.Ops[:l.batch.Executed()]
	for i := range l.queue {
		q := &l.queue[i]
		if !q.resumed {
			l.queries++
		}
		if q.err != nil {
			l.text = codec.AppendError(l.text[:0], q.err)
			l.appendText(c)
		}
		for j := range args[:q.args] {
			arg := &args[j]
			if arg.Status != codec.StatusOK {
				l.appendStatus(c, q.cmd.Op, arg, arg.Status)
				continue
			}
			if len(ops) == 0 {
				c.resume = codec.Command{Op: q.cmd.Op, More: true, Next: arg.Pos}
				l.stop = q.at
				return false
			}
			l.answer(c, q.cmd.Op, arg, &ops[0])
			ops = ops[1:]
		}
		args = args[q.args:]
	}
	return true
}

// answer appends the response of one executed operation.
func (l *loop) answer(c *conn, opcode codec.Opcode, arg *codec.Arg, op *engine.Op) {
	status := op.Status
	if quiet[opcode] && (status == engine.Created || status == engine.Updated) {
		return
	}
	if opcode != codec.OpGet || status != engine.Found {
		l.appendStatus(c, opcode, arg, statuses[status])
		return
	}
	if c.framing == framingWebSocket {
		l.out = appendHeader(l.out, opText, codec.ValueLen(opcode, arg, op.Value))
	}
	l.out = codec.AppendValue(l.out, opcode, arg, op.Value)
	l.endFrame(c)
}

// appendStatus appends the response with an element's status.
func (l *loop) appendStatus(c *conn, opcode codec.Opcode, arg *codec.Arg, st codec.Status) {
	if c.framing == framingWebSocket {
		l.out = appendHeader(l.out, opText, codec.ResponseLen(opcode, arg, st))
	}
	l.out = codec.AppendResponse(l.out, opcode, arg, st)
	l.endFrame(c)
}

// answerWhole executes and answers a command that is about the whole store.
func (l *loop) answerWhole(c *conn, opcode codec.Opcode) {
	l.queries++
	l.ops += wholeStoreOps
	switch opcode {
	case codec.OpCount:
		l.text = codec.AppendCount(l.text[:0], opcode, l.srv.engine.Len())
	case codec.OpClear:
		l.text = codec.AppendCount(l.text[:0], opcode, l.srv.engine.Clear())
	case codec.OpServerInfo:
		l.publish()
		l.text = codec.AppendServerInfo(l.text[:0], l.srv.info(time.Now()))
	default:
		panic("BUG: netio: no answer for " + opcode.String())
	}
	l.appendText(c)
}

// appendText appends the response in l.text: one of those that there are few of, and
// whose length nobody knows before they are written.
func (l *loop) appendText(c *conn) {
	if c.framing == framingWebSocket {
		l.out = appendHeader(l.out, opText, len(l.text))
	}
	l.out = append(l.out, l.text...)
	l.endFrame(c)
	if cap(l.text) > maxKeptText {
		l.text = nil
	}
}

// endFrame appends what is behind a response.
func (l *loop) endFrame(c *conn) {
	if c.framing == framingLines {
		l.out = append(l.out, '\n')
	}
}
