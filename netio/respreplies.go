package netio

import (
	"strconv"

	"keyframe/codec"
	"keyframe/codec/resp"
	"keyframe/engine"
)

// This file is the replies to the commands of Redis's protocol that are in a batch, in order.

// reply is a command that waits in the batch for its answer.
type reply struct {
	at   int   // where it begins in the bytes being served
	ops  int32 // how many of the batch's operations are its
	kind replyKind
	op   codec.Opcode // what it is counted as
	err  uint8        // of replySaid: 1 + the ErrorKind that it is; 0: none
	n    int          // of replySaid: how many bytes it is; of replyArray and the like: how many elements the whole command has
	long *longWords   // what is answered in parts; nil: this is all of it
	more bool         // a later batch holds its next part
}

// replyKind is what is made of the operations.
type replyKind uint8

const (
	replySaid    replyKind = iota // no operation: text that is known
	replyOK                       // +OK
	replyValue                    // the value, or null
	replyIf                       // +OK, or null if the condition was against it
	replySwapped                  // the value before, or null
	replySetNew                   // 1 or 0: whether it was set
	replyNumber                   // the number that the value is now
	replyFloat                    // the value, of INCRBYFLOAT
	replyExpire                   // 1 or 0
	replySeconds                  // what TTL says, and so on
	replyMillis
	replySecondsAt
	replyMillisAt
	replyAppended // the length now
	replyLength
	replyType
	replyRename
	replyRenameNew
	replyEncoding
	replyMemory
	replyJSON      // the value as JSON, or null
	replyJSONArray // the same, in an array
	replyJSONType
	replyJSONSet // +OK, or null

	// Those have several operations.
	replyArray     // values
	replyJSONs     // values as JSON
	replyJSONsEach // the same, in an array each
	replyCount     // how many there were
	replyAllOK     // +OK when all is stored
)

// longWords is how far a command with several operations has come.
type longWords struct {
	count    int           // of replyCount
	failed   engine.Status // of replyAllOK: the first that says why; Pending: none
	answered bool          // its beginning has been

	pos, left int                     // where its next part begins, from the command's beginning, and how many words there are from there on; 0: the first
	was       struct{ pos, left int } // the same, of the part in the batch
	skip      int                     // how many words of the next part have been executed
}

// say answers a command without an operation, in its turn.
func (p *pipeline) say(w *words, text []byte) {
	p.saidSince(w, len(p.said), append(p.said, text...), 0)
}

// fail answers it with an error.
func (p *pipeline) fail(w *words, kind ErrorKind, text string) {
	p.saidSince(w, len(p.said), resp.AppendError(p.said, text), 1+uint8(kind))
}

// saidSince takes the answer that has been appended to p.said.
func (p *pipeline) saidSince(w *words, from int, said []byte, err uint8) {
	p.said = said
	r := reply{at: w.at, kind: replySaid, n: len(said) - from, err: err}
	if w.cmd != nil && err == 0 {
		r.op = w.cmd.Op
	}
	p.replies = append(p.replies, r)
}

// await has the command's one operation, which is the batch's last, answered.
func (p *pipeline) await(w *words, kind replyKind) {
	p.cost.spent += costElement
	n := len(p.replies)
	if n == cap(p.replies) {
		p.replies = append(p.replies, reply{})
	}
	p.replies = p.replies[:n+1]
	r := &p.replies[n]
	r.at, r.ops, r.kind, r.op, r.err, r.n, r.long, r.more = w.at, 1, kind, w.cmd.Op, 0, 0, nil, false
}

// countReply counts a command.
func (p *pipeline) countReply(op codec.Opcode) {
	p.countCommand()
	if op != 0 {
		p.count.Commands[op]++
	}
}

// answerReplies appends the replies of the batch, in order, and returns false at the first
// operation that the engine has not executed: p.stoppedAt says which, and p.stopped how far
// its command has come.
func (p *pipeline) answerReplies(f *respFraming) bool {
	ops := p.batch.Ops[p.answered:p.batch.Executed()]
	index := p.answered
	said := p.said
	out := p.out
	for i := range p.replies {
		r := &p.replies[i]
		if r.kind == replySaid {
			p.countReply(r.op)
			if r.err != 0 {
				p.count.Errors[r.err-1]++
			}
			out = append(out, said[:r.n]...)
			said = said[r.n:]
			continue
		}
		if r.kind >= replyArray {
			var done int
			out, done = p.answerMany(out, f, r, ops)
			ops, index = ops[done:], index+done
			if done < int(r.ops) {
				p.stoppedAt, p.out, p.said = stop{i, done}, out, said
				return false
			}
			continue
		}
		if len(ops) == 0 {
			p.stoppedAt, p.out, p.said = stop{i, 0}, out, said
			return false
		}
		op := &ops[0]
		ops = ops[1:]
		p.countReply(r.op)
		switch {
		case r.kind == replyOK && op.Status <= engine.Updated:
			out = append(out, "+OK\r\n"...)
		case r.kind == replyValue && op.Status == engine.Found:
			out = appendWord(out, op)
		default:
			out = p.answerOne(out, f, r, op, index)
		}
		index++
	}
	p.out = out
	if cap(p.text) > maxKeptText {
		p.text = nil
	}
	return true
}

