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
	engine.NotInteger:  codec.StatusNotAnInteger,
	engine.Differs:     codec.StatusValueDiffers,
	engine.Refused:     codec.StatusTypeInvalid,
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
	refusals, extras := p.refusals, p.extras
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
		var extra *codec.Extra
		if q.other != 0 {
			if q.other&hasExtra != 0 {
				extra, extras = extras[0], extras[1:]
			}
			if q.other&hasValues != 0 || extra.ID != nil {
				left, stopped := 0, 0
				if out, left, stopped = p.answerOther(out, q, extra, args[:q.args], len(ops)); stopped >= 0 {
					p.stopAt(i, stopped, q, extra, &args[stopped])
					p.out = out
					return false
				}
				ops = ops[len(ops)-left:]
				args = args[q.args:]
				continue
			}
		}
		for j := range args[:q.args] {
			arg := &args[j]
			if arg.Status != codec.StatusOK {
				p.count.Errors[elementKind(arg.Status)]++
				out = f.appendStatus(out, q.op, arg, arg.Status)
				continue
			}
			if len(ops) == 0 {
				p.stopAt(i, j, q, extra, arg)
				p.out = out
				return false
			}
			op := &ops[0]
			ops = ops[1:]
			switch {
			case op.Status == engine.Found && q.op.Values() != 0:
				if op.Form == engine.Form(codec.FormBytes) && !codec.IsText(op.Value, codec.FormBytes) {
					p.countFailure(codec.StatusTypeInvalid)
					out = f.appendStatus(out, q.op, arg, codec.StatusTypeInvalid)
					continue
				}
				arg.Form = codec.Form(op.Form)
				out = f.appendValue(out, q.op, arg, op.Value)
			case q.op.Quiet() && !q.op.Answers().Has(statuses[op.Status]):
			default:
				if failures>>op.Status&1 != 0 {
					p.countFailure(statuses[op.Status])
				}
				out = f.appendStatus(out, q.op, arg, statuses[op.Status])
			}
		}
		args = args[q.args:]
	}
	p.out = out
	return true
}

// stopAt notes the first element that has not been executed: of command i the argument j.
func (p *pipeline) stopAt(i, j int, q *queued, extra *codec.Extra, arg *codec.Arg) {
	p.resume = codec.Command{Op: q.op, More: true, Next: arg.Pos, Extra: extra.Clone()}
	p.resumeAt = q.at
	p.stoppedAt = stop{i, j}
	for _, before := range p.blanks {
		if before > i { // the next turn goes back to this command, and comes by it once more
			p.count.Frames--
		}
	}
}

// answerOther appends the responses to a command with an id, or with values; unanswered
// is how many of the executed operations have not been answered yet, and left how many are
// left after it. stopped is the first argument that has not been executed, -1 if all have.
func (p *pipeline) answerOther(out []byte, q *queued, extra *codec.Extra, args []codec.Arg, unanswered int) (_ []byte, left, stopped int) {
	f, start := p.framing, len(out)
	if extra != nil && extra.ID != nil {
		f = &identified{framing: f, id: extra.ID, text: &p.text}
	}
	left, stopped = unanswered, -1
	for j := range args {
		arg := &args[j]
		if arg.Status != codec.StatusOK {
			p.count.Errors[elementKind(arg.Status)]++
			out = f.appendStatus(out, q.op, arg, arg.Status)
			continue
		}
		if left == 0 {
			stopped = j
			break
		}
		index := p.batch.Executed() - left
		left--
		st := statuses[p.batch.Ops[index].Status]
		switch {
		case q.op.Values() != 0:
			out = p.appendFound(out, f, q.op, arg, index)
		case q.op.Quiet() && !q.op.Answers().Has(st):
		default:
			p.countFailure(st)
			out = f.appendStatus(out, q.op, arg, st)
		}
	}
	if extra == nil {
		return out, left, stopped
	}
	if extra.Answered = extra.Answered || len(out) > start; extra.ID != nil && !extra.Answered && stopped < 0 && q.other&hasMore == 0 {
		out = f.appendText(out, codec.AppendDone(p.text[:0], q.op))
	}
	return out, left, stopped
}

