package netio

import (
	"time"

	"keyframe/codec"
	"keyframe/engine"
	"keyframe/netio/frame"
)

// This file is the middle of a frame's way: commands are decoded into a batch, the store
// applies it, and the answers are appended to the output, in order.

const (
	// batchOps is how many arguments are decoded before the engine is called.
	// 128, 256 and 1,024 give the same throughput within 3 % (10 keys 16 deep:
	// 137, 133 and 135 ns a key; 100 keys 4 deep: 116, 115 and 116), so it is
	// what keeps a batch's memory, 150 KiB, within a second-level cache.
	batchOps = 1024

	// A turn ends after turnOps operations or turnOutputBytes of responses,
	// so that one connection can't keep its loop from the others: a turn of
	// turnOps SETs takes 0.8 ms. A read brings 64 KiB, some 1,600 SETs. An endless
	// stream of SETs of 1,000 keys holds up a single SET beside it on the loop by
	// 0.2 ms at the median and 0.5 ms at the 99th percentile, four such streams by
	// 1.7 ms (BenchmarkServerBesideFlood).
	turnOps         = 8192
	turnOutputBytes = 1 << 20

	// A command about the whole store visits every shard; it counts as
	// wholeStoreOps operations.
	wholeStoreOps = 64

	// A payload of more than bigPayload bytes is not decoded before the batch
	// ahead of it is through: a batch that stops half way would have it
	// decoded again in each of its turns.
	bigPayload = 64 << 10
)

// shares are the sizes that the work of a loop is cut into. They are a server's and not
// constants so that a simulation, with small ones, meets their ends all the time.
type shares struct {
	batchOps, turnOps, turnOutputBytes, bigPayload, parkBytes int
}

var defaultShares = shares{batchOps, turnOps, turnOutputBytes, bigPayload, parkBytes}

// pipeline is the road that commands take through a loop:
//
//	framing.next ─► admit ─► decode into args ─► batch ─► store.Apply ─► answerBatch ─► out
//	    payload      one command at a time       what has arrived together        one write
//
// It knows neither gnet nor connections: run gets bytes and the framing that cuts them,
// and returns what came of them. Everything in it is scratch that the connections of a
// loop use in turn, so that an idle connection costs next to nothing and a busy one finds
// the scratch warm. It belongs to one goroutine.
type pipeline struct {
	store  store
	info   func() codec.Object // the members of SERVER_INFO's answer
	now    func() time.Time
	count  *Counters
	shares shares

	dec      *codec.Decoder
	args     []codec.Arg
	queue    []queued
	refusals []*codec.Refusal // of the refused ones in the queue
	batch    engine.Batch
	out      []byte // answers, for the caller to send and to empty
	text     []byte // one answer that is not framed yet
	ops      int    // operations and commands of the turn so far
	untimed  int    // batches since the last one that was timed

	// Of the turn that is being run.
	framing  framing
	lasting  bool          // the input outlives the turn: what refers to it would keep it alive
	isJoined bool          // the command comes from framing.joined
	resumeAt int           // where a turn that had to stop goes on
	resume   codec.Command // More: the first command there has been executed up to Next
	end      error         // why the connection ends
}

// turn is what came of a run.
type turn struct {
	used   int           // bytes of the input that are done with
	more   bool          // there is work left that needs no further bytes
	resume codec.Command // More: a part of the first command that is left has been executed
}

func newPipeline(s *Server, count *Counters) *pipeline {
	dec, err := codec.NewDecoder(codec.Options{AnyValues: s.opts.AnyValues})
	if err != nil {
		panic("BUG: netio: " + err.Error()) // the options are ours
	}
	return &pipeline{store: s.store, now: s.now, count: count, shares: s.shares, dec: dec}
}

