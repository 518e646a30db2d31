package netio

import "keyframe/codec"

// This file is the road of long commands, and of those of which a part has been executed.
// They are alone in their batch. A long one is checked in steps, in several turns if need
// be, and when all of it is right it is decoded and executed part by part. The connection
// keeps the check until then, since it knows what need not be looked at again.

// admitLarge is admit for a payload that is long, or of which a part has been
// executed.
func (p *pipeline) admitLarge(payload []byte, at, next int) bool {
	if !p.flush(at, codec.Command{}) {
		return false
	}
	if p.resume.More {
		cmd := p.decodePart(payload, p.resume)
		p.resume = codec.Command{}
		return p.admitInParts(payload, at, next, 0, cmd, true)
	}
	if p.check == nil {
		p.check = new(codec.Check)
	}
	cmd, done, err := p.checkInSteps(payload)
	if !done {
		p.resumeAt = at
		return false
	}
	if !p.admitException(payload, at, next, 0, cmd, err) {
		return false
	}
	p.check = nil
	return true
}

// checkInSteps checks a long payload until it is checked or the turn is over. If it is
// checked in the first turn, the first elements have been decoded on the way.
func (p *pipeline) checkInSteps(payload []byte) (cmd codec.Command, done bool, err error) {
	for wanted := p.shares.batchOps; ; wanted = 0 {
		from := p.check.At()
		p.args, cmd, done, err = p.dec.CheckStep(p.check, payload, p.shares.checkBytes, p.args, wanted)
		p.cost.bytes(p.check.At() - from)
		if p.cost.mustLook(); done || p.cost.isOver(len(p.out)) {
			break
		}
	}
	if !done { // the arguments won't outlive the turn
		clear(p.args)
		p.args = p.args[:0]
		p.dec.Reset()
		p.check.Forget(0)
	}
	return cmd, done, err
}

// isUTF8 reports whether a refused payload is UTF-8. Of a long one it is not known if done
// is false: the turn is over.
func (p *pipeline) isUTF8(payload []byte) (valid, done bool) {
	if p.check == nil {
		return codec.ValidUTF8(payload), true
	}
	for {
		valid, done = p.check.UTF8Step(payload, p.shares.checkBytes)
		p.cost.bytes(p.shares.checkBytes)
		if p.cost.mustLook(); done || p.cost.isOver(len(p.out)) {
			return valid, done
		}
	}
}

// decodePart decodes the next arguments of a command, from cmd.Next on.
func (p *pipeline) decodePart(payload []byte, cmd codec.Command) codec.Command {
	from, to := cmd.Next, len(payload)
	if p.check != nil {
		p.args, cmd = p.dec.DecodePart(p.check, payload, cmd, p.args, p.shares.batchOps, p.shares.bigPayload)
	} else {
		p.args, cmd = p.dec.DecodeFrom(payload, cmd, p.args, p.shares.batchOps)
	}
	if cmd.More {
		to = cmd.Next
	}
	p.cost.bytes(to - from)
	return cmd
}

// admitInParts executes a command that may have more arguments than one batch holds.
func (p *pipeline) admitInParts(payload []byte, at, next, before int, cmd codec.Command, resumed bool) bool {
	for {
		p.enqueue(cmd, at, before, resumed)
		if !cmd.More {
			break
		}
		if !p.flush(at, cmd) {
			return false
		}
		if p.cost.isOver(len(p.out)) {
			p.resume, p.resumeAt = cmd, at
			return false
		}
		before, resumed = 0, true // flush has emptied the batch
		cmd = p.decodePart(payload, cmd)
	}
	if p.check != nil {
		// If the turn ends in the middle of this batch, the check is wanted once more.
		if !p.flush(next, codec.Command{}) {
			return false
		}
		p.check = nil
		return true
	}
	if len(p.args) >= p.shares.batchOps {
		return p.flush(next, codec.Command{})
	}
	return true
}