// failures are the outcomes that are counted as errors.
const failures = 1<<engine.OutOfMemory | 1<<engine.NotInteger | 1<<engine.Differs | 1<<engine.Refused

// answerStoreCommand executes and answers a command that is about the whole store. It
// returns false if it has to wait, and the connection then goes on at next, or if the turn
// is over before it is through.
func (p *pipeline) answerStoreCommand(payload []byte, at, next int, cmd codec.Command) bool {
	p.cost.spent += storeCosts[cmd.Op.Effect()]
	effect := cmd.Op.Effect()
	if p.identity != nil {
		if why := p.denies(cmd); why != "" {
			p.countCommand()
			p.count.Errors[ErrorDenied]++
			p.answerText(codec.AppendFailure(p.text[:0], cmd.Op, codec.StatusDenied, why), cmd.Extra)
			return true
		}
		if effect == codec.EffectAuth {
			return p.authenticate(cmd, next)
		}
	}
	if p.commit != nil && seesStore(effect) {
		defer p.commit.seesAll() // then: it depends on nothing that happens later
	}
	if effect.Writes() && p.refusing != codec.StatusOK {
		p.countCommand()
		p.count.Errors[elementKind(p.refusing)]++
		p.answerText(codec.AppendServerError(p.text[:0], int(p.refusing), p.refusedBy), cmd.Extra)
		return true
	}
	switch effect {
	case codec.EffectKeys:
		return p.answerScan(at, cmd)
	case codec.EffectClearSet:
		return p.answerClearSet(payload, next, cmd)
	case codec.EffectClear:
		p.cost.mustLook() // the store may have been a full one
		keys, now := 0, true
		if p.commit == nil {
			keys = p.store.Clear()
		} else if keys, now = p.commit.clear(nil); !now {
			p.submitClear(&waiting{isJoined: p.isJoined, store: cmd.Op, extra: cmd.Extra.Clone()}, next)
			return false
		}
		p.countStoreCommand(cmd.Op)
		p.answerCount(cmd.Op, cmd.Extra, keys)
		return true
	}
	if effect == codec.EffectSave && p.save != nil {
		p.submitSave(cmd, next)
		return false
	}
	p.countStoreCommand(cmd.Op)
	switch effect {
	case codec.EffectCount:
		p.answerCount(cmd.Op, cmd.Extra, p.store.Len())
	case codec.EffectServerInfo:
		p.answerText(codec.AppendMembers(p.text[:0], cmd.Op, p.info()), cmd.Extra)
	case codec.EffectPing:
		p.answerText(codec.AppendMembers(p.text[:0], cmd.Op, codec.Object{}), cmd.Extra)
	case codec.EffectSave:
		p.answerSave(cmd.Op, cmd.Extra, nil, errNotOnDisk)
	case codec.EffectAuth:
		p.answerText(codec.AppendFailure(p.text[:0], cmd.Op, codec.StatusDenied, "this server has no users"), cmd.Extra)
	default:
		panic("BUG: netio: no answer for " + cmd.Op.String())
	}
	return true
}

func (p *pipeline) countStoreCommand(opcode codec.Opcode) {
	p.countCommand()
	p.count.Commands[opcode]++
}

func (p *pipeline) answerCount(opcode codec.Opcode, extra *codec.Extra, n int) {
	p.answerText(codec.AppendCount(p.text[:0], opcode, n), extra)
}

// answerText appends an answer as it is, with the command's id if it has one.
func (p *pipeline) answerText(text []byte, extra *codec.Extra) {
	p.text = withID(text, extra)
	p.out = p.appendText(p.out)
}

// withID is an answer with the command's id, if it has one.
func withID(text []byte, extra *codec.Extra) []byte {
	if extra == nil || extra.ID == nil {
		return text
	}
	return codec.AppendID(text, 0, extra.ID)
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
