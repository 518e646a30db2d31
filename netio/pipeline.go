package netio

import (
	"time"

	"keyframe/codec"
	"keyframe/engine"
	"keyframe/netio/access"
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
)

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
	store   store
	commit  committer                             // nil: the store applies at once, and answers leave at once
	execute func(func())                          // runs something on the loop; for what is committed later
	info    func() codec.Object                   // the members of SERVER_INFO's answer
	reserve func(n int) bool                      // whether a connection may hold n bytes more
	save    func(saved func(codec.Object, error)) // has a snapshot made; nil: there is no disk
	now     func() time.Time
	count   *Counters
	shares  shares

	anyValues bool // null is a value

	dec  *codec.Decoder
	kept []codec.Extra // memory for the extras of one batch
	admitted
	out     []byte // answers, for the caller to send and to empty
	text    []byte // one answer that is not framed yet
	cost    costs  // of the turn so far
	untimed int    // batches since the last one that was timed

	words   [][]byte     // of one command of Redis's protocol
	service *respService // what its commands need of the server

	refusedPage func(error) // is told of a request of a web page that was refused

	users *door // what it needs of the server's users; nil: there are none

	// Of the turn that is being run. What each command asks for is first, in one line of the cache.
	framing    framing
	identity   *identity    // who the client is; nil: there are no users
	user       *access.User // the same; nil: nobody, or there are no users. become changes it
	end        error        // why the connection ends
	exceptions bool         // no command is an everyday one: nobody has sent it, or writes are refused
	lasting    bool         // the input outlives the turn: what refers to it would keep it alive
	isJoined   bool         // the command comes from framing.joined
	refusing   codec.Status // what writes are answered with, unless it is StatusOK
	unfinished              // of the first command that a turn had to stop at
	resumeAt   int          // where that is
	stoppedAt  stop         // where in the queue it had to stop
	waits      *waiting     // the turn had to stop for this
	refusedBy  string       // why writes are refused

	// For HTTP. They are last: before the turn's fields they cost a SET that is sent 64 deep 1.7 %.
	minKey int    // how many characters a key has at least
	date   []byte // of responses
	dated  int64  // the second that it names

	cursorKey cursorKey
}

// admitted is what has been decoded and not been answered yet.
type admitted struct {
	args     []codec.Arg
	queue    []queued
	refusals []*codec.Refusal // of the refused ones in the queue
	extras   []*codec.Extra   // of those in the queue that have them
	batch    engine.Batch
	answered int   // of the batch's operations
	blanks   []int // of each blank unit, how many commands of the queue came before it

	replies []reply // the queue of Redis's protocol
	said    []byte  // what those say without an operation, one after the other
}

// stop is the first element of a queue that was not executed.
type stop struct{ command, arg int }

// turn is what came of a run.
type turn struct {
	used int  // bytes of the input that are done with
	more bool // there is work left that needs no further bytes
	unfinished
	waits *waiting // what has to be answered before there is another run; nil: nothing
}

// unfinished is how far a turn has come with the first command that it has left.
type unfinished struct {
	resume codec.Command // More: it has been executed up to Next; Extra.State: a *scan, with what was found
	check  *codec.Check  // if it is a long one: how far it is checked
}

func newPipeline(s *Server, count *Counters) *pipeline {
	dec, err := codec.NewDecoder(codec.Options{AnyValues: s.opts.AnyValues, MinKeyChars: s.opts.MinKeyChars})
	if err != nil {
		panic("BUG: netio: " + err.Error()) // the options are ours
	}
	p := &pipeline{store: s.store, now: s.now, count: count, shares: s.shares, dec: dec, anyValues: s.opts.AnyValues, minKey: s.opts.MinKeyChars, cursorKey: s.cursorKey}
	p.cost.shares, p.cost.now = &p.shares, p.now
	return p
}

// queued is a command that waits in the batch.
type queued struct {
	at      int   // where its frame begins in the bytes being served
	args    int32 // how many of the arguments, following those of the command before
	op      codec.Opcode
	refused bool // the next of the refusals says why; then it has no arguments
	resumed bool // an earlier batch held its first part
	other   otherSet
}

// otherSet says what is not as in most commands.
type otherSet uint8

const (
	hasExtra  otherSet = 1 << iota // the next of the extras is its
	hasMore                        // a later batch holds its next part
	hasValues                      // it answers with values, and is no GET
)

