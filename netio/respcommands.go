package netio

import (
	"math"
	"strconv"

	"keyframe/codec"
	"keyframe/codec/resp"
	"keyframe/engine"
)

// This file is what the commands of Redis's protocol that are about keys do. Those about the
// server and the connection are in respserver.go, those that list keys in respscan.go.

// perform has a command executed with the batch, or answers it. It returns false when the
// turn is over before that. state is what an earlier turn has left of it.
func (p *pipeline) perform(w *words, state any) bool {
	args := w.args
	switch w.cmd.ID {
	case resp.Get:
		p.batch.Add(engine.Get, args[1], nil)
		p.await(w, replyValue)
	case resp.Set:
		if len(args) > 3 {
			p.setIf(w)
			return true
		}
		p.batch.AddForm(engine.Set, args[1], args[2], stringForm(args[2]))
		p.await(w, replyOK)
	case resp.MGet:
		p.many(w, engine.Get, replyArray, args[1:], len(args)-1)
	case resp.MSet:
		if len(args)%2 == 0 {
			p.fail(w, ErrorArgumentType, "ERR wrong number of arguments for 'mset' command")
			return true
		}
		p.many(w, engine.Set, replyAllOK, args[1:], 0)
	case resp.Del, resp.Unlink:
		p.many(w, engine.Remove, replyCount, args[1:], 0)
	case resp.Exists, resp.Touch:
		p.many(w, engine.Contains, replyCount, args[1:], 0)
	case resp.Incr:
		p.add(w, 1)
	case resp.Decr:
		p.add(w, -1)
	case resp.IncrBy, resp.DecrBy:
		p.addBy(w)
	case resp.IncrByFloat:
		p.batch.AddArgs(engine.Merge, args[1], args[2], engine.Form(codec.FormFloat), engine.Args{Read: true})
		p.await(w, replyFloat)
	case resp.SetNX:
		p.batch.AddForm(engine.Add, args[1], args[2], stringForm(args[2]))
		p.await(w, replySetNew)
	case resp.SetEx, resp.PSetEx:
		p.setTimed(w)
	case resp.GetSet:
		p.batch.AddForm(engine.Swap, args[1], args[2], stringForm(args[2]))
		p.await(w, replySwapped)
	case resp.GetDel:
		p.batch.Add(engine.Take, args[1], nil)
		p.await(w, replyValue)
	case resp.GetEx:
		p.getTimed(w)
	case resp.StrLen:
		p.batch.Add(engine.Get, args[1], nil)
		p.await(w, replyLength)
	case resp.Append:
		p.batch.AddArgs(engine.Merge, args[1], args[2], engine.Form(codec.FormTail), engine.Args{})
		p.await(w, replyAppended)
	case resp.Type:
		p.batch.Add(engine.Contains, args[1], nil)
		p.await(w, replyType)
	case resp.Expire, resp.PExpire, resp.ExpireAt, resp.PExpireAt:
		p.expire(w)
	case resp.Persist:
		p.batch.AddArgs(engine.Expire, args[1], nil, 0, engine.Args{If: engine.IfAny})
		p.await(w, replyExpire)
	case resp.TTL:
		p.deadline(w, replySeconds)
	case resp.PTTL:
		p.deadline(w, replyMillis)
	case resp.ExpireTime:
		p.deadline(w, replySecondsAt)
	case resp.PExpireTime:
		p.deadline(w, replyMillisAt)
	case resp.Rename:
		p.batch.AddArgs(engine.Rename, args[1], args[2], 0, engine.Args{Replace: true})
		p.await(w, replyRename)
	case resp.RenameNX:
		p.batch.Add(engine.Rename, args[1], args[2])
		p.await(w, replyRenameNew)
	case resp.Object, resp.Memory:
		p.inspect(w)
	case resp.JSONSet, resp.JSONGet, resp.JSONMGet, resp.JSONDel, resp.JSONType:
		p.json(w)
	default:
		return p.performOther(w, state)
	}
	return true
}