// resetReplies forgets what was answered, or waits elsewhere.
func (p *pipeline) resetReplies() {
	for i := range p.replies {
		p.replies[i].long = nil
	}
	p.replies, p.said = p.replies[:0], p.said[:0]
	if cap(p.said) > maxKeptText {
		p.said = nil
	}
}

// stopWords notes with what the next turn goes on, after a batch whose answers had to stop.
func (p *pipeline) stopWords() {
	r := &p.replies[p.stoppedAt.command]
	p.resumeAt, p.resume = r.at, codec.Command{}
	for _, before := range p.blanks {
		if before > p.stoppedAt.command { // the next turn comes by it once more
			p.count.Frames--
		}
	}
	if l := r.long; l != nil && (l.answered || l.was.pos > 0) {
		l.pos, l.left, l.skip = l.was.pos, l.was.left, p.stoppedAt.arg*r.kind.step()
		p.resume = longCommand(l)
	}
}

// step is how many words of a command make an operation.
func (k replyKind) step() int {
	if k == replyAllOK {
		return 2
	}
	return 1
}

// longCommand is what a connection keeps of a command of which a part has been executed.
func longCommand(l *longWords) codec.Command {
	return codec.Command{More: true, Extra: &codec.Extra{State: l}}
}

// dropReplied forgets what has been answered of a batch that waits.
func (w *waiting) dropReplied(at stop) {
	w.replies = w.replies[at.command:]
	w.replies[0].ops -= int32(at.arg)
	w.answered = w.batch.Executed()
}

// appendWord appends a value as Redis's clients see it.
func appendWord(dst []byte, op *engine.Op) []byte {
	if form := codec.Form(op.Form); !codec.IsBytes(op.Value, form) {
		return appendUnescaped(dst, op.Value, form)
	}
	return resp.AppendBulk(dst, op.Value)
}

// appendUnescaped is appendWord of a JSON string with escapes, whose length is not known
// before they are written.
func appendUnescaped(dst, value []byte, form codec.Form) []byte {
	from := len(dst)
	dst = codec.AppendBytes(dst, value, form)
	n := len(dst) - from
	var head [24]byte
	h := resp.AppendBulkLen(head[:0], n)
	dst = append(dst, h...)
	copy(dst[from+len(h):], dst[from:from+n])
	copy(dst[from:], h)
	return append(dst, "\r\n"...)
}

// answerOne appends the reply that is made from one operation.
func (p *pipeline) answerOne(out []byte, f *respFraming, r *reply, op *engine.Op, index int) []byte {
	switch st := op.Status; st {
	case engine.OutOfMemory, engine.NotInteger, engine.Refused:
		return p.appendFailed(out, r.kind, st)
	case engine.NotFound:
		switch r.kind {
		case replySeconds, replyMillis, replySecondsAt, replyMillisAt:
			return resp.AppendInt(out, -2)
		case replyExpire, replyLength, replyRenameNew:
			if r.kind == replyRenameNew {
				return p.appendFailed(out, r.kind, st)
			}
			return resp.AppendInt(out, 0)
		case replyRename:
			return p.appendFailed(out, r.kind, st)
		case replyType:
			return resp.AppendSimple(out, "none")
		}
		return resp.AppendNull(out, f.version)
	}
	switch r.kind {
	case replyOK, replyRename:
		return append(out, "+OK\r\n"...)
	case replyIf, replyJSONSet:
		if op.Status == engine.Exists {
			return resp.AppendNull(out, f.version)
		}
		return append(out, "+OK\r\n"...)
	case replyValue, replyFloat:
		return appendWord(out, op)
	case replySwapped:
		if op.Status == engine.Created {
			return resp.AppendNull(out, f.version)
		}
		return appendWord(out, op)
	case replySetNew, replyRenameNew:
		return resp.AppendInt(out, bit(op.Status != engine.Exists))
	case replyNumber:
		return append(append(append(out, ':'), op.Value...), "\r\n"...)
	case replyExpire:
		return resp.AppendInt(out, bit(op.Status == engine.Updated))
	case replySeconds, replyMillis, replySecondsAt, replyMillisAt:
		return resp.AppendInt(out, timeOf(r.kind, p.batch.Args(index).Deadline, p.batch.Now))
	case replyAppended:
		return resp.AppendInt(out, p.batch.Args(index).Delta)
	case replyLength:
		return resp.AppendInt(out, int64(len(p.seen(op))))
	case replyType:
		return resp.AppendSimple(out, "string")
	case replyEncoding:
		return resp.AppendText(out, encodingOf(p.seen(op)))
	case replyMemory:
		return resp.AppendInt(out, int64(len(op.Key)+len(op.Value)+recordOverhead))
	case replyJSON, replyJSONArray:
		return p.appendJSON(out, op, r.kind == replyJSONArray)
	case replyJSONType:
		return resp.AppendText(out, typeOf(op))
	}
	panic("BUG: netio: a reply of unknown kind " + strconv.Itoa(int(r.kind)))
}