// kinds are the engine's operations for what commands do to a key. What is 0 is
// about the whole store.
var kinds = [codec.NumEffects]engine.Kind{
	codec.EffectStore:    engine.Set,
	codec.EffectStoreNew: engine.Add,
	codec.EffectRead:     engine.Get,
	codec.EffectRemove:   engine.Remove,
	codec.EffectContains: engine.Contains,
	codec.EffectRename:   engine.Rename,

	codec.EffectExpire:        engine.Expire,
	codec.EffectDeadline:      engine.Deadline,
	codec.EffectIncr:          engine.Incr,
	codec.EffectCompareStore:  engine.CompareSet,
	codec.EffectCompareRemove: engine.CompareRemove,
	codec.EffectTake:          engine.Take,
	codec.EffectSwap:          engine.Swap,
	codec.EffectAppend:        engine.Merge,
	codec.EffectUpdate:        engine.Merge,
}

// run serves what it can of src. from is what the turn before has left: how much of the first
// command has been executed already and, if it is a long one or a scan, how far that is.
// lasting means that src is memory of the connection's own. It also returns the framing that
// goes on. With an error the connection is to be closed: the client has been told why.
func (p *pipeline) run(f framing, src []byte, lasting bool, from unfinished) (t turn, _ framing, end error) {
	p.framing, p.lasting, p.unfinished, p.waits, p.end = f, lasting, from, nil, nil
	p.cost.begin(len(src))
	p.batch.Now = 0
	if p.store.Expires() {
		p.time()
	}
	if p.commit != nil {
		p.refusing, p.refusedBy = p.commit.refuses()
	}
	p.knowUser()
	var used int
	var more bool
	switch f := f.(type) {
	case *respFraming:
		used, more = p.wordUnits(f, src)
		if lasting {
			clear(p.words[:cap(p.words)]) // they would keep the input alive
		}
	case *httpFraming:
		used, more = p.requestUnits(f, src)
	default:
		used, more = p.units(src)
	}
	p.framing.done(used)
	return turn{used, more, p.unfinished, p.waits}, p.framing, p.end
}

// time is the turn's one time, so that keys expire between turns: milliseconds since 1970.
// Reading the clock is a third of a turn of one SET, so turns without deadlines don't.
func (p *pipeline) time() int64 {
	if p.batch.Now == 0 {
		p.batch.Now = p.now().UnixMilli()
	}
	return p.batch.Now
}

// units serves one unit after the other.
func (p *pipeline) units(src []byte) (used int, more bool) {
	if !p.admitJoined(0) {
		return p.resumeAt, true
	}
	for p.end == nil {
		if p.cost.isOver(len(p.out)) {
			more = used < len(src)
			break
		}
		p.cost.spent += costUnit
		payload, size, kind, err := p.framing.next(src, used)
		if p.exceptions && !p.mayBeNobody(src, used, size, err) {
			used, more = len(src), false
			break
		}
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
		if !p.admit(payload, used, used+size) {
			return p.resumeAt, true
		}
		used += size
	}
	if !p.flush(used, codec.Command{}) {
		return p.resumeAt, true
	}
	return used, more
}