// queued is a command that waits in the batch.
type queued struct {
	at      int   // where its frame begins in the bytes being served
	args    int32 // how many of the arguments, following those of the command before
	op      codec.Opcode
	refused bool // the next of the refusals says why; then it has no arguments
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

// run serves what it can of src, of which resume says how much of the first command has
// been executed already. lasting means that src is memory of the connection's own. It
// also returns the framing that goes on. With an error the connection is to be closed:
// the client has been told why.
func (p *pipeline) run(f framing, src []byte, lasting bool, resume codec.Command) (t turn, _ framing, end error) {
	p.framing, p.lasting, p.resume, p.end = f, lasting, resume, nil
	p.ops = 0
	used, more := p.units(src)
	p.framing.done(used)
	return turn{used, more, p.resume}, p.framing, p.end
}

// units serves one unit after the other.
func (p *pipeline) units(src []byte) (used int, more bool) {
	if !p.admitJoined(0) {
		return p.resumeAt, true
	}
	for p.end == nil {
		if p.shareUsed() {
			more = used < len(src)
			break
		}
		payload, size, kind, err := p.framing.next(src, used)
		if err == frame.ErrIncomplete {
			break
		}
		if err != nil || kind != unitCommand {
			var stopped bool
			if size, stopped, err = p.admitOther(src, used, size, kind, err); stopped {
				return p.resumeAt, true
			}
			if err == frame.ErrIncomplete {
				break
			}
			if used += size; err != nil {
				used = len(src)
			}
			continue
		}
		if !p.admit(payload, used) {
			return p.resumeAt, true
		}
		used += size
	}
	if !p.flush() {
		return p.resumeAt, true
	}
	return used, more
}

// admitOther serves a unit that is no plain command, or ends the connection for err. It
// reports whether the turn had to stop, and returns the unit's size.
func (p *pipeline) admitOther(src []byte, at, size int, kind unitKind, err error) (_ int, stopped bool, _ error) {
	var u unit
	if kind != unitBlank || err != nil {
		// It must not be taken before the batch is through. If the batch stops half
		// way, the turn goes back to that command and looks at what follows once more.
		if !p.flush() {
			return 0, true, nil
		}
		if err == nil {
			u, err = p.framing.take(src, at)
			size = u.size
		}
	}
	switch {
	case err == frame.ErrIncomplete:
		return 0, false, err
	case err != nil:
		if closeErrorOf(err) != nil {
			p.count.Frames++
		}
		p.endWith(err)
		return 0, false, err
	}
	p.out = append(p.out, u.answer...)
	if u.becomes != nil {
		p.framing = u.becomes
		return size, false, nil
	}
	p.ops++ // a share of the turn, though nothing or hardly anything is answered
	p.count.Frames++
	return size, !p.admitJoined(at + size), nil
}

// admitJoined serves the message that the framing has joined, if there is one. It goes
// through the batch alone: the next fragment would overwrite it.
func (p *pipeline) admitJoined(at int) bool {
	payload, ok := p.framing.joined()
	if !ok {
		return true
	}
	p.isJoined = true
	done := p.admit(payload, at) && p.flush()
	p.isJoined = false
	if done {
		p.framing.release()
	}
	return done
}

// endWith ends the connection, for a reason that the client is told.
func (p *pipeline) endWith(err error) {
	p.out = p.framing.appendEnd(p.out, err)
	p.count.countEnd(err)
	p.end = err
}

// shareUsed reports whether the turn has done its share.
func (p *pipeline) shareUsed() bool {
	return p.ops >= p.shares.turnOps || len(p.out) >= p.shares.turnOutputBytes
}

// admit decodes one payload, whose frame begins at offset at of the bytes being
// served, into the batch. It returns false when the turn is over before the
// command is; p.resumeAt is then the frame to go on with and p.resume where in it.
func (p *pipeline) admit(payload []byte, at int) bool {
	if p.resume.More || len(payload) > p.shares.bigPayload {
		return p.admitLarge(payload, at)
	}
	before := len(p.args)
	args, cmd, err := p.dec.Decode(payload, p.args, p.shares.batchOps)
	p.args = args
	if err != nil || cmd.More || kinds[cmd.Op.Effect()] == 0 {
		return p.admitException(payload, at, before, cmd, err)
	}
	p.enqueue(cmd.Op, at, before, false)
	if len(args) >= p.shares.batchOps {
		return p.flush()
	}
	return true
}

// admitLarge is admit for a payload that is long, or of which a part has been
// executed.
func (p *pipeline) admitLarge(payload []byte, at int) bool {
	if !p.flush() {
		return false
	}
	var cmd codec.Command
	var err error
	if p.resume.More {
		p.args, cmd = p.dec.DecodeFrom(payload, p.resume, p.args, p.shares.batchOps)
		p.resume = codec.Command{}
		return p.admitInParts(payload, at, 0, cmd, true)
	}
	p.args, cmd, err = p.dec.Decode(payload, p.args, p.shares.batchOps)
	return p.admitException(payload, at, 0, cmd, err)
}

// admitException is admit for a command that is more than arguments for the batch, or
// was refused. Its arguments are those from before on.
func (p *pipeline) admitException(payload []byte, at, before int, cmd codec.Command, err error) bool {
	switch {
	case err != nil:
		if why := p.framing.condemn(payload); why != nil {
			if !p.flush() {
				return false
			}
			p.countCommand()
			p.endWith(why)
			return true
		}
		p.ops++
		p.queue = append(p.queue, queued{at: at, refused: true})
		p.refusals = append(p.refusals, codec.RefusalOf(err))
		return true
	case kinds[cmd.Op.Effect()] == 0:
		if !p.flush() { // a COUNT sees what was set before it
			return false
		}
		p.answerStoreCommand(cmd.Op)
		return true
	default:
		return p.admitInParts(payload, at, before, cmd, false)
	}
}

// admitInParts executes a command that may have more arguments than one batch holds.
func (p *pipeline) admitInParts(payload []byte, at, before int, cmd codec.Command, resumed bool) bool {
	for {
		p.enqueue(cmd.Op, at, before, resumed)
		if !cmd.More {
			break
		}
		if !p.flush() {
			return false
		}
		if p.shareUsed() {
			p.resume, p.resumeAt = cmd, at
			return false
		}
		before, resumed = 0, true // flush has emptied the batch
		p.args, cmd = p.dec.DecodeFrom(payload, cmd, p.args, p.shares.batchOps)
	}
	if len(p.args) >= p.shares.batchOps {
		return p.flush()
	}
	return true
}

// enqueue puts a command, whose arguments are those from before on, into the
// batch, and hands the arguments that the codec has not refused to the engine.
func (p *pipeline) enqueue(op codec.Opcode, at, before int, resumed bool) {
	args := p.args[before:]
	kind := kinds[op.Effect()]
	for i := range args {
		if arg := &args[i]; arg.Status == codec.StatusOK {
			p.batch.Add(kind, arg.Key, arg.Value)
		}
	}
	p.ops += 1 + len(args)
	n := len(p.queue)
	if n == cap(p.queue) {
		p.queue = append(p.queue, queued{})
	}
	p.queue = p.queue[:n+1]
	// Field by field, into its place: a composite literal is built aside,
	// and reading it back in wider pieces waits for the stores to finish.
	q := &p.queue[n]
	q.at, q.args, q.op, q.refused, q.resumed = at, int32(len(args)), op, false, resumed
}

// flush executes the batch and appends its responses. It returns false when the
// values read have used up the turn's output: p.resumeAt and p.resume then name the
// first element that was not executed.
func (p *pipeline) flush() bool {
	if len(p.queue) == 0 {
		return true
	}
	if len(p.batch.Ops) > 0 {
		p.apply()
	}
	done := p.answerBatch()
	p.batch.Reset()
	if p.lasting || p.isJoined {
		// What the arguments refer to may be as large as a frame, and gone
		// otherwise. Those that came out of gnet's read buffer keep nothing.
		clear(p.args)
	}
	if len(p.refusals) > 0 {
		clear(p.refusals)
		p.refusals = p.refusals[:0]
	}
	p.queue, p.args = p.queue[:0], p.args[:0]
	p.dec.Reset()
	return done
}

const (
	// One batch in sampleEvery is timed: reading the clock twice costs 59 ns,
	// as much as executing an operation. Batches of alwaysTimed operations
	// or more are all timed.
	sampleEvery = 16
	alwaysTimed = 256
)

// apply executes the batch, and times it if it is large or its turn has come.
func (p *pipeline) apply() {
	p.batch.ReadLimit = max(1, p.shares.turnOutputBytes-len(p.out))
	ops := len(p.batch.Ops)
	p.count.countBatch(ops)
	weight := time.Duration(1)
	if ops < alwaysTimed {
		if p.untimed++; p.untimed < sampleEvery {
			p.store.Apply(&p.batch)
			return
		}
		p.untimed, weight = 0, sampleEvery
	}
	start := p.now()
	p.store.Apply(&p.batch)
	p.count.ApplyTime += weight * p.now().Sub(start)
}

// countCommand counts a command, and the frame that held it: of one that came in
// fragments the frames have been counted as they came.
func (p *pipeline) countCommand() {
	p.count.Queries++
	if !p.isJoined {
		p.count.Frames++
	}
}

// answerBatch appends the responses of the batch, in order, and returns false at
// the first operation that the engine has not executed.
func (p *pipeline) answerBatch() bool {
	args := p.args
	ops := p.batch.Ops[:p.batch.Executed()]
	refusals := p.refusals
	f := p.framing
	out := p.out // a local stays in registers: 1 ns a response
	for i := range p.queue {
		q := &p.queue[i]
		if q.refused {
			p.countCommand()
			p.count.Errors[refusalKind(refusals[0].Code)]++
			p.text = codec.AppendError(p.text[:0], refusals[0])
			out = p.appendText(out)
			refusals = refusals[1:]
			continue
		}
		if !q.resumed {
			p.countCommand()
			p.count.Commands[q.op]++
		}
		for j := range args[:q.args] {
			arg := &args[j]
			if arg.Status != codec.StatusOK {
				p.count.Errors[elementKind(arg.Status)]++
				out = f.appendStatus(out, q.op, arg, arg.Status)
				continue
			}
			if len(ops) == 0 {
				p.resume = codec.Command{Op: q.op, More: true, Next: arg.Pos}
				p.resumeAt = q.at
				p.out = out
				return false
			}
			op := &ops[0]
			ops = ops[1:]
			switch {
			case op.Status == engine.Found && q.op.Values() != 0:
				out = f.appendValue(out, q.op, arg, op.Value)
			case q.op.Quiet() && !q.op.Answers().Has(statuses[op.Status]):
			default:
				if op.Status == engine.OutOfMemory {
					p.count.Errors[ErrorOutOfMemory]++
				}
				out = f.appendStatus(out, q.op, arg, statuses[op.Status])
			}
		}
		args = args[q.args:]
	}
	p.out = out
	return true
}

// answerStoreCommand executes and answers a command that is about the whole store.
func (p *pipeline) answerStoreCommand(opcode codec.Opcode) {
	p.countCommand()
	p.count.Commands[opcode]++
	p.ops += wholeStoreOps
	switch opcode.Effect() {
	case codec.EffectCount:
		p.text = codec.AppendCount(p.text[:0], opcode, p.store.Len())
	case codec.EffectClear:
		p.text = codec.AppendCount(p.text[:0], opcode, p.store.Clear())
	case codec.EffectServerInfo:
		p.text = codec.AppendMembers(p.text[:0], opcode, p.info())
	default:
		panic("BUG: netio: no answer for " + opcode.String())
	}
	p.out = p.appendText(p.out)
}

// maxKeptText is how much of the memory that a response needed is left for the next:
// the refusal of an unknown command repeats its name, which may be long.
const maxKeptText = 64 << 10

// appendText appends the answer in p.text: one of the rare ones, whose
// length is not known before they are written.
func (p *pipeline) appendText(dst []byte) []byte {
	dst = p.framing.appendText(dst, p.text)
	if cap(p.text) > maxKeptText {
		p.text = nil
	}
	return dst
}