func bit(is bool) int64 {
	if is {
		return 1
	}
	return 0
}

// recordOverhead is what a key takes besides its bytes: a header, rounding and its slot.
const recordOverhead = 24

// appendFailed appends the error for an operation that was not done.
func (p *pipeline) appendFailed(out []byte, kind replyKind, st engine.Status) []byte {
	p.countFailure(statuses[st])
	switch {
	case st == engine.OutOfMemory:
		return append(out, "-OOM command not allowed when used memory > 'maxmemory'.\r\n"...)
	case st == engine.NotInteger && kind == replyFloat:
		return append(out, "-ERR value is not a valid float\r\n"...)
	case st == engine.NotInteger:
		return append(out, "-ERR value is not an integer or out of range\r\n"...)
	case st == engine.NotFound:
		return append(out, "-ERR no such key\r\n"...)
	}
	return append(out, "-ERR string exceeds maximum allowed size (16 MiB)\r\n"...)
}

// seen is the value of an operation as Redis's clients see it.
func (p *pipeline) seen(op *engine.Op) []byte {
	form := codec.Form(op.Form)
	if codec.IsBytes(op.Value, form) {
		return op.Value
	}
	p.text = codec.AppendBytes(p.text[:0], op.Value, form)
	return p.text
}

// timeOf is what a command says of a deadline; 0 is none.
func timeOf(kind replyKind, deadline, now int64) int64 {
	if deadline == 0 {
		return -1
	}
	const half = 500 // Redis rounds
	switch kind {
	case replySeconds:
		return (deadline - now + half) / 1000
	case replyMillis:
		return deadline - now
	case replySecondsAt:
		return (deadline + half) / 1000
	}
	return deadline
}

// encodingOf is what Redis would call the way that it keeps a string.
func encodingOf(value []byte) string {
	const embedded = 44
	if n, err := strconv.ParseInt(string(value[:min(len(value), 24)]), 10, 64); err == nil && strconv.FormatInt(n, 10) == string(value) {
		return "int"
	}
	if len(value) <= embedded {
		return "embstr"
	}
	return "raw"
}

// appendJSON appends a value as the text of its JSON, in an array if the path was $.
func (p *pipeline) appendJSON(out []byte, op *engine.Op, inArray bool) []byte {
	form := codec.Form(op.Form)
	if !codec.IsText(op.Value, form) {
		p.countFailure(codec.StatusTypeInvalid)
		return append(out, "-WRONGTYPE the value is bytes that are not UTF-8, and so not JSON\r\n"...)
	}
	text := p.text[:0]
	if inArray {
		text = append(text, '[')
	}
	text = codec.AppendJSON(text, op.Value, form)
	if inArray {
		text = append(text, ']')
	}
	p.text = text
	return resp.AppendBulk(out, text)
}

// typeOf is what RedisJSON calls the type of a value.
func typeOf(op *engine.Op) string {
	if codec.Form(op.Form) != codec.FormJSON {
		return "string"
	}
	switch op.Value[0] {
	case '{':
		return "object"
	case '[':
		return "array"
	case '"':
		return "string"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	}
	for _, c := range op.Value {
		if c == '.' || c == 'e' || c == 'E' {
			return "number"
		}
	}
	return "integer"
}

// answerMany appends the reply to a command with several operations, as far as they are
// executed, and returns how many of them it has answered.
func (p *pipeline) answerMany(out []byte, f *respFraming, r *reply, ops []engine.Op) (_ []byte, done int) {
	local := longWords{}
	if r.long != nil {
		local = *r.long
	}
	ops = ops[:min(len(ops), int(r.ops))]
	if !local.answered && (len(ops) > 0 || r.ops == 0) {
		local.answered = true
		p.countReply(r.op)
		if r.kind <= replyJSONsEach {
			out = resp.AppendArray(out, r.n)
		}
	}
	for i := range ops {
		op := &ops[i]
		switch {
		case r.kind == replyCount:
			local.count += int(bit(op.Status != engine.NotFound))
		case r.kind == replyAllOK:
			if op.Status > engine.Updated && local.failed == engine.Pending {
				local.failed = op.Status
			}
		case op.Status == engine.NotFound:
			out = resp.AppendNull(out, f.version)
		case r.kind == replyArray:
			out = appendWord(out, op)
		default:
			out = p.appendJSON(out, op, r.kind == replyJSONsEach)
		}
	}
	last := len(ops) == int(r.ops) && !r.more
	switch {
	case !last:
	case r.kind == replyCount:
		out = resp.AppendInt(out, int64(local.count))
	case r.kind == replyAllOK && local.failed != engine.Pending:
		out = p.appendFailed(out, r.kind, local.failed)
	case r.kind == replyAllOK:
		out = append(out, "+OK\r\n"...)
	}
	if r.long == nil && !last {
		r.long = new(longWords)
	}
	if r.long != nil {
		*r.long = local
	}
	return out, len(ops)
}