// admitOther serves a unit that is no plain command, or ends the connection for err. It
// reports whether the turn had to stop, and returns the unit's size.
func (p *pipeline) admitOther(src []byte, at, size int, kind unitKind, err error) (_ int, stopped bool, _ error) {
	var u unit
	if kind != unitBlank || err != nil {
		// It must not be taken before the batch is through. If the turn ends in the middle
		// of the batch, the next one goes back to that command and looks at what follows
		// once more.
		if !p.flush(at, codec.Command{}) {
			return 0, true, nil
		}
		if err == nil {
			if n := p.framing.growth(src, at); n > 0 && !p.reserve(n) {
				p.end = errBuffersFull // the loop says so
				return 0, false, p.end
			}
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
		if err == p.framing.notUTF8() { // part of a command, which is refused before the rest has come
			p.count.Queries++
		}
		p.endWith(err)
		return 0, false, err
	}
	if kind != unitBlank && p.identity.isNobody() && p.framing.settled() {
		p.identity.sent += size
	}
	if u.proof != nil && p.users != nil {
		waits := p.prove(u, at+size)
		return size, waits, p.end
	}
	p.out = append(p.out, u.answer...)
	if u.becomes != nil {
		p.framing = u.becomes
		return size, false, nil
	}
	if kind != unitBlank {
		p.cost.spent += costFrame
		p.cost.bytes(size)
	}
	p.count.Frames++
	if kind == unitBlank && len(p.queue) > 0 {
		p.blanks = append(p.blanks, len(p.queue))
	}
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
	done := p.admit(payload, at, at) && p.flush(at, codec.Command{})
	p.isJoined = false
	if done || p.waits != nil && !p.resume.More { // all of it waits, in a batch that owns its bytes
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

// admit decodes one payload, whose frame begins at offset at of the bytes being
// served and ends at next, into the batch. It returns false when the turn is over before
// the command is; p.resumeAt is then the frame to go on with and p.resume where in it.
func (p *pipeline) admit(payload []byte, at, next int) bool {
	if p.resume.More || len(payload) > p.shares.bigPayload {
		return p.admitLarge(payload, at, next)
	}
	before := len(p.args)
	p.cost.bytes(len(payload))
	args, cmd, err := p.dec.Decode(payload, p.args, p.shares.batchOps)
	p.args = args
	effect := cmd.Op.Effect()
	if err != nil || cmd.More || cmd.Extra != nil || !isPlain(effect) || p.exceptions {
		return p.admitException(payload, at, next, before, cmd, err)
	}
	// An everyday command: what enqueue does, without its questions.
	if p.user != nil && (effect == codec.EffectRename || !p.user.Keys(cmd.Op.Class()).SeesAll(args[before:])) {
		p.deny(cmd.Op, args[before:])
	}
	kind := kinds[effect]
	for i := before; i < len(args); i++ {
		if arg := &args[i]; arg.Status == codec.StatusOK {
			p.batch.AddForm(kind, arg.Key, arg.Value, engine.Form(arg.Form))
		}
	}
	p.cost.spent += costElement * (len(args) - before)
	p.queueUp(cmd.Op, at, len(args)-before, false)
	if len(args) >= p.shares.batchOps {
		return p.flush(next, codec.Command{})
	}
	return true
}

// admitException is admit for a command that is more than arguments for the batch, or
// was refused. Its arguments are those from before on.
func (p *pipeline) admitException(payload []byte, at, next, before int, cmd codec.Command, err error) bool {
	if err == nil {
		if err = p.identity.refuses(cmd); err != nil {
			clear(p.args[before:])
			p.args = p.args[:before]
		}
	}
	switch {
	case err != nil:
		if why := p.framing.notUTF8(); why != nil {
			valid, done := p.isUTF8(payload)
			if !done {
				p.resumeAt = at
				return false
			}
			if !valid {
				if !p.flush(at, codec.Command{}) {
					return false
				}
				p.countCommand()
				p.endWith(why)
				return true
			}
		}
		p.cost.spent += costRefusal
		p.queue = append(p.queue, queued{at: at, refused: true})
		p.refusals = append(p.refusals, codec.RefusalOf(err))
		return true
	case kinds[cmd.Op.Effect()] == 0:
		if cmd.Extra != nil {
			extra := *cmd.Extra // what it refers to is the payload's, but it is the decoder's
			cmd.Extra = &extra
		}
		p.args = p.args[:before]
		if !p.flush(at, codec.Command{}) { // a COUNT sees what was set before it
			return false
		}
		return p.answerStoreCommand(payload, at, next, cmd)
	default:
		cmd.Extra = p.keep(cmd)
		return p.admitInParts(payload, at, next, before, cmd, false)
	}
}

// keep returns a command's extra as it can be kept until its batch is answered or, if the
// command has more parts, until it ends.
func (p *pipeline) keep(cmd codec.Command) *codec.Extra {
	if cmd.Extra == nil || cmd.More {
		return cmd.Extra.Clone()
	}
	if len(p.kept) == cap(p.kept) { // those that there are stay where they are
		p.kept = make([]codec.Extra, 0, max(16, 2*cap(p.kept)))
	}
	p.kept = append(p.kept, *cmd.Extra)
	return &p.kept[len(p.kept)-1]
}

// enqueue puts a command, whose arguments are those from before on, into the
// batch, and hands the arguments that the codec has not refused to the engine.
func (p *pipeline) enqueue(cmd codec.Command, at, before int, resumed bool) {
	args := p.args[before:]
	effect := cmd.Op.Effect()
	if p.identity != nil {
		p.deny(cmd.Op, args)
	}
	if p.refusing != codec.StatusOK && effect.Writes() {
		for i := range args {
			if args[i].Status == codec.StatusOK {
				args[i].Status = p.refusing
			}
		}
	}
	if isPlain(effect) {
		kind, from := kinds[effect], len(p.batch.Ops)
		for i := range args {
			if arg := &args[i]; arg.Status == codec.StatusOK {
				p.batch.AddForm(kind, arg.Key, arg.Value, engine.Form(arg.Form))
			}
		}
		if cmd.Extra != nil && cmd.Extra.TTL != 0 {
			p.batch.ShareArgs(from, engine.Args{Deadline: p.time() + cmd.Extra.TTL})
		}
	} else {
		p.addOthers(cmd, args)
	}
	p.cost.spent += costElement * len(args)
	if q := p.queueUp(cmd.Op, at, len(args), resumed); cmd.Extra != nil || !isPlain(effect) {
		p.noteOther(q, cmd)
	}
}

// isPlain reports whether an element of a command with this effect is an operation as it
// is: a key, or a key and what the codec has as its value.
func isPlain(effect codec.Effect) bool { return effect-1 <= codec.EffectRename-1 }

// queueUp has a command wait for the batch to be executed.
func (p *pipeline) queueUp(op codec.Opcode, at, args int, resumed bool) *queued {
	n := len(p.queue)
	if n == cap(p.queue) {
		p.queue = append(p.queue, queued{})
	}
	p.queue = p.queue[:n+1]
	// Field by field, into its place: a composite literal is built aside,
	// and reading it back in wider pieces waits for the stores to finish.
	q := &p.queue[n]
	q.at, q.args, q.op, q.refused, q.resumed, q.other = at, int32(args), op, false, resumed, 0
	return q
}

// noteOther notes what is special about a command in the queue.
func (p *pipeline) noteOther(q *queued, cmd codec.Command) {
	if cmd.Op.Values() != 0 && cmd.Op.Effect() != codec.EffectRead {
		q.other |= hasValues
	}
	if cmd.Extra == nil {
		return
	}
	p.extras = append(p.extras, cmd.Extra)
	if q.other |= hasExtra; cmd.More {
		q.other |= hasMore
	}
}

// flush executes the batch and appends its responses. It returns false when the turn is
// over: since the values read have used up its output, p.resumeAt and p.resume then name
// the first element that was not executed; or since the batch waits to be applied, and
// they are next and part, where the connection goes on after it.
func (p *pipeline) flush(next int, part codec.Command) bool {
	if len(p.queue)+len(p.replies) == 0 {
		return true
	}
	if len(p.batch.Ops) > 0 && !p.apply() {
		p.submit(next, part)
		return false
	}
	done := true
	if len(p.replies) == 0 {
		done = p.answerBatch()
	} else if done = p.answerReplies(p.framing.(*respFraming)); !done {
		p.stopWords()
	}
	p.reset()
	return done
}

// reset forgets what was admitted: it has been answered, or waits elsewhere.
func (p *pipeline) reset() {
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
	if len(p.extras) > 0 {
		clear(p.extras)
		clear(p.kept)
		p.extras, p.kept = p.extras[:0], p.kept[:0]
	}
	p.queue, p.args, p.blanks = p.queue[:0], p.args[:0], p.blanks[:0]
	if len(p.replies) > 0 {
		p.resetReplies()
	}
	p.dec.Reset()
}

const (
	// One batch in sampleEvery is timed: reading the clock twice costs 59 ns,
	// as much as executing an operation. Batches of alwaysTimed operations
	// or more are all timed.
	sampleEvery = 16
	alwaysTimed = 256
)

// apply executes the batch, and times it if it is large or its turn has come. It returns
// false if the committer wants to apply it later.
func (p *pipeline) apply() (now bool) {
	p.batch.ReadLimit = max(1, p.shares.turnOutputBytes-len(p.out))
	ops := len(p.batch.Ops)
	p.count.countBatch(ops)
	weight := time.Duration(1)
	if ops < alwaysTimed {
		if p.untimed++; p.untimed < sampleEvery {
			return p.applyNow()
		}
		p.untimed, weight = 0, sampleEvery
	}
	start := p.now()
	now = p.applyNow()
	p.count.ApplyTime += weight * p.now().Sub(start)
	return now
}

func (p *pipeline) applyNow() bool {
	if p.commit == nil {
		p.store.Apply(&p.batch)
	} else if !p.commit.apply(&p.batch) {
		return false
	}
	p.cost.bytes(p.batch.Work())
	return true
}
