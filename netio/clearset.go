package netio

import (
	"fmt"

	"keyframe/codec"
	"keyframe/engine"
)

// This file is the road of CLEAR_SET, which is one step, however many pairs it has: they are
// decoded at once and not in parts, and there is a limit to them.

// maxClearSetPairs is the most pairs that a CLEAR_SET may have. While it is executed nobody
// else gets to the store; not yet measured, 10 ms are reckoned with.
const maxClearSetPairs = 65_536

// answerClearSet executes and answers a CLEAR_SET. It returns false if it has to wait; the
// connection then goes on at next.
func (p *pipeline) answerClearSet(payload []byte, next int, cmd codec.Command) bool {
	defer p.dec.Reset()
	extra := cmd.Extra
	args, cmd, err := p.dec.Decode(payload, nil, maxClearSetPairs)
	if err != nil {
		panic("BUG: netio: it was accepted before: " + err.Error())
	}
	if cmd.More {
		r := &codec.Refusal{Code: codec.RefusedArgument, Op: cmd.Op, Text: fmt.Sprintf("takes an object of at most %d keys and values", maxClearSetPairs)}
		if extra != nil {
			r.ID = string(extra.ID)
		}
		p.countCommand()
		p.count.Errors[ErrorArgumentType]++
		p.text = codec.AppendError(p.text[:0], r)
		p.out = p.appendText(p.out)
		return true
	}
	if p.identity != nil {
		p.deny(cmd.Op, args)
	}
	p.cost.spent += costElement * len(args)
	p.cost.bytes(len(payload))
	p.cost.mustLook()
	b := engine.Batch{Now: p.batch.Now, Ops: make([]engine.Op, 0, len(args))}
	for i := range args {
		if arg := &args[i]; arg.Status == codec.StatusOK {
			b.AddForm(engine.Set, arg.Key, arg.Value, engine.Form(arg.Form))
		}
	}
	var keys int
	if p.commit != nil {
		var now bool
		if keys, now = p.commit.clear(&b); !now {
			w := &waiting{isJoined: p.isJoined, store: cmd.Op, extra: extra.Clone()}
			w.batch = b
			w.batch.Own()
			w.args = args
			for i := range args {
				args[i].Value = nil
			}
			ownKeys(args)
			p.submitClear(w, next)
			return false
		}
	} else {
		keys, _ = p.store.ClearSet(&b, nil)
	}
	p.countStoreCommand(cmd.Op)
	p.answerPairs(cmd.Op, extra, keys, args, b.Ops)
	return true
}

// answerPairs appends the answers of a CLEAR_SET.
func (p *pipeline) answerPairs(op codec.Opcode, extra *codec.Extra, keys int, args []codec.Arg, ops []engine.Op) {
	p.answerCount(op, extra, keys)
	f := p.framing
	if extra != nil && extra.ID != nil {
		f = &identified{framing: f, id: extra.ID, text: &p.text}
	}
	for i := range args {
		st := args[i].Status
		if st == codec.StatusOK {
			st = statuses[ops[0].Status]
			ops = ops[1:]
			p.countFailure(st)
		} else {
			p.count.Errors[elementKind(st)]++
		}
		p.out = f.appendStatus(p.out, op, &args[i], st)
	}
}