// stringForm is the engine's form of a string.
func stringForm(value []byte) engine.Form { return engine.Form(codec.FormOf(value)) }

// many adds an operation for each key, or pair. n is how many elements the reply has.
func (p *pipeline) many(w *words, kind engine.Kind, reply replyKind, args [][]byte, n int) {
	before := len(p.batch.Ops)
	p.addMany(kind, args)
	p.awaitMany(w, reply, len(p.batch.Ops)-before, n)
}

func (p *pipeline) addMany(kind engine.Kind, args [][]byte) {
	if kind == engine.Set {
		for ; len(args) > 1; args = args[2:] {
			p.batch.AddForm(kind, args[0], args[1], stringForm(args[1]))
		}
		return
	}
	for _, key := range args {
		p.batch.Add(kind, key, nil)
	}
}

func (p *pipeline) awaitMany(w *words, reply replyKind, ops, n int) {
	p.await(w, reply)
	p.cost.spent += costElement * (ops - 1)
	r := &p.replies[len(p.replies)-1]
	r.ops, r.n = int32(ops), n
}

// admitLong executes a command that has more words than are handed out at once, or of which a
// part has been executed, part by part.
func (p *pipeline) admitLong(w *words, state any) bool {
	kind, reply := manyOf(w.cmd.ID)
	if kind == 0 || reply == replyAllOK && w.count%2 == 0 {
		p.fail(w, ErrorArgumentType, "ERR wrong number of arguments for '"+w.cmd.Name+"' command")
		return true
	}
	if !p.flush(w.at, codec.Command{}) { // it is alone in its batches
		return false
	}
	step := reply.step()
	l, ok := state.(*longWords)
	if !ok {
		l = new(longWords)
	}
	if l.pos == 0 {
		first, _ := resp.Open(w.src, w.at)
		_, after := resp.Take(p.words[:0], w.src, first, 1)
		l.pos, l.left = after-w.at, w.count-1
	}
	if l.skip > 0 {
		_, after := resp.Take(p.words[:0], w.src, w.at+l.pos, l.skip)
		l.pos, l.left, l.skip = after-w.at, l.left-l.skip, 0
	}
	for {
		l.was.pos, l.was.left = l.pos, l.left
		most := min(l.left, p.shares.batchOps*step)
		args, after := resp.Take(p.words[:0], w.src, w.at+l.pos, most)
		p.words = args
		l.pos, l.left = after-w.at, l.left-most
		p.addMany(kind, args)
		p.awaitMany(w, reply, most/step, w.count-1)
		r := &p.replies[len(p.replies)-1]
		if r.long, r.more = l, l.left > 0; !r.more {
			return p.flush(w.next(), codec.Command{})
		}
		if !p.flush(w.at, longCommand(l)) {
			return false
		}
		if p.cost.isOver(len(p.out)) {
			p.resume, p.resumeAt = longCommand(l), w.at
			return false
		}
	}
}

// manyOf is what a command does to each of its keys.
func manyOf(id resp.ID) (engine.Kind, replyKind) {
	switch id {
	case resp.MGet:
		return engine.Get, replyArray
	case resp.MSet:
		return engine.Set, replyAllOK
	case resp.Del, resp.Unlink:
		return engine.Remove, replyCount
	case resp.Exists, resp.Touch:
		return engine.Contains, replyCount
	}
	return 0, 0
}

const (
	errSyntax     = "ERR syntax error"
	errNotInteger = "ERR value is not an integer or out of range"
)

// parseWord returns the integer that a word is, as Redis has it: digits without a leading
// zero, after a minus or not.
func parseWord(word []byte) (n int64, ok bool) {
	if len(word) > 20 || len(word) == 0 || word[0] == '+' || len(word) > 1 && (word[0] == '0' || word[0] == '-' && word[1] == '0') {
		return 0, false
	}
	n, err := strconv.ParseInt(string(word), 10, 64)
	return n, err == nil
}

func (p *pipeline) add(w *words, delta int64) {
	p.batch.AddArgs(engine.Incr, w.args[1], nil, engine.Form(codec.FormString), engine.Args{Delta: delta})
	p.await(w, replyNumber)
}

