package netio

import (
	"keyframe/codec"
	"keyframe/engine"
)

// This file is the end of a batch: its answers, in order, and the commands about the
// whole store, which are executed where they are answered.

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
	ops := p.batch.Ops[p.answered:p.batch.Executed()]
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
				p.stoppedAt = stop{i, j}
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

// answerStoreCommand executes and answers a command that is about the whole store. It
// returns false if it has to wait; the connection then goes on at next.
func (p *pipeline) answerStoreCommand(opcode codec.Opcode, next int) bool {
	p.cost.spent += storeCosts[opcode.Effect()]
	switch effect := opcode.Effect(); {
	case effect.Writes() && p.refusing != codec.StatusOK:
		p.countCommand()
		p.count.Errors[elementKind(p.refusing)]++
		p.text = codec.AppendServerError(p.text[:0], int(p.refusing), p.refusedBy)
		p.out = p.appendText(p.out)
		return true
	case effect == codec.EffectClear && p.commit != nil:
		p.cost.mustLook() // the store may have been a full one
		keys, now := p.commit.clear()
		if !now {
			p.submitClear(opcode, next)
			return false
		}
		p.countStoreCommand(opcode)
		p.answerCount(opcode, keys)
		return true
	}
	p.countStoreCommand(opcode)
	switch opcode.Effect() {
	case codec.EffectCount:
		p.answerCount(opcode, p.store.Len())
	case codec.EffectClear:
		p.cost.mustLook()
		p.answerCount(opcode, p.store.Clear())
	case codec.EffectServerInfo:
		p.text = codec.AppendMembers(p.text[:0], opcode, p.info())
		p.out = p.appendText(p.out)
	default:
		panic("BUG: netio: no answer for " + opcode.String())
	}
	return true
}

func (p *pipeline) countStoreCommand(opcode codec.Opcode) {
	p.countCommand()
	p.count.Commands[opcode]++
}

func (p *pipeline) answerCount(opcode codec.Opcode, n int) {
	p.text = codec.AppendCount(p.text[:0], opcode, n)
	p.out = p.appendText(p.out)
}

// maxKeptText is how much of the memory that a response needed is left for the next.
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
