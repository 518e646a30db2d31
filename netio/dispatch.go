package netio

import (
	"time"

	"keyframe/codec"
	"keyframe/engine"
	"keyframe/netio/frame"
)

// This file is the middle of a frame's way: payloads are decoded into the loop's
// batch, the engine applies it, and the responses are appended to the loop's
// output, in order.

const (
	// batchOps is how many arguments are decoded before the engine is called.
	// 128, 256 and 1,024 give the same throughput within 3 % (10 keys 16 deep:
	// 137, 133 and 135 ns a key; 100 keys 4 deep: 116, 115 and 116), so it is
	// what keeps a batch's memory, 150 KiB, within a second-level cache.
	batchOps = 1024

	// A turn ends after turnOps operations or turnOutputBytes of responses,
	// so that one connection can't keep its loop from the others: a turn of
	// so many SETs takes 0.8 ms. (What a read brings is 64 KiB, some 1,600
	// SETs: those of 1,000 keys without end hold up a single SET beside them
	// on the loop by 0.2 ms at the median and 0.5 ms at the 99th percentile,
	// four connections of that kind by 1.7 ms; BenchmarkServerBesideFlood.)
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

// shares are the sizes that the work of a loop is cut into. They are a server's and not
// constants so that a simulation, with small ones, meets their ends all the time.
type shares struct {
	batchOps, turnOps, turnOutputBytes, bigPayload, parkBytes int
}

var defaultShares = shares{batchOps, turnOps, turnOutputBytes, bigPayload, parkBytes}

// queued is a command that waits in the batch.
type queued struct {
	at      int   // where its frame begins in the bytes being served
	args    int32 // how many of the loop's arguments, following those of the command before
	op      codec.Opcode
	refused bool // the next of the loop's refusals says why; then it has no arguments
	resumed bool // an earlier batch held its first part
}

// kinds are the engine's operations for what commands do to a key. What is 0 is
// about the whole store.
var kinds = [codec.NumEffects]engine.Kind{
	codec.EffectStore:    engine.Set,
	codec.EffectStoreNew: engine.Add,
	codec.EffectRead:     engine.Get,
	codec.EffectRemove:   engine.Remove,
	codec.EffectContains: engine.Contains,
	codec.EffectRename:   engine.Rename,
}

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
func (l *loop) spent() bool {
	return l.ops >= l.shares.turnOps || len(l.out) >= l.shares.turnOutputBytes
}

// take decodes one payload, whose frame begins at offset at of the bytes being
// served, into the batch. It returns false when the turn is over before the
// command is; l.stop is then the frame to go on with and c.resume where in it.
func (l *loop) take(c *conn, payload []byte, at int) bool {
	if c.resume.More || len(payload) > l.shares.bigPayload {
		return l.takeLong(c, payload, at)
	}
	before := len(l.args)
	args, cmd, err := l.dec.Decode(payload, l.args, l.shares.batchOps)
	l.args = args
	if err != nil || cmd.More || kinds[cmd.Op.Effect()] == 0 {
		return l.takeSlow(c, payload, at, before, cmd, err)
	}
	l.enqueue(cmd.Op, at, before, false)
	if len(args) >= l.shares.batchOps {
		return l.flush(c)
	}
	return true
}

// takeLong is take for a payload that is long, or of which a part has been
// executed.
func (l *loop) takeLong(c *conn, payload []byte, at int) bool {
	if !l.flush(c) {
		return false
	}
	var cmd codec.Command
	var err error
	if c.resume.More {
		l.args, cmd = l.dec.DecodeFrom(payload, c.resume, l.args, l.shares.batchOps)
		c.resume = codec.Command{}
		return l.takeParts(c, payload, at, 0, cmd, true)
	}
	l.args, cmd, err = l.dec.Decode(payload, l.args, l.shares.batchOps)
	return l.takeSlow(c, payload, at, 0, cmd, err)
}

// takeSlow is take for a command that is not just some arguments for the batch.
// They are those from before on.
func (l *loop) takeSlow(c *conn, payload []byte, at, before int, cmd codec.Command, err error) bool {
	switch {
	case err != nil && c.framing == framingWebSocket && !codec.ValidUTF8(payload):
		// What is not UTF-8 is never accepted by the decoder, so only
		// refused payloads need this look. RFC 6455 section 8.1 wants the
		// connection failed.
		if !l.flush(c) {
			return false
		}
		l.countCommand(c)
		l.close(c, &frame.CloseError{Code: frame.CloseInvalidText, Reason: "the message is not UTF-8"})
		return true
	case err != nil:
		l.ops++
		l.queue = append(l.queue, queued{at: at, refused: true})
		l.refusals = append(l.refusals, codec.RefusalOf(err))
		return true
	case kinds[cmd.Op.Effect()] == 0:
		if !l.flush(c) { // a COUNT sees what was set before it
			return false
		}
		l.answerWhole(c, cmd.Op)
		return true
	default:
		return l.takeParts(c, payload, at, before, cmd, false)
	}
}

// takeParts executes a command that may have more arguments than one batch holds.
func (l *loop) takeParts(c *conn, payload []byte, at, before int, cmd codec.Command, resumed bool) bool {
	for {
		l.enqueue(cmd.Op, at, before, resumed)
		if !cmd.More {
			break
		}
		if !l.flush(c) {
			return false
		}
		if l.spent() {
			c.resume, l.stop = cmd, at
			return false
		}
		before, resumed = 0, true // flush has emptied the batch
		l.args, cmd = l.dec.DecodeFrom(payload, cmd, l.args, l.shares.batchOps)
	}
	if len(l.args) >= l.shares.batchOps {
		return l.flush(c)
	}
	return true
}

// enqueue puts a command, whose arguments are those from before on, into the
// batch, and hands the arguments that the codec has not refused to the engine.
func (l *loop) enqueue(op codec.Opcode, at, before int, resumed bool) {
	args := l.args[before:]
	kind := kinds[op.Effect()]
	for i := range args {
		if arg := &args[i]; arg.Status == codec.StatusOK {
			l.batch.Add(kind, arg.Key, arg.Value)
		}
	}
	l.ops += 1 + len(args)
	n := len(l.queue)
	if n == cap(l.queue) {
		l.queue = append(l.queue, queued{})
	}
	l.queue = l.queue[:n+1]
	// Field by field, into its place: a composite literal is built aside,
	// and reading it back in wider pieces waits for the stores to finish.
	q := &l.queue[n]
	q.at, q.args, q.op, q.refused, q.resumed = at, int32(len(args)), op, false, resumed
}

// flush executes the batch and appends its responses. It returns false when the
// values read have used up the turn's output: l.stop and c.resume then name the
// first element that was not executed.
func (l *loop) flush(c *conn) bool {
	if len(l.queue) == 0 {
		return true
	}
	if len(l.batch.Ops) > 0 {
		l.apply()
	}
	done := l.answerBatch(c)
	l.batch.Reset()
	if c.pending != nil || c.assembled {
		// What the arguments refer to may be as large as a frame, and gone
		// otherwise. Those that came out of gnet's read buffer keep nothing.
		clear(l.args)
	}
	if len(l.refusals) > 0 {
		clear(l.refusals)
		l.refusals = l.refusals[:0]
	}
	l.queue, l.args = l.queue[:0], l.args[:0]
	l.dec.Reset()
	return done
}

const (
	// One batch in sampleEvery is timed: reading the clock twice costs 59 ns,
	// as much as executing an operation. Batches of alwaysTimed operations
	// or more are all timed.
	sampleEvery = 16
	alwaysTimed = 256
)

// apply executes the batch.
func (l *loop) apply() {
	l.batch.ReadLimit = max(1, l.shares.turnOutputBytes-len(l.out))
	ops := len(l.batch.Ops)
	l.count.countBatch(ops)
	weight := time.Duration(1)
	if ops < alwaysTimed {
		if l.untimed++; l.untimed < sampleEvery {
			l.srv.store.Apply(&l.batch)
			return
		}
		l.untimed, weight = 0, sampleEvery
	}
	start := l.srv.now()
	l.srv.store.Apply(&l.batch)
	l.count.ApplyTime += weight * l.srv.now().Sub(start)
}

// countCommand counts a command, and the frame that held it: of one that came in
// fragments the frames have been counted as they came.
func (l *loop) countCommand(c *conn) {
	l.count.Queries++
	if !c.assembled {
		l.count.Frames++
	}
}

// answerBatch appends the responses of the batch, in order, and returns false at
// the first operation that the engine has not executed.
func (l *loop) answerBatch(c *conn) bool {
	args := l.args
	ops := l.batch.Ops[:l.batch.Executed()]
	refusals := l.refusals
	out := l.out // a local stays in registers: 1 ns a response
	for i := range l.queue {
		q := &l.queue[i]
		if q.refused {
			l.countCommand(c)
			l.count.Errors[refusalKind(refusals[0].Code)]++
			l.text = codec.AppendError(l.text[:0], refusals[0])
			out = l.appendText(out, c.framing)
			refusals = refusals[1:]
			continue
		}
		if !q.resumed {
			l.countCommand(c)
			l.count.Commands[q.op]++
		}
		for j := range args[:q.args] {
			arg := &args[j]
			if arg.Status != codec.StatusOK {
				l.count.Errors[elementKind(arg.Status)]++
				out = appendStatus(out, c.framing, q.op, arg, arg.Status)
				continue
			}
			if len(ops) == 0 {
				c.resume = codec.Command{Op: q.op, More: true, Next: arg.Pos}
				l.stop = q.at
				l.out = out
				return false
			}
			op := &ops[0]
			ops = ops[1:]
			switch {
			case op.Status == engine.Found && q.op.Values() != 0:
				out = appendValue(out, c.framing, q.op, arg, op.Value)
			case q.op.Quiet() && !q.op.Answers().Has(statuses[op.Status]):
			default:
				if op.Status == engine.OutOfMemory {
					l.count.Errors[ErrorOutOfMemory]++
				}
				out = appendStatus(out, c.framing, q.op, arg, statuses[op.Status])
			}
		}
		args = args[q.args:]
	}
	l.out = out
	return true
}

// appendStatus appends the response with an element's status.
func appendStatus(dst []byte, f framing, opcode codec.Opcode, arg *codec.Arg, st codec.Status) []byte {
	if f == framingWebSocket {
		dst = frame.AppendHeader(dst, frame.Text, codec.ResponseLen(opcode, arg, st))
	}
	return endFrame(codec.AppendResponse(dst, opcode, arg, st), f)
}

// appendValue appends the response with the value of a key that was found.
func appendValue(dst []byte, f framing, opcode codec.Opcode, arg *codec.Arg, value []byte) []byte {
	if f == framingWebSocket {
		dst = frame.AppendHeader(dst, frame.Text, codec.ValueLen(opcode, arg, value))
	}
	return endFrame(codec.AppendValue(dst, opcode, arg, value), f)
}

// answerWhole executes and answers a command that is about the whole store.
func (l *loop) answerWhole(c *conn, opcode codec.Opcode) {
	l.countCommand(c)
	l.count.Commands[opcode]++
	l.ops += wholeStoreOps
	switch opcode.Effect() {
	case codec.EffectCount:
		l.text = codec.AppendCount(l.text[:0], opcode, l.srv.store.Len())
	case codec.EffectClear:
		l.text = codec.AppendCount(l.text[:0], opcode, l.srv.store.Clear())
	case codec.EffectServerInfo:
		l.publish()
		st := l.srv.Stats() // other loops' counts may lag by the turns that they are in
		l.text = codec.AppendMembers(l.text[:0], opcode, infoMembers(&st))
	default:
		panic("BUG: netio: no answer for " + opcode.String())
	}
	l.out = l.appendText(l.out, c.framing)
}

// appendText appends the response in l.text: one of those that there are few of, and
// whose length nobody knows before they are written.
func (l *loop) appendText(dst []byte, f framing) []byte {
	if f == framingWebSocket {
		dst = frame.AppendHeader(dst, frame.Text, len(l.text))
	}
	dst = endFrame(append(dst, l.text...), f)
	if cap(l.text) > maxKeptText {
		l.text = nil
	}
	return dst
}

// endFrame appends what is behind a response.
func endFrame(dst []byte, f framing) []byte {
	if f == framingLines {
		return append(dst, '\n')
	}
	return dst
}