func (p *pipeline) addBy(w *words) {
	delta, ok := parseWord(w.args[2])
	switch {
	case !ok:
		p.fail(w, ErrorNotAnInteger, errNotInteger)
		return
	case w.cmd.ID == resp.DecrBy && delta == math.MinInt64:
		p.fail(w, ErrorNotAnInteger, "ERR decrement would overflow")
		return
	case w.cmd.ID == resp.DecrBy:
		delta = -delta
	}
	p.add(w, delta)
}

// timeUnit is how a command writes times.
type timeUnit struct {
	seconds  bool
	absolute bool // since 1970; else from now on
}

// deadlineIn returns the deadline that a word is. It is never 0, which is none: what is over
// is over.
func (p *pipeline) deadlineIn(word []byte, unit timeUnit) (deadline int64, ok bool) {
	n, ok := parseWord(word)
	if unit.seconds {
		if n > math.MaxInt64/1000 || n < math.MinInt64/1000 {
			return 0, false
		}
		n *= 1000
	}
	if !unit.absolute {
		now := p.time()
		if n > math.MaxInt64-now {
			return 0, false
		}
		n += now
	}
	p.time() // the batch has one: it is for deadlines
	return max(n, 1), ok
}

// failTime answers a command whose time is none.
func (p *pipeline) failTime(w *words, word []byte) {
	if _, ok := parseWord(word); !ok {
		p.fail(w, ErrorArgumentType, errNotInteger)
		return
	}
	p.fail(w, ErrorArgumentType, "ERR invalid expire time in '"+w.cmd.Name+"' command")
}

// positiveDeadline is deadlineIn for commands that take only times of more than 0.
func (p *pipeline) positiveDeadline(w *words, word []byte, unit timeUnit) (deadline int64, ok bool) {
	deadline, ok = p.deadlineIn(word, unit)
	if n, _ := parseWord(word); !ok || n <= 0 {
		p.failTime(w, word)
		return 0, false
	}
	return deadline, true
}

// timeOption returns the unit of SET's and GETEX's options.
func timeOption(word []byte) (unit timeUnit, ok bool) {
	switch {
	case resp.Is(word, "ex"):
		return timeUnit{seconds: true}, true
	case resp.Is(word, "px"):
		return timeUnit{}, true
	case resp.Is(word, "exat"):
		return timeUnit{seconds: true, absolute: true}, true
	case resp.Is(word, "pxat"):
		return timeUnit{absolute: true}, true
	}
	return unit, false
}

// setIf is SET with options.
func (p *pipeline) setIf(w *words) {
	var set engine.Args
	get, timed := false, false
	for i := 3; i < len(w.args); i++ {
		word := w.args[i]
		unit, isTime := timeOption(word)
		switch {
		case resp.Is(word, "nx") && set.If == engine.Always:
			set.If = engine.IfMissing
		case resp.Is(word, "xx") && set.If == engine.Always:
			set.If = engine.IfExists
		case resp.Is(word, "get"):
			get = true
		case resp.Is(word, "keepttl") && !timed:
			set.Keep, timed = true, true
		case isTime && !timed && i+1 < len(w.args):
			var ok bool
			i++
			if set.Deadline, ok = p.positiveDeadline(w, w.args[i], unit); !ok {
				return
			}
			timed = true
		default:
			p.fail(w, ErrorArgumentType, errSyntax)
			return
		}
	}
	if get && p.identity != nil && !p.userMayUse(w, codec.ClassRead|codec.ClassWrite) {
		return
	}
	key, value := w.args[1], w.args[2]
	kind, answer := engine.Swap, replySwapped
	switch {
	case get:
	case set.If == engine.IfMissing:
		kind, answer = engine.Add, replyIf
	case set.If == engine.Always && !set.Keep:
		kind, answer = engine.Set, replyOK
	default:
		answer = replyIf
	}
	p.batch.AddArgs(kind, key, value, stringForm(value), set)
	p.await(w, answer)
}

// setTimed is SETEX and PSETEX.
func (p *pipeline) setTimed(w *words) {
	deadline, ok := p.positiveDeadline(w, w.args[2], timeUnit{seconds: w.cmd.ID == resp.SetEx})
	if !ok {
		return
	}
	value := w.args[3]
	p.batch.AddArgs(engine.Set, w.args[1], value, stringForm(value), engine.Args{Deadline: deadline})
	p.await(w, replyOK)
}

// getTimed is GETEX.
func (p *pipeline) getTimed(w *words) {
	args := w.args
	if len(args) == 2 {
		p.batch.Add(engine.Get, args[1], nil)
		p.await(w, replyValue)
		return
	}
	set := engine.Args{Read: true}
	unit, isTime := timeOption(args[2])
	switch {
	case len(args) == 3 && resp.Is(args[2], "persist"):
	case len(args) == 4 && isTime:
		var ok bool
		if set.Deadline, ok = p.positiveDeadline(w, args[3], unit); !ok {
			return
		}
	default:
		p.fail(w, ErrorArgumentType, errSyntax)
		return
	}
	p.batch.AddArgs(engine.Expire, args[1], nil, 0, set)
	p.await(w, replyValue)
}

// expire is EXPIRE, PEXPIRE, EXPIREAT and PEXPIREAT.
func (p *pipeline) expire(w *words) {
	id := w.cmd.ID
	unit := timeUnit{seconds: id == resp.Expire || id == resp.ExpireAt, absolute: id == resp.ExpireAt || id == resp.PExpireAt}
	set := engine.Args{}
	var ok bool
	if set.Deadline, ok = p.deadlineIn(w.args[2], unit); !ok {
		p.failTime(w, w.args[2])
		return
	}
	for _, word := range w.args[3:] {
		condition := engine.Always
		switch {
		case resp.Is(word, "nx"):
			condition = engine.IfNone
		case resp.Is(word, "xx"):
			condition = engine.IfAny
		case resp.Is(word, "gt"):
			condition = engine.IfLater
		case resp.Is(word, "lt"):
			condition = engine.IfEarlier
		default:
			p.fail(w, ErrorArgumentType, "ERR Unsupported option "+string(word[:min(len(word), 64)]))
			return
		}
		if set.If != engine.Always {
			p.fail(w, ErrorArgumentType, "ERR NX and XX, GT or LT options at the same time are not compatible")
			return
		}
		set.If = condition
	}
	p.batch.AddArgs(engine.Expire, w.args[1], nil, 0, set)
	p.await(w, replyExpire)
}

// deadline is TTL and its like.
func (p *pipeline) deadline(w *words, kind replyKind) {
	p.time()
	p.batch.AddArgs(engine.Deadline, w.args[1], nil, 0, engine.Args{})
	p.await(w, kind)
}

// inspect is OBJECT ENCODING and MEMORY USAGE.
func (p *pipeline) inspect(w *words) {
	sub, args := w.args[1], w.args
	switch {
	case w.cmd.ID == resp.Object && resp.Is(sub, "encoding") && len(args) == 3:
		p.batch.Add(engine.Get, args[2], nil)
		p.await(w, replyEncoding)
	case w.cmd.ID == resp.Memory && resp.Is(sub, "usage") && (len(args) == 3 || len(args) == 5 && resp.Is(args[3], "samples")):
		p.batch.Add(engine.Get, args[2], nil)
		p.await(w, replyMemory)
	default:
		p.failSub(w)
	}
}

// failSub answers a command whose subcommand is none, as Redis words it.
func (p *pipeline) failSub(w *words) {
	sub := w.args[1]
	p.fail(w, ErrorUnknownCommand, "ERR unknown subcommand or wrong number of arguments for '"+string(sub[:min(len(sub), 128)])+"'. Try "+upper(w.cmd.Name)+" HELP.")
}

func upper(name string) string {
	b := []byte(name)
	for i, c := range b {
		if 'a' <= c && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}
